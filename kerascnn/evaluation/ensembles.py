"""Several classifiers as one: the mean of what they say."""

from dataclasses import dataclass, replace

import keras
import numpy as np
from scipy.special import softmax

from ..support.display import Measured
from ..support.files import records
from .compare import Comparison, compare, paired
from .evaluate import Evaluation, labeled, measured
from .statistics import LEAST, wilson

HOW = ("probabilities", "logarithms")


@dataclass(frozen=True, eq=False)
class Ensemble(Measured):
    """The ``evaluation`` of the mean of ``members``, compared with the ``best`` of them on the same images.

    The best member was chosen on these images, so the gain over it is rather too small than too large.
    """

    evaluation: Evaluation
    members: tuple
    weights: tuple
    best: int
    comparison: Comparison

    @property
    def gain(self):
        """The ensemble's accuracy less the best member's, with its interval."""
        return self.comparison.difference

    @property
    def table(self):
        """A DataFrame with a row for each member and one for the ensemble: weight, accuracy, interval, NLL, ECE."""
        import pandas as pd

        rows = []
        for name, weight, each in zip(
            [*called(self.members), "ensemble"], [*self.weights, np.nan], [*self.members, self.evaluation], strict=True
        ):
            accuracy, low, high = wilson(int(each.right.sum()), len(each))
            rows.append((name, weight, accuracy, low, high, each.nll, each.brier, each.calibration.ece))
        return pd.DataFrame(rows, columns=["member", "weight", "accuracy", "low", "high", "nll", "brier", "ece"])

    def plot(self):
        """The accuracies of members and ensemble with their intervals as a figure."""
        from .figures import draw_members, figure_of

        table = self.table
        return figure_of(lambda axis: draw_members(axis, table), (7, max(2.0, 1.2 + 0.35 * len(table))))

    def facts(self):
        """The numbers as plain data."""
        return {"members": records(self.table), "against_best": self.comparison.facts()}

    def __str__(self):
        return f"{self.table.to_string(index=False, float_format='{:.4f}'.format)}\n{self.comparison}"


def ensemble(members, weights=None, *, images=None, labels=None, part=None, how="probabilities", **options):
    """The mean of several classifiers' probabilities, or of their logarithms, as an ``Ensemble``.

    ``members`` are evaluations of the same images, or models, which `evaluate` then asks about ``images`` and
    ``labels``. ``weights`` are made to add up to 1; choose them on other images than these. The mean of logarithms is
    the geometric mean of probabilities, normalized again.
    """
    members = tuple(members)
    if not members:
        raise ValueError("`members` should be at least one model or evaluation. Received: none")
    if how not in HOW:
        raise ValueError(f"`how` should be one of {', '.join(HOW)}. Received: {how!r}")
    given = None if images is None else labeled(images, labels, part=part)
    members = tuple(asked(member, given, options) for member in members)
    members = (members[0], *(paired(members[0], member) for member in members[1:]))
    weights = shares(weights, len(members))
    mixed = np.stack([np.asarray(member.probs, np.float64) for member in members])
    mixed = mixed if how == "probabilities" else np.log(np.maximum(mixed, LEAST))
    mixed = np.tensordot(weights, mixed, axes=1)
    if how == "logarithms":
        mixed = softmax(mixed, axis=1)
    whole = replace(members[0], probs=mixed.astype(members[0].probs.dtype), model="ensemble")
    best = int(np.argmax([member.accuracy for member in members]))
    versus = compare(whole, members[best], called=("ensemble", called(members)[best]))
    return Ensemble(whole, members, tuple(weights.tolist()), best, versus)


def called(members):
    """What members are called: by their models, with a number where these do not tell them apart."""
    names = [member.model or "member" for member in members]
    return [f"{name} {i}" if names.count(name) > 1 else name for i, name in enumerate(names, start=1)]


def asked(member, given, options):
    """An evaluation, made where a model was given."""
    if isinstance(member, Evaluation):
        return member
    if not isinstance(member, keras.Model):
        raise ValueError(f"`members` should be models or evaluations. Received: {type(member).__name__}")
    if given is None:
        raise ValueError("`images` should be given where members are models. Received: None")
    return measured(member, given, **options)


def shares(weights, count):
    """Weights that add up to 1."""
    weights = np.ones(count) if weights is None else np.asarray(weights, np.float64)
    if weights.shape != (count,) or not np.isfinite(weights).all() or weights.min() < 0 or weights.sum() == 0:
        raise ValueError(f"`weights` should be {count} numbers of at least 0, not all 0. Received: {weights.tolist()}")
    return weights / weights.sum()
