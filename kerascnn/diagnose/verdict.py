"""Does the inside of a network look as if training goes well? From its activity and its filters, with the reasons.

Good: units sparse over images and over each other, filters smooth, structured and different (Ranzato, CVPR 2013
tutorial). Bad: units that are dead, ignore their input, or all say the same. These are signs, no proof: a network with
all of them good may still be wrong, and accuracy on held-out images decides.
"""

from dataclasses import dataclass

from ..support.display import Told

LIMITS = {  # what is looked at in each layer -> (more of it is bad, why)
    "dead units": (0.10, "the learning rate was too high, or the initialization drives them below 0"),
    "correlated units": (0.50, "units repeat each other: too many of them, or too little training"),
}
COLLAPSED = 1.5  # directions that the units of a layer span together, all but one
ENOUGH = 30  # images, below which a silent unit says little


@dataclass(frozen=True)
class TrainingVerdict(Told):
    """``table``: layer, question, value, limit, good, why. ``good`` is True where no row is bad."""

    table: object
    images: int

    @property
    def good(self):
        """Whether nothing looks bad."""
        return bool(self.table.good.all())

    @property
    def reasons(self):
        """The rows that look bad, one line each."""
        return tuple(
            f"{row.layer}: {row.question} {row.value}, limit {row.limit}: {row.why}"
            for row in self.table[~self.table.good].itertuples()
        )

    def __str__(self):
        few = f" ({self.images} images are few: up to {3 / self.images:.0%} may still wake a silent unit)"
        head = ("good" if self.good else "bad") + (few if self.images < ENOUGH else "")
        return "\n".join([head, *(f"  {reason}" for reason in self.reasons)])


def training_verdict(activity, filters=None):
    """Good or bad, from what `activity` found and the `filters` of a layer or several: `TrainingVerdict`.

    Bad: more than 10 % of a layer's units dead, more than half of them nearly equal to another (|r| > 0.9), all of a
    layer spanning a single direction, or filters with any verdict but "good".
    """
    import pandas as pd

    rows = []
    for layer in activity.layers.itertuples():
        shares = {"dead units": layer.dead / layer.units, "correlated units": layer.correlated}
        for question, (limit, why) in LIMITS.items():
            share = shares[question]
            if question == "correlated units" and layer.units < 2:
                continue
            rows.append((layer.layer, question, f"{share:.0%}", f"{limit:.0%}", share <= limit, why))
        if layer.units > 2 and activity.images > 2:
            good = layer.participation >= COLLAPSED
            why = "all units rise and fall together: the layer passes one number on"
            rows.append((layer.layer, "directions", f"{layer.participation:.1f}", f"{COLLAPSED:g}", good, why))
    found = filters if isinstance(filters, list | tuple) else [filters] if filters is not None else []
    for bank in found:
        good = bank.verdicts == ("good",)
        why = "too little training or regularization, or a bad start"
        rows.append((bank.layer, "filters", " and ".join(bank.verdicts), "good", good, why))
    table = pd.DataFrame(rows, columns=["layer", "question", "value", "limit", "good", "why"])
    return TrainingVerdict(table.astype({"good": bool}), activity.images)
