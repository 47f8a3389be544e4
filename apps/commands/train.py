"""`kerascnn train`: a network learns to classify images, and is tested once on those it never saw."""

import os
from pathlib import Path

import click

from ..backend import load_keras
from ..datasets import IMAGES, describe_test, summarize_test, with_test_set
from ..errors import INTERRUPTED, BadFile, Failure, Misuse, failing_as
from ..models import complete_names, network_called, unknown_model
from ..options import COUNT, POSITIVE, SHARE, Command, run_folder, seed_option
from ..output import (
    answer,
    bold,
    collected_warnings,
    next_steps,
    pairs,
    percent,
    remark,
    table,
    verbosity,
    waiting,
    width,
)

MODEL = "model.keras"
RUN = ("state.npz", "card.json")  # files by which the folder of a run is known
DEFAULT = 0.1  # of the images, for each of the two
FILES = {
    MODEL: "the trained network",
    "best.weights.h5": "its weights after the best epoch",
    "history.csv": "loss and accuracy after each epoch",
    "curves.png": "the same as curves",
    "card.json": "network, recipe, data, seed, versions, result",
}


def complete_recipes(context, option, incomplete):
    from kerascnn.training.recipes import PUBLISHED, RECIPES

    return [name for name in (*RECIPES, PUBLISHED) if name.startswith(incomplete)]


@click.command("train", cls=Command)
@click.argument("network", metavar="NAME", required=False, shell_complete=complete_names)
@click.option("--data", metavar="SOURCE", help="A folder with a folder of images for each class, a file, or digits.")
@click.option("--recipe", metavar="R", shell_complete=complete_recipes, help="Of --list, or published. [onecycle]")
@click.option("--epochs", metavar="N", type=COUNT, help="Passes over the data, in place of the recipe's.")
@click.option("--batch", "batch_size", metavar="N", type=COUNT, help="Images a step, likewise.")
@click.option("--rate", "--lr", metavar="X", type=POSITIVE, help="Highest rate, likewise.")
@seed_option("Of weights, split and order.")
@click.option("--valid", metavar="SHARE", type=SHARE, help="Of the images, to watch it by; 0 for none. [0.1]")
@click.option("--test", metavar="SHARE", type=SHARE, help="Of the images, locked for the test; 0 for none. [0.1]")
@click.option("--test-data", metavar="SOURCE", help="Test on these, in place of a part of --data.")
@click.option("--size", metavar="N", type=COUNT, help="Side of the images. [as published]")
@click.option("--weights", metavar="W", help="Start from these: imagenet, torchvision, keras, timm, or a file.")
@click.option("--out", metavar="RUN", type=click.Path(file_okay=False), help="Folder. [runs/NAME-DATA]")
@click.option("--resume", is_flag=True, help="Go on after the last saved epoch of RUN.")
@click.option("--list", "listed", is_flag=True, help="List the recipes.")
def command(network, data, recipe, seed, valid, test, test_data, size, weights, out, resume, listed, **replaced):
    """Train a network on your images.

    NAME is a network that `kerascnn list` names. The images are split into those to learn from, those to watch it by,
    and a locked part, on which it is tested once, at the end; parts that the data brings stay. Ctrl-C ends after the
    epoch and saves; once more, at once. --resume goes on, also after a crash, as if nothing had happened.
    """
    if listed:
        return list_recipes()
    row = check_request(network, data, recipe)
    out = run_folder(out or os.path.join("runs", f"{row.name}-{Path(data).stem}"), RUN, "run", resume)
    load_keras()
    with collected_warnings() as warnings:
        images = load_data(data, valid, test, test_data, seed)
    for line in warnings:
        remark(line)
    model = build_classifier(row, images, recipe, seed, size, weights)
    history = train_model(model, images, recipe, {"seed": seed, "out": out, "resume": resume} | replaced)
    result = {"network": row.name, "data": data, "seed": seed, "folder": out, "epochs": len(history.table)}
    result |= {"stopped": history.stopped or None, "best": history.best if len(history.table) else None}
    if history.stopped:
        answer("train", result | {"test": None}, [history.stopped], warnings, told=True)
        remark("go on: the same command with --resume")
        return INTERRUPTED
    result |= {"test": test_once(model, images, test_data or data, out)}
    answer("train", result, lines(result), warnings, told=True)


def list_recipes():
    """The recipes as a table, and who did so."""
    from kerascnn.training import RECIPES

    titles = ("recipe", "optimizer", "rate", "schedule", "L2", "batch", "epochs", "source")
    rows = [
        (
            row.name,
            row.optimizer,
            f"{row.rate:g}",
            type(row.schedule).__name__.lower(),
            f"{row.l2:g}",
            row.batch,
            row.epochs,
            row.source,
        )
        for row in RECIPES.values()
    ]
    found = table(titles, rows, words=("recipe", "optimizer", "schedule", "source"), room=width())
    answer("train", {"recipes": [row.stated() for row in RECIPES.values()]}, found)


def check_request(name, data, recipe):
    """The network's row; what is wrong with the command line is said before Keras is loaded."""
    from kerascnn.training import recipes

    if name is None:
        raise Misuse("which network?", "kerascnn train lenet5 --data digits")
    row = network_called(name)
    if row is None:
        raise unknown_model(name)
    if data is None:
        raise Misuse(f"{row.name} needs images to learn from", f"kerascnn train {row.name} --data digits, or a folder")
    if recipe not in (None, recipes.PUBLISHED):
        with failing_as(Misuse, advice="kerascnn train --list"):
            recipes.recipe(recipe)
    return row


def load_data(source, valid, test, other, seed):
    """The ``Data``, tested on ``other`` images if there are such."""
    valid = DEFAULT if valid is None else valid
    test = (0.0 if other else DEFAULT) if test is None else test
    data = load_images("--data", source, valid=valid, test=test, seed=seed)
    return with_test_set(data, load_images("--test-data", other, valid=0.0, test=0.0)) if other else data


def load_images(option, source, **how):
    from kerascnn.data import load

    with failing_as(BadFile, f"{option}: ", IMAGES, (OSError, ValueError)), waiting("reading the images ..."):
        return load(source, **how)


def build_classifier(row, images, recipe, seed, size, weights):
    """The network for the classes of the data, drawn anew as the recipe's authors did unless it has weights."""
    import keras

    import kerascnn
    from kerascnn.training import initialize, recipes

    keras.utils.set_random_seed(seed)
    high, wide, channels = row.input_shape
    shape = (size, size, channels) if size else (high, wide, channels)
    advice = "another --size or --weights" if size or weights else None
    with failing_as(Misuse, advice=advice), waiting(f"building {row.name} ..."):
        model = kerascnn.build_model(row.name, input_shape=shape, classes=len(images.classes), weights=weights)
    if weights is None and recipe:
        found = recipes.recipe_of(row) if recipe == recipes.PUBLISHED else recipes.recipe(recipe)
        initialize(model, found, seed)
    parts = {"to learn from": images.train, "to watch": images.valid, "locked": images.test}
    remark(
        f"{row.name}: {model.count_params():,} parameters, {shape[0]}x{shape[1]} pixels, classes: {len(images.classes)}"
    )
    remark(f"images {', '.join(f'{what}: {len(each or ()):,}' for what, each in parts.items())}")
    return model


def train_model(model, images, recipe, how):
    from kerascnn.training import Diverged, fit

    advice = f"--rate, lower, and another --out; {how['out']} has the epochs before"
    with failing_as(Failure, advice=advice, kinds=Diverged), failing_as(Misuse):
        return fit(model, images, recipe, verbose=verbosity(), **how)


def test_once(model, data, source, out):
    """Accuracy on the locked images, computed once in the life of a run; None where there are none."""
    from kerascnn import evaluate
    from kerascnn.support.files import replacing
    from kerascnn.training.runs import CARD, read_json, write_json

    card = os.path.join(out, CARD)
    facts = read_json(card)
    with replacing(os.path.join(out, MODEL)) as draft:
        model.save(draft)
    if "test" not in facts and data.test:
        facts |= {"test": {"data": source} | summarize_test(evaluate(model, data, verbose=verbosity()))}
        write_json(card, facts)
    return facts.get("test")


def lines(result):
    test, best, out = result["test"], result["best"], result["folder"]
    if test:
        yield bold(f"{result['network']} names {percent(test['accuracy'], 1)} of images that it has never seen")
        yield describe_test(test)
    else:
        yield bold(f"{result['network']} has learned, and is not tested: no images were kept for it")
    if best["val_accuracy"] is not None:
        yield f"  {percent(best['val_accuracy'], 1)} of those it was watched by, at best, after epoch {best['epoch']}"
    yield ""
    yield bold(f"files in {out}")
    yield from pairs(FILES, room=width())
    path = os.path.join(out, MODEL)
    yield from next_steps(
        {
            f"kerascnn predict {path} IMAGE": "what it sees in a photo",
            f"kerascnn show {path} --layers": "what it is made of",
        }
    )
