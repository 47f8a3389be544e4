"""Anything that may be given as a dataset, as a `Listing`: a path, arrays, or a name."""

import os
import sys
from contextlib import redirect_stdout
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from ..inputs.batch import DataError, squeeze_labels
from ..inputs.resize import resample
from ..support.files import escape_surrogates
from ..support.text import unknown_name
from .listing import Entry, Listing, list_path

NPZ_NAMES = {  # names in an .npz file: x, y, part
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


def from_arrays(given, name="arrays", class_names=None):
    """The listing of (x, y), or of pairs of these for train and test, or for train, valid and test."""
    given = tuple(given)
    if len(given) in (2, 3) and all(isinstance(part, tuple | list) and len(part) == 2 for part in given):
        names = ("train", "test") if len(given) == 2 else ("train", "valid", "test")
        return join_arrays(dict(zip(names, given, strict=True)), name, class_names)
    if len(given) == 2:
        return join_arrays({"": given}, name, class_names)
    raise DataError(
        f"`source` should be (x, y) or ((x, y), (x_test, y_test)). Received: a tuple of length {len(given)}"
    )


def from_npz(path):
    """The listing of an .npz file; nothing pickled is read."""
    try:
        with np.load(path, allow_pickle=False) as file:
            parts = {part: (file[x], file[y]) for (x, y), part in NPZ_NAMES.items() if {x, y} <= {*file.files}}
            names = ", ".join(file.files)
    except Exception as error:  # zipfile's, zlib's and numpy's errors have no common parent
        raise DataError(f"{path} should be a valid .npz file. Received: {error}") from None
    if not parts:
        raise DataError(f"{path} should have arrays x, y or x_train, y_train, x_test, y_test. Received: {names}")
    return join_arrays(parts, escape_surrogates(Path(path).name))


def join_arrays(parts, name, class_names=None):
    """One listing of all parts, their pixels in one array."""
    arrays = {part: as_pixels(x) for part, (x, _) in parts.items()}
    labels = {part: as_labels(y, len(arrays[part])) for part, (_, y) in parts.items()}
    shapes = {array.shape[1:] for array in arrays.values()}
    if len(shapes) > 1:
        received = " and ".join(map(str, sorted(shapes)))
        raise DataError(f"`source` should have training and test images of the same shape. Received: {received}")
    pixels = np.concatenate([*arrays.values()]) if len(arrays) > 1 else next(iter(arrays.values()))
    name_of = class_names.__getitem__ if class_names else label_namer([*labels.values()])
    entries, row = [], 0
    for part, array in arrays.items():
        for i in range(len(array)):
            entries.append(Entry(pixels[row], f"{part or 'images'}/{i:05}", name_of(labels[part][i]), part))
            row += 1
    return Listing(name, tuple(entries), tuple(sorted({entry.label for entry in entries})), (), pixels)


def label_namer(labels):
    """The function that names a label: numbers all in one length, so that sorting keeps their order."""
    if any(array.dtype.kind not in "iu" for array in labels):
        return str
    if min(int(array.min(initial=0)) for array in labels) < 0:
        raise DataError("`source` should have non-negative labels. Received: negative labels")
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
        raise DataError(f"`source` should have pixel values 0..255. Received: values from {low:g} to {high:g}")
    scale = 255 if x.dtype.kind in "fb" and high <= 1 else 1  # 0..1, as half of all examples have it
    return np.rint(x * np.float32(scale)).astype(np.uint8)


def as_labels(y, count):
    """Labels (N,): numbers, or names; what is one-hot becomes numbers."""
    y = squeeze_labels(y)
    if (
        y.ndim == 2
        and y.dtype.kind in "iufb"
        and np.array_equal(y.sum(axis=1), np.ones(len(y)))
        and np.isin(y, (0, 1)).all()
    ):
        y = y.argmax(axis=1)
    if y.ndim != 1 or len(y) != count:
        raise DataError(
            f"`source` should have one label for each of its {count} images. Received: labels of shape {y.shape}"
        )
    if y.dtype.kind == "b" or (y.dtype.kind == "f" and np.array_equal(y, np.rint(y))):
        y = y.astype(np.int64)
    if y.dtype.kind not in "iuUSO":
        raise DataError(f"`source` should have integers or names as labels. Received: {y.dtype}")
    return (
        np.array([label.decode() if isinstance(label, bytes) else label for label in y]) if y.dtype.kind == "S" else y
    )


SIDE = 32
COUNT = 100  # shapes of a class
FINE = 4  # drawn so many times larger, for smooth edges


def digits():
    """1,797 handwritten digits of scikit-learn, 8x8 with 17 levels of gray, resized to 32x32."""
    from sklearn.datasets import load_digits

    found = load_digits()
    small = np.rint(found.images * 255 / 16).astype(np.uint8)[..., None]
    return from_arrays((np.stack([resample(image, (SIDE, SIDE)) for image in small]), found.target), "digits")


def shapes(count=COUNT, seed=0):
    """``count`` images 32x32 of each of ``SHAPES``: any colors, places, sizes and turns, with noise."""
    rng = np.random.default_rng(seed)
    names = [name for _ in range(count) for name in SHAPES]
    return from_arrays((np.stack([draw_shape(SHAPES[name], rng) for name in names]), np.array(names)), "shapes")


def draw_shape(shape, rng):
    """One image of a shape, (32, 32, 3)."""
    side = SIDE * FINE
    ink, paper = contrasting_colors(rng)
    radius = rng.uniform(0.22, 0.42) * side
    center = rng.uniform(radius, side - radius, 2)
    mask = Image.new("L", (side, side))
    shape(ImageDraw.Draw(mask), center, radius, rng.uniform(0, 2 * np.pi))
    mask = np.asarray(mask.resize((SIDE, SIDE), Image.Resampling.BOX), np.float64)[..., None] / 255
    image = mask * ink + (1 - mask) * paper + rng.normal(0, 6, (SIDE, SIDE, 3))
    return np.rint(image).clip(0, 255).astype(np.uint8)


def contrasting_colors(rng):
    """Two colors that can be told apart."""
    while True:
        ink, paper = rng.uniform(0, 255, (2, 3))
        if abs(ink.mean() - paper.mean()) > 60:
            return ink, paper


def polygon_corners(center, radius, angles):
    return [tuple(center + radius * np.array([np.cos(angle), np.sin(angle)])) for angle in angles]


def polygon(sides):
    def shape(draw, center, radius, turn):
        draw.polygon(polygon_corners(center, radius, turn + 2 * np.pi * np.arange(sides) / sides), fill=255)

    return shape


def circle(draw, center, radius, turn):
    draw.ellipse([*(center - radius), *(center + radius)], fill=255)


def ring(draw, center, radius, turn):
    circle(draw, center, radius, turn)
    draw.ellipse([*(center - 0.55 * radius), *(center + 0.55 * radius)], fill=0)


def cross(draw, center, radius, turn):
    for angle in (turn, turn + np.pi / 2):
        draw.line(polygon_corners(center, radius, (angle, angle + np.pi)), fill=255, width=int(0.5 * radius))


def stripes(draw, center, radius, turn):
    across, along = np.array([np.cos(turn), np.sin(turn)]), np.array([-np.sin(turn), np.cos(turn)])
    for step in np.arange(-1.2, 1.3, 0.6):
        middle = center + step * radius * across
        ends = [tuple(middle - radius * along), tuple(middle + radius * along)]
        draw.line(ends, fill=255, width=int(0.28 * radius))


SHAPES = {
    "circle": circle,
    "cross": cross,
    "ring": ring,
    "square": polygon(4),
    "stripes": stripes,
    "triangle": polygon(3),
}

CIFAR10 = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
FASHION = ["t-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "boot"]
DOWNLOADED = {"cifar10": CIFAR10, "cifar100": None, "mnist": None, "fashion_mnist": FASHION}  # and names by label
DRAWN = {"digits": digits, "shapes": shapes}
NAMES = (*DRAWN, *DOWNLOADED)
FOLDER = "KERASCNN_DATA"  # variable with the folder in which datasets are looked for by their names


def open_listing(source):
    """The ``Listing`` of a source as ``load`` takes it."""
    if isinstance(source, Listing):
        return source
    if isinstance(source, tuple | list):
        return from_arrays(source)
    if not isinstance(source, str | os.PathLike):
        expected = f"a path, arrays (x, y), or the name of a dataset ({', '.join(NAMES)})"
        raise DataError(f"`source` should be {expected}. Received: {type(source).__name__}")
    name = os.fspath(source)
    if name in DRAWN:
        return DRAWN[name]()
    if name in DOWNLOADED or not os.path.exists(name):
        here = find_local_dataset(name)
        if here:
            return here
    if name in DOWNLOADED:
        return download_dataset(name)
    if not os.path.exists(name):
        raise DataError(missing_source_message(name))
    return list_file(Path(name))


def list_file(path):
    """The listing of a path that is there."""
    return from_npz(path) if path.suffix == ".npz" else list_path(path)


def missing_source_message(name):
    """Error text for what is neither there nor known."""
    if os.sep in name or Path(name).suffix:
        return f"`source` should be an existing folder, .zip, .csv or .npz file. Received: {name!r}"
    return unknown_name(
        "dataset", name, NAMES, "or a path to a folder with one subfolder per class, or a .zip, .csv or .npz file"
    )


def find_local_dataset(name):
    """The listing of a dataset that lies in the folder which KERASCNN_DATA names; None where there is none.

    That is NAME/, NAME.npz, NAME.csv, NAME.zip, or NAME_train.zip with NAME_test*.zip beside it.
    """
    folder = os.environ.get(FOLDER)
    if not folder or os.sep in name:
        return None
    folder = Path(os.path.expanduser(folder))
    for suffix in ("", ".npz", ".csv", ".zip"):
        if (folder / (name + suffix)).exists():
            return list_file(folder / (name + suffix))
    if not (folder / f"{name}_train.zip").exists():
        return None
    train = list_path(folder / f"{name}_train.zip")
    tests = sorted(folder.glob(f"{name}_test*.zip"))
    if not tests:
        return train
    return join_train_and_test(name, train, list_path(tests[0]))


def join_train_and_test(name, train, test):
    """One listing of two, of which the second is the test part."""
    entries = [entry._replace(part="train", name=f"train/{entry.name}") for entry in train.entries]
    entries += [entry._replace(part="test", name=f"test/{entry.name}") for entry in test.entries]
    classes = sorted({*train.class_names, *test.class_names})
    return Listing(name, tuple(entries), tuple(classes), (*train.findings, *test.findings))


def download_dataset(name):
    """A dataset that Keras fetches once, as its publisher divided it."""
    import keras

    try:
        with redirect_stdout(sys.stderr):  # where Keras says how far it is; stdout is for results
            given = getattr(keras.datasets, name).load_data()
    except Exception as error:  # whatever the network raises
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        files = f"{name}/, {name}.npz, {name}.zip or {name}_train.zip (with one subfolder per class)"
        raise DataError(
            f"cannot download {name} ({reason}). Put {files} into a folder and set {FOLDER} to its path"
        ) from None
    given = tuple((x, np.asarray(y).reshape(-1)) for x, y in given)
    return from_arrays(given, name, DOWNLOADED[name])
