"""Whether probabilities mean what they say: reliability, calibration error, and the temperature that mends them."""

import warnings
from dataclasses import dataclass, field

import numpy as np
from scipy.special import softmax

from ..graph.ends import adds_up
from ..support.display import Measured, Told
from ..support.files import plain, records
from ..support.text import percent
from .statistics import LEAST, surprises, wilson

BINS = 15
HOTTEST = 100.0
DRAWS = 500


@dataclass(frozen=True, eq=False)
class Calibration(Measured):
    """Confidence against accuracy. ``table`` has a row for each bin: low, high, n, confidence, accuracy, interval.

    ``ece`` is the expected calibration error, the mean over images of |accuracy - confidence| of their bin (Guo et al.
    2017) with equal-mass bins; ``chance`` what a perfectly calibrated classifier stays below in 95 of 100 such sets;
    ``gap`` the mean confidence less the accuracy, above 0 for one that is too sure.
    """

    table: object = field(repr=False)
    ece: float
    chance: float
    gap: float

    def plot(self):
        """The reliability diagram."""
        from .figures import draw_reliability, figure_of

        return figure_of(lambda axis: draw_reliability(axis, self))

    def text(self):
        """The calibration error, and what that says."""
        verdict = "too sure" if self.gap > 0 else "not sure enough"
        if self.ece <= self.chance:
            verdict = "as good as can be told from so many images"
        return f"ECE {percent(self.ece)} (chance alone: up to {percent(self.chance)}), {verdict}"

    def facts(self):
        """The numbers as plain data."""
        return plain({"ece": self.ece, "chance": self.chance, "gap": self.gap}) | {"bins": records(self.table)}


def reliability(probs, labels, *, bins=BINS, seed=0):
    """The ``Calibration`` of probabilities (N, classes) on images with these labels.

    Bins hold equally many images, as far as equal confidences, which stay together, allow.
    """
    import pandas as pd

    probs = np.asarray(probs)
    sure = probs.max(axis=1).astype(np.float64)
    right = probs.argmax(axis=1) == np.asarray(labels)
    member = binned(sure, bins)
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
    perfect = [error(rng.random(len(sure)) < sure, sure, member) for _ in range(DRAWS)]  # Broecker and Smith 2007
    gap = float(sure.mean() - right.mean())
    return Calibration(table, error(right, sure, member), float(np.quantile(perfect, 0.95)), gap)


def binned(sure, bins):
    """The bin of each image, numbered without gaps."""
    edges = np.unique(np.quantile(sure, np.linspace(0, 1, bins + 1)[1:-1], method="inverted_cdf"))
    return np.unique(np.searchsorted(edges, sure, side="left"), return_inverse=True)[1]


def error(right, sure, member):
    """Expected calibration error of images in given bins."""
    return float(np.abs(np.bincount(member, np.asarray(right, np.float64) - sure)).sum() / len(sure))


@dataclass(frozen=True)
class Temperature(Told):
    """One number that all logits are divided by: above 1 for a classifier that was too sure."""

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
        """Probabilities from logits or probabilities, at this temperature; the likeliest class stays the likeliest."""
        return softmax(logits_of(scores) / self.value, axis=1)


def temperature(scores, labels):
    """The ``Temperature`` that minimizes the NLL of logits or probabilities on these images (Guo et al. 2017).

    Fit it on images apart from those that report: out of fold, or a validation set. The NLL is convex in 1/T, whose
    best value is where the mean logit expected equals the mean logit of the true classes.
    """
    logits = logits_of(scores)
    labels = np.asarray(labels)
    if labels.shape != logits.shape[:1] or labels.dtype.kind not in "iu" or not len(labels):
        raise ValueError(f"`labels` should be a number for each of the {len(logits)} images. Received: {labels!r}")
    if labels.min() < 0 or labels.max() >= logits.shape[1]:
        raise ValueError(f"`labels` should be 0 to {logits.shape[1] - 1}. Received: {labels.min()} to {labels.max()}")
    value = warmest(logits, labels)
    before, after = softmax(logits, axis=1), softmax(logits / value, axis=1)
    nll = tuple(float(surprises(probs, labels).mean()) for probs in (before, after))
    return Temperature(value, nll, tuple(reliability(probs, labels).ece for probs in (before, after)))


def warmest(logits, labels):
    """The root of d NLL / d(1/T)."""
    from scipy.optimize import brentq

    own = logits[np.arange(len(labels)), labels]

    def slope(power):
        return float((np.sum(softmax(logits * power, axis=1) * logits, axis=1) - own).mean())

    low, high = 1 / HOTTEST, HOTTEST
    if slope(high) <= 0 or slope(low) >= 0:
        bound, why = (high, "all images right") if slope(high) <= 0 else (low, "no better than chance")
        warnings.warn(f"no temperature is best for these images ({why}); {1 / bound:g} is the limit", stacklevel=3)
        return 1 / bound
    return 1 / brentq(slope, low, high, xtol=1e-14)


def logits_of(scores):
    """Logits as float64, from logits or from probabilities, whose logarithms are logits."""
    scores = np.asarray(scores, np.float64)
    if scores.ndim != 2 or scores.shape[1] < 2 or not np.isfinite(scores).all():
        raise ValueError(f"`scores` should be finite numbers (N, classes). Received: shape {scores.shape}")
    return np.log(np.maximum(scores, LEAST)) if adds_up(scores) else scores
