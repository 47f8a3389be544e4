"""What L2 and Linf have in common, for attacks: how long a change is, the shortest step along a slope, a ball."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from keras import ops

from ..registry import unknown
from . import distortions

TINY = 1e-20


@dataclass(frozen=True)
class Norm:
    """A norm of changes (N, H, W, C).

    ``shortest(slope, by)`` is the shortest change whose product with ``slope`` is ``by`` (N,); ``within(change, size)``
    the nearest change of at most that size; ``steepest(slope)`` the change of size 1 whose product is largest.
    """

    name: str
    measure: Callable  # of numpy arrays
    shortest: Callable
    within: Callable
    steepest: Callable
    inside: Callable  # (rng, shape) -> a change drawn evenly from the ball of size 1


def rows(values):
    """(N,) beside (N, H, W, C)."""
    return values[:, None, None, None]


def dot(one, other):
    return ops.sum(one * other, (1, 2, 3))


def length(change):
    return ops.sqrt(dot(change, change))


def l2_shortest(slope, by):
    return rows(by / (dot(slope, slope) + TINY)) * slope


def l2_within(change, size):
    return change * rows(ops.minimum(1.0, size / (length(change) + TINY)))


def l2_steepest(slope):
    return slope / (rows(length(slope)) + TINY)


def l2_inside(rng, shape):
    drawn = rng.standard_normal(shape)
    return drawn / np.linalg.norm(drawn) * rng.uniform() ** (1 / drawn.size)


def linf_shortest(slope, by):
    return rows(by / (ops.sum(ops.abs(slope), (1, 2, 3)) + TINY)) * ops.sign(slope)


def linf_within(change, size):
    return ops.clip(change, -rows(size), rows(size))


NORMS = {
    "l2": Norm("l2", distortions.l2, l2_shortest, l2_within, l2_steepest, l2_inside),
    "linf": Norm(
        *("linf", distortions.linf, linf_shortest, linf_within, ops.sign), lambda rng, shape: rng.uniform(-1, 1, shape)
    ),
}


def norm_of(name):
    if name not in NORMS:
        raise ValueError(unknown("norm", name, NORMS))
    return NORMS[name]
