"""`kerascnn evaluate`: evaluate a classifier on labeled images, with intervals."""

import os

import click

from ..backend import load_keras
from ..errors import PARTIAL, BadFile, Misuse, raise_as
from ..models import find_model, model_argument
from ..options import Command, class_names_option, force_option, is_flag_set
from ..output import bold, collect_warnings, is_interactive, print_result, remark, terminal_width, verbosity

PARTS = ("test", "valid", "train")


@click.command("evaluate", cls=Command)
@model_argument
@click.argument("data", metavar="DATA", type=click.Path())
@click.option("--part", type=click.Choice(PARTS), help="Split to evaluate; if the data have no splits, one is drawn.")
@class_names_option
@click.option("--against", metavar="NAME|FILE", help="Compare with another network on the same images.")
@click.option(
    "--human",
    metavar="CSV",
    type=click.Path(),
    help="Compare with human answers: a .csv with columns image, answer[, person].",
)
@click.option(
    "--without", metavar="PART", multiple=True, help="Also measure the accuracy without this layer, block or stage."
)
@click.option(
    "--save",
    metavar="DIR",
    type=click.Path(),
    help=("Write tables and figures into this folder, or one of them to a .json, .csv or .png file."),
)
@force_option("Overwrite existing files at --save.")
def evaluate_command(model, data, part, class_names, against, human, without, save):
    """Evaluate a classifier on labeled images.

    NAME is a network listed by `kerascnn list`, used with its published weights; FILE is any Keras model, .keras or
    .h5. DATA is a folder with one subfolder per class, a .zip of one, a .csv with the columns file and label, an .npz,
    or a known dataset: digits, shapes, cifar10 ... If the data have a test split, as all known datasets do, only that
    is used; otherwise all images are. Classes are matched by name or number, for ImageNet also by WordNet ID.
    """
    other = find_model(against) if against else None
    if save and not is_flag_set("force") and (os.listdir(save) if os.path.isdir(save) else os.path.exists(save)):
        raise Misuse(f"{save} already exists", "another name, or --force to overwrite it")
    check_data_exists(data, human)
    load_keras()
    from kerascnn.data.training_images import warn_of_training_images

    with collect_warnings() as warnings:
        images = load_labeled_images(data, part)
        network = model.open()
        if part != "train":
            warn_of_training_images(network, images)
        evaluation = evaluate_model(network, images, class_names)
        second = evaluate_model(other.open(), images, class_names) if other else None
        parts = {
            "against": compare_with_network(evaluation, second, model.name, against) if against else None,
            "people": compare_with_humans(evaluation, human) if human else None,
            "without": evaluate_without(network, images, class_names, without) if without else None,
        }
    skipped = [f"{name} skipped: {reason}" for name, reason in evaluation.failed.items()]
    saved = save_evaluation(evaluation, parts, save)
    print_result(
        "evaluate", evaluation_result(evaluation, parts, saved), evaluation_lines(evaluation, parts), skipped + warnings
    )
    if is_interactive() and not save:
        remark("\nTo write tables and figures: --save DIR")
    return PARTIAL if skipped else 0


def check_data_exists(data, human):
    """Refuse missing files before Keras is loaded; a plain name may be a dataset."""
    if not os.path.exists(data):
        if os.sep in data or os.path.splitext(data)[1]:
            raise BadFile(f"file or folder not found: {data}")
        from kerascnn.data.sources import NAMES, find_local_dataset, missing_source_message

        if data not in NAMES and find_local_dataset(data) is None:
            raise BadFile(missing_source_message(data))
    if human and not os.path.isfile(human):
        raise BadFile(f"file not found: {human}")


def load_labeled_images(data, part):
    """Load the split to evaluate."""
    from kerascnn.evaluation.evaluate import load_labeled_images

    with raise_as(BadFile, advice=f"kerascnn data check {data}" if os.path.exists(data) else None):
        return load_labeled_images(data, part=part)


def evaluate_model(model, images, class_names):
    """Evaluate a model on labeled images."""
    from kerascnn.evaluation.evaluate import evaluate_batch

    count, first = len(images.class_names), ", ".join(map(str, images.class_names[:5]))
    known = f"the data have {count} classes: {first}{', ..' * (count > 5)}"
    hint = f"--class-names with the model's class names in its output order; {known}"
    advice = lambda error: hint if "class" in str(error) else None  # noqa: E731
    with raise_as(BadFile, f"cannot evaluate {model.name} on these images: ", advice):
        return evaluate_batch(model, images, class_names=class_names, verbose=verbosity())


def compare_with_network(evaluation, second, one, against):
    """Compare two evaluations; two files of the same network are named by their file names."""
    from kerascnn import compare

    files = [os.path.basename(one), os.path.basename(against)]
    called = files if evaluation.model == second.model and files[0] != files[1] else None
    with raise_as(BadFile, f"cannot compare with {against}: "):
        return compare(evaluation, second, model_names=called)


def compare_with_humans(evaluation, path):
    """Compare an evaluation with human answers."""
    from kerascnn import human_against_network

    with raise_as(BadFile, kinds=(ValueError, OSError)):
        return human_against_network(evaluation, path)


def evaluate_without(network, images, class_names, names):
    """Evaluate the network without some of its parts."""
    from kerascnn.evaluation.ablation import run_ablation

    with raise_as(Misuse, "--without: ", f"kerascnn show {network.name} --layers"):
        return run_ablation(network, [*names], images, class_names=class_names, verbose=verbosity())


def save_evaluation(evaluation, parts, path):
    """Write the evaluation, into a folder also the comparisons, and return its path."""
    if path is None:
        return None
    try:
        saved = evaluation.save(path)
        for name, part in parts.items():
            if part and os.path.isdir(saved):
                part.save(os.path.join(saved, f"{name}.csv"))
                part.save(os.path.join(saved, f"{name}.png"))
        return str(saved)
    except (ValueError, OSError) as error:
        raise Misuse(f"cannot write {path}: {error}") from error


def evaluation_result(evaluation, parts, saved):
    """The result as plain data."""
    stated = {name: part.to_dict() for name, part in parts.items() if part}
    return evaluation.to_dict() | stated | {"saved": saved}


def evaluation_lines(evaluation, parts):
    """The summary, and below it the comparisons."""
    first, *others = evaluation.text(terminal_width()).splitlines()
    yield bold(first)
    yield from others
    for title, part in parts.items():
        if part:
            yield from ("", bold(title), *(f"  {line}" for line in part.text().splitlines()))
