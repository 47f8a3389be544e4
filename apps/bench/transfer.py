"""`kerascnn bench transfer`: a study of this package against the grid search of the Keras guide.

Both use the same pixels and the same test set, in one process after the other. Ratios are of CPU seconds, because wall
time says little on a busy machine.
"""

import json
import os
import statistics
import tempfile
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from ..output import bold, format_table, remark
from .guide import BATCH, clock_seconds, train_guide_grid
from .timing import open_network

WALL, CPU = 0, 1
OURS, GUIDE = "kerascnn", "the Keras guide"


def measure_transfer(data, network, weights, size, images, full, seed, **counts):
    """Time and accuracy of both ways."""
    options = {"full": full, "seed": seed} | counts
    with tempfile.TemporaryDirectory(prefix="kerascnn-") as folder:
        folder = Path(folder)
        write_benchmark_inputs(folder, data, network, weights, size, images, seed)
        outputs = {}
        for name, work in ((OURS, run_our_study), (GUIDE, run_guide_grid)):
            remark(name)
            with ProcessPoolExecutor(1, get_context("spawn")) as process:
                outputs[name] = process.submit(work, folder, options).result()
        with np.load(folder / "pixels.npz") as arrays:
            labels, shape = arrays["test_y"], arrays["x"].shape
    about = {"network": network, "images": shape[0], "size": shape[1], "tested": len(labels), "cores": os.cpu_count()}
    about |= {"points": counts["depths"] * counts["learning_rates"] * counts["augmentations"]}
    return about | options | summarize_transfer(outputs[OURS], outputs[GUIDE], labels, options)


def write_benchmark_inputs(folder, data, network, weights, size, images, seed):
    """Write the backbone and random images of the data for both processes."""
    from kerascnn.transfer_learning.sources import prepare_data

    model = open_network(network, weights, size)
    model.save(folder / "backbone.keras")
    dataset = prepare_data(data, 0.5, None, seed)
    draw, arrays = np.random.default_rng(seed), {}
    for prefix, part in (("", dataset.train), ("test_", dataset.test)):
        sample = part.take(draw.permutation(len(part))[:images])
        arrays |= {
            f"{prefix}x": sample.pixels(model.input_shape[1:3], model.input_shape[-1]),
            f"{prefix}y": sample.labels,
        }
    np.savez(folder / "pixels.npz", **arrays)


def read_benchmark_inputs(folder):
    """(the backbone, training pixels and labels, test pixels and labels)."""
    import keras

    import kerascnn  # noqa: F401 (makes its layers known to Keras)

    model = keras.saving.load_model(folder / "backbone.keras", compile=False)
    with np.load(folder / "pixels.npz") as arrays:
        return model, (arrays["x"], arrays["y"]), (arrays["test_x"], arrays["test_y"])


def run_our_study(folder, options):
    """Run the study: the times of its messages, its test result, and the time of a forward pass."""
    from kerascnn.transfer_learning import transfer

    model, train, test = read_benchmark_inputs(folder)
    marks, began = [], clock_seconds()

    def note(done, total, what):
        marks.append((what, (clock_seconds() - began).tolist()))
        remark(f"{marks[-1][1][CPU]:6.0f} s  {what}")

    train, test = ((x, np.char.mod("%06d", y)) for x, y in (train, test))  # names that sort like the numbers
    study = transfer((train, test), model, cache=False, seed=options["seed"], on_progress=note)
    total = (clock_seconds() - began).tolist()
    order = np.argsort(study.data.test.names)
    passes = [time_forward_pass(model, train[0].astype(np.float32)) for _ in range(4)][
        1:
    ]  # without the first, which compiles
    return {
        "marks": marks,
        "total": total,
        "frozen": time_linear_probes(model, study.data.train, study.baseline.stage),
        "forward": [statistics.median(row[i] for row in passes) for i in (WALL, CPU)],
        "probs": study.evaluation.probs[order],
        "chosen": study.chosen.name,
        "held": study.chosen.accuracy,
        "tried": len(study.trial_results),
    }


def time_linear_probes(model, images, last):
    """Seconds of linear heads with all penalties on the last features alone, the counterpart of the guide's frozen
    base.
    """
    from kerascnn.transfer_learning import taps, train_probes

    began = clock_seconds()
    features = taps(model, images, stages=last, cache=False, verbose=0)
    train_probes(features, heads=("ridge", "softmax"), concatenate=(), fractions=(), verbose=0)
    return (clock_seconds() - began).tolist()


def time_forward_pass(model, pixels):
    """Seconds of one forward pass."""
    began = clock_seconds()
    for start in range(0, len(pixels) // BATCH * BATCH, BATCH):
        model.predict_on_batch(pixels[start : start + BATCH])
    return clock_seconds() - began


def run_guide_grid(folder, options):
    model, (x, y), (test, _) = read_benchmark_inputs(folder)
    began = clock_seconds()
    tell = lambda line: remark(f"{clock_seconds()[CPU] - began[CPU]:6.0f} s  {line}")  # noqa: E731
    return train_guide_grid(model, (x.astype(np.float32), y), test.astype(np.float32), options, tell)


def summarize_transfer(study, guide, labels, options):
    """Seconds, ratios and accuracies of both ways."""
    from kerascnn.evaluation import compare, from_probabilities

    position = next(
        i for i, (line, _) in enumerate(study["marks"]) if ": computed features of" in line
    )  # after the messages about the data
    start, features, first, heads = (np.array(seconds) for _, seconds in study["marks"][position - 1 : position + 3])
    times = 1 if options["full"] else options["learning_rates"]
    cost = lambda rows: times * sum(np.array(row["seconds"]) * options["epochs"] for row in rows)  # noqa: E731
    traced = lambda rows: times * sum(np.array(row["tracing"]) for row in rows)  # noqa: E731
    points, frozen = guide["rows"], [row for row in guide["rows"] if row["depth"] == "head"]
    seconds = {
        "forward pass": study["forward"],
        f"{OURS}: first usable model": first,
        f"{OURS}: features and linear heads, all stages": heads - start,
        f"{OURS}: linear heads, all stages, features cached": heads - features,
        f"{OURS}: features and linear heads, last stage": study["frozen"],
        f"{OURS}: whole study": study["total"],
        f"{GUIDE}: head alone, all epochs": cost(frozen),
        f"{GUIDE}: head alone, tracing": traced(frozen),
        f"{GUIDE}: whole grid, all epochs": cost(points),
        f"{GUIDE}: whole grid, tracing": traced(points),
    }
    seconds = {name: [round(float(value), 2) for value in pair] for name, pair in seconds.items()}
    scores = np.exp(guide["scores"] - guide["scores"].max(axis=1, keepdims=True)).astype(np.float64)
    tested = {OURS: study["probs"], GUIDE: scores / scores.sum(axis=1, keepdims=True)}
    tested = {name: from_probabilities(probs, labels, model=name) for name, probs in tested.items()}
    gap = compare(*tested.values())
    best = guide["rows"][guide["best"]]
    return {
        "seconds": {name: dict(zip(("wall", "cpu"), pair, strict=True)) for name, pair in seconds.items()},
        "ratios": cpu_ratios(seconds),
        "test": {name: evaluation.intervals["accuracy"]._asdict() for name, evaluation in tested.items()},
        "difference": gap.difference._asdict() | {"p": gap.p},
        "chosen": {
            OURS: study["chosen"],
            GUIDE: " ".join(str(best[key]) for key in ("depth", "augmentation", "learning_rate")),
        },
        "points_tried": study["tried"],
        "rows": json.loads(json.dumps(points)),
    }


def cpu_ratios(seconds):
    """Ratios of CPU seconds, with tracing counted once per point of the guide's grid, and without it."""
    cpu = {name: pair[CPU] for name, pair in seconds.items()}
    of = lambda guide_part, our_part: round(cpu[f"{GUIDE}: {guide_part}, all epochs"] / cpu[f"{OURS}: {our_part}"], 1)  # noqa: E731
    with_tracing = lambda guide_part, our_part: round(  # noqa: E731
        of(guide_part, our_part) + cpu[f"{GUIDE}: {guide_part}, tracing"] / cpu[f"{OURS}: {our_part}"], 1
    )
    return {
        "whole grid": with_tracing("whole grid", "whole study"),
        "whole grid without tracing": of("whole grid", "whole study"),
        "frozen base only": with_tracing("head alone", "features and linear heads, last stage"),
        "frozen base only, against all stages": with_tracing("head alone", "features and linear heads, all stages"),
        "frozen base only, against all stages with cached features": with_tracing(
            "head alone", "linear heads, all stages, features cached"
        ),
        "first usable model, in units of one forward pass": round(
            cpu[f"{OURS}: first usable model"] / cpu["forward pass"], 1
        ),
    }


def transfer_benchmark_lines(result):
    """Tables of seconds and ratios, and the accuracies."""
    training = "trained in full" if result["full"] else "estimated from one epoch of each depth and augmentation"
    yield (
        f"{result['network']}, {result['images']:,} images of {result['size']} pixels, {result['points']} points, "
        f"{result['epochs']} epochs; {result['cores']} cores; the guide {training}"
    )
    yield ""
    rows = [[name, f"{pair['wall']:,.1f}", f"{pair['cpu']:,.1f}"] for name, pair in result["seconds"].items()]
    yield from format_table(["seconds", "wall", "processor"], rows, words=["seconds"])
    yield ""
    rows = [[name, f"{value:,.1f}"] for name, value in result["ratios"].items()]
    yield from format_table(["ratios", ""], rows, words=["ratios"])
    yield ""
    for name, interval in result["test"].items():
        value, low, high = (100 * bound for bound in interval.values())
        yield (f"{bold(name)}: {value:.1f} % ({low:.1f} to {high:.1f}) test accuracy, {result['chosen'][name]}")
    gap = result["difference"]
    points = [f"{100 * gap[name]:+.1f}" for name in ("value", "low", "high")]
    yield (f"difference {points[0]} percentage points ({points[1]} to {points[2]}), McNemar's p = {gap['p']:.2g}")
