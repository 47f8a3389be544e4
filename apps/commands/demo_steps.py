"""The steps of `kerascnn demo`: each takes the `Tour` and returns its facts, with a "line" that says what came out.

They call the functions of the package that anybody calls: load, fit, evaluate, transfer, export, report.
"""

import os
import time

from ..options import given
from ..output import percent, remark

BACKBONE = "resnet20_cifar10"
BUDGET = 60  # seconds for classifiers and the grid
HEADS = ("ridge",)  # the quick one
FEW = 4  # stages of which the table is told
RATE = 2e-3  # of Adam, at first
HELD_OUT = 0.25  # of the digits that LeNet-5 learns


def build(tour):
    """LeNet-5: its table and its diagram."""
    import keras

    import kerascnn

    keras.utils.set_random_seed(tour.seed)
    model = tour.made["lenet5"] = kerascnn.build_model("lenet5")
    kerascnn.diagram(model).save(tour.path("lenet5.svg"))
    anatomy = kerascnn.dissect(model)
    anatomy.save(tour.path("lenet5.txt"))
    most = max(anatomy.rows, key=lambda row: row.params)
    share = percent(most.params, anatomy.params)
    line = f"{anatomy.trainable:,} parameters, {share} of them in {most.name}; {anatomy.macs:,} multiply-adds an image"
    return {"line": line, "parameters": anatomy.trainable}


def learn(tour):
    """LeNet-5 on the digits, and what it reads wrong of those that were held out."""
    import kerascnn
    from kerascnn.files import replacing, save_figure

    data = kerascnn.load("digits", valid=0, test=HELD_OUT, seed=tour.seed)
    model = tour.made["lenet5"]
    history = kerascnn.fit(
        model, data, "adam", epochs=tour.epochs, rate=RATE, seed=tour.seed, verbose=not given("quiet")
    )
    if history.stopped:
        raise KeyboardInterrupt(history.stopped)
    history.save(tour.path("history.csv"))
    with replacing(tour.path("lenet5.keras")) as draft:
        model.save(draft)

    found = kerascnn.evaluate(model, data)
    save_figure(mistakes(found, data.test), tour.path("mistakes.png"))
    test = test_facts(found)
    wrong = test["images"] - test["right"]
    line = f"of the {test['images']} that it has never seen it reads {wrong} wrong: mistakes.png"
    return {"line": line, "train": len(data.train), "test": test}


def test_facts(evaluation):
    """How many images of a test are right, and how sure their share is, as JSON holds it."""
    accuracy = evaluation.interval["accuracy"]
    return {
        "images": len(evaluation),
        "right": int(evaluation.right.sum()),
        "accuracy": evaluation.accuracy,
        "interval": [accuracy.low, accuracy.high],
    }


def transfer(tour):
    """A study of the shipped network on the same digits: taps, advice, what of the grid the budget allows."""
    import kerascnn

    began = time.monotonic()
    tell = lambda line: remark(f"    {time.monotonic() - began:4.0f} s  {line}")  # noqa: E731
    out = tour.path("transfer")
    study = kerascnn.transfer("digits", BACKBONE, out=out, budget=BUDGET, heads=HEADS, seed=tour.seed, tell=tell)
    study.save(out)
    tour.made["study"] = study

    stages = told(study.best)
    for row in stages:
        remark(f"    {row['stage']:<16} {percent(row['accuracy'], 1):>7}  of images not shown, {row['depth']}")
    remark(f"    {study.advice.similarity} data, {study.advice.amount} of it: first {study.advice.strategies[0]}")
    test, usual, gap = test_facts(study.tested), study.usual_tested.accuracy, study.compared.difference
    line = (
        f"chosen: {study.chosen.name}; {percent(test['accuracy'], 1)} of the locked test, the usual way "
        f"{percent(usual, 1)}: {100 * gap.value:+.1f} points ({100 * gap.low:+.1f} to {100 * gap.high:+.1f})"
    )
    return {
        "line": line,
        "test": test,
        "chosen": study.chosen.name,
        "usual": usual,
        "stages": stages,
        "advice": list(study.advice.strategies),
        "points": len(study.outcomes),
    }


def told(table, few=FEW):
    """A few stages of a ``ProbeTable`` from the first to the last, the best one among them."""
    rows = table.summary
    rows = rows[rows["stage"].isin(table.stages)].sort_values("accuracy").drop_duplicates("stage", keep="last")
    best = table.stages.index(rows["stage"].iloc[-1])
    last = len(table.stages) - 1
    places = sorted({round(i * last / (few - 2)) for i in range(few - 1)} | {best})
    accuracy = dict(zip(rows["stage"], map(float, rows["accuracy"]), strict=True))
    words = {best: "the best single stage", last: "the usual place"}
    return [
        {
            "stage": table.stages[i],
            "accuracy": accuracy[table.stages[i]],
            "depth": words.get(i, f"stage {i + 1} of {last + 1}"),
        }
        for i in places
    ]


def export(tour):
    """The chosen network as a SavedModel, checked in fresh processes."""
    import kerascnn

    study = tour.made["study"]
    facts, classes = {"study": study.card}, study.data.classes
    written = kerascnn.export(study.model, tour.path("classifier"), classes=classes, facts=facts, replace=True)
    checks = [vars(check) for check in written.checks]
    found = {check["what"]: check["found"] for check in checks if check["file"] == "saved_model"}
    line = (
        f"verified in fresh processes, {sum(check['passed'] for check in checks)} of {len(checks)} checks passed: from "
        f"bytes of photos the same names, probabilities {found['bytes: probabilities']}"
    )
    return {"line": line, "checks": checks, "size": sum(written.files.values())}


def report(tour):
    """The visual report on the chosen network and the study."""
    import kerascnn

    study, out = tour.made["study"], tour.path("report.html")
    seen = []

    def tell(done, what, *rest):
        title = what.split(":")[0]  # of the section; what comes after it is told inside
        if title not in seen:
            seen.append(title)
            remark(f"    {done:4.0%}  {title}")

    kerascnn.report(
        study.model, data=study.data, transfer=tour.path("transfer"), effort="quick", seed=tour.seed, out=out, tell=tell
    )
    return {"line": f"{out}, {os.path.getsize(out) / 1e6:.1f} MB: open it in a browser", "file": out}


def mistakes(found, images, columns=6):
    """A figure of up to 24 of the images that an evaluation has wrong, with what they are and what was read."""
    import numpy as np
    from matplotlib.figure import Figure

    wrong = np.flatnonzero(~found.right)[: 4 * columns]
    rows = max(1, -(-len(wrong) // columns))
    figure = Figure(figsize=(1.3 * columns, 1.6 * rows), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes in grid:
        axes.axis("off")
    for axes, number in zip(grid, wrong, strict=False):
        (pixels,) = images.take([number]).pixels()
        axes.imshow(pixels[..., 0], cmap="gray_r", vmin=0, vmax=255)
        answer, reading = (found.class_name(each[number]) for each in (found.labels, found.predicted))
        axes.set_title(f"{answer}, read as {reading}", fontsize=9)
    if not len(wrong):
        figure.suptitle("none was read wrong", fontsize=10)
    return figure
