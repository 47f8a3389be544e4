"""Two classifiers on the same images: who is better, and can one tell?"""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np

from ..support.display import Measured
from ..support.files import plain
from ..support.text import percent
from .evaluate import Evaluation
from .statistics import LEVEL, Interval, bootstrap, checked, mcnemar


@dataclass(frozen=True, eq=False)
class Comparison(Measured):
    """Two evaluations of the same images in the same order: ``difference`` is first less second, with its interval."""

    first: Evaluation
    second: Evaluation
    difference: Interval
    p: float
    called: tuple = ("first", "second")

    @property
    def table(self):
        """The 2x2 DataFrame of images that both, one or none of them has right."""
        return two_by_two(self.first.right, self.second.right, *self.called)

    @cached_property
    def differ(self):
        """A DataFrame of the images that get different answers: who says what, and who is right."""
        import pandas as pd

        one, two = self.first, self.second
        rows = np.flatnonzero(one.predicted != two.predicted)
        words = np.array(["neither", self.called[1], self.called[0]])
        table = {
            "image": [one.names[i] for i in rows],
            "class": [one.class_name(int(one.labels[i])) for i in rows],
            "first": [one.class_name(int(one.predicted[i])) for i in rows],
            "second": [one.class_name(int(two.predicted[i])) for i in rows],
            "right": words[2 * one.right[rows] + two.right[rows]],
        }
        return pd.DataFrame(table)

    def __str__(self):
        return self.text()

    def text(self):
        """The comparison in words."""
        (_, only_first), (only_second, _) = self.table.to_numpy()
        gap = Interval(*(100 * value for value in self.difference))
        better = "no difference that chance cannot explain" if self.p >= 1 - LEVEL else "a difference beyond chance"
        return "\n".join(
            [
                f"{self.called[0]} {percent(self.first.accuracy)}, {self.called[1]} {percent(self.second.accuracy)} "
                f"of the same {len(self.first):,} images",
                f"difference {gap.value:+.1f} points ({gap.low:+.1f} to {gap.high:+.1f})",
                f"McNemar's exact p = {self.p:.3g}: {better}",
                f"only {self.called[0]} right: {only_first}, only {self.called[1]} right: {only_second}",
            ]
        )

    def plot(self):
        """The 2x2 table as a figure."""
        from .figures import draw_cells, figure_of

        return figure_of(lambda axis: draw_cells(axis, self.table))

    def rows(self):
        """The images that get different answers."""
        return self.differ

    def facts(self):
        """The numbers as plain data; the 2x2 table has both right, only the first, only the second, none."""
        return {
            "models": [self.first.model, self.second.model],
            "called": [*self.called],
            "accuracy": [plain(self.first.accuracy), plain(self.second.accuracy)],
            "difference": plain(self.difference._asdict()),
            "p": plain(self.p),
            "table": self.table.to_numpy().tolist(),
        }


def compare(first, second, *, called=None, seed=0):
    """Two evaluations, paired image by image: a ``Comparison``.

    They have to be of the same images with the same labels, told by their names, in any order. The interval of the
    difference is the bootstrap's over images; p is McNemar's exact one.
    """
    second = paired(first, second)
    called = tuple(called or distinct(first.model, second.model))
    gain = first.right.astype(np.float64) - second.right
    difference = bootstrap(lambda some: gain[some].mean(), len(gain), seed=seed)
    p = mcnemar(int((gain > 0).sum()), int((gain < 0).sum()))
    return Comparison(first, second, difference, p, called)


def distinct(first, second):
    """What two classifiers are called, by their models where these differ."""
    return (first, second) if first and second and first != second else ("first", "second")


def paired(first, second):
    """The second evaluation in the order of the first, if it is of the same images."""
    for name, given in (("first", first), ("second", second)):
        if not isinstance(given, Evaluation):
            raise ValueError(f"`{name}` should be an Evaluation. Received: {type(given).__name__}")
    if first.names != second.names:
        place = {name: i for i, name in enumerate(second.names)}
        alone = [name for name in first.names if name not in place] or [*{*second.names} - {*first.names}]
        if alone:
            came = f"{len(first)} and {len(second)}, of which only one has {alone[0]}"
            raise ValueError(f"`second` should be of the same images as `first`. Received: {came}")
        if len(place) < len(second.names) or len({*first.names}) < len(first.names) or len(first) != len(second):
            raise ValueError("`names` should be unique to pair images in another order. Received: some twice")
        second = taken(second, [place[name] for name in first.names])
    if first.probs.shape != second.probs.shape:
        shapes = f"{first.probs.shape[1]} and {second.probs.shape[1]}"
        raise ValueError(f"`second` should know the same classes as `first`. Received: {shapes} classes")
    if first.classes and second.classes and first.classes != second.classes:
        raise ValueError("`second` should name its classes as `first` does. Received: other names or another order")
    wrong = np.flatnonzero(first.labels != second.labels)
    if len(wrong):
        raise ValueError(f"`second` should have the labels of `first`. Received: another for {first.names[wrong[0]]}")
    return second


def taken(evaluation, rows):
    """Some images of an evaluation."""
    names = tuple(evaluation.names[i] for i in rows)
    return replace(evaluation, probs=evaluation.probs[rows], labels=evaluation.labels[rows], names=names)


def two_by_two(first, second, one, two):
    """Counts of images by whether each of two has them right."""
    import pandas as pd

    cells = [[int((first & second).sum()), int((first & ~second).sum())]]
    cells += [[int((~first & second).sum()), int((~first & ~second).sum())]]
    sides = ["right", "wrong"]
    return pd.DataFrame(cells, pd.Index(sides, name=one), pd.Index(sides, name=two))


class Corrected(NamedTuple):
    """The mean difference of cross-validation scores, its interval, and the corrected t-test."""

    value: float
    low: float
    high: float
    t: float
    p: float


def corrected_t(first, second, *, train, test, level=LEVEL):
    """Nadeau and Bengio's t-test (2003) of two classifiers' scores on the same k splits into ``train`` and ``test``.

    Training sets overlap, so the variance of the mean difference is (1/k + test/train) of the differences' variance;
    ``train`` and ``test`` are numbers of images, or shares.
    """
    from scipy.stats import t as student

    first, second = np.asarray(first, np.float64), np.asarray(second, np.float64)
    if first.ndim != 1 or first.shape != second.shape or len(first) < 2:
        raise ValueError(f"`first` and `second` should be scores of 2 or more splits. Received: {first}, {second}")
    if not train > 0 or not test > 0:
        raise ValueError(f"`train` and `test` should be above 0. Received: {train}, {test}")
    gaps = first - second
    mean, k = float(gaps.mean()), len(gaps)
    spread = float(np.sqrt((1 / k + test / train) * gaps.var(ddof=1)))
    half = spread * float(student.ppf((1 + checked(level)) / 2, k - 1))
    t = mean / spread if spread else np.copysign(np.inf, mean) if mean else 0.0
    return Corrected(mean, mean - half, mean + half, float(t), float(2 * student.sf(abs(t), k - 1)))
