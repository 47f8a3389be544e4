"""What attribution methods share: the target they start from and the `Attribution` they return."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from keras import ops

from ...inputs.class_names import published_class_names, resolve_class_names
from ...inputs.classifier import class_numbers
from ...support.display import FigureResult
from ...support.text import pluralize
from ..engine.lens import lens
from ..engine.query import Query, pictures, read_activations, run_query
from ..engine.scores import PROBS, Score, as_score, logit

REDUCE = {  # values (N, H, W, C) -> map (N, H, W)
    "max": lambda values: np.abs(values).max(-1),
    "sum": lambda values: values.sum(-1),
}


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class Attribution(FigureResult):
    """Values that a method assigns to the pixels of images, and their ``map``.

    Values are signed and not normalized; only figures scale them.

    Attributes:
        values: (N, H, W, C) or (N, H, W, 1), signed.
        images: (N, H, W, C), the pixels as the model took them.
        scores: (N,), the score of each image.
        method: name of the method.
        score: what was explained, in words.
        names: names of the images.
        classes: the class explained for each image; None where a score was given.
        class_names: names of all classes, or None.
        reduce: how ``map`` reduces the colors: "sum" (signed) or "max" (largest absolute value).
        metadata: what the method reports besides, such as the completeness of integrated gradients.
        class_count: number of classes of the model.
        rule: rule for the signal at ReLUs, or None; such signals are drawn as pictures.
        others: values of the model's other inputs.
    """

    values: np.ndarray
    images: np.ndarray
    scores: np.ndarray
    method: str
    score: str
    names: tuple
    classes: tuple | None = None
    class_names: tuple | None = None
    reduce: str = "sum"
    metadata: dict = field(default_factory=dict)
    class_count: int | None = None
    rule: str | None = None
    others: dict = field(default_factory=dict)

    def __len__(self):
        return len(self.values)

    @property
    def map(self):
        """(N, H, W): the sum, or the largest |value|, over the colors."""
        return REDUCE[self.reduce](self.values)

    @property
    def is_signed(self):
        """Whether the map has negative values."""
        return self.reduce == "sum" and bool((self.map < 0).any())

    def title(self, i):
        """Class or score of image ``i``, with its value."""
        if self.classes is None:
            return f"{self.score} = {self.scores[i]:.3g}"
        return f"{self.class_name(self.classes[i])} ({self.scores[i]:.3g})"

    def class_name(self, number):
        """Name of a class."""
        return class_label(number, self.class_count, self.class_names)

    def __str__(self):
        height, width = self.images.shape[1:3]
        lines = [f"{self.method}, {pluralize(len(self), 'image')} of {height}x{width}"]
        lines += [f"  {name}: {self.title(i)}" for i, name in enumerate(self.names)]
        return "\n".join(lines)

    def plot(self):
        """Draw each image, its map, and the map over the image."""
        from .figures import draw_attribution

        return draw_attribution(self)


def class_label(number, count, class_names=None):
    """What class ``number`` of ``count`` is called; ImageNet's names are looked up where there are a thousand."""
    class_names = published_class_names(1000) if class_names is None and count == 1000 else class_names
    return class_names[number] if class_names else f"class {number}"


@dataclass(frozen=True, eq=False)
class Target:
    """A score of images to explain: what every method starts from."""

    lens: object
    inputs: object
    score: Score
    classes: tuple | None
    class_names: tuple | None
    batch_size: int | None = None
    on_progress: Callable | None = None

    def run_query(self, question):
        """The answers to a query about the images."""
        return run_query(
            self.lens,
            question,
            self.inputs.pixels,
            self.inputs.others,
            batch_size=self.batch_size,
            on_progress=self.on_progress,
        )

    def scores(self):
        """The score of each image."""
        read = lambda run, score: {"scores": score}  # noqa: E731
        return self.run_query(Query(("scores",), read, self.score, backward=False))["scores"]

    def attribution(self, values, method, *, reduce="sum", scores=None, rule=None, metadata=None):
        """An `Attribution` of these images."""
        return Attribution(
            values=values,
            images=self.inputs.pixels,
            scores=self.scores() if scores is None else scores,
            method=method,
            score=str(self.score),
            names=self.inputs.names,
            classes=self.classes,
            class_names=self.class_names,
            reduce=reduce,
            metadata=metadata or {},
            class_count=self.lens.output.shape[-1],
            rule=rule,
            others=self.inputs.others,
        )


def make_target(model, images, classes=None, *, score=None, class_names=None, batch_size=None, on_progress=None):
    """The `Target` at classes, by default those predicted, or at any score."""
    view = lens(model)
    inputs = pictures(view, images)
    if score is not None and classes is not None:
        raise ValueError("`classes` and `score` are alternatives: pass only one of them")
    score = classes if isinstance(classes, Score) else score
    if score is not None:
        return Target(
            lens=view,
            inputs=inputs,
            score=as_score(score),
            classes=None,
            class_names=None,
            batch_size=batch_size,
            on_progress=on_progress,
        )
    if class_names is None:
        class_names = resolve_class_names(None, max(view.output.shape[-1] or 2, 2), view.model)
    classes = resolve_classes(view, inputs, classes, class_names, batch_size)
    return Target(
        lens=view,
        inputs=inputs,
        score=logit(np.array(classes)),
        classes=classes,
        class_names=class_names,
        batch_size=batch_size,
        on_progress=on_progress,
    )


def resolve_classes(lens, inputs, classes=None, class_names=None, batch_size=None):
    """The class number of each image, by default the predicted class."""
    if classes is None:
        return tuple(predict_probabilities(lens, inputs, batch_size).argmax(-1).tolist())
    count = max(lens.output.shape[-1] or 2, 2)
    return tuple(class_numbers(classes, count, images=len(inputs), class_names=class_names, model=lens.model).tolist())


def predict_probabilities(lens, inputs, batch_size=None):
    """The probabilities of each image, (N, classes)."""
    return class_probabilities(read_activations(lens, inputs, [PROBS], batch_size)[PROBS])


def class_probabilities(probs):
    """(N, classes) of what a network says: the mean of a map, both sides of a single sigmoid."""
    probs = mean_over_places(probs)
    if probs.shape[-1] > 1:
        return probs
    other = np.where(probs == 0.5, np.nextafter(probs, 0, dtype=probs.dtype), 1 - probs)  # at a half it says class 1
    return np.concatenate([other, probs], 1)


def mean_over_places(outputs):
    """(N, classes): the mean of outputs that are maps."""
    return outputs.reshape(len(outputs), -1, outputs.shape[-1]).mean(1)


class AttributionMaps(NamedTuple):
    """``maps`` (N, H, W) of ``images`` (N, H, W, C), pixels 0..255, called ``names``."""

    maps: np.ndarray
    images: np.ndarray
    names: tuple


def as_maps(attribution, images=None):
    """`AttributionMaps` of an attribution; with ``images`` also of arrays (N, H, W), or (H, W) for one image."""
    if images is None and not (hasattr(attribution, "map") and hasattr(attribution, "images")):
        came = type(attribution).__name__
        raise ValueError(
            f"`attribution` should be an `Attribution`, or an array of maps together with `images`. Received: {came}"
        )
    maps = np.asarray(getattr(attribution, "map", attribution), np.float32)
    images = np.asarray(attribution.images if images is None else images, np.float32)
    if maps.ndim == 2 and images.ndim == 3:
        maps, images = maps[None], images[None]
    if maps.ndim != 3 or images.ndim != 4 or maps.shape != images.shape[:3] or not maps.size:
        came = f"maps {maps.shape}, images {images.shape}"
        raise ValueError(f"`attribution` should have maps (N, H, W) for images (N, H, W, C). Received: {came}")
    if not np.isfinite(maps).all() or not np.isfinite(images).all():
        raise ValueError("`attribution` should have finite maps and images. Received: NaN or infinity")
    names = getattr(attribution, "names", None) or tuple(f"image {i}" for i in range(len(maps)))
    return AttributionMaps(maps, images, tuple(names))


def channel_peaks(lens, inputs, layer):
    """The largest activation of each channel (N, C), and its place (N, C, 2), the first of equal ones.

    Channels of a layer without places have (N, C, 0).
    """
    question = Query(("peaks", layer), lambda run, score: locate_peaks(run[layer]), backward=False)
    found = run_query(lens, question, inputs.pixels, inputs.others)
    return found["largest"], found["places"]


def locate_peaks(maps):
    """What is read of a batch of activations (N, .., C)."""
    flat = ops.reshape(maps, (ops.shape(maps)[0], -1, maps.shape[-1]))
    first = ops.cast(ops.argmax(flat, 1), "int32")
    width = ops.shape(maps)[2] if len(maps.shape) == 4 else None
    places = ops.stack([first // width, first % width], -1) if width is not None else first[..., None][..., :0]
    return {"largest": ops.max(flat, 1), "places": places}
