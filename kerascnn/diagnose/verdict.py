"""Does the inside of a network look well trained? Judged from its activity and its filters.

Good: units sparse over images and over each other, filters smooth, structured and different (Ranzato, CVPR 2013
tutorial). Bad: units that are dead, ignore their input, or all say the same. These are signs, no proof: a network with
all of them good may still be wrong, and accuracy on held-out images decides.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ..support.display import TextResult
from .activity import Activity
from .filters import Filters

LIMITS = {  # what is looked at in each layer -> (more of it is bad, why)
    "dead units": (0.10, "the learning rate was too high, or the initialization pushes them below 0"),
    "correlated units": (0.50, "units duplicate each other: the layer is too wide, or training was too short"),
}
COLLAPSED = 1.5  # directions that the units of a layer span together, all but one
MIN_IMAGES = 30  # images, below which a silent unit says little


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class TrainingVerdict(TextResult):
    """Whether the inside of a network looks well trained.

    Attributes:
        table: DataFrame of what was checked: layer, question, value, limit, good, why.
        image_count: number of images of the activity.
    """

    table: Any
    image_count: int

    @property
    def good(self):
        """Whether nothing looks bad."""
        return bool(self.table.good.all())

    @property
    def reasons(self):
        """The rows that look bad, one line each."""
        return tuple(
            f"{row.layer}: {row.question} {row.value} (limit {row.limit}): {row.why}"
            for row in self.table[~self.table.good].itertuples()
        )

    def __str__(self):
        chance = f"up to {3 / self.image_count:.0%} of further images may still activate a silent unit"
        few = f" (only {self.image_count} images: {chance})"
        head = ("good" if self.good else "bad") + (few if self.image_count < MIN_IMAGES else "")
        return "\n".join([head, *(f"  {reason}" for reason in self.reasons)])


def training_verdict(activity: Activity, filters: Filters | Sequence[Filters] | None = None) -> TrainingVerdict:
    """Judge training from the activity of the units and the filters.

    Bad signs: more than 10 % of the units of a layer are dead, more than half of them nearly equal to another
    (|r| > 0.9), all units of a layer span a single direction, or filters have another verdict than "good".

    Args:
        activity: result of `activity`.
        filters: result of `filters` for one layer or several.

    Returns:
        A `TrainingVerdict`, with `.good` and `.reasons`.
    """
    import pandas as pd

    rows = []
    for layer in activity.table.itertuples():
        shares = {"dead units": layer.dead / layer.units, "correlated units": layer.correlated}
        for question, (limit, why) in LIMITS.items():
            share = shares[question]
            if question == "correlated units" and layer.units < 2:
                continue
            rows.append((layer.layer, question, f"{share:.0%}", f"{limit:.0%}", share <= limit, why))
        if layer.units > 2 and activity.image_count > 2:
            good = layer.participation >= COLLAPSED
            why = "all units rise and fall together: the layer passes on a single number"
            rows.append((layer.layer, "directions", f"{layer.participation:.1f}", f"{COLLAPSED:g}", good, why))
    banks: Sequence[Filters] = () if filters is None else (filters,) if isinstance(filters, Filters) else filters
    for bank in banks:
        good = bank.verdicts == ("good",)
        why = "too little training or regularization, or a poor initialization"
        rows.append((bank.layer, "filters", " and ".join(bank.verdicts), "good", good, why))
    table = pd.DataFrame(rows, columns=["layer", "question", "value", "limit", "good", "why"])
    return TrainingVerdict(table=table.astype({"good": bool}), image_count=activity.image_count)
