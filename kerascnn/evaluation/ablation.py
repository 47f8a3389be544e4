"""What each part of a network is worth: its accuracy without a layer, block or stage, as it is and trained again.

The network is copied without the part, and itself stays as it is. A residual block loses its branch, x + f(x) becomes
x; a chain of layers is bypassed where what leaves has the shape of what enters; units give 0 or their mean in place of
what they see.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import keras
import numpy as np

from ..graph.copy import clone
from ..graph.walk import functional
from ..inputs.classifier import classifier
from ..support.display import Measured
from ..support.files import plain, records
from ..support.text import percent, sides, unknown
from .compare import compare
from .evaluate import Evaluation, labeled, measured
from .statistics import wilson

HOW = ("remove", "zero", "mean")


@dataclass(frozen=True, eq=False)
class Ablation(Measured):
    """The network with each part left out, on the same images.

    ``table`` has a row for each part: parameters, accuracy with Wilson's interval, and the drop from the intact network
    with the paired bootstrap's interval and McNemar's p; where there was training, the same for retrained networks,
    against the intact one retrained alike. ``refused`` says of parts why the network cannot be without.
    """

    intact: Evaluation
    table: object = field(repr=False)
    evaluations: Mapping = field(repr=False)
    refused: Mapping
    retrained: Evaluation | None = None

    def __str__(self):
        return self.text()

    def text(self):
        """The table, and what was refused."""
        shown = readable_table(self.table).to_string(index=False, float_format="{:.2g}".format)
        refused = [f"cannot be left out: {name}, {reason}" for name, reason in self.refused.items()]
        trained = f", {percent(self.retrained.accuracy)} retrained" if self.retrained else ""
        intact = f"intact {percent(self.intact.accuracy)}{trained}, {len(self.intact):,} images"
        return "\n".join([intact, shown, *refused])

    def plot(self):
        """The drops with their intervals as a figure."""
        from .figures import draw_drops

        return draw_drops(self.table, f"{self.intact.model or 'The network'} without ...")

    def facts(self):
        """The numbers as plain data."""
        again = self.retrained and plain(self.retrained.accuracy)
        intact = {"accuracy": plain(self.intact.accuracy), "retrained": again}
        return {"intact": intact, "parts": records(self.table), "refused": dict(self.refused)}


def ablate(model, names, images, labels=None, *, how="remove", retrain: Callable = None, part=None, **options):
    """What happens without a layer, block or stage: an ``Ablation``; the model itself stays as it is.

    ``images``, ``labels``, ``part`` and ``options`` are as in ``evaluate``.
    ``names`` are layers, or what names of a block's or stage's layers begin with ("stage2_block1", "stage2"). "remove"
    takes the branches of residual blocks away and bypasses other parts if their shapes allow; "zero" and "mean" put 0
    or the mean over these images in place of the part's output; ("stage2", [3, 5]) means these units of it only.
    This is lesioning: the remaining weights were trained with the part. ``retrain(network)`` may train a copy (in
    place, or return another), on other images than these; the intact network is then retrained alike for comparison.
    """
    return ablated(model, names, labeled(images, labels, part=part), how=how, retrain=retrain, **options)


def ablated(model, names, given, *, how="remove", retrain=None, batch_size=64, **options):
    """``ablate`` on a labeled `Batch`."""
    model, parts, options = flat(model), listed(names), {"batch_size": batch_size, **options}
    means = means_of(model, [name for name, _ in parts], given, options) if how == "mean" else {}
    cut, refused = {}, {}
    for name, units in parts:
        try:
            cut[called(name, units)] = without(model, name, how, units=units, means=means.get(name))
        except NotRemovable as reason:
            refused[called(name, units)] = str(reason)
    if not cut:
        raise NotRemovable("; ".join(refused.values()))
    intact, again, found = measured(model, given, **options), None, {}
    if retrain:
        again = measured(trained(clone(model), retrain), given, **options)
    rows = []
    for name in [*cut]:
        network = cut.pop(name)  # which is then free again
        row, found[name] = [name, how, network.count_params()], measured(network, given, **options)
        row += dropped(intact, found[name])
        if retrain:
            found[f"{name} retrained"] = measured(trained(network, retrain), given, **options)
            row += dropped(again, found[f"{name} retrained"])
        rows.append(row)
    return Ablation(intact, framed(rows, retrain), found, refused, again)


def listed(names):
    """[(name, units or None)] from a name, names, or names with units."""
    names = [names] if isinstance(names, str) else list(names)
    parts = [(name, None) if isinstance(name, str) else tuple(name) for name in names]
    if not parts or any(len(part) != 2 or not isinstance(part[0], str) for part in parts):
        raise ValueError(f"`names` should be names of parts, or (name, units). Received: {names!r}")
    return parts


def called(name, units):
    """What a part is called in the table."""
    return name if units is None else f"{name}:{','.join(map(str, units))}"


def trained(network, retrain):
    """The network after training; what ``retrain`` returns, or else the network that it was given."""
    result = retrain(network)
    return result if isinstance(result, keras.Model) else network


def dropped(intact, other):
    """Accuracy with its interval, and the drop with its."""
    versus = compare(intact, other)
    return [*wilson(int(other.right.sum()), len(other)), *versus.difference, versus.p]


def framed(rows, retrain):
    import pandas as pd

    columns = ["accuracy", "low", "high", "drop", "drop_low", "drop_high", "p"]
    again = [f"retrained_{column}" for column in columns] if retrain else []
    return pd.DataFrame(rows, columns=["part", "how", "params", *columns, *again])


def readable_table(table):
    """The table in per cent and points, intervals in brackets."""
    import pandas as pd

    shown = {"without": table["part"], "params": [f"{count:,}" for count in table["params"]]}
    for prefix, title in (("", ""), ("retrained_", "retrained ")):
        if f"{prefix}drop" in table:
            drops = 100 * table[[f"{prefix}drop", f"{prefix}drop_low", f"{prefix}drop_high"]].to_numpy()
            shown[f"{title}%"] = [f"{100 * share:.1f}" for share in table[f"{prefix}accuracy"]]
            shown[f"{title}lost"] = ["{:.1f} ({:.1f} to {:.1f})".format(*row) for row in drops]
            shown[f"{title}p"] = table[f"{prefix}p"]
    return pd.DataFrame(shown)


def means_of(model, names, given, options):
    """{name: the mean of each channel of a part's output}, over images and places."""
    calls, ends = calls_of(model), {}
    for name in names:
        try:
            ends[name] = exit_of(calls, part_of(calls, name), name)
        except NotRemovable:
            continue  # which `without` says again
    if not ends:
        return {}
    outputs = {end: model.get_layer(end).output for end in ends.values()}
    taps = keras.Model(model.input, outputs)
    total, count = dict.fromkeys(outputs, 0.0), dict.fromkeys(outputs, 0)
    preprocess = options.get("preprocess") or (lambda pixels: pixels)
    preprocessing = classifier(model).preprocessing_of(given)
    for _, pixels in given.chunks(preprocessing, options["batch_size"]):
        found = taps.predict_on_batch(preprocess(pixels))
        for end, maps in found.items():
            maps = np.asarray(maps, np.float64)
            total[end] = total[end] + maps.reshape(-1, maps.shape[-1]).sum(axis=0)
            count[end] += maps[..., 0].size
    return {name: total[end] / count[end] for name, end in ends.items()}


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
        raise NotRemovable(f"{name} makes {sides(leaves[1:])} of {sides(enters[1:])}")
    return {end: entries[0]}


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
