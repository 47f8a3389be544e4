"""Small changes that fool: by the slope to where two classes are equal, and along that border to the image."""

from dataclasses import replace

import numpy as np
from keras import ops

from .attack import judge, victim
from .norms import TINY, dot, l2_of_224, near, norm_of, rows, whole_steps, with_best

TANGENT = (0.4, 0.015)  # how much of what is not along the slope is given up in a step, from first to last
NEAR, HARD = 9, 1e3  # likeliest other classes of which the nearest is looked for, and the sharpness of that look
COURSES = ((8.0, 100.0), (0.3, 100.0))  # of each search, how sharp the smooth maximum over classes is, first and last
LEAP, FIRST = 0.5, 60.0  # a step goes at most as far as half of the change, or this in L2 for 224x224
RAY, BACK = 12, 0.9  # looks along the line through the image at the end, and how far back the first gap may reach


def minimal(model, images, target=None, *, norm="l2", steps=60, starts=2, seed=0, whole=False, **options):
    """A small change that makes another class, or the ``target``, win.

    min |d| subject to f(x + d) <= 0 and the range of pixels, f by how many logits the old class leads. Each step goes
    to f = 0 by the slope g at hand, -f g / |g|^2 (as DeepFool, Moosavi-Dezfooli et al. 2016), and gives up a share of
    what in d is not along g; the share falls to nearly nothing, so that d becomes the mean of the slopes that it met:
    at a minimum, d and g are parallel. The end is a bisection on the line through the image. A local minimum: nothing
    proves that there is no smaller change.

    Args:
        model: a Keras model, or a `Probe` of one.
        images: whatever holds pixels.
        target: a class, or one for each image, numbers or names; by default any other class than now.
        norm: "l2" or "linf", by which changes are small.
        steps: of each search; each is a pass of the model, forward and back.
        starts: how many searches, of which the shortest change is kept; time grows with them. The first aims at that
            of the 9 likeliest other classes that is nearest by the slope at the image (one pass for each of the 9),
            the second begins with all classes together, further ones begin at random places near the image, which
            depend on the image and ``seed`` alone.
        seed: of the random places.
        whole: whether the change should be of whole steps of 0..255.
        **options: those of all attacks, see `fool`.

    Returns:
        `Fooled`.
    """
    for name, value in (("steps", steps), ("starts", starts)):
        if value < 1:
            raise ValueError(f"`{name}` should be at least 1. Received: {value}")
    norm, case = norm_of(norm), victim(model, images, target, **options)
    found, history = shortest(case, norm, steps, starts, seed)
    if whole:
        found = whole_steps(case, found)
    return judge(case, found, f"minimal {norm.name.capitalize()}", history, whole)


def shortest(case, norm, steps, starts, seed):
    """(the pixels nearest to the images that fool, of several searches; the margin at each step of theirs)."""
    count = len(case.pixels)
    many = case.at(np.tile(np.arange(count), starts))
    if case.target is None:
        many.label[:count], many.sign[:count] = nearest_classes(case, norm), 1
    pixels, sizes, margins = search(many, norm, steps, starts, seed)
    best = sizes.reshape(starts, count).argmin(0) * count + np.arange(count)
    return pixels[best], margins[:, best]


def nearest_classes(case, norm):
    """Of each image the class whose border is nearest by the slope at the image."""
    others = np.where(np.arange(case.probs.shape[1]) == case.before[:, None], -1, case.probs)
    few = np.argsort(-others, axis=1, kind="stable")[:, : min(NEAR, others.shape[1] - 1)]
    each = case.at(np.repeat(np.arange(len(few)), few.shape[1]))
    each = replace(each, label=few.ravel().astype(np.int32), sign=np.ones(few.size, np.float32))

    def step(see, state, now, given):
        margin, slope, _ = see(given["origin"], given, now["sharp"])
        return {"far": norm.length(norm.shortest(slope, margin))}, {"margin": margin}

    far = {"far": np.zeros(few.size, np.float32)}
    now = {"sharp": np.full((1, 1), HARD, np.float32)}
    far = each.iterate(("nearest", norm.name), step, far, now).state["far"]
    return few[np.arange(len(few)), far.reshape(few.shape).argmin(1)]


def search(case, norm, steps, starts, seed):
    """(pixels, size of the change, margins) of all searches at once, the images of one after those of the other."""
    past, count = np.arange(steps) / max(steps - 1, 1), len(case.pixels) // starts
    waning = TANGENT[1] + (TANGENT[0] - TANGENT[1]) * (1 + np.cos(np.pi * past)) / 2
    reach = l2_of_224(FIRST, case.pixels.shape[1:]) if norm.name == "l2" else FIRST / 20
    courses = [COURSES[min(k, len(COURSES) - 1)] for k in range(starts)]
    sharp = np.stack([first * (last / first) ** past for first, last in courses], 1)
    now = {"tangent": waning[:, None], "sharp": np.repeat(sharp, count, axis=1), "first": np.full((steps, 1), reach)}
    now = {name: array.astype(np.float32) for name, array in now.items()}
    begin = np.zeros_like(case.pixels)
    for k in range(len(COURSES), starts):
        rows = slice(k * count, (k + 1) * count)
        begin[rows] = near(case.pixels[rows], norm, reach, seed, k) - case.pixels[rows]
    least = np.full(len(begin), np.inf, np.float32)
    state = {"d": begin, "best": np.zeros_like(begin), "least": least}
    course = case.iterate(("minimal", norm.name), stepping(norm), state, now)
    found, size = nearest(case, norm, course.state["d"], course.state["best"], course.state["least"])
    return found, size, course.said["margin"]


def nearest(case, norm, change, best, least):
    """(pixels, size): what just fools on the line through the image and ``change``, or ``best`` where shorter."""
    ends = on_the_ray(case, change)
    change = scale(case, change, ends)
    size = np.where(np.isfinite(ends), norm.measure(change), np.inf)
    keep = np.isfinite(least) & (least <= size)
    return np.clip(case.pixels + np.where(rows(keep), best, change), 0, 255), np.where(keep, least, size)


def stepping(norm):
    """One step: to f = 0 along the slope, back to the image across it."""

    def step(see, state, now, given):
        d, origin = state["d"], given["origin"]
        x = origin + d
        margin, slope, _ = see(x, given, now["sharp"])
        size = norm.length(d)
        stuck = ((x <= 0.0) & (slope > 0)) | ((x >= 255.0) & (slope < 0))  # at an end of the range, pushed beyond
        free = ops.where(stuck, 0.0, slope)
        across = norm_across(norm, d, free, stuck, now["tangent"])
        f = margin + dot(slope, across)
        limit = ops.maximum(now["first"], LEAP * size)
        move = norm.shortest(free, -f)
        move = move * rows(ops.minimum(1.0, limit / (norm.length(move) + TINY)))
        onward = {"d": ops.clip(x + across + move, 0.0, 255.0) - origin}
        return onward | with_best(state, d, size, margin < 0), {"margin": margin}

    return step


def norm_across(norm, d, slope, stuck, share):
    """What a step gives up of a change: in L2 a share of what is not along the slope, in Linf of the largest."""
    if norm.name == "linf":
        return norm.within(d, (1 - share) * norm.length(d)) - d
    along = norm.shortest(slope, dot(slope, d))
    return ops.where(stuck, 0.0, -rows(share) * (d - along))


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


def scale(case, change, by):
    """Changes times a number each, kept within the range of pixels."""
    by = np.where(np.isfinite(by), by, 1.0).astype(np.float32)
    return np.clip(case.pixels + rows(by) * change, 0, 255) - case.pixels
