"""From a name to a model: input, scaling, trunk, head, probabilities; written once for all networks."""

import inspect
from contextlib import contextmanager
from functools import partial

import keras
from keras import layers

from ..support.text import unknown
from ..weights.load import open_weights, pretrain
from . import architectures  # noqa: F401  (importing the models fills the registry)
from .grammar import parse, pattern_head, pattern_net
from .layers import SCALES, Scale, full_precision, logits, weightless
from .registry import (
    card,  # noqa: F401
    list_models,  # noqa: F401
)


def build_model(
    name, *, input_shape=None, classes=None, weights=None, scale=None, aux=None, dtype=None, **overrides
) -> keras.Model:
    """A network of the zoo as a Keras functional model: pixels 0..255 (N, H, W, C) to ``probs`` (N, classes).

    Layers named ``input``, ``stage1`` .. ``stageN``, ``features``, ``logits`` and ``probs`` are in every network.
    ``input_shape`` may leave sizes open, as (None, None, 3), where the head pools. ``weights`` is "imagenet" for the
    best published ones, "torchvision", "keras", "timm" or "caffe" for theirs, "torchvision/v1" for one row of the card,
    or a file of any of these; another number of classes keeps all but the classifier. ``scale``, one of ``SCALES``, is
    what the weights want unless given. ``dtype`` is a policy such as "mixed_float16". ``aux`` False leaves auxiliary
    classifiers out; with them the model returns {"probs": ..., "aux1": ...}. Anything else replaces a keyword of the
    network's trunk or head, as in depths=(2, 2, 2, 2) or dropout=0.2.
    """
    row = card(name)
    name = row.name
    shape = check_input_shape(row, input_shape)
    classes = check_classes(row, classes)
    trunk, head = check_overrides(row, overrides)
    auxiliary = check_aux(row, aux)
    usual = check_scale(row, scale)
    pretrained = None if weights is None else open_weights(name, weights)
    draw = partial(assemble, trunk, head, classes=classes, auxiliary=auxiliary, name=name)
    with policy(dtype):
        try:
            model = draw(shape, Scale(**SCALES[usual], name="scale"))
        except (ValueError, TypeError, ZeroDivisionError) as error:
            raise ValueError(why_not(row, draw, shape, overrides, error)) from error
    if pretrained is not None:
        pretrain(model, pretrained, scale)
    return model


def assemble(trunk, head, shape, scale, *, classes, name, auxiliary=None):
    """Input, scaling, trunk, head and softmax, and the auxiliary classifiers."""
    inputs = keras.Input(shape, name="input")
    x = trunk(scale(inputs))
    outputs = probabilities(head(x, classes), "probs")
    if auxiliary:
        inner = keras.Model(inputs, x)
        outputs = {"probs": outputs}
        for key, (layer, classifier) in auxiliary.items():
            scores = classifier(inner.get_layer(layer).output, classes, key)
            outputs[key] = probabilities(scores, key)
    return keras.Model(inputs, outputs, name=name)


def probabilities(scores, name):
    return layers.Softmax(dtype=full_precision(), name=name)(scores)


def outline(name, **options):
    """The network without memory for its weights: shapes and counts only, in a moment also for the largest."""
    with weightless():
        return build_model(name, **options)


def features(model, names):
    """A model that returns the maps of a layer, or of several as {name: maps}, with ``model``'s own weights."""
    if not isinstance(names, str | tuple | list):
        raise ValueError(f"`names` should be the name of a layer, or a list of names. Received: {names!r}")
    tapped = {name: layer_of(model, name).output for name in ([names] if isinstance(names, str) else names)}
    outputs = tapped[names] if isinstance(names, str) else tapped
    return keras.Model(inputs_of(model), outputs, name=f"{model.name}_features")


def rehead(model, classes, *, at="features", dropout=0.0):
    """The model up to the layer ``at``, whose weights it shares, with a new classifier: pooling where needed, dense."""
    check_classes(None, classes)
    x = layer_of(model, at).output
    if len(x.shape) > 2:
        x = layers.GlobalAveragePooling2D(name="pooled")(x)
    if dropout:
        x = layers.Dropout(dropout, name="pooled_dropout")(x)
    return keras.Model(inputs_of(model), probabilities(logits(x, classes), "probs"), name=model.name)


def pattern(
    text,
    *,
    input_shape=(32, 32, 3),
    classes=10,
    filters=(32, 64, 128, 256, 512),
    size=3,
    pool=2,
    units=(512, 512, 512),
    dropout=0.5,
    optional=True,
    scale="unit",
    name="pattern",
    **letters,
):
    """The network that ``text`` describes in the notation [[CONV-RELU]*N-POOL?]*M-[FC-RELU]*K-FC.

    Steps: CONV, NORM, RELU, TANH, SIGMOID, DROPOUT, LRN, POOL (maximum), MEAN, FC; the last FC gives the logits.
    ``*`` takes a number, or a letter whose value is given as a keyword (N=2); ``?`` marks what ``optional=False``
    leaves out. ``filters`` has a value for each stage (up to a pool), ``units`` for each FC but the last.

    >>> pattern("[[CONV-RELU]*2-POOL]*3-[FC-RELU]*2-FC", filters=(32, 64, 128), units=(256, 256))
    """
    for key in letters:
        if len(key) > 1:
            raise ValueError(unknown("argument of pattern", key, keywords(pattern)))
    steps = parse(text, letters, optional=optional)
    trunk = partial(pattern_net, steps=steps, filters=filters, size=size, pool=pool, dropout=dropout)
    head = partial(pattern_head, steps=steps, units=units, dropout=dropout)
    shape, classes = check_input_shape(None, input_shape), check_classes(None, classes)
    scaled = Scale(**SCALES[check_scale(None, scale)], name="scale")
    return assemble(trunk, head, shape, scaled, classes=classes, name=name)


def inputs_of(model):
    """A model's inputs as it takes them: a tensor, a list or a dictionary."""
    return model.inputs[0] if isinstance(model, keras.Sequential) else model.input


def layer_of(model, name):
    """The layer called ``name``."""
    if not isinstance(model, keras.Model) or not getattr(model, "inputs", None):
        raise ValueError(f"`model` should be a functional or built Sequential Keras model. Received: {model!r}")
    known = {layer.name: layer for layer in model.layers}
    if name not in known:
        stages = [key for key in known if key.startswith("stage") and "_" not in key]
        advice = f"among others: {', '.join(['input', *stages, 'features', 'logits', 'probs'])}" if stages else ""
        raise ValueError(unknown(f"layer of {model.name}", name, known, advice))
    return known[name]


@contextmanager
def policy(dtype):
    """Build under a dtype policy, and leave the user's as it was."""
    if dtype is None:
        yield
        return
    if not isinstance(dtype, keras.DTypePolicy) and dtype not in DTYPES:
        raise ValueError(unknown("dtype", dtype, DTYPES))
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(dtype)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def why_not(row, draw, shape, overrides, error):
    """What was wrong with a network that could not be drawn: its input's size, or else what ``error`` says."""
    if None in shape and fits(draw, row.input_shape):
        return (
            f"`input_shape` of {row.name} should have fixed sizes: its fully connected layers have a weight for every "
            f"position. Received: {shape}"
        )
    enlarged = (*map(max, shape[:2], row.input_shape), shape[2]) if None not in shape else None
    if enlarged and fits(draw, enlarged):
        least = smallest(draw, shape[2], start=min(shape[:2]))
        advice = " (less with aux=False)" if row.aux else ""
        return f"`input_shape` of {row.name} should be at least {least}x{least} pixels{advice}. Received: {shape}"
    given = ", ".join(f"{key}={shown(value)}" for key, value in overrides.items())
    return f"{row.name} cannot be built with {given or 'these arguments'}: {error}"


def fits(draw, shape):
    """Whether the network can be drawn at this size, without memory for its weights."""
    try:
        with weightless():
            draw(shape, Scale(name="scale"))
    except (ValueError, TypeError, ZeroDivisionError):
        return False
    return True


def smallest_input(name):
    """The side of the smallest square image that a network takes."""
    row = card(name)
    trunk, head = check_overrides(row, {})
    return smallest(partial(assemble, trunk, head, classes=row.classes, auxiliary=row.aux, name=name))


def smallest(draw, channels=3, start=1):
    """The smallest square input that the network takes, by bisection; output sizes grow with input sizes."""
    low, high = start - 1, start
    while not fits(draw, (high, high, channels)):
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if fits(draw, (middle, middle, channels)) else (middle, high)
    return high


DTYPES = ("float32", "float64", "float16", "bfloat16", "mixed_float16", "mixed_bfloat16")


def check_input_shape(row, given):
    """(height, width, channels), sizes None where open."""
    if given is None:
        return row.input_shape
    advice = f"{row.name} was published at {row.input_shape}. " if row else ""
    wrong = f"`input_shape` should be (height, width, channels), such as (224, 224, 3). {advice}Received: {given!r}"
    if not isinstance(given, tuple | list) or len(given) != 3 or given[2] is None:
        raise ValueError(wrong)
    if not all(side is None or (isinstance(side, int) and side > 0) for side in given):
        raise ValueError(wrong)
    if given[0] in (1, 3) and given[1] == given[2] and given[2] > 4:
        raise ValueError(f"{wrong}, which puts the channels first; they come last here")
    return tuple(given)


def check_classes(row, given):
    if given is None and row is not None:
        return row.classes
    if not isinstance(given, int) or isinstance(given, bool) or given < 2:
        raise ValueError(
            f"`classes` should be a whole number of at least 2 (yes or no is two classes). Received: {given!r}"
        )
    return given


def check_scale(row, given):
    """The name of a scaling."""
    if given is None:
        return row.scale
    if given not in SCALES:
        raise ValueError(unknown("scale", given, SCALES))
    return given


def check_aux(row, given):
    """The auxiliary classifiers to draw."""
    if given not in (None, True, False):
        raise ValueError(f"`aux` should be True, False or None. Received: {given!r}")
    if given and not row.aux:
        raise ValueError(
            f"`aux` should be False for {row.name}, which has no auxiliary classifiers (googlenet_aux and "
            "inception_v3_aux have). Received: True"
        )
    return {} if given is False else row.aux


def check_overrides(row, given):
    """Trunk and head with the card's configuration and what the user replaces in it."""
    trunk, head = keywords(row.trunk), keywords(row.head)
    for key, value in given.items():
        if key not in trunk and key not in head:
            raise ValueError(unknown(f"argument of {row.name}", key, {*keywords(build_model), *trunk, *head}))
        usual = row.config.get(key, trunk.get(key, head.get(key)))
        if usual is not None and not alike(value, usual):
            raise ValueError(f"`{key}` of {row.name} should be like {shown(usual)}. Received: {shown(value)}")
    config = dict(row.config) | {key: value for key, value in given.items() if key in trunk}
    rest = {key: value for key, value in given.items() if key not in trunk}
    return partial(row.trunk, **config), partial(row.head, **rest)


def keywords(function):
    """The keyword-only parameters of a function and their defaults."""
    parameters = inspect.signature(function).parameters.values()
    return {p.name: None if p.default is p.empty else p.default for p in parameters if p.kind is p.KEYWORD_ONLY}


def alike(value, usual):
    """Whether ``value`` can stand where ``usual`` stands."""
    if callable(usual):
        return callable(value)
    if isinstance(usual, tuple | list):
        return isinstance(value, tuple | list)
    if isinstance(usual, bool):
        return isinstance(value, bool)
    number = int if isinstance(usual, int) else int | float
    return isinstance(value, number) and not isinstance(value, bool)


def shown(value):
    return getattr(value, "__name__", None) or repr(value)
