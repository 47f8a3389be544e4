"""Figures of attributions: image, map, and the map over the image; signals in colour; drawing only."""

import os

import numpy as np

from .drawing import (
    COVERED,
    GRADIENTS,
    LARGE,
    MOST,
    SMALL,
    bare,
    blur,
    cut,
    hatch,
    key,
    looks,
    overlay,
    paint,
    scale_of,
    signals,
)

PERCENT = {"max": 99, "sum": 99.5}  # of |value|, where the colours end
SIGNALS = 99.9  # the same of signals in colour
LECTURE = 16 / 9


def draw_attribution(found):
    """Image, map and overlay, a row an image; signals through ReLUs in colour beside the image."""
    if "units" in found.facts:
        from .projection_figures import draw_projections

        return draw_projections(found)
    count = min(len(found), MOST)
    shown, said = looks(found.images[:count])
    draw = draw_signal if found.rule else draw_map
    figure, axes = grid(count, 2 if found.rule else 3, shown.shape[1:3])
    for i, (image, axis) in enumerate(zip(shown, axes, strict=False)):
        axis[0].imshow(image)
        bare(axis[0], cut(found.title(i), 30), cut(os.path.basename(found.names[i]), 34))
        draw(axis[1:], found, i, image)
    for empty in (each for axis in axes[count:] for each in axis):
        empty.axis("off")
    caption(figure, said, f"{count} of {len(found)} images are drawn" if count < len(found) else "", told(found))
    figure.suptitle(f"{found.method}: {found.score}", fontsize=LARGE)
    return figure


def grid(count, columns, size):
    """A figure about as wide as a lecture's screen, and the axes of each image: banks side by side, of rows."""
    from matplotlib.figure import Figure

    side, ratio = 2.6 if count < 3 else 2.3, float(np.clip(size[0] / size[1], 0.4, 2.0))

    def measured(banks):
        rows = -(-count // banks)
        return banks * (columns * (side + 0.1) + 0.6), rows * (side * ratio + 0.55) + 0.9

    banks = min(range(1, count + 1), key=lambda banks: abs(np.log(np.divide(*measured(banks)) / LECTURE)))
    figure = Figure(figsize=measured(banks), layout="constrained")
    parts = np.ravel(figure.subfigures(1, banks, wspace=0.04, squeeze=False))
    drawn = [part.subplots(-(-count // banks), columns, squeeze=False) for part in parts]
    return figure, [row for rows in zip(*drawn, strict=True) for row in rows]


def caption(figure, *parts):
    """Small print below everything."""
    figure.supxlabel("; ".join(part for part in parts if part), fontsize=SMALL, color="0.3")


def told(found):
    """What a reader of the figure has to know."""
    if found.rule:
        return f"signal: 0.5 + x / (2 p{SIGNALS}), grey is exactly 0, each on its own scale"
    several = found.values.shape[-1] > 1
    what = {"max": "map: largest |value| of the colours", "sum": "map: sum over the colours"}[found.reduce]
    sign = ", red for and blue against" if found.signed else ""
    laid = f"over the image: smoothed by {blur(found.map.shape[1:]):.0f} px, line at half of its largest value"
    return f"{what if several else 'map'}, each on its own scale{sign}\n{laid}"


def draw_map(axes, found, i, image):
    """The map with its scale, then over the image."""
    values, percent = found.map[i], PERCENT[found.reduce]
    colours = GRADIENTS if found.reduce == "max" else COVERED
    scale = scale_of(values, found.signed, percent, colours)
    key(paint(axes[0], values, scale), axes[0])
    bare(axes[0], "map", scale.words)
    overlay(axes[1], image, values, found.signed, percent, colours)
    bare(axes[1], "over the image")


def draw_signal(axes, found, i, image):
    """The signal that arrives at the pixels, in colour."""
    scale = scale_of(found.values[i], True, SIGNALS)
    if scale.high == 0:
        hatch(axes[0], image.shape[:2], 0.0)
    else:
        axes[0].imshow(signals(found.values[i], scale.high), interpolation="nearest")
    bare(axes[0], "signal at the pixels", scale.words)
