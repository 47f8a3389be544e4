"""Classification of image files: decode, resize, crop and predict."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from ..inputs.batch import as_batch
from ..inputs.classifier import classifier
from ..support.checks import check_integer
from ..support.display import TableResult
from ..support.types import ClassNames, Images, Model, Size


class Guess(NamedTuple):
    """A class predicted for an image; ``label`` is its name, or None."""

    number: int
    label: str | None
    probability: float


@dataclass(frozen=True, eq=False)
class Predictions(TableResult):
    """Predictions of a classifier.

    Attributes:
        probs: probabilities (N, classes), float32.
        names: names of the images.
        class_names: names of the classes, or None.
        failed: the reason for each image that could not be read.
        best: number of classes per image in `top` and `table`.
    """

    probs: np.ndarray = field(repr=False)
    names: tuple
    class_names: tuple | None = field(repr=False)
    failed: Mapping = field(default_factory=dict)
    best: int = 5  # classes that ``top`` and ``table`` give of each image

    def top(self, k=None):
        """The ``k`` most probable classes of each image, as tuples of ``Guess``."""
        k = self.best if k is None else k
        check_integer(k=k)
        order = np.argsort(-self.probs, axis=-1, kind="stable")[:, :k]
        return tuple(
            tuple(Guess(int(i), self.class_names[i] if self.class_names else None, float(row[i])) for i in numbers)
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
        return "\n".join(lines + [f"{name}: not an image, {reason}" for name, reason in self.failed.items()])


def predict(
    model: Model,
    images: Images,
    *,
    top: int = 5,
    class_names: ClassNames | None = None,
    size: Size | None = None,
    resize: int | None = None,
    interpolation: str | None = None,
    batch_size: int = 32,
    preprocess: Callable | None = None,
) -> Predictions:
    """Classify images with any Keras model that has one image input.

    Photos are resized and cropped as for the published weights: the short side is resized, then the center cropped, in
    the same ratio at another input size; without published weights, 256 to 224 and bilinear. Arrays of the input size
    are used without resizing, and so are photos if nothing is published or asked for. Scores that are not
    probabilities go through a softmax.

    Args:
        model: a Keras classifier.
        images: path, folder, Pillow image, array (H, W, 3) or (N, H, W, 3) of pixels 0 to 255, or a list of these. If
            a single image cannot be read, `ImageError` is raised; of several, it is listed in `.failed`.
        top: number of classes per image in the table.
        class_names: names of the classes; by default those of ImageNet for 1000 classes, and those of CIFAR-10 if the
            name of the model says so. False for none.
        size: (height, width) of the input, for models with an open input size.
        resize: length of the short side before the center crop, in pixels.
        interpolation: "bilinear" or "bicubic".
        batch_size: images per batch.
        preprocess: function from a batch of pixels, 0 to 255, to what a foreign model expects; the models of kerascnn
            need none.

    Returns:
        `Predictions`, with the probabilities of all classes.
    """
    check_integer(top=top, batch_size=batch_size)
    network = classifier(
        model, class_names=class_names, size=size, resize=resize, interpolation=interpolation, preprocess=preprocess
    )
    batch = as_batch(images)
    if network.channels not in (1, 3) and not all(isinstance(image, np.ndarray) for image in batch.items):
        text = f"`images` should be arrays with {network.channels} channels for {network.model.name}."
        raise ValueError(f"{text} Received: image files")
    probs, rows, failed = network.classify(batch, batch_size)
    names = tuple(batch.names[row] for row in rows)
    return Predictions(probs, names, network.names_for(probs.shape[-1]), failed, top)
