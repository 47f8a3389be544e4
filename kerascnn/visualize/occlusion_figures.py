"""Figures of occlusion, after figure 7 of Zeiler & Fergus 2014; drawing only."""

import os

import numpy as np

from .drawing import (
    CLASSES,
    COVERED,
    LARGE,
    OTHER,
    PLAIN,
    SMALL,
    Scale,
    bare,
    cut,
    key,
    looks,
    paint,
    range_of,
    scale_of,
)
from .figures import PERCENT, caption

ROWS = 5  # images of a figure
NAMED = 8  # classes with a colour of their own


def draw_occlusion(found):
    """Image with the occluder, strongest map, p(class), most probable class, and the attribution, a row an image."""
    from matplotlib.figure import Figure

    count = min(len(found), ROWS)
    shown, said = looks(found.images[:count])
    panels = [draw_image, draw_strongest, draw_probability, draw_predicted, draw_pixels]
    if found.probability is None:
        panels = [draw_image, draw_strongest, draw_score, draw_pixels]
    side, ratio = 2.3, float(np.clip(shown.shape[1] / shown.shape[2], 0.4, 2.0))
    width = len(panels) * (side + 0.65) + 1.1 * (found.predicted is not None)
    figure = Figure(figsize=(width, count * (side * ratio + 0.6) + 1.1), layout="constrained")
    for i, row in enumerate(figure.subplots(count, len(panels), squeeze=False)):
        for panel, axis in zip(panels, row, strict=True):
            panel(axis, found, i, shown[i])
    left = f"{count} of {len(found)} images are drawn" if count < len(found) else ""
    caption(figure, said, left, setting(found))
    figure.suptitle(f"occlusion: {found.score}", fontsize=LARGE)
    return figure


def setting(found):
    """Size, stride and fill, in words."""
    (high, wide), (down, right) = found.patch, found.stride
    fill = ", ".join(f"{value:g}" for value in dict.fromkeys(found.fill))
    grid = f"every {down}×{right} px, {len(found.rows)}×{len(found.columns)} places"
    where = "drawn where the score is lowest\naxes of the maps: its centre in pixels; dotted: the image"
    return f"occluder {high}×{wide} px filled with {fill}, {grid}, {where}"


def draw_image(axis, found, i, image):
    """The image, the occluder to scale where it costs most."""
    from matplotlib.patches import Rectangle

    axis.imshow(image)
    limits = axis.get_xlim(), axis.get_ylim()
    row, column = np.unravel_index(np.argmin(found.score_maps[i]), found.score_maps[i].shape)
    (high, wide), (low, top) = found.patch, range_of(found.images)
    corner = found.columns[column] - wide / 2, found.rows[row] - high / 2
    fill = np.clip((np.array(found.fill) - low) / ((top - low) or 1), 0, 1)
    fill = fill if len(fill) == 3 else np.full(3, fill.mean())
    axis.add_patch(Rectangle(corner, wide, high, facecolor=fill, edgecolor="white", linewidth=1.2))
    axis.set(xlim=limits[0], ylim=limits[1])
    bare(axis, cut(found.title(i), 28), cut(os.path.basename(found.names[i]), 30))


def places(axis, found, title):
    """Axes in pixels: where the centre of the occluder was."""
    axis.set_title(title, fontsize=PLAIN)
    axis.tick_params(labelsize=SMALL)
    high, wide = found.images.shape[1:3]
    axis.set_xticks(np.linspace(0, wide, 5)[1:-1].round())
    axis.set_yticks(np.linspace(0, high, 5)[1:-1].round())
    frame = ([-0.5, wide - 0.5, wide - 0.5, -0.5, -0.5], [-0.5, -0.5, high - 0.5, high - 0.5, -0.5])
    axis.plot(*frame, ":", color="white", linewidth=1.3)


def extent(found):
    """The edges of a map over places, in pixels."""
    (down, right), rows, columns = found.stride, found.rows, found.columns
    return columns[0] - right / 2, columns[-1] + right / 2, rows[-1] + down / 2, rows[0] - down / 2


def draw_strongest(axis, found, i, image):
    values = found.strongest[i]
    scale = Scale(float(min(values.min(), 0)), float(values.max()), COVERED)
    key(paint(axis, values, scale, extent=extent(found)), axis)
    places(axis, found, f"sum of {cut(found.layer, 18)}:{found.channels[i]}")


def draw_probability(axis, found, i, image):
    drawn = axis.imshow(found.probability[i], cmap=COVERED, vmin=0, vmax=1, extent=extent(found))
    key(drawn, axis)
    places(axis, found, f"p({cut(found.label(found.classes[i]), 18)})")


def draw_score(axis, found, i, image):
    values = found.score_maps[i]
    scale = Scale(float(values.min()), float(values.max()), COVERED)
    key(paint(axis, values, scale, extent=extent(found)), axis)
    places(axis, found, cut(found.score, 24))


def draw_predicted(axis, found, i, image):
    """The most probable class at each place, in colours of their own, the commonest first."""
    from matplotlib.colors import ListedColormap
    from matplotlib.patches import Patch

    predicted = found.predicted[i]
    classes, counts = np.unique(predicted, return_counts=True)
    order = classes[np.argsort(-counts, kind="stable")]
    order = [number for number in order if number == found.classes[i]] + [n for n in order if n != found.classes[i]]
    named = order[: NAMED if len(order) <= NAMED else NAMED - 1]
    numbers = np.full(predicted.shape, len(named))
    for place, number in enumerate(named):
        numbers[predicted == number] = place
    colours = [*CLASSES[: len(named)], OTHER]
    shown = {"cmap": ListedColormap(colours), "vmin": -0.5, "vmax": len(named) + 0.5, "interpolation": "nearest"}
    axis.imshow(numbers, extent=extent(found), **shown)
    places(axis, found, "most probable class")
    texts = [f"{cut(found.label(number), 20)}, {(predicted == number).mean():.0%}" for number in named]
    if len(named) < len(order):
        texts.append(f"{len(order) - len(named)} others, {(numbers == len(named)).mean():.0%}")
    handles = [Patch(facecolor=colour, label=text) for colour, text in zip(colours, texts, strict=False)]
    axis.legend(handles=handles, loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False, fontsize=SMALL)


def draw_pixels(axis, found, i, image):
    """The attribution of each pixel."""
    values = found.map[i]
    scale = scale_of(values, found.signed, PERCENT["sum"])
    key(paint(axis, values, scale), axis)
    bare(axis, "fall of the score", scale.words)
