"""How images climb: what is known to make pictures, a row a recipe, its numbers those of its authors.

A recipe says how an image is written and with what it begins, how it is shaken before the network sees it, how far it
moves, what is done to it after a step, and which priors speak against it. Rates are in pixels where pixels are written.

A move takes what is written (N, ...), its gradient, what it remembers, and the rate (N or 1,) of the step, and gives
what is written next and what it then remembers: of each image alone, never of its batch.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from keras import ops

from ...support.text import unknown_name
from .params import Fourier, Pixels
from .regularizers import (
    decay,
    gaussian_blur,
    limit_norm,
    norm_score,
    variation,
    zero_small_contributions,
    zero_small_norms,
)
from .transforms import jitter, rotate, scale

TINY = 1e-12
MAX_STEP = 4.0  # pixels


@dataclass(frozen=True)
class Optimizer:
    """A move, and the names of the arrays like the image that it remembers."""

    update: Callable
    memory: tuple = ()
    scalars: tuple = ()  # what it remembers of each image as one number


def gradient_ascent(z, g, memory, rate):
    """z + rate g."""
    return z + rate * g, memory


def l2_normalized_step(z, g, memory, rate):
    """z + rate g / ||g||, the length of a step given (Chollet)."""
    return z + rate * g / (reduce_per_image(ops.sum, g * g) ** 0.5 + TINY), memory


def mean_normalized_step(z, g, memory, rate):
    """z + rate g / mean |g|, the average change of a pixel given (DeepDream)."""
    return z + rate * g / (reduce_per_image(ops.mean, ops.abs(g)) + TINY), memory


def sign_step(z, g, memory, rate):
    """z + rate sign(g)."""
    return z + rate * ops.sign(g), memory


def step_of_fixed_gain(z, g, memory, rate):
    """z + min(rate, 2 / ||g||^2) g: the score should rise by 2 (Yosinski)."""
    return z + ops.minimum(rate, 2.0 / (reduce_per_image(ops.sum, g * g) + TINY)) * g, memory


def momentum(z, g, memory, rate):
    """v <- 0.9 v + rate g, z + v; what was gathered is forgotten when the rate changes (Mahendran & Vedaldi).

    What a step adds to v is at most LARGEST on average (rms): in other networks than theirs it may burst.
    """
    pull = rate * g
    pull = pull * ops.minimum(1.0, MAX_STEP / (reduce_per_image(ops.mean, pull * pull) ** 0.5 + TINY))
    before = ops.reshape(memory["rate"], (-1,) + (1,) * (len(z.shape) - 1))
    v = 0.9 * ops.where(ops.equal(before, rate), memory["v"], 0.0) + pull
    return z + v, {"v": v, "rate": ops.zeros_like(memory["rate"]) + ops.reshape(rate, (-1,))}


def adam(z, g, memory, rate, fast=0.9, slow=0.999):
    """Adam, as Kingma & Ba, of each number."""
    t = memory["t"] + 1
    m, v = fast * memory["m"] + (1 - fast) * g, slow * memory["v"] + (1 - slow) * g * g
    count = ops.reshape(t, (-1,) + (1,) * (len(z.shape) - 1))
    ahead = m / (1 - fast**count)
    return z + rate * ahead / (ops.sqrt(v / (1 - slow**count)) + 1e-8), {"m": m, "v": v, "t": t}


def rmsprop(z, g, memory, rate, rho=0.999):
    """z + rate g / sqrt(E[g^2] + 1e-7), as Keras and so tf-keras-vis move."""
    v = rho * memory["v"] + (1 - rho) * g * g
    return z + rate * g / ops.sqrt(v + 1e-7), {"v": v}


OPTIMIZERS = {
    "plain": Optimizer(gradient_ascent),
    "unit": Optimizer(l2_normalized_step),
    "mean": Optimizer(mean_normalized_step),
    "sign": Optimizer(sign_step),
    "progress": Optimizer(step_of_fixed_gain),
    "momentum": Optimizer(momentum, ("v",), ("rate",)),
    "adam": Optimizer(adam, ("m", "v"), ("t",)),
    "rmsprop": Optimizer(rmsprop, ("v",)),
}


def reduce_per_image(reduce, a):
    """A number an image, in a shape that goes with it."""
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
        place = (np.arange(self.steps) + 0.5) * ends[-1] / self.steps
        return np.array([rate for rate, _ in stages], np.float32)[np.searchsorted(ends, place)]

    @property
    def on_grid(self):
        """Whether shaking moves pixels onto pixels."""
        return all(transform.on_grid for transform in self.transforms)

    @property
    def key(self):
        """What of it is compiled in."""
        priors = tuple((weight, prior.key, *map(np.ndarray.tobytes, prior.feeds)) for weight, prior in self.priors)
        tidied = tuple((regularizer.key, regularizer.every) for regularizer in self.regularizers)
        return (self.optimizer, self.params, tidied, bool(self.transforms), self.on_grid, self.fill, priors)


ROBUST = (jitter(8), scale(0.9, 1.1), rotate(10), jitter(4))
NOISE = Pixels(noise=10)
BLUR = gaussian_blur(0.5, every=4)
RECIPES = {
    "lucid": SynthesisRecipe("waves in decorrelated colors, shaken (Olah et al. 2017)", 512, 0.05, transforms=ROBUST),
    "brisk": SynthesisRecipe("as lucid in fewer, larger steps", 96, 0.1, transforms=ROBUST),
    "yosinski_1": SynthesisRecipe(
        "blur, small norms cut (Yosinski et al. 2015, 1)",
        500,
        100.0,
        "progress",
        NOISE,
        regularizers=(BLUR, zero_small_norms(50)),
    ),
    "yosinski_2": SynthesisRecipe(
        "decay, small norms cut (Yosinski et al. 2015, 2)",
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
        "blur, small contributions cut (Yosinski et al. 2015, 4)",
        1000,
        1e8,
        "progress",
        NOISE,
        regularizers=(BLUR, zero_small_contributions(90)),
    ),
    "chollet": SynthesisRecipe("steps of equal length (Chollet 2021)", 30, 2550.0, "unit", Pixels(between=(102, 153))),
    "simonyan": SynthesisRecipe(
        "an L2 prior (Simonyan et al. 2014)", 256, 1.0, "adam", Pixels(), priors=((1e-3, norm_score(2)),)
    ),
    "erhan": SynthesisRecipe(
        "of constant norm (Erhan et al. 2009)", 256, 1000.0, "unit", NOISE, regularizers=(limit_norm(20000),)
    ),
    "tf_keras_vis": SynthesisRecipe(
        "shaken, with priors (as tf-keras-vis)",
        200,
        1.0,
        "rmsprop",
        Pixels(between=(0, 255)),
        transforms=(jitter(4), rotate(1)),
        priors=((1.0, variation(1, "anisotropic")), (0.3, norm_score(1))),
    ),
    "facet": SynthesisRecipe(
        "from a mean of images, ever smoother (after Nguyen et al. 2016)",
        380,
        ((4.0, 190), (2.0, 150), (1.0, 40)),
        "mean",
        Pixels(),
        transforms=(jitter(8), scale(1.0, 1.2)),
        regularizers=(BLUR,),
    ),
    "dream": SynthesisRecipe(
        "a dream (Mordvintsev et al. 2015)", 10, 1.5, "mean", Pixels(), transforms=(jitter(32),), fill="wrap"
    ),
    "unrecognizable": SynthesisRecipe(
        "steps of equal length from noise, no prior", 200, 150.0, "unit", NOISE, regularizers=(decay(0.01),)
    ),
}


def find_recipe(recipe, steps=None):
    """A `Recipe` by its name, or one given, of so many steps."""
    if isinstance(recipe, str):
        if recipe not in RECIPES:
            raise ValueError(unknown_name("recipe", recipe, RECIPES))
        recipe = RECIPES[recipe]
    if not isinstance(recipe, SynthesisRecipe):
        raise ValueError(f"`recipe` should be a Recipe or one of {', '.join(RECIPES)}. Received: {recipe!r}")
    if steps is not None and not (isinstance(steps, int | np.integer) and steps > 0):
        raise ValueError(f"`steps` should be a whole number above 0. Received: {steps!r}")
    return recipe if steps is None else replace(recipe, steps=int(steps))
