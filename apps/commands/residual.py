"""`kerascnn diagnose residual`: deeper plain nets train worse, residual ones do not."""

import math
import os
import time
from functools import partial

import click

from ..backend import load_keras
from ..errors import BadFile, Misuse, failing_as, writing
from ..options import COUNT, POSITIVE, Command, seed_option
from ..output import answer, bold, remark, table, verbosity, waiting, width

TABLE, PICTURE = "losses.csv", "losses.png"


class Depths(click.ParamType):
    """Depths 6n + 2 with commas between: 20,32,44,56."""

    name = "depths"

    def convert(self, value, option, context):
        if isinstance(value, tuple):
            return value
        words = value.replace(" ", "").split(",")
        if not all(word.isdigit() and int(word) >= 8 and (int(word) - 2) % 6 == 0 for word in words):
            self.fail(f"{value!r} are no depths of the form 6n + 2, such as 20,32,44,56.", option, context)
        return tuple(map(int, words))


@click.command("residual", cls=Command)
@click.option("--data", required=True, metavar="SOURCE", help="Small images: a folder, .zip or .npz, or cifar10.")
@click.option("--limit", metavar="N", type=COUNT, help="Images to learn from. [all]")
@click.option("--epochs", default=5, show_default=True, type=COUNT, help="Passes over them.")
@click.option("--depths", default="20,32,44,56", show_default=True, type=Depths(), help="Of both kinds.")
@click.option("--widths", "width", default=16, show_default=True, type=COUNT, help="Filters at first.")
@click.option("--rate", "--lr", default=0.1, show_default=True, type=POSITIVE, help="Learning rate.")
@click.option("--batch", default=128, show_default=True, type=COUNT, help="Images a step.")
@seed_option("Of weights and order.")
@click.option(
    "--out", default="residual", show_default=True, metavar="DIR", type=click.Path(file_okay=False), help="Folder."
)
def command(data, limit, epochs, depths, width, rate, batch, seed, out):
    """Plain nets against residual ones of the same depth.

    Each learns the same images in the same order, for a few epochs; what counts is the training loss. A network that is
    done is kept in DIR: the same command goes on after an interruption, and more --depths may follow.
    """
    images = load_images(data, limit, seed)
    load_keras()
    from kerascnn.diagnose import plain_against_residual
    from kerascnn.support.progress import progress

    options = {"widths": (width, 2 * width, 4 * width), "rate": rate, "batch_size": batch, "seed": seed}
    advice = lambda error: "another --out" if "`folder`" in str(error) else None  # noqa: E731
    try:
        with failing_as(Misuse, advice=advice), writing(out):
            os.makedirs(out, exist_ok=True)
            with progress(verbosity(), unit="text", wait=0, every=math.inf) as shown:
                options["on_progress"] = partial(show_epoch, shown, time.monotonic())
                found = plain_against_residual(images, depths, epochs, limit, folder=out, **options)
    except KeyboardInterrupt:
        remark(f"\nnetworks that are done are kept in {out}: the same command goes on")
        raise
    found.table.to_csv(os.path.join(out, TABLE), index=False)
    found.save(os.path.join(out, PICTURE))
    answer("diagnose", result(found, depths, out), lines(found, depths, epochs, out))


def show_epoch(shown, began, epoch, epochs, what):
    """Show how far training is: a line an epoch, and on a terminal also what is between."""
    variant, numbers = what.split("  ", 1)
    text = f"{variant:>9}  epoch {epoch:.4g} of {epochs}  {numbers}  {time.monotonic() - began:.0f} s"
    show = shown.note if epoch == int(epoch) else shown
    show(epoch, epochs, text)


def load_images(source, limit, seed):
    """The images to learn from: all there are but a test part, which stays where it is."""
    if os.sep in source and not os.path.exists(source):
        raise BadFile(f"--data: there is no {source}")
    from kerascnn.data.load import load

    advice = "a folder with a folder of images for each class, or cifar10"
    with failing_as(BadFile, "--data: ", advice, (OSError, ValueError)), waiting("reading the images ..."):
        return load(source, valid=0, test=0, seed=seed, limit=limit)


def final_values(found, column="loss"):
    """The last epoch's number of each network."""
    return dict(zip(found.final.variant, map(float, found.final[column]), strict=True))


def result(found, depths, out):
    losses, accuracies = final_values(found), final_values(found, "accuracy")
    rows = [
        {"depth": depth, "network": kind, "loss": losses[f"{kind}{depth}"], "accuracy": accuracies[f"{kind}{depth}"]}
        for depth in depths
        for kind in ("plain", "resnet")
    ]
    return {"networks": rows, "table": os.path.join(out, TABLE), "picture": os.path.join(out, PICTURE)}


def lines(found, depths, epochs, out):
    """The training losses, a line a depth."""
    losses = final_values(found)
    rows = [(depth, f"{losses[f'plain{depth}']:.4f}", f"{losses[f'resnet{depth}']:.4f}") for depth in depths]
    yield bold(f"training loss, epoch {epochs}")
    yield from table(("depth", "plain", "residual"), rows, room=width())
    yield f"{os.path.join(out, TABLE)}, {os.path.join(out, PICTURE)}"
