"""What a user gives to ``build_model``, checked before anything is drawn: which argument, what it should be, what came.

``row`` is the network's card, None where the question is about no network of the zoo.
"""

import inspect
from functools import partial

import keras

from .layers import SCALES
from .registry import unknown

OWN = ("input_shape", "classes", "weights", "scale", "aux", "dtype")
DTYPES = ("float32", "float64", "float16", "bfloat16", "mixed_float16", "mixed_bfloat16")


def shape(row, given):
    """(height, width, channels), sizes None where open."""
    if given is None:
        return row.input_shape
    advice = f"{row.name} was published at {row.input_shape}. " if row else ""
    wrong = f"`input_shape` should be (height, width, channels), such as (224, 224, 3). {advice}Received: {given!r}"
    if not isinstance(given, tuple | list) or len(given) != 3 or given[2] is None:
        raise ValueError(wrong)
    if not all(side is None or (isinstance(side, int) and side > 0) for side in given):
        raise ValueError(wrong)
    if given[0] in (1, 3) and given[1] == given[2] and given[2] > 4:
        raise ValueError(f"{wrong}, which puts the channels first; they come last here")
    return tuple(given)


def classes(row, given):
    if given is None and row is not None:
        return row.classes
    if not isinstance(given, int) or isinstance(given, bool) or given < 2:
        raise ValueError(
            f"`classes` should be a whole number of at least 2 (yes or no is two classes). Received: {given!r}"
        )
    return given


def scale(row, given):
    """The name of a scaling."""
    if given is None:
        return row.scale
    if given not in SCALES:
        raise ValueError(unknown("scale", given, SCALES))
    return given


def aux(row, given):
    """The auxiliary classifiers to draw."""
    if given not in (None, True, False):
        raise ValueError(f"`aux` should be True, False or None. Received: {given!r}")
    if given and not row.aux:
        raise ValueError(
            f"`aux` should be False for {row.name}, which has no auxiliary classifiers (googlenet_aux and "
            "inception_v3_aux have). Received: True"
        )
    return {} if given is False else row.aux


def dtype(given):
    if not isinstance(given, keras.DTypePolicy) and given not in DTYPES:
        raise ValueError(unknown("dtype", given, DTYPES))
    return given


def overrides(row, given):
    """Trunk and head with the card's configuration and what the user replaces in it."""
    trunk, head = keywords(row.trunk), keywords(row.head)
    for key, value in given.items():
        if key not in trunk and key not in head:
            raise ValueError(unknown(f"argument of {row.name}", key, {*OWN, *trunk, *head}))
        usual = row.config.get(key, trunk.get(key, head.get(key)))
        if usual is not None and not alike(value, usual):
            raise ValueError(f"`{key}` of {row.name} should be like {shown(usual)}. Received: {shown(value)}")
    config = dict(row.config) | {key: value for key, value in given.items() if key in trunk}
    rest = {key: value for key, value in given.items() if key not in trunk}
    return partial(row.trunk, **config), partial(row.head, **rest)


def keywords(function):
    """The keyword-only parameters of a function and their defaults."""
    parameters = inspect.signature(function).parameters.values()
    return {p.name: None if p.default is p.empty else p.default for p in parameters if p.kind is p.KEYWORD_ONLY}


def alike(value, usual):
    """Whether ``value`` can stand where ``usual`` stands."""
    if callable(usual):
        return callable(value)
    if isinstance(usual, tuple | list):
        return isinstance(value, tuple | list)
    if isinstance(usual, bool):
        return isinstance(value, bool)
    number = int if isinstance(usual, int) else int | float
    return isinstance(value, number) and not isinstance(value, bool)


def shown(value):
    return getattr(value, "__name__", None) or repr(value)
