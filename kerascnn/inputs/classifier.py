"""`Classifier`: a model understood once, what it takes, how images become that, and what it gives."""

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property

import keras
import numpy as np

from ..graph.ends import check_channels_last, final, probabilities, scores_of
from ..support.text import unknown
from ..zoo.registry import Source, card, sources
from .class_names import IMAGENET, resolve_class_names
from .resize import INTERPOLATIONS, Preprocessing, check_count, pair

RESIZE, CROP = 256, 224  # where no published weights say otherwise


@dataclass(frozen=True, eq=False)
class Classifier:
    """A Keras model with all that is not in it.

    ``preprocessing`` says how images are resized and cropped, ``preprocess`` makes of a batch of pixels 0..255 what a
    foreign model expects. ``source`` are the published weights that a model of the zoo was loaded with. ``labels`` are
    the names of the classes as a user gave them: None for those that are known, False for none.
    """

    model: keras.Model
    preprocessing: Preprocessing
    source: Source | None = None
    preprocess: Callable | None = None
    labels: object = field(default=None, repr=False)

    @property
    def size(self):
        """(h, w) of its images."""
        return self.preprocessing.size

    @property
    def channels(self):
        """How many channels its images have."""
        return self.preprocessing.channels

    @cached_property
    def end(self):
        """By what it ends: "softmax", "sigmoid", "linear", or "unknown"."""
        return final(self.model)

    def class_names(self, classes):
        """The names of its ``classes``, or None."""
        return resolve_class_names(self.labels, classes, self.model)

    def preprocessing_of(self, images):
        """How the images of a `Batch` are resized and cropped.

        A dataset's are as for training, unless published weights or ImageNet's classes ask for how these are measured.
        """
        measured = self.source or any(tensor.shape[-1] == IMAGENET for tensor in self.model.outputs)
        if images.classes is None or measured:
            return self.preprocessing
        return Preprocessing.to_cover(self.size, self.channels)

    def scores(self, pixels, compiled=False):
        """What the model gives for pixels (N, h, w, C), 0..255; ``compiled`` by a graph, which has to be traced."""
        pixels = pixels if self.preprocess is None else self.preprocess(pixels)
        outputs = self.model.predict_on_batch(pixels) if compiled else self.model(pixels, training=False)
        return keras.ops.convert_to_numpy(scores_of(outputs, self.model))

    def probabilities(self, pixels, compiled=False):
        """Probabilities (N, classes) of the classes, float32."""
        name, scores = self.model.name, self.scores(pixels, compiled)
        if scores.ndim != 2 or (scores.shape[-1] < 2 and self.end != "sigmoid"):
            raise ValueError(f"`model` should give scores (N, classes). Received: {name}, which gives {scores.shape}")
        if not np.isfinite(scores).all():
            raise ValueError(f"`model` should give finite scores. Received: NaN or infinity from {name}")
        return probabilities(scores, self.end)

    def classify(self, images, batch_size, on_progress=None):
        """(probabilities of the images of a `Batch` that can be read, their positions, {name: why not} of others).

        Args:
            images: a `Batch`.
            batch_size: images that go through the model at once.
            on_progress: called as ``on_progress(done, total, what)``; may raise to end the work.
        """
        compiled = len(images) > batch_size  # tracing a deep graph takes longer than a single pass without
        probs, rows, failed = [], [], {}
        for some, pixels in images.chunks(self.preprocessing_of(images), batch_size, failed):
            probs.append(self.probabilities(pixels, compiled))
            rows += some
            if on_progress:
                on_progress(len(rows) + len(failed), len(images), "evaluating")
        images.check_readable(failed)
        return np.concatenate(probs), rows, images.reasons(failed)


def classifier(model, *, labels=None, size=None, resize=None, interpolation=None, preprocess=None):
    """A model as a `Classifier`; `open_model` makes one of a name or a file.

    Args:
        model: a Keras model with one image input.
        labels: names of its classes; False for none.
        size: (h, w) of its images, for a model whose input size is open.
        resize: the short side of an image before the center is cropped, in place of the published one.
        interpolation: "bilinear" or "bicubic", likewise.
        preprocess: makes of a batch (0..255, float32) what the model expects.
    """
    image_input(model)  # says what is wrong with what is no model
    source = published(model)
    crop = source.crop if source else CROP
    *size, channels = input_shape(model, size, crop)
    if interpolation not in (None, *INTERPOLATIONS):
        raise ValueError(unknown("interpolation", interpolation, INTERPOLATIONS))
    keep = "all" if source is None and resize is None else "arrays" if resize is None else "none"
    least = min(size)
    if resize is None:
        resize = round(least * (source.resize if source else RESIZE) / crop)
    elif check_count("resize", resize) < least:
        raise ValueError(f"`resize` should be at least the {least} pixels that are cut out. Received: {resize}")
    interpolation = interpolation or (source.interpolation if source else "bilinear")
    preprocessing = Preprocessing(tuple(size), channels, resize, interpolation, keep)
    return Classifier(model, preprocessing, source, preprocess, labels)


def image_input(model):
    """(height, width, channels) of the one image that a model takes; sizes None where open."""
    if not isinstance(model, keras.Model) or not getattr(model, "inputs", None):
        raise ValueError(f"`model` should be a functional or built Sequential Keras model. Received: {model!r}")
    shapes = [tuple(tensor.shape) for tensor in model.inputs]
    if len(shapes) != 1 or len(shapes[0]) != 4 or shapes[0][-1] is None:
        raise ValueError(f"`model` should have one input (N, H, W, C). Received: {model.name}, with inputs {shapes}")
    check_channels_last(model)
    return shapes[0][1:]


def input_shape(model, size=None, usual=CROP):
    """(h, w, channels) of what a model is given: its own where it has one, else ``size`` or else ``usual``."""
    *own, channels = image_input(model)
    if size is None:
        known = [side for side in own if side is not None] or [usual]
        return (*(side or known[0] for side in own), channels)
    given = (size, size) if isinstance(size, int) else tuple(size)
    if len(given) != 2 or any(
        mine not in (None, check_count("size", side)) for mine, side in zip(own, given, strict=True)
    ):
        raise ValueError(f"`size` should be (h, w) that {model.name} takes, which is {tuple(own)}. Received: {size}")
    return (*given, channels)


def published(model):
    """The published weights that a model of the zoo was loaded with, as its scaling tells; None without."""
    scale = next((layer for layer in model.layers if layer.name == "scale"), None)
    name = getattr(scale, "source", "")
    return next((source for source in sources().get(model.name, ()) if source.name == name), None)


def class_numbers(classes, count, *, images=None, class_names=None, model=None, argument="classes"):
    """The numbers of one or several classes, given as numbers or names.

    Args:
        classes: a number or a name, or several.
        count: how many classes there are.
        images: how many images they are for, each of which then has one: one class for all, or one each.
        class_names: their names in order, or False for none; by default those that are known of ``model``.
        model: a Keras model, whose name may say what its classes are called.
        argument: what errors call the classes.

    Returns:
        An array (n,) of whole numbers; with ``images``, (images,).
    """
    given = [classes] if isinstance(classes, str) or np.ndim(classes) == 0 else classes
    if any(isinstance(each, str) for each in given):
        known = resolve_class_names(class_names, count, model) or ()
        given = [class_number(each, known, count, argument) if isinstance(each, str) else each for each in given]
    numbers = np.asarray(given)
    if images is not None and (numbers.ndim != 1 or len(numbers) not in (1, images)):
        expected = f"one class or one for each of {images} images"
        raise ValueError(f"`{argument}` should be {expected}. Received: {classes!r}")
    if not numbers.size:
        raise ValueError(f"`{argument}` should have at least one class. Received: none")
    if numbers.dtype.kind not in "iu" or numbers.ndim != 1 or numbers.min() < 0 or numbers.max() >= count:
        expected = f"whole numbers from 0 to {count - 1}, or names"
        raise ValueError(f"`{argument}` should be {expected}. Received: {classes!r}")
    return numbers if images is None else np.broadcast_to(numbers, images).copy()


def class_number(name, known, count, argument):
    """The number of a class by its name, whose capitals and underscores do not matter where they need not."""
    plain = name.lower().replace("_", " ")
    alike = [number for number, each in enumerate(known) if each.lower().replace("_", " ") == plain]
    if name in known or alike:
        return known.index(name) if name in known else alike[0]
    expected = f"`{argument}` should be a number from 0 to {count - 1}"
    if not known:
        raise ValueError(f"{expected}: the names of these classes are not known. Received: {name!r}")
    raise ValueError(f"{expected}, or a class's name. {unknown('class', name, known)}")


def open_model(model, size=None):
    """A model: itself, the one in a file, or of the zoo by its name with the best weights there are.

    ``size`` (h, w) is that of the images of a network of the zoo, if not its own.
    """
    if not isinstance(model, str | os.PathLike):
        return model
    if os.path.exists(model):
        return keras.saving.load_model(model, compile=False)
    from ..zoo.build import build_model

    row = card(str(model))
    known = sources().get(row.name, ())
    weights = None
    if known:
        weights = known[0].name if known[0].shipped else "imagenet"
    shape = None if size is None else (*pair(size), row.input_shape[-1])
    return build_model(row.name, weights=weights, input_shape=shape)
