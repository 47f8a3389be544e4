"""Figures of evaluations and comparisons."""

import numpy as np

from ..plots.primitives import error_bars
from ..plots.style import BLUE, GRAY, PLAIN, RED, label_rows, new_figure, style_axis
from ..support.text import format_percent, shorten_middle

MOST = 24  # classes in a figure
LETTERS = 18  # of a name; names often differ in their ends


def single_axis_figure(drawing, size=(5, 5)):
    """A figure of one axis, drawn on by a function."""
    figure = new_figure(*size)
    drawing(figure.subplots())
    return figure


def draw_evaluation(evaluation):
    """Reliability above the confidences, the classes' accuracies, and the confusion between classes."""
    shown = easiest_and_hardest(evaluation.per_class)
    figure = new_figure(16, max(5.5, 2.2 + 0.22 * len(shown)))
    left, middle, right = figure.subfigures(1, 3, width_ratios=(1, 1.1, 1.35))
    upper, lower = left.subplots(2, 1, height_ratios=(3, 1), sharex=True)
    draw_reliability(upper, evaluation.calibration)
    upper.set_xlabel("")
    draw_confidences(lower, evaluation)
    draw_classes(middle.subplots(), shown, len(evaluation.per_class))
    draw_confusion(right, right.subplots(), evaluation)
    name = f"{evaluation.model}: " if evaluation.model else ""
    accuracy = evaluation.interval["accuracy"]
    figure.suptitle(f"{name}{accuracy}: accuracy on {len(evaluation):,} images", fontsize=13)
    return figure


def easiest_and_hardest(table):
    """The classes that are drawn: all, or the easiest and the hardest."""
    import pandas as pd

    return table if len(table) <= MOST else pd.concat([table.head(MOST // 2), table.tail(MOST // 2)])


def draw_reliability(axis, found):
    """Accuracy against confidence by bins, with Wilson's intervals, and the diagonal."""
    table = found.table
    axis.plot([0, 1], [0, 1], color=GRAY, linewidth=1, linestyle="--", label="perfect calibration")
    bars = error_bars(table["accuracy"], table["accuracy_low"], table["accuracy_high"])
    style = {"fmt": "o-", "color": BLUE, "markersize": 4, "linewidth": 1.5, "capsize": 2}
    axis.errorbar(table["confidence"], table["accuracy"], bars, **style)
    title = f"Calibration error {format_percent(found.ece)} (by chance up to {format_percent(found.chance)})"
    style_axis(axis, title, xlim=(0, 1), ylim=(0, 1.02), xlabel="confidence", ylabel="accuracy")
    axis.legend(frameon=False, loc="best", fontsize=9)


def draw_confidences(axis, evaluation):
    """How many images are how sure, right and wrong ones."""
    sure = evaluation.probs.max(axis=1)
    bins = np.linspace(0, 1, 21)
    parts = [sure[evaluation.correct], sure[~evaluation.correct]]
    axis.hist(parts, bins, stacked=True, color=[BLUE, RED], label=["right", "wrong"])
    style_axis(axis, xlim=(0, 1), xlabel="confidence", ylabel="images")
    axis.legend(frameon=False, loc="best", fontsize=9)


def draw_classes(axis, table, every):
    """The accuracy of each class with Wilson's interval, the easiest above; those of few images pale."""
    place = np.arange(len(table))
    bars = error_bars(table["accuracy"], table["low"], table["high"])
    colors = [GRAY if few else BLUE for few in table["few"]]
    axis.barh(place, table["accuracy"], color=colors, height=0.7)
    axis.errorbar(table["accuracy"], place, xerr=bars, fmt="none", ecolor="0.2", elinewidth=1, capsize=1.5)
    label_rows(axis, [shorten_middle(name, LETTERS) for name in table["class"]], fontsize=8)
    part = "" if len(table) == every else f": {len(table) // 2} easiest, {len(table) // 2} hardest of {every}"
    pale = " (gray: fewer than 10 images)" if table["few"].any() else ""
    if len(table) < every:
        axis.axhline(len(table) // 2 - 0.5, color="0.3", linewidth=0.8, linestyle=":")
    style_axis(axis, f"Classes{part}{pale}", xlim=(0, 1), xlabel="accuracy")


def draw_confusion(figure, axis, evaluation):
    """Shares of each true class, as rows; of many classes those that are confused most."""
    classes = evaluation.probs.shape[1]
    shown = np.arange(classes)
    if classes > MOST:
        pairs = evaluation.confusions[["class_number", "predicted_number"]].to_numpy().ravel().tolist()
        shown = np.sort([*dict.fromkeys(pairs + evaluation.per_class["number"].tolist())][:MOST])
    counts = evaluation.confusion.to_numpy()[shown]
    share = counts[:, shown] / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    drawn = axis.imshow(share, cmap="Blues", vmin=0, vmax=1, interpolation="nearest")
    names = [shorten_middle(evaluation.class_name(int(i)), LETTERS) for i in shown]
    letters = 8 if len(shown) <= 15 else 7
    axis.set_xticks(range(len(shown)), names, rotation=90, fontsize=letters)
    axis.set_yticks(range(len(shown)), names, fontsize=letters)
    axis.set(xlabel="predicted", ylabel="true")
    axis.set_title(
        "Confusion matrix" + (f": the {len(shown)} most confused classes" if classes > MOST else ""), fontsize=PLAIN
    )
    if len(shown) <= 12:
        for i, j in np.argwhere(share >= 0.005):
            color = "white" if share[i, j] > 0.5 else "0.2"
            axis.text(j, i, f"{100 * share[i, j]:.0f}", ha="center", va="center", fontsize=8, color=color)
    figure.colorbar(drawn, ax=axis, shrink=0.6, aspect=30, label="fraction of the true class")


def draw_cells(axis, table):
    """A 2x2 table of counts as four squares."""
    counts = table.to_numpy()
    axis.imshow(counts, cmap="Blues", vmin=0, vmax=max(1, 1.4 * counts.max()))
    for (i, j), number in np.ndenumerate(counts):
        text = f"{number:,}\n{format_percent(number / counts.sum())}"
        color = "white" if number > 0.7 * counts.max() else "0.2"
        axis.text(j, i, text, ha="center", va="center", fontsize=13, color=color)
    axis.set_xticks([0, 1], table.columns)
    axis.set_yticks([0, 1], table.index, rotation=90, va="center")
    axis.set(xlabel=table.columns.name, ylabel=table.index.name)


def draw_members(axis, table):
    """The accuracy of each member with its interval, and below them the ensemble's."""
    place = np.arange(len(table))
    bars = 100 * error_bars(table["accuracy"], table["low"], table["high"])
    for rows, color in ((place[:-1], BLUE), (place[-1:], RED)):
        at = 100 * table["accuracy"].to_numpy()[rows]
        axis.errorbar(at, rows, xerr=bars[:, rows], fmt="o", color=color, capsize=2)
    label_rows(axis, [shorten_middle(name, LETTERS) for name in table["member"]])
    style_axis(axis, xlabel="accuracy (%)")


def draw_drops(table, title):
    """Accuracy lost by each ablation with its interval, the largest above."""
    table = table.sort_values("drop", ascending=False, kind="stable")

    def drawing(axis):
        place = np.arange(len(table))
        series = [("", BLUE, "without retraining")] + [("retrained_", RED, "retrained")] * ("retrained_drop" in table)
        for i, (prefix, color, label) in enumerate(series):
            drop = table[f"{prefix}drop"]
            bars = error_bars(drop, table[f"{prefix}drop_low"], table[f"{prefix}drop_high"])
            at = place + (i - (len(series) - 1) / 2) * 0.3
            axis.errorbar(100 * drop, at, xerr=100 * bars, fmt="o", color=color, capsize=2, label=label)
        axis.axvline(0, color=GRAY, linewidth=1)
        label_rows(axis, [f"{row.part} ({row.mode})" for row in table.itertuples()])
        style_axis(axis, title, xlabel="accuracy lost (percentage points)")
        if len(series) > 1:
            axis.figure.legend(frameon=False, loc="outside lower center", ncols=2)

    return single_axis_figure(drawing, (7.5, max(2.5, 1.4 + 0.3 * len(table))))
