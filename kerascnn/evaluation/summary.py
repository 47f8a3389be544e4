"""The summary of an evaluation as lines of text."""

from ..support.text import clip_line
from .statistics import Interval

TITLES = {"accuracy": "accuracy", "balanced": "balanced", "macro_f1": "macro F1", "nll": "NLL", "brier": "Brier"}
SHOWN = 5  # classes and pairs in a list


def summary_lines(evaluation, room=100):
    """The lines: measures with their intervals, calibration, classes, pairs."""
    known = f", model {evaluation.model}" if evaluation.model else ""
    data = f" ({evaluation.data})" if evaluation.data else ""
    yield f"{len(evaluation):,} images of {len(evaluation.per_class):,} classes{known}{data}"
    if evaluation.failed:
        yield f"{len(evaluation.failed)} images could not be read, for example {next(iter(evaluation.failed))}"
    yield ""
    for name, interval in evaluation.interval.items():
        shown = format_measure(interval) if name in ("nll", "brier") else str(Interval(*interval))
        yield f"  {TITLES.get(name, name.replace('top', 'top-')):<12}{shown}"
    yield f"  {'calibration':<12}{evaluation.calibration.text()}"
    for title, rows in classes_to_list(evaluation.per_class).items():
        yield from ("", title, *(clip_line(f"  {line}", room) for line in map(class_line, rows.itertuples())))
    pairs = [*evaluation.confusions.head(SHOWN).itertuples(index=False)]
    if pairs:
        yield from ("", "most frequent confusions")
        yield from (
            clip_line(f"  {pair[2]:>4} of {round(pair[2] / pair[3]):<4} {pair[0]} -> {pair[1]}", room) for pair in pairs
        )


def format_measure(interval):
    """A number that is no share."""
    return f"{interval.value:.3f} ({interval.low:.3f} to {interval.high:.3f})"


def classes_to_list(table):
    """{title: rows}: the easiest and the hardest classes, or all of a few."""
    if len(table) <= 2 * SHOWN:
        return {"classes, easiest first": table}
    return {"easiest classes": table.head(SHOWN), "hardest classes, hardest last": table.tail(SHOWN)}


def class_line(row):
    """A class, how often it is right, and for what it is taken."""
    taken = f", most often confused with {row.confused_with}" if row.confused_with else ""
    few = " (few)" if row.few else ""
    return f"{100 * row.accuracy:5.1f} % of {row.n:<4} {row[2]}{few}{taken}"
