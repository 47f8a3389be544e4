"""What is done to a canvas after a step: regularizers that are not a term of the score (Yosinski et al. 2015).

``act(x, gradient)`` takes pixels minus gray and the last gradient, (N, H, W, C), and gives x; each image by itself.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from keras import ops

from ..engine.scores import INPUT, Score
from .params import GRAY
from .transforms import blur

LEAST_BLUR = 0.3  # pixels; below, the neighbor's weight is under 0.4 % (Yosinski's own advice)
PLACES = (1, 2, 3)  # axes of an image


@dataclass(frozen=True, eq=False)
class Regularizer:
    """``act(x, gradient) -> x``, done at every ``every``-th step. Operators of equal ``key`` act the same."""

    name: str
    apply: Callable = field(repr=False)
    every: int = 1
    key: tuple = field(default=(), repr=False)

    def __post_init__(self):
        if self.every < 1:
            raise ValueError(f"`every` should be at least 1. Received: {self.every}")


def decay(fraction):
    """x (1 - share)."""
    if not 0 <= fraction <= 1:
        raise ValueError(f"`share` should be from 0 to 1. Received: {fraction}")
    return _regularizer("decay", (fraction,), lambda x, _: x * (1 - fraction))


def gaussian_blur(sigma, every=1):
    """Gaussian blur at every ``every``-th step."""
    if sigma < LEAST_BLUR:
        raise ValueError(f"`sigma` should be at least {LEAST_BLUR}, as less does nothing. Received: {sigma}")
    return _regularizer("gaussian blur", (sigma,), lambda x, _: blur(x, sigma), every)


def zero_small_values(percent):
    """Zero where |x| is below the image's percentile."""
    return _zero_below_percentile("small values", percent, lambda x, _: ops.abs(x))


def zero_small_norms(percent):
    """Zero where the norm of a pixel's color is below the image's percentile."""
    return _zero_below_percentile(
        "small norm", percent, lambda x, _: ops.sqrt(ops.sum(ops.square(x), -1, keepdims=True))
    )


def zero_small_contributions(percent):
    """Zero where |sum_c gradient x|, what a pixel adds to the score, is below the image's percentile."""
    return _zero_below_percentile(
        "small contribution", percent, lambda x, g: ops.abs(ops.sum(g * x, -1, keepdims=True))
    )


def limit_norm(radius):
    """Onto the sphere ||x||_2 = radius, the norm of all pixels of an image (Erhan et al. 2009); zeros stay zeros."""
    _check_positive("radius", radius)
    return _regularizer("fixed norm", (radius,), lambda x, _: x * radius / ops.maximum(_l2_norm(x), 1e-12))


def project_to_ball(radius, order=2):
    """The nearest point with ||x|| <= radius: an image's Euclidean norm or, with ``order`` inf, its largest value."""
    _check_positive("radius", radius)
    if order not in (2, np.inf):
        raise ValueError(f"`order` should be 2 or inf. Received: {order!r}")
    nearest = {
        2: lambda x, _: x * ops.minimum(1.0, radius / ops.maximum(_l2_norm(x), 1e-12)),
        np.inf: lambda x, _: ops.clip(x, -radius, radius),
    }
    return _regularizer("ball", (radius, order), nearest[order])


def clip_values(low, high):
    """Cut off below ``low`` and above ``high``, pixels minus gray: numbers, or tuples of one a channel."""
    floor, ceiling = np.asarray(low, np.float32), np.asarray(high, np.float32)
    if (floor > ceiling).any():
        raise ValueError(f"`low` should be at most `high`. Received: {low}, {high}")
    return _regularizer("clip values", (low, high), lambda x, _: ops.minimum(ops.maximum(x, floor), ceiling))


def _regularizer(name, settings, act, every=1):
    often = "" if every == 1 else f" every {every}"
    return Regularizer(f"{name} {', '.join(map(str, settings))}{often}", act, every, (name, *settings))


def _zero_below_percentile(name, percent, measure):
    if not 0 <= percent <= 100:
        raise ValueError(f"`percent` should be from 0 to 100. Received: {percent}")

    def act(x, gradient):
        size = measure(x, gradient)
        flat = ops.reshape(size, (-1, int(np.prod(size.shape[1:]))))
        limit = ops.quantile(flat, percent / 100, 1)
        return ops.where(size < limit[:, None, None, None], 0.0, x)

    return _regularizer(name, (percent,), act)


def _l2_norm(x):
    return ops.sqrt(ops.sum(ops.square(x), PLACES, keepdims=True))


def _check_positive(argument, value):
    if value <= 0:
        raise ValueError(f"`{argument}` should be above 0. Received: {value}")


TINY = 1e-12  # of a square: where a root has no gradient, take none


def variation(power: float = 2.0, form: str = "isotropic") -> Score:
    """Total variation of the image, a measure of its roughness.

    Sum over colors, mean over pixels, of (dx^2 + dy^2)^(power / 2), with differences to the right and down, none beyond
    the border (Mahendran & Vedaldi 2015).

    Args:
        power: exponent; the paper's beta.
        form: "isotropic", or "anisotropic" for |dx|^power + |dy|^power, as other libraries have it with power 1.

    Returns:
        A `Score`.
    """
    if form not in ("isotropic", "anisotropic"):
        raise ValueError(f"`form` should be isotropic or anisotropic. Received: {form!r}")
    _check_positive("power", power)

    def of(acts):
        x = acts[INPUT]
        if form == "anisotropic":
            parts = _absolute_power(x[:, 1:] - x[:, :-1], power), _absolute_power(x[:, :, 1:] - x[:, :, :-1], power)
        else:  # the last row and column once more: a fraction of the time that padding differences takes
            down = ops.square(ops.concatenate([x[:, 1:], x[:, -1:]], 1) - x)
            right = ops.square(ops.concatenate([x[:, :, 1:], x[:, :, -1:]], 2) - x)
            parts = (_power_of_squares(down + right, power),)
        return sum(ops.sum(part, (1, 2, 3)) for part in parts) / (x.shape[1] * x.shape[2])

    return Score((INPUT,), of, f"{form} variation^{power:g}", (), ("variation", power, form))


def norm_score(power=2.0, gray=GRAY):
    """Mean of |x - gray|^power over pixels and colors: 2 is Simonyan's prior, 6 that of Mahendran & Vedaldi."""
    _check_positive("power", power)
    of = lambda acts: ops.mean(_absolute_power(acts[INPUT] - gray, power), (1, 2, 3))  # noqa: E731
    return Score((INPUT,), of, f"norm^{power:g}", (), ("norm", power, gray))


def _absolute_power(x, power):
    """|x|^power."""
    return ops.abs(x) if power == 1 else _power_of_squares(ops.square(x), power)


def _power_of_squares(squares, power):
    """squares^(power / 2), with gradient 0 at 0."""
    if power == 2:
        return squares
    if power == 1:  # a root is faster than a power
        return ops.where(squares > TINY, ops.sqrt(ops.maximum(squares, TINY)), 0.0)
    return ops.where(squares > TINY, ops.power(ops.maximum(squares, TINY), power / 2), 0.0)
