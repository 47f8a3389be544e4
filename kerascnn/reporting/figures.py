"""Building blocks of the sections: arrays as pictures, sheets of maps, curves, code that reproduces a figure."""

import numpy as np

from ..plots.primitives import (
    COVERED,
    OPAQUE,
    colormap_for,
    error_bars,
    luminance,
    resize_map,
    scale_for,
    signals_to_colors,
)
from ..plots.style import BLUE, RED, new_figure, style_axis
from ..support.text import shorten_middle
from .page import code as verbatim
from .page import details, picture, to_rgb

SIDE = 190  # CSS pixels of a picture, five in a row
TILE, GAP, HEAD = 180, 10, 36  # pixels of a map in a sheet, between them, and above each for its title
COLUMNS, DOTS = 8, 150  # of a sheet, and pixels an inch
TITLE = {"fontsize": 12, "loc": "left"}  # of charts on the page
HATCH = (208, 176)  # grays of what is one number everywhere


def enlarge(pixels, side=SIDE):
    """Repeat the pixels of a small picture until it is at least ``side`` wide."""
    factor = max(1, -(-side // pixels.shape[1]))
    return pixels.repeat(factor, 0).repeat(factor, 1)


def pixel_picture(pixels, alt, caption, side=SIDE, *, kind="photo", name=None):
    """A picture ``side`` CSS pixels wide; the pixels of a smaller one are repeated, not smoothed."""
    pixels = enlarge(to_rgb(pixels), side)
    return picture(pixels, alt, caption, kind=kind, name=name, width=side)


def color_map_or_stripes(values, scale):
    """A map (H, W) in the colors of its `Scale`, uint8 (H, W, 3); stripes if it is constant."""
    finite = values[np.isfinite(values)]
    if finite.size == values.size and finite.min() == finite.max():
        return stripes(values.shape)
    return apply_colors(values, scale)


def apply_colors(values, scale):
    """Values in the colors of a `Scale`, uint8 (.., 3); NaN and infinity in magenta."""
    masked = np.ma.masked_invalid(np.where(np.isfinite(values), scale(values), np.nan))
    return np.rint(255 * colormap_for(scale)(masked)[..., :3]).astype(np.uint8)


def stripes(shape, width=4):
    """Gray stripes, which mean that there is nothing to see."""
    rows, columns = np.indices(shape)
    return np.repeat(np.where((rows + columns) // width % 2, *HATCH)[..., None], 3, -1).astype(np.uint8)


def signal_colors(values, percent=99.9):
    """(signed values (H, W, C) as colors on mid-gray, uint8; their `Scale`); stripes if all are 0."""
    scale = scale_for(values, True, percent)
    if scale.high == 0:
        return stripes(values.shape[:2]), scale
    return np.rint(255 * signals_to_colors(values, scale.high)).astype(np.uint8), scale


def heat_overlay(image, values, side=SIDE):
    """A nonnegative map over the gray image, more opaque where it is stronger, with a contour at half of its
    maximum."""
    from scipy.ndimage import binary_dilation

    image = enlarge(to_rgb(image), side)
    values = resize_map(np.maximum(np.nan_to_num(values), 0).astype(np.float32), image.shape[:2], smooth=True)
    scale = scale_for(values, False, 100)
    if scale.high == 0:
        return stripes(values.shape)
    opaque = OPAQUE * scale(values)[..., None]
    overlay = (1 - opaque) * luminance(image)[..., None] + opaque * 255 * colormap_for(scale)(scale(values))[..., :3]
    inside = values >= scale.high / 2
    edge = binary_dilation(inside) & ~inside
    overlay[binary_dilation(edge) & ~inside] = 0
    overlay[edge] = 255
    return np.rint(overlay).astype(np.uint8)


def map_sheet(maps, titles, signed):
    """Maps (n, h, w) in rows under their titles, each on its own scale; single values share one scale."""
    from matplotlib.figure import Figure

    high = int(TILE * np.clip(maps.shape[1] / maps.shape[2], 0.5, 2))
    columns = min(COLUMNS, len(maps))
    rows = -(-len(maps) // columns)
    sheet = np.full((rows * (high + HEAD), columns * (TILE + GAP) - GAP, 3), 255, np.uint8)
    figure = Figure(figsize=(sheet.shape[1] / DOTS, sheet.shape[0] / DOTS), dpi=DOTS)
    shared_scale = scale_for(maps, signed, 100) if maps[0].size == 1 else None
    for i, (values, title) in enumerate(zip(maps, titles, strict=True)):
        left, top = i % columns * (TILE + GAP), i // columns * (high + HEAD) + HEAD
        sheet[top : top + high, left : left + TILE] = map_tile(values, (high, TILE), signed, shared_scale)
        figure.text(left / sheet.shape[1], 1 - (top - 6) / sheet.shape[0], title, fontsize=9, va="bottom")
    figure.figimage(sheet, zorder=-1)
    return figure


def map_tile(values, shape, signed, together=None):
    """A map in colors at a size, on its own scale or a shared one; stripes if it is 0 everywhere."""
    if together is not None:
        return resize_map(apply_colors(values, together), shape)
    if not values.any():
        return stripes(shape, 12)
    return resize_map(apply_colors(values, scale_for(values, signed, 99.5)), shape)


def occlusion_figure(occlusion, i, side=SIDE):
    """p(class) of image ``i`` of an `Occlusion` by the position of the patch, with its color bar."""
    from matplotlib.figure import Figure

    from ..visualize.attribution.occlusion import map_extent

    height, width = occlusion.images.shape[1:3]
    tall, wide = side * height / width, side + 52
    figure = Figure(figsize=(wide / 100, tall / 100), dpi=DOTS)
    axis = figure.add_axes((0, 0, side / wide, 1))
    drawing = axis.imshow(
        occlusion.probability[i], cmap=COVERED, vmin=0, vmax=1, extent=map_extent(occlusion), aspect="auto"
    )
    axis.set(xlim=(-0.5, width - 0.5), ylim=(height - 0.5, -0.5))
    axis.axis("off")
    bar = figure.colorbar(drawing, cax=figure.add_axes(((side + 8) / wide, 0.06, 12 / wide, 0.88)), ticks=[0, 0.5, 1])
    bar.ax.tick_params(labelsize=9.5)
    return figure


def occlusion_triptych(occlusion, i=0):
    """The strongest map, p(class) and the predicted class of an `Occlusion`, by the position of the patch."""
    from ..visualize.attribution.occlusion import draw_predicted, draw_probability, draw_strongest

    ratio = float(np.clip(occlusion.images.shape[1] / occlusion.images.shape[2], 0.4, 2.0))
    figure = new_figure(11, 2.6 * ratio + 0.6)
    axes = figure.subplots(1, 3)
    for panel, axis in zip((draw_strongest, draw_probability, draw_predicted), axes, strict=True):
        panel(axis, occlusion, i, None)
    return figure


LONG_NAME = 8  # letters, beyond which names stand upright below columns


def confusion_figure(evaluation):
    """The confusion matrix in percent of each true class."""
    counts = evaluation.confusion.to_numpy()
    count, every = len(counts), counts.sum(1)
    share = counts / np.maximum(every[:, None], 1)
    names = [shorten_middle(evaluation.class_name(i), 18) for i in range(count)]
    side = max(3.2, 0.38 * count)
    figure = new_figure(side + 1.9, side + 1.1)
    axis = figure.subplots()
    axis.imshow(share, cmap="Blues", vmin=0, vmax=1, interpolation="nearest")
    for i, j in np.argwhere(counts > 0):
        text = {"ha": "center", "va": "center", "fontsize": 9, "color": "white" if share[i, j] > 0.5 else "0.15"}
        axis.text(j, i, f"{100 * share[i, j]:.0f}" if share[i, j] >= 0.005 else "·", **text)
    is_upright = count > 4 or max(map(len, names)) > LONG_NAME
    axis.set_xticks(range(count), names, rotation=90 if is_upright else 0, fontsize=9.5)
    axis.set_yticks(range(count), [f"{name} ({n})" for name, n in zip(names, every, strict=True)], fontsize=9.5)
    axis.set_xlabel("predicted class, % of the row", fontsize=10.5)
    axis.set_ylabel("true class (number of images)", fontsize=10.5)
    axis.tick_params(length=0)
    return figure


def success_figure(sizes, curves, count):
    """Fraction of images fooled by the size of the change: {attack: an `Interval` per size}."""
    figure = new_figure(7.2, 4.2)
    axis = figure.subplots()
    for (name, intervals), color, mark in zip(curves.items(), (BLUE, RED), "os", strict=False):
        value, low, high = 100 * np.array(intervals).T
        style = {"color": color, "marker": mark, "linewidth": 2, "markersize": 6, "capsize": 3}
        axis.errorbar(sizes, value, error_bars(value, low, high), label=name, **style)
    axis.set_xscale("log", base=2)
    axis.set_xticks(sizes, [f"{size:g}" for size in sizes])
    labels = {"xlabel": "largest change of a pixel, in pixel values 0 to 255", "ylabel": f"% of {count} images fooled"}
    style_axis(axis, ylim=(-3, 103), **labels)
    axis.legend(frameon=False, loc="best")
    return figure


VERTICAL, HORIZONTAL = ("top", "middle", "bottom"), ("left", "center", "right")


def section_progress(subject, first, last, label):
    """An ``on_progress`` for a method that covers a section's work from ``first`` to ``last``, 0 to 1."""

    def on_progress(done, total, method=""):
        subject.on_progress(first + (last - first) * done / max(total, 1), 1, label)

    return on_progress


def figure_code(subject, *lines):
    """Code that reproduces a figure, given ``model`` and ``photos``, the samples of the report."""
    size = "x".join(map(str, subject.lens.shape))
    begin = [(f"# model: {subject.name}; photos: the sample images of this report, (N, {size}), pixel values 0 to 255")]
    begin += ["from kerascnn import visualize"]
    if subject.preprocess is not None:
        begin += ["model = visualize.lens(model, preprocess=preprocess)"]
    return "\n".join((*begin, *lines))


def code_details(text):
    """Code in a folded block."""
    return details("Code", verbatim(text))


def concentration(values):
    """(smallest share of the pixels that holds half of |values| (H, W), their position in words); (0, "nowhere") for
    zeros."""
    flat = np.abs(np.nan_to_num(values)).ravel()
    order = np.argsort(-flat, kind="stable")
    total = np.cumsum(flat[order], dtype=np.float64)
    if not len(flat) or total[-1] == 0:
        return 0.0, "nowhere"
    count = int(np.searchsorted(total, total[-1] / 2)) + 1
    center = np.stack(np.unravel_index(order[:count], values.shape), 1).mean(0)
    return count / flat.size, describe_position(center, values.shape)


def describe_position(position, shape):
    """A position (row, column) in words: top left, middle center .."""
    thirds = (min(int(3 * (at + 0.5) / side), 2) for at, side in zip(position, shape, strict=True))
    return " ".join(words[third] for words, third in zip((VERTICAL, HORIZONTAL), thirds, strict=True))
