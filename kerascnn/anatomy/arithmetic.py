"""Conv and pool arithmetic, and the worked examples of a first course on convolutional networks, as numbers."""

import math
from dataclasses import dataclass
from numbers import Integral


def check_whole(*, least=1, **values):
    """Refuse arguments, given by name, that are not whole numbers of at least ``least``."""
    for name, value in values.items():
        if not isinstance(value, Integral) or isinstance(value, bool) or value < least:
            raise ValueError(f"`{name}` should be a whole number from {least}. Received: {value!r}")


def check_shape(name, value, expected, lengths):
    """Refuse what is not a tuple of whole numbers from 1 in one of these lengths."""
    fits = isinstance(value, tuple | list) and len(value) in lengths
    if not fits or not all(isinstance(size, Integral) and size >= 1 for size in value):
        raise ValueError(f"`{name}` should be {expected}, whole numbers from 1. Received: {value!r}")


def output_size(size, kernel, stride=1, padding=0, dilation=1, *, exact=False):
    """Places of a convolution or pool along one axis: floor((W - F + 2 P) / S) + 1.

    `padding` is an int for both sides, (before, after), "valid", or "same" (ceil(W / S), as TensorFlow pads).
    `exact` refuses a stride that does not fit instead of dropping the last pixels.
    """
    check_whole(size=size, kernel=kernel, stride=stride, dilation=dilation)
    before, after = pads(size, kernel, stride, padding, dilation)
    room = size + before + after - ((kernel - 1) * dilation + 1)
    if room < 0:
        raise ValueError(
            f"`kernel` should fit the {size + before + after} padded pixels. Received: kernel {kernel} with "
            f"dilation {dilation}, which spans {(kernel - 1) * dilation + 1}"
        )
    if exact and room % stride:
        raise ValueError(
            f"`stride` should divide W - F + 2 P = {room} exactly. Received: {stride}, which leaves {room % stride}"
        )
    return room // stride + 1


def pads(size, kernel, stride, padding, dilation):
    """(before, after) in pixels."""
    if padding == "valid":
        return 0, 0
    if padding == "same":
        total = max((-(size // -stride) - 1) * stride + (kernel - 1) * dilation + 1 - size, 0)
        return total // 2, total - total // 2
    both = (padding, padding) if isinstance(padding, Integral) else padding
    pair = isinstance(both, tuple | list) and len(both) == 2
    if not pair or not all(isinstance(side, Integral) and side >= 0 for side in both):
        expected = 'a whole number from 0, (before, after), "same" or "valid"'
        raise ValueError(f"`padding` should be {expected}. Received: {padding!r}")
    return tuple(both)


@dataclass(frozen=True)
class Stack:
    """`depth` convolutions of `kernel` x `kernel` with the same channels throughout; biases are left out."""

    kernel: int
    depth: int
    channels: int

    @property
    def receptive(self):
        """Side of the field of one unit of the last layer."""
        return 1 + self.depth * (self.kernel - 1)

    @property
    def weights(self):
        """depth F^2 C^2."""
        return self.depth * self.kernel**2 * self.channels**2

    def macs(self, height, width):
        """Multiply-adds on a map of this size, padded to keep it."""
        return self.weights * height * width


def stack(kernel=3, depth=3, channels=1):
    """Small kernels in a row: three 3x3 see 7x7 with 27 C^2 weights, where one 7x7 takes 49 C^2."""
    check_whole(kernel=kernel, depth=depth, channels=channels)
    return Stack(kernel, depth, channels)


def single(kernel=7, channels=1):
    """One large kernel, to hold against a `stack`."""
    return stack(kernel, 1, channels)


def stacked_threes(kernel):
    """How many 3x3 convolutions see as far as one of an odd `kernel`: five make an 11x11."""
    if not isinstance(kernel, Integral) or kernel < 1 or kernel % 2 == 0:
        raise ValueError(f"`kernel` should be an odd whole number. Received: {kernel!r}")
    return (kernel - 1) // 2


@dataclass(frozen=True)
class Connectivity:
    """Weights that connect two rows of units: all to all, each to its neighbors, and with weights shared."""

    dense: int
    local: int
    shared: int


def connectivity(inputs=7, hidden=3, reach=3):
    """What locality and sharing save: 7 inputs and 3 hidden units take 21 weights, then 9, then 3."""
    check_whole(inputs=inputs, hidden=hidden, reach=reach)
    if reach > inputs:
        raise ValueError(f"`reach` should be at most the {inputs} inputs. Received: {reach}")
    return Connectivity(inputs * hidden, hidden * reach, reach)


@dataclass(frozen=True)
class DenseWeights:
    """Weights of a dense layer, and what they weigh as float32."""

    weights: int

    @property
    def bytes(self):
        """Four bytes a weight."""
        return 4 * self.weights

    @property
    def gib(self):
        """Bytes in units of 2^30."""
        return self.bytes / 2**30


def dense_weights(shape, outputs=None):
    """A dense layer from an image to `outputs` units, or to as many as came in: 256x256x3 takes 3.87e10, 144 GiB."""
    check_shape("shape", shape, "the sizes of the input, such as (256, 256, 3)", range(1, 10))
    if outputs is not None:
        check_whole(outputs=outputs)
    units = math.prod(shape)
    return DenseWeights(units * (units if outputs is None else outputs))


@dataclass(frozen=True)
class ModuleCost:
    """Multiply-adds of an inception module by branch, and the map that it gives."""

    branches: dict
    shape: tuple

    @property
    def macs(self):
        """All branches together."""
        return sum(self.branches.values())


def inception_cost(
    shape=(28, 28, 256), *, ones=128, threes=192, fives=96, reduce_threes=64, reduce_fives=64, project=64
):
    """What 1x1 reductions save in an inception module: compare with `naive_inception_cost`.

    At 28x28x256 the naive module takes 854,196,224 multiply-adds and gives 28x28x672; the reduced one 271,351,808
    and gives 28x28x480. Lecture slides print 358 M for the second: they count its 3x3 convolution twice.
    A reduction of None leaves that branch naive; `project=None` pools without projecting.
    """
    check_shape("shape", shape, "(height, width, channels)", (3,))
    check_whole(ones=ones, threes=threes, fives=fives)
    reductions = {"reduce_threes": reduce_threes, "reduce_fives": reduce_fives, "project": project}
    check_whole(**{name: value for name, value in reductions.items() if value is not None})
    height, width, channels = shape
    places = height * width
    branches = {"1x1": places * channels * ones}
    for kernel, filters, reduced in ((3, threes, reduce_threes), (5, fives, reduce_fives)):
        if reduced:
            branches[f"1x1 before {kernel}x{kernel}"] = places * channels * reduced
        branches[f"{kernel}x{kernel}"] = places * kernel**2 * (reduced or channels) * filters
    branches["pool"] = places * channels * (project or 0)
    return ModuleCost(branches, (height, width, ones + threes + fives + (project or channels)))


def naive_inception_cost(shape=(28, 28, 256), *, ones=128, threes=192, fives=96):
    """The same module without any 1x1 reduction; see `inception_cost`."""
    naive = {"reduce_threes": None, "reduce_fives": None, "project": None}
    return inception_cost(shape, ones=ones, threes=threes, fives=fives, **naive)
