"""From labeled images to the best classifier that a budget allows, with the evidence: `study`."""

import json
import tempfile
import time
import warnings
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import keras
import numpy as np

from ..data.dataset import Data
from ..evaluation.compare import Comparison, compare
from ..evaluation.evaluate import Evaluation, evaluate, from_probabilities
from ..support.display import Drawn
from ..support.files import replacing
from ..support.store import Store, make_key
from ..support.text import check_names
from .advice import Advice, advise
from .networks import fitted, probed
from .probes import ProbeTable, widened
from .runner import Desk, crew
from .sources import budgeted, describe, divided, opened, writable
from .trials import (
    AUGMENTATIONS,
    STRATEGIES,
    Candidate,
    Clock,
    certain,
    chosen,
    climbed,
    lead,
    neighbors,
    planned,
    ranked,
    rungs,
    surest,
)

HEADS = ("ridge", "softmax")
SURE, FOLDS = 2.0, 3  # standard errors beyond which, and folds after which, a finetuned network is judged enough
BACKBONES = ("resnet20_cifar10",)


def transfer(
    data,
    backbones=BACKBONES,
    *,
    out=None,
    budget=None,
    strategy="auto",
    resume=True,
    seed=0,
    test=0.2,
    groups=None,
    size=None,
    heads=HEADS,
    augmentations=AUGMENTATIONS,
    cache=True,
    on_progress=None,
):
    """Find out how to classify images with networks that others have trained: a ``Study``.

    ``data`` is what `kerascnn.data.load` takes or makes; ``test``, a share of what nobody has divided, is locked, and
    looked at once, by the network that was chosen and by the usual one, a linear classifier on the last features.
    ``backbones`` are names of networks with published weights, files, or models.
    Linear classifiers on every stage come first. ``strategy`` says what is tried beyond them: "linear" nothing,
    "layers" and "finetune" the last and all layers, "auto" what the advice orders, "grid" each depth with each rate.
    Each point is a process of its own, for as long as the ``budget`` (seconds, or "90s", "10m", "1h") allows. What was
    finished is kept in the folder ``out``, where ``resume`` finds it. ``on_progress(seconds, budget, what)`` is called
    when something is done, and may raise to end the work.

    >>> study("photos", backbones="squeezenet1_1", budget="10m").export("classifier")
    """
    check_names("strategy", [strategy], STRATEGIES)
    began = time.perf_counter()
    clock, ledger = Clock(budgeted(budget)), Store(writable(out, resume, "ledger"))

    def note(what):
        if on_progress is not None:
            on_progress(clock.spent, clock.budget, what)

    data = divided(data, test, groups, seed)
    models = opened(backbones, data.size, size)
    describe(data, note)
    how = {"seed": seed, "size": size, "cache": cache}
    with crew(soon=strategy != "linear") as do, tempfile.TemporaryDirectory(prefix="kerascnn-") as folder:
        given = data.train, ledger, clock, note
        every = [probed(model, *given, heads=heads, ready=first(model, out), **how) for model in models]
        best = max(every, key=lambda each: each.table.best["accuracy"])
        desk = Desk(best, widened(best, *given, **how), data.train, Path(folder), do, ledger, seed, note)
        advice = advise(best.table)
        note(f"{advice.similarity} data, {advice.amount} of it: {', then '.join(advice.strategies)}")
        linear = [candidate for each in (*every, *desk.wide) for candidate in each.candidates]
        start = chosen(linear)
        outcomes = searched(desk, start, advice, strategy, augmentations, clock)
        tuned = judged(desk, start, outcomes, clock)
        winner = chosen([start, *tuned[:1]])
        note(f"chosen: {winner.name}, {winner.accuracy:.1%} of images not shown")
        model = built(winner, desk, every, clock)
    facts = {"strategy": strategy, "budget": clock.budget, "spent": clock.spent, "seconds": time.perf_counter() - began}
    usual = next(each for each in best.candidates if each.stage == best.table.stages[-1])  # the best linear head there
    seen = once(ledger, data, {winner: model, usual: built(usual, desk, every)}, best.key(seed))
    return Study(
        data=data,
        probes=tuple(each.table for each in every),
        best=best.table,
        advice=advice,
        candidates=(*linear, *tuned),
        outcomes=tuple(outcomes),
        chosen=winner,
        usual=usual,
        model=model,
        facts=facts | {"seed": seed, "naive": naive(best, outcomes)},
        **seen,
    )


def searched(desk, start, advice, strategy, augmentations, clock):
    """The ``Outcome``s of what is tried beyond linear classifiers on the best backbone, ``start`` the best of them."""
    table = desk.probed.table
    points, thin = planned(strategy, advice, table, surest(desk.probed.candidates).stage, augmentations)
    ways = {"rungs": rungs(len(table)), "near": neighbors, "augmentations": augmentations} if thin else {}
    worth = partial(promising, desk.probed, start) if strategy == "auto" else None
    return climbed(points, desk.settled, clock, desk.guess, worth=worth, **ways)


def first(model, out):
    """What writes the first usable classifier of a backbone, where files are wanted and there is none."""

    def write(taps, table):
        path = Path(out) / MODEL
        if not path.exists():
            try:
                with replacing(path) as draft, certain():
                    fitted(taps, table).model(model).save(draft)
            except OSError as error:
                warnings.warn(f"the first usable classifier is not kept: {error}", stacklevel=2)

    return None if out is None else write


def judged(desk, start, outcomes, clock):
    """Candidates of the points that got farthest, the best first: more images judge that one while it may matter."""
    done = [each for each in ranked(outcomes) if each.epoch]
    done = [each for each in done if each.point.epochs == max(other.point.epochs for other in done)]
    made = [candidate(desk.probed, [each]) for each in done]
    folds = done[:1]
    while made and len(folds) < min(FOLDS, desk.probed.table.folds.max() + 1):
        gap, error = lead(made[0], start, "sure")
        point = replace(done[0].point, fold=len(folds))
        if not 0 < gap <= SURE * error or not clock.allows(desk.guess(point, outcomes)):
            break
        outcome = desk.settled(point)
        clock.spent += outcome.seconds
        if outcome.failed:
            break
        folds.append(outcome)
        made[0] = candidate(desk.probed, folds)
    return made


def promising(probed, start, outcome):
    """Whether a point is already surer than the best linear classifier, from which it set out."""
    return lead(candidate(probed, [outcome]), start, "sure")[0] > 0


def candidate(probed, outcomes):
    """A point as it did on one or several folds."""
    table, point = probed.table, outcomes[0].point
    judged = np.concatenate([np.flatnonzero(table.folds == each.point.fold) for each in outcomes])
    logits = np.concatenate([each.logits for each in outcomes])
    epoch = round(np.mean([each.epoch for each in outcomes]))
    how = {"point": point, "epoch": max(epoch, 1), "seconds": sum(each.seconds for each in outcomes)}
    return Candidate(table.model, point.stage, probed.macs[point.stage], logits, table.labels[judged], judged, **how)


def built(winner, desk, every, clock=None):
    """The network of a candidate, learned from all images."""
    if winner.point:
        model, seconds = desk.finished(winner)
        clock.spent += seconds
        return model
    own = next(each for each in (*every, *desk.wide) if winner in each.candidates)
    with certain():
        return fitted(own.taps, own.table, winner.stage, winner.head).model(own.model)


def tested(model, data):
    """The ``Evaluation`` on the test, of images cut as those were that were learned from, and as `predict` does."""
    test = data.test
    return evaluate(model, test.items, test.labels, names=test.names, classes=data.classes, verbose=0)


def once(ledger, data, models, context):
    """What the chosen network and the usual one make of the locked test: looked at once in the life of a study."""
    test = data.test
    if test is None or not len(test):
        return {"tested": None, "usual_tested": None, "compared": None}
    key = make_key("test", context, *(each.name for each in models))
    names = ("chosen", "usual")

    def look():
        if any(name.startswith("test-") for name in ledger.list_keys()):
            warnings.warn("the locked test was looked at before, by another choice: it says less now", stacklevel=5)
        found = [tested(model, data) for model in models.values()]
        return {"names": found[0].names}, dict(zip(names, (each.probs for each in found), strict=True))

    facts, probs = ledger.get_or_compute(key, look)
    labels = dict(zip(test.names, test.labels, strict=True))
    labels = np.array([labels[name] for name in facts["names"]])
    found = [
        from_probabilities(probs[name], labels, data.classes, facts["names"], model=each.name)
        for name, each in zip(names, models, strict=True)
    ]
    return {"tested": found[0], "usual_tested": found[1], "compared": compare(*found)}


MODEL, LABELS, TABLE, POINTS = "model.keras", "labels.json", "table.csv", "points.csv"
REPORT, CARD = "report.html", "study.json"
COLUMNS = [
    "name", "kind", "backbone", "stage", "head", "penalty", "views", "freeze", "rate", "augment", "epochs", "accuracy",
    "low", "high", "images", "lead", "lead_error", "macs", "seconds", "chosen",
]  # fmt: skip


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
        table = pd.DataFrame(rows, columns=COLUMNS)
        return table.sort_values("accuracy", ascending=False, kind="stable", ignore_index=True)

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
        from ..exporting.export import export

        return export(self.model, path, classes=self.data.classes, **{"facts": {"study": self.card}} | how)

    @property
    def card(self):
        """The numbers as JSON holds them."""
        found = {"data": self.data.name, "classes": len(self.data.classes), "learned from": len(self.data.train)}
        found |= {"chosen": self.chosen.row, "advice": [self.advice.similarity, self.advice.amount]}
        if self.tested is not None:
            gap = self.compared.difference
            found |= {"test": measured(self.tested), "test of the usual way": measured(self.usual_tested)}
            found |= {"difference": {"value": gap.value, "low": gap.low, "high": gap.high, "p": self.compared.p}}
        return json.loads(json.dumps(found | self.facts, default=lambda value: value.item()))

    def plot(self):
        """Candidates by accuracy with intervals, and the grid."""
        from .figures import draw_study

        return draw_study(self)

    def report(self, path):
        """Write all of it as one HTML file that needs no other."""
        from .page import written

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
    return {
        "images": len(evaluation),
        "right": int(evaluation.right.sum()),
        "accuracy": value,
        "low": low,
        "high": high,
        "balanced": evaluation.balanced,
        "macro_f1": evaluation.macro_f1,
        "nll": evaluation.nll,
        "ece": evaluation.calibration.ece,
    }


def naive(probed, outcomes):
    """Seconds that a grid of 48 points would take that runs all layers in each of ten epochs: an estimate.

    4 depths, 4 rates, 3 augmentations. By the fastest epoch that was measured, else by three times a pass; frozen
    layers are spared the backward pass.
    """
    whole = [row["seconds"] for each in outcomes if not each.point.freeze for row in each.history if row["seconds"]]
    forward = min(whole, default=3 * probed.seconds["features"]) / 3
    shares = [1 + 2 * share for share in (0, 1 / 3, 2 / 3, 1)]  # forward through all, backward through what learns
    epochs, rates, augmentations = 10, 4, 3
    return epochs * rates * augmentations * sum(shares) * forward
