"""Attacks of bounded size: one step along the sign of the gradient, many small steps, and many from a random start.

Sizes are pixel values 0..255, whatever range the network takes. An image that fools the network is not changed further.
"""

from __future__ import annotations

import numpy as np
from keras import ops

from ...support.checks import check_integer
from ...support.types import Classes, ClassNames, Images, Model, OnProgress
from ..engine.lens import Lens
from .attack import Fooled, check_least, prepare_attack, summarize_attack
from .norms import expand_axes, find_norm, random_start, round_change

TOTAL_STEP = 2.5  # of all steps of PGD together, in sizes of the ball (Madry et al. 2018)


def fgsm(
    model: Model | Lens,
    images: Images,
    target: Classes | None = None,
    *,
    epsilon: float = 8.0,
    bounds: tuple[float, float] = (0.0, 255.0),
    lead: float = 0.0,
    integer_pixels: bool = True,
    class_names: ClassNames | None = None,
    batch_size: int | None = None,
    on_progress: OnProgress | None = None,
) -> Fooled:
    """The fast gradient sign method: one step of ``epsilon`` (Goodfellow et al. 2015).

    x + epsilon sign(dJ/dx), with J the cross-entropy of the predicted class; minus, toward a ``target``.

    Args:
        model: Keras model, or a `Lens` of one.
        images: images to attack: paths, arrays or a batch.
        target: class to reach, by number or name, one or one per image; by default any other class than now.
        epsilon: largest change of a pixel, in pixel values 0..255.
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
    return run_bounded_attack(
        "fgsm",
        model,
        images,
        target,
        epsilon=epsilon,
        step_size=epsilon,
        steps=1,
        bounds=bounds,
        lead=lead,
        integer_pixels=integer_pixels,
        class_names=class_names,
        batch_size=batch_size,
        on_progress=on_progress,
    )


def bim(
    model: Model | Lens,
    images: Images,
    target: Classes | None = None,
    *,
    epsilon: float = 8.0,
    step_size: float = 1.0,
    steps: int | None = None,
    bounds: tuple[float, float] = (0.0, 255.0),
    lead: float = 0.0,
    integer_pixels: bool = True,
    class_names: ClassNames | None = None,
    batch_size: int | None = None,
    on_progress: OnProgress | None = None,
) -> Fooled:
    """The basic iterative method: small steps of FGSM (Kurakin et al. 2017).

    Each step is clipped to ``epsilon``.

    Args:
        model: Keras model, or a `Lens` of one.
        images: images to attack: paths, arrays or a batch.
        target: class to reach, by number or name, one or one per image; by default any other class than now.
        epsilon: largest change of a pixel, in pixel values 0..255.
        step_size: length of a step, in pixel values.
        steps: number of steps; by default as in the paper, min(epsilon + 4, 1.25 epsilon).
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
    steps = int(max(np.ceil(min(epsilon + 4, 1.25 * epsilon)), 1)) if steps is None else steps
    return run_bounded_attack(
        "bim",
        model,
        images,
        target,
        epsilon=epsilon,
        step_size=step_size,
        steps=steps,
        bounds=bounds,
        lead=lead,
        integer_pixels=integer_pixels,
        class_names=class_names,
        batch_size=batch_size,
        on_progress=on_progress,
    )


def pgd(
    model: Model | Lens,
    images: Images,
    target: Classes | None = None,
    *,
    epsilon: float | None = None,
    norm: str = "linf",
    step_size: float | None = None,
    steps: int = 40,
    start: bool = True,
    seed: int = 0,
    bounds: tuple[float, float] = (0.0, 255.0),
    lead: float = 0.0,
    integer_pixels: bool = True,
    class_names: ClassNames | None = None,
    batch_size: int | None = None,
    on_progress: OnProgress | None = None,
) -> Fooled:
    """Projected gradient descent from a random start in the ball (Madry et al. 2018).

    The start of an image depends on ``seed`` and its own pixels alone.

    Args:
        model: Keras model, or a `Lens` of one.
        images: images to attack: paths, arrays or a batch.
        target: class to reach, by number or name, one or one per image; by default any other class than now.
        epsilon: radius of the ball, in pixel values 0..255; by default 8 in "linf" and 256 in "l2".
        norm: "linf" or "l2".
        step_size: length of a step; by default 2.5 epsilon / steps.
        steps: number of steps.
        start: whether to start at a random point of the ball rather than at the image.
        seed: random seed for the start.
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
    epsilon = {"linf": 8.0, "l2": 256.0}[find_norm(norm).name] if epsilon is None else epsilon
    step_size = TOTAL_STEP * epsilon / max(steps, 1) if step_size is None else step_size
    return run_bounded_attack(
        "pgd",
        model,
        images,
        target,
        epsilon=epsilon,
        step_size=step_size,
        steps=steps,
        norm=norm,
        start=start,
        seed=seed,
        bounds=bounds,
        lead=lead,
        integer_pixels=integer_pixels,
        class_names=class_names,
        batch_size=batch_size,
        on_progress=on_progress,
    )


def run_bounded_attack(
    name,
    model,
    images,
    target,
    *,
    epsilon,
    step_size,
    steps,
    norm="linf",
    start=False,
    seed=0,
    bounds,
    lead,
    integer_pixels,
    class_names,
    batch_size,
    on_progress,
):
    """Take ``steps`` projected steps of the length ``step_size``."""
    norm = find_norm(norm)
    check_least("epsilon", epsilon, 0)
    check_least("step_size", step_size, 0)
    check_integer(steps=steps)
    if integer_pixels and 0 < epsilon < 1:
        raise ValueError(f"`epsilon` should be at least 1, or `integer_pixels` False. Received: {epsilon}")
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
    count, pixels = len(task.pixels), task.pixels
    begin = random_start(pixels, norm, epsilon, seed) if start else pixels
    now = {
        "size": np.full((steps, 1), epsilon, np.float32),
        "step": np.full((steps, 1), step_size, np.float32),
        "sharp": np.ones((steps, 1), np.float32),
    }
    course = task.iterate(
        (name, norm.name),
        step_and_project(norm),
        {"x": begin, "margin": np.ones(count, np.float32)},
        now,
        over=are_all_fooled,
    )
    found = course.state["x"]
    if integer_pixels:
        found = round_change(task, found, epsilon, norm)
    return summarize_attack(task, found, f"{name}, {norm.name.capitalize()} {epsilon:g}", course.history["margin"])


def step_and_project(norm):
    """One step: look where the image is, and go on unless it is fooled."""

    def step(see, state, now, given):
        x = state["x"]
        margin, slope, _ = see(x, given, now["sharp"])
        onward = ops.where(margin < 0, 0.0, now["step"])  # a number an image: choosing among pixels takes longer
        moved = norm.project(x - expand_axes(onward) * norm.steepest_step(slope) - given["origin"], now["size"])
        return {"x": ops.clip(given["origin"] + moved, 0.0, 255.0), "margin": margin}, {"margin": margin}

    return step


def are_all_fooled(state, said):
    return bool((state["margin"] < 0).all())
