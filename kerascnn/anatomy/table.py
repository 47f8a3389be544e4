"""The table of a network: shapes, parameters, multiply-adds, activation memory and receptive fields by layer."""

import html as markup
import json
from dataclasses import asdict, dataclass
from pathlib import Path

from ..graph import walk as kinds
from ..graph.walk import elements, show_shape, walk
from ..support.files import replacing
from ..support.text import UNITS, nearest
from .counting import multiply_adds, weights_of
from .receptive_field import ReceptiveField, fields


@dataclass(frozen=True)
class Row:
    """One call of a layer. Counts are for one image; None means that a size or the way a layer works is unknown.

    `params` are all weights that Keras stores, `learned` those that learning can move by their kind (what papers
    print: no moving statistics), `trainable` those that would move now (0 in a frozen layer). Shared weights count
    where they are first used. `in_place` activations need no memory of their own.
    """

    name: str
    kind: str
    shape: tuple
    params: int
    learned: int
    trainable: int
    macs: int | None
    activations: int | None
    in_place: bool
    receptive: tuple | None
    stride: tuple | None
    offset: tuple | None
    sees: str
    inputs: tuple


@dataclass(frozen=True, repr=False)
class Anatomy:
    """A network as rows and totals, for one image. It prints, and saves as csv, json, html or txt.

    One multiply-add is one mac: convolutions, dense layers and attention count; additions of biases, norms and
    pools do not. `activations` is memory as lectures count it: the input and what convolutions, pools and fully
    connected layers write, each number once, since a ReLU, a norm or an addition works in place. `outputs` adds up
    every layer's output instead.
    """

    name: str
    rows: tuple

    @property
    def params(self):
        """All weights, moving statistics included."""
        return sum(row.params for row in self.rows)

    @property
    def learned(self):
        """Weights that learning can move, frozen now or not: the number that papers print."""
        return sum(row.learned for row in self.rows)

    @property
    def trainable(self):
        """Weights that training would move now."""
        return sum(row.trainable for row in self.rows)

    @property
    def macs(self):
        """Multiply-adds for one image; None if a layer's are unknown."""
        return _sum(row.macs for row in self.rows)

    @property
    def activations(self):
        """Numbers held in memory for one image, each once; None if a size is unknown."""
        return _sum(row.activations for row in self.rows if not row.in_place)

    @property
    def outputs(self):
        """Numbers in all layers' outputs together, as if nothing worked in place."""
        return _sum(row.activations for row in self.rows)

    @property
    def bytes(self):
        """Bytes of `activations` as float32."""
        return None if self.activations is None else 4 * self.activations

    @property
    def totals(self):
        """The sums, as plain numbers by name."""
        names = ("params", "learned", "trainable", "macs", "activations", "outputs", "bytes")
        return {name: getattr(self, name) for name in names}

    @property
    def table(self):
        """The rows as a DataFrame; None becomes NaN."""
        import pandas as pd

        table = pd.DataFrame([asdict(row) for row in self.rows], columns=list(Row.__dataclass_fields__))
        for column in ("macs", "activations"):
            table[column] = table[column].astype("float64" if table[column].isna().any() else "int64")
        return table

    def row(self, name):
        """One row by its name."""
        for row in self.rows:
            if row.name == name:
                return row
        near = nearest(name, [row.name for row in self.rows])
        hint = f"; did you mean {', '.join(near)}?" if near else "."
        raise ValueError(f"`name` should be a row of {self.name}{hint} Received: {name!r}")

    def to_text(self, max_rows=None):
        """A table in aligned columns; `max_rows` leaves out the middle."""
        return text(self, max_rows)

    def to_html(self):
        """An HTML fragment with its own scoped style, for light and dark pages."""
        return html(self)

    def to_json(self, indent=None):
        """Rows and totals as JSON with plain types."""
        return json_text(self, indent)

    def save(self, path):
        """Write to a file by its suffix: csv, json, html or txt."""
        return save_table(self, path)

    def __repr__(self):
        counts = f"{short(self.params)} parameters, {short(self.macs)} multiply-adds"
        return f"<Anatomy {self.name}: {len(self.rows)} layers, {counts}>"

    def __str__(self):
        return self.to_text()

    def _repr_mimebundle_(self, include=None, exclude=None):
        return {"text/plain": self.to_text(60), "text/html": self.to_html()}


def dissect(model, input_shape=None):
    """Take a model apart into an `Anatomy`; `input_shape` settles sizes that the model leaves open.

    Receptive fields are those in the first input that reaches the layer.
    """
    graph = walk(model, input_shape)
    seen = [(source, fields(graph, source)) for source in graph.inputs]
    counted = set()
    rows = tuple(_row(node, seen, counted) for node in graph.nodes)
    return Anatomy(graph.name, rows)


def _row(node, seen, counted):
    weights = weights_of(node, counted)
    source, found = next(((source, found) for source, found in seen if node in found), (None, None))
    area = ReceptiveField(node.name, source.name, source.shape, found[node]) if source else None
    return Row(
        name=node.name,
        kind=node.kind,
        shape=node.shape,
        **weights,
        macs=multiply_adds(node),
        activations=_sum(map(elements, node.outputs)),
        in_place=kinds.in_place(node),
        receptive=area.size if area else None,
        stride=area.stride if area else None,
        offset=area.offset if area else None,
        sees=_sees(area),
        inputs=tuple(dict.fromkeys(before.name for before, _ in node.inputs)),
    )


def _sees(area):
    """ "field", "whole", or why it is unknown."""
    if area is None:
        return "no input"
    return area.reason or ("whole" if area.whole else "field" if area.size is not None else "unknown")


def _sum(values):
    """The sum, or None as soon as one is None."""
    values = list(values)
    return None if None in values else sum(values)


COLUMNS = (
    "layer",
    "kind",
    "output",
    "params",
    "trainable",
    "multiply-adds",
    "activations",
    "receptive field",
    "stride",
)
TEXTUAL = 3  # the first columns are words, the others numbers


def short(number, unit=""):
    """A count in three or four digits: 138.4 M, 15.47 G; "?" if unknown."""
    if number is None:
        return "?"
    for size, letter in UNITS:
        if number >= size:
            return f"{number / size:.4g} {letter}{unit}"
    return f"{number:,} {unit}".strip()


def _cells(row):
    """One row as strings, in the order of COLUMNS."""
    field = {"field": show_shape(row.receptive or ()), "whole": "whole"}.get(row.sees, "unknown")
    if row.sees == "whole" and row.receptive:
        field = f"{show_shape(row.receptive)} all"
    if row.receptive == ():
        field = "-"
    return (
        row.name,
        row.kind,
        show_shape(row.shape),
        f"{row.params:,}" if row.params else "",
        f"{row.trainable:,}" if row.params else "",
        "?" if row.macs is None else f"{row.macs:,}" if row.macs else "",
        "?" if row.activations is None else f"({row.activations:,})" if row.in_place else f"{row.activations:,}",
        field,
        "x".join(f"{step:g}" for step in row.stride) if row.stride else "",
    )


def summary(anatomy):
    """The totals in words, one fact a line."""
    lines = [
        f"{anatomy.params:,} parameters ({short(anatomy.params)}): {anatomy.learned:,} learned, "
        f"{anatomy.trainable:,} trainable now",
        f"{short(anatomy.macs)} multiply-adds for one image",
        f"{short(anatomy.activations)} activations, {short(anatomy.bytes, 'B')} as float32 "
        f"(in brackets: in place, not counted; all outputs: {short(anatomy.outputs)})",
    ]
    reasons = dict.fromkeys(row.sees for row in anatomy.rows if row.sees not in ("field", "whole", "no input"))
    return lines + [f"receptive field unknown from here on: {reason}" for reason in reasons]


def text(anatomy, max_rows=None):
    """Aligned columns; of a long table the first and last rows."""
    rows = [_cells(row) for row in anatomy.rows]
    if max_rows is not None and len(rows) > max_rows:
        first = (max_rows + 1) // 2
        last = max_rows - first
        gap = (f"... {len(rows) - max_rows} more", *[""] * (len(COLUMNS) - 1))
        rows = rows[:first] + [gap] + (rows[-last:] if last else [])
    widths = [max(len(line[i]) for line in (COLUMNS, *rows)) for i in range(len(COLUMNS))]

    def line(cells):
        words = zip(cells, widths, strict=True)
        return "  ".join(c.ljust(w) if i < TEXTUAL else c.rjust(w) for i, (c, w) in enumerate(words)).rstrip()

    rule = "-" * len(line(["x" * width for width in widths]))
    return "\n".join([anatomy.name, line(COLUMNS), rule, *map(line, rows), rule, *summary(anatomy)])


STYLE = """<style>
.kc-anatomy{font:13px/1.45 system-ui,sans-serif;color:CanvasText;color-scheme:light dark;overflow-x:auto}
.kc-anatomy table{border-collapse:collapse;font-variant-numeric:tabular-nums}
.kc-anatomy caption{text-align:left;font-weight:600;padding:4px 0}
.kc-anatomy th,.kc-anatomy td{padding:2px 10px;text-align:right;white-space:nowrap;background:none;color:inherit}
.kc-anatomy th{border-bottom:1px solid currentColor;font-weight:600}
.kc-anatomy .kc-word{text-align:left}
.kc-anatomy tbody tr:nth-child(even) td{background:color-mix(in srgb,currentColor 6%,transparent)}
.kc-anatomy .kc-quiet td{opacity:.72}
.kc-anatomy p{margin:2px 0}
</style>"""


def html(anatomy):
    """A fragment: style, table, totals."""

    def row(cells, tag, quiet=False):
        parts = [
            f"<{tag}{' class=kc-word' if i < TEXTUAL else ''}>{markup.escape(cell)}</{tag}>"
            for i, cell in enumerate(cells)
        ]
        return f"<tr{' class=kc-quiet' if quiet else ''}>{''.join(parts)}</tr>"

    body = "\n".join(row(_cells(item), "td", item.in_place) for item in anatomy.rows)
    notes = "".join(f"<p>{markup.escape(line)}</p>" for line in summary(anatomy))
    return (
        f'{STYLE}<div class="kc-anatomy"><table><caption>{markup.escape(anatomy.name)}</caption>'
        f"<thead>{row(COLUMNS, 'th')}</thead><tbody>\n{body}\n</tbody></table>{notes}</div>"
    )


def json_text(anatomy, indent=None):
    """Plain types only: tuples become lists, unknown numbers null."""
    content = {"name": anatomy.name, "totals": anatomy.totals, "rows": [asdict(row) for row in anatomy.rows]}
    return json.dumps(content, indent=indent, allow_nan=False)


WRITERS = {
    ".csv": lambda anatomy: anatomy.table.to_csv(index=False),
    ".json": lambda anatomy: json_text(anatomy, indent=1),
    ".html": html,
    ".txt": text,
}


def save_table(anatomy, path):
    """Write by suffix."""
    path = Path(path)
    if path.suffix not in WRITERS:
        raise ValueError(f"`path` should end in one of {', '.join(WRITERS)}. Received: {str(path)!r}")
    return write(path, WRITERS[path.suffix](anatomy))


def write(path, content):
    """Write text that ends in a line; folders are made."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as draft:
        draft.write_text(content if content.endswith("\n") else content + "\n", encoding="utf-8")
    return Path(path)
