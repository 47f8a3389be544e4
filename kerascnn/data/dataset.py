"""`Data`: a dataset in its parts."""

from dataclasses import dataclass, field

from ..inputs.batch import Batch
from ..support.display import Told
from ..support.text import sides

BUDGET = 2**30  # bytes of decoded pixels that are kept in memory


@dataclass(frozen=True, eq=False)
class Data(Told):
    """A dataset in its parts. ``test`` is locked: nothing is chosen by it, and it is used once, at the end."""

    name: str
    train: Batch
    valid: Batch
    test: Batch | None
    audit: object = field(default=None, repr=False)  # what was found while reading it, an ``Audit``

    @property
    def classes(self):
        """The names of the classes, by label."""
        return self.train.classes

    @property
    def size(self):
        """(h, w) of the images, where all are alike; else None."""
        parts = [part for part in (self.train, self.valid, self.test) if part is not None and len(part)]
        if all(part.decoded for part in parts):
            sizes = {part.items.shape[1:3] for part in parts}
        else:
            sizes = getattr(self.audit, "sizes", ())
        return next(iter(sizes)) if len(sizes) == 1 else None

    def __str__(self):
        parts = {"train": self.train, "valid": self.valid, "test": self.test or ()}
        counts = ", ".join(f"{len(images):,} {part}" for part, images in parts.items())
        size = sides(self.size) if self.size else "of several sizes"
        return f"{self.name}: {len(self.classes)} classes, images {size}: {counts}"
