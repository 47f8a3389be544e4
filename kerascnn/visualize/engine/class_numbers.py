"""Classes that a user asks about, by number or by name, as numbers."""

import numpy as np

from ...inputs.classifier import resolve_class_names
from ...support.text import unknown


def class_numbers(classes, count, *, class_names=None, model=None, argument="classes"):
    """The numbers of one or several classes, as an array.

    Args:
        classes: a number or a name, or several.
        count: how many classes there are.
        class_names: their names in order, or False for none; by default those that are known of ``model``.
        model: a Keras model, whose name may say what its classes are called.
        argument: what errors call the classes.

    Returns:
        An array (n,) of whole numbers.
    """
    numbers = np.atleast_1d(replace_names(classes, count, class_names=class_names, model=model, argument=argument))
    whole = numbers.dtype.kind in "iu" and numbers.ndim == 1 and numbers.size
    if not whole or numbers.min() < 0 or numbers.max() >= count:
        raise ValueError(f"`{argument}` should be numbers from 0 to {count - 1}, or names. Received: {classes!r}")
    return numbers


def replace_names(classes, count, *, class_names=None, model=None, argument="classes"):
    """``classes`` as they were given, with numbers in place of names."""
    if isinstance(classes, str):
        return number_of(classes, resolve_class_names(class_names, count, model) or (), count, argument)
    if np.ndim(classes) == 0 or not any(isinstance(each, str) for each in classes):
        return classes
    known = resolve_class_names(class_names, count, model) or ()
    return [number_of(each, known, count, argument) if isinstance(each, str) else each for each in classes]


def number_of(name, known, count, argument):
    """The number of a class by its name."""
    if name in known:
        return known.index(name)
    expected = f"`{argument}` should be a number from 0 to {count - 1}"
    if not known:
        raise ValueError(f"{expected}: the names of these classes are not known. Received: {name!r}")
    raise ValueError(f"{expected}, or a class's name. {unknown('class', name, known)}")
