"""Two images that look different and have nearly one HOG descriptor (Tatu, Lauze, Nielsen & Kimia 2011).

min |d(z) - d(image)|^2 / 2 over the pixels z in 0..255, by L-BFGS-B with the exact gradient, from noise or
from another image. What the descriptor does not contain stays as it was initially: brightness, contrast, sign.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from keras import ops

from ...inputs.resize import Preprocessing
from ...plots.style import LARGE, add_footnote, hide_ticks, new_figure
from ...support.display import FigureResult
from ...support.text import pluralize
from ...support.types import Array, FilePath, OnProgress
from ..engine.lens import with_gradient


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class HogTwin(FigureResult):
    """Two images with nearly the same HOG descriptor.

    Attributes:
        image: pixels (H, W), 0..255.
        start: the initial pixels.
        twin: the final pixels.
        descriptors: the descriptors of "image", "start" and "twin".
        distance: distance of the twin's descriptor from the image's.
        initial_distance: distance of the start's descriptor from the image's.
        rms_difference: root mean square of twin minus image.
        correlation: correlation of twin and image.
        steps: number of steps.
    """

    image: np.ndarray
    start: np.ndarray
    twin: np.ndarray
    descriptors: dict
    distance: float
    initial_distance: float
    rms_difference: float
    correlation: float
    steps: int

    @property
    def ratio(self):
        """Fraction of the initial distance that remains; 0 for the same descriptor."""
        return self.distance / self.initial_distance if self.initial_distance else 0.0

    def _headline(self):
        return f"distance {self.distance:.3g}, initially {self.initial_distance:.3g}, {pluralize(self.steps, 'step')}"

    def __str__(self):
        pixel_text = f"rms difference {self.rms_difference:.0f} of 255, correlation {self.correlation:.2f}"
        return (
            f"distance of the descriptors {self.distance:.3g}, {self.ratio:.1%} of the initial "
            f"{self.initial_distance:.3g}; pixels: {pixel_text}"
        )

    def plot(self):
        """Draw image, start and twin, and below them their descriptors."""
        return draw_hog_twin(self)


def hog_twin(
    image: FilePath | Array,
    start: FilePath | Array | None = None,
    *,
    size: tuple[int, int] = (128, 128),
    steps: int = 300,
    seed: int = 0,
    on_progress: OnProgress | None = None,
) -> HogTwin:
    """Another image with nearly the same HOG descriptor.

    Args:
        image: a path, a Pillow image or pixels 0..255, converted to gray.
        start: the image to start from; by default noise.
        size: (height, width), multiples of 8.
        steps: largest number of steps.
        seed: random seed of the noise.
        on_progress: called as ``on_progress(done, total, what)`` after each step; may raise to stop.

    Returns:
        A `HogTwin`.
    """
    from scipy.optimize import minimize

    is_valid = len(size) == 2 and all(side % CELL == 0 and side >= 2 * CELL for side in size)
    if not is_valid:
        raise ValueError(f"`size` should be two multiples of {CELL}, at least {2 * CELL}. Received: {size!r}")
    original = gray_pixels(image, size)
    noise = np.random.default_rng(seed).uniform(0, 255, original.shape)
    start_pixels = noise if start is None else gray_pixels(start, size)
    target, steps_done = descriptor(original), 0

    def objective(pixels):
        value, gradient = mismatch_and_gradient(pixels.reshape(original.shape), target)
        return float(value), gradient.numpy().ravel()

    def count_step(_):
        nonlocal steps_done
        steps_done += 1
        if on_progress:
            on_progress(steps_done, steps, "steps")

    solution = minimize(
        objective,
        start_pixels.ravel(),
        jac=True,
        method="L-BFGS-B",
        bounds=[(0, 255)] * original.size,
        callback=count_step,
        options={"maxiter": steps, "maxfun": 2 * steps, "maxcor": 20, "ftol": 1e-12, "gtol": 1e-10},
    )
    twin = solution.x.reshape(original.shape)
    descriptors = {"image": target, "start": descriptor(start_pixels), "twin": descriptor(twin)}
    distances = {name: float(np.linalg.norm(features - target)) for name, features in descriptors.items()}
    pixels = float(np.sqrt(np.square(twin - original).mean()))
    with np.errstate(invalid="ignore", divide="ignore"):
        correlation = float(np.corrcoef(twin.ravel(), original.ravel())[0, 1])
    return HogTwin(
        image=original,
        start=start_pixels,
        twin=twin,
        descriptors=descriptors,
        distance=distances["twin"],
        initial_distance=distances["start"],
        rms_difference=pixels,
        correlation=correlation,
        steps=steps_done,
    )


def gray_pixels(image, size):
    """One image as gray pixels (h, w)."""
    if isinstance(image, np.ndarray) and image.ndim == 2:
        image = image[..., None]
    return Preprocessing.to_cover(size, 1)(image)[..., 0].astype(np.float64)


CELL, BINS, SIGMA, CUT = 8, 9, 4.0, 0.2
BLOCK = 2 * CELL
STABILIZERS = 0.1 * 4 * BINS, 1e-3  # added to the lengths of blocks, before and after the cut
TINY = 1e-12  # a shorter vector has no length and no direction, and a gradient of 0


def descriptor(image):
    """(rows, columns, 36) of a gray image (H, W), 0..255: four cells, row by row, of nine directions for each block."""
    return ops.convert_to_numpy(hog(ops.convert_to_tensor(np.asarray(image, np.float64))))


def hog(image):
    """The `descriptor` in keras.ops, which can be differentiated."""
    raw = block_histograms(gradient_votes(image))
    raw = ops.reshape(raw, (*raw.shape[:2], 4 * BINS))
    normalized = raw / (vector_lengths(raw) + STABILIZERS[0])
    normalized = ops.minimum(normalized, CUT)
    return normalized / (vector_lengths(normalized) + STABILIZERS[1])


def mismatch(image, target):
    """Half the squared distance of an image's descriptor from another one."""
    return 0.5 * ops.sum(ops.square(hog(image) - target))


mismatch_and_gradient = with_gradient(mismatch)


def gradient_votes(image):
    """(H, W, 9): the length of each pixel's gradient, shared between the two nearest directions."""
    wide = ops.pad(image, ((1, 1), (1, 1)), mode="reflect")
    down = wide[2:, 1:-1] - wide[:-2, 1:-1]
    right = wide[1:-1, 2:] - wide[1:-1, :-2]
    strength = vector_lengths(ops.stack([down, right], -1))
    turned = ops.arctan2(down, ops.where(strength[..., 0] > TINY, right, 1.0))
    away = turned[..., None] * BINS / np.pi - np.arange(BINS) - 0.5  # from each direction, in steps between them
    away = ops.mod(away + BINS / 2, BINS) - BINS / 2
    return strength * ops.maximum(1 - ops.abs(away), 0)


def block_histograms(vote):
    """(rows, columns, 2, 2, 9): the cells of each block, not yet normalized."""
    down, across = (block_weights(side) for side in vote.shape[:2])
    halfway = ops.tensordot(down, vote, 1)  # (rows, 2, W, 9)
    return ops.einsum("riwd,cjw->rcijd", halfway, across)


def block_weights(side):
    """(blocks, 2, pixels): how much each pixel along a side counts in each of the two cells of a block."""
    places = np.arange(BLOCK)
    cells = np.clip(1 - np.abs((places + 0.5) / CELL - 0.5 - np.arange(2)[:, None]), 0, None)
    bell = np.exp(-np.square(places - BLOCK / 2) / (2 * SIGMA**2))
    shares = np.zeros((side // CELL - 1, 2, side))
    for block in range(len(shares)):
        shares[block, :, CELL * block : CELL * block + BLOCK] = cells * bell
    return shares


def vector_lengths(vectors):
    """The lengths of vectors along the last axis, which stays; their gradient is 0 where they are."""
    return ops.sqrt(ops.maximum(ops.sum(ops.square(vectors), -1, keepdims=True), TINY**2))


def cell_histograms(features):
    """(rows, columns, 9) of the cells: the mean over the blocks that a cell is in. For drawing."""
    rows, columns = features.shape[:2]
    total, count = np.zeros((rows + 1, columns + 1, BINS)), np.zeros((rows + 1, columns + 1, 1))
    for k, (down, right) in enumerate(np.ndindex(2, 2)):
        part = slice(down, down + rows), slice(right, right + columns)
        total[part] += features[..., BINS * k : BINS * (k + 1)]
        count[part] += 1
    return total / count


def draw_hog_twin(result):
    """Draw image, start and twin; below each the edges of its descriptor."""
    figure = new_figure(11.5, 8.2)
    above, below = figure.subplots(2, 3)
    images = {"image": result.image, "start": result.start, "twin": result.twin}
    norm = {
        name: np.linalg.norm(features - result.descriptors["image"]) for name, features in result.descriptors.items()
    }
    for axis, (name, image) in zip(above, images.items(), strict=True):
        axis.imshow(image, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
        rms_difference = np.sqrt(np.square(image - result.image).mean())
        hide_ticks(axis, name, "" if name == "image" else f"rms difference from the image: {rms_difference:.0f} of 255")
    for axis, (name, features) in zip(below, result.descriptors.items(), strict=True):
        draw_edges(axis, cell_histograms(features))
        hide_ticks(
            axis, f"HOG of the {name}", "" if name == "image" else f"distance from HOG of the image: {norm[name]:.3g}"
        )
    add_footnote(figure, "one line for each edge direction in a cell of 8x8 pixels")
    title = (
        f"Two different images with nearly the same HOG descriptor: {result.ratio:.1%} of the initial distance remains"
    )
    figure.suptitle(title, fontsize=LARGE)
    return figure


def draw_edges(axis, histograms):
    """A line along the edge, across its gradient, for each direction of each cell; the brighter the stronger."""
    from matplotlib.collections import LineCollection

    rows, columns = histograms.shape[:2]
    y, x, bins = np.meshgrid(*map(np.arange, histograms.shape), indexing="ij")
    angle = (bins + 0.5) * np.pi / BINS + np.pi / 2
    middle = np.stack([x, y], -1) * CELL + CELL / 2 - 0.5
    reach = CELL / 2 * np.stack([np.cos(angle), np.sin(angle)], -1)
    lines = np.stack([middle - reach, middle + reach], -2).reshape(-1, 2, 2)
    strength = np.clip(histograms.ravel() / max(histograms.max(), 1e-12), 0, 1)
    order = strength.argsort(kind="stable")  # strong ones on top
    shades = np.repeat(strength[order, None], 3, 1)
    axis.add_collection(LineCollection(lines[order], colors=shades, linewidths=1.1))
    axis.set_facecolor("black")
    axis.set(xlim=(-0.5, columns * CELL - 0.5), ylim=(rows * CELL - 0.5, -0.5), aspect="equal")
