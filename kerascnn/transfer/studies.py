"""What a study found: tables, the network that was chosen, and how far to trust it."""

import json
from dataclasses import dataclass, field
from pathlib import Path

import keras

from ..data import Data
from ..drawn import Drawn
from ..evaluation import Comparison, Evaluation
from ..files import replacing
from .advice import Advice
from .choosing import Candidate, lead
from .probes import ProbeTable

MODEL, LABELS, TABLE, POINTS = "model.keras", "labels.json", "table.csv", "points.csv"
REPORT, CARD = "report.html", "study.json"
COLUMNS = [
    "name", "kind", "backbone", "stage", "head", "penalty", "views", "freeze", "rate", "augment", "epochs", "accuracy",
    "low", "high", "images", "lead", "lead_error", "macs", "seconds", "chosen",
]  # fmt: skip
NAIVE = {"epochs": 10, "rates": 4, "augmentations": 3}


@dataclass(frozen=True, eq=False, repr=False)
class Study(Drawn):
    """The evidence, and the ``model`` that was ``chosen`` of the ``candidates``.

    ``probes`` has a ``ProbeTable`` for each backbone, ``best`` is the best one's. ``outcomes`` are the points of the
    grid. ``tested`` and ``usual_tested`` are ``Evaluation``s on the locked test, of the model and of the ``usual`` way,
    a linear classifier on the last features; ``compared`` says how they differ. None where there is no test.
    """

    data: Data
    probes: tuple = field(repr=False)
    best: ProbeTable
    advice: Advice
    candidates: tuple = field(repr=False)
    outcomes: tuple = field(repr=False)
    chosen: Candidate
    usual: Candidate
    model: keras.Model
    facts: dict
    tested: Evaluation | None = None
    usual_tested: Evaluation | None = None
    compared: Comparison | None = None

    @property
    def table(self):
        """A DataFrame with a row for each candidate, the best first: how it was made, accuracy on images not shown.

        ``lead`` is over the chosen one, of the ``images`` that judged both, with its standard error.
        """
        import pandas as pd

        rows = []
        for each in self.candidates:
            gap, error = lead(each, self.chosen)
            rows.append(each.row | {"lead": gap, "lead_error": error, "chosen": each is self.chosen})
        return pd.DataFrame(rows, columns=COLUMNS).sort_values(
            "accuracy", ascending=False, kind="stable", ignore_index=True
        )

    @property
    def points(self):
        """A DataFrame with a row for each point of the grid in the order they were tried, failed ones too."""
        import pandas as pd

        return pd.DataFrame([each.row for each in self.outcomes])

    def best_model(self):
        """The network that was chosen, from pixels 0..255 to probabilities that mean what they say."""
        return self.model

    def export(self, path, **how):
        """Write the network for others to run, as `kerascnn.export` does."""
        from ..exporting import export

        return export(self.model, path, classes=self.data.classes, **{"facts": {"study": self.card}} | how)

    @property
    def card(self):
        """The numbers as JSON holds them."""
        found = {"data": self.data.name, "classes": len(self.data.classes), "learnt from": len(self.data.train)}
        found |= {"chosen": self.chosen.row, "advice": [self.advice.similarity, self.advice.amount]}
        if self.tested is not None:
            gap = self.compared.difference
            found |= {"test": measured(self.tested), "test of the usual way": measured(self.usual_tested)}
            found |= {"difference": {"value": gap.value, "low": gap.low, "high": gap.high, "p": self.compared.p}}
        return json.loads(json.dumps(found | self.facts, default=lambda value: value.item()))

    def plot(self):
        """Candidates by accuracy with intervals, and the grid."""
        from .study_figures import draw_study

        return draw_study(self)

    def report(self, path):
        """Write all of it as one HTML file that needs no other."""
        from .reporting import written

        return written(self, path)

    def save(self, folder):
        """Write the network, the tables, the card and the report into a folder; return their paths."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        writers = {
            MODEL: self.model.save,
            LABELS: lambda path: path.write_text(json.dumps(self.data.classes)),
            TABLE: lambda path: self.table.to_csv(path, index=False),
            POINTS: lambda path: self.points.to_csv(path, index=False),
            CARD: lambda path: path.write_text(json.dumps(self.card, indent=1)),
        }
        for name, write in writers.items():
            with replacing(folder / name) as draft:
                write(draft)
        self.report(folder / REPORT)
        return {name: folder / name for name in (*writers, REPORT)}

    def __repr__(self):
        tested = "no test" if self.tested is None else f"locked test {self.tested.interval['accuracy']}"
        counts = f"{len(self.candidates)} candidates, {len(self.outcomes)} points"
        return f"<Study {self.data.name}: {counts}, chosen {self.chosen.name}, {tested}>"

    def __str__(self):
        lines = [f"{self.data}", f"chosen: {self.chosen.name}, {self.chosen.accuracy:.1%} of images not shown"]
        if self.tested is not None:
            lines += [f"locked test: {self.tested.interval['accuracy']}", self.compared.text()]
        return "\n".join([*lines, str(self.advice)])


def measured(evaluation):
    """Accuracy with its interval, and what else is said of a test."""
    value, low, high = evaluation.interval["accuracy"]
    found = {
        "images": len(evaluation),
        "right": int(evaluation.right.sum()),
        "accuracy": value,
        "low": low,
        "high": high,
    }
    found |= {"balanced": evaluation.balanced, "macro_f1": evaluation.macro_f1, "nll": evaluation.nll}
    return found | {"ece": evaluation.calibration.ece}


def naive(probed, outcomes):
    """Seconds that a grid of 48 points would take that runs all layers in each of ten epochs: an estimate.

    4 depths, 4 rates, 3 augmentations. By the fastest epoch that was measured, else by three times a pass; frozen
    layers are spared the backward pass.
    """
    whole = [row["seconds"] for each in outcomes if not each.point.freeze for row in each.history if row["seconds"]]
    forward = min(whole, default=3 * probed.seconds["features"]) / 3
    shares = [1 + 2 * share for share in (0, 1 / 3, 2 / 3, 1)]  # forward through all, backward through what learns
    return NAIVE["epochs"] * NAIVE["rates"] * NAIVE["augmentations"] * sum(shares) * forward
