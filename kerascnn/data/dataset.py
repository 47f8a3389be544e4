"""`Data`: a dataset split into training, validation and test images."""

from dataclasses import dataclass

import numpy as np

from ..inputs.batch import Batch
from ..support.display import TextResult
from ..support.text import format_shape

BUDGET = 2**30  # bytes of decoded pixels that are kept in memory
FEWEST = 5  # images of a class that has test and validation images in any case


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class Data(TextResult):
    """A dataset split into training, validation and test images.

    The test set is used once, at the end: nothing is selected by it.

    Attributes:
        name: of the dataset.
        train: a ``Batch`` of the training images.
        valid: a ``Batch`` of the validation images.
        test: a ``Batch`` of the test images, or None.
        audit: the ``Audit`` of its files.
    """

    name: str
    train: Batch
    valid: Batch
    test: Batch | None
    audit: object = None

    @property
    def class_names(self):
        """The class names; labels are positions in it."""
        return self.train.class_names

    @property
    def size(self):
        """(height, width) if all images have the same size, else None."""
        parts = [part for part in (self.train, self.valid, self.test) if part is not None and len(part)]
        if all(part.is_decoded for part in parts):
            sizes = {part.items.shape[1:3] for part in parts}
        else:
            sizes = getattr(self.audit, "sizes", ())
        return next(iter(sizes)) if len(sizes) == 1 else None

    @property
    def untested_classes(self):
        """The names of the classes without test images, if there is a test set."""
        if self.test is None or not len(self.test):
            return ()
        tested = {*self.test.labels.tolist()}
        return tuple(name for i, name in enumerate(self.class_names) if i not in tested)

    @property
    def small_classes(self):
        """The names of the classes with fewer than 5 images, too few to train or evaluate."""
        parts = [part for part in (self.train, self.valid, self.test) if part is not None]
        counts = sum(np.bincount(part.labels, minlength=len(self.class_names)) for part in parts)
        return tuple(name for name, count in zip(self.class_names, counts, strict=True) if count < FEWEST)

    def __str__(self):
        parts = {"train": self.train, "valid": self.valid, "test": self.test or ()}
        counts = ", ".join(f"{len(images):,} {part}" for part, images in parts.items())
        size = format_shape(self.size) if self.size else "of various sizes"
        return f"{self.name}: {len(self.class_names)} classes, images {size}: {counts}"
