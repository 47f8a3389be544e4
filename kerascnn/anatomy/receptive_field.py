"""Receptive fields: the pixels of the image that can change a unit, exactly.

For one chain of layers with kernels k and strides s the size follows r = 1 + sum (k - 1) dilation prod(earlier s).
The field of merged branches is their union: 1x7 and 7x1 give a cross in a box of 7x7. `receptive_field` returns the
box, `receptive_field_mask` the cross.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from fractions import Fraction

import numpy as np

from ..graph.walk import build_graph, describe_shape
from ..support.display import TextResult
from ..support.types import Array, Model
from . import connections


@dataclass(frozen=True)
class AxisField:
    """The receptive fields of all units along one axis.

    `whole` has fixed bounds (first, last pixel) if all units have the same field. `pads` are shifts that depend on an
    unknown image size: ((which, coefficient, most), ...). `extent` is how the map's size follows from the image's.
    """

    period: int = 1
    step: int = 1
    low: tuple = (0,)
    high: tuple = (0,)
    pads: tuple = ()
    whole: tuple | None = None
    extent: tuple = ()

    def bounds(self, unit):
        """First and last pixel of one unit's field, which may lie outside the image."""
        if self.whole:
            return self.whole
        base, phase = unit // self.period * self.step, unit % self.period
        return base + self.low[phase], base + self.high[phase]

    @property
    def size(self):
        """Size of the field in pixels, the largest of any phase; None for an unknown image size."""
        if self.whole:
            return None if self.whole[1] is None else self.whole[1] - self.whole[0] + 1
        return max(max(high - low + 1, 0) for low, high in zip(self.low, self.high, strict=True))

    @property
    def stride(self):
        """Pixels between the fields of neighboring units; None if they do not lie on a grid."""
        return Fraction(self.step, self.period) if self.period else None


@dataclass(frozen=True)
class Field:
    """The fields of one map along each axis, or the reason why they are unknown."""

    spans: tuple = ()
    reason: str = field(default="", compare=False)


def find_fields(graph, source):
    """The `Field` of every node that can be reached from an input node, by node."""
    rank = image_rank(source)
    fields = {source: Field((AxisField(),) * rank)}
    sizes = source.shape[:rank]
    for node in graph.nodes:
        if node.reach == "none":
            continue
        parts = [
            _field_through(node, index, fields, sizes)
            for index, (before, _) in enumerate(node.inputs)
            if before in fields
        ]
        if parts:
            fields[node] = _join_all(parts, node.name)
    return fields


def image_rank(source):
    """Number of spatial axes of an input."""
    return max(len(source.shape) - 1, 0)


def _field_through(node, index, fields, sizes):
    """The field that a node has through one of its inputs."""
    before = node.inputs[index][0]
    inner = fields[before]
    if inner.reason:
        return inner
    rank = len(sizes)
    link = connections.input_link(node, index, rank)
    if link == connections.UNKNOWN:
        return Field(reason=f"it is unknown how {node.name} ({node.kind}) reads its input")
    map_size = _map_size(node.input_shapes[index], rank)
    if link == connections.WHOLE:
        return Field(tuple(map(_whole_map_field, inner.spans, map_size, sizes)))
    spans = []
    for span, taps, size, image in zip(inner.spans, link, map_size, sizes, strict=True):
        span = _whole_map_field(span, size, image) if taps.step == 0 else _compose_fields(span, taps)
        if span is None:
            return Field(reason=f"the padding of {node.name} depends on the image size; pass `input_shape`")
        spans.append(span)
    return Field(tuple(spans))


def _whole_map_field(span, size, image):
    """The field of all units together, clipped to the image."""
    if span.whole:
        return AxisField(period=0, whole=span.whole)
    if size is None or image is None or span.pads or not span.period:
        return AxisField(period=0, whole=(0, None if image is None else image - 1))
    bounds = [span.bounds(unit) for unit in range(size)]
    first = max(0, min(low for low, _ in bounds))
    last = min(image - 1, max(high for _, high in bounds))
    return AxisField(period=0, whole=(first, last))


def _compose_fields(span, taps):
    """The field of units that read units of `span` through `taps`."""
    if span.whole:  # the field stays, but its grid of units gets coarser
        grid = _compose_fields(replace(span, whole=None), taps) if span.period else span
        return grid and replace(grid, whole=span.whole)
    if taps.slack and span.period > 1:
        return None
    extent = (*span.extent, taps.extent) if taps.extent else span.extent
    turns = span.period // math.gcd(span.period, taps.step)
    low, high = [], []
    for unit in range(taps.period * turns):
        base = unit // taps.period * taps.step
        bounds = [span.bounds(base + tap) for tap in taps.taps[unit % taps.period]]
        low.append(min((first for first, _ in bounds), default=math.inf))
        high.append(max((last for _, last in bounds), default=-math.inf))
    step = turns * taps.step // span.period * span.step
    pads = span.pads
    if taps.slack:
        width = taps.taps[0][-1] - taps.taps[0][0] + 1
        pads = tuple(sorted((*pads, ((span.extent, width, taps.step), -span.step, taps.slack)), key=repr))
    return _shortest(AxisField(taps.period * turns, step, tuple(low), tuple(high), pads, None, extent))


def _shortest(span):
    """The same field with the smallest period, such as 1 after upsampling and pooling back."""
    for period in range(1, span.period):
        if span.period % period or span.step * period % span.period:
            continue
        step = span.step * period // span.period
        units = range(span.period)
        if all(edge[r] == edge[r % period] + r // period * step for edge in (span.low, span.high) for r in units):
            return replace(span, period=period, step=step, low=span.low[:period], high=span.high[:period])
    return span


def _join_all(parts, name):
    """The union of the fields through several inputs."""
    total = parts[0]
    for part in parts[1:]:
        if total.reason or part.reason:
            return total if total.reason else part
        joined = [_join_fields(a, b) for a, b in zip(total.spans, part.spans, strict=True)]
        wrong = next((span for span in joined if isinstance(span, str)), None)
        if wrong:
            return Field(reason=f"{wrong} at {name}")
        total = Field(tuple(joined))
    return total


def _join_fields(a, b):
    """The union of two fields, or the reason why it cannot be described."""
    if a.whole or b.whole:
        if not (a.whole and b.whole):
            return replace(b if a.whole else a, whole=a.whole or b.whole)
        last = None if None in (a.whole[1], b.whole[1]) else max(a.whole[1], b.whole[1])
        grid = a if a.period else b
        if a.period and b.period and a.stride != b.stride:
            grid = AxisField(period=0)
        return replace(grid, whole=(min(a.whole[0], b.whole[0]), last))
    if a.stride != b.stride:
        return f"branches with strides {float(a.stride):g} and {float(b.stride):g} are merged"
    if a.pads != b.pads:
        return _larger(a, b) or _larger(b, a) or "branches whose padding depends on the image size are merged"
    period = math.lcm(a.period, b.period)
    a_bounds, b_bounds = ([span.bounds(unit) for unit in range(period)] for span in (a, b))
    low = tuple(min(x[0], y[0]) for x, y in zip(a_bounds, b_bounds, strict=True))
    high = tuple(max(x[1], y[1]) for x, y in zip(a_bounds, b_bounds, strict=True))
    return _shortest(replace(a, period=period, step=int(a.stride * period), low=low, high=high))


def _larger(a, b):
    """`a` if it contains `b` for any image size, else None."""
    if a.period > 1 or b.period > 1:
        return None
    common = set(a.pads) & set(b.pads)
    moves = [coefficient * slack for _, coefficient, slack in set(a.pads) - common]
    moves += [-coefficient * slack for _, coefficient, slack in set(b.pads) - common]
    lowest_shift, highest_shift = sum(m for m in moves if m < 0), sum(m for m in moves if m > 0)
    return a if a.low[0] + highest_shift <= b.low[0] and a.high[0] + lowest_shift >= b.high[0] else None


@dataclass(frozen=True, kw_only=True, repr=False)
class ReceptiveField(TextResult):
    """The receptive field of a layer's units, in pixels and (y, x) order.

    `size` is the box of an interior unit, `stride` the distance between the fields of neighbors, `offset` the center
    of unit (0, 0) before clipping. A layer after global pooling has no stride.

    Attributes:
        layer: name of the layer.
        input: name of the input.
        input_shape: shape of the input, (height, width, channels); None for open sizes.
        field: the fields along each axis, from which all properties follow.
    """

    layer: str
    input: str
    input_shape: tuple
    field: Field

    @property
    def is_known(self):
        """Whether it is known how every layer on the way reads its input."""
        return not self.field.reason

    @property
    def reason(self):
        """Why the field is unknown; empty if it is known."""
        return self.field.reason

    @property
    def whole(self):
        """Whether all units have the same field, usually the whole image."""
        return self.is_known and any(span.whole for span in self.field.spans)

    @property
    def size(self):
        """Height and width of an interior unit's field; the largest if they differ."""
        sizes = tuple(span.size for span in self.field.spans)
        return sizes if self.is_known and None not in sizes else None

    @property
    def stride(self):
        """Pixels between the fields of neighboring units; below 1 after upsampling."""
        if not self.is_known or any(span.stride is None for span in self.field.spans):
            return None
        return tuple(_as_number(span.stride) for span in self.field.spans)

    @property
    def offset(self):
        """Center of the field of unit (0, 0), where the first pixel has the center 0."""
        if not self.is_known or any(span.pads for span in self.field.spans):
            return None
        ends = [(span.low[0], span.high[0]) if span.period else span.whole for span in self.field.spans]
        if any(end is None or None in end or math.inf in end for end in ends):
            return None
        return tuple(_as_number((low + high) / 2) for low, high in ends)

    def box(self, unit=None):
        """The field of a unit as (top, left, bottom, right), bottom and right excluded.

        Args:
            unit: (row, column) in the layer's map; may be omitted where all units have the same field.

        Returns:
            Four positions in pixels, which may lie outside the image.
        """
        self._check()
        spans = self.field.spans
        unit = (0,) * len(spans) if unit is None and self.whole else unit
        if unit is None or len(unit) != len(spans):
            raise ValueError(f"`unit` should have {len(spans)} indices, such as (row, column). Received: {unit!r}")
        ends = [span.bounds(int(position)) for span, position in zip(spans, unit, strict=True)]
        ends = [(0, -1) if low > high else (low, high) for low, high in ends]
        return tuple(low for low, _ in ends) + tuple(high + 1 for _, high in ends)

    def clip(self, unit=None):
        """The part of `box` inside the image, for slicing.

        Args:
            unit: (row, column) in the layer's map; may be omitted where all units have the same field.

        Returns:
            (top, left, bottom, right) in pixels, bottom and right excluded.
        """
        box, rank = self.box(unit), len(self.field.spans)
        sizes = self.input_shape[:rank]
        if None in sizes:
            raise ValueError(
                f"`input_shape` should be given to clip the receptive field to the image, because {self.input} is "
                f"{describe_shape(self.input_shape)}. Received: None"
            )
        return tuple(min(max(edge, 0), size) for edge, size in zip(box, sizes * 2, strict=True))

    def _check(self):
        if not self.is_known:
            raise ValueError(f"`layer` should have a known receptive field. Received: {self.layer!r}; {self.reason}")
        if any(span.pads or (span.whole and span.whole[1] is None) for span in self.field.spans):
            raise ValueError(
                f"`input_shape` should be given, because the receptive field of {self.layer} depends on the image "
                f"size. Received: {describe_shape(self.input_shape)}"
            )

    def __str__(self):
        if not self.is_known:
            return f"{self.layer}: receptive field unknown, {self.reason}"
        size = f"{describe_shape(self.size)} pixels" if self.size else "whole image" if self.whole else "unknown"
        steps = f", stride {_format_pair(self.stride)}" if self.stride else ""
        center = f", first center ({', '.join(f'{coordinate:g}' for coordinate in self.offset)})" if self.offset else ""
        return f"{self.layer}: receptive field {size} of {self.input}{steps}{center}"


def receptive_field(
    model: Model, layer: str, input: str | None = None, *, input_shape: tuple[int | None, ...] | None = None
) -> ReceptiveField:
    """Receptive field of a layer: size, stride and offset in pixels, exactly.

    Args:
        model: any Functional or Sequential Keras model.
        layer: name of the layer.
        input: name of the input, if several reach the layer.
        input_shape: (height, width, channels), where the model leaves sizes open.

    Returns:
        A `ReceptiveField`.
    """
    graph = build_graph(model, input_shape)
    node = graph.find(layer)
    source, fields = _select_input(graph, node, input)
    return ReceptiveField(layer=node.name, input=source.name, input_shape=source.shape, field=fields[node])


def receptive_field_mask(
    model: Model,
    layer: str,
    unit: tuple[int, ...] | None = None,
    input: str | None = None,
    *,
    input_shape: tuple[int | None, ...] | None = None,
) -> Array:
    """Mask of the pixels that can change a unit, with holes, crosses and borders.

    Args:
        model: any Functional or Sequential Keras model.
        layer: name of the layer.
        unit: (row, column) in the layer's map; None for layers without one, such as dense layers.
        input: name of the input, if several reach the layer.
        input_shape: (height, width, channels), where the model leaves sizes open.

    Returns:
        A boolean array (H, W).
    """
    graph = build_graph(model, input_shape)
    node = graph.find(layer)
    source, fields = _select_input(graph, node, input)
    reason = fields[node].reason
    if reason and "input_shape" not in reason and not _only_strides_differ(fields[node]):
        raise ValueError(f"`layer` should have a known receptive field. Received: {layer!r}; {reason}")

    rank = image_rank(source)
    masks = {node: _unit_mask(node, unit, rank)}
    for after in reversed(graph.nodes[: graph.nodes.index(node) + 1]):
        if after in masks and after is not source:
            for index, (before, _) in enumerate(after.inputs):
                if before in fields:
                    read_mask = _mask_of_readers(after, index, masks[after], rank)
                    masks[before] = masks[before] | read_mask if before in masks else read_mask
    return masks[source]


def _only_strides_differ(field):
    """Whether the field is unknown only because merged branches have different strides; a mask is still known."""
    return field.reason.startswith("branches")


def _select_input(graph, node, input):
    """The one input node that reaches `node`, and the fields of all nodes in it."""
    if input is not None:
        sources = [graph.find(input)]
        if not sources[0].is_input:
            raise ValueError(f"`input` should be an input of {graph.name}. Received: {input!r}")
    else:
        sources = graph.inputs
    candidates = [(source, find_fields(graph, source)) for source in sources]
    reached = [(source, fields) for source, fields in candidates if node in fields]
    if len(reached) != 1:
        names = ", ".join(source.name for source, _ in reached) or "none"
        raise ValueError(f"`input` should name one of the inputs that reach {node.name} ({names}). Received: {input!r}")
    return reached[0]


def _map_size(shape, rank):
    """Spatial size of a map; 1 for a vector."""
    return tuple(shape[:rank]) if len(shape) > rank else (1,) * rank


def _unit_mask(node, unit, rank):
    """A mask that is True at one unit of a map."""
    map_size = _map_size(node.shape, rank)
    if None in map_size:
        raise ValueError(f"`input_shape` should be given: {node.name} is {describe_shape(node.shape)}. Received: None")
    unit = (0,) * rank if unit is None and set(map_size) <= {1} else unit
    fits = unit is not None and len(unit) == rank and all(0 <= u < p for u, p in zip(unit, map_size, strict=True))
    if not fits:
        raise ValueError(
            f"`unit` should be a position in the {describe_shape(map_size)} map of {node.name}. Received: {unit!r}"
        )
    mask = np.zeros(map_size, dtype=bool)
    mask[tuple(unit)] = True
    return mask


def _mask_of_readers(node, index, mask, rank):
    """Mask of the units of an input that the units in `mask` read."""
    link, map_size = connections.input_link(node, index, rank), _map_size(node.input_shapes[index], rank)
    if link == connections.UNKNOWN:
        raise ValueError(
            f"`layer` should come before {node.name}, whose use of its input is unknown. Received: a layer after it"
        )
    if link == connections.WHOLE:
        return np.full(map_size, mask.any())
    for axis, taps in enumerate(link):
        matrix = taps.matrix(mask.shape[axis], map_size[axis])
        mask = np.moveaxis(np.moveaxis(mask, axis, -1) @ matrix, -1, axis)
    return mask


def _as_number(value):
    """An int if the value is integer, else a float."""
    return int(value) if float(value).is_integer() else float(value)


def _format_pair(values):
    return "x".join(f"{value:g}" for value in values)
