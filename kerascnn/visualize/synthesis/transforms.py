"""How an image is shaken while it is climbed: only what survives small moves is worth climbing.

A shake draws matrices (3, 3) that say, of each place (y, x, 1) in pixels about the center, where the shaken image
reads it. All shakes of a step are multiplied in numpy, before the loop, to one map an image: the numbers are the same
in any batch and under any compiler, and the image is interpolated once. The canvas itself is never moved.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import reduce

import numpy as np
from keras import ops

from .params import GRAY

OUTSIDE = {  # what is read beyond the sides, and where, of a place and the length of the side
    "gray": lambda at, side: ops.clip(at, -1, side),
    "edge": lambda at, side: ops.clip(at, 0, side - 1),
    "wrap": lambda at, side: ops.mod(at, side),
}


@dataclass(frozen=True)
class Transform:
    """A random move: ``draw(rng, steps)`` gives matrices (steps, 3, 3); ``whole`` if it moves pixels onto pixels."""

    name: str
    draw: Callable = field(repr=False)
    on_grid: bool = False


def jitter(pixels):
    """Shift by whole pixels, as far as -pixels .. pixels each way, both ends included: on average nowhere."""
    if pixels < 0 or int(pixels) != pixels:
        raise ValueError(f"`pixels` should be a whole number from 0 up. Received: {pixels}")

    def draw(rng, steps):
        moves = _identities(steps)
        moves[:, :2, 2] = rng.integers(-int(pixels), int(pixels), (steps, 2), endpoint=True)
        return moves

    return Transform(f"jitter {pixels}", draw, on_grid=True)


def scale(low, high):
    """Magnify by a factor between ``low`` and ``high``."""
    if not 0 < low <= high:
        raise ValueError(f"`low` should be above 0 and at most `high`. Received: {low}, {high}")

    def draw(rng, steps):
        moves = _identities(steps)
        moves[:, 0, 0] = moves[:, 1, 1] = 1 / rng.uniform(low, high, steps)
        return moves

    return Transform(f"scale {low} .. {high}", draw)


def rotate(degrees):
    """Turn by -degrees .. degrees."""

    def draw(rng, steps):
        angle, moves = np.deg2rad(rng.uniform(-degrees, degrees, steps)), _identities(steps)
        moves[:, 0, 0] = moves[:, 1, 1] = np.cos(angle)
        moves[:, 0, 1], moves[:, 1, 0] = np.sin(angle), -np.sin(angle)
        return moves

    return Transform(f"rotate {degrees}", draw)


def mirror():
    """Exchange left and right, every other time."""

    def draw(rng, steps):
        moves = _identities(steps)
        moves[:, 1, 1] = rng.choice([-1, 1], steps)
        return moves

    return Transform("mirror", draw, on_grid=True)


def sample_matrices(transforms, rngs, steps):
    """The maps (steps, N, 2, 3), float32, of ``shakes`` one after the other; each image's from its own generator.

    The first steps of a longer climb are those of a shorter one: each shake has a stream of its own.
    """

    def composed(rng):
        streams = zip(transforms, rng.spawn(len(transforms)), strict=True)
        return reduce(np.matmul, [shake.draw(own, steps) for shake, own in streams], _identities(steps))

    return np.stack([composed(rng)[:, :2] for rng in rngs], 1).astype(np.float32)


def warp(pixels, matrices, fill="gray", on_grid=False):
    """Each image (N, H, W, C) as its map (N, 2, 3) reads it, bilinearly; differentiable in the pixels only.

    ``fill``: beyond the sides is "gray" or another pixel value, the "edge", or the image again ("wrap"). Where all
    shakes are ``whole``, nothing lies between pixels: say so, and it takes a quarter of the time.
    """
    if not (fill in OUTSIDE or isinstance(fill, int | float)):
        raise ValueError(f"`fill` should be a number or one of {', '.join(OUTSIDE)}. Received: {fill!r}")
    height, width, channels = pixels.shape[1:]
    outside = OUTSIDE["gray" if isinstance(fill, int | float) else fill]
    y, x = (
        outside(ops.round(at) if on_grid else at, side) + 1 for at, side in _source_positions(matrices, height, width)
    )
    bordered, across = _add_border(pixels, fill), width + 2
    first = ops.arange(ops.shape(pixels)[0], dtype="int32")[:, None, None] * (height + 2)
    if on_grid:
        index = (first + ops.cast(y, "int32")) * across + ops.cast(x, "int32")
        return ops.take(ops.reshape(bordered, (-1, channels)), index, 0)
    top, left = ops.clip(ops.floor(y), 0, height), ops.clip(ops.floor(x), 0, width)
    down, right = y - top, x - left
    index = (first + ops.cast(top, "int32")) * across + ops.cast(left, "int32")
    corners = (index, index + 1, index + across, index + across + 1)
    shares = ((1 - down) * (1 - right), (1 - down) * right, down * (1 - right), down * right)
    return _interpolate(bordered, corners, shares)


def blur(x, sigma):
    """Gaussian blur of images (N, H, W, C), reflected at the sides, as scipy.ndimage.gaussian_filter does it.

    Two products with matrices, which cost the same at any sigma and size of kernel.
    """
    from scipy.ndimage import gaussian_filter1d

    down, across = (gaussian_filter1d(np.eye(side), sigma, axis=0).astype(np.float32) for side in x.shape[1:3])
    planes = ops.transpose(x, (0, 3, 1, 2))
    return ops.transpose(ops.matmul(down, ops.matmul(planes, across.T)), (0, 2, 3, 1))


def _identities(steps):
    return np.tile(np.eye(3), (steps, 1, 1))


def _source_positions(matrices, height, width):
    """((y, height), (x, width)): where each pixel (N, H, W) is read, from 0 at the first pixel's center."""
    down, right = (np.arange(side, dtype=np.float32) - (side - 1) / 2 for side in (height, width))
    for row, side in enumerate((height, width)):
        own = matrices[:, row, :, None, None]
        yield own[:, 0] * down[:, None] + own[:, 1] * right + own[:, 2] + (side - 1) / 2, side


def _add_border(pixels, fill):
    """One pixel more on each side."""
    if fill == "wrap":
        pixels = ops.concatenate([pixels[:, -1:], pixels, pixels[:, :1]], 1)
        return ops.concatenate([pixels[:, :, -1:], pixels, pixels[:, :, :1]], 2)
    sides = ((0, 0), (1, 1), (1, 1), (0, 0))
    if fill == "edge":
        return ops.pad(pixels, sides, "symmetric")
    return ops.pad(pixels, sides, constant_values=GRAY if fill == "gray" else fill)


def _interpolate(bordered, corners, shares):
    """The sum of pixels at four places by their shares; its gradient adds up channel by channel.

    TensorFlow adds single numbers to their places ten times faster than rows of three.
    """
    pairs, channels = [*zip(corners, shares, strict=True)], bordered.shape[-1]

    @ops.custom_gradient
    def read(image):
        flat = ops.reshape(image, (-1, channels))

        def sent(signal):
            parts = [
                ops.segment_sum(_to_vector(share * signal), _to_vector(at), ops.shape(flat)[0]) for at, share in pairs
            ]
            return reduce(ops.add, parts)

        def back(*signals, upstream=None):
            signal = signals[0] if upstream is None else upstream
            return ops.reshape(ops.stack([sent(signal[..., k]) for k in range(channels)], -1), ops.shape(image))

        return reduce(ops.add, [ops.take(flat, at, 0) * share[..., None] for at, share in pairs]), back

    return read(bordered)


def _to_vector(values):
    return ops.reshape(values, (-1,))
