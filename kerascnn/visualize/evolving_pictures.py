"""Figures of evolved images: drawing only, from the numbers in the results."""

import numpy as np

from .drawing import LARGE, PLAIN, SMALL, bare, cut

BLUE, RED = "#0072b2", "#d55e00"
MOST, COLUMNS = 20, 5  # images drawn


def draw_evolved(found):
    """The images, at most twenty from the surest to the least sure, with their classes; how p(class) rose."""
    from matplotlib.figure import Figure

    order = np.argsort(-found.probabilities, kind="stable")
    shown = order[np.linspace(0, len(order) - 1, min(MOST, len(order))).round().astype(int)]
    columns = min(COLUMNS, len(shown))
    rows = -(-len(shown) // columns)
    figure = Figure(figsize=(1.75 * columns + 5.2, max(2.05 * rows, 3.4) + 0.9), layout="constrained")
    left, right = figure.subfigures(1, 2, width_ratios=(1.75 * columns, 5.2))
    axes = left.subplots(rows, columns, squeeze=False).ravel()
    for axis, i in zip(axes, shown, strict=False):
        image = found.images[i]
        axis.imshow(image if image.shape[-1] == 3 else image[..., 0], cmap="gray", vmin=0, vmax=255)
        bare(axis, cut(found.table.label[i], 18), f"{found.probabilities[i]:.2%}")
        axis.title.set_size(SMALL + 0.5)
    for empty in axes[len(shown) :]:
        empty.axis("off")
    if len(shown) < len(order):
        said = f"{len(shown)} of {len(order)} classes, evenly from the surest to the least sure"
        left.supxlabel(said, fontsize=SMALL, color="0.3")
    draw_history(right.subplots(), found)
    figure.suptitle(str(found), fontsize=LARGE)
    return figure


def draw_history(axis, found):
    """The median of p(class) and the share of classes above the goal over the images tried."""
    tried = found.history.evaluations
    axis.plot(tried, 100 * found.history["median"], color=BLUE, linewidth=2.5, label="median p(class)")
    label = f"classes above {found.goal:.0%}"
    axis.plot(tried, 100 * found.history.share, "--", color=RED, linewidth=2.5, label=label, drawstyle="steps-post")
    axis.set_xscale("log")
    axis.set_ylim(-2, 103)
    axis.set_xlabel("images tried", fontsize=PLAIN)
    axis.set_ylabel("%", fontsize=PLAIN)
    axis.grid(alpha=0.25)
    axis.spines[["top", "right"]].set_visible(False)
    axis.legend(frameon=False, fontsize=PLAIN, loc="lower right")
