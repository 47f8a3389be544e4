"""An evaluation as text on a page."""

from .intervals import Interval

TITLES = {"accuracy": "accuracy", "balanced": "balanced", "macro_f1": "macro F1", "nll": "NLL", "brier": "Brier"}
SHOWN = 5


def page(evaluation, room=100):
    """The lines: measures with their intervals, calibration, classes, pairs."""
    known = f" by {evaluation.model}" if evaluation.model else ""
    data = f" ({evaluation.data})" if evaluation.data else ""
    yield f"{len(evaluation):,} images of {len(evaluation.per_class):,} classes{known}{data}"
    if evaluation.failed:
        yield f"{len(evaluation.failed)} images could not be read, such as {next(iter(evaluation.failed))}"
    yield ""
    for name, interval in evaluation.interval.items():
        shown = measure(interval) if name in ("nll", "brier") else str(Interval(*interval))
        yield f"  {TITLES.get(name, name.replace('top', 'top-')):<12}{shown}"
    yield f"  {'calibration':<12}{calibrated(evaluation.calibration)}"
    for title, rows in sides(evaluation.per_class).items():
        yield from ("", title, *(cut(f"  {line}", room) for line in map(class_line, rows.itertuples())))
    pairs = [*evaluation.confused.head(SHOWN).itertuples(index=False)]
    if pairs:
        yield from ("", "most confused")
        yield from (
            cut(f"  {pair[2]:>4} of {round(pair[2] / pair[3]):<4} {pair[0]} -> {pair[1]}", room) for pair in pairs
        )


def measure(interval):
    """A number that is no share."""
    return f"{interval.value:.3f} ({interval.low:.3f} to {interval.high:.3f})"


def calibrated(found):
    """What the calibration says, in words."""
    verdict = "too sure" if found.gap > 0 else "not sure enough"
    if found.ece <= found.chance:
        verdict = "as good as can be told from so many images"
    return f"ECE {100 * found.ece:.1f} % (chance alone: up to {100 * found.chance:.1f} %), {verdict}"


def sides(table):
    """{title: rows}: the easiest and the hardest classes, or all of a few."""
    if len(table) <= 2 * SHOWN:
        return {"classes, the easiest first": table}
    return {"easiest classes": table.head(SHOWN), "hardest classes, the hardest last": table.tail(SHOWN)}


def class_line(row):
    """A class, how often it is right, and for what it is taken."""
    taken = f", taken for {row.confused_with}" if row.confused_with else ""
    few = " (few)" if row.few else ""
    return f"{100 * row.accuracy:5.1f} % of {row.n:<4} {row[2]}{few}{taken}"


def cut(text, room):
    """The text, or as much of it as there is room for."""
    return text if room is None or len(text) <= room else text[: max(room - 3, 1)].rstrip() + "..."
