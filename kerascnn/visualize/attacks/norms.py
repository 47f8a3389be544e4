"""What L2 and Linf have in common, for attacks: how long a change is, the shortest step along a slope, a ball."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from keras import ops

from ...support.store import digest
from ...support.text import unknown_name
from ..engine.query import RANGE

WINDOW, SIGMA = 11, 1.5  # pixels a side and spread of the Gaussian window (Wang et al. 2004, section III.B)


def l2(change):
    """sqrt(sum d^2) of each image."""
    return np.sqrt(np.square(change, dtype=np.float64).reshape(len(change), -1).sum(1))


def linf(change):
    """max |d| of each image."""
    return np.abs(change).reshape(len(change), -1).max(1).astype(np.float64)


def rms(change):
    """sqrt(sum d^2 / n) of each image: the distortion of Szegedy et al. 2014."""
    return l2(change) / np.sqrt(np.prod(change.shape[1:]))


def ssim(one, other):
    """Mean structural similarity of each pair of images (N, H, W, C), Wang et al. 2004; over colors the mean.

    ((2 m1 m2 + c1) (2 s12 + c2)) / ((m1^2 + m2^2 + c1) (s1^2 + s2^2 + c2)) in Gaussian windows of 11x11 that lie
    within the image; smaller images have one window as large as they are.
    """
    one, other = np.asarray(one, np.float64), np.asarray(other, np.float64)
    mean = gaussian_windows(one.shape[1:3])
    c1, c2 = (0.01 * RANGE) ** 2, (0.03 * RANGE) ** 2
    m1, m2 = mean(one), mean(other)
    v1, v2, cov = mean(one * one) - m1 * m1, mean(other * other) - m2 * m2, mean(one * other) - m1 * m2
    same = (2 * m1 * m2 + c1) * (2 * cov + c2) / ((m1 * m1 + m2 * m2 + c1) * (v1 + v2 + c2))
    return same.mean((1, 2, 3))


def gaussian_windows(size):
    """The function that takes the mean in every window that lies within (N, H, W, C)."""
    from scipy.ndimage import correlate1d

    def mean(values):
        for axis, side in enumerate(size, start=1):
            length = min(WINDOW, side)
            at = np.arange(length) - (length - 1) / 2
            weights = np.exp(-(at**2) / (2 * SIGMA**2))
            values = correlate1d(values, weights / weights.sum(), axis, mode="nearest")
            first = length // 2
            values = np.take(values, np.arange(first, first + side - length + 1), axis)
        return values

    return mean


TINY = 1e-20


@dataclass(frozen=True)
class Norm:
    """A norm of changes (N, H, W, C).

    ``shortest_step(slope, by)`` is the shortest change whose product with ``slope`` is ``by`` (N,);
    ``project(change, size)`` the nearest change of at most that size; ``steepest_step(slope)`` the change of size 1
    whose product with ``slope`` is largest.
    """

    name: str
    measure: Callable  # of numpy arrays
    length: Callable  # the same of tensors
    shortest_step: Callable
    project: Callable
    steepest_step: Callable
    sample: Callable  # (rng, shape) -> a change drawn evenly from the ball of size 1


def expand_axes(values):
    """(N,) beside (N, H, W, C)."""
    return values[:, None, None, None]


def dot(a, b):
    return ops.sum(a * b, (1, 2, 3))


def l2_norm(change):
    return ops.sqrt(dot(change, change))


def linf_norm(change):
    return ops.max(ops.abs(change), (1, 2, 3))


def l2_shortest_step(slope, by):
    return expand_axes(by / (dot(slope, slope) + TINY)) * slope


def l2_project(change, size):
    return change * expand_axes(ops.minimum(1.0, size / (l2_norm(change) + TINY)))


def l2_steepest_step(slope):
    return slope / (expand_axes(l2_norm(slope)) + TINY)


def l2_sample(rng, shape):
    drawn = rng.standard_normal(shape)
    return drawn / np.linalg.norm(drawn) * rng.uniform() ** (1 / drawn.size)


def linf_shortest_step(slope, by):
    return expand_axes(by / (ops.sum(ops.abs(slope), (1, 2, 3)) + TINY)) * ops.sign(slope)


def linf_project(change, size):
    return ops.clip(change, -expand_axes(size), expand_axes(size))


def linf_sample(rng, shape):
    return rng.uniform(-1, 1, shape)


NORMS = {
    "l2": Norm("l2", l2, l2_norm, l2_shortest_step, l2_project, l2_steepest_step, l2_sample),
    "linf": Norm("linf", linf, linf_norm, linf_shortest_step, linf_project, ops.sign, linf_sample),
}


def scale_l2_to_shape(reach, shape):
    """An L2 length for images of a shape (H, W, C) that is ``reach`` for 224x224x3: the same for each value."""
    return reach * np.sqrt(np.prod(shape) / (224 * 224 * 3))


def random_start(pixels, norm, size, *seed):
    """A random place in the ball around each image (N, H, W, C) of 0..255, and in the range.

    It is the image's own: the seed and the pixels say where it is, not what else is in the batch.
    """
    places = [norm.sample(np.random.default_rng(int(digest(*seed, each), 16)), each.shape) for each in pixels]
    return np.clip(pixels + np.float32(size) * np.stack(places).astype(np.float32), 0, 255).astype(np.float32)


def find_norm(name):
    if name not in NORMS:
        raise ValueError(unknown_name("norm", name, NORMS))
    return NORMS[name]


FACTORS, HALVINGS = 1.25 ** np.arange(0, 16), 5  # multiples of a change that are tried; halvings of the gap between two


def round_change(task, changed, size=np.inf, norm=None):
    """The least multiple of each change that fools in integer pixels; the rounded change itself where none does.

    Rounding keeps a change where it is more than half a pixel value: where the gradient is large. With a ``size``,
    rounding is toward the image, and a change that fools already is not made smaller.
    """
    change = changed - task.pixels
    low, high = np.zeros(len(changed)), np.full(len(changed), np.inf)
    best = round_within(task.pixels, change, size, norm)

    def try_on(factor):
        tried = round_within(task.pixels, change * expand_axes(factor), size, norm)
        fooled = task.margins(tried)[0] < 0
        better = fooled & (factor < high)
        best[better], high[better] = tried[better], factor[better]
        low[~fooled] = np.maximum(low, factor)[~fooled]

    for factor in FACTORS:
        if np.isfinite(high).all():
            break
        try_on(np.where(np.isfinite(high), high, factor))
    for _ in range(HALVINGS if np.isfinite(high).any() and not np.isfinite(size) else 0):
        try_on(np.where(np.isfinite(high), (low + high) / 2, FACTORS[-1]))
    return best


def round_within(pixels, change, size, norm):
    """Integer pixels near pixels + change, no further from the pixels than ``size``."""
    tried = np.round(np.clip(pixels + change, 0, 255))
    if norm is None or not np.isfinite(size):
        return tried.astype(np.float32)
    if norm.name == "linf":
        inside = np.clip(tried, np.ceil(pixels - size), np.floor(pixels + size))
    else:
        inside = np.where(expand_axes(norm.measure(tried - pixels)) <= size, tried, pixels)
    return np.clip(inside, 0, 255).astype(np.float32)


def keep_best(state, tried, value, valid=True):
    """{best, least} of a state after a look: the place of the least value of those that are valid."""
    better = (value < state["least"]) & valid
    return {
        "best": ops.where(expand_axes(better), tried, state["best"]),
        "least": ops.where(better, value, state["least"]),
    }
