"""Units that are dead, saturated or copies of each other, and how activations travel through the network."""

import numpy as np

from ...diagnose.filters import filters
from ...diagnose.verdict import ENOUGH, training_verdict
from ...plots.primitives import spaced
from ...plots.style import BLUE, RED, new_figure, tidy, top_down, whole_ticks
from ...support.text import count, percent, tail
from ..figures import TITLE
from ..page import Section, figure, folded, heading, paragraph, table

SHOWN = 40  # layers in a figure
FULL = 0.95  # share of places at which a unit is above 0, from which a ReLU is nearly a line


def health(subject):
    """The verdict of `kerascnn.diagnose`, its evidence by layer, and the statistics of activations."""
    activity = subject.activity
    try:
        bank = filters(subject.model, seed=subject.seed)
    except ValueError:  # no convolution
        bank = None
    verdict = training_verdict(activity, bank)
    layers = by_layer(activity)
    silent, units = len(activity.dead), len(activity.units)
    head = "Nothing looks bad" if verdict.good else f"{count(len(verdict.reasons), 'sign')} of trouble"
    few = f" Only {activity.images} images: a silent unit may yet wake." if activity.images < ENOUGH else ""
    said = (
        f"{head}: {silent:,} of {units:,} units ({percent(silent / max(units, 1))}) dead on {activity.images:,} images."
    )
    reasons = [paragraph(reason) for reason in verdict.reasons[:12]]
    alt = (
        f"dead units, sparsity, correlation and effective rank of {len(layers)} layers; {silent} of {units} units dead"
    )
    caption = (
        f"By layer, on {activity.images:,} images. Dead: never above 0 after a ReLU, else constant. Sparsity: by "
        "Treves and Rolls. Correlation: mean |r| of two units at 8 places of a map. Effective rank: directions in use."
    )
    code = "kerascnn.activity(model, images).plot()"
    blocks = [paragraph(said + few), *reasons, figure(draw_units(layers), alt, caption, code, name="health-units")]
    caption = (
        "Over the units and places of a layer; where the spread shrinks or grows from layer to layer, signals die or "
        "explode. Nearly always on: above 0 at 95 % of all places, so that a ReLU is hardly more than a line."
    )
    low, high = layers["std"].min(), layers["std"].max()
    alt = f"standard deviation of activations from {low:.3g} to {high:.3g} over {len(layers)} layers"
    blocks += [heading("Activations"), figure(draw(layers), alt, caption, name="health-activations")]
    blocks.append(folded("By layer", table(layers)))
    if silent:
        names = activity.dead.groupby("layer", sort=False).unit.apply(lambda found: ", ".join(map(str, found[:60])))
        blocks.append(
            folded(f"{count(silent, 'dead unit')}", table(names.reset_index().rename(columns={"unit": "units"})))
        )
    results = {"images": activity.images, "good": verdict.good, "reasons": verdict.reasons}
    results |= {"units": units, "dead": silent, "layers": layers.to_dict("records")}
    return Section("Health", tuple(blocks), results)


def by_layer(activity):
    """The layers' table with the shares of units that nearly always answer, where answering is being above 0."""
    layers = activity.layers.copy()
    always = activity.units.assign(full=activity.units.places >= FULL).groupby("layer", sort=False).full.mean()
    rectified = layers.act.str.startswith("relu")
    layers["always on"] = np.where(rectified, layers.layer.map(always).astype(float), np.nan)
    return layers


def draw_units(layers):
    """Bars by layer, side by side: dead units, sparsity, correlation, effective rank."""
    some = layers.iloc[spaced(len(layers), SHOWN)]
    panels = {
        "dead units (%)": (100 * some.dead / some.units, RED, 5),
        "sparsity": (some.sparsity, BLUE, 1),
        "mean |correlation|": (some.correlation, BLUE, 1),
        "effective rank (% of units)": (100 * some.entropy_rank / some.units, BLUE, 100),
    }
    drawing = new_figure(11, 1.3 + 0.26 * len(some))
    places = np.arange(len(some))
    for axis, (title, (values, color, least)) in zip(drawing.subplots(1, 4, sharey=True), panels.items(), strict=True):
        axis.barh(places, np.nan_to_num(values.to_numpy(float)), color=color)
        axis.set_xlim(0, max(least, 1.05 * np.nan_to_num(values.to_numpy(float)).max()))
        axis.locator_params("x", nbins=3)
        tidy(axis, title, **TITLE)
    top_down(drawing.axes[0], [tail(name, 22) for name in some.layer], fontsize=10)
    return drawing


def draw(layers):
    """Spread and mean by layer, and the shares of units that never or always answer."""
    places = np.arange(1, len(layers) + 1)
    drawing = new_figure(11, 3.6)
    left, right = drawing.subplots(1, 2)
    left.plot(places, positive(layers["std"]), "o-", color=BLUE, markersize=4, label="standard deviation")
    left.plot(places, positive(layers["mean"].abs()), "s--", color=RED, markersize=4, label="|mean|")
    left.set_yscale("log")
    left.legend(frameon=False)
    tidy(left, "activations by layer", xlabel="layer, in the order they run", **TITLE)
    right.plot(places, 100 * layers.dead / layers.units, "o-", color=RED, label="dead", markersize=4)
    if layers["always on"].notna().any():
        right.plot(places, 100 * layers["always on"], "s--", color=BLUE, label="nearly always on", markersize=4)
    right.set_ylim(bottom=0)
    right.legend(frameon=False)
    tidy(right, "units (%)", xlabel="layer, in the order they run", **TITLE)
    for axis in (left, right):
        whole_ticks(axis)
    return drawing


def positive(values):
    """Numbers for a logarithmic axis, which leaves out what is 0."""
    values = values.to_numpy(float)
    return np.where(values > 0, values, np.nan)
