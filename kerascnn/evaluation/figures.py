"""Figures of evaluations and comparisons."""

import numpy as np

from ..plots.primitives import error_bars
from ..plots.style import BLUE, GRAY, PLAIN, RED, label_rows, new_figure, style_axis
from ..support.text import format_percent, shorten_middle

MAX_CLASSES = 24  # in a figure
MAX_LETTERS = 18  # in a name, which is shortened in its middle because names often differ in their ends


def single_axis_figure(draw, size=(5, 5)):
    """A figure with one axis, on which a function draws."""
    figure = new_figure(*size)
    draw(figure.subplots())
    return figure


def draw_evaluation(evaluation):
    """Reliability diagram over a histogram of confidences, accuracy per class, confusion matrix."""
    classes = easiest_and_hardest(evaluation.per_class)
    figure = new_figure(16, max(5.5, 2.2 + 0.22 * len(classes)))
    left, middle, right = figure.subfigures(1, 3, width_ratios=(1, 1.1, 1.35))
    upper_axis, lower_axis = left.subplots(2, 1, height_ratios=(3, 1), sharex=True)
    draw_reliability(upper_axis, evaluation.calibration)
    upper_axis.set_xlabel("")
    draw_confidences(lower_axis, evaluation)
    draw_classes(middle.subplots(), classes, len(evaluation.per_class))
    draw_confusion(right, right.subplots(), evaluation)
    model = f"{evaluation.model}: " if evaluation.model else ""
    accuracy = evaluation.intervals["accuracy"]
    figure.suptitle(f"{model}accuracy {accuracy} on {len(evaluation):,} images", fontsize=13)
    return figure


def easiest_and_hardest(per_class):
    """The rows of all classes or, if they are too many for a figure, of the easiest and the hardest."""
    import pandas as pd

    if len(per_class) <= MAX_CLASSES:
        return per_class
    return pd.concat([per_class.head(MAX_CLASSES // 2), per_class.tail(MAX_CLASSES // 2)])


def draw_reliability(axis, calibration):
    """Accuracy against confidence of each bin, with Wilson's intervals, and the diagonal."""
    table = calibration.table
    axis.plot([0, 1], [0, 1], color=GRAY, linewidth=1, linestyle="--", label="perfect calibration")
    bars = error_bars(table["accuracy"], table["accuracy_low"], table["accuracy_high"])
    style = {"fmt": "o-", "color": BLUE, "markersize": 4, "linewidth": 1.5, "capsize": 2}
    if calibration.too_few:  # no line through points that chance has placed
        style |= {"fmt": "o", "color": GRAY, "linewidth": 1}
    axis.errorbar(table["confidence"], table["accuracy"], bars, **style)
    error, chance = format_percent(calibration.ece), format_percent(calibration.chance)
    title = f"Calibration error {error} (up to {chance} by chance)"
    if calibration.too_few:
        title += f"\ntoo few images ({len(calibration):,}) to measure it"
    style_axis(axis, title, xlim=(0, 1), ylim=(0, 1.02), xlabel="confidence", ylabel="accuracy")
    axis.legend(frameon=False, loc="best", fontsize=9)


def draw_confidences(axis, evaluation):
    """Histogram of the confidence of correct and wrong predictions."""
    confidence = evaluation.probs.max(axis=1)
    bins = np.linspace(0, 1, 21)
    groups = [confidence[evaluation.correct], confidence[~evaluation.correct]]
    axis.hist(groups, bins, stacked=True, color=[BLUE, RED], label=["correct", "wrong"])
    style_axis(axis, xlim=(0, 1), xlabel="confidence", ylabel="images")
    axis.legend(frameon=False, loc="best", fontsize=9)


def draw_classes(axis, table, count):
    """The accuracy of each class with Wilson's interval, the easiest on top; classes with few images in gray."""
    positions = np.arange(len(table))
    bars = error_bars(table["accuracy"], table["low"], table["high"])
    colors = [GRAY if few else BLUE for few in table["few"]]
    axis.barh(positions, table["accuracy"], color=colors, height=0.7)
    axis.errorbar(table["accuracy"], positions, xerr=bars, fmt="none", ecolor="0.2", elinewidth=1, capsize=1.5)
    label_rows(axis, [shorten_middle(name, MAX_LETTERS) for name in table["class"]], fontsize=8)

    title = "Accuracy by class"
    if len(table) < count:
        half = len(table) // 2
        title = f"{half} easiest and {half} hardest of {count:,} classes"
        axis.axhline(half - 0.5, color="0.3", linewidth=0.8, linestyle=":")
    if table["few"].any():
        title += " (gray: few images)"
    style_axis(axis, title, xlim=(0, 1), xlabel="accuracy")


def draw_confusion(figure, axis, evaluation):
    """The confusion matrix in percent of each true class; of many classes only the most confused ones."""
    classes = classes_of_confusion(evaluation)
    counts = evaluation.confusion.to_numpy()[classes]
    percent = 100 * counts[:, classes] / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    image = axis.imshow(percent, cmap="Blues", vmin=0, vmax=100, interpolation="nearest")

    names = [shorten_middle(name, MAX_LETTERS) for name in evaluation.names_of_classes(classes)]
    fontsize = 8 if len(classes) <= 15 else 7
    axis.set_xticks(range(len(classes)), names, rotation=90, fontsize=fontsize)
    axis.set_yticks(range(len(classes)), names, fontsize=fontsize)
    axis.set(xlabel="predicted", ylabel="true")
    title = "Confusion matrix"
    if len(classes) < evaluation.probs.shape[1]:
        title += f" of the {len(classes)} most confused classes"
    axis.set_title(title, fontsize=PLAIN)

    if len(classes) <= 12:
        for i, j in np.argwhere(percent >= 0.5):
            color = "white" if percent[i, j] > 50 else "0.2"
            axis.text(j, i, f"{percent[i, j]:.0f}", ha="center", va="center", fontsize=8, color=color)
    figure.colorbar(image, ax=axis, shrink=0.6, aspect=30, label="% of the true class")


def classes_of_confusion(evaluation):
    """Numbers of the classes in the confusion matrix: all, or those that are confused most."""
    classes = evaluation.probs.shape[1]
    if classes <= MAX_CLASSES:
        return np.arange(classes)
    confused = evaluation.confusions[["class_number", "predicted_number"]].to_numpy().ravel().tolist()
    by_priority = [*dict.fromkeys(confused + evaluation.per_class["number"].tolist())]
    return np.sort(by_priority[:MAX_CLASSES])


def draw_contingency(axis, table):
    """A 2x2 contingency table as four colored squares."""
    counts = table.to_numpy()
    axis.imshow(counts, cmap="Blues", vmin=0, vmax=max(1, 1.4 * counts.max()))
    for (i, j), count in np.ndenumerate(counts):
        text = f"{count:,}\n{format_percent(count / counts.sum())}"
        color = "white" if count > 0.7 * counts.max() else "0.2"
        axis.text(j, i, text, ha="center", va="center", fontsize=13, color=color)
    axis.set_xticks([0, 1], table.columns)
    axis.set_yticks([0, 1], table.index, rotation=90, va="center")
    axis.set(xlabel=table.columns.name, ylabel=table.index.name)
    axis.set_title(f"Correct and wrong predictions of {counts.sum():,} images", fontsize=PLAIN)


def draw_members(axis, table):
    """The accuracy of each member with its interval, and of the ensemble in the last row."""
    positions = np.arange(len(table))
    accuracy = 100 * table["accuracy"].to_numpy()
    bars = 100 * error_bars(table["accuracy"], table["low"], table["high"])
    for rows, color in ((positions[:-1], BLUE), (positions[-1:], RED)):
        axis.errorbar(accuracy[rows], rows, xerr=bars[:, rows], fmt="o", color=color, capsize=2)
    label_rows(axis, [shorten_middle(name, MAX_LETTERS) for name in table["member"]])
    style_axis(axis, xlabel="accuracy (%)")


def draw_drops(table, title):
    """Accuracy lost by each ablation with its interval, the largest drop on top."""
    table = table.sort_values("drop", ascending=False, kind="stable")
    series = [("", BLUE, "without retraining")]
    if "retrained_drop" in table:
        series.append(("retrained_", RED, "retrained"))

    def draw(axis):
        for i, (prefix, color, label) in enumerate(series):
            drop = table[f"{prefix}drop"]
            bars = error_bars(drop, table[f"{prefix}drop_low"], table[f"{prefix}drop_high"])
            positions = np.arange(len(table)) + (i - (len(series) - 1) / 2) * 0.3
            axis.errorbar(100 * drop, positions, xerr=100 * bars, fmt="o", color=color, capsize=2, label=label)
        axis.axvline(0, color=GRAY, linewidth=1)
        label_rows(axis, [f"{row.part} ({row.mode})" for row in table.itertuples()])
        style_axis(axis, title, xlabel="accuracy lost (percentage points)")
        if len(series) > 1:
            axis.figure.legend(frameon=False, loc="outside lower center", ncols=2)

    return single_axis_figure(draw, (7.5, max(2.5, 1.4 + 0.3 * len(table))))
