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
from ..data.training_images import warn_of_training_images
from ..graph.ends import sums_to_one
from ..inputs.batch import Batch, as_batch
from ..inputs.class_names import align_labels, labels_to_numbers
from ..inputs.classifier import classifier
from ..support.checks import check_integer
from ..support.display import MeasuredResult
from ..support.files import save_figure, table_records, to_json_data, write_json, write_text
from ..support.progress import progress
from ..support.text import format_percent
from ..support.types import Array, ClassNames, Dataset, DataSource, Images, Labels, Model, OnProgress, Verbose
from . import statistics
from .calibration import as_logits, reliability
from .statistics import bootstrap, wilson
from .summary import headline, summary_lines

PARTS = ("test", "valid", "train")
MIN_IMAGES = 10  # with fewer images of a class, its accuracy means little


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Evaluation(MeasuredResult):
    """Predictions of a classifier on labeled images, and measures computed from them.

    Attributes:
        probs: probabilities (N, classes).
        labels: true class numbers (N,).
        class_names: names of the classes, or None.
        names: names of the images.
        model: name of the model.
        failed: {image: reason} for images that could not be read.
        top_k: the k of the top-k accuracies in `intervals` and `per_class`.
        dataset: name of the dataset, with its split.
    """

    probs: np.ndarray
    labels: np.ndarray
    class_names: tuple | None = None
    names: tuple = ()
    model: str = ""
    failed: Mapping = field(default_factory=dict)
    top_k: tuple = (1, 5)
    dataset: str = ""
    path_hint = ", or a folder"

    def __repr__(self):
        return f"<Evaluation: {headline(self)}, accuracy {format_percent(self.accuracy)}>"

    def __len__(self):
        return len(self.labels)

    @cached_property
    def predicted(self):
        """The predicted class number of each image: the most probable class."""
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
        """The top-k accuracy: how often the true class is among the k most probable ones.

        Of classes with equal probability, the first one ranks higher.
        """
        check_integer(k=k)
        return float((self.ranks < k).mean())

    @cached_property
    def ranks(self):
        """The rank of the true class of each image; 0 is the most probable class."""
        return statistics.true_class_ranks(self.probs, self.labels)

    @property
    def balanced_accuracy(self):
        """Balanced accuracy: the mean of the accuracies of the classes that have images."""
        return statistics.balanced_accuracy(self.labels, self.predicted, self.probs.shape[1])

    @property
    def macro_f1(self):
        """Macro F1: the mean F1 of the classes that have images."""
        return statistics.macro_f1(self.labels, self.predicted, self.probs.shape[1])

    @property
    def nll(self):
        """Negative log-likelihood: the mean of -log p(true class)."""
        return float(statistics.negative_log_likelihoods(self.probs, self.labels).mean())

    @property
    def brier(self):
        """Brier score, 0 to 2: the mean of the sum over classes of (p - truth)^2."""
        return float(statistics.brier_scores(self.probs, self.labels).mean())

    @cached_property
    def calibration(self):
        """`Calibration`: confidence and accuracy in 15 bins with equally many images."""
        return reliability(self.probs, self.labels)

    @cached_property
    def intervals(self):
        """{measure: `Interval`}, the measures with their 95 % confidence intervals.

        Wilson's for fractions of images, the bootstrap's for other measures. The calibration error has none, because
        resampling images only increases it; see ``calibration.chance``.
        """
        labels, predicted, classes = self.labels, self.predicted, self.probs.shape[1]
        nll = statistics.negative_log_likelihoods(self.probs, labels)
        brier = statistics.brier_scores(self.probs, labels)
        scores = {
            "balanced": lambda rows: statistics.balanced_accuracy(labels[rows], predicted[rows], classes),
            "macro_f1": lambda rows: statistics.macro_f1(labels[rows], predicted[rows], classes),
            "nll": lambda rows: nll[rows].mean(),
            "brier": lambda rows: brier[rows].mean(),
        }

        intervals = {}
        for k in self.top_k:
            name = f"top{k}" if k > 1 else "accuracy"
            intervals[name] = wilson(int((self.ranks < k).sum()), len(self))
        for name, score in scores.items():
            intervals[name] = bootstrap(score, len(self))
        return intervals

    @property
    def table(self):
        """A DataFrame with a row for each image: classes, probabilities, margin, rank.

        ``rank`` is 1 if the true class is the most probable one; for ``margin`` see `hardest`.
        """
        rows = np.arange(len(self))
        return pd.DataFrame(
            {
                "image": self.names,
                "class": self.names_of_classes(self.labels),
                "predicted": self.names_of_classes(self.predicted),
                "correct": self.correct,
                "rank": self.ranks + 1,
                "p_true": self.probs[rows, self.labels].astype(np.float64),
                "p_predicted": self.probs[rows, self.predicted].astype(np.float64),
                "margin": statistics.probability_margins(self.probs, self.labels),
            }
        )

    @cached_property
    def per_class(self):
        """A DataFrame of the classes that have images, from the easiest to the hardest.

        Accuracy (recall) with Wilson's interval, top-k accuracy, precision, F1, mean probability of the true class,
        whether there are fewer than 10 images, and the class that is predicted most often in its place.
        """
        labels, classes = self.labels, self.probs.shape[1]
        numbers, correct, images, predictions = statistics.class_counts(labels, self.predicted, classes)
        accuracy, low, high = wilson(correct, images)
        p_true = self.probs[np.arange(len(labels)), labels]
        mean_p_true = np.bincount(labels, p_true, minlength=classes)[numbers] / images
        top_accuracies = {
            f"top{k}": np.bincount(labels[self.ranks < k], minlength=classes)[numbers] / images
            for k in self.top_k
            if k > 1
        }
        most_frequent = self.confusions.drop_duplicates("class_number")
        confused_with = most_frequent.set_index("class_number")["predicted"]

        table = pd.DataFrame(
            {
                "number": numbers,
                "class": self.names_of_classes(numbers),
                "n": images,
                "accuracy": accuracy,
                "low": low,
                "high": high,
                **top_accuracies,
                "precision": np.divide(correct, predictions, out=np.zeros(len(numbers)), where=predictions > 0),
                "f1": 2 * correct / (images + predictions),
                "p_true": mean_p_true,
                "few": images < MIN_IMAGES,
                "confused_with": [confused_with.get(number, "") for number in numbers],
            }
        )
        # of two classes with equal accuracy, the one whose images have a higher p(true class) is easier
        return table.sort_values(["accuracy", "p_true"], ascending=False, kind="stable").reset_index(drop=True)

    @property
    def confusion(self):
        """The confusion matrix as a DataFrame: true classes as rows."""
        classes = self.probs.shape[1]
        counts = statistics.confusion_matrix(self.labels, self.predicted, classes)
        class_names = self.names_of_classes(range(classes))
        return pd.DataFrame(counts, pd.Index(class_names, name="true"), pd.Index(class_names, name="predicted"))

    @property
    def confusions(self):
        """A DataFrame of the pairs (true, wrongly predicted class), most frequent first."""
        wrong = ~self.correct
        pairs = np.stack([self.labels[wrong], self.predicted[wrong]], axis=1)
        pairs, counts = np.unique(pairs, axis=0, return_counts=True)
        images_per_class = np.bincount(self.labels, minlength=self.probs.shape[1])
        table = pd.DataFrame(
            {
                "class": self.names_of_classes(pairs[:, 0]),
                "predicted": self.names_of_classes(pairs[:, 1]),
                "count": counts,
                "share": counts / images_per_class[pairs[:, 0]],
                "class_number": pairs[:, 0],
                "predicted_number": pairs[:, 1],
            }
        )
        return table.sort_values(["count", "share"], ascending=False, kind="stable").reset_index(drop=True)

    def hardest(self, n=10):
        """The ``n`` images with the lowest margin, as rows of ``table``.

        The margin is the probability of the true class minus the largest probability of another class.
        """
        check_integer(n=n)
        order = self.table.sort_values("margin", kind="stable")
        return order.head(n).reset_index(drop=True)

    def easiest(self, n=10):
        """The ``n`` images with the highest margin, as rows of ``table``."""
        check_integer(n=n)
        order = self.table.sort_values("margin", ascending=False, kind="stable")
        return order.head(n).reset_index(drop=True)

    def with_temperature(self, temperature):
        """The evaluation after temperature scaling by a number or a `Temperature`."""
        if not sums_to_one(self.probs):
            raise ValueError(
                "`probs` should add up to 1 for temperature scaling. Received: other sums, as from sigmoids"
            )
        probs = softmax(as_logits(self.probs) / float(temperature), axis=1).astype(self.probs.dtype)
        return replace(self, probs=probs)

    def class_name(self, number):
        """The name of a class; "class 3" if the names are unknown."""
        return self.class_names[number] if self.class_names else f"class {number}"

    def names_of_classes(self, numbers):
        """The names of several classes, as a list."""
        return [self.class_name(int(number)) for number in numbers]

    def __str__(self):
        return self.text()

    def text(self, width=100):
        """A summary as text, with lines of at most ``width`` characters."""
        return "\n".join(summary_lines(self, width))

    def plot(self):
        """Draw the reliability diagram, the accuracy per class and the confusion matrix."""
        from .figures import draw_evaluation

        return draw_evaluation(self)

    def to_dict(self):
        """The measures as plain data for JSON."""
        calibration = self.calibration
        return {
            "model": self.model,
            "data": self.dataset,
            "images": len(self),
            "failed": {str(name): str(reason) for name, reason in self.failed.items()},
            "measures": {name: to_json_data(interval._asdict()) for name, interval in self.intervals.items()},
            "calibration": to_json_data({"ece": calibration.ece, "chance": calibration.chance, "gap": calibration.gap}),
            "per_class": table_records(self.per_class),
            "confused": table_records(self.confusions.head(20)),
        }

    def save(self, path):
        """Save the measures (.json), the table (.csv), the figure, or all to a folder.

        Args:
            path: .json, .csv, .png, .svg, .pdf or .jpg file; a path without a suffix is a folder.

        Returns:
            The path.
        """
        folder = Path(path)
        if folder.suffix:
            return super().save(path)

        folder.mkdir(parents=True, exist_ok=True)
        write_json(folder / "evaluation.json", self.to_dict())
        write_text(folder / "evaluation.txt", self.text() + "\n")
        write_text(folder / "images.csv", self.table.to_csv(index=False))
        write_text(folder / "per_class.csv", self.per_class.to_csv(index=False))
        write_text(folder / "confusions.csv", self.confusions.to_csv(index=False))
        write_text(folder / "confusion.csv", self.confusion.to_csv(index=True))
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

    Images are resized and cropped as for the published weights. Without published weights, images of a dataset are
    preprocessed as in training, and other images as in `predict`.

    Args:
        model: a Keras classifier.
        images: a dataset as `kerascnn.load` makes or takes it, or what `predict` takes, with `labels`. A folder,
            archive or table without splits is evaluated as a whole. For a model with several inputs a dict of all
            inputs by name, or a tuple in the model's order; the images may be a split of a dataset.
        labels: number or name of the true class of each image; None for a dataset, which has its own.
        part: split of a dataset: "test" (default), "valid" or "train".
        class_names: names of the model's classes, in the order of its outputs; the classes of a dataset are matched
            to them by name. By default, a dataset with as many classes as the model has the same classes in the same
            order; with fewer classes, its class names should be the model's class numbers.
        names: names of the images, with `labels`.
        batch_size: images per batch.
        top: the k of the top-k accuracies.
        preprocess: function from a batch of pixels, 0 to 255, to what the model expects.
        verbose: "auto" (bar on a terminal, lines elsewhere), 0 (silent), 1 (bar) or 2 (lines).
        on_progress: called as `on_progress(done, total, what)` in place of the bar; it may raise an exception to stop.

    Returns:
        An `Evaluation`.
    """
    network = classifier(model, preprocess=preprocess, several_inputs=True)
    batch = load_labeled_images(images, labels, names=names, part=part, network=network)
    if part != "train":
        warn_of_training_images(model, batch)
    return evaluate_batch(
        model,
        batch,
        class_names=class_names,
        batch_size=batch_size,
        top=top,
        preprocess=preprocess,
        verbose=verbose,
        on_progress=on_progress,
    )


def evaluate_batch(
    model, images, *, class_names=None, batch_size=64, top=(1, 5), preprocess=None, verbose="auto", on_progress=None
):
    """``evaluate`` for images that are a labeled `Batch` already."""
    for k in top:
        check_integer(top=k)
    check_integer(batch_size=batch_size)
    network = classifier(model, preprocess=preprocess, several_inputs=True)
    with progress(verbose, on_progress) as report_progress:
        probs, rows, failed = network.classify(images, batch_size, report_progress)

    classes = probs.shape[1]
    labels, class_names = align_labels(images.labels, images.class_names, class_names, classes, network.model)
    labels = labels_to_numbers(labels, len(images), classes, class_names)[rows]
    names = [images.names[row] for row in rows]
    evaluation = from_probabilities(probs, labels, class_names, names, model=network.model.name, top=top)
    return replace(evaluation, failed={**images.failed, **failed}, dataset=images.title)


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
    top_k = tuple(k for k in top if k < probs.shape[1] or k == 1)  # the true class is always among all classes
    return Evaluation(probs=probs, labels=labels, class_names=class_names, names=names, model=model, top_k=top_k)


def load_labeled_images(images, labels=None, *, names=None, part=None, network=None):
    """A labeled `Batch` from images with labels or, without labels, from a split of a dataset.

    The inputs of a model that has several are put together by its `Classifier`, ``network``.
    """
    if labels is None and isinstance(images, Mapping) and network is not None:
        images = network.batch(images)
    if labels is None:
        return load_dataset_images(images, names, part)
    if part is not None or isinstance(images, Batch | Data):
        raise ValueError("`labels` should be None for a dataset, which has its own labels. Received: labels")
    return as_batch(images, labels, names) if network is None else network.batch(images, labels, names)


def load_dataset_images(source, names, part):
    """A labeled `Batch` from a `Batch`, ``Data``, or anything that `load` opens."""
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
    """(``Data``, name of the split to evaluate); the name is None if the dataset has no splits.

    Of ``Data`` and of datasets known by name only the test split is evaluated by default, because networks are trained
    on the others.
    """
    if isinstance(source, Data):
        return source, part or "test"
    is_known_dataset = isinstance(source, str) and (source in NAMES or not os.path.exists(source))
    if part or is_known_dataset:
        return load(source), part or "test"

    data = load(source, valid=0, test=0)  # only the splits that the files themselves have
    for name in ("test", "valid"):
        if len(getattr(data, name) or ()):
            return data, name
    return data, None
