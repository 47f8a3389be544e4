"""Filters of the first convolution as pictures with an assessment; the norms of all others."""

import numpy as np
import pandas as pd

from ...diagnose.filters import filters as judged
from ...diagnose.filters import is_convolution, kernel_array
from ...graph.walk import build_graph
from ...plots.primitives import evenly_spaced
from ...plots.style import BLUE, INK, RED, label_rows, new_figure, style_axis
from ...support.text import format_shape, pluralize, shorten_start
from ...visualize.features.filters import filter_caption as said_of
from ...visualize.features.filters import filter_grid, filter_images
from ..context import Skipped
from ..figures import TITLE
from ..page import Section, data_table, details, figure, heading, paragraph, picture

WEAK = 0.05  # of the median filter's strength
TILE = 56  # pixels of a filter on the page
SHOWN = 40  # layers in the figure

MEANING = {  # of a filter with this verdict
    "good": "smooth, structured and distinct",
    "dead": "with nearly zero weights",
    "too noisy": "like random weights (too little training or regularization)",
    "too correlated": "nearly a copy of another",
}
SMALL_GOOD = "neither dead nor nearly a copy of another"  # all that is measured below 5x5
UNSTRUCTURED = "; together they span no more directions than random weights do"


def filters_section(subject):
    """Filters of the first convolution, and norms of all others."""
    try:
        filters, verdict = filter_images(subject.model), judged(subject.model)
    except ValueError as error:
        raise Skipped(str(error)) from error
    words = verdict_sentence(verdict)
    small = "" if verdict.sufficient else " Kernels below 5x5 are too small to assess noise."
    count = filters.kernel.shape[-1]
    alt = f"{count} filters of {filters.layer} as images; {words}"
    zoom = max(1, TILE // filters.kernel.shape[0]) if filters.shows == "colors" else None
    pixels = filter_grid(filters, filters.order, zoom).image
    caption = f"{filters}. {said_of(filters)}"
    code = f'kerascnn.visualize.filter_images(model, "{filters.layer}").plot()'
    blocks = [
        paragraph(f"{verdict.layer}: {words}.{small}"),
        picture(255 * pixels, alt, caption, code, kind="map", name="filters-first"),
        details("Each filter", data_table(verdict.table, caption=f"measures of each filter of {verdict.layer}")),
    ]
    strengths = filter_norms(subject.model)
    results = {"layer": filters.layer, "verdicts": verdict.verdicts, "counts": verdict.counts}
    results |= {"sufficient": verdict.sufficient}
    results |= {"shape": filters.kernel.shape, "norms": strengths.to_dict("records")}
    if len(strengths) > 1:
        weak = int(strengths.weak.sum())
        alt = (
            f"filter norms of {len(strengths)} convolutions; {weak} filters are below 5 % of the median of their layer"
        )
        caption = (
            "Euclidean norm of each filter relative to the median of its layer: bars from 5 % to 95 %, dots "
            f"the weakest filter; {weak} filters are below {WEAK:.0%}."
        )
        blocks += [heading("All convolutions"), figure(draw_norms(strengths), alt, caption, name="filters-norms")]
        blocks.append(details("Norms by layer", data_table(strengths)))
    return Section("Filters", tuple(blocks), results)


def verdict_sentence(found):
    """The verdict on the layer, and how many of its filters have which."""
    counts, total = found.counts, len(found.table)
    meaning = MEANING if found.sufficient else MEANING | {"good": SMALL_GOOD}
    parts = [f"{count} {meaning[name]}" for name, count in counts.items()]
    together = UNSTRUCTURED if "unstructured" in found.verdicts else ""
    return f"{' and '.join(found.verdicts)}. Of {pluralize(total, 'filter')}: {', '.join(parts)}{together}"


def filter_norms(model):
    """A row per convolution: filters, kernel size, median norm, and quantiles relative to the median."""
    rows, visited = [], set()
    for node in build_graph(model).nodes:
        if not is_convolution(node.operation) or id(node.operation) in visited:
            continue
        visited.add(id(node.operation))
        kernel = kernel_array(node.operation)
        norm = np.sqrt(np.square(kernel).sum((0, 1, 2)))
        median = float(np.median(norm))
        low, high, lowest, highest = np.quantile(norm, (0.05, 0.95, 0, 1)) / (median or 1)
        weak = int((norm < WEAK * median).sum())
        rows.append((node.name, len(norm), format_shape(kernel.shape[:3]), median, low, high, lowest, highest, weak))
    columns = ["layer", "filters", "size", "median norm", "5 %", "95 %", "least", "most", "weak"]
    return pd.DataFrame(rows, columns=columns)


def draw_norms(table):
    """A bar per layer from its weakest to its strongest filters, relative to the median."""
    rows = table.iloc[evenly_spaced(len(table), SHOWN)]
    drawing = new_figure(10, 1.2 + 0.24 * len(rows))
    axis, positions = drawing.subplots(), np.arange(len(rows))
    axis.barh(positions, rows["95 %"] - rows["5 %"], left=rows["5 %"], height=0.6, color=BLUE)
    axis.plot(rows["least"], positions, "o", color=RED, markersize=4)
    axis.axvline(1, color=INK, linewidth=1)
    label_rows(axis, [shorten_start(name, 30) for name in rows.layer], fontsize=10)
    part = f" ({len(rows)} of {len(table)} layers)" if len(rows) < len(table) else ""
    style_axis(axis, f"filter norm / median of the layer{part}", **TITLE)
    return drawing
