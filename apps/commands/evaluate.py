"""`kerascnn evaluate`: how good a network is on labeled images, and how sure that is."""

import os

import click

from ..backend import load_keras
from ..errors import PARTIAL, BadFile, Misuse, failing_as
from ..models import find_model, model_argument
from ..options import Command, classes_option, force_option, given
from ..output import answer, bold, collected_warnings, remark, to_person, verbosity, width

PARTS = ("test", "valid", "train")


@click.command("evaluate", cls=Command)
@model_argument
@click.argument("data", metavar="DATA", type=click.Path())
@click.option("--part", type=click.Choice(PARTS), help="Part of the data; also cut from what nobody has divided.")
@classes_option
@click.option("--against", metavar="NAME|FILE", help="Compare with another network, image by image.")
@click.option("--human", metavar="CSV", type=click.Path(), help="Compare with people: image,answer[,person].")
@click.option("--without", metavar="PART", multiple=True, help="Measure also without this layer, block or stage.")
@click.option("--save", metavar="DIR", type=click.Path(), help="Write tables and figures; .json, .csv or .png for one.")
@force_option("Let --save replace what is there.")
def command(model, data, part, classes, against, human, without, save):
    """Measure a classifier on labeled images.

    NAME is a network that `kerascnn list` names, with its published weights; FILE is any Keras model, .keras or .h5.
    DATA is a folder with a subfolder for each class, a .zip of one, a .csv with the columns file and label, an .npz,
    or a known dataset: digits, shapes, cifar10 ... Its test part counts where it has one, and always of a known
    dataset; else all of it. A class is found by its name or number, ImageNet's also by WordNet's number.
    """
    other = find_model(against) if against else None
    if save and not given("force") and (os.listdir(save) if os.path.isdir(save) else os.path.exists(save)):
        raise Misuse(f"{save} is there already and stays", "another name, or --force to replace it")
    check_data(data, human)
    load_keras()
    with collected_warnings() as warnings:
        images = read_images(data, part)
        network = model.open()
        found = evaluate_model(network, images, classes)
        second = evaluate_model(other.open(), images, classes) if other else None
        parts = {
            "against": compare_networks(found, second, model.name, against) if against else None,
            "people": compare_people(found, human) if human else None,
            "without": ablate_parts(network, images, classes, without) if without else None,
        }
    skipped = [f"{name} skipped: {reason}" for name, reason in found.failed.items()]
    saved = save_results(found, parts, save)
    answer("evaluate", result(found, parts, saved), lines(found, parts), skipped + warnings)
    if to_person() and not save:
        remark("\nTables and figures: --save DIR")
    return PARTIAL if skipped else 0


def check_data(data, human):
    """Refuse files that are not there before Keras is loaded; a name may be a dataset's."""
    if not os.path.exists(data) and (os.sep in data or os.path.splitext(data)[1]):
        raise BadFile(f"there is no file or folder {data}")
    if human and not os.path.isfile(human):
        raise BadFile(f"there is no file {human}")


def read_images(data, part):
    """The images that count."""
    from kerascnn.evaluation.evaluate import labeled as read_data

    with failing_as(BadFile, advice=f"kerascnn data check {data}" if os.path.exists(data) else None):
        return read_data(data, part=part)


def evaluate_model(model, images, classes):
    """The evaluation of a model."""
    from kerascnn.evaluation.evaluate import measured as evaluated

    known = f"the data has {len(images.classes)}: {', '.join(map(str, images.classes[:5]))}"
    names = f"--classes with the names of the model's in its order; {known}{', ..' * (len(images.classes) > 5)}"
    advice = lambda error: names if "class" in str(error) else None  # noqa: E731
    with failing_as(BadFile, f"{model.name} cannot be measured on these: ", advice):
        return evaluated(model, images, classes=classes, verbose=verbosity())


def compare_networks(found, second, one, against):
    """The comparison with another network; two files of the same network are called by their names."""
    from kerascnn import compare

    files = [os.path.basename(one), os.path.basename(against)]
    called = files if found.model == second.model and files[0] != files[1] else None
    with failing_as(BadFile, f"{against} cannot be compared: "):
        return compare(found, second, called=called)


def compare_people(found, path):
    """The comparison with people."""
    from kerascnn import human_against_network

    with failing_as(BadFile, kinds=(ValueError, OSError)):
        return human_against_network(found, path)


def ablate_parts(network, images, classes, names):
    """The network without some of its parts."""
    from kerascnn.evaluation.ablation import ablated

    with failing_as(Misuse, "--without: ", f"kerascnn show {network.name} --layers"):
        return ablated(network, [*names], images, classes=classes, verbose=verbosity())


def save_results(found, parts, path):
    """Write the evaluation, into a folder also the comparisons, and return where it is."""
    if path is None:
        return None
    try:
        saved = found.save(path)
        for name, part in parts.items():
            if part and os.path.isdir(saved):
                part.save(os.path.join(saved, f"{name}.csv"))
                part.save(os.path.join(saved, f"{name}.png"))
        return str(saved)
    except (ValueError, OSError) as error:
        raise Misuse(f"{path} cannot be written: {error}") from error


def result(found, parts, saved):
    """The answer as plain data."""
    stated = {name: part.facts() for name, part in parts.items() if part}
    return found.facts() | stated | {"saved": saved}


def lines(found, parts):
    """The page, and below it the comparisons."""
    first, *others = found.text(width()).splitlines()
    yield bold(first)
    yield from others
    for title, part in parts.items():
        if part:
            yield from ("", bold(title), *(f"  {line}" for line in part.text().splitlines()))
