"""Ensembles: the mean of the predictions of several classifiers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import keras
import numpy as np
from scipy.special import softmax

from ..support.display import MeasuredResult
from ..support.files import table_records
from ..support.types import Array, ClassNames, Dataset, Images, Labels, Model, OnProgress, Verbose
from .compare import Comparison, compare, pair_evaluations
from .evaluate import Evaluation, evaluate_batch, load_labeled_images
from .statistics import SMALLEST_PROBABILITY, wilson

MODES = ("probabilities", "logarithms")


@dataclass(frozen=True, eq=False)
class Ensemble(MeasuredResult):
    """Several classifiers as one, compared with the best of them.

    The best member is chosen on the same images, so the gain is underestimated rather than overestimated.

    Attributes:
        evaluation: `Evaluation` of the ensemble.
        members: `Evaluation` of each member.
        weights: weight of each member; they add up to 1.
        best: index of the member with the highest accuracy.
        comparison: `Comparison` of the ensemble with the best member.
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
        """A DataFrame with a row for each member and for the ensemble."""
        import pandas as pd

        rows = []
        for name, weight, each in zip(
            [*member_names(self.members), "ensemble"],
            [*self.weights, np.nan],
            [*self.members, self.evaluation],
            strict=True,
        ):
            accuracy, low, high = wilson(int(each.correct.sum()), len(each))
            rows.append((name, weight, accuracy, low, high, each.nll, each.brier, each.calibration.ece))
        return pd.DataFrame(rows, columns=["member", "weight", "accuracy", "low", "high", "nll", "brier", "ece"])

    def plot(self):
        """The accuracies of members and ensemble with their intervals as a figure."""
        from .figures import draw_members, single_axis_figure

        table = self.table
        return single_axis_figure(lambda axis: draw_members(axis, table), (7, max(2.0, 1.2 + 0.35 * len(table))))

    def to_dict(self):
        """The numbers as plain data."""
        return {"members": table_records(self.table), "against_best": self.comparison.to_dict()}

    def __str__(self):
        return f"{self.table.to_string(index=False, float_format='{:.4f}'.format)}\n{self.comparison}"


def ensemble(
    members: Sequence[Evaluation | Model],
    weights: Sequence[float] | Array | None = None,
    *,
    images: Images | Dataset | None = None,
    labels: Labels | None = None,
    part: str | None = None,
    mode: str = "probabilities",
    class_names: ClassNames | None = None,
    batch_size: int = 64,
    top: Sequence[int] = (1, 5),
    preprocess: Callable | None = None,
    verbose: Verbose = "auto",
    on_progress: OnProgress | None = None,
) -> Ensemble:
    """Average the predictions of several classifiers and evaluate the result.

    Args:
        members: evaluations of the same images, or models, which are evaluated on `images`.
        weights: weight of each member, made to add up to 1; choose them on other images than these.
        images: images or a dataset, as in `evaluate`; needed if members are models.
        labels: true classes of the images; None for a dataset, which has its own.
        part: split of a dataset: "test", "valid" or "train".
        mode: "probabilities" is their mean; "logarithms" their geometric mean, normalized.
        class_names: names of the classes of the models, as in `evaluate`.
        batch_size: images per batch.
        top: ranks for top-k accuracies.
        preprocess: function from a batch of pixels, 0 to 255, to what the models expect.
        verbose: "auto", 0 (silent), 1 (progress bar) or 2 (lines).
        on_progress: called as `on_progress(done, total, what)`; it may raise an exception to stop.

    Returns:
        An `Ensemble`.
    """
    options = {
        "class_names": class_names,
        "batch_size": batch_size,
        "top": top,
        "preprocess": preprocess,
        "verbose": verbose,
        "on_progress": on_progress,
    }
    members = tuple(members)
    if not members:
        raise ValueError("`members` should contain at least one model or evaluation. Received: none")
    if mode not in MODES:
        raise ValueError(f"`mode` should be one of {', '.join(MODES)}. Received: {mode!r}")
    given = None if images is None else load_labeled_images(images, labels, part=part)
    members = tuple(evaluate_member(member, given, options) for member in members)
    members = (members[0], *(pair_evaluations(members[0], member) for member in members[1:]))
    shares = normalize_weights(weights, len(members))
    mixed = np.stack([np.asarray(member.probs, np.float64) for member in members])
    mixed = mixed if mode == "probabilities" else np.log(np.maximum(mixed, SMALLEST_PROBABILITY))
    mixed = np.tensordot(shares, mixed, axes=1)
    if mode == "logarithms":
        mixed = softmax(mixed, axis=1)
    whole = replace(members[0], probs=mixed.astype(members[0].probs.dtype), model="ensemble")
    best = int(np.argmax([member.accuracy for member in members]))
    versus = compare(whole, members[best], model_names=("ensemble", member_names(members)[best]))
    return Ensemble(whole, members, tuple(shares.tolist()), best, versus)


def member_names(members):
    """What members are called: by their models, with a number where these do not tell them apart."""
    names = [member.model or "member" for member in members]
    return [f"{name} {i}" if names.count(name) > 1 else name for i, name in enumerate(names, start=1)]


def evaluate_member(member, given, options):
    """An evaluation, made where a model was given."""
    if isinstance(member, Evaluation):
        return member
    if not isinstance(member, keras.Model):
        raise ValueError(f"`members` should be models or evaluations. Received: {type(member).__name__}")
    if given is None:
        raise ValueError("`images` should be given if members are models. Received: None")
    return evaluate_batch(member, given, **options)


def normalize_weights(weights, count):
    """Weights that add up to 1."""
    weights = np.ones(count) if weights is None else np.asarray(weights, np.float64)
    if weights.shape != (count,) or not np.isfinite(weights).all() or weights.min() < 0 or weights.sum() == 0:
        raise ValueError(f"`weights` should be {count} non-negative numbers, not all 0. Received: {weights.tolist()}")
    return weights / weights.sum()
