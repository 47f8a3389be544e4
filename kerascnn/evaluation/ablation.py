"""Ablation: the accuracy of a network without a layer, block or stage, with and without retraining.

The network is copied without the part. A residual block loses its branch, so that x + f(x) becomes x; a chain of layers
is bypassed if its output has the shape of its input; units can be replaced by 0 or by their mean.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import keras
import numpy as np

from ..graph.copy import clone_with_changes
from ..graph.walk import functional_of
from ..inputs.classifier import classifier
from ..support.display import MeasuredResult
from ..support.files import table_records, to_json_data
from ..support.text import format_percent, format_shape, unknown_name
from ..support.types import Array, ClassNames, Dataset, Images, Labels, Model, OnProgress, Units, Verbose
from .compare import compare
from .evaluate import Evaluation, evaluate_batch, load_labeled_images
from .statistics import wilson

MODES = ("remove", "zero", "mean")


@dataclass(frozen=True, eq=False)
class Ablation(MeasuredResult):
    """Accuracy of a network without each of several parts, on the same images.

    Attributes:
        baseline: `Evaluation` of the unchanged network.
        table: DataFrame with a row for each part: parameters, accuracy with Wilson's interval, and the drop from the
            unchanged network with the paired bootstrap's interval and McNemar's p; after retraining, the same for the
            retrained networks compared with the retrained baseline.
        evaluations: `Evaluation` of each network by the name of the removed part.
        not_removable: the reason for each part that cannot be removed.
        retrained_baseline: `Evaluation` of the unchanged network after retraining, or None.
    """

    baseline: Evaluation
    table: object = field(repr=False)
    evaluations: Mapping = field(repr=False)
    not_removable: Mapping
    retrained_baseline: Evaluation | None = None

    def __str__(self):
        return self.text()

    def text(self):
        """The table, and what was refused."""
        shown = readable_table(self.table).to_string(index=False, float_format="{:.2g}".format)
        refused = [f"cannot be removed: {name}, {reason}" for name, reason in self.not_removable.items()]
        trained = f", {format_percent(self.retrained_baseline.accuracy)} retrained" if self.retrained_baseline else ""
        intact = f"unchanged network: {format_percent(self.baseline.accuracy)}{trained}, {len(self.baseline):,} images"
        return "\n".join([intact, shown, *refused])

    def plot(self):
        """The drops with their intervals as a figure."""
        from .figures import draw_drops

        return draw_drops(self.table, f"Accuracy of {self.baseline.model or 'the network'} without ...")

    def to_dict(self):
        """The numbers as plain data."""
        again = self.retrained_baseline and to_json_data(self.retrained_baseline.accuracy)
        intact = {"accuracy": to_json_data(self.baseline.accuracy), "retrained": again}
        return {"intact": intact, "parts": table_records(self.table), "refused": dict(self.not_removable)}


def ablate(
    model: Model,
    layers: str | Sequence[str | tuple[str, Sequence[int]]],
    images: Images | Dataset,
    labels: Labels | None = None,
    *,
    mode: str = "remove",
    retrain: Callable | None = None,
    part: str | None = None,
    class_names: ClassNames | None = None,
    batch_size: int = 64,
    top: Sequence[int] = (1, 5),
    preprocess: Callable | None = None,
    verbose: Verbose = "auto",
    on_progress: OnProgress | None = None,
) -> Ablation:
    """Measure the accuracy of a network without some of its layers or blocks.

    This is lesioning: the remaining weights were trained together with the removed part. The model is not changed.

    Args:
        model: a functional or built Sequential Keras model.
        layers: names of layers, or the names with which the layers of a block or stage begin ("stage2_block1",
            "stage2"). `("stage2", [3, 5])` means only these units of its output.
        images: images or a dataset, as in `evaluate`.
        labels: true classes of the images; None for a dataset, which has its own.
        mode: "remove" takes the branches of residual blocks away and bypasses other parts if their shapes allow it;
            "zero" and "mean" replace the output of a part by 0 or by its mean over these images.
        retrain: function that trains a copy of the network in place, or returns another one; use other images than
            these. The unchanged network is then retrained alike for comparison.
        part: split of a dataset: "test", "valid" or "train".
        class_names: names of the classes of the model, as in `evaluate`.
        batch_size: images per batch.
        top: ranks for top-k accuracies.
        preprocess: function from a batch of pixels, 0 to 255, to what the model expects.
        verbose: "auto", 0 (silent), 1 (progress bar) or 2 (lines).
        on_progress: called as `on_progress(done, total, what)`; it may raise an exception to stop.

    Returns:
        An `Ablation` with the accuracy and the drop for each part.
    """
    images = load_labeled_images(images, labels, part=part)
    return run_ablation(
        model,
        layers,
        images,
        mode=mode,
        retrain=retrain,
        class_names=class_names,
        batch_size=batch_size,
        top=top,
        preprocess=preprocess,
        verbose=verbose,
        on_progress=on_progress,
    )


def run_ablation(model, names, given, *, mode="remove", retrain=None, batch_size=64, **options):
    """``ablate`` on a labeled `Batch`."""
    model, parts, options = functional_model(model), parse_parts(names), {"batch_size": batch_size, **options}
    means = mean_outputs(model, [name for name, _ in parts], given, options) if mode == "mean" else {}
    cut, refused = {}, {}
    for name, units in parts:
        try:
            cut[part_label(name, units)] = without_part(model, name, mode, units=units, means=means.get(name))
        except NotRemovable as reason:
            refused[part_label(name, units)] = str(reason)
    if not cut:
        raise NotRemovable("; ".join(refused.values()))
    intact, again, found = evaluate_batch(model, given, **options), None, {}
    if retrain:
        again = evaluate_batch(retrain_network(clone_with_changes(model), retrain), given, **options)
    rows = []
    for name in [*cut]:
        network = cut.pop(name)  # which is then free again
        row, found[name] = [name, mode, network.count_params()], evaluate_batch(network, given, **options)
        row += accuracy_and_drop(intact, found[name])
        if retrain:
            found[f"{name} retrained"] = evaluate_batch(retrain_network(network, retrain), given, **options)
            row += accuracy_and_drop(again, found[f"{name} retrained"])
        rows.append(row)
    return Ablation(intact, ablation_table(rows, retrain), found, refused, again)


def parse_parts(names):
    """[(name, units or None)] from a name, names, or names with units."""
    names = [names] if isinstance(names, str) else list(names)
    parts = [(name, None) if isinstance(name, str) else tuple(name) for name in names]
    if not parts or any(len(part) != 2 or not isinstance(part[0], str) for part in parts):
        raise ValueError(f"`layers` should be names of layers, blocks or stages, or (name, units). Received: {names!r}")
    return parts


def part_label(name, units):
    """What a part is called in the table."""
    return name if units is None else f"{name}:{','.join(map(str, units))}"


def retrain_network(network, retrain):
    """The network after training; what ``retrain`` returns, or else the network that it was given."""
    result = retrain(network)
    return result if isinstance(result, keras.Model) else network


def accuracy_and_drop(intact, other):
    """Accuracy with its interval, and the drop with its."""
    versus = compare(intact, other)
    return [*wilson(int(other.correct.sum()), len(other)), *versus.difference, versus.p]


def ablation_table(rows, retrain):
    import pandas as pd

    columns = ["accuracy", "low", "high", "drop", "drop_low", "drop_high", "p"]
    again = [f"retrained_{column}" for column in columns] if retrain else []
    return pd.DataFrame(rows, columns=["part", "mode", "params", *columns, *again])


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


def mean_outputs(model, names, given, options):
    """{name: the mean of each channel of a part's output}, over images and places."""
    calls, ends = layer_calls(model), {}
    for name in names:
        try:
            ends[name] = output_layer(calls, layers_of_part(calls, name), name)
        except NotRemovable:
            continue  # which `without_part` says again
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
    """A part of a network cannot be removed; the message says why."""


@dataclass(frozen=True)
class LayerCalls:
    """The calls of a model's layers by name: what enters each, what leaves, and who reads it."""

    kinds: dict
    inputs: dict  # layer -> the layers before it, in the order of its arguments
    shapes: dict
    readers: dict
    ends: tuple
    often: frozenset  # layers that are called more than once


def functional_model(model):
    """The model as a functional one, without a call of its layers."""
    function = functional_of(model)
    if function is None:
        raise ValueError(f"`model` should be a functional or built Sequential Keras model. Received: {model!r}")
    return function


def layer_calls(model):
    """The ``LayerCalls`` of a functional model."""
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
    return LayerCalls(kinds, inputs, shapes, readers, ends, frozenset(often))


def layers_of_part(calls, name):
    """The layers of a part: a layer, or a block or stage, whose layers' names begin with its name."""
    inside = {other for other in calls.inputs if other == name or other.startswith(f"{name}_")}
    if name in inside:  # "conv2d_1" is no part of "conv2d": so Keras tells apart layers that nobody named
        inside = {other for other in inside if not re.match(r"_\d+(_|$)", other[len(name) :])}
    if not inside:
        raise ValueError(unknown_name("layer, block or stage", name, [*calls.inputs]))
    ends = {each for each in inside if any(reader not in inside for reader in calls.readers.get(each, ()))}
    behind = {reader for each in ends for reader in calls.readers[each] if reader not in inside}
    # a stage's last layer has the stage's name: of its last block the joining layer is missing
    if len(ends) > 1 and len(behind) == 1 and inside.issuperset(calls.inputs[next(iter(behind))]):
        inside |= behind
    return inside


def without_part(
    model: Model, part: str, mode: str = "remove", *, units: Units | None = None, means: Array | None = None
) -> Model:
    """Copy a model, with its weights, without a layer, block or stage.

    Args:
        model: a functional or built Sequential Keras model; it is not changed.
        part: name of a layer, block or stage.
        mode: "remove" takes the branches of a residual block or stage away, or else bypasses the part; "zero" and
            "mean" replace its output by 0 or by `means`.
        units: channels of the output to replace; None replaces all. Only for "zero" and "mean".
        means: one value per channel, for "mean".

    Returns:
        The new Keras model. Raises `NotRemovable` if the network cannot work without the part.
    """
    if mode not in MODES:
        raise ValueError(unknown_name("ablation mode", mode, MODES))
    model = functional_model(model)
    calls = layer_calls(model)
    inside = layers_of_part(calls, part)
    if inside & calls.often:
        raise NotRemovable(f"{part} is called more than once")
    if any(not calls.inputs[each] for each in inside):
        raise NotRemovable(f"{part} is the model's input")
    if mode != "remove":
        end = output_layer(calls, inside, part)
        scale, offset = unit_scaling(calls.shapes[end][-1], units, means if mode == "mean" else None)
        return clone_with_changes(model, rescale={end: (scale, offset)})
    if units is not None:
        raise ValueError(f"`mode` should be 'zero' or 'mean' for single units of {part}. Received: 'remove'")
    sums = residual_sums(calls, inside)
    if sums:
        return clone_with_changes(model, bypass={each: (each, shortcut_argument(calls, each, inside)) for each in sums})
    return clone_with_changes(model, bypass=bypass_part(calls, inside, part))


def residual_sums(calls, inside):
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


def shortcut_argument(calls, name, inside):
    """Which argument of a sum, 0 or 1, is the shortcut: what the other is made of, or else the shorter way to it."""
    first, second = calls.inputs[name]
    if name not in inside and (first in inside) != (second in inside):
        return int(first in inside)
    before = [layer_ancestors(calls, first), layer_ancestors(calls, second)]
    ways = [len(before[0] - before[1]), len(before[1] - before[0])]
    if ways[0] == ways[1]:
        raise NotRemovable(f"{name} adds two branches of equal depth, neither of which is a shortcut")
    return int(ways[1] < ways[0])


def layer_ancestors(calls, name):
    """A layer and all that it is made of."""
    found, waiting = set(), [name]
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += calls.inputs[name]
    return found


def output_layer(calls, inside, name):
    """The one layer of a part that others read."""
    if inside & {*calls.ends}:
        raise NotRemovable(f"{name} is the output of the model")
    ends = sorted(each for each in inside if any(reader not in inside for reader in calls.readers.get(each, ())))
    if len(ends) != 1:
        raise NotRemovable(f"{name} is used by {len(ends)} layers: {', '.join(ends)}")
    return ends[0]


def bypass_part(calls, inside, name):
    """{last layer of a part: (its first layer, argument)}, where their shapes agree."""
    end = output_layer(calls, inside, name)
    entries = [(each, i) for each in sorted(inside) for i, b in enumerate(calls.inputs[each]) if b not in inside]
    sources = sorted({calls.inputs[each][i] for each, i in entries})
    if len(sources) != 1:
        raise NotRemovable(f"{name} has {len(sources)} inputs: {', '.join(sources)}")
    enters, leaves = calls.shapes[sources[0]], calls.shapes[end]
    if enters != leaves:
        raise NotRemovable(f"{name} changes the shape from {format_shape(enters[1:])} to {format_shape(leaves[1:])}")
    return {end: entries[0]}


def unit_scaling(width, units, means):
    """Scale and offset of each unit that put ``means``, or 0, in place of some units, or of all."""
    chosen = np.arange(width) if units is None else np.unique(np.asarray(units))
    if chosen.dtype.kind not in "iu" or not len(chosen) or chosen[0] < 0 or chosen[-1] >= width:
        raise ValueError(f"`units` should be integers from 0 to {width - 1}. Received: {units!r}")
    scale, offset = np.ones(width), np.zeros(width)
    scale[chosen] = 0
    if means is not None:
        if np.shape(means) != (width,):
            raise ValueError(f"`means` should have {width} values, one per unit. Received: shape {np.shape(means)}")
        offset[chosen] = np.asarray(means)[chosen]
    return scale.tolist(), offset.tolist()
