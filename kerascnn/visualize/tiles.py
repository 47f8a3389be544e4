"""Many small pictures as one image, placed on a figure pixel for pixel."""

import textwrap

import numpy as np

DPI = 150  # of `save_figure`, so that a pixel of an image is one of the file
GREY = 0.5
GUTTER, BETWEEN = 2, 8  # pixels between tiles, and between groups of them
MARGIN, HEAD, LINE = 24, 54, 25  # pixels around everything, above an image for its title, for a line of the caption


def zoomed(tiles, zoom):
    """Tiles (n, h, w, c) with each pixel repeated."""
    return tiles.repeat(zoom, axis=1).repeat(zoom, axis=2)


def mosaic(tiles, columns, gutter=GUTTER):
    """Tiles (n, h, w, c) row by row as one image (H, W, c), between gutters of mid-grey."""
    count, height, width, channels = tiles.shape
    rows = -(-count // columns)
    room = np.full((rows * columns, height + gutter, width + gutter, channels), GREY, np.float32)
    room[:count, gutter:, gutter:] = tiles
    room[count:] = 1  # as the page
    room = room.reshape(rows, columns, *room.shape[1:]).swapaxes(1, 2)
    image = room.reshape(rows * (height + gutter), columns * (width + gutter), channels)
    return np.pad(image, ((0, gutter), (0, gutter), (0, 0)), constant_values=GREY)


def corners(count, columns, shape, gutter=GUTTER):
    """(left, top) in the mosaic of each of ``count`` tiles of ``shape``."""
    i = np.arange(count)
    return np.stack([i % columns * (shape[1] + gutter), i // columns * (shape[0] + gutter)], 1) + gutter


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


def hatch(axis, corner, shape):
    """Mark a tile in which everything is 0."""
    from matplotlib.patches import Rectangle

    (left, top), (height, width) = corner - 0.5, shape[:2]
    box = Rectangle((left, top), width, height, facecolor="0.62", edgecolor="0.4", hatch="////", linewidth=0)
    axis.add_patch(box)
    axis.text(left + width / 2, top + height / 2, "0", ha="center", va="center", fontsize=8)


def some(shown, count, what):
    """ "64 units", or "the first 64 of 512 units" where not all are shown."""
    return f"{count} {what}" if shown >= count else f"the first {shown} of {count} {what}"
