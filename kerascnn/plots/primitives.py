"""How numbers become pictures: maps and their scales, images as they are shown, signals on mid-gray, empty tiles.

Nothing is hidden: what a scale clips is counted, a map without differences is hatched, what is no number is magenta.
"""

import textwrap
from dataclasses import dataclass

import numpy as np

from ..support.text import compact
from .style import BAD, MAT, SMALL

SIGNED, COVERED, GRADIENTS = "RdBu_r", "viridis", "magma"
GUTTER = 2  # pixels between tiles
MOST = 12  # images of a figure
OPAQUE = 0.6  # of the strongest color over an image


@dataclass(frozen=True)
class Scale:
    """From which value to which the colors of a map go, and in ``words`` what was done to get there."""

    low: float
    high: float
    colors: str
    words: str = ""

    def __call__(self, values):
        """Values on 0..1, those beyond the ends clipped."""
        return np.clip((values - self.low) / ((self.high - self.low) or 1), 0, 1)


def scale_of(values, signed, percent, colors=COVERED):
    """From 0, or symmetric about 0 if ``signed``, to a percentile of |values|; how much is beyond is said."""
    finite = np.abs(values[np.isfinite(values)])
    high = float(np.percentile(finite, percent)) if finite.size else 0.0
    name = f"p{percent:g} = {compact(high)}"
    if high <= 0:  # fewer than that have any value
        high = float(finite.max(initial=0.0))
        name = f"largest = {compact(high)}"
    clipped = float((finite > high).mean()) if finite.size else 0.0
    words = f"{'±' if signed else '0 to '}{name}, {clipped:.1%} clipped"
    return Scale(-high if signed else 0.0, high, SIGNED if signed else colors, words)


def colors_of(scale):
    import matplotlib

    return matplotlib.colormaps[scale.colors].with_extremes(bad=BAD)


def paint(axis, values, scale, **where):
    """Draw a map; what has no differences is hatched with its value. What a color bar is made for, or None."""
    values = np.ma.masked_invalid(values)
    if values.count() and values.min() == values.max() and not values.mask.any():
        hatch(axis, values.shape, float(values.min()), **where)
        return None
    drawn = {"cmap": colors_of(scale), "vmin": scale.low, "vmax": scale.high, "interpolation": "nearest"}
    return axis.imshow(values, **drawn, **where)


def hatch(axis, shape, value, **where):
    """A tile that says that everything in it is one number."""
    from matplotlib.patches import Rectangle

    axis.imshow(np.full(shape, np.nan), **where)
    whole = {"transform": axis.transAxes, "linewidth": 0}
    axis.add_patch(Rectangle((0, 0), 1, 1, facecolor=MAT, edgecolor="0.6", hatch="//", **whole))
    box = {"facecolor": MAT, "edgecolor": "none", "pad": 4}
    axis.text(0.5, 0.5, f"{value:.3g}", ha="center", va="center", fontsize=20, transform=axis.transAxes, bbox=box)


def draw_key(drawn, axis):
    """A color bar with three ticks right of a map; none for a hatched one."""
    if drawn is None:
        return
    low, high = drawn.get_clim()
    ticks = [low, (low + high) / 2, high]
    beside = axis.inset_axes([1.03, 0, 0.05, 1])
    axis.figure.colorbar(drawn, cax=beside, ticks=ticks)
    beside.set_yticklabels([compact(0.0 if abs(tick) < 1e-9 * abs(high) else tick) for tick in ticks], fontsize=SMALL)


def range_of(images):
    """(black, white) of pixels: 0..255, as kerascnn has them, or whatever these have."""
    low, high = float(np.nanmin(images)), float(np.nanmax(images))
    if low >= 0 and high <= 255:
        return (0.0, 255.0) if high > 1 or high == 0 else (0.0, 1.0)
    if low >= -1 and high <= 1:
        return -1.0, 1.0
    return low, high


def looks(images):
    """Images (N, H, W, C) as they are shown, (N, H, W, 3) from 0 to 1, and what has to be said of it."""
    low, high = range_of(images)
    said = [] if (low, high) == (0, 255) else [f"pixels from {low:.3g} (black) to {high:.3g} (white)"]
    channels = images.shape[-1]
    if channels not in (1, 3):
        said.append(f"mean of {channels} channels")
    images = images if channels == 3 else images.mean(-1, keepdims=True)
    shown = np.clip((images - low) / ((high - low) or 1), 0, 1)
    return np.broadcast_to(np.nan_to_num(shown), (*shown.shape[:3], 3)), ", ".join(said)


def signals(values, most):
    """Signals at pixels (.., H, W, C) as colors on mid-gray, 0.5 + x / (2 most); mid-gray is exactly 0."""
    values = values if values.shape[-1] == 3 else values.sum(-1, keepdims=True)
    shown = np.broadcast_to(np.clip(0.5 + values / (2 * (most or 1)), 0, 1), (*values.shape[:-1], 3))
    return np.where(np.isfinite(values).all(-1, keepdims=True), shown, (1.0, 0.0, 1.0))


def gray(image):
    """An image (H, W, 3) without its colors, by what the eye makes of them."""
    return image @ np.array([0.299, 0.587, 0.114])


def overlay(axis, image, values, signed, percent, colors):
    """The smoothed map over the gray image, the stronger the less it lets through, and a line at half its height.

    Smoothed, as a gradient changes from pixel to pixel: dots and a line around every other one would hide the image.
    """
    from scipy.ndimage import gaussian_filter

    axis.imshow(gray(image), cmap="gray", vmin=0, vmax=1)
    smooth = gaussian_filter(np.nan_to_num(values, posinf=0, neginf=0), blur(values.shape))
    scale = scale_of(smooth, signed, percent, colors)
    tinted = colors_of(scale)(scale(smooth))
    tinted[..., 3] = OPAQUE * np.clip(np.abs(smooth) / (scale.high or 1), 0, 1)
    axis.imshow(tinted, interpolation="bilinear")
    half = np.abs(smooth).max() / 2
    for level, style in ((half, "solid"), (-half, "dashed")):
        if smooth.min() < level < smooth.max():
            axis.contour(smooth, levels=[level], colors="black", linewidths=2.2, linestyles=style)
            axis.contour(smooth, levels=[level], colors="white", linewidths=1.1, linestyles=style)


def blur(shape):
    """Standard deviation in pixels of what smooths a map before it is laid over the image."""
    return max(shape) / 32


def spaced(count, most):
    """At most ``most`` positions of ``count``, evenly spaced, with the first and the last."""
    return np.unique(np.linspace(0, count - 1, min(most, count)).round().astype(int))


def spans(value, low, high):
    """How far intervals reach below and above their values, (2, n), as error bars are drawn."""
    return np.stack([value - low, high - value]).clip(0)


DPI = 150  # of `save_figure`, so that a pixel of an image is one of the file
MID_GRAY = 0.5
BETWEEN = 8  # pixels between groups of tiles
MARGIN, HEAD, LINE = 24, 54, 25  # pixels around everything, above an image for its title, for a line of the caption


def zoomed(tiles, zoom):
    """Tiles (n, h, w, c) with each pixel repeated."""
    return tiles.repeat(zoom, axis=1).repeat(zoom, axis=2)


def mosaic(tiles, columns, gutter=GUTTER, shade=MID_GRAY):
    """Tiles (n, h, w, c) row by row as one image (H, W, c), between gutters, of mid-gray unless another is given."""
    count, height, width, channels = tiles.shape
    rows = -(-count // columns)
    room = np.full((rows * columns, height + gutter, width + gutter, channels), shade, tiles.dtype)
    room[:count, gutter:, gutter:] = tiles
    room[count:] = 1  # as the page
    room = room.reshape(rows, columns, *room.shape[1:]).swapaxes(1, 2)
    image = room.reshape(rows * (height + gutter), columns * (width + gutter), channels)
    return np.pad(image, ((0, gutter), (0, gutter), (0, 0)), constant_values=shade)


def corners(count, columns, shape, gutter=GUTTER):
    """(left, top) in the mosaic of each of ``count`` tiles of ``shape``."""
    i = np.arange(count)
    return np.stack([i % columns * (shape[1] + gutter), i // columns * (shape[0] + gutter)], 1) + gutter


def resize(image, shape, *, smooth=False):
    """A map or image at another size: averaged where it gets smaller, else its pixels repeated, or ``smooth``."""
    import cv2

    smaller = shape[0] < image.shape[0] or shape[1] < image.shape[1]
    how = cv2.INTER_AREA if smaller else cv2.INTER_LINEAR if smooth else cv2.INTER_NEAREST
    return cv2.resize(np.ascontiguousarray(image), (int(shape[1]), int(shape[0])), interpolation=how)


@dataclass(frozen=True, eq=False)
class TileGrid:
    """Tiles as one ``image`` (H, W, C); ``corners`` has the (left, top) of each, ``shape`` is the (h, w) of all."""

    image: np.ndarray
    corners: np.ndarray
    shape: tuple

    def place(self, figure, left, top, title="", *, silent=()):
        """Show it as `place` does, and mark the tiles that are ``silent``, an array with a truth for each."""
        axis = place(figure, self.image, left, top, title)
        for i in np.flatnonzero(silent[: len(self.corners)]):
            hatch_zero(axis, self.corners[i], self.shape)
        return axis


def tile_grid(tiles, columns, gutter=GUTTER):
    """A `TileGrid` of tiles (n, h, w, c), row by row."""
    shape = tiles.shape[1:3]
    return TileGrid(mosaic(tiles, columns, gutter), corners(len(tiles), columns, shape, gutter), shape)


def columns_for(count, aspect=1.5):
    """How many columns make a grid about ``aspect`` times as wide as high."""
    return max(1, min(count, int(np.ceil(np.sqrt(count * aspect)))))


def zoom_for(shape, columns, wide):
    """The whole factor that makes a row of tiles at most ``wide`` pixels long, at least 1."""
    return max(1, wide // (columns * shape[1]))


def sheet(width, height, title, caption):
    """(figure, pixels above its images) with room for images of together ``width`` x ``height`` pixels."""
    from matplotlib.figure import Figure

    lines = textwrap.wrap(caption, max(30, int(width / 10)))
    top = MARGIN + (HEAD if title else 0)
    high = top + height + MARGIN + LINE * len(lines)
    wide = width + 2 * MARGIN
    figure = Figure(figsize=(wide / DPI, high / DPI), dpi=DPI)
    if title:
        figure.text(MARGIN / wide, 1 - MARGIN / high, title, fontsize=12, va="top")
    bottom = (len(lines) * LINE + MARGIN / 2) / high
    figure.text(MARGIN / wide, bottom, "\n".join(lines), fontsize=8.5, va="top", linespacing=1.3)
    return figure, top


def place(figure, image, left, top, title="", **how):
    """Show an image with its upper left corner at (left, top) pixels of a figure, one for one; its axes."""
    wide, high = (round(size * DPI) for size in figure.get_size_inches())
    height, width = image.shape[:2]
    axis = figure.add_axes((left / wide, 1 - (top + height) / high, width / wide, height / high))
    image = image[..., 0] if image.ndim == 3 and image.shape[-1] == 1 else image
    how = {"cmap": "gray", "vmin": 0, "vmax": 1, "interpolation": "nearest", "aspect": "auto"} | how
    axis.imshow(image, **how)
    axis.set_xticks([])
    axis.set_yticks([])
    axis.spines[:].set_visible(False)
    axis.set_title(title, fontsize=9.5, loc="left", pad=5)
    return axis


def hatch_zero(axis, corner, shape):
    """Mark a tile in which everything is 0."""
    from matplotlib.patches import Rectangle

    (left, top), (height, width) = corner - 0.5, shape[:2]
    box = Rectangle((left, top), width, height, facecolor="0.62", edgecolor="0.4", hatch="////", linewidth=0)
    axis.add_patch(box)
    axis.text(left + width / 2, top + height / 2, "0", ha="center", va="center", fontsize=8)


def some(shown, count, what):
    """ "64 units", or "the first 64 of 512 units" where not all are shown."""
    return f"{count} {what}" if shown >= count else f"the first {shown} of {count} {what}"
