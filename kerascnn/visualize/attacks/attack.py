"""What every attack begins with, images and by how much they are taken for a class, and ends with: `Fooled`.

Images are changed in steps of 0..255 (`Victim` turns them into what the network takes), so that sizes mean the same for
any network. What counts on the way are the scores before the softmax: by how many logits the wrong class leads.
Whether an image is fooled is for the user's model to say, in a plain forward pass.
"""

from dataclasses import dataclass, field, replace
from functools import cached_property

import keras
import numpy as np
from keras import ops

from ...inputs.classifier import class_numbers, resolve_class_names
from ...plots.primitives import looks
from ...plots.style import LARGE, bare, new_figure, small_print
from ...support.display import Drawn
from ...support.text import cut, file_name
from ..attribution.attribution import by_class, label_of, over_places
from ..attribution.figures import drawn_of
from ..engine.lens import probe
from ..engine.loop import Loop, iterate
from ..engine.query import RANGE, Pictures, Question, ask, most, pictures, read, steps, unsteps
from ..engine.scores import LOGITS, PROBS
from .norms import l2, linf, rms, ssim

FAR = 1e9  # subtracted from a class's score, it is never the largest
TINY = 1e-30  # the least probability whose logarithm is taken
ROUNDING, HALF_ROUNDING = 1e-5, 4e-3  # of the largest logit: more than two passes of a network differ by


class Changed(Drawn):
    """A result that has changed ``images``, the ``bounds`` of their pixels, and the classes' names as ``labels``."""

    def __len__(self):
        return len(self.images)

    def label(self, number):
        """What a class is called."""
        return label_of(number, None, self.labels)

    def change_of(self, originals):
        """What was added to images, (N, H, W, C), in steps of 0..255."""
        return steps(self.images, self.bounds) - steps(originals, self.bounds)


@dataclass(frozen=True, eq=False)
class Fooled(Changed):
    """Images before and after, (N, H, W, C) in the network's own range, and what the network says of both.

    ``before`` and ``after`` are the classes that the model itself gives in a plain forward pass, with their
    ``confidence_before`` and ``confidence_after``; ``target`` is what they were to become, or None; ``success`` whether
    they did (another class than before, or the target; by ``lead`` logits where those were asked for), ``survives``
    whether they do after rounding to whole steps of 0..255. ``l2``, ``linf``, ``rms`` are in such steps. ``history``
    (steps, N): by how many logits the class that should not win led at each step.
    """

    originals: np.ndarray = field(repr=False)
    images: np.ndarray = field(repr=False)
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
    history: np.ndarray = field(repr=False)
    bounds: tuple = (0.0, RANGE)
    labels: tuple | None = field(default=None, repr=False)

    def __str__(self):
        aim = "another class" if self.target is None else "their targets"
        far = np.median(self.l2[self.success]) if self.success.any() else np.nan
        return (
            f"{self.method}: {self.success.sum()} of {len(self)} images are taken for {aim} "
            f"({self.survives.sum()} also in 8 bits), median L2 {far:.4g}"
        )

    @cached_property
    def ssim(self):
        """Structural similarity of each image and what it was, (N,); when first asked for, as it takes a while."""
        return ssim(steps(self.originals, self.bounds), steps(self.images, self.bounds))

    @property
    def difference(self):
        """What was added, (N, H, W, C), in steps of 0..255."""
        return self.change_of(self.originals)

    @property
    def table(self):
        """A DataFrame, a row an image."""
        import pandas as pd

        columns = {"image": self.names}
        for name in ("before", "after"):
            columns[name] = [self.label(number) for number in getattr(self, name)]
            columns[f"confidence_{name}"] = getattr(self, f"confidence_{name}")
        if self.target is not None:
            columns["target"] = [self.label(number) for number in self.target]
        measures = ("success", "survives", "l2", "linf", "rms", "ssim")
        return pd.DataFrame(columns | {name: getattr(self, name) for name in measures})

    def plot(self):
        """Original, fooled, difference and ten times the difference, a row an image."""
        return draw_fooled(self)


@dataclass(frozen=True, eq=False)
class Victim:
    """Images in steps of 0..255, (N, H, W, C) float32, and the ``label`` that each leaves (``sign`` -1) or takes (1).

    ``before`` is the class that the model gives each image, ``end`` what its outputs are (`plain_end`), ``aim`` by how
    many logits an attack should win: the ``lead``, and more than passes of the network differ by.
    """

    probe: object
    shown: Pictures
    pixels: np.ndarray = field(repr=False)
    probs: np.ndarray = field(repr=False)
    before: np.ndarray
    target: np.ndarray | None
    label: np.ndarray
    sign: np.ndarray
    end: str
    aim: np.ndarray
    bounds: tuple
    labels: tuple | None
    lead: float = 0.0
    batch: int | None = None
    on_progress: object = None

    def at(self, rows):
        """The images of some numbers, also one several times."""
        each = ("pixels", "probs", "before", "target", "label", "sign", "aim")
        parts = {name: getattr(self, name)[rows] for name in each if getattr(self, name) is not None}
        return replace(self, shown=self.shown.at(rows), **parts)

    @property
    def given(self):
        """What the steps of a loop are given of each image."""
        return {"origin": self.pixels, "label": self.label, "sign": self.sign, "aim": self.aim}

    def iterate(self, name, step, state, now, more=None, over=None):
        """Run a loop whose step is ``step(see, state, now, given)``, with ``see`` for `margin_and_slope`."""
        bounds = self.bounds
        act = lambda look, *rest: step(lambda *what: margin_and_slope(look, bounds, *what), *rest)  # noqa: E731
        loop = Loop(("attack", name, bounds), act, says=("margin",))
        options = {"others": self.shown.others, "batch": self.batch, "on_progress": self.on_progress, "over": over}
        return iterate(self.probe, loop, state, now, self.given | (more or {}), **options)

    def margins(self, pixels):
        """By how many logits the class that should not win leads in each image, and the probabilities."""
        extra = {name: self.given[name] for name in ("label", "sign", "aim")}
        answer = lambda run, score, label, sign, aim: {  # noqa: E731
            "margin": margins(run[LOGITS], label, sign)[0] + aim,
            "probs": run[PROBS],
        }
        question = Question(("margin",), answer, extra=extra, backward=False)
        found = ask(
            self.probe, question, unsteps(pixels, self.bounds).astype(np.float32), self.shown.others, batch=self.batch
        )
        return found["margin"], by_class(found["probs"])

    def fooled(self, images):
        """(class, whether it fooled) of images in the network's own range, by a plain forward pass of the model."""
        outputs = plain_outputs(self.probe, images, self.shown.others, self.batch)
        logits, classes = plain_logits(outputs, self.end), plain_classes(outputs, self.end)
        wins = classes != self.before if self.target is None else classes == self.target
        if not self.lead:
            return classes, wins
        own = np.arange(logits.shape[1]) == self.label[:, None]
        gap = np.where(own, -np.inf, logits).max(1) - logits[own]  # of the best other class
        return classes, wins & ((gap if self.target is None else -gap) >= self.lead)


def victim(model, images, target=None, *, bounds=(0, 255), lead=0.0, labels=None, batch=None, on_progress=None):
    """The `Victim` that any attack is given, checked."""
    asked = probe(model)
    shown = pictures(asked, images)
    low, high = checked_bounds(bounds)
    pixels = steps(shown.pixels, (low, high)).astype(np.float32)
    if shown.pixels.min() < low - 1e-4 * (high - low) or shown.pixels.max() > high + 1e-4 * (high - low):
        extent = f"{shown.pixels.min():.4g} to {shown.pixels.max():.4g}"
        raise ValueError(f"`bounds` should be the range of the images. Received: {bounds} for pixels from {extent}")
    now = read(asked, shown, [LOGITS, PROBS], batch)
    probs, largest = by_class(now[PROBS]), np.abs(now[LOGITS]).reshape(len(shown), -1).max(1)
    rounding = np.maximum(largest, 1) * (HALF_ROUNDING if asked.half else ROUNDING)
    outputs = plain_outputs(asked, shown.pixels, shown.others, batch)
    end = plain_end(outputs, probs)
    before = plain_classes(outputs, end)
    labels = resolve_class_names(labels, probs.shape[-1], asked.model)
    if target is not None:
        names = labels or False
        target = class_numbers(target, probs.shape[-1], images=len(shown), class_names=names, argument="target")
    return Victim(
        probe=asked,
        shown=shown,
        pixels=pixels,
        probs=probs,
        before=before,
        target=target,
        label=(before if target is None else target).astype(np.int32),
        sign=np.full(len(shown), -1 if target is None else 1, np.float32),
        end=end,
        aim=(lead + rounding).astype(np.float32),
        bounds=(low, high),
        labels=labels,
        lead=float(lead),
        batch=batch,
        on_progress=on_progress,
    )


def plain_outputs(asked, images, others, batch=None):
    """(N, .., classes) of a plain call of the user's model: nothing of ours is compiled around it."""
    model, count = asked.model, len(images)
    sequential = isinstance(model, keras.Sequential)
    structure, made = (model.inputs[0], model.outputs) if sequential else (model.input, model.output)
    ends = dict(zip(map(id, model.outputs), asked.graph.ends, strict=True))
    position = [ends[id(tensor)] for tensor in keras.tree.flatten(made)].index(asked.output)
    feeds = {name: np.broadcast_to(array, (count, *array.shape[1:])) for name, array in others.items()}
    limit = batch or most(asked, images.shape[1:], False)
    found = []
    for first in range(0, count, limit):
        rows = slice(first, first + limit)
        part = {name: ops.convert_to_tensor(array[rows]) for name, array in feeds.items()}
        part[asked.input] = asked.preprocess(ops.convert_to_tensor(images[rows]))
        inputs = keras.tree.pack_sequence_as(structure, [part[name] for name in asked.inputs])
        output = keras.tree.flatten(model(inputs, training=False))[position]
        found.append(ops.convert_to_numpy(ops.cast(output, "float32")))
    return np.concatenate(found)


def plain_end(outputs, probs):
    """What a model's outputs are, beside the probabilities that they stand for: "softmax", "sigmoid" or "logits"."""
    if not np.allclose(by_class(outputs), probs, atol=2e-3):
        return "logits"
    alone = outputs.shape[-1] == 1
    return "sigmoid" if alone or not np.allclose(outputs.sum(-1), 1, atol=1e-2) else "softmax"


def plain_classes(outputs, end):
    """The class of each image: the largest output; of a single one, class 1 from equality on."""
    outputs = over_places(outputs)
    if outputs.shape[-1] > 1:
        return outputs.argmax(-1)
    return (outputs[:, 0] >= (0 if end == "logits" else 0.5)).astype(int)


def plain_logits(outputs, end):
    """(N, classes): outputs as they are before a softmax or sigmoid."""
    outputs = outputs.astype(np.float64)
    if end != "logits":
        outputs = np.log(np.maximum(outputs, TINY)) - (end == "sigmoid") * np.log(np.maximum(1 - outputs, TINY))
    outputs = over_places(outputs)
    return outputs if outputs.shape[-1] > 1 else np.concatenate([0 * outputs, outputs], 1)


def checked_bounds(bounds):
    low, high = (float(end) for end in bounds)
    if not low < high or not np.isfinite([low, high]).all():
        raise ValueError(f"`bounds` should be (lowest, highest) pixel that the network takes. Received: {bounds}")
    return low, high


def margin_and_slope(look, bounds, pixels, given, sharp=None):
    """(margin, slope of the smooth margin in steps of 0..255, smooth margin) of pixels on their way through a loop.

    The slope is not that of the margin itself, where it would be that of one class alone; none without ``sharp``.
    """
    run = look(unsteps(pixels, bounds))
    hard, smooth = margins(run[LOGITS], given["label"], given["sign"], sharp)
    if sharp is None:
        return hard + given["aim"], None, None
    return hard + given["aim"], run.gradient(smooth, pixels), smooth + given["aim"]


def margins(logits, label, sign, sharp=None):
    """sign (max of the other logits - logit of the class), exact and with log sum exp(sharp z) / sharp for the maximum.

    Both are below 0 when an image is fooled. With ``sharp`` 1, the slope has the direction of the cross-entropy's,
    J = log(1 + exp(smooth margin)) for ``sign`` 1, and does not vanish where that is saturated.
    """
    logits = ops.mean(logits, axis=tuple(range(1, len(logits.shape) - 1))) if len(logits.shape) > 2 else logits
    if logits.shape[-1] == 1:  # a sigmoid's: class 1, against 0 for class 0
        logits = ops.concatenate([ops.zeros_like(logits), logits], 1)
    own = ops.one_hot(label, logits.shape[-1], dtype=logits.dtype)
    mine, others = ops.sum(own * logits, 1), logits - FAR * own
    hard = sign * (ops.max(others, 1) - mine)
    if sharp is None:
        return hard, None
    sharp = ops.reshape(sharp, (-1, 1))
    return hard, sign * (ops.logsumexp(sharp * others, 1) / sharp[:, 0] - mine)


def judge(victim, pixels, method, history, whole=False):
    """`Fooled` from changed pixels, which the model itself is shown, as they are and in 8 bits."""
    images = as_images(pixels, victim.pixels, victim.shown.pixels, victim.bounds)
    rounded = unsteps(np.round(pixels), victim.bounds).astype(np.float32)
    after, success = victim.fooled(images)
    _, survives = victim.fooled(rounded)
    _, probs = victim.margins(pixels)
    change = pixels - victim.pixels
    return Fooled(
        originals=victim.shown.pixels,
        images=images,
        names=victim.shown.names,
        method=method,
        before=victim.before,
        after=after,
        confidence_before=confidence(victim.probs, victim.before),
        confidence_after=confidence(probs, after),
        target=victim.target,
        success=success & survives if whole else success,
        survives=survives,
        l2=l2(change),
        linf=linf(change),
        rms=rms(change),
        history=history,
        bounds=victim.bounds,
        labels=victim.labels,
    )


def as_images(pixels, before, originals, bounds):
    """Pixels in steps of 0..255 in the network's own range; those that are as before, to the bit as they were given."""
    kept = np.all(pixels == before, axis=(1, 2, 3))[:, None, None, None]
    return np.where(kept, originals, unsteps(pixels, bounds)).astype(np.float32)


def confidence(probs, numbers):
    """The probability of a class in each image."""
    return probs[np.arange(len(probs)), numbers]


MOST, LETTERS = 4, 30  # images of a figure, letters of a title
TIMES = 10  # the difference is never shown without this beside it (Szegedy et al. 2014, figure 5)
SIDE = 2.7  # inches


def draw_fooled(found):
    """Before, after, the difference and ten times the difference, a row an image."""
    count = min(len(found), MOST)
    shown = [looks_in_range(images[:count], found.bounds) for images in (found.originals, found.images)]
    change = found.difference
    figure, axes = panels(count, shown[0].shape[1:3])
    for i, row in enumerate(axes):
        row[0].imshow(shown[0][i])
        bare(row[0], class_title(found, found.before[i], found.confidence_before[i]), file_name(found.names[i], 34))
        row[1].imshow(shown[1][i])
        bare(row[1], class_title(found, found.after[i], found.confidence_after[i]), verdict(found, i))
        row[2].imshow(amplified(change[i], 1))
        bare(row[2], "difference", f"L2 {found.l2[i]:.4g}, Linf {found.linf[i]:.3g}")
        row[3].imshow(amplified(change[i], TIMES))
        bare(row[3], f"{TIMES} x difference", f"SSIM {found.ssim[i]:.4f}")
    words = f"differences in steps of 0..255: 128 + d and 128 + {TIMES} d, cut off at 0 and 255"
    small_print(figure, words, drawn_of(count, len(found), "images"))
    figure.suptitle(str(found), fontsize=LARGE)
    return figure


def panels(count, size, columns=4):
    """A figure and its axes, a row an image."""
    ratio = float(np.clip(size[0] / size[1], 0.4, 2.0))
    figure = new_figure(columns * (SIDE + 0.15), count * (SIDE * ratio + 0.55) + 0.8)
    return figure, figure.subplots(count, columns, squeeze=False)


def amplified(change, times):
    """128 + times d, cut off at 0 and 255, as whole steps (H, W, 3); nothing is 128 everywhere."""
    change = change if change.shape[-1] == 3 else change.mean(-1, keepdims=True)
    shown = np.clip(np.round(128 + times * change), 0, 255).astype(np.uint8)
    return np.broadcast_to(shown, (*shown.shape[:2], 3))


def looks_in_range(images, bounds):
    """Images of a network's range as they are shown."""
    return looks(np.clip(steps(images, bounds), 0, RANGE))[0]


def class_title(found, number, confidence):
    """What an image is taken for, and how surely."""
    sure = f"{confidence:.1%}" if confidence < 0.9995 else f"{100 * confidence:.2f}%"
    return f"{cut(str(found.label(number)), LETTERS)} {sure}"


def verdict(found, i):
    """Whether it worked, in words."""
    aim = "" if found.target is None else f" ({found.label(found.target[i])} wanted)"
    if not found.success[i]:
        return f"not fooled{aim}"
    return "fooled" + (", also in 8 bits" if found.survives[i] else ", not in 8 bits")


def draw_twins(twins):
    """Source, guide, twin, and ten times the difference of source and twin."""
    count = min(len(twins), MOST)
    drawn = {"source": twins.sources, "guide": twins.guides, "twin": twins.images}
    shown = {what: looks_in_range(images[:count], twins.bounds) for what, images in drawn.items()}
    figure, axes = panels(count, shown["source"].shape[1:3])
    for i, row in enumerate(axes):
        below = {
            "source": f"source: {twins.names[i]}",
            "guide": f"guide: {twins.guide_names[i]}",
            "twin": f"twin: at {twins.distance[i]:.0%} of the distance to the guide",
        }
        for axis, what in zip(row, below, strict=False):
            axis.imshow(shown[what][i])
            number, share = getattr(twins, f"class_{what}")[i], getattr(twins, f"confidence_{what}")[i]
            bare(axis, class_title(twins, number, share), cut(below[what], 44))
        row[3].imshow(amplified(twins.difference[i], TIMES))
        measures = f"L2 {twins.l2[i]:.4g}, Linf {twins.linf[i]:.3g}, SSIM {twins.ssim[i]:.3f}"
        bare(row[3], f"{TIMES} x difference", measures)
    small_print(figure, f"difference of source and twin in steps of 0..255: 128 + {TIMES} d, cut off at 0 and 255")
    figure.suptitle(str(twins), fontsize=LARGE)
    return figure
