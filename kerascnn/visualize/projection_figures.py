"""Figures of what excites units: projections back to the pixels beside the patches that they see; drawing only.

As Zeiler & Fergus 2014, figure 2: of each unit a block of projections on grey, and right of it the patches in the same
order, both cut to the unit's receptive field.
"""

import math
import os

import numpy as np

from .drawing import GUTTER, LARGE, MOST, bare, cut, hatch, looks, scale_of, short, signals
from .figures import SIGNALS, caption

TILES = 9  # of a unit, its strongest
GREY = 0.5


def draw_projections(found):
    """A block for each unit that all images were asked of; else image, projection and patch of each image's own."""
    every = groups(found)
    drawn = every[:MOST]
    shown, said = looks(found.images)
    alone = all(len(rows) == 1 for rows in drawn)
    figure, axes = blocks(len(drawn), 3 if alone else 2)
    for rows, axis in zip(drawn, axes, strict=False):
        draw_unit(axis, found, rows, shown)
    for empty in (each for axis in axes[len(drawn) :] for each in axis):
        empty.axis("off")
    left = f"{len(drawn)} of {len(every)} units are drawn" if len(drawn) < len(every) else ""
    scale = f"projection: 0.5 + x / (2 p{SIGNALS}), grey is exactly 0, one scale for each unit"
    field = "both cut to what the unit sees, grey where that is outside the image"
    caption(figure, said, left, scale + "\n" + field)
    figure.suptitle(f"{found.method} from {found.facts['layer']}: projections beside patches", fontsize=LARGE)
    return figure


def groups(found):
    """The rows to draw together: a unit's, its strongest first, where all images have the same units; else each."""
    units, images = found.facts["units"], len(np.unique(found.facts["of"]))
    each = [np.flatnonzero(units == unit) for unit in dict.fromkeys(units.tolist())]
    if any(len(rows) != images for rows in each):
        return [np.array([row]) for row in range(len(units))]
    return [rows[np.argsort(-found.scores[rows], kind="stable")][:TILES] for rows in each]


def blocks(count, columns):
    """A figure, and the axes of each unit, several units a row."""
    from matplotlib.figure import Figure

    most = 2 if columns == 3 or count in (2, 4) else 3 if count in (3, 5, 6, 9) else 4
    across = min(count, most)
    down, side = -(-count // across), {1: 3.2, 2: 2.6 if columns == 2 else 2.2}.get(across, 2.1)
    figure = Figure(figsize=(across * (columns * side + 0.25), down * (side + 0.5) + 1.1), layout="constrained")
    parts = np.ravel(figure.subfigures(down, across, squeeze=False, wspace=0.03))
    return figure, [part.subplots(1, columns, squeeze=False)[0] for part in parts]


def draw_unit(axes, found, rows, shown):
    """Projections, patches, and before them the image with a frame around the patch, if there is one image."""
    boxes, unit, scores = found.facts["boxes"], found.facts["units"][rows[0]], found.scores[rows]
    scale = scale_of(np.stack([cut_out(found.values[row], boxes[row], 0.0) for row in rows]), True, SIGNALS)
    projections = [cut_out(signals(found.values[row], scale.high), boxes[row]) for row in rows]
    patches, columns = [cut_out(shown[row], boxes[row]) for row in rows], math.ceil(math.sqrt(len(rows)))
    if len(axes) == 3:
        frame(axes[0], shown[rows[0]], boxes[rows[0]])
        name = found.names[rows[0]].removesuffix(f", {found.facts['layer']}:{unit}")
        bare(axes[0], "image", cut(os.path.basename(name), 34))
    if scale.high == 0:
        hatch(axes[-2], patches[0].shape[:2], 0.0)
    else:
        axes[-2].imshow(mosaic(projections, columns), interpolation="nearest")
    axes[-1].imshow(mosaic(patches, columns), interpolation="nearest")
    bare(axes[-2], f"unit {unit}", scale.words)
    activation = short(scores[0]) if len(rows) == 1 else f"{short(scores[0])} to {short(scores[-1])}"
    high, wide = patches[0].shape[:2]
    bare(axes[-1], f"activation {activation}", f"sees {high}×{wide} px")


def frame(axis, image, box):
    """The image with a frame around what the unit sees of it."""
    from matplotlib.patches import Rectangle

    top, left, bottom, right = box
    axis.imshow(image)
    limits = axis.get_xlim(), axis.get_ylim()
    for colour, width in (("black", 3.0), ("white", 1.5)):
        axis.add_patch(
            Rectangle((left - 0.5, top - 0.5), right - left, bottom - top, fill=False, color=colour, lw=width)
        )
    axis.set(xlim=limits[0], ylim=limits[1])


def cut_out(image, box, outside=GREY):
    """The part of an image (H, W, C) in a box that may leave it."""
    top, left, bottom, right = (int(edge) for edge in box)
    part = np.full((bottom - top, right - left, image.shape[-1]), outside)
    inside = image[max(top, 0) : max(bottom, 0), max(left, 0) : max(right, 0)]
    down, across = max(-top, 0), max(-left, 0)
    part[down : down + inside.shape[0], across : across + inside.shape[1]] = inside
    return part


def mosaic(tiles, columns):
    """Tiles of one size side by side, a white gutter between them."""
    high, wide = tiles[0].shape[:2]
    gap = max(GUTTER, round(max(high, wide) / 40))
    rows = -(-len(tiles) // columns)
    whole = np.ones((rows * (high + gap) - gap, columns * (wide + gap) - gap, 3))
    for i, tile in enumerate(tiles):
        top, left = i // columns * (high + gap), i % columns * (wide + gap)
        whole[top : top + high, left : left + wide] = tile
    return whole
