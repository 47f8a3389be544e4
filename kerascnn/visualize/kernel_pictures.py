"""Filters drawn: a grid as one image, whole pixels, zero mid-grey."""

import numpy as np

from .tiles import (
    BETWEEN,
    GREY,
    GUTTER,
    MARGIN,
    columns_for,
    corners,
    hatch,
    mosaic,
    place,
    sheet,
    some,
    zoom_for,
    zoomed,
)

WIDE = 900  # pixels of a grid, about
ROWS, COLUMNS = 32, 32  # filters and channels that are drawn channel by channel
TILES = 256  # filters that are drawn in colours
SAYS = {
    "filter": "Each filter on its own scale, which shows its form: max |w| = {low:.2g} to {high:.2g}",
    "common": "All filters on one scale, which shows their strength: max |w| = {high:.2g}",
}
SORTED = {
    "rms": "sorted by strength (rms)",
    "orientation": "sorted by orientation of the fitted Gabor; the others last",
    "hue": "sorted by hue; grey ones first",
}


def draw_filter_images(result):
    """One grid in the order of the layer; a second one where they are sorted."""
    every = np.arange(len(result.images))
    orders = [("by index", every)] + ([(SORTED[result.sort], result.order)] if result.sort != "index" else [])
    grids = [(title if len(orders) > 1 else "", *grid(result, order)) for title, order in orders]
    width = sum(image.shape[1] for _, image, *_ in grids) + 2 * MARGIN * (len(grids) - 1)
    above = 28 if len(grids) > 1 else 0
    wide = max(width, 620)
    figure, top = sheet(wide, grids[0][1].shape[0] + above, str(result), caption(result))
    left = MARGIN
    for title, image, places, shape, order in grids:
        axis = place(figure, image, left, top + above, title)
        for corner, i in zip(places, order, strict=False):
            if not result.kernel[..., i].any():
                hatch(axis, corner, shape)
        left += image.shape[1] + 2 * MARGIN
    return figure


def grid(result, order, zoom=None):
    """(image, corner of each filter's tile, its shape, the filters drawn)."""
    if result.shows == "colours":
        order = order[:TILES]
        tiles, columns, gutter = result.images[order], columns_for(len(order)), GUTTER
        tiles = tiles if tiles.shape[-1] == 3 else tiles.repeat(3, -1)
        tiles = zoomed(tiles, zoom or zoom_for(tiles.shape[1:], columns, WIDE))
    else:
        order = order[:ROWS]
        shown = result.images[order][..., :COLUMNS]
        count, height, width, channels = shown.shape
        columns, gutter = max(1, round(np.sqrt(1.5 * count * height / (width * channels)))), BETWEEN
        tiles = strips(shown, zoom or min(24, zoom_for((height, width * channels), columns, WIDE)))
    shape = tiles.shape[1:3]
    return mosaic(tiles, columns, gutter), corners(len(order), columns, shape, gutter), shape, order


def strips(images, zoom):
    """The channels of each filter beside each other, blue below 0 and red above: (filters, h, w, 3)."""
    from matplotlib import colormaps

    count, height, width, channels = images.shape
    painted = colormaps["RdBu_r"](np.moveaxis(images, 3, 1))[..., :3]  # (filters, channels, h, w, 3)
    big = zoomed(painted.reshape(-1, height, width, 3), zoom)
    room = np.full((len(big), big.shape[1], big.shape[2] + GUTTER, 3), GREY, np.float32)
    room[:, :, :-GUTTER] = big
    room = room.reshape(count, channels, *room.shape[1:]).swapaxes(1, 2)
    return room.reshape(count, big.shape[1], -1, 3)[:, :, :-GUTTER]


def caption(result):
    """How large, how scaled, what was folded."""
    most = np.abs(result.kernel).max((0, 1, 2))
    says = SAYS[result.scale].format(low=most.min(), high=most.max())
    parts = [says.split(":")[0] if result.shows == "components" else says]  # whose largest are not the weights'
    if result.shows == "colours":
        parts.append("0 is mid-grey")
    else:
        channels = result.images.shape[-1]
        what = "components" if result.shows == "components" else "input channels"
        rows = some(ROWS, len(result.images), "filters")
        parts.append(f"a strip a filter ({rows}), {some(COLUMNS, channels, what)} side by side")
        parts.append("red above 0, blue below, white is 0")
    verdicts = result.table.verdict.value_counts()
    parts.append(", ".join(f"{count} {verdict}" for verdict, count in verdicts.items()))
    if "r2" in result.table:
        count, chance = int(result.table.oriented.sum()), result.table.chance.iloc[0]
        parts.append(f"{count} oriented (a Gabor of r2 > {chance:.2f}, noise: 1 in 100; waves below two filters)")
    return "; ".join(parts) + (f". {result.note[0].upper()}{result.note[1:]}." if result.note else ".")
