"""Statistics of the units of a network over a set of images: dead, sparse, correlated.

Per unit (channel) over images and places: mean, std, largest, the share of places and of images where it is above 0,
lifetime sparsity S = (1 - E[a]^2 / E[a^2]) / (1 - 1/n) (Treves & Rolls 1991). A unit silent on all n images is silent
on the next with a chance of at least 1 - 3/n at 95 %; exactly, Clopper & Pearson 1934. Units of a layer together:
correlations at a few places of each image, and how many directions they span, by the covariance's eigenvalues v:
participation ratio (sum v)^2 / sum v^2, and exp(entropy of v / sum v) (Roy & Vetterli 2007).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from keras import ops

from ..graph.run import activation_name, activation_nodes, build_graph_for, run_graph, select_nodes
from ..support.display import FigureResult
from ..support.text import pluralize, table_text
from ..support.types import Images, Layers, Model
from .images import iterate_batches

CONSTANT = 1e-6  # of the layer's std: a unit that varies less ignores what it sees
MAX_UNITS = 512  # units of a layer whose correlations are kept
POSITIONS = 8  # of each map, drawn once; means over a map would correlate by the contrast of the images alone
LAYERS = "layer activation units dead mean stddev sparsity correlation correlated participation entropy_rank"
ONE_SIDED = ("relu", "relu6")  # where a unit that is never above 0 is dead


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class Activity(FigureResult):
    """Statistics of the units of a network over many images.

    Attributes:
        unit_table: DataFrame with a row for each unit: layer, unit, mean, stddev, max, places and images (fractions
            above 0), at_most (upper bound of `images` with `confidence`), sparsity, dead.
        table: DataFrame with a row for each layer: layer, activation, units, dead, mean, stddev, sparsity (over units
            and positions, per image), correlation (mean |r|), correlated (fraction of units with an |r| above 0.9),
            participation and entropy_rank.
        correlations: correlation matrix of the sampled units of each layer.
        sampled: numbers of these units.
        image_count: number of images.
        confidence: confidence level of the upper bounds.
    """

    unit_table: Any
    table: Any
    correlations: dict
    sampled: dict
    image_count: int
    confidence: float

    @property
    def dead(self):
        """The rows of ``unit_table`` that are dead."""
        return self.unit_table[self.unit_table.dead]

    def _headline(self):
        units = f"{len(self.unit_table):,} units of {pluralize(len(self.table), 'layer')}"
        return f"{units} on {pluralize(self.image_count, 'image')}, {len(self.dead):,} dead"

    def __str__(self):
        return table_text(self.table)

    def plot(self):
        """Bars of dead units, sparsity, correlation and effective rank by layer."""
        from .figures import draw_activity

        return draw_activity(self)


class ReducedOutputs(keras.Model):
    """What some calls of a model give, reduced on the device to a few numbers for each image and channel."""

    def __init__(self, graph, nodes, picked):
        super().__init__(autocast=False)
        self.calls = lambda: (graph, nodes, picked)  # a function, which Keras does not look into for layers
        self.compile(jit_compile=False)

    def call(self, x):
        graph, nodes, picked = self.calls()
        values = run_graph(graph, x)
        floats = (ops.cast(values[node.name], "float32") for node in nodes)
        return [reduce_outputs(a, places) for a, places in zip(floats, picked, strict=True)]


def reduce_outputs(a, places):
    """Mean, mean of squares, largest, least, share above 0, then the values at ``places``: (N, 5 + P, channels)."""
    a = ops.reshape(a, (ops.shape(a)[0], -1, a.shape[-1]))
    above = ops.cast(a > 0, "float32")
    parts = [ops.mean(a, 1), ops.mean(a * a, 1), ops.max(a, 1), ops.min(a, 1), ops.mean(above, 1)]
    return ops.concatenate([ops.stack(parts, axis=1), ops.take(a, places, axis=1)], axis=1)


class LayerSums:
    """The running sums of one layer, float64; memory does not grow with the images."""

    def __init__(self, node, rng):
        channels = node.shape[-1]
        self.name, self.activation, self.places = node.name, activation_name(node), int(np.prod(node.shape[:-1]))
        self.kept = np.sort(rng.permutation(channels)[:MAX_UNITS])
        self.images = self.samples = 0
        self.sums = np.zeros((4, channels))  # of means, squares, shares above 0, images with anything above 0
        self.high, self.low = np.full(channels, -np.inf), np.full(channels, np.inf)
        self.population, self.awake = 0.0, 0  # over images on which anything is not 0
        self.center = None  # of the first batch, so that differences of large squares do not round away
        self.around, self.products = np.zeros(len(self.kept)), np.zeros((len(self.kept),) * 2)

    def add(self, parts):
        mean, square, high, low, above, *values = np.moveaxis(np.asarray(parts, np.float64), 1, 0)
        self.images += len(mean)
        self.sums += [part.sum(0) for part in (mean, square, above, high > 0)]
        self.high, self.low = np.maximum(self.high, high.max(0)), np.minimum(self.low, low.min(0))
        sparse = treves_rolls(mean.mean(1), square.mean(1), self.places * mean.shape[1])
        self.population += np.nansum(sparse)
        self.awake += np.isfinite(sparse).sum()
        values = np.concatenate(values)[:, self.kept]
        self.center = values.mean(0) if self.center is None else self.center
        apart = values - self.center
        self.samples += len(values)
        self.around += apart.sum(0)
        self.products += apart.T @ apart

    @property
    def covariance(self):
        """Of the kept units, over images and places."""
        shift = self.around / self.samples
        return self.products / self.samples - np.outer(shift, shift)

    @property
    def stddev(self):
        """Of all units together."""
        mean, square = self.sums[:2] / self.images
        return float(np.sqrt(max(square.mean() - mean.mean() ** 2, 0)))

    @property
    def dead(self):
        """Whether each unit is dead."""
        return self.high <= 0 if self.activation in ONE_SIDED else self.high - self.low <= CONSTANT * self.stddev

    def units(self, confidence):
        """A DataFrame of the units."""
        import pandas as pd

        mean, square, above, active = self.sums / self.images
        columns = {
            "layer": self.name,
            "unit": np.arange(len(mean)),
            "mean": mean,
            "stddev": np.sqrt(np.maximum(square - mean**2, 0)),
            "max": self.high,
            "places": above,
            "images": active,
            "at_most": upper_bound(np.rint(active * self.images), self.images, confidence),
            "sparsity": treves_rolls(mean, square, self.images * self.places),
            "dead": self.dead,
        }
        return pd.DataFrame(columns)

    def row(self, correlations):
        """The numbers of the layer as a whole, in the order of LAYERS."""
        r = np.abs(correlations)
        np.fill_diagonal(r, np.nan)
        pairs = r[np.triu_indices(len(r), 1)]
        typical = float(np.nanmean(pairs)) if np.isfinite(pairs).any() else float("nan")
        correlated = float((np.nan_to_num(r) > 0.9).any(1).mean())
        mean = (self.sums[0] / self.images).mean()
        sparsity = self.population / self.awake if self.awake else float("nan")
        units = self.name, self.activation, len(self.high), int(self.dead.sum()), mean, self.stddev, sparsity
        return *units, typical, correlated, *effective_ranks(self.covariance)


def activity(
    model: Model,
    images: Images,
    layers: Layers | None = None,
    *,
    batch_size: int = 32,
    preprocess: Callable | None = None,
    confidence: float = 0.95,
    seed: int = 0,
) -> Activity:
    """Find dead, sparse and correlated units over many images in one pass.

    A unit is dead if it is never above 0 after a ReLU, or constant after other functions. Memory does not grow with the
    number of images.

    Args:
        model: a Keras model.
        images: array (N, ...) as the model takes it, or images in any form that `predict` takes.
        layers: names of layers ("inner/conv" in a nested model); by default all nonlinear ones but the last softmax.
        batch_size: images per batch.
        preprocess: function from a batch of pixels to what the model expects.
        confidence: confidence level of the upper bounds for silent units.
        seed: random seed of the 8 positions per map and 512 units per layer that are correlated.

    Returns:
        An `Activity` with tables of units and layers.
    """
    if not 0 < confidence < 1:
        raise ValueError(f"`confidence` should be between 0 and 1. Received: {confidence}")
    import pandas as pd

    ask, tallies = None, []
    for batch in iterate_batches(model, images, batch_size, preprocess):
        if ask is None:
            graph, rng = build_graph_for(model, batch), np.random.default_rng(seed)
            usual = activation_nodes(graph)
            nodes = select_nodes(graph, layers, lambda node, usual=usual: node in usual)
            tallies = [LayerSums(node, rng) for node in nodes]
            ask = ReducedOutputs(
                graph, nodes, [np.sort(rng.permutation(tally.places)[:POSITIONS]) for tally in tallies]
            )
        missing = batch_size - len(batch)
        whole = np.concatenate([batch, np.repeat(batch[-1:], missing, 0)]) if missing and tallies[0].images else batch
        for tally, parts in zip(tallies, ask.predict_on_batch(whole), strict=True):
            tally.add(parts[: len(batch)])
    matrices = {tally.name: correlation_matrix(tally.covariance) for tally in tallies}
    units = pd.concat([tally.units(confidence) for tally in tallies], ignore_index=True)
    rows = pd.DataFrame([tally.row(matrices[tally.name]) for tally in tallies], columns=LAYERS.split())
    return Activity(
        unit_table=units,
        table=rows,
        correlations=matrices,
        sampled={tally.name: tally.kept for tally in tallies},
        image_count=tallies[0].images,
        confidence=confidence,
    )


def treves_rolls(mean, square, n):
    """(1 - E[a]^2 / E[a^2]) / (1 - 1/n): 0 where all n are equal, 1 where a single one is not 0, NaN where all are."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return (1 - np.square(mean) / square) / (1 - 1 / n) if n > 1 else np.full(np.shape(mean), np.nan)


def upper_bound(hits, n, confidence=0.95):
    """The largest rate that ``hits`` of n leave possible (Clopper & Pearson, one-sided): 1 - 0.05^(1/n) for none."""
    from scipy.special import betaincinv

    hits = np.asarray(hits, np.float64)
    found = betaincinv(np.minimum(hits, n - 1) + 1, np.maximum(n - hits, 1), confidence)
    return np.where(hits >= n, 1.0, found)


def correlation_matrix(covariance):
    """Pearson's r from a covariance; NaN where a unit does not vary."""
    std = np.sqrt(np.maximum(np.diag(covariance), 0))
    std = np.where(std > CONSTANT * max(std.max(initial=0), 1e-30), std, np.nan)
    return np.clip(covariance / np.outer(std, std), -1, 1)


def effective_ranks(covariance):
    """(participation ratio, exp of the entropy) of a covariance's eigenvalues; NaN where nothing varies."""
    values = np.maximum(np.linalg.eigvalsh(covariance), 0)
    if values.sum() <= 0:
        return float("nan"), float("nan")
    share = values / values.sum()
    return float(1 / np.square(share).sum()), entropy_rank(share)


def entropy_rank(share):
    """exp(entropy) of shares: how many equal ones would have it."""
    from scipy.special import entr

    return float(np.exp(entr(share).sum()))
