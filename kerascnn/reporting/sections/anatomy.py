"""What the network is made of: its blocks drawn, its layers in a table."""

import pandas as pd

from ...anatomy.diagram import diagram
from ...support.text import sides
from ..page import Section, drawn, facts, folded, paragraph, table

WIDTH = 1100  # of the drawing, about that of the page


def anatomy(subject):
    """The block diagram and the table of layers."""
    found = subject.anatomy
    totals = {name: value for name, value in found.totals.items() if value is not None}
    rows = [row for row in found.rows if row.inputs]
    said = {
        "input": ", ".join(sides(row.shape) for row in found.rows if not row.inputs),
        "layers": f"{len(rows):,} calls, {sum(1 for row in rows if row.learned):,} with weights",
        "parameters": f"{found.learned:,} learned, {found.params:,} with the statistics of norms",
        "trainable now": f"{found.trainable:,}",
        "multiply-adds": f"{found.macs:,} for one image" if found.macs else "unknown",
        "activations": f"{found.activations:,} numbers for one image" if found.activations else "unknown",
    }
    caption = "Convolutions, pools and dense layers as boxes; repeats are folded, skips are arcs."
    blocks = [facts(said)]
    try:
        given = {row.name: row.shape for row in found.rows if not row.inputs}
        open_sizes = any(None in tensor.shape[1:] for tensor in subject.model.inputs)
        picture = diagram(subject.model, width=WIDTH, input_shape=given if open_sizes else None)
        blocks.append(drawn(picture.svg, f"block diagram of {subject.name}: {said['layers']}", caption))
    except ValueError as error:
        blocks.append(paragraph(f"No drawing: {error}", soft=True))
    blocks.append(folded(f"All {len(found.rows):,} layers", table(layers(found))))
    results = {"totals": totals, "layers": [{"name": row.name, "kind": row.kind, "shape": row.shape,
                "parameters": row.params, "multiply_adds": row.macs} for row in found.rows]}  # fmt: skip
    return Section("Architecture", tuple(blocks), results)


def layers(found):
    """The table, as a reader wants it."""
    rows = [
        {
            "layer": row.name,
            "kind": row.kind,
            "output": sides(row.shape),
            "parameters": row.params or None,
            "multiply-adds": row.macs or None,
            "activations": row.activations,
            "sees": "all" if row.sees == "whole" else sides(row.receptive) if row.receptive else "",
            "stride": sides(f"{step:g}" for step in row.stride) if row.stride else "",
        }
        for row in found.rows
    ]
    return pd.DataFrame(rows, dtype=object)
