"""Short training runs side by side: the same images in the same order, the same seed, one thing changed.

Deeper plain nets reach a higher training loss, residual ones do not (He et al. 2015, fig. 6).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial

import keras

from ..build import build_model
from ..drawn import Drawn
from ..predictions import count
from ..registry import card
from . import kept
from .copies import rebuild
from .labelled import labelled

COLUMNS = ("variant", "params", "epoch", "loss", "accuracy", "val_loss", "val_accuracy")
KINDS = ("plain", "resnet")


@dataclass(frozen=True, eq=False)
class Comparison(Drawn):
    """``table``: variant, params, epoch, loss, accuracy, val_loss, val_accuracy (NaN without ``validation``).

    A row an epoch. ``loss`` is Keras' mean over an epoch while the weights change, with dropout on. ``group`` says
    which variants share a colour in the picture.
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
        from .pictures import draw_comparison

        return draw_comparison(self)


class Told(keras.callbacks.Callback):
    """Calls ``tell(variant, epoch, numbers)`` after each step; 1.25 is a quarter of the second epoch."""

    def __init__(self, variant, tell):
        super().__init__()
        self.variant, self.tell, self.over = variant, tell, 0

    def on_train_batch_end(self, batch, logs=None):
        if batch + 1 < self.params["steps"]:
            self.tell(self.variant, self.over + (batch + 1) / self.params["steps"], dict(logs))

    def on_epoch_end(self, epoch, logs=None):
        self.over = epoch + 1
        self.tell(self.variant, self.over, dict(logs))


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
    tell=None,
    title="training",
    group=None,
):
    """Train each of ``variants`` (name -> model, or a function that makes one) for a few epochs: `Comparison`.

    ``data`` and ``validation`` are arrays (x, y) with classes as whole numbers, or ``Images``; ``limit`` draws some of
    the data. Stochastic gradient descent with momentum at a constant rate. A model is copied and trained from the
    weights it has. Keras' global seed is set to ``seed`` before each variant. Finished variants are kept in
    ``folder``, and the next call does not train them again. ``tell`` is called with (variant, epoch, numbers) after
    each step; epoch is a whole number where one is over.
    """
    if not isinstance(variants, Mapping) or not variants:
        raise ValueError(f"`variants` should be a dictionary of models, or of functions. Received: {variants!r}")
    count("epochs", epochs)
    images = labelled("data", data, limit, seed)
    held = None if validation is None else labelled("validation", validation)[:2]
    settings = {"epochs": epochs, "rate": rate, "momentum": momentum, "batch_size": batch_size, "seed": seed}
    if folder is not None:
        seen = {"images": len(images.x), "data": kept.digest(*images[:2]), "validation": held and kept.digest(*held)}
        folder = kept.prepare(folder, settings | seen)
    rows = []
    for name, variant in variants.items():
        keras.utils.set_random_seed(seed)
        model = rebuild(variant) if isinstance(variant, keras.Model) else variant()
        found = kept.finished(folder, name, model.count_params()) if folder is not None else None
        if found is None:
            found = trained(model, name, images[:2], held, settings, tell)
            if folder is not None:
                kept.keep(folder, name, as_table(found))
        rows += found
    return Comparison(as_table(rows), title, dict(group or {}))


def trained(model, name, data, held, settings, tell):
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
        callbacks=[Told(name, tell)] if tell else [],
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
    images = labelled("data", data, limit, options.get("seed", 0))
    sizes = {"widths": widths, "input_shape": images.x.shape[1:], "classes": images.classes}
    variants, group = {}, {}
    for depth in depths:
        for kind in KINDS:
            row = f"{kind}20_cifar10"
            stem = partial(card(row).config["stem"], width=widths[0])
            blocks = 3 * ((depth - 2) // 6,)
            variants[f"{kind}{depth}"] = partial(build_model, row, depths=blocks, stem=stem, **sizes)
            group[f"{kind}{depth}"] = str(depth)
    return compare(variants, images, epochs, **({"title": "Plain against residual nets", "group": group} | options))
