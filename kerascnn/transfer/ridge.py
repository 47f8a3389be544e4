"""Ridge regression to targets +1 and -1: all penalties at once, and what it says of images that it was not shown.

    min_W,b  |X W + b - Y|^2 + penalty |W|^2

With the centred X = U S V', the fit is U S^2 / (S^2 + penalty) U' Y. What a fit without the rows g says of them is
Y_g - (I - H_gg)^-1 (Y - fit)_g with the hat matrix H: exact, without fitting again (Allen 1974, PRESS).
"""

from typing import NamedTuple

import numpy as np

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


def solution(rows, targets, penalty):
    """W (1, d, classes) and b (1, classes) for one penalty, by Cholesky's factor of the smaller Gram matrix."""
    from scipy.linalg import solve

    mean, middle = rows.mean(axis=0), targets.mean(axis=0)
    rows, targets = rows - mean, targets - middle
    wide = rows.shape[1] > rows.shape[0]
    gram = rows @ rows.T if wide else rows.T @ rows
    gram.flat[:: len(gram) + 1] += penalty
    weights = solve(gram, targets if wide else rows.T @ targets, assume_a="pos")
    weights = rows.T @ weights if wide else weights
    return weights[None], (middle - mean @ weights)[None]


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
