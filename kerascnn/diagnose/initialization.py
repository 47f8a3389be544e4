"""Initialization: how activations and gradients change from layer to layer.

The lecture's experiment: 1,000 unit Gaussian inputs of dimension 500, ten layers of 500 tanh. With weights of standard
deviation 0.01 each layer multiplies the signal by about 0.01 sqrt(500) = 0.22; with 1.0 nearly all units saturate.
Glorot & Bengio (2010), Xavier: 1 / sqrt(fan in), for tanh. He et al. (2015): sqrt(2 / fan in), for ReLU.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod, sqrt

import keras
import numpy as np
from keras import ops

from ..graph.copy import rebuild_model, unfreeze
from ..graph.run import activation_name, activation_nodes, build_graph_for, call_node, run_graph, select_nodes
from ..support.display import FigureResult
from ..support.text import table_text, unknown_name
from ..support.types import Array, Labels, Layers, Model
from .loss import GradientRecorder, mean_loss_function

SAMPLES = 1000
BINS = 60
SATURATED = 0.95  # of the largest value that tanh or a sigmoid can give
STDDEVS = {  # rule -> standard deviation from fan in, fan out and ``stddev``
    "normal": lambda into, out, stddev: stddev,
    "xavier": lambda into, out, stddev: 1 / sqrt(into),
    "glorot": lambda into, out, stddev: sqrt(2 / (into + out)),
    "he": lambda into, out, stddev: sqrt(2 / into),
}
ACTIVATIONS = {  # name -> (function, its slope from its value)
    "tanh": (np.tanh, lambda a: 1 - a**2),
    "sigmoid": (lambda z: 1 / (1 + np.exp(-z)), lambda a: a * (1 - a)),
    "relu": (lambda z: np.maximum(z, 0), lambda a: (a > 0).astype(a.dtype)),
    "leaky_relu": (lambda z: np.where(z > 0, z, 0.01 * z), lambda a: np.where(a > 0, 1.0, 0.01)),
    "linear": (lambda z: z, np.ones_like),
}


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class Initialization(FigureResult):
    """Activations and gradients of each layer after initialization.

    Attributes:
        table: DataFrame with a row for each layer: layer, activation, mean, stddev, saturated (fraction of units),
            gradient (root mean square with respect to the activations, per image) and weight_gradient (norm with
            respect to the weights).
        counts: histogram of the activations of each layer (layers, bins).
        edges: edges of the bins (layers, bins + 1).
        input_stddev: standard deviation of the inputs.
        title: title of the figure.
    """

    table: object
    counts: np.ndarray
    edges: np.ndarray
    input_stddev: float
    title: str

    def _headline(self):
        return self.title

    def __str__(self):
        return table_text(self.table)

    def plot(self):
        """Draw histograms of the activations, their spread and the gradients by layer."""
        from .figures import draw_initialization

        return draw_initialization(self)


def initialization(
    network: Sequence[int] | Model = (500,) * 10,
    *,
    initializer: str | None = None,
    stddev: float = 0.01,
    activation: str = "tanh",
    inputs: Array | None = None,
    labels: Labels | None = None,
    layers: Layers | None = None,
    training: bool = True,
    seed: int = 0,
) -> Initialization:
    """Measure activations and gradients layer by layer after initialization.

    Saturated means |tanh| > 0.95, a sigmoid within 0.05 of 0 or 1, or a ReLU at 0.

    Args:
        network: widths of dense layers, or a Keras model, of which a copy is used.
        initializer: "normal" (with `stddev`), "xavier", "glorot" or "he". None is "normal" for dense layers, and
            leaves the weights of a Keras model as they are.
        stddev: standard deviation of the weights for "normal".
        activation: activation function of the dense layers.
        inputs: one batch of inputs; needed for a Keras model. By default 1000 unit Gaussians of the first width.
        labels: true classes, for the gradients of the crossentropy; without them, gradients are those of a random
            direction of the output.
        layers: names of the layers of a Keras model; all nonlinear ones by default.
        training: whether batch normalization and dropout work as in training.
        seed: random seed of the weights and inputs.

    Returns:
        An `Initialization` with a table, histograms and a figure.
    """
    if initializer is not None and initializer not in STDDEVS:
        raise ValueError(unknown_name("initializer", initializer, STDDEVS))
    rng = np.random.default_rng(seed)
    if isinstance(network, keras.Model):
        if inputs is None:
            raise ValueError(f"`inputs` should be a batch of inputs of {network.name}. Received: None")
        redraw = None if initializer is None else lambda model: reinitialize(model, initializer, stddev, rng)
        layer_flows = model_signals(network, np.asarray(inputs), labels, layers, training, rng, redraw)
        title = network.name + ("" if initializer is None else f", {initializer_title(initializer, stddev)}")
    else:
        inputs, layer_flows = dense_signals(network, initializer or "normal", stddev, activation, inputs, rng)
        title = f"{len(layer_flows)} {activation} layers, {initializer_title(initializer or 'normal', stddev)}"
    return summarize_signals(layer_flows, float(np.std(inputs)), title)


def initializer_title(initializer, stddev):
    return f"weights with standard deviation {stddev:g}" if initializer == "normal" else initializer.capitalize()


def reinitialize(model, initializer, stddev, rng):
    """Draw every kernel anew; biases and norms stay."""
    for weight in model.trainable_weights:
        shape = tuple(weight.shape)
        if len(shape) > 1:
            depthwise = "depthwise" in weight.path and len(shape) == 4
            into = prod(shape[:2]) if depthwise else prod(shape[:-1])
            out = prod(shape[:-2]) * shape[-1]
            weight.assign(rng.normal(0, STDDEVS[initializer](into, out, stddev), shape))


def dense_signals(widths, initializer, stddev, activation, inputs, rng):
    """The inputs, and (name, activation, activations, their gradient, norm of the weights' gradient) of each layer."""
    widths = tuple(widths) if isinstance(widths, tuple | list) else widths
    if not isinstance(widths, tuple) or not widths or not all(isinstance(w, int) and w > 0 for w in widths):
        raise ValueError(f"`network` should be a list of layer widths or a Keras model. Received: {widths!r}")
    if activation not in ACTIVATIONS:
        raise ValueError(unknown_name("activation", activation, ACTIVATIONS))
    function, slope = ACTIVATIONS[activation]
    signal = rng.standard_normal((SAMPLES, widths[0])) if inputs is None else np.asarray(inputs, np.float64)
    signals, weights = [signal], []
    for width in widths:
        into = signals[-1].shape[-1]
        weights.append(rng.normal(0, STDDEVS[initializer](into, width, stddev), (into, width)))
        signals.append(function(signals[-1] @ weights[-1]))
    gradient, found = rng.standard_normal(signals[-1].shape), []
    for i in range(len(widths), 0, -1):
        by_sum = gradient * slope(signals[i])
        by_weights = float(np.linalg.norm(signals[i - 1].T @ by_sum) / len(signal))
        found.append((f"layer{i}", activation, signals[i], gradient, by_weights))
        gradient = by_sum @ weights[i - 1].T
    return signal, found[::-1]


def summarize_signals(layer_flows, input_stddev, title):
    """Numbers of each layer's activations and gradients."""
    import pandas as pd

    rows, counts, edges = [], [], []
    for name, act, values, gradient, by_weights in layer_flows:
        values = np.asarray(values, np.float64)
        rms = float(np.sqrt(np.mean(np.square(gradient, dtype=np.float64))))
        rows.append((name, act, values.mean(), values.std(), saturation(values, act), rms, by_weights))
        count, edge = np.histogram(values, BINS, histogram_range(values, act))
        counts.append(count)
        edges.append(edge)
    columns = ["layer", "activation", "mean", "stddev", "saturated", "gradient", "weight_gradient"]
    return Initialization(
        table=pd.DataFrame(rows, columns=columns),
        counts=np.array(counts),
        edges=np.array(edges),
        input_stddev=input_stddev,
        title=title,
    )


def saturation(values, activation):
    """The share of activations where the slope is (nearly) 0; NaN where there is no such place."""
    if activation == "tanh":
        return float((np.abs(values) > SATURATED).mean())
    if activation == "sigmoid":
        return float((np.abs(2 * values - 1) > SATURATED - (1 - SATURATED)).mean())
    if activation in ("relu", "relu6"):
        return float((values <= 0).mean())
    return float("nan")


def histogram_range(values, activation):
    """What a histogram covers: all that the nonlinearity can give, or all that is there."""
    if activation in ("tanh", "sigmoid"):
        return (-1.0, 1.0) if activation == "tanh" else (0.0, 1.0)
    low, high = float(values.min()), float(values.max())
    return (low, high) if high > low else (low - 0.5, high + 0.5)


class GradientTaps(keras.Model):
    """The calls of a model, with zeros that are learned added to what some of them give."""

    def __init__(self, inner, graph, nodes, batch, training, score):
        super().__init__()
        self.inner, self.phase, self.score = inner, training, score
        self.graph = lambda: graph  # a function, which Keras does not look into for layers
        self.taps = {node.name: i for i, node in enumerate(nodes)}
        self.zeros = [
            self.add_weight(shape=(batch, *node.shape), initializer="zeros", name=f"zeros{i}")
            for i, node in enumerate(nodes)
        ]
        self.compile(optimizer=GradientRecorder(), jit_compile=False)

    def call(self, x):
        def alter(name, tensor):
            return tensor + ops.cast(self.zeros[self.taps[name]], tensor.dtype) if name in self.taps else tensor

        def perform(node, tensors):
            first, *rest = call_node(node, tensors, self.phase)
            return [alter(node.name, first), *rest]

        x = [alter(node.name, tensor) for node, tensor in zip(self.graph().inputs, keras.tree.flatten(x), strict=True)]
        values = run_graph(self.graph(), x, perform=perform)
        ends = {node.name.rsplit("/", 1)[-1]: node.name for node in self.graph().outputs}
        end = values[ends.get("probs", next(iter(ends.values())))]
        return {"end": end, **{f"tap{i}": values[name] for name, i in self.taps.items()}}

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        return self.score(y, y_pred["end"])


def model_signals(model, inputs, labels, layers, training, rng, redraw=None):
    """(name, activation, activations, their gradient, norm of the weights' gradient) of each layer of a copy."""
    copy = unfreeze(rebuild_model(model))
    if redraw:
        redraw(copy)
    graph = build_graph_for(copy, inputs)
    usual = activation_nodes(graph)
    nodes = select_nodes(graph, layers, lambda node: node in usual)
    score = mean_loss_function("sparse_categorical_crossentropy")
    if labels is None:
        direction = rng.standard_normal((len(inputs), *graph.outputs[0].shape)).astype("float32")
        score = lambda y, end: ops.sum(ops.cast(end, "float32") * direction) / len(direction)  # noqa: E731
        labels = np.zeros(len(inputs), "int32")
    tapped = GradientTaps(copy, graph, nodes, len(inputs), training, score)
    kept = tapped(inputs, training=training)
    values = [np.asarray(ops.convert_to_numpy(kept[f"tap{i}"]), np.float32) for i in range(len(nodes))]
    tapped.train_on_batch(inputs, np.asarray(labels))
    # the loss is a mean over the batch; times its size it is the gradient of one image's loss
    slopes = [len(inputs) * ops.convert_to_numpy(zeros) for zeros in tapped.zeros]
    weights = [nearest_kernels(node) for node in nodes]
    norms = [float(np.sqrt(sum(np.square(ops.convert_to_numpy(w)).sum() for w in own))) for own in weights]
    norms = [norm if own else float("nan") for norm, own in zip(norms, weights, strict=True)]
    return list(zip([n.name for n in nodes], map(activation_name, nodes), values, slopes, norms, strict=True))


def nearest_kernels(node):
    """The kernel of a call, or of the nearest one before it that has one."""
    while True:
        kernels = [w for w in getattr(node.operation, "trainable_weights", ()) if len(w.shape) > 1]
        if kernels or not node.inputs:
            return kernels
        node = node.inputs[0][0]
