"""Two networks side by side: their first filters, what these let through, and what the layers make of images."""

from dataclasses import dataclass, field

import numpy as np

from ..diagnose.calls import act_of
from ..drawn import Drawn
from ..files import save_figure
from .activations import activation_maps
from .asking import read
from .engine import probe
from .folding import is_convolution
from .images import pictures
from .kernels import filter_images
from .spectra import aliasing, bands, power_of

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
        from .pair_pictures import draw_side_by_side

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
    pairs = named([each.graph for each in asked], layers)
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


def named(graphs, layers):
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
        readers = [each for each in graph.nodes if any(source is after for source, _ in each.inputs)]
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
