"""Does a map depend on what the network has learned? Its weights are drawn anew, layer by layer (Adebayo et al. 2018).

Cascading: from the scores down, so that at last nothing learned is left. Independent: one layer alone. The map of the
same image and class is compared with the original one by Spearman's rank correlation, of |map| and of the map, and by
structural similarity. A method whose map stays as it was explains the image, as an edge detector does, not the network.

The map as it is decides: |gradient x input| is large where the image is, whatever the weights.
"""

from dataclasses import dataclass, field

import numpy as np

from ...graph.copy import rebuild, unfreeze
from ...graph.walk import walk
from ...support.display import Drawn
from ...support.text import count, unknown
from ..engine.lens import Probe, probe
from ..engine.query import pictures
from ..engine.scores import Score
from .attribution import classes_of_images, maps_of

CUTS = 12  # layers at which a deep network is looked at
BEYOND = 0.2  # rank correlation above chance that is still no resemblance
MOST = 0.5  # the limit is never above this, however smooth the maps
WINDOW = 7  # pixels a side, of the windows of structural similarity


@dataclass(frozen=True, eq=False)
class Sanity(Drawn):
    """``table``: layer, rank_correlation (of |map|), signed_rank_correlation, ssim, means over images; constant.

    Its rows are in the order of randomization; the last is the network without any learned weight. ``constant`` is the
    share of images whose map is, as where a random ReLU is silent; they are not in the means. ``chance`` is what
    shifted maps reach: the 95 % quantile of the correlation over all shifts. ``maps`` (rows + 1, N, H, W) begin with
    the original ones.
    """

    table: object
    maps: np.ndarray = field(repr=False)
    images: np.ndarray = field(repr=False)
    chance: float
    independent: bool
    model: str
    method: str

    @property
    def limit(self):
        """The rank correlation of the maps that is still no resemblance: 0.2 above chance, at most 0.5."""
        return min(self.chance + BEYOND, MOST)

    @property
    def passed(self):
        """Whether the map is another one when nothing learned is left; None where all maps are constant then."""
        last = self.table.signed_rank_correlation.iloc[-1]
        return None if np.isnan(last) else bool(last <= self.limit)

    def __str__(self):
        last = self.table.iloc[-1]
        if self.passed is None:
            return f"{self.method} of {self.model}: random weights give constant maps; try other images or another seed"
        verdict = "depends on what was learned" if self.passed else "does not depend on what was learned"
        return (
            f"{self.method} of {self.model} {verdict}: rank correlation {last.signed_rank_correlation:.2f} "
            f"with all weights random, limit {self.limit:.2f} ({count(len(self.images), 'image')})"
        )

    def plot(self):
        """Resemblance layer by layer, and the maps of the first image."""
        from .figures import draw_sanity

        return draw_sanity(self)


def sanity(model, images, classes=None, *, method, layers=None, independent=False, seed=0, **options):
    """Compare a method's maps with those of the model with random weights.

    A copy of the model is randomized layer by layer: weights are drawn by the initializers of their own layers, and
    shuffled where a layer has none.

    Args:
        model: a Keras model, or a `Probe` of one.
        images: whatever holds pixels.
        classes: one class, or one for each image, numbers or names; by default those that the model itself finds
            likeliest. They are the same at every step.
        method: a function of attribution, called as ``method(model, images, classes=..., **options)``; required.
        layers: where to stop and look; with cascading, that layer and all above it are random. By default 12,
            spread over the depth. The model with all of its weights random always comes last.
        independent: randomize one layer at a time, not that and all above it.
        seed: of the random weights.
        **options: passed on to ``method``.

    Returns:
        `Sanity`.
    """
    if not callable(method):
        came = f"{method!r}; is it kerascnn.visualize.{method}?" if isinstance(method, str) else repr(method)
        raise ValueError(
            f"`method` should be a function, called as method(model, images, classes=...). Received: {came}"
        )
    asked = probe(model)
    shown = pictures(asked, images)
    if not isinstance(classes, Score):
        classes = classes_of_images(asked, shown, classes)
    images = shown.plain(asked.input)
    copy = unfreeze(rebuild(asked.model))
    learned = learning_layers(copy)
    cuts = cut_points(learned, layers)
    taken = probe(copy, **asked.given) if isinstance(model, Probe) else copy
    first = method(taken, images, classes=classes, **options)
    original, pixels, _ = maps_of(first)
    found = [original]
    for _, chosen in (steps := plan_steps(list(learned), cuts, independent)):
        before = [(learned[name], learned[name].get_weights()) for name in chosen] if independent else ()
        for name in chosen:
            redraw(learned[name], np.random.default_rng([seed, list(learned).index(name)]))
        found.append(np.asarray(method(taken, images, classes=classes, **options).map, np.float32))
        for layer, weights in before:
            layer.set_weights(weights)
    table = compare_maps([label for label, _ in steps], found)
    called = str(getattr(first, "method", "") or getattr(method, "__name__", "method"))
    telling = varies(found[0]) & varies(found[-1])
    by_chance = chance(found[0][telling], found[-1][telling]) if telling.any() else 0.0
    return Sanity(table, np.stack(found), pixels, by_chance, independent, model.name, called)


def learning_layers(model):
    """{path: layer} of the layers that learn, in the order they run."""
    nodes = [node for node in walk(model).nodes if node.is_layer and node.operation.trainable_variables]
    layers = {}
    for node in nodes:
        if not any(node.operation is layer for layer in layers.values()):  # a shared one runs more than once
            layers[node.name] = node.operation
    if not layers:
        raise ValueError(f"`model` should have layers that learn. Received: {model.name}, which has none")
    return layers


def cut_points(learned, layers):
    """The layers down to which weights are drawn anew: those asked for, or at most ``CUTS`` that have a kernel."""
    if layers is None:
        kernels = [name for name, layer in learned.items() if any(len(w.shape) > 1 for w in layer.weights)]
        kernels = kernels or [*learned]
        spread = np.linspace(0, len(kernels) - 1, min(CUTS, len(kernels))).round().astype(int)
        return [kernels[i] for i in spread]
    names = [getattr(layer, "name", layer) for layer in ([layers] if isinstance(layers, str) else layers)]
    for name in names:
        if name not in learned:
            raise ValueError(unknown("layer that learns", name, learned))
    return sorted(set(names), key=list(learned).index)


def plan_steps(names, cuts, independent):
    """[(label, layers to draw anew)], from the scores down; the last leaves nothing learned."""
    if independent:
        return [*((cut, [cut]) for cut in reversed(cuts)), ("all layers", names)]
    places = [names.index(cut) for cut in cuts]
    ends = [*places[1:], len(names)]
    steps = [(names[low], names[low:high]) for low, high in zip(places, ends, strict=True)][::-1]
    return steps + ([("all layers", names[: places[0]])] if places[0] else [])


def redraw(layer, rng):
    """New weights by a layer's own initializers, without a draw from Keras' own random numbers."""
    owner = {id(weight): each for each in layer._flatten_layers() for weight in each.weights}  # the innermost stays
    for weight in layer.weights:
        initializer = initializer_of(owner[id(weight)], weight)
        value = np.asarray(weight)
        if initializer is None:
            weight.assign(rng.permutation(value.ravel()).reshape(value.shape))
            continue
        config = initializer.get_config() if hasattr(initializer, "get_config") else {}
        if "seed" in config:
            initializer = type(initializer).from_config(config | {"seed": int(rng.integers(2**31))})
        weight.assign(initializer(value.shape, dtype=weight.dtype))


def initializer_of(layer, weight):
    """``kernel_initializer`` of a weight "kernel", ``depthwise_initializer`` of a "depthwise_kernel"; None without."""
    stems = (weight.name, weight.name.removesuffix("_kernel"), *(("depthwise",) if weight.name == "kernel" else ()))
    return next((found for stem in stems if callable(found := getattr(layer, f"{stem}_initializer", None))), None)


def compare_maps(labels, maps):
    """The table: how alike each of the maps is to the first."""
    import pandas as pd

    original, rows = maps[0], []
    for label, other in zip(labels, maps[1:], strict=True):
        telling = varies(original) & varies(other)
        values = similarities(original[telling], other[telling]) if telling.any() else [np.nan] * 3
        rows.append((label, *values, 1 - telling.mean()))
    return pd.DataFrame(rows, columns=["layer", "rank_correlation", "signed_rank_correlation", "ssim", "constant"])


def similarities(one, other):
    """The three measures of likeness, means over images."""
    absolute = correlations(np.abs(one), np.abs(other))
    return [float(values.mean()) for values in (absolute, correlations(one, other), ssim(one, other))]


def varies(maps):
    """(N,) whether a map is finite and has more than one value."""
    flat = maps.reshape(len(maps), -1)
    return np.isfinite(flat).all(1) & (flat != flat[:, :1]).any(1)


def rank_maps(maps):
    """Ranks of each map (N, H, W), equal values sharing theirs, as vectors of length 1; zeros of a constant map."""
    from scipy.stats import rankdata

    ranks = rankdata(maps.reshape(len(maps), -1), axis=1)
    ranks -= ranks.mean(1, keepdims=True)
    return (ranks / np.maximum(np.linalg.norm(ranks, axis=1, keepdims=True), 1e-30)).reshape(maps.shape)


def correlations(one, other):
    """Spearman's rank correlation of each pair of maps; 0 where one is constant."""
    return (rank_maps(one) * rank_maps(other)).sum((1, 2))


def chance(one, other):
    """The rank correlation that 95 % of all shifts of the other maps stay below, the mean over images."""
    spectra = np.fft.rfft2(rank_maps(one)) * np.fft.rfft2(rank_maps(other)).conj()
    shifts = np.fft.irfft2(spectra, s=one.shape[1:])  # the correlation at every shift, wrapped around
    return float(np.quantile(shifts.mean(0), 0.95))


def ssim(one, other):
    """Structural similarity (Wang et al. 2004) of each pair of maps, scaled to 1 at the 99th percentile of |map|."""
    from scipy.ndimage import uniform_filter

    def mean(values):
        return uniform_filter(values, WINDOW, axes=(1, 2))

    a, b = (scale_maps(each) for each in (one, other))
    scale = 1 if min(a.min(initial=0), b.min(initial=0)) >= 0 else 2  # the range of values
    c1, c2 = (0.01 * scale) ** 2, (0.03 * scale) ** 2
    product = mean(a) * mean(b)
    level = (2 * product + c1) / (mean(a) ** 2 + mean(b) ** 2 + c1)
    covariance, variances = mean(a * b) - product, mean(a**2) + mean(b**2) - mean(a) ** 2 - mean(b) ** 2
    return (level * (2 * covariance + c2) / (variances + c2)).mean((1, 2))


def scale_maps(maps):
    """Maps between -1 and 1, which are the 99th percentiles of their |values|; what lies beyond is cut off."""
    most = np.percentile(np.abs(maps), 99, axis=(1, 2), keepdims=True)
    return (maps / np.maximum(most, 1e-30)).clip(-1, 1)
