"""`kerascnn diagnose residual`: compare plain and residual networks of increasing depth."""

import math
import os
import time
from functools import partial

import click

from ..backend import load_keras
from ..errors import BadFile, Misuse, raise_as, writing
from ..options import COUNT, POSITIVE, Command, seed_option
from ..output import bold, format_table, print_result, remark, terminal_width, verbosity, waiting

TABLE, PICTURE = "losses.csv", "losses.png"


class Depths(click.ParamType):
    """Depths 6n + 2, separated by commas: 20,32,44,56."""

    name = "depths"

    def convert(self, value, option, context):
        if isinstance(value, tuple):
            return value
        words = value.replace(" ", "").split(",")
        if not all(word.isdigit() and int(word) >= 8 and (int(word) - 2) % 6 == 0 for word in words):
            self.fail(
                f"`--depths` should be of the form 6n + 2, such as 20,32,44,56. Received: {value!r}", option, context
            )
        return tuple(map(int, words))


@click.command("residual", cls=Command)
@click.option(
    "--data", required=True, metavar="SOURCE", help="Small images to train on: a folder, .zip or .npz, or cifar10."
)
@click.option("--limit", metavar="N", type=COUNT, help="Number of training images. [all]")
@click.option("--epochs", default=5, show_default=True, type=COUNT, help="Number of epochs.")
@click.option(
    "--depths",
    default="20,32,44,56",
    show_default=True,
    type=Depths(),
    help="Depths of the plain and residual networks to compare.",
)
@click.option(
    "--widths", "width", default=16, show_default=True, type=COUNT, help="Number of filters in the first stage."
)
@click.option("--learning-rate", "--lr", default=0.1, show_default=True, type=POSITIVE, help="Learning rate.")
@click.option("--batch-size", default=128, show_default=True, type=COUNT, help="Batch size.")
@seed_option("Random seed for weights and order of images.")
@click.option(
    "--out",
    default="residual",
    show_default=True,
    metavar="DIR",
    type=click.Path(file_okay=False),
    help="Output folder.",
)
def residual_command(data, limit, epochs, depths, width, learning_rate, batch_size, seed, out):
    """Compare plain networks with residual networks of the same depth.

    All networks are trained on the same images in the same order for a few epochs; compare their training loss.
    Finished networks are stored in DIR: the same command resumes after an interruption, and more --depths can be added
    later.
    """
    images = load_training_images(data, limit, seed)
    load_keras()
    from kerascnn.diagnose import plain_against_residual
    from kerascnn.support.progress import progress

    options = {
        "widths": (width, 2 * width, 4 * width),
        "learning_rate": learning_rate,
        "batch_size": batch_size,
        "seed": seed,
    }
    advice = lambda error: "another --out" if any(word in str(error) for word in ("`out`", "`out`")) else None  # noqa: E731
    try:
        with raise_as(Misuse, advice=advice), writing(out):
            os.makedirs(out, exist_ok=True)
            with progress(verbosity(), unit="text", wait=0, every=math.inf) as shown:
                options["on_progress"] = partial(show_epoch, shown, time.monotonic())
                comparison = plain_against_residual(images, depths, epochs, limit, out=out, **options)
    except KeyboardInterrupt:
        remark(f"\nfinished networks are stored in {out}: run the same command again to resume")
        raise
    comparison.table.to_csv(os.path.join(out, TABLE), index=False)
    comparison.save(os.path.join(out, PICTURE))
    print_result("diagnose", residual_result(comparison, depths, out), residual_lines(comparison, depths, epochs, out))


def show_epoch(shown, began, epoch, epochs, what):
    """Show the progress of training: one line per epoch, and a live line on a terminal."""
    variant, numbers = what.split("  ", 1)
    text = f"{variant:>9}  epoch {epoch:.4g} of {epochs}  {numbers}  {time.monotonic() - began:.0f} s"
    show = shown.note if epoch == int(epoch) else shown
    show(epoch, epochs, text)


def load_training_images(source, limit, seed):
    """Load the training images; a test split of the source is left alone."""
    if os.sep in source and not os.path.exists(source):
        raise BadFile(f"--data not found: {source}")
    from kerascnn.data.load import load

    advice = "a folder with one subfolder per class, or cifar10"
    with raise_as(BadFile, "--data: ", advice, (OSError, ValueError)), waiting("loading the images ..."):
        return load(source, valid=0, test=0, seed=seed, limit=limit)


def final_values(comparison, column="loss"):
    """The last epoch's value of each network."""
    return dict(zip(comparison.final.variant, map(float, comparison.final[column]), strict=True))


def residual_result(comparison, depths, out):
    losses, accuracies = final_values(comparison), final_values(comparison, "accuracy")
    rows = [
        {"depth": depth, "network": kind, "loss": losses[f"{kind}{depth}"], "accuracy": accuracies[f"{kind}{depth}"]}
        for depth in depths
        for kind in ("plain", "resnet")
    ]
    return {"networks": rows, "table": os.path.join(out, TABLE), "picture": os.path.join(out, PICTURE)}


def residual_lines(comparison, depths, epochs, out):
    """The training losses, one line per depth."""
    losses = final_values(comparison)
    rows = [(depth, f"{losses[f'plain{depth}']:.4f}", f"{losses[f'resnet{depth}']:.4f}") for depth in depths]
    yield bold(f"training loss, epoch {epochs}")
    yield from format_table(("depth", "plain", "residual"), rows, room=terminal_width())
    yield f"{os.path.join(out, TABLE)}, {os.path.join(out, PICTURE)}"
