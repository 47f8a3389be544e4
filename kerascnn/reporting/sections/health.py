"""Dead, saturated and redundant units, and how activations change through the network."""

import numpy as np

from ...diagnose.filters import filters
from ...diagnose.verdict import MIN_IMAGES, training_verdict
from ...plots.primitives import evenly_spaced
from ...plots.style import BLUE, RED, integer_ticks, label_rows, new_figure, style_axis
from ...support.text import format_percent, pluralize, shorten_start
from ..figures import TITLE
from ..page import Section, data_table, details, figure, heading, paragraph

SHOWN = 40  # layers in a figure
STORED_KEYS = {"activation": "act", "stddev": "std"}  # column -> its key in report.json, which later reports compare
FULL = 0.95  # share of places at which a unit is above 0, from which a ReLU is nearly a line


def health_section(subject):
    """The verdict of `kerascnn.diagnose`, its evidence by layer, and statistics of the activations."""
    activity = subject.activity
    try:
        bank = filters(subject.model, seed=subject.seed)
    except ValueError:  # no convolution
        bank = None
    verdict = training_verdict(activity, bank)
    layers = layer_statistics(activity)
    silent, units = len(activity.dead), len(activity.unit_table)
    head = "No problems found" if verdict.good else f"{pluralize(len(verdict.reasons), 'problem')} found"
    few_images_note = (
        f" Only {activity.image_count} images: a silent unit may be active on others."
        if activity.image_count < MIN_IMAGES
        else ""
    )
    summary = (
        f"{head}: {silent:,} of {units:,} units ({format_percent(silent / max(units, 1))}) are dead on "
        f"{activity.image_count:,} images."
    )
    reasons = [paragraph(reason) for reason in verdict.reasons[:12]]
    alt = (
        f"dead units, sparsity, correlation and effective rank of {len(layers)} layers; {silent} of {units} units dead"
    )
    caption = (
        f"By layer, on {activity.image_count:,} images. Dead: never above 0 after a ReLU; otherwise constant. "
        "Sparsity: Treves and Rolls. Correlation: mean |r| between two units at 8 positions of a map. "
        "Effective rank: number of directions in use."
    )
    code = "kerascnn.activity(model, images).plot()"
    blocks = [
        paragraph(summary + few_images_note),
        *reasons,
        figure(draw_unit_health(layers), alt, caption, code, name="health-units"),
    ]
    caption = (
        "Over all units and positions of a layer. If the spread shrinks or grows from layer to layer, "
        "signals vanish or explode. Nearly always on: above 0 at 95 % of the positions, so that the ReLU "
        "is almost linear."
    )
    low, high = layers["stddev"].min(), layers["stddev"].max()
    alt = f"standard deviation of activations from {low:.3g} to {high:.3g} over {len(layers)} layers"
    blocks += [
        heading("Activations"),
        figure(draw_activations_by_layer(layers), alt, caption, name="health-activations"),
    ]
    blocks.append(details("By layer", data_table(layers)))
    if silent:
        names = activity.dead.groupby("layer", sort=False).unit.apply(
            lambda unit_numbers: ", ".join(map(str, unit_numbers[:60]))
        )
        blocks.append(
            details(
                f"{pluralize(silent, 'dead unit')}", data_table(names.reset_index().rename(columns={"unit": "units"}))
            )
        )
    results = {"images": activity.image_count, "good": verdict.good, "reasons": verdict.reasons}
    results |= {"units": units, "dead": silent, "layers": layers.rename(columns=STORED_KEYS).to_dict("records")}
    return Section("Health", tuple(blocks), results)


def layer_statistics(activity):
    """The table of layers with the share of units that are nearly always above 0."""
    layers = activity.table.copy()
    always = (
        activity.unit_table.assign(full=activity.unit_table.places >= FULL).groupby("layer", sort=False).full.mean()
    )
    rectified = layers.activation.str.startswith("relu")
    layers["always on"] = np.where(rectified, layers.layer.map(always).astype(float), np.nan)
    return layers


def draw_unit_health(layers):
    """Bars by layer: dead units, sparsity, correlation, effective rank."""
    rows = layers.iloc[evenly_spaced(len(layers), SHOWN)]
    panels = {
        "dead units (%)": (100 * rows.dead / rows.units, RED, 5),
        "sparsity": (rows.sparsity, BLUE, 1),
        "mean |correlation|": (rows.correlation, BLUE, 1),
        "effective rank (% of units)": (100 * rows.entropy_rank / rows.units, BLUE, 100),
    }
    drawing = new_figure(11, 1.3 + 0.26 * len(rows))
    positions = np.arange(len(rows))
    for axis, (title, (values, color, axis_limit)) in zip(
        drawing.subplots(1, 4, sharey=True), panels.items(), strict=True
    ):
        axis.barh(positions, np.nan_to_num(values.to_numpy(float)), color=color)
        axis.set_xlim(0, max(axis_limit, 1.05 * np.nan_to_num(values.to_numpy(float)).max()))
        axis.locator_params("x", nbins=3)
        style_axis(axis, title, **TITLE)
    label_rows(drawing.axes[0], [shorten_start(name, 22) for name in rows.layer], fontsize=10)
    return drawing


def draw_activations_by_layer(layers):
    """Standard deviation and mean by layer, and the shares of units that are never or nearly always on."""
    positions = np.arange(1, len(layers) + 1)
    drawing = new_figure(11, 3.6)
    left, right = drawing.subplots(1, 2)
    left.plot(positions, positive_or_nan(layers["stddev"]), "o-", color=BLUE, markersize=4, label="standard deviation")
    left.plot(positions, positive_or_nan(layers["mean"].abs()), "s--", color=RED, markersize=4, label="|mean|")
    left.set_yscale("log")
    left.legend(frameon=False)
    style_axis(left, "activations by layer", xlabel="layer, in execution order", **TITLE)
    right.plot(positions, 100 * layers.dead / layers.units, "o-", color=RED, label="dead", markersize=4)
    if layers["always on"].notna().any():
        right.plot(positions, 100 * layers["always on"], "s--", color=BLUE, label="nearly always on", markersize=4)
    right.set_ylim(bottom=0)
    right.legend(frameon=False)
    style_axis(right, "units (%)", xlabel="layer, in execution order", **TITLE)
    for axis in (left, right):
        integer_ticks(axis)
    return drawing


def positive_or_nan(values):
    """Values for a logarithmic axis; others become NaN."""
    values = values.to_numpy(float)
    return np.where(values > 0, values, np.nan)
