"""`kerascnn bench transfer`: a grid of transfer learning by the Keras guide, and a study of this package.

The same pixels and the same locked test, in one process after the other. Processor seconds are what ratios are of: on a
machine with other work those on the wall say little.
"""

import json
import os
import statistics
import tempfile
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from ..output import bold, remark, table
from .guide import BATCH, grid, spent
from .timing import open_network

WALL, CPU = 0, 1
OURS, GUIDE = "kerascnn", "the Keras guide"


def measured(data, network, weights, size, images, whole, seed, **counts):
    """What both ways took and came to."""
    options = {"whole": whole, "seed": seed} | counts
    with tempfile.TemporaryDirectory(prefix="kerascnn-") as folder:
        folder = Path(folder)
        laid_out(folder, data, network, weights, size, images, seed)
        found = {}
        for name, work in ((OURS, ours), (GUIDE, guides)):
            remark(name)
            with ProcessPoolExecutor(1, get_context("spawn")) as process:
                found[name] = process.submit(work, folder, options).result()
        with np.load(folder / "pixels.npz") as arrays:
            labels, shape = arrays["test_y"], arrays["x"].shape
    about = {"network": network, "images": shape[0], "size": shape[1], "tested": len(labels), "cores": os.cpu_count()}
    about |= {"points": counts["depths"] * counts["rates"] * counts["augmentations"]}
    return about | options | told(found[OURS], found[GUIDE], labels, options)


def laid_out(folder, data, network, weights, size, images, seed):
    """Write the backbone, and random images of the data as it is given them."""
    from kerascnn.transfer_learning.sources import divided

    model = open_network(network, weights, size)
    model.save(folder / "backbone.keras")
    found = divided(data, 0.5, None, seed)
    draw, arrays = np.random.default_rng(seed), {}
    for prefix, part in (("", found.train), ("test_", found.test)):
        some = part.take(draw.permutation(len(part))[:images])
        arrays |= {f"{prefix}x": some.pixels(model.input_shape[1:3], model.input_shape[-1]), f"{prefix}y": some.labels}
    np.savez(folder / "pixels.npz", **arrays)


def given(folder):
    """(the backbone, pixels and labels to learn from, those of the test)."""
    import keras

    import kerascnn  # noqa: F401 (makes its layers known to Keras)

    model = keras.saving.load_model(folder / "backbone.keras", compile=False)
    with np.load(folder / "pixels.npz") as arrays:
        return model, (arrays["x"], arrays["y"]), (arrays["test_x"], arrays["test_y"])


def ours(folder, options):
    """The study: when it said what, what it took, and what it says of the test; and seconds of a forward pass."""
    from kerascnn.transfer_learning import transfer

    model, train, test = given(folder)
    marks, began = [], spent()

    def note(done, total, what):
        marks.append((what, (spent() - began).tolist()))
        remark(f"{marks[-1][1][CPU]:6.0f} s  {what}")

    train, test = ((x, np.char.mod("%06d", y)) for x, y in (train, test))  # names in the order of the numbers
    found = transfer((train, test), model, cache=False, seed=options["seed"], on_progress=note)
    total = (spent() - began).tolist()
    order = np.argsort(found.data.test.names)
    passes = [passed(model, train[0].astype(np.float32)) for _ in range(4)][1:]  # the first one compiles
    return {
        "marks": marks,
        "total": total,
        "frozen": frozen(model, found.data.train, found.usual.stage),
        "forward": [statistics.median(row[i] for row in passes) for i in (WALL, CPU)],
        "probs": found.tested.probs[order],
        "chosen": found.chosen.name,
        "held": found.chosen.accuracy,
        "tried": len(found.outcomes),
    }


def frozen(model, images, last):
    """Seconds of what the guide's frozen column is about: heads, with all penalties, on the last features alone."""
    from kerascnn.transfer_learning import depths, taps

    began, how = spent(), {"verbose": 0}
    found = taps(model, images, stages=last, cache=False, **how)
    depths(found, heads=("ridge", "softmax"), together=(), fractions=(), **how)
    return (spent() - began).tolist()


def passed(model, pixels):
    """Seconds of one forward pass."""
    began = spent()
    for start in range(0, len(pixels) // BATCH * BATCH, BATCH):
        model.predict_on_batch(pixels[start : start + BATCH])
    return spent() - began


def guides(folder, options):
    model, (x, y), (test, _) = given(folder)
    began = spent()
    tell = lambda line: remark(f"{spent()[CPU] - began[CPU]:6.0f} s  {line}")  # noqa: E731
    return grid(model, (x.astype(np.float32), y), test.astype(np.float32), options, tell)


def told(own, guide, labels, options):
    """Seconds, ratios and accuracies."""
    from kerascnn.evaluation import compare, from_probabilities

    at = next(
        i for i, (line, _) in enumerate(own["marks"]) if ": features of" in line
    )  # after what is said of the data
    begun, features, first, heads = (np.array(seconds) for _, seconds in own["marks"][at - 1 : at + 3])
    times = 1 if options["whole"] else options["rates"]
    cost = lambda rows: times * sum(np.array(row["seconds"]) * options["epochs"] for row in rows)  # noqa: E731
    traced = lambda rows: times * sum(np.array(row["tracing"]) for row in rows)  # noqa: E731
    every, frozen = guide["rows"], [row for row in guide["rows"] if row["depth"] == "head"]
    seconds = {
        "forward pass": own["forward"],
        f"{OURS}: first usable model": first,
        f"{OURS}: features and heads of all stages": heads - begun,
        f"{OURS}: heads of all stages, features known": heads - features,
        f"{OURS}: features and heads of the last stage": own["frozen"],
        f"{OURS}: whole study": own["total"],
        f"{GUIDE}: head alone, all epochs": cost(frozen),
        f"{GUIDE}: head alone, tracing": traced(frozen),
        f"{GUIDE}: whole grid, all epochs": cost(every),
        f"{GUIDE}: whole grid, tracing": traced(every),
    }
    seconds = {name: [round(float(value), 2) for value in pair] for name, pair in seconds.items()}
    scores = np.exp(guide["scores"] - guide["scores"].max(axis=1, keepdims=True)).astype(np.float64)
    tested = {OURS: own["probs"], GUIDE: scores / scores.sum(axis=1, keepdims=True)}
    tested = {name: from_probabilities(probs, labels, model=name) for name, probs in tested.items()}
    gap = compare(*tested.values())
    best = guide["rows"][guide["best"]]
    return {
        "seconds": {name: dict(zip(("wall", "cpu"), pair, strict=True)) for name, pair in seconds.items()},
        "ratios": ratios(seconds),
        "test": {name: each.interval["accuracy"]._asdict() for name, each in tested.items()},
        "difference": gap.difference._asdict() | {"p": gap.p},
        "chosen": {OURS: own["chosen"], GUIDE: " ".join(str(best[key]) for key in ("depth", "augmentation", "rate"))},
        "points_tried": own["tried"],
        "rows": json.loads(json.dumps(every)),
    }


def ratios(seconds):
    """Of processor seconds: tracing counts once for each point of the guide's, and is told apart too."""
    cpu = {name: pair[CPU] for name, pair in seconds.items()}
    of = lambda what, own: round(cpu[f"{GUIDE}: {what}, all epochs"] / cpu[f"{OURS}: {own}"], 1)  # noqa: E731
    with_tracing = lambda what, own: round(  # noqa: E731
        of(what, own) + cpu[f"{GUIDE}: {what}, tracing"] / cpu[f"{OURS}: {own}"], 1
    )
    return {
        "whole grid": with_tracing("whole grid", "whole study"),
        "whole grid without tracing": of("whole grid", "whole study"),
        "frozen column": with_tracing("head alone", "features and heads of the last stage"),
        "frozen column, beside all stages": with_tracing("head alone", "features and heads of all stages"),
        "frozen column, beside all stages, features known": with_tracing(
            "head alone", "heads of all stages, features known"
        ),
        "first usable model in forward passes": round(cpu[f"{OURS}: first usable model"] / cpu["forward pass"], 1),
    }


def lines(result):
    """Seconds, ratios, accuracies."""
    way = "in full" if result["whole"] else "one epoch of each depth and augmentation, multiplied"
    yield (
        f"{result['network']}, {result['images']:,} images of {result['size']} pixels, {result['points']} points, "
        f"{result['epochs']} epochs; {result['cores']} cores; the guide {way}"
    )
    yield ""
    rows = [[name, f"{pair['wall']:,.1f}", f"{pair['cpu']:,.1f}"] for name, pair in result["seconds"].items()]
    yield from table(["seconds", "wall", "processor"], rows, words=["seconds"])
    yield ""
    rows = [[name, f"{value:,.1f}"] for name, value in result["ratios"].items()]
    yield from table(["ratios", ""], rows, words=["ratios"])
    yield ""
    for name, interval in result["test"].items():
        value, low, high = (100 * each for each in interval.values())
        yield f"{bold(name)}: {value:.1f} % ({low:.1f} to {high:.1f}) of the test, {result['chosen'][name]}"
    gap = result["difference"]
    points = [f"{100 * gap[name]:+.1f}" for name in ("value", "low", "high")]
    yield f"difference {points[0]} points ({points[1]} to {points[2]}), McNemar's p = {gap['p']:.2g}"
