"""Attacks within a given size: one step along the sign of the gradient, many small ones, and those from a random start.

Sizes are in steps of 0..255, whatever range the network takes. An image that is fooled is left as it is.
"""

import numpy as np
from keras import ops

from .attack import judge, victim
from .norms import near, norm_of, rows, whole_steps

RELATIVE = 2.5  # of all steps of PGD together, in sizes of the ball (Madry et al. 2018)


def fgsm(model, images, target=None, *, size=8.0, **options):
    """x + size sign(dJ/dx): the fast gradient sign method (Goodfellow et al. 2015); toward a ``target`` minus."""
    return bounded("fgsm", model, images, target, size, size, 1, **options)


def bim(model, images, target=None, *, size=8.0, step=1.0, steps=None, **options):
    """Steps of ``step`` along the sign, clipped to ``size``: the basic iterative method (Kurakin et al. 2017).

    As many as the paper takes by default: min(size + 4, 1.25 size) of them.
    """
    steps = int(max(np.ceil(min(size + 4, 1.25 * size)), 1)) if steps is None else steps
    return bounded("bim", model, images, target, size, step, steps, **options)


def pgd(model, images, target=None, *, size=None, norm="linf", step=None, steps=40, start=True, **options):
    """Projected steepest ascent from a random ``start`` in the ball (Madry et al. 2018), in ``norm`` "linf" or "l2".

    ``size`` is 8 in Linf and 256 in L2 if not given, ``step`` 2.5 size / steps. ``seed`` and its own pixels give each
    image its start, whichever others are beside it.
    """
    size = {"linf": 8.0, "l2": 256.0}[norm_of(norm).name] if size is None else size
    step = RELATIVE * size / max(steps, 1) if step is None else step
    return bounded("pgd", model, images, target, size, step, steps, norm=norm, start=start, **options)


def bounded(
    name, model, images, target, size, step, steps, *, norm="linf", start=False, seed=0, whole=False, **options
):
    """`Fooled` by ``steps`` projected steps of the length ``step``."""
    norm = norm_of(norm)
    for argument, value, least in (("size", size, 0), ("step", step, 0), ("steps", steps, 1)):
        if not np.isfinite(value) or value < least:
            raise ValueError(f"`{argument}` should be at least {least}. Received: {value}")
    case = victim(model, images, target, **options)
    count, pixels = len(case.pixels), case.pixels
    begin = near(pixels, norm, size, seed) if start else pixels
    now = {
        "size": np.full((steps, 1), size, np.float32),
        "step": np.full((steps, 1), step, np.float32),
        "sharp": np.ones((steps, 1), np.float32),
    }
    course = case.iterate(
        (name, norm.name), stepping(norm), {"x": begin, "margin": np.ones(count, np.float32)}, now, over=all_fooled
    )
    found = course.state["x"]
    if whole:
        found = whole_steps(case, found, size, norm)
    return judge(case, found, f"{name}, {norm.name.capitalize()} {size:g}", course.said["margin"], whole)


def stepping(norm):
    """One step: look where the image is, and go on unless it is fooled."""

    def step(see, state, now, given):
        x = state["x"]
        margin, slope, _ = see(x, given, now["sharp"])
        onward = ops.where(margin < 0, 0.0, now["step"])  # a number an image: choosing among pixels takes longer
        moved = norm.within(x - rows(onward) * norm.steepest(slope) - given["origin"], now["size"])
        return {"x": ops.clip(given["origin"] + moved, 0.0, 255.0), "margin": margin}, {"margin": margin}

    return step


def all_fooled(state, said):
    return bool((state["margin"] < 0).all())
