"""What a model ends with: its scores, logits, probabilities, and the features that its classifier reads."""

import keras
import numpy as np
from scipy.special import softmax

from .run import part, run
from .walk import walk

PASSING = ("Identity", "Dropout", "Flatten", "Reshape", "Cast")  # operations that leave scores what they are


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


def output_of(model, graph):
    """The call of a model's ``Graph`` that gives its scores."""
    scores = scores_of(model.outputs if isinstance(model, keras.Sequential) else model.output, model)
    ends = {id(tensor): node for tensor, node in zip(model.outputs, graph.ends, strict=True)}
    return ends[id(scores)]


def deciding(node):
    """The call that makes the scores what they are: behind it they are only passed on."""
    while ending(node.operation) == "passing" and node.inputs:
        node = node.inputs[0][0]
    return node


def final(model):
    """By what a model ends: "softmax", "sigmoid", "linear", or "unknown"."""
    kind = ending(deciding(output_of(model, walk(model))).operation)
    return "unknown" if kind == "passing" else kind


def squashing(node):
    """The call that makes probabilities of the logits at the end; None where they are the output."""
    node = deciding(node)
    return node if ending(node.operation) in ("softmax", "sigmoid") else None


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
    return softmax(scores, axis=-1)


def adds_up(scores):
    """Whether the scores of each image are probabilities that add up to 1."""
    return bool((scores >= 0).all() and np.allclose(scores.sum(axis=-1), 1, atol=1e-3))


def soften(probs, end, temperature):
    """Probabilities (N, classes) at a temperature: p^(1/T), made to add up to 1; a sigmoid's each for itself."""
    if temperature == 1:
        return probs
    powers = probs.astype(np.float64) ** (1 / temperature)
    if end == "sigmoid":
        rest = (1 - probs.astype(np.float64)) ** (1 / temperature)
        return (powers / (powers + rest)).astype(np.float32)
    return (powers / powers.sum(-1, keepdims=True)).astype(np.float32)


def before_softmax(tensor):
    """(logits, True), or (probabilities, False) where a layer makes them in one."""
    operation, node, _ = tensor._keras_history
    if isinstance(operation, keras.layers.Softmax):
        return operation._inbound_nodes[node].input_tensors[0], True
    activation = getattr(getattr(operation, "activation", None), "__name__", "linear")
    if activation not in ("softmax", "linear") or tensor.shape[-1] < 2:
        raise ValueError(
            f"`model` should end in a softmax over classes, or logits. Received: {activation}, {tensor.shape}"
        )
    return tensor, activation == "linear"


def weightless_end(node):
    """The last calls with weights before a node, and all that come after them."""
    found, waiting = set(), [node]
    while waiting:
        node = waiting.pop()
        found.add(node)
        if not getattr(node.operation, "weights", None):
            waiting += [source for source, _ in node.inputs if source not in found]
    return found


def last_weights(node):
    """The last call with weights on the way to a node."""
    while node.inputs and not getattr(node.operation, "weights", None):
        node = node.inputs[0][0]
    return node


def penultimate(node):
    """What the last call with weights on the way to a node reads."""
    last = last_weights(node)
    return last.inputs[0][0] if last.inputs else last


def features(model):
    """The layer called "features", else the input of the last layer with weights, as a function of the images."""
    graph = walk(model)
    output = output_of(model, graph)
    *path, _ = last_weights(output).name.split("/")  # the nested models in which the classifier is
    known = {node.name: node for node in graph.nodes}
    names = ["/".join([*path[:depth], "features"]) for depth in range(len(path) + 1)]
    node = next((known[name] for name in names if name in known), penultimate(output))
    shown = part(graph, [node])
    return lambda images: run(shown, images)[node.name]
