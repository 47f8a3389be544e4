"""Two classifiers on the same images: which is better, and is the difference significant?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np

from ..support.display import MeasuredResult
from ..support.files import to_json_data
from ..support.text import format_percent
from ..support.types import Array
from .evaluate import Evaluation
from .statistics import LEVEL, Interval, bootstrap, check_level, mcnemar


@dataclass(frozen=True, eq=False)
class Comparison(MeasuredResult):
    """Two classifiers compared on the same images.

    Attributes:
        first: `Evaluation` of the first classifier.
        second: `Evaluation` of the second classifier, in the same order of images.
        difference: accuracy of the first minus that of the second, with its interval.
        p: McNemar's exact p-value.
        model_names: names of the two classifiers.
    """

    first: Evaluation
    second: Evaluation
    difference: Interval
    p: float
    model_names: tuple = ("first", "second")

    @property
    def table(self):
        """The 2x2 DataFrame of images that both, one or none of them has right."""
        return contingency_table(self.first.correct, self.second.correct, *self.model_names)

    @cached_property
    def disagreements(self):
        """A DataFrame of the images with different predictions, and which is right."""
        import pandas as pd

        one, two = self.first, self.second
        rows = np.flatnonzero(one.predicted != two.predicted)
        words = np.array(["neither", self.model_names[1], self.model_names[0]])
        table = {
            "image": [one.names[i] for i in rows],
            "class": [one.class_name(int(one.labels[i])) for i in rows],
            "first": [one.class_name(int(one.predicted[i])) for i in rows],
            "second": [one.class_name(int(two.predicted[i])) for i in rows],
            "right": words[2 * one.correct[rows] + two.correct[rows]],
        }
        return pd.DataFrame(table)

    def __str__(self):
        return self.text()

    def text(self):
        """The comparison in words."""
        (_, only_first), (only_second, _) = self.table.to_numpy()
        first, second = self.model_names
        gap = Interval(*(100 * value for value in self.difference))
        better = "no significant difference" if self.p >= 1 - LEVEL else "a significant difference"
        return "\n".join(
            [
                f"accuracy: {first} {format_percent(self.first.accuracy)}, "
                f"{second} {format_percent(self.second.accuracy)} "
                f"on the same {len(self.first):,} images",
                f"difference {gap.value:+.1f} percentage points ({gap.low:+.1f} to {gap.high:+.1f})",
                f"McNemar's exact test, p = {self.p:.3g}: {better}",
                f"correct only in {first}: {only_first}, only in {second}: {only_second}",
            ]
        )

    def plot(self):
        """The 2x2 table as a figure."""
        from .figures import draw_cells, single_axis_figure

        return single_axis_figure(lambda axis: draw_cells(axis, self.table))

    def rows(self):
        """The images that get different answers."""
        return self.disagreements

    def to_dict(self):
        """The numbers as plain data.

        The 2x2 table counts images that both, only the first, only the second or none has right.
        """
        return {
            "models": [self.first.model, self.second.model],
            "called": [*self.model_names],
            "accuracy": [to_json_data(self.first.accuracy), to_json_data(self.second.accuracy)],
            "difference": to_json_data(self.difference._asdict()),
            "p": to_json_data(self.p),
            "table": self.table.to_numpy().tolist(),
        }


def compare(
    first: Evaluation, second: Evaluation, *, model_names: Sequence[str] | None = None, seed: int = 0
) -> Comparison:
    """Compare two evaluations of the same images, image by image.

    The interval of the difference is the percentile bootstrap's over images; p is McNemar's exact one.

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
    gain = first.correct.astype(np.float64) - second.correct
    difference = bootstrap(lambda some: gain[some].mean(), len(gain), seed=seed)
    p = mcnemar(int((gain > 0).sum()), int((gain < 0).sum()))
    return Comparison(first, second, difference, p, model_names)


def default_model_names(first, second):
    """What two classifiers are called, by their models where these differ."""
    return (first, second) if first and second and first != second else ("first", "second")


def pair_evaluations(first, second):
    """The second evaluation in the order of the first, if it is of the same images."""
    for name, given in (("first", first), ("second", second)):
        if not isinstance(given, Evaluation):
            raise ValueError(f"`{name}` should be an Evaluation. Received: {type(given).__name__}")
    if first.names != second.names:
        place = {name: i for i, name in enumerate(second.names)}
        alone = [name for name in first.names if name not in place] or [*{*second.names} - {*first.names}]
        if alone:
            came = f"{len(first)} and {len(second)} images, of which {alone[0]} is only in one"
            raise ValueError(f"`second` should be evaluated on the same images as `first`. Received: {came}")
        if len(place) < len(second.names) or len({*first.names}) < len(first.names) or len(first) != len(second):
            raise ValueError("`names` should be unique, because the images are in another order. Received: duplicates")
        second = select_images(second, [place[name] for name in first.names])
    if first.probs.shape != second.probs.shape:
        shapes = f"{first.probs.shape[1]} and {second.probs.shape[1]}"
        raise ValueError(f"`second` should have the same number of classes as `first`. Received: {shapes} classes")
    if first.class_names and second.class_names and first.class_names != second.class_names:
        raise ValueError(
            "`second` should have the class names of `first`, in the same order. Received: other names or another order"
        )
    wrong = np.flatnonzero(first.labels != second.labels)
    if len(wrong):
        raise ValueError(
            f"`second` should have the same labels as `first`. Received: another label for {first.names[wrong[0]]}"
        )
    return second


def select_images(evaluation, rows):
    """Some images of an evaluation."""
    names = tuple(evaluation.names[i] for i in rows)
    return replace(evaluation, probs=evaluation.probs[rows], labels=evaluation.labels[rows], names=names)


def contingency_table(first, second, one, two):
    """Counts of images by whether each of two has them right."""
    import pandas as pd

    cells = [[int((first & second).sum()), int((first & ~second).sum())]]
    cells += [[int((~first & second).sum()), int((~first & ~second).sum())]]
    sides = ["right", "wrong"]
    return pd.DataFrame(cells, pd.Index(sides, name=one), pd.Index(sides, name=two))


class TTest(NamedTuple):
    """The mean difference of cross-validation scores, its interval, and the corrected t-test."""

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
    gaps = first - second
    mean, k = float(gaps.mean()), len(gaps)
    spread = float(np.sqrt((1 / k + test / train) * gaps.var(ddof=1)))
    half = spread * float(student.ppf((1 + check_level(level)) / 2, k - 1))
    t = mean / spread if spread else np.copysign(np.inf, mean) if mean else 0.0
    return TTest(mean, mean - half, mean + half, float(t), float(2 * student.sf(abs(t), k - 1)))
