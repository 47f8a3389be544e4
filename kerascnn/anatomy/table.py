"""The table of a network: shapes, parameters, multiply-adds, activation memory and receptive fields by layer."""

from __future__ import annotations

import html as markup
import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path

from keras import layers

from ..graph import walk
from ..graph.walk import describe_shape, element_count
from ..support.display import TextResult
from ..support.files import save_text
from ..support.text import UNITS, close_matches, format_shape
from ..support.types import FilePath, Model
from .receptive_field import ReceptiveField, find_fields


@dataclass(frozen=True, kw_only=True, repr=False)
class LayerRow(TextResult):
    """One call of a layer, with counts per image; None where they are unknown.

    Attributes:
        name: name of the layer, with the call's number where it is called several times.
        kind: class of the layer or operation.
        shape: shape of the output without the batch axis.
        params: number of all weights that Keras stores; shared weights count at their first use.
        learnable: number of weights that can be trained, which papers report (no moving statistics).
        trainable: number of weights that are currently trainable, 0 in a frozen layer.
        macs: multiply-adds.
        activations: numbers in the output.
        in_place: whether the output needs no memory of its own.
        receptive_field: height and width of the receptive field.
        stride: distance between the receptive fields of neighboring units, in pixels.
        offset: center of the receptive field of unit (0, 0).
        receptive_status: "field", "whole", "no input", or why the receptive field is unknown.
        inputs: names of the layers that it reads.
    """

    name: str
    kind: str
    shape: tuple
    params: int
    learnable: int
    trainable: int
    macs: int | None
    activations: int | None
    in_place: bool
    receptive_field: tuple | None
    stride: tuple | None
    offset: tuple | None
    receptive_status: str
    inputs: tuple

    def __str__(self):
        shape = "?" if self.shape is None else format_shape(self.shape)
        return f"{self.name} ({self.kind}): {shape}, {self.params:,} parameters"


@dataclass(frozen=True, kw_only=True, repr=False)
class Anatomy(TextResult):
    """A network layer by layer, with totals per image.

    Multiply-adds are those of convolutions, dense layers and attention, without biases, normalization and pooling.
    `activations` is memory as lectures count it: the input and the outputs of convolutions, pools and dense layers,
    since an activation, a normalization or an addition works in place. `outputs` adds up all layers' outputs instead.

    Attributes:
        name: name of the model.
        rows: a `LayerRow` for each call of a layer.
    """

    name: str
    rows: tuple[LayerRow, ...]

    @property
    def params(self):
        """Number of all weights, moving statistics included."""
        return sum(row.params for row in self.rows)

    @property
    def learnable(self):
        """Number of weights that can be trained, frozen or not, as reported by papers."""
        return sum(row.learnable for row in self.rows)

    @property
    def trainable(self):
        """Number of weights that are currently trainable."""
        return sum(row.trainable for row in self.rows)

    @property
    def macs(self):
        """Multiply-adds per image; None if unknown for a layer."""
        return sum_known(row.macs for row in self.rows)

    @property
    def activations(self):
        """Activations in memory per image, each counted once; None if a size is unknown."""
        return sum_known(row.activations for row in self.rows if not row.in_place)

    @property
    def outputs(self):
        """Sum of all layers' outputs, as if no layer worked in place."""
        return sum_known(row.activations for row in self.rows)

    @property
    def bytes(self):
        """Memory of `activations` as float32, in bytes."""
        return None if self.activations is None else 4 * self.activations

    @property
    def totals(self):
        """The totals as plain numbers, by name."""
        names = ("params", "learnable", "trainable", "macs", "activations", "outputs", "bytes")
        return {name: getattr(self, name) for name in names}

    @property
    def table(self):
        """One row per call of a layer, as a DataFrame; None becomes NaN."""
        import pandas as pd

        table = pd.DataFrame([asdict(row) for row in self.rows], columns=list(LayerRow.__dataclass_fields__))
        for column in ("macs", "activations"):
            table[column] = table[column].astype("float64" if table[column].isna().any() else "int64")
        return table

    def row(self, name: str) -> LayerRow:
        """The row of a layer.

        Args:
            name: name of the layer.

        Returns:
            A `LayerRow`.
        """
        for row in self.rows:
            if row.name == name:
                return row
        similar_names = close_matches(name, [row.name for row in self.rows])
        hint = f" (did you mean {', '.join(similar_names)}?)" if similar_names else ""
        raise ValueError(f"`name` should be a layer of {self.name}{hint}. Received: {name!r}")

    def to_text(self, max_rows: int | None = None) -> str:
        """The table as text in aligned columns.

        Args:
            max_rows: number of rows, of which more are left out in the middle; None for all.

        Returns:
            The text.
        """
        rows = [_format_cells(row) for row in self.rows]
        if max_rows is not None and len(rows) > max_rows:
            first = (max_rows + 1) // 2
            last = max_rows - first
            gap = (f"... {len(rows) - max_rows} more layers", *[""] * (len(COLUMNS) - 1))
            rows = rows[:first] + [gap] + (rows[-last:] if last else [])
        widths = [max(len(line[i]) for line in (COLUMNS, *rows)) for i in range(len(COLUMNS))]

        def line(cells):
            words = zip(cells, widths, strict=True)
            return "  ".join(c.ljust(w) if i < TEXT_COLUMNS else c.rjust(w) for i, (c, w) in enumerate(words)).rstrip()

        rule = "-" * len(line(["x" * width for width in widths]))
        return "\n".join([self.name, line(COLUMNS), rule, *map(line, rows), rule, *_summary(self)])

    def to_html(self) -> str:
        """The table as an HTML fragment with its own style, for light and dark pages."""

        def row(cells, tag, quiet=False):
            parts = [
                f"<{tag}{' class=kc-word' if i < TEXT_COLUMNS else ''}>{markup.escape(cell)}</{tag}>"
                for i, cell in enumerate(cells)
            ]
            return f"<tr{' class=kc-quiet' if quiet else ''}>{''.join(parts)}</tr>"

        body = "\n".join(row(_format_cells(item), "td", item.in_place) for item in self.rows)
        notes = "".join(f"<p>{markup.escape(line)}</p>" for line in _summary(self))
        return (
            f'{STYLE}<div class="kc-anatomy"><table><caption>{markup.escape(self.name)}</caption>'
            f"<thead>{row(COLUMNS, 'th')}</thead><tbody>\n{body}\n</tbody></table>{notes}</div>"
        )

    def to_json(self, indent: int | None = None) -> str:
        """Rows and totals as JSON.

        Args:
            indent: indentation as in `json.dumps`.

        Returns:
            The text; tuples become lists, unknown numbers null.
        """
        content = {"name": self.name, "totals": self.totals, "rows": [asdict(row) for row in self.rows]}
        return json.dumps(content, indent=indent, allow_nan=False)

    def save(self, path: FilePath) -> Path:
        """Write the table to a .csv, .json, .html or .txt file.

        Args:
            path: the file; its suffix is the format.

        Returns:
            The path.
        """
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

    def _headline(self):
        counts = f"{format_exact_count(self.params)} parameters, {format_exact_count(self.macs)} multiply-adds"
        return f"{self.name}, {len(self.rows)} layers, {counts}"

    def __str__(self):
        return self.to_text()

    def _repr_mimebundle_(self, include=None, exclude=None):
        return {"text/plain": self.to_text(60), "text/html": self.to_html()}


def dissect(model: Model, input_shape: tuple[int | None, ...] | None = None) -> Anatomy:
    """Table of a model: shapes, parameters, multiply-adds and receptive fields.

    Receptive fields are those in the first input that reaches the layer.

    Args:
        model: any Functional or Sequential Keras model.
        input_shape: (height, width, channels), where the model leaves sizes open.

    Returns:
        An `Anatomy`.
    """
    graph = walk.build_graph(model, input_shape)
    fields_by_input = [(source, find_fields(graph, source)) for source in graph.inputs]
    counted_weights: set[int] = set()
    rows = tuple(_layer_row(node, fields_by_input, counted_weights) for node in graph.nodes)
    return Anatomy(name=graph.name, rows=rows)


def _layer_row(node, fields_by_input, counted_weights):
    weights = count_weights(node, counted_weights)
    area = None
    for source, fields in fields_by_input:
        if node in fields:
            area = ReceptiveField(layer=node.name, input=source.name, input_shape=source.shape, field=fields[node])
            break
    return LayerRow(
        name=node.name,
        kind=node.kind,
        shape=node.shape,
        **weights,
        macs=multiply_adds(node),
        activations=sum_known(map(element_count, node.outputs)),
        in_place=walk.is_in_place(node),
        receptive_field=area.size if area else None,
        stride=area.stride if area else None,
        offset=area.offset if area else None,
        receptive_status=_receptive_status(area),
        inputs=tuple(dict.fromkeys(before.name for before, _ in node.inputs)),
    )


def _receptive_status(area):
    """ "field", "whole", "no input", or why the receptive field is unknown."""
    if area is None:
        return "no input"
    return area.reason or ("whole" if area.whole else "field" if area.size is not None else "unknown")


def sum_known(values):
    """The sum of counts; None if one is unknown."""
    values = list(values)
    return None if None in values else sum(values)


def count_weights(node, counted_weights):
    """params, learnable and trainable of one call, without weights in `counted_weights`, to which they are added."""
    layer = node.operation
    if not node.is_layer:
        return {"params": 0, "learnable": 0, "trainable": 0}
    new_weights = [weight for weight in layer.weights if id(weight) not in counted_weights]
    counted_weights.update(map(id, new_weights))
    learnable = {id(weight) for part in layer._flatten_layers() for weight in part._trainable_variables}
    trainable = set(map(id, layer.trainable_weights))
    return {
        "params": _count_numbers(new_weights),
        "learnable": _count_numbers(weight for weight in new_weights if id(weight) in learnable),
        "trainable": _count_numbers(weight for weight in new_weights if id(weight) in trainable),
    }


def _count_numbers(weights):
    return sum(map(_weight_size, weights))


def multiply_adds(node):
    """Multiply-adds of one call per image; None for an unknown size or an unknown layer."""
    if not node.is_layer or node.is_input:
        return 0
    return _layer_macs(node.operation, node.input_shapes, node.shape)


def _layer_macs(layer, sources, target):
    if isinstance(layer, layers.TimeDistributed):
        macs_per_step = _layer_macs(layer.layer, [source[1:] for source in sources], target[1:])
        return None if macs_per_step is None or target[0] is None else macs_per_step * target[0]
    if isinstance(layer, layers.Wrapper) and not isinstance(layer, layers.Bidirectional):
        return _layer_macs(layer.layer, sources, target)
    for classes, rule in MAC_RULES:
        if isinstance(layer, classes):
            return rule(layer, sources[0] if sources else (), target, sources)
    hidden = any(isinstance(part, MULTIPLYING) for part in layer._flatten_layers(include_self=False))
    return None if hidden else 0


def _times_positions(count, shape):
    """`count` times the number of positions of a shape, or None."""
    positions = element_count(shape)
    return None if positions is None else count * positions


def _weight_size(weight):
    """Number of elements of a Keras variable."""
    return math.prod(weight.shape)


def _convolution_macs(layer, source, target, sources):
    """Each output position uses each weight once, so weights times positions (grouped convolutions too)."""
    return _times_positions(_weight_size(layer.kernel), _spatial_shape(layer, target))


def _separable_macs(layer, source, target, sources):
    weights = _weight_size(layer.depthwise_kernel) + _weight_size(layer.pointwise_kernel)
    return _times_positions(weights, _spatial_shape(layer, target))


def _macs_of_transposed_convolution(layer, source, target, sources):
    """Each position of the *input* uses each weight once."""
    return _times_positions(_weight_size(layer.kernel), _spatial_shape(layer, source))


def _spatial_shape(layer, shape):
    return shape[1:] if getattr(layer, "data_format", None) == "channels_first" else shape[:-1]


def _einsum_macs(layer, source, target, sources):
    """The product of the sizes of all indices of the equation but the batch."""
    names, kernel, output_indices = layer.equation.replace("->", ",").split(",")
    if "." in layer.equation:
        shared = math.prod(
            size for name, size in zip(kernel, layer.kernel.shape, strict=True) if name in output_indices
        )
        return _times_positions(_weight_size(layer.kernel) // shared, target)
    sizes = dict(zip(names[1:], source, strict=True)) | dict(zip(kernel, layer.kernel.shape, strict=True))
    return None if None in sizes.values() else math.prod(sizes.values())


def _attention_macs(layer, source, target, sources):
    """Projections of query, key, value and output, and the two products between tokens."""
    queries = element_count(source[:-1])
    keys = element_count(sources[1][:-1]) if len(sources) > 1 else queries
    if queries is None or keys is None:
        return None
    projections = sum(
        _weight_size(part.kernel) * count
        for part, count in (
            (layer.query_dense, queries),
            (layer.key_dense, keys),
            (layer.value_dense, keys),
            (layer.output_dense, queries),
        )
    )
    return projections + layer.num_heads * queries * keys * (layer.key_dim + (layer.value_dim or layer.key_dim))


def _unknown_macs(layer, source, target, sources):
    return None


MULTIPLYING = (*walk.CONVOLUTIONS, *walk.TRANSPOSED, *walk.DENSE, *walk.RECURRENT, layers.EinsumDense)
# First match wins.
MAC_RULES = (
    (walk.SEPARABLE, _separable_macs),
    ((*walk.CONVOLUTIONS, *walk.DENSE), _convolution_macs),
    (walk.TRANSPOSED, _macs_of_transposed_convolution),
    (layers.EinsumDense, _einsum_macs),
    (layers.MultiHeadAttention, _attention_macs),
    (walk.RECURRENT, _unknown_macs),
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
TEXT_COLUMNS = 3  # the first columns are words, the others numbers


def format_exact_count(number, unit=""):
    """A count in four digits: 138.4 M, 15.47 G; "?" if unknown."""
    if number is None:
        return "?"
    for size, letter in UNITS:
        if number >= size:
            return f"{number / size:.4g} {letter}{unit}"
    return f"{number:,} {unit}".strip()


def _format_cells(row):
    """The cells of a row as strings, in the order of COLUMNS."""
    field = {"field": describe_shape(row.receptive_field or ()), "whole": "whole"}.get(row.receptive_status, "unknown")
    if row.receptive_status == "whole" and row.receptive_field:
        field = f"{describe_shape(row.receptive_field)} (whole image)"
    if row.receptive_field == ():
        field = "-"
    return (
        row.name,
        row.kind,
        describe_shape(row.shape),
        f"{row.params:,}" if row.params else "",
        f"{row.trainable:,}" if row.params else "",
        "?" if row.macs is None else f"{row.macs:,}" if row.macs else "",
        "?" if row.activations is None else f"({row.activations:,})" if row.in_place else f"{row.activations:,}",
        field,
        "x".join(f"{step:g}" for step in row.stride) if row.stride else "",
    )


def _summary(anatomy):
    """The totals as sentences, one per line."""
    lines = [
        f"{anatomy.params:,} parameters ({format_exact_count(anatomy.params)}): {anatomy.learnable:,} learnable, "
        f"{anatomy.trainable:,} currently trainable",
        f"{format_exact_count(anatomy.macs)} multiply-adds per image",
        f"{format_exact_count(anatomy.activations)} activations, {format_exact_count(anatomy.bytes, 'B')} as float32 "
        f"(values in brackets are computed in place and not counted; "
        f"sum of all outputs: {format_exact_count(anatomy.outputs)})",
    ]
    statuses = dict.fromkeys(row.receptive_status for row in anatomy.rows)
    reasons = [status for status in statuses if status not in ("field", "whole", "no input")]
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
