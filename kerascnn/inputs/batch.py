"""`Batch`: images in a fixed order, with their names and, where they have any, their labels."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from .decode import ImageError, each
from .gather import gather, is_array, pixels
from .resize import Preprocessing, fit, pair, to_channels, to_pixels


class DataError(ValueError):
    """A dataset that cannot be used: what is wrong with it, in one line."""


@dataclass(frozen=True, eq=False)
class Batch:
    """Images in a fixed order, however many: pixels, or files that are decoded when they are asked for.

    ``labels`` are positions in ``classes`` where there are such, as in a dataset; else what a user gave as the classes
    of a model, or None. ``names`` tell images apart, ``title`` is what they are called together, and ``failed`` says
    of others, by their names, why they are not here.
    """

    items: tuple | np.ndarray = field(repr=False)  # what `gather` gives, members of archives; or (N, H, W, C)
    labels: np.ndarray | None = field(default=None, repr=False)  # (N,)
    classes: tuple[str, ...] | None = None
    names: tuple[str, ...] = field(default=(), repr=False)
    title: str = field(default="", repr=False)
    failed: Mapping = field(default_factory=dict, repr=False)
    kept: dict = field(default_factory=dict, init=False, repr=False)  # what was decoded already, by size and channels

    def __post_init__(self):
        if not self.names:
            object.__setattr__(self, "names", tuple(f"image {i}" for i in range(len(self.items))))

    def __len__(self):
        return len(self.items)

    def take(self, indices):
        """Those at these positions, in this order; the classes stay."""
        indices = np.asarray(indices)
        indices = np.flatnonzero(indices) if indices.dtype == bool else indices.astype(np.int64)
        items = self.items[indices] if self.decoded else tuple(self.items[i] for i in indices)
        labels = None if self.labels is None else self.labels[indices]
        return Batch(items, labels, self.classes, tuple(self.names[i] for i in indices), self.title, self.failed)

    def pixels(self, size=None, channels=3):
        """All as uint8 (N, h, w, channels), cut by ``fit`` to ``size`` (h, w); without it in their own, if all alike.

        Cut means: made to cover the rectangle, antialiased, then the center; nothing is stretched.
        """
        size = pair(size)
        if not len(self):
            return np.zeros((0, *(size or (0, 0)), channels), np.uint8)
        if self.decoded and self.items.shape[1:] == (*(size or self.items.shape[1:3]), channels):
            return self.items
        what = "" if self.decoded else "decoding"
        images = each(lambda i: self.one(i, size, channels), range(len(self)), what)
        first = next(images)
        found = np.empty((len(self), *first.shape), first.dtype)
        found[0] = first
        for i, image in enumerate(images, start=1):
            if image.shape != first.shape:
                sizes = " and ".join(f"{h}x{w}" for h, w, _ in (first.shape, image.shape))
                raise DataError(
                    f"`size` should be given, as (h, w), for images of several sizes. Received: None for {sizes}"
                )
            found[i] = image
        return found

    @property
    def decoded(self):
        """Whether the items are pixels."""
        return isinstance(self.items, np.ndarray)

    def one(self, index, size=None, channels=3):
        """One image as uint8 (h, w, channels), cut to ``size``, without it in its own."""
        image = to_channels(to_pixels(self.items[index], self.names[index]), channels)
        return image if size is None else fit(image, size)

    def chunks(self, preprocessing: Preprocessing, size, failed=None):
        """Yields (positions, float32 pixels) of ``size`` images at a time, decoded ahead by threads.

        Args:
            preprocessing: how each becomes an array.
            size: images in a chunk, and about as many wait in memory.
            failed: a dict that is given {position: `ImageError`} of images that cannot be read.
        """
        if self.decoded and preprocessing.keeps(self.items.shape[1:]):
            for start in range(0, len(self), size):
                pixels = self.items[start : start + size].astype(np.float32)
                yield [*range(start, start + len(pixels))], pixels
            return
        failed = {} if failed is None else failed
        rows, arrays = [], []

        def read(row):
            try:
                return preprocessing(self.items[row])
            except ImageError as error:
                return error

        for row, image in enumerate(each(read, range(len(self)), at_once=1, ahead=size)):
            if isinstance(image, ImageError):
                failed[row] = image
                continue
            rows.append(row)
            arrays.append(image)
            if len(rows) == size:
                yield rows, np.stack(arrays)
                rows, arrays = [], []
        if rows:
            yield rows, np.stack(arrays)

    def array(self, preprocessing):
        """All as one float32 array; `ImageError` for the first that cannot be read."""
        return np.stack([*each(lambda row: preprocessing(self.items[row]), range(len(self)), at_once=1)])

    def check_readable(self, failed):
        """Raise an `ImageError` if all images are among those that ``chunks`` could not read."""
        if len(failed) < len(self):
            return
        row, error = next(iter(failed.items()))
        if len(self) == 1:
            raise error
        received = f"{len(self)} that cannot be read, the first {self.names[row]}: {error.reason}"
        raise ImageError("`images`", received, "be images")

    def reasons(self, failed):
        """{name: why it cannot be read} of those that ``chunks`` could not read."""
        return {self.names[row]: error.reason for row, error in failed.items()}


def flat_labels(labels):
    """Labels as an array (N,), also those that are (N, 1), as Keras' datasets have them."""
    labels = np.asarray(labels)
    return labels[:, 0] if labels.ndim == 2 and labels.shape[1] == 1 else labels


def batch_of(images, labels=None, names=None):
    """Whatever `predict` takes as a `Batch`.

    Args:
        images: a path, a folder, a list of these, Pillow images, arrays (H, W, C) or (N, H, W, C), or a `Batch`.
        labels: the class of each, as a number or a name.
        names: what they are called, if not by their files.
    """
    if isinstance(images, Batch):
        return images
    if is_array(images) and np.ndim(images) == 4 and len(images):
        own, items = (), pixels(images, "`images`")
    else:
        own, items = zip(*gather(images), strict=True)
    if labels is not None and len(labels) != len(items):
        raise ValueError(f"`labels` should say the class of each of the {len(items)} images. Received: {len(labels)}")
    if names is not None and len(names) != len(items):
        raise ValueError(f"`names` should name each of the {len(items)} images. Received: {len(names)}")
    labels = None if labels is None else np.asarray(labels)
    return Batch(items, labels, None, own if names is None else tuple(map(str, names)))
