"""Run a model call by call, to read or change the tensors between its layers.

Works for any Functional or Sequential model, with nested and shared layers; calls are named as in the table of
`dissect`.
"""

import inspect
from dataclasses import replace

import keras

from ..support.text import unknown_name
from .walk import build_graph


def run_graph(graph, inputs, *, perform=None):
    """Run a graph and return the first output of each call, by name.

    Args:
        graph: a `Graph`.
        inputs: tensors for its inputs, in their order.
        perform: called as ``perform(node, tensors)`` in place of `call_node`; returns the outputs of a call.
    """
    perform = perform or call_node
    values = {node: [x] for node, x in zip(graph.inputs, keras.tree.flatten(inputs), strict=True)}
    for node in graph.nodes:
        if not node.is_input:
            values[node] = perform(node, [values[source][i] for source, i in node.inputs])
    return {node.name: tensors[0] for node, tensors in values.items()}


def call_node(node, tensors, training=False):
    """The outputs of one call as a list; ``tensors`` replace the symbolic ones among its arguments."""
    values = iter(tensors)
    fill = lambda value: next(values) if isinstance(value, keras.KerasTensor) else value  # noqa: E731
    args, kwargs = keras.tree.map_structure(fill, node.arguments)
    if node.is_layer and "training" in inspect.signature(node.operation.call).parameters:
        kwargs = {**kwargs, "training": training}
    return keras.tree.flatten(node.operation(*args, **kwargs))


def build_graph_for(model, batch=None):
    """The `Graph` of a model; unknown sizes are traced with the shape of ``batch``."""
    open_sizes = batch is not None and any(None in tensor.shape[1:] for tensor in getattr(model, "inputs", ()))
    return build_graph(model, tuple(batch.shape[1:]) if open_sizes else None)


def ancestors(node):
    """A node and all nodes that it depends on."""
    nodes, waiting = {}, [node]
    while waiting:
        node = waiting.pop()
        if node not in nodes:
            nodes[node] = None
            waiting += [source for source, _ in node.inputs]
    return nodes


def subgraph(graph, nodes):
    """The part of a graph that ``nodes`` depend on."""
    ancestor_nodes = set()
    for node in nodes:
        ancestor_nodes.update(ancestors(node))
    ends = tuple(nodes)
    return replace(graph, nodes=tuple(node for node in graph.nodes if node in ancestor_nodes), outputs=ends, ends=ends)


LINEAR = ("linear", "")
NONLINEARITIES = {  # layers and operations that are activation functions
    *("relu", "relu6", "leakyrelu", "prelu", "elu", "selu", "celu", "softplus", "softmax", "sigmoid", "tanh"),
    *("silu", "gelu", "mish", "hardsigmoid", "hardsilu", "hardswish"),
}


def select_nodes(graph, layers, is_default):
    """The nodes of ``layers`` (one or several); if None, those for which ``is_default(node)`` is true."""
    if layers is None:
        return [node for node in graph.nodes if is_default(node)]
    names = layers if isinstance(layers, list | tuple) else [layers]
    return [graph.find(layer) for layer in names]


def activation_name(node):
    """The name of the activation function of a call, such as "relu"; "" if it has none."""
    act = getattr(node.operation, "activation", None)
    name = node.kind.lower() if act is None else getattr(act, "__name__", type(act).__name__).lower()
    if act is not None:
        return "" if name in LINEAR else name
    return name if name in NONLINEARITIES else ""


def activation_nodes(graph):
    """The calls with an activation function, except outputs; if there are none, all calls with weights."""
    activations = [node for node in graph.nodes if activation_name(node) and node not in graph.outputs]
    return activations or [node for node in graph.nodes if getattr(node.operation, "weights", None)]


def select_weighted_layers(model, layers):
    """The layers of a model that have trainable weights, nested ones too, or those of them named by ``layers``."""
    weighted = {}
    for layer in all_layers(model)[1:]:
        is_innermost = not layer._layers or not any(inner.trainable_weights for inner in layer._layers)
        if layer.trainable_weights and is_innermost:
            weighted.setdefault(layer.name, layer)
    if layers is None:
        if not weighted:
            raise ValueError(f"`model` should have trainable weights. Received: {model.name}, which has none")
        return list(weighted.values())
    selection = layers if isinstance(layers, list | tuple) else [layers]
    names = [getattr(layer, "name", layer) for layer in selection]
    for name in names:
        if name not in weighted:
            raise ValueError(unknown_name(f"layer with weights in {model.name}", name, weighted))
    return [weighted[name] for name in names]


def all_layers(model):
    """A model and all layers in it, at any depth."""
    return [model, *model._flatten_layers(include_self=False)]
