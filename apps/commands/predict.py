"""`kerascnn predict`: what a network sees in photos."""

import click

from kerascnn.support.text import cut_line

from ..backend import load_keras
from ..errors import PARTIAL, BadFile, failing_as, writing
from ..models import model_argument
from ..options import Command, images_argument, new_file_option
from ..output import answer, bar, bold, collected_warnings, dim, remark, to_person, waiting, width


@click.command("predict", cls=Command)
@model_argument
@images_argument
@click.option("--top", default=5, show_default=True, metavar="K", type=click.IntRange(1), help="Classes an image.")
@new_file_option("--save", "answers.csv", (".csv",), "Write the answers as a table.")
def command(model, images, top, save):
    """Say what is on photos.

    NAME is a network that `kerascnn list` names, with its published weights, which are downloaded once. FILE is any
    Keras model, .keras or .h5, that takes pixels 0..255. IMAGE is an image file, or a folder of them. Photos
    that cannot be read are skipped: exit code 5, or 4 where none can be read.
    """
    load_keras()
    with collected_warnings() as warnings:
        network = model.open()
        found = classify(network, images, top)
    skipped = [f"{name} skipped: {reason}" for name, reason in found.failed.items()]
    if save:
        from kerascnn.support.files import displayable, replacing

        with writing(save), replacing(save) as draft:
            draft.write_text(displayable(found.table.to_csv(index=False)), encoding="utf-8", newline="")
    answer("predict", result(found, network, model.weights, save), lines(found), skipped + warnings)
    if to_person() and not save:
        remark(dim("\nAs a table: --save FILE.csv"))
    return PARTIAL if skipped else 0


def classify(model, images, top):
    from kerascnn import predict

    with failing_as(BadFile, f"{model.name} is no classifier of images: "), waiting("looking ..."):
        return predict(model, images, top=top)


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
            yield cut_line(f"  {rank:>2}  {100 * share:5.1f} %  {drawn}  {label or f'class {number}'}", room)
