"""What a finished transfer found: the answer, the candidates, where the data lies; read from the study's own files."""

import json

import numpy as np
import pandas as pd

from ...plots.primitives import spans
from ...plots.style import BLUE, PALE, RED, new_figure, tidy
from ...support.text import percent
from ..context import Skipped
from ..figures import TITLE
from ..page import Section, facts, figure, folded, heading, paragraph, table

SHOWN = 20  # candidates in the figure
CARD, TABLE, POINTS = "study.json", "table.csv", "points.csv"
LIES = {
    "similar": "similar to what the network learned from: its last features are the best ones",
    "different": "different from what the network learned from: features of earlier stages are better than the last",
    "little": "little data: not enough images of a class to move weights by",
    "much": "much data: enough images of a class to finetune",
}


def transfer(subject):
    """The section."""
    if subject.transfer is None:
        raise Skipped("no transfer was given: --transfer RUN, the folder that `kerascnn transfer` wrote")
    try:
        card = json.loads((subject.transfer / CARD).read_text(encoding="utf-8"))
        rows = pd.read_csv(subject.transfer / TABLE)
    except (OSError, ValueError) as error:
        raise Skipped(f"{subject.transfer.name} is no folder of a finished study: {error}") from error
    points = read(subject.transfer / POINTS)
    blocks = [facts(answer(card)), heading("Where the data lies")]
    blocks += [paragraph(f"{LIES.get(word, word)[0].upper()}{LIES.get(word, word)[1:]}.") for word in card["advice"]]
    best = rows.head(SHOWN)
    low, high = best.accuracy.min(), best.accuracy.max()
    alt = f"accuracies of {len(best)} candidates, {percent(low)} to {percent(high)}; chosen: {chosen(rows)['name']}"
    caption = (
        f"The best {len(best)} of {len(rows)} candidates on images that they were not shown, with 95 % intervals. Of "
        "those not worse than the best by more than one standard error, the cheapest is chosen."
    )
    blocks += [heading("Candidates"), figure(draw(best), alt, caption, name="transfer-candidates")]
    blocks.append(folded(f"All {len(rows)} candidates", table(candidates(rows), marked="chosen")))
    if len(points):
        blocks.append(folded(f"The {len(points)} points of the grid", table(points.dropna(axis=1, how="all"))))
    results = {
        "card": card,
        "candidates": len(rows),
        "points": len(points),
        "best": rows.head(SHOWN).to_dict("records"),
    }
    return Section("Transfer", tuple(blocks), results)


def read(path):
    """A table, empty where a study had nothing to put into it."""
    try:
        return pd.read_csv(path)
    except (OSError, pd.errors.EmptyDataError):
        return pd.DataFrame()


def candidates(rows):
    """A row for each candidate, as a reader wants it."""
    shown = {
        "candidate": rows["name"],
        "accuracy %": 100 * rows.accuracy,
        "from": 100 * rows.low,
        "to": 100 * rows.high,
        "images": rows.images,
        "multiply-adds": rows.macs,
        "seconds": rows.seconds,
        "chosen": rows.chosen.astype(bool),
    }
    return pd.DataFrame(shown)


def answer(card):
    """The study's answer in words."""
    found = {"data": f"{card['data']}, {card['classes']:,} classes, {card['learned from']:,} images learned from"}
    found["chosen"] = card["chosen"]["name"]
    found["on images not shown"] = interval(card["chosen"])
    if "test" in card:
        found["locked test"] = f"{interval(card['test'])} of {card['test']['images']:,} images, looked at once"
        found["the usual way"] = f"{interval(card['test of the usual way'])}: a linear classifier on the last features"
        gap = card["difference"]
        points = [f"{100 * gap[key]:+.1f}" for key in ("value", "low", "high")]
        found["difference"] = f"{points[0]} points ({points[1]} to {points[2]}), McNemar's p = {gap['p']:.2g}"
    return found | {"work": f"{card['spent']:,.0f} s"}


def interval(row):
    return f"{percent(row['accuracy'])} ({percent(row['low'])} to {percent(row['high'])})"


def chosen(rows):
    """The row that was chosen, the first where the file does not say."""
    marked = rows[rows.chosen.astype(bool)] if "chosen" in rows else rows
    return (marked if len(marked) else rows).iloc[0]


def draw(rows):
    """Accuracies with intervals, the chosen one in color, finetuned ones as squares."""
    drawing = new_figure(10, 1.2 + 0.3 * len(rows))
    axis, places = drawing.subplots(), np.arange(len(rows))
    for kind, mark in (("linear", "o"), ("finetuned", "s")):
        some = (rows.kind == kind).to_numpy()
        if not some.any():
            continue
        value, low, high = 100 * rows.loc[some, ["accuracy", "low", "high"]].to_numpy().T
        bars = spans(value, low, high)
        axis.errorbar(value, places[some], xerr=bars, fmt=mark, color=BLUE, ecolor=PALE, label=kind)
    place = int(np.flatnonzero((rows.chosen.astype(bool)).to_numpy())[0]) if rows.chosen.any() else 0
    axis.plot(100 * rows.accuracy.iloc[place], place, "D", color=RED, markersize=9, label="chosen", zorder=3)
    axis.set_yticks(places, rows["name"], fontsize=9)
    axis.invert_yaxis()
    drawing.legend(*axis.get_legend_handles_labels(), loc="outside lower right", ncols=3, frameon=False)
    tidy(axis, "accuracy (%)", **TITLE)
    return drawing
