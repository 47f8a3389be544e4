"""`Batch`: images in a fixed order, with their names and, if they have any, their labels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from ..support.display import TextResult
from ..support.text import pluralize
from .decode import ImageError, map_in_threads
from .gather import check_pixels, gather, is_array
from .resize import resize_and_crop, size_pair, to_channels, to_pixels


class DataError(ValueError):
    """A dataset that cannot be used, and why, in one line."""


@dataclass(frozen=True, eq=False, repr=False)
class Batch(TextResult):
    """Images in a fixed order: pixels, or files that are decoded on demand.

    Attributes:
        items: an array (N, H, W, C), or a tuple of files, archive members and images as ``gather`` returns them.
        labels: true classes (N,): positions in ``class_names`` if there are any, else class numbers or names; or None.
        class_names: of a labeled dataset; None for other images.
        names: the name of each image.
        title: what the images are called together.
        failed: images that could not be read, as a dict of names and reasons.
        other_inputs: what a model with several inputs takes besides the images: arrays with a row per image, by the
            name of the input.
        hashes: the SHA-1 of each image's pixels, as a loaded dataset has them; or ().
        cache: decoded pixels by size and channels.
    """

    items: Any
    labels: np.ndarray | None = None
    class_names: tuple[str, ...] | None = None
    names: tuple[str, ...] = ()
    title: str = ""
    failed: Mapping = field(default_factory=dict)
    other_inputs: Mapping = field(default_factory=dict)
    hashes: tuple[str, ...] = ()
    cache: dict = field(default_factory=dict, init=False)

    def __post_init__(self):
        if not self.names:
            object.__setattr__(self, "names", tuple(f"image {i}" for i in range(len(self.items))))

    def __len__(self):
        return len(self.items)

    def __str__(self):
        title = f"{self.title}, " if self.title else ""
        classes = "" if self.class_names is None else f", {len(self.class_names)} classes"
        return f"{title}{pluralize(len(self), 'image')}{classes}"

    def take(self, indices):
        """The images at these positions (or of this mask), in this order, as a `Batch`."""
        indices = np.asarray(indices)
        indices = np.flatnonzero(indices) if indices.dtype == bool else indices.astype(np.int64)
        items = self.items[indices] if self.is_decoded else tuple(self.items[i] for i in indices)
        labels = None if self.labels is None else self.labels[indices]
        return replace(
            self,
            items=items,
            labels=labels,
            names=tuple(self.names[i] for i in indices),
            other_inputs={name: rows[indices] for name, rows in self.other_inputs.items()},
            hashes=tuple(self.hashes[i] for i in indices) if self.hashes else (),
        )

    def pixels(self, size=None, channels=3):
        """All images as uint8 (N, h, w, channels).

        Args:
            size: (height, width) to which they are resized (antialiased, not stretched) and center cropped; None if all
                have the same size.
            channels: 3 or 1.
        """
        size = size_pair(size)
        if not len(self):
            return np.zeros((0, *(size or (0, 0)), channels), np.uint8)
        if self.is_decoded and self.items.shape[1:] == (*(size or self.items.shape[1:3]), channels):
            return self.items
        progress_label = "" if self.is_decoded else "decoding"
        images = map_in_threads(lambda i: self.decode_image(i, size, channels), range(len(self)), progress_label)
        first = next(images)
        pixels = np.empty((len(self), *first.shape), first.dtype)
        pixels[0] = first

        for i, image in enumerate(images, start=1):
            if image.shape != first.shape:
                sizes = " and ".join(f"{h}x{w}" for h, w, _ in (first.shape, image.shape))
                raise DataError(
                    "`size` should be (height, width) for images of various sizes. "
                    f"Received: None for images of {sizes}"
                )
            pixels[i] = image
        return pixels

    @property
    def is_decoded(self):
        """Whether the items are one array of pixels."""
        return isinstance(self.items, np.ndarray)

    def decode_image(self, index, size=None, channels=3):
        """One image as uint8 (h, w, channels), resized and cropped to ``size`` if given."""
        image = to_channels(to_pixels(self.items[index], self.names[index]), channels)
        return image if size is None else resize_and_crop(image, size)

    def chunks(self, preprocessing, size, failed=None):
        """Yield (positions, float32 pixels) of several images at a time, in threads.

        Args:
            preprocessing: a `Preprocessing`.
            size: number of images in a chunk; about as many wait in memory.
            failed: a dict to which {position: `ImageError`} of unreadable images is added.
        """
        if self.is_decoded and preprocessing.keeps(self.items.shape[1:]):
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

        for row, image in enumerate(map_in_threads(read, range(len(self)), at_once=1, ahead=size)):
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
        """All images as one float32 array; raises `ImageError` for an unreadable one."""
        return np.stack([*map_in_threads(lambda row: preprocessing(self.items[row]), range(len(self)), at_once=1)])

    def check_readable(self, failed):
        """Raise an `ImageError` if ``chunks`` could read no image at all."""
        if len(failed) < len(self):
            return
        row, error = next(iter(failed.items()))
        if len(self) == 1:
            raise error
        received = f"{len(self)} unreadable images; the first is {self.names[row]}: {error.reason}"
        raise ImageError("`images`", received, "be readable images")

    def reasons(self, failed):
        """{name: reason} of the images that ``chunks`` could not read."""
        return {self.names[row]: error.reason for row, error in failed.items()}


def squeeze_labels(labels):
    """Labels as an array (N,), also from (N, 1), as Keras' datasets have them."""
    labels = np.asarray(labels)
    return labels[:, 0] if labels.ndim == 2 and labels.shape[1] == 1 else labels


def as_batch(images, labels=None, names=None):
    """Make a `Batch` of whatever `predict` takes.

    Args:
        images: a path, a folder, a list of these, Pillow images, arrays (H, W, C) or (N, H, W, C), or a `Batch`.
        labels: the true class of each, as a number or a name.
        names: of the images; by default their file names.
    """
    if isinstance(images, Batch):
        return images
    if is_array(images) and np.ndim(images) == 4 and len(images):
        file_names, items = (), check_pixels(images, "`images`")
    else:
        file_names, items = zip(*gather(images), strict=True)
    if labels is not None and len(labels) != len(items):
        raise ValueError(
            f"`labels` should have one label for each of the {len(items)} images. Received: {len(labels)} labels"
        )
    if names is not None and len(names) != len(items):
        raise ValueError(
            f"`names` should have one name for each of the {len(items)} images. Received: {len(names)} names"
        )
    labels = None if labels is None else np.asarray(labels)
    return Batch(items, labels, None, file_names if names is None else tuple(map(str, names)))
