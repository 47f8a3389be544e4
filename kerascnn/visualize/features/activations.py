"""The feature maps of a layer for a few images: the activation of each unit at each position."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ...anatomy.receptive_field import receptive_field
from ...plots.primitives import (
    COVERED,
    DPI,
    MARGIN,
    SIGNED,
    colormap_for,
    display_images,
    enlarge_tiles,
    grid_columns,
    pixel_figure,
    place_image,
    scale_for,
    selection_note,
    tile_grid,
    zoom_factor,
)
from ...plots.style import RED
from ...support.display import FigureResult
from ...support.files import save_figure
from ...support.text import file_name, unknown_name
from ...support.types import Images, Model, Units
from ..engine.lens import lens
from ..engine.query import pictures, read_activations
from ..engine.scores import layer_label

if TYPE_CHECKING:
    from ..engine.lens import Lens

SORTS, NORMS = ("index", "max", "mean", "sparsity"), ("unit", "layer")


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class ActivationMaps(FigureResult):
    """Feature maps of a layer for images; a layer without maps has maps of 1x1.

    Attributes:
        layer: name of the layer.
        values: activations (N, h, w, units), float32, of the units in ``table`` and in its order.
        images: the pixels (N, H, W, C) that the model was given.
        table: a DataFrame with unit, max, mean and positive, the fraction of positions and images with a value above 0.
        boxes: receptive fields (N, 4) of the strongest activation of each image: top, left, bottom, right; None if
            unknown.
        unit_count: number of units of the layer, of which ``values`` may have fewer.
        sort: how the units are sorted.
        names: names of the images.
    """

    layer: str
    values: np.ndarray
    images: np.ndarray
    table: Any
    boxes: np.ndarray | None
    unit_count: int
    sort: str
    names: tuple = ()

    @property
    def has_negative(self):
        """Whether any value is below 0, as before a ReLU."""
        return bool((self.values < 0).any())

    def strongest(self, image=0):
        """The largest activation of an image: (index in ``values``, row, column)."""
        row, column, i = np.unravel_index(self.values[image].argmax(), self.values.shape[1:])
        return int(i), int(row), int(column)

    def __str__(self):
        height, width = self.values.shape[1:3]
        silent = int((self.table["max"] <= 0).sum())
        note = f", {silent} of them never above 0" if silent else ""
        return f"{self.layer}: {len(self.table)} units, maps of {height}x{width}{note}"

    def plot(self, image=0, *, norm="unit"):
        """Draw the image and its strongest unit at the left, the maps at the right.

        Args:
            image: index of the image.
            norm: "unit" for one scale per map, "layer" for one scale for all.

        Returns:
            The figure.
        """
        if norm not in NORMS:
            raise ValueError(unknown_name("norm", norm, NORMS))
        if not 0 <= image < len(self.images):
            raise ValueError(f"`image` should be 0 to {len(self.images) - 1}. Received: {image!r}")
        return draw_activation_maps(self, image, norm)

    def save(self, path, image=0, *, norm="unit"):
        """Save the figure of `plot` to a file, whose suffix is the format.

        Args:
            path: the file.
            image: index of the image.
            norm: as in `plot`.
        """
        return save_figure(self.plot(image, norm=norm), path)


def activation_maps(
    model: Model | Lens, images: Images, layer: str, *, units: Units | None = None, sort: str = "index"
) -> ActivationMaps:
    """Feature maps of a layer for images, with statistics of each unit.

    Args:
        model: any Keras model, or a `Lens` of one.
        images: an array (N, H, W, C) as the model takes it, or photos in any form that `predict` takes.
        layer: name of the layer, at any depth of nesting ("inner/conv").
        units: channel numbers; by default all.
        sort: "index", "max" or "mean" (descending), or "sparsity" (most sparse first, units that are always 0 last).

    Returns:
        `ActivationMaps`.
    """
    if sort not in SORTS:
        raise ValueError(unknown_name("sort", sort, SORTS))
    model_lens = lens(model)
    batch = pictures(model_lens, images)
    layer = model_lens.tap(layer)
    values = read_activations(model_lens, batch, [layer])[layer]
    if values.ndim not in (2, 4):
        raise ValueError(
            f"`layer` should return feature maps (h, w, units) or a vector of units. Received: {layer}, "
            f"{values.shape[1:]}"
        )
    values = values if values.ndim == 4 else values[:, None, None]
    unit_count = values.shape[-1]
    numbers = unit_numbers(units, unit_count, layer_label(layer))
    values = values[..., numbers]
    table = unit_table(values, numbers)
    order = order_units(table, sort)
    table, values = table.iloc[order].reset_index(drop=True), values[..., order]
    boxes = receptive_boxes(model_lens, layer, batch.pixels.shape[1:], values)
    return ActivationMaps(
        layer=layer_label(layer),
        values=values,
        images=batch.pixels,
        table=table,
        boxes=boxes,
        unit_count=unit_count,
        sort=sort,
        names=batch.names,
    )


def unit_numbers(units, count, layer):
    """Channel numbers as an array."""
    if units is None:
        return np.arange(count)
    numbers = np.atleast_1d(np.asarray(units))
    integers = numbers.dtype.kind in "iu" and numbers.ndim == 1 and numbers.size
    if not integers or numbers.min() < 0 or numbers.max() >= count:
        raise ValueError(f"`units` should be integers from 0 to {count - 1}, channels of {layer}. Received: {units!r}")
    return numbers


def unit_table(values, numbers):
    """Statistics of units over all images and positions, as a DataFrame."""
    import pandas as pd

    flat = values.reshape(-1, values.shape[-1])
    columns = {"unit": numbers, "max": flat.max(0), "mean": flat.mean(0, np.float64), "positive": (flat > 0).mean(0)}
    return pd.DataFrame(columns)


def order_units(table, sort):
    """Indices of the units, sorted."""
    if sort == "sparsity":
        return np.lexsort((table.positive, table.positive == 0))
    return np.arange(len(table)) if sort == "index" else np.argsort(-table[sort].to_numpy(), kind="stable")


def receptive_boxes(model_lens, layer, shape, values):
    """The receptive fields of the strongest activations, clipped to the image, or None."""
    try:
        fields = receptive_field(
            model_lens.model, layer, model_lens.input, input_shape=shape if None in model_lens.shape else None
        )
        positions = [np.unravel_index(maps.argmax(), maps.shape)[:2] for maps in values]
        return np.array([fields.clip(None if fields.whole else position) for position in positions])
    except ValueError:  # an unknown receptive field is no reason to fail
        return None


TILES = 100
WIDE, LEFT = 1200, 400  # pixels of the grid and of the image at its left, about
LARGEST = 120  # pixels of a map in the grid; larger maps are subsampled
LONGEST = 30  # characters of a photo's name
CLIP = 99.5  # percentile that is the end of a scale


def draw_activation_maps(result, image, norm):
    """Draw input and strongest unit at the left, the grid at the right, and a color bar for a common scale."""
    maps = np.moveaxis(result.values[image], 2, 0)[:TILES]
    displayed, step = subsample_maps(maps)
    painted, limits = color_maps(displayed, norm, result.has_negative)
    columns = grid_columns(len(displayed), 1.3)
    zoom = min(zoom_factor(displayed.shape[1:], columns, WIDE), max(1, LARGEST // min(displayed.shape[1:])))
    grid = tile_grid(enlarge_tiles(painted, zoom), columns)
    unit, row, column = result.strongest(image)
    photo, factor = enlarge_photo(result.images[image])
    strongest_map = enlarge_map(result.values[image, ..., unit], result.has_negative)
    bar = 90 if norm == "layer" else 0
    gap = 34  # for the title above each
    high, wide = grid.image.shape[:2]
    height = max(high + gap, photo.shape[0] + strongest_map.shape[0] + 2 * gap + 12)
    side = max(photo.shape[1], strongest_map.shape[1])
    caption = activation_caption(result, image, norm, limits, step)
    figure, top = pixel_figure(side + MARGIN + wide + bar, height, str(result), caption)
    axis = place_image(figure, photo, MARGIN, top + gap, image_title(result, image))
    if result.boxes is not None:
        draw_box(axis, result.boxes[image], factor, photo.shape)
    number, value = int(result.table.unit[unit]), result.values[image, row, column, unit]
    lower = top + 2 * gap + 12 + photo.shape[0]
    axis = place_image(
        figure, strongest_map, MARGIN, lower, f"strongest unit: {number}, maximum {value:.3g} at ({row}, {column})"
    )
    ratio = strongest_map.shape[0] / result.values.shape[1], strongest_map.shape[1] / result.values.shape[2]
    axis.plot((column + 0.5) * ratio[1] - 0.5, (row + 0.5) * ratio[0] - 0.5, "o", mfc="none", mec=RED, ms=9, mew=1.8)
    start = 2 * MARGIN + side
    words = selection_note(TILES, len(result.table), "units") + sort_note(result)
    grid.place(figure, start, top + gap, words, silent=~maps.any((1, 2)))
    if bar:
        draw_color_bar(figure, limits[0], result.has_negative, start + wide + 12, top + gap, high)
    return figure


def image_title(result, image):
    """Name of the image, and its number of several."""
    name = file_name(result.names[image]) if result.names else f"image {image}"
    several = f" ({image + 1} of {len(result.images)})" if len(result.images) > 1 else ""
    return name[-LONGEST:] + several


def subsample_maps(maps):
    """(maps with every ``step``-th row and column, step)."""
    step = max(1, -(-max(maps.shape[1:]) // LARGEST))
    return maps[:, ::step, ::step], step


def color_maps(maps, norm, signed):
    """(maps as colors (n, h, w, 3), end of each scale): viridis from 0, or blue-white-red around 0."""
    shared_scale = scale_for(maps, signed, CLIP) if norm == "layer" else None
    scales = [shared_scale or scale_for(values, signed, CLIP) for values in maps]
    painted = [colormap_for(scale)(scale(values))[..., :3] for scale, values in zip(scales, maps, strict=True)]
    return np.stack(painted).astype(np.float32), np.array([scale.high or 1 for scale in scales])


def enlarge_photo(pixels):
    """(the image 0..1 enlarged by an integer factor, the factor)."""
    factor = max(1, round(LEFT / pixels.shape[1]))
    return enlarge_tiles(display_images(pixels[None])[0], factor)[0], factor


def enlarge_map(values, signed):
    """One map in colors, enlarged by an integer factor."""
    painted = color_maps(values[None], "unit", signed)[0]
    return enlarge_tiles(painted, max(1, round(LEFT / max(values.shape))))[0]


def draw_box(axis, box, factor, shape):
    """Draw a frame around a receptive field."""
    from matplotlib.patches import Rectangle

    top, left, bottom, right = np.asarray(box) * factor
    corner = (max(left - 0.5, 1), max(top - 0.5, 1))
    width, height = min(right, shape[1] - 2) - corner[0], min(bottom, shape[0] - 2) - corner[1]
    axis.add_patch(Rectangle(corner, width, height, fill=False, edgecolor="white", linewidth=3.4))
    axis.add_patch(Rectangle(corner, width, height, fill=False, edgecolor=RED, linewidth=1.8))


def draw_color_bar(figure, end, signed, left, top, height):
    """Draw the common scale of all maps."""
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    wide, high = (round(size * DPI) for size in figure.get_size_inches())
    height = min(height, 320)
    room = figure.add_axes((left / wide, 1 - (top + height) / high, 18 / wide, height / high))
    ticks = [-end, 0, end] if signed else [0, end / 2, end]
    scale = ScalarMappable(Normalize(ticks[0], end), SIGNED if signed else COVERED)
    figure.colorbar(scale, cax=room, ticks=ticks, format="%.2g").ax.tick_params(labelsize=7.5)


def sort_note(result):
    """How the units are sorted."""
    notes = {
        "max": "sorted by maximum, descending",
        "mean": "sorted by mean, descending",
        "sparsity": "most sparse first",
    }
    return f", {notes[result.sort]}" if result.sort != "index" else ""


def activation_caption(result, image, norm, limits, step):
    """How the maps are scaled, and what the marks mean."""
    ends = "white is 0, red positive, blue negative" if result.has_negative else "dark is 0"
    if norm == "unit":
        parts = [f"Each map has its own scale ({CLIP} % of it at {limits.min():.2g} to {limits.max():.2g}); {ends}"]
    else:
        parts = [f"All maps share one scale up to {limits[0]:.3g} ({CLIP} % of the values); {ends}"]
    parts += [f"maps are subsampled by {step}"] if step > 1 else []
    parts += ["hatched: 0 at all positions"] if not result.values[image].any((0, 1)).all() else []
    parts += ["orange: the strongest position and its receptive field"] if result.boxes is not None else []
    return "; ".join(parts) + "."
