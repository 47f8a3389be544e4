"""`kerascnn demo`: LeNet-5 learns to read digits, and is looked at; offline, in under a minute."""

import os
import sys
import time
from contextlib import nullcontext

import click

from .command import Command, Misuse, given
from .quiet import load_keras
from .writing import answer, bold, next_steps, pairs, percent, remark, width

MARK = ".kerascnn-demo"  # in a folder that the demo made and may fill again
BATCH = 32
FILES = {
    "lenet5.svg": "the network as blocks, for a browser",
    "lenet5.txt": "the network layer by layer",
    "history.csv": "loss and accuracy after each epoch",
    "lenet5.keras": "the trained network",
    "mistakes.png": "the digits that it read wrong",
}


@click.command("demo", cls=Command)
@click.option(
    "--out", default="kerascnn-demo", show_default=True, metavar="DIR", type=click.Path(file_okay=False), help="Folder."
)
@click.option("--epochs", default=15, show_default=True, type=click.IntRange(1), help="Passes over the data.")
@click.option("--seed", default=0, show_default=True, type=click.IntRange(0), help="Of weights and split.")
@click.option("--force", is_flag=True, help="Write into a folder that the demo did not make.")
def command(out, epochs, seed, force):
    """Take the tour: a network learns to read digits.

    LeNet-5 of 1998, on the 1,797 handwritten digits that come with scikit-learn; a quarter of them is held
    out for the test. Needs no connection.
    """
    prepare(out, force)
    load_keras()
    started = time.perf_counter()
    result = tour(out, epochs, seed)
    result["seconds"] = round(time.perf_counter() - started, 1)
    answer("demo", result, lines(result))


def prepare(out, force):
    """Make the folder, unless it is somebody else's."""
    mark = os.path.join(out, MARK)
    try:
        if os.path.isdir(out) and os.listdir(out) and not os.path.exists(mark) and not force:
            raise Misuse(f"{out} has files in it, not the demo's", "--out with a new folder, or --force")
        os.makedirs(out, exist_ok=True)
        with open(mark, "w", encoding="utf-8") as file:
            file.write("made by kerascnn demo, which may fill this folder again\n")
    except OSError as error:
        raise Misuse(f"{out} cannot be written: {error.strerror}") from error


def tour(out, epochs, seed):
    """The four steps; each says what it shows."""
    import keras

    import kerascnn

    keras.utils.set_random_seed(seed)
    x, unseen, y, answers = digits(seed)
    step(1, f"{len(x) + len(unseen):,} handwritten digits: {len(x):,} to learn from, {len(unseen)} held out")

    model = kerascnn.build_model("lenet5")
    anatomy = look_at(model, out)
    most = max(anatomy.rows, key=lambda row: row.params)
    share = 100 * most.params / anatomy.params
    step(2, f"LeNet-5: {anatomy.trainable:,} parameters, {share:.0f} % of them in {most.name}")

    step(3, f"fit by Adam on the cross-entropy, {epochs} times through the data")
    history = fit(model, x, y, epochs)
    save(out, "history.csv", lambda path: write_history(history, path))
    save(out, "lenet5.keras", model.save)

    right, number = examine(model, unseen, answers, out), len(unseen)
    step(4, f"test on the {number} that it has never seen: {number - right} read wrong")
    about = {"network": "lenet5", "parameters": anatomy.trainable, "epochs": epochs, "seed": seed}
    test = {"train": len(x), "test": number, "right": right, "accuracy": right / number}
    return about | test | {"interval": wilson(right, number), "folder": out, "files": [*FILES]}


def look_at(model, out):
    """Write the table and the diagram of the network; the table."""
    import kerascnn

    kerascnn.diagram(model).save(os.path.join(out, "lenet5.svg"))
    anatomy = kerascnn.dissect(model)
    anatomy.save(os.path.join(out, "lenet5.txt"))
    return anatomy


def examine(model, images, answers, out):
    """How many images the network reads right; the others are drawn."""
    read = model.predict(images, verbose=0).argmax(axis=1)
    wrong = read != answers
    save(out, "mistakes.png", lambda path: draw_mistakes(images[wrong], answers[wrong], read[wrong], path))
    return int((~wrong).sum())


def step(number, text):
    remark(click.style(f"{number}/4 ", bold=True) + text)


def digits(seed):
    """scikit-learn's digits, enlarged to (N, 32, 32, 1) of pixels 0..255; a quarter of them for the test."""
    import keras
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    found = load_digits()
    images = found.images[..., None].astype("float32") * (255 / 16)
    images = keras.ops.convert_to_numpy(keras.ops.image.resize(images, (32, 32), data_format="channels_last"))
    x, unseen, y, answers = train_test_split(
        images, found.target, test_size=0.25, stratify=found.target, random_state=seed
    )
    return x, unseen, y, answers


def fit(model, x, y, epochs):
    """Train with a bar on a terminal, a line an epoch elsewhere; the history by name."""
    import keras

    rate = keras.optimizers.schedules.CosineDecay(2e-3, epochs * -(-len(x) // BATCH))
    model.compile(keras.optimizers.Adam(rate), "sparse_categorical_crossentropy", metrics=["accuracy"])
    bar = progress() if sys.stderr.isatty() and not given("quiet") else None
    task = bar.add_task("", total=epochs) if bar else None

    def report(epoch, logs):
        right = percent(logs["accuracy"], 1)
        text = f"epoch {epoch + 1:>2} of {epochs}  loss {logs['loss']:.3f}  accuracy {right}"
        if bar:
            bar.update(task, completed=epoch + 1, description=text)
        else:
            remark(f"    {text}")

    with bar or nullcontext():
        watch = keras.callbacks.LambdaCallback(on_epoch_end=report)
        return model.fit(x, y, batch_size=BATCH, epochs=epochs, verbose=0, callbacks=[watch]).history


def progress():
    """A bar on the terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("    {task.description}"), BarColumn(), TimeRemainingColumn())
    console = Console(stderr=True, no_color=click.get_current_context().color is False)
    return Progress(*columns, console=console)


def save(folder, name, write):
    """Write one of the files, so that no half of it is ever seen."""
    from kerascnn.files import replacing

    with replacing(os.path.join(folder, name)) as draft:
        write(draft)


def write_history(history, path):
    import pandas as pd

    pd.DataFrame(history).rename_axis("epoch").rename(lambda epoch: epoch + 1).to_csv(path)


def draw_mistakes(images, answers, read, path, columns=6):
    """Up to 24 of the digits that were read wrong, with what they are and what was read."""
    from matplotlib.figure import Figure

    number = min(len(images), 24)
    rows = max(1, -(-number // columns))
    figure = Figure(figsize=(1.3 * columns, 1.6 * rows), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes in grid:
        axes.axis("off")
    for axes, image, digit, wrong in zip(grid[:number], images, answers, read, strict=False):
        axes.imshow(image[..., 0], cmap="gray_r", vmin=0, vmax=255)
        axes.set_title(f"{digit}, read as {wrong}", fontsize=9)
    if not number:
        figure.suptitle("none was read wrong", fontsize=10)
    figure.savefig(path, dpi=120)


def wilson(right, number):
    """The 95 % interval of a proportion, as JSON holds it."""
    from kerascnn.evaluation import wilson

    found = wilson(right, number)
    return [found.low, found.high]


def lines(result):
    low, high = result["interval"]
    folder = result["folder"]
    yield ""
    yield bold(f"LeNet-5 reads {percent(result['accuracy'], 1)} of digits that it has never seen")
    interval = f"95 % interval {percent(low, 1)} to {percent(high, 1)}"
    yield f"  {result['right']} right of {result['test']}, {interval}"
    yield f"  after {result['epochs']} times through the data; the tour took {result['seconds']:.0f} s"
    yield ""
    yield bold(f"files in {folder}")
    yield from pairs(FILES, room=width())
    yield from next_steps(
        {
            f"kerascnn show {os.path.join(folder, 'lenet5.keras')} --layers": "what it is made of",
            "kerascnn list --max-params 5M": "other small networks",
            "kerascnn show resnet50": "a large one",
        }
    )
