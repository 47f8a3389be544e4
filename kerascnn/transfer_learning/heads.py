"""The classifiers that are put on features: ridge, softmax, a linear SVM, nearest neighbors."""

import warnings
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

STEPS = 1000  # of L-BFGS and of Newton's method, at most
TOLERANCE = 1e-5
LAST = -1e3  # the score of a class that a classifier does not know
BLOCK = 1024  # images whose neighbors are looked for at once


class Kind(NamedTuple):
    """A classifier: how it learns for all penalties at once, and what these are, the strongest first."""

    learn: Callable  # (rows, labels, classes, penalties) -> a function of rows to scores (penalties, n, classes)
    penalties: tuple
    title: str
    linear: bool = True


class Linear(NamedTuple):
    """Scores are rows @ weights + bias, for each penalty."""

    weights: np.ndarray  # (penalties, d, classes)
    bias: np.ndarray  # (penalties, classes)

    def __call__(self, rows):
        return rows @ self.weights + self.bias[:, None]


def ridge(rows, labels, classes, penalties):
    """Least squares, in closed form."""
    targets = signs(labels, classes)
    if len(penalties) == 1:  # many times faster than all of them
        from sklearn.linear_model import Ridge

        learner = Ridge(penalties[0], solver="cholesky").fit(np.asarray(rows, np.float64), targets)
        return Linear(learner.coef_.T[None], learner.intercept_[None])
    return Linear(*solutions(decomposed(rows), targets, penalties))


def softmax(rows, labels, classes, penalties):
    """Multinomial logistic regression by L-BFGS, each penalty from where the one before ended.

    min_W,b  sum of -log p(label) + penalty / 2 |W|^2
    """
    from sklearn.linear_model import LogisticRegression

    return along(LogisticRegression(warm_start=True, tol=TOLERANCE, max_iter=STEPS), rows, labels, classes, penalties)


def svm(rows, labels, classes, penalties):
    """Linear support vector machines, one class against the others, with squared hinges."""
    from sklearn.svm import LinearSVC

    # the primal: after the rotation there are never many more dimensions than rows
    return along(LinearSVC(dual=False, tol=TOLERANCE, max_iter=STEPS), rows, labels, classes, penalties)


def along(learner, rows, labels, classes, penalties):
    """Scikit-learn's solutions for all penalties, in the rows' own basis where that has fewer dimensions."""
    from sklearn.exceptions import ConvergenceWarning

    wide = rows.shape[1] > rows.shape[0]
    basis = np.linalg.qr(rows.T)[0] if wide else None  # penalties do not change by a rotation
    rows = rows @ basis if wide else rows
    weights, bias = [], []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # a probe that is not quite done is a probe
        for penalty in penalties:
            learner.set_params(C=1 / penalty).fit(rows, labels)
            found = spread(learner, classes)
            weights.append(basis @ found[0] if wide else found[0])
            bias.append(found[1])
    return Linear(np.stack(weights), np.stack(bias))


def spread(learner, classes):
    """Weights and biases for all classes; those without an image come last."""
    weights, bias, known = learner.coef_.T.astype(np.float64), learner.intercept_.astype(np.float64), learner.classes_
    if len(known) == 2:  # one score, which speaks for the second class
        weights, bias = weights * [-0.5, 0.5], bias * [-0.5, 0.5]
    wide, low = np.zeros((len(weights), classes)), np.full(classes, LAST)
    wide[:, known], low[known] = weights, bias
    return wide, low


def neighbors(rows, labels, classes, numbers):
    """The share of each class among the k nearest by cosine, as logarithms; one vote is spread over all classes."""
    shown, most = unit(rows), min(max(numbers), len(rows))

    def scores(asked):
        parts = [unit(asked[start : start + BLOCK]) @ shown.T for start in range(0, len(asked), BLOCK)]
        nearest = np.concatenate([np.argsort(-part, axis=1, kind="stable")[:, :most] for part in parts])
        votes = np.cumsum(labels[nearest][..., None] == np.arange(classes), axis=1)
        return np.stack([np.log((votes[:, min(k, most) - 1] + 1 / classes) / (min(k, most) + 1)) for k in numbers])

    return scores


def alone():
    """Linear algebra on one thread: these matrices are small, and threads that wait for each other cost more."""
    from threadpoolctl import threadpool_limits

    return threadpool_limits(1)


def unit(rows):
    """Rows of length 1."""
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-30)


HEADS = {
    "ridge": Kind(ridge, tuple(10 ** np.arange(6, -1.5, -0.5)), "ridge"),
    "softmax": Kind(softmax, tuple(10 ** np.arange(4, -0.5, -1.0)), "Softmax"),
    "svm": Kind(svm, tuple(10 ** np.arange(4, 0.5, -1.0)), "SVM"),
    "knn": Kind(neighbors, (20, 5, 1), "kNN", linear=False),
}

TINY = 1e-10  # of the largest eigenvalue, below which there is but rounding


class Decomposed(NamedTuple):
    """Rows (R, d), less their mean, as U S V'."""

    mean: np.ndarray
    u: np.ndarray
    s: np.ndarray
    v: np.ndarray


def decomposed(rows):
    """By the eigenvectors of the smaller Gram matrix."""
    rows = np.asarray(rows, np.float64)
    mean = rows.mean(axis=0)
    rows = rows - mean
    wide = rows.shape[1] > rows.shape[0]
    squares, vectors = np.linalg.eigh(rows @ rows.T if wide else rows.T @ rows)
    real = squares > TINY * max(squares[-1], TINY)
    s, vectors = np.sqrt(squares[real]), vectors[:, real]
    other = (rows.T if wide else rows) @ vectors / s
    return Decomposed(mean, vectors, s, other) if wide else Decomposed(mean, other, s, vectors)


def signs(labels, classes):
    """(R, classes): +1 for the own class, -1 for the others."""
    return np.where(labels[:, None] == np.arange(classes), 1.0, -1.0)


def solutions(found, targets, penalties):
    """W (penalties, d, classes) and b (penalties, classes)."""
    middle = targets.mean(axis=0)
    right = found.u.T @ (targets - middle)
    shrunk = found.s / (found.s**2 + np.asarray(penalties)[:, None])
    weights = found.v @ (shrunk[:, :, None] * right)
    return weights, middle - found.mean @ weights


def left_out(found, targets, penalties, groups):
    """(penalties, R, classes): what a fit to all rows of other groups says of a row."""
    middle = targets.mean(axis=0)
    right = found.u.T @ (targets - middle)
    blocks = equally_large(groups)
    said = []
    for penalty in penalties:
        shrunk = found.s**2 / (found.s**2 + penalty)
        residuals = targets - middle - found.u @ (shrunk[:, None] * right)
        answers = np.empty_like(targets)
        for rows in blocks:  # (groups, size)
            u = found.u[rows]
            hat = np.einsum("gir,r,gjr->gij", u, shrunk, u, optimize=True) + 1 / len(targets)
            answers[rows] = targets[rows] - np.linalg.solve(np.eye(rows.shape[1]) - hat, residuals[rows])
        said.append(answers)
    return np.stack(said)


def equally_large(groups):
    """The rows of each group, as arrays (groups, size), one for each size."""
    _, member, sizes = np.unique(np.asarray(groups), return_inverse=True, return_counts=True)
    order, starts = np.argsort(member, kind="stable"), np.cumsum(sizes) - sizes
    return [order[starts[sizes == size][:, None] + np.arange(size)] for size in np.unique(sizes)]
