"""Short training runs side by side: the same images in the same order, the same seed, one thing changed.

Deeper plain nets reach a higher training loss, residual ones do not (He et al. 2015, fig. 6).
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import keras
from keras import layers

from ..graph.copy import rebuild
from ..inputs.resize import check_count
from ..support.display import Drawn
from ..support.files import write_text
from ..support.store import digest
from ..support.text import unknown
from ..zoo.build import build_model
from ..zoo.registry import card
from .images import arrays, labeled

COLUMNS = ("variant", "params", "epoch", "loss", "accuracy", "val_loss", "val_accuracy")
KINDS = ("plain", "resnet")


@dataclass(frozen=True, eq=False)
class Comparison(Drawn):
    """``table``: variant, params, epoch, loss, accuracy, val_loss, val_accuracy (NaN without ``validation``).

    A row an epoch. ``loss`` is Keras' mean over an epoch while the weights change, with dropout on. ``group`` says
    which variants share a color in the picture.
    """

    table: object
    title: str
    group: Mapping = field(default_factory=dict, repr=False)

    @property
    def final(self):
        """The last epoch of each variant, in the order they were given."""
        return self.table.groupby("variant", sort=False).tail(1).reset_index(drop=True)

    @property
    def losses(self):
        """Training loss: a row an epoch, a column a variant."""
        return self.table.pivot(index="epoch", columns="variant", values="loss")[list(self.final.variant)]

    def plot(self):
        """Training loss by epoch; dotted lines for validation."""
        from .figures import draw_comparison

        return draw_comparison(self)


class Told(keras.callbacks.Callback):
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


def compare(
    variants,
    data,
    epochs=5,
    *,
    validation=None,
    limit=None,
    rate=0.1,
    momentum=0.9,
    batch_size=128,
    seed=0,
    folder=None,
    on_progress=None,
    title="training",
    group=None,
):
    """Train each of ``variants`` (name -> model, or a function that makes one) for a few epochs: `Comparison`.

    ``data`` and ``validation`` are arrays (x, y) with classes as whole numbers, or ``Batch``; ``limit`` draws some of
    the data. Stochastic gradient descent with momentum at a constant rate. A model is copied and trained from the
    weights it has. Keras' global seed is set to ``seed`` before each variant. Finished variants are kept in
    ``folder``, and the next call does not train them again. ``on_progress(epoch, epochs, what)`` is called
    after each step, for each variant; epoch is a whole number where one is over. It may raise to end the work.
    """
    if not isinstance(variants, Mapping) or not variants:
        raise ValueError(f"`variants` should be a dictionary of models, or of functions. Received: {variants!r}")
    check_count("epochs", epochs)
    images = labeled("data", data, limit, seed)
    held = None if validation is None else arrays(labeled("validation", validation))
    settings = {"epochs": epochs, "rate": rate, "momentum": momentum, "batch_size": batch_size, "seed": seed}
    if folder is not None:
        seen = {"images": len(images), "data": digest(*arrays(images)), "validation": held and digest(*held)}
        folder = prepare(folder, settings | seen)
    rows = []
    for name, variant in variants.items():
        keras.utils.set_random_seed(seed)
        model = rebuild(variant) if isinstance(variant, keras.Model) else variant()
        found = finished(folder, name, model.count_params()) if folder is not None else None
        if found is None:
            found = trained(model, name, arrays(images), held, settings, on_progress)
            if folder is not None:
                write_text(place(folder, name), as_table(found).to_csv(index=False))
        rows += found
    return Comparison(as_table(rows), title, dict(group or {}))


def trained(model, name, data, held, settings, on_progress):
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
        callbacks=[Told(name, on_progress)] if on_progress else [],
    ).history
    params, numbers = model.count_params(), [logged.get(key) for key in COLUMNS[3:]]
    return [
        (name, params, epoch + 1, *(float("nan") if values is None else float(values[epoch]) for values in numbers))
        for epoch in range(settings["epochs"])
    ]


def as_table(rows):
    import pandas as pd

    return pd.DataFrame(rows, columns=[*COLUMNS])


def plain_against_residual(data, depths=(20, 32, 44, 56), epochs=10, limit=None, *, widths=(16, 32, 64), **options):
    """Plain nets and residual ones of the same depths 6n + 2 on small images, CIFAR-10's or like them: `Comparison`.

    The networks of He et al. 2015, section 4.2, plain{n}_cifar10 and resnet{n}_cifar10, of any depth 6n + 2; batch norm
    in both. Smaller ``widths`` make quick ones. What else there is goes to `compare`.
    """
    for depth in depths:
        if not isinstance(depth, int) or depth < 8 or (depth - 2) % 6:
            raise ValueError(f"`depths` should be of the form 6n + 2, as 20, 32, 44, 56. Received: {depth!r}")
    images = labeled("data", data, limit, options.get("seed", 0))
    sizes = {"widths": widths, "input_shape": images.items.shape[1:], "classes": len(images.classes)}
    variants, group = {}, {}
    for depth in depths:
        for kind in KINDS:
            row = f"{kind}20_cifar10"
            stem = partial(card(row).config["stem"], width=widths[0])
            blocks = 3 * ((depth - 2) // 6,)
            variants[f"{kind}{depth}"] = partial(build_model, row, depths=blocks, stem=stem, **sizes)
            group[f"{kind}{depth}"] = str(depth)
    return compare(variants, images, epochs, **({"title": "Plain against residual nets", "group": group} | options))


ACTS = {"sigmoid": layers.Activation, "tanh": layers.Activation, "relu": layers.ReLU, "leaky_relu": layers.LeakyReLU}


def dropout_effect(data, epochs=10, limit=None, *, rates=(0.0, 0.25, 0.5), make=None, **options):
    """The same network without dropout and with some; see `compare`. ``make(dropout=...)`` builds another network."""
    changes = {f"dropout {rate:g}" if rate else "no dropout": {"dropout": rate} for rate in rates}
    return effect(changes, data, epochs, limit, make, {"title": "Dropout"} | options)


def norm_effect(data, epochs=10, limit=None, *, make=None, **options):
    """The same network without batch norm and with it; see `compare`. ``make(norm=...)`` builds another network."""
    changes = {"no norm": {"norm": False}, "batch norm": {"norm": True}}
    return effect(changes, data, epochs, limit, make, {"title": "Batch norm"} | options)


def activation_effect(data, epochs=10, limit=None, *, acts=tuple(ACTS), make=None, **options):
    """The same network with one nonlinearity after another; see `compare`. ``make(act=...)`` builds another network."""
    changes = {act: {"act": act} for act in acts}
    return effect(changes, data, epochs, limit, make, {"title": "Nonlinearities"} | options)


def effect(changes, data, epochs, limit, make, options):
    """`compare` with one network of ``make``'s kind, `small` without it, for each of ``changes``."""
    images = labeled("data", data, limit, options.get("seed", 0))
    make = make or partial(small, images.items.shape[1:], len(images.classes))
    variants = {name: partial(make, **change) for name, change in changes.items()}
    return compare(variants, images, epochs, **({"rate": 0.02} | options))


def small(input_shape, classes, *, act="relu", norm=False, dropout=0.0, convs=(16, 16, 32, 32), units=64):
    """A small network in which one thing can be changed: 3x3 convolutions, a pool after each second one, two dense."""
    if act not in ACTS:
        raise ValueError(unknown("act", act, ACTS))
    x = inputs = keras.Input(input_shape)
    x = layers.Rescaling(1 / 127.5, offset=-1)(x)

    def after(x, name):
        x = layers.BatchNormalization(name=f"{name}_norm")(x) if norm else x
        return ACTS[act](*([act] if ACTS[act] is layers.Activation else []), name=f"{name}_{act}")(x)

    for i, filters in enumerate(convs, start=1):
        x = after(layers.Conv2D(filters, 3, padding="same", name=f"conv{i}")(x), f"conv{i}")
        x = layers.MaxPooling2D(name=f"pool{i}")(x) if i % 2 == 0 and min(x.shape[1:3]) > 1 else x
    x = after(layers.Dense(units, name="fc")(layers.Flatten()(x)), "fc")
    x = layers.Dropout(dropout, name="dropout")(x) if dropout else x
    return keras.Model(inputs, layers.Dense(classes, "softmax", name="probs")(x), name="small")


SETTINGS = "settings.json"


def prepare(folder, settings):
    """The folder, made if need be; an error where its runs were made with other settings."""
    path = Path(folder) / SETTINGS
    if not path.exists():
        write_text(path, json.dumps(settings, indent=2) + "\n")
    found = json.loads(path.read_text())
    other = [f"{key} {found.get(key)}, not {value}" for key, value in settings.items() if found.get(key) != value]
    if other:
        raise ValueError(f"`folder` should have runs with the same settings. Received: {folder}, {'; '.join(other)}")
    return path.parent


def finished(folder, variant, params):
    """The rows of a variant that was trained before; None without them."""
    import pandas as pd

    path = place(folder, variant)
    if not path.exists():
        return None
    rows = pd.read_csv(path, float_precision="round_trip")
    if set(rows.params) != {params}:
        came = f"{path}, with {rows.params[0]:,} instead of {params:,}"
        raise ValueError(f"`folder` should have runs of networks with the same parameters. Received: {came}")
    return [*rows.itertuples(index=False, name=None)]


def place(folder, variant):
    """The file of a variant."""
    return folder / (re.sub(r"[^\w.-]+", "_", variant) + ".csv")
