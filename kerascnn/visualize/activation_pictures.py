"""Maps drawn: the image and its strongest unit at the left, all units at the right."""

import numpy as np

from .tiles import DPI, MARGIN, columns_for, corners, hatch, mosaic, place, sheet, some, zoom_for, zoomed

TILES = 100
WIDE, LEFT = 1200, 400  # pixels of the grid and of what is beside it, about
LARGEST = 120  # pixels of a map in the grid; of larger ones every second is drawn, or third ..
LONGEST = 30  # letters of the name of a photo
CLIP = 99.5  # percentile that is the end of a scale
BOX = "#d55e00"


def draw_activation_maps(result, image, norm):
    """Input and strongest unit left, grid right, a colour bar where all share a scale."""
    maps = np.moveaxis(result.values[image], 2, 0)[:TILES]
    shown, step = thinned(maps)
    painted, limits = colours(shown, norm, result.signed)
    columns = columns_for(len(shown), 1.3)
    zoom = min(zoom_for(shown.shape[1:], columns, WIDE), max(1, LARGEST // min(shown.shape[1:])))
    tiles = zoomed(painted, zoom)
    grid, places = mosaic(tiles, columns), corners(len(tiles), columns, tiles.shape[1:])
    unit, row, column = result.strongest(image)
    photo, factor = picture(result.images[image])
    one = enlarged(result.values[image, ..., unit], result.signed)
    bar = 90 if norm == "layer" else 0
    gap = 34  # for the title above each
    height = max(grid.shape[0] + gap, photo.shape[0] + one.shape[0] + 2 * gap + 12)
    side = max(photo.shape[1], one.shape[1])
    says = caption(result, image, norm, limits, step)
    figure, top = sheet(side + MARGIN + grid.shape[1] + bar, height, str(result), says)
    axis = place(figure, photo, MARGIN, top + gap, title(result, image))
    if result.boxes is not None:
        outline(axis, result.boxes[image], factor, photo.shape)
    number, value = int(result.table.unit[unit]), result.values[image, row, column, unit]
    lower = top + 2 * gap + 12 + photo.shape[0]
    axis = place(figure, one, MARGIN, lower, f"strongest: unit {number}, max {value:.3g} at ({row}, {column})")
    ratio = one.shape[0] / result.values.shape[1], one.shape[1] / result.values.shape[2]
    axis.plot((column + 0.5) * ratio[1] - 0.5, (row + 0.5) * ratio[0] - 0.5, "o", mfc="none", mec=BOX, ms=9, mew=1.8)
    start = 2 * MARGIN + side
    axis = place(figure, grid, start, top + gap, some(TILES, len(result.table), "units") + order(result))
    for corner, each in zip(places, maps, strict=True):
        if not each.any():
            hatch(axis, corner, tiles.shape[1:])
    if bar:
        colour_bar(figure, axis, limits, result.signed, start + grid.shape[1] + 12, top + gap, grid.shape[0])
    return figure


def title(result, image):
    """Which image it is, of how many."""
    name = result.names[image].replace("\\", "/").rsplit("/", 1)[-1] if result.names else f"image {image}"
    several = f" ({image + 1} of {len(result.images)})" if len(result.images) > 1 else ""
    return name[-LONGEST:] + several


def thinned(maps):
    """(every ``step``-th row and column, step)."""
    step = max(1, -(-max(maps.shape[1:]) // LARGEST))
    return maps[:, ::step, ::step], step


def colours(maps, norm, signed):
    """(maps as colours (n, h, w, 3), the (low, high) of each scale): viridis from 0, or blue-white-red around 0."""
    from matplotlib import colormaps

    axes = (1, 2) if norm == "unit" else None
    high = np.percentile(np.abs(maps), CLIP, axis=axes, keepdims=True)
    most = np.abs(maps).max(axes, keepdims=True)
    high = np.where(high > 0, high, np.where(most > 0, most, 1))  # a single answer among zeros
    scaled = 0.5 + maps / (2 * high) if signed else maps / high
    painted = colormaps["RdBu_r" if signed else "viridis"](np.clip(scaled, 0, 1))[..., :3]
    return painted.astype(np.float32), high.ravel()


def picture(pixels):
    """(the image 0..1, enlarged by a whole factor, the factor); pixels beyond 0..255 are stretched to fit."""
    low, high = min(0.0, float(pixels.min())), float(pixels.max())
    scaled = (pixels - low) / (max(high, 1e-6) - low if low < 0 or high > 255 or high <= 1 else 255)
    scaled = scaled if scaled.shape[-1] == 3 else scaled.mean(-1, keepdims=True).repeat(3, -1)
    factor = max(1, round(LEFT / scaled.shape[1]))
    return zoomed(scaled[None], factor)[0], factor


def enlarged(one, signed):
    """One map in colours, by a whole factor."""
    painted = colours(one[None], "unit", signed)[0]
    return zoomed(painted, max(1, round(LEFT / max(one.shape))))[0]


def outline(axis, box, factor, shape):
    """A frame around the pixels that a unit sees."""
    from matplotlib.patches import Rectangle

    top, left, bottom, right = np.asarray(box) * factor
    place = (max(left - 0.5, 1), max(top - 0.5, 1))
    width, height = min(right, shape[1] - 2) - place[0], min(bottom, shape[0] - 2) - place[1]
    axis.add_patch(Rectangle(place, width, height, fill=False, edgecolor="white", linewidth=3.4))
    axis.add_patch(Rectangle(place, width, height, fill=False, edgecolor=BOX, linewidth=1.8))


def colour_bar(figure, axis, limits, signed, left, top, height):
    """One scale for all maps, three ticks."""
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    wide, high = (round(size * DPI) for size in figure.get_size_inches())
    height = min(height, 320)
    room = figure.add_axes((left / wide, 1 - (top + height) / high, 18 / wide, height / high))
    end = float(limits[0])
    ticks = [-end, 0, end] if signed else [0, end / 2, end]
    scale = ScalarMappable(Normalize(ticks[0], end), "RdBu_r" if signed else "viridis")
    figure.colorbar(scale, cax=room, ticks=ticks, format="%.2g").ax.tick_params(labelsize=7.5)


def order(result):
    """How the units are sorted, in words."""
    says = {"max": "largest max first", "mean": "largest mean first", "sparsity": "rarest first"}
    return f", {says[result.sort]}" if result.sort != "index" else ""


def caption(result, image, norm, limits, step):
    """How the maps are scaled, and what the frame is."""
    ends = "0 is white, red above, blue below" if result.signed else "0 is dark"
    if norm == "unit":
        parts = [f"Each map on its own scale ({CLIP} % of it at {limits.min():.2g} to {limits.max():.2g}); {ends}"]
    else:
        parts = [f"All maps on one scale, up to {limits[0]:.3g} ({CLIP} % of the values); {ends}"]
    parts += [f"every {step}. pixel of a map drawn"] if step > 1 else []
    parts += ["hatched: 0 everywhere"] if not result.values[image].any((0, 1)).all() else []
    parts += ["orange: the strongest place and the pixels that it sees"] if result.boxes is not None else []
    return "; ".join(parts) + "."
