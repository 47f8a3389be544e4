"""Evaluation of a classifier on labeled images."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import softmax

from ..data.dataset import Data
from ..data.load import load
from ..data.sources import NAMES
from ..graph.ends import sums_to_one
from ..inputs.batch import Batch, as_batch
from ..inputs.class_names import align_labels, labels_to_numbers
from ..inputs.classifier import classifier
from ..support.checks import check_integer
from ..support.display import MeasuredResult
from ..support.files import save_figure, table_records, to_json_data, write_json, write_text
from ..support.progress import progress
from ..support.types import Array, ClassNames, Dataset, DataSource, Images, Labels, Model, OnProgress, Verbose
from . import statistics
from .calibration import as_logits, reliability
from .statistics import bootstrap, wilson

PARTS = ("test", "valid", "train")
FEW = 10  # images, below which a class's accuracy says little
TABLES = ("images", "per_class", "confusions", "confusion")


@dataclass(frozen=True, eq=False)
class Evaluation(MeasuredResult):
    """Predictions of a classifier on labeled images, and all that follows from them.

    Attributes:
        probs: probabilities (N, classes).
        labels: true class numbers (N,).
        class_names: names of the classes, or None.
        names: names of the images.
        model: name of the model.
        failed: the reason for each image that could not be read.
        ks: the k of the top-k accuracies.
        data: name of the dataset.
    """

    probs: np.ndarray = field(repr=False)
    labels: np.ndarray = field(repr=False)
    class_names: tuple | None = field(default=None, repr=False)
    names: tuple = field(default=(), repr=False)
    model: str = ""
    failed: Mapping = field(default_factory=dict, repr=False)
    ks: tuple = (1, 5)
    data: str = ""
    path_hint = ", or a folder"

    def __len__(self):
        return len(self.labels)

    @cached_property
    def predicted(self):
        """The number of the most probable class of each image."""
        return self.probs.argmax(axis=1)

    @property
    def correct(self):
        """Whether each image is classified correctly."""
        return self.predicted == self.labels

    @property
    def accuracy(self):
        """The fraction of images that are classified correctly."""
        return float(self.correct.mean())

    def top(self, k):
        """The top-k accuracy; of equal probabilities the first class ranks higher."""
        check_integer(k=k)
        return float((self.ranks < k).mean())

    @cached_property
    def ranks(self):
        """The rank of the true class of each image, from 0."""
        return statistics.true_class_ranks(self.probs, self.labels)

    @property
    def balanced_accuracy(self):
        """Balanced accuracy: the mean of the accuracies of the classes that have images."""
        return statistics.balanced_accuracy(self.labels, self.predicted, self.probs.shape[1])

    @property
    def macro_f1(self):
        """The mean F1 of the classes that have images."""
        return statistics.macro_f1(self.labels, self.predicted, self.probs.shape[1])

    @property
    def nll(self):
        """The mean of -log p(true class)."""
        return float(statistics.negative_log_likelihoods(self.probs, self.labels).mean())

    @property
    def brier(self):
        """The mean of Brier's score, the sum over classes of (p - truth)^2: 0 to 2."""
        return float(statistics.brier_scores(self.probs, self.labels).mean())

    @cached_property
    def calibration(self):
        """The `Calibration` in 15 bins of equally many images."""
        return reliability(self.probs, self.labels)

    @cached_property
    def interval(self):
        """95 % confidence intervals by the name of the measure.

        Wilson's for fractions of images, the bootstrap's for other measures. The calibration error has none, because
        resampling images only increases it; see ``calibration.chance``.
        """
        shares = {f"top{k}" if k > 1 else "accuracy": wilson(int((self.ranks < k).sum()), len(self)) for k in self.ks}
        labels, predicted, classes = self.labels, self.predicted, self.probs.shape[1]
        each = {
            "nll": statistics.negative_log_likelihoods(self.probs, labels),
            "brier": statistics.brier_scores(self.probs, labels),
        }
        drawn = {
            "balanced": lambda some: statistics.balanced_accuracy(labels[some], predicted[some], classes),
            "macro_f1": lambda some: statistics.macro_f1(labels[some], predicted[some], classes),
            "nll": lambda some: each["nll"][some].mean(),
            "brier": lambda some: each["brier"][some].mean(),
        }
        return shares | {name: bootstrap(score, len(self)) for name, score in drawn.items()}

    @property
    def images(self):
        """A DataFrame with a row for each image: classes, probabilities, margin, rank."""
        rows = np.arange(len(self))
        return pd.DataFrame(
            {
                "image": self.names,
                "class": self.label_names(self.labels),
                "predicted": self.label_names(self.predicted),
                "right": self.correct,
                "rank": self.ranks + 1,
                "p_true": self.probs[rows, self.labels].astype(np.float64),
                "p_predicted": self.probs[rows, self.predicted].astype(np.float64),
                "margin": statistics.probability_margins(self.probs, self.labels),
            }
        )

    @cached_property
    def per_class(self):
        """A DataFrame of the classes that have images, from the easiest to the hardest.

        Accuracy (recall) with Wilson's interval, top-5 accuracy, precision, F1, whether there are fewer than 10 images,
        and the class with which it is confused most often.
        """
        labels, predicted, classes = self.labels, self.predicted, self.probs.shape[1]
        there, right, count, taken = statistics.class_counts(labels, predicted, classes)
        accuracy, low, high = wilson(right, count)
        own = self.probs[np.arange(len(labels)), labels]
        sure = np.bincount(labels, own, minlength=classes)[there] / count
        wrong = self.confusions.drop_duplicates("class_number").set_index("class_number")["predicted"]
        table = pd.DataFrame(
            {
                "number": there,
                "class": self.label_names(there),
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
        # among classes with equal accuracy, the one with more probable true classes is easier
        return table.sort_values(["accuracy", "p_true"], ascending=False, kind="stable").reset_index(drop=True)

    @property
    def confusion(self):
        """The confusion matrix as a DataFrame: true classes as rows."""
        classes = self.probs.shape[1]
        counts = statistics.confusion_matrix(self.labels, self.predicted, classes)
        every = self.label_names(range(classes))
        return pd.DataFrame(counts, pd.Index(every, name="true"), pd.Index(every, name="predicted"))

    @property
    def confusions(self):
        """A DataFrame of the pairs (true, predicted class), most frequent first."""
        wrong = ~self.correct
        pairs = np.stack([self.labels[wrong], self.predicted[wrong]], axis=1)
        pairs, count = np.unique(pairs, axis=0, return_counts=True)
        share = count / np.bincount(self.labels, minlength=self.probs.shape[1])[pairs[:, 0]]
        table = pd.DataFrame(
            {
                "class": self.label_names(pairs[:, 0]),
                "predicted": self.label_names(pairs[:, 1]),
                "count": count,
                "share": share,
                "class_number": pairs[:, 0],
                "predicted_number": pairs[:, 1],
            }
        )
        return table.sort_values(["count", "share"], ascending=False, kind="stable").reset_index(drop=True)

    def hardest(self, n=10):
        """The ``n`` images with the lowest margin, as rows of ``images``.

        The margin is the probability of the true class minus the highest other one.
        """
        check_integer(n=n)
        return self.images.sort_values("margin", kind="stable").head(n).reset_index(drop=True)

    def easiest(self, n=10):
        """The images with the highest margin, as rows of ``images``."""
        check_integer(n=n)
        order = self.images.sort_values("margin", ascending=False, kind="stable")
        return order.head(n).reset_index(drop=True)

    def with_temperature(self, temperature):
        """Return the evaluation with scaled probabilities; see `temperature`."""
        if not sums_to_one(self.probs):
            raise ValueError(
                "`probs` should add up to 1 for temperature scaling. Received: other sums, as from sigmoids"
            )
        probs = softmax(as_logits(self.probs) / float(temperature), axis=1).astype(self.probs.dtype)
        return replace(self, probs=probs)

    def class_name(self, number):
        """The name of a class."""
        return self.class_names[number] if self.class_names else f"class {number}"

    def label_names(self, numbers):
        """The names of several classes."""
        return [self.class_name(int(number)) for number in numbers]

    def __str__(self):
        return self.text()

    def text(self, room=100):
        """A summary as text, with lines of at most ``room`` characters."""
        from .summary import summary_lines

        return "\n".join(summary_lines(self, room))

    def plot(self):
        """A figure of the reliability, the accuracy per class and the confusions."""
        from .figures import draw_evaluation

        return draw_evaluation(self)

    def rows(self):
        """The images."""
        return self.images

    def to_dict(self):
        """The numbers as plain data."""
        found = self.calibration
        return {
            "model": self.model,
            "data": self.data,
            "images": len(self),
            "failed": {str(name): str(reason) for name, reason in self.failed.items()},
            "measures": {name: to_json_data(interval._asdict()) for name, interval in self.interval.items()},
            "calibration": to_json_data({"ece": found.ece, "chance": found.chance, "gap": found.gap}),
            "per_class": table_records(self.per_class),
            "confused": table_records(self.confusions.head(20)),
        }

    def save(self, path):
        """Write .json (numbers), .csv (images), a figure, or all of it to a folder."""
        folder = Path(path)
        if folder.suffix:
            return super().save(path)
        folder.mkdir(parents=True, exist_ok=True)
        write_json(folder / "evaluation.json", self.to_dict())
        write_text(folder / "evaluation.txt", self.text() + "\n")
        for name in TABLES:
            write_text(folder / f"{name}.csv", getattr(self, name).to_csv(index=name == "confusion"))
        write_text(folder / "calibration.csv", self.calibration.table.to_csv(index=False))
        save_figure(self.plot(), folder / "evaluation.png")
        return folder


def evaluate(
    model: Model,
    images: Images | DataSource | Dataset,
    labels: Labels | None = None,
    *,
    part: str | None = None,
    class_names: ClassNames | None = None,
    names: Sequence[str] | None = None,
    batch_size: int = 64,
    top: Sequence[int] = (1, 5),
    preprocess: Callable | None = None,
    verbose: Verbose = "auto",
    on_progress: OnProgress | None = None,
) -> Evaluation:
    """Evaluate a classifier on labeled images or a dataset.

    Images are resized and cropped as for the published weights; without such weights, those of a dataset as for
    training and others as in `predict`.

    Args:
        model: a Keras classifier.
        images: a dataset as `kerascnn.load` makes or takes it, or what `predict` takes, with `labels`. A folder,
            archive or table without splits is evaluated as a whole.
        labels: number or name of the true class of each image; None for a dataset, which has its own.
        part: split of a dataset: "test" (default), "valid" or "train".
        class_names: names of the classes of the model, in its order; the classes of a dataset are matched by name.
            Without them, the classes of a dataset are those of the model if they are as many, and else the numbers
            that they are called.
        names: names of the images, with `labels`.
        batch_size: images per batch.
        top: the k of the top-k accuracies.
        preprocess: function from a batch of pixels, 0 to 255, to what the model expects.
        verbose: "auto" (bar on a terminal, lines elsewhere), 0 (silent), 1 (bar) or 2 (lines).
        on_progress: called as `on_progress(done, total, what)` in place of the bar; it may raise an exception to stop.

    Returns:
        An `Evaluation`.
    """
    images = load_labeled_images(images, labels, names=names, part=part)
    return evaluate_batch(
        model,
        images,
        class_names=class_names,
        batch_size=batch_size,
        top=top,
        preprocess=preprocess,
        verbose=verbose,
        on_progress=on_progress,
    )


def evaluate_batch(
    model, given, *, class_names=None, batch_size=64, top=(1, 5), preprocess=None, verbose="auto", on_progress=None
):
    """The ``Evaluation`` of a model on a labeled `Batch`."""
    for k in top:
        check_integer(top=k)
    check_integer(batch_size=batch_size)
    network = classifier(model, preprocess=preprocess)
    with progress(verbose, on_progress) as shown:
        probs, rows, failed = network.classify(given, batch_size, shown)
    width = probs.shape[1]
    numbers, class_names = align_labels(given.labels, given.class_names, class_names, width, network.model)
    numbers = labels_to_numbers(numbers, len(given), width, class_names)[rows]
    names = [given.names[row] for row in rows]
    made = from_probabilities(probs, numbers, class_names, names, model=network.model.name, top=top)
    return replace(made, failed={**given.failed, **failed}, data=given.title)


def from_probabilities(
    probs: Array,
    labels: Any,
    class_names: Sequence[str] | None = None,
    names: Sequence[str] | None = None,
    *,
    model: str = "",
    top: Sequence[int] = (1, 5),
) -> Evaluation:
    """Evaluate probabilities that were computed elsewhere.

    Args:
        probs: probabilities (N, classes), floats from 0 to 1.
        labels: number or name of the true class of each image.
        class_names: names of the classes.
        names: names of the images; "image 0", "image 1", ... by default.
        model: name of the model, for the text and the figures.
        top: the k of the top-k accuracies.

    Returns:
        An `Evaluation`.
    """
    probs = np.asarray(probs)
    if probs.ndim != 2 or probs.shape[1] < 2 or not len(probs) or probs.dtype.kind != "f":
        raise ValueError(f"`probs` should be floats (N, classes). Received: {probs.dtype} of shape {probs.shape}")
    if not np.isfinite(probs).all() or probs.min() < -1e-6 or probs.max() > 1 + 1e-4:
        raise ValueError(
            f"`probs` should be from 0 to 1. Received: {probs.min():g} to {probs.max():g}; are they logits?"
        )
    if class_names is not None and len(class_names) != probs.shape[1]:
        raise ValueError(
            f"`class_names` should have one name for each of the {probs.shape[1]} classes. "
            f"Received: {len(class_names)} names"
        )
    class_names = None if class_names is None else tuple(map(str, class_names))
    labels = labels_to_numbers(labels, len(probs), probs.shape[1], class_names)
    names = tuple(f"image {i}" for i in range(len(probs))) if names is None else tuple(map(str, names))
    if len(names) != len(probs):
        raise ValueError(
            f"`names` should have one name for each of the {len(probs)} images. Received: {len(names)} names"
        )
    ks = tuple(k for k in top if k < probs.shape[1] or k == 1)  # among all classes is always the true one
    return Evaluation(probs, labels, class_names, names, model, {}, ks)


def load_labeled_images(images, labels=None, *, names=None, part=None):
    """A labeled `Batch` of what ``predict`` takes, with labels, or else of a part of a dataset."""
    if labels is None:
        return dataset_images(images, names, part)
    if part is not None or isinstance(images, Batch | Data):
        raise ValueError("`labels` should be None for a dataset, which has its own labels. Received: labels")
    return as_batch(images, labels, names)


def dataset_images(source, names, part):
    """A `Batch` itself, that of a part of ``Data``, or of a part of what `load` makes data of."""
    if names is not None:
        raise ValueError("`names` should be None for a dataset, which has its own names. Received: names")
    if part not in (None, *PARTS):
        raise ValueError(f"`part` should be None or one of {', '.join(PARTS)}. Received: {part!r}")
    if isinstance(source, Batch) and source.labels is not None:
        if part is not None:
            raise ValueError(f"`part` should be None for images that are not a dataset with splits. Received: {part!r}")
        return source
    if not isinstance(source, Data | str | os.PathLike | tuple):
        raise ValueError(f"`labels` should have the class of each image. Received: None for {type(source).__name__}")
    data, part = choose_split(source, part)
    images = getattr(data, part or "train")
    if images is None or not len(images):
        raise ValueError(f"`part` should be a split of {data.name} that has images. Received: {part!r}")
    title = f"{data.name}, {part} split" if part else data.name
    return replace(images, title=title, failed=getattr(data.audit, "bad", {}))


def choose_split(source, part):
    """(Data, which part of it); None for all of what nobody has divided.

    What has a name is what networks are trained on here, so of that, as of ``Data``, only the test part counts.
    """
    if isinstance(source, Data):
        return source, part or "test"
    if part or (isinstance(source, str) and (source in NAMES or not os.path.exists(source))):
        return load(source), part or "test"
    data = load(source, valid=0, test=0)
    return data, next((name for name in ("test", "valid") if len(getattr(data, name) or ())), None)
