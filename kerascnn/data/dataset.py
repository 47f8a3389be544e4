"""Labelled images: `Images`, files or pixels, and `Data`, a dataset in its parts."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from ..inputs.decode import decode
from ..inputs.resize import INTERPOLATIONS, fit, resample, to_channels
from ..inputs.threads import each
from ..support.display import Told
from .archives import Member

BUDGET = 2**30  # bytes of decoded pixels that are kept in memory


class DataError(ValueError):
    """A dataset that cannot be used: what is wrong with it, in one line."""


class Box(NamedTuple):
    """A rectangle of an image in pixels, not necessarily whole ones."""

    top: float
    left: float
    height: float
    width: float


@dataclass(frozen=True, eq=False)
class Images:
    """Images with labels, in a fixed order; ``labels`` are positions in ``classes``, ``names`` tell images apart."""

    items: tuple[Path | Member, ...] | np.ndarray = field(repr=False)  # files, or pixels (N, H, W, C), uint8
    labels: np.ndarray = field(repr=False)  # (N,), int64
    classes: tuple[str, ...]
    names: tuple[str, ...] = field(repr=False)
    kept: dict = field(default_factory=dict, init=False, repr=False)  # what was decoded already, by size and channels

    def __len__(self):
        return len(self.labels)

    def take(self, indices):
        """Those at these positions, in this order; the classes stay."""
        indices = np.asarray(indices)
        indices = np.flatnonzero(indices) if indices.dtype == bool else indices.astype(np.int64)
        items = self.items[indices] if self.decoded else tuple(self.items[i] for i in indices)
        return Images(items, self.labels[indices], self.classes, tuple(self.names[i] for i in indices))

    def pixels(self, size=None, channels=3):
        """All as uint8 (N, h, w, channels), cut by ``fit`` to ``size`` (h, w); without it in their own, if all alike.

        Cut means: made to cover the rectangle, antialiased, then the centre; nothing is stretched.
        """
        size = pair(size)
        if not len(self):
            return np.zeros((0, *(size or (0, 0)), channels), np.uint8)
        if self.decoded and self.items.shape[1:] == (*(size or self.items.shape[1:3]), channels):
            return self.items
        if size is None:
            size = self.one(0, None, channels).shape[:2]
            found = [image for image in self.each(None, channels) if same(image, size)]
            return np.stack(found)
        found = np.empty((len(self), *size, channels), np.uint8)
        for i, image in enumerate(self.each(size, channels)):
            found[i] = image
        return found

    @property
    def decoded(self):
        """Whether the items are pixels."""
        return isinstance(self.items, np.ndarray)

    def each(self, size, channels=3):
        """Each as ``one`` gives it, in order, decoded by several threads."""
        label = None if self.decoded else "decoding"
        return each(lambda i: self.one(i, size, channels), range(len(self)), label)

    def one(self, index, size=None, channels=3):
        """One image as uint8 (h, w, channels), cut to ``size``."""
        image = self.items[index] if self.decoded else decode(self.items[index])
        return cut(to_channels(image, channels), size)


@dataclass(frozen=True, eq=False)
class Data(Told):
    """A dataset in its parts. ``test`` is locked: nothing is chosen by it, and it is used once, at the end."""

    name: str
    train: Images
    valid: Images
    test: Images | None
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
        size = "x".join(map(str, self.size)) if self.size else "of several sizes"
        return f"{self.name}: {len(self.classes)} classes, images {size}: {counts}"


def cut(image, size):
    """An image cut to ``size`` by ``fit``."""
    if size is None or image.shape[:2] == size:
        return image
    return fit(image, size, resize=min(size))


def boxed(image, size, box):
    """A part of an image resized, antialiased, as Pillow does it."""
    edges = (box.left, box.top, box.left + box.width, box.top + box.height)
    method, shape = INTERPOLATIONS["bilinear"], size[::-1]
    if image.shape[-1] == 3:
        return np.asarray(Image.fromarray(image).resize(shape, method, edges))
    planes = [Image.fromarray(image[..., i]).resize(shape, method, edges) for i in range(image.shape[-1])]
    return np.stack([np.asarray(plane) for plane in planes], axis=-1)


def stretched(image, size):
    """A whole image resized to ``size``, whatever its form."""
    return resample(image, size, INTERPOLATIONS["bilinear"])


def same(image, size):
    """True, or an error where an image has another size."""
    if image.shape[:2] != size:
        sizes = " and ".join(f"{h}x{w}" for h, w in (size, image.shape[:2]))
        raise DataError(f"`size` should be given, as (h, w), for images of several sizes. Received: None for {sizes}")
    return True


def pair(size):
    """A size as (h, w); one number is a square, None stays."""
    if size is None:
        return None
    sides = (size, size) if isinstance(size, int | np.integer) else tuple(size)
    if len(sides) != 2 or not all(isinstance(side, int | np.integer) and side > 0 for side in sides):
        raise ValueError(f"`size` should be a number of pixels or (h, w). Received: {size!r}")
    return int(sides[0]), int(sides[1])
