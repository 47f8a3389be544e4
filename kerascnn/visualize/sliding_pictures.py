"""Figures of heat maps: drawing only, each place of a map where the middle of its window is."""

import numpy as np

from ..data.fit import to_channels

COLOURS = ("#e69f00", "#56b4e9", "#009e73", "#f0e442", "#0072b2", "#d55e00", "#cc79a7", "#000000")  # Okabe and Ito
OTHER = "0.75"
SIDE = 3.4  # inches of a panel
PALE = 0.45  # of the photo, where no window has its middle


def draw_heat_map(result):
    """A row for each photo and class: photo, probability, strongest window, the likeliest class at each place."""
    from matplotlib.figure import Figure

    rows = [(slide, window) for slide, windows in zip(result.slides, result.best, strict=True) for window in windows]
    heights = [SIDE * np.clip(slide.image.shape[0] / slide.image.shape[1], 0.4, 2) + 0.5 for slide, _ in rows]
    figure = Figure(figsize=(4 * SIDE + 1.2, sum(heights)), layout="compressed")
    grid = figure.subplots(len(rows), 4, squeeze=False, height_ratios=heights)
    for axes, (slide, window) in zip(grid, rows, strict=True):
        name = result.label(window.number)
        values = slide.probs[..., window.number]
        show(axes[0], slide, short(slide.name, 32))
        draw_probability(figure, axes[1], slide, values, name)
        draw_strongest(axes[2], slide, window, values, name)
        draw_likeliest(axes[3], slide, result)
    return figure


def show(axis, slide, title, pale=False):
    """The photo, its axes in pixels; faded to grey where something lies on it."""
    height, width = slide.image.shape[:2]
    pixels = np.clip(np.asarray(slide.image, np.float32) / 255, 0, 1)
    pixels = to_channels(pixels, 1) if pale and pixels.shape[-1] == 3 else pixels
    pixels = 1 - PALE * (1 - pixels) if pale else pixels
    shown = pixels if pixels.shape[-1] == 3 else pixels[..., 0]
    axis.imshow(shown, cmap="gray", vmin=0, vmax=1, extent=(0, width, height, 0))
    axis.set(xlim=(0, width), ylim=(height, 0), aspect="equal")
    axis.set_title(title, fontsize=11)
    axis.locator_params(nbins=4)
    axis.tick_params(labelsize=8)


def lay(axis, slide, values, **options):
    """A map on the photo, nothing between its places: each is a cell of one stride around its window's middle."""
    ends = zip(slide.centres, slide.stride, strict=True)
    edges = [(middles[0] - stride / 2, middles[-1] + stride / 2) for middles, stride in ends]
    (top, bottom), (left, right) = edges
    drawn = axis.imshow(values, extent=(left, right, bottom, top), interpolation="nearest", **options)
    height, width = slide.image.shape[:2]
    axis.set(xlim=(0, width), ylim=(height, 0), aspect="equal")
    return drawn


def draw_probability(figure, axis, slide, values, name):
    """p(class) with its colour bar; from 0 to 1, or to its largest where that is small."""
    show(axis, slide, f"p({short(name, 28)})", pale=True)
    top = 1.0 if values.max() > 0.5 else max(float(values.max()), 1e-6)
    drawn = lay(axis, slide, values, cmap="viridis", vmin=0, vmax=top)
    height, width = slide.window
    axis.set_xlabel(f"each cell: the {width:.0f}x{height:.0f} pixels around it", fontsize=8)
    figure.colorbar(drawn, ax=axis, pad=0.03, ticks=[0, top / 2, top], format="%.2g")


def draw_strongest(axis, slide, window, values, name):
    """The window where the class is likeliest, and a line around where it is half as likely."""
    from matplotlib.patches import Rectangle

    show(axis, slide, f"{short(name, 24)}: at most {window.probability:.2f}")
    top, left, height, width = window.box
    for colour, thick in (("white", 4), ("#d55e00", 2)):
        axis.add_patch(Rectangle((left, top), width, height, fill=False, edgecolor=colour, linewidth=thick))
    half = values.max() / 2
    if min(values.shape) > 1 and values.min() < half:
        rows, columns = slide.centres
        for colour, style, thick in (("white", "-", 2.5), ("black", "--", 1.2)):
            axis.contour(columns, rows, values, levels=[half], colors=colour, linestyles=style, linewidths=thick)
        axis.set_xlabel("dashed: windows centred inside give half of that or more", fontsize=8)


def draw_likeliest(axis, slide, result):
    """The most probable class at each place: those of the most places by name, the rest as other."""
    from matplotlib.colors import ListedColormap
    from matplotlib.patches import Patch

    likeliest = slide.probs.argmax(-1)
    numbers, counts = np.unique(likeliest, return_counts=True)
    order = numbers[np.argsort(-counts, kind="stable")][: len(COLOURS)]
    ranks = np.full(slide.probs.shape[-1], len(order))
    ranks[order] = np.arange(len(order))
    colours = [*COLOURS[: len(order)], OTHER]
    show(axis, slide, "likeliest class by place", pale=True)
    lay(axis, slide, ranks[likeliest], cmap=ListedColormap(colours), vmin=-0.5, vmax=len(order) + 0.5)
    names = [short(result.label(number), 26) for number in order] + ["other"] * (len(numbers) > len(order))
    handles = [Patch(color=colour, label=name) for colour, name in zip(colours, names, strict=False)]
    axis.legend(handles=handles, fontsize=8, frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.0))


def short(text, length):
    """The end of a path, the beginning of a long name."""
    text = text.replace("\\", "/").rsplit("/", 1)[-1]
    return text if len(text) <= length else text[: length - 1] + "…"
