"""The first attack: box-constrained L-BFGS with the weight of the change found by search (Szegedy et al. 2014)."""

import numpy as np
from keras import ops

from ..engine.query import RANGE
from .attack import judge, victim
from .minimal import nearest
from .norms import NORMS, TINY, dot, l2_of_224, rows, whole_steps, with_best

FIRST, GROWTH, SEARCHES = 0.1, 10.0, 9  # the first c, by what it grows or shrinks until both sides are known, how many
REACH = 20.0  # L2 of the first step at 224x224


def lbfgs(model, images, target=None, *, steps=40, whole=False, **options):
    """min c |r|^2 + J(x + r), x + r in the range, for the largest c that still fools (Szegedy et al. 2014).

    r in units of the range; J = log(1 + exp(margin)), the cross-entropy where there is a ``target``. Each c takes
    ``steps`` looks by L-BFGS in the box, from the best so far; c grows or shrinks tenfold until one fools and one does
    not, then by halving (on a logarithmic scale), for each image by itself. The shortest r of all that fooled is cut to
    what just fools.
    """
    if steps < 1:
        raise ValueError(f"`steps` should be at least 1. Received: {steps}")
    case, history = victim(model, images, target, **options), []
    count = len(case.pixels)
    low, high, weight = np.zeros(count), np.full(count, np.inf), np.full(count, FIRST)
    best, least = case.pixels, np.full(count, np.inf, np.float32)
    last = best
    reach = l2_of_224(REACH, case.pixels.shape[1:])
    for _ in range(SEARCHES):
        state = first_state(np.where(rows(np.isfinite(least)), best, last), reach)
        state |= {"best": best, "least": least}
        more = {"weight": weight.astype(np.float32)}
        course = case.iterate("lbfgs", step, state, {"sharp": np.ones((steps, 1), np.float32)}, more)
        best, least, last = (course.state[name] for name in ("best", "least", "x"))
        history.append(course.said["margin"])
        fooled = (history[-1] < 0).any(0)
        low, high = np.where(fooled, weight, low), np.where(fooled, high, weight)
        known = (low > 0) & np.isfinite(high)
        outward = np.where(fooled, weight * GROWTH, weight / GROWTH)
        weight = np.where(known, np.sqrt(low * np.where(known, high, 1.0)), outward)
    change = np.where(rows(np.isfinite(least)), best, last) - case.pixels
    found, _ = nearest(case, NORMS["l2"], change, change, np.sqrt(least))
    if whole:
        found = whole_steps(case, found)
    return judge(case, found, "L-BFGS", np.concatenate(history), whole)


def step(see, state, now, given):
    """One look of the descent."""
    tried = next_place(state, 0.0, 255.0)
    margin, slope, smooth = see(tried, given, now["sharp"])
    change, weight = tried - given["origin"], given["weight"] / RANGE**2
    size = dot(change, change)
    value = weight * size + ops.softplus(smooth)
    slope = rows(2 * weight) * change + rows(ops.sigmoid(smooth)) * slope
    after = descend(state, tried, value, slope, 0.0, 255.0)
    return after | with_best(state, tried, size, margin < 0), {"margin": margin}


MEMORY = 6  # pairs of changes
ENOUGH = 1e-4  # of the descent that the slope promises (Armijo)
SHORTEST = 1e-3  # of a direction: after that the memory is forgotten


def first_state(pixels, first):
    """The state of a descent from ``pixels``, whose first step has the length ``first``."""
    count, shape = len(pixels), pixels.shape
    zeros, past = np.zeros(shape, np.float32), np.zeros((count, MEMORY, *shape[1:]), np.float32)
    one = np.ones(count, np.float32)
    places = {"x": pixels.astype(np.float32), "slope": zeros, "along": zeros, "moves": past, "bends": past}
    return places | {"value": np.inf * one, "share": 0 * one, "scale": 0 * one, "first": np.float32(first) * one}


def descend(state, tried, value, slope, low, high):
    """The state after a look at ``tried``, the place that `next_place` gave."""
    promised = dot(state["slope"], tried - state["x"])
    taken = (value <= state["value"] + ENOUGH * promised) | (state["share"] == 0)  # the first look is where it begins
    begins = state["share"] == 0
    move, bend = tried - state["x"], slope - state["slope"]
    product = dot(move, bend)
    learns = taken & ~begins & (product > 1e-8 * dot(bend, bend))
    forgets = ~taken & (state["share"] <= SHORTEST)
    fresh = {"moves": move, "bends": bend}
    past = {name: remember(state[name], new, learns, forgets) for name, new in fresh.items()}
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


def next_place(state, low, high):
    """Where to look next."""
    return ops.clip(state["x"] + rows(state["share"]) * state["along"], low, high)


def remember(past, new, learns, forgets):
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
