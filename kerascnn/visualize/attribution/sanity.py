"""Does a map depend on the trained weights? They are randomized layer by layer (Adebayo et al. 2018).

Cascading: from the output layer down, until all weights are random. Independent: one layer at a time. The map of the
same image and class is compared with the original by Spearman's rank correlation, of |map| and of the signed map, and
by structural similarity. A method whose map does not change explains the image, as an edge detector does, and not the
network.

The signed map decides: |gradient x input| is large where the image is bright, whatever the weights.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...graph.copy import rebuild_model, unfreeze
from ...graph.walk import build_graph
from ...support.display import FigureResult
from ...support.text import pluralize, unknown_name
from ...support.types import Classes, Images, Layers, Model
from ..engine.lens import Lens, lens
from ..engine.query import pictures
from ..engine.scores import Score
from .attribution import as_maps, resolve_classes

LAYERS = 12  # layers at which a deep network is looked at
MARGIN = 0.2  # rank correlation above chance that is still no resemblance
LIMIT = 0.5  # the limit is never above this, however smooth the maps
WINDOW = 7  # pixels a side, of the windows of structural similarity


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class Sanity(FigureResult):
    """Similarity of a method's maps to the original ones while weights are randomized.

    Attributes:
        table: DataFrame of layer, rank_correlation (of |map|), signed_rank_correlation, ssim (means over images) and
            constant, the fraction of images whose map is constant, which the means leave out. Rows are in the order of
            randomization; in the last all weights are random.
        maps: (rows + 1, N, H, W), beginning with the original maps.
        images: (N, H, W, C), the pixels.
        chance: 95 % quantile of the rank correlation over all shifts of the maps.
        independent: whether layers were randomized one at a time.
        model: name of the model.
        method: name of the method.
    """

    table: object
    maps: np.ndarray
    images: np.ndarray
    chance: float
    independent: bool
    model: str
    method: str

    @property
    def limit(self):
        """Largest rank correlation that counts as different: chance + 0.2, at most 0.5."""
        return min(self.chance + MARGIN, LIMIT)

    @property
    def passes(self):
        """Whether random weights change the map; None if all maps are then constant."""
        last = self.table.signed_rank_correlation.iloc[-1]
        return None if np.isnan(last) else bool(last <= self.limit)

    def _headline(self):
        last, images = self.table.signed_rank_correlation.iloc[-1], pluralize(len(self.images), "image")
        return f"{self.method} of {self.model}, {images}, rank correlation {last:.2f}, limit {self.limit:.2f}"

    def __str__(self):
        last = self.table.iloc[-1]
        if self.passes is None:
            return (
                f"{self.method} of {self.model}: the maps are constant with random weights; try other images or "
                "another seed"
            )
        verdict = "depends on the trained weights" if self.passes else "does not depend on the trained weights"
        return (
            f"{self.method} of {self.model} {verdict}: rank correlation {last.signed_rank_correlation:.2f} "
            f"with all weights random, limit {self.limit:.2f} ({pluralize(len(self.images), 'image')})"
        )

    def plot(self):
        """Draw the similarity by layer, and the maps of the first image."""
        from .figures import draw_sanity

        return draw_sanity(self)


def sanity(
    model: Model | Lens,
    images: Images,
    classes: Classes | Score | None = None,
    *,
    method: Callable,
    layers: Layers | None = None,
    independent: bool = False,
    seed: int = 0,
    **options: Any,
) -> Sanity:
    """Compare a method's maps with those of the model with random weights.

    A copy of the model is randomized layer by layer: weights are drawn from the initializers of their layers, or
    shuffled where a layer has none.

    Args:
        model: a Keras model, or a `Lens` of one.
        images: an array (N, H, W, C) as the model takes it, or photos in any form that `predict` accepts.
        classes: one class, or one for each image, as numbers or names; by default the predicted classes. They stay the
            same at every step.
        method: attribution function, called as ``method(model, images, classes=..., **options)``; required.
        layers: layers at which to compute a map; unless `independent`, that layer and all above it are random. By
            default 12, spread over the depth. The fully random model always comes last.
        independent: whether to randomize one layer at a time instead of that layer and all above it.
        seed: random seed for the weights.
        **options: passed to ``method``, such as `layer`, `samples` or `class_names`.

    Returns:
        `Sanity`.
    """
    if not callable(method):
        came = f"{method!r}; did you mean kerascnn.visualize.{method}?" if isinstance(method, str) else repr(method)
        raise ValueError(
            f"`method` should be a function with the signature method(model, images, classes=...). Received: {came}"
        )
    view = lens(model)
    inputs = pictures(view, images)
    if not isinstance(classes, Score):
        classes = resolve_classes(view, inputs, classes)
    images = inputs.plain(view.input)
    copy = unfreeze(rebuild_model(view.model))
    learned = trainable_layers(copy)
    cuts = layers_to_randomize(learned, layers)
    taken = lens(copy, **view.settings) if isinstance(model, Lens) else copy
    first = method(taken, images, classes=classes, **options)
    original, pixels, _ = as_maps(first)
    found = [original]
    for _, chosen in (steps := randomization_steps(list(learned), cuts, independent)):
        before = [(learned[name], learned[name].get_weights()) for name in chosen] if independent else ()
        for name in chosen:
            randomize_layer(learned[name], np.random.default_rng([seed, list(learned).index(name)]))
        found.append(np.asarray(method(taken, images, classes=classes, **options).map, np.float32))
        for layer, weights in before:
            layer.set_weights(weights)
    table = compare_maps([label for label, _ in steps], found)
    called = str(getattr(first, "method", "") or getattr(method, "__name__", "method"))
    telling = has_variation(found[0]) & has_variation(found[-1])
    by_chance = chance_correlation(found[0][telling], found[-1][telling]) if telling.any() else 0.0
    return Sanity(
        table=table,
        maps=np.stack(found),
        images=pixels,
        chance=by_chance,
        independent=independent,
        model=model.name,
        method=called,
    )


def trainable_layers(model):
    """{path: layer} of the layers that learn, in the order they run."""
    nodes = [node for node in build_graph(model).nodes if node.is_layer and node.operation.trainable_variables]
    layers = {}
    for node in nodes:
        if not any(node.operation is layer for layer in layers.values()):  # a shared one runs more than once
            layers[node.name] = node.operation
    if not layers:
        raise ValueError(f"`model` should have layers with trainable weights. Received: {model.name}, which has none")
    return layers


def layers_to_randomize(learned, layers):
    """The layers down to which weights are drawn anew: those asked for, or at most ``LAYERS`` that have a kernel."""
    if layers is None:
        kernels = [name for name, layer in learned.items() if any(len(w.shape) > 1 for w in layer.weights)]
        kernels = kernels or [*learned]
        spread = np.linspace(0, len(kernels) - 1, min(LAYERS, len(kernels))).round().astype(int)
        return [kernels[i] for i in spread]
    names = [getattr(layer, "name", layer) for layer in ([layers] if isinstance(layers, str) else layers)]
    for name in names:
        if name not in learned:
            raise ValueError(unknown_name("layer that learns", name, learned))
    return sorted(set(names), key=list(learned).index)


def randomization_steps(names, selected, independent):
    """[(label, layers to draw anew)], from the scores down; the last leaves nothing learned."""
    if independent:
        return [*((cut, [cut]) for cut in reversed(selected)), ("all layers", names)]
    places = [names.index(cut) for cut in selected]
    ends = [*places[1:], len(names)]
    steps = [(names[low], names[low:high]) for low, high in zip(places, ends, strict=True)][::-1]
    return steps + ([("all layers", names[: places[0]])] if places[0] else [])


def randomize_layer(layer, rng):
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
        telling = has_variation(original) & has_variation(other)
        values = similarities(original[telling], other[telling]) if telling.any() else [np.nan] * 3
        rows.append((label, *values, 1 - telling.mean()))
    return pd.DataFrame(rows, columns=["layer", "rank_correlation", "signed_rank_correlation", "ssim", "constant"])


def similarities(first, second):
    """The three measures of likeness, means over images."""
    absolute = correlations(np.abs(first), np.abs(second))
    return [float(values.mean()) for values in (absolute, correlations(first, second), ssim(first, second))]


def has_variation(maps):
    """(N,) whether a map is finite and has more than one value."""
    flat = maps.reshape(len(maps), -1)
    return np.isfinite(flat).all(1) & (flat != flat[:, :1]).any(1)


def rank_maps(maps):
    """Ranks of each map (N, H, W), equal values sharing theirs, as vectors of length 1; zeros of a constant map."""
    from scipy.stats import rankdata

    ranks = rankdata(maps.reshape(len(maps), -1), axis=1)
    ranks -= ranks.mean(1, keepdims=True)
    return (ranks / np.maximum(np.linalg.norm(ranks, axis=1, keepdims=True), 1e-30)).reshape(maps.shape)


def correlations(first, second):
    """Spearman's rank correlation of each pair of maps; 0 where one is constant."""
    return (rank_maps(first) * rank_maps(second)).sum((1, 2))


def chance_correlation(first, second):
    """The rank correlation that 95 % of all shifts of the other maps stay below, the mean over images."""
    spectra = np.fft.rfft2(rank_maps(first)) * np.fft.rfft2(rank_maps(second)).conj()
    shifts = np.fft.irfft2(spectra, s=first.shape[1:])  # the correlation at every shift, wrapped around
    return float(np.quantile(shifts.mean(0), 0.95))


def ssim(first, second):
    """Structural similarity (Wang et al. 2004) of each pair of maps, scaled to 1 at the 99th percentile of |map|."""
    from scipy.ndimage import uniform_filter

    def mean(values):
        return uniform_filter(values, WINDOW, axes=(1, 2))

    a, b = (scale_maps(each) for each in (first, second))
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
