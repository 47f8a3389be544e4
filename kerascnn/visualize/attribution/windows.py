"""Occlusion at the price of a window: calls run again only where a patch can have changed their maps.

Every call of a `WindowPlan` reads the clean map with the changed window laid over it, and runs without padding of its
own. Where the windows end they are pasted into clean maps, and the network continues as usual: no approximation, the
same numbers up to rounding.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache, cached_property
from math import inf, prod

import keras
import numpy as np
import tensorflow as tf

from ...anatomy import connections
from ...anatomy.table import multiply_adds
from ...graph import walk as kinds
from ...graph.run import call_node, subgraph
from ...graph.walk import build_graph, describe_shape

MOST = 0.65  # of a map's area: to read and paste a larger window costs more than it saves
LEAST = 1.3  # times less work, or it is not worth compiling
MOVED = 30  # multiply-adds that take as long as writing one number


@dataclass(frozen=True)
class Span:
    """A window along one axis: where it starts, for each place where the patch does."""

    starts: tuple
    size: int


@dataclass(frozen=True, eq=False)
class LocalCall:
    """One call on windows: what it reads of each input (None: the window as it comes), what it gives, how it runs."""

    window: tuple  # a Span for each axis
    regions: tuple = ()
    run: Callable | None = None
    empty: float = 0.0  # what is read beyond the map
    averages: bool = False  # over what lies on the map only


@dataclass(frozen=True, eq=False)
class WindowPlan:
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
        read = sum(window_area(region) * source.shape[-1] for node in nodes for source, region in self.reads(node))
        pasted = sum(prod(node.shape) for node in self.frontier(nodes))
        clean = sum(works[node] for node in self.local) / self.corners
        return sum(works.values()) / (windowed + MOVED * (read + pasted) + clean)

    def share(self, node):
        """The part of a call's map that is computed again."""
        return window_area(self.local[node].window) / prod(node.shape[:2]) if node in self.local else 1.0

    def reads(self, node):
        """(input, region) of each clean map that a call on windows looks into."""
        regions = self.local[node].regions if node in self.local else ()
        return [(source, region) for (source, _), region in zip(node.inputs, regions, strict=False) if region]

    def frontier(self, nodes, ends=()):
        """Of some calls those on windows whose whole maps another of them, or the end, needs."""
        whole = {source for node in nodes if node not in self.local for source, _ in node.inputs} | set(ends)
        return [node for node in nodes if node in self.local and node in whole]

    def has_corner(self, corner):
        """Whether the patch may start there."""
        return all(start in known for start, known in zip(corner, self.places, strict=True))

    @property
    def stops(self):
        """Names of the calls whose windows are pasted into whole maps."""
        return tuple(node.name for node in self.frontier(self.graph.nodes))

    def __str__(self):
        where = f"{describe_shape(self.patch)} in {describe_shape(self.graph.inputs[0].shape)}"
        return (
            f"{self.graph.name}, {where}: {self.gain:.1f}x fewer operations, recomputed windows end at "
            f"{', '.join(self.stops)}"
        )


def plan_windows(model, patch, corners, shape=None, *, least=LEAST):
    """The `WindowPlan` of a patch (height, width) at corners (N, 2) in images of ``shape``; None where not faster."""
    graph = build_graph(model, shape)
    image = graph.inputs[0]
    if len(graph.inputs) != 1 or len(image.shape) != 3:
        return None
    if None in image.shape:
        raise ValueError(
            f"`shape` should be given if the input size is open, as in {describe_shape(image.shape)}. Received: {shape}"
        )
    if len(patch) != 2 or min(patch) < 1:
        raise ValueError(f"`patch` should be (height, width) in pixels. Received: {patch}")
    corners = np.asarray(corners)
    if corners.ndim != 2 or corners.shape[1] != 2 or not len(corners):
        raise ValueError(f"`corners` should have shape (N, 2): top and left of each patch. Received: {corners.shape}")
    places = tuple(tuple(np.unique(axis).tolist()) for axis in corners.T)
    axes = zip(places, patch, image.shape[:2], strict=True)
    local = {image: LocalCall(tuple(clip_span(starts, min(side, size), size) for starts, side, size in axes))}
    for node in graph.nodes[1:]:
        found = localize(node, local)
        if found and window_area(found.window) <= MOST * prod(node.shape[:2]):
            local[node] = found
    made = WindowPlan(graph, tuple(patch), places, local, len(corners))
    return made if made.gain >= least else None


def clip_span(starts, size, places):
    """A `Span` moved into its map."""
    return Span(tuple(np.clip(starts, 0, places - size).tolist()), int(size))


def span_sizes(window):
    return [span.size for span in window]


def window_area(window):
    return prod(span_sizes(window))


def localize(node, local):
    """A call on the windows of its inputs; None where it needs whole maps."""
    sources = [source for source, _ in node.inputs]
    if len(node.outputs) != 1 or len(node.shape) != 3 or not local.keys() >= set(sources):
        return None
    taps = [connections.input_link(node, index, 2) for index in range(len(sources))]
    if any(isinstance(look, str) or any(axis.period > 1 or axis.step < 1 for axis in look) for look in taps):
        return None
    windows = [local[source].window for source in sources]
    if isinstance(node.operation, (*kinds.CONVOLUTIONS, *kinds.POOLS)):
        return slide_window(node, windows[0], taps[0])
    if isinstance(node.operation, kinds.PADDINGS):
        return shift_window(windows[0], taps[0])
    if any(look != (connections.SAME, connections.SAME) for look in taps) or not alike_everywhere(node):
        return None
    joint = tuple(join_spans(spans, n) for *spans, n in zip(*windows, node.shape[:2], strict=True))
    regions = tuple(None if window == joint else joint for window in windows)
    return LocalCall(joint, regions, lambda *tensors: call_node(node, tensors)[0])


def slide_window(node, window, taps):
    """A convolution or pool, run on just what its outputs read."""
    layer, pools = node.operation, isinstance(node.operation, kinds.POOLS)
    largest = isinstance(layer, keras.layers.MaxPooling2D)
    averages = pools and not largest and layer.padding == "same"
    axes = [output_window(*axis) for axis in zip(window, taps, node.shape[:2], strict=True)]
    made, region = zip(*axes, strict=True)
    return LocalCall(made, (region,), without_padding(layer), -inf if largest else 0.0, averages)


def output_window(span, taps, places):
    """(the outputs that read a window, the inputs that those read) along one axis: q reads q step + t, low to high."""
    low, high = min(taps.taps[0]), max(taps.taps[0])
    starts = np.array(span.starts)
    first = np.clip(-((high - starts) // taps.step), 0, places - 1)
    last = np.clip((starts + span.size - 1 - low) // taps.step, 0, places - 1)
    made = clip_span(first, max((last - first).max() + 1, 1), places)
    region = tuple(start * taps.step + low for start in made.starts)
    return made, Span(region, (made.size - 1) * taps.step + high - low + 1)


def without_padding(layer):
    """The same layer, weights shared, without padding; the one it is made from stays as it is."""
    twin = object.__new__(type(layer))
    twin.__dict__.update(layer.__dict__, padding="valid")
    return twin


def shift_window(window, taps):
    """Padding: the same numbers in another place."""
    moved = [tuple(start - axis.taps[0][0] for start in span.starts) for span, axis in zip(window, taps, strict=True)]
    made = tuple(Span(starts, span.size) for starts, span in zip(moved, window, strict=True))
    return LocalCall(made, (None,), lambda tensor: tensor)


def join_spans(spans, places):
    starts = np.min([span.starts for span in spans], 0)
    ends = np.max([np.add(span.starts, span.size) for span in spans], 0)
    return clip_span(starts, (ends - starts).max(), places)


def alike_everywhere(node):
    """Whether no weight or constant of a pointwise call has places of its own."""
    layer = node.operation
    if "Reshape" in node.kind:  # the shape that it makes is written down
        return False
    own = [*getattr(layer, "weights", ()), getattr(layer, "mean", None), *keras.tree.flatten(node.arguments)]
    shapes = [tuple(part.shape) for part in own if hasattr(part, "shape") and not isinstance(part, keras.KerasTensor)]
    return isinstance(layer, kinds.DENSE) or all(prod(shape[:-1]) == 1 for shape in shapes)


@dataclass(frozen=True, eq=False)
class OcclusionProgram:
    """A plan compiled for one question: ``clean`` maps once an image, ``rows`` once a chunk of corners."""

    plan: WindowPlan
    clean: Callable = field(repr=False)  # image (H, W, C) -> maps
    rows: Callable = field(repr=False)  # maps, corners (N, 2), fill (C,) -> what `answer` made of them

    def __call__(self, image, corners, fill, chunk=32):
        """The answers for patches of one color at corners (top, left), which may lie beyond the image."""
        corners = np.asarray(corners, np.int32)
        strange = [corner for corner in corners.tolist() if not self.plan.has_corner(corner)]
        if strange:
            raise ValueError(f"`corners` should be among those the plan was made for. Received: {strange[0]}")
        maps, fill = self.clean(tf.constant(image, tf.float32)), tf.constant(fill, tf.float32)
        parts = [self.rows(maps, corners[i : i + chunk], fill) for i in range(0, len(corners), chunk)]
        return tf.nest.map_structure(lambda *rows: np.concatenate(rows), *parts)


def compile_occlusion(plan, layers, answer=dict):
    """Compile a plan: ``answer({name: activations (N, ...)})`` of the ``wanted`` calls gives rows, in the graph."""
    image, local = plan.graph.inputs[0], plan.local
    ends = {name: plan.graph.find(name) for name in layers}
    nodes = subgraph(plan.graph, ends.values()).nodes
    stops = plan.frontier(nodes, ends.values())
    kept = {image, *stops, *(source for node in nodes for source, _ in plan.reads(node))}
    kept = [node for node in nodes if node in kept]

    def outputs(node, values):
        return call_node(node, [values[source][i] for source, i in node.inputs])

    def clean(picture):
        values = {image: [picture[None]]}
        for node in nodes[1:]:
            if node in local:
                values[node] = outputs(node, values)
        return [values[node][0][0] for node in kept]

    def rows(maps, corners, fill):
        maps, values, windows = dict(zip(kept, maps, strict=True)), {}, {}
        start = cache(lambda window: window_starts(window, corners, plan.places))
        for node in nodes:
            if node is image:
                patch = tf.broadcast_to(fill, (tf.shape(corners)[0], *plan.patch, *fill.shape))
                windows[node] = gather_regions(
                    maps[node], patch, corners, start(local[node].window), span_sizes(local[node].window)
                )
            elif node in local:
                windows[node] = run_on_windows(node, local, maps, windows, start)
            else:
                values[node] = outputs(node, values)
            if node in stops:
                origin = tf.zeros((1, 2), tf.int32)
                values[node] = [
                    gather_regions(maps[node], windows[node], start(local[node].window), origin, node.shape)
                ]
        return answer({name: values[node][0] for name, node in ends.items()})

    return compile_plan(plan, clean, rows)


def compile_plan(plan, clean, rows):
    """Both functions, traced once for chunks of any size."""
    shape = plan.graph.inputs[0].shape
    clean, rows = stateless(clean), stateless(rows)
    clean = tf.function(clean, input_signature=[tf.TensorSpec(shape)], autograph=False)
    maps = [tf.TensorSpec(tensor.shape, tensor.dtype) for tensor in clean.get_concrete_function().structured_outputs]
    signature = [maps, tf.TensorSpec((None, 2), tf.int32), tf.TensorSpec(shape[-1:])]
    return OcclusionProgram(plan, clean, tf.function(rows, input_signature=signature, autograph=False))


def stateless(function):
    """The function run so that no variable changes and no loss is kept."""

    def run(*given):
        with keras.StatelessScope():
            return function(*given)

    return run


def window_starts(window, corners, places):
    """(N, 2): where a window lies for each corner."""
    which = [tf.searchsorted(tf.constant(known, tf.int32), corners[:, i]) for i, known in enumerate(places)]
    return tf.stack([tf.gather(span.starts, at) for span, at in zip(window, which, strict=True)], -1)


def run_on_windows(node, local, maps, windows, start):
    """A call on its windows (N, h, w, C)."""
    own, tensors, weights = local[node], [], []
    for (source, _), region in zip(node.inputs, own.regions, strict=True):
        if region is None:
            tensors.append(windows[source])
            continue
        clean, dirty = maps[source], windows[source]
        places = start(local[source].window), start(region), span_sizes(region)
        tensors.append(gather_regions(clean, dirty, *places, own.empty))
        if own.averages:
            weights.append(gather_regions(tf.ones_like(clean[..., :1]), tf.ones_like(dirty[..., :1]), *places))
    return own.run(*tensors) / own.run(*weights) if own.averages else own.run(*tensors)


def gather_regions(clean, dirty, at, start, size, empty=0.0):
    """Regions (N, *size, C) of a clean map (H, W, C) with windows ``dirty`` laid over it, ``empty`` beyond it.

    All three are one table of places, gathered at once.
    """
    (height, width, channels), (h, w) = clean.shape, dirty.shape[1:3]
    rows, columns = (start[:, i, None] + tf.range(size[i]) for i in (0, 1))
    y, x = rows - at[:, :1], columns - at[:, 1:]
    count = tf.range(tf.shape(dirty)[0])[:, None]
    beyond = height * width
    index = tf.where(is_on_map(rows, columns, height, width), outer_sum(rows * width, columns), beyond)
    index = tf.where(is_on_map(y, x, h, w), outer_sum((count * h + y) * w, x) + beyond + 1, index)
    nothing = tf.fill((1, channels), tf.cast(empty, clean.dtype))
    table = [tf.reshape(clean, (-1, channels)), nothing, tf.reshape(tf.cast(dirty, clean.dtype), (-1, channels))]
    return tf.gather(tf.concat(table, 0), index)


def outer_sum(rows, columns):
    return rows[:, :, None] + columns[:, None]


def is_on_map(rows, columns, height, width):
    """(N, h, w): which places lie on a map."""
    return ((rows >= 0) & (rows < height))[:, :, None] & ((columns >= 0) & (columns < width))[:, None]
