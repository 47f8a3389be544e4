"""Calibration: reliability diagrams, expected calibration error and temperature scaling."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import softmax

from ..graph.ends import sums_to_one
from ..support.display import MeasuredResult, TextResult
from ..support.files import table_records, to_json_data
from ..support.text import format_percent
from ..support.types import Array, Labels
from .statistics import SMALLEST_PROBABILITY, negative_log_likelihoods, wilson

if TYPE_CHECKING:
    import pandas as pd

BINS = 15
MAX_TEMPERATURE = 100.0  # limit of the search; the lower limit is its inverse
SIMULATIONS = 500  # of a perfectly calibrated classifier
LARGE_CHANCE = 0.1  # a calibration error that chance alone reaches: with more, there are too few images to measure it


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Calibration(MeasuredResult):
    """How well the confidence of a classifier agrees with its accuracy.

    Attributes:
        table: DataFrame with a row for each bin: lowest and highest confidence, number of images, mean confidence,
            accuracy and its interval.
        ece: expected calibration error, the mean over images of |accuracy - confidence| of their bin, with equal-mass
            bins (Guo et al. 2017).
        chance: 95 % quantile of the `ece` that a perfectly calibrated classifier would have with these confidences.
        gap: mean confidence minus accuracy; positive if the classifier is overconfident.
    """

    table: pd.DataFrame
    ece: float
    chance: float
    gap: float

    @property
    def too_few(self):
        """Whether so few images are judged that chance alone gives an `ece` above 10 %."""
        return self.chance > LARGE_CHANCE

    def __len__(self):
        return int(self.table["n"].sum())

    def __repr__(self):
        return f"<Calibration: {len(self):,} images in {len(self.table)} bins, {self.text()}>"

    def __str__(self):
        return f"{self.text()}\n{self.table.to_string(index=False, float_format='{:.3f}'.format)}"

    def plot(self):
        """The reliability diagram."""
        from .figures import draw_reliability, single_axis_figure

        return single_axis_figure(lambda axis: draw_reliability(axis, self))

    def text(self):
        """The calibration error and its interpretation in one line."""
        if self.too_few:
            verdict = f"too few images ({len(self):,}) to measure it"
        elif self.ece <= self.chance:
            verdict = "no miscalibration detectable with this number of images"
        else:
            verdict = "overconfident" if self.gap > 0 else "underconfident"
        return f"ECE {format_percent(self.ece)} (up to {format_percent(self.chance)} by chance): {verdict}"

    def to_dict(self):
        """The numbers as plain data."""
        numbers = to_json_data({"ece": self.ece, "chance": self.chance, "gap": self.gap})
        return numbers | {"bins": table_records(self.table)}


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
    confidence = probs.max(axis=1).astype(np.float64)
    correct = probs.argmax(axis=1) == np.asarray(labels)
    bin_of_image = bin_indices(confidence, bins)

    count = np.bincount(bin_of_image)
    bin_confidences = [confidence[bin_of_image == i] for i in range(len(count))]
    accuracy, low, high = wilson(np.bincount(bin_of_image, correct), count)
    table = pd.DataFrame(
        {
            "low": [values.min() for values in bin_confidences],
            "high": [values.max() for values in bin_confidences],
            "n": count,
            "confidence": np.bincount(bin_of_image, confidence) / count,
            "accuracy": accuracy,
            "accuracy_low": low,
            "accuracy_high": high,
        }
    )

    # consistency resampling (Broecker and Smith 2007): images are correct as often as their confidence says
    rng = np.random.default_rng(seed)
    simulated_errors = [
        expected_calibration_error(rng.random(len(confidence)) < confidence, confidence, bin_of_image)
        for _ in range(SIMULATIONS)
    ]
    return Calibration(
        table=table,
        ece=expected_calibration_error(correct, confidence, bin_of_image),
        chance=float(np.quantile(simulated_errors, 0.95)),
        gap=float(confidence.mean() - correct.mean()),
    )


def bin_indices(confidence, bins):
    """Bin of each image, numbered from 0 without gaps; bins have equally many images."""
    edges = np.unique(np.quantile(confidence, np.linspace(0, 1, bins + 1)[1:-1], method="inverted_cdf"))
    return np.unique(np.searchsorted(edges, confidence, side="left"), return_inverse=True)[1]


def expected_calibration_error(correct, confidence, bin_of_image):
    """The mean over images of |accuracy - confidence| of their bin."""
    differences = np.bincount(bin_of_image, np.asarray(correct, np.float64) - confidence)
    return float(np.abs(differences).sum() / len(confidence))


@dataclass(frozen=True, kw_only=True, repr=False)
class Temperature(TextResult):
    """Temperature scaling: a number by which all logits are divided.

    Attributes:
        value: the temperature; above 1 for an overconfident classifier.
        nll: mean negative log-likelihood before and after scaling.
        ece: expected calibration error before and after scaling.
    """

    value: float
    nll: tuple
    ece: tuple

    def __float__(self):
        return self.value

    def __repr__(self):
        return f"<Temperature: {str(self).removeprefix('temperature ')}>"

    def __str__(self):
        nll_before, nll_after = self.nll
        ece_before, ece_after = (100 * ece for ece in self.ece)
        changes = f"NLL {nll_before:.4f} -> {nll_after:.4f}, ECE {ece_before:.2f} % -> {ece_after:.2f} %"
        return f"temperature {self.value:.3f}: {changes}"

    def apply(self, scores):
        """Return the scaled probabilities of logits or probabilities (N, classes)."""
        return softmax(as_logits(scores) / self.value, axis=1)


def temperature(scores: Array, labels: Array) -> Temperature:
    """Find the temperature that minimizes the negative log-likelihood.

    Temperature scaling (Guo et al. 2017). Find it on a validation set or on out-of-fold predictions, not on the images
    that are evaluated afterwards. The loss is convex in 1/T; at its minimum the expected logit equals the mean logit of
    the true class.

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
    return Temperature(
        value=value,
        nll=tuple(float(negative_log_likelihoods(probs, labels).mean()) for probs in (before, after)),
        ece=tuple(reliability(probs, labels).ece for probs in (before, after)),
    )


def best_temperature(logits, labels):
    """The temperature T at which d NLL / d(1/T) is 0."""
    from scipy.optimize import brentq

    true_logits = logits[np.arange(len(labels)), labels]

    def slope(inverse):
        expected_logits = np.sum(softmax(logits * inverse, axis=1) * logits, axis=1)
        return float((expected_logits - true_logits).mean())

    low, high = 1 / MAX_TEMPERATURE, MAX_TEMPERATURE
    if slope(high) <= 0:
        warn_of_limit("all images are correct", 1 / high)
        return 1 / high
    if slope(low) >= 0:
        warn_of_limit("the predictions are no better than chance", 1 / low)
        return 1 / low
    return 1 / brentq(slope, low, high, xtol=1e-14)


def warn_of_limit(reason, limit):
    """Warn that the best temperature lies beyond a limit of the search."""
    warnings.warn(
        f"the best temperature is outside the search range ({reason}); using its limit, {limit:g}", stacklevel=4
    )


def as_logits(scores):
    """Logits as float64, from logits or from probabilities; the logarithms of probabilities are logits."""
    scores = np.asarray(scores, np.float64)
    if scores.ndim != 2 or scores.shape[1] < 2 or not np.isfinite(scores).all():
        raise ValueError(f"`scores` should be finite values of shape (N, classes). Received: shape {scores.shape}")
    if sums_to_one(scores):
        return np.log(np.maximum(scores, SMALLEST_PROBABILITY))
    return scores
