"""Advice on transfer learning: how large the dataset is, how similar to the pretraining data, and what to try first.

The usual rule of thumb, with measurements in place of judgment: the data count as different from the pretraining data
if features of an earlier stage are more accurate than the last ones by more than the standard error, else as similar.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from ..support.display import FigureResult
from ..support.text import format_percent
from .taps import stage_label

if TYPE_CHECKING:
    from .probes import ProbeTable

SIMILAR, DIFFERENT, LITTLE, MUCH = "similar", "different", "little", "much"
ENOUGH_IMAGES = {SIMILAR: 50, DIFFERENT: 500}  # images per class for fine-tuning the last layers, and all layers
UNDERFIT = 0.95  # training accuracy below which the features do not separate the classes
TRIED_STRATEGIES = "Strategies in the order recommended before trying, and what became of them:"
STRATEGIES = {
    (SIMILAR, LITTLE): ("linear", "layers", "finetune"),
    (DIFFERENT, LITTLE): ("interior", "layers", "linear", "finetune"),
    (SIMILAR, MUCH): ("layers", "linear", "finetune"),
    (DIFFERENT, MUCH): ("finetune", "layers", "interior", "linear"),
}
STRATEGY_TEXTS = {
    "linear": "train a linear classifier on the last features",
    "interior": "train a linear classifier on earlier stages, which may truncate the network",
    "layers": "train a classifier, then fine-tune the last stages",
    "finetune": "train a classifier, then fine-tune all stages",
}


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class Advice(FigureResult):
    """What to try on a dataset, in which order, and the measurements behind it.

    Attributes:
        images_per_class: Mean number of images per class.
        best_stage: Single stage with the highest held-out accuracy.
        depth: Where that stage is: 0 is the first stage, 1 the last.
        advantage: Held-out accuracy of the best stage minus that of the last stage.
        advantage_error: Standard error of ``advantage``, paired by image.
        slope: Accuracy gained by the last doubling of the training images; NaN if not measured.
        slope_error: Standard error of ``slope``.
        train_accuracy: Accuracy of the best stage on the training images.
        accuracy: Accuracy of the best stage on held-out images.
        head: Name of the linear classifier on the best stage alone, which the accuracies are of.
        backbone: Name of the network; "" if unknown.
        curve_classifier: Classifier that ``slope`` is of: the best of all, often on several stages.
        curve_train_accuracy: Its accuracy on the training images; NaN if not measured.
        similarity: "similar" or "different", derived from the evidence.
        amount: "little" or "much", by ``images_per_class``: 50 are many if the data are similar, 500 if different.
    """

    images_per_class: float
    best_stage: str
    depth: float
    advantage: float
    advantage_error: float
    slope: float
    slope_error: float
    train_accuracy: float
    accuracy: float
    head: str
    backbone: str = ""
    curve_classifier: str = "the best linear classifier"
    curve_train_accuracy: float = np.nan
    similarity: str = field(init=False)
    amount: str = field(init=False)

    def __post_init__(self):
        similarity = DIFFERENT if self.depth < 1 and self.advantage > self.advantage_error else SIMILAR
        object.__setattr__(self, "similarity", similarity)
        object.__setattr__(self, "amount", MUCH if self.images_per_class >= ENOUGH_IMAGES[similarity] else LITTLE)

    @property
    def more_images_help(self):
        """Whether more images still improve a linear classifier."""
        return bool(self.slope > self.slope_error)

    @property
    def is_underfit(self):
        """Whether a linear classifier cannot even fit its training images."""
        return self.train_accuracy < UNDERFIT

    @property
    def finetuning_may_gain(self):
        """Whether the evidence promises a gain from fine-tuning, even of few images.

        That is so where the last features are best and more images still help, or where earlier features are best and
        do not separate the classes.
        """
        return self.more_images_help if self.similarity == SIMILAR else self.is_underfit

    @property
    def remark(self):
        """A sentence on fine-tuning with few images; empty if no gain is expected."""
        if self.amount == MUCH or not self.finetuning_may_gain:
            return ""
        if self.similarity == SIMILAR:
            return "Fine-tuning may pay although the images are few, because more images still raise the accuracy."
        return "Fine-tuning may pay although the images are few, because the best stage does not separate the classes."

    @property
    def z_score(self):
        """Advantage of the best stage over the last in standard errors."""
        return self.advantage / self.advantage_error if self.advantage_error else 0.0

    @property
    def strategies(self):
        """Names of the strategies, in the order to try them."""
        return STRATEGIES[self.similarity, self.amount]

    @property
    def evidence(self):
        """The measurements in words: {what was measured: its value}."""

        def points(value, error):
            return f"{100 * value:+.1f} percentage points (standard error {100 * error:.1f})"

        lead = "none, it is the last stage"
        if self.depth < 1:
            border = "more" if self.similarity == DIFFERENT else "not more"
            lead = f"{points(self.advantage, self.advantage_error)}: {border} than one standard error"
        gain = "not measured"
        if np.isfinite(self.slope):
            effect = "would raise" if self.more_images_help else "would hardly raise"
            gain = f"{points(self.slope, self.slope_error)} for {self.curve_classifier}; more images {effect} it"
        enough = ENOUGH_IMAGES[self.similarity]
        alone = f"{self.head} on {self.best_stage} alone"
        return {
            "best single stage": f"{self.best_stage}, at {100 * self.depth:.0f} % of the network's depth",
            "its lead in accuracy over the last stage": lead,
            "images per class": f"{self.images_per_class:,.0f}; for {self.similarity} data, {enough} or more are many",
            "accuracy on held-out images": f"{format_percent(self.accuracy)} for {alone}",
            "accuracy on its training images": f"{format_percent(self.train_accuracy)} for {alone}, {self._separation}",
            "gain in accuracy from the last doubling of images": gain,
        }

    @property
    def _separation(self):
        """Whether the best stage alone separates the classes, in words."""
        limit = f"{100 * UNDERFIT:.0f} %"
        if not self.is_underfit:
            return f"{limit} or more: this stage separates the classes"
        text = f"below {limit}: this stage alone does not separate the classes"
        if self.curve_train_accuracy >= UNDERFIT:
            return f"{text}; {format_percent(self.curve_train_accuracy)} for {self.curve_classifier}"
        return text

    def plot(self):
        """Draw the four quadrants with the dataset as a dot, and the evidence."""
        from .figures import draw_advice

        return draw_advice(self)

    def _headline(self):
        return f"{self.similarity} data, {self.images_per_class:.0f} images per class: {', '.join(self.strategies)}"

    def __str__(self):
        return "\n".join(advice_lines(self))


def advice_lines(advice, outcomes=None):
    """The advice as lines of text; ``outcomes`` are sentences on what became of the strategies, by name."""
    yield describe_dataset(advice)
    if outcomes is None:
        yield from filter(None, [advice.remark])
        yield "Strategies, the most promising first:"
    else:
        yield TRIED_STRATEGIES
    for i, name in enumerate(advice.strategies, start=1):
        yield f"  {i}. {STRATEGY_TEXTS[name]}"
        if outcomes is not None:
            yield f"     {outcomes[name]}"
    yield "Evidence:"
    yield from (f"  {name}: {value}" for name, value in advice.evidence.items())


def describe_dataset(advice):
    """The similarity and the size of the dataset in one sentence."""
    pretraining = "similar to" if advice.similarity == SIMILAR else "different from"
    network = f" of {advice.backbone}" if advice.backbone else ""
    amount = "few" if advice.amount == LITTLE else "many"
    return (
        f"The data are {pretraining} the pretraining data{network}, with {amount} images per class "
        f"({advice.images_per_class:,.0f} for training)."
    )


def advise(table: ProbeTable) -> Advice:
    """Advise on what to try, from the accuracy of the probes.

    Single stages are compared by the best linear head that was trained on all of them.

    Args:
        table: `ProbeTable` from `train_probes`, with a learning curve.

    Returns:
        An `Advice`.
    """
    rows = table.summary
    rows = rows[rows["stage"].isin(table.stages)]
    on_all_stages = rows.groupby("head", sort=False)["stage"].nunique() == len(table.stages)
    head = table.best["head"] if on_all_stages.get(table.best["head"]) else on_all_stages.idxmax()
    rows = rows[rows["head"] == head].set_index("stage")

    best, last = rows["accuracy"].idxmax(), table.stages[-1]
    advantage = table.correct(best, head).astype(np.float64) - table.correct(last, head)
    if rows["accuracy"][best] == rows["accuracy"][last] or not advantage.any():
        best, advantage = last, 0 * advantage

    curve, drawn = table.curve.iloc[-1], table.best
    return Advice(
        images_per_class=len(table) / len(table.class_names),
        best_stage=best,
        depth=table.stages.index(best) / max(len(table.stages) - 1, 1),
        advantage=float(advantage.mean()),
        advantage_error=float(advantage.std() / np.sqrt(len(advantage))),
        slope=float(curve["gain"]),
        slope_error=float(curve["error"]),
        train_accuracy=float(rows["train"][best]),
        accuracy=float(rows["accuracy"][best]),
        head=head,
        backbone=table.model,
        curve_classifier=f"{drawn['head']} on {stage_label(drawn['stage'])}",
        curve_train_accuracy=float(curve["train"]),
    )
