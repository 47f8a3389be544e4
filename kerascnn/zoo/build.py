"""Build networks by name: input, preprocessing, trunk, head and softmax, the same way for all of them."""

from __future__ import annotations

import inspect
from contextlib import contextmanager
from functools import partial
from typing import Any

import keras
from keras import layers

from ..support.text import unknown_name
from ..support.types import FilePath, Layers, Model
from ..weights.load import load_pretrained, open_weights
from . import architectures  # noqa: F401  (importing them fills the registry)
from .grammar import parse_pattern, pattern_head, pattern_net
from .layers import SCALES, Scale, Softmax, logits, scores_dtype, weightless
from .registry import (
    card,  # noqa: F401
    list_models,  # noqa: F401
)


def build_model(
    name: str,
    *,
    input_shape: tuple[int | None, ...] | None = None,
    classes: int | None = None,
    weights: FilePath | None = None,
    scale: str | None = None,
    aux: bool | None = None,
    dtype: str | keras.DTypePolicy | None = None,
    **overrides: Any,
) -> Model:
    """Build a network of the zoo as a Keras functional model.

    The model takes pixels 0..255 RGB (N, H, W, C), scales them itself, and returns probabilities (N, classes). Every
    network has layers named `input`, `stage1` to `stageN`, `features`, `logits` and `probs`.

    Args:
        name: Name of the network, as in `list_models`; "resnet20" is short for "resnet20_cifar10".
        input_shape: (height, width, channels); by default that at which the accuracy of the ``weights`` was measured,
            without published weights that of the card. Height and width may be None if the network pools globally.
        classes: Number of classes, at least 2; by default as published.
        weights: None for random initialization, "imagenet" for the best published weights, a publisher
            ("torchvision", "keras", "timm", "caffe"), one row of the card ("torchvision/v1"), or the path of a
            weights file. With another number of classes, the classifier keeps its initial weights.
        scale: Preprocessing inside the model, such as "torch", "tf" or "caffe"; by default what the weights
            expect, or else what the card says.
        aux: False leaves out auxiliary classifiers. With them the model returns {"probs": ..., "aux1": ...}.
        dtype: Dtype policy to build with, such as "mixed_float16"; by default Keras' global policy.
        **overrides: Settings of the network's trunk or head that replace those of its card, such as `depths`,
            `widths`, `dropout`, `drop_path`, `growth` or `units`. Each family has its own; an unknown name lists
            similar ones.

    Returns:
        The model, not compiled.
    """
    row = card(name)
    name = row.name
    shape = check_input_shape(row, input_shape)
    classes = check_classes(row, classes)
    trunk, head = apply_overrides(row, overrides)
    auxiliary = select_auxiliaries(row, aux)
    initial_scale = check_scale(row, scale)
    weights_file = None if weights is None else open_weights(name, weights)
    if input_shape is None and weights_file is not None:
        shape = (*(weights_file.size() or shape[:2]), shape[-1])

    build = partial(assemble_model, trunk, head, classes=classes, auxiliary=auxiliary, name=name)
    with dtype_policy_scope(dtype):
        try:
            model = build(shape, Scale(**SCALES[initial_scale], name="scale"))
        except (ValueError, TypeError, ZeroDivisionError) as error:
            raise ValueError(explain_build_error(row, build, shape, overrides, error)) from error

    if weights_file is not None:
        load_pretrained(model, weights_file, scale)
    return model


def assemble_model(trunk, head, shape, scale, *, classes, name, auxiliary=None):
    """Connect input, preprocessing, trunk, head and softmax, and the auxiliary classifiers if any."""
    inputs = keras.Input(shape, name="input")
    x = trunk(scale(inputs))
    outputs = softmax_layer(head(x, classes), "probs")
    if auxiliary:
        inner = keras.Model(inputs, x)
        outputs = {"probs": outputs}
        for key, (layer, classifier) in auxiliary.items():
            scores = classifier(inner.get_layer(layer).output, classes, key)
            outputs[key] = softmax_layer(scores, key)
    return keras.Model(inputs, outputs, name=name)


def softmax_layer(scores, name):
    return Softmax(dtype=scores_dtype(), name=name)(scores)


def outline(name: str, **options: Any) -> Model:
    """Build a network without memory for its weights, to look at its structure.

    Shapes and counts are those of `build_model`; this takes a moment even for the largest networks. The model
    cannot be called.

    Args:
        name: Name of the network, as in `list_models`.
        **options: Arguments of `build_model`: `input_shape`, `classes`, `scale`, `aux`, `dtype`, and the settings
            of the network, such as `depths` or `dropout`.

    Returns:
        The model, whose variables have shapes but no values.
    """
    with weightless():
        return build_model(name, **options)


def features(model: Model, layers: Layers) -> Model:
    """A model that returns the outputs of one or several layers.

    Args:
        model: A functional or built Sequential model; the new model shares its weights.
        layers: Name of a layer, such as "stage3", or a list of names.

    Returns:
        A model with the inputs of ``model``; it returns the layer's output, or {name: output} for a list.
    """
    if not isinstance(layers, str | tuple | list):
        raise ValueError(f"`layers` should be the name of a layer, or a list of names. Received: {layers!r}")

    names = [layers] if isinstance(layers, str) else layers
    outputs_by_name = {name: find_layer(model, name).output for name in names}
    outputs = outputs_by_name[layers] if isinstance(layers, str) else outputs_by_name
    return keras.Model(model_inputs(model), outputs, name=f"{model.name}_features")


def rehead(model: Model, classes: int, *, at: str = "features", dropout: float = 0.0) -> Model:
    """Replace the classifier of a model by a new dense layer, after average pooling.

    Args:
        model: A functional or built Sequential model; the new model shares its weights up to ``at``.
        classes: Number of classes of the new classifier, at least 2.
        at: Name of the layer that the new classifier reads.
        dropout: Dropout rate in front of the dense layer.

    Returns:
        A model with layers `logits` and `probs`, which returns probabilities (N, classes).
    """
    check_classes(None, classes)
    x = find_layer(model, at).output
    if len(x.shape) > 2:
        x = layers.GlobalAveragePooling2D(name="pooled")(x)
    if dropout:
        x = layers.Dropout(dropout, name="pooled_dropout")(x)
    return keras.Model(model_inputs(model), softmax_layer(logits(x, classes), "probs"), name=model.name)


def pattern(
    text: str,
    *,
    input_shape: tuple[int | None, ...] = (32, 32, 3),
    classes: int = 10,
    filters: int | tuple[int, ...] = (32, 64, 128, 256, 512),
    size: int | tuple[int, int] = 3,
    pool: int = 2,
    units: int | tuple[int, ...] = (512, 512, 512),
    dropout: float = 0.5,
    optional: bool = True,
    scale: str = "unit",
    name: str = "pattern",
    **letters: int,
) -> Model:
    """Build the network that a pattern like [[CONV-RELU]*N-POOL?]*M-FC describes.

    The steps are CONV, NORM, RELU, TANH, SIGMOID, DROPOUT, LRN, POOL (maximum), MEAN and FC; the last FC gives the
    logits. `*` repeats a step or a group in brackets, `?` marks it as optional.

    >>> pattern("[[CONV-RELU]*2-POOL]*3-[FC-RELU]*2-FC", filters=(32, 64, 128), units=(256, 256))

    Args:
        text: The pattern: steps joined by dashes, ending with FC.
        input_shape: (height, width, channels) of the images.
        classes: Number of classes, at least 2.
        filters: Filters of the convolutions: one number, or one for each stage (a stage ends with a pool).
        size: Kernel size of the convolutions in pixels.
        pool: Window and stride of POOL and MEAN in pixels.
        units: Units of the FC steps before the last: one number, or one for each.
        dropout: Rate of the DROPOUT steps.
        optional: False leaves out what `?` marks.
        scale: Preprocessing inside the model, such as "unit" (pixels / 255) or "torch".
        name: Name of the model.
        **letters: How often a letter behind `*` repeats, such as `N=2` or `M=3` for the pattern above.

    Returns:
        The model, not compiled, with the layer names of `build_model`.
    """
    for key in letters:
        if len(key) > 1:
            raise ValueError(unknown_name("argument of pattern", key, keyword_defaults(pattern)))

    steps = parse_pattern(text, letters, optional=optional)
    trunk = partial(pattern_net, steps=steps, filters=filters, size=size, pool=pool, dropout=dropout)
    head = partial(pattern_head, steps=steps, units=units, dropout=dropout)
    shape, classes = check_input_shape(None, input_shape), check_classes(None, classes)
    scaled = Scale(**SCALES[check_scale(None, scale)], name="scale")
    return assemble_model(trunk, head, shape, scaled, classes=classes, name=name)


def model_inputs(model):
    """The inputs of a model in its own structure: a tensor, a list or a dictionary."""
    return model.inputs[0] if isinstance(model, keras.Sequential) else model.input


def find_layer(model, name):
    """The layer with the given name; raises an error that lists similar names."""
    if not isinstance(model, keras.Model) or not getattr(model, "inputs", None):
        raise ValueError(f"`model` should be a functional or built Sequential Keras model. Received: {model!r}")
    layers_by_name = {layer.name: layer for layer in model.layers}
    if name not in layers_by_name:
        stages = [key for key in layers_by_name if key.startswith("stage") and "_" not in key]
        advice = f"such as {', '.join(['input', *stages, 'features', 'logits', 'probs'])}" if stages else ""
        raise ValueError(unknown_name(f"layer of {model.name}", name, layers_by_name, advice))
    return layers_by_name[name]


@contextmanager
def dtype_policy_scope(dtype):
    """Set the global dtype policy for the duration of a ``with`` block."""
    if dtype is None:
        yield
        return
    if not isinstance(dtype, keras.DTypePolicy) and dtype not in DTYPES:
        raise ValueError(unknown_name("dtype", dtype, DTYPES))
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(dtype)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def explain_build_error(row, build, shape, overrides, error):
    """Error text for a network that cannot be built: the smallest input size, or what ``error`` says."""
    if None in shape and can_build(build, row.input_shape):
        return (
            f"`input_shape` of {row.name} should have fixed sizes, because its dense layers depend on them. "
            f"Received: {shape}"
        )
    enlarged = (*map(max, shape[:2], row.input_shape), shape[2]) if None not in shape else None
    if enlarged and can_build(build, enlarged):
        smallest = smallest_size(build, shape[2], start=min(shape[:2]))
        advice = " (smaller inputs work with aux=False)" if row.aux else ""
        return f"`input_shape` of {row.name} should be at least {smallest}x{smallest} pixels{advice}. Received: {shape}"

    arguments = ", ".join(f"{key}={override_text(value)}" for key, value in overrides.items())
    return f"cannot build {row.name} with {arguments or 'these arguments'}: {error}"


def can_build(build, shape):
    """Whether the network can be built for this input shape; no memory is used for its weights."""
    try:
        with weightless():
            build(shape, Scale(name="scale"))
    except (ValueError, TypeError, ZeroDivisionError):
        return False
    return True


def smallest_input(name):
    """The side in pixels of the smallest square image that a network takes."""
    row = card(name)
    trunk, head = apply_overrides(row, {})
    return smallest_size(partial(assemble_model, trunk, head, classes=row.classes, auxiliary=row.aux, name=name))


def smallest_size(build, channels=3, start=1):
    """The smallest square input that the network takes, by bisection."""
    low, high = start - 1, start
    while not can_build(build, (high, high, channels)):
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if can_build(build, (middle, middle, channels)) else (middle, high)
    return high


DTYPES = ("float32", "float64", "float16", "bfloat16", "mixed_float16", "mixed_bfloat16")


def check_input_shape(row, input_shape):
    """(height, width, channels); height and width may be None."""
    if input_shape is None:
        return row.input_shape
    advice = f"{row.name} was published for inputs of {row.input_shape}. " if row else ""
    wrong = (
        f"`input_shape` should be (height, width, channels), such as (224, 224, 3). {advice}Received: {input_shape!r}"
    )
    if not isinstance(input_shape, tuple | list) or len(input_shape) != 3 or input_shape[2] is None:
        raise ValueError(wrong)
    if not all(side is None or (isinstance(side, int) and side > 0) for side in input_shape):
        raise ValueError(wrong)
    if input_shape[0] in (1, 3) and input_shape[1] == input_shape[2] and input_shape[2] > 4:
        raise ValueError(f"{wrong}, which is channels-first; kerascnn uses channels-last")
    return tuple(input_shape)


def check_classes(row, classes):
    if classes is None and row is not None:
        return row.classes
    if not isinstance(classes, int) or isinstance(classes, bool) or classes < 2:
        raise ValueError(
            f"`classes` should be an integer of at least 2 (a yes/no question has two classes). Received: {classes!r}"
        )
    return classes


def check_scale(row, scale):
    """The name of a preprocessing in ``SCALES``."""
    if scale is None:
        return row.scale
    if scale not in SCALES:
        raise ValueError(unknown_name("scale", scale, SCALES))
    return scale


def select_auxiliaries(row, aux):
    """The auxiliary classifiers to build."""
    if aux not in (None, True, False):
        raise ValueError(f"`aux` should be True, False or None. Received: {aux!r}")
    if aux and not row.aux:
        raise ValueError(
            f"`aux` should be False for {row.name}, which has no auxiliary classifiers (only googlenet_aux and "
            "inception_v3_aux have). Received: True"
        )
    return {} if aux is False else row.aux


def apply_overrides(row, overrides):
    """Trunk and head with the settings of the card, replaced by ``overrides`` where given."""
    trunk, head = keyword_defaults(row.trunk), keyword_defaults(row.head)
    for key, value in overrides.items():
        if key not in trunk and key not in head:
            raise ValueError(
                unknown_name(f"argument of {row.name}", key, {*keyword_defaults(build_model), *trunk, *head})
            )
        default = row.config.get(key, trunk.get(key, head.get(key)))
        if default is not None and not can_replace(value, default):
            raise ValueError(
                f"`{key}` of {row.name} should have the form {override_text(default)}. Received: {override_text(value)}"
            )
    config = dict(row.config) | {key: value for key, value in overrides.items() if key in trunk}
    head_config = {key: value for key, value in overrides.items() if key not in trunk}
    return partial(row.trunk, **config), partial(row.head, **head_config)


def keyword_defaults(function):
    """{name: default} of the keyword-only parameters of a function."""
    parameters = inspect.signature(function).parameters.values()
    return {p.name: None if p.default is p.empty else p.default for p in parameters if p.kind is p.KEYWORD_ONLY}


def can_replace(value, default):
    """Whether ``value`` has the same kind of type as the ``default``."""
    if callable(default):
        return callable(value)
    if isinstance(default, tuple | list):
        return isinstance(value, tuple | list)
    if isinstance(default, bool):
        return isinstance(value, bool)
    number = int if isinstance(default, int) else int | float
    return isinstance(value, number) and not isinstance(value, bool)


def override_text(value):
    return getattr(value, "__name__", None) or repr(value)
