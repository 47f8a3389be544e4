"""How images climb: what is known to make pictures, a row a recipe, its numbers those of its authors.

A recipe says how an image is written and with what it begins, how it is shaken before the network sees it, how far it
moves, what is done to it after a step, and which priors speak against it. Rates are in pixels where pixels are written.
"""

from dataclasses import dataclass, replace

import numpy as np

from ...support.text import unknown
from .optimizers import MOVES
from .params import Fourier, Pixels
from .regularizers import blurred, decay, norm, small_contribution, small_norm, variation
from .regularizers import norm_score as level
from .transforms import jitter, rotate, scale


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
    fill: str = "grey"
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
RECIPES = {
    "lucid": Recipe("waves in decorrelated colours, shaken (Olah et al. 2017)", 512, 0.05, shakes=ROBUST),
    "brisk": Recipe("as lucid in fewer, larger steps", 96, 0.1, shakes=ROBUST),
    "yosinski_1": Recipe(
        "blur, small norms cut (Yosinski et al. 2015, 1)",
        500,
        100.0,
        "progress",
        NOISE,
        operators=(blurred(0.5, every=4), small_norm(50)),
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
        operators=(blurred(0.5, every=4), small_contribution(90)),
    ),
    "chollet": Recipe("steps of equal length (Chollet 2021)", 30, 2550.0, "unit", Pixels(between=(102, 153))),
    "simonyan": Recipe("an L2 prior (Simonyan et al. 2014)", 256, 1.0, "adam", Pixels(), priors=((1e-3, level(2)),)),
    "erhan": Recipe("of constant norm (Erhan et al. 2009)", 256, 1000.0, "unit", NOISE, operators=(norm(20000),)),
    "tf_keras_vis": Recipe(
        "shaken, with priors (as tf-keras-vis)",
        200,
        1.0,
        "rmsprop",
        Pixels(between=(0, 255)),
        shakes=(jitter(4), rotate(1)),
        priors=((1.0, variation(1, "anisotropic")), (0.3, level(1))),
    ),
    "facet": Recipe(
        "from a mean of images, ever smoother (after Nguyen et al. 2016)",
        380,
        ((4.0, 190), (2.0, 150), (1.0, 40)),
        "mean",
        Pixels(),
        shakes=(jitter(8), scale(1.0, 1.2)),
        operators=(blurred(0.5, every=4),),
    ),
    "dream": Recipe("a dream (Mordvintsev et al. 2015)", 10, 1.5, "mean", Pixels(), shakes=(jitter(32),), fill="wrap"),
    "unrecognizable": Recipe(
        "steps of equal length from noise, no prior", 200, 150.0, "unit", NOISE, operators=(decay(0.01),)
    ),
}


def recipe_called(given, steps=None):
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
