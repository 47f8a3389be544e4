"""Where a dataset lies: little or much of it, similar to what the network learned from or different; and what to do.

The rule of thumb of the courses, measured: similar where the network's last features are the best ones, different where
earlier ones are better by more than their standard error.
"""

from dataclasses import dataclass, field

import numpy as np

from ..support.display import Drawn

SIMILAR, DIFFERENT, LITTLE, MUCH = "similar", "different", "little", "much"
ENOUGH = {SIMILAR: 50, DIFFERENT: 500}  # images a class to move the last layers' weights, and all weights
WEIGHT = 10  # times that images count where the evidence says that a linear head leaves much of them unused
UNDERFIT = 0.95  # of the images learned from that are named right, below which the features cannot tell them apart
STRATEGIES = {
    (SIMILAR, LITTLE): ("linear", "layers", "finetune"),
    (DIFFERENT, LITTLE): ("interior", "layers", "linear", "finetune"),
    (SIMILAR, MUCH): ("layers", "linear", "finetune"),
    (DIFFERENT, MUCH): ("finetune", "layers", "interior", "linear"),
}
WORDS = {
    "linear": "train a linear classifier on the last features",
    "interior": "train a linear classifier on features of an earlier stage, and cut off what follows",
    "layers": "finetune the last stages, from a classifier trained first",
    "finetune": "finetune all stages, from a classifier trained first",
}


@dataclass(frozen=True, eq=False)
class Advice(Drawn):
    """What was measured, the cell of the 2x2 that it means, and the strategies in the order to try them."""

    images: float  # of a class
    best: str  # the single stage that is best
    depth: float  # where that is: 0 the first stage, 1 the last
    gap: float  # its accuracy less the last stage's
    gap_error: float  # the standard error of that, of the same images
    slope: float  # what the last doubling of the images gained
    slope_error: float
    train: float  # of the images learned from that are named right
    accuracy: float  # of images not shown
    head: str  # by which all this was judged
    similarity: str = field(init=False)
    amount: str = field(init=False)

    def __post_init__(self):
        similarity = DIFFERENT if self.depth < 1 and self.gap > self.gap_error else SIMILAR
        object.__setattr__(self, "similarity", similarity)
        object.__setattr__(self, "amount", MUCH if self.counted >= ENOUGH[similarity] else LITTLE)

    @property
    def rising(self):
        """Whether more images still help a linear classifier, beyond the standard error."""
        return bool(self.slope > self.slope_error)

    @property
    def underfit(self):
        """Whether a linear classifier cannot tell even those images apart that it learns from."""
        return self.train < UNDERFIT

    @property
    def counted(self):
        """Images of a class, each for ``WEIGHT`` where the last features are best and the curve rises, or where earlier
        ones are and cannot tell the images apart: then there is something that finetuning may gain."""
        gains = self.rising if self.similarity == SIMILAR else self.underfit
        return self.images * (WEIGHT if gains else 1)

    @property
    def score(self):
        """By how many of its standard errors the best stage is better than the last."""
        return self.gap / self.gap_error if self.gap_error else 0.0

    @property
    def strategies(self):
        """Names of strategies, the first to be tried first."""
        return STRATEGIES[self.similarity, self.amount]

    @property
    def evidence(self):
        """{what: what was measured}, in words."""
        points = lambda value, error: f"{100 * value:+.1f} points (standard error {100 * error:.1f})"  # noqa: E731
        more = "more images would help" if self.rising else "more images would hardly help a linear classifier"
        fits = "cannot tell them apart" if self.underfit else "can tell them apart"
        return {
            "best stage": f"{self.best}, at {self.depth:.0%} of the depth",
            "its lead over the last": points(self.gap, self.gap_error) if self.depth < 1 else "it is the last",
            "images a class": f"{self.images:,.0f}",
            "last doubling": f"{points(self.slope, self.slope_error)}: {more}"
            if np.isfinite(self.slope)
            else "not measured",
            "fit to what it learned": f"{self.train:.1%}: features {fits}",
            "accuracy": f"{self.accuracy:.1%} of images not shown, by {self.head}",
        }

    def plot(self):
        """The 2x2 with the dataset in it, and the evidence beside."""
        from .figures import draw_advice

        return draw_advice(self)

    def __str__(self):
        lines = [f"{self.similarity} data, {self.amount} of it:"]
        lines += [f"  {i}. {WORDS[name]} ({name})" for i, name in enumerate(self.strategies, start=1)]
        return "\n".join(lines + ["because:", *(f"  {what}: {said}" for what, said in self.evidence.items())])


def advise(table):
    """The ``Advice`` that follows from a ``ProbeTable``: single stages are compared by a linear head that all have."""
    rows = table.summary
    rows = rows[rows["stage"].isin(table.stages)]
    every = rows.groupby("head", sort=False)["stage"].nunique() == len(table.stages)
    head = table.best["head"] if every.get(table.best["head"]) else every.idxmax()
    own = rows[rows["head"] == head].set_index("stage")
    best, last = own["accuracy"].idxmax(), table.stages[-1]
    lead = table.right(best, head).astype(np.float64) - table.right(last, head)
    same = own["accuracy"][best] == own["accuracy"][last] or not lead.any()
    best = last if same else best
    lead = lead * (not same)
    curve = table.curve.iloc[-1]
    return Advice(
        images=len(table) / len(table.classes),
        best=best,
        depth=table.stages.index(best) / max(len(table.stages) - 1, 1),
        gap=float(lead.mean()),
        gap_error=float(lead.std() / np.sqrt(len(lead))),
        slope=float(curve["gain"]),
        slope_error=float(curve["error"]),
        train=float(own["train"][best]),
        accuracy=float(own["accuracy"][best]),
        head=head,
    )
