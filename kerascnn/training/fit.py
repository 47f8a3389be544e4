"""Train a classifier by a recipe: repeatable, resumable to the bit, with an explanation when it diverges."""

from __future__ import annotations

import dataclasses
import math
import os
import signal
import threading
import time
import warnings
import zlib
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass

import keras
import numpy as np
from keras import ops

from ..data.augment import find_augmentation
from ..data.batches import batches
from ..data.dataset import Data
from ..data.load import load_dataset
from ..data.splits import SPLIT_RULE
from ..data.training_images import store_training_images
from ..graph.ends import select_scores, symbolic_outputs
from ..inputs.batch import Batch, squeeze_labels
from ..inputs.class_names import store_class_names
from ..inputs.classifier import image_input_shape
from ..support.checks import check_integer
from ..support.progress import progress, write_line
from ..support.types import Dataset, DataSource, FilePath, Model, OnProgress, Verbose
from .history import History, history_of, schedule_error
from .learner import prepare_learner
from .recipes import DEFAULT, PUBLISHED, Recipe, recipe_of
from .recipes import recipe as recipe_called
from .runs import RunFolder, all_finite, arrays_of, assign_arrays, run_split_rule

NOTE_SECONDS = 60.0  # a longer epoch prints lines in between


class TrainingDiverged(ArithmeticError):
    """The loss became NaN or infinite; the last good weights are kept.

    Attributes:
        history: the ``History`` of the epochs before.
    """

    def __init__(self, message, history):
        super().__init__(message)
        self.history = history


def fit(
    model: Model,
    data: DataSource | Dataset,
    recipe: str | Recipe | None = None,
    *,
    epochs: int | None = None,
    batch_size: int | None = None,
    learning_rate: float | None = None,
    seed: int = 0,
    out: FilePath | None = None,
    resume: bool = False,
    augment: str | Callable | None = None,
    verbose: Verbose = "auto",
    on_progress: OnProgress | None = None,
) -> History:
    """Train the unfrozen layers of a model by a recipe.

    The model has the weights after the last epoch; ``training.initialize`` draws initial weights as a recipe's authors
    did. The first Ctrl-C stops after the epoch, the second at once. A run resumed on a CPU gives the same result to
    the bit. If the loss becomes NaN or infinite, ``TrainingDiverged`` is raised and the model has the weights of the
    last good epoch.

    >>> fit(build_model("lenet5"), "digits", epochs=5, out="runs/first").best

    Args:
        model: a classifier; frozen layers stay as they are.
        data: a dataset of `kerascnn.load`, whose test images are not used, what `load` takes (a folder, a name), or
            arrays (x, y) or ((x, y), (x_val, y_val)) of pixels 0..255.
        recipe: a name in ``RECIPES``, a ``Recipe``, or "published" for that of the network's authors; by default
            "onecycle".
        epochs: number of epochs; by default the recipe's.
        batch_size: images per step; by default the recipe's.
        learning_rate: highest learning rate; by default the recipe's.
        seed: random seed for order, augmentation and dropout, a non-negative integer.
        out: folder of the run, in which every epoch is saved; None saves nothing.
        resume: continue the run in ``out`` after its last saved epoch.
        augment: augmentation of training images, as in `kerascnn.batches`; by default the recipe's.
        verbose: 0 is silent, 2 prints a line per epoch, 1 and "auto" also show a progress bar on a terminal.
        on_progress: called as ``on_progress(done, total, what)`` after each step and epoch, instead of printing; may
            raise to stop training.

    Returns:
        The ``History`` of the run.
    """
    overrides = {"epochs": epochs, "batch_size": batch_size, "learning_rate": learning_rate, "augment": augment}
    plan = plan_training(model, data, select_recipe(recipe, model, overrides), seed, run_split_rule(out))

    run = RunFolder(out)
    state = run.open(plan.to_dict(model), resume)
    store_class_names(model, plan.train.class_names)
    store_training_images(model, plan.train)
    learner = prepare_learner(model, plan.recipe, seed)
    if state is not None:
        assign_arrays(learner.variables, state.arrays)
    rows = [] if state is None else state.rows

    notes = progress(verbose, on_progress, unit="text", wait=0, every=NOTE_SECONDS, lasting=True)
    with notes as report, catch_interrupt() as interrupt:
        try:
            stop_reason = train_epochs(learner, plan, rows, run, report, interrupt)
        finally:
            learner.hand_back()

    history = history_of(rows, stop_reason)
    run.finish(history)
    return history


def train_epochs(learner, plan, rows, run, report, interrupt):
    """Train, evaluate and save every epoch; return why training stopped early, or ""."""
    last_good = arrays_of(learner.variables)
    run.save(last_good, rows, learner)
    for epoch in range(len(rows), plan.recipe.epochs):
        if interrupt.requested:
            return f"stopped by Ctrl-C after epoch {epoch} of {plan.recipe.epochs}"
        monitor = EpochMonitor(plan, epoch, [schedule_error(row) for row in rows], report)
        started = time.perf_counter()
        row = {"epoch": epoch + 1} | train_epoch(learner, plan, epoch, monitor)
        row |= {"rate": monitor.learning_rate, "seconds": time.perf_counter() - started}
        state = arrays_of(learner.variables)
        numbers = [value for value in row.values() if value is not None]
        if monitor.diverged_at is not None or not (all_finite(state) and np.isfinite(numbers).all()):
            assign_arrays(learner.variables, last_good)
            history = history_of(rows, divergence_message(monitor, plan, epoch))
            run.finish(history)
            raise TrainingDiverged(history.stopped, history)

        last_good = state
        rows.append(row)
        run.save(state, rows, learner)
        note = f"{epoch_label(epoch, plan.recipe.epochs)}  {epoch_note(row)}"
        report.note((epoch + 1) * plan.steps, plan.total, note)

    if plan.recipe.batch_norm_images:  # else no image has to be decoded
        refresh_batch_norm(learner.source, plan.batch_norm_batches())
    return ""


def train_epoch(learner, plan, epoch, monitor):
    """Train one epoch; return loss and accuracy on training and validation images."""
    compiled, outputs = learner.compiled, learner.outputs
    keras_history = compiled.fit(plan.batches(epoch, outputs), shuffle=False, verbose=0, callbacks=[monitor])
    loss, accuracy = classifier_metrics({name: values[-1] for name, values in keras_history.history.items()})

    val_loss = val_accuracy = None
    if plan.valid is not None and monitor.diverged_at is None:
        logs = compiled.evaluate(plan.batches(None, outputs), verbose=0, return_dict=True)
        val_loss, val_accuracy = classifier_metrics(logs)
    return {"loss": loss, "accuracy": accuracy, "val_loss": val_loss, "val_accuracy": val_accuracy}


def classifier_metrics(logs):
    """Loss and accuracy of the main classifier, without auxiliary ones."""
    return tuple(float(logs.get(f"probs_{name}", logs.get(name))) for name in ("loss", "accuracy"))


class EpochMonitor(keras.callbacks.Callback):
    """Sets the learning rate before each step, and stops when the loss is NaN or infinite."""

    def __init__(self, plan, epoch, errors, report):
        super().__init__()
        self.plan, self.epoch, self.errors, self.report = plan, epoch, errors, report
        self.first = epoch * plan.steps
        self.learning_rate = None
        self.diverged_at = None  # step of the epoch

    def on_train_batch_begin(self, batch, logs=None):
        learning_rate = self.plan.learning_rate(self.first + batch, self.errors)
        if learning_rate != self.learning_rate:
            self.model.optimizer.learning_rate = self.learning_rate = learning_rate

    def on_train_batch_end(self, batch, logs=None):
        if not math.isfinite(logs["loss"]):  # a running mean, which one such loss makes NaN for good
            self.diverged_at = batch
            self.model.stop_training = True
        position = f"{epoch_label(self.epoch, self.plan.recipe.epochs)}  step {batch + 1}/{self.plan.steps}"
        self.report(self.first + batch + 1, self.plan.total, f"{position}  loss {logs['loss']:.3f}")


def epoch_label(epoch, epochs):
    """An epoch, counted from 0, as text."""
    return f"epoch {epoch + 1:>{len(str(epochs))}} of {epochs}"


def epoch_note(row):
    """The results of an epoch as text."""
    parts = [f"loss {row['loss']:.3f}  accuracy {100 * row['accuracy']:5.1f} %"]
    if row["val_loss"] is not None:
        parts.append(f"val_loss {row['val_loss']:.3f}  val_accuracy {100 * row['val_accuracy']:5.1f} %")
    return "   ".join([*parts, f"learning rate {row['rate']:.2g}   {row['seconds']:.1f} s"])


class InterruptHandler:
    """Handles Ctrl-C: the first requests a stop after the epoch, the second stops at once."""

    requested = False

    def __call__(self, number, frame):
        if self.requested:
            raise KeyboardInterrupt
        self.requested = True
        write_line("\nstopping after this epoch; press Ctrl-C again to stop now")


@contextmanager
def catch_interrupt():
    """Handle Ctrl-C by an `InterruptHandler`; only the main thread receives signals."""
    interrupt = InterruptHandler()
    if threading.current_thread() is not threading.main_thread():
        yield interrupt
        return
    before = signal.signal(signal.SIGINT, interrupt)
    try:
        yield interrupt
    finally:
        signal.signal(signal.SIGINT, before)


def divergence_message(monitor, plan, epoch):
    """What happened, and what to try."""
    position = "at the end" if monitor.diverged_at is None else f"at step {monitor.diverged_at + 1} of {plan.steps}"
    kept_weights = f"the weights of epoch {epoch} are kept" if epoch else "the initial weights are kept"
    return (
        f"the loss became NaN or infinite {position} of epoch {epoch + 1}, at a learning rate of "
        f"{monitor.learning_rate:.3g}; {kept_weights}. "
        f"Try a learning rate of {plan.recipe.learning_rate / 10:.2g}, and check images and labels"
    )


CROP_AUGMENTATIONS = ("photo_crop", "resized_crop")  # augmentations of photos
SMALL_SIDE = 64  # pixels; larger images are treated as photos
EVALUATION_BATCH = 64  # images per batch, at least, where no gradient is needed


@dataclass(frozen=True, eq=False, kw_only=True)
class TrainingPlan:
    """Everything that determines what ``fit`` computes."""

    recipe: Recipe
    name: str
    train: Batch
    valid: Batch | None
    size: tuple
    channels: int
    seed: int

    @property
    def steps(self):
        """Steps per epoch."""
        return -(-len(self.train) // self.recipe.batch_size)

    @property
    def total(self):
        """Steps of the run."""
        return self.steps * self.recipe.epochs

    def learning_rate(self, step, errors):
        """The learning rate of a step, counted from the start of the run."""
        return self.recipe.learning_rate * self.recipe.schedule.factor(step / self.total, errors)

    def batches(self, epoch, outputs=()):
        """The training batches of an epoch, or with None the validation batches; labels for each output."""
        if epoch is None:
            dataset = batches(
                self.valid, self.size, max(self.recipe.batch_size, EVALUATION_BATCH), channels=self.channels
            )
        else:
            order = {"augment": self.recipe.augment, "shuffle": True, "seed": self.seed, "epoch": epoch}
            dataset = batches(self.train, self.size, self.recipe.batch_size, channels=self.channels, **order)
        return dataset.map(lambda x, y: (x, dict.fromkeys(outputs, y))) if outputs else dataset

    def batch_norm_batches(self):
        """The batches for the final statistics of batch norm, not augmented."""
        order = {"shuffle": True, "seed": self.seed, "epoch": self.recipe.epochs}
        size = max(self.recipe.batch_size, EVALUATION_BATCH)
        dataset = batches(self.train, self.size, size, channels=self.channels, **order)
        return dataset.take(-(-self.recipe.batch_norm_images // size))

    def to_dict(self, model):
        """The plan as plain data for the run's card."""
        lines = [f"{label} {name}" for label, name in zip(self.train.labels, self.train.names, strict=True)]
        data = {
            "name": self.name,
            "classes": [str(name) for name in self.train.class_names],
            "train": len(self.train),
            "valid": 0 if self.valid is None else len(self.valid),
            "checksum": zlib.crc32("\n".join(lines).encode("utf-8", "surrogateescape")),
        }
        network = {"name": model.name, "parameters": model.count_params(), "input": [*self.size, self.channels]}
        return {"network": network, "recipe": self.recipe.to_dict(), "data": data, "seed": self.seed}


def select_recipe(recipe, model, replaced):
    """The recipe, with the settings that the user replaces."""
    base = recipe_of(model.name) if recipe == PUBLISHED else recipe_called(recipe or DEFAULT)
    base = adapt_augmentation(base, image_input_shape(model)[:2])
    counts = {name: replaced[name] for name in ("epochs", "batch_size") if replaced[name] is not None}
    check_integer(**counts)
    replaced = replaced | {name: int(count) for name, count in counts.items()}
    rate = replaced["learning_rate"]
    if rate is not None and (not isinstance(rate, int | float) or not 0 < rate < math.inf):
        raise ValueError(f"`learning_rate` should be a number above 0. Received: {rate!r}")
    return dataclasses.replace(base, **{key: value for key, value in replaced.items() if value is not None})


def adapt_augmentation(recipe, size):
    """The recipe for this size: images as small as CIFAR's are shifted, not cropped out of larger ones."""
    small = None not in size and min(size) <= SMALL_SIDE
    return (
        dataclasses.replace(recipe, augment="crop_flip") if small and recipe.augment in CROP_AUGMENTATIONS else recipe
    )


def plan_training(model, data, recipe, seed, rule=SPLIT_RULE):
    """The `TrainingPlan` of checked arguments."""
    if not isinstance(seed, int) or isinstance(seed, bool) or seed < 0:
        raise ValueError(f"`seed` should be a non-negative integer. Received: {seed!r}")
    find_augmentation(recipe.augment)  # checked before a folder is created
    *size, channels = image_input_shape(model)
    data = load_dataset(data, seed=seed, rule=rule) if isinstance(data, str | os.PathLike) else data
    name, train, valid = split_training_data(data)
    if not model.trainable_variables:
        raise ValueError(
            f"`model` should have a trainable layer. Received: {model.name}, in which every layer is frozen"
        )
    if None in size:
        size = data.size if isinstance(data, Data) else train.items.shape[1:3]
        if size is None:
            raise ValueError(
                f"`model` should have a fixed input size for images of various sizes. Received: {model.name}, whose "
                "size is open"
            )
    classes = select_scores(symbolic_outputs(model), model).shape[-1]
    for images in (train, valid):
        if images is not None and (np.min(images.labels) < 0 or np.max(images.labels) >= classes):
            low, high = np.min(images.labels), np.max(images.labels)
            raise ValueError(
                f"`data` should have labels 0 to {classes - 1}, the classes of {model.name}. Received: {low} to {high}"
            )
    return TrainingPlan(
        recipe=recipe, name=name, train=train, valid=valid, size=tuple(map(int, size)), channels=channels, seed=seed
    )


def split_training_data(data):
    """(name, training images, validation images or None)."""
    if isinstance(data, Data):
        return data.name, data.train, data.valid if data.valid is not None and len(data.valid) else None
    advice = (
        "`data` should be a dataset of kerascnn.load, a folder, (x, y) or ((x, y), (x_val, y_val)), with images "
        "(N, H, W, C) and labels (N,)."
    )
    if not isinstance(data, tuple | list) or len(data) != 2:
        raise ValueError(f"{advice} Received: {type(data).__name__}")
    pairs = data if all(isinstance(part, tuple | list) and len(part) == 2 for part in data) else [data]
    parts = [arrays_to_batch(*pair, advice) for pair in pairs]
    return "arrays", parts[0], parts[1] if len(parts) > 1 else None


def arrays_to_batch(x, y, advice):
    """Arrays as a ``Batch``."""
    x, y = np.asarray(x), squeeze_labels(y)
    if x.ndim != 4 or y.shape != (len(x),) or not len(x) or y.dtype.kind not in "iu":
        raise ValueError(f"{advice} Received: shapes {x.shape} and {y.shape}, labels of type {y.dtype}")
    if not np.isfinite(x).all():
        raise ValueError(f"{advice} Received: NaN or infinity in the pixels")
    if x.dtype.kind == "f" and x.max() <= 1 and x.max() > 0:
        warnings.warn(
            "pixel values should be 0..255. Received: values of at most 1; were they scaled already?", stacklevel=5
        )
    return Batch(x, y, tuple(str(number) for number in range(int(y.max()) + 1)))


def refresh_batch_norm(model, batches):
    """Set the statistics of each batch norm to their mean over batches, with the weights unchanged."""
    layers = [layer for layer in model._flatten_layers() if isinstance(layer, keras.layers.BatchNormalization)]
    norms = [layer for layer in layers if layer.trainable]  # frozen layers keep their statistics
    sums, count = [[0.0, 0.0] for _ in norms], 0
    for pixels, _ in batches:
        for total, layer, values in zip(sums, norms, next_statistics(model, norms, pixels), strict=True):
            for i, (value, old) in enumerate(zip(values, (layer.moving_mean, layer.moving_variance), strict=True)):
                # the moving average is momentum old + (1 - momentum) value
                total[i] = total[i] + (value - layer.momentum * to_float64(old)) / (1 - layer.momentum)
        count += 1
    for layer, (mean, variance) in zip(norms, sums, strict=True):
        layer.moving_mean.assign(mean / count)
        layer.moving_variance.assign(np.maximum(variance / count, 0))


def next_statistics(model, norms, pixels):
    """The moving averages as they would be after one more batch, without changing any variable."""
    with keras.StatelessScope() as scope:
        model(pixels, training=True)
        statistics = [[scope.get_current_value(v) for v in (norm.moving_mean, norm.moving_variance)] for norm in norms]
    return [[to_float64(value) for value in pair] for pair in statistics]


def to_float64(value):
    return np.asarray(ops.convert_to_numpy(value), np.float64)
