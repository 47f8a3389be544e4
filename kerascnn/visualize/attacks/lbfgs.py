"""The first attack: box-constrained L-BFGS with the weight of the change found by search (Szegedy et al. 2014)."""

from __future__ import annotations

import numpy as np
from keras import ops

from ...support.checks import check_integer
from ...support.types import Classes, ClassNames, Images, Model, OnProgress
from ..engine.lens import Lens
from ..engine.query import RANGE
from .attack import Fooled, prepare_attack, summarize_attack
from .minimal import shrink_to_boundary
from .norms import NORMS, TINY, dot, expand_axes, keep_best, round_change, scale_l2_to_shape

FIRST_WEIGHT = 0.1  # the first c
GROWTH = 10.0  # factor by which c grows or shrinks until one value fools and one does not
SEARCHES = 9  # values of c
FIRST_STEP = 20.0  # L2 of the first step at 224x224


def lbfgs(
    model: Model | Lens,
    images: Images,
    target: Classes | None = None,
    *,
    steps: int = 40,
    bounds: tuple[float, float] = (0.0, 255.0),
    lead: float = 0.0,
    integer_pixels: bool = True,
    class_names: ClassNames | None = None,
    batch_size: int | None = None,
    on_progress: OnProgress | None = None,
) -> Fooled:
    """The shortest change that fools, by box-constrained L-BFGS (Szegedy et al. 2014).

    min c |r|^2 + J(x + r), x + r within the bounds, for the largest c that still fools; r in units of the range,
    J = log(1 + exp(margin)), the cross-entropy of a ``target``. Each c takes ``steps`` steps of L-BFGS from the best
    change so far; c grows or shrinks tenfold until one value fools and one does not, then by bisection on a logarithmic
    scale, for each image by itself. The shortest r is shrunk to the decision boundary.

    Args:
        model: Keras model, or a `Lens` of one.
        images: images to attack: paths, arrays or a batch.
        target: class to reach, by number or name, one or one per image; by default any other class than now.
        steps: number of steps for each c.
        bounds: (lowest, highest) value of the pixels you pass; distances are always in pixel values 0..255.
        lead: number of logits by which the wrong class should win.
        integer_pixels: whether images have integer pixels before and after, so that a saved image still fools the
            network; without, changes are smaller, and rounding to 8 bits may undo them.
        class_names: names of all classes, in order; False for none.
        batch_size: images in the network at once; by default as many as memory allows.
        on_progress: function called with (done, total, what); raising stops the attack.

    Returns:
        A `Fooled`.
    """
    check_integer(steps=steps)
    task = prepare_attack(
        model,
        images,
        target,
        bounds=bounds,
        lead=lead,
        integer_pixels=integer_pixels,
        class_names=class_names,
        batch_size=batch_size,
        on_progress=on_progress,
    )
    history = []
    count = len(task.pixels)
    low, high, weight = np.zeros(count), np.full(count, np.inf), np.full(count, FIRST_WEIGHT)
    best, least = task.pixels, np.full(count, np.inf, np.float32)
    last = best
    reach = scale_l2_to_shape(FIRST_STEP, task.pixels.shape[1:])
    for _ in range(SEARCHES):
        state = initial_state(np.where(expand_axes(np.isfinite(least)), best, last), reach)
        state |= {"best": best, "least": least}
        more = {"weight": weight.astype(np.float32)}
        course = task.iterate("lbfgs", lbfgs_step, state, {"sharp": np.ones((steps, 1), np.float32)}, more)
        best, least, last = (course.state[name] for name in ("best", "least", "x"))
        history.append(course.history["margin"])
        fooled = (history[-1] < 0).any(0)
        low, high = np.where(fooled, weight, low), np.where(fooled, high, weight)
        known = (low > 0) & np.isfinite(high)
        outward = np.where(fooled, weight * GROWTH, weight / GROWTH)
        weight = np.where(known, np.sqrt(low * np.where(known, high, 1.0)), outward)
    change = np.where(expand_axes(np.isfinite(least)), best, last) - task.pixels
    found, _ = shrink_to_boundary(task, NORMS["l2"], change, change, np.sqrt(least))
    if integer_pixels:
        found = round_change(task, found)
    return summarize_attack(task, found, "L-BFGS", np.concatenate(history))


def lbfgs_step(see, state, now, given):
    """One look of the descent."""
    tried = next_point(state, 0.0, 255.0)
    margin, slope, smooth = see(tried, given, now["sharp"])
    change, weight = tried - given["origin"], given["weight"] / RANGE**2
    size = dot(change, change)
    value = weight * size + ops.softplus(smooth)
    slope = expand_axes(2 * weight) * change + expand_axes(ops.sigmoid(smooth)) * slope
    after = update_state(state, tried, value, slope, 0.0, 255.0)
    return after | keep_best(state, tried, size, margin < 0), {"margin": margin}


MEMORY = 6  # pairs of changes
SUFFICIENT_DECREASE = 1e-4  # of the descent that the slope promises (Armijo)
SHORTEST_STEP = 1e-3  # of a direction: after that the memory is forgotten


def initial_state(pixels, first):
    """The state of a descent from ``pixels``, whose first step has the length ``first``."""
    count, shape = len(pixels), pixels.shape
    zeros, past = np.zeros(shape, np.float32), np.zeros((count, MEMORY, *shape[1:]), np.float32)
    one = np.ones(count, np.float32)
    places = {"x": pixels.astype(np.float32), "slope": zeros, "along": zeros, "moves": past, "bends": past}
    return places | {"value": np.inf * one, "share": 0 * one, "scale": 0 * one, "first": np.float32(first) * one}


def update_state(state, tried, value, slope, low, high):
    """The state after a look at ``tried``, the place that `next_point` gave."""
    promised = dot(state["slope"], tried - state["x"])
    taken = (value <= state["value"] + SUFFICIENT_DECREASE * promised) | (
        state["share"] == 0
    )  # the first look is where it begins
    begins = state["share"] == 0
    move, bend = tried - state["x"], slope - state["slope"]
    product = dot(move, bend)
    learns = taken & ~begins & (product > 1e-8 * dot(bend, bend))
    forgets = ~taken & (state["share"] <= SHORTEST_STEP)
    fresh = {"moves": move, "bends": bend}
    past = {name: update_memory(state[name], new, learns, forgets) for name, new in fresh.items()}
    slope = ops.where(expand_axes(taken), slope, state["slope"])
    x = ops.where(expand_axes(taken), tried, state["x"])
    scale = ops.where(learns, product / (dot(bend, bend) + TINY), state["scale"])
    steepest = state["first"] / (ops.sqrt(dot(slope, slope)) + TINY)
    scale = ops.where(begins | forgets, steepest * ops.where(forgets, 0.1, 1.0), scale)
    along = search_direction(x, slope, past, scale, low, high)
    return past | {
        "x": x,
        "slope": slope,
        "along": ops.where(expand_axes(taken | forgets), along, state["along"]),
        "value": ops.where(taken, value, state["value"]),
        "share": ops.where(taken | forgets, 1.0, 0.5 * state["share"]),
        "scale": scale,
        "first": state["first"],
    }


def next_point(state, low, high):
    """Where to look next."""
    return ops.clip(state["x"] + expand_axes(state["share"]) * state["along"], low, high)


def update_memory(past, new, learns, forgets):
    """The newest change last."""
    wide = lambda choice: choice[:, None, None, None, None]  # noqa: E731
    past = ops.where(wide(learns), ops.concatenate([past[:, 1:], new[:, None]], 1), past)
    return ops.where(wide(forgets), 0.0, past)


def search_direction(x, slope, past, scale, low, high):
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
        found = found - expand_axes(weights[-1]) * bends[i]
    found = expand_axes(scale) * found
    for i, weight in enumerate(reversed(weights)):
        found = found + expand_axes(weight - inverse[i] * dot(bends[i], found)) * moves[i]
    found = ops.where(expand_axes(dot(found, start) > 0), found, expand_axes(scale) * start)
    return -found
