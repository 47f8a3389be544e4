"""A model as a flat tuple of calls: nested models are opened, and shapes traced again if they differ.

A node is one *call* of a layer or operation, so a shared layer appears once for each time it is used.
"""

import math
from dataclasses import dataclass

import keras
from keras import layers

from ..support.text import close_matches, format_shape


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
        """Class name of the layer or operation."""
        return type(self.operation).__name__

    @property
    def is_layer(self):
        """False for bare operations such as slices and `ops.add`."""
        return isinstance(self.operation, keras.layers.Layer)

    @property
    def reach(self):
        """How a layer declares to read maps: "pointwise", "whole", "window", "none"; None if it declares nothing."""
        return getattr(self.operation, "reach", None)

    @property
    def is_input(self):
        """True for the images (or other tensors) that enter the model."""
        return not self.inputs

    @property
    def shape(self):
        """Shape of the first output, without the batch."""
        return self.outputs[0]

    @property
    def input_shapes(self):
        """Input shapes, without the batch."""
        return tuple(node.outputs[index] for node, index in self.inputs)

    def __repr__(self):
        return f"Node({self.name!r}, {self.kind}, {describe_shape(self.shape)})"


@dataclass(frozen=True, eq=False)
class Graph:
    """The calls of a model in the order they run, and the nodes of its outputs.

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
            matches = [node for node in self.nodes if node.name.rsplit("/", 1)[-1] == layer]
        else:
            matches = [node for node in self.nodes if node.operation is layer]
            layer = getattr(layer, "name", layer)
        if len(matches) == 1:
            return matches[0]
        if matches:
            names = ", ".join(node.name for node in matches)
            raise ValueError(
                "`layer` is called several times in this model; it should be one of its calls: "
                f"{names}. Received: {layer!r}"
            )
        similar_names = close_matches(layer, nodes)
        hint = f" Did you mean {', '.join(similar_names)}?" if similar_names else ""
        raise ValueError(f"`layer` should be a layer of {self.name}. Received: {layer!r}.{hint}")


@dataclass(frozen=True, eq=False)
class _Wire:
    """A tensor: the node that returns it, and its shape as traced."""

    node: Node
    index: int
    tensor: keras.KerasTensor


def build_graph(model, input_shape=None):
    """Open a Functional or Sequential model, at any depth, into a `Graph`.

    `input_shape` traces the shapes again: a shape without the batch, or a dict of them by input name.
    """
    if isinstance(model, Graph):
        return model
    function = functional_of(model)
    if function is None:
        raise ValueError(
            "`model` should be a Functional model or a built Sequential model "
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


def functional_of(model):
    """The graph inside a model: itself if Functional, the hidden one of a Sequential, else None."""
    if isinstance(model, keras.Sequential):
        return model._functional
    return model if isinstance(model, keras.Model) and isinstance(model, keras.Function) else None


def _input_shapes(function, input_shape):
    """The shape of each input without the batch, with ``input_shape`` in place of the model's."""
    model_shapes = [tuple(tensor.shape[1:]) for tensor in function.inputs]
    names = [t._keras_history.operation.name if t._keras_history.operation else t.name for t in function.inputs]
    if input_shape is None:
        return model_shapes
    if not isinstance(input_shape, dict):
        if any(isinstance(size, tuple | list) for size in input_shape):
            input_shape = dict(zip(names, input_shape, strict=True))
        else:
            input_shape = {
                name: input_shape
                for name, shape in zip(names, model_shapes, strict=True)
                if len(shape) == len(input_shape)
            }
    shapes = [tuple(input_shape.get(name, shape)) for name, shape in zip(names, model_shapes, strict=True)]
    fits = all(
        len(new) == len(old) and (old[-1:] == (None,) or new[-1:] == old[-1:])
        for new, old in zip(shapes, model_shapes, strict=True)
    )
    if not input_shape or set(input_shape) - set(names) or not fits:
        expected = ", ".join(
            f"{name}: {describe_shape(shape)}" for name, shape in zip(names, model_shapes, strict=True)
        )
        raise ValueError(
            f"`input_shape` should match the model's inputs ({expected}). "
            f"Received: {input_shape or 'incompatible shapes'}"
        )
    return shapes


def _trace(function, wires, prefix, nodes, calls):
    """Follow one graph, append its calls to `nodes`, and return the wires of its outputs. Nested models recurse."""
    wires = dict(zip(map(id, function.inputs), wires, strict=True))
    for call in _calls_in_order(function):
        if call.is_input or any(id(tensor) not in wires for tensor in call.input_tensors):
            continue
        sources = [wires[id(tensor)] for tensor in call.input_tensors]
        name = prefix + call.operation.name
        inner = functional_of(call.operation)
        if inner is not None and len(inner.inputs) == len(sources):
            ends = _trace(inner, sources, name + "/", nodes, calls)
        else:
            ends = _call(call, sources, name, nodes, calls)
        wires.update(zip(map(id, call.outputs), ends, strict=True))
    return [wires[id(tensor)] for tensor in function.outputs]


def _call(call, sources, name, nodes, calls):
    """Append one call to `nodes`, and return the wires of its outputs."""
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


def _calls_in_order(function):
    """The calls of a graph so that each comes after what it needs, in the order the layers are listed."""
    rank = {id(operation): index for index, operation in enumerate(function.operations)}
    for depth in sorted(function._nodes_by_depth, reverse=True):
        calls = function._nodes_by_depth[depth]
        yield from sorted(calls, key=lambda c: (rank[id(c.operation)], c.operation._inbound_nodes.index(c)))


def element_count(shape):
    """The number of elements of a shape; None if a size is unknown."""
    return None if None in shape else math.prod(shape)


def describe_shape(shape):
    """A shape as text, such as "224x224x3", with unknown sizes as "?"."""
    return format_shape(shape) or "scalar"


def layer_classes(names, dimensions=(1, 2, 3)):
    """The Keras classes behind names in which `#` stands for the number of dimensions."""
    spelled = [name.replace("#", str(d)) for name in names.split() for d in dimensions]
    return tuple(dict.fromkeys(getattr(layers, name) for name in spelled if hasattr(layers, name)))


def name_set(text):
    """A set of the names in a text, separated by spaces."""
    return frozenset(text.split())


CONVOLUTIONS = layer_classes("Conv#D DepthwiseConv#D SeparableConv#D")
SEPARABLE = layer_classes("SeparableConv#D")
DEPTHWISE = layer_classes("DepthwiseConv#D")
TRANSPOSED = layer_classes("Conv#DTranspose")
DENSE = (layers.Dense,)
POOLS = layer_classes("MaxPooling#D AveragePooling#D")
GLOBAL_POOLS = layer_classes("GlobalMaxPooling#D GlobalAveragePooling#D")
ADAPTIVE_POOLS = layer_classes("AdaptiveMaxPooling#D AdaptiveAveragePooling#D")
PADDINGS = layer_classes("ZeroPadding#D")
CROPPINGS = layer_classes("Cropping#D")
UPSAMPLINGS = layer_classes("UpSampling#D")
RECURRENT = layer_classes("RNN ConvLSTM#D")

# Layers that take each position by itself, in inference. Dense acts on the channels of a map.
POINTWISE = layer_classes(
    "Activation ReLU LeakyReLU PReLU ELU BatchNormalization Rescaling Normalization Identity Masking "
    "Dropout AlphaDropout GaussianDropout GaussianNoise SpatialDropout#D ActivityRegularization "
    "Add Subtract Multiply Average Maximum Minimum Dense Embedding "
    # augmentation passes images through in inference
    "RandomFlip RandomRotation RandomZoom RandomTranslation RandomShear RandomContrast RandomBrightness "
    "RandomHue RandomSaturation RandomColorJitter RandomErasing RandomGaussianBlur RandomGrayscale RandAugment"
)
# Pointwise when their axis is the channels, the whole map otherwise.
BY_AXIS = layer_classes("Softmax LayerNormalization RMSNormalization UnitNormalization")
WHOLE = (*GLOBAL_POOLS, layers.GroupNormalization, layers.MultiHeadAttention, layers.Attention)

# Bare operations (`ops.add`, `x * 2`, `ops.relu`) that take each position by itself.
POINTWISE_OPERATIONS = name_set(
    "Add Subtract Multiply Divide TrueDivide Maximum Minimum Power Negative Absolute Abs Clip Square Sqrt "
    "Rsqrt Exp Expm1 Log Log1p Sign Tanh Sigmoid Relu Relu6 LeakyRelu Elu Selu Celu Gelu Silu Swish Mish "
    "Softplus Softsign HardSigmoid HardTanh HardSilu HardSwish LogSigmoid TanhShrink SoftShrink Reciprocal "
    "Cast Identity StopGradient Floor Ceil Round Where Greater GreaterEqual Less LessEqual Equal"
)
REDUCTIONS = name_set("Mean Sum Max Min Var Std Amax Amin Prod Any All Logsumexp")

# Work that overwrites its input or only looks at it differently: no new memory in our count.
VIEWS = layer_classes("Flatten Reshape Permute Concatenate ZeroPadding#D Cropping#D RepeatVector")
IN_PLACE = tuple(
    kind for kind in (*POINTWISE, *BY_AXIS, layers.GroupNormalization) if kind not in (layers.Dense, layers.Embedding)
)
VIEW_OPERATIONS = name_set("GetItem Reshape Transpose Concatenate Split Squeeze ExpandDims Pad Ravel")


def is_in_place(node):
    """True if a call needs no memory of its own: it overwrites its input, or only views it.

    Convolutions, pools and fully connected layers write new activations; a ReLU, a normalization, dropout or an
    addition works in place, and concatenation, flattening, padding and slices only arrange what is there.
    """
    if node.is_input:
        return False
    if node.is_layer:
        return node.reach == "pointwise" or isinstance(node.operation, (*IN_PLACE, *VIEWS))
    return node.kind in POINTWISE_OPERATIONS or node.kind in VIEW_OPERATIONS
