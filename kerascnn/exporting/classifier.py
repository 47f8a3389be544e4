"""What a model's classifier sees, and what its scores mean."""

import keras
import numpy as np

from ..outputs import adds_up, final, scores_of


def features(model):
    """The layer called "features", else the input of the last layer with weights, as a function of the images."""
    # a Sequential's own .input and .output belong to the model around it
    sequential = isinstance(model, keras.Sequential)
    inputs, outputs = (model.inputs[0], model.outputs) if sequential else (model.input, model.output)
    named = next((layer for layer in model.layers if layer.name == "features"), None)
    if named is not None and not isinstance(named, keras.Model):
        return keras.Model(inputs, named.output)
    tensor = scores_of(outputs, model)
    while True:
        operation, node, _ = tensor._keras_history
        before = operation._inbound_nodes[node].input_tensors
        if isinstance(operation, keras.Model) and getattr(operation, "outputs", None):
            return chained(keras.Model(inputs, before[0]), features(operation))
        if not before:
            return keras.Model(inputs, tensor)
        tensor = before[0]
        if getattr(operation, "weights", None):
            return keras.Model(inputs, tensor)


def chained(first, then):
    return lambda x, training=False: then(first(x, training=training), training=training)


def ending(model, batch):
    """By what the scores end: "softmax", "sigmoid", "linear", or "pair" for one sigmoid that stands for two classes.

    Where the graph does not say, what they are for a ``batch``.
    """
    end = final(model)
    scores = keras.ops.convert_to_numpy(scores_of(model(batch, training=False), model))
    if end == "unknown":
        return "softmax" if adds_up(scores) else "linear"
    return "pair" if end == "sigmoid" and scores.shape[-1] == 1 else end


def softened(probs, end, temperature):
    """Probabilities (N, classes) at a temperature: p^(1/T), made to add up to 1; a sigmoid's each for itself."""
    if temperature == 1:
        return probs
    powers = probs.astype(np.float64) ** (1 / temperature)
    if end == "sigmoid":
        rest = (1 - probs.astype(np.float64)) ** (1 / temperature)
        return (powers / (powers + rest)).astype(np.float32)
    return (powers / powers.sum(-1, keepdims=True)).astype(np.float32)
