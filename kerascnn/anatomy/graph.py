"""A model as a flat tuple of calls: nested models opened, shapes traced again where they differ.

A node is one *call* of a layer or operation, so a shared layer appears once for each time it is used.
"""

import difflib
import math
from dataclasses import dataclass

import keras


@dataclass(frozen=True, eq=False)
class Node:
    """One call of a layer; `inputs` are (node, index of its output) pairs, one for each tensor that enters."""

    name: str
    operation: object
    inputs: tuple
    outputs: tuple
    arguments: tuple = ()

    @property
    def kind(self):
        """The class name of the layer or operation."""
        return type(self.operation).__name__

    @property
    def is_layer(self):
        """False for bare operations such as slices and `ops.add`."""
        return isinstance(self.operation, keras.layers.Layer)

    @property
    def reach(self):
        """What a layer declares about how it reads maps: "pointwise", "whole", "window", "none"; None if nothing."""
        return getattr(self.operation, "reach", None)

    @property
    def is_input(self):
        """True for the images (or other tensors) that enter the model."""
        return not self.inputs

    @property
    def shape(self):
        """Output shape for one image, without the batch; the first output's if there are several."""
        return self.outputs[0]

    @property
    def input_shapes(self):
        """Shapes of what enters, without the batch."""
        return tuple(node.outputs[index] for node, index in self.inputs)

    def __repr__(self):
        return f"Node({self.name!r}, {self.kind}, {show_shape(self.shape)})"


@dataclass(frozen=True, eq=False)
class Graph:
    """The calls of a model in the order they run, and the nodes that give its outputs.

    ``outputs`` has each of these once, ``ends`` the node of each output tensor, in the model's order.
    """

    name: str
    nodes: tuple
    outputs: tuple
    ends: tuple

    @property
    def inputs(self):
        """The input nodes, in the model's order."""
        return tuple(node for node in self.nodes if node.is_input)

    def find(self, layer):
        """The node of a layer: a layer object, a path ("inner/conv1"), or a bare name if only one has it."""
        if isinstance(layer, Node):
            return layer
        nodes = {node.name: node for node in self.nodes}
        if isinstance(layer, str):
            if layer in nodes:
                return nodes[layer]
            found = [node for node in self.nodes if node.name.rsplit("/", 1)[-1] == layer]
        else:
            found = [node for node in self.nodes if node.operation is layer]
            layer = getattr(layer, "name", layer)
        if len(found) == 1:
            return found[0]
        if found:
            names = ", ".join(node.name for node in found)
            raise ValueError(f"`layer` should name one call of a layer, one of: {names}. Received: {layer!r}")
        near = difflib.get_close_matches(str(layer), nodes, n=3, cutoff=0.4)
        hint = f" Did you mean {', '.join(near)}?" if near else ""
        raise ValueError(f"`layer` should be a layer of {self.name}. Received: {layer!r}.{hint}")


@dataclass(frozen=True, eq=False)
class _Wire:
    """A tensor on its way: where it comes from, and its shape as traced."""

    node: Node
    index: int
    tensor: keras.KerasTensor


def walk(model, input_shape=None):
    """Open a Functional or Sequential model, at any depth, into a `Graph`.

    `input_shape` traces the shapes again: a shape without the batch, or a dict of them by input name.
    """
    if isinstance(model, Graph):
        return model
    function = _function(model)
    if function is None:
        raise ValueError(
            "`model` should be a Functional model or a Sequential one that is built "
            f"(call `model.build(input_shape)` first). Received: {type(model).__name__} "
            f"{getattr(model, 'name', model)!r}"
        )
    nodes, wires = [], []
    for tensor, shape in zip(function.inputs, _input_shapes(function, input_shape), strict=True):
        source = tensor._keras_history.operation
        node = Node(source.name if source else tensor.name, source, (), (shape,))
        nodes.append(node)
        traced = keras.KerasTensor((tensor.shape[0], *shape), dtype=tensor.dtype)
        wires.append(_Wire(node, 0, traced))
    outputs = _trace(function, wires, "", nodes, {})
    ends = tuple(wire.node for wire in outputs)
    return Graph(model.name, tuple(nodes), tuple(dict.fromkeys(ends)), ends)


def _function(model):
    """The graph inside a model: itself if Functional, the hidden one of a Sequential, else None."""
    if isinstance(model, keras.Sequential):
        return model._functional
    return model if isinstance(model, keras.Model) and isinstance(model, keras.Function) else None


def _input_shapes(function, wanted):
    """The shape of each input without the batch, after replacing those that are asked for."""
    own = [tuple(tensor.shape[1:]) for tensor in function.inputs]
    names = [t._keras_history.operation.name if t._keras_history.operation else t.name for t in function.inputs]
    if wanted is None:
        return own
    if not isinstance(wanted, dict):
        if any(isinstance(size, tuple | list) for size in wanted):
            wanted = dict(zip(names, wanted, strict=True))
        else:
            wanted = {name: wanted for name, shape in zip(names, own, strict=True) if len(shape) == len(wanted)}
    shapes = [tuple(wanted.get(name, shape)) for name, shape in zip(names, own, strict=True)]
    fits = all(
        len(new) == len(old) and (old[-1:] == (None,) or new[-1:] == old[-1:])
        for new, old in zip(shapes, own, strict=True)
    )
    if not wanted or set(wanted) - set(names) or not fits:
        expected = ", ".join(f"{name}: {show_shape(shape)}" for name, shape in zip(names, own, strict=True))
        raise ValueError(f"`input_shape` should fit the inputs ({expected}). Received: {wanted or 'no fit'}")
    return shapes


def _trace(function, wires, prefix, nodes, calls):
    """Follow one graph, appending to `nodes`; gives the wires of its outputs. Nested models recurse."""
    wires = dict(zip(map(id, function.inputs), wires, strict=True))
    for call in _ordered(function):
        if call.is_input or any(id(tensor) not in wires for tensor in call.input_tensors):
            continue
        sources = [wires[id(tensor)] for tensor in call.input_tensors]
        name = prefix + call.operation.name
        inner = _function(call.operation)
        if inner is not None and len(inner.inputs) == len(sources):
            ends = _trace(inner, sources, name + "/", nodes, calls)
        else:
            ends = _call(call, sources, name, nodes, calls)
        wires.update(zip(map(id, call.outputs), ends, strict=True))
    return [wires[id(tensor)] for tensor in function.outputs]


def _call(call, sources, name, nodes, calls):
    """Record one call as a node, and the wires that leave it."""
    pairs = zip(sources, call.input_tensors, strict=True)
    outputs = call.outputs
    if any(tuple(source.tensor.shape[1:]) != tuple(tensor.shape[1:]) for source, tensor in pairs):
        traced = {id(t): source.tensor for t, source in zip(call.input_tensors, sources, strict=True)}
        args, kwargs = call.arguments.fill_in(traced)
        outputs = keras.tree.flatten(call.operation.compute_output_spec(*args, **kwargs))
    calls[name] = calls.get(name, 0) + 1
    node = Node(
        name if calls[name] == 1 else f"{name}#{calls[name]}",
        call.operation,
        tuple((source.node, source.index) for source in sources),
        tuple(tuple(tensor.shape[1:]) for tensor in outputs),
        (call.arguments.args, call.arguments.kwargs),
    )
    nodes.append(node)
    return [_Wire(node, index, tensor) for index, tensor in enumerate(outputs)]


def _ordered(function):
    """The calls of a graph so that each comes after what it needs, in the order the layers are listed."""
    rank = {id(operation): index for index, operation in enumerate(function.operations)}
    for depth in sorted(function._nodes_by_depth, reverse=True):
        calls = function._nodes_by_depth[depth]
        yield from sorted(calls, key=lambda c: (rank[id(c.operation)], c.operation._inbound_nodes.index(c)))


def elements(shape):
    """How many numbers a shape holds; None when a size is unknown."""
    return None if None in shape else math.prod(shape)


def show_shape(shape):
    """A shape as people write it: "224x224x3", unknown sizes as "?"."""
    return "x".join("?" if size is None else str(size) for size in shape) or "scalar"
