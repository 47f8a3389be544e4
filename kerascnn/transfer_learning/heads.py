"""Classifiers on features: ridge, softmax, linear SVM, nearest neighbors."""

import warnings
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

MAX_ITERATIONS = 1000  # of L-BFGS and Newton's method
TOLERANCE = 1e-5
UNKNOWN_SCORE = -1e3  # score of a class without training images
NEIGHBOR_BLOCK = 1024  # images compared with all training images at once


class HeadKind(NamedTuple):
    """A kind of classifier: its fit for several penalties at once, strongest penalty first."""

    fit: Callable  # (rows, labels, classes, penalties) -> a function of rows to scores (penalties, n, classes)
    penalties: tuple
    title: str
    linear: bool = True


class LinearScores(NamedTuple):
    """Scores rows @ weights + bias, for each penalty."""

    weights: np.ndarray  # (penalties, d, classes)
    bias: np.ndarray  # (penalties, classes)

    def __call__(self, rows):
        return rows @ self.weights + self.bias[:, None]


def fit_ridge(rows, labels, classes, penalties):
    """Least squares with an L2 penalty, in closed form."""
    targets = plus_minus_targets(labels, classes)
    if len(penalties) == 1:  # many times faster than the decomposition
        from sklearn.linear_model import Ridge

        learner = Ridge(penalties[0], solver="cholesky").fit(np.asarray(rows, np.float64), targets)
        return LinearScores(learner.coef_.T[None], learner.intercept_[None])
    return LinearScores(*ridge_solutions(center_and_decompose(rows), targets, penalties))


def fit_softmax(rows, labels, classes, penalties):
    """Multinomial logistic regression by L-BFGS; each penalty starts from the solution of the one before.

    min_W,b  sum of -log p(label) + penalty / 2 |W|^2
    """
    from sklearn.linear_model import LogisticRegression

    return fit_penalties(
        LogisticRegression(warm_start=True, tol=TOLERANCE, max_iter=MAX_ITERATIONS), rows, labels, classes, penalties
    )


def fit_svm(rows, labels, classes, penalties):
    """Linear support vector machines, one class against the rest, with squared hinge loss."""
    from sklearn.svm import LinearSVC

    # the primal problem: after the rotation there are no more dimensions than rows
    return fit_penalties(
        LinearSVC(dual=False, tol=TOLERANCE, max_iter=MAX_ITERATIONS), rows, labels, classes, penalties
    )


def fit_penalties(learner, rows, labels, classes, penalties):
    """Scikit-learn's solutions for all penalties, in the row space of the features if that has fewer dimensions."""
    from sklearn.exceptions import ConvergenceWarning

    wide = rows.shape[1] > rows.shape[0]
    basis = np.linalg.qr(rows.T)[0] if wide else None  # a rotation leaves the penalty unchanged
    rows = rows @ basis if wide else rows
    weights, bias = [], []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # a nearly converged probe is good enough
        for penalty in penalties:
            learner.set_params(C=1 / penalty).fit(rows, labels)
            found = expand_to_all_classes(learner, classes)
            weights.append(basis @ found[0] if wide else found[0])
            bias.append(found[1])
    return LinearScores(np.stack(weights), np.stack(bias))


def expand_to_all_classes(learner, classes):
    """Weights and biases for all classes; a class without images gets a score below all others."""
    weights, bias, known = learner.coef_.T.astype(np.float64), learner.intercept_.astype(np.float64), learner.classes_
    if len(known) == 2:  # a single score, for the second class
        weights, bias = weights * [-0.5, 0.5], bias * [-0.5, 0.5]
    wide, low = np.zeros((len(weights), classes)), np.full(classes, UNKNOWN_SCORE)
    wide[:, known], low[known] = weights, bias
    return wide, low


def fit_knn(rows, labels, classes, numbers):
    """Log share of each class among the k nearest by cosine; one extra vote is spread over all classes."""
    training, most = unit_length(rows), min(max(numbers), len(rows))

    def scores(queries):
        parts = [
            unit_length(queries[start : start + NEIGHBOR_BLOCK]) @ training.T
            for start in range(0, len(queries), NEIGHBOR_BLOCK)
        ]
        nearest = np.concatenate([np.argsort(-part, axis=1, kind="stable")[:, :most] for part in parts])
        votes = np.cumsum(labels[nearest][..., None] == np.arange(classes), axis=1)
        return np.stack([np.log((votes[:, min(k, most) - 1] + 1 / classes) / (min(k, most) + 1)) for k in numbers])

    return scores


def single_threaded():
    """Run linear algebra on one thread: these matrices are small, and waiting threads cost more than they save."""
    from threadpoolctl import threadpool_limits

    return threadpool_limits(1)


def unit_length(rows):
    """Rows scaled to Euclidean norm 1."""
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-30)


HEADS = {
    "ridge": HeadKind(fit_ridge, tuple(10 ** np.arange(6, -1.5, -0.5)), "ridge"),
    "softmax": HeadKind(fit_softmax, tuple(10 ** np.arange(4, -0.5, -1.0)), "Softmax"),
    "svm": HeadKind(fit_svm, tuple(10 ** np.arange(4, 0.5, -1.0)), "SVM"),
    "knn": HeadKind(fit_knn, (20, 5, 1), "kNN", linear=False),
}

TINY = 1e-10  # eigenvalues below this fraction of the largest are rounding errors


class CenteredSVD(NamedTuple):
    """Rows (R, d), minus their mean, as U S V'."""

    mean: np.ndarray
    u: np.ndarray
    s: np.ndarray
    v: np.ndarray


def center_and_decompose(rows):
    """Singular value decomposition by the eigenvectors of the smaller Gram matrix."""
    rows = np.asarray(rows, np.float64)
    mean = rows.mean(axis=0)
    rows = rows - mean
    wide = rows.shape[1] > rows.shape[0]
    squares, vectors = np.linalg.eigh(rows @ rows.T if wide else rows.T @ rows)
    real = squares > TINY * max(squares[-1], TINY)
    s, vectors = np.sqrt(squares[real]), vectors[:, real]
    other = (rows.T if wide else rows) @ vectors / s
    return CenteredSVD(mean, vectors, s, other) if wide else CenteredSVD(mean, other, s, vectors)


def plus_minus_targets(labels, classes):
    """(R, classes): +1 for the true class, -1 for the others."""
    return np.where(labels[:, None] == np.arange(classes), 1.0, -1.0)


def ridge_solutions(svd, targets, penalties):
    """W (penalties, d, classes) and b (penalties, classes)."""
    middle = targets.mean(axis=0)
    right = svd.u.T @ (targets - middle)
    shrunk = svd.s / (svd.s**2 + np.asarray(penalties)[:, None])
    weights = svd.v @ (shrunk[:, :, None] * right)
    return weights, middle - svd.mean @ weights


def leave_group_out_scores(svd, targets, penalties, groups):
    """(penalties, R, classes): the scores of each row by ridge fitted to the rows of all other groups."""
    middle = targets.mean(axis=0)
    right = svd.u.T @ (targets - middle)
    blocks = rows_by_group_size(groups)
    scores = []
    for penalty in penalties:
        shrunk = svd.s**2 / (svd.s**2 + penalty)
        residuals = targets - middle - svd.u @ (shrunk[:, None] * right)
        left_out = np.empty_like(targets)
        for rows in blocks:  # (groups, size)
            u = svd.u[rows]
            hat = np.einsum("gir,r,gjr->gij", u, shrunk, u, optimize=True) + 1 / len(targets)
            left_out[rows] = targets[rows] - np.linalg.solve(np.eye(rows.shape[1]) - hat, residuals[rows])
        scores.append(left_out)
    return np.stack(scores)


def rows_by_group_size(groups):
    """Row numbers of the groups as arrays (groups, size), one array per size."""
    _, member, sizes = np.unique(np.asarray(groups), return_inverse=True, return_counts=True)
    order, starts = np.argsort(member, kind="stable"), np.cumsum(sizes) - sizes
    return [order[starts[sizes == size][:, None] + np.arange(size)] for size in np.unique(sizes)]
