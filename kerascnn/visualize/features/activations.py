"""The maps of a layer for a few images: what each unit answers, and where."""

from dataclasses import dataclass, field

import numpy as np

from ...anatomy.receptive_field import receptive_field
from ...plots.primitives import (
    COVERED,
    DPI,
    MARGIN,
    SIGNED,
    colors_of,
    columns_for,
    looks,
    place,
    scale_of,
    sheet,
    some,
    tile_grid,
    zoom_for,
    zoomed,
)
from ...plots.style import RED
from ...support.display import Drawn
from ...support.files import save_figure
from ...support.text import file_name, unknown
from ..engine.lens import probe
from ..engine.query import pictures, read
from ..engine.scores import called

SORTS, NORMS = ("index", "max", "mean", "sparsity"), ("unit", "layer")


@dataclass(frozen=True, eq=False)
class ActivationMaps(Drawn):
    """``values`` (N, h, w, units), float32, of the units in ``table``, in its order: unit, max, mean, positive.

    ``positive`` is the share of places and images where a unit is above 0. ``images``: the pixels that went in.
    ``boxes`` (N, 4) is what the strongest unit of each image sees, at its strongest place: top, left, bottom, right;
    None where that is not known. A layer without maps has those of 1x1.
    """

    layer: str
    values: np.ndarray = field(repr=False)
    images: np.ndarray = field(repr=False)
    table: object = field(repr=False)
    boxes: np.ndarray | None = field(repr=False)
    units: int  # of the layer, of which ``values`` may have but some
    sort: str
    names: tuple = ()

    @property
    def signed(self):
        """Whether anything is below 0, as before a ReLU."""
        return bool((self.values < 0).any())

    def strongest(self, image=0):
        """(position in ``values``, row, column) of the largest activation of an image."""
        row, column, i = np.unravel_index(self.values[image].argmax(), self.values.shape[1:])
        return int(i), int(row), int(column)

    def __str__(self):
        height, width = self.values.shape[1:3]
        silent = int((self.table["max"] <= 0).sum())
        said = f", {silent} never above 0" if silent else ""
        return f"{self.layer}: {len(self.table)} units, maps of {height}x{width}{said}"

    def plot(self, image=0, *, norm="unit"):
        """The image and its strongest unit at the left, the maps at the right, each scaled alone or all together."""
        if norm not in NORMS:
            raise ValueError(unknown("norm", norm, NORMS))
        if not 0 <= image < len(self.images):
            raise ValueError(f"`image` should be 0 to {len(self.images) - 1}. Received: {image!r}")
        return draw_activation_maps(self, image, norm)

    def save(self, path, image=0, *, norm="unit"):
        """Draw into a file; its suffix says which kind."""
        return save_figure(self.plot(image, norm=norm), path)


def activation_maps(model, images, layer, *, units=None, sort="index"):
    """What the units of a layer, at any depth of nesting ("inner/conv"), answer to images: `ActivationMaps`.

    ``images`` are an array (N, H, W, C) as the model takes it, or photos in any form that `predict` takes. ``units``:
    their numbers, if not all. ``sort``: the largest "max" or "mean" first, or the rarest ("sparsity"), silent ones
    last.
    """
    if sort not in SORTS:
        raise ValueError(unknown("sort", sort, SORTS))
    asked = probe(model)
    shown, layer = pictures(asked, images), asked.tap(layer)
    values = read(asked, shown, [layer])[layer]
    if values.ndim not in (2, 4):
        raise ValueError(f"`layer` should give maps (h, w, units) or units. Received: {layer}, {values.shape[1:]}")
    values = values if values.ndim == 4 else values[:, None, None]
    every = values.shape[-1]
    chosen = check_units(units, every, called(layer))
    values = values[..., chosen]
    table = statistics(values, chosen)
    order = sort_order(table, sort)
    table, values = table.iloc[order].reset_index(drop=True), values[..., order]
    boxes = seen_boxes(asked, layer, shown.pixels.shape[1:], values)
    return ActivationMaps(
        layer=called(layer),
        values=values,
        images=shown.pixels,
        table=table,
        boxes=boxes,
        units=every,
        sort=sort,
        names=shown.names,
    )


def check_units(units, count, layer):
    """The numbers of units as an array."""
    if units is None:
        return np.arange(count)
    chosen = np.atleast_1d(np.asarray(units))
    whole = chosen.dtype.kind in "iu" and chosen.ndim == 1 and chosen.size
    if not whole or chosen.min() < 0 or chosen.max() >= count:
        raise ValueError(f"`units` should be numbers from 0 to {count - 1} of {layer}. Received: {units!r}")
    return chosen


def statistics(values, chosen):
    """The table of units, over all images and places."""
    import pandas as pd

    flat = values.reshape(-1, values.shape[-1])
    columns = {"unit": chosen, "max": flat.max(0), "mean": flat.mean(0, np.float64), "positive": (flat > 0).mean(0)}
    return pd.DataFrame(columns)


def sort_order(table, sort):
    """Positions of the units in the order asked for."""
    if sort == "sparsity":
        return np.lexsort((table.positive, table.positive == 0))
    return np.arange(len(table)) if sort == "index" else np.argsort(-table[sort].to_numpy(), kind="stable")


def seen_boxes(asked, layer, shape, values):
    """The boxes of the strongest units' receptive fields, cut to the image, or None."""
    try:
        fields = receptive_field(asked.model, layer, asked.input, input_shape=shape if None in asked.shape else None)
        places = [np.unravel_index(each.argmax(), each.shape)[:2] for each in values]
        return np.array([fields.clip(None if fields.whole else place) for place in places])
    except ValueError:  # it says why; the maps are as good without
        return None


TILES = 100
WIDE, LEFT = 1200, 400  # pixels of the grid and of what is beside it, about
LARGEST = 120  # pixels of a map in the grid; of larger ones every second is drawn, or third ..
LONGEST = 30  # letters of the name of a photo
CLIP = 99.5  # percentile that is the end of a scale


def draw_activation_maps(result, image, norm):
    """Input and strongest unit left, grid right, a color bar where all share a scale."""
    maps = np.moveaxis(result.values[image], 2, 0)[:TILES]
    shown, step = thin(maps)
    painted, limits = colors(shown, norm, result.signed)
    columns = columns_for(len(shown), 1.3)
    zoom = min(zoom_for(shown.shape[1:], columns, WIDE), max(1, LARGEST // min(shown.shape[1:])))
    grid = tile_grid(zoomed(painted, zoom), columns)
    unit, row, column = result.strongest(image)
    photo, factor = picture(result.images[image])
    one = enlarge(result.values[image, ..., unit], result.signed)
    bar = 90 if norm == "layer" else 0
    gap = 34  # for the title above each
    high, wide = grid.image.shape[:2]
    height = max(high + gap, photo.shape[0] + one.shape[0] + 2 * gap + 12)
    side = max(photo.shape[1], one.shape[1])
    says = caption(result, image, norm, limits, step)
    figure, top = sheet(side + MARGIN + wide + bar, height, str(result), says)
    axis = place(figure, photo, MARGIN, top + gap, title(result, image))
    if result.boxes is not None:
        outline(axis, result.boxes[image], factor, photo.shape)
    number, value = int(result.table.unit[unit]), result.values[image, row, column, unit]
    lower = top + 2 * gap + 12 + photo.shape[0]
    axis = place(figure, one, MARGIN, lower, f"strongest: unit {number}, max {value:.3g} at ({row}, {column})")
    ratio = one.shape[0] / result.values.shape[1], one.shape[1] / result.values.shape[2]
    axis.plot((column + 0.5) * ratio[1] - 0.5, (row + 0.5) * ratio[0] - 0.5, "o", mfc="none", mec=RED, ms=9, mew=1.8)
    start = 2 * MARGIN + side
    words = some(TILES, len(result.table), "units") + order(result)
    grid.place(figure, start, top + gap, words, silent=~maps.any((1, 2)))
    if bar:
        color_bar(figure, limits[0], result.signed, start + wide + 12, top + gap, high)
    return figure


def title(result, image):
    """Which image it is, of how many."""
    name = file_name(result.names[image]) if result.names else f"image {image}"
    several = f" ({image + 1} of {len(result.images)})" if len(result.images) > 1 else ""
    return name[-LONGEST:] + several


def thin(maps):
    """(every ``step``-th row and column, step)."""
    step = max(1, -(-max(maps.shape[1:]) // LARGEST))
    return maps[:, ::step, ::step], step


def colors(maps, norm, signed):
    """(maps as colors (n, h, w, 3), the end of each one's scale): viridis from 0, or blue-white-red around 0."""
    together = scale_of(maps, signed, CLIP) if norm == "layer" else None
    scales = [together or scale_of(each, signed, CLIP) for each in maps]
    painted = [colors_of(scale)(scale(each))[..., :3] for scale, each in zip(scales, maps, strict=True)]
    return np.stack(painted).astype(np.float32), np.array([scale.high or 1 for scale in scales])


def picture(pixels):
    """(the image 0..1, enlarged by a whole factor, the factor)."""
    factor = max(1, round(LEFT / pixels.shape[1]))
    return zoomed(looks(pixels[None])[0], factor)[0], factor


def enlarge(one, signed):
    """One map in colors, by a whole factor."""
    painted = colors(one[None], "unit", signed)[0]
    return zoomed(painted, max(1, round(LEFT / max(one.shape))))[0]


def outline(axis, box, factor, shape):
    """A frame around the pixels that a unit sees."""
    from matplotlib.patches import Rectangle

    top, left, bottom, right = np.asarray(box) * factor
    place = (max(left - 0.5, 1), max(top - 0.5, 1))
    width, height = min(right, shape[1] - 2) - place[0], min(bottom, shape[0] - 2) - place[1]
    axis.add_patch(Rectangle(place, width, height, fill=False, edgecolor="white", linewidth=3.4))
    axis.add_patch(Rectangle(place, width, height, fill=False, edgecolor=RED, linewidth=1.8))


def color_bar(figure, end, signed, left, top, height):
    """One scale for all maps, three ticks."""
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    wide, high = (round(size * DPI) for size in figure.get_size_inches())
    height = min(height, 320)
    room = figure.add_axes((left / wide, 1 - (top + height) / high, 18 / wide, height / high))
    ticks = [-end, 0, end] if signed else [0, end / 2, end]
    scale = ScalarMappable(Normalize(ticks[0], end), SIGNED if signed else COVERED)
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
