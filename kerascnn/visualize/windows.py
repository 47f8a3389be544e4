"""Occlusion at the price of a window: calls run again only where a patch can have changed their maps.

Every call of a `plan` reads the clean map with the changed window laid over it, and runs without padding of its own.
Where the windows end they are pasted into clean maps, and the network goes on as usual: no approximation, the same
numbers up to rounding.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache

import keras
import numpy as np
import tensorflow as tf

from ..anatomy.running import call, part
from .locality import Plan, plan, sizes

__all__ = ["Occluded", "Plan", "occluded", "plan"]


@dataclass(frozen=True, eq=False)
class Occluded:
    """A plan compiled for one question: ``clean`` maps once an image, ``rows`` once a chunk of corners."""

    plan: Plan
    clean: Callable = field(repr=False)  # image (H, W, C) -> maps
    rows: Callable = field(repr=False)  # maps, corners (N, 2), fill (C,) -> what `answer` made of them

    def __call__(self, image, corners, fill, chunk=32):
        """The answers for patches of one colour at corners (top, left), which may lie beyond the image."""
        corners = np.asarray(corners, np.int32)
        strange = [corner for corner in corners.tolist() if not self.plan.knows(corner)]
        if strange:
            raise ValueError(f"`corners` should be some that were planned for. Received: {strange[0]}")
        maps, fill = self.clean(tf.constant(image, tf.float32)), tf.constant(fill, tf.float32)
        parts = [self.rows(maps, corners[i : i + chunk], fill) for i in range(0, len(corners), chunk)]
        return tf.nest.map_structure(lambda *rows: np.concatenate(rows), *parts)


def occluded(made, wanted, answer=dict):
    """Compile a plan: ``answer({name: activations (N, ...)})`` of the ``wanted`` calls gives rows, in the graph."""
    image, local = made.graph.inputs[0], made.local
    ends = {name: made.graph.find(name) for name in wanted}
    nodes = part(made.graph, ends.values()).nodes
    stops = made.frontier(nodes, ends.values())
    kept = {image, *stops, *(source for node in nodes for source, _ in made.reads(node))}
    kept = [node for node in nodes if node in kept]

    def outputs(node, values):
        return call(node, [values[source][i] for source, i in node.inputs])

    def clean(picture):
        values = {image: [picture[None]]}
        for node in nodes[1:]:
            if node in local:
                values[node] = outputs(node, values)
        return [values[node][0][0] for node in kept]

    def rows(maps, corners, fill):
        maps, values, windows = dict(zip(kept, maps, strict=True)), {}, {}
        start = cache(lambda window: starts(window, corners, made.places))
        for node in nodes:
            if node is image:
                patch = tf.broadcast_to(fill, (tf.shape(corners)[0], *made.patch, *fill.shape))
                windows[node] = read(maps[node], patch, corners, start(local[node].window), sizes(local[node].window))
            elif node in local:
                windows[node] = windowed(node, local, maps, windows, start)
            else:
                values[node] = outputs(node, values)
            if node in stops:
                origin = tf.zeros((1, 2), tf.int32)
                values[node] = [read(maps[node], windows[node], start(local[node].window), origin, node.shape)]
        return answer({name: values[node][0] for name, node in ends.items()})

    return compiled(made, clean, rows)


def compiled(made, clean, rows):
    """Both functions, traced once for chunks of any size."""
    shape = made.graph.inputs[0].shape
    clean, rows = unseen(clean), unseen(rows)
    clean = tf.function(clean, input_signature=[tf.TensorSpec(shape)], autograph=False)
    maps = [tf.TensorSpec(tensor.shape, tensor.dtype) for tensor in clean.get_concrete_function().structured_outputs]
    signature = [maps, tf.TensorSpec((None, 2), tf.int32), tf.TensorSpec(shape[-1:])]
    return Occluded(made, clean, tf.function(rows, input_signature=signature, autograph=False))


def unseen(function):
    """The function run so that no variable changes and no loss is kept."""

    def run(*given):
        with keras.StatelessScope():
            return function(*given)

    return run


def starts(window, corners, places):
    """(N, 2): where a window lies for each corner."""
    which = [tf.searchsorted(tf.constant(known, tf.int32), corners[:, i]) for i, known in enumerate(places)]
    return tf.stack([tf.gather(span.starts, at) for span, at in zip(window, which, strict=True)], -1)


def windowed(node, local, maps, windows, start):
    """A call on its windows (N, h, w, C)."""
    own, tensors, weights = local[node], [], []
    for (source, _), region in zip(node.inputs, own.regions, strict=True):
        if region is None:
            tensors.append(windows[source])
            continue
        clean, dirty = maps[source], windows[source]
        places = start(local[source].window), start(region), sizes(region)
        tensors.append(read(clean, dirty, *places, own.empty))
        if own.averages:
            weights.append(read(tf.ones_like(clean[..., :1]), tf.ones_like(dirty[..., :1]), *places))
    return own.run(*tensors) / own.run(*weights) if own.averages else own.run(*tensors)


def read(clean, dirty, at, start, size, empty=0.0):
    """Regions (N, *size, C) of a clean map (H, W, C) with windows ``dirty`` laid over it, ``empty`` beyond it.

    All three are one table of places, gathered at once.
    """
    (height, width, channels), (h, w) = clean.shape, dirty.shape[1:3]
    rows, columns = (start[:, i, None] + tf.range(size[i]) for i in (0, 1))
    y, x = rows - at[:, :1], columns - at[:, 1:]
    count = tf.range(tf.shape(dirty)[0])[:, None]
    beyond = height * width
    index = tf.where(inside(rows, columns, height, width), grid(rows * width, columns), beyond)
    index = tf.where(inside(y, x, h, w), grid((count * h + y) * w, x) + beyond + 1, index)
    nothing = tf.fill((1, channels), tf.cast(empty, clean.dtype))
    table = [tf.reshape(clean, (-1, channels)), nothing, tf.reshape(tf.cast(dirty, clean.dtype), (-1, channels))]
    return tf.gather(tf.concat(table, 0), index)


def grid(rows, columns):
    return rows[:, :, None] + columns[:, None]


def inside(rows, columns, height, width):
    """(N, h, w): which places lie on a map."""
    return ((rows >= 0) & (rows < height))[:, :, None] & ((columns >= 0) & (columns < width))[:, None]
