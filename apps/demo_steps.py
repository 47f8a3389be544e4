"""The steps of `kerascnn demo`: each takes the `Tour` and returns its facts, with a "line" that says what came out."""

import os
import sys
import time
from contextlib import nullcontext

import click

from .command import given
from .writing import percent, remark, wilson

BATCH = 32
BACKBONE = "resnet20_cifar10"
BUDGET = 60  # seconds for classifiers and the grid
HEADS = ("ridge",)  # the quick one
FEW = 4  # stages of which the table is told


def build(tour):
    """LeNet-5: its table and its diagram."""
    import keras

    import kerascnn

    keras.utils.set_random_seed(tour.seed)
    model = tour.made["lenet5"] = kerascnn.build_model("lenet5")
    kerascnn.diagram(model).save(tour.path("lenet5.svg"))
    anatomy = kerascnn.dissect(model)
    anatomy.save(tour.path("lenet5.txt"))
    most = max(anatomy.rows, key=lambda row: row.params)
    share = percent(most.params, anatomy.params)
    line = f"{anatomy.trainable:,} parameters, {share} of them in {most.name}; {anatomy.macs:,} multiply-adds an image"
    return {"line": line, "parameters": anatomy.trainable}


def learn(tour):
    """LeNet-5 on the digits, and what it reads wrong of those that were held out."""
    x, unseen, y, answers = digits(tour.seed)
    model = tour.made["lenet5"]
    history = fit(model, x, y, tour.epochs)
    save(tour.path("history.csv"), lambda path: write_history(history, path))
    save(tour.path("lenet5.keras"), model.save)
    read = model.predict(unseen, verbose=0).argmax(axis=1)
    wrong = read != answers
    save(tour.path("mistakes.png"), lambda path: draw_mistakes(unseen[wrong], answers[wrong], read[wrong], path))
    right, number = int((~wrong).sum()), len(unseen)
    test = {"images": number, "right": right, "accuracy": right / number, "interval": wilson(right, number)}
    line = f"of the {number} that it has never seen it reads {number - right} wrong: mistakes.png"
    return {"line": line, "train": len(x), "test": test}


def transfer(tour):
    """A study of the shipped network on the same digits: taps, advice, what of the grid the budget allows."""
    import kerascnn

    began = time.monotonic()
    tell = lambda line: remark(f"    {time.monotonic() - began:4.0f} s  {line}")  # noqa: E731
    out = tour.path("transfer")
    found = kerascnn.transfer.study("digits", BACKBONE, out=out, budget=BUDGET, heads=HEADS, seed=tour.seed, tell=tell)
    found.save(out)
    tour.made["study"] = found
    rows = told(found.best)
    for row in rows:
        remark(f"    {row['stage']:<16} {percent(row['accuracy'], 1):>7}  of images not shown, {row['depth']}")
    remark(f"    {found.advice.similarity} data, {found.advice.amount} of it: first {found.advice.strategies[0]}")
    value, low, high = found.tested.interval["accuracy"]
    test = {"images": len(found.tested), "right": int(found.tested.right.sum()), "accuracy": value}
    gap = found.compared.difference
    line = (
        f"chosen: {found.chosen.name}; {percent(value, 1)} of the locked test, the usual way "
        f"{percent(found.usual_tested.accuracy, 1)}: {100 * gap.value:+.1f} points ({100 * gap.low:+.1f} to "
        f"{100 * gap.high:+.1f})"
    )
    facts = {"chosen": found.chosen.name, "usual": found.usual_tested.accuracy, "stages": rows}
    facts |= {"advice": list(found.advice.strategies), "points": len(found.outcomes)}
    return {"line": line, "test": test | {"interval": [low, high]}} | facts


def told(table, few=FEW):
    """A few stages of a ``ProbeTable`` from the first to the last, the best one among them."""
    rows = table.summary
    rows = rows[rows["stage"].isin(table.stages)].sort_values("accuracy").drop_duplicates("stage", keep="last")
    best = table.stages.index(rows["stage"].iloc[-1])
    last = len(table.stages) - 1
    places = sorted({round(i * last / (few - 2)) for i in range(few - 1)} | {best})
    accuracy = dict(zip(rows["stage"], map(float, rows["accuracy"]), strict=True))
    words = {best: "the best single stage", last: "the usual place"}
    return [
        {
            "stage": table.stages[i],
            "accuracy": accuracy[table.stages[i]],
            "depth": words.get(i, f"stage {i + 1} of {last + 1}"),
        }
        for i in places
    ]


def export(tour):
    """The chosen network as a SavedModel, checked in fresh processes."""
    written = tour.made["study"].export(tour.path("classifier"), replace=True)
    checks = [vars(check) for check in written.checks]
    found = {check["what"]: check["found"] for check in checks if check["file"] == "saved_model"}
    line = (
        f"verified in fresh processes, {sum(check['passed'] for check in checks)} of {len(checks)} checks passed: from "
        f"bytes of photos the same names, probabilities {found['bytes: probabilities']}"
    )
    return {"line": line, "checks": checks, "size": sum(written.files.values())}


def report(tour):
    """The visual report on the chosen network and the study."""
    import kerascnn

    study, out = tour.made["study"], tour.path("report.html")
    seen = []

    def tell(done, what, *rest):
        title = what.split(":")[0]  # of the section; what comes after it is told inside
        if title not in seen:
            seen.append(title)
            remark(f"    {done:4.0%}  {title}")

    kerascnn.report(
        study.model, data=study.data, transfer=tour.path("transfer"), effort="quick", seed=tour.seed, out=out, tell=tell
    )
    return {"line": f"{out}, {os.path.getsize(out) / 1e6:.1f} MB: open it in a browser", "file": out}


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


def save(path, write):
    """Write one of the files, so that no half of it is ever seen."""
    from kerascnn.files import replacing

    with replacing(path) as draft:
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
