"""How sure a measured number is: Wilson's interval of a share, the bootstrap, and McNemar's exact test."""

from typing import NamedTuple

import numpy as np

LEVEL, RESAMPLES = 0.95, 1000


class Interval(NamedTuple):
    """A measured value and where the true one may lie."""

    value: float
    low: float
    high: float

    def __str__(self):
        return f"{100 * self.value:.1f} % ({100 * self.low:.1f} to {100 * self.high:.1f})"


def wilson(right, count, level=LEVEL):
    """Wilson's score interval of a share ``right / count``, good also near 0 and 1 (Wilson 1927); arrays too."""
    from scipy.special import ndtri

    right, count = np.asarray(right, np.float64), np.asarray(count, np.float64)
    if np.any(count <= 0) or np.any(right < 0) or np.any(right > count):
        raise ValueError(f"`right` should be 0 to `count`, which is at least 1. Received: {right} of {count}")
    z = ndtri((1 + checked(level)) / 2)
    share = right / count
    middle = (share + z**2 / (2 * count)) / (1 + z**2 / count)
    half = z / (1 + z**2 / count) * np.sqrt(share * (1 - share) / count + z**2 / (4 * count**2))
    low = np.where(right == 0, 0.0, middle - half)  # exactly, where rounding leaves 1e-17
    high = np.where(right == count, 1.0, middle + half)
    return Interval(share, low, high) if share.ndim else Interval(float(share), float(low), float(high))


def bootstrap(score, count, *, level=LEVEL, resamples=RESAMPLES, seed=0):
    """The percentile interval of ``score(indices)`` over ``count`` images drawn again and again (Efron 1979)."""
    rng = np.random.default_rng(seed)
    values = np.array([score(rng.integers(0, count, count)) for _ in range(resamples)])
    outside = (1 - checked(level)) / 2
    low, high = np.quantile(values, [outside, 1 - outside])
    return Interval(float(score(np.arange(count))), float(low), float(high))


def mcnemar(only_first, only_second):
    """Exact two-sided p that two classifiers are equally good, from the images that only one has right.

    Binomial with p = 1/2 over these images (McNemar 1947); 1 where there are none.
    """
    from scipy.stats import binom

    few, count = min(only_first, only_second), only_first + only_second
    return min(1.0, 2 * float(binom.cdf(few, count, 0.5))) if count else 1.0


def checked(level):
    if not 0 < level < 1:
        raise ValueError(f"`level` should be between 0 and 1, such as 0.95. Received: {level!r}")
    return level
