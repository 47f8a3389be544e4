"""`kerascnn bench choice`: what `transfer` chooses by itself, beside every point of a grid, on images of a test.

The grid is what one would try by hand: the whole network with a new head, four depths frozen, four rates, all from a
linear classifier that was learned first.
"""

import tempfile
import time
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np

from ..output import percent, remark, table
from .timing import open_network


def measured(data, network, weights, size, numbers, count, epochs, budget, seed):
    """A row for each number of images of a class."""
    model = open_network(network, weights, size)
    rows = []
    for number in numbers:
        given = setting(data, number, count, seed)
        row = {"data": given.name, "network": network, "images of a class": number, "tested": len(given.test)}
        rows.append(row | chosen(given, model, size, budget, seed) | tried(given, model, size, epochs, seed))
        rows[-1] |= judged(rows[-1])
        remark(one_line(rows[-1]))
    return {"rows": rows, "within": sum(row["within"] for row in rows)}


def read(source, other, seed):
    """``Data`` of which nothing is divided but what is locked for the test."""
    from kerascnn.data import load

    if not other:
        return load(source, valid=0.0, test=0.4, seed=seed)
    return replace(load(source, valid=0.0, test=0.0), test=load(other, valid=0.0, test=0.0).train)


def setting(data, number, count, seed):
    """So many images of each class to learn from, and so many in all for the test, by chance."""
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(data.train))
    labels = data.train.labels[order]
    learn = np.concatenate([order[labels == label][:number] for label in range(len(data.classes))])
    test = rng.permutation(len(data.test))[:count]
    return replace(data, train=data.train.take(np.sort(learn)), test=data.test.take(np.sort(test)), audit=None)


def chosen(data, model, size, budget, seed):
    """What the study finds by itself, and how long it takes."""
    from kerascnn.transfer_learning import transfer

    began, worked = time.perf_counter(), time.process_time()
    note = lambda done, total, what: remark(what)  # noqa: E731
    found = transfer(data, model, size=size, budget=budget, seed=seed, cache=False, on_progress=note)
    spent = {"seconds": time.perf_counter() - began, "own CPU seconds": time.process_time() - worked}
    advice = {"advice": f"{found.advice.similarity}, {found.advice.amount}", "choice": found.chosen.name}
    usual = {"usual": found.usual_tested.accuracy, "usual head": found.usual.head}
    return advice | {"chosen": found.tested.accuracy} | usual | spent | {"work": found.facts["spent"]}


def tried(data, model, size, epochs, seed):
    """The grid: accuracy on the test after learning from all images, for each depth and rate."""
    from kerascnn.inputs.classifier import classifier
    from kerascnn.transfer_learning import depths, fitted, taps
    from kerascnn.transfer_learning.finetune import finetuned
    from kerascnn.transfer_learning.study import tested
    from kerascnn.transfer_learning.trials import RATES, certain, freezes

    began = time.perf_counter()
    found = taps(model, data.train, size=size, cache=False, verbose=0)
    last = found.stages[-1]
    probes = depths(found, heads="ridge", stages=(last,), seed=seed, together=(), verbose=0)
    pixels = data.train.array(classifier(model, size=found.size).preprocessing)
    points = []
    frozen = freezes(replace(probes, stages=found.stages), last)
    with tempfile.TemporaryDirectory(prefix="kerascnn-") as folder:
        for (depth, freeze), rate in product(frozen.items(), RATES):
            with certain():
                learner = fitted(found, probes, last, "ridge").model(model)
            how = {"freeze": freeze or None, "rate": rate, "epochs": epochs, "stop": epochs, "seed": seed}
            spent = finetuned(learner, pixels, data.train.labels, folder=Path(folder), name="maps", **how).seconds
            right = tested(learner, data).accuracy
            points.append({"freeze": depth, "rate": rate, "accuracy": right, "seconds": spent})
            remark(f"  {depth} frozen, rate {rate:g}: {percent(right, 1)}, {spent:.0f} s")
    return {"grid": points, "grid seconds": time.perf_counter() - began}


def judged(row):
    """How far the choice is from the best point of the grid, in standard errors of that."""
    best = max(row["grid"], key=lambda point: point["accuracy"])
    error = np.sqrt(best["accuracy"] * (1 - best["accuracy"]) / row["tested"])
    gap = best["accuracy"] - row["chosen"]
    found = {"best": best["accuracy"], "best point": f"{best['freeze']} frozen, {best['rate']:g}"}
    return (
        found
        | {"error": float(error)}
        | {"gap": gap, "within": bool(gap <= error), "ratio": row["grid seconds"] / row["seconds"]}
    )


def one_line(row):
    return (
        f"{row['data']}, {row['network']}, {row['images of a class']} a class: chosen {percent(row['chosen'], 1)}, "
        f"best of {len(row['grid'])} {percent(row['best'], 1)} +- {100 * row['error']:.1f}"
    )


TITLES = ("images a class", "advice", "choice", "chosen", "best of grid", "±", "within", "s", "s of grid")


def lines(result):
    cells = []
    for row in result["rows"]:
        reached = percent(row["chosen"], 1), percent(row["best"], 1), f"{100 * row['error']:.1f}"
        spent = f"{row['seconds']:.0f}", f"{row['grid seconds']:.0f}"
        within = "yes" if row["within"] else "no"
        cells.append((row["images of a class"], row["advice"], row["choice"], *reached, within, *spent))
    yield from table(TITLES, cells, words=("advice", "choice"))
    yield f"{result['within']} of {len(cells)} within a standard error of the best point"
