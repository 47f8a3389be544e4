"""The variables of a model, and conversions from and to the layouts of PyTorch, Caffe and Keras.

Convolution kernels: (height, width, in, out) here, (out, in, height, width) in PyTorch, grouped ones too. Dense
kernels: (in, out) here, (out, in) in PyTorch; behind a flattened map PyTorch is channels-first, and timm keeps some of
them as convolutions.

In Caffe the weights of a layer are numbered: kernel 0, bias 1. A batch norm is two layers: one with mean, variance and
a scale factor that divides both, one with gamma and beta.
"""

import re
from dataclasses import dataclass

import numpy as np

from .formats import WeightsError
from .names import CAFFE

TORCH = {
    "kernel": "weight",
    "bias": "bias",
    "gamma": "weight",
    "beta": "bias",
    "moving_mean": "running_mean",
    "moving_variance": "running_var",
}
CAFFE_PARTS = {  # our weight -> the array's name, from the layer's name or the common part of a norm's two
    "kernel": "{}/0",
    "bias": "{}/1",
    "gamma": "scale{}/0",
    "beta": "scale{}/1",
    "moving_mean": "bn{}/0",
    "moving_variance": "bn{}/1",
}
HEAD = re.compile(r"fc\d+|logits|logits_conv|(?P<aux>aux\d+)_.*")
CLASSIFIERS = ("fc1", "fc2", "fc3", "logits", "logits_conv")


@dataclass(frozen=True, eq=False)
class Slot:
    """One variable: its layer, its name there, and the shape (H, W, C) of flattened maps in front of it."""

    layer: str
    part: str
    variable: object
    map_shape: tuple | None = None
    groups: int = 1

    @property
    def name(self):
        return f"{self.layer}.{self.part}"

    @property
    def shape(self):
        return tuple(self.variable.shape)

    @property
    def head(self):
        """The classifier that it belongs to: "probs", an auxiliary one such as "aux1", or None."""
        match = HEAD.fullmatch(self.layer)
        return (match["aux"] or "probs") if match else None

    @property
    def gives_logits(self):
        """Whether its last axis is that of the classes."""
        return self.layer.removesuffix("_conv").endswith("logits")


def model_slots(model):
    """The variables of a model, layer by layer."""
    found = []
    for layer in model.layers:
        maps = shape_before_flatten(layer) if layer.__class__.__name__ == "Dense" else None
        groups = getattr(layer, "groups", 1)
        for variable in layer.weights:
            found.append(Slot(layer.name, variable.name, variable, maps, groups))
    return found


def shape_before_flatten(layer):
    """The shape (H, W, C) of the maps that reach a dense layer through a Flatten, or None."""
    while layer._inbound_nodes:
        (source,) = [tensor._keras_history.operation for tensor in layer._inbound_nodes[0].input_tensors][:1]
        if source.__class__.__name__ == "Flatten":
            shape = tuple(source.input.shape[1:])
            return shape if len(shape) == 3 else None
        if source.__class__.__name__ not in ("Dropout", "ReLU", "Activation", "Identity"):
            return None
        layer = source
    return None


def array_from_torch(array, slot):
    """A PyTorch tensor in our layout; its shape may still be wrong."""
    if slot.part != "kernel" or not array.size or not array.ndim:
        return array
    if len(slot.shape) == 4:
        return array.transpose(2, 3, 1, 0) if array.ndim == 4 else array
    if slot.map_shape:
        height, width, channels = slot.map_shape
        if array.size == len(array) * height * width * channels:
            return array.reshape(-1, channels, height, width).transpose(2, 3, 1, 0).reshape(-1, len(array))
    return array.reshape(array.shape[0], -1).T if array.ndim in (2, 4) else array


def array_to_torch(array, slot, as_convolution=False):
    """An array of the slot in the layout of PyTorch; ``as_convolution`` is for dense kernels."""
    if slot.part != "kernel":
        return array
    if array.ndim == 4:
        return array.transpose(3, 2, 0, 1)
    height, width, channels = slot.map_shape or (1, 1, array.shape[0])
    kernel = array.reshape(height, width, channels, -1).transpose(3, 2, 0, 1)
    return kernel if as_convolution else kernel.reshape(len(kernel), -1)


def array_from_caffe(array, slot):
    """A Caffe array in our layout, without the leading axes of size 1 of older files; its shape may still be wrong."""
    more = max(0, array.ndim - len(slot.shape))
    if set(array.shape[:more]) == {1}:
        array = array.reshape(array.shape[more:])
    return array_from_torch(array, slot)


def merge_caffe_norms(path, arrays, tensors):
    """The arrays, with the mean and variance of each norm divided by its scale factor, since Caffe stores sums.

    The bias of a convolution before a norm (the stem's in ResNet-50) is subtracted from the mean: norm(conv + bias) is
    the same norm with mean - bias.
    """
    arrays = dict(arrays)
    for name in [name for name, slot in tensors.items() if slot.part == "moving_mean"]:
        layer = name.removesuffix("/0")
        mean, variance = arrays.get(name), arrays.get(f"{layer}/1")
        if mean is None or variance is None:
            continue  # reported as missing later
        factor = arrays.pop(f"{layer}/2", None)
        if factor is None or factor.size != 1:
            came = "no scale factor" if factor is None else f"a scale factor of {factor.size:,} values"
            raise WeightsError(path, f"have the mean, the variance and one scale factor of layer {layer}", came)
        bias = f"{convolution_before(layer)}/1"
        shift = arrays.pop(bias).ravel() if bias in arrays and arrays[bias].size == mean.size else np.float32(0)
        arrays[name] = (divide_by_factor(mean, factor) - shift).astype(mean.dtype)
        arrays[f"{layer}/1"] = divide_by_factor(variance, factor).astype(variance.dtype)
    return arrays


def convolution_before(norm):
    """The convolution before a norm: conv1 before bn_conv1, res2a_branch1 before bn2a_branch1."""
    rest = norm.removeprefix("bn")
    return rest[1:] if rest.startswith("_") else f"res{rest}"


def divide_by_factor(array, factor):
    """The sums of a norm divided by their factor; a factor of 0 means "no data yet" and gives zeros."""
    factor = float(factor.flat[0])
    with np.errstate(all="ignore"):  # non-finite values are refused later, with their name
        return array.ravel().astype(np.float64) / factor if factor else np.zeros(array.size)


def tensor_name(layout, layer, part):
    """The name of a weight in a layout, given the layout's name of its layer."""
    if layout == CAFFE:
        return CAFFE_PARTS.get(part, f"{{}}/{part}").format(layer)
    return f"{layer}.{TORCH.get(part, part)}"


def array_from_keras(array, slot):
    """A Keras array in our layout; old files have grouped convolutions as depthwise ones with sums."""
    if slot.part == "kernel" and slot.groups > 1 and array.ndim == 4 and array.shape[2:] == slot.shape[:1:-1]:
        return kernel_of_groups(array)
    return array


def kernel_of_groups(depthwise):
    """The grouped kernel G (h, w, c, F) that equals a depthwise one D (h, w, F, c) and sums over each group.

    G[:, :, q, i] = D[:, :, (i // c) c + q, i mod c]: filter i of a group reads that group's channel q.
    """
    filters, width = depthwise.shape[2:]
    i = np.arange(filters)
    return np.stack([depthwise[:, :, i // width * width + q, i % width] for q in range(width)], axis=2)


def adapt_channel_count(kernel, channels, bgr=False):
    """A first kernel (h, w, M, F) for another number of input channels.

    One channel gets the sum over all M, so that a gray image has the same response as before in RGB. N channels get the
    M in turn, cyclically, times M / N, so that the responses keep their size.
    """
    before = kernel.shape[2]
    if channels == 1:
        return kernel.sum(axis=2, keepdims=True)
    kernel = kernel[:, :, ::-1] if bgr else kernel  # `Scale` does not reverse other channel counts
    return kernel[:, :, np.arange(channels) % before] * np.float32(before / channels)
