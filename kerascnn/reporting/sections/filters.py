"""What the first layer looks for, as pictures with a verdict; of deeper kernels how strong their filters are."""

import numpy as np
import pandas as pd

from ...diagnose.filters import filters as judged
from ...diagnose.filters import is_convolution, kernel_array
from ...graph.walk import walk
from ...plots.primitives import spaced
from ...plots.style import BLUE, INK, RED, new_figure, tidy, top_down
from ...support.text import sides, tail
from ...visualize.features.filters import caption as said_of
from ...visualize.features.filters import filter_images, grid
from ..context import Skipped
from ..figures import TITLE
from ..page import Section, figure, folded, heading, paragraph, picture, table

WEAK = 0.05  # of the median filter's strength
TILE = 56  # pixels of a filter on the page
SHOWN = 40  # layers in the figure

MEANING = {
    "good": "smooth, structured and different from each other",
    "dead": "many filters have hardly any weight",
    "too noisy": "many filters look like random weights: too little training, or too little regularization",
    "too correlated": "many filters are copies of each other",
    "unstructured": "together they span no more directions than random weights",
}


def filters(subject):
    """Filters of the first convolution, and norms of all others."""
    try:
        shown, verdict = filter_images(subject.model), judged(subject.model, seed=subject.seed)
    except ValueError as error:
        raise Skipped(str(error)) from error
    words = "; ".join(f"{name}: {MEANING[name]}" for name in verdict.verdicts)
    small = "" if verdict.sufficient else " Below 5x5 a filter is too small for a verdict on noise."
    count = shown.kernel.shape[-1]
    alt = f"{count} filters of {shown.layer} as images; {words}"
    zoom = max(1, TILE // shown.kernel.shape[0]) if shown.shows == "colors" else None
    pixels = grid(shown, shown.order, zoom).image
    caption = f"{shown}. {said_of(shown)}"
    code = f'kerascnn.visualize.filter_images(model, "{shown.layer}").plot()'
    blocks = [
        paragraph(f"{verdict.layer}: {words}.{small}"),
        picture(255 * pixels, alt, caption, code, kind="map", name="filters-first"),
        folded("Each filter", table(verdict.table, caption=f"measures of the filters of {verdict.layer}")),
    ]
    strengths = norms(subject.model)
    results = {"layer": shown.layer, "verdicts": verdict.verdicts, "sufficient": verdict.sufficient}
    results |= {"shape": shown.kernel.shape, "norms": strengths.to_dict("records")}
    if len(strengths) > 1:
        weak = int(strengths.weak.sum())
        alt = f"filter norms of {len(strengths)} convolutions; {weak} filters below 5 % of their layer's median"
        caption = f"Euclidean norm of each filter over the median of its layer: bar 5 % to 95 %, dot the weakest; \
{weak} filters are below {WEAK:.0%} of it."
        blocks += [heading("All convolutions"), figure(draw(strengths), alt, caption, name="filters-norms")]
        blocks.append(folded("Norms by layer", table(strengths)))
    return Section("Filters", tuple(blocks), results)


def norms(model):
    """A row for each convolution: filters, kernel, median norm, and quantiles over that median."""
    rows, seen = [], set()
    for node in walk(model).nodes:
        if not is_convolution(node.operation) or id(node.operation) in seen:
            continue
        seen.add(id(node.operation))
        kernel = kernel_array(node.operation)
        norm = np.sqrt(np.square(kernel).sum((0, 1, 2)))
        median = float(np.median(norm))
        low, high, least, most = np.quantile(norm, (0.05, 0.95, 0, 1)) / (median or 1)
        weak = int((norm < WEAK * median).sum())
        rows.append((node.name, len(norm), sides(kernel.shape[:3]), median, low, high, least, most, weak))
    columns = ["layer", "filters", "size", "median norm", "5 %", "95 %", "least", "most", "weak"]
    return pd.DataFrame(rows, columns=columns)


def draw(table):
    """A bar for each layer from its weakest to its strongest filters, the median at 1."""
    some = table.iloc[spaced(len(table), SHOWN)]
    drawing = new_figure(10, 1.2 + 0.24 * len(some))
    axis, places = drawing.subplots(), np.arange(len(some))
    axis.barh(places, some["95 %"] - some["5 %"], left=some["5 %"], height=0.6, color=BLUE)
    axis.plot(some["least"], places, "o", color=RED, markersize=4)
    axis.axvline(1, color=INK, linewidth=1)
    top_down(axis, [tail(name, 30) for name in some.layer], fontsize=10)
    part = f" ({len(some)} of {len(table)} layers)" if len(some) < len(table) else ""
    tidy(axis, f"norm of filters / median of the layer{part}", **TITLE)
    return drawing
