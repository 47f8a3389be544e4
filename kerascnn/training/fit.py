"""Train a classifier by a recipe: repeatable, resumable to the bit, and saying why when it fails."""

import dataclasses
import math
import os
import signal
import threading
import time
import warnings
import zlib
from contextlib import contextmanager
from dataclasses import dataclass

import keras
import numpy as np
from keras import ops

from ..data.augment import augmentation
from ..data.batches import batches
from ..data.dataset import Data
from ..data.load import load
from ..graph.ends import scores_of
from ..inputs.batch import Batch, flat_labels
from ..inputs.classifier import image_input
from ..support.progress import progress, say
from .history import error_of, history_of
from .learner import prepared
from .recipes import OURS, PUBLISHED, Recipe, recipe_of
from .recipes import recipe as recipe_called
from .runs import Run, arrays_of, assign, finite

EVERY = 60.0  # seconds of an epoch without a line


class Diverged(ArithmeticError):
    """The loss became NaN or infinite; ``history`` has the epochs before. The model is as after the last of them."""

    def __init__(self, message, history):
        super().__init__(message)
        self.history = history


def fit(
    model,
    data,
    recipe=None,
    *,
    epochs=None,
    batch_size=None,
    rate=None,
    seed=0,
    out=None,
    resume=False,
    augment=None,
    verbose="auto",
    on_progress=None,
):
    """Train a model's unfrozen layers by a recipe, and return the ``History``.

    ``data`` is a ``Data``, whose test images are left alone, what ``data.load`` makes one of (a folder, a name), or
    arrays (x, y) or ((x, y), (xv, yv)) of pixels 0..255. ``recipe`` is a name in ``RECIPES``, a ``Recipe``, or
    "published" for the one of the network's authors; "onecycle" if not given. ``epochs``, ``batch_size``, ``rate`` and
    ``augment`` replace the recipe's. The first weights are those that the model has; ``training.initialize`` draws
    them as a recipe's authors did.

    The weights are those after the last epoch. With a folder ``out`` each epoch is saved there, and ``resume`` goes on
    after the last saved one; on a CPU the result is the same to the bit. The first Ctrl-C ends after the epoch, the
    second at once. ``seed`` draws the order, the augmentation and the dropout. A loss that is no number raises
    ``Diverged`` and leaves the model as after the last good epoch. ``verbose`` 0 shows nothing, 2 a line an epoch, 1 or
    "auto" also a bar where there is a terminal; in their place ``on_progress(done, total, what)`` is called with the
    steps after each of them and after each epoch, and may raise to end the work.

    >>> fit(build_model("lenet5"), "digits", epochs=5, out="runs/first").best
    """
    replaced = {"epochs": epochs, "batch": batch_size, "rate": rate, "augment": augment}
    plan = planned(model, data, chosen(recipe, model, replaced), seed)
    run = Run(out)
    state = run.open(plan.facts(model), resume)
    learner = prepared(model, plan.recipe, seed)
    if state is not None:
        assign(learner.variables, state.arrays)
    rows = [] if state is None else state.rows
    how = {"unit": "text", "wait": 0, "every": EVERY, "lasting": True}
    with progress(verbose, on_progress, **how) as shown, interruptible() as interrupt:
        try:
            stopped = epoch_by_epoch(learner, plan, rows, run, shown, interrupt)
        finally:
            learner.hand_back()
    history = history_of(rows, stopped)
    run.finish(history)
    return history


def epoch_by_epoch(learner, plan, rows, run, shown, interrupt):
    """Train, measure, save; why it stopped before the last epoch, or ""."""
    good = arrays_of(learner.variables)
    run.save(good, rows, learner)
    for epoch in range(len(rows), plan.recipe.epochs):
        if interrupt.asked:
            return f"stopped by Ctrl-C after epoch {epoch} of {plan.recipe.epochs}"
        watch = Watch(plan, epoch, [error_of(row) for row in rows], shown)
        started = time.perf_counter()
        row = {"epoch": epoch + 1} | learned(learner, plan, epoch, watch)
        row |= {"rate": watch.rate, "seconds": time.perf_counter() - started}
        state = arrays_of(learner.variables)
        numbers = [value for value in row.values() if value is not None]
        if watch.lost is not None or not (finite(state) and np.isfinite(numbers).all()):
            assign(learner.variables, good)
            history = history_of(rows, lost(watch, plan, epoch))
            run.finish(history)
            raise Diverged(history.stopped, history)
        good = state
        rows.append(row)
        run.save(state, rows, learner)
        shown.note((epoch + 1) * plan.steps, plan.total, f"{counted(epoch, plan.recipe.epochs)}  {described(row)}")
    if plan.recipe.settle:  # or the images would be decoded for nothing
        settle(learner.source, plan.settling())
    return ""


def learned(learner, plan, epoch, watch):
    """One epoch: loss and accuracy in training and on the validation images."""
    compiled, outputs = learner.compiled, learner.outputs
    told = compiled.fit(plan.batches(epoch, outputs), shuffle=False, verbose=0, callbacks=[watch])
    found = measures({name: values[-1] for name, values in told.history.items()})
    measured = (None, None)
    if plan.valid is not None and watch.lost is None:
        measured = measures(compiled.evaluate(plan.batches(None, outputs), verbose=0, return_dict=True))
    return dict(zip(("loss", "accuracy", "val_loss", "val_accuracy"), (*found, *measured), strict=True))


def measures(logs):
    """Loss and accuracy of the classifier itself, not of auxiliary ones."""
    return tuple(float(logs.get(f"probs_{name}", logs.get(name))) for name in ("loss", "accuracy"))


class Watch(keras.callbacks.Callback):
    """Sets the rate before each step, and stops where the loss is no number."""

    def __init__(self, plan, epoch, errors, shown):
        super().__init__()
        self.plan, self.epoch, self.errors, self.shown = plan, epoch, errors, shown
        self.first = epoch * plan.steps
        self.rate = self.lost = None

    def on_train_batch_begin(self, batch, logs=None):
        rate = self.plan.rate(self.first + batch, self.errors)
        if rate != self.rate:
            self.model.optimizer.learning_rate = self.rate = rate

    def on_train_batch_end(self, batch, logs=None):
        if not math.isfinite(logs["loss"]):  # a running mean, which one such loss makes NaN for good
            self.lost = batch
            self.model.stop_training = True
        where = f"{counted(self.epoch, self.plan.recipe.epochs)}  step {batch + 1} of {self.plan.steps}"
        self.shown(self.first + batch + 1, self.plan.total, f"{where}  loss {logs['loss']:.3f}")


def counted(epoch, epochs):
    """An epoch by its number, the first being 0."""
    return f"epoch {epoch + 1:>{len(str(epochs))}} of {epochs}"


def described(row):
    """An epoch in words."""
    parts = [f"loss {row['loss']:.3f}  {100 * row['accuracy']:5.1f} %"]
    if row["val_loss"] is not None:
        parts.append(f"valid {row['val_loss']:.3f}  {100 * row['val_accuracy']:5.1f} %")
    return "   ".join([*parts, f"rate {row['rate']:.2g}   {row['seconds']:.1f} s"])


class Interrupt:
    """Whether somebody asked to end; the second time it does not wait."""

    asked = False

    def __call__(self, number, frame):
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True
        say("\nending after this epoch; Ctrl-C again stops at once")


@contextmanager
def interruptible():
    """Let the first Ctrl-C only ask; other threads than the main one get no signals."""
    interrupt = Interrupt()
    if threading.current_thread() is not threading.main_thread():
        yield interrupt
        return
    before = signal.signal(signal.SIGINT, interrupt)
    try:
        yield interrupt
    finally:
        signal.signal(signal.SIGINT, before)


def lost(watch, plan, epoch):
    """What happened, and what to try."""
    where = "by the end" if watch.lost is None else f"in step {watch.lost + 1} of the {plan.steps}"
    left = f"the weights are those after epoch {epoch}" if epoch else "the weights are those from before"
    return (
        f"the loss became NaN or infinite {where} of epoch {epoch + 1}, at a rate of {watch.rate:.3g}; {left}. "
        f"Try a rate of {plan.recipe.rate / 10:.2g}, and look for images or labels that are wrong"
    )


CUTTING = ("photo_crop", "resized_crop")  # augmentations of photos
SMALL = 64  # pixels; the largest side of images that are no photos
MEASURED = 64  # images at once, or more, where nothing is learned


@dataclass(frozen=True, eq=False)
class Plan:
    """All that decides what ``fit`` computes."""

    recipe: Recipe
    name: str
    train: Batch
    valid: Batch | None
    size: tuple
    channels: int
    seed: int

    @property
    def steps(self):
        """Steps in an epoch."""
        return -(-len(self.train) // self.recipe.batch)

    @property
    def total(self):
        """Steps of the whole run."""
        return self.steps * self.recipe.epochs

    def rate(self, step, errors):
        """The rate of a step, counted from the start of the run."""
        return self.recipe.rate * self.recipe.schedule.factor(step / self.total, errors)

    def batches(self, epoch, outputs=()):
        """The batches of an epoch of training, or with None those of the validation images; labels for each output."""
        if epoch is None:
            found = batches(self.valid, self.size, max(self.recipe.batch, MEASURED), channels=self.channels)
        else:
            order = {"augment": self.recipe.augment, "shuffle": True, "seed": self.seed, "epoch": epoch}
            found = batches(self.train, self.size, self.recipe.batch, channels=self.channels, **order)
        return found.map(lambda x, y: (x, dict.fromkeys(outputs, y))) if outputs else found

    def settling(self):
        """The batches on which batch norm is measured at the end, as they are: not augmented."""
        order = {"shuffle": True, "seed": self.seed, "epoch": self.recipe.epochs}
        size = max(self.recipe.batch, MEASURED)
        found = batches(self.train, self.size, size, channels=self.channels, **order)
        return found.take(-(-self.recipe.settle // size))

    def facts(self, model):
        """The plan as JSON can hold it."""
        data = {"name": self.name, "classes": [str(name) for name in self.train.classes], "train": len(self.train)}
        data |= {"valid": 0 if self.valid is None else len(self.valid)}
        told = "\n".join(f"{label} {name}" for label, name in zip(self.train.labels, self.train.names, strict=True))
        data |= {"checksum": zlib.crc32(told.encode("utf-8", "surrogateescape"))}
        network = {"name": model.name, "parameters": model.count_params(), "input": [*self.size, self.channels]}
        return {"network": network, "recipe": self.recipe.stated(), "data": data, "seed": self.seed}


def chosen(recipe, model, replaced):
    """The recipe with what the user replaces in it."""
    found = recipe_of(model.name) if recipe == PUBLISHED else recipe_called(recipe or OURS)
    found = suited(found, image_input(model)[:2])
    for key, name in (("epochs", "epochs"), ("batch", "batch_size")):
        value = replaced[key]
        if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < 1):
            raise ValueError(f"`{name}` should be a whole number of at least 1. Received: {value!r}")
    rate = replaced["rate"]
    if rate is not None and (not isinstance(rate, int | float) or not 0 < rate < math.inf):
        raise ValueError(f"`rate` should be a number above 0. Received: {rate!r}")
    return dataclasses.replace(found, **{key: value for key, value in replaced.items() if value is not None})


def suited(recipe, size):
    """The recipe for this size: images as small as CIFAR's are shifted in place, not cut out of larger ones."""
    small = None not in size and min(size) <= SMALL
    return dataclasses.replace(recipe, augment="crop_flip") if small and recipe.augment in CUTTING else recipe


def planned(model, data, recipe, seed):
    """The plan, with what was given checked."""
    if not isinstance(seed, int) or isinstance(seed, bool) or seed < 0:
        raise ValueError(f"`seed` should be a whole number of at least 0. Received: {seed!r}")
    augmentation(recipe.augment)  # here, before a folder is begun
    *size, channels = image_input(model)
    data = load(data, seed=seed) if isinstance(data, str | os.PathLike) else data
    name, train, valid = parts(data)
    if not model.trainable_variables:
        raise ValueError(f"`model` should have a layer that is not frozen. Received: {model.name}, all of it frozen")
    if None in size:
        size = data.size if isinstance(data, Data) else train.items.shape[1:3]
        if size is None:
            raise ValueError(f"`model` should have a size, for images of several sizes. Received: {model.name}, open")
    classes = scores_of(model.output, model).shape[-1]
    for images in (train, valid):
        if images is not None and (np.min(images.labels) < 0 or np.max(images.labels) >= classes):
            low, high = np.min(images.labels), np.max(images.labels)
            raise ValueError(
                f"`data` should have labels 0 to {classes - 1}, for {model.name}. Received: {low} to {high}"
            )
    return Plan(recipe, name, train, valid, tuple(map(int, size)), channels, seed)


def parts(data):
    """(name, training images, validation images or None)."""
    if isinstance(data, Data):
        return data.name, data.train, data.valid if data.valid is not None and len(data.valid) else None
    advice = "`data` should be Data, a folder, (x, y) or ((x, y), (xv, yv)) of images (N, H, W, C) and labels (N,)."
    if not isinstance(data, tuple | list) or len(data) != 2:
        raise ValueError(f"{advice} Received: {type(data).__name__}")
    pairs = data if all(isinstance(part, tuple | list) and len(part) == 2 for part in data) else [data]
    found = [images_of(*pair, advice) for pair in pairs]
    return "arrays", found[0], found[1] if len(found) > 1 else None


def images_of(x, y, advice):
    """Arrays as ``Batch``."""
    x, y = np.asarray(x), flat_labels(y)
    if x.ndim != 4 or y.shape != (len(x),) or not len(x) or y.dtype.kind not in "iu":
        raise ValueError(f"{advice} Received: shapes {x.shape} and {y.shape}, labels of type {y.dtype}")
    if not np.isfinite(x).all():
        raise ValueError(f"{advice} Received: NaN or infinity among the pixels")
    if x.dtype.kind == "f" and x.max() <= 1 and x.max() > 0:
        warnings.warn("pixels should be 0..255, these are at most 1; scaled already?", stacklevel=5)
    return Batch(x, y, tuple(str(number) for number in range(int(y.max()) + 1)))


def settle(model, batches):
    """Give each batch norm the mean over batches of the means and variances that it has now; all else stays."""
    layers = [layer for layer in model._flatten_layers() if isinstance(layer, keras.layers.BatchNormalization)]
    norms = [layer for layer in layers if layer.trainable]  # a frozen one keeps its own
    sums, count = [[0.0, 0.0] for _ in norms], 0
    for pixels, _ in batches:
        for total, layer, found in zip(sums, norms, statistics(model, norms, pixels), strict=True):
            for i, (value, old) in enumerate(zip(found, (layer.moving_mean, layer.moving_variance), strict=True)):
                # the moving average is momentum old + (1 - momentum) value
                total[i] = total[i] + (value - layer.momentum * numpy(old)) / (1 - layer.momentum)
        count += 1
    for layer, (mean, variance) in zip(norms, sums, strict=True):
        layer.moving_mean.assign(mean / count)
        layer.moving_variance.assign(np.maximum(variance / count, 0))


def statistics(model, norms, pixels):
    """The moving averages as they would be after one more batch; no variable is changed, no dropout drawn."""
    with keras.StatelessScope() as scope:
        model(pixels, training=True)
        kept = [[scope.get_current_value(v) for v in (norm.moving_mean, norm.moving_variance)] for norm in norms]
    return [[numpy(value) for value in pair] for pair in kept]


def numpy(value):
    return np.asarray(ops.convert_to_numpy(value), np.float64)
