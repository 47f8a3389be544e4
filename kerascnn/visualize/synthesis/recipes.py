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

from ...support.text import unknown
from .params import Fourier, Pixels
from .regularizers import blurred, decay, norm, norm_score, small_contribution, small_norm, variation
from .transforms import jitter, rotate, scale

TINY = 1e-12
LARGEST = 4.0  # pixels


@dataclass(frozen=True)
class Move:
    """A move, and the names of the arrays like the image that it remembers."""

    go: Callable
    memory: tuple = ()
    scalars: tuple = ()  # what it remembers of each image as one number


def plain(z, g, memory, rate):
    """z + rate g."""
    return z + rate * g, memory


def unit(z, g, memory, rate):
    """z + rate g / ||g||, the length of a step given (Chollet)."""
    return z + rate * g / (over(ops.sum, g * g) ** 0.5 + TINY), memory


def mean(z, g, memory, rate):
    """z + rate g / mean |g|, the average change of a pixel given (DeepDream)."""
    return z + rate * g / (over(ops.mean, ops.abs(g)) + TINY), memory


def sign(z, g, memory, rate):
    """z + rate sign(g)."""
    return z + rate * ops.sign(g), memory


def progress(z, g, memory, rate):
    """z + min(rate, 2 / ||g||^2) g: the score should rise by 2 (Yosinski)."""
    return z + ops.minimum(rate, 2.0 / (over(ops.sum, g * g) + TINY)) * g, memory


def momentum(z, g, memory, rate):
    """v <- 0.9 v + rate g, z + v; what was gathered is forgotten when the rate changes (Mahendran & Vedaldi).

    What a step adds to v is at most LARGEST on average (rms): in other networks than theirs it may burst.
    """
    pull = rate * g
    pull = pull * ops.minimum(1.0, LARGEST / (over(ops.mean, pull * pull) ** 0.5 + TINY))
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


MOVES = {
    "plain": Move(plain),
    "unit": Move(unit),
    "mean": Move(mean),
    "sign": Move(sign),
    "progress": Move(progress),
    "momentum": Move(momentum, ("v",), ("rate",)),
    "adam": Move(adam, ("m", "v"), ("t",)),
    "rmsprop": Move(rmsprop, ("v",)),
}


def over(reduce, a):
    """A number an image, in a shape that goes with it."""
    return reduce(a, axis=tuple(range(1, len(a.shape))), keepdims=True)


@dataclass(frozen=True)
class Recipe:
    """A way to climb; ``rate`` is one number, or ((rate, steps), ...) one after the other.

    ``priors``: (weight, `Score` of the image), taken off what is climbed. ``fill``: what comes in at the borders of a
    shaken image.
    """

    what: str
    steps: int
    rate: float | tuple
    move: str = "adam"
    write: object = Fourier()
    shakes: tuple = ()
    fill: str = "gray"
    operators: tuple = ()
    priors: tuple = ()

    def __post_init__(self):
        if self.move not in MOVES:
            raise ValueError(unknown("move", self.move, MOVES))

    @property
    def rates(self):
        """The rate of each step; of other steps than the stages have together, as much of each stage."""
        stages = self.rate if isinstance(self.rate, tuple) else ((self.rate, self.steps),)
        ends = np.cumsum([steps for _, steps in stages])
        place = (np.arange(self.steps) + 0.5) * ends[-1] / self.steps
        return np.array([rate for rate, _ in stages], np.float32)[np.searchsorted(ends, place)]

    @property
    def whole(self):
        """Whether shaking moves pixels onto pixels."""
        return all(shake.whole for shake in self.shakes)

    @property
    def key(self):
        """What of it is compiled in."""
        priors = tuple((weight, prior.key, *map(np.ndarray.tobytes, prior.feeds)) for weight, prior in self.priors)
        tidied = tuple((operator.key, operator.every) for operator in self.operators)
        return (self.move, self.write, tidied, bool(self.shakes), self.whole, self.fill, priors)


ROBUST = (jitter(8), scale(0.9, 1.1), rotate(10), jitter(4))
NOISE = Pixels(noise=10)
BLUR = blurred(0.5, every=4)
RECIPES = {
    "lucid": Recipe("waves in decorrelated colors, shaken (Olah et al. 2017)", 512, 0.05, shakes=ROBUST),
    "brisk": Recipe("as lucid in fewer, larger steps", 96, 0.1, shakes=ROBUST),
    "yosinski_1": Recipe(
        "blur, small norms cut (Yosinski et al. 2015, 1)",
        500,
        100.0,
        "progress",
        NOISE,
        operators=(BLUR, small_norm(50)),
    ),
    "yosinski_2": Recipe(
        "decay, small norms cut (Yosinski et al. 2015, 2)",
        750,
        100.0,
        "plain",
        NOISE,
        operators=(decay(0.3), small_norm(20)),
    ),
    "yosinski_3": Recipe(
        "decay, blur (Yosinski et al. 2015, 3)",
        1000,
        100.0,
        "plain",
        NOISE,
        operators=(decay(1e-4), blurred(1.0, every=4)),
    ),
    "yosinski_4": Recipe(
        "blur, small contributions cut (Yosinski et al. 2015, 4)",
        1000,
        1e8,
        "progress",
        NOISE,
        operators=(BLUR, small_contribution(90)),
    ),
    "chollet": Recipe("steps of equal length (Chollet 2021)", 30, 2550.0, "unit", Pixels(between=(102, 153))),
    "simonyan": Recipe(
        "an L2 prior (Simonyan et al. 2014)", 256, 1.0, "adam", Pixels(), priors=((1e-3, norm_score(2)),)
    ),
    "erhan": Recipe("of constant norm (Erhan et al. 2009)", 256, 1000.0, "unit", NOISE, operators=(norm(20000),)),
    "tf_keras_vis": Recipe(
        "shaken, with priors (as tf-keras-vis)",
        200,
        1.0,
        "rmsprop",
        Pixels(between=(0, 255)),
        shakes=(jitter(4), rotate(1)),
        priors=((1.0, variation(1, "anisotropic")), (0.3, norm_score(1))),
    ),
    "facet": Recipe(
        "from a mean of images, ever smoother (after Nguyen et al. 2016)",
        380,
        ((4.0, 190), (2.0, 150), (1.0, 40)),
        "mean",
        Pixels(),
        shakes=(jitter(8), scale(1.0, 1.2)),
        operators=(BLUR,),
    ),
    "dream": Recipe("a dream (Mordvintsev et al. 2015)", 10, 1.5, "mean", Pixels(), shakes=(jitter(32),), fill="wrap"),
    "unrecognizable": Recipe(
        "steps of equal length from noise, no prior", 200, 150.0, "unit", NOISE, operators=(decay(0.01),)
    ),
}


def find_recipe(given, steps=None):
    """A `Recipe` by its name, or one given, of so many steps."""
    if isinstance(given, str):
        if given not in RECIPES:
            raise ValueError(unknown("recipe", given, RECIPES))
        given = RECIPES[given]
    if not isinstance(given, Recipe):
        raise ValueError(f"`recipe` should be a Recipe or one of {', '.join(RECIPES)}. Received: {given!r}")
    if steps is not None and not (isinstance(steps, int | np.integer) and steps > 0):
        raise ValueError(f"`steps` should be a whole number above 0. Received: {steps!r}")
    return given if steps is None else replace(given, steps=int(steps))
