"""A classifier as a fully convolutional network, with scores at every position of larger images (Sermanet et al. 2013).

Global pooling becomes pooling with a window, flatten and dense a convolution whose kernel is as large as the map was,
dense a 1x1 convolution: the same sums, so that an image of the classifier's own size has one position, and its scores
are the classifier's logits.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any, NamedTuple

import keras
from keras import layers

from ...anatomy import connections
from ...graph import walk as kinds
from ...graph.copy import copy_weights
from ...graph.ends import activation_kind, probability_node, select_scores, symbolic_outputs
from ...graph.run import call_node
from ...graph.walk import build_graph
from ...inputs.classifier import classifier
from ...support.types import Model, Size

POOLINGS = {
    **dict.fromkeys(("GlobalAveragePooling2D", "AdaptiveAveragePooling2D", "Mean"), layers.AveragePooling2D),
    **dict.fromkeys(("GlobalMaxPooling2D", "AdaptiveMaxPooling2D", "Max"), layers.MaxPooling2D),
}
RESHAPING = ("Flatten", "Reshape", "Squeeze", "ExpandDims")
DROPPED = kinds.layer_classes(
    "Dropout AlphaDropout GaussianDropout GaussianNoise SpatialDropout#D ActivityRegularization"
)
FIXED_SIZE = (layers.Resizing, layers.Reshape, *kinds.ADAPTIVE_POOLS)  # their output size is fixed
ALONG_CHANNELS = (*kinds.POINTWISE, *kinds.BY_AXIS, layers.Concatenate)  # treat a vector like each position of a map
ALONG_CHANNELS_OPERATIONS = kinds.POINTWISE_OPERATIONS | {"Softmax", "LogSoftmax", "Concatenate"}
ONE_BY_ONE = (1, 1)


class ConvertedTensor(NamedTuple):
    """A tensor of the new network, and its form in the classifier.

    "map"; "flat", a flattened map, here still a map; "answers", a vector, here one at each position; "aside",
    independent of the pixels. ``size`` is that of the map that was flattened or pooled.
    """

    tensor: object
    form: str
    size: tuple = ()


def to_fully_convolutional(model: Model, size: Size | None = None) -> Model:
    """Convert a classifier to a fully convolutional network for larger images.

    It maps (N, H, W, C) to logits (N, h, w, classes), one position per stride of the network. Position (i, j) has the
    logits of the crop at (i, j) * stride: exactly if no layer pads; else approximately, because padding replaces pixels
    at the border of the crop alone. An image of the classifier's size always has the classifier's logits.

    Args:
        model: a classifier, which is not changed.
        size: (height, width) of its images, if its input size is open.

    Returns:
        A model with a copy of the weights, without dropout and without softmax or sigmoid at the end.
    """
    network = classifier(model, size=size)
    scores = select_scores(symbolic_outputs(model), model)
    if len(scores.shape) != 2:
        raise ValueError(
            f"`model` should return scores (N, classes). Received: {model.name}, which returns {scores.shape}"
        )
    graph = build_graph(keras.Model(model.inputs, scores), (*network.size, network.channels))
    source, *nodes = graph.nodes
    inputs = keras.Input((None, None, network.channels), dtype=model.inputs[0].dtype, name=source.name)
    parts, last = {source: [ConvertedTensor(inputs, "map")]}, probability_node(graph.outputs[0])
    twins: dict[Any, Any] = {}
    for node in nodes:
        entering = [parts[before][index] for before, index in node.inputs]
        try:
            parts[node] = convert_call(node, entering, node is last, twins)
        except (ValueError, TypeError, NotImplementedError, AttributeError) as error:
            reason = str(error).strip().splitlines()[0]
            raise ValueError(
                f"`model` should be convertible to a fully convolutional network. Received: {model.name}, whose layer "
                f"{node.name!r} ({node.kind}) is not: {reason}"
            ) from error
    end = parts[graph.outputs[0]][0]
    if end.form != "answers":
        raise ValueError(
            f"`model` should have a pooling or flatten layer before its scores. Received: {model.name}, which has none"
        )
    return keras.Model(inputs, end.tensor, name=f"{model.name}_convolutional")


def convert_call(node, parts, last, twins):
    """The outputs of a call in the new network; an error explains why it cannot be converted."""
    if node.reach == "none" or all(part.form == "aside" for part in parts):
        return [part._replace(form="aside") for part in rebuild_call(node, parts, last, twins)]
    layer = node.operation
    first, shape = next(pair for pair in zip(parts, node.input_shapes, strict=True) if pair[0].form != "aside")
    if getattr(layer, "data_format", None) == "channels_first":
        raise ValueError("it uses channels_first")
    if isinstance(layer, DROPPED) or (last and not hasattr(layer, "kernel")):
        return [first]
    vector = node.shape in (shape[-1:], (*ONE_BY_ONE, shape[-1]))  # one number of each channel
    if first.form == "answers" and vector and (node.kind in POOLINGS or node.kind in RESHAPING):
        return [first]
    if first.form == "map" and len(shape) == 3:
        if vector and node.kind in POOLINGS and shape[:2] != ONE_BY_ONE:
            return [convert_pooling(node, first, twins)]
        if vector and shape[:2] == ONE_BY_ONE and (node.kind in POOLINGS or node.kind in RESHAPING):
            return [ConvertedTensor(first.tensor, "answers", ONE_BY_ONE)]
        if node.kind in RESHAPING and node.shape == (math.prod(shape),):
            return [ConvertedTensor(first.tensor, "flat", shape)]
    if first.form != "map" and isinstance(layer, layers.Dense):
        return [convert_dense(node, first, last, twins)]
    check_convertible(node, parts)
    return rebuild_call(node, parts, last, twins)


def convert_pooling(node, part, twins):
    """Global pooling as pooling over windows of the map's size."""
    size = node.input_shapes[0][:2]
    options = {"pool_size": size, "strides": 1, "dtype": getattr(node.operation, "dtype_policy", None)}
    pool = convolution_of_layer(node, size, twins, lambda name: POOLINGS[node.kind](**options, name=name))
    return ConvertedTensor(pool(part.tensor), "answers", size)


def convert_dense(node, part, last, twins):
    """A dense layer as a convolution; its rows are in the order (h, w, channel) of Flatten."""
    dense, flat = node.operation, part.form == "flat"
    height, width, channels = part.size if flat else (*ONE_BY_ONE, node.input_shapes[0][-1])

    def build(name):
        conv = layers.Conv2D(
            dense.units,
            (height, width),
            activation=None if last else dense.activation,
            use_bias=dense.use_bias,
            dtype=dense.dtype_policy,
            name=name,
        )
        conv.build((None, None, None, channels))
        kernel, *bias = dense.get_weights()
        conv.set_weights([kernel.reshape(height, width, channels, dense.units), *bias])
        return conv

    conv = convolution_of_layer(node, (height, width, last), twins, build)
    return ConvertedTensor(conv(part.tensor), "answers", part.size[:2])


def rebuild_call(node, parts, last, twins):
    """A layer or operation rebuilt from its configuration, with its weights, and called as before."""
    operation, first = node.operation, next((part for part in parts if part.form != "aside"), parts[0])
    answers = first.form == "answers"

    def build(name):
        config = operation.get_config() | {"name": name}
        if last:
            config["activation"] = "linear"
        if answers and "axis" in config:  # 1 is the channels' in a vector
            config["axis"] = -1
        return type(operation).from_config(config)

    twin = convolution_of_layer(node, (answers, last), twins, build)
    outputs = call_node(replace(node, operation=twin), [part.tensor for part in parts])
    if node.is_layer and operation.weights:
        copy_weights(operation, twin)
    return [first._replace(tensor=tensor) for tensor in outputs]


def convolution_of_layer(node, use, twins, build):
    """The layer's counterpart in the new network, shared by all its calls of one use."""
    key = (id(node.operation), use)
    if key not in twins:
        used_names = {twin.name for twin in twins.values()}
        path = node.name.split("#")[0]
        names = [
            path.rsplit("/", 1)[-1],
            path.replace("/", "_"),
            *(f"{path}_{i}" for i in range(2, len(used_names) + 3)),
        ]
        twins[key] = build(next(name for name in names if name not in used_names))
    return twins[key]


def check_convertible(node, parts):
    """Raise ValueError for a call that cannot be computed at each position separately."""
    operation, spatial_parts = node.operation, [part for part in parts if part.form != "aside"]
    if len({(part.form, part.size) for part in spatial_parts}) > 1:
        raise ValueError("it merges feature maps with pooled or flattened features, or features of different sizes")
    form, along = spatial_parts[0].form, isinstance(operation, ALONG_CHANNELS) or node.kind in ALONG_CHANNELS_OPERATIONS
    along = along or node.reach == "pointwise"
    if form == "map":
        links = [connections.input_link(node, i, 2) for i, part in enumerate(parts) if part.form != "aside"]
        if isinstance(operation, FIXED_SIZE) or node.kind == "Reshape" or any(map(has_fixed_size, links)):
            raise ValueError("it uses the whole map or fixed positions of it")
    elif form == "flat":
        along = along and not isinstance(operation, (layers.BatchNormalization, *kinds.BY_AXIS, layers.Concatenate))
        if (
            not along
            or node.kind in ALONG_CHANNELS_OPERATIONS - kinds.POINTWISE_OPERATIONS
            or activation_kind(operation) == "softmax"
        ):
            raise ValueError("between flatten and dense, only elementwise layers can be converted")
    elif isinstance(operation, kinds.CONVOLUTIONS):
        if {*operation.kernel_size, *operation.strides} != {1}:
            raise ValueError("after pooling, only 1x1 convolutions can be converted")
    elif not along or not acts_along_channels(node):
        raise ValueError("after pooling or flattening, only layers that act along the channels can be converted")


def has_fixed_size(link):
    """Whether a map is read whole, in an unknown way, stretched, or at fixed positions."""
    return isinstance(link, str) or any(taps.step == 0 or taps.extent[:1] == ("slice",) for taps in link)


def acts_along_channels(node):
    """Whether the axis of a call, if any, is the last."""
    rank = len(node.input_shapes[0]) + 1
    axes = getattr(node.operation, "axis", -1)
    return {axis % rank for axis in ([axes] if isinstance(axes, int) else axes)} == {rank - 1}
