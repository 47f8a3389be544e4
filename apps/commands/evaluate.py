"""`kerascnn evaluate`: how good a network is on labelled images, and how sure that is."""

import os
import warnings

import click

from ..errors import PARTIAL, BadFile, Misuse
from ..files import names_in
from ..models import build_network, check_weights, complete_names_and_files, network_called, read_model
from ..options import Command, given
from ..output import answer, bold, remark, to_person, width
from ..quiet import load_keras

PARTS = ("test", "valid", "train")


@click.command("evaluate", cls=Command)
@click.argument("model", metavar="NAME|FILE", shell_complete=complete_names_and_files)
@click.argument("data", metavar="DATA", type=click.Path())
@click.option("--weights", metavar="W", help="imagenet (the best there are), torchvision, keras, timm, or a file.")
@click.option("--part", type=click.Choice(PARTS), help="Part of the data; also cut from what nobody has divided.")
@click.option("--classes", metavar="A,B,..", help="The model's in its order; or a file: a line each, or JSON.")
@click.option("--against", metavar="NAME|FILE", help="Compare with another network, image by image.")
@click.option("--human", metavar="CSV", type=click.Path(), help="Compare with people: image,answer[,person].")
@click.option("--without", metavar="PART", multiple=True, help="Measure also without this layer, block or stage.")
@click.option("--save", metavar="DIR", type=click.Path(), help="Write tables and figures; .json, .csv or .png for one.")
@click.option("--force", is_flag=True, help="Let --save replace what is there.")
def command(model, data, weights, part, classes, against, human, without, save, force):
    """Measure a classifier on labelled images.

    NAME is a network that `kerascnn list` names, with its published weights; FILE is any Keras model, .keras or .h5.
    DATA is a folder with a subfolder for each class, a .zip of one, a .csv with the columns file and label, an .npz,
    or a known dataset: digits, shapes, cifar10 ... Its test part counts where it has one, and always of a known
    dataset; else all of it. A class is found by its name or number, ImageNet's also by WordNet's number.
    """
    row, weights = known(model, weights)
    other = known(against, None) if against else None
    check_save(save, force)
    check_data(data, human)
    classes = listed(classes)
    load_keras()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        images = labelled(data, part)
        network = build_network(row.name, weights) if row else read_model(model)
        found = measured(network, images, classes)
        second = measured(opened(against, *other), images, classes) if against else None
        parts = {
            "against": compared(found, second, model, against) if against else None,
            "people": with_people(found, human) if human else None,
            "without": cut(network, images, classes, without) if without else None,
        }
    told = [f"{name} skipped: {reason}" for name, reason in found.failed.items()]
    told += dict.fromkeys(str(each.message) for each in caught if issubclass(each.category, UserWarning))
    saved = store(found, parts, save)
    answer("evaluate", result(found, parts, saved), lines(found, parts), told)
    for line in told:
        remark(line)
    if to_person() and not save:
        remark("\nTables and figures: --save DIR")
    return PARTIAL if found.failed else 0


def known(name, weights):
    """(the network of the zoo by that name or None, its weights), refused before Keras is loaded."""
    row = network_called(name)
    return row, check_weights(name, row, weights)


def opened(name, row, weights):
    """The network of a name or file."""
    return build_network(row.name, weights) if row else read_model(name)


def check_save(path, force):
    if path is None or force:
        return
    taken = os.listdir(path) if os.path.isdir(path) else os.path.exists(path)
    if taken:
        raise Misuse(f"{path} is there already and stays", "another name, or --force to replace it")


def check_data(data, human):
    """Refuse files that are not there before Keras is loaded; a name may be a dataset's."""
    if not os.path.exists(data) and (os.sep in data or os.path.splitext(data)[1]):
        raise BadFile(f"there is no file or folder {data}")
    if human and not os.path.isfile(human):
        raise BadFile(f"there is no file {human}")


def listed(classes):
    """Names of classes from a file or from the words themselves; None where none are given."""
    return None if classes is None else names_in(classes)


def labelled(data, part):
    """The images that count."""
    from kerascnn.evaluation.images import labelled as read_data

    try:
        return read_data(data, part=part)
    except ValueError as error:
        raise BadFile(error, f"kerascnn data check {data}" if os.path.exists(data) else None) from error


def measured(model, images, classes):
    """The evaluation of a model."""
    from kerascnn.data import ImageError
    from kerascnn.evaluation.evaluation import measured as evaluated

    try:
        return evaluated(model, images, classes=classes, quiet=given("quiet"))
    except ImageError as error:
        raise BadFile(error) from error
    except ValueError as error:
        count = f"the data has {len(images.classes)}: {', '.join(map(str, images.classes[:5]))}"
        advice = f"--classes with the names of the model's in its order; {count}{', ..' * (len(images.classes) > 5)}"
        told = f"{model.name} cannot be measured on these: {error}"
        raise BadFile(told, advice if "class" in str(error) else None) from error


def compared(found, second, one, against):
    """The comparison with another network; two files of the same network are called by their names."""
    from kerascnn import compare

    files = [os.path.basename(one), os.path.basename(against)]
    called = files if found.model == second.model and files[0] != files[1] else None
    try:
        return compare(found, second, called=called)
    except ValueError as error:
        raise BadFile(f"{against} cannot be compared: {error}") from error


def with_people(found, path):
    """The comparison with people."""
    from kerascnn import human_against_network

    try:
        return human_against_network(found, path)
    except (ValueError, OSError) as error:
        raise BadFile(error) from error


def cut(network, images, classes, names):
    """The network without some of its parts."""
    from kerascnn.evaluation.ablation import ablated

    try:
        return ablated(network, [*names], images, classes=classes, quiet=given("quiet"))
    except ValueError as error:
        raise Misuse(f"--without: {error}", f"kerascnn show {network.name} --layers") from error


def store(found, parts, path):
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
    from kerascnn.evaluation import storing

    making = {"against": storing.of_comparison, "people": storing.of_people, "without": storing.of_ablation}
    stated = {name: making[name](part) for name, part in parts.items() if part}
    return storing.summary(found) | stated | {"saved": saved}


def lines(found, parts):
    """The page, and below it the comparisons."""
    first, *others = found.text(width()).splitlines()
    yield bold(first)
    yield from others
    for title, part in parts.items():
        if part:
            yield from ("", bold(title), *(f"  {line}" for line in part.text().splitlines()))
