"""`kerascnn train`: train a network on images and test it once."""

import os
from pathlib import Path

import click

from ..backend import load_keras
from ..datasets import IMAGES, describe_test, summarize_test, with_test_set
from ..errors import INTERRUPTED, BadFile, Failure, Misuse, raise_as
from ..models import check_weights, complete_names, model_not_found, network_row
from ..options import COUNT, POSITIVE, SHARE, Command, check_run_folder, seed_option
from ..output import (
    bold,
    collect_warnings,
    format_pairs,
    format_table,
    next_steps,
    percent,
    print_result,
    remark,
    terminal_width,
    verbosity,
    waiting,
)

MODEL = "model.keras"
RUN = ("state.npz", "card.json")  # files that mark the folder of a run
DEFAULT = 0.1  # fraction of the images, for validation and for test
FILES = {
    MODEL: "the trained network",
    "labels.json": "its class names",
    "best.weights.h5": "weights of the best epoch",
    "history.csv": "loss and accuracy after each epoch",
    "curves.png": "the same as a figure",
    "card.json": "network, recipe, data, seed, versions, result",
}


def complete_recipes(context, option, incomplete):
    from kerascnn.training.recipes import PUBLISHED, RECIPES

    return [name for name in (*RECIPES, PUBLISHED) if name.startswith(incomplete)]


@click.command("train", cls=Command)
@click.argument("network", metavar="NAME", required=False, shell_complete=complete_names)
@click.option(
    "--data", metavar="SOURCE", help="Folder with one subfolder per class, a .zip, .csv or .npz file, or digits."
)
@click.option(
    "--recipe",
    metavar="R",
    shell_complete=complete_recipes,
    help="Training recipe, one of --list, or published. [onecycle]",
)
@click.option("--epochs", metavar="N", type=COUNT, help="Number of epochs, instead of the recipe's.")
@click.option("--batch-size", "batch_size", metavar="N", type=COUNT, help="Batch size, instead of the recipe's.")
@click.option(
    "--learning-rate", "--lr", metavar="X", type=POSITIVE, help="Peak learning rate, instead of the recipe's."
)
@seed_option("Random seed for weights, split and order.")
@click.option(
    "--valid", metavar="SHARE", type=SHARE, help="Fraction of the images to use for validation; 0 for none. [0.1]"
)
@click.option(
    "--test", metavar="SHARE", type=SHARE, help="Fraction of the images to lock away as test set; 0 for none. [0.1]"
)
@click.option("--test-data", metavar="SOURCE", help="Use these images as the test set, in place of a part of --data.")
@click.option("--size", metavar="N", type=COUNT, help="Height and width of the images. [as published]")
@click.option("--weights", metavar="W", help="Initial weights: imagenet, torchvision, keras, timm, or a file.")
@click.option("--out", metavar="RUN", type=click.Path(file_okay=False), help="Output folder. [runs/NAME-DATA]")
@click.option("--resume", is_flag=True, help="Resume RUN after its last saved epoch.")
@click.option("--list", "listed", is_flag=True, help="List the training recipes.")
def train_command(network, data, recipe, seed, valid, test, test_data, size, weights, out, resume, listed, **replaced):
    """Train a network on your images.

    NAME is a network listed by `kerascnn list`. The images are split into training, validation and test images; the
    test set is used once, at the end. Splits that the data already have are kept. Ctrl-C stops after the current epoch
    and saves; a second Ctrl-C stops at once. --resume continues, also after a crash, with the same result as an
    uninterrupted run.
    """
    if listed:
        return list_recipes()
    row = check_training_request(network, data, recipe, weights)
    out = check_run_folder(out or os.path.join("runs", f"{row.name}-{Path(data).stem}"), RUN, "run", resume)
    load_keras()
    with collect_warnings() as warnings:
        images = load_training_data(data, valid, test, test_data, seed, out)
    for line in warnings:
        remark(line)
    model = build_classifier(row, images, recipe, seed, size, weights)
    history = train_model(model, images, recipe, {"seed": seed, "out": out, "resume": resume} | replaced)
    result = {"network": row.name, "data": data, "seed": seed, "folder": out, "epochs": len(history.table)}
    result |= {"stopped": history.stopped or None, "best": history.best if len(history.table) else None}
    if history.stopped:
        print_result("train", result | {"test": None}, [history.stopped], warnings, printed=True)
        remark("to resume: the same command with --resume")
        return INTERRUPTED
    result |= {"test": evaluate_test_set(model, images, test_data or data, out)}
    print_result("train", result, training_lines(result), warnings, printed=True)


def list_recipes():
    """Print the recipes and their sources as a table."""
    from kerascnn.training import RECIPES

    titles = ("recipe", "optimizer", "learning rate", "schedule", "L2", "batch size", "epochs", "source")
    rows = [
        (
            row.name,
            row.optimizer,
            f"{row.learning_rate:g}",
            type(row.schedule).__name__.lower(),
            f"{row.l2:g}",
            row.batch_size,
            row.epochs,
            row.source,
        )
        for row in RECIPES.values()
    ]
    lines = format_table(titles, rows, words=("recipe", "optimizer", "schedule", "source"), room=terminal_width())
    print_result("train", {"recipes": [row.to_dict() for row in RECIPES.values()]}, lines)


def check_training_request(name, data, recipe, weights):
    """The network's row; refuse wrong arguments before Keras is loaded."""
    from kerascnn.training import recipes

    if name is None:
        raise Misuse("missing argument NAME", "kerascnn train lenet5 --data digits")
    row = network_row(name)
    if row is None:
        raise model_not_found(name)
    if data is None:
        raise Misuse(
            f"`--data` is missing: {row.name} needs images to train on",
            f"kerascnn train {row.name} --data digits, or a folder",
        )
    if recipe not in (None, recipes.PUBLISHED):
        with raise_as(Misuse, advice="kerascnn train --list"):
            recipes.recipe(recipe)
    if weights:
        check_weights(row.name, row, weights)
    return row


def load_training_data(source, valid, test, other, seed, out):
    """Load the dataset, split as the run in ``out`` if there is one, with ``other`` images as its test set if given."""
    from kerascnn.training.runs import run_split_rule

    rule = run_split_rule(out)
    valid = DEFAULT if valid is None else valid
    test = (0.0 if other else DEFAULT) if test is None else test
    data = load_data_option("--data", source, valid=valid, test=test, seed=seed, rule=rule)
    return with_test_set(data, load_data_option("--test-data", other, valid=0.0, test=0.0)) if other else data


def load_data_option(option, source, **options):
    from kerascnn.data.load import load_dataset

    with raise_as(BadFile, f"{option}: ", IMAGES, (OSError, ValueError)), waiting("loading the images ..."):
        return load_dataset(source, **options)


def build_classifier(row, images, recipe, seed, size, weights):
    """Build the network for the classes of the data, initialized as in the recipe unless it has weights."""
    import keras

    import kerascnn
    from kerascnn.training import initialize, recipes

    keras.utils.set_random_seed(seed)
    high, wide, channels = row.input_shape
    shape = (size, size, channels) if size else (high, wide, channels)
    advice = "another --size or --weights" if size or weights else None
    with raise_as(Misuse, advice=advice), waiting(f"building {row.name} ..."):
        model = kerascnn.build_model(row.name, input_shape=shape, classes=len(images.class_names), weights=weights)
    if weights is None and recipe:
        settings = recipes.recipe_of(row) if recipe == recipes.PUBLISHED else recipes.recipe(recipe)
        initialize(model, settings, seed)
    parts = {"for training": images.train, "for validation": images.valid, "locked": images.test}
    remark(
        f"{row.name}: {model.count_params():,} parameters, {shape[0]}x{shape[1]} pixels, "
        f"classes: {len(images.class_names)}"
    )
    remark(f"images {', '.join(f'{what}: {len(each or ()):,}' for what, each in parts.items())}")
    return model


def train_model(model, images, recipe, options):
    from kerascnn.training import TrainingDiverged, fit

    advice = f"a lower --learning-rate and another --out; {options['out']} has the epochs so far"
    with raise_as(Failure, advice=advice, kinds=TrainingDiverged), raise_as(Misuse):
        return fit(model, images, recipe, verbose=verbosity(), **options)


def evaluate_test_set(model, data, source, out):
    """Test accuracy, computed once in the life of a run; None without test images."""
    from kerascnn import evaluate
    from kerascnn.inputs.class_names import LABELS, save_model
    from kerascnn.support.files import write_atomically
    from kerascnn.training.runs import CARD, read_card, write_json

    card = os.path.join(out, CARD)
    facts = read_card(card)
    with write_atomically(os.path.join(out, MODEL)) as draft:
        save_model(model, draft, data.class_names)
    write_json(os.path.join(out, LABELS), list(data.class_names))
    if "test" not in facts and data.test:
        facts |= {"test": {"data": source} | summarize_test(evaluate(model, data, verbose=verbosity()))}
        write_json(card, facts)
    return facts.get("test")


def training_lines(result):
    test, best, out = result["test"], result["best"], result["folder"]
    if test:
        yield bold(f"{result['network']}: {percent(test['accuracy'], 1)} test accuracy")
        yield describe_test(test)
    else:
        yield bold(f"{result['network']} is trained but not tested: no test images were set aside")
    if best["val_accuracy"] is not None:
        yield (f"  best validation accuracy {percent(best['val_accuracy'], 1)}, after epoch {best['epoch']}")
    yield ""
    yield bold(f"files in {out}")
    yield from format_pairs(FILES, room=terminal_width())
    path = os.path.join(out, MODEL)
    yield from next_steps(
        {f"kerascnn predict {path} IMAGE": "classify a photo", f"kerascnn show {path} --layers": "all layers"}
    )
