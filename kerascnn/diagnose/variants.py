"""Short training runs compared: the same images in the same order, the same seed, one setting changed.

Deeper plain networks reach a higher training loss, residual ones do not (He et al. 2015, fig. 6).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import keras
from keras import layers

from ..graph.copy import rebuild_model
from ..support.checks import check_integer
from ..support.display import FigureResult
from ..support.files import write_text
from ..support.store import digest
from ..support.text import pluralize, table_text, unknown_name
from ..support.types import Dataset, DataSource, FilePath, OnProgress
from ..zoo.build import build_model
from ..zoo.registry import card
from .images import pixels_and_labels, training_images

COLUMNS = ("variant", "params", "epoch", "loss", "accuracy", "val_loss", "val_accuracy")
KINDS = ("plain", "resnet")


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class TrainingComparison(FigureResult):
    """Loss and accuracy of several networks during training.

    Attributes:
        table: DataFrame with a row per variant and epoch: variant, params, epoch, loss, accuracy, val_loss and
            val_accuracy (NaN without validation images). The loss is Keras' mean over an epoch, with dropout on.
        title: title of the figure.
        group: group of each variant, which determines its color in the figure.
    """

    table: object
    title: str
    group: Mapping = field(default_factory=dict)

    @property
    def final(self):
        """The last epoch of each variant, in the order they were given."""
        return self.table.groupby("variant", sort=False).tail(1).reset_index(drop=True)

    @property
    def losses(self):
        """Training loss: a row an epoch, a column a variant."""
        return self.table.pivot(index="epoch", columns="variant", values="loss")[list(self.final.variant)]

    def _headline(self):
        return f"{self.title}, {pluralize(len(self.final), 'variant')}, {pluralize(self.table.epoch.max(), 'epoch')}"

    def __str__(self):
        return table_text(self.final)

    def plot(self):
        """Training loss by epoch; dotted lines for validation."""
        from .figures import draw_training

        return draw_training(self)


class ProgressReports(keras.callbacks.Callback):
    """Calls ``on_progress(epoch, epochs, what)`` after each step; 1.25 is a quarter of the second epoch."""

    def __init__(self, variant, on_progress):
        super().__init__()
        self.variant, self.on_progress, self.over = variant, on_progress, 0

    def on_train_batch_end(self, batch, logs=None):
        if batch + 1 < self.params["steps"]:
            self.report(self.over + (batch + 1) / self.params["steps"], logs)

    def on_epoch_end(self, epoch, logs=None):
        self.over = epoch + 1
        self.report(self.over, logs)

    def report(self, epoch, logs):
        what = f"{self.variant}  loss {logs['loss']:.4f}  accuracy {logs['accuracy']:.3f}"
        self.on_progress(epoch, self.params["epochs"], what)


def compare_training(
    variants: Mapping[str, Any],
    data: DataSource | Dataset,
    epochs: int = 5,
    *,
    validation: DataSource | Dataset | None = None,
    limit: int | None = None,
    learning_rate: float = 0.1,
    momentum: float = 0.9,
    batch_size: int = 128,
    seed: int = 0,
    out: FilePath | None = None,
    on_progress: OnProgress | None = None,
    title: str = "training",
    group: Mapping[str, str] | None = None,
) -> TrainingComparison:
    """Train several networks for a few epochs on the same images.

    Stochastic gradient descent with momentum at a constant learning rate; the same images in the same order and the
    same seed for each network. A model is copied and trained from the weights that it has.

    Args:
        variants: networks by name: Keras models, or functions without arguments that build models.
        data: training images: arrays (x, y) with integer class numbers, or images with labels.
        epochs: number of epochs, 5 by default.
        validation: images to evaluate after each epoch, in the same form as `data`.
        limit: number of training images to draw at random; None uses all.
        learning_rate: learning rate of the optimizer.
        momentum: momentum of the optimizer.
        batch_size: images per step.
        seed: Keras' global seed before each variant; also draws the `limit` images.
        out: folder for the results of finished variants; a later call with the same settings reads them from there.
        on_progress: called as `on_progress(epoch, epochs, what)` after each step of each variant, where epoch 1.25 is
            a quarter of the second epoch; it may raise an exception to stop.
        title: title of the figure.
        group: group of each variant by name; variants of a group share a color in the figure.

    Returns:
        A `TrainingComparison`: loss and accuracy of each variant after each epoch.
    """
    if not isinstance(variants, Mapping) or not variants:
        raise ValueError(
            f"`variants` should be a dictionary of models, or of functions that build models. Received: {variants!r}"
        )
    check_integer(epochs=epochs)
    images = training_images("data", data, limit, seed)
    held = None if validation is None else pixels_and_labels(training_images("validation", validation))
    settings = {"epochs": epochs, "rate": learning_rate, "momentum": momentum, "batch_size": batch_size, "seed": seed}
    if out is not None:
        seen = {"images": len(images), "data": digest(*pixels_and_labels(images)), "validation": held and digest(*held)}
        out = prepare_runs_folder(out, settings | seen)
    rows = []
    for name, variant in variants.items():
        keras.utils.set_random_seed(seed)
        model = rebuild_model(variant) if isinstance(variant, keras.Model) else variant()
        found = load_variant_rows(out, name, model.count_params()) if out is not None else None
        if found is None:
            found = train_variant(model, name, pixels_and_labels(images), held, settings, on_progress)
            if out is not None:
                write_text(variant_path(out, name), training_table(found).to_csv(index=False))
        rows += found
    return TrainingComparison(table=training_table(rows), title=title, group=dict(group or {}))


def train_variant(model, name, data, held, settings, on_progress):
    """The rows of one variant, an epoch each."""
    # TensorFlow's convolutions without XLA are several times as fast on a processor; the others need theirs
    compiled = False if keras.backend.backend() == "tensorflow" else "auto"
    optimizer = keras.optimizers.SGD(settings["rate"], momentum=settings["momentum"])
    model.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"], jit_compile=compiled)
    keras.utils.set_random_seed(settings["seed"])  # again: variants draw different numbers of weights
    logged = model.fit(
        *data,
        settings["batch_size"],
        settings["epochs"],
        verbose=0,
        validation_data=held,
        validation_batch_size=settings["batch_size"],
        callbacks=[ProgressReports(name, on_progress)] if on_progress else [],
    ).history
    params, numbers = model.count_params(), [logged.get(key) for key in COLUMNS[3:]]
    return [
        (name, params, epoch + 1, *(float("nan") if values is None else float(values[epoch]) for values in numbers))
        for epoch in range(settings["epochs"])
    ]


def training_table(rows):
    import pandas as pd

    return pd.DataFrame(rows, columns=[*COLUMNS])


def plain_against_residual(
    data: DataSource | Dataset,
    depths: Sequence[int] = (20, 32, 44, 56),
    epochs: int = 10,
    limit: int | None = None,
    *,
    widths: Sequence[int] = (16, 32, 64),
    validation: DataSource | Dataset | None = None,
    learning_rate: float = 0.1,
    momentum: float = 0.9,
    batch_size: int = 128,
    seed: int = 0,
    out: FilePath | None = None,
    on_progress: OnProgress | None = None,
    title: str = "Plain and residual networks",
) -> TrainingComparison:
    """Train plain and residual networks of the same depths on small images.

    The networks of He et al. 2015, section 4.2, `plain{n}_cifar10` and `resnet{n}_cifar10`, with batch normalization.

    Args:
        data: training images, such as CIFAR-10's, in the forms that `compare_training` takes.
        depths: depths of the networks, of the form 6n + 2.
        epochs: number of epochs.
        limit: number of training images to draw at random; None uses all.
        widths: channels of the three stages; smaller ones train faster.
        validation: images to evaluate after each epoch.
        learning_rate: learning rate of the optimizer.
        momentum: momentum of the optimizer.
        batch_size: images per step.
        seed: random seed.
        out: folder for the results of finished networks.
        on_progress: called as `on_progress(epoch, epochs, what)` after each step.
        title: title of the figure.

    Returns:
        A `TrainingComparison` with variants such as "plain20" and "resnet20".
    """
    for depth in depths:
        if not isinstance(depth, int) or depth < 8 or (depth - 2) % 6:
            raise ValueError(f"`depths` should be of the form 6n + 2, such as 20, 32, 44, 56. Received: {depth!r}")
    images = training_images("data", data, limit, seed)
    sizes = {"widths": widths, "input_shape": images.items.shape[1:], "classes": len(images.class_names)}
    variants, group = {}, {}
    for depth in depths:
        for kind in KINDS:
            row = f"{kind}20_cifar10"
            stem = partial(card(row).config["stem"], width=widths[0])
            blocks = 3 * ((depth - 2) // 6,)
            variants[f"{kind}{depth}"] = partial(build_model, row, depths=blocks, stem=stem, **sizes)
            group[f"{kind}{depth}"] = str(depth)
    return compare_training(
        variants,
        images,
        epochs,
        validation=validation,
        learning_rate=learning_rate,
        momentum=momentum,
        batch_size=batch_size,
        seed=seed,
        out=out,
        on_progress=on_progress,
        title=title,
        group=group,
    )


ACTIVATION_LAYERS = {
    "sigmoid": layers.Activation,
    "tanh": layers.Activation,
    "relu": layers.ReLU,
    "leaky_relu": layers.LeakyReLU,
}


def dropout_effect(
    data: DataSource | Dataset,
    epochs: int = 10,
    limit: int | None = None,
    *,
    rates: Sequence[float] = (0.0, 0.25, 0.5),
    build: Callable | None = None,
    validation: DataSource | Dataset | None = None,
    learning_rate: float = 0.02,
    momentum: float = 0.9,
    batch_size: int = 128,
    seed: int = 0,
    out: FilePath | None = None,
    on_progress: OnProgress | None = None,
    title: str = "Dropout",
) -> TrainingComparison:
    """Train the same network with several dropout rates.

    Args:
        data: training images, in the forms that `compare_training` takes.
        epochs: number of epochs.
        limit: number of training images to draw at random; None uses all.
        rates: dropout rates to compare; 0 is no dropout.
        build: function that builds the network, called as `build(dropout=...)`; a small network by default.
        validation: images to evaluate after each epoch.
        learning_rate: learning rate of the optimizer.
        momentum: momentum of the optimizer.
        batch_size: images per step.
        seed: random seed.
        out: folder for the results of finished variants.
        on_progress: called as `on_progress(epoch, epochs, what)` after each step.
        title: title of the figure.

    Returns:
        A `TrainingComparison` with a variant for each rate.
    """
    changes = {f"dropout {rate:g}" if rate else "no dropout": {"dropout": rate} for rate in rates}
    return compare_changes(
        changes,
        data,
        epochs,
        limit,
        build,
        validation=validation,
        learning_rate=learning_rate,
        momentum=momentum,
        batch_size=batch_size,
        seed=seed,
        out=out,
        on_progress=on_progress,
        title=title,
    )


def norm_effect(
    data: DataSource | Dataset,
    epochs: int = 10,
    limit: int | None = None,
    *,
    build: Callable | None = None,
    validation: DataSource | Dataset | None = None,
    learning_rate: float = 0.02,
    momentum: float = 0.9,
    batch_size: int = 128,
    seed: int = 0,
    out: FilePath | None = None,
    on_progress: OnProgress | None = None,
    title: str = "Batch normalization",
) -> TrainingComparison:
    """Train the same network with and without batch normalization.

    Args:
        data: training images, in the forms that `compare_training` takes.
        epochs: number of epochs.
        limit: number of training images to draw at random; None uses all.
        build: function that builds the network, called as `build(norm=...)`; a small network by default.
        validation: images to evaluate after each epoch.
        learning_rate: learning rate of the optimizer.
        momentum: momentum of the optimizer.
        batch_size: images per step.
        seed: random seed.
        out: folder for the results of finished variants.
        on_progress: called as `on_progress(epoch, epochs, what)` after each step.
        title: title of the figure.

    Returns:
        A `TrainingComparison` with a variant for each case.
    """
    changes = {"no normalization": {"norm": False}, "batch norm": {"norm": True}}
    return compare_changes(
        changes,
        data,
        epochs,
        limit,
        build,
        validation=validation,
        learning_rate=learning_rate,
        momentum=momentum,
        batch_size=batch_size,
        seed=seed,
        out=out,
        on_progress=on_progress,
        title=title,
    )


def activation_effect(
    data: DataSource | Dataset,
    epochs: int = 10,
    limit: int | None = None,
    *,
    activations: Sequence[str] = tuple(ACTIVATION_LAYERS),
    build: Callable | None = None,
    validation: DataSource | Dataset | None = None,
    learning_rate: float = 0.02,
    momentum: float = 0.9,
    batch_size: int = 128,
    seed: int = 0,
    out: FilePath | None = None,
    on_progress: OnProgress | None = None,
    title: str = "Activation functions",
) -> TrainingComparison:
    """Train the same network with several activation functions.

    Args:
        data: training images, in the forms that `compare_training` takes.
        epochs: number of epochs.
        limit: number of training images to draw at random; None uses all.
        activations: names of the activation functions: sigmoid, tanh, relu, leaky_relu.
        build: function that builds the network, called as `build(activation=...)`; a small network by default.
        validation: images to evaluate after each epoch.
        learning_rate: learning rate of the optimizer.
        momentum: momentum of the optimizer.
        batch_size: images per step.
        seed: random seed.
        out: folder for the results of finished variants.
        on_progress: called as `on_progress(epoch, epochs, what)` after each step.
        title: title of the figure.

    Returns:
        A `TrainingComparison` with a variant for each activation.
    """
    changes = {activation: {"activation": activation} for activation in activations}
    return compare_changes(
        changes,
        data,
        epochs,
        limit,
        build,
        validation=validation,
        learning_rate=learning_rate,
        momentum=momentum,
        batch_size=batch_size,
        seed=seed,
        out=out,
        on_progress=on_progress,
        title=title,
    )


def compare_changes(changes, data, epochs, limit, build, *, seed, **settings):
    """`compare_training` of one network, `small_network` by default, built with each of ``changes``."""
    images = training_images("data", data, limit, seed)
    build = build or partial(small_network, images.items.shape[1:], len(images.class_names))
    variants = {name: partial(build, **change) for name, change in changes.items()}
    return compare_training(variants, images, epochs, seed=seed, **settings)


def small_network(
    input_shape, classes, *, activation="relu", norm=False, dropout=0.0, convs=(16, 16, 32, 32), units=64
):
    """A small network in which one thing can be changed: 3x3 convolutions, a pool after each second one, two dense."""
    if activation not in ACTIVATION_LAYERS:
        raise ValueError(unknown_name("activation", activation, ACTIVATION_LAYERS))
    x = inputs = keras.Input(input_shape)
    x = layers.Rescaling(1 / 127.5, offset=-1)(x)

    def after(x, name):
        x = layers.BatchNormalization(name=f"{name}_norm")(x) if norm else x
        return ACTIVATION_LAYERS[activation](
            *([activation] if ACTIVATION_LAYERS[activation] is layers.Activation else []), name=f"{name}_{activation}"
        )(x)

    for i, filters in enumerate(convs, start=1):
        x = after(layers.Conv2D(filters, 3, padding="same", name=f"conv{i}")(x), f"conv{i}")
        x = layers.MaxPooling2D(name=f"pool{i}")(x) if i % 2 == 0 and min(x.shape[1:3]) > 1 else x
    x = after(layers.Dense(units, name="fc")(layers.Flatten()(x)), "fc")
    x = layers.Dropout(dropout, name="dropout")(x) if dropout else x
    return keras.Model(inputs, layers.Dense(classes, "softmax", name="probs")(x), name="small")


SETTINGS = "settings.json"


def prepare_runs_folder(folder, settings):
    """The folder, made if need be; an error where its runs were made with other settings."""
    path = Path(folder) / SETTINGS
    if not path.exists():
        write_text(path, json.dumps(settings, indent=2) + "\n")
    found = json.loads(path.read_text())
    other = [f"{key} {found.get(key)}, not {value}" for key, value in settings.items() if found.get(key) != value]
    if other:
        raise ValueError(f"`out` should contain runs with the same settings. Received: {folder}, {'; '.join(other)}")
    return path.parent


def load_variant_rows(folder, variant, params):
    """The rows of a variant that was trained before; None without them."""
    import pandas as pd

    path = variant_path(folder, variant)
    if not path.exists():
        return None
    rows = pd.read_csv(path, float_precision="round_trip")
    if set(rows.params) != {params}:
        came = f"{path}, with {rows.params[0]:,} parameters instead of {params:,}"
        raise ValueError(f"`out` should contain runs of networks with the same number of parameters. Received: {came}")
    return [*rows.itertuples(index=False, name=None)]


def variant_path(folder, variant):
    """The file of a variant."""
    return folder / (re.sub(r"[^\w.-]+", "_", variant) + ".csv")
