"""The variables of a model that weights fill, and how torch lays out the same numbers.

Convolution kernels: (height, width, in, out) here, (out, in, height, width) in torch, also where grouped. Dense ones:
(in, out) here, (out, in) in torch; behind a flattened map torch counts channels first, and timm keeps some of them as
convolutions.
"""

import re
from dataclasses import dataclass

import numpy as np

TORCH = {
    "kernel": "weight",
    "bias": "bias",
    "gamma": "weight",
    "beta": "bias",
    "moving_mean": "running_mean",
    "moving_variance": "running_var",
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

    One channel gets the sum over the M, so that a grey picture gives what it gave as RGB. N channels get the M in turn,
    from the first again after the last, times M / N, so that the sums keep their size.
    """
    before = kernel.shape[2]
    if channels == 1:
        return kernel.sum(axis=2, keepdims=True)
    kernel = kernel[:, :, ::-1] if bgr else kernel  # other channel counts are not reversed on their way in
    return kernel[:, :, np.arange(channels) % before] * np.float32(before / channels)
