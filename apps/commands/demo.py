"""`kerascnn demo`: the tour, a table of steps; offline, in a few minutes."""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import click

from ..options import PARTIAL, Command, Misuse, given, one_line
from ..output import answer, bold, next_steps, pairs, percent, remark, width
from ..quiet import load_keras
from . import demo_steps as steps

MARK = ".kerascnn-demo"  # in a folder that the demo made and may fill again


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


STEPS = (
    Step(
        "build",
        "a network is a graph of layers: LeNet-5 of 1998, layer by layer",
        steps.build,
        {"lenet5.svg": "LeNet-5 as blocks, for a browser", "lenet5.txt": "the same layer by layer"},
    ),
    Step(
        "learn",
        "it learns to read 1,797 digits by Adam on the cross-entropy; a quarter of them is held out",
        steps.learn,
        {
            "history.csv": "loss and accuracy after each epoch",
            "lenet5.keras": "the trained network",
            "mistakes.png": "the digits that it read wrong",
        },
    ),
    Step(
        "transfer",
        "what a network that learnt from photos knows of digits: ResNet-20, a classifier on each of its stages",
        steps.transfer,
        {"transfer": "the study: the network that was chosen, every candidate, a page"},
    ),
    Step(
        "export",
        "others can run it: a SavedModel that takes bytes of photos and answers with names, loaded again and compared",
        steps.export,
        {"classifier": "the chosen network for TensorFlow Serving, with its card"},
    ),
    Step(
        "report",
        "what it sees, gets wrong and suffers from, on one page",
        steps.report,
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
    prepare(out, force)
    load_keras()
    started, tour = time.perf_counter(), Tour(out, epochs, seed)
    found, failed = taken(tour)
    about = {"folder": out, "epochs": epochs, "seed": seed, "seconds": round(time.perf_counter() - started, 1)}
    result = about | {"files": [*files(found)], "steps": found, "failed": failed}
    answer("demo", result, lines(result), [f"{name}: {reason}" for name, reason in failed.items()])
    return PARTIAL if failed else 0


def prepare(out, force):
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


def taken(tour):
    """({step: its facts}, {step that failed: why}); a step that fails is the last, since others build on it."""
    found = {}
    for number, step in enumerate(STEPS, start=1):
        remark(click.style(f"{number}/{len(STEPS)} {step.name}: ", bold=True) + step.shows)
        began = time.perf_counter()
        try:
            facts = step.do(tour)
        except KeyboardInterrupt:
            there = ", ".join(files(found)) or "nothing yet"
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


def files(found):
    """{name: what it is} of what the steps that are done have left."""
    return {name: what for step in STEPS if step.name in found for name, what in step.files.items()}


def lines(result):
    folder, found = result["folder"], result["steps"]
    yield ""
    for name, title in (("learn", "LeNet-5, learnt from nothing"), ("transfer", "ResNet-20, transferred")):
        if name in found:
            test = found[name]["test"]
            low, high = (percent(end, 1) for end in test["interval"])
            yield bold(f"{title}, reads {percent(test['accuracy'], 1)} of digits that it has never seen")
            yield f"  {test['right']} right of {test['images']}, 95 % interval {low} to {high}"
    yield f"  the tour took {result['seconds']:.0f} s"
    yield ""
    yield bold(f"files in {folder}")
    yield from pairs(files(found), room=width())
    yield from next_steps({words.format(folder): what for words, what in NEXT.items()})


NEXT = {
    "kerascnn show {0}/lenet5.keras --layers": "what a network is made of",
    "kerascnn transfer PHOTOS/": "the same with your photos, a folder for each class",
    "kerascnn see saliency {0}/transfer/model.keras PHOTO": "which pixels matter",
    "kerascnn see --list": "all the ways to see",
    "kerascnn list --max-params 5M": "small networks; --pretrained: with published weights",
}
