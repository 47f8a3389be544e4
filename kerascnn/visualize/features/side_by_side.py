"""Two networks side by side: their first filters, what these let through, and what the layers make of images."""

from dataclasses import dataclass, field

import numpy as np
from keras import ops

from ...graph.run import act_of
from ...plots.primitives import MARGIN, columns_for, place, sheet, tile_grid, zoom_for, zoomed
from ...support.display import Drawn
from ...support.files import save_figure
from ..engine.lens import probe
from ..engine.query import pictures, read
from .activations import activation_maps, colors, picture, thin
from .filters import SAYS, filter_images, grid, is_convolution, readers_of

FEWEST = 4  # images of which similarity can be told


@dataclass(frozen=True, eq=False)
class SideBySide(Drawn):
    """``table``: a row for each measure, a column for each network, and the second's minus the first's.

    side and stride of the first filters; dead (share); dispersion (of rms: std / mean); low, mid and high (shares of
    the filters' energy by frequency) and coverage (of the mid band); with images aliasing and near_nyquist (`spectra`).
    ``filters`` and ``power`` (mean power spectra of the filters) have one of each network, ``maps`` a pair for each
    pair of ``layers``. ``similarity``: linear CKA, layers of the first network by layers of the second.
    """

    names: tuple
    layers: tuple
    filters: tuple = field(repr=False)
    power: tuple = field(repr=False)
    table: object
    maps: tuple = field(repr=False)
    similarity: object

    def __str__(self):
        shown = self.table.rename_axis(None).to_string(float_format="{:.3g}".format, na_rep="-")
        if self.similarity is None:
            return shown
        alike = self.similarity.to_string(float_format="{:.2f}".format)
        return f"{shown}\nsimilarity (linear CKA), {self.names[0]} down, {self.names[1]} across\n{alike}"

    def plot(self, image=0):
        """Filters to one scale, their spectra with the numbers, and the maps of the last layers for an image."""
        return draw_side_by_side(self, image)

    def save(self, path, image=0):
        """Draw into a file; its suffix says which kind."""
        return save_figure(self.plot(image), path)


def side_by_side(model_a, model_b, images=None, layers=None, *, scale="filter"):
    """Compare two networks, such as AlexNet and ZFNet, in their first two layers: `SideBySide`.

    ``images`` are photos in any form that `predict` takes, cut for each network as it takes them. ``layers`` are names,
    or pairs of names where they differ; without them, what follows the first two convolutions. ``scale`` of the filters
    as in `filter_images`. Similarity needs at least 4 images, and hardly depends on their number (it is debiased).
    """
    import pandas as pd

    asked = tuple(probe(model) for model in (model_a, model_b))
    pairs = pair_layers([each.graph for each in asked], layers)
    shown = tuple(filter_images(each, scale=scale) for each in asked)
    spectra = [power_of(each.kernel) for each in shown]
    rows = [numbers(each, power) for each, power in zip(shown, spectra, strict=True)]
    maps, similarity = (), None
    if images is not None:
        ways = tuple((each, pictures(each, images)) for each in asked)
        for way, each, row in zip(ways, shown, rows, strict=True):
            row |= aliasing(way[0], way[0].graph.find(each.layer), way[1])
        maps = tuple(
            tuple(activation_maps(*way, layer) for way, layer in zip(ways, pair, strict=True)) for pair in pairs
        )
        similarity = similarities(ways, pairs) if len(ways[0][1]) >= FEWEST else None
    names = tuple(each.name for each in asked)
    names = names if names[0] != names[1] else (f"{names[0]} (a)", f"{names[1]} (b)")
    table = pd.DataFrame(dict(zip(names, rows, strict=True)))
    table["difference"] = table[names[1]] - table[names[0]]
    power = tuple(each.mean(0) if len(each) else np.zeros(each.shape[1:]) for each in spectra)
    return SideBySide(names, pairs, shown, power, table.rename_axis("measure"), maps, similarity)


def pair_layers(graphs, layers):
    """Pairs of names of calls, one of each network."""
    if layers is None:
        return tuple(zip(*([node.name for node in first_two(graph)] for graph in graphs), strict=False))
    given = [layers] if isinstance(layers, str) else layers
    pairs = [(each, each) if isinstance(each, str) else tuple(each) for each in given]
    if not pairs or any(len(pair) != 2 for pair in pairs):
        raise ValueError(f"`layers` should be names, or pairs of names. Received: {layers!r}")
    return tuple(tuple(graph.find(name).name for graph, name in zip(graphs, pair, strict=True)) for pair in pairs)


def first_two(graph):
    """What the first two convolutions answer: after their norm and nonlinearity."""
    return [answer(graph, node) for node in graph.nodes if is_convolution(node)][:2]


def answer(graph, node):
    """The nonlinear call that alone reads a convolution, maybe through a norm; else the convolution."""
    after = node
    while not act_of(after):
        readers = readers_of(graph, after)
        if len(readers) != 1 or (readers[0].kind != "BatchNormalization" and not act_of(readers[0])):
            return node
        after = readers[0]
    return after


def numbers(shown, power):
    """The measures of one network's first filters."""
    rms, dead = shown.table.rms, shown.table.verdict == "dead"
    return {
        "side": float(shown.kernel.shape[0]),
        "stride": float(shown.stride[0]),
        "dead": float(dead.mean()),
        "dispersion": float(rms.std(ddof=0) / (rms.mean() or 1)),
        **bands(power),
    }


def similarities(ways, pairs):
    """Linear CKA of every layer of one network with every layer of the other."""
    import pandas as pd

    lists = [list(dict.fromkeys(names)) for names in zip(*pairs, strict=True)]
    values = [read(*way, layers) for way, layers in zip(ways, lists, strict=True)]
    grams = [{name: gram(array) for name, array in found.items()} for found in values]
    table = [[alignment(one, other) for other in grams[1].values()] for one in grams[0].values()]
    return pd.DataFrame(table, index=list(grams[0]), columns=list(grams[1]))


def cka(x, y):
    """Linear CKA of two representations (N, ...) of the same images: 1 where one is the other, rotated or scaled.

    Kornblith et al. 2019, debiased (Song et al. 2012; Nguyen et al. 2021), so that more units than images do not raise
    it: about 0 where nothing is shared, and then sometimes below.
    """
    if len(x) != len(y) or len(x) < FEWEST:
        came = f"{len(x)} and {len(y)}"
        raise ValueError(f"`x` and `y` should be of the same images, at least {FEWEST}. Received: {came}")
    return alignment(gram(x), gram(y))


def gram(values):
    """Products of all pairs of images, the diagonal left out; the mean does not matter to what follows."""
    flat = np.asarray(values, np.float64).reshape(len(values), -1)
    flat = flat - flat.mean(0)
    products = flat @ flat.T
    np.fill_diagonal(products, 0)
    return products


def alignment(one, other):
    """HSIC(x, y) / sqrt(HSIC(x, x) HSIC(y, y)); NaN where a layer says the same of all images."""
    own = independence(one, one) * independence(other, other)
    return float(independence(one, other) / np.sqrt(own)) if own > 0 else float("nan")


def independence(one, other):
    """n (n - 3) times the unbiased HSIC of two Gram matrices without diagonals."""
    n = len(one)
    sums = one.sum() * other.sum() / ((n - 1) * (n - 2))
    return (one * other).sum() + sums - 2 / (n - 2) * one.sum(0) @ other.sum(0)


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
    grids = [grid(each, np.arange(len(each.images)), zoom).image for each in result.filters]
    spectra = [spectrum(power) for power in result.power]
    last = result.maps[-1] if result.maps else ()
    tiles = [map_tiles(each, image) for each in last]
    photos = [picture(each.images[image])[0][::2, ::2] for each in last]
    rows = [grids, spectra, [each.image for each in tiles] + photos]
    heights = [max(part.shape[0] for part in parts) for parts in rows if parts]
    widths = [photo.shape[1] + MARGIN + each.image.shape[1] for photo, each in zip(photos, tiles, strict=True)]
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
            silent = ~last[i].values[image].any((0, 1))
            tiles[i].place(figure, across[i] + photos[i].shape[1] + MARGIN, tops[2], silent=silent)
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


def map_tiles(maps, image):
    """The `TileGrid` of the first maps for an image, each on its own scale."""
    values = np.moveaxis(maps.values[image], 2, 0)[:MAPS]
    painted = colors(thin(values)[0], "unit", maps.signed)[0]
    tiles = zoomed(painted, max(1, SIDE // max(painted.shape[1:3])))
    return tile_grid(tiles, min(ACROSS, len(tiles)))


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


SIZE = 64  # frequencies of a power spectrum, each way
LOW, HIGH = 1 / 8, 1 / 4  # cycles a pixel: the octave between is "mid"
UPPER = 0.375  # cycles a place of a map: the upper quarter, up to Nyquist's 0.5


def power_of(kernel):
    """Power spectra (filters, 64, 64) of the filters that are not 0, channels together, each of sum 1."""
    size = tuple(max(SIZE, side) for side in kernel.shape[:2])
    power = np.square(np.abs(np.fft.fft2(np.moveaxis(kernel, (3, 2), (0, 1)), size))).sum(1)
    total = power.sum((1, 2))
    return power[total > 0] / total[total > 0, None, None]


def bands(power):
    """Mean shares of the filters' energy by frequency, and ``coverage`` of the mid band.

    Coverage: the share of its frequencies at which at least one filter has half of its largest power.
    """
    if not len(power):
        return dict.fromkeys(("low", "mid", "high", "coverage"), float("nan"))
    radius = np.hypot(*np.meshgrid(*map(np.fft.fftfreq, power.shape[1:]), indexing="ij"))
    mid = (radius >= LOW) & (radius < HIGH)
    shares = {"low": radius < LOW, "mid": mid, "high": radius >= HIGH}
    found = {name: float(power[:, cells].sum(1).mean()) for name, cells in shares.items()}
    reached = (power >= power.max((1, 2), keepdims=True) / 2).any(0)
    return found | {"coverage": float(reached[mid].mean())}


def share_above(maps, limit):
    """Share of the energy of maps (N, h, w, C), means removed, above a frequency (vertical, horizontal)."""
    from scipy.fft import next_fast_len, rfft2

    height, width = maps.shape[1:3]
    window = np.outer(np.hanning(height + 2)[1:-1], np.hanning(width + 2)[1:-1]).astype(np.float32)
    size = [next_fast_len(side, real=True) for side in (height, width)]
    vertical, horizontal = np.meshgrid(np.fft.fftfreq(size[0]), np.fft.rfftfreq(size[1]), indexing="ij")
    outside = (np.abs(vertical) > limit[0]) | (horizontal > limit[1])
    twice = np.where((horizontal == 0) | (horizontal == 0.5), 1, 2)  # the other half of a real map's spectrum
    above = total = 0.0
    for each in np.moveaxis(maps, 3, 1):  # one by one, as they may be large
        apart = (each - (each * window).sum((1, 2), keepdims=True) / window.sum()) * window
        power = twice * np.square(np.abs(rfft2(apart, size))).sum(0)
        above, total = above + power[outside].sum(), total + power.sum()
    return float(above / total) if total else float("nan")


def aliasing(asked, node, shown):
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
    for i in range(len(shown)):  # one by one, as maps at stride 1 may be large
        entering = ops.convert_to_tensor(read(asked, shown.at(slice(i, i + 1)), [source])[source])
        response = ops.convert_to_numpy(ops.conv(entering, kernel, 1, layer.padding, dilation_rate=layer.dilation_rate))
        down, right = layer.strides
        folded.append(share_above(response, (0.5 / down, 0.5 / right)))
        upper.append(share_above(response[:, ::down, ::right], (UPPER, UPPER)))
    return {"aliasing": float(np.nanmean(folded)), "near_nyquist": float(np.nanmean(upper))}
