"""How a call reads its input: `AxisTaps` for each axis, the whole map, or unknown; one rule per kind of layer."""

import math
from dataclasses import dataclass

import numpy as np
from keras import layers

from ..graph import walk


@dataclass(frozen=True)
class AxisTaps:
    """Input positions read along one axis; `slack` is how much an unknown size may increase the padding before."""

    period: int = 1
    step: int = 1
    taps: tuple = ((0,),)
    slack: int = 0
    extent: tuple = ()

    def matrix(self, outputs, inputs):
        """Boolean (outputs, inputs): which outputs read which inputs, without padding."""
        reads = np.zeros((outputs, inputs), dtype=bool)
        for unit in range(outputs):
            base = unit // self.period * self.step
            positions = [base + tap for tap in self.taps[unit % self.period] if 0 <= base + tap < inputs]
            reads[unit, positions] = True
        return reads


def window_taps(padding, size, kernel, stride, dilation):
    reach = (kernel - 1) * dilation + 1
    before, slack, extent = 0, 0, (padding, reach, stride)
    if padding == "causal":
        before = reach - 1
    elif padding == "same":
        extent = ("same", stride) if stride > 1 else ()
        if size is not None:
            before = max((math.ceil(size / stride) - 1) * stride + reach - size, 0) // 2
        else:
            before = max(reach - stride, 0) // 2
            slack = (reach - 1) // 2 - before
    elif reach == 1 and stride == 1:
        extent = ()
    return AxisTaps(1, stride, (tuple(j * dilation - before for j in range(kernel)),), slack, extent)


def resampling_taps(size, new_size, reads):
    """A map of `size` resized to `new_size` positions; the pattern repeats with their greatest common divisor."""
    common = math.gcd(size, new_size)
    period, step = new_size // common, size // common
    return AxisTaps(period, step, tuple(reads(r, step, period) for r in range(period)), 0, ("scale", period, step))


def nearest_positions(position, step, period):
    return ((2 * position + 1) * step // (2 * period),)


def bilinear_positions(position, step, period):
    # exactly; TensorFlow rounds positions to float32, which can give a pixel of weight 0 the weight 1e-6
    low, fraction = divmod((2 * position + 1) * step - period, 2 * period)
    return (low, low + 1) if fraction else (low,)


def bin_positions(position, step, period):
    return tuple(range(position * step // period, -((position + 1) * step // -period)))


SAME = AxisTaps()
WHOLE = "whole"  # every output reads every position
UNKNOWN = "unknown"  # nothing can be said


def input_link(node, index, rank):
    """How `node` reads its input number `index`: a tuple of `Taps` for each of `rank` axes, WHOLE or UNKNOWN."""
    source, target = node.input_shapes[index], node.shape
    if len(source) <= rank:  # no map: a vector tells every unit all it has, a sequence of tokens has lost its places
        return WHOLE if len(source) <= 1 or rank == 0 else UNKNOWN
    rule = _rule_for(node)
    return rule(node, source, target, rank) if rule else UNKNOWN


def _attribute(layer, names, rank):
    """The first existing attribute as a tuple, such as the kernel or pool size, or None."""
    for name in names:
        value = getattr(layer, name, None)
        if value is not None:
            return (value,) * rank if isinstance(value, int) else tuple(value)
    return None


def _geometry(layer, rank):
    """(kernel, stride, dilation) for each axis, or None for another rank or layout."""
    kernel = _attribute(layer, ("kernel_size", "pool_size"), rank)
    strides = _attribute(layer, ("strides",), rank) or kernel
    dilation = _attribute(layer, ("dilation_rate",), rank) or (1,) * rank
    if kernel is None or len(kernel) != rank or getattr(layer, "data_format", None) == "channels_first":
        return None
    return tuple(zip(kernel, strides, dilation, strict=True))


def _window(node, source, target, rank):
    """Convolutions and pools; TensorFlow's "same" pads the odd pixel after, depending on the input size."""
    layer, axes = node.operation, _geometry(node.operation, rank)
    if axes is None:
        return UNKNOWN
    padding = getattr(layer, "padding", "valid")
    return tuple(window_taps(padding, size, *axis) for size, axis in zip(source[:rank], axes, strict=True))


def _transposed_convolution(node, source, target, rank):
    """Transposed convolutions: output o is reached from inputs i with o = i stride + j dilation - before."""
    axes = _geometry(node.operation, rank)
    if axes is None:
        return UNKNOWN
    same_padding = node.operation.padding == "same"
    links = []
    for (kernel, stride, dilation), size, new_size in zip(axes, source, target[:rank], strict=False):
        reach = (kernel - 1) * dilation + 1
        grown = new_size - (size - 1) * stride if size is not None and new_size is not None else stride
        before = max(reach - grown, 0) // 2 if same_padding else 0
        phases = tuple(
            tuple(
                (r + before - j * dilation) // stride
                for j in range(kernel)
                if (r + before - j * dilation) % stride == 0
            )
            for r in range(stride)
        )
        links.append(AxisTaps(stride, 1, phases, 0, ("grow", stride, reach if not same_padding else 0)))
    return tuple(links)


def _pad_or_crop(node, source, target, rank):
    """Zero padding and cropping shift the map."""
    layer = node.operation
    sign, amounts = (-1, layer.padding) if isinstance(layer, walk.PADDINGS) else (1, layer.cropping)
    amounts = (amounts,) if rank == 1 and isinstance(amounts[0], int) else tuple(amounts)
    if len(amounts) != rank or getattr(layer, "data_format", None) == "channels_first":
        return UNKNOWN
    return tuple(
        AxisTaps(taps=((sign * before,),), extent=("pad", -sign * (before + after)) if before + after else ())
        for before, after in amounts
    )


def _resample(node, source, target, rank):
    """Upsampling and resizing, nearest or bilinear, with pixel centers at one half."""
    layer = node.operation
    interpolation = getattr(layer, "interpolation", "nearest")
    special = any(getattr(layer, name, False) for name in ("crop_to_aspect_ratio", "pad_to_aspect_ratio", "antialias"))
    scales = _attribute(layer, ("size",), rank) if isinstance(layer, walk.UPSAMPLINGS) else None
    if interpolation not in ("nearest", "bilinear") or special or (scales is not None and len(scales) != rank):
        return UNKNOWN
    links = []
    for axis in range(rank):
        size, new_size = (1, scales[axis]) if scales else (source[axis], target[axis])
        if size is None or new_size is None:
            return UNKNOWN
        links.append(
            resampling_taps(size, new_size, nearest_positions if interpolation == "nearest" else bilinear_positions)
        )
    return tuple(links)


def _whole_map(node, source, target, rank):
    return WHOLE


def _adaptive(node, source, target, rank):
    sizes = tuple(zip(source[:rank], target[:rank], strict=True))
    if any(None in pair for pair in sizes) or len(target) != rank + 1:
        return UNKNOWN
    return tuple(resampling_taps(size, new_size, bin_positions) for size, new_size in sizes)


def _pointwise(node, source, target, rank):
    """Each position by itself; a map of size 1 is broadcast to all."""
    if len(target) <= rank:
        return UNKNOWN
    stretched = [a == 1 and b != 1 for a, b in zip(source[:rank], target[:rank], strict=True)]
    if stretched and all(stretched):
        return WHOLE
    return tuple(AxisTaps(step=0) if stretch else SAME for stretch in stretched)


def _by_axis(node, source, target, rank):
    axes = node.operation.axis
    axes = (axes,) if isinstance(axes, int) else tuple(axes or ())
    channels = all(axis % (len(source) + 1) == len(source) for axis in axes)
    return _pointwise(node, source, target, rank) if channels else WHOLE


def _concatenate(node, source, target, rank):
    axis = node.operation.axis % (len(source) + 1)
    return _pointwise(node, source, target, rank) if axis > rank else UNKNOWN


def _reshape(node, source, target, rank):
    """A reshape that keeps the image's axes is pointwise; into a vector, whole; anything else is unknown."""
    if len(target) <= 1:
        return WHOLE
    return (SAME,) * rank if source[:rank] == target[:rank] and None not in source[:rank] else UNKNOWN


def _permute(node, source, target, rank):
    return (SAME,) * rank if tuple(node.operation.dims[:rank]) == tuple(range(1, rank + 1)) else UNKNOWN


def _split(node, source, target, rank):
    axis = getattr(node.operation, "axis", 0) % (len(source) + 1)
    return (SAME,) * rank if axis > rank else UNKNOWN


def _reduce(node, source, target, rank):
    """Means and sums over all the image's axes see the whole map; over the channels, one position."""
    axes = node.operation.axis
    everything = set(range(len(source) + 1))
    axes = everything if axes is None else {a % (len(source) + 1) for a in np.atleast_1d(axes).tolist()}
    if set(range(1, rank + 1)) <= axes:
        return WHOLE
    return (SAME,) * rank if min(axes) > rank else UNKNOWN


def _slice(node, source, target, rank):
    """Slices: along the channels pointwise, along the image's axes a shift and a step."""
    args, kwargs = node.arguments
    key = kwargs.get("key", args[1] if len(args) > 1 else None)
    key = list(key) if isinstance(key, tuple | list) else [key]
    if Ellipsis in key:
        at = key.index(Ellipsis)
        key[at : at + 1] = [slice(None)] * (len(source) + 1 - (len(key) - 1))
    key += [slice(None)] * (rank + 1 - len(key))
    links = []
    for part in key[1 : rank + 1]:
        if not isinstance(part, slice) or (part.start or 0) < 0 or (part.step or 1) < 1:
            return UNKNOWN
        start, step = part.start or 0, part.step or 1
        is_cropped = part != slice(None)
        links.append(AxisTaps(1, step, ((start,),), 0, ("slice", start, part.stop, step) if is_cropped else ()))
    return tuple(links)


# A declaration takes precedence over the class: an attribute `reach` that is "pointwise", "whole",
# "window" (has kernel_size or pool_size, strides and padding), or "none" (ignores the pixels).
DECLARED = {"pointwise": _pointwise, "whole": _whole_map, "window": _window}
LAYERS = (  # the first that fits
    ((*walk.CONVOLUTIONS, *walk.POOLS), _window),
    (walk.TRANSPOSED, _transposed_convolution),
    ((*walk.PADDINGS, *walk.CROPPINGS), _pad_or_crop),
    ((*walk.UPSAMPLINGS, layers.Resizing), _resample),
    (walk.ADAPTIVE_POOLS, _adaptive),
    ((*walk.WHOLE, layers.Flatten), _whole_map),
    (walk.BY_AXIS, _by_axis),
    (layers.Concatenate, _concatenate),
    (layers.Reshape, _reshape),
    (layers.Permute, _permute),
    (walk.POINTWISE, _pointwise),
)
OPERATIONS = {
    **dict.fromkeys(walk.POINTWISE_OPERATIONS, _pointwise),
    **dict.fromkeys(walk.REDUCTIONS, _reduce),
    "Softmax": _by_axis,
    "LogSoftmax": _by_axis,
    "Concatenate": _concatenate,
    "Reshape": _reshape,
    "Split": _split,
    "GetItem": _slice,
}


def _rule_for(node):
    """The rule for how a call reads its input; None if unknown."""
    if node.reach in DECLARED:
        return DECLARED[node.reach]
    if not node.is_layer:
        return OPERATIONS.get(node.kind)
    return next((rule for classes, rule in LAYERS if isinstance(node.operation, classes)), None)
