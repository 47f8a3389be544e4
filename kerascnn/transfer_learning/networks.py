"""Probes as networks: the backbone up to the tapped stages, pooling, one dense layer."""

from __future__ import annotations

import time
import warnings
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import keras
import numpy as np
from keras import layers
from scipy.special import softmax

from ..anatomy.table import dissect
from ..graph.copy import build_submodel, keras_name
from ..graph.run import ancestors, call_node
from ..graph.walk import build_graph
from ..inputs.class_names import store_class_names
from ..inputs.classifier import resolve_input_shape
from ..support.display import TextResult
from ..support.files import write_atomically
from ..support.store import digest, make_key
from ..support.text import check_names, format_percent
from ..support.types import Array, Layers, Model, Size
from ..zoo.layers import Softmax
from .heads import HEADS, single_threaded
from .probes import CONCATENATIONS, ProbeTable, standardize, train_probes
from .store import layer_weights
from .taps import (
    PLUS,
    STAGE,
    Taps,
    apply_layers,
    crop_batch,
    default_stages,
    pooling_layers,
    stage_label,
    stage_nodes,
    taps,
)
from .trials import Candidate, mean_difference, most_likely


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class Head(TextResult):
    """A linear classifier on the features of a backbone.

    The logits are ``features @ weights + bias``.

    Attributes:
        stages: Stages whose features are concatenated.
        weights: Array (d, classes).
        bias: Array (classes,).
        class_names: Names of the classes.
        temperature: Divides the logits before the softmax (Guo et al. 2017).
        size: Height and width of the images that the features were computed from.
        grid: Grid of the pooling, as in `taps`.
        kind: Kind of classifier, a name in `HEADS`.
        penalty: Regularization strength of the fit.
    """

    stages: tuple
    weights: np.ndarray
    bias: np.ndarray
    class_names: tuple
    temperature: float = 1.0
    size: tuple | None = None
    grid: int = 1
    kind: str = ""
    penalty: float = 0.0

    def __str__(self):
        features, classes = self.weights.shape
        return f"{self.kind} on {'+'.join(self.stages)}, {features} features, {classes} classes"

    def logits(self, taps):
        """Logits (N, classes) from the first crop of each image."""
        return taps.concatenate(self.stages)[:, 0] @ self.weights + self.bias

    def probs(self, taps):
        """Probabilities (N, classes) after temperature scaling."""
        scores = self.logits(taps) / self.temperature
        return softmax(scores, axis=1)

    def model(self, backbone):
        """The `head_model` of the backbone that the features came from."""
        model = head_model(
            backbone, self.stages, self.weights, self.bias, temperature=self.temperature, size=self.size, grid=self.grid
        )
        store_class_names(model, self.class_names)
        return model


def fit_head(taps: Taps, table: ProbeTable, stage: str | None = None, head: str | None = None) -> Head:
    """Fit a linear head to all images, with settings from a table of probes.

    The temperature is the one that calibrates the held-out predictions of the table.

    Args:
        taps: `Taps` with labels.
        table: `ProbeTable` of the same images.
        stage: Stage, or several joined by "+"; None is the best of the table.
        head: Name of a linear head in `HEADS`; None is the best of the table.

    Returns:
        A `Head`.

    >>> export(fit_head(taps, table).model(backbone), "photos", class_names=table.class_names)
    """
    row = table.row(stage, head)
    if not HEADS[row["head"]].linear:
        raise ValueError(f"`head` should be linear, to become a layer of the network. Received: {row['head']!r}")
    stages = tuple(row["stage"].split(PLUS))
    rows, mean, spread = standardize(taps.concatenate(stages), slice(None))
    labels = np.repeat(np.asarray(taps.labels), rows.shape[1])
    penalties = (row["penalty"],)
    with single_threaded():
        learned = HEADS[row["head"]].fit(rows.reshape(-1, rows.shape[-1]), labels, len(table.class_names), penalties)
    weights = learned.weights[0] / spread[:, None]
    bias = learned.bias[0] - mean @ weights
    return Head(
        stages=stages,
        weights=weights,
        bias=bias,
        class_names=table.class_names,
        temperature=table.temperature(row["stage"], row["head"]).value,
        size=taps.size,
        grid=taps.grid,
        kind=row["head"],
        penalty=float(row["penalty"]),
    )


def average_heads(heads, stages, temperature=1.0):
    """One `Head` whose logits are the mean of the calibrated logits of several heads, divided by a temperature.

    A mean of linear functions is linear: in the rows of its stages, each head adds its weights divided by its
    temperature. ``stages`` is {stage: number of its features}, in the order of the network.
    """
    ends = np.cumsum([*stages.values()])
    rows = {stage: slice(end - width, end) for (stage, width), end in zip(stages.items(), ends, strict=True)}
    weights = np.zeros((ends[-1], len(heads[0].bias)))
    for head in heads:
        share, start = head.weights / (head.temperature * len(heads)), 0
        for stage in head.stages:
            weights[rows[stage]] += share[start : start + stages[stage]]
            start += stages[stage]
    return replace(
        heads[0],
        stages=tuple(stages),
        weights=weights,
        bias=np.mean([head.bias / head.temperature for head in heads], axis=0),
        temperature=temperature,
        kind="mean",
        penalty=0.0,
    )


def head_model(
    backbone: Model,
    stage: Layers,
    weights: Array,
    bias: Array,
    *,
    temperature: float = 1.0,
    size: Size | None = None,
    grid: int = 1,
) -> Model:
    """Build a Keras model of a truncated backbone and a linear head.

    Layers behind the stages are left out. The others are copies; batch normalization is not trainable, which keeps its
    statistics.

    Args:
        backbone: Keras model that the features come from; it is not changed.
        stage: Name of a stage, or several whose pooled features are concatenated.
        weights: Array (d, classes) for the dense layer ``logits``.
        bias: Array (classes,).
        temperature: Divides weights and bias.
        size: Height and width for a backbone with an open input; None keeps the input.
        grid: Grid of the pooling, as in `taps`.

    Returns:
        A `keras.Model` from pixels 0..255 to probabilities.
    """
    trunk = truncate_at_stages(backbone, stage, size=size)
    taken = {layer.name for layer in trunk.layers}
    free = lambda name: f"head_{name}" if name in taken else name  # noqa: E731
    pooled = [
        apply_layers(pooling_layers(x.shape[1:], grid, free(f"{name}_means")), x) for name, x in trunk.output.items()
    ]
    x = pooled[0] if len(pooled) == 1 else layers.Concatenate(name=free("stages"), dtype="float32")(pooled)
    weights, bias = (np.asarray(each, np.float64) / temperature for each in (weights, bias))
    if weights.shape != (x.shape[-1], len(bias)):
        raise ValueError(f"`weights` should have shape ({x.shape[-1]}, classes) at {stage}. Received: {weights.shape}")
    dense = layers.Dense(len(bias), dtype="float32", name=free("logits"))
    is_ours = any(type(layer).__module__.startswith("kerascnn.") for layer in trunk.layers)
    kind = Softmax if is_ours else layers.Softmax  # a model that opens without kerascnn stays one
    probs = kind(dtype="float32", name=free("probs"))(dense(x))
    dense.set_weights([weights, bias])
    return keras.Model(trunk.input, probs, name=backbone.name)


def truncate_at_stages(model: Model, stages: Layers, *, size: Size | None = None) -> Model:
    """Copy a model up to some stages, without the layers behind them.

    Nested models are opened. Layers keep their names and weights; batch normalization is frozen.

    Args:
        model: Keras model; it is not changed.
        stages: Name of a stage or layer, or several.
        size: Height and width for a model with an open input; None keeps the input.

    Returns:
        A `keras.Model` from pixels to {stage: feature maps}.
    """
    graph = build_graph(model)
    shape = graph.inputs[0].shape if size is None else resolve_input_shape(model, size)
    pixels = keras.Input(shape, name=keras_name(graph.inputs[0].name), dtype=model.inputs[0].dtype)
    return build_submodel(graph, stage_nodes(graph, stages), pixels, model.name)


MAX_CACHE_BYTES = 2**30  # of the frozen layers' outputs; larger ones are computed again in each epoch
CROPS_OF_AUGMENTATION = {  # augmentations that choose between fixed crops
    "none": ("identity",),
    "flip": ("identity", "flip"),
}


class SplitModel(NamedTuple):
    """A frozen ``prefix`` (None if no layer is frozen) and the ``suffix`` behind it, up to the logits.

    Both share the layers of the model.
    """

    prefix: keras.Model | None
    suffix: keras.Model


def split_model(model, freeze=None, *, split=True):
    """Freeze a `head_model` up to and including the stage ``freeze`` and split it there.

    Layers without weights behind it that read only frozen layers join the prefix. Batch normalization is never trained.
    """
    graph = build_graph(model)
    inside = set(graph.inputs) | ({*ancestors(graph.find(keras_name(freeze)))} if freeze else set())
    for node in graph.nodes if freeze else ():
        idle = not getattr(node.operation, "weights", ()) and node not in graph.outputs
        if node.inputs and idle and all(source in inside for source, _ in node.inputs):
            inside.add(node)
    for node in graph.nodes:
        if node.is_layer and not node.is_input:
            norm = isinstance(node.operation, layers.BatchNormalization)
            node.operation.trainable = node not in inside and not norm
    inside = inside if split else {*graph.inputs}
    border = boundary_nodes(graph, inside)
    prefix = None
    if border != [*graph.inputs]:
        prefix = keras.Model(model.inputs, [model.get_layer(node.operation.name).output for node in border])
    return SplitModel(prefix, build_suffix(graph, inside, border))


def boundary_nodes(graph, frozen):
    """The frozen calls that trained ones read."""
    read = {source for node in graph.nodes if node not in frozen for source, _ in node.inputs}
    return [node for node in graph.nodes if node in frozen and node in read]


def build_suffix(graph, frozen, boundary):
    """The layers behind the boundary, up to the logits, as a model."""
    inputs = [keras.Input(node.shape, name=f"kept_{i}", dtype="float32") for i, node in enumerate(boundary)]
    values = {node: [x] for node, x in zip(boundary, inputs, strict=True)}
    for node in graph.nodes:
        if node not in frozen:
            values[node] = call_node(node, [values[source][i] for source, i in node.inputs])
    logits, index = graph.outputs[0].inputs[0]
    return keras.Model(inputs, values[logits][index])


def stages_above(model):
    """{layer: number of stages that end at or behind it}: 0 for the head, 1 for the last stage, and so on."""
    graph = build_graph(model)
    names = default_stages(graph)
    place = {node.name: i for i, node in enumerate(graph.nodes)}
    ends = sorted({place[name] for name in [name for name in names if STAGE.fullmatch(name)] or names})
    return {node.operation.name: sum(end >= i for end in ends) for i, node in enumerate(graph.nodes) if node.is_layer}


def cache_maps(prefix, images, augment, folder, name):
    """Outputs of the prefix for each crop of all images, as arrays on disk; None if they cannot be cached."""
    shapes = [tuple(tensor.shape[1:]) for tensor in prefix.outputs]
    size = 4 * len(images) * sum(int(np.prod(shape)) for shape in shapes) * len(CROPS_OF_AUGMENTATION.get(augment, ()))
    if augment not in CROPS_OF_AUGMENTATION or size > MAX_CACHE_BYTES:
        return None
    try:
        return [
            load_or_compute_maps(prefix, images, view, Path(folder, f"{name}-{view}"), shapes)
            for view in CROPS_OF_AUGMENTATION[augment]
        ]
    except OSError as error:
        warnings.warn(
            f"cannot cache feature maps in {folder}; they are computed again in each epoch: {error}", stacklevel=3
        )
        return None


def load_or_compute_maps(prefix, images, crop, path, shapes, batch_size=64):
    """The maps of one crop; whichever process needs them first computes them."""
    paths = [path.with_name(f"{path.name}-{i}.npy") for i in range(len(shapes))]
    if not all(path.exists() for path in paths):
        found = [np.empty((len(images), *shape), np.float32) for shape in shapes]
        for start in range(0, len(images), batch_size):
            some = crop_batch(np.asarray(images[start : start + batch_size], np.float32), crop)
            for array, numbers in zip(found, keras.tree.flatten(prefix.predict_on_batch(some)), strict=True):
                array[start : start + batch_size] = numbers
        for path, array in zip(paths, found, strict=True):
            with write_atomically(path) as draft:
                np.save(draft, array)
    return [np.load(path, mmap_mode="r") for path in paths]


@dataclass(frozen=True, eq=False)
class ProbedBackbone:
    """A backbone with its features and probes.

    ``macs`` are multiply-adds per image up to each stage; ``seconds`` is the computing time by step.
    """

    model: keras.Model
    taps: Taps = field(repr=False)
    table: ProbeTable = field(repr=False)
    macs: dict = field(repr=False)
    seconds: dict

    def key(self, seed):
        """Hash of everything that the result of a trial depends on, except the trial."""
        parts = [part for layer in self.model.layers for part in layer_weights(layer)]
        metadata = (
            self.model.name,
            self.taps.size,
            self.taps.hashes,
            self.taps.labels.tolist(),
            self.table.folds.tolist(),
        )
        return digest(seed, *metadata, self.taps.crops, *parts)

    @cached_property
    def candidates(self):
        """The best linear classifier of each stage."""
        every_image = np.arange(len(self.table))
        candidates = []
        for stage in dict.fromkeys(self.table.summary["stage"]):
            row = self.table.best_linear(stage)
            candidates.append(
                Candidate(
                    backbone=self.table.model,
                    stage=stage,
                    macs=self.macs[stage],
                    logits=self.table.logits[stage, row["head"]],
                    labels=self.table.labels,
                    held_out=every_image,
                    head=row["head"],
                    crops=self.taps.crops,
                    penalty=row["penalty"],
                    seconds=row["seconds"],
                )
            )
        return candidates


def fit_candidate_head(candidate, backbones):
    """The `Head` of a linear candidate of one of the `ProbedBackbone`s, fitted to all images."""
    if not candidate.members:
        probed = next(backbone for backbone in backbones if candidate in backbone.candidates)
        return fit_head(probed.taps, probed.table, candidate.stage, candidate.head)
    heads = [fit_candidate_head(member, backbones) for member in candidate.members]
    probed = next(backbone for backbone in backbones if candidate.members[0] in backbone.candidates)
    stages = {stage: probed.taps.features[stage].shape[-1] for stage in candidate.stage.split(PLUS)}
    return average_heads(heads, stages, candidate.temperature)


def average_candidates(backbones):
    """The mean of the linear candidates near the best as a candidate; None if the best is alone.

    Near is a log-likelihood within one standard error. An ensemble over stages, heads and crops without weights to fit:
    the mean of the calibrated logits, which is one linear classifier (`average_heads`). ``backbones`` are
    `ProbedBackbone`s of one network with different crops.
    """
    first = backbones[0]
    candidates = [candidate for backbone in backbones for candidate in backbone.candidates]
    best = most_likely(candidates)
    members = [best]
    for candidate in candidates:
        gap, error = mean_difference(best, candidate, "log_likelihood")
        is_same = any(np.allclose(candidate.logits, member.logits) for member in members)  # of the same features
        if gap <= error and not is_same:
            members.append(candidate)
    if len(members) < 2:
        return None

    used = {stage for member in members for stage in member.stage.split(PLUS)}
    stage = PLUS.join(name for name in first.taps.stages if name in used)
    return replace(
        best,
        stage=stage,
        macs=macs_by_stage(first.model, [stage], first.taps.size)[stage],
        logits=np.mean([member.logits / member.temperature for member in members], axis=0),
        head=f"mean of {len(members)} linear classifiers",
        crops=("identity",),
        penalty=None,
        members=tuple(members),
        seconds=sum(member.seconds for member in members),
    )


def probe_backbone(model, images, ledger, clock, note, *, heads, seed, size=None, cache=True, on_first_probe=None):
    """Compute all features in one pass and train probes on them, ridge first.

    ``on_first_probe(taps, table)`` is called as soon as there is a usable classifier.
    """
    found = taps(model, images, size=size, cache=cache, verbose=0)
    note(f"{model.name}: computed features of {len(found):,} images at {len(found.stages)} stages")
    began = time.perf_counter()
    table = train_probes(found, heads="ridge", fractions=(), concatenate=CONCATENATIONS[:1], seed=seed, verbose=0)
    note(
        f"{model.name}: first classifier ready, ridge regression on {stage_label(table.best['stage'])}, "
        f"held-out accuracy {format_percent(table.best['accuracy'])}"
    )
    if on_first_probe is not None:
        on_first_probe(found, table)
    others = [head for head in check_names("head", heads, HEADS) if head != "ridge"]
    table = train_probes(found, heads=others, seed=seed, previous=table, verbose=0)
    best = table.best
    accuracy = format_percent(best["accuracy"])
    note(f"{model.name}: best is {best['head']} on {stage_label(best['stage'])}, held-out accuracy {accuracy}")
    spent = {"features": found.seconds * found.computed, "probes": time.perf_counter() - began}
    seconds, _ = ledger.get_or_compute(make_key("clock", model.name, *found.hashes), lambda: (spent, {}))
    stages = dict.fromkeys(table.summary["stage"])
    clock.spent += sum(seconds.values())
    return ProbedBackbone(model, found, table, macs_by_stage(model, stages, found.size), seconds)


def macs_by_stage(model, stages, size):
    """{stage: multiply-adds per image}."""
    channels = model.inputs[0].shape[-1]
    rows = {row.name: row.macs or 0 for row in dissect(model, (*size, channels)).rows}
    graph = build_graph(model)
    ends = {stage: stage_nodes(graph, stage.split(PLUS)).values() for stage in stages}
    needed = {stage: {node.name for end in nodes for node in ancestors(end)} for stage, nodes in ends.items()}
    return {stage: sum(rows[name] for name in names) for stage, names in needed.items()}
