"""Two networks drawn in two columns: filters, spectra and numbers, maps."""

import numpy as np

from .activation_pictures import colours, picture, thinned
from .kernel_pictures import SAYS, grid
from .spectra import HIGH, LOW
from .tiles import MARGIN, columns_for, corners, hatch, mosaic, place, sheet, zoom_for, zoomed

COLUMN = 700  # pixels of a network
TITLE = 46  # above an image
MAPS, SIDE, ACROSS = 36, 72, 9  # maps of a network, pixels of each, about, and how many in a row
SPECTRUM = 4  # pixels of a cell
LINE, LONGEST = 24, 38  # pixels of a row of numbers, letters that it begins with
ROWS = {  # measure -> what it is called, and how it is written
    "dead": ("dead filters", "{:.0%}"),
    "dispersion": ("dispersion of their strength", "{:.2f}"),
    "low": ("energy below 1/8 cycle a pixel", "{:.0%}"),
    "mid": ("energy from 1/8 to 1/4", "{:.0%}"),
    "high": ("energy above 1/4", "{:.0%}"),
    "coverage": ("coverage of 1/8 to 1/4", "{:.0%}"),
    "aliasing": ("aliased by the stride", "{:.0%}"),
    "near_nyquist": ("map energy near Nyquist", "{:.0%}"),
}


def draw_side_by_side(result, image):
    """Row by row: filters at one scale, spectra and the numbers, maps of the last pair of layers."""
    zoom = min(zoom_for(each.images.shape[1:], columns_for(len(each.images)), COLUMN) for each in result.filters)
    grids = [grid(each, np.arange(len(each.images)), zoom)[0] for each in result.filters]
    spectra = [spectrum(power) for power in result.power]
    tiles = [tiled(each, image) for each in result.maps[-1]] if result.maps else []
    photos = [picture(each.images[image])[0][::2, ::2] for each in result.maps[-1]] if result.maps else []
    heights = [
        max(part.shape[0] for part in parts)
        for parts in (grids, spectra, [part for part, *_ in tiles] + photos)
        if parts
    ]
    widths = [photo.shape[1] + MARGIN + part.shape[1] for photo, (part, *_) in zip(photos, tiles, strict=True)]
    column = max([COLUMN, *widths, *(part.shape[1] for part in grids)])
    across = [MARGIN + i * (column + 2 * MARGIN) for i in range(2)]
    high = sum(heights) + TITLE * len(heights)
    figure, top = sheet(2 * column + 2 * MARGIN, high, " | ".join(result.names), caption(result, zoom))
    tops = top + TITLE + np.cumsum([0, *(height + TITLE for height in heights)])
    for i, name in enumerate(result.names):
        place(figure, grids[i], across[i], tops[0], f"{name}  {result.filters[i]}")
        rings(place(figure, spectra[i], MARGIN + i * (spectra[i].shape[1] + MARGIN), tops[1], name), len(spectra[i]))
        if result.maps:
            place(figure, photos[i], across[i], tops[2], f"{name}, {result.layers[-1][i]}")
            draw_tiles(figure, *tiles[i], across[i] + photos[i].shape[1] + MARGIN, tops[2])
    table(figure, result, across[1], tops[1])
    return figure


def spectrum(power):
    """Decibels below the largest, 30 of them, the frequency 0 in the middle."""
    from matplotlib import colormaps

    decibels = 10 * np.log10(np.maximum(power / (power.max() or 1), 1e-9))
    painted = colormaps["magma"](np.clip(1 + np.fft.fftshift(decibels) / 30, 0, 1))[None, ..., :3]
    return zoomed(painted, SPECTRUM)[0]


def rings(axis, size):
    """The edges of the mid band."""
    from matplotlib.patches import Circle

    middle = size / 2 + SPECTRUM / 2 - 0.5
    for edge in (LOW, HIGH):
        axis.add_patch(Circle((middle, middle), edge * size, fill=False, edgecolor="white", linewidth=0.9))


def tiled(maps, image):
    """(the first maps for an image as one, each on its own scale; corners of the silent ones; size of each)."""
    values = np.moveaxis(maps.values[image], 2, 0)[:MAPS]
    painted = colours(thinned(values)[0], "unit", maps.signed)[0]
    tiles = zoomed(painted, max(1, SIDE // max(painted.shape[1:3])))
    columns = min(ACROSS, len(tiles))
    places = corners(len(tiles), columns, tiles.shape[1:3])
    return mosaic(tiles, columns), places[~values.any((1, 2))], tiles.shape[1:3]


def draw_tiles(figure, tiles, silent, shape, left, top):
    """The maps, hatched where there is nothing."""
    axis = place(figure, tiles, left, top)
    for corner in silent:
        hatch(axis, corner, shape)


def table(figure, result, left, top):
    """The numbers of both networks beside the spectra."""
    wide, high = figure.get_size_inches() * figure.dpi
    lines = [("", *result.names)]
    for key, (says, form) in ROWS.items():
        if key in result.table.index:
            values = result.table.loc[key, [*result.names]]
            lines.append((says, *(form.format(value) if np.isfinite(value) else "-" for value in values)))
    if result.similarity is not None:
        for one, other in result.layers:
            names = one if one == other else f"{one}, {other}"
            lines.append((f"CKA of {names}"[:LONGEST], f"{result.similarity.loc[one, other]:.2f}", ""))
    for i, line in enumerate(lines):
        y = 1 - (top + LINE * (i + 0.5)) / high
        for text, x in zip(line, (0, 0.48, 0.76), strict=True):
            figure.text((left + x * COLUMN) / wide, y, text, fontsize=8.5, va="center")


def caption(result, zoom):
    """How filters, spectra and maps are scaled."""
    most = [np.abs(each.kernel).max((0, 1, 2)) for each in result.filters]
    says = SAYS[result.filters[0].scale].format(low=min(map(np.min, most)), high=max(map(np.max, most)))
    parts = [f"{says}; {zoom} pixels a weight in both", "power: 30 decibels, rings at 1/8 and 1/4 cycle a pixel"]
    if result.maps:
        parts.append(f"maps each on its own scale, the first {MAPS}")
    return "; ".join(parts) + "."
