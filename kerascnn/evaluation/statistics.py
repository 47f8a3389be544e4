"""Statistics of classification: intervals, tests, and scores per image or class."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

LEVEL = 0.95  # confidence level
RESAMPLES = 1000
SMALLEST_PROBABILITY = float(np.finfo(np.float32).tiny)  # replaces a float32 probability of 0 before its logarithm


class Interval(NamedTuple):
    """A measured value and its confidence interval.

    Printed as a percentage: "57.6 % (55.0 to 60.1)".

    Attributes:
        value: the measured value; an array if several are measured at once.
        low: lower bound.
        high: upper bound.
    """

    value: Any
    low: Any
    high: Any

    def __str__(self):
        return f"{100 * self.value:.1f} % ({100 * self.low:.1f} to {100 * self.high:.1f})"


def wilson(correct: Any, count: Any, level: float = LEVEL) -> Interval:
    """Wilson's score interval of a fraction (Wilson 1927).

    Args:
        correct: number of successes, or an array of such numbers.
        count: number of trials, of the same shape.
        level: confidence level.

    Returns:
        An `Interval`: the fraction and its bounds. It stays within 0 to 1 and is accurate near both ends.
    """
    from scipy.special import ndtri

    correct, count = np.asarray(correct, np.float64), np.asarray(count, np.float64)
    if np.any(count <= 0) or np.any(correct < 0) or np.any(correct > count):
        raise ValueError(
            f"`correct` should be from 0 to `count`, and `count` at least 1. Received: {correct} of {count}"
        )
    z = ndtri((1 + check_level(level)) / 2)
    fraction = correct / count
    center = (fraction + z**2 / (2 * count)) / (1 + z**2 / count)
    half_width = z / (1 + z**2 / count) * np.sqrt(fraction * (1 - fraction) / count + z**2 / (4 * count**2))
    low = np.where(correct == 0, 0.0, center - half_width)  # exactly 0; rounding would leave 1e-17
    high = np.where(correct == count, 1.0, center + half_width)

    if fraction.ndim:
        return Interval(value=fraction, low=low, high=high)
    return Interval(value=float(fraction), low=float(low), high=float(high))


def bootstrap(
    score: Callable, count: int, *, level: float = LEVEL, resamples: int = RESAMPLES, seed: int = 0
) -> Interval:
    """Percentile bootstrap interval of a score (Efron 1979).

    Args:
        score: function from an array of image indices to a number.
        count: number of images.
        level: confidence level.
        resamples: number of times that the images are resampled with replacement.
        seed: random seed.

    Returns:
        An `Interval`: the score on all images and its bounds.
    """
    rng = np.random.default_rng(seed)
    scores = np.array([score(rng.integers(0, count, count)) for _ in range(resamples)])
    tail = (1 - check_level(level)) / 2
    low, high = np.quantile(scores, [tail, 1 - tail])
    return Interval(value=float(score(np.arange(count))), low=float(low), high=float(high))


def mcnemar(only_first: int, only_second: int) -> float:
    """McNemar's exact test of two classifiers on the same images (McNemar 1947).

    Args:
        only_first: number of images that only the first classifies correctly.
        only_second: number of images that only the second classifies correctly.

    Returns:
        The two-sided p-value of a binomial test with probability 1/2; 1 if there are no such images.
    """
    from scipy.stats import binom

    count = only_first + only_second
    if not count:
        return 1.0
    return min(1.0, 2 * float(binom.cdf(min(only_first, only_second), count, 0.5)))


def check_level(level):
    """The confidence level, checked to be a fraction."""
    if not 0 < level < 1:
        raise ValueError(f"`level` should be between 0 and 1, such as 0.95. Received: {level!r}")
    return level


def true_class_ranks(probs, labels):
    """Rank of the true class of each image, from 0; of equal probabilities the first class ranks higher."""
    p_true = probs[np.arange(len(labels)), labels][:, None]
    is_earlier_class = np.arange(probs.shape[1]) < np.asarray(labels)[:, None]
    ranks_higher = (probs > p_true) | ((probs == p_true) & is_earlier_class)
    return ranks_higher.sum(axis=1)


def confusion_matrix(labels, predicted, classes):
    """Number of images for each pair of true class (row) and predicted class (column)."""
    pairs = np.asarray(labels) * classes + np.asarray(predicted)
    return np.bincount(pairs, minlength=classes * classes).reshape(classes, classes)


def balanced_accuracy(labels, predicted, classes):
    """Mean accuracy of the classes that have images."""
    counts = class_counts(labels, predicted, classes)
    return float((counts.correct / counts.images).mean())


def macro_f1(labels, predicted, classes):
    """Mean F1 = 2 TP / (images + predictions) of the classes that have images."""
    counts = class_counts(labels, predicted, classes)
    return float((2 * counts.correct / (counts.images + counts.predictions)).mean())


class ClassCounts(NamedTuple):
    """Counts for each class that has images."""

    numbers: np.ndarray  # class numbers
    correct: np.ndarray  # correctly classified images
    images: np.ndarray  # images of the class
    predictions: np.ndarray  # images that are predicted to be of the class


def class_counts(labels, predicted, classes):
    """Count images, predictions and correct predictions of each class that has images."""
    images = np.bincount(labels, minlength=classes)
    correct = np.bincount(labels[labels == predicted], minlength=classes)
    predictions = np.bincount(predicted, minlength=classes)
    numbers = np.flatnonzero(images)
    return ClassCounts(
        numbers=numbers, correct=correct[numbers], images=images[numbers], predictions=predictions[numbers]
    )


def negative_log_likelihoods(probs, labels):
    """-log p(true class) of each image."""
    p_true = np.asarray(probs, np.float64)[np.arange(len(labels)), labels]
    return -np.log(np.maximum(p_true, SMALLEST_PROBABILITY))


def brier_scores(probs, labels):
    """Brier score of each image: the sum over classes of (p - truth)^2, 0 to 2 (Brier 1950)."""
    probs = np.asarray(probs, np.float64)
    p_true = probs[np.arange(len(labels)), labels]
    return (probs**2).sum(axis=1) - 2 * p_true + 1


def probability_margins(probs, labels):
    """p(true class) minus the largest probability of another class; negative for misclassified images."""
    probs = np.asarray(probs, np.float64)
    rows = np.arange(len(labels))
    other_probs = probs.copy()
    other_probs[rows, labels] = -np.inf
    return probs[rows, labels] - other_probs.max(axis=1)


def cohen_kappa(first, second):
    """Cohen's kappa of two lists of answers: (agreement - chance) / (1 - chance).

    0 is agreement by chance, 1 full agreement. For lists of "correct or not" it is the error consistency of Geirhos et
    al. 2020. NaN if both lists hold a single answer, the same one, so that chance alone gives full agreement.
    """
    first, second = np.asarray(first), np.asarray(second)
    answers = np.union1d(first, second)
    chance = sum(float((first == answer).mean() * (second == answer).mean()) for answer in answers)
    if chance >= 1:
        return float("nan")
    return (float((first == second).mean()) - chance) / (1 - chance)
