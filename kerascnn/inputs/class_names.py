"""What classes are called, and which number each has.

A model that kerascnn trained knows its class names: its last softmax holds them, and so does its .keras file. Those of
CIFAR-10 and ImageNet are known. Labels may be names, and a set's classes need not be the model's or in its order.
"""

import csv
import json
import re
import warnings
from functools import cache
from pathlib import Path

import numpy as np

from ..graph.ends import output_layer
from ..support.text import unknown_name
from .batch import squeeze_labels
from .model_files import get_fact, read_facts, set_fact, write_model_file

IMAGENET = 1000  # classes
CIFAR10 = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
TABLE = Path(__file__).with_name("imagenet_classes.csv")
NAMES = "class_names"  # what a model knows by this name
LABELS = "labels.json"  # beside a network that a study, a run or an export wrote


def published_class_names(classes):
    """The names of CIFAR-10's (10) or ImageNet's (1000) classes in their order; None for another number."""
    if classes == len(CIFAR10):
        return CIFAR10
    return tuple(imagenet_class_names().values()) if classes == IMAGENET else None


@cache
def imagenet_class_names():
    """{WordNet's number: name} of ImageNet's classes in their order; no name is given twice."""
    with open(TABLE, encoding="utf-8", newline="") as file:
        return {row["wnid"]: row["name"] for row in csv.DictReader(file)}


def stored_class_names(model):
    """The class names that a model was trained with, which its last layer or its file holds; None if unknown."""
    names = getattr(output_layer(model), "class_names", None)
    names = get_fact(model, NAMES) if names is None else names
    return None if names is None else tuple(names)


def store_class_names(model, class_names):
    """Let a model know its class names; names that only repeat the numbers of the classes are not stored.

    The softmax of a network of the zoo holds them, so that they are saved with the model however that is done. For
    any other model they are remembered as long as it is in memory, and `save_model` writes them into its file.
    """
    names = None if class_names is None else tuple(map(str, class_names))
    if names is not None and names == tuple(map(str, range(len(names)))):
        return
    layer = output_layer(model)
    if hasattr(layer, "class_names"):
        layer.class_names = names
    else:
        set_fact(model, NAMES, names)


def save_model(model, path, class_names=None):
    """Save a model as a .keras file that contains its class names: those given, or those that it knows."""
    before = stored_class_names(model)
    names = before if class_names is None else tuple(map(str, class_names))
    try:
        store_class_names(model, names)
        write_model_file(model, path, **{NAMES: names})
    finally:
        store_class_names(model, before)


def read_class_names(path):
    """The class names in a .keras file, or in the labels.json beside a model.keras; None if there are none."""
    names = check_names(read_facts(path).get(NAMES))
    labels = Path(path).with_name(LABELS)
    if names is not None or Path(path).name != "model.keras":
        return names
    try:
        return check_names(json.loads(labels.read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return None


def check_names(names):
    """A list of names as a tuple; None if it is something else."""
    is_list = isinstance(names, list) and all(isinstance(name, str) for name in names)
    return tuple(names) if is_list else None


def resolve_class_names(class_names, count, model):
    """The names of a model's ``count`` classes: as given, as stored with it, or as published; None if unknown."""
    if class_names is False:
        return None
    if class_names is None:
        stored = stored_class_names(model)
        if stored is not None and len(stored) == count:
            return stored
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
    elif is_ordered_alike(data_classes, class_names, width, model):
        warn_of_string_order(data_classes)
        numbers, model_classes = range(width), data_classes if class_names is None else None
    else:
        numbers = match_class_numbers(data_classes, model_classes, width)
    return np.asarray(numbers)[np.asarray(labels)], model_classes


def is_ordered_alike(known, class_names, width, model):
    """Whether the classes of a labeled set are taken as the model's in their order, for want of the model's names."""
    guessed = class_names is None and stored_class_names(model) is None
    return (guessed or class_names is False) and len(known) == width and not is_number_range(known, IMAGENET)


def match_class_numbers(data_classes, model_classes, width):
    """The model's numbers of classes whose names are numbers or, of ImageNet's classes, WordNet's numbers."""
    if all(name.isdecimal() and int(name) < width for name in data_classes):
        return [int(name) for name in data_classes]
    if width == IMAGENET and all(re.fullmatch(r"n\d{8}", name) for name in data_classes):
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
