"""What every method of attribution begins with, a score of images, and ends with, values of their pixels."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from keras import ops

from ...inputs.class_names import class_names
from ...inputs.classifier import class_numbers
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

    Nothing is normalized: that is drawing. ``scores`` (N,) are those of the images themselves, ``classes`` what was
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
        """(N, H, W): over the colors the largest |value| (``reduce`` "max", unsigned) or the sum."""
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
    on_progress: Callable | None = None

    def ask(self, question):
        """The answers to a question about the images."""
        return ask(
            self.probe, question, self.shown.pixels, self.shown.others, batch=self.batch, on_progress=self.on_progress
        )

    def scores(self):
        """The score of each image."""
        read = lambda run, score: {"scores": score}  # noqa: E731
        return self.ask(Question(("scores",), read, self.score, backward=False))["scores"]

    def attribution(self, values, method, *, reduce="sum", scores=None, rule=None, facts=None):
        """What was found, with what was asked."""
        return Attribution(
            values=values,
            images=self.shown.pixels,
            scores=self.scores() if scores is None else scores,
            method=method,
            score=str(self.score),
            names=self.shown.names,
            classes=self.classes,
            labels=self.labels,
            reduce=reduce,
            facts=facts or {},
            count=self.probe.output.shape[-1],
            rule=rule,
            others=self.shown.others,
        )


def aim(model, images, classes=None, *, score=None, labels=None, batch=None, on_progress=None):
    """The `Aim` at classes, by default those predicted, or at any score."""
    asked = probe(model)
    shown = pictures(asked, images)
    if score is not None and classes is not None:
        raise ValueError("`classes` and `score` say the same thing: give one of them")
    score = classes if isinstance(classes, Score) else score
    if score is not None:
        return Aim(asked, shown, as_score(score), None, None, batch, on_progress)
    classes = classes_of_images(asked, shown, classes, labels, batch)
    return Aim(asked, shown, logit(np.array(classes)), classes, labels, batch, on_progress)


def classes_of_images(asked, shown, classes=None, labels=None, batch=None):
    """The number of a class for each image: one for all, or one each; by default the likeliest."""
    if classes is None:
        return tuple(predicted(asked, shown, batch).argmax(-1).tolist())
    count = max(asked.output.shape[-1] or 2, 2)
    return tuple(class_numbers(classes, count, images=len(shown), class_names=labels, model=asked.model).tolist())


def predicted(asked, shown, batch=None):
    """The probabilities of each image, (N, classes)."""
    return by_class(read(asked, shown, [PROBS], batch)[PROBS])


def by_class(probs):
    """(N, classes) of what a network says: the mean of a map, both sides of a single sigmoid."""
    probs = over_places(probs)
    if probs.shape[-1] > 1:
        return probs
    other = np.where(probs == 0.5, np.nextafter(probs, 0, dtype=probs.dtype), 1 - probs)  # at a half it says class 1
    return np.concatenate([other, probs], 1)


def over_places(outputs):
    """(N, classes): the mean of outputs that are maps."""
    return outputs.reshape(len(outputs), -1, outputs.shape[-1]).mean(1)


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
