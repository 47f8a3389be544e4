"""Convolution as a matrix product, and how it responds to a shifted image.

"Convolution" is cross-correlation here, as in every CNN: the kernel is not flipped.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from numbers import Integral

import numpy as np

from ..plots.primitives import COVERED, MAT, SIGNED
from ..plots.style import BLUE, LARGE, RED, hide_ticks, new_figure, style_axis
from ..support.checks import check_integer
from ..support.display import FigureResult, TextResult
from ..support.text import format_shape, pluralize, table_text
from ..support.types import Array
from .arithmetic import check_shape, output_size, padding_amounts


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class Example(TextResult):
    """A convolution that can be computed by hand.

    Attributes:
        image: pixels (4, 4).
        kernel: weights (3, 3).
        response: the result (2, 2).
    """

    image: np.ndarray
    kernel: np.ndarray
    response: np.ndarray

    def __str__(self):
        image, kernel, response = (format_shape(each.shape) for each in (self.image, self.kernel, self.response))
        return f"image {image}, kernel {kernel}, response {response}"


EXAMPLE = Example(
    image=np.array([[4, 5, 8, 7], [1, 8, 8, 8], [3, 6, 6, 4], [6, 5, 7, 8]]),
    kernel=np.array([[1, 4, 1], [1, 4, 3], [3, 3, 1]]),
    response=np.array([[122, 148], [126, 134]]),
)


def toeplitz(
    kernel: Array,
    input_shape: tuple[int, ...],
    stride: int | tuple[int, int] = 1,
    padding: int | str | tuple[int, int] = 0,
) -> Array:
    """The matrix of a convolution.

    T @ image.ravel() == convolution(image).ravel().

    Args:
        kernel: (h, w) for images (H, W), or (h, w, in, out) for images (H, W, in).
        input_shape: shape of the image, (H, W) or (H, W, in).
        stride: an int or (y, x).
        padding: an int or a pair (before, after) for both axes, "valid", or "same" as TensorFlow pads.

    Returns:
        The matrix T; its rows are units, its columns pixels.
    """
    check_shape("input_shape", input_shape, "(H, W) or (H, W, in)", (2, 3))
    kernel = np.asarray(kernel)
    plain = kernel.ndim == 2
    kernel = kernel[:, :, None, None] if plain else kernel
    shape = (*input_shape, 1) if len(input_shape) == 2 else tuple(input_shape)
    if kernel.ndim != 4 or len(shape) != 3 or kernel.shape[2] != shape[2]:
        raise ValueError(
            "`kernel` should be (h, w) or (h, w, in, out), where `in` is the number of image channels. "
            f"Received: {kernel.shape} for an image of shape {shape}"
        )
    strides = stride if isinstance(stride, tuple | list) else (stride, stride)
    check_shape("stride", strides, "an int or (y, x)", (2,))
    height, width = (output_size(shape[a], kernel.shape[a], strides[a], padding) for a in (0, 1))
    above, left = (padding_amounts(shape[a], kernel.shape[a], strides[a], padding, 1)[0] for a in (0, 1))
    matrix = np.zeros((height, width, kernel.shape[3], *shape), dtype=kernel.dtype)
    for row, column in np.ndindex(height, width):
        for i, j in np.ndindex(*kernel.shape[:2]):
            y, x = row * strides[0] + i - above, column * strides[1] + j - left
            if 0 <= y < shape[0] and 0 <= x < shape[1]:
                matrix[row, column, :, y, x, :] = kernel[i, j].T
    return matrix.reshape(height * width * kernel.shape[3], -1)


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class Equivariance(FigureResult):
    """Shift before the layer compared with shift after it; they agree in the interior if the layer is equivariant.

    Attributes:
        image: pixels (H, W, C).
        shifted_image: the image shifted by ``shift``.
        response: the layer's output (h, w, channels) for the image.
        response_of_shifted: its output for the shifted image.
        shifted_response: ``response`` shifted by ``response_shift``.
        interior: mask (h, w) of the units that the border does not influence.
        shift: (dy, dx) in pixels of the image.
        response_shift: (dy, dx) in units of the response.
    """

    image: np.ndarray
    shifted_image: np.ndarray
    response: np.ndarray
    response_of_shifted: np.ndarray
    shifted_response: np.ndarray
    interior: np.ndarray
    shift: tuple
    response_shift: tuple

    @property
    def difference(self):
        """Largest difference in the interior, about 0 for an equivariant layer; NaN without interior."""
        gap = np.abs(self.response_of_shifted - self.shifted_response)[self.interior]
        return float(gap.max()) if gap.size else float("nan")

    def _headline(self):
        return f"image shifted by {self.shift}, difference {self.difference:.2g} in the interior"

    def __str__(self):
        height, width = self.response.shape[:2]
        most = np.abs(self.response).max()
        return (
            f"image shifted by {self.shift}, responses of {height}x{width}: difference {self.difference:.2g} in "
            f"the interior, largest response {most:.2g}"
        )

    def plot(self):
        """Draw both orders and their difference, which has its own scale."""
        figure = new_figure(11, 6.4)
        axes = figure.subplots(2, 3)
        limit = max(np.abs(self.response).max(), np.abs(self.response_of_shifted).max(), 1e-12)
        dy, dx = self.shift
        _show_image(axes[0, 0], self.image, "image")
        _show_image(axes[1, 0], self.shifted_image, f"image shifted by ({dy}, {dx}) pixels")
        _show_signed(axes[0, 1], self.response, limit, "response to the image")
        _show_signed(axes[1, 1], self.response_of_shifted, limit, "shift, then layer")
        drawing = _show_signed(axes[0, 2], self.shifted_response, limit, "layer, then shift")
        figure.colorbar(drawing, ax=axes[0, 2], shrink=0.85, label="response")
        gap = np.abs(self.response_of_shifted - self.shifted_response).max(-1)
        gap = np.where(self.interior, gap, np.nan)
        axes[1, 2].set_facecolor(MAT)
        largest = np.nanmax(gap) if np.isfinite(gap).any() else 0.0
        drawing = axes[1, 2].imshow(gap, cmap=COVERED, vmin=0, vmax=max(largest, limit * 1e-3), interpolation="nearest")
        figure.colorbar(drawing, ax=axes[1, 2], shrink=0.85, label="|difference|")
        hide_ticks(
            axes[1, 2], f"largest difference in the interior: {self.difference:.2g}\n(gray: influenced by the border)"
        )
        figure.suptitle("Does shifting commute with the layer?", fontsize=LARGE)
        return figure


def equivariance(layer: Callable, image: Array, shift: tuple[int, int], *, margin: int = 2) -> Equivariance:
    """Compare a layer's response to a shifted image with its shifted response.

    Args:
        layer: a layer, a model or a function of images (N, H, W, C).
        image: pixels (H, W) or (H, W, C).
        shift: (dy, dx) in pixels, multiples of the layer's stride; pixels that enter at the border are 0.
        margin: units left out of the comparison on every side, besides those that the shift brings in.

    Returns:
        An `Equivariance`, whose `difference` is about 0 for an equivariant layer.
    """
    image = _image(image)
    _check_layer(layer)
    check_integer(margin=margin, minimum=0)
    pair = isinstance(shift, tuple | list) and len(shift) == 2
    if not pair or not all(isinstance(amount, Integral) for amount in shift):
        raise ValueError(f"`shift` should be (dy, dx), integers in pixels. Received: {shift!r}")

    shifted_image = _shift_array(image, shift)
    response = _response_of(layer, image)
    response_of_shifted = _response_of(layer, shifted_image)
    ratios = [round(image.shape[a] / response.shape[a]) or 1 for a in (0, 1)]
    if any(amount % ratio for amount, ratio in zip(shift, ratios, strict=True)):
        raise ValueError(f"`shift` should be multiples of the layer's stride {tuple(ratios)}. Received: {shift}")
    step = tuple(amount // ratio for amount, ratio in zip(shift, ratios, strict=True))
    interior = np.zeros(response.shape[:2], dtype=bool)
    interior[margin : response.shape[0] - margin, margin : response.shape[1] - margin] = True
    interior = _shift_array(interior, step) & interior
    return Equivariance(
        image=image,
        shifted_image=shifted_image,
        response=response,
        response_of_shifted=response_of_shifted,
        shifted_response=_shift_array(response, step),
        interior=interior,
        shift=tuple(shift),
        response_shift=step,
    )


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class Invariance(FigureResult):
    """Relative change of a response when the image is shifted by a few pixels.

    Attributes:
        shifts: horizontal shifts in pixels.
        before: change of the response at each shift, as a fraction of its norm.
        pooled: the same after max pooling.
        pool: size of the pooling window.
    """

    shifts: np.ndarray
    before: np.ndarray
    pooled: np.ndarray
    pool: int

    @property
    def table(self):
        """A DataFrame with a row for each shift: shift, before, pooled."""
        import pandas as pd

        return pd.DataFrame({"shift": self.shifts, "before": self.before, "pooled": self.pooled})

    def _headline(self):
        return f"{pluralize(len(self.shifts), 'shift')}, {self.pool}x{self.pool} max pooling"

    def __str__(self):
        return table_text(self.table)

    def plot(self):
        """Draw the change at each shift, with and without pooling."""
        figure = new_figure(6.4, 4.2)
        axis = figure.subplots()
        lines = (
            (self.before, RED, "s--", "response"),
            (self.pooled, BLUE, "o-", f"after {self.pool}x{self.pool} max pooling"),
        )
        for values, color, style, label in lines:
            axis.plot(self.shifts, 100 * values, style, color=color, label=label, linewidth=2, markersize=6)
        labels = {"xlabel": "shift of the image (pixels)", "ylabel": "change of the response (% of its norm)"}
        style_axis(axis, "Max pooling makes the response less sensitive to small shifts", fontsize=12, **labels)
        axis.set_xticks(self.shifts)
        axis.set_ylim(bottom=0)
        axis.legend(frameon=False)
        return figure


def invariance(layer: Callable, image: Array, *, pool: int = 4, shifts: Sequence[int] = range(5)) -> Invariance:
    """Measure how max pooling makes a response invariant to small shifts.

    The change is |r(shifted) - r| / |r|.

    Args:
        layer: a layer, a model or a function of images (N, H, W, C).
        image: pixels (H, W) or (H, W, C).
        pool: height and width of the pooling window, in units of the response.
        shifts: horizontal shifts of the image, in pixels.

    Returns:
        An `Invariance`.
    """
    image = _image(image)
    _check_layer(layer)
    check_integer(pool=pool)
    if np.ndim(shifts) != 1 or not all(isinstance(shift, Integral) for shift in shifts):
        raise ValueError(f"`shifts` should be integers in pixels. Received: {shifts!r}")
    steps = np.array(list(shifts), dtype=int)
    responses = [_response_of(layer, _shift_array(image, (0, int(shift)))) for shift in steps]
    unshifted = _response_of(layer, image)
    height, width = unshifted.shape[:2]
    if pool > min(height, width):
        raise ValueError(f"`pool` should be at most the size of the response, {height}x{width}. Received: {pool}")
    before = [_relative_change(unshifted, response) for response in responses]
    reference = _max_pool(unshifted, pool)
    pooled = [_relative_change(reference, _max_pool(response, pool)) for response in responses]
    return Invariance(shifts=steps, before=np.array(before), pooled=np.array(pooled), pool=pool)


def _check_layer(layer):
    if not callable(layer):
        raise ValueError(f"`layer` should be a layer, a model or a function. Received: {layer!r}")


def _image(image):
    """The image as (H, W, C) float32."""
    image = np.asarray(image, dtype="float32")
    if image.ndim not in (2, 3):
        raise ValueError(f"`image` should be (H, W) or (H, W, C). Received: {image.shape}")
    return image[:, :, None] if image.ndim == 2 else image


def _response_of(layer, image):
    """The response to one image as (h, w, channels)."""
    response = np.asarray(layer(image[None]))[0]
    if response.ndim != 3:
        raise ValueError(f"`layer` should return feature maps (N, H, W, C). Received: {(1, *response.shape)}")
    return response


def _shift_array(array, shift):
    """Move an array down and right by (dy, dx), with zeros where it was."""
    room = [(abs(amount), abs(amount)) for amount in shift] + [(0, 0)] * (array.ndim - 2)
    starts = [abs(amount) - amount for amount in shift]
    inside = (slice(start, start + size) for start, size in zip(starts, array.shape, strict=False))
    return np.pad(array, room)[tuple(inside)]


def _max_pool(response, size):
    """Max pooling over size x size tiles; rows and columns that fill no tile are dropped."""
    height, width = (side // size for side in response.shape[:2])
    tiles = response[: height * size, : width * size].reshape(height, size, width, size, -1)
    return tiles.max(axis=(1, 3))


def _relative_change(reference, response):
    scale = np.linalg.norm(reference)
    return float(np.linalg.norm(response - reference) / scale) if scale else 0.0


def _show_image(axis, image, title):
    low, high = float(image.min()), float(image.max())
    image = (image - low) / (high - low or 1)
    axis.imshow(image if image.shape[-1] == 3 else image[..., 0], cmap="gray", vmin=0, vmax=1)
    hide_ticks(axis, title)


def _show_signed(axis, maps, limit, title):
    """Draw the first channel."""
    hide_ticks(axis, title)
    return axis.imshow(maps[..., 0], cmap=SIGNED, vmin=-limit, vmax=limit, interpolation="nearest")
