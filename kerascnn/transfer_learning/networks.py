"""A probe as a network: the backbone up to where it was tapped, pooling, one dense layer."""

import time
import warnings
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import keras
import numpy as np
from keras import layers
from scipy.special import softmax

from ..anatomy.table import dissect
from ..graph.copy import plain, truncate
from ..graph.run import before, call
from ..graph.walk import walk
from ..inputs.classifier import input_shape
from ..support.files import replacing
from ..support.store import digest, make_key
from ..support.text import check_names
from .heads import HEADS, alone
from .probes import TOGETHER, ProbeTable, depths, scaled
from .store import weights
from .taps import PLUS, STAGE, Taps, chained, means, seen, staged, taps, told, usual
from .trials import Candidate


@dataclass(frozen=True, eq=False)
class Head:
    """A linear classifier on features as they come from the backbone: scores are features @ ``weights`` + ``bias``.

    ``temperature`` divides the scores before the softmax.
    """

    stages: tuple
    weights: np.ndarray = field(repr=False)  # (d, classes)
    bias: np.ndarray = field(repr=False)
    classes: tuple
    temperature: float = 1.0
    size: tuple | None = None
    grid: int = 1
    kind: str = ""
    penalty: float = 0.0

    def logits(self, taps):
        """(N, classes): scores of images, in the first of their views."""
        return taps.joined(self.stages)[:, 0] @ self.weights + self.bias

    def probs(self, taps):
        """(N, classes): probabilities of images."""
        scores = self.logits(taps) / self.temperature
        return softmax(scores, axis=1)

    def model(self, backbone):
        """The ``head_model`` of the backbone that the features came from."""
        how = {"temperature": self.temperature, "size": self.size, "grid": self.grid}
        return head_model(backbone, self.stages, self.weights, self.bias, **how)


def fitted(taps, table, stage=None, head=None):
    """The ``Head`` of a row of a ``ProbeTable``, learned again from all images of ``taps``; the best one if not named.

    Its temperature is the one that mends what was said of images not shown.

    >>> export(fitted(taps, table).model(backbone), "photos", classes=table.classes)
    """
    row = table.row(stage, head)
    if not HEADS[row["head"]].linear:
        raise ValueError(f"`head` should be a linear one, to be a layer of a network. Received: {row['head']!r}")
    stages = tuple(row["stage"].split(PLUS))
    rows, mean, spread = scaled(taps.joined(stages), slice(None))
    labels = np.repeat(taps.labels, rows.shape[1])
    penalties = (row["penalty"],)
    with alone():
        learned = HEADS[row["head"]].learn(rows.reshape(-1, rows.shape[-1]), labels, len(table.classes), penalties)
    weights = learned.weights[0] / spread[:, None]
    bias = learned.bias[0] - mean @ weights
    warmth = table.temperature(row["stage"], row["head"]).value
    return Head(stages, weights, bias, table.classes, warmth, taps.size, taps.grid, row["head"], float(row["penalty"]))


def head_model(backbone, stage, weights, bias, *, temperature=1.0, size=None, grid=1):
    """A Keras model from pixels 0..255 to ``probs``: the backbone up to a stage, or several side by side, and a head.

    What lies behind the stage is not in it. The layers are copies, batch norm not ``trainable``, which keeps its
    statistics. ``temperature`` is folded into ``logits``. ``size`` closes an open input; ``grid`` is that of the taps.
    """
    trunk = truncated(backbone, stage, size=size)
    taken = {layer.name for layer in trunk.layers}
    free = lambda name: f"head_{name}" if name in taken else name  # noqa: E731
    pooled = [chained(means(x.shape[1:], grid, free(f"{name}_means")), x) for name, x in trunk.output.items()]
    x = pooled[0] if len(pooled) == 1 else layers.Concatenate(name=free("stages"), dtype="float32")(pooled)
    weights, bias = (np.asarray(each, np.float64) / temperature for each in (weights, bias))
    if weights.shape != (x.shape[-1], len(bias)):
        raise ValueError(f"`weights` should be ({x.shape[-1]}, classes) at {stage}. Received: {weights.shape}")
    dense = layers.Dense(len(bias), dtype="float32", name=free("logits"))
    probs = layers.Softmax(dtype="float32", name=free("probs"))(dense(x))
    dense.set_weights([weights, bias])
    return keras.Model(trunk.input, probs, name=backbone.name)


def truncated(model, stages, *, size=None):
    """A copy of a model up to stages, without what lies behind them: pixels to {stage: maps}.

    Nested models are opened. Layers keep their names and weights; batch norm is frozen.
    """
    graph = walk(model)
    shape = graph.inputs[0].shape if size is None else input_shape(model, size)
    pixels = keras.Input(shape, name=plain(graph.inputs[0].name), dtype=model.inputs[0].dtype)
    return truncate(graph, staged(graph, stages), pixels, model.name)


ROOM = 2**30  # bytes of maps that are kept for one cut; beyond that they are computed again in each epoch
VIEWED = {"none": ("identity",), "flip": ("identity", "flip")}  # augmentations that are a choice between fixed views


class Parts(NamedTuple):
    """``prefix`` from pixels to what ``suffix`` reads, None where that reads pixels; ``suffix`` gives logits.

    Both use the layers of the model.
    """

    prefix: keras.Model | None
    suffix: keras.Model


def parted(model, freeze=None, *, split=True):
    """The ``Parts`` of a ``head_model``, with the layers up to and including the stage ``freeze`` frozen.

    Layers without weights that read only those are on their side. Batch norm keeps its statistics and its scale.
    """
    graph = walk(model)
    inside = set(graph.inputs) | ({*before(graph.find(plain(freeze)))} if freeze else set())
    for node in graph.nodes if freeze else ():
        idle = not getattr(node.operation, "weights", ()) and node not in graph.outputs
        if node.inputs and idle and all(source in inside for source, _ in node.inputs):
            inside.add(node)
    for node in graph.nodes:
        if node.is_layer and not node.is_input:
            norm = isinstance(node.operation, layers.BatchNormalization)
            node.operation.trainable = node not in inside and not norm
    inside = inside if split else {*graph.inputs}
    border = bordering(graph, inside)
    prefix = None
    if border != [*graph.inputs]:
        prefix = keras.Model(model.inputs, [model.get_layer(node.operation.name).output for node in border])
    return Parts(prefix, suffix_of(graph, inside, border))


def bordering(graph, inside):
    """The calls inside that others read."""
    read = {source for node in graph.nodes if node not in inside for source, _ in node.inputs}
    return [node for node in graph.nodes if node in inside and node in read]


def suffix_of(graph, inside, border):
    """What follows the border, up to the logits."""
    inputs = [keras.Input(node.shape, name=f"kept_{i}", dtype="float32") for i, node in enumerate(border)]
    values = {node: [x] for node, x in zip(border, inputs, strict=True)}
    for node in graph.nodes:
        if node not in inside:
            values[node] = call(node, [values[source][i] for source, i in node.inputs])
    logits, index = graph.outputs[0].inputs[0]
    return keras.Model(inputs, values[logits][index])


def depths_behind(model):
    """{layer: how many stages begin behind it}: the head 0, the last stage 1 ..."""
    graph = walk(model)
    names = usual(graph)
    place = {node.name: i for i, node in enumerate(graph.nodes)}
    ends = sorted({place[name] for name in [name for name in names if STAGE.fullmatch(name)] or names})
    return {node.operation.name: sum(end >= i for end in ends) for i, node in enumerate(graph.nodes) if node.is_layer}


def kept(prefix, pixels, augment, folder, name):
    """Of each view of all images what the prefix gives, as arrays on disk; None where that is too much for it."""
    shapes = [tuple(tensor.shape[1:]) for tensor in prefix.outputs]
    size = 4 * len(pixels) * sum(int(np.prod(shape)) for shape in shapes) * len(VIEWED.get(augment, ()))
    if augment not in VIEWED or size > ROOM:
        return None
    try:
        return [view_of(prefix, pixels, view, Path(folder, f"{name}-{view}"), shapes) for view in VIEWED[augment]]
    except OSError as error:
        warnings.warn(f"maps are not kept in {folder}, but computed anew in each epoch: {error}", stacklevel=3)
        return None


def view_of(prefix, pixels, view, path, shapes, batch=64):
    """One view's maps; computed by the first who asks."""
    paths = [path.with_name(f"{path.name}-{i}.npy") for i in range(len(shapes))]
    if not all(path.exists() for path in paths):
        found = [np.empty((len(pixels), *shape), np.float32) for shape in shapes]
        for start in range(0, len(pixels), batch):
            some = seen(np.asarray(pixels[start : start + batch], np.float32), view)
            for array, numbers in zip(found, keras.tree.flatten(prefix.predict_on_batch(some)), strict=True):
                array[start : start + batch] = numbers
        for path, array in zip(paths, found, strict=True):
            with replacing(path) as draft:
                np.save(draft, array)
    return [np.load(path, mmap_mode="r") for path in paths]


@dataclass(frozen=True, eq=False)
class Probed:
    """``macs`` are multiply-adds for an image up to each stage; ``seconds`` what was spent."""

    model: keras.Model
    taps: Taps = field(repr=False)
    table: ProbeTable = field(repr=False)
    macs: dict = field(repr=False)
    seconds: dict

    def key(self, seed):
        """What results of points follow from, beside the point."""
        parts = [part for layer in self.model.layers for part in weights(layer)]
        facts = self.model.name, self.taps.size, self.taps.hashes, self.taps.labels.tolist(), self.table.folds.tolist()
        return digest(seed, *facts, self.taps.views, *parts)

    @cached_property
    def candidates(self):
        """The best linear classifier of each stage."""
        every = np.arange(len(self.table))
        found = []
        for stage in dict.fromkeys(self.table.summary["stage"]):
            row = self.table.linear(stage)
            how = {name: row[name] for name in ("head", "penalty", "seconds")} | {"views": self.taps.views}
            said = self.table.logits[stage, row["head"]], self.table.labels, every
            found.append(Candidate(self.table.model, stage, self.macs[stage], *said, **how))
        return found


def probed(model, images, ledger, clock, note, *, heads, seed, size=None, cache=True, ready=None):
    """The ``Probed`` of a backbone: all its features in one pass, ridge on them first.

    ``ready(taps, table)`` is called as soon as there is a usable classifier.
    """
    found = taps(model, images, size=size, cache=cache, verbose=0)
    note(f"{model.name}: features of {len(found):,} images at {len(found.stages)} stages")
    began = time.perf_counter()
    table = depths(found, heads="ridge", fractions=(), together=TOGETHER[:1], seed=seed, verbose=0)
    note(f"{model.name}: a first usable classifier, ridge on {told(table.best['stage'])}, {table.best['accuracy']:.1%}")
    if ready is not None:
        ready(found, table)
    others = [head for head in check_names("head", heads, HEADS) if head != "ridge"]
    table = depths(found, heads=others, seed=seed, after=table, verbose=0)
    best = table.best
    note(f"{model.name}: {best['head']} on {told(best['stage'])}, {best['accuracy']:.1%} of images not shown")
    spent = {"features": found.seconds * found.computed, "probes": time.perf_counter() - began}
    seconds, _ = ledger.get_or_compute(make_key("clock", model.name, *found.hashes), lambda: (spent, {}))
    stages = dict.fromkeys(table.summary["stage"])
    clock.spent += sum(seconds.values())
    return Probed(model, found, table, work(model, stages, found.size), seconds)


def work(model, stages, size):
    """{stage: multiply-adds for an image}."""
    channels = model.inputs[0].shape[-1]
    rows = {row.name: row.macs or 0 for row in dissect(model, (*size, channels)).rows}
    graph = walk(model)
    ends = {stage: staged(graph, stage.split(PLUS)).values() for stage in stages}
    needed = {stage: {node.name for end in nodes for node in before(end)} for stage, nodes in ends.items()}
    return {stage: sum(rows[name] for name in names) for stage, names in needed.items()}
