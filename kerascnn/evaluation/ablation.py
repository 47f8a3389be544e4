"""Ablation: the accuracy of a network without a layer, block or stage, with and without retraining.

The network is copied without the part. A residual block loses its branch, so that x + f(x) becomes x; any other part is
bypassed if its output has the shape of its input. Instead of removing a part, its output, or some units of it, can be
replaced by 0 or by their mean.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import keras
import numpy as np

from ..graph.copy import clone_with_changes
from ..graph.walk import functional_of
from ..inputs.classifier import classifier
from ..support.display import MeasuredResult
from ..support.files import table_records, to_json_data
from ..support.text import format_percent, format_shape, pluralize, unknown_name
from ..support.types import Array, ClassNames, Dataset, Images, Labels, Model, OnProgress, Units, Verbose
from .compare import compare
from .evaluate import Evaluation, evaluate_batch, load_labeled_images
from .statistics import wilson

if TYPE_CHECKING:
    import pandas as pd

MODES = ("remove", "zero", "mean")


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Ablation(MeasuredResult):
    """Accuracy of a network without each of several parts, on the same images.

    Attributes:
        baseline: `Evaluation` of the unchanged network.
        table: DataFrame with a row for each part: parameters, accuracy with Wilson's interval, and the drop from the
            unchanged network with the paired bootstrap's interval and McNemar's p; after retraining, the same for the
            retrained networks compared with the retrained baseline.
        evaluations: {part: `Evaluation` of the network without it}; with retraining, also "part retrained".
        not_removable: {part: reason} for parts that cannot be removed.
        retrained_baseline: `Evaluation` of the unchanged network after retraining, or None.
    """

    baseline: Evaluation
    table: pd.DataFrame
    evaluations: Mapping
    not_removable: Mapping
    retrained_baseline: Evaluation | None = None

    def __len__(self):
        return len(self.table)

    def __repr__(self):
        network, images = self.baseline.model or "network", pluralize(len(self.baseline), "image")
        return f"<Ablation: {network} without {pluralize(len(self), 'part')}, one at a time, on {images}>"

    def __str__(self):
        return self.text()

    def text(self):
        """Baseline accuracy, table, and the parts that cannot be removed."""
        baseline = f"unchanged network: {format_percent(self.baseline.accuracy)}"
        if self.retrained_baseline:
            baseline += f", {format_percent(self.retrained_baseline.accuracy)} retrained"
        table = readable_table(self.table).to_string(index=False, float_format="{:.2g}".format)
        return "\n".join(
            [
                f"{baseline}, {pluralize(len(self.baseline), 'image')}",
                table,
                *(f"{part} cannot be removed: {reason}" for part, reason in self.not_removable.items()),
            ]
        )

    def plot(self):
        """The drops in accuracy with their intervals as a figure."""
        from .figures import draw_drops

        return draw_drops(self.table, f"Accuracy lost by {self.baseline.model or 'the network'} without each part")

    def to_dict(self):
        """The numbers as plain data."""
        retrained = self.retrained_baseline and to_json_data(self.retrained_baseline.accuracy)
        return {
            "intact": {"accuracy": to_json_data(self.baseline.accuracy), "retrained": retrained},
            "parts": table_records(self.table),
            "refused": dict(self.not_removable),
        }


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

    The model itself is not changed. The remaining weights were trained together with the removed part, so without
    `retrain` the drop in accuracy is that of a lesion, not of an architecture without the part.

    Args:
        model: a functional or built Sequential Keras model.
        layers: names of layers, blocks or stages ("stage2_block1", "stage2"): a block is all layers whose names begin
            with its name. `("stage2", [3, 5])` replaces only these units of its output, with "zero" or "mean".
        images: images or a dataset, as in `evaluate`.
        labels: true classes of the images; None for a dataset, which has its own.
        mode: "remove" removes the branches of residual blocks and bypasses other parts if their shapes allow it;
            "zero" and "mean" replace the output of a part by 0 or by its mean over these images.
        retrain: function that gets a copy of the network and trains it in place, or returns another network; it should
            use other images than these. A copy of the unchanged network is retrained alike for comparison.
        part: split of a dataset: "test", "valid" or "train".
        class_names: names of the classes of the model, as in `evaluate`.
        batch_size: images per batch.
        top: the k of the top-k accuracies.
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


def run_ablation(model, layers, images, *, mode="remove", retrain=None, batch_size=64, **options):
    """``ablate`` for images that are a labeled `Batch` already."""
    model = functional_model(model)
    parts = parse_parts(layers)
    options = {"batch_size": batch_size, **options}
    means = mean_outputs(model, [name for name, _ in parts], images, options) if mode == "mean" else {}

    networks, not_removable = {}, {}
    for name, units in parts:
        label = part_label(name, units)
        try:
            networks[label] = without_part(model, name, mode, units=units, means=means.get(name))
        except NotRemovable as error:
            not_removable[label] = str(error)
    if not networks:
        raise NotRemovable("; ".join(not_removable.values()))

    baseline, retrained_baseline = evaluate_batch(model, images, **options), None
    if retrain:
        retrained_model = retrain_network(clone_with_changes(model), retrain)
        retrained_baseline = evaluate_batch(retrained_model, images, **options)

    rows, evaluations = [], {}
    for label in [*networks]:
        network = networks.pop(label)  # so that its memory is free after its turn
        evaluations[label] = evaluate_batch(network, images, **options)
        row = [label, mode, network.count_params(), *accuracy_and_drop(baseline, evaluations[label])]
        if retrain:
            retrained = evaluate_batch(retrain_network(network, retrain), images, **options)
            evaluations[f"{label} retrained"] = retrained
            row += accuracy_and_drop(retrained_baseline, retrained)
        rows.append(row)
    return Ablation(
        baseline=baseline,
        table=ablation_table(rows, retrain),
        evaluations=evaluations,
        not_removable=not_removable,
        retrained_baseline=retrained_baseline,
    )


def parse_parts(layers):
    """[(name, units or None)] from a name, a list of names, or names with units."""
    layers = [layers] if isinstance(layers, str) else list(layers)
    parts = [(layer, None) if isinstance(layer, str) else tuple(layer) for layer in layers]
    if not parts or any(len(part) != 2 or not isinstance(part[0], str) for part in parts):
        raise ValueError(
            f"`layers` should be names of layers, blocks or stages, or (name, units). Received: {layers!r}"
        )
    return parts


def part_label(name, units):
    """Name of a part in the table: "stage2", "stage2:3,5"."""
    return name if units is None else f"{name}:{','.join(map(str, units))}"


def retrain_network(network, retrain):
    """The network that ``retrain`` returns, or else the one that it trained in place."""
    result = retrain(network)
    return result if isinstance(result, keras.Model) else network


def accuracy_and_drop(baseline, evaluation):
    """Accuracy with its interval, drop from the baseline with its interval, McNemar's p."""
    comparison = compare(baseline, evaluation)
    accuracy = wilson(int(evaluation.correct.sum()), len(evaluation))
    return [*accuracy, *comparison.difference, comparison.p]


def ablation_table(rows, retrain):
    """The DataFrame of ``Ablation.table``."""
    import pandas as pd

    columns = ["accuracy", "low", "high", "drop", "drop_low", "drop_high", "p"]
    retrained_columns = [f"retrained_{column}" for column in columns] if retrain else []
    return pd.DataFrame(rows, columns=["part", "mode", "params", *columns, *retrained_columns])


def readable_table(table):
    """The table as text: accuracy in percent, drops in percentage points with intervals in parentheses."""
    import pandas as pd

    columns = {"without": table["part"], "params": [f"{count:,}" for count in table["params"]]}
    for prefix, title in (("", ""), ("retrained_", "retrained ")):
        if f"{prefix}drop" in table:
            drops = 100 * table[[f"{prefix}drop", f"{prefix}drop_low", f"{prefix}drop_high"]].to_numpy()
            columns[f"{title}%"] = [f"{100 * accuracy:.1f}" for accuracy in table[f"{prefix}accuracy"]]
            columns[f"{title}lost"] = [f"{drop:.1f} ({low:.1f} to {high:.1f})" for drop, low, high in drops]
            columns[f"{title}p"] = table[f"{prefix}p"]
    return pd.DataFrame(columns)


def mean_outputs(model, names, images, options):
    """{part: mean of each channel of its output}, over images and positions."""
    calls = layer_calls(model)
    output_layers = {}
    for name in names:
        try:
            output_layers[name] = output_layer(calls, layers_of_part(calls, name), name)
        except NotRemovable:
            continue  # `without_part` raises it again, and the reason is kept there
    if not output_layers:
        return {}

    outputs = {layer: model.get_layer(layer).output for layer in output_layers.values()}
    activation_model = keras.Model(model.input, outputs)
    totals, counts = dict.fromkeys(outputs, 0.0), dict.fromkeys(outputs, 0)
    preprocess = options.get("preprocess") or (lambda pixels: pixels)
    preprocessing = classifier(model).preprocessing_of(images)
    for _, pixels in images.chunks(preprocessing, options["batch_size"]):
        activations = activation_model.predict_on_batch(preprocess(pixels))
        for layer, maps in activations.items():
            maps = np.asarray(maps, np.float64)
            totals[layer] = totals[layer] + maps.reshape(-1, maps.shape[-1]).sum(axis=0)
            counts[layer] += maps[..., 0].size
    return {name: totals[layer] / counts[layer] for name, layer in output_layers.items()}


class NotRemovable(ValueError):
    """Raised if a part of a network cannot be removed; the message says why."""


@dataclass(frozen=True, kw_only=True)
class LayerCalls:
    """The graph of a functional model, by the names of its layers.

    Attributes:
        types: {layer: name of its Keras class}.
        inputs: {layer: layers that it reads, in the order of its arguments}.
        shapes: {layer: shape of its output}.
        readers: {layer: layers that read it}.
        output_layers: layers whose outputs are those of the model.
        shared: layers that are called more than once.
    """

    types: dict
    inputs: dict
    shapes: dict
    readers: dict
    output_layers: tuple
    shared: frozenset

    def readers_outside(self, layer, part):
        """The layers outside a part that read a layer of it."""
        return [reader for reader in self.readers.get(layer, ()) if reader not in part]


def functional_model(model):
    """The functional model of a functional or built Sequential one."""
    functional = functional_of(model)
    if functional is None:
        raise ValueError(f"`model` should be a functional or built Sequential Keras model. Received: {model!r}")
    return functional


def layer_calls(model):
    """The ``LayerCalls`` of a functional model."""
    types, inputs, shapes, readers, shared = {}, {}, {}, {}, set()
    for nodes in model._nodes_by_depth.values():
        for node in nodes:
            name = node.operation.name
            if name in types:
                shared.add(name)
            types[name] = type(node.operation).__name__
            inputs[name] = [tensor._keras_history.operation.name for tensor in node.input_tensors]
            shapes[name] = tuple(node.outputs[0].shape)
            for source in inputs[name]:
                readers.setdefault(source, []).append(name)
    return LayerCalls(
        types=types,
        inputs=inputs,
        shapes=shapes,
        readers=readers,
        output_layers=tuple(tensor._keras_history.operation.name for tensor in model.outputs),
        shared=frozenset(shared),
    )


def layers_of_part(calls, name):
    """The layers of a part: a single layer, or those of a block or stage, whose names begin with its name."""
    part = {layer for layer in calls.inputs if layer == name or layer.startswith(f"{name}_")}
    if name in part:  # Keras numbers unnamed layers: "conv2d_1" does not belong to "conv2d"
        part = {layer for layer in part if not re.match(r"_\d+(_|$)", layer[len(name) :])}
    if not part:
        raise ValueError(unknown_name("layer, block or stage", name, [*calls.inputs]))

    # the last layer of a stage is named after the stage, not after its last block: add it to the block that ends in it
    exits = {layer for layer in part if calls.readers_outside(layer, part)}
    next_layers = {reader for layer in exits for reader in calls.readers_outside(layer, part)}
    if len(exits) > 1 and len(next_layers) == 1 and part.issuperset(calls.inputs[next(iter(next_layers))]):
        part |= next_layers
    return part


def without_part(
    model: Model, part: str, mode: str = "remove", *, units: Units | None = None, means: Array | None = None
) -> Model:
    """Copy a model, with its weights, without a layer, block or stage.

    Args:
        model: a functional or built Sequential Keras model; it is not changed.
        part: name of a layer, block or stage.
        mode: "remove" removes the branches of a residual block or stage and bypasses any other part; "zero" and "mean"
            replace its output by 0 or by `means`.
        units: channels of the output to replace; None replaces all. Only for "zero" and "mean".
        means: one value per channel, for "mean".

    Returns:
        The new Keras model. Raises `NotRemovable` if the network cannot work without the part.
    """
    if mode not in MODES:
        raise ValueError(unknown_name("ablation mode", mode, MODES))
    model = functional_model(model)
    calls = layer_calls(model)
    layers = layers_of_part(calls, part)
    if layers & calls.shared:
        raise NotRemovable(f"{part} is called more than once")
    if any(not calls.inputs[layer] for layer in layers):
        raise NotRemovable(f"{part} is the model's input")

    if mode != "remove":
        output = output_layer(calls, layers, part)
        scale, offset = unit_scaling(calls.shapes[output][-1], units, means if mode == "mean" else None)
        return clone_with_changes(model, rescale={output: (scale, offset)})
    if units is not None:
        raise ValueError(f"`mode` should be 'zero' or 'mean' for single units of {part}. Received: 'remove'")

    sums = residual_sums(calls, layers)
    if sums:
        bypass = {layer: (layer, shortcut_argument(calls, layer, layers)) for layer in sums}
    else:
        bypass = bypass_part(calls, layers, part)
    return clone_with_changes(model, bypass=bypass)


def residual_sums(calls, part):
    """The residual sums in a part or, if the part is the whole branch of a residual sum, that sum."""
    sums = [layer for layer in part if is_sum(calls, layer)]
    if sums:
        return sums
    next_layers = {reader for layer in part for reader in calls.readers_outside(layer, part)}
    if len(next_layers) != 1 or not is_sum(calls, *next_layers):
        return []
    sources = {source for layer in part for source in calls.inputs[layer] if source not in part}
    shortcut = {*calls.inputs[next(iter(next_layers))]} - part  # empty if the shortcut belongs to the part, too
    return [*next_layers] if len(sources) == 1 and shortcut <= sources else []


def is_sum(calls, layer):
    """Whether a layer adds two tensors."""
    return calls.types[layer] == "Add" and len(calls.inputs[layer]) == 2


def shortcut_argument(calls, layer, part):
    """Which argument of a residual sum, 0 or 1, is the shortcut.

    If the sum lies behind the part, it is the argument from outside the part; otherwise the one with fewer layers.
    """
    first, second = calls.inputs[layer]
    if layer not in part and (first in part) != (second in part):
        return int(first in part)
    first_ancestors, second_ancestors = layer_ancestors(calls, first), layer_ancestors(calls, second)
    first_depth = len(first_ancestors - second_ancestors)
    second_depth = len(second_ancestors - first_ancestors)
    if first_depth == second_depth:
        raise NotRemovable(f"{layer} adds two branches of equal depth, neither of which is a shortcut")
    return int(second_depth < first_depth)


def layer_ancestors(calls, layer):
    """A layer and all layers before it."""
    ancestors, queue = set(), [layer]
    while queue:
        layer = queue.pop()
        if layer not in ancestors:
            ancestors.add(layer)
            queue += calls.inputs[layer]
    return ancestors


def output_layer(calls, part, name):
    """The only layer of a part that is read by layers outside it."""
    if part & {*calls.output_layers}:
        raise NotRemovable(f"{name} is the output of the model")
    exits = sorted(layer for layer in part if calls.readers_outside(layer, part))
    if len(exits) != 1:
        raise NotRemovable(f"{name} has {len(exits)} outputs: {', '.join(exits)}")
    return exits[0]


def bypass_part(calls, part, name):
    """{last layer of a part: (its first layer, argument)}, if input and output have the same shape."""
    output = output_layer(calls, part, name)
    entries = [
        (layer, argument)
        for layer in sorted(part)
        for argument, source in enumerate(calls.inputs[layer])
        if source not in part
    ]
    sources = sorted({calls.inputs[layer][argument] for layer, argument in entries})
    if len(sources) != 1:
        raise NotRemovable(f"{name} has {len(sources)} inputs: {', '.join(sources)}")
    input_shape, output_shape = calls.shapes[sources[0]], calls.shapes[output]
    if input_shape != output_shape:
        change = f"from {format_shape(input_shape[1:])} to {format_shape(output_shape[1:])}"
        raise NotRemovable(f"{name} changes the shape {change}")
    return {output: entries[0]}


def unit_scaling(width, units, means):
    """Scale and offset of each unit that replace some units, or all, by 0 or by ``means``."""
    replaced = np.arange(width) if units is None else np.unique(np.asarray(units))
    if replaced.dtype.kind not in "iu" or not len(replaced) or replaced[0] < 0 or replaced[-1] >= width:
        raise ValueError(f"`units` should be integers from 0 to {width - 1}. Received: {units!r}")
    scale, offset = np.ones(width), np.zeros(width)
    scale[replaced] = 0
    if means is not None:
        if np.shape(means) != (width,):
            raise ValueError(f"`means` should have {width} values, one per unit. Received: shape {np.shape(means)}")
        offset[replaced] = np.asarray(means)[replaced]
    return scale.tolist(), offset.tolist()
