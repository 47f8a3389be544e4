"""`kerascnn predict`: classify photos."""

import click

from kerascnn.support.text import clip_line

from ..backend import load_keras
from ..errors import PARTIAL, BadFile, raise_as, writing
from ..models import model_argument
from ..options import Command, class_names_option, images_argument, new_file_option
from ..output import bar, bold, collect_warnings, dim, is_interactive, print_result, remark, terminal_width, waiting


@click.command("predict", cls=Command)
@model_argument
@images_argument
@class_names_option
@click.option(
    "--top",
    default=5,
    show_default=True,
    metavar="K",
    type=click.IntRange(1),
    help="Number of classes to show for each image.",
)
@new_file_option("--save", "answers.csv", (".csv",), "Save the predictions as a table.")
def predict_command(model, images, class_names, top, save):
    """Classify photos.

    NAME is a network listed by `kerascnn list`; its published weights are downloaded once. FILE is any Keras model,
    .keras or .h5, that takes pixels 0..255. IMAGE is an image file or a folder of them. Unreadable images are skipped:
    exit code 5, or 4 if none can be read.
    """
    load_keras()
    with collect_warnings() as warnings:
        network = model.open()
        prediction = classify(network, images, class_names, top)
    skipped = [f"{name} skipped: {reason}" for name, reason in prediction.failed.items()]
    if save:
        from kerascnn.support.files import escape_surrogates, write_atomically

        with writing(save), write_atomically(save) as draft:
            draft.write_text(escape_surrogates(prediction.table.to_csv(index=False)), encoding="utf-8", newline="")
    print_result(
        "predict",
        prediction_result(prediction, network, model.weights, save),
        prediction_lines(prediction),
        skipped + warnings,
    )
    if is_interactive() and not save:
        remark(dim("\nTo save a table: --save FILE.csv"))
    return PARTIAL if skipped else 0


def classify(model, images, class_names, top):
    from kerascnn import predict

    with raise_as(BadFile, f"cannot classify with {model.name}: "), waiting("predicting ..."):
        return predict(model, images, class_names=class_names, top=top)


def prediction_result(prediction, model, weights, save):
    """The result as plain data."""
    images = [
        {"image": name, "top": [{"class": n, "label": label, "probability": float(f"{p:.6g}")} for n, label, p in top]}
        for name, top in zip(prediction.names, prediction.top(), strict=True)
    ]
    scale = next((layer for layer in model.layers if layer.name == "scale"), None)
    weights = getattr(scale, "source", None) or weights
    return {"model": model.name, "weights": weights, "images": images, "failed": prediction.failed, "saved": save}


def prediction_lines(prediction):
    """Each image, with its classes and their probabilities as bars."""
    room = terminal_width()
    for i, (name, guesses) in enumerate(zip(prediction.names, prediction.top(), strict=True)):
        yield from [""] * bool(i)
        yield bold(name)
        for rank, (number, label, share) in enumerate(guesses, start=1):
            drawn = bar(share, 1.0, length=20).ljust(20)
            yield clip_line(f"  {rank:>2}  {100 * share:5.1f} %  {drawn}  {label or f'class {number}'}", room)
