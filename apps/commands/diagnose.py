"""`kerascnn diagnose`: initialization, activity of units, gradients and depth of a network."""

import click

from ..backend import load_keras
from ..errors import BadFile, Failure, raise_as
from ..models import ModelSource, complete_names_and_files, find_network, model_argument
from ..options import (
    COUNT,
    PICTURES,
    POSITIVE,
    Command,
    Group,
    images_argument,
    new_file_option,
    save_result,
    seed_option,
)
from ..output import (
    bar,
    bold,
    format_table,
    json_number,
    json_rows,
    print_result,
    remark,
    terminal_width,
    verbosity,
    waiting,
)
from .residual import residual_command as residual

INITIALIZERS = ("normal", "xavier", "glorot", "he")
ACTIVATIONS = ("tanh", "sigmoid", "relu", "leaky_relu", "linear")
save_option = new_file_option("--save", "diagnosis.png", PICTURES, "Save a figure to this file.")


diagnose_command = Group(
    "diagnose",
    help=("Find problems of a network: initialization, dead units and noisy filters, wrong gradients, too much depth."),
)


@diagnose_command.command("init", cls=Command)
@click.option(
    "--initializer",
    default="normal",
    show_default=True,
    type=click.Choice(INITIALIZERS),
    help="Initialization; normal uses --stddev.",
)
@click.option("--stddev", default=0.01, show_default=True, type=POSITIVE, help="Standard deviation of the weights.")
@click.option(
    "--activation", default="tanh", show_default=True, type=click.Choice(ACTIVATIONS), help="Activation function."
)
@save_option
def init_command(initializer, stddev, activation, save):
    """Show how an initialization scales signals and gradients.

    Ten layers of 500 units on Gaussian inputs: the spread of activations in the forward pass and of gradients in the
    backward pass. With --stddev 0.01 signals vanish; with --stddev 1 tanh saturates. --initializer xavier cures
    both; with --activation relu use --initializer he.
    """
    load_keras()
    from kerascnn.diagnose import initialization

    diagnosis = initialization(initializer=initializer, stddev=stddev, activation=activation)
    save_result(diagnosis, save)
    print_result(
        "diagnose",
        {"title": diagnosis.title, "layers": json_rows(diagnosis.table), "saved": save},
        init_lines(diagnosis),
    )


@diagnose_command.command("units", cls=Command)
@model_argument
@images_argument
@save_option
def units_command(model, images, save):
    """Find dead units, redundant units and noisy filters.

    Prints one line per layer about its activations on the images, and whether the filters of the first convolution are
    good, too noisy, too correlated or without structure. Use dozens of images rather than a few.
    """
    diagnose_units(model, images, save)


@diagnose_command.command("gradient", cls=Command)
@click.argument("network", metavar="NAME|FILE", shell_complete=complete_names_and_files)
@click.option("--samples", default=4, show_default=True, type=COUNT, help="Weights to check per layer.")
@seed_option("Random seed for images and samples.")
@save_option
def gradient_command(network, samples, seed, save):
    """Check the gradients of a network.

    Compares backpropagation with central differences in float64 on four images of noise. Use it for a model with a
    custom layer. Exit code 1 if a gradient is wrong.
    """
    return check_gradients(network, samples, seed, save)


diagnose_command.add_command(residual)


def init_lines(diagnosis):
    """One line per layer: its spread relative to the inputs as a bar, and its gradient."""
    yield bold(diagnosis.title)
    rows = []
    for row in diagnosis.table.itertuples():
        share = "-" if row.saturated != row.saturated else f"{row.saturated:.1%}"
        drawn = bar(min(row.stddev / diagnosis.input_stddev, 1.0), 1.0, length=20)
        rows.append((row.layer, f"{row.stddev:.3g}", share, f"{row.gradient:.3g}", drawn))
    rows.insert(0, ("inputs", f"{diagnosis.input_stddev:.3g}", "", "", bar(1, 1, length=20)))
    yield from format_table(
        ("layer", "stddev", "saturated", "gradient", "spread"), rows, words=("layer", "spread"), room=terminal_width()
    )


def diagnose_units(model, images, save):
    """Diagnose units and filters of a network on images."""
    network = model.open()
    from kerascnn import diagnose

    with raise_as(BadFile, f"cannot diagnose {network.name}: "), waiting("analyzing ..."):
        activity = diagnose.activity(network, images)
        bank = first_filters(network)
    verdict = diagnose.training_verdict(activity, bank)
    save_result(activity, save)
    result = {
        "model": network.name,
        "images": activity.image_count,
        "good": verdict.good,
        "reasons": list(verdict.reasons),
        "layers": json_rows(activity.table),
        "filters": None if bank is None else {"layer": bank.layer, "verdicts": list(bank.verdicts)},
        "saved": save,
    }
    print_result("diagnose", result, units_lines(activity, bank, verdict))
    if activity.image_count < diagnose.MIN_IMAGES:
        remark(f"only {activity.image_count} images: a unit may be silent by chance")


def first_filters(network):
    """The verdict on the first convolution; None if there is none."""
    from kerascnn.diagnose import filters

    try:
        return filters(network)
    except ValueError:
        return None


def units_lines(activity, bank, verdict):
    """One line per layer, then the filters, then the verdict and its reasons."""
    rows = [
        (row.layer, row.units, row.dead or "-", *map(two_digits, (row.sparsity, row.correlation, row.entropy_rank)))
        for row in activity.table.itertuples()
    ]
    titles = ("layer", "units", "dead", "sparsity", "correlation", "directions")
    yield from format_table(titles, rows, words=("layer",), room=terminal_width())
    yield ""
    if bank is not None:
        yield f"filters of {bank}"
    yield bold("good" if verdict.good else "bad")
    yield from (f"  {reason}" for reason in verdict.reasons)


def two_digits(number):
    return f"{number:.2f}" if number == number else "-"


def check_gradients(what, samples, seed, save):
    """Check the gradients of a network on noise; 1 if one is wrong."""
    row = find_network(what)
    load_keras()
    import numpy as np

    import kerascnn
    from kerascnn.inputs.classifier import image_input_shape
    from kerascnn.support.progress import progress

    network = kerascnn.build_model(row.name) if row else ModelSource(what).open()
    rng = np.random.default_rng(seed)
    with raise_as(BadFile, f"cannot check the gradients of {network.name}: "):
        pixels = rng.integers(0, 256, (4, *(side or 32 for side in image_input_shape(network))))
        options = {"samples": samples, "seed": seed}
        with progress(verbosity()) as shown:
            diagnosis = kerascnn.gradient_check(network, pixels, np.zeros(4, int), on_progress=shown, **options)
    save_result(diagnosis, save)
    result = {
        "model": network.name,
        "passed": diagnosis.passed,
        "error": json_number(diagnosis.max_error),
        "kinks": diagnosis.kinks,
    }
    print_result(
        "diagnose", result | {"layers": json_rows(diagnosis.layer_table), "saved": save}, gradient_lines(diagnosis)
    )
    return 0 if diagnosis.passed else Failure.exit_code


def gradient_lines(diagnosis):
    """One line per layer, and the verdict."""
    rows = [
        (row.layer, row.samples, row.kinks or "-", f"{row.error:.1e}" if row.error == row.error else "-")
        for row in diagnosis.layer_table.itertuples()
    ]
    yield from format_table(("layer", "weights", "near kinks", "error"), rows, words=("layer",), room=terminal_width())
    yield ""
    yield bold(str(diagnosis))
