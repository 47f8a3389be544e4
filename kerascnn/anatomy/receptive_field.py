"""Receptive fields: the pixels of the image that can change a unit, exactly.

For one chain of layers with kernels k and strides s the size follows r = 1 + sum (k - 1) dilation prod(earlier s).
Branches join by union, so 1x7 beside 7x1 sees a cross in a box of 7x7: `size` is the box, `support` the cross.
"""

import math
from dataclasses import dataclass, field, replace
from fractions import Fraction

import numpy as np

from ..graph.walk import show_shape, walk
from ..support.display import Told
from . import connections


@dataclass(frozen=True)
class Span:
    """What units see along one axis.

    `whole` holds fixed bounds (first, last pixel) when every unit sees the same. `pads` are shifts that only a known
    image size would settle: ((which, coefficient, most), ...). `extent` tells how the map's size came from the image.
    """

    period: int = 1
    step: int = 1
    low: tuple = (0,)
    high: tuple = (0,)
    pads: tuple = ()
    whole: tuple | None = None
    extent: tuple = ()

    def bounds(self, unit):
        """First and last pixel of one unit, maybe outside the image."""
        if self.whole:
            return self.whole
        base, phase = unit // self.period * self.step, unit % self.period
        return base + self.low[phase], base + self.high[phase]

    @property
    def size(self):
        """Pixels seen; the most of any phase; None when the image's size is missing."""
        if self.whole:
            return None if self.whole[1] is None else self.whole[1] - self.whole[0] + 1
        return max(max(high - low + 1, 0) for low, high in zip(self.low, self.high, strict=True))

    @property
    def stride(self):
        """Pixels between the fields of neighboring units; None if units have no grid."""
        return Fraction(self.step, self.period) if self.period else None


@dataclass(frozen=True)
class Field:
    """The spans of one map, or the reason why they are not known."""

    spans: tuple = ()
    reason: str = field(default="", compare=False)


def fields(graph, source):
    """The `Field` of every node that can be reached from an input node, as a dict."""
    rank = image_rank(source)
    found = {source: Field((Span(),) * rank)}
    sizes = source.shape[:rank]
    for node in graph.nodes:
        if node.reach == "none":
            continue
        parts = [
            _through(node, index, found, sizes) for index, (before, _) in enumerate(node.inputs) if before in found
        ]
        if parts:
            found[node] = _join_all(parts, node.name)
    return found


def image_rank(source):
    """How many axes of an input are places rather than channels."""
    return max(len(source.shape) - 1, 0)


def _through(node, index, found, sizes):
    """The field that a node gets through one of its inputs."""
    before = node.inputs[index][0]
    inner = found[before]
    if inner.reason:
        return inner
    rank = len(sizes)
    look = connections.link(node, index, rank)
    if look == connections.UNKNOWN:
        return Field(reason=f"how {node.name} ({node.kind}) reads its input is unknown")
    places = _places(node.input_shapes[index], rank)
    if look == connections.WHOLE:
        return Field(tuple(map(_whole, inner.spans, places, sizes)))
    spans = []
    for span, taps, size, image in zip(inner.spans, look, places, sizes, strict=True):
        span = _whole(span, size, image) if taps.step == 0 else _compose(span, taps)
        if span is None:
            return Field(reason=f"the padding of {node.name} depends on the image's size; pass `input_shape`")
        spans.append(span)
    return Field(tuple(spans))


def _whole(span, places, image):
    """What all units together see, cut at the image's borders."""
    if span.whole:
        return Span(period=0, whole=span.whole)
    if places is None or image is None or span.pads or not span.period:
        return Span(period=0, whole=(0, None if image is None else image - 1))
    seen = [span.bounds(unit) for unit in range(places)]
    first = max(0, min(low for low, _ in seen))
    last = min(image - 1, max(high for _, high in seen))
    return Span(period=0, whole=(first, last))


def _compose(span, taps):
    """The span of units that read, by `taps`, units of `span`."""
    if span.whole:  # the field stays, but its grid of units gets coarser
        grid = _compose(replace(span, whole=None), taps) if span.period else span
        return grid and replace(grid, whole=span.whole)
    if taps.slack and span.period > 1:
        return None
    extent = (*span.extent, taps.extent) if taps.extent else span.extent
    turns = span.period // math.gcd(span.period, taps.step)
    low, high = [], []
    for unit in range(taps.period * turns):
        base = unit // taps.period * taps.step
        seen = [span.bounds(base + tap) for tap in taps.taps[unit % taps.period]]
        low.append(min((first for first, _ in seen), default=math.inf))
        high.append(max((last for _, last in seen), default=-math.inf))
    step = turns * taps.step // span.period * span.step
    pads = span.pads
    if taps.slack:
        width = taps.taps[0][-1] - taps.taps[0][0] + 1
        pads = tuple(sorted((*pads, ((span.extent, width, taps.step), -span.step, taps.slack)), key=repr))
    return _shortest(Span(taps.period * turns, step, tuple(low), tuple(high), pads, None, extent))


def _shortest(span):
    """The same span with the smallest period: upsampling and pooling back is no longer periodic."""
    for period in range(1, span.period):
        if span.period % period or span.step * period % span.period:
            continue
        step = span.step * period // span.period
        places = range(span.period)
        if all(edge[r] == edge[r % period] + r // period * step for edge in (span.low, span.high) for r in places):
            return replace(span, period=period, step=step, low=span.low[:period], high=span.high[:period])
    return span


def _join_all(parts, name):
    """The union of what several inputs show."""
    total = parts[0]
    for part in parts[1:]:
        if total.reason or part.reason:
            return total if total.reason else part
        joined = [_join(a, b) for a, b in zip(total.spans, part.spans, strict=True)]
        wrong = next((span for span in joined if isinstance(span, str)), None)
        if wrong:
            return Field(reason=f"{wrong} at {name}")
        total = Field(tuple(joined))
    return total


def _join(a, b):
    """The union of two spans, or the reason why it has no single description."""
    if a.whole or b.whole:
        if not (a.whole and b.whole):
            return replace(b if a.whole else a, whole=a.whole or b.whole)
        last = None if None in (a.whole[1], b.whole[1]) else max(a.whole[1], b.whole[1])
        grid = a if a.period else b
        if a.period and b.period and a.stride != b.stride:
            grid = Span(period=0)
        return replace(grid, whole=(min(a.whole[0], b.whole[0]), last))
    if a.stride != b.stride:
        return f"branches with strides {float(a.stride):g} and {float(b.stride):g} meet"
    if a.pads != b.pads:
        return _larger(a, b) or _larger(b, a) or "branches whose padding depends on the image's size meet"
    period = math.lcm(a.period, b.period)
    a_bounds, b_bounds = ([span.bounds(unit) for unit in range(period)] for span in (a, b))
    low = tuple(min(x[0], y[0]) for x, y in zip(a_bounds, b_bounds, strict=True))
    high = tuple(max(x[1], y[1]) for x, y in zip(a_bounds, b_bounds, strict=True))
    return _shortest(replace(a, period=period, step=int(a.stride * period), low=low, high=high))


def _larger(a, b):
    """`a` if it contains `b` whatever the image's size, else None."""
    if a.period > 1 or b.period > 1:
        return None
    common = set(a.pads) & set(b.pads)
    moves = [coefficient * most for _, coefficient, most in set(a.pads) - common]
    moves += [-coefficient * most for _, coefficient, most in set(b.pads) - common]
    least, most = sum(m for m in moves if m < 0), sum(m for m in moves if m > 0)
    return a if a.low[0] + most <= b.low[0] and a.high[0] + least >= b.high[0] else None


@dataclass(frozen=True, repr=False)
class ReceptiveField(Told):
    """What units of a layer see of an input, in pixels and (y, x) order; None is said where nothing is certain.

    `size` is the box of an interior unit, `stride` the step between the fields of neighbors, `offset` the center
    of unit (0, 0) before clipping. A layer that sees everything at once (after a global pool) has no stride.
    """

    layer: str
    input: str
    image: tuple
    field: Field

    @property
    def known(self):
        """False when some layer on the way reads its input in a way that we cannot tell."""
        return not self.field.reason

    @property
    def reason(self):
        """Why it is not known; empty if it is."""
        return self.field.reason

    @property
    def whole(self):
        """True if every unit sees the same pixels, usually the whole image."""
        return self.known and any(span.whole for span in self.field.spans)

    @property
    def size(self):
        """Height and width of the field of an interior unit; the largest, when upsampling makes them differ."""
        sizes = tuple(span.size for span in self.field.spans)
        return sizes if self.known and None not in sizes else None

    @property
    def stride(self):
        """Pixels between the fields of neighboring units; a fraction of one after upsampling."""
        if not self.known or any(span.stride is None for span in self.field.spans):
            return None
        return tuple(_number(span.stride) for span in self.field.spans)

    @property
    def offset(self):
        """Center of the field of unit (0, 0): the pixel's own index, so the first pixel's center is 0."""
        if not self.known or any(span.pads for span in self.field.spans):
            return None
        ends = [(span.low[0], span.high[0]) if span.period else span.whole for span in self.field.spans]
        if any(end is None or None in end or math.inf in end for end in ends):
            return None
        return tuple(_number((low + high) / 2) for low, high in ends)

    def box(self, unit=None):
        """(top, left, bottom, right) of a unit's field, bottom and right excluded; may lie outside the image."""
        self._check()
        spans = self.field.spans
        unit = (0,) * len(spans) if unit is None and self.whole else unit
        if unit is None or len(unit) != len(spans):
            raise ValueError(f"`unit` should be {len(spans)} positions, such as (row, column). Received: {unit!r}")
        ends = [span.bounds(int(place)) for span, place in zip(spans, unit, strict=True)]
        ends = [(0, -1) if low > high else (low, high) for low, high in ends]
        return tuple(low for low, _ in ends) + tuple(high + 1 for _, high in ends)

    def clip(self, unit=None):
        """The part of `box` that lies inside the image, for slicing."""
        box, rank = self.box(unit), len(self.field.spans)
        sizes = self.image[:rank]
        if None in sizes:
            raise ValueError(f"`input_shape` should be given to clip: {self.input} is {show_shape(self.image)}.")
        return tuple(min(max(edge, 0), size) for edge, size in zip(box, sizes * 2, strict=True))

    def _check(self):
        if not self.known:
            raise ValueError(f"`layer` should have a known receptive field. Received: {self.layer!r}; {self.reason}")
        if any(span.pads or (span.whole and span.whole[1] is None) for span in self.field.spans):
            raise ValueError(
                f"`input_shape` should be given: where {self.layer} looks depends on the image's size. "
                f"Received: {show_shape(self.image)}"
            )

    def __repr__(self):
        return f"<ReceptiveField {self}>"

    def __str__(self):
        if not self.known:
            return f"{self.layer}: receptive field unknown, {self.reason}"
        size = show_shape(self.size) if self.size else "whole image" if self.whole else "unknown"
        steps = f", stride {_pair(self.stride)}" if self.stride else ""
        center = f", first center ({', '.join(f'{place:g}' for place in self.offset)})" if self.offset else ""
        return f"{self.layer}: receptive field {size} of {self.input}{steps}{center}"


def receptive_field(model, layer, input=None, *, input_shape=None):
    """The receptive field of a layer, by algebra; `input` names which input when several reach the layer."""
    graph = walk(model, input_shape)
    node = graph.find(layer)
    source, found = _source(graph, node, input)
    return ReceptiveField(node.name, source.name, source.shape, found[node])


def support(model, layer, unit=None, input=None, *, input_shape=None):
    """Boolean mask (H, W) of the pixels that can change a unit: holes, crosses and borders included.

    `unit` is (row, column) in the layer's map; None for layers without one, such as dense layers.
    """
    graph = walk(model, input_shape)
    node = graph.find(layer)
    source, found = _source(graph, node, input)
    if found[node].reason and "input_shape" not in found[node].reason and not _merges(found[node]):
        raise ValueError(f"`layer` should have a known receptive field. Received: {layer!r}; {found[node].reason}")
    rank = image_rank(source)
    masks = {node: _unit_mask(node, unit, rank)}
    for after in reversed(graph.nodes[: graph.nodes.index(node) + 1]):
        if after in masks and after is not source:
            for index, (before, _) in enumerate(after.inputs):
                if before in found:
                    seen = _back(after, index, masks[after], rank)
                    masks[before] = masks[before] | seen if before in masks else seen
    return masks[source]


def _merges(found):
    """True when only the algebra gave up, at branches of different strides: masks have no such trouble."""
    return found.reason.startswith("branches")


def _source(graph, node, input):
    """The input node that a question is about, and the fields it gives to every node."""
    if input is not None:
        sources = [graph.find(input)]
        if not sources[0].is_input:
            raise ValueError(f"`input` should be an input of {graph.name}. Received: {input!r}")
    else:
        sources = graph.inputs
    seen = [(source, fields(graph, source)) for source in sources]
    reached = [(source, found) for source, found in seen if node in found]
    if len(reached) != 1:
        names = ", ".join(source.name for source, _ in reached) or "none"
        raise ValueError(f"`input` should name one input that reaches {node.name} ({names}). Received: {input!r}")
    return reached[0]


def _places(shape, rank):
    """The sizes of a map's image axes; a vector has one place."""
    return tuple(shape[:rank]) if len(shape) > rank else (1,) * rank


def _unit_mask(node, unit, rank):
    """True at one unit of a map."""
    places = _places(node.shape, rank)
    if None in places:
        raise ValueError(f"`input_shape` should be given: {node.name} is {show_shape(node.shape)}. Received: None")
    unit = (0,) * rank if unit is None and set(places) <= {1} else unit
    fits = unit is not None and len(unit) == rank and all(0 <= u < p for u, p in zip(unit, places, strict=True))
    if not fits:
        raise ValueError(f"`unit` should be a place in the {show_shape(places)} map of {node.name}. Received: {unit!r}")
    mask = np.zeros(places, dtype=bool)
    mask[tuple(unit)] = True
    return mask


def _back(node, index, mask, rank):
    """The units of an input that some unit in `mask` reads."""
    look, places = connections.link(node, index, rank), _places(node.input_shapes[index], rank)
    if look == connections.UNKNOWN:
        raise ValueError(f"`layer` should not come after {node.name}: how it reads its input is unknown.")
    if look == connections.WHOLE:
        return np.full(places, mask.any())
    for axis, taps in enumerate(look):
        matrix = taps.matrix(mask.shape[axis], places[axis])
        mask = np.moveaxis(np.moveaxis(mask, axis, -1) @ matrix, -1, axis)
    return mask


def _number(value):
    """An int when it is one."""
    return int(value) if float(value).is_integer() else float(value)


def _pair(values):
    return "x".join(f"{value:g}" for value in values)
