"""A finished transfer-learning study: result, dataset, candidates; read from the study's own files."""

import json
import re

import numpy as np
import pandas as pd

from ...plots.primitives import error_bars
from ...plots.style import BLUE, PALE, RED, new_figure, style_axis
from ...support.text import format_percent, list_names
from ..context import Skipped
from ..figures import TITLE
from ..page import Section, data_table, definition_list, details, figure, heading, paragraph

SHOWN = 20  # candidates in the figure
CARD, TABLE, POINTS = "study.json", "table.csv", "points.csv"
ADVICE_TEXTS = {
    "similar": "similar to the pretraining data: the last features are best",
    "different": "different from the pretraining data: features of earlier stages are better",
    "little": "few images per class: linear classifiers come first",
    "much": "many images per class: enough for fine-tuning",
}


def transfer_section(subject):
    """The section of a study."""
    if subject.transfer is None:
        raise Skipped("no study was given: use --transfer RUN, the folder of a finished `kerascnn transfer`")
    try:
        card = read_card(subject.transfer / CARD)
        rows = pd.read_csv(subject.transfer / TABLE)
    except (OSError, ValueError) as error:
        raise Skipped(f"{subject.transfer.name} should be the folder of a finished study. Received: {error}") from error
    points = read_table(subject.transfer / POINTS)
    blocks = [definition_list(study_result(card)), heading("Dataset")]
    blocks += [
        paragraph(f"{ADVICE_TEXTS.get(word, word)[0].upper()}{ADVICE_TEXTS.get(word, word)[1:]}.")
        for word in card["advice"]
    ]
    if "strategies" in card:  # not in studies of earlier versions
        blocks += [heading("Strategies, the most promising first"), definition_list(card["strategies"])]
    best = rows.head(SHOWN)
    low, high = best.accuracy.min(), best.accuracy.max()
    choice = row_of_choice(rows)["name"]
    alt = f"accuracies of {len(best)} candidates, {format_percent(low)} to {format_percent(high)}; chosen: {choice}"
    measure = "log-likelihood" if "log_likelihood" in rows else "accuracy"
    caption = (
        f"The best {len(best)} of {len(rows)} candidates by {measure} on held-out images: accuracy with 95 % "
        "intervals. The cheapest candidate within one standard error of the best is chosen."
    )
    blocks += [heading("Candidates"), figure(draw_best_candidates(best), alt, caption, name="transfer-candidates")]
    blocks.append(details(f"All {len(rows)} candidates", data_table(candidates_frame(rows), highlight="chosen")))
    if len(points):
        blocks.append(details(f"All {len(points)} fine-tuning trials", data_table(points.dropna(axis=1, how="all"))))
    results = {
        "card": card,
        "candidates": len(rows),
        "points": len(points),
        "best": rows.head(SHOWN).to_dict("records"),
    }
    return Section("Transfer learning", tuple(blocks), results)


def read_card(path):
    """The card of a study; keys of earlier versions are mapped to the current ones."""
    card = json.loads(path.read_text(encoding="utf-8"))
    return {current_key(key): value for key, value in card.items()}


def current_key(key):
    """Today's name of a key in a study's card."""
    if re.fullmatch("learn(ed|t) from", key):
        return "training_images"
    return "baseline_test" if key == "test of the usual way" else key


def read_table(path):
    """A table; empty if the study had no rows for it."""
    try:
        return pd.read_csv(path)
    except (OSError, pd.errors.EmptyDataError):
        return pd.DataFrame()


def candidates_frame(rows):
    """A row per candidate."""
    likelihoods = {}
    if "log_likelihood" in rows:  # not in studies of earlier versions
        likelihoods = {
            "log-likelihood": rows["log_likelihood"],
            "difference from the chosen": rows["log_likelihood_lead"],
            "± standard error": rows["log_likelihood_error"],
        }
    columns = {
        "candidate": rows["name"],
        **likelihoods,
        "held-out accuracy, %": 100 * rows.accuracy,
        "95 % from": 100 * rows.low,
        "95 % to": 100 * rows.high,
        "held-out images": rows.images,
        "multiply-adds": rows.macs,
        "seconds": rows.seconds,
        "chosen": rows.chosen.astype(bool),
    }
    return pd.DataFrame(columns)


def study_result(card):
    """The result of the study in words."""
    result = {"data": f"{card['data']}, {card['classes']:,} classes, {card['training_images']:,} training images"}
    for key, what in (("small_classes", "fewer than 5 images"), ("untested_classes", "no test images")):
        if card.get(key):
            result[what] = list_names(card[key])
    result["chosen"] = card["chosen"]["name"]
    result["held-out accuracy"] = accuracy_interval(card["chosen"])
    if "test" in card:
        result["test accuracy"] = f"{accuracy_interval(card['test'])} on {card['test']['images']:,} images, used once"
        result["baseline"] = f"{accuracy_interval(card['baseline_test'])}: a linear classifier on the last features"
        gap = card["difference"]
        points = [f"{100 * gap[key]:+.1f}" for key in ("value", "low", "high")]
        result["difference"] = (
            f"{points[0]} percentage points ({points[1]} to {points[2]}), McNemar's test p = {gap['p']:.2g}"
        )
    ended = f"; fine-tuning ended: {card['ended']}" if "ended" in card else ""
    return result | {"computing time": f"{card['spent']:,.0f} s{ended}"}


def accuracy_interval(row):
    return f"{format_percent(row['accuracy'])} ({format_percent(row['low'])} to {format_percent(row['high'])})"


def row_of_choice(rows):
    """The row of the chosen candidate; the first one if the file does not mark any."""
    marked = rows[rows.chosen.astype(bool)] if "chosen" in rows else rows
    return (marked if len(marked) else rows).iloc[0]


def draw_best_candidates(rows):
    """Accuracies with intervals; the chosen candidate in color, fine-tuned ones as squares."""
    drawing = new_figure(10, 1.2 + 0.3 * len(rows))
    axis, positions = drawing.subplots(), np.arange(len(rows))
    for kind, mark in (("linear", "o"), ("finetuned", "s")):
        selected = (rows.kind == kind).to_numpy()
        if not selected.any():
            continue
        value, low, high = 100 * rows.loc[selected, ["accuracy", "low", "high"]].to_numpy().T
        bars = error_bars(value, low, high)
        axis.errorbar(value, positions[selected], xerr=bars, fmt=mark, color=BLUE, ecolor=PALE, label=kind)
    chosen_position = int(np.flatnonzero((rows.chosen.astype(bool)).to_numpy())[0]) if rows.chosen.any() else 0
    axis.plot(
        100 * rows.accuracy.iloc[chosen_position],
        chosen_position,
        "D",
        color=RED,
        markersize=9,
        label="chosen",
        zorder=3,
    )
    axis.set_yticks(positions, rows["name"], fontsize=9)
    axis.invert_yaxis()
    drawing.legend(*axis.get_legend_handles_labels(), loc="outside lower right", ncols=3, frameon=False)
    style_axis(axis, "accuracy (%)", **TITLE)
    return drawing
