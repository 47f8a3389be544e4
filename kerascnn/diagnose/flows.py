"""Signals through any Keras model: activations on their way in, gradients on their way back, layer by layer.

To read the gradient by an activation a is to read that by a variable of zeros added to it: dL/d(a + 0).
"""

import keras
import numpy as np
from keras import ops

from ..anatomy.running import call, graph_of, run
from .calls import act_of, activations, chosen
from .copies import Recorder, loss_of, rebuild, unfreeze


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
