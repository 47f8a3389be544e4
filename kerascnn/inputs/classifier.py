"""`Classifier`: a model with its input size, its preprocessing, its class names and its probabilities."""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from numbers import Integral

import keras
import numpy as np

from ..graph.ends import check_channels_last, final_activation, scores_to_probabilities, select_scores
from ..support.checks import check_integer
from ..support.text import unknown_name
from ..zoo.registry import WeightsSource, card, default_weights, weights_sources
from .batch import Batch, as_batch
from .class_names import IMAGENET, read_class_names, resolve_class_names, store_class_names
from .model_files import read_facts, set_fact
from .resize import INTERPOLATIONS, Preprocessing, size_pair

RESIZE, CROP = 256, 224  # where no published weights say otherwise


@dataclass(frozen=True, eq=False)
class Classifier:
    """A Keras model with its preprocessing and class names.

    Attributes:
        model: a Keras model.
        preprocessing: how images are resized and cropped.
        source: the published weights that a model of the zoo was loaded with, or None.
        preprocess: a function of a batch of pixels 0..255 that returns what a foreign model expects, or None.
        class_names: as the user gave them; None for those that are known, False for none.
    """

    model: keras.Model
    preprocessing: Preprocessing
    source: WeightsSource | None = None
    preprocess: Callable | None = None
    class_names: object = field(default=None, repr=False)

    @cached_property
    def input_names(self):
        """The names of the model's inputs, in its order."""
        return tuple(tensor.name for tensor in self.model.inputs)

    @cached_property
    def image_input(self):
        """The name of the input that takes the images."""
        return image_input(self.model).name

    @property
    def size(self):
        """(height, width) of its images."""
        return self.preprocessing.size

    @property
    def channels(self):
        """The number of channels of its images."""
        return self.preprocessing.channels

    @cached_property
    def end(self):
        """Its last activation: "softmax", "sigmoid", "linear", or "unknown"."""
        return final_activation(self.model)

    def names_for(self, count):
        """The names of its ``count`` classes, or None."""
        return resolve_class_names(self.class_names, count, self.model)

    def preprocessing_of(self, images):
        """The `Preprocessing` of the images of a `Batch`.

        A labeled dataset is preprocessed as in training, except for published weights and ImageNet classes, which are
        evaluated as published.
        """
        as_published = self.source or any(tensor.shape[-1] == IMAGENET for tensor in self.model.outputs)
        if images.class_names is None or as_published:
            return self.preprocessing
        return Preprocessing.to_cover(self.size, self.channels)

    def batch(self, images, labels=None, names=None):
        """Make a `Batch` of images, or for a model with several inputs of a dict or tuple of them.

        Args:
            images: what `as_batch` takes; of several inputs a dict by their names, or a tuple in the model's order.
            labels: the true class of each image, as a number or a name.
            names: of the images; by default their file names.
        """
        if isinstance(images, Batch):
            self.check_other_inputs(images.other_inputs)
            return images
        if len(self.input_names) == 1 and not isinstance(images, Mapping):
            return as_batch(images, labels, names)

        inputs = self.inputs_by_name(images)
        batch = as_batch(inputs.pop(self.image_input), labels, names)
        other_inputs = {name: as_rows(value, name, len(batch)) for name, value in inputs.items()}
        return replace(batch, other_inputs=other_inputs)

    def inputs_by_name(self, images):
        """{name: value} of all inputs, given as a dict or in the model's order."""
        if isinstance(images, tuple | list) and len(images) == len(self.input_names):
            return dict(zip(self.input_names, images, strict=True))
        if not isinstance(images, Mapping):
            self.check_other_inputs({})
        unknown = [name for name in images if name not in self.input_names]
        if unknown:
            raise ValueError(unknown_name(f"input of {self.model.name}", unknown[0], self.input_names))
        self.check_other_inputs(images)
        if self.image_input not in images:
            raise ValueError(f"`images` should have the images as {self.image_input!r}. Received: {', '.join(images)}")
        return dict(images)

    def check_other_inputs(self, other_inputs):
        """Raise ValueError if an input besides the images has no value."""
        missing = [name for name in self.input_names if name not in other_inputs and name != self.image_input]
        if missing:
            raise ValueError(
                f"`images` should be a dict of the inputs of {self.model.name}: {', '.join(self.input_names)}. "
                f"Received: no {missing[0]!r}"
            )

    def scores(self, pixels, other_inputs=None, compiled=False):
        """The scores of pixels (N, h, w, C), 0..255, and of the other inputs; ``compiled`` runs a traced graph."""
        pixels = pixels if self.preprocess is None else self.preprocess(pixels)
        inputs = pack_inputs(self.model, {**other_inputs, self.image_input: pixels}) if other_inputs else pixels
        outputs = self.model.predict_on_batch(inputs) if compiled else self.model(inputs, training=False)
        return keras.ops.convert_to_numpy(select_scores(outputs, self.model))

    def probabilities(self, pixels, other_inputs=None, compiled=False):
        """Class probabilities (N, classes), float32."""
        name, scores = self.model.name, self.scores(pixels, other_inputs, compiled)
        if scores.ndim != 2 or (scores.shape[-1] < 2 and self.end != "sigmoid"):
            raise ValueError(
                f"`model` should return scores of shape (N, classes). Received: {name}, which returns {scores.shape}"
            )
        if not np.isfinite(scores).all():
            raise ValueError(f"`model` should return finite scores. Received: NaN or infinity from {name}")
        return scores_to_probabilities(scores, self.end)

    def classify(self, images, batch_size, on_progress=None):
        """Predict class probabilities of all readable images.

        Args:
            images: a `Batch`.
            batch_size: number of images in a batch.
            on_progress: called as ``on_progress(done, total, what)``; may raise to end the work.

        Returns:
            The probabilities, the positions of these images, and {name: reason} of the unreadable ones.
        """
        compiled = len(images) > batch_size  # tracing a deep graph takes longer than a single pass without
        self.check_other_inputs(images.other_inputs)
        probs, rows, failed = [], [], {}
        for positions, pixels in images.chunks(self.preprocessing_of(images), batch_size, failed):
            other_inputs = {name: values[positions] for name, values in images.other_inputs.items()}
            probs.append(self.probabilities(pixels, other_inputs, compiled))
            rows += positions
            if on_progress:
                on_progress(len(rows) + len(failed), len(images), "evaluating")
        images.check_readable(failed)
        return np.concatenate(probs), rows, images.reasons(failed)


def classifier(
    model, *, class_names=None, size=None, resize=None, interpolation=None, preprocess=None, several_inputs=False
):
    """Make a `Classifier` of a model; `open_model` opens one by name or file.

    Args:
        model: a Keras model with one image input.
        class_names: names of its classes; False for none.
        size: (height, width) of its images, for a model that takes any.
        resize: short side of an image before the center crop; by default as published.
        interpolation: "bilinear" or "bicubic"; by default as published.
        preprocess: a function of a batch (0..255, float32) that returns what the model expects.
        several_inputs: whether the model may have other inputs besides.
    """
    image_input_shape(model, several_inputs)  # raises if it is not a model
    source = find_published_source(model)
    crop = source.crop if source else CROP
    *size, channels = resolve_input_shape(model, size, crop, several_inputs)
    if interpolation not in (None, *INTERPOLATIONS):
        raise ValueError(unknown_name("interpolation", interpolation, INTERPOLATIONS))
    keep = "all" if source is None and resize is None else "arrays" if resize is None else "none"
    short_side = min(size)
    if resize is None:
        resize = round(short_side * (source.resize if source else RESIZE) / crop)
    else:
        check_integer(resize=resize)
        if resize < short_side:
            raise ValueError(f"`resize` should be at least the crop size, {short_side} pixels. Received: {resize}")
    interpolation = interpolation or (source.interpolation if source else "bilinear")
    preprocessing = Preprocessing(tuple(size), channels, resize, interpolation, keep)
    return Classifier(model, preprocessing, source, preprocess, class_names)


def image_input_shape(model, several_inputs=False):
    """(height, width, channels) of a model's one image input, with None for any height or width."""
    tensor = image_input(model)
    if len(model.inputs) > 1 and not several_inputs:
        raise ValueError(f"`model` should have no inputs besides the images. Received: {describe_inputs(model)}")
    return tuple(tensor.shape[1:])


def image_input(model):
    """The symbolic input of a model that takes images."""
    if not isinstance(model, keras.Model) or not getattr(model, "inputs", None):
        raise ValueError(f"`model` should be a functional or built Sequential Keras model. Received: {model!r}")
    images = [tensor for tensor in model.inputs if len(tensor.shape) == 4 and tensor.shape[-1] is not None]
    if len(images) != 1:
        raise ValueError(f"`model` should have one image input (N, H, W, C). Received: {describe_inputs(model)}")
    check_channels_last(model)
    return images[0]


def pack_inputs(model, values):
    """The inputs of a model by name as the structure (list, dict) that it takes."""
    return keras.tree.map_structure(lambda tensor: values[tensor.name], model.input)


def as_rows(value, name, count):
    """An input besides the images as an array with ``count`` rows; a single row stands for all."""
    rows = np.asarray(value)
    if rows.ndim == 0 or len(rows) not in (1, count):
        raise ValueError(
            f"`images` should have one row of {name!r} for each of the {count} images. "
            f"Received: an array of shape {rows.shape}"
        )
    return np.broadcast_to(rows, (count, *rows.shape[1:]))


def describe_inputs(model):
    """A model's inputs as text."""
    shapes = ", ".join(f"{tensor.name} {tuple(tensor.shape)}" for tensor in model.inputs)
    return f"{model.name} with inputs {shapes}"


def resolve_input_shape(model, size=None, default=CROP, several_inputs=False):
    """(height, width, channels) of a model's input: fixed by the model, else ``size``, else ``default``."""
    *model_size, channels = image_input_shape(model, several_inputs)
    if size is None:
        fixed_sides = [side for side in model_size if side is not None] or [default]
        return (*(side or fixed_sides[0] for side in model_size), channels)
    new_size = (size, size) if isinstance(size, Integral) else tuple(size)
    for side in new_size:
        check_integer(size=side)
    if len(new_size) != 2 or any(
        fixed_side not in (None, side) for fixed_side, side in zip(model_size, new_size, strict=True)
    ):
        raise ValueError(
            f"`size` should be the fixed input size of {model.name}, {tuple(model_size)}. Received: {size}"
        )
    return (*map(int, new_size), channels)


def find_published_source(model):
    """The published weights that a model of the zoo was loaded with, by its scaling layer; or None."""
    scale = next((layer for layer in model.layers if layer.name == "scale"), None)
    name = getattr(scale, "source", "")
    return next((source for source in weights_sources().get(model.name, ()) if source.name == name), None)


def class_numbers(classes, count, *, images=None, class_names=None, model=None, argument="classes"):
    """Class numbers of one or several classes, given as numbers or names.

    Args:
        classes: a number or a name, or several.
        count: number of classes of the model.
        images: number of images; ``classes`` is then one class for all, or one per image.
        class_names: names in order, or False for none; by default the known names of ``model``.
        model: a Keras model, whose name and size tell which class names are known.
        argument: name of ``classes`` in errors.

    Returns:
        An array (n,) of integers; with ``images``, (images,).
    """
    values = [classes] if isinstance(classes, str) or np.ndim(classes) == 0 else classes
    if any(isinstance(name, str) for name in values):
        known_names = resolve_class_names(class_names, count, model) or ()
        values = [
            class_number(name, known_names, count, argument) if isinstance(name, str) else name for name in values
        ]
    numbers = np.asarray(values)
    if images is not None and (numbers.ndim != 1 or len(numbers) not in (1, images)):
        expected = f"one class or one for each of {images} images"
        raise ValueError(f"`{argument}` should be {expected}. Received: {classes!r}")
    if not numbers.size:
        raise ValueError(f"`{argument}` should have at least one class. Received: none")
    if numbers.dtype.kind not in "iu" or numbers.ndim != 1 or numbers.min() < 0 or numbers.max() >= count:
        expected = f"integers from 0 to {count - 1}, or class names"
        raise ValueError(f"`{argument}` should be {expected}. Received: {classes!r}")
    return numbers if images is None else np.broadcast_to(numbers, images).copy()


def class_number(name, known_names, count, argument):
    """The number of a class by its name; an exact match first, then without regard to case and underscores."""
    plain = name.lower().replace("_", " ")
    alike = [number for number, known_name in enumerate(known_names) if known_name.lower().replace("_", " ") == plain]
    if name in known_names or alike:
        return known_names.index(name) if name in known_names else alike[0]
    expected = f"`{argument}` should be a number from 0 to {count - 1}"
    if not known_names:
        raise ValueError(f"{expected}: the class names are unknown. Received: {name!r}")
    raise ValueError(f"{expected}, or a class name. {unknown_name('class', name, known_names)}")


def load_model(path):
    """Load a model file with what the model knows: the class names in it, or beside it, and other facts."""
    model = keras.saving.load_model(path, compile=False)
    for name, data in read_facts(path).items():
        set_fact(model, name, data)
    names = read_class_names(path)
    if names is not None:
        store_class_names(model, names)
    return model


def open_model(model, size=None):
    """Open a model: a Keras model itself, a file, or a network of the zoo with its best weights.

    Args:
        model: a Keras model, a path, or a name in the zoo.
        size: (height, width) of the images, for a network of the zoo; None for that at which its weights were measured.
    """
    if not isinstance(model, str | os.PathLike):
        return model
    if os.path.exists(model):
        return load_model(model)
    from ..zoo.build import build_model

    row = card(str(model))
    shape = None if size is None else (*size_pair(size), row.input_shape[-1])
    return build_model(row.name, weights=default_weights(row.name), input_shape=shape)
