"""Turn numbers into pictures: maps with color scales, images, signals on mid-gray, grids of tiles.

Nothing is hidden: clipped values are counted, constant maps are hatched, and NaN is magenta.
"""

import textwrap
from dataclasses import dataclass

import numpy as np

from ..support.text import format_number
from .style import BAD, MAT, SMALL

SIGNED, COVERED, GRADIENTS = "RdBu_r", "viridis", "magma"
GUTTER = 2  # pixels between tiles
MAX_IMAGES = 12  # in a figure
OPAQUE = 0.6  # opacity of the strongest color over an image


@dataclass(frozen=True)
class Scale:
    """The range of values of a color map, with ``words`` that describe it."""

    low: float
    high: float
    colors: str
    words: str = ""

    def __call__(self, values):
        """Values rescaled to 0..1 and clipped."""
        return np.clip((values - self.low) / ((self.high - self.low) or 1), 0, 1)


def scale_for(values, signed, percent, colors=COVERED):
    """A `Scale` from 0 (symmetric about 0 if ``signed``) to a percentile of the absolute values."""
    finite = np.abs(values[np.isfinite(values)])
    high = float(np.percentile(finite, percent)) if finite.size else 0.0
    name = f"p{percent:g} = {format_number(high)}"
    if high <= 0:  # fewer than that have any value
        high = float(finite.max(initial=0.0))
        name = f"maximum {format_number(high)}"
    clipped = float((finite > high).mean()) if finite.size else 0.0
    words = f"{'±' if signed else '0 to '}{name}, {clipped:.1%} clipped"
    return Scale(-high if signed else 0.0, high, SIGNED if signed else colors, words)


def colormap_for(scale):
    import matplotlib

    return matplotlib.colormaps[scale.colors].with_extremes(bad=BAD)


def paint_map(axis, values, scale, **axis_options):
    """Draw a map and return the image for a color bar; a constant map is hatched, and None returned."""
    values = np.ma.masked_invalid(values)
    if values.count() and values.min() == values.max() and not values.mask.any():
        hatch_constant(axis, values.shape, float(values.min()), **axis_options)
        return None
    style = {"cmap": colormap_for(scale), "vmin": scale.low, "vmax": scale.high, "interpolation": "nearest"}
    return axis.imshow(values, **style, **axis_options)


def hatch_constant(axis, shape, value, **axis_options):
    """Draw a hatched tile with the one value of a constant map."""
    from matplotlib.patches import Rectangle

    axis.imshow(np.full(shape, np.nan), **axis_options)
    style = {"transform": axis.transAxes, "linewidth": 0}
    axis.add_patch(Rectangle((0, 0), 1, 1, facecolor=MAT, edgecolor="0.6", hatch="//", **style))
    box = {"facecolor": MAT, "edgecolor": "none", "pad": 4}
    axis.text(0.5, 0.5, f"{value:.3g}", ha="center", va="center", fontsize=20, transform=axis.transAxes, bbox=box)


def draw_color_bar(drawing, axis):
    """Draw a color bar with three ticks to the right of a map, unless it is hatched."""
    if drawing is None:
        return
    low, high = drawing.get_clim()
    ticks = [low, (low + high) / 2, high]
    color_axis = axis.inset_axes([1.03, 0, 0.05, 1])
    axis.figure.colorbar(drawing, cax=color_axis, ticks=ticks)
    color_axis.set_yticklabels(
        [format_number(0.0 if abs(tick) < 1e-9 * abs(high) else tick) for tick in ticks], fontsize=SMALL
    )


def pixel_range(images):
    """The pixel values of (black, white): 0..255, as in kerascnn, or what the images suggest."""
    low, high = float(np.nanmin(images)), float(np.nanmax(images))
    if low >= 0 and high <= 255:
        return (0.0, 255.0) if high > 1 or high == 0 else (0.0, 1.0)
    if low >= -1 and high <= 1:
        return -1.0, 1.0
    return low, high


def display_images(images):
    """Images (N, H, W, C) for display, as (N, H, W, 3) from 0 to 1, and a note on the conversion."""
    low, high = pixel_range(images)
    notes = [] if (low, high) == (0, 255) else [f"pixel values from {low:.3g} (black) to {high:.3g} (white)"]
    channels = images.shape[-1]
    if channels not in (1, 3):
        notes.append(f"mean of {channels} channels")
    images = images if channels == 3 else images.mean(-1, keepdims=True)
    scaled = np.clip((images - low) / ((high - low) or 1), 0, 1)
    return np.broadcast_to(np.nan_to_num(scaled), (*scaled.shape[:3], 3)), ", ".join(notes)


def signals_to_colors(values, limit):
    """Signals (.., H, W, C) as colors 0.5 + x / (2 limit): mid-gray is exactly 0."""
    values = values if values.shape[-1] == 3 else values.sum(-1, keepdims=True)
    colors = np.broadcast_to(np.clip(0.5 + values / (2 * (limit or 1)), 0, 1), (*values.shape[:-1], 3))
    return np.where(np.isfinite(values).all(-1, keepdims=True), colors, (1.0, 0.0, 1.0))


def luminance(image):
    """The luminance of an image (H, W, 3)."""
    return image @ np.array([0.299, 0.587, 0.114])


def draw_overlay(axis, image, values, signed, percent, colors):
    """Draw a smoothed map over the gray image, more opaque where stronger, with a contour at half its maximum.

    It is smoothed because gradients change from pixel to pixel: dots and their contours would hide the image.
    """
    from scipy.ndimage import gaussian_filter

    axis.imshow(luminance(image), cmap="gray", vmin=0, vmax=1)
    smooth = gaussian_filter(np.nan_to_num(values, posinf=0, neginf=0), blur_sigma(values.shape))
    scale = scale_for(smooth, signed, percent, colors)
    tinted = colormap_for(scale)(scale(smooth))
    tinted[..., 3] = OPAQUE * np.clip(np.abs(smooth) / (scale.high or 1), 0, 1)
    axis.imshow(tinted, interpolation="bilinear")
    half = np.abs(smooth).max() / 2
    for level, style in ((half, "solid"), (-half, "dashed")):
        if smooth.min() < level < smooth.max():
            axis.contour(smooth, levels=[level], colors="black", linewidths=2.2, linestyles=style)
            axis.contour(smooth, levels=[level], colors="white", linewidths=1.1, linestyles=style)


def blur_sigma(shape):
    """The standard deviation in pixels of the Gaussian that smooths a map for `draw_overlay`."""
    return max(shape) / 32


def evenly_spaced(count, limit):
    """At most ``limit`` of ``count`` positions, evenly spaced, including the first and the last."""
    return np.unique(np.linspace(0, count - 1, min(limit, count)).round().astype(int))


def error_bars(value, low, high):
    """Lengths of error bars (2, n) below and above values, from the ends of their intervals."""
    return np.stack([value - low, high - value]).clip(0)


DPI = 150  # of `save_figure`, so that a pixel of an image is one of the file
MID_GRAY = 0.5
BETWEEN = 8  # pixels between groups of tiles
MARGIN, HEAD, LINE = 24, 54, 25  # pixels around everything, above an image for its title, for a line of the caption


def enlarge_tiles(tiles, zoom):
    """Enlarge tiles (n, h, w, c) by repeating pixels."""
    return tiles.repeat(zoom, axis=1).repeat(zoom, axis=2)


def mosaic(tiles, columns, gutter=GUTTER, shade=MID_GRAY):
    """Arrange tiles (n, h, w, c) row by row in one image (H, W, c), with gutters of a gray ``shade``."""
    count, height, width, channels = tiles.shape
    rows = -(-count // columns)
    room = np.full((rows * columns, height + gutter, width + gutter, channels), shade, tiles.dtype)
    room[:count, gutter:, gutter:] = tiles
    room[count:] = 1  # as the page
    room = room.reshape(rows, columns, *room.shape[1:]).swapaxes(1, 2)
    image = room.reshape(rows * (height + gutter), columns * (width + gutter), channels)
    return np.pad(image, ((0, gutter), (0, gutter), (0, 0)), constant_values=shade)


def tile_corners(count, columns, shape, gutter=GUTTER):
    """The (left, top) corner of each of ``count`` tiles in a `mosaic`."""
    i = np.arange(count)
    return np.stack([i % columns * (shape[1] + gutter), i // columns * (shape[0] + gutter)], 1) + gutter


def resize_map(image, shape, *, smooth=False):
    """Resize a map or image: averaged if smaller, else pixels repeated, or interpolated if ``smooth``."""
    import cv2

    smaller = shape[0] < image.shape[0] or shape[1] < image.shape[1]
    interpolation = cv2.INTER_AREA if smaller else cv2.INTER_LINEAR if smooth else cv2.INTER_NEAREST
    return cv2.resize(np.ascontiguousarray(image), (int(shape[1]), int(shape[0])), interpolation=interpolation)


@dataclass(frozen=True, eq=False)
class TileGrid:
    """Tiles as one ``image`` (H, W, C), with the ``corners`` (left, top) of each and their common ``shape``."""

    image: np.ndarray
    corners: np.ndarray
    shape: tuple

    def place(self, figure, left, top, title="", *, silent=()):
        """Draw it with `place_image`, and hatch the tiles for which ``silent`` is true."""
        axis = place_image(figure, self.image, left, top, title)
        for i in np.flatnonzero(silent[: len(self.corners)]):
            hatch_zero_tile(axis, self.corners[i], self.shape)
        return axis


def tile_grid(tiles, columns, gutter=GUTTER):
    """A `TileGrid` of tiles (n, h, w, c), row by row."""
    shape = tiles.shape[1:3]
    return TileGrid(mosaic(tiles, columns, gutter), tile_corners(len(tiles), columns, shape, gutter), shape)


def grid_columns(count, aspect=1.5):
    """The number of columns of a grid about ``aspect`` times as wide as high."""
    return max(1, min(count, int(np.ceil(np.sqrt(count * aspect)))))


def zoom_factor(shape, columns, wide):
    """The integer zoom, at least 1, at which a row of tiles is at most ``wide`` pixels long."""
    return max(1, wide // (columns * shape[1]))


def pixel_figure(width, height, title, caption):
    """A figure for images of ``width`` x ``height`` pixels together, and the number of pixels above them."""
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


def place_image(figure, image, left, top, title="", **options):
    """Draw an image at (left, top) pixels of a figure, pixel for pixel, and return its axes."""
    wide, high = (round(size * DPI) for size in figure.get_size_inches())
    height, width = image.shape[:2]
    axis = figure.add_axes((left / wide, 1 - (top + height) / high, width / wide, height / high))
    image = image[..., 0] if image.ndim == 3 and image.shape[-1] == 1 else image
    options = {"cmap": "gray", "vmin": 0, "vmax": 1, "interpolation": "nearest", "aspect": "auto"} | options
    axis.imshow(image, **options)
    axis.set_xticks([])
    axis.set_yticks([])
    axis.spines[:].set_visible(False)
    axis.set_title(title, fontsize=9.5, loc="left", pad=5)
    return axis


def hatch_zero_tile(axis, corner, shape):
    """Hatch a tile whose values are all 0."""
    from matplotlib.patches import Rectangle

    (left, top), (height, width) = corner - 0.5, shape[:2]
    box = Rectangle((left, top), width, height, facecolor="0.62", edgecolor="0.4", hatch="////", linewidth=0)
    axis.add_patch(box)
    axis.text(left + width / 2, top + height / 2, "0", ha="center", va="center", fontsize=8)


def selection_note(selected, count, noun):
    """ "64 units", or "showing the first 64 of 512 units" if not all are shown."""
    return f"{count} {noun}" if selected >= count else f"showing the first {selected} of {count} {noun}"
