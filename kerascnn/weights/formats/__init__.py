"""Shared by all readers: the error, bytes as arrays, and a limit on the memory of a file's arrays."""

import math

import numpy as np

SLACK = 1 << 20  # bytes allowed for any file, however small
GROWTH = 4  # allowed ratio of arrays to file size: compressed zeros, expanded and tied tensors


class WeightsError(ValueError):
    """A weights file that cannot be read or does not fit the model."""

    def __init__(self, path, expected, received, advice=""):
        super().__init__(f"{path} should {expected}. Received: {received}{advice}")
        self.path, self.expected, self.received = path, expected, received


class MemoryAllowance:
    """The bytes that the arrays of one file may take in total."""

    def __init__(self, path, size):
        self.path, self.total = path, GROWTH * size + SLACK
        self.left = self.total

    def spend(self, count, what):
        self.left -= count
        if self.left < 0:
            expected = f"contain arrays of at most {self.total:,} bytes in total ({GROWTH} times the size of the file)"
            raise WeightsError(self.path, expected, f"{what}, which exceeds that")


def read_bytes(path, file, start, count):
    """``count`` bytes of a file as an array."""
    found = np.empty(count, np.uint8)
    file.seek(start)
    if file.readinto(memoryview(found)) != count:
        raise WeightsError(path, f"have {count:,} bytes at offset {start:,}", "fewer: the file is truncated")
    return found


def widen_bfloat16(array):
    """bfloat16, given as two bytes each, as float32."""
    bits = np.asarray(array, order="C").view("<u2").astype(np.uint32)
    bits <<= 16
    return bits.view(np.float32)


def check_array_shape(path, name, shape):
    """Refuse shapes that numpy cannot handle even without elements, such as (0, 2**62)."""
    if math.prod(filter(None, shape)) > 2**40:
        raise WeightsError(path, "contain arrays of a plausible shape", f"{name[:80]!r} of shape {str(shape)[:80]}")
