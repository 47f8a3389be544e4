"""The smallest change that fools: by the slope to where two classes are equal, and along that border to the image."""

import numpy as np
from keras import ops

from .attack import judged, victim
from .norms import TINY, dot, norm_of, rows, whole_steps

TANGENT = (0.4, 0.015)  # how much of what is not along the slope is given up in a step, from first to last
SHARP = (1.0, 8.0)  # of the smooth maximum over the other classes
LEAP, FIRST = 0.5, 60.0  # a step goes at most as far as half of the change, or this in L2 for 224x224
RAY, BACK = 12, 0.9  # looks along the line through the image at the end, and how far back the first gap may reach


def minimal(model, images, target=None, *, norm="l2", steps=60, whole=False, **options):
    """The smallest change, in ``norm`` "l2" or "linf", that makes another class, or the ``target``, win.

    min |d| subject to f(x + d) <= 0 and the range of pixels, f by how many logits the old class leads. Each step goes
    to f = 0 by the slope g at hand, -f g / |g|^2 (as DeepFool, Moosavi-Dezfooli et al. 2016), and gives up a share of
    what in d is not along g; the share falls to nearly nothing, so that d becomes the mean of the slopes that it met:
    at a minimum, d and g are parallel. The end is a bisection on the line through the image. ``lead`` asks for more
    than equality, by so many logits; ``whole`` for a change of whole steps of 0..255.
    """
    if steps < 1:
        raise ValueError(f"`steps` should be at least 1. Received: {steps}")
    norm, case = norm_of(norm), victim(model, images, target, **options)
    found, history = to_the_boundary(case, norm, steps)
    if whole:
        found = whole_steps(case, found)
    return judged(case, found, f"minimal {norm.name.capitalize()}", history, whole)


def to_the_boundary(case, norm, steps):
    """(pixels nearest to the images that fool, the margin at each step)."""
    count, past = len(case.pixels), np.arange(steps) / max(steps - 1, 1)
    waning = TANGENT[1] + (TANGENT[0] - TANGENT[1]) * (1 + np.cos(np.pi * past)) / 2
    reach = FIRST * np.sqrt(np.prod(case.pixels.shape[1:]) / (224 * 224 * 3))
    now = {
        "tangent": waning,
        "sharp": SHARP[0] * (SHARP[1] / SHARP[0]) ** past,
        "first": np.full(steps, reach if norm.name == "l2" else FIRST / 20),
    }
    now = {name: array.astype(np.float32)[:, None] for name, array in now.items()}
    least = np.full(count, np.inf, np.float32)
    state = {"d": np.zeros_like(case.pixels), "best": np.zeros_like(case.pixels), "least": least}
    course = case.iterate(("minimal", norm.name), stepping(norm), state, now)
    found = nearest(case, norm, course.state["d"], course.state["best"], course.state["least"])
    return found, course.said["margin"]


def nearest(case, norm, change, best, least):
    """The pixels that just fool on the line through the image and ``change``, or the ``best`` change where shorter."""
    ends = on_the_ray(case, change)
    change = scaled(case, change, ends)
    size = np.where(np.isfinite(ends), norm.measure(change), np.inf)
    keep = np.isfinite(least) & (least <= size)
    return np.clip(case.pixels + np.where(rows(keep), best, change), 0, 255)


def stepping(norm):
    """One step: to f = 0 along the slope, back to the image across it."""

    def step(see, state, now, given):
        d, origin = state["d"], given["origin"]
        x = origin + d
        margin, slope, _ = see(x, given, now["sharp"])
        size = length_of(norm, d)
        better = (margin < 0) & (size < state["least"])
        stuck = ((x <= 0.0) & (slope > 0)) | ((x >= 255.0) & (slope < 0))  # at an end of the range, pushed beyond
        free = ops.where(stuck, 0.0, slope)
        across = norm_across(norm, d, free, stuck, now["tangent"])
        f = margin + dot(slope, across)
        limit = ops.maximum(now["first"], LEAP * size)
        move = norm.shortest(free, -f)
        move = move * rows(ops.minimum(1.0, limit / (length_of(norm, move) + TINY)))
        after = {
            "d": ops.clip(x + across + move, 0.0, 255.0) - origin,
            "best": ops.where(rows(better), d, state["best"]),
            "least": ops.where(better, size, state["least"]),
        }
        return after, {"margin": margin}

    return step


def norm_across(norm, d, slope, stuck, share):
    """What a step gives up of a change: in L2 a share of what is not along the slope, in Linf of the largest."""
    if norm.name == "linf":
        most = ops.max(ops.abs(d), (1, 2, 3))
        return norm.within(d, (1 - share) * most) - d
    along = norm.shortest(slope, dot(slope, d))
    return ops.where(stuck, 0.0, -rows(share) * (d - along))


def length_of(norm, change):
    if norm.name == "linf":
        return ops.max(ops.abs(change), (1, 2, 3))
    return ops.sqrt(dot(change, change))


def on_the_ray(case, change):
    """By how much each change can be multiplied so that it just fools; infinite where nothing was found."""
    count = len(change)
    ends = {"low": np.zeros(count), "high": np.full(count, np.inf), "at": np.ones(count)}
    ends = {name: array.astype(np.float32) for name, array in ends.items()}

    def step(see, state, now, given):
        at, wide = state["at"], 0.01 * ops.power(2.5, ops.cast(now["k"], "float32"))
        margin, *_ = see(ops.clip(given["origin"] + rows(at) * given["change"], 0.0, 255.0), given)
        low = ops.where(margin < 0, state["low"], ops.maximum(at, state["low"]))
        high = ops.where(margin < 0, ops.minimum(at, state["high"]), state["high"])
        between = ops.where(low > 0, (low + high) / 2, BACK * high)
        return {"low": low, "high": high, "at": ops.where(high < np.inf, between, at + wide)}, {"margin": margin}

    course = case.iterate("ray", step, ends, {"none": np.zeros((RAY, 1), np.float32)}, more={"change": change})
    return course.state["high"]


def scaled(case, change, by):
    """Changes times a number each, kept within the range of pixels."""
    by = np.where(np.isfinite(by), by, 1.0).astype(np.float32)
    return np.clip(case.pixels + rows(by) * change, 0, 255) - case.pixels
