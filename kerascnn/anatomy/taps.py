"""Which input positions each output position reads, along one axis.

Almost everything repeats: output `q * period + r` reads inputs `q * step + t` for t in `taps[r]`. A convolution has
period 1 and step = stride; upsampling by 2 has period 2 and step 1; a transposed convolution one phase a stride.
"""

import math
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Taps:
    """Input positions read along one axis. `slack` is how much the pad before may grow with an unknown size."""

    period: int = 1
    step: int = 1
    taps: tuple = ((0,),)
    slack: int = 0
    extent: tuple = ()

    def matrix(self, outputs, inputs):
        """Boolean (outputs, inputs): who reads whom, with what lies in the padding cut off."""
        reads = np.zeros((outputs, inputs), dtype=bool)
        for unit in range(outputs):
            base = unit // self.period * self.step
            seen = [base + tap for tap in self.taps[unit % self.period] if 0 <= base + tap < inputs]
            reads[unit, seen] = True
        return reads


def window(padding, size, kernel, stride, dilation):
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
    return Taps(1, stride, (tuple(j * dilation - before for j in range(kernel)),), slack, extent)


def resampled(size, made, reads):
    """A map of `size` drawn again with `made` places: it repeats with their greatest common divisor."""
    common = math.gcd(size, made)
    period, step = made // common, size // common
    return Taps(period, step, tuple(reads(r, step, period) for r in range(period)), 0, ("scale", period, step))


def nearest(place, step, period):
    return ((2 * place + 1) * step // (2 * period),)


def bilinear(place, step, period):
    # exactly; TensorFlow rounds positions to float32, which can give a pixel of weight 0 the weight 1e-6
    low, rest = divmod((2 * place + 1) * step - period, 2 * period)
    return (low, low + 1) if rest else (low,)


def bins(place, step, period):
    return tuple(range(place * step // period, -((place + 1) * step // -period)))
