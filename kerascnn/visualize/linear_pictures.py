"""Figures of fooled linear classifiers: drawing only, from the numbers in the results."""

import numpy as np

from .drawing import LARGE, PLAIN, SMALL, bare, cut, looks, signals

BEFORE, AFTER = "#0072b2", "#d55e00"
SIZES = np.unique(np.logspace(0.5, 5, 120).round().astype(int))  # numbers of inputs
ROWS = 4


def new_figure(width, height):
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def draw_ten_numbers(found):
    """Inputs and products before and after; the probabilities; the same step in more inputs."""
    figure = new_figure(13, 6.4)
    axes = figure.subplot_mosaic([["x", "p"], ["wx", "n"]], width_ratios=(1.9, 1))
    before, after = f"x: w·x = {found.scores[0]:g}", f"x′: w·x′ = {found.scores[1]:g}"
    pairs(axes["x"], found.x, found.fooled, before, after)
    axes["x"].set_title(f"ten inputs, each {found.step:g} along the sign of its weight", fontsize=LARGE)
    signs = [f"w = {weight:+g}" for weight in found.w]
    axes["x"].set_xticks(range(len(found.x)), signs, fontsize=SMALL)
    pairs(axes["wx"], found.w * found.x, found.w * found.fooled, "w x", "w x′")
    gain = found.step * np.abs(found.w).sum()
    axes["wx"].set_title(f"products: each {found.step:g} larger, their sum {gain:g}", fontsize=LARGE)
    axes["wx"].set_xticks(range(len(found.x)), range(1, len(found.x) + 1), fontsize=SMALL)
    bars = axes["p"].bar(["x", "x′"], found.probabilities, color=[BEFORE, AFTER], width=0.55)
    axes["p"].bar_label(bars, [f"{p:.2%}" for p in found.probabilities], fontsize=LARGE, padding=2)
    axes["p"].set_title("p = 1 / (1 + exp(−w·x))", fontsize=LARGE)
    axes["p"].set_ylim(0, 1.12)
    growth(axes["n"], found)
    for axis in axes.values():
        axis.spines[["top", "right"]].set_visible(False)
    figure.suptitle("A small step in every input is a large step of the score", fontsize=LARGE + 2)
    return figure


def pairs(axis, first, second, *names):
    places = np.arange(len(first))
    for values, shift, colour, name in ((first, -0.2, BEFORE, names[0]), (second, 0.2, AFTER, names[1])):
        bars = axis.bar(places + shift, values, 0.38, color=colour, label=name)
        axis.bar_label(bars, [f"{value:g}" for value in values], fontsize=7.5, padding=1, color="0.3")
    low, high = min(first.min(), second.min()), max(first.max(), second.max())
    axis.set_ylim(low - 0.12 * (high - low), high + 0.32 * (high - low))
    axis.axhline(0, color="0.3", linewidth=0.8)
    axis.legend(frameon=False, fontsize=PLAIN, ncols=2, loc="upper left")


def growth(axis, found):
    """p after the step, had the score of x the same value and w as many entries of the same mean size."""
    size = np.abs(found.w).mean()
    start = found.scores[0]
    for step, style in ((found.step, "-"), (found.step / 10, "--"), (found.step / 100, ":")):
        p = 1 / (1 + np.exp(-np.clip(start + step * size * SIZES, -60, 60)))
        axis.semilogx(SIZES, p, style, color=AFTER, label=f"step {step:g}", linewidth=2)
    axis.plot(len(found.x), found.probabilities[1], "o", color=AFTER, markersize=8)
    axis.axhline(found.probabilities[0], color=BEFORE, linewidth=1)
    axis.set_title(f"the change is step × ‖w‖₁: from w·x = {start:g}", fontsize=LARGE)
    axis.set_xlabel("inputs", fontsize=PLAIN)
    axis.set_ylabel("p", fontsize=PLAIN)
    axis.set_ylim(-0.03, 1.05)
    axis.grid(alpha=0.25)
    axis.legend(frameon=False, fontsize=PLAIN, loc="center right", bbox_to_anchor=(1, 0.4))


def draw_linear_fooling(found):
    """A row an image: both templates, the image, the fooled one, ten times the difference."""
    count = min(len(found.images), ROWS)
    figure = new_figure(11.5, 0.9 + 2.25 * count)
    most = np.percentile(np.abs(found.templates), 99.5)
    both, _ = looks(np.concatenate([found.images[:count], found.fooled[:count].clip(0, 255)]))
    for i, row in enumerate(figure.subplots(count, 5, squeeze=False)):
        own, target = found.predicted[i], found.targets[i]
        for axis, number in zip(row, (own, target), strict=False):
            axis.imshow(template(found.templates[number], most), **tones(found.templates))
            bare(axis, f"template of {cut(found.labels[number], 16)}")
        named(row[2], both[i], found, found.probabilities[i, 0], "")
        named(row[3], both[count + i], found, found.probabilities[i, 1], f"needs {found.linf[i]:.2g} a pixel")
        row[4].imshow(signals(10 * (found.fooled[i] - found.images[i]), 2 * 127.5))
        bare(row[4], "difference × 10", f"±{found.step:.3g} of 255 in each pixel")
    sign = "red for, blue against" if found.templates.shape[-1] == 1 else "grey is 0"
    figure.supxlabel(
        f"templates: weights, ±p99.5 of all, {sign}; difference: 127.5 + 10 d", fontsize=SMALL, color="0.3"
    )
    figure.suptitle(f"A linear classifier ({found.accuracy:.0%} right) is fooled by its own templates", fontsize=LARGE)
    return figure


def template(weights, most):
    """Weights of one channel as they are, of three as colours on mid-grey."""
    return weights[..., 0] / most if weights.shape[-1] == 1 else signals(weights, most)


def tones(templates):
    return {"cmap": "RdBu_r", "vmin": -1, "vmax": 1} if templates.shape[-1] == 1 else {}


def named(axis, image, found, probs, below):
    best = int(probs.argmax())
    axis.imshow(image)
    bare(axis, f"{cut(found.labels[best], 16)} {probs[best]:.1%}", below)
