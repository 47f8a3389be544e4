"""`kerascnn bench choice`: what `transfer` chooses, compared with every point of a grid on test images.

The grid is what one would try by hand: the whole network with a new head, 4 frozen depths, 4 learning rates, all
starting from a trained linear classifier.
"""

import tempfile
import time
import warnings
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np

from ..output import format_table, percent, remark
from .timing import open_network


def measure_choice(data, network, weights, size, numbers, count, epochs, budget, seed, single=False):
    """One row for each number of images per class; ``single`` also measures the choice without the mean candidate."""
    model = open_network(network, weights, size)
    rows = []
    for number in numbers:
        sample = sample_images(data, number, count, seed)
        row = {"data": sample.name, "network": network, "images per class": number, "tested": len(sample.test)}
        rows.append(
            row
            | automatic_choice(sample, model, size, budget, seed, single)
            | train_grid(sample, model, size, epochs, seed)
        )
        rows[-1] |= compare_with_grid(rows[-1])
        remark(describe_choice(rows[-1]))
    return {"rows": rows, "within": sum(row["within"] for row in rows)}


def load_choice_data(source, test_source, seed):
    """Load a dataset of which only the test set is split off."""
    from kerascnn.data import load

    if not test_source:
        return load(source, valid=0.0, test=0.4, seed=seed)
    return replace(load(source, valid=0.0, test=0.0), test=load(test_source, valid=0.0, test=0.0).train)


def sample_images(data, number, count, seed):
    """Sample ``number`` training images per class and ``count`` test images."""
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(data.train))
    labels = data.train.labels[order]
    learn = np.concatenate([order[labels == label][:number] for label in range(len(data.class_names))])
    test = rng.permutation(len(data.test))[:count]
    return replace(data, train=data.train.take(np.sort(learn)), test=data.test.take(np.sort(test)), audit=None)


def automatic_choice(data, model, size, budget, seed, single=False):
    """What the study chooses, its accuracy and its time; with ``single`` also what it chooses without the mean."""
    from kerascnn.transfer_learning import transfer

    start, cpu_start = time.perf_counter(), time.process_time()
    note = lambda done, total, what: remark(what)  # noqa: E731
    options = {"size": size, "budget": budget, "seed": seed, "on_progress": note}
    with tempfile.TemporaryDirectory(prefix="kerascnn-") as folder:
        if single:  # the second study finds the features and trials of the first
            options |= {"out": Path(folder, "study"), "cache": Path(folder, "features")}
        study = transfer(data, model, **{"cache": False} | options)
        spent = {"seconds": time.perf_counter() - start, "own CPU seconds": time.process_time() - cpu_start}
        without = {}
        if single:
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", "an earlier choice was already evaluated")
                alone = transfer(data, model, ensemble=False, **options)
            without = {"single choice": alone.chosen.name, "single": alone.evaluation.accuracy}
    advice = {"advice": f"{study.advice.similarity}, {study.advice.amount}", "choice": study.chosen.name}
    baseline = {"baseline": study.baseline_evaluation.accuracy, "baseline head": study.baseline.head}
    result = {"chosen": study.evaluation.accuracy, "work": study.metadata["spent"]}
    return advice | result | baseline | spent | without


def train_grid(data, model, size, epochs, seed):
    """Test accuracy of every point of the grid, trained on all images."""
    from kerascnn.inputs.classifier import classifier
    from kerascnn.transfer_learning import fit_head, taps, train_probes
    from kerascnn.transfer_learning.finetune import finetune
    from kerascnn.transfer_learning.study import evaluate_on_test
    from kerascnn.transfer_learning.trials import LEARNING_RATES, freeze_options, ignore_temperature_warning

    began = time.perf_counter()
    features = taps(model, data.train, size=size, cache=False, verbose=0)
    last = features.stages[-1]
    probes = train_probes(features, heads="ridge", stages=(last,), seed=seed, concatenate=(), verbose=0)
    pixels = data.train.array(classifier(model, size=features.size).preprocessing)
    points = []
    frozen = freeze_options(replace(probes, stages=features.stages), last)
    with tempfile.TemporaryDirectory(prefix="kerascnn-") as folder:
        for (depth, freeze), rate in product(frozen.items(), LEARNING_RATES):
            with ignore_temperature_warning():
                learner = fit_head(features, probes, last, "ridge").model(model)
            options = {
                "freeze": freeze or None,
                "learning_rate": rate,
                "epochs": epochs,
                "last_epoch": epochs,
                "seed": seed,
            }
            spent = finetune(learner, pixels, data.train.labels, out=Path(folder), name="maps", **options).seconds
            right = evaluate_on_test(learner, data).accuracy
            points.append({"freeze": depth, "learning_rate": rate, "accuracy": right, "seconds": spent})
            remark(f"  frozen up to {depth}, learning rate {rate:g}: {percent(right, 1)}, {spent:.0f} s")
    return {"grid": points, "grid seconds": time.perf_counter() - began}


def compare_with_grid(row):
    """The distance of the choice from the best point of the grid, in standard errors."""
    best = max(row["grid"], key=lambda point: point["accuracy"])
    error = np.sqrt(best["accuracy"] * (1 - best["accuracy"]) / row["tested"])
    gap = best["accuracy"] - row["chosen"]
    summary = {
        "best": best["accuracy"],
        "best point": f"frozen up to {best['freeze']}, learning rate {best['learning_rate']:g}",
    }
    return (
        summary
        | {"error": float(error)}
        | {"gap": gap, "within": bool(gap <= error), "ratio": row["grid seconds"] / row["seconds"]}
    )


def describe_choice(row):
    single = f" (without the mean {percent(row['single'], 1)})" if "single" in row else ""
    return (
        f"{row['data']}, {row['network']}, {row['images per class']} per class: chosen "
        f"{percent(row['chosen'], 1)}{single}, best of {len(row['grid'])} grid points {percent(row['best'], 1)} "
        f"± {100 * row['error']:.1f}"
    )


def choice_lines(result):
    has_single = any("single" in row for row in result["rows"])
    titles = ("images per class", "advice", "choice", "chosen", *(["without mean"] if has_single else []))
    titles += ("best of grid", "±", "within", "s", "grid, s")
    cells = []
    for row in result["rows"]:
        reached = [percent(row["chosen"], 1), *([percent(row["single"], 1)] if has_single else [])]
        reached += [percent(row["best"], 1), f"{100 * row['error']:.1f}"]
        spent = f"{row['seconds']:.0f}", f"{row['grid seconds']:.0f}"
        is_within = "yes" if row["within"] else "no"
        cells.append((row["images per class"], row["advice"], row["choice"], *reached, is_within, *spent))
    yield from format_table(titles, cells, words=("advice", "choice"))
    yield (f"{result['within']} of {len(cells)} choices are within one standard error of the best grid point")
