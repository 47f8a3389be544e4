"""The maps of a layer for a few images: what each unit answers, and where."""

from dataclasses import dataclass, field

import numpy as np

from ..anatomy import receptive_field
from ..drawn import Drawn
from ..files import save_figure
from ..registry import unknown
from .asking import read
from .engine import probe
from .images import pictures
from .scores import called

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
        from .activation_pictures import draw_activation_maps

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
    chosen = checked(units, every, called(layer))
    values = values[..., chosen]
    table = statistics(values, chosen)
    order = sorted_by(table, sort)
    table, values = table.iloc[order].reset_index(drop=True), values[..., order]
    boxes = seen(asked, layer, shown.pixels.shape[1:], values)
    return ActivationMaps(called(layer), values, shown.pixels, table, boxes, every, sort, shown.names)


def checked(units, count, layer):
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


def sorted_by(table, sort):
    """Positions of the units in the order asked for."""
    if sort == "sparsity":
        return np.lexsort((table.positive, table.positive == 0))
    return np.arange(len(table)) if sort == "index" else np.argsort(-table[sort].to_numpy(), kind="stable")


def seen(asked, layer, shape, values):
    """The boxes of the strongest units' receptive fields, cut to the image, or None."""
    try:
        fields = receptive_field(asked.model, layer, asked.input, input_shape=shape if None in asked.shape else None)
        places = [np.unravel_index(each.argmax(), each.shape)[:2] for each in values]
        return np.array([fields.clip(None if fields.whole else place) for place in places])
    except ValueError:  # it says why; the maps are as good without
        return None
