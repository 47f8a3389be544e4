"""What all readers share: their error, bytes as arrays, and how large the arrays of a file may be."""

import math

import numpy as np

SLACK = 1 << 20  # bytes that any file may ask for, so that tiny ones need no arithmetic
GROWTH = 4  # times its own size that a file may become: compressed zeros, expanded and tied tensors


class WeightsError(ValueError):
    """A file of weights that cannot be read: which file, what was expected, what came."""

    def __init__(self, path, expected, received, advice=""):
        super().__init__(f"{path} should {expected}. Received: {received}{advice}")
        self.path, self.expected, self.received = path, expected, received


class Allowance:
    """Bytes that the arrays of one file may take together."""

    def __init__(self, path, size):
        self.path, self.total = path, GROWTH * size + SLACK
        self.left = self.total

    def spend(self, count, what):
        self.left -= count
        if self.left < 0:
            expected = f"hold arrays of at most {self.total:,} bytes ({GROWTH} times its own size)"
            raise WeightsError(self.path, expected, f"{what}, with which it passes that")


def filled(path, file, start, count):
    """``count`` bytes of a file, read straight into an array of their own."""
    found = np.empty(count, np.uint8)
    file.seek(start)
    if file.readinto(memoryview(found)) != count:
        raise WeightsError(path, f"have {count:,} bytes from byte {start:,}", "fewer: it was cut off")
    return found


def widen(array):
    """bfloat16 (any two bytes of it) as float32: the upper half of its bits."""
    bits = np.asarray(array, order="C").view("<u2").astype(np.uint32)
    bits <<= 16
    return bits.view(np.float32)


def sensible(path, name, shape):
    """Refuse what numpy has no room for even without an element: (0, 2**62)."""
    if math.prod(filter(None, shape)) > 2**40:
        raise WeightsError(path, "hold arrays of a sensible shape", f"{str(shape)[:80]} in {name[:80]!r}")
