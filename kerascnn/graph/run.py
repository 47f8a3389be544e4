"""A model run call by call, so that what flows between its layers can be read, or something done to it.

Any Functional or Sequential model, nested or shared; calls are named as in the table of `dissect`.
"""

import inspect
from dataclasses import replace

import keras

from ..support.text import unknown
from .walk import walk


def run(graph, inputs, *, perform=None):
    """The first output of each call by name; ``perform(node, tensors)`` says what a call gives, in place of `call`."""
    perform = perform or call
    values = {node: [x] for node, x in zip(graph.inputs, keras.tree.flatten(inputs), strict=True)}
    for node in graph.nodes:
        if not node.is_input:
            values[node] = perform(node, [values[source][i] for source, i in node.inputs])
    return {node.name: tensors[0] for node, tensors in values.items()}


def call(node, tensors, training=False):
    """What one call gives with its own arguments, ``tensors`` in place of the symbolic ones, as a list."""
    given = iter(tensors)
    fill = lambda value: next(given) if isinstance(value, keras.KerasTensor) else value  # noqa: E731
    args, kwargs = keras.tree.map_structure(fill, node.arguments)
    if node.is_layer and "training" in inspect.signature(node.operation.call).parameters:
        kwargs = {**kwargs, "training": training}
    return keras.tree.flatten(node.operation(*args, **kwargs))


def graph_of(model, batch=None):
    """The calls of a model, traced at the size of a batch where it leaves sizes open."""
    open_sizes = batch is not None and any(None in tensor.shape[1:] for tensor in getattr(model, "inputs", ()))
    return walk(model, tuple(batch.shape[1:]) if open_sizes else None)


def before(node):
    """A call and all those that it depends on."""
    found, waiting = {}, [node]
    while waiting:
        each = waiting.pop()
        if each not in found:
            found[each] = None
            waiting += [source for source, _ in each.inputs]
    return found


def part(graph, nodes):
    """The graph without the calls that ``nodes`` do not depend on."""
    needed, ends = {each for node in nodes for each in before(node)}, tuple(nodes)
    return replace(graph, nodes=tuple(node for node in graph.nodes if node in needed), outputs=ends, ends=ends)


LINEAR = ("linear", "")
OWN = {  # layers and operations that are a nonlinearity by themselves
    *("relu", "relu6", "leakyrelu", "prelu", "elu", "selu", "celu", "softplus", "softmax", "sigmoid", "tanh"),
    *("silu", "gelu", "mish", "hardsigmoid", "hardsilu", "hardswish"),
}


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
    return name if name in OWN else ""


def activations(graph):
    """The nonlinear calls but for the last softmax or sigmoid; all calls with weights where there are none."""
    found = [node for node in graph.nodes if act_of(node) and node not in graph.outputs]
    return found or [node for node in graph.nodes if getattr(node.operation, "weights", None)]


def matching(model, layers):
    """The layers of a model with weights of their own, or those that ``layers`` names, nested ones too."""
    known = {}
    for layer in every_layer(model)[1:]:
        own = not layer._layers or not any(inner.trainable_weights for inner in layer._layers)
        if layer.trainable_weights and own:
            known.setdefault(layer.name, layer)
    if layers is None:
        if not known:
            raise ValueError(f"`model` should have weights to learn. Received: {model.name}, without any")
        return list(known.values())
    given = layers if isinstance(layers, list | tuple) else [layers]
    names = [getattr(layer, "name", layer) for layer in given]
    for name in names:
        if name not in known:
            raise ValueError(unknown(f"layer of {model.name} with weights", name, known))
    return [known[name] for name in names]


def every_layer(model):
    """A model and all layers in it, at any depth."""
    return [model, *model._flatten_layers(include_self=False)]
