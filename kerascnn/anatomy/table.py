"""The table of a network: shapes, parameters, multiply-adds, activation memory and receptive fields by layer."""

import html as markup
import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path

from keras import layers

from ..graph import walk
from ..graph.walk import elements, show_shape
from ..support.files import save_text
from ..support.text import UNITS, nearest
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
        return sum_known(row.macs for row in self.rows)

    @property
    def activations(self):
        """Numbers held in memory for one image, each once; None if a size is unknown."""
        return sum_known(row.activations for row in self.rows if not row.in_place)

    @property
    def outputs(self):
        """Numbers in all layers' outputs together, as if nothing worked in place."""
        return sum_known(row.activations for row in self.rows)

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
        rows = [_cells(row) for row in self.rows]
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
        return "\n".join([self.name, line(COLUMNS), rule, *map(line, rows), rule, *_summary(self)])

    def to_html(self):
        """An HTML fragment with its own scoped style, for light and dark pages."""

        def row(cells, tag, quiet=False):
            parts = [
                f"<{tag}{' class=kc-word' if i < TEXTUAL else ''}>{markup.escape(cell)}</{tag}>"
                for i, cell in enumerate(cells)
            ]
            return f"<tr{' class=kc-quiet' if quiet else ''}>{''.join(parts)}</tr>"

        body = "\n".join(row(_cells(item), "td", item.in_place) for item in self.rows)
        notes = "".join(f"<p>{markup.escape(line)}</p>" for line in _summary(self))
        return (
            f'{STYLE}<div class="kc-anatomy"><table><caption>{markup.escape(self.name)}</caption>'
            f"<thead>{row(COLUMNS, 'th')}</thead><tbody>\n{body}\n</tbody></table>{notes}</div>"
        )

    def to_json(self, indent=None):
        """Rows and totals as JSON with plain types: tuples become lists, unknown numbers null."""
        content = {"name": self.name, "totals": self.totals, "rows": [asdict(row) for row in self.rows]}
        return json.dumps(content, indent=indent, allow_nan=False)

    def save(self, path):
        """Write to a file by its suffix: csv, json, html or txt."""
        writers = {
            ".csv": lambda: self.table.to_csv(index=False),
            ".json": lambda: self.to_json(indent=1),
            ".html": self.to_html,
            ".txt": self.to_text,
        }
        suffix = Path(path).suffix
        if suffix not in writers:
            raise ValueError(f"`path` should end in one of {', '.join(writers)}. Received: {str(path)!r}")
        return save_text(writers[suffix](), path)

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
    graph = walk.walk(model, input_shape)
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
        activations=sum_known(map(elements, node.outputs)),
        in_place=walk.in_place(node),
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


def sum_known(values):
    """The sum of counts; None as soon as one is not known."""
    values = list(values)
    return None if None in values else sum(values)


def weights_of(node, counted):
    """params, learned and trainable of one call, leaving out weights in `counted`, which grows."""
    layer = node.operation
    if not node.is_layer:
        return {"params": 0, "learned": 0, "trainable": 0}
    fresh = [weight for weight in layer.weights if id(weight) not in counted]
    counted.update(map(id, fresh))
    by_kind = {id(weight) for part in layer._flatten_layers() for weight in part._trainable_variables}
    moving = set(map(id, layer.trainable_weights))
    return {
        "params": _count(fresh),
        "learned": _count(weight for weight in fresh if id(weight) in by_kind),
        "trainable": _count(weight for weight in fresh if id(weight) in moving),
    }


def _count(weights):
    return sum(map(_kernel, weights))


def multiply_adds(node):
    """Multiply-adds of one call on one image; None where a size is unknown or the layer does its work unseen."""
    if not node.is_layer or node.is_input:
        return 0
    return _layer_macs(node.operation, node.input_shapes, node.shape)


def _layer_macs(layer, sources, target):
    if isinstance(layer, layers.TimeDistributed):
        once = _layer_macs(layer.layer, [source[1:] for source in sources], target[1:])
        return None if once is None or target[0] is None else once * target[0]
    if isinstance(layer, layers.Wrapper) and not isinstance(layer, layers.Bidirectional):
        return _layer_macs(layer.layer, sources, target)
    for classes, rule in RULES:
        if isinstance(layer, classes):
            return rule(layer, sources[0] if sources else (), target, sources)
    hidden = any(isinstance(part, WORKING) for part in layer._flatten_layers(include_self=False))
    return None if hidden else 0


def _times(count, shape):
    """`count` for each place of a shape, or None."""
    places = elements(shape)
    return None if places is None else count * places


def _kernel(weight):
    """How many numbers a weight of Keras' holds, by its shape."""
    return math.prod(weight.shape)


def _convolution(layer, source, target, sources):
    """Every place of the output takes each weight once, so the weights times the places (grouped too)."""
    return _times(_kernel(layer.kernel), _places(layer, target))


def _separable(layer, source, target, sources):
    return _times(_kernel(layer.depthwise_kernel) + _kernel(layer.pointwise_kernel), _places(layer, target))


def _transposed(layer, source, target, sources):
    """Every place of the *input* takes each weight once."""
    return _times(_kernel(layer.kernel), _places(layer, source))


def _places(layer, shape):
    return shape[1:] if getattr(layer, "data_format", None) == "channels_first" else shape[:-1]


def _einsum(layer, source, target, sources):
    """Every index of the equation runs once, except the batch."""
    names, kernel, made = layer.equation.replace("->", ",").split(",")
    if "." in layer.equation:
        shared = math.prod(size for name, size in zip(kernel, layer.kernel.shape, strict=True) if name in made)
        return _times(_kernel(layer.kernel) // shared, target)
    sizes = dict(zip(names[1:], source, strict=True)) | dict(zip(kernel, layer.kernel.shape, strict=True))
    return None if None in sizes.values() else math.prod(sizes.values())


def _attention(layer, source, target, sources):
    """Projections of query, key, value and output, and the two products between tokens."""
    queries = elements(source[:-1])
    keys = elements(sources[1][:-1]) if len(sources) > 1 else queries
    if queries is None or keys is None:
        return None
    projections = sum(
        _kernel(part.kernel) * count
        for part, count in (
            (layer.query_dense, queries),
            (layer.key_dense, keys),
            (layer.value_dense, keys),
            (layer.output_dense, queries),
        )
    )
    return projections + layer.num_heads * queries * keys * (layer.key_dim + (layer.value_dim or layer.key_dim))


def _unseen(layer, source, target, sources):
    return None


WORKING = (*walk.CONVOLUTIONS, *walk.TRANSPOSED, *walk.DENSE, *walk.RECURRENT, layers.EinsumDense)
# First match wins.
RULES = (
    (walk.SEPARABLE, _separable),
    ((*walk.CONVOLUTIONS, *walk.DENSE), _convolution),
    (walk.TRANSPOSED, _transposed),
    (layers.EinsumDense, _einsum),
    (layers.MultiHeadAttention, _attention),
    (walk.RECURRENT, _unseen),
)


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


def _summary(anatomy):
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
