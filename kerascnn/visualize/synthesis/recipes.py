"""Recipes for synthesizing images, with the settings of their authors, and the optimizers that they use.

A recipe is a parametrization, random transforms, an optimizer with its learning rate, regularizers that follow each
step, and priors that are subtracted from the score. Learning rates are in pixels where the parameters are `Pixels`.

An optimizer takes parameters z (N, ...), their gradient g, its memory, and the learning rate of the step (N or 1,
...); it returns the next parameters and the next memory. The images of a batch are treated independently.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from keras import ops

from ...support.checks import check_integer
from ...support.text import unknown_name
from .params import Fourier, Pixels
from .regularizers import (
    decay,
    fix_norm,
    gaussian_blur,
    norm_score,
    variation,
    zero_small_contributions,
    zero_small_norms,
)
from .transforms import jitter, rotate, scale

TINY = 1e-12
MAX_STEP = 4.0  # pixels (rms) that `momentum` adds at most


@dataclass(frozen=True)
class Optimizer:
    """An optimizer of images.

    Attributes:
        update: ``update(z, g, memory, rate)`` returns the next parameters and memory.
        memory: names of remembered arrays of the shape of z, such as a momentum.
        scalars: names of remembered numbers, one for each image, such as a step count.
    """

    update: Callable
    memory: tuple = ()
    scalars: tuple = ()


def gradient_ascent(z, g, memory, rate):
    """z + rate g."""
    return z + rate * g, memory


def l2_normalized_step(z, g, memory, rate):
    """z + rate g / ||g||: every step has the length ``rate`` (Chollet)."""
    return z + rate * g / (reduce_per_image(ops.sum, g * g) ** 0.5 + TINY), memory


def mean_normalized_step(z, g, memory, rate):
    """z + rate g / mean |g|: every step changes pixels by ``rate`` on average (DeepDream)."""
    return z + rate * g / (reduce_per_image(ops.mean, ops.abs(g)) + TINY), memory


def sign_step(z, g, memory, rate):
    """z + rate sign(g)."""
    return z + rate * ops.sign(g), memory


def fixed_gain_step(z, g, memory, rate):
    """z + min(rate, 2 / ||g||^2) g: to first order the score rises by 2 (Yosinski et al.)."""
    return z + ops.minimum(rate, 2.0 / (reduce_per_image(ops.sum, g * g) + TINY)) * g, memory


def momentum(z, g, memory, rate):
    """v <- 0.9 v + rate g, then z + v; v is reset when the learning rate changes (Mahendran & Vedaldi).

    rate g is limited to `MAX_STEP` (rms), as it can explode in networks other than theirs.
    """
    step = rate * g
    step = step * ops.minimum(1.0, MAX_STEP / (reduce_per_image(ops.mean, step * step) ** 0.5 + TINY))
    last_rate = ops.reshape(memory["rate"], (-1,) + (1,) * (len(z.shape) - 1))
    v = 0.9 * ops.where(ops.equal(last_rate, rate), memory["v"], 0.0) + step
    return z + v, {"v": v, "rate": ops.zeros_like(memory["rate"]) + ops.reshape(rate, (-1,))}


def adam(z, g, memory, rate, beta_1=0.9, beta_2=0.999):
    """Adam (Kingma & Ba 2015)."""
    t = memory["t"] + 1
    m = beta_1 * memory["m"] + (1 - beta_1) * g
    v = beta_2 * memory["v"] + (1 - beta_2) * g * g
    count = ops.reshape(t, (-1,) + (1,) * (len(z.shape) - 1))
    mean, variance = m / (1 - beta_1**count), v / (1 - beta_2**count)
    return z + rate * mean / (ops.sqrt(variance) + 1e-8), {"m": m, "v": v, "t": t}


def rmsprop(z, g, memory, rate, rho=0.999):
    """z + rate g / sqrt(E[g^2] + 1e-7): RMSprop as in Keras, which tf-keras-vis uses."""
    v = rho * memory["v"] + (1 - rho) * g * g
    return z + rate * g / ops.sqrt(v + 1e-7), {"v": v}


OPTIMIZERS = {
    "plain": Optimizer(gradient_ascent),
    "unit": Optimizer(l2_normalized_step),
    "mean": Optimizer(mean_normalized_step),
    "sign": Optimizer(sign_step),
    "progress": Optimizer(fixed_gain_step),
    "momentum": Optimizer(momentum, ("v",), ("rate",)),
    "adam": Optimizer(adam, ("m", "v"), ("t",)),
    "rmsprop": Optimizer(rmsprop, ("v",)),
}


def reduce_per_image(reduce, a):
    """Reduce each image to one number, in a shape that broadcasts with the images."""
    return reduce(a, axis=tuple(range(1, len(a.shape))), keepdims=True)


@dataclass(frozen=True)
class SynthesisRecipe:
    """How images are optimized; every part has a paper or a library behind it.

    Attributes:
        description: what the recipe is, and where it comes from.
        steps: number of steps.
        learning_rate: one number, or stages ((learning rate, steps), ...).
        optimizer: name in `OPTIMIZERS`.
        params: how an image is parametrized, such as `Pixels` or `Fourier`.
        transforms: random transforms of each step, such as jitter.
        fill: what fills the borders of a transformed image: "gray", "edge" or "wrap".
        regularizers: what changes the image itself every few steps, such as a blur.
        priors: (weight, `Score` of the image), subtracted from the score.
    """

    description: str
    steps: int
    learning_rate: float | tuple
    optimizer: str = "adam"
    params: object = Fourier()
    transforms: tuple = ()
    fill: str = "gray"
    regularizers: tuple = ()
    priors: tuple = ()

    def __post_init__(self):
        if self.optimizer not in OPTIMIZERS:
            raise ValueError(unknown_name("optimizer", self.optimizer, OPTIMIZERS))

    @property
    def learning_rates(self):
        """The learning rate of each step; stages are stretched to the number of steps."""
        stages = self.learning_rate if isinstance(self.learning_rate, tuple) else ((self.learning_rate, self.steps),)
        ends = np.cumsum([steps for _, steps in stages])
        positions = (np.arange(self.steps) + 0.5) * ends[-1] / self.steps
        return np.array([rate for rate, _ in stages], np.float32)[np.searchsorted(ends, positions)]

    @property
    def on_grid(self):
        """Whether all transforms move pixels onto pixels, so that nothing is interpolated."""
        return all(transform.on_grid for transform in self.transforms)

    @property
    def key(self):
        """What a compiled step depends on; recipes of equal keys share it."""
        priors = tuple((weight, prior.key, *map(np.ndarray.tobytes, prior.feeds)) for weight, prior in self.priors)
        regularizers = tuple((regularizer.key, regularizer.every) for regularizer in self.regularizers)
        return (self.optimizer, self.params, regularizers, bool(self.transforms), self.on_grid, self.fill, priors)


ROBUST = (jitter(8), scale(0.9, 1.1), rotate(10), jitter(4))
NOISE = Pixels(noise=10)
BLUR = gaussian_blur(0.5, every=4)
RECIPES = {
    "lucid": SynthesisRecipe(
        "Fourier basis, decorrelated colors, random transforms (Olah et al. 2017)", 512, 0.05, transforms=ROBUST
    ),
    "brisk": SynthesisRecipe("lucid with fewer, larger steps", 96, 0.1, transforms=ROBUST),
    "yosinski_1": SynthesisRecipe(
        "blur, small norms set to zero (Yosinski et al. 2015, 1)",
        500,
        100.0,
        "progress",
        NOISE,
        regularizers=(BLUR, zero_small_norms(50)),
    ),
    "yosinski_2": SynthesisRecipe(
        "decay, small norms set to zero (Yosinski et al. 2015, 2)",
        750,
        100.0,
        "plain",
        NOISE,
        regularizers=(decay(0.3), zero_small_norms(20)),
    ),
    "yosinski_3": SynthesisRecipe(
        "decay, blur (Yosinski et al. 2015, 3)",
        1000,
        100.0,
        "plain",
        NOISE,
        regularizers=(decay(1e-4), gaussian_blur(1.0, every=4)),
    ),
    "yosinski_4": SynthesisRecipe(
        "blur, small contributions set to zero (Yosinski et al. 2015, 4)",
        1000,
        1e8,
        "progress",
        NOISE,
        regularizers=(BLUR, zero_small_contributions(90)),
    ),
    "chollet": SynthesisRecipe("steps of equal length (Chollet 2021)", 30, 2550.0, "unit", Pixels(between=(102, 153))),
    "simonyan": SynthesisRecipe(
        "L2 prior (Simonyan et al. 2014)", 256, 1.0, "adam", Pixels(), priors=((1e-3, norm_score(2)),)
    ),
    "erhan": SynthesisRecipe(
        "constant norm (Erhan et al. 2009)", 256, 1000.0, "unit", NOISE, regularizers=(fix_norm(20000),)
    ),
    "tf_keras_vis": SynthesisRecipe(
        "random transforms, total variation and norm priors (as tf-keras-vis)",
        200,
        1.0,
        "rmsprop",
        Pixels(between=(0, 255)),
        transforms=(jitter(4), rotate(1)),
        priors=((1.0, variation(1, "anisotropic")), (0.3, norm_score(1))),
    ),
    "facet": SynthesisRecipe(
        "starting from a mean image, with blur (after Nguyen et al. 2016)",
        380,
        ((4.0, 190), (2.0, 150), (1.0, 40)),
        "mean",
        Pixels(),
        transforms=(jitter(8), scale(1.0, 1.2)),
        regularizers=(BLUR,),
    ),
    "dream": SynthesisRecipe(
        "DeepDream (Mordvintsev et al. 2015)", 10, 1.5, "mean", Pixels(), transforms=(jitter(32),), fill="wrap"
    ),
    "unrecognizable": SynthesisRecipe(
        "steps of equal length, starting from noise, no prior", 200, 150.0, "unit", NOISE, regularizers=(decay(0.01),)
    ),
}


def find_recipe(recipe, steps=None):
    """A `SynthesisRecipe`, by name or as it is, with another number of steps if ``steps`` is passed."""
    if isinstance(recipe, str):
        if recipe not in RECIPES:
            raise ValueError(unknown_name("recipe", recipe, RECIPES))
        recipe = RECIPES[recipe]
    if not isinstance(recipe, SynthesisRecipe):
        raise ValueError(f"`recipe` should be a SynthesisRecipe or one of {', '.join(RECIPES)}. Received: {recipe!r}")
    if steps is None:
        return recipe
    check_integer(steps=steps)
    return replace(recipe, steps=int(steps))
