"""Photos to classes: `predict` decodes, cuts and classifies, with any Keras model that takes images."""

import os
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from typing import NamedTuple

import keras
import numpy as np
from PIL import Image

from ..graph.ends import final, image_input, probabilities, scores_of
from ..inputs.class_names import labels as names_of
from ..inputs.decode import ImageError, decode, quiet, unpack
from ..inputs.gather import gather
from ..inputs.resize import INTERPOLATIONS, fit, to_channels
from ..support.display import Tabled
from ..support.text import unknown
from ..zoo.registry import sources

RESIZE, CROP = 256, 224  # where no published weights say otherwise
THREADS = min(4, os.cpu_count() or 1)  # decoding leaves Python's lock, so some help


class Guess(NamedTuple):
    """One class for an image; ``label`` is None where the class has no name."""

    number: int
    label: str | None
    probability: float


@dataclass(frozen=True, eq=False)
class Predictions(Tabled):
    """Probabilities (N, classes), float32, of the images called ``names``; ``failed`` says why others are missing."""

    probs: np.ndarray = field(repr=False)
    names: tuple
    labels: tuple | None = field(repr=False)
    failed: Mapping = field(default_factory=dict)
    best: int = 5  # classes that ``top`` and ``table`` give of each image

    def top(self, k=None):
        """The ``k`` likeliest classes of each image, as tuples of ``Guess``."""
        k = self.best if k is None else count("k", k)
        order = np.argsort(-self.probs, axis=-1, kind="stable")[:, :k]
        return tuple(
            tuple(Guess(int(i), self.labels[i] if self.labels else None, float(row[i])) for i in numbers)
            for row, numbers in zip(self.probs, order, strict=True)
        )

    @property
    def table(self):
        """A DataFrame with a row for each guess: image, rank, class, label, probability."""
        import pandas as pd

        rows = [
            (name, rank, *guess)
            for name, guesses in zip(self.names, self.top(), strict=True)
            for rank, guess in enumerate(guesses, start=1)
        ]
        return pd.DataFrame(rows, columns=["image", "rank", "class", "label", "probability"])

    def __str__(self):
        lines = []
        for name, guesses in zip(self.names, self.top(), strict=True):
            lines += [name, *(f"  {g.probability:7.2%}  {g.label or f'class {g.number}'}" for g in guesses)]
        return "\n".join(lines + [f"{name}: no image, {reason}" for name, reason in self.failed.items()])


@dataclass(frozen=True)
class Cut:
    """How images become a model's input. ``keep``: what has the right size already is taken as it is."""

    size: tuple  # (h, w)
    channels: int
    resize: int
    interpolation: str
    keep: str  # "all", "arrays" or "none"

    def __call__(self, image):
        """One image, whatever it is given as, as float32 (h, w, channels) of its own."""
        array = isinstance(image, np.ndarray)
        if not array:
            image = unpack(image, "the image") if isinstance(image, Image.Image) else decode(image)
        image = to_channels(image, self.channels)
        keep = self.keep == "all" or (array and self.keep == "arrays")
        if not keep or image.shape[:2] != self.size:
            image = fit(image, self.size, resize=self.resize, interpolation=self.interpolation)
        return np.array(image, np.float32)


def predict(
    model,
    images,
    *,
    top=5,
    labels=None,
    size=None,
    resize=None,
    interpolation=None,
    batch_size=32,
    preprocess: Callable = None,
):
    """What a classifier sees in images: ``Predictions``.

    ``images`` are a path, a folder, a list of these, Pillow images, or arrays (H, W, 3) or (N, H, W, 3) of pixels
    0..255. Photos are cut as the model's weights were measured when published: the short side resized, then the centre
    (``fit``), in the same ratio at another input size; where nothing is published, 256 to 224 and bilinear. Taken as
    they are: arrays of the model's size, and photos of it where nothing is published or asked for. ``size`` (h, w) is
    for models whose input size is open.

    Any Keras model with one image input will do; ``preprocess`` makes of a batch (0..255, float32) what it expects,
    which kerascnn's own do by themselves. Scores that are no probabilities go through a softmax (``outputs``).
    ``labels`` names the classes: ImageNet's for 1000 of them and CIFAR-10's where the model's name says so, if not
    given; False for none. A single image that cannot be read raises ``ImageError``; of several, it is in ``.failed``.
    """
    count("top", top)
    count("batch_size", batch_size)
    cut, end = cutting(model, resize, interpolation, size), final(model)
    given = gather(images)
    if cut.channels not in (1, 3) and not all(isinstance(image, np.ndarray) for _, image in given):
        raise ValueError(f"`images` should be arrays with {cut.channels} channels for {model.name}. Received: photos")
    # a graph pays from the second batch on; tracing a deep one takes longer than a single pass without
    ask = model.predict_on_batch if len(given) > batch_size else partial(model, training=False)
    ask = ask if preprocess is None else lambda batch, ask=ask: ask(preprocess(batch))
    names, errors, probs = [], {}, []
    images = readable(prepared(given, cut, batch_size), names, errors)
    while batch := list(islice(images, batch_size)):
        probs.append(classified(model, ask(np.stack(batch)), end))
    failed = {name: error.reason for name, error in errors.items()}
    if not names:
        raise none_readable(given, errors, failed)
    probs = np.concatenate(probs)
    return Predictions(probs, tuple(names), named(labels, probs.shape[-1], model), failed, top)


def none_readable(given, errors, failed):
    """The error where no image is left."""
    name, reason = next(iter(failed.items()))
    if len(given) == 1:
        return errors[name]
    return ImageError("`images`", f"{len(given)} that cannot be read, the first {name}: {reason}", "be images")


def cutting(model, resize=None, interpolation=None, size=None):
    """The ``Cut`` for a model: as its weights were published, unless said otherwise."""
    image_input(model)  # says what is wrong with what is no model
    source = published(model)
    crop = source.crop if source else CROP
    *size, channels = sized(model, size, crop)
    size = tuple(size)
    if interpolation not in (None, *INTERPOLATIONS):
        raise ValueError(unknown("interpolation", interpolation, INTERPOLATIONS))
    keep = "all" if source is None and resize is None else "arrays" if resize is None else "none"
    least = min(size)
    if resize is None:
        resize = round(least * (source.resize if source else RESIZE) / crop)
    elif count("resize", resize) < least:
        raise ValueError(f"`resize` should be at least the {least} pixels that are cut out. Received: {resize}")
    return Cut(size, channels, resize, interpolation or (source.interpolation if source else "bilinear"), keep)


def sized(model, size, usual):
    """(h, w, channels) of what a model is given: its own where it has one, else ``size`` or else ``usual``."""
    *own, channels = image_input(model)
    if size is None:
        known = [side for side in own if side is not None] or [usual]
        return (*(side or known[0] for side in own), channels)
    given = (size, size) if isinstance(size, int) else tuple(size)
    if len(given) != 2 or any(mine not in (None, count("size", side)) for mine, side in zip(own, given, strict=True)):
        raise ValueError(f"`size` should be (h, w) that {model.name} takes, which is {tuple(own)}. Received: {size}")
    return (*given, channels)


def published(model):
    """The published weights that a model of the zoo was loaded with, as its scaling tells; None without."""
    scale = next((layer for layer in model.layers if layer.name == "scale"), None)
    name = getattr(scale, "source", "")
    return next((source for source in sources().get(model.name, ()) if source.name == name), None)


def prepared(given, cut, ahead):
    """(name, array or ImageError) of each image in order, at most ``ahead`` of them waiting."""
    pool = ThreadPoolExecutor(THREADS)
    waiting = deque()
    try:
        with quiet():
            for name, image in given:
                waiting.append((name, pool.submit(attempt, cut, image)))
                if len(waiting) > ahead:
                    name, done = waiting.popleft()
                    yield name, done.result()
            for name, done in waiting:
                yield name, done.result()
    finally:
        pool.shutdown(cancel_futures=True)


def readable(pairs, names, errors):
    """The arrays among ``prepared`` ones; their names go into ``names``, what is no array into ``errors``."""
    for name, image in pairs:
        if isinstance(image, ImageError):
            errors[name] = image
        else:
            names.append(name)
            yield image


def attempt(cut, image):
    """The image cut, or why it is none."""
    try:
        return cut(image)
    except ImageError as error:
        return error


def classified(model, outputs, end):
    """Probabilities from what a model gives for a batch."""
    scores = keras.ops.convert_to_numpy(scores_of(outputs, model))
    if scores.ndim != 2 or (scores.shape[-1] < 2 and end != "sigmoid"):
        raise ValueError(f"`model` should give scores (N, classes). Received: {model.name}, which gives {scores.shape}")
    if not np.isfinite(scores).all():
        raise ValueError(f"`model` should give finite scores. Received: NaN or infinity from {model.name}")
    return probabilities(scores, end)


def named(labels, classes, model):
    """The names of a model's classes, or None."""
    if labels is False:
        return None
    if labels is None:
        return names_of(classes) if classes == 1000 or (classes == 10 and "cifar10" in model.name) else None
    if isinstance(labels, str) or len(labels) != classes:
        came = repr(labels) if isinstance(labels, str) else f"{len(labels)} of them"
        raise ValueError(f"`labels` should have a name for each of the {classes} classes. Received: {came}")
    return tuple(map(str, labels))


def count(argument, number):
    """The number, if it is a whole one of at least 1."""
    if not isinstance(number, int) or isinstance(number, bool) or number < 1:
        raise ValueError(f"`{argument}` should be a whole number of at least 1. Received: {number!r}")
    return number
