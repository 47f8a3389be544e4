"""`kerascnn demo`: the tour, a table of steps; offline, in a few minutes."""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import click

from ..backend import load_keras
from ..datasets import describe_test, summarize_test
from ..errors import PARTIAL, Misuse, one_line
from ..options import Command, given
from ..output import answer, bold, next_steps, pairs, percent, remark, verbosity, width

MARK = ".kerascnn-demo"  # in a folder that the demo made and may fill again
BACKBONE = "resnet20_cifar10"
BUDGET = 60  # seconds for classifiers and the grid
HEADS = ("ridge",)  # the quick one
FEW = 4  # stages of which the table is told
RATE = 2e-3  # of Adam, at first
HELD_OUT = 0.25  # of the digits that LeNet-5 learns
NEXT = {
    "kerascnn show {0}/lenet5.keras --layers": "what a network is made of",
    "kerascnn transfer PHOTOS/": "the same with your photos, a folder for each class",
    "kerascnn see saliency {0}/transfer/model.keras PHOTO": "which pixels matter",
    "kerascnn see --list": "all the ways to see",
    "kerascnn list --max-params 5M": "small networks; --pretrained: with published weights",
}


@dataclass(frozen=True)
class Step:
    """A stop of the tour: what it shows, what does it, and the files that it leaves."""

    name: str
    shows: str
    do: Callable  # of the `Tour`; returns its facts as plain data, with a "line" that says what came out
    files: dict


@dataclass
class Tour:
    """Where the tour goes, and what it has made so far for the steps that follow."""

    out: str
    epochs: int
    seed: int
    made: dict = field(default_factory=dict)

    def path(self, name):
        return os.path.join(self.out, name)


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
    from kerascnn.support.files import replacing, save_figure

    data = kerascnn.load("digits", valid=0, test=HELD_OUT, seed=tour.seed)
    model = tour.made["lenet5"]
    history = kerascnn.fit(model, data, "adam", epochs=tour.epochs, rate=RATE, seed=tour.seed, verbose=verbosity())
    if history.stopped:
        raise KeyboardInterrupt(history.stopped)
    history.save(tour.path("history.csv"))
    with replacing(tour.path("lenet5.keras")) as draft:
        model.save(draft)

    found = kerascnn.evaluate(model, data)
    save_figure(draw_mistakes(found, data.test), tour.path("mistakes.png"))
    test = summarize_test(found)
    wrong = test["images"] - test["right"]
    line = f"of the {test['images']} that it has never seen it reads {wrong} wrong: mistakes.png"
    return {"line": line, "train": len(data.train), "test": test}


def transfer(tour):
    """A study of the shipped network on the same digits: taps, advice, what of the grid the budget allows."""
    import kerascnn

    began = time.monotonic()

    def note(done, total, what):
        remark(f"    {time.monotonic() - began:4.0f} s  {what}")

    out = tour.path("transfer")
    how = {"budget": BUDGET, "heads": HEADS, "seed": tour.seed, "on_progress": note}
    study = kerascnn.transfer("digits", BACKBONE, out=out, **how)
    study.save(out)
    tour.made["study"] = study

    stages = select_stages(study.best)
    for row in stages:
        remark(f"    {row['stage']:<16} {percent(row['accuracy'], 1):>7}  of images not shown, {row['depth']}")
    remark(f"    {study.advice.similarity} data, {study.advice.amount} of it: first {study.advice.strategies[0]}")
    test, usual, gap = summarize_test(study.tested), study.usual_tested.accuracy, study.compared.difference
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


def select_stages(table, few=FEW):
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

    def note(done, total, what):
        title = what.split(":")[0]  # of the section; what comes after it is told inside
        if title not in seen:
            seen.append(title)
            remark(f"    {done / total:4.0%}  {title}")

    kerascnn.report(
        study.model,
        data=study.data,
        transfer=tour.path("transfer"),
        effort="quick",
        seed=tour.seed,
        out=out,
        on_progress=note,
    )
    return {"line": f"{out}, {os.path.getsize(out) / 1e6:.1f} MB: open it in a browser", "file": out}


def draw_mistakes(found, images, columns=6):
    """A figure of up to 24 of the images that an evaluation has wrong, with what they are and what was read."""
    import numpy as np

    from kerascnn.plots.style import new_figure

    wrong = np.flatnonzero(~found.right)[: 4 * columns]
    rows = max(1, -(-len(wrong) // columns))
    figure = new_figure(1.3 * columns, 1.6 * rows)
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


STEPS = (
    Step(
        "build",
        "a network is a graph of layers: LeNet-5 of 1998, layer by layer",
        build,
        {"lenet5.svg": "LeNet-5 as blocks, for a browser", "lenet5.txt": "the same layer by layer"},
    ),
    Step(
        "learn",
        "it learns to read 1,797 digits by Adam on the cross-entropy; a quarter of them is held out",
        learn,
        {
            "history.csv": "loss and accuracy after each epoch",
            "lenet5.keras": "the trained network",
            "mistakes.png": "the digits that it read wrong",
        },
    ),
    Step(
        "transfer",
        "what a network that learned from photos knows of digits: ResNet-20, a classifier on each of its stages",
        transfer,
        {"transfer": "the study: the network that was chosen, every candidate, a page"},
    ),
    Step(
        "export",
        "others can run it: a SavedModel that takes bytes of photos and answers with names, loaded again and compared",
        export,
        {"classifier": "the chosen network for TensorFlow Serving, with its card"},
    ),
    Step(
        "report",
        "what it sees, gets wrong and suffers from, on one page",
        report,
        {"report.html": "the page, for a browser", "report.json": "its numbers"},
    ),
)


@click.command("demo", cls=Command)
@click.option(
    "--out", default="kerascnn-demo", show_default=True, metavar="DIR", type=click.Path(file_okay=False), help="Folder."
)
@click.option("--epochs", default=15, show_default=True, type=click.IntRange(1), help="Of LeNet-5 through the data.")
@click.option("--seed", default=0, show_default=True, type=click.IntRange(0), help="Of weights and splits.")
@click.option("--force", is_flag=True, help="Write into a folder that the demo did not make.")
def command(out, epochs, seed, force):
    """Take the tour: build, learn, transfer, export, see.

    LeNet-5 learns to read the handwritten digits that come with scikit-learn. Then a ResNet that comes along, trained
    on photos, is turned into a better reader, exported, and looked into. Needs no connection, and a few minutes. What
    an interrupted tour has finished of the transfer is used again. Exit code 5 where a step failed.
    """
    prepare_folder(out, force)
    load_keras()
    started, tour = time.perf_counter(), Tour(out, epochs, seed)
    found, failed = take_tour(tour)
    about = {"folder": out, "epochs": epochs, "seed": seed, "seconds": round(time.perf_counter() - started, 1)}
    result = about | {"files": [*files_of(found)], "steps": found, "failed": failed}
    answer("demo", result, lines(result), [f"{name}: {reason}" for name, reason in failed.items()], told=True)
    return PARTIAL if failed else 0


def prepare_folder(out, force):
    """Make the folder, unless it is somebody else's."""
    mark = os.path.join(out, MARK)
    try:
        if os.path.isdir(out) and os.listdir(out) and not os.path.exists(mark) and not force:
            raise Misuse(f"{out} has files in it, not the demo's", "--out with a new folder, or --force")
        os.makedirs(out, exist_ok=True)
        with open(mark, "w", encoding="utf-8") as file:
            file.write("made by kerascnn demo, which may fill this folder again\n")
    except OSError as error:
        raise Misuse(f"{out} cannot be written: {error.strerror}") from error


def take_tour(tour):
    """({step: its facts}, {step that failed: why}); a step that fails is the last, since others build on it."""
    found = {}
    for number, step in enumerate(STEPS, start=1):
        remark(click.style(f"{number}/{len(STEPS)} {step.name}: ", bold=True) + step.shows)
        began = time.perf_counter()
        try:
            facts = step.do(tour)
        except KeyboardInterrupt:
            there = ", ".join(files_of(found)) or "nothing yet"
            remark(f"\ninterrupted while it was to {step.name}; in {tour.out} there is {there}")
            raise
        except Exception as error:
            if given("verbose"):
                raise
            remark(f"    failed: {one_line(error)}")
            return found, {step.name: f"{type(error).__name__}: {one_line(error)}"}
        found[step.name] = {**facts, "seconds": round(time.perf_counter() - began, 1)}
        remark(f"    {facts['line']}")
    return found, {}


def files_of(found):
    """{name: what it is} of what the steps that are done have left."""
    return {name: what for step in STEPS if step.name in found for name, what in step.files.items()}


def lines(result):
    folder, found = result["folder"], result["steps"]
    yield ""
    for name, title in (("learn", "LeNet-5, learned from nothing"), ("transfer", "ResNet-20, transferred")):
        if name in found:
            test = found[name]["test"]
            yield bold(f"{title}, reads {percent(test['accuracy'], 1)} of digits that it has never seen")
            yield describe_test(test)
    yield f"  the tour took {result['seconds']:.0f} s"
    yield ""
    yield bold(f"files in {folder}")
    yield from pairs(files_of(found), room=width())
    yield from next_steps({words.format(folder): what for words, what in NEXT.items()})
