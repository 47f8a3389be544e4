"""Anything that may be given as a dataset, as a `Listing`: a path, arrays, or a name."""

import os
import sys
from contextlib import redirect_stdout
from pathlib import Path

import numpy as np

from ..registry import unknown
from .arrays import from_arrays, from_npz
from .drawn import digits, shapes
from .images import DataError
from .listing import Listing, listed

CIFAR10 = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
FASHION = ["t-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "boot"]
DOWNLOADED = {"cifar10": CIFAR10, "cifar100": None, "mnist": None, "fashion_mnist": FASHION}  # and names by label
DRAWN = {"digits": digits, "shapes": shapes}
NAMES = (*DRAWN, *DOWNLOADED)
FOLDER = "KERASCNN_DATA"  # variable with the folder in which datasets are looked for by their names


def listing(source):
    """The ``Listing`` of a source as ``load`` takes it."""
    if isinstance(source, Listing):
        return source
    if isinstance(source, tuple | list):
        return from_arrays(source)
    if not isinstance(source, str | os.PathLike):
        expected = f"a path, arrays (x, y), or a name ({', '.join(NAMES)})"
        raise DataError(f"`source` should be {expected}. Received: {type(source).__name__}")
    name = os.fspath(source)
    if name in DRAWN:
        return DRAWN[name]()
    if name in DOWNLOADED or not os.path.exists(name):
        here = local(name)
        if here:
            return here
    if name in DOWNLOADED:
        return downloaded(name)
    if not os.path.exists(name):
        raise DataError(nothing(name))
    return opened(Path(name))


def opened(path):
    """The listing of a path that is there."""
    return from_npz(path) if path.suffix == ".npz" else listed(path)


def nothing(name):
    """Error text for what is neither there nor known."""
    if os.sep in name or Path(name).suffix:
        return f"`source` should be a folder, a .zip, .csv or .npz file. Received: {name!r}, not there"
    return unknown(
        "dataset", name, NAMES, "or a path to a folder with one subfolder a class, a .zip, .csv or .npz file"
    )


def local(name):
    """The listing of a dataset that lies in the folder which KERASCNN_DATA names; None where there is none.

    That is NAME/, NAME.npz, NAME.csv, NAME.zip, or NAME_train.zip with NAME_test*.zip beside it.
    """
    folder = os.environ.get(FOLDER)
    if not folder or os.sep in name:
        return None
    folder = Path(os.path.expanduser(folder))
    for suffix in ("", ".npz", ".csv", ".zip"):
        if (folder / (name + suffix)).exists():
            return opened(folder / (name + suffix))
    if not (folder / f"{name}_train.zip").exists():
        return None
    train = listed(folder / f"{name}_train.zip")
    tests = sorted(folder.glob(f"{name}_test*.zip"))
    if not tests:
        return train
    return both(name, train, listed(tests[0]))


def both(name, train, test):
    """One listing of two, of which the second is the test part."""
    entries = [entry._replace(part="train", name=f"train/{entry.name}") for entry in train.entries]
    entries += [entry._replace(part="test", name=f"test/{entry.name}") for entry in test.entries]
    classes = sorted({*train.classes, *test.classes})
    return Listing(name, tuple(entries), tuple(classes), (*train.findings, *test.findings))


def downloaded(name):
    """A dataset that Keras fetches once, as its publisher divided it."""
    import keras

    try:
        with redirect_stdout(sys.stderr):  # where Keras says how far it is; stdout is for results
            given = getattr(keras.datasets, name).load_data()
    except Exception as error:  # whatever the network raises
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        files = f"{name}/, {name}.npz, {name}.zip or {name}_train.zip (a folder a class)"
        raise DataError(
            f"{name} cannot be downloaded ({reason}). Put {files} into a folder, and its path into {FOLDER}"
        ) from None
    given = tuple((x, np.asarray(y).reshape(-1)) for x, y in given)
    return from_arrays(given, name, DOWNLOADED[name])
