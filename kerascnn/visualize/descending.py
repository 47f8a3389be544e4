"""Minima in a box by L-BFGS, many images at once, each with steps and a memory of its own, inside the compiled loop.

Projected L-BFGS (Nocedal & Wright 2006, sections 7.2 and 16.7): the direction comes from the last changes of place and
slope of pixels that are free to move; each step of the loop is one look, which is taken if it descends far enough, or
else halved.
"""

import numpy as np
from keras import ops

from .norms import TINY, dot, rows

MEMORY = 6  # pairs of changes
ENOUGH = 1e-4  # of the descent that the slope promises (Armijo)
SHORTEST = 1e-3  # of a direction: after that the memory is forgotten


def begun(pixels, first):
    """The state of a descent from ``pixels``, whose first step has the length ``first``."""
    count, shape = len(pixels), pixels.shape
    zeros, past = np.zeros(shape, np.float32), np.zeros((count, MEMORY, *shape[1:]), np.float32)
    one = np.ones(count, np.float32)
    places = {"x": pixels.astype(np.float32), "slope": zeros, "along": zeros, "moves": past, "bends": past}
    return places | {"value": np.inf * one, "share": 0 * one, "scale": 0 * one, "first": np.float32(first) * one}


def descended(state, tried, value, slope, low, high):
    """The state after a look at ``tried``, the place that `trial` gave."""
    promised = dot(state["slope"], tried - state["x"])
    taken = (value <= state["value"] + ENOUGH * promised) | (state["share"] == 0)  # the first look is where it begins
    begins = state["share"] == 0
    move, bend = tried - state["x"], slope - state["slope"]
    product = dot(move, bend)
    learns = taken & ~begins & (product > 1e-8 * dot(bend, bend))
    forgets = ~taken & (state["share"] <= SHORTEST)
    fresh = {"moves": move, "bends": bend}
    past = {name: remembered(state[name], new, learns, forgets) for name, new in fresh.items()}
    slope = ops.where(rows(taken), slope, state["slope"])
    x = ops.where(rows(taken), tried, state["x"])
    scale = ops.where(learns, product / (dot(bend, bend) + TINY), state["scale"])
    steepest = state["first"] / (ops.sqrt(dot(slope, slope)) + TINY)
    scale = ops.where(begins | forgets, steepest * ops.where(forgets, 0.1, 1.0), scale)
    along = direction(x, slope, past, scale, low, high)
    return past | {
        "x": x,
        "slope": slope,
        "along": ops.where(rows(taken | forgets), along, state["along"]),
        "value": ops.where(taken, value, state["value"]),
        "share": ops.where(taken | forgets, 1.0, 0.5 * state["share"]),
        "scale": scale,
        "first": state["first"],
    }


def trial(state, low, high):
    """Where to look next."""
    return ops.clip(state["x"] + rows(state["share"]) * state["along"], low, high)


def remembered(past, new, learns, forgets):
    """The newest change last."""
    wide = lambda choice: choice[:, None, None, None, None]  # noqa: E731
    past = ops.where(wide(learns), ops.concatenate([past[:, 1:], new[:, None]], 1), past)
    return ops.where(wide(forgets), 0.0, past)


def direction(x, slope, past, scale, low, high):
    """- H g of the pixels that are free, H by the two loops over the memory."""
    free = ~(((x <= low) & (slope > 0)) | ((x >= high) & (slope < 0)))
    found = ops.where(free, slope, 0.0)
    start, weights = found, []
    moves, bends = ([ops.where(free, past[name][:, i], 0.0) for i in range(MEMORY)] for name in ("moves", "bends"))
    inverse = []
    for move, bend in zip(moves, bends, strict=True):
        product = dot(move, bend)
        inverse.append(ops.where(product > TINY, 1 / ops.maximum(product, TINY), 0.0))  # empty, or all of it stuck
    for i in reversed(range(MEMORY)):
        weights.append(inverse[i] * dot(moves[i], found))
        found = found - rows(weights[-1]) * bends[i]
    found = rows(scale) * found
    for i, weight in enumerate(reversed(weights)):
        found = found + rows(weight - inverse[i] * dot(bends[i], found)) * moves[i]
    found = ops.where(rows(dot(found, start) > 0), found, rows(scale) * start)
    return -found
