"""`kerascnn transfer`: from images to the best classifier that others' networks and a budget allow."""

import os
import time
import warnings

import click

from ..errors import PARTIAL, BadFile, Failure, Misuse
from ..models import build_network, check_weights, complete_names, missing, network_called, read_model
from ..options import Command
from ..output import answer, bold, next_steps, pairs, percent, remark, table, width
from ..quiet import load_keras
from .train import sorted_as

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
SHARE = click.FloatRange(0, 1, max_open=True)
SHOWN = 6


@click.command("transfer", cls=Command)
@click.argument("data", metavar="DATA")
@click.option("--out", metavar="RUN", type=click.Path(file_okay=False), help="Folder. [runs/transfer-DATA]")
@click.option("--models", metavar="A,B,..", shell_complete=complete_names, help=f"Backbones or files. [{SHIPPED}]")
@click.option(
    "--strategy", default="auto", show_default=True, type=click.Choice(STRATEGIES), help="What to try after heads."
)
@click.option("--budget", metavar="TIME", default="10m", show_default=True, help="90s, 10m, 1h; 0 for none.")
@click.option("--seed", default=0, show_default=True, type=click.IntRange(0), help="Of split, folds and order.")
@click.option("--test", metavar="SHARE", default=0.2, show_default=True, type=SHARE, help="Of the images, locked.")
@click.option("--test-data", metavar="SOURCE", help="Test on these, in place of a part of DATA.")
@click.option("--groups", metavar="REGEX", help="Images whose names match alike stay together.")
@click.option(
    "--size", metavar="N", type=click.IntRange(1), help="Side of the images; a network of the zoo is built for it."
)
@click.option("--resume", is_flag=True, help="Go on with what RUN has finished.")
def command(data, out, models, strategy, budget, seed, test, test_data, groups, size, resume):
    """Find out how to classify your images with networks that others have trained.

    DATA is a folder with a folder of images for each class, a .zip, .csv or .npz, or digits. Bad files and copies are
    found first; a part is locked for the test. Linear classifiers on every stage of each backbone come first, and say
    what is worth more: to cut the network short, to finetune its last layers, or all. What is not worse by more than
    one standard error, and cheaper, is chosen, and tested once. A run that was ended goes on with --resume.
    """
    names = [name.strip() for name in (models or SHIPPED).split(",") if name.strip()]
    rows = [(name, *known(name)) for name in names]
    seconds = budgeted(budget)
    out = folder(
        out or os.path.join("runs", f"transfer-{os.path.splitext(os.path.basename(data.rstrip(os.sep)))[0]}"), resume
    )
    load_keras()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        images = read(data, test, test_data, groups, seed)
        for line in messages(caught):
            remark(line)
        found = studied(images, [opened(*row, size) for row in rows], out, seconds, strategy, seed, size, resume)
        saved = stored(found, out)
    told = messages(caught)
    failed = [f"{each.point} failed: {each.failed}" for each in found.outcomes if each.failed]
    answer("transfer", result(found, data, out, saved), lines(found, out), told + failed)
    return PARTIAL if failed else 0


def known(name):
    """(row or None, weights) of a backbone, refused before Keras is loaded."""
    row = network_called(name)
    if row is None and not os.path.exists(name):
        raise missing(name)
    return row, check_weights(name, row, None)


def opened(name, row, weights, size):
    """The network, for images of this ``size`` where it is one of the zoo."""

    return build_network(row.name, weights, size and (size, size, row.input_shape[-1])) if row else read_model(name)


def budgeted(text):
    from kerascnn.transfer.budgets import budgeted

    try:
        return None if text == "0" else budgeted(text)
    except ValueError as error:
        raise Misuse(error, "--budget 10m") from error


def folder(out, resume):
    """The run's folder; what is in it stays."""
    there = os.path.isdir(os.path.join(out, "ledger"))
    if there and not resume:
        raise Misuse(f"{out} has a study in it, which stays", "--resume to go on with it, or --out with another folder")
    if os.path.isdir(out) and os.listdir(out) and not there:
        raise Misuse(f"{out} has files in it, and stays", "--out with a new folder")
    return out


def read(source, test, other, groups, seed):
    """The ``Data`` with its locked test."""
    from dataclasses import replace

    from kerascnn.data import load
    from kerascnn.transfer.sources import divided

    try:
        data = divided(source, 0.0 if other else test, groups, seed)
        if other:
            found = load(other, valid=0.0, test=0.0)
            data = replace(data, test=sorted_as(found.test or found.train, data.classes))
    except (OSError, ValueError) as error:
        advice = "digits, or a folder with a folder of images for each class"
        raise BadFile(f"the data cannot be used: {error}", advice) from error
    return data


def messages(caught):
    return [*dict.fromkeys(str(each.message) for each in caught if issubclass(each.category, UserWarning))]


def studied(images, models, out, budget, strategy, seed, size, resume):
    from kerascnn.transfer import study

    began = time.monotonic()
    tell = lambda line: remark(f"{time.monotonic() - began:6.0f} s  {line}")  # noqa: E731
    how = {"budget": budget, "strategy": strategy, "seed": seed, "size": size, "resume": resume, "tell": tell}
    try:
        return study(images, models, out=out, **how)
    except KeyboardInterrupt:
        remark(f"what is finished is kept in {out}: the same command goes on with --resume")
        raise
    except OSError as error:
        raise Failure(f"{out} cannot be written: {error.strerror or error}", "--out with another folder") from error
    except ValueError as error:
        raise Misuse(error) from error


def stored(found, out):
    """Write what is there; the names of the files."""
    try:
        return [*found.save(out)]
    except OSError as error:
        raise Failure(f"{out} cannot be written: {error.strerror or error}", "--resume, once there is room") from error


def result(found, data, out, saved):
    """The study as plain data."""
    rows = found.table.astype(object).where(found.table.notna(), None).to_dict("records")
    return found.card | {"source": data, "folder": str(out), "files": saved, "candidates": rows}


def lines(found, out):
    test, chosen = found.tested, found.chosen
    if test is not None:
        value, low, high = test.interval["accuracy"]
        yield bold(f"{percent(value, 1)} of images that it has never seen are named right")
        yield f"  {int(test.right.sum())} right of {len(test)}, 95 % interval {percent(low, 1)} to {percent(high, 1)}"
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
