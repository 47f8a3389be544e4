"""Figures of transfer learning: accuracy by stage, the learning curve, the advice, the candidates."""

import textwrap

import numpy as np

from ..plots.primitives import error_bars
from ..plots.style import BLACK, BLUE, GRAY, GREEN, LARGE, PLAIN, RED, SMALL, label_rows, new_figure, style_axis
from .advice import DIFFERENT, ENOUGH_IMAGES, LITTLE, MUCH, SIMILAR, STRATEGIES, STRATEGY_TEXTS
from .taps import PLUS, stage_label

COLORS = {"ridge": BLACK, "softmax": BLUE, "svm": RED, "knn": GREEN}
MARKS = {"ridge": "s", "softmax": "o", "svm": "^", "knn": "D"}
SHADE = "#e8f1f8"
AMOUNT_LABELS = {LITTLE: "few images", MUCH: "many images"}
STRATEGY_LABELS = {
    "linear": "linear classifier",
    "interior": "earlier stages",
    "layers": "fine-tune last stages",
    "finetune": "fine-tune all stages",
}


def draw_probes(found):
    """Accuracy of each head by stage with intervals, and the learning curve of the best one."""
    figure = new_figure(11, 4.8)
    left, right = figure.subplots(1, 2, width_ratios=(1.9, 1))
    draw_stage_accuracies(left, found)
    draw_learning_curve(right, found)
    return figure


def draw_stage_accuracies(axis, found):
    rows = found.summary
    names = [*dict.fromkeys(rows["stage"])]
    heads = [*dict.fromkeys(rows["head"])]
    single = [name for name in names if name in found.stages]
    for i, head in enumerate(heads):
        own = rows[rows["head"] == head].set_index("stage")
        shift = 0.08 * (i - (len(heads) - 1) / 2)
        tried = [
            name for name in names if name in own.index
        ]  # some heads are trained on the most promising stages only
        for alone in (True, False):
            some = [name for name in tried if (name in single) == alone]
            style = "-" if some == single else "none"
            if not some:
                continue
            value, low, high = 100 * own.loc[some, ["accuracy", "low", "high"]].to_numpy().T
            axis.errorbar(
                [names.index(name) + shift for name in some],
                value,
                error_bars(value, low, high),
                linestyle=style,
                marker=MARKS[head],
                color=COLORS[head],
                capsize=2,
                markersize=5,
                linewidth=1.8,
                elinewidth=1,
                label=head if alone else None,
            )
    if len(names) > len(single):
        axis.axvline(len(single) - 0.5, color="0.8", linewidth=1)
    rotation = {"rotation": 40, "ha": "right", "rotation_mode": "anchor"} if len(names) > 6 else {}
    ticks = [name if name in single else f"{name.count(PLUS) + 1} joined" for name in names]
    axis.set_xticks(range(len(names)), ticks, fontsize=SMALL, **rotation)
    title = f"{found.model}: accuracy by stage"
    style_axis(axis, title, ylabel="accuracy on held-out images (%), 95 % interval", fontsize=12)
    handles, labels = axis.get_legend_handles_labels()
    axis.figure.legend(handles, labels, loc="outside lower left", ncols=len(labels), frameon=False, fontsize=10)


def draw_learning_curve(axis, found):
    curve, best = found.curve, found.best
    for column, color, label in (
        ("train", GRAY, "training images"),
        ("accuracy", COLORS[best["head"]], "held-out images"),
    ):
        values = 100 * curve[column]
        bars = error_bars(values, 100 * curve["low"], 100 * curve["high"])
        style = {"yerr": bars} if column == "accuracy" else {"linestyle": "--"}
        axis.errorbar(curve["images"], values, color=color, marker="o", capsize=2, label=label, linewidth=1.8, **style)
    axis.set_xscale("log")
    axis.set_xticks(curve["images"], [f"{images:.0f}" for images in curve["images"]])
    axis.minorticks_off()
    where = stage_label(best["stage"]).replace(PLUS, f"\n{PLUS} ").replace(", ", ",\n")
    held_out = 1 / (found.folds.max() + 1)
    per_class = len(found) / len(found.class_names)
    labels = {
        "xlabel": f"training images per class\n({per_class:,.0f} less the {100 * held_out:.0f} % that are held out)",
        "ylabel": "accuracy (%), 95 % interval",
    }
    style_axis(axis, f"learning curve of {best['head']} on\n{where}", fontsize=12, **labels)
    axis.legend(frameon=False, fontsize=10)


def draw_advice(found):
    """The four quadrants with the dataset as a dot; beside them the evidence and the strategies."""
    figure = new_figure(12, 6)
    axis, words = figure.subplots(1, 2, width_ratios=(1.15, 1))
    low, high = 1.0, max(20000.0, 3 * found.images_per_class)
    for column, similarity in enumerate((SIMILAR, DIFFERENT)):
        enough = ENOUGH_IMAGES[similarity]
        for amount, bottom, top in ((LITTLE, low, enough), (MUCH, enough, high)):
            own = (similarity, amount) == (found.similarity, found.amount)
            edges = {"facecolor": SHADE if own else "white", "edgecolor": GRAY, "linewidth": 1}
            axis.fill_between([column, column + 1], bottom, top, zorder=0, **edges)
            first = ", then\n".join(STRATEGY_LABELS[name] for name in STRATEGIES[similarity, amount][:2])
            style = {"color": "black" if own else "0.45", "fontsize": PLAIN, "linespacing": 1.4}
            title = f"{AMOUNT_LABELS[amount]}, {similarity}"
            axis.text(column + 0.04, np.sqrt(bottom * top), f"{title}\n{first}", va="center", **style)
    draw_dataset_dot(axis, found)
    axis.set(yscale="log", xlim=(0, 2), ylim=(low, high), ylabel="images per class")
    sides = ["similar data: the last features are best", "different data: earlier features are better"]
    axis.set_xticks([0.5, 1.5], sides, fontsize=10)
    axis.set_xlabel("lead of the best stage over the last\n(border: one standard error)")
    axis.set_title("How similar and how large the dataset is", fontsize=LARGE)
    draw_evidence(words, found)
    return figure


def draw_dataset_dot(axis, found):
    """The dataset as a dot: x by the advantage of the best stage in standard errors (1 is the border), y by images."""
    lead = max(found.z_score, 0.0)
    x = 0.62 + 0.33 * lead if lead <= 1 else min(1.62 + 0.05 * (lead - 1), 1.92)
    x = x if found.similarity == DIFFERENT or lead <= 1 else 0.95
    offset, side = (-12, "right") if x > 1.75 else (12, "left")
    label = {"textcoords": "offset points", "fontsize": 9, "color": RED, "va": "center", "ha": side}
    axis.annotate(f"{found.images_per_class:,.0f} a class", (x, found.images_per_class), (offset, 0), **label)
    axis.plot(x, found.images_per_class, "o", color=RED, markersize=14, markeredgecolor="white", zorder=5)


def draw_evidence(axis, found):
    axis.axis("off")
    y = 1.0
    for title, lines in (
        ("Evidence", [f"{name}: {value}" for name, value in found.evidence.items()]),
        (
            "Strategies in the order recommended",
            [f"{i}. {STRATEGY_TEXTS[name]}" for i, name in enumerate(found.strategies, start=1)],
        ),
    ):
        axis.text(0, y, title, fontsize=13, va="top", weight="bold")
        y -= 0.075
        for line in lines:
            text = textwrap.fill(line, 64, subsequent_indent="   ")
            axis.text(0, y, text, fontsize=10.5, va="top", linespacing=1.3)
            y -= 0.07 + 0.05 * text.count("\n")
        y -= 0.05
    axis.set(xlim=(0, 1), ylim=(0, 1.02))


MAX_CANDIDATES = 14  # in a figure
NORMAL_95 = 1.96  # standard errors in half a 95 % interval
LABEL_WIDTH = 52  # letters of a line


def draw_study(found):
    """Log-likelihood and accuracy of the candidates, and the grid of trials if there is one."""
    points = found.trials
    grid = len(points) and points["accuracy"].notna().any()
    table = distinct_rows(found.table)
    shown = table[(table.index < MAX_CANDIDATES) | table["chosen"]]
    labels = [candidate_label(row) for row in shown.itertuples()]
    lines = max(label.count("\n") + 1 for label in labels)
    figure = new_figure(15 if grid else 11, max(3.6, 1.4 + (0.1 + 0.14 * lines) * len(shown)))
    widths = (1, 1, 1.3) if grid else (1, 1)
    axes = figure.subplots(1, len(widths), width_ratios=widths)
    draw_candidates(axes[0], axes[1], shown, labels, len(table))
    if grid:
        draw_trial_grid(axes[2], points, found.best_probes.stages)
    return figure


def distinct_rows(table):
    """A `Study.table` without candidates that equal an earlier one in every prediction, as on the last stage twice."""
    is_repeated = table.duplicated(["backbone", "head", "log_likelihood", "accuracy", "images"]) & ~table["chosen"]
    return table[~is_repeated].reset_index(drop=True)


def draw_candidates(left, right, table, labels, total):
    """Log-likelihood and accuracy with 95 % intervals, the best at the top; the chosen candidate is circled."""
    place = np.arange(len(table))
    lead, margin = table["log_likelihood_lead"].to_numpy(), NORMAL_95 * table["log_likelihood_error"].to_numpy()
    accuracy = 100 * table["accuracy"].to_numpy()
    intervals = error_bars(accuracy, 100 * table["low"].to_numpy(), 100 * table["high"].to_numpy())
    styles = (("linear", "linear classifier", BLUE, "o"), ("finetuned", "fine-tuned", RED, "D"))
    ring = {"markersize": 15, "fillstyle": "none", "color": BLACK, "markeredgewidth": 1.6}
    for axis, value, bars in ((left, lead, np.stack([margin, margin])), (right, accuracy, intervals)):
        for kind, label, color, mark in styles:
            own = (table["kind"] == kind).to_numpy()
            if own.any():
                axis.errorbar(value[own], place[own], xerr=bars[:, own], color=color, fmt=mark, capsize=2, label=label)
        axis.plot(value[table["chosen"]], place[table["chosen"]], "o", label="chosen", **ring)
    left.axvline(0, color="0.8", linewidth=1, zorder=0)
    label_rows(left, labels)
    label_rows(right, [""] * len(table))
    count = f"the best {len(table)} of {total}" if len(table) < total else f"all {total} candidates"
    title = "Log-likelihood, difference\nfrom the chosen"
    style_axis(left, title, xlabel="on images held out for both, 95 % interval", fontsize=12)
    style_axis(right, f"Accuracy (%)\n{count}", xlabel="on held-out images, 95 % interval", fontsize=12)
    handles, labels = right.get_legend_handles_labels()
    left.figure.legend(handles, labels, loc="outside lower left", ncols=3, frameon=False, fontsize=9)


def candidate_label(row):
    """The name of a candidate as in the tables, in short lines."""
    name = row.name.removeprefix(f"{row.backbone}, ").replace(PLUS, f" {PLUS} ")
    return textwrap.fill(name, LABEL_WIDTH)


def draw_trial_grid(axis, points, stages):
    """Highest accuracy by frozen depth, in network order, and learning rate; crosses mark failed trials."""
    best = 100 * points["accuracy"].astype(float).groupby([points["freeze"], points["learning_rate"]]).max().unstack()
    best = best.loc[sorted(best.index, key=("", *stages).index)]
    depths, rates = [*best.index], [*best.columns]
    failed = {(row.freeze, row.learning_rate) for row in points[points["failed"] != ""].itertuples()}
    axis.imshow(np.isfinite(best), cmap="Blues", vmin=0, vmax=8, aspect="auto")  # pale, or white
    for (i, j), value in np.ndenumerate(best):
        text = "failed ×" if (depths[i], rates[j]) in failed else "not tried"
        tried = np.isfinite(value)
        style = {"fontsize": 10, "color": "black"} if tried else {"fontsize": SMALL, "color": GRAY}
        axis.text(j, i, f"{value:.1f}" if tried else text, ha="center", va="center", **style)
    axis.set_xticks(range(len(rates)), [f"{rate:g}" for rate in rates])
    frozen = [f"frozen up to\n{freeze}" if freeze else "nothing\nfrozen" for freeze in depths]
    axis.set_yticks(range(len(depths)), frozen, fontsize=SMALL)
    axis.set(xlabel="learning rate")
    axis.set_title("Fine-tuning: highest accuracy (%)\nof the trials with a setting", fontsize=12)
