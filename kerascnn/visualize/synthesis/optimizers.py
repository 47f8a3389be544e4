"""How far an image moves along its gradient: a row each, of one image alone, never of its batch.

A move takes what is written (N, ...), its gradient, what it remembers, and the rate (N or 1,) of the step, and gives
what is written next and what it then remembers.
"""

from collections.abc import Callable
from dataclasses import dataclass

from keras import ops

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
