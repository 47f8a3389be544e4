"""Small changes that fool: by the slope to where two classes are equal, and along that border to the image."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from keras import ops

from ...support.checks import check_integer
from ...support.types import Classes, ClassNames, Images, Model, OnProgress
from ..engine.lens import Lens
from .attack import Fooled, prepare_attack, summarize_attack
from .norms import TINY, dot, expand_axes, find_norm, keep_best, random_start, round_change, scale_l2_to_shape

SHRINKAGE = (0.4, 0.015)  # how much of what is not along the slope is given up in a step, from first to last
CANDIDATES = 9  # likeliest other classes, among which the nearest is searched
CANDIDATE_SHARPNESS = 1e3  # of the smooth maximum in that search
SHARPNESS = ((8.0, 100.0), (0.3, 100.0))  # of each search, how sharp the smooth maximum over classes is, first and last
MAX_STEP, FIRST_STEP = 0.5, 60.0  # a step goes at most as far as half of the change, or this in L2 for 224x224
BISECTIONS = 12  # steps along the line through the image at the end
FIRST_GAP = 0.9  # how far back the first gap may reach


def minimal(
    model: Model | Lens,
    images: Images,
    target: Classes | None = None,
    *,
    norm: str = "l2",
    steps: int = 60,
    starts: int = 2,
    seed: int = 0,
    bounds: tuple[float, float] = (0.0, 255.0),
    lead: float = 0.0,
    integer_pixels: bool = True,
    class_names: ClassNames | None = None,
    batch_size: int | None = None,
    on_progress: OnProgress | None = None,
) -> Fooled:
    """A small change that makes another class, or the ``target``, win.

    min |d| subject to f(x + d) <= 0 and the bounds of the pixels, with f the number of logits by which the old class
    leads. Each step goes to f = 0 along the gradient g, -f g / |g|^2 (as DeepFool, Moosavi-Dezfooli et al. 2016), and
    shrinks the part of d that is orthogonal to g; the shrinkage falls to nearly nothing, so that d becomes the mean of
    the gradients on its way: at a minimum, d and g are parallel. The end is a bisection on the line through the image.
    The minimum is local: nothing proves that there is no smaller change.

    Args:
        model: Keras model, or a `Lens` of one.
        images: images to attack: paths, arrays or a batch.
        target: class to reach, by number or name, one or one per image; by default any other class than now.
        norm: "l2" or "linf", by which changes are small.
        steps: number of steps of each search; each is a forward and a backward pass.
        starts: number of searches, of which the shortest change is kept. The first aims at the nearest of the 9
            likeliest other classes, the second at all classes together, further ones start at random points near
            the image.
        seed: random seed for the starts; a start depends on the image and the seed alone.
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
    check_integer(steps=steps, starts=starts)
    measure = find_norm(norm)
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
    found, history = smallest_changes(task, measure, steps, starts, seed)
    if integer_pixels:
        found = round_change(task, found)
    return summarize_attack(task, found, f"minimal {measure.name.capitalize()}", history)


def smallest_changes(task, norm, steps, starts, seed):
    """(the pixels nearest to the images that fool, of several searches; the margin at each step of theirs)."""
    count = len(task.pixels)
    many = task.select(np.tile(np.arange(count), starts))
    if task.target is None:
        many.label[:count], many.sign[:count] = nearest_classes(task, norm), 1
    pixels, sizes, margins = run_searches(many, norm, steps, starts, seed)
    best = sizes.reshape(starts, count).argmin(0) * count + np.arange(count)
    return pixels[best], margins[:, best]


def nearest_classes(task, norm):
    """Of each image the class whose border is nearest by the slope at the image."""
    others = np.where(np.arange(task.probs.shape[1]) == task.before[:, None], -1, task.probs)
    few = np.argsort(-others, axis=1, kind="stable")[:, : min(CANDIDATES, others.shape[1] - 1)]
    each = task.select(np.repeat(np.arange(len(few)), few.shape[1]))
    each = replace(each, label=few.ravel().astype(np.int32), sign=np.ones(few.size, np.float32))

    def step(see, state, now, given):
        margin, slope, _ = see(given["origin"], given, now["sharp"])
        return {"far": norm.length(norm.shortest_step(slope, margin))}, {"margin": margin}

    far = {"far": np.zeros(few.size, np.float32)}
    now = {"sharp": np.full((1, 1), CANDIDATE_SHARPNESS, np.float32)}
    far = each.iterate(("nearest", norm.name), step, far, now).state["far"]
    return few[np.arange(len(few)), far.reshape(few.shape).argmin(1)]


def run_searches(task, norm, steps, starts, seed):
    """(pixels, size of the change, margins) of all searches at once, the images of one after those of the other."""
    past, count = np.arange(steps) / max(steps - 1, 1), len(task.pixels) // starts
    waning = SHRINKAGE[1] + (SHRINKAGE[0] - SHRINKAGE[1]) * (1 + np.cos(np.pi * past)) / 2
    reach = scale_l2_to_shape(FIRST_STEP, task.pixels.shape[1:]) if norm.name == "l2" else FIRST_STEP / 20
    courses = [SHARPNESS[min(k, len(SHARPNESS) - 1)] for k in range(starts)]
    sharp = np.stack([first * (last / first) ** past for first, last in courses], 1)
    now = {"tangent": waning[:, None], "sharp": np.repeat(sharp, count, axis=1), "first": np.full((steps, 1), reach)}
    now = {name: array.astype(np.float32) for name, array in now.items()}
    begin = np.zeros_like(task.pixels)
    for k in range(len(SHARPNESS), starts):
        rows = slice(k * count, (k + 1) * count)
        begin[rows] = random_start(task.pixels[rows], norm, reach, seed, k) - task.pixels[rows]
    least = np.full(len(begin), np.inf, np.float32)
    state = {"d": begin, "best": np.zeros_like(begin), "least": least}
    course = task.iterate(("minimal", norm.name), minimal_step(norm), state, now)
    found, size = shrink_to_boundary(task, norm, course.state["d"], course.state["best"], course.state["least"])
    return found, size, course.history["margin"]


def shrink_to_boundary(task, norm, change, best, least):
    """(pixels, size): what just fools on the line through the image and ``change``, or ``best`` where shorter."""
    ends = boundary_factors(task, change)
    change = scale_change(task, change, ends)
    size = np.where(np.isfinite(ends), norm.measure(change), np.inf)
    keep = np.isfinite(least) & (least <= size)
    return np.clip(task.pixels + np.where(expand_axes(keep), best, change), 0, 255), np.where(keep, least, size)


def minimal_step(norm):
    """One step: to f = 0 along the slope, back to the image across it."""

    def step(see, state, now, given):
        d, origin = state["d"], given["origin"]
        x = origin + d
        margin, slope, _ = see(x, given, now["sharp"])
        size = norm.length(d)
        stuck = ((x <= 0.0) & (slope > 0)) | ((x >= 255.0) & (slope < 0))  # at an end of the range, pushed beyond
        free = ops.where(stuck, 0.0, slope)
        across = shrinking_step(norm, d, free, stuck, now["tangent"])
        f = margin + dot(slope, across)
        limit = ops.maximum(now["first"], MAX_STEP * size)
        move = norm.shortest_step(free, -f)
        move = move * expand_axes(ops.minimum(1.0, limit / (norm.length(move) + TINY)))
        onward = {"d": ops.clip(x + across + move, 0.0, 255.0) - origin}
        return onward | keep_best(state, d, size, margin < 0), {"margin": margin}

    return step


def shrinking_step(norm, d, slope, stuck, fraction):
    """What a step gives up of a change: in L2 a share of what is not along the slope, in Linf of the largest."""
    if norm.name == "linf":
        return norm.project(d, (1 - fraction) * norm.length(d)) - d
    along = norm.shortest_step(slope, dot(slope, d))
    return ops.where(stuck, 0.0, -expand_axes(fraction) * (d - along))


def boundary_factors(task, change):
    """By how much each change can be multiplied so that it just fools; infinite where nothing was found."""
    count = len(change)
    ends = {"low": np.zeros(count), "high": np.full(count, np.inf), "at": np.ones(count)}
    ends = {name: array.astype(np.float32) for name, array in ends.items()}

    def step(see, state, now, given):
        at, wide = state["at"], 0.01 * ops.power(2.5, ops.cast(now["k"], "float32"))
        margin, *_ = see(ops.clip(given["origin"] + expand_axes(at) * given["change"], 0.0, 255.0), given)
        low = ops.where(margin < 0, state["low"], ops.maximum(at, state["low"]))
        high = ops.where(margin < 0, ops.minimum(at, state["high"]), state["high"])
        between = ops.where(low > 0, (low + high) / 2, FIRST_GAP * high)
        return {"low": low, "high": high, "at": ops.where(high < np.inf, between, at + wide)}, {"margin": margin}

    course = task.iterate("ray", step, ends, {"none": np.zeros((BISECTIONS, 1), np.float32)}, more={"change": change})
    return course.state["high"]


def scale_change(task, change, factors):
    """Changes times a number each, kept within the range of pixels."""
    factors = np.where(np.isfinite(factors), factors, 1.0).astype(np.float32)
    return np.clip(task.pixels + expand_axes(factors) * change, 0, 255) - task.pixels
