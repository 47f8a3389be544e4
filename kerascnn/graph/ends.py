"""What any classifier takes and gives: its image input, and its output as probabilities."""

import keras
import numpy as np

PASSING = ("Identity", "Dropout", "Flatten", "Reshape", "Cast")  # operations that leave scores what they are


def image_input(model):
    """(height, width, channels) of the one image that a model takes; sizes None where open."""
    if not isinstance(model, keras.Model) or not getattr(model, "inputs", None):
        raise ValueError(f"`model` should be a functional or built Sequential Keras model. Received: {model!r}")
    shapes = [tuple(tensor.shape) for tensor in model.inputs]
    if len(shapes) != 1 or len(shapes[0]) != 4 or shapes[0][-1] is None:
        raise ValueError(f"`model` should have one input (N, H, W, C). Received: {model.name}, with inputs {shapes}")
    check_channels_last(model)
    return shapes[0][1:]


def check_channels_last(model):
    """Refuse a model that takes images as (N, C, H, W); what has no inputs is left to others."""
    for tensor in getattr(model, "inputs", None) or ():
        shape = tuple(tensor.shape)
        if len(shape) == 4 and shape[1] in (1, 3) and shape[-1] not in (1, 3):
            raise ValueError(f"`model` should take its channels last. Received: {model.name}, with the input {shape}")


def scores_of(outputs, model):
    """Of what a model returns, the scores: the output itself, or the one called "probs"."""
    if isinstance(outputs, dict) and (len(outputs) == 1 or "probs" in outputs):
        return outputs["probs"] if "probs" in outputs else next(iter(outputs.values()))
    if isinstance(outputs, list | tuple) and len(outputs) == 1:
        return outputs[0]
    if isinstance(outputs, dict | list | tuple):
        came = f"{len(outputs)} outputs" + (f" {', '.join(outputs)}" if isinstance(outputs, dict) else "")
        raise ValueError(f"`model` should have one output, or one called 'probs'. Received: {model.name}, with {came}")
    return outputs


def final(model):
    """By what a model ends: "softmax", "sigmoid", "linear", or "unknown"."""
    tensor = scores_of(getattr(model, "output", model.outputs), model)
    while True:
        operation, node, index = tensor._keras_history
        if isinstance(operation, keras.Model) and getattr(operation, "outputs", None):
            tensor = operation.outputs[index]
            continue
        kind = ending(operation)
        before = operation._inbound_nodes[node].input_tensors
        if kind != "passing" or not before:
            return "unknown" if kind == "passing" else kind
        tensor = before[0]


def ending(operation):
    """What one operation makes of scores."""
    kind = type(operation).__name__
    activation = getattr(operation, "activation", None)
    name = kind if activation is None else getattr(activation, "__name__", type(activation).__name__)
    if name.lower() in ("softmax", "sigmoid"):
        return name.lower()
    if kind in PASSING or (kind == "Activation" and name == "linear"):
        return "passing"
    return "linear" if activation is not None or hasattr(operation, "kernel") else "unknown"


def probabilities(scores, end):
    """Scores (N, classes) as float32 probabilities, given by what the model ends.

    A softmax's and a sigmoid's are probabilities already (a single sigmoid's p becomes 1 - p, p). Others are logits,
    which go through a softmax; after a layer of unknown kind only if they do not add up to 1.
    """
    scores = np.asarray(scores, np.float32)
    if end == "sigmoid":
        return np.concatenate([1 - scores, scores], axis=-1) if scores.shape[-1] == 1 else scores
    if end == "softmax" or (end == "unknown" and adds_up(scores)):
        return scores
    powers = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


def adds_up(scores):
    return bool((scores >= 0).all() and np.allclose(scores.sum(axis=-1), 1, atol=1e-3))
