"""What every method of attribution begins with, a score of images, and ends with, values of their pixels."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from keras import ops

from ...anatomy.receptive_field import receptive_field
from ...inputs.class_names import class_names
from ...support.display import Drawn
from ..engine.lens import probe
from ..engine.query import Question, ask, pictures, read
from ..engine.scores import PROBS, Score, as_score, logit

REDUCE = {  # values (N, H, W, C) -> map (N, H, W)
    "max": lambda values: np.abs(values).max(-1),
    "sum": lambda values: values.sum(-1),
}


@dataclass(frozen=True, eq=False)
class Attribution(Drawn):
    """What a method says of each pixel: ``values`` (N, H, W, C or 1), signed, and their ``map`` (N, H, W).

    Nothing is normalised: that is drawing. ``scores`` (N,) are those of the images themselves, ``classes`` what was
    asked for, or None; ``facts`` holds what a method reports beside, such as integrated gradients' completeness.
    """

    values: np.ndarray = field(repr=False)
    images: np.ndarray = field(repr=False)
    scores: np.ndarray
    method: str
    score: str
    names: tuple
    classes: tuple | None = None
    labels: tuple | None = field(default=None, repr=False)
    reduce: str = "sum"
    facts: dict = field(default_factory=dict, repr=False)
    count: int | None = field(default=None, repr=False)  # of all classes
    rule: str | None = None  # by which the signal passed ReLUs; such signals are looked at as pictures
    others: dict = field(default_factory=dict, repr=False)  # what was given to a model's other inputs

    def __len__(self):
        return len(self.values)

    @property
    def map(self):
        """(N, H, W): over the colours the largest |value| (``reduce`` "max", unsigned) or the sum."""
        return REDUCE[self.reduce](self.values)

    @property
    def signed(self):
        """Whether the map says for and against, not only how much."""
        return self.reduce == "sum" and bool((self.map < 0).any())

    def title(self, i):
        """What image ``i`` was asked, in words."""
        if self.classes is None:
            return f"{self.score} = {self.scores[i]:.3g}"
        return f"{self.label(self.classes[i])} ({self.scores[i]:.3g})"

    def label(self, number):
        """What a class is called."""
        return label_of(number, self.count, self.labels)

    def plot(self):
        """Image, map, and the map laid over the image, a row an image."""
        from .figures import draw_attribution

        return draw_attribution(self)


def label_of(number, count, labels=None):
    """What class ``number`` of ``count`` is called; ImageNet's names are looked up where there are a thousand."""
    labels = class_names(1000) if labels is None and count == 1000 else labels
    return labels[number] if labels else f"class {number}"


@dataclass(frozen=True, eq=False)
class Aim:
    """What is asked of which images: what every method begins with."""

    probe: object
    shown: object
    score: Score
    classes: tuple | None
    labels: tuple | None
    batch: int | None = None
    tell: Callable | None = None

    def ask(self, question):
        """The answers to a question about the images."""
        return ask(self.probe, question, self.shown.pixels, self.shown.others, batch=self.batch, tell=self.tell)

    def scores(self):
        """The score of each image."""
        read = lambda run, score: {"scores": score}  # noqa: E731
        return self.ask(Question(("scores",), read, self.score, backward=False))["scores"]

    def attribution(self, values, method, reduce="sum", scores=None):
        """What was found, with what was asked."""
        scores = self.scores() if scores is None else scores
        shown, count = self.shown, self.probe.output.shape[-1]
        asked = str(self.score), shown.names, self.classes, self.labels
        return Attribution(values, shown.pixels, scores, method, *asked, reduce, count=count, others=shown.others)


def aim(model, images, classes=None, *, score=None, labels=None, batch=None, tell=None):
    """The `Aim` at classes, by default those predicted, or at any score."""
    asked = probe(model)
    shown = pictures(asked, images)
    if not len(shown):
        raise ValueError("`images` should have at least one image. Received: none")
    if score is not None and classes is not None:
        raise ValueError("`classes` and `score` say the same thing: give one of them")
    if score is not None or isinstance(classes, Score):
        return Aim(asked, shown, as_score(classes if score is None else score), None, None, batch, tell)
    count = asked.output.shape[-1]
    classes = likeliest(asked, shown, batch) if classes is None else numbers(classes, shown, count)
    return Aim(asked, shown, logit(np.array(classes)), classes, labels, batch, tell)


def numbers(classes, shown, count):
    """A class for each image, as they were given: one for all, or one each."""
    classes = np.asarray(classes)
    if classes.ndim > 1 or (classes.ndim == 1 and len(classes) not in (1, len(shown))):
        raise ValueError(f"`classes` should be one class or one for each of {len(shown)} images. Received: {classes}")
    if classes.dtype.kind not in "iu" or (classes < 0).any() or (classes >= max(count or 2, 2)).any():
        raise ValueError(f"`classes` should be whole numbers from 0 to {max(count or 2, 2) - 1}. Received: {classes}")
    return tuple(np.broadcast_to(classes, len(shown)).tolist())


def likeliest(asked, shown, batch=None):
    """The class that a network finds likeliest for each image."""
    return tuple(predicted(asked, shown, batch).argmax(-1).tolist())


def predicted(asked, shown, batch=None):
    """The probabilities of each image, (N, classes)."""
    return by_class(read(asked, shown, [PROBS], batch)[PROBS])


def by_class(probs):
    """(N, classes) of what a network says: the mean of a map, both sides of a single sigmoid."""
    probs = probs.reshape(len(probs), -1, probs.shape[-1]).mean(1)
    if probs.shape[-1] > 1:
        return probs
    other = np.where(probs == 0.5, np.nextafter(probs, 0, dtype=probs.dtype), 1 - probs)  # at a half it says class 1
    return np.concatenate([other, probs], 1)


class Maps(NamedTuple):
    """``maps`` (N, H, W) of ``images`` (N, H, W, C), pixels 0..255, called ``names``."""

    maps: np.ndarray
    images: np.ndarray
    names: tuple


def maps_of(attribution, images=None):
    """`Maps` of an attribution; with ``images``, ``attribution`` may be arrays (N, H, W), or (H, W) for one image."""
    if images is None and not (hasattr(attribution, "map") and hasattr(attribution, "images")):
        came = type(attribution).__name__
        raise ValueError(f"`attribution` should have a map and images, or be maps with `images`. Received: {came}")
    maps = np.asarray(getattr(attribution, "map", attribution), np.float32)
    images = np.asarray(attribution.images if images is None else images, np.float32)
    if maps.ndim == 2 and images.ndim == 3:
        maps, images = maps[None], images[None]
    if maps.ndim != 3 or images.ndim != 4 or maps.shape != images.shape[:3] or not maps.size:
        came = f"maps {maps.shape}, images {images.shape}"
        raise ValueError(f"`attribution` should have maps (N, H, W) of images (N, H, W, C). Received: {came}")
    if not np.isfinite(maps).all() or not np.isfinite(images).all():
        raise ValueError("`attribution` should have finite maps and images. Received: NaN or infinity")
    names = getattr(attribution, "names", None) or tuple(f"image {i}" for i in range(len(maps)))
    return Maps(maps, images, tuple(names))


def peaks(asked, shown, layer):
    """The largest activation of each channel (N, C), and its place (N, C, 2), the first of equal ones.

    Channels of a layer without places have (N, C, 0).
    """
    question = Question(("peaks", layer), lambda run, score: largest(run[layer]), backward=False)
    found = ask(asked, question, shown.pixels, shown.others)
    return found["largest"], found["places"]


def largest(maps):
    """What is read of a batch of activations (N, .., C)."""
    flat = ops.reshape(maps, (ops.shape(maps)[0], -1, maps.shape[-1]))
    first = ops.cast(ops.argmax(flat, 1), "int32")
    width = ops.shape(maps)[2] if len(maps.shape) == 4 else None
    places = ops.stack([first // width, first % width], -1) if width is not None else first[..., None][..., :0]
    return {"largest": ops.max(flat, 1), "places": places}


def strongest(asked, shown, layer, top):
    """The ``top`` channels of a layer for each image by their largest activation, (N, top)."""
    return order(peaks(asked, shown, layer)[0], layer, top)


def order(strengths, layer, top):
    """The ``top`` largest of each row, the first of equal ones."""
    size = strengths.shape[-1]
    if not 1 <= top <= size:
        raise ValueError(f"`top` should be from 1 to the {size} channels of {layer}. Received: {top}")
    return np.argsort(-strengths, axis=-1, kind="stable")[:, :top]


def named_units(unit, strengths, layer):
    """The same channels for each image, (N, units)."""
    units = np.atleast_1d(unit)
    if units.ndim != 1 or units.dtype.kind not in "iu" or not ((units >= 0) & (units < strengths.shape[-1])).all():
        raise ValueError(
            f"`unit` should be from 0 to {strengths.shape[-1] - 1}, a channel of {layer}. Received: {unit}"
        )
    return np.repeat(units[None], len(strengths), axis=0)


def fields(asked, shown, layer, places):
    """(top, left, bottom, right) of what units at ``places`` see, bottom and right excluded, (N, 4).

    They may lie outside the image; the whole image where the receptive field is not known.
    """
    size = shown.pixels.shape[1:]
    shape = size if None in asked.shape else None
    try:
        field = receptive_field(asked.model, layer, asked.input, input_shape=shape)
        return np.array([field.box(tuple(place) if len(place) else None) for place in places])
    except ValueError:
        return np.tile([0, 0, *size[:2]], (len(places), 1))
