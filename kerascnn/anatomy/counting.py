"""Counting weights and multiply-adds. One multiply-add is one; only products with weights, and attention's, count."""

import math

from keras import layers

from ..graph import walk
from ..graph.walk import elements


def weights_of(node, counted):
    """params, learned and trainable of one call, leaving out weights in `counted`, which grows."""
    layer = node.operation
    if not node.is_layer:
        return {"params": 0, "learned": 0, "trainable": 0}
    fresh = [weight for weight in layer.weights if id(weight) not in counted]
    counted.update(map(id, fresh))
    by_kind = {id(weight) for part in layer._flatten_layers() for weight in part._trainable_variables}
    moving = set(map(id, layer.trainable_weights))
    return {
        "params": _count(fresh),
        "learned": _count(weight for weight in fresh if id(weight) in by_kind),
        "trainable": _count(weight for weight in fresh if id(weight) in moving),
    }


def _count(weights):
    return sum(math.prod(weight.shape) for weight in weights)


def multiply_adds(node):
    """Multiply-adds of one call on one image; None where a size is unknown or the layer does its work unseen."""
    if not node.is_layer or node.is_input:
        return 0
    return _layer_macs(node.operation, node.input_shapes, node.shape)


def _layer_macs(layer, sources, target):
    if isinstance(layer, layers.TimeDistributed):
        once = _layer_macs(layer.layer, [source[1:] for source in sources], target[1:])
        return None if once is None or target[0] is None else once * target[0]
    if isinstance(layer, layers.Wrapper) and not isinstance(layer, layers.Bidirectional):
        return _layer_macs(layer.layer, sources, target)
    for classes, rule in RULES:
        if isinstance(layer, classes):
            return rule(layer, sources[0] if sources else (), target, sources)
    hidden = any(isinstance(part, WORKING) for part in layer._flatten_layers(include_self=False))
    return None if hidden else 0


def _times(count, shape):
    """`count` for each place of a shape, or None."""
    places = elements(shape)
    return None if places is None else count * places


def _kernel(weight):
    """The weights of one kernel, counted by shape."""
    return math.prod(weight.shape)


def _convolution(layer, source, target, sources):
    """Every place of the output takes each weight once, so the weights times the places (grouped too)."""
    return _times(_kernel(layer.kernel), _places(layer, target))


def _separable(layer, source, target, sources):
    return _times(_kernel(layer.depthwise_kernel) + _kernel(layer.pointwise_kernel), _places(layer, target))


def _transposed(layer, source, target, sources):
    """Every place of the *input* takes each weight once."""
    return _times(_kernel(layer.kernel), _places(layer, source))


def _places(layer, shape):
    return shape[1:] if getattr(layer, "data_format", None) == "channels_first" else shape[:-1]


def _dense(layer, source, target, sources):
    return _times(_kernel(layer.kernel), target[:-1])


def _einsum(layer, source, target, sources):
    """Every index of the equation runs once, except the batch."""
    names, kernel, made = layer.equation.replace("->", ",").split(",")
    if "." in layer.equation:
        shared = math.prod(size for name, size in zip(kernel, layer.kernel.shape, strict=True) if name in made)
        return _times(_kernel(layer.kernel) // shared, target)
    sizes = dict(zip(names[1:], source, strict=True)) | dict(zip(kernel, layer.kernel.shape, strict=True))
    return None if None in sizes.values() else math.prod(sizes.values())


def _attention(layer, source, target, sources):
    """Projections of query, key, value and output, and the two products between tokens."""
    queries = elements(source[:-1])
    keys = elements(sources[1][:-1]) if len(sources) > 1 else queries
    if queries is None or keys is None:
        return None
    projections = sum(
        _kernel(part.kernel) * count
        for part, count in (
            (layer.query_dense, queries),
            (layer.key_dense, keys),
            (layer.value_dense, keys),
            (layer.output_dense, queries),
        )
    )
    return projections + layer.num_heads * queries * keys * (layer.key_dim + (layer.value_dim or layer.key_dim))


def _unseen(layer, source, target, sources):
    return None


WORKING = (*walk.CONVOLUTIONS, *walk.TRANSPOSED, *walk.DENSE, *walk.RECURRENT, layers.EinsumDense)
# First match wins.
RULES = (
    (walk.SEPARABLE, _separable),
    (walk.CONVOLUTIONS, _convolution),
    (walk.TRANSPOSED, _transposed),
    (walk.DENSE, _dense),
    (layers.EinsumDense, _einsum),
    (layers.MultiHeadAttention, _attention),
    (walk.RECURRENT, _unseen),
)
