"""Finetuning as one point of a grid: how much is frozen, at which rate, with which augmentation: `finetuned`.

It starts from a linear classifier that was learned first (LP-FT, Kumar et al. 2022), so that the first steps do not
spoil the features; batch norm stays as it is; earlier stages learn more slowly (Howard & Ruder 2018).
"""

import math
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from typing import NamedTuple

import keras
import numpy as np
from scipy.special import log_softmax

from ..data.augment import augmentation, draws
from ..graph.copy import clone
from ..training.learner import compiled_by_xla, on, strategy
from .networks import depths_behind, kept, parted
from .trials import BATCH

DECAY = 0.75  # of the rate for each stage toward the image
WARM = 0.05  # of the steps, in which the rate rises
BETA_1, BETA_2 = 0.9, 0.999  # Adam's, as Keras has them
PATIENCE = 0.5  # of the epochs, without a better loss of the images held out: the first ones shake the classifier


@dataclass(frozen=True, eq=False)
class Finetuned:
    """What finetuning came to: ``logits`` (N, classes) of the images held out, after the best ``epoch``.

    Epoch 0, in the ``history`` only, is the classifier that it began with. ``kept`` says whether the frozen layers'
    output was computed only once; ``weights`` are those of the whole network after the best epoch.
    """

    accuracy: float | None
    loss: float | None
    epoch: int
    logits: np.ndarray = field(repr=False)
    history: list = field(repr=False)
    kept: bool
    seconds: float
    weights: list | None = field(default=None, repr=False)


class Source(NamedTuple):
    """Images as the learning layers see them: ``take(some, epoch)`` gives their arrays, epoch None as they are."""

    take: Callable
    labels: np.ndarray


class Adam(keras.optimizers.Adam):
    """With a multiple of the rate for each variable. Its schedule is `Corrected`, once for all of them: Keras' own
    corrects for each, and of so many operations it takes longer to make a graph than an epoch of some images."""

    multiples = ()

    def update_step(self, gradient, variable, learning_rate):
        index = self._get_variable_index(variable)
        first, second = self._momentums[index], self._velocities[index]
        self.assign_add(first, (gradient - first) * (1 - self.beta_1))
        self.assign_add(second, (gradient * gradient - second) * (1 - self.beta_2))
        step = first * (learning_rate * self.multiples[index])
        self.assign_sub(variable, step / (keras.ops.sqrt(second) + self.epsilon))


class Corrected(keras.optimizers.schedules.CosineDecay):
    """The rate as a cosine after a rise, times Adam's correction of means that began at 0 (Kingma & Ba 2015)."""

    together = 1

    def __call__(self, step):
        number = keras.ops.cast(step // self.together, "float32") + 1
        first, second = (1 - keras.ops.power(keras.ops.cast(beta, "float32"), number) for beta in (BETA_1, BETA_2))
        return super().__call__(step) * keras.ops.sqrt(second) / first


class Epoch(keras.utils.PyDataset):
    """One pass over images in a given order."""

    def __init__(self, source, order, batch, epoch):
        super().__init__()
        self.source, self.order, self.batch, self.epoch = source, order, batch, epoch

    def __len__(self):
        return -(-len(self.order) // self.batch)

    def __getitem__(self, index):
        some = self.order[index * self.batch : (index + 1) * self.batch]
        return self.source.take(some, self.epoch), self.source.labels[some]


def finetuned(
    model,
    pixels,
    labels,
    held=None,
    *,
    freeze=None,
    rate=1e-3,
    augment="none",
    epochs=9,
    stop=None,
    batch=BATCH,
    together=1,
    seed=0,
    folder=None,
    name="",
    weights=False,
):
    """Train a ``head_model`` beyond the stage ``freeze``, all of it if None, and say how good that is: ``Finetuned``.

    ``held`` marks the images (N,) that judge it and end it early. ``stop`` is the epoch to end after, where none do.
    Gradients of so many batches are put ``together`` before a step. With a ``folder`` the frozen layers' output is kept
    there, as ``name``, and found again by other points; where an augmentation is more than a choice between views
    of an image, it is computed anew. The numbers are the same.
    """
    started = time.perf_counter()
    labels = np.asarray(labels)
    held = np.zeros(len(labels), bool) if held is None else np.asarray(held, bool)
    prefix = parted(model, freeze, split=folder is not None).prefix
    views = prefix and kept(prefix, pixels, augment, folder, f"{name}-{freeze}".replace("/", "."))
    source = Source(chosen(views, len(labels), seed) if views else augmented(pixels, augment, seed), labels)
    steps = epochs * -(-int((~held).sum()) // batch)
    devices = several(together)
    with on(devices):
        own = clone(model) if devices else model
        learner = compiled(own, parted(own, freeze, split=bool(views)).suffix, rate, steps, together, devices)
    orders = (np.random.default_rng([seed, epoch, 0]).permutation(np.flatnonzero(~held)) for epoch in count(1))
    last = epochs if stop is None else stop
    rows, best, good = learned(learner, own, source, orders, np.flatnonzero(held), last, batch)
    model.set_weights(good)
    loss, accuracy, logits, epoch = best
    seconds = time.perf_counter() - started
    return Finetuned(accuracy, loss, epoch, logits, rows, bool(views), seconds, good if weights else None)


def several(together):
    """The ``strategy`` of all devices; of one alone where several batches make a step."""
    devices = strategy()
    if devices is not None and together > 1:
        warnings.warn("Keras puts batches together on one device only: the others are not used", stacklevel=3)
        return None
    return devices


def learned(learner, model, source, orders, judges, epochs, batch):
    """(rows of the history, what was said after the best epoch, the weights then): the last epoch without judges."""
    first = judged(learner, source, judges, 0)
    rows = [{"epoch": 0, "loss": None, "held_loss": first[0], "held_accuracy": first[1], "seconds": 0.0}]
    best = good = None
    for epoch, order in zip(range(1, epochs + 1), orders, strict=False):
        began = time.perf_counter()
        loss = learner.fit(Epoch(source, order, batch, epoch), shuffle=False, verbose=0).history["loss"][-1]
        found = judged(learner, source, judges, epoch)
        row = {"epoch": epoch, "loss": loss, "held_loss": found[0], "held_accuracy": found[1]}
        rows.append(row | {"seconds": time.perf_counter() - began})
        if not (math.isfinite(loss) and math.isfinite(found[0] or 0.0)):
            raise ArithmeticError(f"the loss became NaN or infinite in epoch {epoch}")
        if best is None or not len(judges) or found[0] < best[0]:
            best, good = found, model.get_weights()
        elif epoch - best[3] > PATIENCE * epochs:
            break
    return rows, best, good


def compiled(model, suffix, rate, steps, together, devices=None):
    """The suffix ready to learn: a rate that rises, then falls as a cosine, lower toward the image.

    Keras counts batches here, also where several make a step.
    """
    steps = max(steps, 1)
    warm = max(round(WARM * steps), 1)
    schedule = Corrected(rate / 10, max(steps - warm, 1), warmup_target=rate, warmup_steps=warm)
    schedule.together = together
    optimizer = Adam(schedule, BETA_1, BETA_2, gradient_accumulation_steps=together if together > 1 else None)
    behind = depths_behind(model)
    owner = {id(v): layer.name for layer in suffix.layers for v in layer.trainable_variables}
    optimizer.multiples = [DECAY ** behind[owner[id(v)]] for v in suffix.trainable_variables]
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    suffix.compile(optimizer, loss, jit_compile=compiled_by_xla(devices))
    optimizer.build(suffix.trainable_variables)  # now, or its first step is traced twice
    return suffix


def judged(learner, source, judges, epoch):
    """(loss, accuracy, logits, epoch) of the images held out; None where there are none."""
    if not len(judges):
        return None, None, np.zeros((0, learner.output_shape[-1]), np.float32), epoch
    steps = range(0, len(judges), 64)
    parts = [judges[at : at + 64] for at in steps]  # each of several devices says the same of all of a part
    logits = [np.asarray(learner.predict_on_batch(source.take(some, None)))[: len(some)] for some in parts]
    logits, labels = np.concatenate(logits), source.labels[judges]
    own = log_softmax(logits.astype(np.float64), axis=1)[np.arange(len(labels)), labels]
    return -float(own.mean()), float((logits.argmax(axis=1) == labels).mean()), logits, epoch


def augmented(pixels, augment, seed):
    """Pixels, each image changed as its row of random numbers says."""
    change = augmentation(augment)[0]

    def take(some, epoch):
        images = np.asarray(pixels[some])
        if epoch is not None:
            images = np.asarray(change(images, draws(len(pixels), seed, epoch)[some]))
        return images.astype(np.float32)

    return take


def chosen(views, count, seed):
    """What was kept of one of the views of each image, as the augmentation would choose."""

    def take(some, epoch):
        first = [np.asarray(array[some]) for array in views[0]]
        if epoch is None or len(views) == 1:
            return alone(first)
        mirrored = draws(count, seed, epoch)[some, 0] < 0.5
        second = [np.asarray(array[some]) for array in views[1]]
        places = [mirrored.reshape(-1, *[1] * (array.ndim - 1)) for array in first]
        return alone([np.where(at, b, a) for at, a, b in zip(places, first, second, strict=True)])

    return take


def alone(arrays):
    """What Keras takes as the one input, or the several, of a model."""
    return arrays[0] if len(arrays) == 1 else tuple(arrays)
