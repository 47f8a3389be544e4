"""From labelled images to the best classifier that a budget allows, with the evidence: `study`."""

import tempfile
import time
import warnings
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from ..evaluation import compare, evaluate, from_probabilities
from ..files import replacing
from ..registry import unknown
from .advice import advise
from .budgets import budgeted
from .choosing import Candidate, certain, chosen, lead, surest
from .classifier import fitted
from .desk import Desk
from .halving import Clock, climbed, ranked
from .keys import digest
from .ledger import FOLDER, Ledger
from .planning import AUGMENTATIONS, STRATEGIES, neighbours, planned, rungs
from .probing import probed
from .sources import describe, divided, opened, writable
from .studies import MODEL, Study, naive
from .widening import widened
from .worker import crew

HEADS = ("ridge", "softmax")
SURE, FOLDS = 2.0, 3  # standard errors beyond which, and folds after which, a finetuned network is judged enough
BACKBONES = ("resnet20_cifar10",)


def study(
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
    tell=None,
):
    """Find out how to classify images with networks that others have trained: a ``Study``.

    ``data`` is what `kerascnn.data.load` takes or makes; ``test``, a share of what nobody has divided, is locked, and
    looked at once, by the network that was chosen and by the usual one, a linear classifier on the last features.
    ``backbones`` are names of networks with published weights, files, or models.
    Linear classifiers on every stage come first. ``strategy`` says what is tried beyond them: "linear" nothing,
    "layers" and "finetune" the last and all layers, "auto" what the advice orders, "grid" each depth with each rate.
    Each point is a process of its own, for as long as the ``budget`` (seconds, or "90s", "10m", "1h") allows. What was
    finished is kept in the folder ``out``, where ``resume`` finds it. ``tell(line)`` is told what happens.

    >>> study("photos", backbones="squeezenet1_1", budget="10m").export("classifier")
    """
    if strategy not in STRATEGIES:
        raise ValueError(unknown("strategy", strategy, STRATEGIES))
    began, tell = time.perf_counter(), tell or (lambda line: None)
    clock, ledger = Clock(budgeted(budget)), Ledger(writable(out, resume, FOLDER))
    data = divided(data, test, groups, seed)
    models = opened(backbones, data.size, size)
    describe(data, tell)
    how = {"seed": seed, "size": size, "cache": cache}
    with crew(soon=strategy != "linear") as do, tempfile.TemporaryDirectory(prefix="kerascnn-") as folder:
        given = data.train, ledger, clock, tell
        every = [probed(model, *given, heads=heads, ready=first(model, out), **how) for model in models]
        best = max(every, key=lambda each: each.table.best["accuracy"])
        desk = Desk(best, widened(best, *given, **how), data.train, Path(folder), do, ledger, seed, tell)
        found = searched(desk, every, strategy, augmentations, clock)
    facts = {"strategy": strategy, "budget": clock.budget, "spent": clock.spent}
    return concluded(found, data, every, desk, facts | {"seconds": time.perf_counter() - began})


def concluded(found, data, every, desk, facts):
    """The ``Study``: the choice is made, and the test is looked at."""
    best, usual = desk.probed, baseline(desk.probed)
    models = {found["chosen"]: found["model"], usual: built(usual, desk, every)}
    found |= once(desk.ledger, data, models, best.key(desk.seed))
    facts |= {"seed": desk.seed, "naive": naive(best, found["outcomes"])}
    return Study(data, tuple(each.table for each in every), best.table, usual=usual, facts=facts, **found)


def searched(desk, every, strategy, augmentations, clock):
    """What is beyond linear classifiers on the best backbone, and the choice among all of it."""
    table = desk.probed.table
    advice = advise(table)
    desk.tell(f"{advice.similarity} data, {advice.amount} of it: {', then '.join(advice.strategies)}")
    linear = [candidate for each in (*every, *desk.wide) for candidate in each.candidates]
    start = chosen(linear)
    points, thin = planned(strategy, advice, table, surest(desk.probed.candidates).stage, augmentations)
    ways = {"rungs": rungs(len(table)), "near": neighbours, "augmentations": augmentations} if thin else {}
    worth = partial(promising, desk.probed, start) if strategy == "auto" else None
    outcomes = climbed(points, desk.settled, clock, desk.guess, worth=worth, **ways)
    tuned = judged(desk, start, outcomes, clock)
    winner = chosen([start, *tuned[:1]])
    desk.tell(f"chosen: {winner.name}, {winner.accuracy:.1%} of images not shown")
    model = built(winner, desk, every, clock)
    found = {"advice": advice, "candidates": (*linear, *tuned), "outcomes": tuple(outcomes)}
    return found | {"chosen": winner, "model": model}


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
    """The network of a candidate, learnt from all images."""
    if winner.point:
        model, seconds = desk.finished(winner)
        clock.spent += seconds
        return model
    own = next(each for each in (*every, *desk.wide) if winner in each.candidates)
    with certain():
        return fitted(own.taps, own.table, winner.stage, winner.head).model(own.model)


def baseline(probed):
    """The usual way: the best linear head on the last features."""
    return next(each for each in probed.candidates if each.stage == probed.table.stages[-1])


def tested(model, data):
    """The ``Evaluation`` on the test, of images cut as those were that were learnt from, and as `predict` does."""
    test = data.test
    return evaluate(model, test.items, test.labels, names=test.names, classes=data.classes, quiet=True)


def once(ledger, data, models, context):
    """What the chosen network and the usual one make of the locked test: looked at once in the life of a study."""
    if data.test is None or not len(data.test):
        return {"tested": None, "usual_tested": None, "compared": None}
    key = f"test-{digest(context, *(each.name for each in models))}"
    names = ("chosen", "usual")

    def look():
        if ledger.folder is not None and [*ledger.folder.glob("test-*.npz")]:
            warnings.warn("the locked test was looked at before, by another choice: it says less now", stacklevel=4)
        found = [tested(model, data) for model in models.values()]
        return {"names": found[0].names}, dict(zip(names, (each.probs for each in found), strict=True))

    facts, probs = ledger.once(key, look)
    labels = dict(zip(data.test.names, data.test.labels, strict=True))
    labels = np.array([labels[name] for name in facts["names"]])
    found = [
        from_probabilities(probs[name], labels, data.classes, facts["names"], model=each.name)
        for name, each in zip(names, models, strict=True)
    ]
    return {"tested": found[0], "usual_tested": found[1], "compared": compare(*found)}
