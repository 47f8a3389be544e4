"""Calibration: reliability diagrams, expected calibration error and temperature scaling."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field

import numpy as np
from scipy.special import softmax

from ..graph.ends import sums_to_one
from ..support.display import MeasuredResult, TextResult
from ..support.files import table_records, to_json_data
from ..support.text import format_percent
from ..support.types import Array, Labels
from .statistics import SMALLEST_PROBABILITY, negative_log_likelihoods, wilson

BINS = 15
MAX_TEMPERATURE = 100.0
DRAWS = 500


@dataclass(frozen=True, eq=False)
class Calibration(MeasuredResult):
    """How well the confidence of a classifier agrees with its accuracy.

    Attributes:
        table: DataFrame with a row for each bin: low, high, n, confidence, accuracy and its interval.
        ece: expected calibration error, the mean over images of |accuracy - confidence| of their bin, with equal-mass
            bins (Guo et al. 2017).
        chance: 95 % quantile of the `ece` of a perfectly calibrated classifier on such images.
        gap: mean confidence minus accuracy; positive if the classifier is overconfident.
    """

    table: object = field(repr=False)
    ece: float
    chance: float
    gap: float

    def plot(self):
        """The reliability diagram."""
        from .figures import draw_reliability, single_axis_figure

        return single_axis_figure(lambda axis: draw_reliability(axis, self))

    def text(self):
        """The calibration error, and what that says."""
        verdict = "overconfident" if self.gap > 0 else "underconfident"
        if self.ece <= self.chance:
            verdict = "no miscalibration detectable with this number of images"
        return f"ECE {format_percent(self.ece)} (up to {format_percent(self.chance)} by chance): {verdict}"

    def to_dict(self):
        """The numbers as plain data."""
        return to_json_data({"ece": self.ece, "chance": self.chance, "gap": self.gap}) | {
            "bins": table_records(self.table)
        }


def reliability(probs: Array, labels: Labels, *, bins: int = BINS, seed: int = 0) -> Calibration:
    """Compare the confidence of predictions with their accuracy, bin by bin.

    Args:
        probs: probabilities (N, classes).
        labels: true class numbers (N,).
        bins: number of bins with equally many images; equal confidences stay in one bin.
        seed: random seed of the simulation of a perfectly calibrated classifier.

    Returns:
        A `Calibration`.
    """
    import pandas as pd

    probs = np.asarray(probs)
    sure = probs.max(axis=1).astype(np.float64)
    right = probs.argmax(axis=1) == np.asarray(labels)
    member = bin_indices(sure, bins)
    count = np.bincount(member)
    confidence = np.bincount(member, sure) / count
    hits = np.bincount(member, right)
    span = [(sure[member == i].min(), sure[member == i].max()) for i in range(len(count))]
    accuracy, low, high = wilson(hits, count)
    table = pd.DataFrame(
        {
            "low": [low for low, _ in span],
            "high": [high for _, high in span],
            "n": count,
            "confidence": confidence,
            "accuracy": accuracy,
            "accuracy_low": low,
            "accuracy_high": high,
        }
    )
    rng = np.random.default_rng(seed)
    perfect = [
        expected_calibration_error(rng.random(len(sure)) < sure, sure, member) for _ in range(DRAWS)
    ]  # Broecker and Smith 2007
    gap = float(sure.mean() - right.mean())
    return Calibration(table, expected_calibration_error(right, sure, member), float(np.quantile(perfect, 0.95)), gap)


def bin_indices(sure, bins):
    """The bin of each image, numbered without gaps."""
    edges = np.unique(np.quantile(sure, np.linspace(0, 1, bins + 1)[1:-1], method="inverted_cdf"))
    return np.unique(np.searchsorted(edges, sure, side="left"), return_inverse=True)[1]


def expected_calibration_error(right, sure, member):
    """Expected calibration error of images in given bins."""
    return float(np.abs(np.bincount(member, np.asarray(right, np.float64) - sure)).sum() / len(sure))


@dataclass(frozen=True)
class Temperature(TextResult):
    """Temperature scaling: one number that all logits are divided by.

    Attributes:
        value: the temperature; above 1 for an overconfident classifier.
        nll: mean negative log-likelihood before and after.
        ece: expected calibration error before and after.
    """

    value: float
    nll: tuple  # before, after
    ece: tuple

    def __float__(self):
        return self.value

    def __str__(self):
        (nll, nll_after), (ece, ece_after) = self.nll, self.ece
        changes = f"NLL {nll:.4f} -> {nll_after:.4f}, ECE {100 * ece:.2f} % -> {100 * ece_after:.2f} %"
        return f"temperature {self.value:.3f}: {changes}"

    def apply(self, scores):
        """Scale logits or probabilities; returns probabilities with the same order."""
        return softmax(as_logits(scores) / self.value, axis=1)


def temperature(scores: Array, labels: Array) -> Temperature:
    """Find the temperature that minimizes the negative log-likelihood.

    Temperature scaling (Guo et al. 2017). Use other images than those that are evaluated: out-of-fold predictions or a
    validation set. The loss is convex in 1/T; it is smallest where the expected logit equals the mean logit of the true
    classes.

    Args:
        scores: logits or probabilities (N, classes).
        labels: true class numbers (N,).

    Returns:
        A `Temperature`.
    """
    logits = as_logits(scores)
    labels = np.asarray(labels)
    if labels.shape != logits.shape[:1] or labels.dtype.kind not in "iu" or not len(labels):
        raise ValueError(
            f"`labels` should have one class number for each of the {len(logits)} images. Received: {labels!r}"
        )
    if labels.min() < 0 or labels.max() >= logits.shape[1]:
        raise ValueError(f"`labels` should be 0 to {logits.shape[1] - 1}. Received: {labels.min()} to {labels.max()}")
    value = best_temperature(logits, labels)
    before, after = softmax(logits, axis=1), softmax(logits / value, axis=1)
    nll = tuple(float(negative_log_likelihoods(probs, labels).mean()) for probs in (before, after))
    return Temperature(value, nll, tuple(reliability(probs, labels).ece for probs in (before, after)))


def best_temperature(logits, labels):
    """The root of d NLL / d(1/T)."""
    from scipy.optimize import brentq

    own = logits[np.arange(len(labels)), labels]

    def slope(power):
        return float((np.sum(softmax(logits * power, axis=1) * logits, axis=1) - own).mean())

    low, high = 1 / MAX_TEMPERATURE, MAX_TEMPERATURE
    if slope(high) <= 0 or slope(low) >= 0:
        bound, why = (
            (high, "all images are correct") if slope(high) <= 0 else (low, "the predictions are no better than chance")
        )
        warnings.warn(
            f"the best temperature is outside the search range ({why}); using its limit, {1 / bound:g}", stacklevel=3
        )
        return 1 / bound
    return 1 / brentq(slope, low, high, xtol=1e-14)


def as_logits(scores):
    """Logits as float64, from logits or from probabilities, whose logarithms are logits."""
    scores = np.asarray(scores, np.float64)
    if scores.ndim != 2 or scores.shape[1] < 2 or not np.isfinite(scores).all():
        raise ValueError(f"`scores` should be finite values of shape (N, classes). Received: shape {scores.shape}")
    return np.log(np.maximum(scores, SMALLEST_PROBABILITY)) if sums_to_one(scores) else scores
