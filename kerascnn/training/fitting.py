"""Train a classifier by a recipe: repeatable, resumable to the bit, and saying why when it fails."""

import math
import time

import keras
import numpy as np

from .history import error_of, history_of
from .learner import prepared
from .plan import chosen, planned
from .runs import Run, arrays_of, assign, finite
from .settling import settle
from .terminal import interruptible, telling


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
):
    """Train a model's unfrozen layers by a recipe, and return the ``History``.

    ``data`` is a ``Data``, whose test images are left alone, what ``data.load`` makes one of (a folder, a name), or
    arrays (x, y) or ((x, y), (xv, yv)) of pixels 0..255. ``recipe`` is a name in ``RECIPES``, a ``Recipe``, or
    "published" for the one of the network's authors; "onecycle" if not given. ``epochs``, ``batch_size``, ``rate`` and
    ``augment`` replace the recipe's. The first weights are those that the model has; ``training.initialise`` draws
    them as a recipe's authors did.

    The weights are those after the last epoch. With a folder ``out`` each epoch is saved there, and ``resume`` goes on
    after the last saved one; on a CPU the result is the same to the bit. The first Ctrl-C ends after the epoch, the
    second at once. ``seed`` draws the order, the augmentation and the dropout. A loss that is no number raises
    ``Diverged`` and leaves the model as after the last good epoch.

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
    with telling(verbose, plan.steps, plan.recipe.epochs, len(rows)) as tell, interruptible() as interrupt:
        try:
            stopped = epoch_by_epoch(learner, plan, rows, run, tell, interrupt)
        finally:
            learner.hand_back()
    history = history_of(rows, stopped)
    run.finish(history)
    return history


def epoch_by_epoch(learner, plan, rows, run, tell, interrupt):
    """Train, measure, save; why it stopped before the last epoch, or ""."""
    good = arrays_of(learner.variables)
    run.save(good, rows, learner)
    for epoch in range(len(rows), plan.recipe.epochs):
        if interrupt.asked:
            return f"stopped by Ctrl-C after epoch {epoch} of {plan.recipe.epochs}"
        watch = Watch(plan, epoch, [error_of(row) for row in rows], tell)
        started = time.perf_counter()
        row = {"epoch": epoch + 1} | learnt(learner, plan, epoch, watch)
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
        tell.epoch(row)
    if plan.recipe.settle:  # or the images would be decoded for nothing
        settle(learner.source, plan.settling())
    return ""


def learnt(learner, plan, epoch, watch):
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

    def __init__(self, plan, epoch, errors, tell):
        super().__init__()
        self.plan, self.first, self.errors, self.tell = plan, epoch * plan.steps, errors, tell
        self.rate = self.lost = None

    def on_train_batch_begin(self, batch, logs=None):
        rate = self.plan.rate(self.first + batch, self.errors)
        if rate != self.rate:
            self.model.optimizer.learning_rate = self.rate = rate

    def on_train_batch_end(self, batch, logs=None):
        if not math.isfinite(logs["loss"]):  # a running mean, which one such loss makes NaN for good
            self.lost = batch
            self.model.stop_training = True
        self.tell.step(batch, logs)


def lost(watch, plan, epoch):
    """What happened, and what to try."""
    where = "by the end" if watch.lost is None else f"in step {watch.lost + 1} of the {plan.steps}"
    left = f"the weights are those after epoch {epoch}" if epoch else "the weights are those from before"
    return (
        f"the loss became NaN or infinite {where} of epoch {epoch + 1}, at a rate of {watch.rate:.3g}; {left}. "
        f"Try a rate of {plan.recipe.rate / 10:.2g}, and look for images or labels that are wrong"
    )
