"""A probe as a network: the backbone up to where it was tapped, pooling, one dense layer."""

from dataclasses import dataclass, field, replace

import keras
import numpy as np
from keras import layers

from ..anatomy.graph import walk
from ..anatomy.running import call, part, run
from ..predictions import sized
from .heads import HEADS, alone
from .probes import scaled
from .stages import PLUS, chained, means, staged


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
        powers = np.exp(scores - scores.max(axis=1, keepdims=True))
        return powers / powers.sum(axis=1, keepdims=True)

    def model(self, backbone):
        """The ``head_model`` of the backbone that the features came from."""
        how = {"temperature": self.temperature, "size": self.size, "grid": self.grid}
        return head_model(backbone, self.stages, self.weights, self.bias, **how)


def fitted(taps, table, stage=None, head=None):
    """The ``Head`` of a row of a ``ProbeTable``, learnt again from all images of ``taps``; the best one if not named.

    Its temperature is the one that mends what was said of images not shown.

    >>> export(fitted(taps, table).model(backbone), "photos", classes=table.classes)
    """
    row = table.best if stage is None and head is None else table.row(stage, head)
    if not HEADS[row["head"]].linear:
        raise ValueError(f"`head` should be a linear one, to be a layer of a network. Received: {row['head']!r}")
    stages = tuple(row["stage"].split(PLUS))
    rows, mean, spread = scaled(taps.joined(stages), slice(None))
    labels = np.repeat(taps.labels, rows.shape[1])
    penalties = (row["penalty"],)
    with alone():
        learnt = HEADS[row["head"]].learn(rows.reshape(-1, rows.shape[-1]), labels, len(table.classes), penalties)
    weights = learnt.weights[0] / spread[:, None]
    bias = learnt.bias[0] - mean @ weights
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
    nodes = staged(graph, stages)
    shape = graph.inputs[0].shape if size is None else sized(model, size, 0)
    pixels = keras.Input(shape, name=plain(graph.inputs[0].name), dtype=model.inputs[0].dtype)
    copies = {}

    def perform(node, tensors):
        if node.operation not in copies:
            copies[node.operation] = copied(node)
        return call(replace(node, operation=copies[node.operation]), tensors)

    maps = run(part(graph, [*nodes.values()]), pixels, perform=perform)
    for original, copy in copies.items():
        if getattr(original, "weights", None):
            copy.set_weights(original.get_weights())
        if isinstance(copy, layers.BatchNormalization):
            copy.trainable = False  # or a training step would move its statistics, whatever it was called with
    return keras.Model(pixels, {stage: maps[node.name] for stage, node in nodes.items()}, name=model.name)


def copied(node):
    """The layer or operation of a call, built again; called by its path where models were nested."""
    operation = node.operation
    try:
        return type(operation).from_config(operation.get_config() | {"name": plain(node.name)})
    except (NotImplementedError, TypeError, ValueError) as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise ValueError(
            f"`model` should have layers that can be built again. Received: {node.name}: {reason}"
        ) from error


def plain(name):
    return name.replace("/", "_")
