"""Figures of a study: candidates by accuracy, the grid of depths and rates."""

import numpy as np

from .figures import figure_of, tidy
from .stages import PLUS

LINEAR, TUNED, CHOSEN = "#0072b2", "#d55e00", "#000000"
MOST = 14  # candidates in a figure


def draw_study(found):
    """The candidates, and the grid beside them where there is one."""
    points = found.points
    grid = len(points) and points["accuracy"].notna().any()
    rows = min(len(found.candidates), MOST)
    figure = figure_of(13 if grid else 8, max(3.6, 1.4 + 0.34 * rows))
    axes = figure.subplots(1, 2, width_ratios=(1.35, 1)) if grid else [figure.subplots()]
    draw_candidates(axes[0], found.table.head(MOST))
    if grid:
        draw_grid(figure, axes[1], points)
    return figure


def draw_candidates(axis, table):
    """Accuracy with its interval, the best above; the chosen one ringed."""
    for place, row in enumerate(table.itertuples()):
        tuned = row.kind == "finetuned"
        spans = 100 * np.array([[row.accuracy - row.low], [row.high - row.accuracy]])
        how = {"color": TUNED if tuned else LINEAR, "marker": "D" if tuned else "o", "capsize": 2, "markersize": 6}
        axis.errorbar(100 * row.accuracy, place, xerr=spans, **how)
        if row.chosen:
            axis.plot(
                100 * row.accuracy, place, "o", markersize=15, fillstyle="none", color=CHOSEN, markeredgewidth=1.6
            )
    axis.set_yticks(range(len(table)), [named(row) for row in table.itertuples()], fontsize=9)
    axis.set_ylim(len(table) - 0.4, -0.6)
    tidy(axis, "Accuracy on images not shown (ringed: chosen)", xlabel="%")
    for colour, mark, label in ((LINEAR, "o", "linear"), (TUNED, "D", "finetuned")):
        axis.plot([], [], mark, color=colour, label=label)
    axis.legend(frameon=False, fontsize=9, loc="upper left")


def named(row):
    """What a candidate is, in two short lines at most."""
    if row.kind == "linear":
        name = row.name.removeprefix(f"{row.backbone}, ").replace(PLUS, f" {PLUS} ")
        return name if len(name) < 40 else name.replace(" on ", " on\n")
    frozen = f"frozen to {row.freeze}" if row.freeze else "all layers"
    changed = "" if row.augment == "none" else f", {row.augment}"
    return f"{frozen}, {row.rate:g}{changed}"


def draw_grid(figure, axis, points):
    """The best accuracy of each depth and rate; crossed where it failed, empty where it was not tried."""
    depths = [*dict.fromkeys(points["freeze"])]
    depths.sort(key=lambda freeze: (freeze == "", freeze))
    rates = sorted(points["rate"].unique())
    best = np.full((len(depths), len(rates)), np.nan)
    for row in points.itertuples():
        at = depths.index(row.freeze), rates.index(row.rate)
        if row.failed:
            axis.text(*at[::-1], "×", ha="center", va="center", fontsize=16, color="0.4")
        else:
            best[at] = np.fmax(best[at], 100 * row.accuracy)
    drawn = axis.imshow(best, cmap="viridis", aspect="auto")
    middle = (np.nanmin(best) + np.nanmax(best)) / 2
    for (i, j), value in np.ndenumerate(best):
        if np.isfinite(value):
            colour = "white" if value < middle else "black"
            axis.text(j, i, f"{value:.1f}", ha="center", va="center", fontsize=10, color=colour)
    axis.set_xticks(range(len(rates)), [f"{rate:g}" for rate in rates])
    axis.set_yticks(
        range(len(depths)), [f"frozen to\n{freeze}" if freeze else "nothing\nfrozen" for freeze in depths], fontsize=9
    )
    axis.set(xlabel="rate")
    axis.set_title("The grid: accuracy on images held out (%)", fontsize=12)
    figure.colorbar(drawn, ax=axis, shrink=0.7)
