"""Two classifiers on the same images: which is better, and is the difference significant?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np

from ..support.display import MeasuredResult
from ..support.files import to_json_data
from ..support.text import format_percent, pluralize
from ..support.types import Array
from .evaluate import Evaluation
from .statistics import LEVEL, Interval, bootstrap, check_level, mcnemar


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Comparison(MeasuredResult):
    """Two classifiers compared on the same images.

    Attributes:
        first: `Evaluation` of the first classifier.
        second: `Evaluation` of the second classifier, in the same order of images.
        difference: accuracy of the first minus that of the second, with its confidence interval.
        p: p-value of McNemar's exact test.
        model_names: names of the two classifiers.
    """

    first: Evaluation
    second: Evaluation
    difference: Interval
    p: float
    model_names: tuple = ("first", "second")

    def __len__(self):
        return len(self.first)

    def __repr__(self):
        first, second = self.model_names
        return f"<Comparison: {first} and {second} on {pluralize(len(self), 'image')}, {self.difference_text()}>"

    @property
    def contingency(self):
        """The 2x2 contingency table: images that are correct or wrong in each classifier.

        A DataFrame with the first classifier as rows and the second as columns.
        """
        return contingency_table(self.first.correct, self.second.correct, self.model_names)

    @cached_property
    def table(self):
        """A DataFrame of the images with different predictions, and who is correct."""
        import pandas as pd

        first, second = self.first, self.second
        rows = np.flatnonzero(first.predicted != second.predicted)
        first_name, second_name = self.model_names
        correct_names = [
            first_name if first.correct[row] else second_name if second.correct[row] else "neither" for row in rows
        ]
        return pd.DataFrame(
            {
                "image": [first.names[row] for row in rows],
                "class": first.names_of_classes(first.labels[rows]),
                "first": first.names_of_classes(first.predicted[rows]),
                "second": first.names_of_classes(second.predicted[rows]),
                "correct": correct_names,
            }
        )

    def __str__(self):
        return self.text()

    def text(self):
        """The accuracies, their difference and its significance."""
        (_, only_first), (only_second, _) = self.contingency.to_numpy()
        first, second = self.model_names
        is_significant = self.p < 1 - LEVEL
        verdict = "a significant difference" if is_significant else "no significant difference"
        return "\n".join(
            [
                f"accuracy: {first} {format_percent(self.first.accuracy)}, "
                f"{second} {format_percent(self.second.accuracy)} "
                f"on the same {len(self):,} images",
                self.difference_text(),
                f"McNemar's exact test, p = {self.p:.3g}: {verdict}",
                f"correct only in {first}: {only_first}, only in {second}: {only_second}",
            ]
        )

    def difference_text(self):
        """The difference of the accuracies with its interval, in percentage points."""
        value, low, high = (100 * number for number in self.difference)
        return f"difference {value:+.1f} percentage points ({low:+.1f} to {high:+.1f})"

    def plot(self):
        """The 2x2 contingency table as a figure."""
        from .figures import draw_contingency, single_axis_figure

        return single_axis_figure(lambda axis: draw_contingency(axis, self.contingency))

    def to_dict(self):
        """The numbers as plain data for JSON.

        "table" holds the numbers of images that both, only the first, only the second, or neither has correct.
        """
        return {
            "models": [self.first.model, self.second.model],
            "called": [*self.model_names],
            "accuracy": [to_json_data(self.first.accuracy), to_json_data(self.second.accuracy)],
            "difference": to_json_data(self.difference._asdict()),
            "p": to_json_data(self.p),
            "table": self.contingency.to_numpy().tolist(),
        }


def compare(
    first: Evaluation, second: Evaluation, *, model_names: Sequence[str] | None = None, seed: int = 0
) -> Comparison:
    """Compare two evaluations of the same images, image by image.

    The difference in accuracy has a percentile bootstrap interval over images; McNemar's exact test says whether it is
    significant.

    Args:
        first: an `Evaluation`.
        second: an `Evaluation` of the same images and labels, in any order; images are matched by name.
        model_names: names of the two classifiers; by default those of their models.
        seed: random seed of the bootstrap.

    Returns:
        A `Comparison`.
    """
    second = pair_evaluations(first, second)
    model_names = tuple(model_names or default_model_names(first.model, second.model))
    gain = first.correct.astype(np.float64) - second.correct  # 1: only the first is correct; -1: only the second
    return Comparison(
        first=first,
        second=second,
        difference=bootstrap(lambda rows: gain[rows].mean(), len(gain), seed=seed),
        p=mcnemar(int((gain > 0).sum()), int((gain < 0).sum())),
        model_names=model_names,
    )


def default_model_names(first, second):
    """The names of two models if they have different ones, else "first" and "second"."""
    return (first, second) if first and second and first != second else ("first", "second")


def pair_evaluations(first, second):
    """The second evaluation with its images in the order of the first; raises if they are of different images."""
    for argument, value in (("first", first), ("second", second)):
        if not isinstance(value, Evaluation):
            raise ValueError(f"`{argument}` should be an Evaluation. Received: {type(value).__name__}")
    if first.names != second.names:
        row_of_image = {name: row for row, name in enumerate(second.names)}
        unpaired = [name for name in first.names if name not in row_of_image]
        unpaired = unpaired or [*{*second.names} - {*first.names}]
        if unpaired:
            received = f"{len(first)} and {len(second)} images, of which {unpaired[0]} is only in one"
            raise ValueError(f"`second` should be evaluated on the same images as `first`. Received: {received}")
        names_are_unique = len(row_of_image) == len(second.names) and len({*first.names}) == len(first.names)
        if not names_are_unique or len(first) != len(second):
            raise ValueError("`names` should be unique, because the images are in another order. Received: duplicates")
        second = select_images(second, [row_of_image[name] for name in first.names])
    if first.probs.shape != second.probs.shape:
        shapes = f"{first.probs.shape[1]} and {second.probs.shape[1]}"
        raise ValueError(f"`second` should have the same number of classes as `first`. Received: {shapes} classes")
    if first.class_names and second.class_names and first.class_names != second.class_names:
        raise ValueError(
            "`second` should have the class names of `first`, in the same order. Received: other names or another order"
        )
    relabeled = np.flatnonzero(first.labels != second.labels)
    if len(relabeled):
        raise ValueError(
            f"`second` should have the same labels as `first`. Received: another label for {first.names[relabeled[0]]}"
        )
    return second


def select_images(evaluation, rows):
    """The evaluation of only these images, in this order."""
    names = tuple(evaluation.names[row] for row in rows)
    return replace(evaluation, probs=evaluation.probs[rows], labels=evaluation.labels[rows], names=names)


def contingency_table(first_correct, second_correct, classifier_names):
    """Numbers of images that are correct or wrong in the first (rows) and the second classifier (columns)."""
    import pandas as pd

    counts = [
        [int((first_correct & second_correct).sum()), int((first_correct & ~second_correct).sum())],
        [int((~first_correct & second_correct).sum()), int((~first_correct & ~second_correct).sum())],
    ]
    first_name, second_name = classifier_names
    sides = ["correct", "wrong"]
    return pd.DataFrame(counts, pd.Index(sides, name=first_name), pd.Index(sides, name=second_name))


class TTest(NamedTuple):
    """The mean difference of cross-validation scores, its interval, and the corrected t-test.

    Attributes:
        value: mean difference.
        low: lower bound of its confidence interval.
        high: upper bound.
        t: the t statistic.
        p: the two-sided p-value.
    """

    value: float
    low: float
    high: float
    t: float
    p: float


def nadeau_bengio_test(first: Array, second: Array, *, train: float, test: float, level: float = LEVEL) -> TTest:
    """Corrected t-test for two classifiers on the same cross-validation splits.

    Training sets overlap, so the variance of the mean difference is (1/k + test/train) times the variance of the
    differences (Nadeau & Bengio 2003).

    Args:
        first: scores of the first classifier on each of k splits.
        second: scores of the second classifier on the same splits.
        train: number or fraction of images for training.
        test: number or fraction of images for testing.
        level: confidence level of the interval.

    Returns:
        A `TTest`: the mean difference, its interval, t and p.
    """
    from scipy.stats import t as student

    first, second = np.asarray(first, np.float64), np.asarray(second, np.float64)
    if first.ndim != 1 or first.shape != second.shape or len(first) < 2:
        raise ValueError(f"`first` and `second` should be scores of 2 or more splits. Received: {first}, {second}")
    if not train > 0 or not test > 0:
        raise ValueError(f"`train` and `test` should be positive. Received: {train}, {test}")
    differences = first - second
    mean, k = float(differences.mean()), len(differences)
    standard_error = float(np.sqrt((1 / k + test / train) * differences.var(ddof=1)))
    half_width = standard_error * float(student.ppf((1 + check_level(level)) / 2, k - 1))
    if standard_error:
        t = mean / standard_error
    else:
        t = np.copysign(np.inf, mean) if mean else 0.0
    p = float(2 * student.sf(abs(t), k - 1))
    return TTest(value=mean, low=mean - half_width, high=mean + half_width, t=float(t), p=p)
