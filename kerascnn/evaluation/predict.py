"""Photos to classes: `predict` decodes, crops and classifies, with any Keras model that takes images."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from ..inputs.batch import batch_of
from ..inputs.classifier import classifier
from ..inputs.resize import check_count
from ..support.display import Tabled


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
        k = self.best if k is None else check_count("k", k)
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
    0..255. Photos are cut as the model's weights were measured when published: the short side resized, then the center
    (``fit``), in the same ratio at another input size; where nothing is published, 256 to 224 and bilinear. Taken as
    they are: arrays of the model's size, and photos of it where nothing is published or asked for. ``size`` (h, w) is
    for models whose input size is open.

    Any Keras model with one image input will do; ``preprocess`` makes of a batch (0..255, float32) what it expects,
    which kerascnn's own do by themselves. Scores that are no probabilities go through a softmax (``graph.ends``).
    ``labels`` names the classes: ImageNet's for 1000 of them and CIFAR-10's where the model's name says so, if not
    given; False for none. A single image that cannot be read raises ``ImageError``; of several, it is in ``.failed``.
    """
    check_count("top", top)
    check_count("batch_size", batch_size)
    network = classifier(
        model, labels=labels, size=size, resize=resize, interpolation=interpolation, preprocess=preprocess
    )
    images = batch_of(images)
    if network.channels not in (1, 3) and not all(isinstance(image, np.ndarray) for image in images.items):
        text = f"`images` should be arrays with {network.channels} channels for {network.model.name}. Received: photos"
        raise ValueError(text)
    probs, rows, failed = network.classify(images, batch_size)
    names = tuple(images.names[row] for row in rows)
    return Predictions(probs, names, network.class_names(probs.shape[-1]), failed, top)
