"""Figures of HOG twins: drawing only, from the numbers in the results."""

import numpy as np

from .drawing import LARGE, SMALL, bare
from .hog import BINS, CELL, cells


def draw_twin(found):
    """Image, start and twin; below each the edges that its descriptor holds."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11.5, 8.2), layout="constrained")
    above, below = figure.subplots(2, 3)
    images = {"image": found.image, "start": found.start, "twin": found.twin}
    norm = {name: np.linalg.norm(each - found.descriptors["image"]) for name, each in found.descriptors.items()}
    for axis, (name, image) in zip(above, images.items(), strict=True):
        axis.imshow(image, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
        apart = np.sqrt(np.square(image - found.image).mean())
        bare(axis, name, "" if name == "image" else f"{apart:.0f} of 255 from the image (rms)")
    for axis, (name, each) in zip(below, found.descriptors.items(), strict=True):
        glyphs(axis, cells(each))
        bare(axis, f"HOG of the {name}", "" if name == "image" else f"{norm[name]:.3g} from that of the image")
    figure.supxlabel("a line for each direction of the edges in a cell of 8x8 pixels", fontsize=SMALL, color="0.3")
    title = f"Two images, nearly one descriptor: {found.ratio:.1%} of the start's distance is left"
    figure.suptitle(title, fontsize=LARGE)
    return figure


def glyphs(axis, each):
    """A line along the edge, across its gradient, for each direction of each cell; the brighter the stronger."""
    from matplotlib.collections import LineCollection

    rows, columns = each.shape[:2]
    y, x, bins = np.meshgrid(*map(np.arange, each.shape), indexing="ij")
    angle = (bins + 0.5) * np.pi / BINS + np.pi / 2
    middle = np.stack([x, y], -1) * CELL + CELL / 2 - 0.5
    reach = CELL / 2 * np.stack([np.cos(angle), np.sin(angle)], -1)
    lines = np.stack([middle - reach, middle + reach], -2).reshape(-1, 2, 2)
    strength = np.clip(each.ravel() / max(each.max(), 1e-12), 0, 1)
    order = strength.argsort(kind="stable")  # strong ones on top
    shades = np.repeat(strength[order, None], 3, 1)
    axis.add_collection(LineCollection(lines[order], colors=shades, linewidths=1.1))
    axis.set_facecolor("black")
    axis.set(xlim=(-0.5, columns * CELL - 0.5), ylim=(rows * CELL - 0.5, -0.5), aspect="equal")
