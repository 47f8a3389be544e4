"""Results in files: numbers as JSON and CSV, pictures, or a folder of all; under a temporary name until complete."""

import json
import math
from pathlib import Path

from ..support.files import displayable, replacing, save_figure
from ..support.text import percent
from .statistics import Interval

PICTURES = (".png", ".svg", ".pdf", ".jpg")
TABLES = ("images", "per_class", "confused", "confusion")


def save(evaluation, path):
    """Write an evaluation by its suffix; without one, a folder."""
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix == ".json":
        return write(path, document(summary(evaluation)))
    if suffix == ".csv":
        return write(path, evaluation.images.to_csv(index=False))
    if suffix in PICTURES:
        return save_figure(evaluation.plot(), path)
    if suffix:
        raise ValueError(f"`path` should end in .json, .csv, {', '.join(PICTURES)}, or be a folder. Received: {path}")
    path.mkdir(parents=True, exist_ok=True)
    write(path / "evaluation.json", document(summary(evaluation)))
    write(path / "evaluation.txt", evaluation.text() + "\n")
    for name in TABLES:
        write(path / f"{name}.csv", getattr(evaluation, name).to_csv(index=name == "confusion"))
    write(path / "calibration.csv", evaluation.calibration.table.to_csv(index=False))
    save_figure(evaluation.plot(), path / "evaluation.png")
    return path


def keep(path, table, plot, stated):
    """Write what is not an evaluation by its suffix: the table, the figure or the numbers, each made when asked for."""
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix == ".json":
        return write(path, document(stated()))
    if suffix == ".csv":
        return write(path, table().to_csv(index=False))
    if suffix in PICTURES:
        return save_figure(plot(), path)
    raise ValueError(f"`path` should end in .json, .csv, {', '.join(PICTURES)}. Received: {path}")


def summary(evaluation):
    """The numbers as plain data."""
    found = evaluation.calibration
    return {
        "model": evaluation.model,
        "data": evaluation.data,
        "images": len(evaluation),
        "failed": {str(name): str(reason) for name, reason in evaluation.failed.items()},
        "measures": {name: plain(interval._asdict()) for name, interval in evaluation.interval.items()},
        "calibration": plain({"ece": found.ece, "chance": found.chance, "gap": found.gap}),
        "per_class": records(evaluation.per_class),
        "confused": records(evaluation.confused.head(20)),
    }


def of_calibration(found):
    """A calibration as plain data."""
    return plain({"ece": found.ece, "chance": found.chance, "gap": found.gap}) | {"bins": records(found.table)}


def of_comparison(found):
    """A comparison as plain data; the 2x2 table has both right, only the first, only the second, none."""
    first, second = found.first, found.second
    return {
        "models": [first.model, second.model],
        "called": [*found.called],
        "accuracy": [bare(first.accuracy), bare(second.accuracy)],
        "difference": plain(found.difference._asdict()),
        "p": bare(found.p),
        "table": found.table.to_numpy().tolist(),
    }


def of_people(found):
    """People against a network as plain data; the 2x2 table has both right, only the human, only the network, none."""
    table = found.table.to_numpy().tolist()
    return {"who": found.person, "table": table, "people": records(found.people), "tied": [*found.tied]}


def of_ablation(found):
    """An ablation as plain data."""
    again = found.retrained and bare(found.retrained.accuracy)
    intact = {"accuracy": bare(found.intact.accuracy), "retrained": again}
    return {"intact": intact, "parts": records(found.table), "refused": dict(found.refused)}


def records(table):
    """A DataFrame's rows as dicts of plain values."""
    return [plain(row) for row in table.to_dict("records")]


def plain(row):
    """Values that JSON knows: floats of six digits, None for NaN and infinity."""
    return {key: bare(value) for key, value in row.items()}


def bare(value):
    value = value.item() if hasattr(value, "item") else value
    if isinstance(value, float):
        return float(f"{value:.6g}") if math.isfinite(value) else None
    return value


def document(result):
    return json.dumps(displayable(result), indent=2, allow_nan=False) + "\n"


def write(path, text):
    """Write a text file, complete or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as draft:
        draft.write_text(displayable(text), encoding="utf-8")
    return path


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
    return f"ECE {percent(found.ece)} (chance alone: up to {percent(found.chance)}), {verdict}"


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
