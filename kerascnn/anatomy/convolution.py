"""Convolution as a matrix product, and what shifting the image does to it, in numbers and pictures.

"Convolution" is cross-correlation here, as in every CNN: the kernel is not flipped.
"""

from dataclasses import dataclass
from numbers import Integral

import numpy as np

from ..plots.primitives import COVERED, MAT, SIGNED
from ..plots.style import BLUE, LARGE, RED, bare, new_figure, tidy
from ..support.display import Drawn
from .arithmetic import check_shape, check_whole, output_size, pads


@dataclass(frozen=True)
class Example:
    """A convolution that can be done by hand."""

    image: np.ndarray
    kernel: np.ndarray
    response: np.ndarray


EXAMPLE = Example(
    image=np.array([[4, 5, 8, 7], [1, 8, 8, 8], [3, 6, 6, 4], [6, 5, 7, 8]]),
    kernel=np.array([[1, 4, 1], [1, 4, 3], [3, 3, 1]]),
    response=np.array([[122, 148], [126, 134]]),
)


def toeplitz(kernel, input_shape, stride=1, padding=0):
    """The matrix T with T @ image.ravel() == convolution(image).ravel(); rows are units, columns are pixels.

    `kernel` is (h, w) for images (H, W), or (h, w, in, out) for images (H, W, in). `stride` is an int or (y, x);
    `padding` is an int or a pair (before, after) for both axes, "valid", or "same" as TensorFlow pads.
    """
    check_shape("input_shape", input_shape, "(H, W) or (H, W, in)", (2, 3))
    kernel = np.asarray(kernel)
    plain = kernel.ndim == 2
    kernel = kernel[:, :, None, None] if plain else kernel
    shape = (*input_shape, 1) if len(input_shape) == 2 else tuple(input_shape)
    if kernel.ndim != 4 or len(shape) != 3 or kernel.shape[2] != shape[2]:
        raise ValueError(
            "`kernel` should be (h, w) or (h, w, in, out) with as many `in` as the image has channels. "
            f"Received: {kernel.shape} for an image {shape}"
        )
    strides = stride if isinstance(stride, tuple | list) else (stride, stride)
    check_shape("stride", strides, "an int or (y, x)", (2,))
    height, width = (output_size(shape[a], kernel.shape[a], strides[a], padding) for a in (0, 1))
    above, left = (pads(shape[a], kernel.shape[a], strides[a], padding, 1)[0] for a in (0, 1))
    matrix = np.zeros((height, width, kernel.shape[3], *shape), dtype=kernel.dtype)
    for row, column in np.ndindex(height, width):
        for i, j in np.ndindex(*kernel.shape[:2]):
            y, x = row * strides[0] + i - above, column * strides[1] + j - left
            if 0 <= y < shape[0] and 0 <= x < shape[1]:
                matrix[row, column, :, y, x, :] = kernel[i, j].T
    return matrix.reshape(height * width * kernel.shape[3], -1)


@dataclass(frozen=True)
class Equivariance(Drawn):
    """Shift then respond, against respond then shift. They agree in the interior if the layer is equivariant."""

    image: np.ndarray
    shifted_image: np.ndarray
    response: np.ndarray
    response_of_shifted: np.ndarray
    shifted_response: np.ndarray
    interior: np.ndarray
    shift: tuple
    step: tuple

    @property
    def difference(self):
        """The largest difference in the interior; 0, or rounding, for an equivariant layer; NaN if none is left."""
        gap = np.abs(self.response_of_shifted - self.shifted_response)[self.interior]
        return float(gap.max()) if gap.size else float("nan")

    def plot(self):
        """Both orders side by side, and where they differ, on a scale of its own."""
        figure = new_figure(11, 6.4)
        axes = figure.subplots(2, 3)
        most = max(np.abs(self.response).max(), np.abs(self.response_of_shifted).max(), 1e-12)
        dy, dx = self.shift
        _show_image(axes[0, 0], self.image, "image")
        _show_image(axes[1, 0], self.shifted_image, f"image, shifted by ({dy}, {dx}) pixels")
        _show_signed(axes[0, 1], self.response, most, "response to the image")
        _show_signed(axes[1, 1], self.response_of_shifted, most, "shift, then respond")
        drawn = _show_signed(axes[0, 2], self.shifted_response, most, "respond, then shift")
        figure.colorbar(drawn, ax=axes[0, 2], shrink=0.85, label="response")
        gap = np.abs(self.response_of_shifted - self.shifted_response).max(-1)
        gap = np.where(self.interior, gap, np.nan)
        axes[1, 2].set_facecolor(MAT)
        largest = np.nanmax(gap) if np.isfinite(gap).any() else 0.0
        drawn = axes[1, 2].imshow(gap, cmap=COVERED, vmin=0, vmax=max(largest, most * 1e-3), interpolation="nearest")
        figure.colorbar(drawn, ax=axes[1, 2], shrink=0.85, label="|difference|")
        bare(axes[1, 2], f"difference in the interior: at most {self.difference:.2g}\n(gray: reached by the border)")
        figure.suptitle("Is shifting, then responding, the same as responding, then shifting?", fontsize=LARGE)
        return figure


def equivariance(layer, image, shift, *, margin=2):
    """Does shifting the image by (dy, dx) pixels shift the response alike? `layer` is a layer, model or function.

    The shift has to be whole steps of the response (multiples of the stride). What enters at the border is 0; the
    `interior` leaves out the pixels it reaches, plus `margin` units on every side.
    """
    image = _image(image)
    _check_layer(layer)
    check_whole(margin=margin, least=0)
    pair = isinstance(shift, tuple | list) and len(shift) == 2
    if not pair or not all(isinstance(amount, Integral) for amount in shift):
        raise ValueError(f"`shift` should be (dy, dx), whole numbers of pixels. Received: {shift!r}")
    moved = _shift(image, shift)
    response, of_shifted = _respond(layer, image), _respond(layer, moved)
    ratios = [round(image.shape[a] / response.shape[a]) or 1 for a in (0, 1)]
    if any(amount % ratio for amount, ratio in zip(shift, ratios, strict=True)):
        raise ValueError(f"`shift` should be multiples of the response's stride {tuple(ratios)}. Received: {shift}")
    step = tuple(amount // ratio for amount, ratio in zip(shift, ratios, strict=True))
    interior = np.zeros(response.shape[:2], dtype=bool)
    interior[margin : response.shape[0] - margin, margin : response.shape[1] - margin] = True
    interior = _shift(interior, step) & interior
    return Equivariance(image, moved, response, of_shifted, _shift(response, step), interior, tuple(shift), step)


@dataclass(frozen=True)
class Invariance(Drawn):
    """How much a response changes, relative to its size, when the image shifts by a few pixels."""

    shifts: np.ndarray
    before: np.ndarray
    pooled: np.ndarray
    pool: int

    def plot(self):
        """Change against shift, with and without pooling."""
        figure = new_figure(6.4, 4.2)
        axis = figure.subplots()
        lines = (
            (self.before, RED, "s--", "the response itself"),
            (self.pooled, BLUE, "o-", f"after {self.pool}x{self.pool} max pooling"),
        )
        for values, color, style, label in lines:
            axis.plot(self.shifts, 100 * values, style, color=color, label=label, linewidth=2, markersize=6)
        labels = {"xlabel": "shift of the image (pixels)", "ylabel": "change of the response (% of its norm)"}
        tidy(axis, "Pooling makes small shifts matter less", fontsize=12, **labels)
        axis.set_xticks(self.shifts)
        axis.set_ylim(bottom=0)
        axis.legend(frameon=False)
        return figure


def invariance(layer, image, *, pool=4, shifts=range(5)):
    """How far max pooling makes a response invariant to small horizontal shifts: |r(shifted) - r| / |r|."""
    image = _image(image)
    _check_layer(layer)
    check_whole(pool=pool)
    if np.ndim(shifts) != 1 or not all(isinstance(shift, Integral) for shift in shifts):
        raise ValueError(f"`shifts` should be whole numbers of pixels. Received: {shifts!r}")
    shifts = np.array(list(shifts), dtype=int)
    responses = [_respond(layer, _shift(image, (0, int(shift)))) for shift in shifts]
    still = _respond(layer, image)
    if pool > min(still.shape[:2]):
        height, width = still.shape[:2]
        raise ValueError(f"`pool` should be at most the response's {height}x{width} units. Received: {pool}")
    before = [_change(still, response) for response in responses]
    pooled = [_change(_max_pool(still, pool), _max_pool(response, pool)) for response in responses]
    return Invariance(shifts, np.array(before), np.array(pooled), pool)


def _check_layer(layer):
    if not callable(layer):
        raise ValueError(f"`layer` should be a layer, a model or a function. Received: {layer!r}")


def _image(image):
    """As (H, W, C) float32."""
    image = np.asarray(image, dtype="float32")
    if image.ndim not in (2, 3):
        raise ValueError(f"`image` should be (H, W) or (H, W, C). Received: {image.shape}")
    return image[:, :, None] if image.ndim == 2 else image


def _respond(layer, image):
    """The response to one image as (h, w, channels)."""
    response = np.asarray(layer(image[None]))[0]
    if response.ndim != 3:
        raise ValueError(f"`layer` should give maps (N, H, W, C). Received: {(1, *response.shape)}")
    return response


def _shift(array, shift):
    """Moved down and right by (dy, dx), with 0 where nothing was."""
    room = [(abs(amount), abs(amount)) for amount in shift] + [(0, 0)] * (array.ndim - 2)
    starts = [abs(amount) - amount for amount in shift]
    inside = (slice(start, start + size) for start, size in zip(starts, array.shape, strict=False))
    return np.pad(array, room)[tuple(inside)]


def _max_pool(response, size):
    """Largest of each size x size tile; what is left at the end is dropped."""
    height, width = (side // size for side in response.shape[:2])
    tiles = response[: height * size, : width * size].reshape(height, size, width, size, -1)
    return tiles.max(axis=(1, 3))


def _change(still, moved):
    scale = np.linalg.norm(still)
    return float(np.linalg.norm(moved - still) / scale) if scale else 0.0


def _show_image(axis, image, title):
    low, high = float(image.min()), float(image.max())
    image = (image - low) / (high - low or 1)
    axis.imshow(image if image.shape[-1] == 3 else image[..., 0], cmap="gray", vmin=0, vmax=1)
    bare(axis, title)


def _show_signed(axis, maps, most, title):
    """Draw the first of some maps."""
    bare(axis, title)
    return axis.imshow(maps[..., 0], cmap=SIGNED, vmin=-most, vmax=most, interpolation="nearest")
