"""The algebra of receptive fields: what the units of every map see of the image, axis by axis.

Unit `q * period + r` of a map sees input pixels `q * step + low[r]` to `q * step + high[r]`, before clipping to the
image. Composing two such maps, or joining two branches, gives another one; nothing depends on the image's size.
"""

import math
from dataclasses import dataclass, field, replace
from fractions import Fraction

from . import links


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
        """Pixels between the fields of neighbouring units; None if units have no grid."""
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
    look = links.link(node, index, rank)
    if look == links.UNKNOWN:
        return Field(reason=f"how {node.name} ({node.kind}) reads its input is unknown")
    shape = node.input_shapes[index]
    places = shape[:rank] if len(shape) > rank else (1,) * rank
    if look == links.WHOLE:
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
