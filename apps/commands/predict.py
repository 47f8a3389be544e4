"""`kerascnn predict`: what a network sees in photos."""

import os
import warnings

import click

from ..errors import PARTIAL, BadFile, Misuse
from ..models import build_network, check_weights, complete_names_and_files, network_called, read_model
from ..options import Command, check_new
from ..output import answer, bar, bold, cut, dim, remark, to_person, width
from ..quiet import load_keras, waiting


@click.command("predict", cls=Command)
@click.argument("model", metavar="NAME|FILE", shell_complete=complete_names_and_files)
@click.argument("images", metavar="IMAGE...", nargs=-1, required=True, type=click.Path())
@click.option("--weights", metavar="W", help="imagenet (the best there are), torchvision, keras, timm, or a file.")
@click.option("--top", default=5, show_default=True, metavar="K", type=click.IntRange(1), help="Classes an image.")
@click.option("--save", metavar="FILE.csv", type=click.Path(dir_okay=False), help="Write the answers as a table.")
@click.option("--force", is_flag=True, help="Let --save replace a file.")
def command(model, images, weights, top, save, force):
    """Say what is on photos.

    NAME is a network that `kerascnn list` names, with its published weights, which are downloaded once. FILE is any
    Keras model, .keras or .h5, that takes pixels 0..255. IMAGE is an image file, or a folder of them. Photos
    that cannot be read are skipped: exit code 5, or 4 where none can be read.
    """
    row = network_called(model)
    weights = check_weights(model, row, weights)
    check_new(save, "--save answers.csv", (".csv",), force)
    if not any(os.path.exists(path) for path in images):
        raise BadFile(f"there is no image {images[0]}")
    load_keras()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        network = build_network(row.name, weights) if row else read_model(model)
        found = classify(network, [*images], top)
    skipped = [f"{name} skipped: {reason}" for name, reason in found.failed.items()]
    told = [*skipped, *dict.fromkeys(str(each.message) for each in caught if issubclass(each.category, UserWarning))]
    write(found, save)
    answer("predict", result(found, network, weights, save), lines(found), told)
    for line in told:
        remark(line)
    if to_person() and not save:
        remark(dim("\nAs a table: --save FILE.csv"))
    return PARTIAL if skipped else 0


def classify(model, images, top):
    from kerascnn import predict
    from kerascnn.data import ImageError

    try:
        with waiting("looking ..."):
            return predict(model, images, top=top)
    except ImageError as error:
        raise BadFile(error) from error
    except ValueError as error:
        raise BadFile(f"{model.name} is no classifier of images: {error}") from error


def write(found, path):
    if path is None:
        return
    from kerascnn.files import displayable, replacing

    try:
        with replacing(path) as draft:
            draft.write_text(displayable(found.table.to_csv(index=False)), encoding="utf-8", newline="")
    except OSError as error:
        raise Misuse(f"{path} cannot be written: {error.strerror}") from error


def result(found, model, weights, save):
    """The answer as plain data."""
    images = [
        {"image": name, "top": [{"class": n, "label": label, "probability": float(f"{p:.6g}")} for n, label, p in top]}
        for name, top in zip(found.names, found.top(), strict=True)
    ]
    scale = next((layer for layer in model.layers if layer.name == "scale"), None)
    weights = getattr(scale, "source", None) or weights
    return {"model": model.name, "weights": weights, "images": images, "failed": found.failed, "saved": save}


def lines(found):
    """Each image, and below it its classes with their probabilities as bars."""
    room = width()
    for i, (name, guesses) in enumerate(zip(found.names, found.top(), strict=True)):
        yield from [""] * bool(i)
        yield bold(name)
        for rank, (number, label, share) in enumerate(guesses, start=1):
            drawn = bar(share, 1.0, length=20).ljust(20)
            yield cut(f"  {rank:>2}  {100 * share:5.1f} %  {drawn}  {label or f'class {number}'}", room)
