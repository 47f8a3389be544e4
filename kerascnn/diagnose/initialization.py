"""What initialization does to signals: activations that die or saturate on their way in, gradients on their way back.

The lecture's experiment: 1,000 unit Gaussian inputs of dimension 500, ten layers of 500 tanh. With weights of standard
deviation 0.01 each layer multiplies the signal by about 0.01 sqrt(500) = 0.22; with 1.0 nearly all units saturate.
Glorot & Bengio (2010), Xavier: 1 / sqrt(fan in), for tanh. He et al. (2015): sqrt(2 / fan in), for ReLU.
"""

from dataclasses import dataclass, field
from math import prod, sqrt

import keras
import numpy as np
from keras import ops

from ..graph.copy import rebuild, unfreeze
from ..graph.run import act_of, activations, call, chosen, graph_of, run
from ..support.display import Drawn
from ..support.text import unknown
from .loss import Recorder, loss_of

SAMPLES = 1000
BINS = 60
SATURATED = 0.95  # of the largest value that tanh or a sigmoid can give
STDS = {  # rule -> standard deviation from fan in, fan out and ``std``
    "normal": lambda into, out, std: std,
    "xavier": lambda into, out, std: 1 / sqrt(into),
    "glorot": lambda into, out, std: sqrt(2 / (into + out)),
    "he": lambda into, out, std: sqrt(2 / into),
}
ACTS = {  # name -> (function, its slope from its value)
    "tanh": (np.tanh, lambda a: 1 - a**2),
    "sigmoid": (lambda z: 1 / (1 + np.exp(-z)), lambda a: a * (1 - a)),
    "relu": (lambda z: np.maximum(z, 0), lambda a: (a > 0).astype(a.dtype)),
    "leaky_relu": (lambda z: np.where(z > 0, z, 0.01 * z), lambda a: np.where(a > 0, 1.0, 0.01)),
    "linear": (lambda z: z, np.ones_like),
}


@dataclass(frozen=True, eq=False)
class Initialization(Drawn):
    """Signals by layer. ``table``: layer, act, mean, std, saturated (share of units), gradient, weight_gradient.

    ``gradient`` is the root mean square of the gradient by a layer's activations, one image at a time;
    ``weight_gradient`` the norm of the gradient by its weights. ``counts`` and ``edges`` are histograms by layer.
    """

    table: object
    counts: np.ndarray = field(repr=False)  # (layers, bins)
    edges: np.ndarray = field(repr=False)  # (layers, bins + 1)
    input_std: float
    title: str

    def plot(self):
        """Histograms of the activations layer by layer; std and gradients from layer to layer."""
        from .figures import draw_initialization

        return draw_initialization(self)


def initialization(
    network=(500,) * 10,
    *,
    init=None,
    std=0.01,
    act="tanh",
    inputs=None,
    labels=None,
    layers=None,
    training=True,
    seed=0,
):
    """Mean, spread and saturation of activations by layer, and what gradients arrive there: `Initialization`.

    ``network`` gives the widths of dense layers with ``act``, which are drawn by ``init`` ("normal" with ``std``,
    "xavier", "glorot", "he") and fed with unit Gaussians of the first width unless ``inputs`` (N, D) are given. Or it
    is a Keras model, which needs ``inputs``, one batch; ``init`` then draws the kernels of a copy anew, None leaves
    them. Gradients are those of the crossentropy with ``labels``, or without them of a random direction of the output.
    Batch norm and dropout work as in ``training``. Saturated: |tanh| > 0.95, a sigmoid within 0.05 of 0 or 1, a ReLU
    at 0.
    """
    if init is not None and init not in STDS:
        raise ValueError(unknown("init", init, STDS))
    rng = np.random.default_rng(seed)
    if hasattr(network, "layers"):
        if inputs is None:
            raise ValueError(f"`inputs` should be a batch for {network.name}. Received: None")
        redraw = None if init is None else lambda model: reinitialize(model, init, std, rng)
        layer_flows = flows(network, np.asarray(inputs), labels, layers, training, rng, redraw)
        title = network.name + ("" if init is None else f", {described(init, std)}")
    else:
        inputs, layer_flows = dense_flows(network, init or "normal", std, act, inputs, rng)
        title = f"{len(layer_flows)} {act} layers, {described(init or 'normal', std)}"
    return summary(layer_flows, float(np.std(inputs)), title)


def described(init, std):
    return f"weights of std {std:g}" if init == "normal" else init.capitalize()


def reinitialize(model, init, std, rng):
    """Draw every kernel anew; biases and norms stay."""
    for weight in model.trainable_weights:
        shape = tuple(weight.shape)
        if len(shape) > 1:
            depthwise = "depthwise" in weight.path and len(shape) == 4
            into = prod(shape[:2]) if depthwise else prod(shape[:-1])
            out = prod(shape[:-2]) * shape[-1]
            weight.assign(rng.normal(0, STDS[init](into, out, std), shape))


def dense_flows(widths, init, std, act, inputs, rng):
    """The inputs, and (name, act, activations, their gradient, norm of the weights' gradient) of each layer."""
    widths = tuple(widths) if isinstance(widths, tuple | list) else widths
    if not isinstance(widths, tuple) or not widths or not all(isinstance(w, int) and w > 0 for w in widths):
        raise ValueError(f"`network` should be the widths of layers, or a Keras model. Received: {widths!r}")
    if act not in ACTS:
        raise ValueError(unknown("act", act, ACTS))
    function, slope = ACTS[act]
    signal = rng.standard_normal((SAMPLES, widths[0])) if inputs is None else np.asarray(inputs, np.float64)
    signals, weights = [signal], []
    for width in widths:
        into = signals[-1].shape[-1]
        weights.append(rng.normal(0, STDS[init](into, width, std), (into, width)))
        signals.append(function(signals[-1] @ weights[-1]))
    gradient, found = rng.standard_normal(signals[-1].shape), []
    for i in range(len(widths), 0, -1):
        by_sum = gradient * slope(signals[i])
        by_weights = float(np.linalg.norm(signals[i - 1].T @ by_sum) / len(signal))
        found.append((f"layer{i}", act, signals[i], gradient, by_weights))
        gradient = by_sum @ weights[i - 1].T
    return signal, found[::-1]


def summary(layer_flows, input_std, title):
    """Numbers of each layer's activations and gradients."""
    import pandas as pd

    rows, counts, edges = [], [], []
    for name, act, values, gradient, by_weights in layer_flows:
        values = np.asarray(values, np.float64)
        rms = float(np.sqrt(np.mean(np.square(gradient, dtype=np.float64))))
        rows.append((name, act, values.mean(), values.std(), saturated(values, act), rms, by_weights))
        count, edge = np.histogram(values, BINS, span(values, act))
        counts.append(count)
        edges.append(edge)
    columns = ["layer", "act", "mean", "std", "saturated", "gradient", "weight_gradient"]
    return Initialization(pd.DataFrame(rows, columns=columns), np.array(counts), np.array(edges), input_std, title)


def saturated(values, act):
    """The share of activations where the slope is (nearly) 0; NaN where there is no such place."""
    if act == "tanh":
        return float((np.abs(values) > SATURATED).mean())
    if act == "sigmoid":
        return float((np.abs(2 * values - 1) > SATURATED - (1 - SATURATED)).mean())
    if act in ("relu", "relu6"):
        return float((values <= 0).mean())
    return float("nan")


def span(values, act):
    """What a histogram covers: all that the nonlinearity can give, or all that is there."""
    if act in ("tanh", "sigmoid"):
        return (-1.0, 1.0) if act == "tanh" else (0.0, 1.0)
    low, high = float(values.min()), float(values.max())
    return (low, high) if high > low else (low - 0.5, high + 0.5)


class Tapped(keras.Model):
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
        self.compile(optimizer=Recorder(), jit_compile=False)

    def call(self, x):
        def alter(name, tensor):
            return tensor + ops.cast(self.zeros[self.taps[name]], tensor.dtype) if name in self.taps else tensor

        def perform(node, tensors):
            first, *rest = call(node, tensors, self.phase)
            return [alter(node.name, first), *rest]

        x = [alter(node.name, tensor) for node, tensor in zip(self.graph().inputs, keras.tree.flatten(x), strict=True)]
        values = run(self.graph(), x, perform=perform)
        ends = {node.name.rsplit("/", 1)[-1]: node.name for node in self.graph().outputs}
        end = values[ends.get("probs", next(iter(ends.values())))]
        return {"end": end, **{f"tap{i}": values[name] for name, i in self.taps.items()}}

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        return self.score(y, y_pred["end"])


def flows(model, inputs, labels, layers, training, rng, redraw=None):
    """(name, act, activations, their gradient, norm of the weights' gradient) of each layer, on a copy of the model."""
    copy = unfreeze(rebuild(model))
    if redraw:
        redraw(copy)
    graph = graph_of(copy, inputs)
    usual = activations(graph)
    nodes = chosen(graph, layers, lambda node: node in usual)
    score = loss_of("sparse_categorical_crossentropy")
    if labels is None:
        direction = rng.standard_normal((len(inputs), *graph.outputs[0].shape)).astype("float32")
        score = lambda y, end: ops.sum(ops.cast(end, "float32") * direction) / len(direction)  # noqa: E731
        labels = np.zeros(len(inputs), "int32")
    tapped = Tapped(copy, graph, nodes, len(inputs), training, score)
    kept = tapped(inputs, training=training)
    values = [np.asarray(ops.convert_to_numpy(kept[f"tap{i}"]), np.float32) for i in range(len(nodes))]
    tapped.train_on_batch(inputs, np.asarray(labels))
    # the loss is a mean over the batch; times its size it is the gradient of one image's loss
    slopes = [len(inputs) * ops.convert_to_numpy(zeros) for zeros in tapped.zeros]
    weights = [feeding_weights(node) for node in nodes]
    norms = [float(np.sqrt(sum(np.square(ops.convert_to_numpy(w)).sum() for w in own))) for own in weights]
    norms = [norm if own else float("nan") for norm, own in zip(norms, weights, strict=True)]
    return list(zip([n.name for n in nodes], map(act_of, nodes), values, slopes, norms, strict=True))


def feeding_weights(node):
    """The kernel of a call, or of the nearest one before it that has one."""
    while True:
        kernels = [w for w in getattr(node.operation, "trainable_weights", ()) if len(w.shape) > 1]
        if kernels or not node.inputs:
            return kernels
        node = node.inputs[0][0]
