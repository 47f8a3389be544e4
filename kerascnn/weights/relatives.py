"""Which other networks of the zoo a file of weights fits, where it does not fit the one that was asked for."""

from fnmatch import fnmatchcase
from functools import lru_cache

import keras

from ..registry import CARDS, sources
from ..weightless import weightless
from .fitting import best, fit, plans
from .limits import WeightsError
from .naming import ASIDE
from .slots import slots

NOT_LEARNED = ("*running_mean", "*running_var", "*moving_mean*", "*moving_variance*", *ASIDE)
FEW = 10  # networks of a family that are all tried; of a larger one those with about as many parameters
NEAR = 0.2  # share by which a published count may miss the file's, whose classifier may be for other classes


def networks_for(path, arrays, network):
    """Names of the networks of the same family whose names and shapes the arrays have.

    Where weights are published in the file's layout for some of them, only those are named. Nothing is named for a
    network that is not in the registry.
    """
    row = CARDS.get(network)
    if row is None:
        return []
    count = sum(array.size for name, array in arrays.items() if not matches(name, NOT_LEARNED))
    family = [other for other in CARDS.values() if other.family == row.family and other.name != network]
    if len(family) > FEW:
        family = [other for other in family if other.params is None or abs(other.params - count) <= NEAR * count]
    layouts = {other.name: layout_for(other.name, path, arrays) for other in family}
    found = [name for name, layout in layouts.items() if layout]
    return [name for name in found if is_published(name, layouts[name])] or found


def is_published(network, layout):
    """Whether somebody publishes weights for a network in this layout."""
    return any(source.layout == layout for source in sources().get(network, ()))


def matches(name, patterns):
    """Whether a name fits one of the shell's patterns."""
    return any(fnmatchcase(name, pattern) for pattern in patterns)


@lru_cache(maxsize=8)
def outline(name):
    """A network as its card has it, without auxiliary classifiers and without memory for its weights."""
    row = CARDS[name]
    with weightless():
        inputs = keras.Input(row.input_shape)
        scores = row.head(row.trunk(inputs, **row.config), row.classes)
        return keras.Model(inputs, scores, name=row.name)


def layout_for(network, path, arrays):
    """The layout in which a network takes the arrays; "" where it does not."""
    model = outline(network)
    try:
        plan = best(path, plans(network, slots(model), arrays, model), arrays, network)
        fit(path, plan, arrays)
    except WeightsError:
        return ""
    return plan.layout
