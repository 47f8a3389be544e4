"""A model run call by call, so that what flows between its layers can be read, or something added to it.

Any Functional or Sequential model, nested or shared; calls are named as in the table of `anatomy.dissect`.
"""

import inspect

import keras

from ..anatomy import walk

LINEAR = ("linear", "")


def run(graph, inputs, *, training=False, alter=lambda name, tensor: tensor):
    """The first output of each call by name; ``alter(name, tensor)`` says what flows on in its place."""
    inputs = keras.tree.flatten(inputs)
    values = {node: [alter(node.name, x)] for node, x in zip(graph.inputs, inputs, strict=True)}
    for node in graph.nodes:
        if not node.is_input:
            outputs = keras.tree.flatten(call(node, [values[source][i] for source, i in node.inputs], training))
            values[node] = [alter(node.name, outputs[0]), *outputs[1:]]
    return {node.name: tensors[0] for node, tensors in values.items()}


def call(node, tensors, training):
    """One call with its own arguments, ``tensors`` in place of the symbolic ones."""
    given = iter(tensors)
    fill = lambda value: next(given) if isinstance(value, keras.KerasTensor) else value  # noqa: E731
    args, kwargs = keras.tree.map_structure(fill, node.arguments)
    if node.is_layer and "training" in inspect.signature(node.operation.call).parameters:
        kwargs = {**kwargs, "training": training}
    return node.operation(*args, **kwargs)


def chosen(graph, layers, usual):
    """The nodes that ``layers`` names (one or several), or without them those that are ``usual``."""
    if layers is None:
        return [node for node in graph.nodes if usual(node)]
    given = layers if isinstance(layers, list | tuple) else [layers]
    return [graph.find(layer) for layer in given]


def act_of(node):
    """The name of the nonlinearity that ends a call: "relu", "tanh" ..; "" where there is none."""
    act = getattr(node.operation, "activation", None)
    name = node.kind.lower() if act is None else getattr(act, "__name__", type(act).__name__).lower()
    if act is not None:
        return "" if name in LINEAR else name
    words = ("relu", "leakyrelu", "prelu", "elu", "softmax", "sigmoid", "tanh", "silu", "gelu", "selu", "softplus")
    return name if name in words else ""


def activations(graph):
    """The nonlinear calls but for the last softmax or sigmoid; all calls with weights where there are none."""
    found = [node for node in graph.nodes if act_of(node) and node not in graph.outputs]
    return found or [node for node in graph.nodes if getattr(node.operation, "weights", None)]


def graph_of(model, batch=None):
    """The calls of a model, traced at the size of a batch where it leaves sizes open."""
    open_sizes = batch is not None and any(None in tensor.shape[1:] for tensor in getattr(model, "inputs", ()))
    return walk(model, tuple(batch.shape[1:]) if open_sizes else None)
