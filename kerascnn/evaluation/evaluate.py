"""A classifier on labeled images: `evaluate` asks it, `Evaluation` holds what it said and all that follows."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.special import softmax

from ..data.dataset import Data
from ..data.load import load
from ..data.sources import NAMES
from ..graph.ends import adds_up
from ..inputs.batch import Batch, batch_of
from ..inputs.class_names import aligned, numbered
from ..inputs.classifier import classifier
from ..inputs.resize import check_count
from ..support.display import Measured
from ..support.files import plain, records, save_figure, write_json, write_text
from ..support.progress import progress
from . import statistics
from .calibration import logits_of, reliability
from .statistics import bootstrap, wilson

PARTS = ("test", "valid", "train")
FEW = 10  # images, below which a class's accuracy says little
TABLES = ("images", "per_class", "confused", "confusion")


@dataclass(frozen=True, eq=False)
class Evaluation(Measured):
    """Probabilities (N, classes) of the images called ``names``, and their true classes ``labels``.

    ``classes`` are the classes' names, or None; ``failed`` says why images are missing; ``ks`` are the ranks that the
    page shows; ``data`` is what the images are called.
    """

    probs: np.ndarray = field(repr=False)
    labels: np.ndarray = field(repr=False)
    classes: tuple | None = field(default=None, repr=False)
    names: tuple = field(default=(), repr=False)
    model: str = ""
    failed: Mapping = field(default_factory=dict, repr=False)
    ks: tuple = (1, 5)
    data: str = ""
    otherwise = ", or be a folder"

    def __len__(self):
        return len(self.labels)

    @cached_property
    def predicted(self):
        """The likeliest class of each image, by number."""
        return self.probs.argmax(axis=1)

    @property
    def right(self):
        """Whether each image's likeliest class is the true one."""
        return self.predicted == self.labels

    @property
    def accuracy(self):
        """The share of images whose likeliest class is the true one."""
        return float(self.right.mean())

    def top(self, k):
        """The share of images whose true class is among the ``k`` likeliest; of equals the first class counts."""
        return float((self.ranks < check_count("k", k)).mean())

    @cached_property
    def ranks(self):
        """How many classes stand before the true one, of each image."""
        return statistics.ranks(self.probs, self.labels)

    @property
    def balanced(self):
        """Balanced accuracy: the mean of the accuracies of the classes that have images."""
        return statistics.balanced(self.labels, self.predicted, self.probs.shape[1])

    @property
    def macro_f1(self):
        """The mean F1 of the classes that have images."""
        return statistics.macro_f1(self.labels, self.predicted, self.probs.shape[1])

    @property
    def nll(self):
        """The mean of -log p(true class)."""
        return float(statistics.surprises(self.probs, self.labels).mean())

    @property
    def brier(self):
        """The mean of Brier's score, the sum over classes of (p - truth)^2: 0 to 2."""
        return float(statistics.squares(self.probs, self.labels).mean())

    @cached_property
    def calibration(self):
        """Confidence against accuracy in 15 bins of equally many images: ``.ece``, ``.table``, ``.plot()``."""
        return reliability(self.probs, self.labels)

    @cached_property
    def interval(self):
        """95 % intervals: {measure: Interval}; Wilson's for shares of images, the bootstrap's for the others.

        The calibration error has none: drawing images again only adds to it. ``calibration.chance`` says what of it
        is chance.
        """
        shares = {f"top{k}" if k > 1 else "accuracy": wilson(int((self.ranks < k).sum()), len(self)) for k in self.ks}
        labels, predicted, classes = self.labels, self.predicted, self.probs.shape[1]
        each = {"nll": statistics.surprises(self.probs, labels), "brier": statistics.squares(self.probs, labels)}
        drawn = {
            "balanced": lambda some: statistics.balanced(labels[some], predicted[some], classes),
            "macro_f1": lambda some: statistics.macro_f1(labels[some], predicted[some], classes),
            "nll": lambda some: each["nll"][some].mean(),
            "brier": lambda some: each["brier"][some].mean(),
        }
        return shares | {name: bootstrap(score, len(self)) for name, score in drawn.items()}

    @property
    def images(self):
        """A DataFrame with a row for each image: image, true and predicted class, probabilities, margin, rank."""
        rows = np.arange(len(self))
        return pd.DataFrame(
            {
                "image": self.names,
                "class": self.class_names(self.labels),
                "predicted": self.class_names(self.predicted),
                "right": self.right,
                "rank": self.ranks + 1,
                "p_true": self.probs[rows, self.labels].astype(np.float64),
                "p_predicted": self.probs[rows, self.predicted].astype(np.float64),
                "margin": statistics.margins(self.probs, self.labels),
            }
        )

    @cached_property
    def per_class(self):
        """A DataFrame of the classes that have images, from the easiest to the hardest.

        accuracy (recall) with Wilson's interval, the share among the likeliest five, precision, f1, whether there are
        fewer than 10 images, and the class that its images are taken for most often.
        """
        labels, predicted, classes = self.labels, self.predicted, self.probs.shape[1]
        there, right, count, taken = statistics.counts(labels, predicted, classes)
        accuracy, low, high = wilson(right, count)
        own = self.probs[np.arange(len(labels)), labels]
        sure = np.bincount(labels, own, minlength=classes)[there] / count
        wrong = self.confused.drop_duplicates("class_number").set_index("class_number")["predicted"]
        table = pd.DataFrame(
            {
                "number": there,
                "class": self.class_names(there),
                "n": count,
                "accuracy": accuracy,
                "low": low,
                "high": high,
                **{
                    f"top{k}": np.bincount(labels[self.ranks < k], minlength=classes)[there] / count
                    for k in self.ks
                    if k > 1
                },
                "precision": np.divide(right, taken, out=np.zeros(len(there)), where=taken > 0),
                "f1": 2 * right / (count + taken),
                "p_true": sure,
                "few": count < FEW,
                "confused_with": [wrong.get(number, "") for number in there],
            }
        )
        # of equally right classes, the one that is surer of its images is easier
        return table.sort_values(["accuracy", "p_true"], ascending=False, kind="stable").reset_index(drop=True)

    @property
    def confusion(self):
        """A DataFrame (classes, classes) of counts: true classes as rows, predicted ones as columns."""
        classes = self.probs.shape[1]
        counts = statistics.confusion(self.labels, self.predicted, classes)
        every = self.class_names(range(classes))
        return pd.DataFrame(counts, pd.Index(every, name="true"), pd.Index(every, name="predicted"))

    @property
    def confused(self):
        """A DataFrame of the ordered pairs true -> predicted that happen, the most frequent first."""
        wrong = ~self.right
        pairs = np.stack([self.labels[wrong], self.predicted[wrong]], axis=1)
        pairs, count = np.unique(pairs, axis=0, return_counts=True)
        share = count / np.bincount(self.labels, minlength=self.probs.shape[1])[pairs[:, 0]]
        table = pd.DataFrame(
            {
                "class": self.class_names(pairs[:, 0]),
                "predicted": self.class_names(pairs[:, 1]),
                "count": count,
                "share": share,
                "class_number": pairs[:, 0],
                "predicted_number": pairs[:, 1],
            }
        )
        return table.sort_values(["count", "share"], ascending=False, kind="stable").reset_index(drop=True)

    def hardest(self, n=10):
        """The images with the lowest margin of the true class over the likeliest other one, as rows of ``images``."""
        return self.images.sort_values("margin", kind="stable").head(check_count("n", n)).reset_index(drop=True)

    def easiest(self, n=10):
        """The images with the highest margin, as rows of ``images``."""
        order = self.images.sort_values("margin", ascending=False, kind="stable")
        return order.head(check_count("n", n)).reset_index(drop=True)

    def tempered(self, temperature):
        """The same at a temperature, which `temperature` finds on other images."""
        if not adds_up(self.probs):
            raise ValueError("`probs` should add up to 1 to be tempered. Received: others, as sigmoids give them")
        probs = softmax(logits_of(self.probs) / float(temperature), axis=1).astype(self.probs.dtype)
        return replace(self, probs=probs)

    def class_name(self, number):
        """What a class is called."""
        return self.classes[number] if self.classes else f"class {number}"

    def class_names(self, numbers):
        """What classes are called."""
        return [self.class_name(int(number)) for number in numbers]

    def __str__(self):
        return self.text()

    def text(self, room=100):
        """All of it on a page."""
        from .figures import page

        return "\n".join(page(self, room))

    def plot(self):
        """Reliability, the classes' accuracies, and who is taken for whom: a matplotlib figure."""
        from .figures import draw

        return draw(self)

    def rows(self):
        """The images."""
        return self.images

    def facts(self):
        """The numbers as plain data."""
        found = self.calibration
        return {
            "model": self.model,
            "data": self.data,
            "images": len(self),
            "failed": {str(name): str(reason) for name, reason in self.failed.items()},
            "measures": {name: plain(interval._asdict()) for name, interval in self.interval.items()},
            "calibration": plain({"ece": found.ece, "chance": found.chance, "gap": found.gap}),
            "per_class": records(self.per_class),
            "confused": records(self.confused.head(20)),
        }

    def save(self, path):
        """Write .json (the numbers), .csv (the images), a picture, or all of it into a folder."""
        folder = Path(path)
        if folder.suffix:
            return super().save(path)
        folder.mkdir(parents=True, exist_ok=True)
        write_json(folder / "evaluation.json", self.facts())
        write_text(folder / "evaluation.txt", self.text() + "\n")
        for name in TABLES:
            write_text(folder / f"{name}.csv", getattr(self, name).to_csv(index=name == "confusion"))
        write_text(folder / "calibration.csv", self.calibration.table.to_csv(index=False))
        save_figure(self.plot(), folder / "evaluation.png")
        return folder


def evaluate(
    model,
    images,
    labels=None,
    *,
    part=None,
    classes=None,
    names=None,
    batch_size=64,
    top=(1, 5),
    preprocess=None,
    verbose="auto",
    on_progress=None,
):
    """What a classifier makes of labeled images: an ``Evaluation``.

    ``images`` are a dataset as `kerascnn.data.load` makes or takes it, of which the test part counts, or with ``part``
    "valid" or "train"; a folder, archive or table that nobody has divided counts as a whole, as do ``Batch``. Or they
    are what ``predict`` takes, with ``labels``: a number or name for each; ``names`` tells them apart. Images are cut
    as published weights were measured, else those of a dataset as for training, others as ``predict`` does.

    ``classes`` names the model's classes in its order; a dataset's then find theirs by name. Without it a dataset's
    classes are the model's where they are as many, and else the numbers that they are called. ``top`` are the ranks
    that are shown; ``preprocess`` is as in ``predict``. ``verbose`` 0 shows nothing, 2 lines, 1 or "auto" a bar on a
    terminal and lines elsewhere; ``on_progress(done, total, what)`` is called in their place, and may raise to end it.
    """
    given = labeled(images, labels, names=names, part=part)
    how = {"batch_size": batch_size, "top": top, "preprocess": preprocess}
    return measured(model, given, classes=classes, verbose=verbose, on_progress=on_progress, **how)


def measured(
    model, given, *, classes=None, batch_size=64, top=(1, 5), preprocess=None, verbose="auto", on_progress=None
):
    """The ``Evaluation`` of a model on a labeled `Batch`."""
    for k in top:
        check_count("top", k)
    network = classifier(model, preprocess=preprocess)
    with progress(verbose, on_progress) as shown:
        probs, rows, failed = network.classify(given, check_count("batch_size", batch_size), shown)
    width = probs.shape[1]
    numbers, classes = aligned(given.labels, given.classes, classes, width, network.model)
    numbers = numbered(numbers, len(given), width, classes)[rows]
    names = [given.names[row] for row in rows]
    made = from_probabilities(probs, numbers, classes, names, model=network.model.name, top=top)
    return replace(made, failed={**given.failed, **failed}, data=given.title)


def from_probabilities(probs, labels, classes=None, names=None, *, model="", top=(1, 5)):
    """An ``Evaluation`` of probabilities (N, classes) that are there already, from whatever made them."""
    probs = np.asarray(probs)
    if probs.ndim != 2 or probs.shape[1] < 2 or not len(probs) or probs.dtype.kind != "f":
        raise ValueError(f"`probs` should be floats (N, classes). Received: {probs.dtype} of shape {probs.shape}")
    if not np.isfinite(probs).all() or probs.min() < -1e-6 or probs.max() > 1 + 1e-4:
        raise ValueError(f"`probs` should be 0 to 1. Received: {probs.min():g} to {probs.max():g}; are they logits?")
    if classes is not None and len(classes) != probs.shape[1]:
        raise ValueError(f"`classes` should name the {probs.shape[1]} classes. Received: {len(classes)} names")
    classes = None if classes is None else tuple(map(str, classes))
    labels = numbered(labels, len(probs), probs.shape[1], classes)
    names = tuple(f"image {i}" for i in range(len(probs))) if names is None else tuple(map(str, names))
    if len(names) != len(probs):
        raise ValueError(f"`names` should name the {len(probs)} images. Received: {len(names)} names")
    ks = tuple(k for k in top if k < probs.shape[1] or k == 1)  # among all classes is always the true one
    return Evaluation(probs, labels, classes, names, model, {}, ks)


def labeled(images, labels=None, *, names=None, part=None):
    """A labeled `Batch` of what ``predict`` takes, with labels, or else of a part of a dataset."""
    if labels is None:
        return of_dataset(images, names, part)
    if part is not None or isinstance(images, Batch | Data):
        raise ValueError("`labels` should be None for a dataset, which has its own. Received: labels")
    return batch_of(images, labels, names)


def of_dataset(source, names, part):
    """A `Batch` itself, that of a part of ``Data``, or of a part of what `load` makes data of."""
    if names is not None:
        raise ValueError("`names` should be None for a dataset, which has its own. Received: names")
    if part not in (None, *PARTS):
        raise ValueError(f"`part` should be {', '.join(PARTS)} or None. Received: {part!r}")
    if isinstance(source, Batch) and source.labels is not None:
        if part is not None:
            raise ValueError(f"`part` should be None for images, which have no parts. Received: {part!r}")
        return source
    if not isinstance(source, Data | str | os.PathLike | tuple):
        raise ValueError(f"`labels` should say the class of each image. Received: None for {type(source).__name__}")
    data, part = divided(source, part)
    images = getattr(data, part or "train")
    if images is None or not len(images):
        raise ValueError(f"`part` should be one that {data.name} has. Received: {part!r}, with no images")
    title = f"{data.name}, {part} part" if part else data.name
    return replace(images, title=title, failed=getattr(data.audit, "bad", {}))


def divided(source, part):
    """(Data, which part of it); None for all of what nobody has divided.

    What has a name is what networks are trained on here, so of that, as of ``Data``, only the test part counts.
    """
    if isinstance(source, Data):
        return source, part or "test"
    if part or (isinstance(source, str) and (source in NAMES or not os.path.exists(source))):
        return load(source), part or "test"
    data = load(source, valid=0, test=0)
    return data, next((name for name in ("test", "valid") if len(getattr(data, name) or ())), None)
