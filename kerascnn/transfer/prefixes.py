"""A network in two: what stays frozen, whose output is computed once and kept, and what learns from that."""

import warnings
from pathlib import Path
from typing import NamedTuple

import keras
import numpy as np
from keras import layers

from ..anatomy.graph import walk
from ..anatomy.running import before, call
from ..files import replacing
from .classifier import plain
from .stages import STAGE, usual
from .views import seen

ROOM = 2**30  # bytes of maps that are kept for one cut; beyond that they are computed again in each epoch
VIEWED = {"none": ("identity",), "flip": ("identity", "flip")}  # augmentations that are a choice between fixed views


class Parts(NamedTuple):
    """``prefix`` from pixels to what ``suffix`` reads, None where that reads pixels; ``suffix`` gives logits.

    Both use the layers of the model. ``frozen`` are the names of the layers that do not learn.
    """

    prefix: keras.Model | None
    suffix: keras.Model
    frozen: frozenset


def parted(model, freeze=None, *, split=True):
    """The ``Parts`` of a ``head_model``, with the layers up to and including the stage ``freeze`` frozen.

    Layers without weights that read only those are on their side. Batch norm keeps its statistics and its scale.
    """
    graph = walk(model)
    inside = set(graph.inputs) | ({*before(graph.find(plain(freeze)))} if freeze else set())
    for node in graph.nodes if freeze else ():
        idle = not getattr(node.operation, "weights", ()) and node not in graph.outputs
        if node.inputs and idle and all(source in inside for source, _ in node.inputs):
            inside.add(node)
    for node in graph.nodes:
        if node.is_layer and not node.is_input:
            norm = isinstance(node.operation, layers.BatchNormalization)
            node.operation.trainable = node not in inside and not norm
    frozen = frozenset(node.operation.name for node in inside if node.is_layer and not node.is_input)
    inside = inside if split else {*graph.inputs}
    border = bordering(graph, inside)
    prefix = None
    if border != [*graph.inputs]:
        prefix = keras.Model(model.inputs, [model.get_layer(node.operation.name).output for node in border])
    return Parts(prefix, suffix_of(graph, inside, border), frozen)


def bordering(graph, inside):
    """The calls inside that others read."""
    read = {source for node in graph.nodes if node not in inside for source, _ in node.inputs}
    return [node for node in graph.nodes if node in inside and node in read]


def suffix_of(graph, inside, border):
    """What follows the border, up to the logits."""
    inputs = [keras.Input(node.shape, name=f"kept_{i}", dtype="float32") for i, node in enumerate(border)]
    values = {node: [x] for node, x in zip(border, inputs, strict=True)}
    for node in graph.nodes:
        if node not in inside:
            values[node] = call(node, [values[source][i] for source, i in node.inputs])
    logits, index = graph.outputs[0].inputs[0]
    return keras.Model(inputs, values[logits][index])


def depths_behind(model):
    """{layer: how many stages begin behind it}: the head 0, the last stage 1 ..."""
    graph = walk(model)
    names = usual(graph)
    place = {node.name: i for i, node in enumerate(graph.nodes)}
    ends = sorted({place[name] for name in [name for name in names if STAGE.fullmatch(name)] or names})
    return {node.operation.name: sum(end >= i for end in ends) for i, node in enumerate(graph.nodes) if node.is_layer}


def kept(prefix, pixels, augment, folder, name, batch=64):
    """Of each view of all images what the prefix gives, as arrays on disk; None where that is too much for it."""
    shapes = [tuple(tensor.shape[1:]) for tensor in prefix.outputs]
    size = 4 * len(pixels) * sum(int(np.prod(shape)) for shape in shapes) * len(VIEWED.get(augment, ()))
    if augment not in VIEWED or size > ROOM:
        return None
    try:
        return [
            view_of(prefix, pixels, view, Path(folder), f"{name}-{view}", shapes, batch) for view in VIEWED[augment]
        ]
    except OSError as error:
        warnings.warn(f"maps are not kept in {folder}, but computed anew in each epoch: {error}", stacklevel=3)
        return None


def view_of(prefix, pixels, view, folder, name, shapes, batch):
    """One view's maps; computed by the first who asks."""
    paths = [folder / f"{name}-{i}.npy" for i in range(len(shapes))]
    if not all(path.exists() for path in paths):
        found = [np.empty((len(pixels), *shape), np.float32) for shape in shapes]
        for start in range(0, len(pixels), batch):
            some = seen(np.asarray(pixels[start : start + batch], np.float32), view)
            for array, numbers in zip(found, keras.tree.flatten(prefix.predict_on_batch(some)), strict=True):
                array[start : start + batch] = numbers
        for path, array in zip(paths, found, strict=True):
            with replacing(path) as draft:
                np.save(draft, array)
    return [np.load(path, mmap_mode="r") for path in paths]
