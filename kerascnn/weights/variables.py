"""The variables of a model that weights fill, and how others lay out the same numbers.

Convolution kernels: (height, width, in, out) here, (out, in, height, width) in torch, also where grouped. Dense ones:
(in, out) here, (out, in) in torch; behind a flattened map torch counts channels first, and timm keeps some of them as
convolutions.

In Caffe a layer's weights are numbered: kernel 0, bias 1. A batch norm is two layers, one with mean, variance and a
factor that both are to be divided by, one with gamma and beta.
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
CAFFE_PARTS = {  # our weight -> the array's name, given the layer's or what a norm's two layers share
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
    """One variable: its layer, which of its weights it is, the shape (H, W, C) of the maps that it reads flattened."""

    layer: str
    part: str
    variable: object
    maps: tuple | None = None
    groups: int = 1

    @property
    def name(self):
        return f"{self.layer}.{self.part}"

    @property
    def shape(self):
        return tuple(self.variable.shape)

    @property
    def head(self):
        """Which classifier it belongs to: "probs", an auxiliary one such as "aux1", or None."""
        match = HEAD.fullmatch(self.layer)
        return (match["aux"] or "probs") if match else None

    @property
    def scores(self):
        """Whether its last axis is the classes."""
        return self.layer.removesuffix("_conv").endswith("logits")


def slots(model):
    """The variables of a model, layer by layer."""
    found = []
    for layer in model.layers:
        maps = flattened(layer) if layer.__class__.__name__ == "Dense" else None
        groups = getattr(layer, "groups", 1)
        for variable in layer.weights:
            found.append(Slot(layer.name, variable.name, variable, maps, groups))
    return found


def flattened(layer):
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


def from_torch(array, slot):
    """A tensor of torch's as the array that the slot takes; its shape may still be wrong."""
    if slot.part != "kernel" or not array.size or not array.ndim:
        return array
    if len(slot.shape) == 4:
        return array.transpose(2, 3, 1, 0) if array.ndim == 4 else array
    if slot.maps:
        height, width, channels = slot.maps
        if array.size == len(array) * height * width * channels:
            return array.reshape(-1, channels, height, width).transpose(2, 3, 1, 0).reshape(-1, len(array))
    return array.reshape(array.shape[0], -1).T if array.ndim in (2, 4) else array


def to_torch(array, slot, convolved=False):
    """The slot's array as torch lays it out; ``convolved`` dense kernels become convolutions."""
    if slot.part != "kernel":
        return array
    if array.ndim == 4:
        return array.transpose(3, 2, 0, 1)
    height, width, channels = slot.maps or (1, 1, array.shape[0])
    kernel = array.reshape(height, width, channels, -1).transpose(3, 2, 0, 1)
    return kernel if convolved else kernel.reshape(len(kernel), -1)


def from_caffe(array, slot):
    """An array of Caffe's as the slot takes it; its shape may still be wrong. Older files put sides of 1 before it."""
    more = max(0, array.ndim - len(slot.shape))
    if set(array.shape[:more]) == {1}:
        array = array.reshape(array.shape[more:])
    return from_torch(array, slot)


def settled(path, arrays, tensors):
    """The arrays with each norm's mean and variance as they are used.

    They are divided by the norm's factor, which Caffe keeps beside running sums. A convolution's bias that a norm
    follows (the stem's, in ResNet-50) goes from the mean: norm(conv + bias) is the same norm with mean - bias.
    """
    arrays = dict(arrays)
    for name in [name for name, slot in tensors.items() if slot.part == "moving_mean"]:
        layer = name.removesuffix("/0")
        mean, variance = arrays.get(name), arrays.get(f"{layer}/1")
        if mean is None or variance is None:
            continue  # reported as missing, with all others
        factor = arrays.pop(f"{layer}/2", None)
        if factor is None or factor.size != 1:
            came = "no factor" if factor is None else f"a factor of {factor.size:,} numbers"
            raise WeightsError(path, f"hold mean, variance and one factor for them in the layer {layer}", came)
        bias = f"{convolution(layer)}/1"
        shift = arrays.pop(bias).ravel() if bias in arrays and arrays[bias].size == mean.size else np.float32(0)
        arrays[name] = (divided(mean, factor) - shift).astype(mean.dtype)
        arrays[f"{layer}/1"] = divided(variance, factor).astype(variance.dtype)
    return arrays


def convolution(norm):
    """The convolution before a norm: conv1 before bn_conv1, res2a_branch1 before bn2a_branch1."""
    rest = norm.removeprefix("bn")
    return rest[1:] if rest.startswith("_") else f"res{rest}"


def divided(array, factor):
    """A norm's sums by their factor; Caffe takes 0 for "nothing seen yet", and then uses zeros."""
    factor = float(factor.flat[0])
    with np.errstate(all="ignore"):  # what is not finite is refused later, with its name
        return array.ravel().astype(np.float64) / factor if factor else np.zeros(array.size)


def tensor_name(layout, layer, part):
    """What torch's layouts or Caffe call a weight, given their name of its layer."""
    if layout == CAFFE:
        return CAFFE_PARTS.get(part, f"{{}}/{part}").format(layer)
    return f"{layer}.{TORCH.get(part, part)}"


def from_keras(array, slot):
    """A Keras array as the slot takes it: grouped convolutions were once depthwise ones whose results were added."""
    if slot.part == "kernel" and slot.groups > 1 and array.ndim == 4 and array.shape[2:] == slot.shape[:1:-1]:
        return grouped(array)
    return array


def grouped(depthwise):
    """The grouped kernel G (h, w, c, F) that equals a depthwise one D (h, w, F, c) and sums over each group.

    G[:, :, q, i] = D[:, :, (i // c) c + q, i mod c]: filter i of a group reads that group's channel q.
    """
    filters, width = depthwise.shape[2:]
    i = np.arange(filters)
    return np.stack([depthwise[:, :, i // width * width + q, i % width] for q in range(width)], axis=2)


def with_channels(kernel, channels, bgr=False):
    """A first kernel (h, w, M, F) for another number of input channels.

    One channel gets the sum over the M, so that a gray picture gives what it gave as RGB. N channels get the M in turn,
    from the first again after the last, times M / N, so that the sums keep their size.
    """
    before = kernel.shape[2]
    if channels == 1:
        return kernel.sum(axis=2, keepdims=True)
    kernel = kernel[:, :, ::-1] if bgr else kernel  # other channel counts are not reversed on their way in
    return kernel[:, :, np.arange(channels) % before] * np.float32(before / channels)
