"""What sections of pictures are made of: numbers as pixels, sheets of maps, curves, code that makes them again."""

import numpy as np

from ..plots.primitives import COVERED, OPAQUE, colors_of, gray, resize, scale_of, signals, spans
from ..plots.style import BLUE, RED, new_figure, tidy
from ..support.text import both_ends
from .page import code as verbatim
from .page import folded, picture, rgb

SIDE = 190  # CSS pixels of a picture, five in a row
TILE, GAP, HEAD = 180, 10, 36  # pixels of a map in a sheet, between them, and above each for its title
COLUMNS, DOTS = 8, 150  # of a sheet, and pixels an inch
TITLE = {"fontsize": 12, "loc": "left"}  # of charts on the page
HATCH = (208, 176)  # grays of what is one number everywhere


def enlarged(pixels, side=SIDE):
    """Small pictures with each pixel repeated, so that they are at least ``side`` wide."""
    factor = max(1, -(-side // pixels.shape[1]))
    return pixels.repeat(factor, 0).repeat(factor, 1)


def enlarged_picture(pixels, alt, caption, side=SIDE, *, kind="photo", name=None):
    """A picture ``side`` CSS pixels wide, its own pixels repeated where it is smaller."""
    pixels = enlarged(rgb(pixels), side)
    return picture(pixels, alt, caption, kind=kind, name=name, width=side)


def colored(values, scale):
    """A map (H, W) in the colors of its `Scale`, uint8 (H, W, 3); striped where it is one number everywhere."""
    finite = values[np.isfinite(values)]
    if finite.size == values.size and finite.min() == finite.max():
        return striped(values.shape)
    return painted(values, scale)


def painted(values, scale):
    """Values in the colors of a `Scale`, uint8 (.., 3); what is no number in magenta."""
    shown = np.ma.masked_invalid(np.where(np.isfinite(values), scale(values), np.nan))
    return np.rint(255 * colors_of(scale)(shown)[..., :3]).astype(np.uint8)


def striped(shape, width=4):
    """Gray stripes: nothing to see here."""
    rows, columns = np.indices(shape)
    return np.repeat(np.where((rows + columns) // width % 2, *HATCH)[..., None], 3, -1).astype(np.uint8)


def signal(values, percent=99.9):
    """(signals at pixels (H, W, C) as colors on mid-gray, uint8; the `Scale`); striped where there is none."""
    scale = scale_of(values, True, percent)
    if scale.high == 0:
        return striped(values.shape[:2]), scale
    return np.rint(255 * signals(values, scale.high)).astype(np.uint8), scale


def overlay(image, values, side=SIDE):
    """A map from 0 over the gray image, the stronger the less it lets through, and a line at half of its largest."""
    from scipy.ndimage import binary_dilation

    image = enlarged(rgb(image), side)
    values = resize(np.maximum(np.nan_to_num(values), 0).astype(np.float32), image.shape[:2], smooth=True)
    scale = scale_of(values, False, 100)
    if scale.high == 0:
        return striped(values.shape)
    opaque = OPAQUE * scale(values)[..., None]
    shown = (1 - opaque) * gray(image)[..., None] + opaque * 255 * colors_of(scale)(scale(values))[..., :3]
    inside = values >= scale.high / 2
    edge = binary_dilation(inside) & ~inside
    shown[binary_dilation(edge) & ~inside] = 0
    shown[edge] = 255
    return np.rint(shown).astype(np.uint8)


def sheet(maps, titles, signed):
    """Maps (n, h, w) in rows, each under its title and on its own scale, but all on one where they have no places."""
    from matplotlib.figure import Figure

    high = int(TILE * np.clip(maps.shape[1] / maps.shape[2], 0.5, 2))
    columns = min(COLUMNS, len(maps))
    rows = -(-len(maps) // columns)
    whole = np.full((rows * (high + HEAD), columns * (TILE + GAP) - GAP, 3), 255, np.uint8)
    figure = Figure(figsize=(whole.shape[1] / DOTS, whole.shape[0] / DOTS), dpi=DOTS)
    together = scale_of(maps, signed, 100) if maps[0].size == 1 else None
    for i, (values, title) in enumerate(zip(maps, titles, strict=True)):
        left, top = i % columns * (TILE + GAP), i // columns * (high + HEAD) + HEAD
        whole[top : top + high, left : left + TILE] = tile(values, (high, TILE), signed, together)
        figure.text(left / whole.shape[1], 1 - (top - 6) / whole.shape[0], title, fontsize=9, va="bottom")
    figure.figimage(whole, zorder=-1)
    return figure


def tile(values, shape, signed, together=None):
    """A map in colors at a size, on its own scale or one for all; striped where it is 0 everywhere."""
    if together is not None:
        return resize(painted(values, together), shape)
    if not values.any():
        return striped(shape, 12)
    return resize(painted(values, scale_of(values, signed, 99.5)), shape)


def covered(found, i, side=SIDE):
    """p(class) of image ``i`` of an `Occlusion` by where the patch was, cut to the image, with its color bar."""
    from matplotlib.figure import Figure

    from ..visualize.attribution.occlusion import extent

    height, width = found.images.shape[1:3]
    tall, wide = side * height / width, side + 52
    figure = Figure(figsize=(wide / 100, tall / 100), dpi=DOTS)
    axis = figure.add_axes((0, 0, side / wide, 1))
    drawn = axis.imshow(found.probability[i], cmap=COVERED, vmin=0, vmax=1, extent=extent(found), aspect="auto")
    axis.set(xlim=(-0.5, width - 0.5), ylim=(height - 0.5, -0.5))
    axis.axis("off")
    bar = figure.colorbar(drawn, cax=figure.add_axes(((side + 8) / wide, 0.06, 12 / wide, 0.88)), ticks=[0, 0.5, 1])
    bar.ax.tick_params(labelsize=9.5)
    return figure


def triptych(found, i=0):
    """The strongest map, p(class) and the most probable class by where the patch was, of an `Occlusion`."""
    from ..visualize.attribution.occlusion import draw_predicted, draw_probability, draw_strongest

    ratio = float(np.clip(found.images.shape[1] / found.images.shape[2], 0.4, 2.0))
    figure = new_figure(11, 2.6 * ratio + 0.6)
    axes = figure.subplots(1, 3)
    for panel, axis in zip((draw_strongest, draw_probability, draw_predicted), axes, strict=True):
        panel(axis, found, i, None)
    return figure


def confusion(evaluation):
    """Shares of each true class, as rows, with their numbers; the rows say of how many images."""
    counts = evaluation.confusion.to_numpy()
    count, every = len(counts), counts.sum(1)
    share = counts / np.maximum(every[:, None], 1)
    names = [both_ends(evaluation.class_name(i), 18) for i in range(count)]
    side = max(3.2, 0.38 * count)
    figure = new_figure(side + 1.9, side + 1.1)
    axis = figure.subplots()
    axis.imshow(share, cmap="Blues", vmin=0, vmax=1, interpolation="nearest")
    for i, j in np.argwhere(counts > 0):
        text = {"ha": "center", "va": "center", "fontsize": 9, "color": "white" if share[i, j] > 0.5 else "0.15"}
        axis.text(j, i, f"{100 * share[i, j]:.0f}" if share[i, j] >= 0.005 else "·", **text)
    axis.set_xticks(range(count), names, rotation=90 if count > 4 else 0, fontsize=9.5)
    axis.set_yticks(range(count), [f"{name} ({n})" for name, n in zip(names, every, strict=True)], fontsize=9.5)
    axis.set_xlabel("predicted, % of the row", fontsize=10.5)
    axis.set_ylabel("true (images)", fontsize=10.5)
    axis.tick_params(length=0)
    return figure


def success(sizes, curves, count):
    """Share of images fooled by the size of the change: {attack: `Interval` of each size}."""
    figure = new_figure(7.2, 4.2)
    axis = figure.subplots()
    for (name, found), color, mark in zip(curves.items(), (BLUE, RED), "os", strict=False):
        value, low, high = 100 * np.array(found).T
        style = {"color": color, "marker": mark, "linewidth": 2, "markersize": 6, "capsize": 3}
        axis.errorbar(sizes, value, spans(value, low, high), label=name, **style)
    axis.set_xscale("log", base=2)
    axis.set_xticks(sizes, [f"{size:g}" for size in sizes])
    labels = {"xlabel": "largest change of a pixel, steps of 0 to 255", "ylabel": f"fooled, % of {count} images"}
    tidy(axis, ylim=(-3, 103), **labels)
    axis.legend(frameon=False, loc="best")
    return figure


VERTICAL, HORIZONTAL = ("top", "middle", "bottom"), ("left", "center", "right")


def within(subject, first, last, what):
    """``on_progress`` of a method, for a part of a section from ``first`` to ``last``, 0 to 1."""

    def on_progress(done, total, method=""):
        subject.on_progress(first + (last - first) * done / max(total, 1), 1, what)

    return on_progress


def code(subject, *lines):
    """Lines that make a figure again, given ``model`` and ``photos``, the samples of the report."""
    size = "x".join(map(str, subject.probe.shape))
    begin = [f"# model: {subject.name}; photos: the samples of the report, (N, {size}), pixels 0 to 255"]
    begin += ["from kerascnn import visualize"]
    if subject.preprocess is not None:
        begin += ["model = visualize.probe(model, preprocess=preprocess)"]
    return "\n".join((*begin, *lines))


def snippet(text):
    """Code that a click shows, for a row of pictures."""
    return folded("Code", verbatim(text))


def concentration(values):
    """(the least share of pixels that holds half of |values| (H, W), where in words); (0, "nowhere") of zeros."""
    flat = np.abs(np.nan_to_num(values)).ravel()
    order = np.argsort(-flat, kind="stable")
    total = np.cumsum(flat[order], dtype=np.float64)
    if not len(flat) or total[-1] == 0:
        return 0.0, "nowhere"
    count = int(np.searchsorted(total, total[-1] / 2)) + 1
    place = np.stack(np.unravel_index(order[:count], values.shape), 1).mean(0)
    return count / flat.size, place_of(place, values.shape)


def place_of(place, shape):
    """A place (row, column) of an image in words: top left, middle center .."""
    thirds = (min(int(3 * (at + 0.5) / side), 2) for at, side in zip(place, shape, strict=True))
    return " ".join(words[third] for words, third in zip((VERTICAL, HORIZONTAL), thirds, strict=True))
