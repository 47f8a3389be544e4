"""A model without one of its parts: copied without it, the model itself stays as it is.

A residual block loses its branch, x + f(x) becomes x; a chain of layers is bypassed where what leaves has the shape of
what enters; units give 0 or their mean in place of what they see.
"""

import re
from dataclasses import dataclass

import numpy as np

from ..graph.copy import clone
from ..graph.walk import functional
from ..support.text import sides, unknown

HOW = ("remove", "zero", "mean")


class NotRemovable(ValueError):
    """A part that a network cannot be without, and why."""


@dataclass(frozen=True)
class Calls:
    """The calls of a model's layers by name: what enters each, what leaves, and who reads it."""

    kinds: dict
    inputs: dict  # layer -> the layers before it, in the order of its arguments
    shapes: dict
    readers: dict
    ends: tuple
    often: frozenset  # layers that are called more than once


def flat(model):
    """The model as a functional one, without a call of its layers."""
    function = functional(model)
    if function is None:
        raise ValueError(f"`model` should be a functional or built Sequential Keras model. Received: {model!r}")
    return function


def calls_of(model):
    """The ``Calls`` of a functional model."""
    kinds, inputs, shapes, readers, often = {}, {}, {}, {}, set()
    for node in (node for depth in model._nodes_by_depth.values() for node in depth):
        name = node.operation.name
        often |= {name} & kinds.keys()
        kinds[name] = type(node.operation).__name__
        inputs[name] = [tensor._keras_history.operation.name for tensor in node.input_tensors]
        shapes[name] = tuple(node.outputs[0].shape)
        for before in inputs[name]:
            readers.setdefault(before, []).append(name)
    ends = tuple(tensor._keras_history.operation.name for tensor in model.outputs)
    return Calls(kinds, inputs, shapes, readers, ends, frozenset(often))


def part_of(calls, name):
    """The layers of a part: a layer, or a block or stage, whose layers' names begin with its name."""
    inside = {other for other in calls.inputs if other == name or other.startswith(f"{name}_")}
    if name in inside:  # "conv2d_1" is no part of "conv2d": so Keras tells apart layers that nobody named
        inside = {other for other in inside if not re.match(r"_\d+(_|$)", other[len(name) :])}
    if not inside:
        raise ValueError(unknown("layer, block or stage", name, [*calls.inputs]))
    ends = {each for each in inside if any(reader not in inside for reader in calls.readers.get(each, ()))}
    behind = {reader for each in ends for reader in calls.readers[each] if reader not in inside}
    # a stage's last layer has the stage's name: of its last block the joining layer is missing
    if len(ends) > 1 and len(behind) == 1 and inside.issuperset(calls.inputs[next(iter(behind))]):
        inside |= behind
    return inside


def without(model, name, how="remove", *, units=None, means=None):
    """A copy of the model, weights and all, without a layer, block or stage; `NotRemovable` where that cannot be.

    ``how``: "remove" takes the branches of a residual block or stage away, or else bypasses the part; "zero" and "mean"
    replace the part's output, or only these ``units`` (channels) of it, by 0 or by ``means``.
    """
    if how not in HOW:
        raise ValueError(unknown("way to ablate", how, HOW))
    model = flat(model)
    calls = calls_of(model)
    inside = part_of(calls, name)
    if inside & calls.often:
        raise NotRemovable(f"{name} is called more than once")
    if any(not calls.inputs[each] for each in inside):
        raise NotRemovable(f"{name} is the model's input")
    if how != "remove":
        end = exit_of(calls, inside, name)
        scale, offset = replacement(calls.shapes[end][-1], units, means if how == "mean" else None)
        return clone(model, scaled={end: (scale, offset)})
    if units is not None:
        raise ValueError(f"`how` should be 'zero' or 'mean' for single units of {name}. Received: 'remove'")
    sums = sums_of(calls, inside)
    if sums:
        return clone(model, passed={each: (each, shortcut(calls, each, inside)) for each in sums})
    return clone(model, passed=bypass(calls, inside, name))


def sums_of(calls, inside):
    """The residual sums of a part; or else the one behind it, of which the part is a whole branch."""
    own = [each for each in inside if is_sum(calls, each)]
    if own:
        return own
    behind = {reader for each in inside for reader in calls.readers.get(each, ()) if reader not in inside}
    if len(behind) != 1 or not is_sum(calls, *behind):
        return []
    enters = {before for each in inside for before in calls.inputs[each] if before not in inside}
    joined = {*calls.inputs[next(iter(behind))]} - inside  # nothing where the shortcut too is of the part
    return [*behind] if len(enters) == 1 and joined <= enters else []


def is_sum(calls, name):
    """Whether a layer adds two maps."""
    return calls.kinds[name] == "Add" and len(calls.inputs[name]) == 2


def shortcut(calls, name, inside):
    """Which argument of a sum, 0 or 1, is the shortcut: what the other is made of, or else the shorter way to it."""
    first, second = calls.inputs[name]
    if name not in inside and (first in inside) != (second in inside):
        return int(first in inside)
    before = [above(calls, first), above(calls, second)]
    ways = [len(before[0] - before[1]), len(before[1] - before[0])]
    if ways[0] == ways[1]:
        raise NotRemovable(f"{name} adds two branches of equal length, neither of which is a shortcut")
    return int(ways[1] < ways[0])


def above(calls, name):
    """A layer and all that it is made of."""
    found, waiting = set(), [name]
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += calls.inputs[name]
    return found


def exit_of(calls, inside, name):
    """The one layer of a part that others read."""
    if inside & {*calls.ends}:
        raise NotRemovable(f"{name} gives the model's output")
    ends = sorted(each for each in inside if any(reader not in inside for reader in calls.readers.get(each, ())))
    if len(ends) != 1:
        raise NotRemovable(f"{name} is read at {len(ends)} places: {', '.join(ends)}")
    return ends[0]


def bypass(calls, inside, name):
    """{last layer of a part: (its first layer, argument)}, where their shapes agree."""
    end = exit_of(calls, inside, name)
    entries = [(each, i) for each in sorted(inside) for i, b in enumerate(calls.inputs[each]) if b not in inside]
    sources = sorted({calls.inputs[each][i] for each, i in entries})
    if len(sources) != 1:
        raise NotRemovable(f"{name} reads {len(sources)} maps: {', '.join(sources)}")
    enters, leaves = calls.shapes[sources[0]], calls.shapes[end]
    if enters != leaves:
        raise NotRemovable(f"{name} makes {sized(leaves)} of {sized(enters)}")
    return {end: entries[0]}


def sized(shape):
    """A shape without the batch, as people write it."""
    return sides(shape[1:])


def replacement(width, units, means):
    """Scale and offset of each unit that put ``means``, or 0, in place of some units, or of all."""
    chosen = np.arange(width) if units is None else np.unique(np.asarray(units))
    if chosen.dtype.kind not in "iu" or not len(chosen) or chosen[0] < 0 or chosen[-1] >= width:
        raise ValueError(f"`units` should be numbers 0 to {width - 1}. Received: {units!r}")
    scale, offset = np.ones(width), np.zeros(width)
    scale[chosen] = 0
    if means is not None:
        if np.shape(means) != (width,):
            raise ValueError(f"`means` should be {width} numbers, one a unit. Received: shape {np.shape(means)}")
        offset[chosen] = np.asarray(means)[chosen]
    return scale.tolist(), offset.tolist()
