"""`kerascnn transfer`: find the best classifier of your images with pretrained networks."""

import os
import textwrap
import time
from pathlib import Path

import click

from ..backend import load_keras
from ..datasets import IMAGES, describe_test, summarize_test, with_test_set
from ..errors import PARTIAL, BadFile, Failure, Misuse, raise_as, writing
from ..models import complete_names, find_model, weights_option
from ..options import COUNT, SHARE, Command, Names, check_run_folder, seed_option
from ..output import (
    GAP,
    bold,
    collect_warnings,
    format_pairs,
    format_table,
    next_steps,
    percent,
    print_result,
    remark,
    terminal_width,
)
from .evaluate import check_data_exists

SHIPPED = "resnet20_cifar10"
FILES = {
    "model.keras": "the chosen network",
    "labels.json": "its class names",
    "report.html": "HTML report of the study",
    "table.csv": "all candidates",
    "points.csv": "all fine-tuning trials",
    "study.json": "data, chosen network, test result and times",
    "ledger": "results of finished steps, for --resume",
}
STRATEGIES = ("auto", "linear", "layers", "finetune", "grid")
SHOWN = 6
CANDIDATE_WORDS = (
    "ridge and softmax are kinds of linear classifiers; stages are groups of layers, stage1 is the first, features are "
    "the last stage averaged; frozen layers keep their weights, the named stage included"
)
WIDE, NARROW = 120, 100  # columns of a file, and of a terminal without room for intervals
SHORTEST_NAME = 20  # letters of a line of a name


@click.command("transfer", cls=Command)
@click.argument("data", metavar="DATA")
@click.option("--out", metavar="RUN", type=click.Path(file_okay=False), help="Output folder. [runs/transfer-DATA]")
@click.option(
    "--models",
    metavar="A,B,..",
    type=Names(),
    shell_complete=complete_names,
    help=f"Backbones: networks, also as NAME=FILE with a local weights file, or model files. [{SHIPPED}]",
)
@weights_option
@click.option(
    "--strategy",
    default="auto",
    show_default=True,
    type=click.Choice(STRATEGIES),
    help="What to try beyond linear probes.",
)
@click.option(
    "--budget",
    metavar="TIME",
    default="10m",
    show_default=True,
    help="Time budget for fine-tuning, such as 90s, 10m or 1h; 0 for none.",
)
@seed_option("Random seed for split, folds and order.")
@click.option(
    "--test",
    metavar="SHARE",
    default=0.2,
    show_default=True,
    type=SHARE,
    help="Fraction of the images to set aside as test set.",
)
@click.option("--test-data", metavar="SOURCE", help="Use these images as the test set, in place of a part of DATA.")
@click.option(
    "--groups", metavar="REGEX", help="Images whose names match this pattern alike stay together in the split."
)
@click.option(
    "--size",
    metavar="N",
    type=COUNT,
    help="Height and width of the images; networks of the zoo are built for it.  [size of their weights]",
)
@click.option("--resume", is_flag=True, help="Resume RUN, reusing what it finished.")
def transfer_command(data, out, models, weights, strategy, budget, seed, test, test_data, groups, size, resume):
    """Find the best way to classify your images with pretrained networks.

    DATA is a folder with one subfolder per class, a .zip, .csv or .npz file, or digits. Unreadable files and duplicates
    are found first, and a test set is set aside. Linear classifiers on every stage of each backbone then show what is
    worth more time: truncating the network, fine-tuning its last stages, or fine-tuning all of it. The cheapest
    candidate within one standard error of the best is chosen and evaluated on the test set once. --resume continues an
    interrupted run.
    """
    backbones = find_backbones(models or (SHIPPED,), weights)
    for source in (data, test_data):
        if source is not None:
            check_data_exists(source, None)
    seconds = parse_budget(budget)
    name = os.path.splitext(os.path.basename(data.rstrip(os.sep)))[0]
    out = check_run_folder(out or os.path.join("runs", f"transfer-{name}"), ("ledger",), "study", resume)
    load_keras()
    with collect_warnings() as first:
        images = load_study_data(data, test, test_data, groups, seed, out)
    for line in first:
        remark(line)
    with collect_warnings() as later:
        networks = [backbone.open(size) for backbone in backbones]
        study = run_study(images, networks, out, seconds, strategy, seed, size, resume)
        saved = save_study(study, out)
    warnings = [*dict.fromkeys(first + later)]
    failed = [f"{each.trial} failed: {each.failed}" for each in study.trial_results if each.failed]
    lines = study_lines(study, out, saved)
    print_result("transfer", study_result(study, data, out, saved), lines, warnings + failed, printed=True)
    return PARTIAL if failed else 0


def find_backbones(names, weights):
    """The sources of the backbones; --weights is for a single one."""
    if weights and len(names) > 1:
        text = ",".join(f"{name}={weights}" for name in names[:2])
        raise Misuse(f"--weights is for one network. Received: {', '.join(names)}", f"--models {text}")
    return [find_model(name, weights) for name in names]


def parse_budget(text):
    from kerascnn.transfer_learning.sources import parse_budget

    with raise_as(Misuse, advice="--budget 10m"):
        return None if text == "0" else parse_budget(text)


def load_study_data(source, test, other, groups, seed, out):
    """Load the dataset with its test set, split as the study in ``out`` if there is one."""
    from kerascnn.data import load
    from kerascnn.transfer_learning.sources import prepare_data, study_split_rule

    rule = study_split_rule(Path(out) / "ledger")
    with raise_as(BadFile, "cannot use the data: ", IMAGES, (OSError, ValueError)):
        data = prepare_data(source, 0.0 if other else test, groups, seed, rule)
        return with_test_set(data, load(other, valid=0.0, test=0.0)) if other else data


def run_study(images, models, out, budget, strategy, seed, size, resume):
    from kerascnn.data.load import WARNED
    from kerascnn.transfer_learning import transfer

    began = time.monotonic()

    def note(done, total, what):
        if what.partition(":")[0] not in WARNED:  # a warning has told it
            remark(f"{time.monotonic() - began:6.0f} s  {what}")

    options = {"budget": budget, "strategy": strategy, "seed": seed, "size": size, "resume": resume}
    try:
        with writing(out, Failure, "--out with another folder"), raise_as(Misuse):
            return transfer(images, models, out=out, on_progress=note, **options)
    except KeyboardInterrupt:
        remark(f"finished work is stored in {out}: add --resume to the same command to continue")
        raise


def save_study(study, out):
    """Write the study and return the names of its files."""
    with writing(out, Failure, "--resume, after freeing disk space"):
        return [*study.save(out)]


def study_result(study, data, out, saved):
    """The study as plain data."""
    rows = study.table.astype(object).where(study.table.notna(), None).to_dict("records")
    return study.card | {"source": data, "folder": str(out), "files": saved, "candidates": rows}


def study_lines(study, out, saved):
    from kerascnn.transfer_learning.advice import advice_lines
    from kerascnn.transfer_learning.page import (
        describe_conclusion,
        describe_outcomes,
        describe_small_classes,
        describe_time,
        is_baseline_chosen,
    )

    chosen, files = study.chosen, {*saved, "ledger"}
    if study.evaluation is not None:
        test = summarize_test(study.evaluation)
        yield bold(f"{percent(test['accuracy'], 1)} test accuracy")
        yield describe_test(test)
        gap = study.comparison.difference
        interval = f"95 % interval {100 * gap.low:+.1f} to {100 * gap.high:+.1f}"
        baseline = percent(study.baseline_evaluation.accuracy, 1)
        if is_baseline_chosen(study):
            yield "  the chosen network is the baseline, a linear classifier on the last features: none was better"
        else:
            yield (
                f"  baseline ({study.baseline.head} on {study.baseline.stage}): {baseline}; difference "
                f"{100 * gap.value:+.1f} percentage points ({interval})"
            )
    else:
        yield bold(f"{percent(chosen.accuracy, 1)} held-out accuracy; not tested, because there is no test set")
    yield f"  chosen network: {chosen.name}"
    for what, names in describe_small_classes(study.data).items():
        yield f"  {what}: {names}"
    yield ""
    yield bold("conclusion")
    yield from wrapped_lines(f"{GAP}{sentence}" for sentence in describe_conclusion(study))
    yield ""
    yield from wrapped_lines(advice_lines(study.advice, describe_outcomes(study)))
    yield ""
    yield from wrapped_lines([f"time: {describe_time(study)}"])
    yield ""
    yield from candidate_lines(study)
    yield ""
    yield bold(f"files in {out}")
    yield from format_pairs({name: text for name, text in FILES.items() if name in files}, room=terminal_width())
    path = os.path.join(out, "model.keras")
    yield from next_steps(
        {
            f"kerascnn predict {path} IMAGE": "classify a photo",
            f"kerascnn export {path} classifier": "export for deployment",
        }
    )


def candidate_lines(study):
    """The best candidates, and the chosen one, sorted by the difference from it; long names take several lines."""
    from kerascnn.transfer_learning.figures import distinct_rows
    from kerascnn.transfer_learning.page import describe_ranking, format_leads, short_names

    table = distinct_rows(study.table)
    table = table.assign(difference=format_leads(table), name=short_names(table))
    shown = table[(table.index < SHOWN) | table["chosen"]]
    numbers = {
        "from the chosen": [*shown["difference"]],
        "accuracy": [percent(value, 1) for value in shown["accuracy"]],
        "95 % interval": [
            f"{percent(low, 1)} to {percent(high, 1)}" for low, high in zip(shown["low"], shown["high"], strict=True)
        ],
        "images": [f"{images:,}" for images in shown["images"]],
    }
    room = terminal_width() or WIDE
    if room < NARROW:
        del numbers["95 % interval"]
    width = sum(max(map(len, (title, *cells))) + len(GAP) for title, cells in numbers.items())

    rows = []
    for *cells, name in zip(*numbers.values(), shown["name"], strict=True):
        first, *more = textwrap.wrap(name, max(room - width, SHORTEST_NAME), subsequent_indent=GAP)
        rows.append((*cells, first))
        rows += [(*[""] * len(cells), line) for line in more]

    yield bold(f"candidates, by difference from the chosen ({len(shown)} of {len(table)})")
    yield from format_table((*numbers, "candidate"), rows, words=("candidate",), room=terminal_width())
    yield from wrapped_lines(f"{what}: {text}" for what, text in describe_ranking(study).items())
    yield from wrapped_lines([f"words: {CANDIDATE_WORDS}"])


def wrapped_lines(lines):
    """Lines wrapped to the terminal, continued at their own indentation."""
    for line in lines:
        indent = " " * (len(line) - len(line.lstrip()) + len(GAP))
        options = {"subsequent_indent": indent, "break_long_words": False, "break_on_hyphens": False}
        yield from textwrap.wrap(line, terminal_width() or 120, **options)
