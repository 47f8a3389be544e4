"""Regularizers of synthesized images: operators applied after a step, and priors subtracted from the score.

An operator (Yosinski et al. 2015) is ``apply(x, gradient) -> x``: x are pixels minus gray and the gradient is that of
the last step, both (N, H, W, C). The images of a batch are treated independently.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from keras import ops

from ..engine.scores import INPUT, Score
from .params import GRAY
from .transforms import blur

MIN_SIGMA = 0.3  # pixels; below, the weight of a neighbor is under 0.4 % (recommended by Yosinski et al.)
IMAGE_AXES = (1, 2, 3)  # of a batch of images


@dataclass(frozen=True, eq=False)
class Regularizer:
    """An operator on images after a step.

    Attributes:
        name: the operator in words.
        apply: ``apply(x, gradient) -> x`` on pixels minus gray.
        every: it is applied at every ``every``-th step.
        key: operators of equal keys are the same, and share compiled steps.
    """

    name: str
    apply: Callable = field(repr=False)
    every: int = 1
    key: tuple = field(default=(), repr=False)

    def __post_init__(self):
        if self.every < 1:
            raise ValueError(f"`every` should be at least 1. Received: {self.every}")


def decay(fraction):
    """Weight decay of the pixels: x (1 - fraction)."""
    if not 0 <= fraction <= 1:
        raise ValueError(f"`fraction` should be from 0 to 1. Received: {fraction}")
    return _regularizer("decay", (fraction,), lambda x, _: x * (1 - fraction))


def gaussian_blur(sigma, every=1):
    """Gaussian blur at every ``every``-th step."""
    if sigma < MIN_SIGMA:
        raise ValueError(f"`sigma` should be at least {MIN_SIGMA}, as a smaller blur does nothing. Received: {sigma}")
    return _regularizer("gaussian blur", (sigma,), lambda x, _: blur(x, sigma), every)


def zero_small_values(percent):
    """Set values to zero where |x| is below a percentile of the image."""
    return _zero_below_percentile("small values", percent, lambda x, _: ops.abs(x))


def zero_small_norms(percent):
    """Set pixels to zero where the norm of their color is below a percentile of the image."""
    return _zero_below_percentile(
        "small norm", percent, lambda x, _: ops.sqrt(ops.sum(ops.square(x), -1, keepdims=True))
    )


def zero_small_contributions(percent):
    """Set pixels to zero where their contribution |sum_c gradient x| is below a percentile of the image."""
    return _zero_below_percentile(
        "small contribution", percent, lambda x, g: ops.abs(ops.sum(g * x, -1, keepdims=True))
    )


def fix_norm(radius):
    """Rescale each image to the norm ||x||_2 = radius (Erhan et al. 2009); a gray image stays gray."""
    _check_positive("radius", radius)
    return _regularizer("fixed norm", (radius,), lambda x, _: x * radius / ops.maximum(_l2_norm(x), 1e-12))


def project_to_ball(radius, order=2):
    """Project each image to the ball ||x|| <= radius of the Euclidean norm or, with ``order`` inf, the maximum norm."""
    _check_positive("radius", radius)
    if order not in (2, np.inf):
        raise ValueError(f"`order` should be 2 or inf. Received: {order!r}")
    projections = {
        2: lambda x, _: x * ops.minimum(1.0, radius / ops.maximum(_l2_norm(x), 1e-12)),
        np.inf: lambda x, _: ops.clip(x, -radius, radius),
    }
    return _regularizer("ball", (radius, order), projections[order])


def clip_values(low, high):
    """Clip pixels minus gray to ``low`` .. ``high``, each a number or a tuple with one for each channel."""
    floor, ceiling = np.asarray(low, np.float32), np.asarray(high, np.float32)
    if (floor > ceiling).any():
        raise ValueError(f"`low` should be at most `high`. Received: {low}, {high}")
    return _regularizer("clip values", (low, high), lambda x, _: ops.minimum(ops.maximum(x, floor), ceiling))


def _regularizer(name, settings, apply, every=1):
    interval = "" if every == 1 else f" every {every}"
    return Regularizer(f"{name} {', '.join(map(str, settings))}{interval}", apply, every, (name, *settings))


def _zero_below_percentile(name, percent, measure):
    if not 0 <= percent <= 100:
        raise ValueError(f"`percent` should be from 0 to 100. Received: {percent}")

    def apply(x, gradient):
        magnitudes = measure(x, gradient)
        flat = ops.reshape(magnitudes, (-1, int(np.prod(magnitudes.shape[1:]))))
        threshold = ops.quantile(flat, percent / 100, 1)
        return ops.where(magnitudes < threshold[:, None, None, None], 0.0, x)

    return _regularizer(name, (percent,), apply)


def _l2_norm(x):
    return ops.sqrt(ops.sum(ops.square(x), IMAGE_AXES, keepdims=True))


def _check_positive(argument, value):
    if value <= 0:
        raise ValueError(f"`{argument}` should be above 0. Received: {value}")


TINY = 1e-12  # squares below it get gradient 0, as a root has none at 0


def variation(power: float = 2.0, form: str = "isotropic") -> Score:
    """Total variation of the image, a measure of its roughness.

    (dx^2 + dy^2)^(power / 2), summed over colors and averaged over pixels; dx and dy are the differences to the next
    pixel, 0 at the border (Mahendran & Vedaldi 2015).

    Args:
        power: exponent; the paper's beta.
        form: "isotropic", or "anisotropic" for |dx|^power + |dy|^power, as other libraries have it with power 1.

    Returns:
        A `Score`.
    """
    if form not in ("isotropic", "anisotropic"):
        raise ValueError(f"`form` should be isotropic or anisotropic. Received: {form!r}")
    _check_positive("power", power)

    def total_variation(activations):
        x = activations[INPUT]
        if form == "anisotropic":
            parts = _absolute_power(x[:, 1:] - x[:, :-1], power), _absolute_power(x[:, :, 1:] - x[:, :, :-1], power)
        else:  # repeating the last row and column is much faster than padding the differences
            down = ops.square(ops.concatenate([x[:, 1:], x[:, -1:]], 1) - x)
            right = ops.square(ops.concatenate([x[:, :, 1:], x[:, :, -1:]], 2) - x)
            parts = (_power_of_squares(down + right, power),)
        return sum(ops.sum(part, (1, 2, 3)) for part in parts) / (x.shape[1] * x.shape[2])

    return Score((INPUT,), total_variation, f"{form} variation^{power:g}", (), ("variation", power, form))


def norm_score(power=2.0, gray=GRAY):
    """Mean of |x - gray|^power over pixels and colors: power 2 as Simonyan et al., 6 as Mahendran & Vedaldi."""
    _check_positive("power", power)

    def mean_power(activations):
        return ops.mean(_absolute_power(activations[INPUT] - gray, power), IMAGE_AXES)

    return Score((INPUT,), mean_power, f"norm^{power:g}", (), ("norm", power, gray))


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
