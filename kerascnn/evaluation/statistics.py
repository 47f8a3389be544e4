"""Statistics of classification: intervals, tests, and scores per image or class."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

LEVEL, RESAMPLES = 0.95, 1000


class Interval(NamedTuple):
    """A measured value and its confidence interval."""

    value: Any
    low: Any
    high: Any

    def __str__(self):
        return f"{100 * self.value:.1f} % ({100 * self.low:.1f} to {100 * self.high:.1f})"


def wilson(correct: Any, count: Any, level: float = LEVEL) -> Interval:
    """Wilson's score interval of a fraction (Wilson 1927).

    Args:
        correct: number of successes; arrays are allowed.
        count: number of trials.
        level: confidence level.

    Returns:
        An `Interval`: the fraction and its bounds, accurate also near 0 and 1.
    """
    from scipy.special import ndtri

    correct, count = np.asarray(correct, np.float64), np.asarray(count, np.float64)
    if np.any(count <= 0) or np.any(correct < 0) or np.any(correct > count):
        raise ValueError(
            f"`correct` should be from 0 to `count`, and `count` at least 1. Received: {correct} of {count}"
        )
    z = ndtri((1 + check_level(level)) / 2)
    share = correct / count
    middle = (share + z**2 / (2 * count)) / (1 + z**2 / count)
    half = z / (1 + z**2 / count) * np.sqrt(share * (1 - share) / count + z**2 / (4 * count**2))
    low = np.where(correct == 0, 0.0, middle - half)  # exactly, where rounding leaves 1e-17
    high = np.where(correct == count, 1.0, middle + half)
    return Interval(share, low, high) if share.ndim else Interval(float(share), float(low), float(high))


def bootstrap(
    score: Callable, count: int, *, level: float = LEVEL, resamples: int = RESAMPLES, seed: int = 0
) -> Interval:
    """Percentile bootstrap interval of a score (Efron 1979).

    Args:
        score: function from indices of images to a number.
        count: number of images.
        level: confidence level.
        resamples: number of resamples.
        seed: random seed.

    Returns:
        An `Interval`: the score of all images and its bounds.
    """
    rng = np.random.default_rng(seed)
    values = np.array([score(rng.integers(0, count, count)) for _ in range(resamples)])
    outside = (1 - check_level(level)) / 2
    low, high = np.quantile(values, [outside, 1 - outside])
    return Interval(float(score(np.arange(count))), float(low), float(high))


def mcnemar(only_first: int, only_second: int) -> float:
    """McNemar's exact test of two classifiers on the same images (McNemar 1947).

    Args:
        only_first: number of images that only the first classifies correctly.
        only_second: number of images that only the second classifies correctly.

    Returns:
        The two-sided p of a binomial with probability 1/2; 1 if there are no such images.
    """
    from scipy.stats import binom

    few, count = min(only_first, only_second), only_first + only_second
    return min(1.0, 2 * float(binom.cdf(few, count, 0.5))) if count else 1.0


def check_level(level):
    if not 0 < level < 1:
        raise ValueError(f"`level` should be between 0 and 1, such as 0.95. Received: {level!r}")
    return level


SMALLEST_PROBABILITY = float(
    np.finfo(np.float32).tiny
)  # what a probability that fell to 0 in float32 counts for in a logarithm


def true_class_ranks(probs, labels):
    """How many classes stand before the true one of each image; of equal ones the first class stands first."""
    own = probs[np.arange(len(labels)), labels][:, None]
    before = np.arange(probs.shape[1]) < np.asarray(labels)[:, None]
    return ((probs > own) | ((probs == own) & before)).sum(axis=1)


def confusion_matrix(labels, predicted, classes):
    """Counts (classes, classes): images of the row's class that were taken for the column's."""
    pairs = np.asarray(labels) * classes + np.asarray(predicted)
    return np.bincount(pairs, minlength=classes * classes).reshape(classes, classes)


def balanced_accuracy(labels, predicted, classes):
    """The mean of the classes' accuracies, over classes that have images."""
    _, right, count, _ = class_counts(labels, predicted, classes)
    return float((right / count).mean())


def macro_f1(labels, predicted, classes):
    """The mean of the classes' F1 = 2 TP / (images + predictions), over classes that have images."""
    _, right, count, taken = class_counts(labels, predicted, classes)
    return float((2 * right / (count + taken)).mean())


def class_counts(labels, predicted, classes):
    """(which classes have images; of these: right ones, images, predictions)."""
    count = np.bincount(labels, minlength=classes)
    right = np.bincount(labels[labels == predicted], minlength=classes)
    taken = np.bincount(predicted, minlength=classes)
    there = np.flatnonzero(count)
    return there, right[there], count[there], taken[there]


def negative_log_likelihoods(probs, labels):
    """-log p(true class) of each image."""
    own = np.asarray(probs, np.float64)[np.arange(len(labels)), labels]
    return -np.log(np.maximum(own, SMALLEST_PROBABILITY))


def brier_scores(probs, labels):
    """Brier's sum over classes of (p - truth)^2 of each image, 0 to 2 (Brier 1950)."""
    probs = np.asarray(probs, np.float64)
    own = probs[np.arange(len(labels)), labels]
    return (probs**2).sum(axis=1) - 2 * own + 1


def probability_margins(probs, labels):
    """p(true class) less the largest other one, of each image; below 0 where it is wrong."""
    probs = np.asarray(probs, np.float64)
    rows = np.arange(len(labels))
    others = probs.copy()
    others[rows, labels] = -np.inf
    return probs[rows, labels] - others.max(axis=1)


def cohen_kappa(first, second):
    """Cohen's kappa of two lists of answers: (agreement - chance) / (1 - chance); 0 is chance, 1 always the same.

    Of two lists of right and wrong it is the error consistency of Geirhos et al. 2020. NaN where both always give one
    and the same answer, so that chance agrees always.
    """
    first, second = np.asarray(first), np.asarray(second)
    values = np.union1d(first, second)
    chance = sum(float((first == value).mean() * (second == value).mean()) for value in values)
    return (float((first == second).mean()) - chance) / (1 - chance) if chance < 1 else float("nan")
