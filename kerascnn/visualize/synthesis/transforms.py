"""Random transforms of images during optimization, which make the result robust to small movements.

A transform draws matrices (3, 3). They map a position (y, x, 1) of the transformed image, in pixels from the center,
to the position in the original image that it is read from. The matrices of a step are multiplied in numpy, before the
loop, to one for each image: so they are the same in every batch and under any compiler, and each image is interpolated
once. The optimized image itself is never moved.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import reduce

import numpy as np
from keras import ops

from .params import GRAY

BORDER_POSITIONS = {  # where positions beyond the border are read: (position, side in pixels) -> position
    "gray": lambda position, side: ops.clip(position, -1, side),
    "edge": lambda position, side: ops.clip(position, 0, side - 1),
    "wrap": lambda position, side: ops.mod(position, side),
}


@dataclass(frozen=True)
class Transform:
    """A random transform of images.

    Attributes:
        name: the transform in words.
        draw: ``draw(rng, steps)`` returns one random matrix for each step, (steps, 3, 3).
        on_grid: it matrices pixels onto pixels, so that nothing has to be interpolated.
    """

    name: str
    draw: Callable = field(repr=False)
    on_grid: bool = False


def jitter(pixels):
    """Shift by an integer number of pixels, drawn from -pixels .. pixels for each direction."""
    if pixels < 0 or int(pixels) != pixels:
        raise ValueError(f"`pixels` should be an integer of at least 0. Received: {pixels}")

    def draw(rng, steps):
        matrices = _identities(steps)
        matrices[:, :2, 2] = rng.integers(-int(pixels), int(pixels), (steps, 2), endpoint=True)
        return matrices

    return Transform(f"jitter {pixels}", draw, on_grid=True)


def scale(low, high):
    """Enlarge by a random factor between ``low`` and ``high``."""
    if not 0 < low <= high:
        raise ValueError(f"`low` should be above 0 and at most `high`. Received: {low}, {high}")

    def draw(rng, steps):
        matrices = _identities(steps)
        matrices[:, 0, 0] = matrices[:, 1, 1] = 1 / rng.uniform(low, high, steps)
        return matrices

    return Transform(f"scale {low} .. {high}", draw)


def rotate(degrees):
    """Rotate by a random angle from -degrees to degrees."""

    def draw(rng, steps):
        angles = np.deg2rad(rng.uniform(-degrees, degrees, steps))
        matrices = _identities(steps)
        matrices[:, 0, 0] = matrices[:, 1, 1] = np.cos(angles)
        matrices[:, 0, 1], matrices[:, 1, 0] = np.sin(angles), -np.sin(angles)
        return matrices

    return Transform(f"rotate {degrees}", draw)


def mirror():
    """Flip horizontally, with probability 0.5."""

    def draw(rng, steps):
        matrices = _identities(steps)
        matrices[:, 1, 1] = rng.choice([-1, 1], steps)
        return matrices

    return Transform("mirror", draw, on_grid=True)


def sample_matrices(transforms, rngs, steps):
    """The matrices of all transforms, composed in their order: (steps, N, 2, 3), float32.

    Each image has its own generator, and each transform a generator spawned from it, so that a longer optimization
    starts with the same matrices as a shorter one.
    """

    def compose(rng):
        matrices = _identities(steps)
        for transform, transform_rng in zip(transforms, rng.spawn(len(transforms)), strict=True):
            matrices = np.matmul(matrices, transform.draw(transform_rng, steps))
        return matrices[:, :2]

    return np.stack([compose(rng) for rng in rngs], 1).astype(np.float32)


def warp(pixels, matrices, fill="gray", on_grid=False):
    """Images (N, H, W, C) transformed by their matrices (N, 2, 3), with bilinear interpolation.

    The result is differentiable in the pixels, not in the matrices. ``fill`` says what lies beyond the border: "gray"
    or another pixel value, the nearest "edge" pixel, or the image repeated ("wrap"). With ``on_grid``, for matrices
    that move pixels onto pixels, nothing is interpolated, in a quarter of the time.
    """
    if not (fill in BORDER_POSITIONS or isinstance(fill, int | float)):
        raise ValueError(f"`fill` should be a number or one of {', '.join(BORDER_POSITIONS)}. Received: {fill!r}")
    height, width, channels = pixels.shape[1:]
    border_position = BORDER_POSITIONS["gray" if isinstance(fill, int | float) else fill]
    y, x = _source_positions(matrices, height, width)
    if on_grid:
        y, x = ops.round(y), ops.round(x)
    y, x = border_position(y, height) + 1, border_position(x, width) + 1

    bordered, row_length = _add_border(pixels, fill), width + 2
    first_row = ops.arange(ops.shape(pixels)[0], dtype="int32")[:, None, None] * (height + 2)
    if on_grid:
        index = (first_row + ops.cast(y, "int32")) * row_length + ops.cast(x, "int32")
        return ops.take(ops.reshape(bordered, (-1, channels)), index, 0)
    top, left = ops.clip(ops.floor(y), 0, height), ops.clip(ops.floor(x), 0, width)
    down, right = y - top, x - left
    index = (first_row + ops.cast(top, "int32")) * row_length + ops.cast(left, "int32")
    corners = (index, index + 1, index + row_length, index + row_length + 1)
    weights = ((1 - down) * (1 - right), (1 - down) * right, down * (1 - right), down * right)
    return _interpolate(bordered, corners, weights)


def blur(x, sigma):
    """Gaussian blur of images (N, H, W, C), as scipy.ndimage.gaussian_filter: the border is reflected.

    Two matrix products, whose cost does not depend on sigma.
    """
    from scipy.ndimage import gaussian_filter1d

    blur_columns, blur_rows = (
        gaussian_filter1d(np.eye(side), sigma, axis=0).astype(np.float32) for side in x.shape[1:3]
    )
    planes = ops.transpose(x, (0, 3, 1, 2))
    return ops.transpose(ops.matmul(blur_columns, ops.matmul(planes, blur_rows.T)), (0, 2, 3, 1))


def _identities(steps):
    return np.tile(np.eye(3), (steps, 1, 1))


def _source_positions(matrices, height, width):
    """(y, x): the position (N, H, W) that each pixel is read from, 0 at the center of the first pixel."""
    y, x = (np.arange(side, dtype=np.float32) - (side - 1) / 2 for side in (height, width))
    positions = []
    for row, side in enumerate((height, width)):
        factors = matrices[:, row, :, None, None]
        positions.append(factors[:, 0] * y[:, None] + factors[:, 1] * x + factors[:, 2] + (side - 1) / 2)
    return positions


def _add_border(pixels, fill):
    """The images with a border of one pixel."""
    if fill == "wrap":
        pixels = ops.concatenate([pixels[:, -1:], pixels, pixels[:, :1]], 1)
        return ops.concatenate([pixels[:, :, -1:], pixels, pixels[:, :, :1]], 2)
    paddings = ((0, 0), (1, 1), (1, 1), (0, 0))
    if fill == "edge":
        return ops.pad(pixels, paddings, "symmetric")
    return ops.pad(pixels, paddings, constant_values=GRAY if fill == "gray" else fill)


def _interpolate(bordered, corners, weights):
    """The weighted sum of the pixels at four corners, with a gradient that is computed channel by channel.

    TensorFlow's segment sum of single numbers is ten times faster than that of rows of three.
    """
    pairs = [*zip(corners, weights, strict=True)]
    channels = bordered.shape[-1]

    @ops.custom_gradient
    def read(image):
        flat = ops.reshape(image, (-1, channels))

        def channel_gradient(upstream):
            parts = [
                ops.segment_sum(_to_vector(weight * upstream), _to_vector(corner), ops.shape(flat)[0])
                for corner, weight in pairs
            ]
            return reduce(ops.add, parts)

        def gradient(*arguments, upstream=None):
            upstream = arguments[0] if upstream is None else upstream
            channel_gradients = [channel_gradient(upstream[..., k]) for k in range(channels)]
            return ops.reshape(ops.stack(channel_gradients, -1), ops.shape(image))

        return reduce(ops.add, [ops.take(flat, corner, 0) * weight[..., None] for corner, weight in pairs]), gradient

    return read(bordered)


def _to_vector(values):
    return ops.reshape(values, (-1,))
