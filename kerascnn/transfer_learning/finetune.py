"""Fine-tuning with a given frozen depth, learning rate and augmentation: `finetune`.

Training starts from a linear classifier that was fitted first (LP-FT, Kumar et al. 2022), so that the first steps do
not distort the features; batch normalization stays in inference mode; earlier stages get smaller learning rates
(Howard & Ruder 2018).
"""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from typing import NamedTuple

import keras
import numpy as np
from scipy.special import log_softmax

from ..data.augment import find_augmentation, random_rows
from ..graph.copy import clone_with_changes
from ..support.display import TextResult
from ..support.types import Array, FilePath, Labels, Model
from ..training.learner import device_strategy, jit_compile_setting, strategy_scope
from .networks import cache_maps, split_model, stages_above
from .trials import BATCH_SIZE

STAGE_DECAY = 0.75  # factor of the learning rate per stage, from the head toward the input
WARMUP_SHARE = 0.05  # fraction of the steps in which the learning rate rises
BETA_1, BETA_2 = 0.9, 0.999  # Adam's, the defaults of Keras
PATIENCE = 0.5  # fraction of the epochs without a lower held-out loss, after which training stops


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class FinetuneResult(TextResult):
    """Result of fine-tuning after the best epoch.

    Attributes:
        accuracy: Accuracy on the held-out images; None if there are none.
        loss: Cross-entropy on the held-out images; None if there are none.
        epoch: Number of the best epoch, from 1.
        logits: Scores (N, classes) of the held-out images.
        history: A dict per epoch; epoch 0 is the initial classifier.
        cached: Whether the outputs of the frozen layers were computed only once.
        seconds: Computing time.
        weights: Weights of the whole network after the best epoch, or None.
    """

    accuracy: float | None
    loss: float | None
    epoch: int
    logits: np.ndarray
    history: list
    cached: bool
    seconds: float
    weights: list | None = None

    def __str__(self):
        measured = "" if self.accuracy is None else f", held-out accuracy {self.accuracy:.3f}, loss {self.loss:.3g}"
        return f"epoch {self.epoch} of {len(self.history) - 1}{measured}, {self.seconds:.3g} s"


class TrainingSource(NamedTuple):
    """Inputs of the trained layers: ``take(indices, epoch)`` returns arrays, without augmentation if ``epoch`` is
    None."""

    take: Callable
    labels: np.ndarray


class LayerwiseAdam(keras.optimizers.Adam):
    """Adam with a learning-rate multiplier per variable.

    The bias correction is in the schedule `BiasCorrectedCosine`, once for all variables: Keras' Adam repeats it for
    each, and tracing so many operations takes longer than an epoch over a few images.
    """

    multiples = ()

    def update_step(self, gradient, variable, learning_rate):
        index = self._get_variable_index(variable)
        first, second = self._momentums[index], self._velocities[index]
        self.assign_add(first, (gradient - first) * (1 - self.beta_1))
        self.assign_add(second, (gradient * gradient - second) * (1 - self.beta_2))
        step = first * (learning_rate * self.multiples[index])
        self.assign_sub(variable, step / (keras.ops.sqrt(second) + self.epsilon))


class BiasCorrectedCosine(keras.optimizers.schedules.CosineDecay):
    """Cosine decay after a warmup, times Adam's bias correction (Kingma & Ba 2015)."""

    accumulation_steps = 1

    def __call__(self, step):
        number = keras.ops.cast(step // self.accumulation_steps, "float32") + 1
        first, second = (1 - keras.ops.power(keras.ops.cast(beta, "float32"), number) for beta in (BETA_1, BETA_2))
        return super().__call__(step) * keras.ops.sqrt(second) / first


class EpochBatches(keras.utils.PyDataset):
    """The batches of one epoch in a given order."""

    def __init__(self, source, order, batch, epoch):
        super().__init__()
        self.source, self.order, self.batch_size, self.epoch = source, order, batch, epoch

    def __len__(self):
        return -(-len(self.order) // self.batch_size)

    def __getitem__(self, index):
        indices = self.order[index * self.batch_size : (index + 1) * self.batch_size]
        return self.source.take(indices, self.epoch), self.source.labels[indices]


def finetune(
    model: Model,
    images: Array,
    labels: Labels,
    held_out: Array | None = None,
    *,
    freeze: str | None = None,
    learning_rate: float = 1e-3,
    augment: str = "none",
    epochs: int = 9,
    last_epoch: int | None = None,
    batch_size: int = BATCH_SIZE,
    accumulation_steps: int = 1,
    seed: int = 0,
    out: FilePath | None = None,
    name: str = "",
    return_weights: bool = False,
) -> FinetuneResult:
    """Fine-tune the layers of a head model behind a given stage.

    Args:
        model: Model from `head_model`; its weights are changed in place.
        images: Pixels (N, H, W, C), 0..255, in the size of the model's input.
        labels: True classes (N,) as integers.
        held_out: Boolean mask (N,) of the images that are not trained on but evaluated after each epoch; they select
            the best epoch and stop training early. None trains on all images.
        freeze: Stage up to which, inclusive, layers are frozen; None trains all of them.
        learning_rate: Peak learning rate of the head; earlier stages get less.
        augment: Name of an augmentation (`kerascnn.data`), such as "none", "flip" or "shift".
        epochs: Number of epochs of the schedule.
        last_epoch: Epoch to stop after; None is ``epochs``.
        batch_size: Images per batch.
        accumulation_steps: Number of batches whose gradients are averaged for one step.
        seed: Seed of the order of the images and of the augmentation.
        out: Folder in which the outputs of the frozen layers are cached, for this call and later ones; None caches
            nothing. Augmentations other than "none" and "flip" are not cached. The numbers are the same either way.
        name: Prefix of the cached files; calls with the same images and the same frozen layers may share it.
        return_weights: Whether the result has the weights of the best epoch.

    Returns:
        A `FinetuneResult`.
    """
    started = time.perf_counter()
    labels = np.asarray(labels)
    held_out = np.zeros(len(labels), bool) if held_out is None else np.asarray(held_out, bool)
    prefix = split_model(model, freeze, split=out is not None).prefix
    maps = prefix and cache_maps(prefix, images, augment, out, f"{name}-{freeze}".replace("/", "."))
    source = TrainingSource(
        cache_reader(maps, len(labels), seed) if maps else augmentation_reader(images, augment, seed), labels
    )
    steps = epochs * -(-int((~held_out).sum()) // batch_size)
    devices = devices_for(accumulation_steps)
    with strategy_scope(devices):
        own = clone_with_changes(model) if devices else model
        learner = compile_suffix(
            own, split_model(own, freeze, split=bool(maps)).suffix, learning_rate, steps, accumulation_steps, devices
        )
    orders = (np.random.default_rng([seed, epoch, 0]).permutation(np.flatnonzero(~held_out)) for epoch in count(1))
    last = epochs if last_epoch is None else last_epoch
    rows, best, good = train_epochs(learner, own, source, orders, np.flatnonzero(held_out), last, batch_size)
    model.set_weights(good)
    loss, accuracy, logits, epoch = best
    return FinetuneResult(
        accuracy=accuracy,
        loss=loss,
        epoch=epoch,
        logits=logits,
        history=rows,
        cached=bool(maps),
        seconds=time.perf_counter() - started,
        weights=good if return_weights else None,
    )


def devices_for(accumulation_steps):
    """Distribution strategy over all devices; None for gradient accumulation, which needs a single device."""
    devices = device_strategy()
    if devices is not None and accumulation_steps > 1:
        warnings.warn(
            "Keras accumulates gradients on a single device only; the other devices are not used", stacklevel=3
        )
        return None
    return devices


def train_epochs(learner, model, source, orders, held_out, epochs, batch_size):
    """(rows of the history, evaluation after the best epoch, weights then); the last epoch if nothing is held out."""
    first = evaluate_held_out(learner, source, held_out, 0)
    rows = [{"epoch": 0, "loss": None, "held_loss": first[0], "held_accuracy": first[1], "seconds": 0.0}]
    best = good = None
    for epoch, order in zip(range(1, epochs + 1), orders, strict=False):
        began = time.perf_counter()
        loss = learner.fit(EpochBatches(source, order, batch_size, epoch), shuffle=False, verbose=0).history["loss"][-1]
        found = evaluate_held_out(learner, source, held_out, epoch)
        row = {"epoch": epoch, "loss": loss, "held_loss": found[0], "held_accuracy": found[1]}
        rows.append(row | {"seconds": time.perf_counter() - began})
        if not (math.isfinite(loss) and math.isfinite(found[0] or 0.0)):
            raise ArithmeticError(f"the loss became NaN or infinite in epoch {epoch}")
        if best is None or not len(held_out) or found[0] < best[0]:
            best, good = found, model.get_weights()
        elif epoch - best[3] > PATIENCE * epochs:
            break
    return rows, best, good


def compile_suffix(model, suffix, learning_rate, steps, accumulation_steps, devices=None):
    """Compile the trained layers: warmup, cosine decay, smaller learning rates toward the input.

    ``steps`` counts batches, also with gradient accumulation, as Keras does.
    """
    steps = max(steps, 1)
    warm = max(round(WARMUP_SHARE * steps), 1)
    schedule = BiasCorrectedCosine(
        learning_rate / 10, max(steps - warm, 1), warmup_target=learning_rate, warmup_steps=warm
    )
    schedule.accumulation_steps = accumulation_steps
    optimizer = LayerwiseAdam(
        schedule, BETA_1, BETA_2, gradient_accumulation_steps=accumulation_steps if accumulation_steps > 1 else None
    )
    behind = stages_above(model)
    owner = {id(v): layer.name for layer in suffix.layers for v in layer.trainable_variables}
    optimizer.multiples = [STAGE_DECAY ** behind[owner[id(v)]] for v in suffix.trainable_variables]
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    suffix.compile(optimizer, loss, jit_compile=jit_compile_setting(devices))
    optimizer.build(suffix.trainable_variables)  # otherwise the first step is traced twice
    return suffix


def evaluate_held_out(learner, source, held_out, epoch):
    """(loss, accuracy, logits, epoch) on the held-out images; loss and accuracy are None if there are none."""
    if not len(held_out):
        return None, None, np.zeros((0, learner.output_shape[-1]), np.float32), epoch
    steps = range(0, len(held_out), 64)
    parts = [held_out[at : at + 64] for at in steps]  # several devices return whole batches, padded
    logits = [np.asarray(learner.predict_on_batch(source.take(some, None)))[: len(some)] for some in parts]
    logits, labels = np.concatenate(logits), source.labels[held_out]
    own = log_softmax(logits.astype(np.float64), axis=1)[np.arange(len(labels)), labels]
    return -float(own.mean()), float((logits.argmax(axis=1) == labels).mean()), logits, epoch


def augmentation_reader(pixels, augment, seed):
    """Read pixels, each image augmented by its own random numbers."""
    change = find_augmentation(augment)[0]

    def take(some, epoch):
        images = np.asarray(pixels[some])
        if epoch is not None:
            images = np.asarray(change(images, random_rows(len(pixels), seed, epoch)[some]))
        return images.astype(np.float32)

    return take


def cache_reader(maps, count, seed):
    """Read cached outputs of the frozen layers for the plain or the mirrored image, as the augmentation would
    choose."""

    def take(some, epoch):
        first = [np.asarray(array[some]) for array in maps[0]]
        if epoch is None or len(maps) == 1:
            return as_model_inputs(first)
        mirrored = random_rows(count, seed, epoch)[some, 0] < 0.5
        second = [np.asarray(array[some]) for array in maps[1]]
        places = [mirrored.reshape(-1, *[1] * (array.ndim - 1)) for array in first]
        return as_model_inputs([np.where(at, b, a) for at, a, b in zip(places, first, second, strict=True)])

    return take


def as_model_inputs(arrays):
    """One array for a model with one input, a tuple for several."""
    return arrays[0] if len(arrays) == 1 else tuple(arrays)
