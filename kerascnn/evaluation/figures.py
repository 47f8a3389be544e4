"""What evaluations and comparisons look like: the page of text, and figures."""

import numpy as np

from .statistics import Interval

BLUE, ORANGE, GREY = "#0072b2", "#d55e00", "0.6"
MOST = 24  # classes in a figure
LETTERS = 18
TITLES = {"accuracy": "accuracy", "balanced": "balanced", "macro_f1": "macro F1", "nll": "NLL", "brier": "Brier"}
SHOWN = 5


def figure_of(drawing, size=(5, 5)):
    """A figure of one axis, drawn on by a function."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, layout="constrained")
    drawing(figure.subplots())
    return figure


def draw(evaluation):
    """Reliability above the confidences, the classes' accuracies, and the confusion between classes."""
    from matplotlib.figure import Figure

    shown = chosen(evaluation.per_class)
    height = max(5.5, 2.2 + 0.22 * len(shown))
    figure = Figure(figsize=(16, height), layout="constrained")
    left, middle, right = figure.subfigures(1, 3, width_ratios=(1, 1.1, 1.35))
    upper, lower = left.subplots(2, 1, height_ratios=(3, 1), sharex=True)
    draw_reliability(upper, evaluation.calibration)
    upper.set_xlabel("")
    draw_confidences(lower, evaluation)
    draw_classes(middle.subplots(), shown, len(evaluation.per_class))
    draw_confusion(right, right.subplots(), evaluation)
    name = f"{evaluation.model}: " if evaluation.model else ""
    accuracy = evaluation.interval["accuracy"]
    figure.suptitle(f"{name}{accuracy} of {len(evaluation):,} images right", fontsize=13)
    return figure


def chosen(table):
    """The classes that are drawn: all, or the easiest and the hardest."""
    import pandas as pd

    return table if len(table) <= MOST else pd.concat([table.head(MOST // 2), table.tail(MOST // 2)])


def draw_reliability(axis, found):
    """Accuracy against confidence by bins, with Wilson's intervals, and the diagonal."""
    table = found.table
    axis.plot([0, 1], [0, 1], color=GREY, linewidth=1, linestyle="--", label="as sure as right")
    spans = np.stack([table["accuracy"] - table["accuracy_low"], table["accuracy_high"] - table["accuracy"]]).clip(0)
    axis.errorbar(
        table["confidence"], table["accuracy"], spans, fmt="o-", color=BLUE, markersize=4, linewidth=1.5, capsize=2
    )
    axis.set(xlim=(0, 1), ylim=(0, 1.02), xlabel="confidence", ylabel="accuracy")
    axis.set_title(f"Calibration error {100 * found.ece:.1f} % (chance: {100 * found.chance:.1f} %)", fontsize=11)
    tidy(axis)
    axis.legend(frameon=False, loc="best", fontsize=9)


def draw_confidences(axis, evaluation):
    """How many images are how sure, right and wrong ones."""
    sure = evaluation.probs.max(axis=1)
    bins = np.linspace(0, 1, 21)
    parts = [sure[evaluation.right], sure[~evaluation.right]]
    axis.hist(parts, bins, stacked=True, color=[BLUE, ORANGE], label=["right", "wrong"])
    axis.set(xlim=(0, 1), xlabel="confidence", ylabel="images")
    tidy(axis)
    axis.legend(frameon=False, loc="best", fontsize=9)


def draw_classes(axis, table, every):
    """The accuracy of each class with Wilson's interval, the easiest above; those of few images pale."""
    place = np.arange(len(table))
    spans = np.stack([table["accuracy"] - table["low"], table["high"] - table["accuracy"]]).clip(0)
    colours = [GREY if few else BLUE for few in table["few"]]
    axis.barh(place, table["accuracy"], color=colours, height=0.7)
    axis.errorbar(table["accuracy"], place, xerr=spans, fmt="none", ecolor="0.2", elinewidth=1, capsize=1.5)
    axis.set_yticks(place, [short(name) for name in table["class"]], fontsize=8)
    axis.set(ylim=(len(table) - 0.4, -0.6), xlim=(0, 1), xlabel="accuracy")
    part = "" if len(table) == every else f": {len(table) // 2} easiest, {len(table) // 2} hardest of {every}"
    pale = " (grey: fewer than 10 images)" if table["few"].any() else ""
    axis.set_title(f"Classes{part}{pale}", fontsize=11)
    if len(table) < every:
        axis.axhline(len(table) // 2 - 0.5, color="0.3", linewidth=0.8, linestyle=":")
    tidy(axis)


def draw_confusion(figure, axis, evaluation):
    """Shares of each true class, as rows; of many classes those that are confused most."""
    classes = evaluation.probs.shape[1]
    shown = np.arange(classes)
    if classes > MOST:
        pairs = evaluation.confused[["class_number", "predicted_number"]].to_numpy().ravel().tolist()
        shown = np.sort([*dict.fromkeys(pairs + evaluation.per_class["number"].tolist())][:MOST])
    counts = evaluation.confusion.to_numpy()[shown]
    share = counts[:, shown] / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    drawn = axis.imshow(share, cmap="Blues", vmin=0, vmax=1, interpolation="nearest")
    names = [short(evaluation.class_name(int(i))) for i in shown]
    letters = 8 if len(shown) <= 15 else 7
    axis.set_xticks(range(len(shown)), names, rotation=90, fontsize=letters)
    axis.set_yticks(range(len(shown)), names, fontsize=letters)
    axis.set(xlabel="predicted", ylabel="true")
    axis.set_title("Confusion" + (f": the {len(shown)} classes confused most" if classes > MOST else ""), fontsize=11)
    if len(shown) <= 12:
        for i, j in np.argwhere(share >= 0.005):
            colour = "white" if share[i, j] > 0.5 else "0.2"
            axis.text(j, i, f"{100 * share[i, j]:.0f}", ha="center", va="center", fontsize=8, color=colour)
    figure.colorbar(drawn, ax=axis, shrink=0.6, aspect=30, label="share of the true class")


def draw_cells(axis, table):
    """A 2x2 table of counts as four squares."""
    counts = table.to_numpy()
    axis.imshow(counts, cmap="Blues", vmin=0, vmax=max(1, 1.4 * counts.max()))
    for (i, j), number in np.ndenumerate(counts):
        text = f"{number:,}\n{100 * number / counts.sum():.1f} %"
        colour = "white" if number > 0.7 * counts.max() else "0.2"
        axis.text(j, i, text, ha="center", va="center", fontsize=13, color=colour)
    axis.set_xticks([0, 1], table.columns)
    axis.set_yticks([0, 1], table.index, rotation=90, va="center")
    axis.set(xlabel=table.columns.name, ylabel=table.index.name)


def draw_members(axis, table):
    """The accuracy of each member with its interval, and below them the ensemble's."""
    place = np.arange(len(table))
    spans = 100 * np.stack([table["accuracy"] - table["low"], table["high"] - table["accuracy"]]).clip(0)
    for rows, colour in ((place[:-1], BLUE), (place[-1:], ORANGE)):
        at = 100 * table["accuracy"].to_numpy()[rows]
        axis.errorbar(at, rows, xerr=spans[:, rows], fmt="o", color=colour, capsize=2)
    axis.set_yticks(place, [short(name) for name in table["member"]], fontsize=9)
    axis.set(ylim=(len(table) - 0.4, -0.6), xlabel="accuracy (%)")
    tidy(axis)


def draw_drops(table, title):
    """Accuracy lost by each ablation with its interval, the largest above."""
    table = table.sort_values("drop", ascending=False, kind="stable")

    def drawing(axis):
        place = np.arange(len(table))
        series = [("", BLUE, "as is")] + [("retrained_", ORANGE, "retrained")] * ("retrained_drop" in table)
        for i, (prefix, colour, label) in enumerate(series):
            drop = table[f"{prefix}drop"]
            spans = np.stack([drop - table[f"{prefix}drop_low"], table[f"{prefix}drop_high"] - drop]).clip(0)
            at = place + (i - (len(series) - 1) / 2) * 0.3
            axis.errorbar(100 * drop, at, xerr=100 * spans, fmt="o", color=colour, capsize=2, label=label)
        axis.axvline(0, color=GREY, linewidth=1)
        axis.set_yticks(place, [f"{row.part} ({row.how})" for row in table.itertuples()], fontsize=9)
        axis.set(ylim=(len(table) - 0.4, -0.6), xlabel="accuracy lost (percentage points)")
        axis.set_title(title, fontsize=11)
        tidy(axis)
        if len(series) > 1:
            axis.figure.legend(frameon=False, loc="outside lower center", ncols=2)

    return figure_of(drawing, (7.5, max(2.5, 1.4 + 0.3 * len(table))))


def short(name):
    """A name that fits; names often differ in their ends."""
    return name if len(name) <= LETTERS else f"{name[: LETTERS - 8]}…{name[-7:]}"


def tidy(axis):
    axis.grid(alpha=0.25)
    axis.set_axisbelow(True)
    axis.spines[["top", "right"]].set_visible(False)


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
    yield f"  {'calibration':<12}{evaluation.calibration.text()}"
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
