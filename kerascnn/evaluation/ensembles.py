"""Ensembles: the mean of the predictions of several classifiers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import keras
import numpy as np
from scipy.special import softmax

from ..support.display import MeasuredResult
from ..support.files import table_records
from ..support.text import format_percent, pluralize
from ..support.types import Array, ClassNames, Dataset, Images, Labels, Model, OnProgress, Verbose
from .compare import Comparison, compare, pair_evaluations
from .evaluate import Evaluation, evaluate_batch, load_labeled_images
from .statistics import SMALLEST_PROBABILITY, wilson

MODES = ("probabilities", "logarithms")


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Ensemble(MeasuredResult):
    """Several classifiers with averaged predictions, compared with the best of them.

    The best member is selected on the same images, so the gain is underestimated rather than overestimated.

    Attributes:
        evaluation: `Evaluation` of the ensemble.
        members: `Evaluation` of each member.
        weights: weight of each member; they add up to 1.
        best_member: index of the member with the highest accuracy.
        comparison: `Comparison` of the ensemble with the best member.
    """

    evaluation: Evaluation
    members: tuple
    weights: tuple
    best_member: int
    comparison: Comparison

    def __len__(self):
        return len(self.members)

    def __repr__(self):
        members, images = pluralize(len(self), "member"), pluralize(len(self.evaluation), "image")
        return f"<Ensemble: {members} on {images}, accuracy {format_percent(self.evaluation.accuracy)}>"

    @property
    def gain(self):
        """The ensemble's accuracy minus the best member's, with its confidence interval."""
        return self.comparison.difference

    @property
    def table(self):
        """A DataFrame with a row for each member and a last one for the ensemble."""
        import pandas as pd

        names = [*member_names(self.members), "ensemble"]
        weights = [*self.weights, np.nan]
        evaluations = [*self.members, self.evaluation]
        rows = []
        for name, weight, evaluation in zip(names, weights, evaluations, strict=True):
            accuracy, low, high = wilson(int(evaluation.correct.sum()), len(evaluation))
            rows.append(
                {
                    "member": name,
                    "weight": weight,
                    "accuracy": accuracy,
                    "low": low,
                    "high": high,
                    "nll": evaluation.nll,
                    "brier": evaluation.brier,
                    "ece": evaluation.calibration.ece,
                }
            )
        return pd.DataFrame(rows)

    def plot(self):
        """A figure of the accuracies of members and ensemble with their intervals."""
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
        weights: weight of each member, scaled to add up to 1; equal by default. Select them on other images than these.
        images: images or a dataset, as in `evaluate`; needed if members are models.
        labels: true classes of the images; None for a dataset, which has its own.
        part: split of a dataset: "test", "valid" or "train".
        mode: "probabilities" averages probabilities; "logarithms" averages their logarithms, which gives the normalized
            geometric mean.
        class_names: names of the classes of the models, as in `evaluate`.
        batch_size: images per batch.
        top: the k of the top-k accuracies.
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
        raise ValueError("`members` should have at least one model or evaluation. Received: none")
    if mode not in MODES:
        raise ValueError(f"`mode` should be one of {', '.join(MODES)}. Received: {mode!r}")
    batch = None if images is None else load_labeled_images(images, labels, part=part)
    members = tuple(evaluate_member(member, batch, options) for member in members)
    members = (members[0], *(pair_evaluations(members[0], member) for member in members[1:]))
    member_weights = normalize_weights(weights, len(members))
    probs = average_probabilities([member.probs for member in members], member_weights, mode)

    evaluation = replace(members[0], probs=probs.astype(members[0].probs.dtype), model="ensemble")
    best_member = int(np.argmax([member.accuracy for member in members]))
    best_name = member_names(members)[best_member]
    return Ensemble(
        evaluation=evaluation,
        members=members,
        weights=tuple(member_weights.tolist()),
        best_member=best_member,
        comparison=compare(evaluation, members[best_member], model_names=("ensemble", best_name)),
    )


def average_probabilities(probs, weights, mode):
    """The weighted arithmetic or, for "logarithms", the normalized geometric mean of arrays of probabilities."""
    stack = np.stack([np.asarray(member_probs, np.float64) for member_probs in probs])
    if mode == "probabilities":
        return np.tensordot(weights, stack, axes=1)
    logs = np.log(np.maximum(stack, SMALLEST_PROBABILITY))
    return softmax(np.tensordot(weights, logs, axes=1), axis=1)


def member_names(members):
    """The models' names; members whose models have the same name are numbered."""
    names = [member.model or "member" for member in members]
    return [f"{name} {i}" if names.count(name) > 1 else name for i, name in enumerate(names, start=1)]


def evaluate_member(member, batch, options):
    """The evaluation of a member: itself, or that of a model on a labeled `Batch`."""
    if isinstance(member, Evaluation):
        return member
    if not isinstance(member, keras.Model):
        raise ValueError(f"`members` should be models or evaluations. Received: {type(member).__name__}")
    if batch is None:
        raise ValueError("`images` should be given if members are models. Received: None")
    return evaluate_batch(member, batch, **options)


def normalize_weights(weights, count):
    """Scale the weights to add up to 1; None gives equal weights."""
    weights = np.ones(count) if weights is None else np.asarray(weights, np.float64)
    if weights.shape != (count,) or not np.isfinite(weights).all() or weights.min() < 0 or weights.sum() == 0:
        raise ValueError(f"`weights` should be {count} non-negative numbers, not all 0. Received: {weights.tolist()}")
    return weights / weights.sum()
