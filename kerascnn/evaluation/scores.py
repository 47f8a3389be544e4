"""Scores of a classifier as plain numbers: (N, classes) probabilities and (N,) labels in, one number out."""

import numpy as np

LEAST = float(np.finfo(np.float32).tiny)  # what a probability that fell to 0 in float32 counts for in a logarithm


def ranks(probs, labels):
    """How many classes stand before the true one of each image; of equal ones the first class stands first."""
    own = probs[np.arange(len(labels)), labels][:, None]
    before = np.arange(probs.shape[1]) < np.asarray(labels)[:, None]
    return ((probs > own) | ((probs == own) & before)).sum(axis=1)


def confusion(labels, predicted, classes):
    """Counts (classes, classes): images of the row's class that were taken for the column's."""
    pairs = np.asarray(labels) * classes + np.asarray(predicted)
    return np.bincount(pairs, minlength=classes * classes).reshape(classes, classes)


def balanced(labels, predicted, classes):
    """The mean of the classes' accuracies, over classes that have images."""
    _, right, count, _ = counts(labels, predicted, classes)
    return float((right / count).mean())


def macro_f1(labels, predicted, classes):
    """The mean of the classes' F1 = 2 TP / (images + predictions), over classes that have images."""
    _, right, count, taken = counts(labels, predicted, classes)
    return float((2 * right / (count + taken)).mean())


def counts(labels, predicted, classes):
    """(which classes have images; of these: right ones, images, predictions)."""
    count = np.bincount(labels, minlength=classes)
    right = np.bincount(labels[labels == predicted], minlength=classes)
    taken = np.bincount(predicted, minlength=classes)
    there = np.flatnonzero(count)
    return there, right[there], count[there], taken[there]


def surprises(probs, labels):
    """-log p(true class) of each image."""
    own = np.asarray(probs, np.float64)[np.arange(len(labels)), labels]
    return -np.log(np.maximum(own, LEAST))


def squares(probs, labels):
    """Brier's sum over classes of (p - truth)^2 of each image, 0 to 2 (Brier 1950)."""
    probs = np.asarray(probs, np.float64)
    own = probs[np.arange(len(labels)), labels]
    return (probs**2).sum(axis=1) - 2 * own + 1


def margins(probs, labels):
    """p(true class) less the largest other one, of each image; below 0 where it is wrong."""
    probs = np.asarray(probs, np.float64)
    rows = np.arange(len(labels))
    others = probs.copy()
    others[rows, labels] = -np.inf
    return probs[rows, labels] - others.max(axis=1)


def kappa(first, second):
    """Cohen's kappa of two lists of answers: (agreement - chance) / (1 - chance); 0 is chance, 1 always the same.

    Of two lists of right and wrong it is the error consistency of Geirhos et al. 2020. NaN where both always give one
    and the same answer, so that chance agrees always.
    """
    first, second = np.asarray(first), np.asarray(second)
    values = np.union1d(first, second)
    chance = sum(float((first == value).mean() * (second == value).mean()) for value in values)
    return (float((first == second).mean()) - chance) / (1 - chance) if chance < 1 else float("nan")
