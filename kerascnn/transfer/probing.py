"""A backbone with its features, what linear classifiers make of them, and how much work each is."""

import time
from dataclasses import dataclass, field
from functools import cached_property

import keras
import numpy as np

from ..anatomy.graph import walk
from ..anatomy.running import before
from ..anatomy.table import dissect
from .choosing import Candidate
from .heads import HEADS
from .keys import digest, weights
from .probes import TOGETHER, ProbeTable, depths, known
from .stages import PLUS, staged, told
from .tapping import Taps, taps


@dataclass(frozen=True, eq=False)
class Probed:
    """``macs`` are multiply-adds for an image up to each stage; ``seconds`` what was spent."""

    model: keras.Model
    taps: Taps = field(repr=False)
    table: ProbeTable = field(repr=False)
    macs: dict = field(repr=False)
    seconds: dict

    def key(self, seed):
        """What results of points follow from, beside the point."""
        parts = [part for layer in self.model.layers for part in weights(layer)]
        facts = self.model.name, self.taps.size, self.taps.hashes, self.taps.labels.tolist(), self.table.folds.tolist()
        return digest(seed, *facts, self.taps.views, *parts)

    @cached_property
    def candidates(self):
        """The best linear classifier of each stage."""
        every = np.arange(len(self.table))
        found = []
        for stage in dict.fromkeys(self.table.summary["stage"]):
            row = linear(self.table, stage)
            how = {name: row[name] for name in ("head", "penalty", "seconds")} | {"views": self.taps.views}
            said = self.table.logits[stage, row["head"]], self.table.labels, every
            found.append(Candidate(self.table.model, stage, self.macs[stage], *said, **how))
        return found


def linear(table, stage):
    """The row of the best head of a stage that a network can end in."""
    rows = table.summary
    rows = rows[(rows["stage"] == stage) & rows["head"].map(lambda head: HEADS[head].linear)]
    return rows.loc[rows["accuracy"].idxmax()]


def probed(model, images, ledger, clock, tell, *, heads, seed, size=None, cache=True, ready=None):
    """The ``Probed`` of a backbone: all its features in one pass, ridge on them first.

    ``ready(taps, table)`` is called as soon as there is a usable classifier.
    """
    silent = lambda done: None  # noqa: E731
    found = taps(model, images, size=size, cache=cache, tell=silent)
    tell(f"{model.name}: features of {len(found):,} images at {len(found.stages)} stages")
    began = time.perf_counter()
    table = depths(found, heads="ridge", fractions=(), together=TOGETHER[:1], seed=seed, tell=silent)
    tell(f"{model.name}: a first usable classifier, ridge on {told(table.best['stage'])}, {table.best['accuracy']:.1%}")
    if ready is not None:
        ready(found, table)
    others = [head for head in known(heads) if head != "ridge"]
    table = depths(found, heads=others, seed=seed, after=table, tell=silent)
    best = table.best
    tell(f"{model.name}: {best['head']} on {told(best['stage'])}, {best['accuracy']:.1%} of images not shown")
    spent = {"features": found.seconds * found.computed, "probes": time.perf_counter() - began}
    seconds, _ = ledger.once(f"clock-{digest(model.name, *found.hashes)}", lambda: (spent, {}))
    stages = dict.fromkeys(table.summary["stage"])
    clock.spent += sum(seconds.values())
    return Probed(model, found, table, work(model, stages, found.size), seconds)


def work(model, stages, size):
    """{stage: multiply-adds for an image}."""
    channels = model.inputs[0].shape[-1]
    rows = {row.name: row.macs or 0 for row in dissect(model, (*size, channels)).rows}
    graph = walk(model)
    ends = {stage: staged(graph, stage.split(PLUS)).values() for stage in stages}
    needed = {stage: {node.name for end in nodes for node in before(end)} for stage, nodes in ends.items()}
    return {stage: sum(rows[name] for name in names) for stage, names in needed.items()}
