"""The first attack: box-constrained L-BFGS with the weight of the change found by search (Szegedy et al. 2014)."""

import numpy as np
from keras import ops

from .attacking import judged, victim
from .boundary import nearest
from .descending import begun, descended, trial
from .distortions import RANGE
from .norms import NORMS, dot, rows
from .rounding import whole_steps

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
    reach = REACH * np.sqrt(np.prod(case.pixels.shape[1:]) / (224 * 224 * 3))
    for _ in range(SEARCHES):
        state = begun(np.where(np.isfinite(least)[:, None, None, None], best, last), reach)
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
    change = np.where(np.isfinite(least)[:, None, None, None], best, last) - case.pixels
    found = nearest(case, NORMS["l2"], change, change, np.sqrt(least))
    if whole:
        found = whole_steps(case, found)
    return judged(case, found, "L-BFGS", np.concatenate(history), whole)


def step(see, state, now, given):
    """One look of the descent."""
    tried = trial(state, 0.0, 255.0)
    margin, slope, smooth = see(tried, given, now["sharp"])
    change, weight = tried - given["origin"], given["weight"] / RANGE**2
    size = dot(change, change)
    value = weight * size + ops.softplus(smooth)
    slope = rows(2 * weight) * change + rows(ops.sigmoid(smooth)) * slope
    after = descended(state, tried, value, slope, 0.0, 255.0)
    better = (margin < 0) & (size < state["least"])
    after |= {"best": ops.where(rows(better), tried, state["best"]), "least": ops.where(better, size, state["least"])}
    return after, {"margin": margin}
