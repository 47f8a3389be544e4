"""Arithmetic of convolution and pooling, and the worked examples of a first course on convolutional networks."""

from __future__ import annotations

import math
from dataclasses import dataclass
from numbers import Integral

from ..support.checks import check_integer
from ..support.display import TextResult
from ..support.text import format_shape, pluralize


def check_shape(name, value, expected, lengths):
    """Raise ValueError unless ``value`` is a tuple of positive integers with one of these lengths."""
    fits = isinstance(value, tuple | list) and len(value) in lengths
    if not fits or not all(isinstance(size, Integral) and size >= 1 for size in value):
        raise ValueError(f"`{name}` should be {expected}, all integers of at least 1. Received: {value!r}")


def output_size(
    size: int,
    kernel: int,
    stride: int = 1,
    padding: int | str | tuple[int, int] = 0,
    dilation: int = 1,
    *,
    exact: bool = False,
) -> int:
    """Output size of a convolution or pool along one axis.

    It is floor((W - F + 2 P) / S) + 1, where F is the kernel with its dilation.

    Args:
        size: size of the input along the axis, W.
        kernel: size of the kernel, F.
        stride: step of the kernel, S.
        padding: an int for both sides, (before, after), "valid", or "same" (ceil(W / S), as TensorFlow pads).
        dilation: distance between neighboring weights of the kernel.
        exact: raise an error where the stride does not fit, instead of dropping the last pixels.

    Returns:
        The number of positions, an int.
    """
    check_integer(size=size, kernel=kernel, stride=stride, dilation=dilation)
    before, after = padding_amounts(size, kernel, stride, padding, dilation)
    room = size + before + after - ((kernel - 1) * dilation + 1)
    if room < 0:
        raise ValueError(
            f"`kernel` should fit into the {size + before + after} padded pixels. Received: kernel {kernel} with "
            f"dilation {dilation}, which spans {(kernel - 1) * dilation + 1} pixels"
        )
    if exact and room % stride:
        raise ValueError(
            f"`stride` should divide W - F + 2 P = {room} without remainder. Received: {stride}, "
            f"remainder {room % stride}"
        )
    return room // stride + 1


def padding_amounts(size, kernel, stride, padding, dilation):
    """Padding (before, after) in pixels."""
    if padding == "valid":
        return 0, 0
    if padding == "same":
        total = max((-(size // -stride) - 1) * stride + (kernel - 1) * dilation + 1 - size, 0)
        return total // 2, total - total // 2
    both = (padding, padding) if isinstance(padding, Integral) else padding
    pair = isinstance(both, tuple | list) and len(both) == 2
    if not pair or not all(isinstance(side, Integral) and side >= 0 for side in both):
        expected = 'a non-negative integer, (before, after), "same" or "valid"'
        raise ValueError(f"`padding` should be {expected}. Received: {padding!r}")
    return tuple(both)


@dataclass(frozen=True, kw_only=True, repr=False)
class KernelStack(TextResult):
    """Several convolutions in a row with the same number of channels, without biases.

    Attributes:
        kernel: height and width of each kernel.
        depth: number of convolutions.
        channels: channels of every map.
    """

    kernel: int
    depth: int
    channels: int

    @property
    def receptive_field(self):
        """Height and width of the receptive field of a unit of the last layer."""
        return 1 + self.depth * (self.kernel - 1)

    @property
    def weights(self):
        """Number of weights, depth F^2 C^2."""
        return self.depth * self.kernel**2 * self.channels**2

    def macs(self, height, width):
        """Multiply-adds on a map of this size, which padding preserves."""
        return self.weights * height * width

    def __str__(self):
        layers, channels = pluralize(self.depth, "convolution"), pluralize(self.channels, "channel")
        sides = f"{self.kernel}x{self.kernel} on {channels}"
        field = f"receptive field {self.receptive_field}x{self.receptive_field}"
        return f"{layers} of {sides}: {self.weights:,} weights, {field}"


def kernel_stack(kernel: int = 3, depth: int = 3, channels: int = 1) -> KernelStack:
    """Cost and receptive field of small kernels in a row.

    Three 3x3 convolutions have a receptive field of 7x7 with 27 C^2 weights, where one 7x7 takes 49 C^2.

    Args:
        kernel: height and width of each kernel.
        depth: number of convolutions.
        channels: channels of every map.

    Returns:
        A `KernelStack`.
    """
    check_integer(kernel=kernel, depth=depth, channels=channels)
    return KernelStack(kernel=kernel, depth=depth, channels=channels)


def single_kernel(kernel: int = 7, channels: int = 1) -> KernelStack:
    """Cost and receptive field of one large kernel, to compare with `kernel_stack`.

    Args:
        kernel: height and width of the kernel.
        channels: channels of both maps.

    Returns:
        A `KernelStack` of depth 1.
    """
    return kernel_stack(kernel, 1, channels)


def equivalent_3x3_depth(kernel: int) -> int:
    """Number of 3x3 convolutions with the receptive field of one large kernel.

    Args:
        kernel: height and width of the large kernel, odd; 11 takes five.

    Returns:
        The number of convolutions.
    """
    if not isinstance(kernel, Integral) or kernel < 1 or kernel % 2 == 0:
        raise ValueError(f"`kernel` should be an odd integer. Received: {kernel!r}")
    return (kernel - 1) // 2


@dataclass(frozen=True, kw_only=True, repr=False)
class Connectivity(TextResult):
    """Numbers of weights that connect two rows of units.

    Attributes:
        dense: every unit connected to every input.
        local: every unit connected to neighboring inputs only.
        shared: the same with weights shared by all units, a convolution.
    """

    dense: int
    local: int
    shared: int

    def __str__(self):
        return f"{self.dense:,} weights if dense, {self.local:,} if local, {self.shared:,} if shared"


def connectivity(inputs: int = 7, hidden: int = 3, reach: int = 3) -> Connectivity:
    """Weights saved by local connections and by weight sharing.

    By default 7 inputs and 3 hidden units take 21 weights, then 9, then 3.

    Args:
        inputs: number of inputs.
        hidden: number of hidden units.
        reach: inputs that a locally connected unit reads.

    Returns:
        A `Connectivity`.
    """
    check_integer(inputs=inputs, hidden=hidden, reach=reach)
    if reach > inputs:
        raise ValueError(f"`reach` should be at most the number of inputs, {inputs}. Received: {reach}")
    return Connectivity(dense=inputs * hidden, local=hidden * reach, shared=reach)


@dataclass(frozen=True, kw_only=True, repr=False)
class DenseWeights(TextResult):
    """Weights of a dense layer, and their memory as float32.

    Attributes:
        weights: number of weights, without biases.
    """

    weights: int

    @property
    def bytes(self):
        """Memory in bytes, four per weight."""
        return 4 * self.weights

    @property
    def gib(self):
        """Memory in GiB."""
        return self.bytes / 2**30

    def __str__(self):
        return f"{self.weights:,} weights, {self.gib:.3g} GiB"


def dense_weights(shape: tuple[int, ...], outputs: int | None = None) -> DenseWeights:
    """Weights and memory of a dense layer on an image.

    From 256x256x3 to as many units it takes 3.87e10 weights, 144 GiB.

    Args:
        shape: shape of the input, such as (256, 256, 3).
        outputs: number of units; by default as many as inputs.

    Returns:
        A `DenseWeights`.
    """
    check_shape("shape", shape, "the shape of the input, such as (256, 256, 3)", range(1, 10))
    if outputs is not None:
        check_integer(outputs=outputs)
    units = math.prod(shape)
    return DenseWeights(weights=units * (units if outputs is None else outputs))


@dataclass(frozen=True, kw_only=True, repr=False)
class ModuleCost(TextResult):
    """Multiply-adds of an inception module.

    Attributes:
        branches: multiply-adds of each convolution, by name.
        shape: shape of the output map.
    """

    branches: dict[str, int]
    shape: tuple[int, int, int]

    @property
    def macs(self):
        """Multiply-adds of all branches together."""
        return sum(self.branches.values())

    def __str__(self):
        lines = [f"{format_shape(self.shape)}, {self.macs:,} multiply-adds"]
        lines += [f"  {name}: {macs:,}" for name, macs in self.branches.items()]
        return "\n".join(lines)


def inception_cost(
    shape: tuple[int, int, int] = (28, 28, 256),
    *,
    filters_1x1: int = 128,
    filters_3x3: int = 192,
    filters_5x5: int = 96,
    reduce_3x3: int | None = 64,
    reduce_5x5: int | None = 64,
    pool_projection: int | None = 64,
) -> ModuleCost:
    """Multiply-adds of an inception module with 1x1 reductions.

    Compare with `naive_inception_cost`. At 28x28x256 the naive module takes 854,196,224 multiply-adds and returns
    28x28x672; the reduced one takes 271,351,808 and returns 28x28x480. Lecture slides print 358 M for the second,
    because they count its 3x3 convolution twice.

    Args:
        shape: (height, width, channels) of the input.
        filters_1x1: filters of the 1x1 branch.
        filters_3x3: filters of the 3x3 branch.
        filters_5x5: filters of the 5x5 branch.
        reduce_3x3: filters of the 1x1 reduction before the 3x3 convolution; None for no reduction.
        reduce_5x5: filters of the 1x1 reduction before the 5x5 convolution; None for no reduction.
        pool_projection: filters of the 1x1 convolution after pooling; None for no projection.

    Returns:
        A `ModuleCost`.
    """
    check_shape("shape", shape, "(height, width, channels)", (3,))
    check_integer(filters_1x1=filters_1x1, filters_3x3=filters_3x3, filters_5x5=filters_5x5)
    reductions = {"reduce_3x3": reduce_3x3, "reduce_5x5": reduce_5x5, "pool_projection": pool_projection}
    check_integer(**{name: value for name, value in reductions.items() if value is not None})

    height, width, channels = shape
    positions = height * width
    branches = {"1x1": positions * channels * filters_1x1}
    for kernel, filters, reduction in ((3, filters_3x3, reduce_3x3), (5, filters_5x5, reduce_5x5)):
        if reduction:
            branches[f"1x1 followed by {kernel}x{kernel}"] = positions * channels * reduction
        branches[f"{kernel}x{kernel}"] = positions * kernel**2 * (reduction or channels) * filters
    branches["pool"] = positions * channels * (pool_projection or 0)

    output_channels = filters_1x1 + filters_3x3 + filters_5x5 + (pool_projection or channels)
    return ModuleCost(branches=branches, shape=(height, width, output_channels))


def naive_inception_cost(
    shape: tuple[int, int, int] = (28, 28, 256),
    *,
    filters_1x1: int = 128,
    filters_3x3: int = 192,
    filters_5x5: int = 96,
) -> ModuleCost:
    """Multiply-adds of an inception module without 1x1 reductions.

    Args:
        shape: (height, width, channels) of the input.
        filters_1x1: filters of the 1x1 branch.
        filters_3x3: filters of the 3x3 branch.
        filters_5x5: filters of the 5x5 branch.

    Returns:
        A `ModuleCost`; see `inception_cost`.
    """
    return inception_cost(
        shape,
        filters_1x1=filters_1x1,
        filters_3x3=filters_3x3,
        filters_5x5=filters_5x5,
        reduce_3x3=None,
        reduce_5x5=None,
        pool_projection=None,
    )
