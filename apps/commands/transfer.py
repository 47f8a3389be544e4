"""`kerascnn transfer`: from images to the best classifier that others' networks and a budget allow."""

import os
import time

import click

from ..backend import load_keras
from ..datasets import IMAGES, describe_test, summarize_test, with_test_set
from ..errors import PARTIAL, BadFile, Failure, Misuse, failing_as, writing
from ..models import complete_names, find_model
from ..options import COUNT, SHARE, Command, Names, run_folder, seed_option
from ..output import answer, bold, collected_warnings, next_steps, pairs, percent, remark, table, width

SHIPPED = "resnet20_cifar10"
FILES = {
    "model.keras": "the network that was chosen",
    "labels.json": "the names of its classes",
    "report.html": "all of it as one page",
    "table.csv": "every candidate",
    "points.csv": "every point of the grid",
    "study.json": "data, choice, test, time",
    "ledger": "what is finished, for --resume",
}
STRATEGIES = ("auto", "linear", "layers", "finetune", "grid")
SHOWN = 6


@click.command("transfer", cls=Command)
@click.argument("data", metavar="DATA")
@click.option("--out", metavar="RUN", type=click.Path(file_okay=False), help="Folder. [runs/transfer-DATA]")
@click.option(
    "--models", metavar="A,B,..", type=Names(), shell_complete=complete_names, help=f"Backbones or files. [{SHIPPED}]"
)
@click.option(
    "--strategy", default="auto", show_default=True, type=click.Choice(STRATEGIES), help="What to try after heads."
)
@click.option("--budget", metavar="TIME", default="10m", show_default=True, help="90s, 10m, 1h; 0 for none.")
@seed_option("Of split, folds and order.")
@click.option("--test", metavar="SHARE", default=0.2, show_default=True, type=SHARE, help="Of the images, locked.")
@click.option("--test-data", metavar="SOURCE", help="Test on these, in place of a part of DATA.")
@click.option("--groups", metavar="REGEX", help="Images whose names match alike stay together.")
@click.option("--size", metavar="N", type=COUNT, help="Side of the images; a network of the zoo is built for it.")
@click.option("--resume", is_flag=True, help="Go on with what RUN has finished.")
def command(data, out, models, strategy, budget, seed, test, test_data, groups, size, resume):
    """Find out how to classify your images with networks that others have trained.

    DATA is a folder with a folder of images for each class, a .zip, .csv or .npz, or digits. Bad files and copies are
    found first; a part is locked for the test. Linear classifiers on every stage of each backbone come first, and say
    what is worth more: to cut the network short, to finetune its last layers, or all. What is not worse by more than
    one standard error, and cheaper, is chosen, and tested once. A run that was ended goes on with --resume.
    """
    backbones = [find_model(name) for name in models or (SHIPPED,)]
    seconds = parse_budget(budget)
    name = os.path.splitext(os.path.basename(data.rstrip(os.sep)))[0]
    out = run_folder(out or os.path.join("runs", f"transfer-{name}"), ("ledger",), "study", resume)
    load_keras()
    with collected_warnings() as first:
        images = load_data(data, test, test_data, groups, seed)
    for line in first:
        remark(line)
    with collected_warnings() as later:
        networks = [backbone.open(size) for backbone in backbones]
        found = run_study(images, networks, out, seconds, strategy, seed, size, resume)
        saved = save_study(found, out)
    warnings = [*dict.fromkeys(first + later)]
    failed = [f"{each.point} failed: {each.failed}" for each in found.outcomes if each.failed]
    answer("transfer", result(found, data, out, saved), lines(found, out), warnings + failed, told=True)
    return PARTIAL if failed else 0


def parse_budget(text):
    from kerascnn.transfer_learning.sources import budgeted

    with failing_as(Misuse, advice="--budget 10m"):
        return None if text == "0" else budgeted(text)


def load_data(source, test, other, groups, seed):
    """The ``Data`` with its locked test."""
    from kerascnn.data import load
    from kerascnn.transfer_learning.sources import divided

    with failing_as(BadFile, "the data cannot be used: ", IMAGES, (OSError, ValueError)):
        data = divided(source, 0.0 if other else test, groups, seed)
        return with_test_set(data, load(other, valid=0.0, test=0.0)) if other else data


def run_study(images, models, out, budget, strategy, seed, size, resume):
    from kerascnn.transfer_learning import transfer

    began = time.monotonic()

    def note(done, total, what):
        remark(f"{time.monotonic() - began:6.0f} s  {what}")

    how = {"budget": budget, "strategy": strategy, "seed": seed, "size": size, "resume": resume, "on_progress": note}
    try:
        with writing(out, Failure, "--out with another folder"), failing_as(Misuse):
            return transfer(images, models, out=out, **how)
    except KeyboardInterrupt:
        remark(f"what is finished is kept in {out}: the same command goes on with --resume")
        raise


def save_study(found, out):
    """Write what is there; the names of the files."""
    with writing(out, Failure, "--resume, once there is room"):
        return [*found.save(out)]


def result(found, data, out, saved):
    """The study as plain data."""
    rows = found.table.astype(object).where(found.table.notna(), None).to_dict("records")
    return found.card | {"source": data, "folder": str(out), "files": saved, "candidates": rows}


def lines(found, out):
    chosen = found.chosen
    if found.tested is not None:
        test = summarize_test(found.tested)
        yield bold(f"{percent(test['accuracy'], 1)} of images that it has never seen are named right")
        yield describe_test(test)
        gap = found.compared.difference
        yield (
            f"  the usual way, {found.usual.head} on {found.usual.stage}: {percent(found.usual_tested.accuracy, 1)}; "
            f"difference {100 * gap.value:+.1f} points ({100 * gap.low:+.1f} to {100 * gap.high:+.1f})"
        )
    else:
        yield bold(f"{percent(chosen.accuracy, 1)} of images not shown; not tested: no images were kept for it")
    yield f"  chosen: {chosen.name}"
    yield ""
    yield from str(found.advice).splitlines()
    yield ""
    yield bold("candidates, by accuracy on images not shown")
    titles = ("accuracy", "interval", "kind", "candidate")
    best = sorted(found.candidates, key=lambda each: -each.accuracy)[:SHOWN]
    cells = [
        (percent(row["accuracy"], 1), f"{percent(row['low'], 1)} to {percent(row['high'], 1)}", row["kind"], each.name)
        for each in best
        for row in [each.row]
    ]
    yield from table(titles, cells, words=("kind", "candidate"), room=width())
    yield ""
    yield bold(f"files in {out}")
    yield from pairs(FILES, room=width())
    path, names = (os.path.join(out, name) for name in ("model.keras", "labels.json"))
    yield from next_steps(
        {
            f"kerascnn predict {path} IMAGE": "what it sees in a photo",
            f"kerascnn export {path} classifier --classes {names}": "files that others can run",
        }
    )
