"""What all attacks share: the task (`AttackTask`), the margin between classes, and the result (`Fooled`).

Changes are measured in pixel values 0..255 whatever range the network takes, so that sizes mean the same for any
network. Attacks follow the logits: by how much the wrong class leads. Whether an image is fooled is decided by the
user's own model in a plain forward pass.
"""

from dataclasses import dataclass, field, replace
from functools import cached_property
from numbers import Real

import keras
import numpy as np
from keras import ops

from ...inputs.classifier import class_numbers, resolve_class_names
from ...plots.primitives import display_images
from ...plots.style import LARGE, add_footnote, hide_ticks, new_figure
from ...support.display import FigureResult
from ...support.text import file_name, shorten_end
from ..attribution.attribution import class_label, class_probabilities, mean_over_places
from ..attribution.figures import count_caption
from ..engine.lens import lens
from ..engine.loop import Loop, iterate
from ..engine.query import (
    RANGE,
    Pictures,
    Query,
    batch_limit,
    from_pixel_range,
    pictures,
    read_activations,
    run_query,
    to_pixel_range,
)
from ..engine.scores import LOGITS, PROBS
from .norms import l2, linf, rms, ssim

MASKED = 1e9  # subtracted from a class's score, it is never the largest
TINY = 1e-30  # the least probability whose logarithm is taken
ROUNDING, HALF_ROUNDING = 1e-5, 4e-3  # of the largest logit: more than two passes of a network differ by


class AttackResult(FigureResult):
    """A result with changed ``images``, the ``bounds`` of their pixels and ``class_names``."""

    def __len__(self):
        return len(self.images)

    def class_name(self, number):
        """What a class is called."""
        return class_label(number, None, self.class_names)

    def difference_from(self, originals):
        """What was added to images, (N, H, W, C), in steps of 0..255."""
        return to_pixel_range(self.images, self.bounds) - to_pixel_range(originals, self.bounds)


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class Fooled(AttackResult):
    """Images before and after an attack, with what the network predicts for both.

    Classes are those that the model itself predicts in a plain forward pass.

    Attributes:
        originals: images before, (N, H, W, C), in the range that the network takes; in integer pixels unless the attack
            was asked for others.
        images: images after, likewise.
        names: names of the images.
        method: name and size of the attack.
        before: predicted classes before, (N,).
        after: predicted classes after, (N,).
        confidence_before: probability of the class before, (N,).
        confidence_after: probability of the class after, (N,).
        target: classes to reach, (N,), or None.
        success: whether an image is predicted as another class than before or as its target, by ``lead`` logits.
        survives: whether that holds after rounding to integer pixels, as when an image is saved in 8 bits.
        l2: Euclidean length of the change, in pixel values 0..255.
        linf: largest change of a pixel.
        rms: root mean square of the change.
        history: number of logits by which the class that should not win leads at each step, (steps, N).
        bounds: (lowest, highest) value of the pixels.
        class_names: names of all classes, or None.
    """

    originals: np.ndarray
    images: np.ndarray
    names: tuple
    method: str
    before: np.ndarray
    after: np.ndarray
    confidence_before: np.ndarray
    confidence_after: np.ndarray
    target: np.ndarray | None
    success: np.ndarray
    survives: np.ndarray
    l2: np.ndarray
    linf: np.ndarray
    rms: np.ndarray
    history: np.ndarray
    bounds: tuple = (0.0, RANGE)
    class_names: tuple | None = None

    def __str__(self):
        aim = "another class" if self.target is None else "their targets"
        far = np.median(self.l2[self.success]) if self.success.any() else np.nan
        return (
            f"{self.method}: {self.success.sum()} of {len(self)} images are taken for {aim} "
            f"({self.survives.sum()} also in 8 bits), median L2 {far:.4g}"
        )

    @cached_property
    def ssim(self):
        """Structural similarity of each image to its original, (N,)."""
        return ssim(to_pixel_range(self.originals, self.bounds), to_pixel_range(self.images, self.bounds))

    @property
    def difference(self):
        """What was added, (N, H, W, C), in steps of 0..255."""
        return self.difference_from(self.originals)

    @property
    def table(self):
        """A DataFrame, a row an image."""
        import pandas as pd

        columns = {"image": self.names}
        for name in ("before", "after"):
            columns[name] = [self.class_name(number) for number in getattr(self, name)]
            columns[f"confidence_{name}"] = getattr(self, f"confidence_{name}")
        if self.target is not None:
            columns["target"] = [self.class_name(number) for number in self.target]
        measures = ("success", "survives", "l2", "linf", "rms", "ssim")
        return pd.DataFrame(columns | {name: getattr(self, name) for name in measures})

    def plot(self):
        """Original, fooled, difference and ten times the difference, a row an image."""
        return draw_fooled(self)


@dataclass(frozen=True, eq=False)
class AttackTask:
    """Images in steps of 0..255, (N, H, W, C) float32, and the ``label`` that each leaves (``sign`` -1) or takes (1).

    ``before`` is the class that the model predicts for each image, ``output_kind`` what its outputs are
    (`find_output_kind`), ``required_margin`` by how many logits an attack should win: the ``lead``, and more than two
    passes of the network differ by.
    """

    network: object
    photos: Pictures
    pixels: np.ndarray = field(repr=False)
    probs: np.ndarray = field(repr=False)
    before: np.ndarray
    target: np.ndarray | None
    label: np.ndarray
    sign: np.ndarray
    output_kind: str
    required_margin: np.ndarray
    bounds: tuple
    class_names: tuple | None
    lead: float
    integer_pixels: bool
    batch_size: int | None
    on_progress: object

    def select(self, rows):
        """The images of some numbers, also one several times."""
        each = ("pixels", "probs", "before", "target", "label", "sign", "required_margin")
        parts = {name: getattr(self, name)[rows] for name in each if getattr(self, name) is not None}
        return replace(self, photos=self.photos.at(rows), **parts)

    @property
    def loop_inputs(self):
        """What the steps of a loop are given of each image."""
        return {"origin": self.pixels, "label": self.label, "sign": self.sign, "required_margin": self.required_margin}

    def iterate(self, name, step, state, now, more=None, over=None):
        """Run a loop whose step is ``step(see, state, now, given)``, with ``see`` for `margin_and_gradient`."""
        bounds = self.bounds
        act = lambda look, *rest: step(lambda *what: margin_and_gradient(look, bounds, *what), *rest)  # noqa: E731
        loop = Loop(("attack", name, bounds), act, reports=("margin",))
        options = {
            "others": self.photos.others,
            "batch_size": self.batch_size,
            "on_progress": self.on_progress,
            "is_done": over,
        }
        return iterate(self.network, loop, state, now, self.loop_inputs | (more or {}), **options)

    def margins(self, pixels):
        """By how many logits the class that should not win leads in each image, and the probabilities."""
        extra = {name: self.loop_inputs[name] for name in ("label", "sign", "required_margin")}
        answer = lambda run, score, label, sign, required_margin: {  # noqa: E731
            "margin": margins(run[LOGITS], label, sign)[0] + required_margin,
            "probs": run[PROBS],
        }
        question = Query(("margin",), answer, extra=extra, backward=False)
        found = run_query(
            self.network,
            question,
            from_pixel_range(pixels, self.bounds).astype(np.float32),
            self.photos.others,
            batch_size=self.batch_size,
        )
        return found["margin"], class_probabilities(found["probs"])

    def classify(self, images):
        """(class, whether it fooled) of images in the network's own range, by a plain forward pass of the model."""
        outputs = model_outputs(self.network, images, self.photos.others, self.batch_size)
        logits, classes = (
            logits_from_outputs(outputs, self.output_kind),
            classes_from_outputs(outputs, self.output_kind),
        )
        wins = classes != self.before if self.target is None else classes == self.target
        if not self.lead:
            return classes, wins
        own = np.arange(logits.shape[1]) == self.label[:, None]
        gap = np.where(own, -np.inf, logits).max(1) - logits[own]  # of the best other class
        return classes, wins & ((gap if self.target is None else -gap) >= self.lead)


def check_least(argument, value, least):
    """Raise ValueError unless an argument is a finite number of at least ``least``."""
    if not isinstance(value, Real) or isinstance(value, bool) or not np.isfinite(value) or value < least:
        raise ValueError(f"`{argument}` should be a number of at least {least}. Received: {value!r}")


def prepare_attack(model, images, target, *, bounds, lead, integer_pixels, class_names, batch_size, on_progress):
    """The `AttackTask` that any attack is given, checked."""
    asked = lens(model)
    shown = pictures(asked, images)
    low, high = check_bounds(bounds)
    pixels = to_pixel_range(shown.pixels, (low, high)).astype(np.float32)
    if shown.pixels.min() < low - 1e-4 * (high - low) or shown.pixels.max() > high + 1e-4 * (high - low):
        extent = f"{shown.pixels.min():.4g} to {shown.pixels.max():.4g}"
        raise ValueError(f"`bounds` should be the range of the images. Received: {bounds} for pixels from {extent}")
    if integer_pixels:
        rounded = np.round(pixels)
        shown = replace(shown, pixels=to_input_range(rounded, pixels, shown.pixels, (low, high)))
        pixels = rounded
    now = read_activations(asked, shown, [LOGITS, PROBS], batch_size)
    probs, largest = class_probabilities(now[PROBS]), np.abs(now[LOGITS]).reshape(len(shown), -1).max(1)
    rounding = np.maximum(largest, 1) * (HALF_ROUNDING if asked.uses_float16 else ROUNDING)
    outputs = model_outputs(asked, shown.pixels, shown.others, batch_size)
    end = find_output_kind(outputs, probs)
    before = classes_from_outputs(outputs, end)
    class_names = resolve_class_names(class_names, probs.shape[-1], asked.model)
    if target is not None:
        names = class_names or False
        target = class_numbers(target, probs.shape[-1], images=len(shown), class_names=names, argument="target")
    return AttackTask(
        network=asked,
        photos=shown,
        pixels=pixels,
        probs=probs,
        before=before,
        target=target,
        label=(before if target is None else target).astype(np.int32),
        sign=np.full(len(shown), -1 if target is None else 1, np.float32),
        output_kind=end,
        required_margin=(lead + rounding).astype(np.float32),
        bounds=(low, high),
        class_names=class_names,
        lead=float(lead),
        integer_pixels=integer_pixels,
        batch_size=batch_size,
        on_progress=on_progress,
    )


def model_outputs(asked, images, others, batch_size=None):
    """(N, .., classes) of a plain call of the user's model: nothing of ours is compiled around it."""
    model, count = asked.model, len(images)
    sequential = isinstance(model, keras.Sequential)
    structure, made = (model.inputs[0], model.outputs) if sequential else (model.input, model.output)
    ends = dict(zip(map(id, model.outputs), asked.graph.ends, strict=True))
    position = [ends[id(tensor)] for tensor in keras.tree.flatten(made)].index(asked.output)
    feeds = {name: np.broadcast_to(array, (count, *array.shape[1:])) for name, array in others.items()}
    limit = batch_size or batch_limit(asked, images.shape[1:], False)
    found = []
    for first in range(0, count, limit):
        rows = slice(first, first + limit)
        part = {name: ops.convert_to_tensor(array[rows]) for name, array in feeds.items()}
        part[asked.input] = asked.preprocess(ops.convert_to_tensor(images[rows]))
        inputs = keras.tree.pack_sequence_as(structure, [part[name] for name in asked.inputs])
        output = keras.tree.flatten(model(inputs, training=False))[position]
        found.append(ops.convert_to_numpy(ops.cast(output, "float32")))
    return np.concatenate(found)


def find_output_kind(outputs, probs):
    """What a model's outputs are, beside the probabilities that they stand for: "softmax", "sigmoid" or "logits"."""
    if not np.allclose(class_probabilities(outputs), probs, atol=2e-3):
        return "logits"
    alone = outputs.shape[-1] == 1
    return "sigmoid" if alone or not np.allclose(outputs.sum(-1), 1, atol=1e-2) else "softmax"


def classes_from_outputs(outputs, end):
    """The class of each image: the largest output; of a single one, class 1 from equality on."""
    outputs = mean_over_places(outputs)
    if outputs.shape[-1] > 1:
        return outputs.argmax(-1)
    return (outputs[:, 0] >= (0 if end == "logits" else 0.5)).astype(int)


def logits_from_outputs(outputs, end):
    """(N, classes): outputs as they are before a softmax or sigmoid."""
    outputs = outputs.astype(np.float64)
    if end != "logits":
        outputs = np.log(np.maximum(outputs, TINY)) - (end == "sigmoid") * np.log(np.maximum(1 - outputs, TINY))
    outputs = mean_over_places(outputs)
    return outputs if outputs.shape[-1] > 1 else np.concatenate([0 * outputs, outputs], 1)


def check_bounds(bounds):
    low, high = (float(end) for end in bounds)
    if not low < high or not np.isfinite([low, high]).all():
        raise ValueError(f"`bounds` should be (lowest, highest) pixel that the network takes. Received: {bounds}")
    return low, high


def margin_and_gradient(look, bounds, pixels, given, sharp=None):
    """(margin, slope of the smooth margin in steps of 0..255, smooth margin) of pixels on their way through a loop.

    The slope is not that of the margin itself, where it would be that of one class alone; none without ``sharp``.
    """
    run = look(from_pixel_range(pixels, bounds))
    hard, smooth = margins(run[LOGITS], given["label"], given["sign"], sharp)
    if sharp is None:
        return hard + given["required_margin"], None, None
    return hard + given["required_margin"], run.gradient(smooth, pixels), smooth + given["required_margin"]


def margins(logits, label, sign, sharp=None):
    """sign (max of the other logits - logit of the class), exact and with log sum exp(sharp z) / sharp for the maximum.

    Both are below 0 when an image is fooled. With ``sharp`` 1, the slope has the direction of the cross-entropy's,
    J = log(1 + exp(smooth margin)) for ``sign`` 1, and does not vanish where that is saturated.
    """
    logits = ops.mean(logits, axis=tuple(range(1, len(logits.shape) - 1))) if len(logits.shape) > 2 else logits
    if logits.shape[-1] == 1:  # a sigmoid's: class 1, against 0 for class 0
        logits = ops.concatenate([ops.zeros_like(logits), logits], 1)
    own = ops.one_hot(label, logits.shape[-1], dtype=logits.dtype)
    mine, others = ops.sum(own * logits, 1), logits - MASKED * own
    hard = sign * (ops.max(others, 1) - mine)
    if sharp is None:
        return hard, None
    sharp = ops.reshape(sharp, (-1, 1))
    return hard, sign * (ops.logsumexp(sharp * others, 1) / sharp[:, 0] - mine)


def summarize_attack(task, pixels, title, history):
    """`Fooled` from changed pixels, which the model itself is shown, as they are and in 8 bits."""
    images = to_input_range(pixels, task.pixels, task.photos.pixels, task.bounds)
    after, success = task.classify(images)
    survives = success
    if not task.integer_pixels:
        rounded = from_pixel_range(np.round(pixels), task.bounds).astype(np.float32)
        _, survives = task.classify(rounded)
    _, probs = task.margins(pixels)
    change = pixels - task.pixels
    return Fooled(
        originals=task.photos.pixels,
        images=images,
        names=task.photos.names,
        method=title,
        before=task.before,
        after=after,
        confidence_before=confidence(task.probs, task.before),
        confidence_after=confidence(probs, after),
        target=task.target,
        success=success,
        survives=survives,
        l2=l2(change),
        linf=linf(change),
        rms=rms(change),
        history=history,
        bounds=task.bounds,
        class_names=task.class_names,
    )


def to_input_range(pixels, before, originals, bounds):
    """Pixels in steps of 0..255 in the network's own range; those that are as before, to the bit as they were given."""
    kept = np.all(pixels == before, axis=(1, 2, 3))[:, None, None, None]
    return np.where(kept, originals, from_pixel_range(pixels, bounds)).astype(np.float32)


def confidence(probs, numbers):
    """The probability of a class in each image."""
    return probs[np.arange(len(probs)), numbers]


MAX_IMAGES, MAX_LETTERS = 4, 30  # images of a figure, letters of a title
AMPLIFICATION = 10  # the difference is never shown without this beside it (Szegedy et al. 2014, figure 5)
SIDE = 2.7  # inches


def draw_fooled(found):
    """Before, after, the difference and ten times the difference, a row an image."""
    count = min(len(found), MAX_IMAGES)
    shown = [displayable_images(images[:count], found.bounds) for images in (found.originals, found.images)]
    change = found.difference
    figure, axes = image_grid(count, shown[0].shape[1:3])
    for i, row in enumerate(axes):
        row[0].imshow(shown[0][i])
        hide_ticks(
            row[0], class_title(found, found.before[i], found.confidence_before[i]), file_name(found.names[i], 34)
        )
        row[1].imshow(shown[1][i])
        hide_ticks(row[1], class_title(found, found.after[i], found.confidence_after[i]), caption_of_fooled(found, i))
        row[2].imshow(amplify_difference(change[i], 1))
        hide_ticks(row[2], "difference", f"L2 {found.l2[i]:.4g}, Linf {found.linf[i]:.3g}")
        row[3].imshow(amplify_difference(change[i], AMPLIFICATION))
        hide_ticks(row[3], f"{AMPLIFICATION} x difference", f"SSIM {found.ssim[i]:.4f}")
    words = f"differences in steps of 0..255: 128 + d and 128 + {AMPLIFICATION} d, cut off at 0 and 255"
    add_footnote(figure, words, count_caption(count, len(found), "images"))
    figure.suptitle(str(found), fontsize=LARGE)
    return figure


def image_grid(count, size, columns=4):
    """A figure and its axes, a row an image."""
    ratio = float(np.clip(size[0] / size[1], 0.4, 2.0))
    figure = new_figure(columns * (SIDE + 0.15), count * (SIDE * ratio + 0.55) + 0.8)
    return figure, figure.subplots(count, columns, squeeze=False)


def amplify_difference(change, times):
    """128 + times d, cut off at 0 and 255, as whole steps (H, W, 3); nothing is 128 everywhere."""
    change = change if change.shape[-1] == 3 else change.mean(-1, keepdims=True)
    shown = np.clip(np.round(128 + times * change), 0, 255).astype(np.uint8)
    return np.broadcast_to(shown, (*shown.shape[:2], 3))


def displayable_images(images, bounds):
    """Images of a network's range as they are shown."""
    return display_images(np.clip(to_pixel_range(images, bounds), 0, RANGE))[0]


def class_title(found, number, confidence):
    """What an image is taken for, and how surely."""
    sure = f"{confidence:.1%}" if confidence < 0.9995 else f"{100 * confidence:.2f}%"
    return f"{shorten_end(str(found.class_name(number)), MAX_LETTERS)} {sure}"


def caption_of_fooled(found, i):
    """Whether it worked, in words."""
    aim = "" if found.target is None else f" ({found.class_name(found.target[i])} wanted)"
    if not found.success[i]:
        return f"not fooled{aim}"
    return "fooled" + (", also in 8 bits" if found.survives[i] else ", not in 8 bits")


def draw_twins(twins):
    """Source, guide, twin, and ten times the difference of source and twin."""
    count = min(len(twins), MAX_IMAGES)
    drawn = {"source": twins.sources, "guide": twins.guides, "twin": twins.images}
    shown = {what: displayable_images(images[:count], twins.bounds) for what, images in drawn.items()}
    figure, axes = image_grid(count, shown["source"].shape[1:3])
    for i, row in enumerate(axes):
        below = {
            "source": f"source: {twins.names[i]}",
            "guide": f"guide: {twins.guide_names[i]}",
            "twin": f"twin: at {twins.distance[i]:.0%} of the distance to the guide",
        }
        for axis, what in zip(row, below, strict=False):
            axis.imshow(shown[what][i])
            number, share = getattr(twins, f"class_{what}")[i], getattr(twins, f"confidence_{what}")[i]
            hide_ticks(axis, class_title(twins, number, share), shorten_end(below[what], 44))
        row[3].imshow(amplify_difference(twins.difference[i], AMPLIFICATION))
        measures = f"L2 {twins.l2[i]:.4g}, Linf {twins.linf[i]:.3g}, SSIM {twins.ssim[i]:.3f}"
        hide_ticks(row[3], f"{AMPLIFICATION} x difference", measures)
    add_footnote(
        figure, f"difference of source and twin in steps of 0..255: 128 + {AMPLIFICATION} d, cut off at 0 and 255"
    )
    figure.suptitle(str(twins), fontsize=LARGE)
    return figure
