"""The end of a model: scores, logits, probabilities, and the features that its classifier reads."""

import keras
import numpy as np
from scipy.special import softmax

from .run import run_graph, subgraph
from .walk import build_graph

PASSTHROUGH = ("Identity", "Dropout", "Flatten", "Reshape", "Cast")  # operations that do not change scores


def check_channels_last(model):
    """Raise if a model takes images as (N, C, H, W)."""
    for tensor in getattr(model, "inputs", None) or ():
        shape = tuple(tensor.shape)
        if len(shape) == 4 and shape[1] in (1, 3) and shape[-1] not in (1, 3):
            raise ValueError(f"`model` should use channels_last. Received: {model.name} with input {shape}")


def select_scores(outputs, model):
    """Select the scores among the outputs of a model: its only output, or the one named "probs"."""
    if isinstance(outputs, dict) and (len(outputs) == 1 or "probs" in outputs):
        return outputs["probs"] if "probs" in outputs else next(iter(outputs.values()))
    if isinstance(outputs, list | tuple) and len(outputs) == 1:
        return outputs[0]
    if isinstance(outputs, dict | list | tuple):
        received = f"{len(outputs)} outputs" + (f" {', '.join(outputs)}" if isinstance(outputs, dict) else "")
        raise ValueError(
            f"`model` should have one output, or one named 'probs'. Received: {model.name} with {received}"
        )
    return outputs


def symbolic_outputs(model):
    """The outputs of a model in their structure; a Sequential model has no `output`."""
    return model.outputs if isinstance(model, keras.Sequential) else model.output


def score_node(model, graph):
    """The node of a model's ``Graph`` that returns its scores."""
    scores = select_scores(symbolic_outputs(model), model)
    ends = {id(tensor): node for tensor, node in zip(model.outputs, graph.ends, strict=True)}
    return ends[id(scores)]


def output_layer(model):
    """The layer that returns a model's scores, inside of nested models; None if that cannot be told."""
    while isinstance(model, keras.Model):
        try:
            scores = select_scores(symbolic_outputs(model), model)
            model = scores._keras_history.operation
        except (AttributeError, ValueError):
            return None
    return model if isinstance(model, keras.Layer) else None


def skip_passthrough(node):
    """The last call before a node that changes scores, itself or a predecessor."""
    while activation_kind(node.operation) == "passing" and node.inputs:
        node = node.inputs[0][0]
    return node


def final_activation(model):
    """The last activation of a model: "softmax", "sigmoid", "linear", or "unknown"."""
    kind = activation_kind(skip_passthrough(score_node(model, build_graph(model))).operation)
    return "unknown" if kind == "passing" else kind


def probability_node(node):
    """The call that turns logits into probabilities; None if the output is logits."""
    node = skip_passthrough(node)
    return node if activation_kind(node.operation) in ("softmax", "sigmoid") else None


def activation_kind(operation):
    """The kind of an operation: "softmax", "sigmoid", "linear", "passing" (no change) or "unknown"."""
    kind = type(operation).__name__
    activation = getattr(operation, "activation", None)
    name = kind if activation is None else getattr(activation, "__name__", type(activation).__name__)
    if name.lower() in ("softmax", "sigmoid"):
        return name.lower()
    if kind in PASSTHROUGH or (kind == "Activation" and name == "linear"):
        return "passing"
    return "linear" if activation is not None or hasattr(operation, "kernel") else "unknown"


def scores_to_probabilities(scores, end):
    """Convert scores (N, classes) to float32 probabilities, by the last activation of the model.

    Outputs of a softmax or sigmoid are probabilities already (a single sigmoid p becomes 1 - p, p). Others are logits
    and go through a softmax; after an unknown layer, only if they do not sum to 1.
    """
    scores = np.asarray(scores, np.float32)
    if end == "sigmoid":
        return np.concatenate([1 - scores, scores], axis=-1) if scores.shape[-1] == 1 else scores
    if end == "softmax" or (end == "unknown" and sums_to_one(scores)):
        return scores
    return softmax(scores, axis=-1)


def sums_to_one(scores):
    """Whether the scores of each image are non-negative and sum to 1."""
    return bool((scores >= 0).all() and np.allclose(scores.sum(axis=-1), 1, atol=1e-3))


def apply_temperature(probs, end, temperature):
    """Probabilities (N, classes) at a temperature: p^(1/T), normalized; sigmoids independently per class."""
    if temperature == 1:
        return probs
    powers = probs.astype(np.float64) ** (1 / temperature)
    if end == "sigmoid":
        complements = (1 - probs.astype(np.float64)) ** (1 / temperature)
        return (powers / (powers + complements)).astype(np.float32)
    return (powers / powers.sum(-1, keepdims=True)).astype(np.float32)


def logits_before_softmax(tensor):
    """(logits, True), or (probabilities, False) if the softmax is fused into a layer."""
    operation, node, _ = tensor._keras_history
    if isinstance(operation, keras.layers.Softmax):
        return operation._inbound_nodes[node].input_tensors[0], True
    activation = getattr(getattr(operation, "activation", None), "__name__", "linear")
    if activation not in ("softmax", "linear") or tensor.shape[-1] < 2:
        raise ValueError(
            "`model` should end in a softmax over classes, or in logits. "
            f"Received: {activation} of shape {tensor.shape}"
        )
    return tensor, activation == "linear"


def nodes_from_last_weights(node):
    """The last calls with weights before a node, and all calls between them and the node."""
    nodes, waiting = set(), [node]
    while waiting:
        node = waiting.pop()
        nodes.add(node)
        if not getattr(node.operation, "weights", None):
            waiting += [source for source, _ in node.inputs if source not in nodes]
    return nodes


def last_weighted_node(node):
    """The last call with weights before a node, itself or a predecessor."""
    while node.inputs and not getattr(node.operation, "weights", None):
        node = node.inputs[0][0]
    return node


def classifier_input(node):
    """The input of the last call with weights before a node."""
    last = last_weighted_node(node)
    return last.inputs[0][0] if last.inputs else last


def feature_extractor(model):
    """A function that returns the layer "features", else the input of the last layer with weights.

    It takes images, or of a model with several inputs a dict of them by name.
    """
    graph = build_graph(model)
    output = score_node(model, graph)
    *path, _ = last_weighted_node(output).name.split("/")  # the nested models in which the classifier is
    nodes_by_name = {node.name: node for node in graph.nodes}
    names = ["/".join([*path[:depth], "features"]) for depth in range(len(path) + 1)]
    node = next((nodes_by_name[name] for name in names if name in nodes_by_name), classifier_input(output))
    feature_graph = subgraph(graph, [node])

    def extract(images):
        values = [images[source.name] for source in feature_graph.inputs] if isinstance(images, dict) else images
        return run_graph(feature_graph, values)[node.name]

    return extract
