"""`kerascnn demo`: a guided tour as a table of steps; offline, in a few minutes."""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import click

from ..backend import load_keras
from ..datasets import describe_test, summarize_test
from ..errors import PARTIAL, Misuse, one_line
from ..options import Command, is_flag_set
from ..output import bold, format_pairs, next_steps, percent, print_result, remark, terminal_width, verbosity

MARK = ".kerascnn-demo"  # marks a folder of the demo, which it may overwrite
BACKBONE = "resnet20_cifar10"
BUDGET = 60  # seconds for linear probes and the grid
HEADS = ("ridge",)  # the fast one
FEW = 4  # stages in the printed table
RATE = 2e-3  # initial learning rate of Adam
HELD_OUT = 0.25  # fraction of the digits held out from LeNet-5
NEXT = {
    "kerascnn show {0}/lenet5.keras --layers": "the layers of a network",
    "kerascnn transfer PHOTOS/": "the same with your own photos, one subfolder per class",
    "kerascnn see saliency {0}/transfer/model.keras PHOTO": "which pixels matter for a prediction",
    "kerascnn see --list": "all visualization methods",
    "kerascnn list --max-params 5M": "find small networks; --pretrained: those with published weights",
}


@dataclass(frozen=True)
class Step:
    """One step of the tour: what it shows, the function that does it, and the files that it writes."""

    name: str
    shows: str
    do: Callable  # takes the `Tour`, returns plain data with a one-line summary under "line"
    files: dict


@dataclass
class Tour:
    """The settings of a tour, and the objects made so far for later steps."""

    out: str
    epochs: int
    seed: int
    objects: dict = field(default_factory=dict)

    def path(self, name):
        return os.path.join(self.out, name)


def build_step(tour):
    """Build LeNet-5 and write its table and its diagram."""
    import keras

    import kerascnn

    keras.utils.set_random_seed(tour.seed)
    model = tour.objects["lenet5"] = kerascnn.build_model("lenet5")
    kerascnn.diagram(model).save(tour.path("lenet5.svg"))
    anatomy = kerascnn.dissect(model)
    anatomy.save(tour.path("lenet5.txt"))
    most = max(anatomy.rows, key=lambda row: row.params)
    share = percent(most.params, anatomy.params)
    line = f"{anatomy.trainable:,} parameters, {share} of them in {most.name}; {anatomy.macs:,} multiply-adds per image"
    return {"line": line, "parameters": anatomy.trainable}


def train_step(tour):
    """Train LeNet-5 on the digits and draw its mistakes on held-out images."""
    import kerascnn
    from kerascnn.inputs.class_names import save_model
    from kerascnn.support.files import save_figure, write_atomically

    data = kerascnn.load("digits", valid=0, test=HELD_OUT, seed=tour.seed)
    model = tour.objects["lenet5"]
    history = kerascnn.fit(
        model, data, "adam", epochs=tour.epochs, learning_rate=RATE, seed=tour.seed, verbose=verbosity()
    )
    if history.stopped:
        raise KeyboardInterrupt(history.stopped)
    history.save(tour.path("history.csv"))
    with write_atomically(tour.path("lenet5.keras")) as draft:
        save_model(model, draft)

    evaluation = kerascnn.evaluate(model, data)
    save_figure(draw_mistakes(evaluation, data.test), tour.path("mistakes.png"))
    test = summarize_test(evaluation)
    wrong = test["images"] - test["right"]
    line = f"{wrong} of {test['images']} test images are misclassified: mistakes.png"
    return {"line": line, "train": len(data.train), "test": test}


def transfer_step(tour):
    """Run a transfer study of the shipped network on the same digits."""
    import kerascnn
    from kerascnn.transfer_learning.advice import STRATEGY_TEXTS, describe_dataset

    began = time.monotonic()

    def note(done, total, what):
        remark(f"    {time.monotonic() - began:4.0f} s  {what}")

    out = tour.path("transfer")
    study = kerascnn.transfer("digits", BACKBONE, out=out, budget=BUDGET, heads=HEADS, seed=tour.seed, on_progress=note)
    study.save(out)
    tour.objects["study"] = study

    stages = select_stages(study.best_probes)
    for row in stages:
        remark(f"    {row['stage']:<16} held-out accuracy {percent(row['accuracy'], 1):>7}, {row['depth']}")
    remark(f"    {describe_dataset(study.advice)} Most promising: {STRATEGY_TEXTS[study.advice.strategies[0]]}")
    test, usual, gap = summarize_test(study.evaluation), study.baseline_evaluation.accuracy, study.comparison.difference
    line = (
        f"chosen: {study.chosen.name}; test accuracy {percent(test['accuracy'], 1)}, baseline "
        f"{percent(usual, 1)}: {100 * gap.value:+.1f} percentage points ({100 * gap.low:+.1f} to "
        f"{100 * gap.high:+.1f})"
    )
    return {
        "line": line,
        "test": test,
        "chosen": study.chosen.name,
        "usual": usual,
        "stages": stages,
        "advice": list(study.advice.strategies),
        "points": len(study.trial_results),
    }


def select_stages(table, few=FEW):
    """A few stages of a ``ProbeTable`` from the first to the last, including the best one."""
    rows = table.summary
    rows = rows[rows["stage"].isin(table.stages)].sort_values("accuracy").drop_duplicates("stage", keep="last")
    best = table.stages.index(rows["stage"].iloc[-1])
    last = len(table.stages) - 1
    places = sorted({round(i * last / (few - 2)) for i in range(few - 1)} | {best})
    accuracy = dict(zip(rows["stage"], map(float, rows["accuracy"]), strict=True))
    words = {best: "the best single stage", last: "the last features (baseline)"}
    return [
        {
            "stage": table.stages[i],
            "accuracy": accuracy[table.stages[i]],
            "depth": words.get(i, f"stage {i + 1} of {last + 1}"),
        }
        for i in places
    ]


def export_step(tour):
    """Export the chosen network as a SavedModel and verify it in new processes."""
    import kerascnn

    study = tour.objects["study"]
    facts, classes = {"study": study.card}, study.data.class_names
    written = kerascnn.export(study.model, tour.path("classifier"), class_names=classes, metadata=facts, replace=True)
    checks = [vars(check) for check in written.checks]
    values = {check["what"]: check["found"] for check in checks if check["file"] == "saved_model"}
    line = (
        f"verified in new processes: {sum(check['passed'] for check in checks)} of {len(checks)} "
        "checks passed; same class names as in Python, largest difference of probabilities "
        f"{values['bytes: probabilities']}"
    )
    return {"line": line, "checks": checks, "size": sum(written.files.values())}


def report_step(tour):
    """Write the report about the chosen network and the study."""
    import kerascnn

    study, out = tour.objects["study"], tour.path("report.html")
    seen = []

    def note(done, total, what):
        title = what.split(":")[0]  # of the section, without its details
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


def draw_mistakes(evaluation, images, columns=6):
    """A figure of up to 24 misclassified images, with their true and predicted classes."""
    import numpy as np

    from kerascnn.plots.style import new_figure

    wrong = np.flatnonzero(~evaluation.correct)[: 4 * columns]
    rows = max(1, -(-len(wrong) // columns))
    figure = new_figure(1.3 * columns, 1.6 * rows)
    grid = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes in grid:
        axes.axis("off")
    for axes, number in zip(grid, wrong, strict=False):
        (pixels,) = images.take([number]).pixels()
        axes.imshow(pixels[..., 0], cmap="gray_r", vmin=0, vmax=255)
        answer, reading = (evaluation.class_name(each[number]) for each in (evaluation.labels, evaluation.predicted))
        axes.set_title(f"{answer}, predicted {reading}", fontsize=9)
    if not len(wrong):
        figure.suptitle("no mistakes", fontsize=10)
    return figure


STEPS = (
    Step(
        "build",
        "a network is a graph of layers: LeNet-5 (1998), layer by layer",
        build_step,
        {"lenet5.svg": "block diagram of LeNet-5, for a browser", "lenet5.txt": "the same as a text table"},
    ),
    Step(
        "train",
        ("train it to read 1,797 handwritten digits with Adam and cross-entropy; a quarter is held out"),
        train_step,
        {
            "history.csv": "loss and accuracy after each epoch",
            "lenet5.keras": "the trained network",
            "mistakes.png": "the misclassified digits",
        },
    ),
    Step(
        "transfer",
        ("how useful are features of photos for digits? ResNet-20 with a linear classifier on each stage"),
        transfer_step,
        {"transfer": "the study: the chosen network, all candidates, an HTML report"},
    ),
    Step(
        "export",
        ("export a SavedModel that takes image files and returns class names; reload it and compare"),
        export_step,
        {"classifier": "the chosen network for TensorFlow Serving, with its card"},
    ),
    Step(
        "report",
        "one page on what the network sees, where it fails, and how healthy it is",
        report_step,
        {"report.html": "the report, for a browser", "report.json": "its numbers"},
    ),
)


@click.command("demo", cls=Command)
@click.option(
    "--out",
    default="kerascnn-demo",
    show_default=True,
    metavar="DIR",
    type=click.Path(file_okay=False),
    help="Output folder.",
)
@click.option("--epochs", default=15, show_default=True, type=click.IntRange(1), help="Number of epochs for LeNet-5.")
@click.option(
    "--seed", default=0, show_default=True, type=click.IntRange(0), help="Random seed for weights and splits."
)
@click.option("--force", is_flag=True, help="Write into an existing folder that the demo did not create.")
def demo_command(out, epochs, seed, force):
    """A guided tour: build, train, transfer, export, visualize.

    Trains LeNet-5 on the handwritten digits of scikit-learn, then adapts the ResNet that ships with kerascnn,
    pretrained on photos, to the same digits, exports it and writes a report about it. Takes a few minutes and works
    offline. An interrupted tour reuses the finished parts of the transfer study. Exit code 5 if a step failed.
    """
    prepare_tour_folder(out, force)
    load_keras()
    started, tour = time.perf_counter(), Tour(out, epochs, seed)
    results, failed = take_tour(tour)
    about = {"folder": out, "epochs": epochs, "seed": seed, "seconds": round(time.perf_counter() - started, 1)}
    result = about | {"files": [*step_files(results)], "steps": results, "failed": failed}
    print_result(
        "demo", result, tour_lines(result), [f"{name}: {reason}" for name, reason in failed.items()], printed=True
    )
    return PARTIAL if failed else 0


def prepare_tour_folder(out, force):
    """Create the folder; refuse one with files that the demo did not write."""
    mark = os.path.join(out, MARK)
    try:
        if os.path.isdir(out) and os.listdir(out) and not os.path.exists(mark) and not force:
            raise Misuse(f"{out} contains files that the demo did not write", "--out with a new folder, or --force")
        os.makedirs(out, exist_ok=True)
        with open(mark, "w", encoding="utf-8") as file:
            file.write("created by kerascnn demo, which may overwrite this folder\n")
    except OSError as error:
        raise Misuse(f"{out} cannot be written: {error.strerror}") from error


def take_tour(tour):
    """({step: its results}, {failed step: reason}); the tour ends with the first failure."""
    results = {}
    for number, step in enumerate(STEPS, start=1):
        remark(click.style(f"{number}/{len(STEPS)} {step.name}: ", bold=True) + step.shows)
        began = time.perf_counter()
        try:
            facts = step.do(tour)
        except KeyboardInterrupt:
            there = ", ".join(step_files(results)) or "no files yet"
            remark(f"\ninterrupted in step {step.name}; {tour.out} contains {there}")
            raise
        except Exception as error:
            if is_flag_set("verbose"):
                raise
            remark(f"    failed: {one_line(error)}")
            return results, {step.name: f"{type(error).__name__}: {one_line(error)}"}
        results[step.name] = {**facts, "seconds": round(time.perf_counter() - began, 1)}
        remark(f"    {facts['line']}")
    return results, {}


def step_files(results):
    """{file: description} of the finished steps."""
    return {name: what for step in STEPS if step.name in results for name, what in step.files.items()}


def tour_lines(result):
    folder, results = result["folder"], result["steps"]
    yield ""
    for name, title in (("train", "LeNet-5, trained from scratch"), ("transfer", "ResNet-20, transferred")):
        if name in results:
            test = results[name]["test"]
            yield bold(f"{title}: {percent(test['accuracy'], 1)} accuracy on held-out digits")
            yield describe_test(test)
    yield f"  the tour took {result['seconds']:.0f} s"
    yield ""
    yield bold(f"files in {folder}")
    yield from format_pairs(step_files(results), room=terminal_width())
    yield from next_steps({words.format(folder): what for words, what in NEXT.items()})
