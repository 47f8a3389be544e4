"""Receptive fields: the pixels of the image that can change a unit, exactly.

For one chain of layers with kernels k and strides s the size follows r = 1 + sum (k - 1) dilation prod(earlier s).
Branches join by union, so 1x7 beside 7x1 sees a cross in a box of 7x7: `size` is the box, `support` the cross.
"""

import math
from dataclasses import dataclass

import numpy as np

from ..drawn import Told
from . import links
from .fields import Field, fields, image_rank
from .graph import show_shape, walk


@dataclass(frozen=True, repr=False)
class ReceptiveField(Told):
    """What units of a layer see of an input, in pixels and (y, x) order; None is said where nothing is certain.

    `size` is the box of an interior unit, `stride` the step between the fields of neighbours, `offset` the centre
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
        """Pixels between the fields of neighbouring units; a fraction of one after upsampling."""
        if not self.known or any(span.stride is None for span in self.field.spans):
            return None
        return tuple(_number(span.stride) for span in self.field.spans)

    @property
    def offset(self):
        """Centre of the field of unit (0, 0): the pixel's own index, so the first pixel's centre is 0."""
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
        centre = f", first centre ({', '.join(f'{place:g}' for place in self.offset)})" if self.offset else ""
        return f"{self.layer}: receptive field {size} of {self.input}{steps}{centre}"


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
    reached = [(source, found) for source in sources if node in (found := fields(graph, source))]
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
    look, places = links.link(node, index, rank), _places(node.input_shapes[index], rank)
    if look == links.UNKNOWN:
        raise ValueError(f"`layer` should not come after {node.name}: how it reads its input is unknown.")
    if look == links.WHOLE:
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
