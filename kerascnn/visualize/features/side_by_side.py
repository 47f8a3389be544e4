"""Two networks side by side: their first filters, the frequencies of these, and the feature maps of images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from keras import ops

from ...graph.run import activation_name
from ...plots.primitives import MARGIN, enlarge_tiles, grid_columns, pixel_figure, place_image, tile_grid, zoom_factor
from ...support.display import FigureResult
from ...support.files import save_figure
from ...support.text import pluralize
from ...support.types import Array, Images, Layers, Model
from ..engine.lens import lens
from ..engine.query import pictures, read_activations
from .activations import activation_maps, color_maps, enlarge_photo, subsample_maps
from .filters import SCALE_NOTES, filter_grid, filter_images, is_2d_convolution, readers_of

if TYPE_CHECKING:
    from ..engine.lens import Lens

FEWEST = 4  # images that similarity needs


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class SideBySide(FigureResult):
    """Comparison of the first layers of two networks.

    Attributes:
        model_names: names of the networks.
        layers: pairs of layer names.
        filters: the `FilterImages` of each network.
        power: mean power spectrum of the first filters of each network.
        table: a DataFrame with a row per measure and a column per network, and their difference: side and stride of the
            first filters; dead (fraction); dispersion (of rms: std / mean); low, mid and high (fractions of energy by
            frequency) and coverage (of the mid band); with images also aliasing and near_nyquist.
        maps: a pair of `ActivationMaps` for each pair of layers.
        similarity: a DataFrame of linear CKA, layers of the first network by layers of the second; None without images.
    """

    model_names: tuple
    layers: tuple
    filters: tuple
    power: tuple
    table: Any
    maps: tuple
    similarity: Any

    def _headline(self):
        return f"{' and '.join(self.model_names)}, {pluralize(len(self.layers), 'pair')} of layers"

    def __str__(self):
        text = self.table.rename_axis(None).to_string(float_format="{:.3g}".format, na_rep="-")
        if self.similarity is None:
            return text
        alike = self.similarity.to_string(float_format="{:.2f}".format)
        return f"{text}\nsimilarity (linear CKA), rows {self.model_names[0]}, columns {self.model_names[1]}\n{alike}"

    def plot(self, image=0):
        """Draw the filters at one size, their spectra and measures, and the maps of the last layers for an image."""
        return draw_side_by_side(self, image)

    def save(self, path, image=0):
        """Save the figure of `plot` for an image to a file, whose suffix is the format."""
        return save_figure(self.plot(image), path)


def side_by_side(
    model_a: Model | Lens,
    model_b: Model | Lens,
    images: Images | None = None,
    layers: Layers | Sequence[tuple[str, str]] | None = None,
    *,
    scale: str = "filter",
) -> SideBySide:
    """Compare the first two layers of two networks, such as AlexNet and ZFNet.

    Args:
        model_a: any Keras model, or a `Lens` of one.
        model_b: the model to compare with.
        images: photos in any form that `predict` takes, preprocessed for each network; similarity needs at least 4, and
            hardly depends on their number, because it is debiased.
        layers: layer names, or pairs of them; by default the activations after the first two convolutions.
        scale: scale of the filters, as in `filter_images`.

    Returns:
        A `SideBySide`.
    """
    import pandas as pd

    lenses = tuple(lens(model) for model in (model_a, model_b))
    pairs = pair_layers([model_lens.graph for model_lens in lenses], layers)
    filters = tuple(filter_images(model_lens, scale=scale) for model_lens in lenses)
    spectra = [power_spectra(first_layer.kernel) for first_layer in filters]
    rows = [filter_measures(first_layer, power) for first_layer, power in zip(filters, spectra, strict=True)]
    maps: tuple[Any, ...] = ()
    similarity = None
    if images is not None:
        inputs = tuple((model_lens, pictures(model_lens, images)) for model_lens in lenses)
        for inputs_of_model, first_layer, row in zip(inputs, filters, rows, strict=True):
            row |= aliasing_measures(
                inputs_of_model[0], inputs_of_model[0].graph.find(first_layer.layer), inputs_of_model[1]
            )
        maps = tuple(
            tuple(activation_maps(*inputs_of_model, layer) for inputs_of_model, layer in zip(inputs, pair, strict=True))
            for pair in pairs
        )
        similarity = cka_table(inputs, pairs) if len(inputs[0][1]) >= FEWEST else None
    names = tuple(model_lens.name for model_lens in lenses)
    names = names if names[0] != names[1] else (f"{names[0]} (a)", f"{names[1]} (b)")
    table = pd.DataFrame(dict(zip(names, rows, strict=True)))
    table["difference"] = table[names[1]] - table[names[0]]
    power = tuple(array.mean(0) if len(array) else np.zeros(array.shape[1:]) for array in spectra)
    return SideBySide(
        model_names=names,
        layers=pairs,
        filters=filters,
        power=power,
        table=table.rename_axis("measure"),
        maps=maps,
        similarity=similarity,
    )


def pair_layers(graphs, layers):
    """Pairs of layer names, one of each network."""
    if layers is None:
        return tuple(zip(*([node.name for node in first_two_activations(graph)] for graph in graphs), strict=False))
    entries = [layers] if isinstance(layers, str) else layers
    pairs = [(entry, entry) if isinstance(entry, str) else tuple(entry) for entry in entries]
    if not pairs or any(len(pair) != 2 for pair in pairs):
        raise ValueError(f"`layers` should be layer names, or pairs of them. Received: {layers!r}")
    return tuple(tuple(graph.find(name).name for graph, name in zip(graphs, pair, strict=True)) for pair in pairs)


def first_two_activations(graph):
    """The activations after the first two convolutions."""
    return [activation_after(graph, node) for node in graph.nodes if is_2d_convolution(node)][:2]


def activation_after(graph, node):
    """The nonlinear call that is the only reader of a convolution, possibly after a norm; else the convolution."""
    after = node
    while not activation_name(after):
        readers = readers_of(graph, after)
        if len(readers) != 1 or (readers[0].kind != "BatchNormalization" and not activation_name(readers[0])):
            return node
        after = readers[0]
    return after


def filter_measures(filters, power):
    """The measures of one network's first filters."""
    rms, dead = filters.table.rms, filters.table.verdict == "dead"
    return {
        "side": float(filters.kernel.shape[0]),
        "stride": float(filters.stride[0]),
        "dead": float(dead.mean()),
        "dispersion": float(rms.std(ddof=0) / (rms.mean() or 1)),
        **band_energies(power),
    }


def cka_table(inputs, pairs):
    """Linear CKA of every layer of one network with every layer of the other."""
    import pandas as pd

    lists = [list(dict.fromkeys(names)) for names in zip(*pairs, strict=True)]
    values = [read_activations(*inputs_of_model, layers) for inputs_of_model, layers in zip(inputs, lists, strict=True)]
    grams = [{name: gram_matrix(array) for name, array in activations.items()} for activations in values]
    table = [[normalized_hsic(gram_a, gram_b) for gram_b in grams[1].values()] for gram_a in grams[0].values()]
    return pd.DataFrame(table, index=list(grams[0]), columns=list(grams[1]))


def cka(x: Array, y: Array) -> float:
    """Linear CKA, the similarity of two representations of the same images.

    Kornblith et al. 2019, debiased (Song et al. 2012; Nguyen et al. 2021), so that it does not grow with the number of
    units.

    Args:
        x: representation (N, ...) of N images, at least 4.
        y: another representation (N, ...) of the same images.

    Returns:
        1 for representations that differ by rotation and scale, about 0 (possibly negative) for unrelated ones.
    """
    if len(x) != len(y) or len(x) < FEWEST:
        received = f"{len(x)} and {len(y)} images"
        raise ValueError(f"`x` and `y` should have the same number of images, at least {FEWEST}. Received: {received}")
    return normalized_hsic(gram_matrix(x), gram_matrix(y))


def gram_matrix(values):
    """Gram matrix of centered representations, with a zero diagonal."""
    flat = np.asarray(values, np.float64).reshape(len(values), -1)
    flat = flat - flat.mean(0)
    products = flat @ flat.T
    np.fill_diagonal(products, 0)
    return products


def normalized_hsic(gram_a, gram_b):
    """HSIC(x, y) / sqrt(HSIC(x, x) HSIC(y, y)); NaN for a layer that is constant over images."""
    product = unbiased_hsic(gram_a, gram_a) * unbiased_hsic(gram_b, gram_b)
    return float(unbiased_hsic(gram_a, gram_b) / np.sqrt(product)) if product > 0 else float("nan")


def unbiased_hsic(gram_a, gram_b):
    """n (n - 3) times the unbiased HSIC of two Gram matrices without diagonals."""
    n = len(gram_a)
    sums = gram_a.sum() * gram_b.sum() / ((n - 1) * (n - 2))
    return (gram_a * gram_b).sum() + sums - 2 / (n - 2) * gram_a.sum(0) @ gram_b.sum(0)


COLUMN = 700  # pixels of a network
TITLE = 46  # above an image
MAPS, SIDE, ACROSS = 36, 72, 9  # maps of a network, pixels of each, about, and how many in a row
SPECTRUM = 4  # pixels of a cell
LINE, LONGEST = 24, 38  # pixels of a row of numbers, letters that it begins with
MEASURE_LABELS = {  # measure -> what it is called, and how it is written
    "dead": ("dead filters", "{:.0%}"),
    "dispersion": ("variation of filter strength", "{:.2f}"),
    "low": ("energy below 1/8 cycle/pixel", "{:.0%}"),
    "mid": ("energy from 1/8 to 1/4 cycle/pixel", "{:.0%}"),
    "high": ("energy above 1/4 cycle/pixel", "{:.0%}"),
    "coverage": ("spectrum covered from 1/8 to 1/4", "{:.0%}"),
    "aliasing": ("energy aliased by the stride", "{:.0%}"),
    "near_nyquist": ("energy of maps near Nyquist", "{:.0%}"),
}


def draw_side_by_side(result, image):
    """Draw row by row: filters at one size, spectra and measures, maps of the last pair of layers."""
    zoom = min(
        zoom_factor(filters.images.shape[1:], grid_columns(len(filters.images)), COLUMN) for filters in result.filters
    )
    grids = [filter_grid(filters, np.arange(len(filters.images)), zoom).image for filters in result.filters]
    spectra = [spectrum_image(power) for power in result.power]
    last = result.maps[-1] if result.maps else ()
    tiles = [map_tiles(maps, image) for maps in last]
    photos = [enlarge_photo(maps.images[image])[0][::2, ::2] for maps in last]
    rows = [grids, spectra, [tile.image for tile in tiles] + photos]
    heights = [max(part.shape[0] for part in parts) for parts in rows if parts]
    widths = [photo.shape[1] + MARGIN + tile.image.shape[1] for photo, tile in zip(photos, tiles, strict=True)]
    column = max([COLUMN, *widths, *(part.shape[1] for part in grids)])
    across = [MARGIN + i * (column + 2 * MARGIN) for i in range(2)]
    high = sum(heights) + TITLE * len(heights)
    figure, top = pixel_figure(
        2 * column + 2 * MARGIN, high, " | ".join(result.model_names), comparison_caption(result, zoom)
    )
    tops = top + TITLE + np.cumsum([0, *(height + TITLE for height in heights)])
    for i, name in enumerate(result.model_names):
        place_image(figure, grids[i], across[i], tops[0], f"{name}  {result.filters[i]}")
        draw_rings(
            place_image(figure, spectra[i], MARGIN + i * (spectra[i].shape[1] + MARGIN), tops[1], name), len(spectra[i])
        )
        if result.maps:
            place_image(figure, photos[i], across[i], tops[2], f"{name}, {result.layers[-1][i]}")
            silent = ~last[i].values[image].any((0, 1))
            tiles[i].place(figure, across[i] + photos[i].shape[1] + MARGIN, tops[2], silent=silent)
    draw_table(figure, result, across[1], tops[1])
    return figure


def spectrum_image(power):
    """A power spectrum as image, over 30 decibels, with frequency 0 in the center."""
    from matplotlib import colormaps

    decibels = 10 * np.log10(np.maximum(power / (power.max() or 1), 1e-9))
    painted = colormaps["magma"](np.clip(1 + np.fft.fftshift(decibels) / 30, 0, 1))[None, ..., :3]
    return enlarge_tiles(painted, SPECTRUM)[0]


def draw_rings(axis, size):
    """Draw the limits of the mid band."""
    from matplotlib.patches import Circle

    middle = size / 2 + SPECTRUM / 2 - 0.5
    for edge in (LOW, HIGH):
        axis.add_patch(Circle((middle, middle), edge * size, fill=False, edgecolor="white", linewidth=0.9))


def map_tiles(maps, image):
    """The `TileGrid` of the first maps for an image, each on its own scale."""
    values = np.moveaxis(maps.values[image], 2, 0)[:MAPS]
    painted = color_maps(subsample_maps(values)[0], "unit", maps.has_negative)[0]
    tiles = enlarge_tiles(painted, max(1, SIDE // max(painted.shape[1:3])))
    return tile_grid(tiles, min(ACROSS, len(tiles)))


def draw_table(figure, result, left, top):
    """Draw the measures of both networks next to the spectra."""
    wide, high = figure.get_size_inches() * figure.dpi
    lines = [("", *result.model_names)]
    for key, (label, form) in MEASURE_LABELS.items():
        if key in result.table.index:
            values = result.table.loc[key, [*result.model_names]]
            lines.append((label, *(form.format(value) if np.isfinite(value) else "-" for value in values)))
    if result.similarity is not None:
        for layer_a, layer_b in result.layers:
            names = layer_a if layer_a == layer_b else f"{layer_a}, {layer_b}"
            lines.append((f"CKA of {names}"[:LONGEST], f"{result.similarity.loc[layer_a, layer_b]:.2f}", ""))
    for i, line in enumerate(lines):
        y = 1 - (top + LINE * (i + 0.5)) / high
        for text, x in zip(line, (0, 0.48, 0.76), strict=True):
            figure.text((left + x * COLUMN) / wide, y, text, fontsize=8.5, va="center")


def comparison_caption(result, zoom):
    """How filters, spectra and maps are scaled."""
    limits = [np.abs(filters.kernel).max((0, 1, 2)) for filters in result.filters]
    scale_note = SCALE_NOTES[result.filters[0].scale].format(
        low=min(map(np.min, limits)), high=max(map(np.max, limits))
    )
    parts = [f"{scale_note}; {zoom} screen pixels per weight in both"]
    parts += ["power spectrum: range of 30 dB, rings at 1/8 and 1/4 cycle/pixel"]
    if result.maps:
        parts.append(f"the first {MAPS} maps, each with its own scale")
    return "; ".join(parts) + "."


SIZE = 64  # frequencies of a power spectrum, each way
LOW, HIGH = 1 / 8, 1 / 4  # cycles a pixel: the octave between is "mid"
UPPER = 0.375  # cycles a place of a map: the upper quarter, up to Nyquist's 0.5


def power_spectra(kernel):
    """Power spectra (filters, 64, 64) of the filters that are not 0, channels together, each of sum 1."""
    size = tuple(max(SIZE, side) for side in kernel.shape[:2])
    power = np.square(np.abs(np.fft.fft2(np.moveaxis(kernel, (3, 2), (0, 1)), size))).sum(1)
    total = power.sum((1, 2))
    return power[total > 0] / total[total > 0, None, None]


def band_energies(power):
    """Mean shares of the filters' energy by frequency, and ``coverage`` of the mid band.

    Coverage: the share of its frequencies at which at least one filter has half of its largest power.
    """
    if not len(power):
        return dict.fromkeys(("low", "mid", "high", "coverage"), float("nan"))
    radius = np.hypot(*np.meshgrid(*map(np.fft.fftfreq, power.shape[1:]), indexing="ij"))
    mid = (radius >= LOW) & (radius < HIGH)
    shares = {"low": radius < LOW, "mid": mid, "high": radius >= HIGH}
    energies = {name: float(power[:, cells].sum(1).mean()) for name, cells in shares.items()}
    reached = (power >= power.max((1, 2), keepdims=True) / 2).any(0)
    return energies | {"coverage": float(reached[mid].mean())}


def energy_above(maps, limit):
    """Share of the energy of maps (N, h, w, C), means removed, above a frequency (vertical, horizontal)."""
    from scipy.fft import next_fast_len, rfft2

    height, width = maps.shape[1:3]
    window = np.outer(np.hanning(height + 2)[1:-1], np.hanning(width + 2)[1:-1]).astype(np.float32)
    size = [next_fast_len(side, real=True) for side in (height, width)]
    vertical, horizontal = np.meshgrid(np.fft.fftfreq(size[0]), np.fft.rfftfreq(size[1]), indexing="ij")
    outside = (np.abs(vertical) > limit[0]) | (horizontal > limit[1])
    twice = np.where((horizontal == 0) | (horizontal == 0.5), 1, 2)  # the other half of a real map's spectrum
    above = total = 0.0
    for channel_maps in np.moveaxis(maps, 3, 1):  # one by one, as they may be large
        windowed = (channel_maps - (channel_maps * window).sum((1, 2), keepdims=True) / window.sum()) * window
        power = twice * np.square(np.abs(rfft2(windowed, size))).sum(0)
        above, total = above + power[outside].sum(), total + power.sum()
    return float(above / total) if total else float("nan")


def aliasing_measures(model_lens, node, images):
    """What the stride of a convolution does to its responses to images, before any nonlinearity.

    ``aliasing``: share of the energy, at stride 1, above what the stride keeps. ``near_nyquist``: share of the energy
    of the maps after the stride in the upper quarter of the frequencies, for white noise 44 %.
    """
    layer = node.operation
    if node.kind != "Conv2D":
        return {"aliasing": float("nan"), "near_nyquist": float("nan")}
    source = node.inputs[0][0].name
    kernel = ops.cast(layer.kernel, "float32")
    folded, upper = [], []
    for i in range(len(images)):  # one by one, as maps at stride 1 may be large
        entering = ops.convert_to_tensor(read_activations(model_lens, images.at(slice(i, i + 1)), [source])[source])
        response = ops.convert_to_numpy(ops.conv(entering, kernel, 1, layer.padding, dilation_rate=layer.dilation_rate))
        down, right = layer.strides
        folded.append(energy_above(response, (0.5 / down, 0.5 / right)))
        upper.append(energy_above(response[:, ::down, ::right], (UPPER, UPPER)))
    return {"aliasing": float(np.nanmean(folded)), "near_nyquist": float(np.nanmean(upper))}
