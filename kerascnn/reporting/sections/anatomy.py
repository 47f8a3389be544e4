"""The architecture: a block diagram and a table of layers."""

import pandas as pd

from ...anatomy.diagram import diagram
from ...support.text import format_shape
from ..page import Section, data_table, definition_list, details, paragraph, svg_figure

WIDTH = 1100  # of the drawing, about that of the page


def anatomy_section(subject):
    """The block diagram and the table of layers."""
    anatomy = subject.anatomy
    totals = {name: value for name, value in anatomy.totals.items() if value is not None}
    count, with_weights = len(anatomy.rows), sum(1 for row in anatomy.rows if row.learnable)
    overview = {
        "input": ", ".join(format_shape(row.shape) for row in anatomy.rows if not row.inputs),
        "layers": f"{count:,} layers in execution order, the input included, {with_weights:,} with weights",
        "parameters": (
            f"{anatomy.learnable:,} learned, {anatomy.params:,} including the statistics of normalization layers"
        ),
        "currently trainable": f"{anatomy.trainable:,}",
        "multiply-adds": f"{anatomy.macs:,} per image" if anatomy.macs else "unknown",
        "activations": f"{anatomy.activations:,} values per image" if anatomy.activations else "unknown",
    }
    caption = (
        "Convolution, pooling and dense layers are boxes; repeated blocks are drawn once, skip connections are arcs."
    )
    blocks = [definition_list(overview)]
    try:
        input_shapes = {row.name: row.shape for row in anatomy.rows if not row.inputs}
        open_sizes = any(None in tensor.shape[1:] for tensor in subject.model.inputs)
        picture = diagram(subject.model, width=WIDTH, input_shape=input_shapes if open_sizes else None)
        blocks.append(svg_figure(picture.svg, f"block diagram of {subject.name}: {overview['layers']}", caption))
    except ValueError as error:
        blocks.append(paragraph(f"No diagram: {error}", soft=True))
    blocks.append(details(f"All {count:,} layers", data_table(layers_frame(anatomy))))
    results = {"totals": totals, "layers": [{"name": row.name, "kind": row.kind, "shape": row.shape,
                "parameters": row.params, "multiply_adds": row.macs} for row in anatomy.rows]}  # fmt: skip
    return Section("Architecture", tuple(blocks), results)


def layers_frame(anatomy):
    """The table of layers."""
    rows = [
        {
            "layer": row.name,
            "kind": row.kind,
            "output": format_shape(row.shape),
            "parameters": row.params or None,
            "multiply-adds": row.macs or None,
            "activations": row.activations,
            "sees": "all"
            if row.receptive_status == "whole"
            else format_shape(row.receptive_field)
            if row.receptive_field
            else "",
            "stride": format_shape(f"{step:g}" for step in row.stride) if row.stride else "",
        }
        for row in anatomy.rows
    ]
    return pd.DataFrame(rows, dtype=object)
