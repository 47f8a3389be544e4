"""Which calls of a network a patch can change only in a window of their maps, and how much work that saves.

A patch of 32 pixels reaches 2 % of VGG-16's first map and a third of its tenth. Each call that is local in space gets
a window of static size whose place follows the patch: the units that read a changed one, and the region that these
read in turn. Where a window would cover most of its map, whole maps go on.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from math import inf, prod

import keras
import numpy as np

from ..anatomy import kinds, links, walk
from ..anatomy.counting import multiply_adds
from ..anatomy.graph import show_shape
from ..anatomy.running import call

MOST = 0.65  # of a map's area: to read and paste a larger window costs more than it saves
LEAST = 1.3  # times less work, or it is not worth compiling
MOVED = 30  # multiply-adds that take as long as writing one number


@dataclass(frozen=True)
class Span:
    """A window along one axis: where it starts, for each place where the patch does."""

    starts: tuple
    size: int


@dataclass(frozen=True, eq=False)
class Local:
    """One call on windows: what it reads of each input (None: the window as it comes), what it gives, how it runs."""

    window: tuple  # a Span for each axis
    regions: tuple = ()
    run: Callable = None
    empty: float = 0.0  # what is read beyond the map
    averages: bool = False  # over what lies on the map only


@dataclass(frozen=True, eq=False)
class Plan:
    """Which calls run on windows, for one size of image and of patch; the others run on whole maps."""

    graph: object = field(repr=False)
    patch: tuple
    places: tuple = field(repr=False)  # where the patch may start: rows, columns
    local: dict = field(repr=False)  # node -> Local
    corners: int  # how many there are

    @cached_property
    def gain(self):
        """How many times less work than whole passes, by multiply-adds and numbers written."""
        nodes = self.graph.nodes
        works = {node: (multiply_adds(node) or 0) + MOVED * prod(node.shape) for node in nodes}
        windowed = sum(work * self.share(node) for node, work in works.items())
        read = sum(area(region) * source.shape[-1] for node in nodes for source, region in self.reads(node))
        pasted = sum(prod(node.shape) for node in self.frontier(nodes))
        clean = sum(works[node] for node in self.local) / self.corners
        return sum(works.values()) / (windowed + MOVED * (read + pasted) + clean)

    def share(self, node):
        """The part of a call's map that is computed again."""
        return area(self.local[node].window) / prod(node.shape[:2]) if node in self.local else 1.0

    def reads(self, node):
        """(input, region) of each clean map that a call on windows looks into."""
        regions = self.local[node].regions if node in self.local else ()
        return [(source, region) for (source, _), region in zip(node.inputs, regions, strict=False) if region]

    def frontier(self, nodes, ends=()):
        """Of some calls those on windows whose whole maps another of them, or the end, needs."""
        whole = {source for node in nodes if node not in self.local for source, _ in node.inputs} | set(ends)
        return [node for node in nodes if node in self.local and node in whole]

    def knows(self, corner):
        """Whether the patch may start there."""
        return all(start in known for start, known in zip(corner, self.places, strict=True))

    @property
    def stops(self):
        """Names of the calls whose windows are pasted into whole maps."""
        return tuple(node.name for node in self.frontier(self.graph.nodes))

    def __str__(self):
        where = f"{show_shape(self.patch)} in {show_shape(self.graph.inputs[0].shape)}"
        return f"{self.graph.name}, {where}: {self.gain:.1f}x less work, windows up to {', '.join(self.stops)}"


def plan(model, patch, corners, shape=None, *, least=LEAST):
    """The `Plan` for a patch (height, width) at corners (N, 2), in images of ``shape``; None where it does not pay."""
    graph = walk(model, shape)
    image = graph.inputs[0]
    if len(graph.inputs) != 1 or len(image.shape) != 3:
        return None
    if None in image.shape:
        raise ValueError(f"`shape` should be given for inputs {show_shape(image.shape)}. Received: {shape}")
    if len(patch) != 2 or min(patch) < 1:
        raise ValueError(f"`patch` should be (height, width) in pixels. Received: {patch}")
    corners = np.asarray(corners)
    if corners.ndim != 2 or corners.shape[1] != 2 or not len(corners):
        raise ValueError(f"`corners` should be (N, 2): top and left of each patch. Received: {corners.shape}")
    places = tuple(tuple(np.unique(axis).tolist()) for axis in corners.T)
    axes = zip(places, patch, image.shape[:2], strict=True)
    local = {image: Local(tuple(placed(starts, min(side, size), size) for starts, side, size in axes))}
    for node in graph.nodes[1:]:
        found = localized(node, local)
        if found and area(found.window) <= MOST * prod(node.shape[:2]):
            local[node] = found
    made = Plan(graph, tuple(patch), places, local, len(corners))
    return made if made.gain >= least else None


def placed(starts, size, places):
    """A `Span` moved into its map."""
    return Span(tuple(np.clip(starts, 0, places - size).tolist()), int(size))


def sizes(window):
    return [span.size for span in window]


def area(window):
    return prod(sizes(window))


def localized(node, local):
    """A call on the windows of its inputs; None where it needs whole maps."""
    sources = [source for source, _ in node.inputs]
    if len(node.outputs) != 1 or len(node.shape) != 3 or not local.keys() >= set(sources):
        return None
    taps = [links.link(node, index, 2) for index in range(len(sources))]
    if any(isinstance(look, str) or any(axis.period > 1 or axis.step < 1 for axis in look) for look in taps):
        return None
    windows = [local[source].window for source in sources]
    if isinstance(node.operation, (*kinds.CONVOLUTIONS, *kinds.POOLS)):
        return sliding(node, windows[0], taps[0])
    if isinstance(node.operation, kinds.PADDINGS):
        return shifted(windows[0], taps[0])
    if any(look != (links.SAME, links.SAME) for look in taps) or not alike_everywhere(node):
        return None
    joint = tuple(union(spans, n) for *spans, n in zip(*windows, node.shape[:2], strict=True))
    regions = tuple(None if window == joint else joint for window in windows)
    return Local(joint, regions, lambda *tensors: call(node, tensors)[0])


def sliding(node, window, taps):
    """A convolution or pool, run on just what its outputs read."""
    layer, pools = node.operation, isinstance(node.operation, kinds.POOLS)
    largest = isinstance(layer, keras.layers.MaxPooling2D)
    averages = pools and not largest and layer.padding == "same"
    axes = [reached(*axis) for axis in zip(window, taps, node.shape[:2], strict=True)]
    made, region = zip(*axes, strict=True)
    return Local(made, (region,), unpadded(layer), -inf if largest else 0.0, averages)


def reached(span, taps, places):
    """(the outputs that read a window, the inputs that those read) along one axis: q reads q step + t, low to high."""
    low, high = min(taps.taps[0]), max(taps.taps[0])
    starts = np.array(span.starts)
    first = np.clip(-((high - starts) // taps.step), 0, places - 1)
    last = np.clip((starts + span.size - 1 - low) // taps.step, 0, places - 1)
    made = placed(first, max((last - first).max() + 1, 1), places)
    region = tuple(start * taps.step + low for start in made.starts)
    return made, Span(region, (made.size - 1) * taps.step + high - low + 1)


def unpadded(layer):
    """The same layer, weights shared, without padding; the one it is made from stays as it is."""
    twin = object.__new__(type(layer))
    twin.__dict__.update(layer.__dict__, padding="valid")
    return twin


def shifted(window, taps):
    """Padding: the same numbers in another place."""
    moved = [tuple(start - axis.taps[0][0] for start in span.starts) for span, axis in zip(window, taps, strict=True)]
    made = tuple(Span(starts, span.size) for starts, span in zip(moved, window, strict=True))
    return Local(made, (None,), lambda tensor: tensor)


def union(spans, places):
    starts = np.min([span.starts for span in spans], 0)
    ends = np.max([np.add(span.starts, span.size) for span in spans], 0)
    return placed(starts, (ends - starts).max(), places)


def alike_everywhere(node):
    """Whether no weight or constant of a pointwise call has places of its own."""
    layer = node.operation
    if "Reshape" in node.kind:  # the shape that it makes is written down
        return False
    own = [*getattr(layer, "weights", ()), getattr(layer, "mean", None), *keras.tree.flatten(node.arguments)]
    shapes = [tuple(part.shape) for part in own if hasattr(part, "shape") and not isinstance(part, keras.KerasTensor)]
    return isinstance(layer, kinds.DENSE) or all(prod(shape[:-1]) == 1 for shape in shapes)
