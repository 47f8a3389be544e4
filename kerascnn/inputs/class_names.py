"""What classes are called: CIFAR-10's ten by heart, ImageNet's thousand from Keras' class index."""

import json
import re
import warnings
from collections import Counter
from functools import cache

from ..weights.fetch import fetch

CIFAR10 = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
INDEX = "https://storage.googleapis.com/download.tensorflow.org/data/imagenet_class_index.json"
HASH = "md5:c2c37ea517e94d9795004a39431a14cb"


def class_names(classes):
    """The names of CIFAR-10's (10) or ImageNet's (1000) classes in their order; None where there are none to be had.

    Two of ImageNet's names stand for two classes each; theirs are told apart by WordNet's number: "crane (n02012849)".
    """
    if classes == len(CIFAR10):
        return CIFAR10
    names = imagenet() if classes == 1000 else None
    if names is None:
        return None
    count = Counter(names.values())
    return tuple(name if count[name] == 1 else f"{name} ({wnid})" for wnid, name in names.items())


@cache
def imagenet():
    """{WordNet's number: name} of ImageNet's classes in their order, as Keras publishes them.

    Downloaded once; None, with one warning in a process, where that cannot be.
    """
    try:
        path = fetch(INDEX, "imagenet_class_index.json", HASH, what="the names of ImageNet's classes")
        return read(path)
    except (OSError, ValueError) as error:
        warnings.warn(f"classes have numbers and no names: {error}", stacklevel=3)
        return None


def read(path):
    """A class index, checked: numbers 0 to 999, each with WordNet's number, in whose order they are, and a name."""
    with open(path, encoding="utf-8") as file:
        rows = json.load(file)
    wrong = ValueError(f"{path} should be ImageNet's class index, 1000 classes by number. Received: something else")
    if not isinstance(rows, dict) or rows.keys() != {str(i) for i in range(1000)}:
        raise wrong
    rows = [rows[str(i)] for i in range(1000)]
    if not all(isinstance(row, list) and len(row) == 2 and all(isinstance(text, str) for text in row) for row in rows):
        raise wrong
    wnids = [wnid for wnid, _ in rows]
    if not all(re.fullmatch(r"n\d{8}", wnid) for wnid in wnids) or wnids != sorted(set(wnids)):
        raise wrong
    return {wnid: name.replace("_", " ") for wnid, name in rows}
