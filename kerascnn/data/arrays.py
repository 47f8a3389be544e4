"""Arrays as a dataset: (x, y), ((x, y), (x_test, y_test)), or an .npz file of these."""

from pathlib import Path

import numpy as np

from ..files import displayable
from .images import DataError
from .listing import Entry, Listing

FILES = {  # names in an .npz file: x, y, part
    ("x", "y"): "",
    ("images", "labels"): "",
    ("x_train", "y_train"): "train",
    ("train_images", "train_labels"): "train",
    ("x_valid", "y_valid"): "valid",
    ("x_val", "y_val"): "valid",
    ("val_images", "val_labels"): "valid",
    ("x_test", "y_test"): "test",
    ("test_images", "test_labels"): "test",
}


def from_arrays(given, name="arrays", classes=None):
    """The listing of (x, y), or of pairs of these for train and test, or for train, valid and test."""
    given = tuple(given)
    if len(given) in (2, 3) and all(isinstance(part, tuple | list) and len(part) == 2 for part in given):
        names = ("train", "test") if len(given) == 2 else ("train", "valid", "test")
        return joined(dict(zip(names, given, strict=True)), name, classes)
    if len(given) == 2:
        return joined({"": given}, name, classes)
    raise DataError(f"`source` should be (x, y) or ((x, y), (x_test, y_test)). Received: a tuple of {len(given)}")


def from_npz(path):
    """The listing of an .npz file; nothing pickled is read."""
    try:
        with np.load(path, allow_pickle=False) as file:
            parts = {part: (file[x], file[y]) for (x, y), part in FILES.items() if {x, y} <= {*file.files}}
            names = ", ".join(file.files)
    except Exception as error:  # zipfile's, zlib's and numpy's errors have no common parent
        raise DataError(f"{path} should be an .npz file of arrays. Received: {error}") from None
    if not parts:
        raise DataError(f"{path} should have arrays x, y or x_train, y_train, x_test, y_test. Received: {names}")
    return joined(parts, displayable(Path(path).name))


def joined(parts, name, classes=None):
    """One listing of all parts, their pixels in one array."""
    arrays = {part: as_pixels(x) for part, (x, _) in parts.items()}
    labels = {part: as_labels(y, len(arrays[part])) for part, (_, y) in parts.items()}
    shapes = {array.shape[1:] for array in arrays.values()}
    if len(shapes) > 1:
        raise DataError(f"`source` should have images of one shape. Received: {' and '.join(map(str, sorted(shapes)))}")
    pixels = np.concatenate([*arrays.values()]) if len(arrays) > 1 else next(iter(arrays.values()))
    name_of = classes.__getitem__ if classes else named([*labels.values()])
    entries, row = [], 0
    for part, array in arrays.items():
        for i in range(len(array)):
            entries.append(Entry(pixels[row], f"{part or 'images'}/{i:05}", name_of(labels[part][i]), part))
            row += 1
    return Listing(name, tuple(entries), tuple(sorted({entry.label for entry in entries})), (), pixels)


def named(labels):
    """The function that names a label: numbers all in one length, so that sorting keeps their order."""
    if any(array.dtype.kind not in "iu" for array in labels):
        return str
    if min(int(array.min(initial=0)) for array in labels) < 0:
        raise DataError("`source` should have labels from 0. Received: negative ones")
    digits = len(str(max(int(array.max(initial=0)) for array in labels)))
    return lambda label: f"{label:0{digits}}"


def as_pixels(x):
    """Images as uint8 (N, H, W, C)."""
    x = np.asarray(x)
    x = x[..., None] if x.ndim == 3 else x
    if x.ndim != 4 or x.dtype.kind not in "uifb":
        raise DataError(f"`source` should have images (N, H, W[, C]). Received: an array {x.shape} of {x.dtype}")
    if x.dtype == np.uint8 or not x.size:
        return x.astype(np.uint8)
    low, high = float(x.min()), float(x.max())
    if not (low >= 0 and high <= 255):
        raise DataError(f"`source` should have pixels 0..255. Received: {low:g}..{high:g}")
    scale = 255 if x.dtype.kind in "fb" and high <= 1 else 1  # 0..1, as half of all examples have it
    return np.rint(x * np.float32(scale)).astype(np.uint8)


def as_labels(y, count):
    """Labels (N,): numbers, or names; what is one-hot becomes numbers."""
    y = np.asarray(y)
    if y.ndim == 2 and y.shape[1] == 1:
        y = y[:, 0]
    if (
        y.ndim == 2
        and y.dtype.kind in "iufb"
        and np.array_equal(y.sum(axis=1), np.ones(len(y)))
        and np.isin(y, (0, 1)).all()
    ):
        y = y.argmax(axis=1)
    if y.ndim != 1 or len(y) != count:
        raise DataError(f"`source` should have a label for each of its {count} images. Received: labels {y.shape}")
    if y.dtype.kind == "b" or (y.dtype.kind == "f" and np.array_equal(y, np.rint(y))):
        y = y.astype(np.int64)
    if y.dtype.kind not in "iuUSO":
        raise DataError(f"`source` should have whole numbers or names as labels. Received: {y.dtype}")
    return (
        np.array([label.decode() if isinstance(label, bytes) else label for label in y]) if y.dtype.kind == "S" else y
    )
