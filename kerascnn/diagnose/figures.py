"""Figures of diagnoses: drawing only, from the numbers in the results."""

import numpy as np

from ..plots.primitives import evenly_spaced
from ..plots.style import (
    BLACK,
    BLUE,
    LARGE,
    LINES,
    ORANGE,
    PALE,
    PLAIN,
    RED,
    hide_ticks,
    integer_ticks,
    new_figure,
    style_axis,
)
from ..support.text import last_part
from .filters import AND

VERDICT_COLORS = {"good": "0.8", "too noisy": RED, "too correlated": ORANGE, "dead": BLACK}
SHOWN = 12  # histograms side by side
TILES = 96  # filters drawn


def draw_initialization(result):
    """A histogram for each layer above, lines from layer to layer below."""
    table, figure = result.table, new_figure(12, 6)
    above, below = figure.subfigures(2, 1, height_ratios=(1, 1.25))
    draw_histograms(above, result)
    axes, layers = below.subplots(1, 3), np.arange(1, len(table) + 1)
    plot_logarithmic(axes[0], layers, table["stddev"])
    low, high = axes[0].get_ylim()
    if low < result.input_stddev < 10 * high:  # pixels lie far above what the layers give
        axes[0].axhline(result.input_stddev, color=PALE, linestyle="--", linewidth=1.5)
        axes[0].annotate("inputs", (layers[-1], result.input_stddev), ha="right", va="bottom", fontsize=8, color="0.4")
        axes[0].set_ylim(low, max(high, 3 * result.input_stddev))
    style_axis(axes[0], "std of the activations", xlabel="layer")
    axes[1].plot(layers, 100 * table.saturated, "o-", color=RED)
    style_axis(axes[1], "fraction of saturated units (slope nearly 0)", ylim=(-3, 103), xlabel="layer", ylabel="%")
    lines = {
        "gradients with respect to activations (rms)": table.gradient,
        "gradients with respect to weights (norm)": table.weight_gradient,
    }
    plot_logarithmic(axes[2], layers, *lines.values())
    axes[2].legend(axes[2].lines, lines, frameon=False, fontsize=8)
    style_axis(axes[2], "gradients", xlabel="layer")
    for axis in axes:
        integer_ticks(axis)
    figure.suptitle(result.title, fontsize=LARGE)
    return figure


def draw_histograms(figure, result):
    """Activations of at most ``SHOWN`` layers; the zeros of a ReLU, half of all, are cut off at the top."""
    table = result.table
    picked = evenly_spaced(len(table), SHOWN)
    for axis, i in zip(figure.subplots(1, len(picked), squeeze=False)[0], picked, strict=True):
        edges, counts = result.edges[i], result.counts[i]
        axis.bar(edges[:-1], counts, np.diff(edges), align="edge", color=BLUE)
        second = np.sort(counts)[-2]
        if table.activation[i].startswith("relu") and second:
            axis.set_ylim(0, 1.3 * second)
        axis.set_title(f"{i + 1}: {last_part(table.layer[i], 13)}\nstd {table['stddev'][i]:.2g}", fontsize=7.5)
        axis.set_yticks([])
        axis.tick_params(labelsize=7)
        axis.set_xticks([edges[0], edges[-1]], [f"{edges[0]:.2g}", f"{edges[-1]:.2g}"])
        axis.spines[["top", "right", "left"]].set_visible(False)


def plot_logarithmic(axis, x, *lines):
    """Lines on a logarithmic scale; zeros are left out."""
    lines = [np.where(np.asarray(values) > 0, values, np.nan) for values in lines]
    for values, style, color in zip(lines, ("o-", "s--"), (BLUE, RED), strict=False):
        axis.plot(x, values, style, color=color)
    every = np.concatenate(lines)
    if np.isfinite(every).any():
        axis.set_yscale("log")
        low, high = np.nanmin(every), np.nanmax(every)
        if high < 100 * low:  # within two decades a logarithmic axis has hardly a tick
            axis.set_ylim(low / 10, high * 10)


def draw_activity(result):
    """Bars by layer: dead units, sparsity, correlation, effective rank; the correlations of one layer."""
    table, figure = result.table, new_figure(13, 6.2)
    grid = figure.add_gridspec(2, 3, width_ratios=(1, 1, 1.05))
    places, names = np.arange(len(table)), [last_part(name, 18) for name in table.layer]
    dead = 100 * table.dead / table.units
    bars = (
        (0, 0, dead, "dead units (%)", RED, max(5.0, 1.1 * dead.max())),
        (0, 1, table.sparsity, "sparsity over units and positions", BLUE, 1),
        (1, 0, table.correlation, "mean |correlation| between units", BLUE, 1),
        (1, 1, 100 * table.entropy_rank / table.units, "effective rank (% of units)", BLUE, 100),
    )
    step = -(-len(names) // 24)
    for row, column, values, title, color, most in bars:
        axis = figure.add_subplot(grid[row, column])
        axis.barh(places, np.nan_to_num(values), color=color)
        axis.invert_yaxis()
        axis.set_yticks(places[::step], names[::step] if column == 0 else [""] * len(names[::step]), fontsize=8)
        style_axis(axis, title, xlim=(0, most))
    axis = figure.add_subplot(grid[:, 2])
    last = table.layer.iloc[-1]
    matrix = np.ma.masked_invalid(result.correlations[last])
    drawn = axis.imshow(matrix, cmap="RdBu_r", vmin=-1, vmax=1, interpolation="nearest")
    axis.set_facecolor("0.85")
    title = f"correlation between the units of {last_part(last, 24)}\n(gray: constant unit)"
    axis.set_title(title, fontsize=PLAIN)
    figure.colorbar(drawn, ax=axis, shrink=0.7)
    figure.suptitle(f"Activations on {result.image_count:,} images", fontsize=LARGE)
    return figure


def draw_filters(result):
    """The filters, framed in the color of their verdict; each measure against random filters."""
    figure = new_figure(13, 6.5)
    left, right = figure.subfigures(1, 2, width_ratios=(1.5, 1))
    every = result.kernel.shape[-1]
    count = min(every, TILES)
    columns = int(np.ceil(np.sqrt(1.3 * count)))
    verdicts = first_verdicts(result)
    axes = left.subplots(-(-count // columns), columns, squeeze=False).ravel()
    for axis in axes[count:]:
        axis.axis("off")
    for axis, i in zip(axes, range(count), strict=False):
        axis.imshow(filter_image(result.kernel[..., i]), cmap="gray", vmin=0, vmax=1, interpolation="nearest")
        hide_ticks(axis)
        axis.spines[:].set(color=VERDICT_COLORS[verdicts[i]], linewidth=2.5)
    left.suptitle(f"{result.layer}, {f'{count} of {every}' if count < every else every} filters", fontsize=PLAIN)
    seen = [verdict for verdict in VERDICT_COLORS if verdict in verdicts]
    handles = [axes[0].plot([], [], "s", color=VERDICT_COLORS[v], label=v, markersize=9)[0] for v in seen]
    figure.legend(handles=handles, loc="outside lower right", ncols=len(seen), frameon=False)
    draw_against_chance(right.subplots(), result)
    figure.suptitle(f"{result.layer}: {' and '.join(result.verdicts)}", fontsize=LARGE)
    return figure


def first_verdicts(result):
    """The verdict on each filter, the first one where there are two."""
    return [verdict.split(AND)[0] for verdict in result.table.verdict]


def draw_against_chance(axis, result):
    """Each filter a dot, gray bands for 98 % of random ones."""
    keys = [
        key for key in ("concentration", "separable", "high", "smoothness", "twin") if result.table[key].notna().any()
    ]
    bank, rng = result.bank.set_index("measure"), np.random.default_rng(0)
    for i, key in enumerate(keys):
        low, high = bank.random_low[key], bank.random_high[key]
        axis.barh(i, max(high - low, 0.01), left=low, height=0.7, color=PALE)
        values = result.table[key]
        colors = [VERDICT_COLORS[verdict] if verdict != "good" else BLUE for verdict in first_verdicts(result)]
        axis.scatter(values, i + rng.uniform(-0.25, 0.25, len(values)), s=10, c=colors, alpha=0.8)
    axis.set_yticks(range(len(keys)), keys)
    axis.set_ylim(len(keys) - 0.3, -0.6)
    style_axis(
        axis, f"gray: random filters; {int(bank.value['directions'])} effective directions, 0 expected by chance"
    )


def filter_image(kernel):
    """One filter around mid-gray, 0.5 + w / (2 max|w|); colors where it has three channels, else their mean."""
    image = kernel if kernel.shape[2] == 3 else kernel.mean(2)
    return 0.5 + image / (2 * max(np.abs(image).max(), 1e-30))


def draw_gradient_check(result):
    """A dot for each weight: its error, by layer; kinks as crosses."""
    table = result.table
    names = list(dict.fromkeys(table.layer))
    figure = new_figure(8.5, max(2.6, 1.4 + 0.24 * len(names)))
    axis = figure.subplots()
    rows, errors = table.layer.map(names.index), table.error.clip(lower=1e-12)
    axis.axvspan(result.tolerance, 10, color=RED, alpha=0.12, linewidth=0)
    clear = ~table.kink
    axis.scatter(errors[clear], rows[clear], s=22, color=BLUE, label="smooth", zorder=3)
    if table.kink.any():
        axis.scatter(
            errors[~clear], rows[~clear], s=22, marker="x", color="0.5", label="within epsilon of a kink", zorder=3
        )
    axis.set_xscale("log")
    axis.set_xlim(5e-13, 10)
    axis.set_yticks(range(len(names)), names, fontsize=8)
    axis.set_ylim(len(names) - 0.5, -0.5)
    title = f"Backpropagation compared with central differences: largest relative error {result.max_error:.1e}"
    style_axis(axis, title, xlabel="relative error (red: wrong)")
    figure.legend(frameon=False, fontsize=8, loc="outside lower right", ncols=2)
    return figure


def draw_training(result):
    """Training loss by epoch; variants of one group in one color, validation broken."""
    figure = new_figure(8, 4.8)
    axis = figure.subplots()
    names = list(dict.fromkeys(result.table.variant))
    groups = list(dict.fromkeys(result.group.get(name, name) for name in names))
    first = {}
    for name in names:
        rows, group = result.table[result.table.variant == name], result.group.get(name, name)
        color = LINES[groups.index(group) % len(LINES)]
        style = "-" if first.setdefault(group, name) != name or len(groups) == len(names) else "--"
        axis.plot(rows.epoch, rows.loss, style, marker="o", markersize=4, color=color, label=name)
        if rows.val_loss.notna().any():
            axis.plot(rows.epoch, rows.val_loss, ":", color=color, label=f"{name}, validation")
    integer_ticks(axis)
    style_axis(axis, result.title, xlabel="epoch", ylabel="training loss")
    axis.legend(frameon=False, fontsize=8, ncols=2 if len(names) > 4 else 1)
    return figure
