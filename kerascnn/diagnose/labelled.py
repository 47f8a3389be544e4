"""Images with classes, in whatever form a user has them, as arrays."""

from typing import NamedTuple

import numpy as np

from ..evaluation.predict import count


class Labelled(NamedTuple):
    """Images (N, H, W, C), their classes (N,) as whole numbers, and how many classes there are."""

    x: np.ndarray
    y: np.ndarray
    classes: int


def labelled(argument, data, limit=None, seed=0):
    """``data``, or ``limit`` of its images drawn with ``seed``: arrays (x, y), or what has ``pixels()`` and ``labels``.

    Drawn, since a folder's first images may all be of one class. Of a dataset in parts the part called ``train``.
    """
    if limit is not None:
        count("limit", limit)
    if isinstance(data, Labelled):
        given, y, classes = data.x, data.y, data.classes
    else:
        given, y, classes = taken(argument, data)
    if not len(y):
        raise ValueError(f"`{argument}` should have at least one image. Received: none")
    some = np.arange(len(y))
    if limit is not None and limit < len(y):
        some = np.sort(np.random.default_rng(seed).permutation(len(y))[:limit])
    x = given[some] if isinstance(given, np.ndarray) else given.take(some).pixels()
    return Labelled(x, y[some], classes)


def taken(argument, data):
    """(array or images, classes of each, how many classes)."""
    images = getattr(data, "train", data)
    if hasattr(images, "pixels") and hasattr(images, "labels"):
        return images, np.asarray(images.labels), len(images.classes)
    if not isinstance(data, tuple | list) or len(data) != 2:
        came = type(data).__name__
        raise ValueError(f"`{argument}` should be arrays (x, y), or images with their labels. Received: {came}")
    x, y = map(np.asarray, data)
    y = y[:, 0] if y.ndim == 2 and y.shape[1] == 1 else y  # as Keras' datasets have them
    if y.ndim != 1 or y.dtype.kind not in "iu" or len(x) != len(y) or (y < 0).any():
        wanted = f"classes (N,) from 0 as whole numbers, for {len(x)} images"
        raise ValueError(f"`{argument}` should have {wanted}. Received: {y.shape} of {y.dtype}")
    return x, y, int(y.max(initial=0)) + 1
