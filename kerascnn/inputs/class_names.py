"""What classes are called, and which number each has.

CIFAR-10's ten are known by heart, ImageNet's thousand from Keras' class index. Labels may be names, and a set's
classes need not be the model's or in its order.
"""

import json
import re
import warnings
from collections import Counter
from functools import cache

import numpy as np

from ..support.text import unknown_name
from ..weights.fetch import fetch
from .batch import squeeze_labels

IMAGENET = 1000  # classes
CIFAR10 = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
INDEX = "https://storage.googleapis.com/download.tensorflow.org/data/imagenet_class_index.json"
HASH = "md5:c2c37ea517e94d9795004a39431a14cb"


def published_class_names(classes):
    """The names of CIFAR-10's (10) or ImageNet's (1000) classes in their order; None where there are none to be had.

    Two of ImageNet's names stand for two classes each; theirs are told apart by WordNet's number: "crane (n02012849)".
    """
    if classes == len(CIFAR10):
        return CIFAR10
    names = imagenet_class_names() if classes == 1000 else None
    if names is None:
        return None
    count = Counter(names.values())
    return tuple(name if count[name] == 1 else f"{name} ({wnid})" for wnid, name in names.items())


@cache
def imagenet_class_names():
    """{WordNet's number: name} of ImageNet's classes in their order, as Keras publishes them.

    Downloaded once; None, with one warning in a process, where that cannot be.
    """
    try:
        path = fetch(INDEX, "imagenet_class_index.json", HASH, what="names of the ImageNet classes")
        return read_class_index(path)
    except (OSError, ValueError) as error:
        warnings.warn(f"class names are not available, numbers are used instead: {error}", stacklevel=3)
        return None


def read_class_index(path):
    """A class index, checked: numbers 0 to 999, each with WordNet's number, in whose order they are, and a name."""
    with open(path, encoding="utf-8") as file:
        rows = json.load(file)
    wrong = ValueError(f"{path} should be the ImageNet class index with 1000 classes. Received: other content")
    if not isinstance(rows, dict) or rows.keys() != {str(i) for i in range(1000)}:
        raise wrong
    rows = [rows[str(i)] for i in range(1000)]
    if not all(isinstance(row, list) and len(row) == 2 and all(isinstance(text, str) for text in row) for row in rows):
        raise wrong
    wnids = [wnid for wnid, _ in rows]
    if not all(re.fullmatch(r"n\d{8}", wnid) for wnid in wnids) or wnids != sorted(set(wnids)):
        raise wrong
    return {wnid: name.replace("_", " ") for wnid, name in rows}


def resolve_class_names(class_names, count, model):
    """The names of a model's classes, or None."""
    if class_names is False:
        return None
    if class_names is None:
        is_known = count == IMAGENET or (count == 10 and "cifar10" in model.name)
        return published_class_names(count) if is_known else None
    if isinstance(class_names, str) or len(class_names) != count:
        received = repr(class_names) if isinstance(class_names, str) else f"{len(class_names)} names"
        raise ValueError(f"`class_names` should have one name for each of the {count} classes. Received: {received}")
    return tuple(map(str, class_names))


def align_labels(labels, data_classes, class_names, width, model):
    """(labels as a model of ``width`` classes numbers them or as they are, its classes' names or None).

    ``data_classes`` are the classes of the labeled set, by its own numbers; None if there is no such set. They are
    matched by name, by number if their names are numbers, or by order if there are as many as the model has.
    """
    if (
        class_names is not None
        and class_names is not False
        and (isinstance(class_names, str) or len(class_names) != width)
    ):
        received = repr(class_names) if isinstance(class_names, str) else f"{len(class_names)} names"
        raise ValueError(
            f"`class_names` should have one name for each of the {width} classes of the model. Received: {received}"
        )
    model_classes = resolve_class_names(class_names, width, model)
    if data_classes is None:
        return labels, model_classes
    data_classes = tuple(map(str, data_classes))
    if model_classes and {*data_classes} <= {*model_classes}:
        numbers = [model_classes.index(name) for name in data_classes]
    elif (
        (class_names is None or class_names is False)
        and len(data_classes) == width
        and not is_number_range(data_classes, 1000)
    ):
        warn_of_string_order(data_classes)
        numbers, model_classes = range(width), data_classes if class_names is None else None
    else:
        numbers = match_class_numbers(data_classes, model_classes, width)
    return np.asarray(numbers)[np.asarray(labels)], model_classes


def match_class_numbers(data_classes, model_classes, width):
    """The model's numbers of classes whose names are numbers or, of ImageNet's classes, WordNet's numbers."""
    if all(name.isdecimal() and int(name) < width for name in data_classes):
        return [int(name) for name in data_classes]
    if width == 1000 and all(re.fullmatch(r"n\d{8}", name) for name in data_classes) and imagenet_class_names():
        order = [*imagenet_class_names()]
        if {*data_classes} <= {*order}:
            return [order.index(name) for name in data_classes]
    if model_classes:
        raise ValueError(
            unknown_name(
                "class of the model", next(name for name in data_classes if name not in model_classes), model_classes
            )
        )
    received = f"{len(data_classes)} class{'es' * (len(data_classes) > 1)}, such as {data_classes[0]!r}"
    raise ValueError(
        f"`class_names` should be the model's {width} class names in output order. "
        f"Received: None, but the data have {received}"
    )


def is_number_range(class_names, count):
    """Whether these are the numbers below ``count``, in whatever order."""
    return len(class_names) == count and {*class_names} == {*map(str, range(count))}


def warn_of_string_order(class_names):
    """Warn where classes called 0, 1, .. 10 stand in the order of their letters."""
    if is_number_range(class_names, len(class_names)) and [*class_names] != [*map(str, range(len(class_names)))]:
        first_names = ", ".join(class_names[:3])
        text = (
            f"class names are sorted alphabetically, starting with {first_names}; pass `class_names` for another order"
        )
        warnings.warn(text, stacklevel=5)


def labels_to_numbers(labels, total, width, class_names):
    """Labels as class numbers (N,), from numbers or names."""
    labels = squeeze_labels(labels)
    if labels.shape != (total,):
        hint = "; for one-hot labels, pass labels.argmax(1)" if labels.ndim == 2 else ""
        raise ValueError(
            f"`labels` should have shape ({total},), one label per image. Received: shape {labels.shape}{hint}"
        )
    if labels.dtype.kind in "OU":
        labels = names_to_numbers([str(label) for label in labels], width, class_names)
    if labels.dtype.kind == "f" and np.isfinite(labels).all() and np.array_equal(labels, labels.astype(np.int64)):
        labels = labels.astype(np.int64)
    if labels.dtype.kind not in "iu" or labels.min() < 0 or labels.max() >= width:
        span = f"{labels.min()} to {labels.max()}"
        raise ValueError(
            f"`labels` should be class numbers 0 to {width - 1}, or class names. Received: {labels.dtype}, {span}"
        )
    return labels.astype(np.int64)


def names_to_numbers(labels, width, class_names):
    """Class numbers from names, or from numbers written as text."""
    number_by_name = {name: i for i, name in enumerate(class_names or ())}
    numbers = []
    for label in labels:
        number = number_by_name.get(label, int(label) if label.isdecimal() else None)
        if number is None:
            if not class_names:
                raise ValueError(
                    f"`labels` should be class numbers 0 to {width - 1}, because the class names are unknown. "
                    f"Received: {label!r}"
                )
            raise ValueError(unknown_name("class", label, class_names))
        numbers.append(number)
    return np.array(numbers, np.int64)
