"""Results in files: numbers as JSON and CSV, pictures, or a folder of all; under a temporary name until complete."""

import json
import math
from pathlib import Path

from ..files import displayable, replacing, save_figure

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
