"""Classification of image files: decode, resize, crop and predict."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from ..inputs.classifier import classifier
from ..support.checks import check_integer
from ..support.display import TableResult
from ..support.text import pluralize
from ..support.types import ClassNames, Images, Model, Size


class Guess(NamedTuple):
    """A class predicted for an image.

    Attributes:
        class_number: number of the class.
        class_name: name of the class, or None.
        probability: probability of the class.
    """

    class_number: int
    class_name: str | None
    probability: float

    def __str__(self):
        return f"{self.probability:7.2%}  {self.class_name or f'class {self.class_number}'}"


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Predictions(TableResult):
    """Predictions of a classifier for images without labels.

    Attributes:
        probs: probabilities (N, classes), float32.
        names: names of the images.
        class_names: names of the classes, or None.
        failed: {image: reason} for images that could not be read.
        top_k: number of classes for each image in `top()` and `table`.
    """

    probs: np.ndarray
    names: tuple
    class_names: tuple | None = None
    failed: Mapping = field(default_factory=dict)
    top_k: int = 5

    def __len__(self):
        return len(self.probs)

    def __repr__(self):
        return f"<Predictions: {pluralize(len(self), 'image')}, {self.probs.shape[1]:,} classes>"

    def top(self, k=None):
        """The ``k`` most probable classes of each image, as tuples of `Guess`."""
        k = self.top_k if k is None else k
        check_integer(k=k)
        order = np.argsort(-self.probs, axis=-1, kind="stable")[:, :k]
        return tuple(
            tuple(self.guess(image, int(class_number)) for class_number in class_numbers)
            for image, class_numbers in enumerate(order)
        )

    def guess(self, image, class_number):
        """The `Guess` of one class for one image, both by number."""
        return Guess(
            class_number=class_number,
            class_name=self.class_names[class_number] if self.class_names else None,
            probability=float(self.probs[image, class_number]),
        )

    @property
    def table(self):
        """A DataFrame with a row for each guess: image, rank, class, label, probability.

        ``class`` is the number of the class and ``label`` its name, if that is known.
        """
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
            lines += [name, *(f"  {guess}" for guess in guesses)]
        lines += [f"{name}: not an image, {reason}" for name, reason in self.failed.items()]
        return "\n".join(lines)


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
    """Classify images with any Keras model that has an image input.

    Photos are preprocessed as for the published weights: the short side is resized and the center cropped, in the same
    ratio at other input sizes. Without published weights, the short side is resized to 256 for a crop of 224, bilinear.
    Arrays of the input size are not resized; nor are photos of that size if there are no published weights and no
    `resize`. Scores that are not probabilities go through a softmax.

    Args:
        model: a Keras classifier.
        images: path, folder, Pillow image, array (H, W, 3) or (N, H, W, 3) of pixels 0 to 255, or a list of these. If
            a single image cannot be read, `ImageError` is raised; of several, it is listed in `.failed`. For a model
            with several inputs a dict of all inputs by name, or a tuple in the model's order; those besides the images
            are arrays with one row per image.
        top: number of classes per image in the table.
        class_names: names of the classes; by default those that the model was trained with, ImageNet's for 1000
            classes, and CIFAR-10's if
            "cifar10" is in the name of the model. False for none.
        size: (height, width) of the input, for models with an open input size.
        resize: length of the short side before the center crop, in pixels.
        interpolation: "bilinear" or "bicubic".
        batch_size: images per batch.
        preprocess: function from a batch of pixels, 0 to 255, to what the model expects; models of kerascnn need none.

    Returns:
        `Predictions`, with the probabilities of all classes.
    """
    check_integer(top=top, batch_size=batch_size)
    network = classifier(
        model,
        class_names=class_names,
        size=size,
        resize=resize,
        interpolation=interpolation,
        preprocess=preprocess,
        several_inputs=True,
    )
    batch = network.batch(images)
    if network.channels not in (1, 3) and not all(isinstance(image, np.ndarray) for image in batch.items):
        expected = f"arrays with {network.channels} channels for {network.model.name}"
        raise ValueError(f"`images` should be {expected}. Received: image files")

    probs, rows, failed = network.classify(batch, batch_size)
    return Predictions(
        probs=probs,
        names=tuple(batch.names[row] for row in rows),
        class_names=network.names_for(probs.shape[-1]),
        failed=failed,
        top_k=top,
    )
