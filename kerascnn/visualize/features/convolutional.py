"""A classifier as a fully convolutional network, which answers at every place of a larger image (Sermanet et al. 2013).

Global pooling becomes pooling with a window, flatten and dense a convolution whose kernel is as large as the map was,
dense a 1x1 convolution: the same sums, so that on an image of the classifier's own size there is one place, and its
scores are the classifier's logits.
"""

import math
from dataclasses import replace
from typing import NamedTuple

import keras
from keras import layers

from ...anatomy import connections
from ...graph import walk as kinds
from ...graph.copy import copy_weights
from ...graph.ends import ending, scores_of, squashing
from ...graph.run import call
from ...graph.walk import walk
from ...inputs.classifier import classifier

POOLINGS = {
    **dict.fromkeys(("GlobalAveragePooling2D", "AdaptiveAveragePooling2D", "Mean"), layers.AveragePooling2D),
    **dict.fromkeys(("GlobalMaxPooling2D", "AdaptiveMaxPooling2D", "Max"), layers.MaxPooling2D),
}
ARRANGING = ("Flatten", "Reshape", "Squeeze", "ExpandDims")
DROPPED = kinds.named("Dropout AlphaDropout GaussianDropout GaussianNoise SpatialDropout#D ActivityRegularization")
SIZED = (layers.Resizing, layers.Reshape, *kinds.ADAPTIVE_POOLS)  # give sizes that are written in them
ALONG = (*kinds.POINTWISE, *kinds.BY_AXIS, layers.Concatenate)  # take a vector as they take each place of a map
ALONG_OPERATIONS = kinds.POINTWISE_OPERATIONS | {"Softmax", "LogSoftmax", "Concatenate"}
ONE_BY_ONE = (1, 1)


class Part(NamedTuple):
    """A tensor of the new network, and what it stands for.

    "map"; "flat", a map that the classifier has flattened, here still a map; "answers", what was a vector, now one at
    each place; "aside", what does not depend on the pixels. ``size`` of the map that was flattened or pooled.
    """

    tensor: object
    form: str
    size: tuple = ()


def convolutional(model, size=None):
    """The classifier as a network (N, H, W, C) -> (N, h, w, classes) of logits for images of any larger size.

    A copy with weights of its own; ``model`` is left as it is. A softmax or sigmoid at the end is cut off, dropout left
    out. ``size`` (h, w) is that of a classifier whose input size is open. From one place of the map to the next it is
    the network's stride in pixels. At (i, j) are the logits of the crop at (i, j) * stride: exactly if no layer pads;
    else nearly, for where the crop alone would have zeros at its border, the map saw what lies beyond. An image of the
    classifier's size has that border, so there the logits are always its own.
    """
    network = classifier(model, size=size)
    scores = scores_of(model.outputs if isinstance(model, keras.Sequential) else model.output, model)
    if len(scores.shape) != 2:
        raise ValueError(f"`model` should give scores (N, classes). Received: {model.name}, which gives {scores.shape}")
    graph = walk(keras.Model(model.inputs, scores), (*network.size, network.channels))
    source, *nodes = graph.nodes
    inputs = keras.Input((None, None, network.channels), dtype=model.inputs[0].dtype, name=source.name)
    parts, twins, last = {source: [Part(inputs, "map")]}, {}, squashing(graph.outputs[0])
    for node in nodes:
        entering = [parts[before][index] for before, index in node.inputs]
        try:
            parts[node] = convert_call(node, entering, node is last, twins)
        except (ValueError, TypeError, NotImplementedError, AttributeError) as error:
            reason = str(error).strip().splitlines()[0]
            raise ValueError(
                f"`model` should be one that can slide over larger images. Received: {model.name}, whose layer "
                f"{node.name!r} ({node.kind}) cannot: {reason}"
            ) from error
    end = parts[graph.outputs[0]][0]
    if end.form != "answers":
        raise ValueError(f"`model` should pool or flatten before its scores. Received: {model.name}, which does not")
    return keras.Model(inputs, end.tensor, name=f"{model.name}_convolutional")


def convert_call(node, parts, last, twins):
    """The parts that leave a call in the new network; an error says why it cannot be in one."""
    if node.reach == "none" or all(part.form == "aside" for part in parts):
        return [part._replace(form="aside") for part in rebuild_call(node, parts, last, twins)]
    layer = node.operation
    first, shape = next(pair for pair in zip(parts, node.input_shapes, strict=True) if pair[0].form != "aside")
    if getattr(layer, "data_format", None) == "channels_first":
        raise ValueError("its channels come first")
    if isinstance(layer, DROPPED) or (last and not hasattr(layer, "kernel")):
        return [first]
    vector = node.shape in (shape[-1:], (*ONE_BY_ONE, shape[-1]))  # one number of each channel
    if first.form == "answers" and vector and (node.kind in POOLINGS or node.kind in ARRANGING):
        return [first]
    if first.form == "map" and len(shape) == 3:
        if vector and node.kind in POOLINGS and shape[:2] != ONE_BY_ONE:
            return [convert_pooling(node, first, twins)]
        if vector and shape[:2] == ONE_BY_ONE and (node.kind in POOLINGS or node.kind in ARRANGING):
            return [Part(first.tensor, "answers", ONE_BY_ONE)]
        if node.kind in ARRANGING and node.shape == (math.prod(shape),):
            return [Part(first.tensor, "flat", shape)]
    if first.form != "map" and isinstance(layer, layers.Dense):
        return [convert_dense(node, first, last, twins)]
    refuse(node, parts)
    return rebuild_call(node, parts, last, twins)


def convert_pooling(node, part, twins):
    """Pooling over all of a map as pooling over windows of its size."""
    size = node.input_shapes[0][:2]
    options = {"pool_size": size, "strides": 1, "dtype": getattr(node.operation, "dtype_policy", None)}
    pool = twin_of(node, size, twins, lambda name: POOLINGS[node.kind](**options, name=name))
    return Part(pool(part.tensor), "answers", size)


def convert_dense(node, part, last, twins):
    """A dense layer as a convolution: its rows are in the order (h, w, channel), as Flatten puts them."""
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

    conv = twin_of(node, (height, width, last), twins, build)
    return Part(conv(part.tensor), "answers", part.size[:2])


def rebuild_call(node, parts, last, twins):
    """A layer or operation built again from its configuration and called as it was, with its weights copied."""
    operation, first = node.operation, next((part for part in parts if part.form != "aside"), parts[0])
    answers = first.form == "answers"

    def build(name):
        config = operation.get_config() | {"name": name}
        if last:
            config["activation"] = "linear"
        if answers and "axis" in config:  # 1 is the channels' in a vector
            config["axis"] = -1
        return type(operation).from_config(config)

    twin = twin_of(node, (answers, last), twins, build)
    made = call(replace(node, operation=twin), [part.tensor for part in parts])
    if node.is_layer and operation.weights:
        copy_weights(operation, twin)
    return [first._replace(tensor=tensor) for tensor in made]


def twin_of(node, use, twins, build):
    """What stands for a layer in the new network: one for all its calls of one use, under the layer's own name."""
    key = (id(node.operation), use)
    if key not in twins:
        taken = {twin.name for twin in twins.values()}
        path = node.name.split("#")[0]
        names = [path.rsplit("/", 1)[-1], path.replace("/", "_"), *(f"{path}_{i}" for i in range(2, len(taken) + 3))]
        twins[key] = build(next(name for name in names if name not in taken))
    return twins[key]


def refuse(node, parts):
    """An error where a call would not do at each place what it does in the classifier."""
    operation, seen = node.operation, [part for part in parts if part.form != "aside"]
    if len({(part.form, part.size) for part in seen}) > 1:
        raise ValueError("it joins places with what was pooled or flattened, or was so over other sizes")
    form, along = seen[0].form, isinstance(operation, ALONG) or node.kind in ALONG_OPERATIONS
    along = along or node.reach == "pointwise"
    if form == "map":
        looks = [connections.link(node, i, 2) for i, part in enumerate(parts) if part.form != "aside"]
        if isinstance(operation, SIZED) or node.kind == "Reshape" or any(map(has_fixed_size, looks)):
            raise ValueError("it looks at the whole map, or at fixed places of it")
    elif form == "flat":
        along = along and not isinstance(operation, (layers.BatchNormalization, *kinds.BY_AXIS, layers.Concatenate))
        if not along or node.kind in ALONG_OPERATIONS - kinds.POINTWISE_OPERATIONS or ending(operation) == "softmax":
            raise ValueError("between flatten and dense only what takes each number by itself can slide")
    elif isinstance(operation, kinds.CONVOLUTIONS):
        if {*operation.kernel_size, *operation.strides} != {1}:
            raise ValueError("after pooling only 1x1 convolutions can slide")
    elif not along or not along_channels(node):
        raise ValueError("after pooling or flattening only what acts along the channels can slide")


def has_fixed_size(look):
    """Whether a look at a map takes it whole, unknown, stretched, or cut at fixed places."""
    return isinstance(look, str) or any(taps.step == 0 or taps.extent[:1] == ("slice",) for taps in look)


def along_channels(node):
    """Whether the axis of a call, if it has one, is the last."""
    rank = len(node.input_shapes[0]) + 1
    axes = getattr(node.operation, "axis", -1)
    return {axis % rank for axis in ([axes] if isinstance(axes, int) else axes)} == {rank - 1}
