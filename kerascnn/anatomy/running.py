"""A model run call by call, so that what flows between its layers can be read, or something done to it.

Any Functional or Sequential model, nested or shared; calls are named as in the table of `dissect`.
"""

import inspect
from dataclasses import replace

import keras

from .graph import walk


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
