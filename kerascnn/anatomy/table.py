"""The table of a network: shapes, parameters, multiply-adds, activation memory and receptive fields by layer."""

from dataclasses import asdict, dataclass

from . import kinds, show
from .counting import multiply_adds, weights_of
from .fields import fields
from .graph import elements, walk
from .receptive import ReceptiveField


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
        raise ValueError(f"`name` should be a row of {self.name}{show.near(name, self.rows)} Received: {name!r}")

    def to_text(self, max_rows=None):
        """A table in aligned columns; `max_rows` leaves out the middle."""
        return show.text(self, max_rows)

    def to_html(self):
        """An HTML fragment with its own scoped style, for light and dark pages."""
        return show.html(self)

    def to_json(self, indent=None):
        """Rows and totals as JSON with plain types."""
        return show.json_text(self, indent)

    def save(self, path):
        """Write to a file by its suffix: csv, json, html or txt."""
        return show.save(self, path)

    def __repr__(self):
        counts = f"{show.short(self.params)} parameters, {show.short(self.macs)} multiply-adds"
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
