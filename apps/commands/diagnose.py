"""`kerascnn diagnose`: how signals start in a network, what its units do, whether its gradients are right."""

import click

from ..backend import load_keras
from ..errors import BadFile, Failure, failing_as
from ..models import Source, complete_names_and_files, find_network, model_argument
from ..options import COUNT, PICTURES, POSITIVE, Command, Group, images_argument, keep, new_file_option, seed_option
from ..output import answer, bar, bold, json_number, json_rows, remark, table, verbosity, waiting, width
from .residual import command as residual

INITS = ("normal", "xavier", "glorot", "he")
ACTS = ("tanh", "sigmoid", "relu", "leaky_relu", "linear")
save_option = new_file_option("--save", "diagnosis.png", PICTURES, "Draw it.")


command = Group(
    "diagnose",
    help="Look for what is wrong with a network: its start, its units and filters, its gradients, its depth.",
)


@command.command("init", cls=Command)
@click.option("--rule", default="normal", show_default=True, type=click.Choice(INITS), help="normal takes --std.")
@click.option("--std", default=0.01, show_default=True, type=POSITIVE, help="Of the weights.")
@click.option("--act", default="tanh", show_default=True, type=click.Choice(ACTS), help="The nonlinearity.")
@save_option
def init(rule, std, act, save):
    """What first weights do to signals.

    Ten layers of 500 units on Gaussian inputs: the spread of activations on their way in, and of gradients on their way
    back. With --std 0.01 they die, with --std 1 tanh saturates; --rule xavier is the cure, --rule he that for --act
    relu.
    """
    load_keras()
    from kerascnn.diagnose import initialization

    found = initialization(init=rule, std=std, act=act)
    keep(found, save)
    answer("diagnose", {"title": found.title, "layers": json_rows(found.table), "saved": save}, init_lines(found))


@command.command("units", cls=Command)
@model_argument
@images_argument
@save_option
def units(model, images, save):
    """Dead units, units that repeat each other, noisy filters.

    What the units of a network do on images, a line a layer, and whether the filters of its first convolution are good,
    too noisy, too correlated or without structure. Dozens of images say more than a few.
    """
    diagnose_units(model, images, save)


@command.command("gradient", cls=Command)
@click.argument("network", metavar="NAME|FILE", shell_complete=complete_names_and_files)
@click.option("--samples", default=4, show_default=True, type=COUNT, help="Weights to look at in a layer.")
@seed_option("Of the images and the samples.")
@save_option
def gradient(network, samples, seed, save):
    """Are its gradients right?

    Backpropagation against central differences in float64, on four images of noise. Meant for a network of your own
    with a layer of your own; exit code 1 where a gradient is wrong.
    """
    return check_gradients(network, samples, seed, save)


command.add_command(residual)


def init_lines(found):
    """A line a layer: its spread as a bar of what came in, and the gradient that arrives there."""
    yield bold(found.title)
    rows = []
    for row in found.table.itertuples():
        share = "-" if row.saturated != row.saturated else f"{row.saturated:.1%}"
        drawn = bar(min(row.std / found.input_std, 1.0), 1.0, length=20)
        rows.append((row.layer, f"{row.std:.3g}", share, f"{row.gradient:.3g}", drawn))
    rows.insert(0, ("inputs", f"{found.input_std:.3g}", "", "", bar(1, 1, length=20)))
    yield from table(("layer", "std", "saturated", "gradient", "spread"), rows, words=("layer", "spread"), room=width())


def diagnose_units(model, images, save):
    """Units and filters of a network on images."""
    network = model.open()
    from kerascnn import diagnose

    with failing_as(BadFile, f"{network.name} cannot be diagnosed: "), waiting("looking ..."):
        activity = diagnose.activity(network, images)
        bank = first_filters(network)
    verdict = diagnose.training_verdict(activity, bank)
    keep(activity, save)
    result = {
        "model": network.name,
        "images": activity.images,
        "good": verdict.good,
        "reasons": list(verdict.reasons),
        "layers": json_rows(activity.layers),
        "filters": None if bank is None else {"layer": bank.layer, "verdicts": list(bank.verdicts)},
        "saved": save,
    }
    answer("diagnose", result, units_lines(activity, bank, verdict))
    if activity.images < diagnose.ENOUGH:
        remark(f"{activity.images} images are few: silence may be chance")


def first_filters(network):
    """The verdict on the first convolution; None in a network without one."""
    from kerascnn.diagnose import filters

    try:
        return filters(network)
    except ValueError:
        return None


def units_lines(activity, bank, verdict):
    """A line a layer, then the filters, then the verdict and its reasons."""
    rows = [
        (row.layer, row.units, row.dead or "-", *map(two_digits, (row.sparsity, row.correlation, row.entropy_rank)))
        for row in activity.layers.itertuples()
    ]
    titles = ("layer", "units", "dead", "sparsity", "correlation", "directions")
    yield from table(titles, rows, words=("layer",), room=width())
    yield ""
    if bank is not None:
        yield f"filters of {bank}"
    yield bold("good" if verdict.good else "bad")
    yield from (f"  {reason}" for reason in verdict.reasons)


def two_digits(number):
    return f"{number:.2f}" if number == number else "-"


def check_gradients(what, samples, seed, save):
    """The gradient check of a network on noise; 1 where it fails."""
    row = find_network(what)
    load_keras()
    import numpy as np

    import kerascnn
    from kerascnn.inputs.classifier import image_input
    from kerascnn.support.progress import progress

    network = kerascnn.build_model(row.name) if row else Source(what).open()
    rng = np.random.default_rng(seed)
    with failing_as(BadFile, f"{network.name} cannot be checked: "):
        pixels = rng.integers(0, 256, (4, *(side or 32 for side in image_input(network))))
        options = {"samples": samples, "seed": seed}
        with progress(verbosity()) as shown:
            found = kerascnn.gradient_check(network, pixels, np.zeros(4, int), on_progress=shown, **options)
    keep(found, save)
    result = {
        "model": network.name,
        "passed": found.passed,
        "error": json_number(found.max_error),
        "kinks": found.kinks,
    }
    answer("diagnose", result | {"layers": json_rows(found.layers), "saved": save}, gradient_lines(found))
    return 0 if found.passed else Failure.exit_code


def gradient_lines(found):
    """A line a layer, and the verdict."""
    rows = [
        (row.layer, row.samples, row.kinks or "-", f"{row.error:.1e}" if row.error == row.error else "-")
        for row in found.layers.itertuples()
    ]
    yield from table(("layer", "weights", "at kinks", "error"), rows, words=("layer",), room=width())
    yield ""
    yield bold(str(found))
