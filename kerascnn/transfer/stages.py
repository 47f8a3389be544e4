"""Where a network is tapped, and a model that gives the means of the maps there."""

import re
import weakref

import keras
import numpy as np
from keras import layers

from ..anatomy.running import part, run

STAGE, BLOCK = re.compile(r"stage\d+|features"), re.compile(r"stage\d+_(block|fire|layer)\d+")
MOST = 16  # taps where nobody says which
PLUS, FEW = "+", 3  # between stages side by side, and how many of them are named
_POOLED = weakref.WeakKeyDictionary()


def told(stage):
    """A stage, or several side by side, in few words."""
    names = stage.split(PLUS)
    return stage if len(names) <= FEW else f"{len(names)} stages, {names[0]} to {names[-1]}"


def staged(graph, stages=None):
    """{name: call} of the ends of a network's stages and blocks in their order, or of the layers that are named."""
    if isinstance(stages, str):
        stages = (stages,)
    nodes = {str(stage): graph.find(stage) for stage in (usual(graph) if stages is None else stages)}
    if not nodes:
        raise ValueError("`stages` should name one layer or more. Received: none")
    order = {node: i for i, node in enumerate(graph.nodes)}
    return dict(sorted(nodes.items(), key=lambda pair: order[pair[1]]))


def usual(graph):
    """Names of the stages, and of blocks evenly between them; of a network without such names, ``resolutions``."""
    names = [node.name for node in graph.nodes]
    found, blocks = ([name for name in names if kind.fullmatch(name)] for kind in (STAGE, BLOCK))
    room = min(len(blocks), MOST - len(found))
    if found and room > 0:
        found += [blocks[i] for i in np.linspace(0, len(blocks) - 1, room).round().astype(int)]
    return found or resolutions(graph)


def resolutions(graph):
    """The last call of each resolution on the way to the output, and what the last layer with weights reads."""
    output = graph.outputs[0]
    last = {}
    for node in part(graph, [output]).nodes:
        if len(node.shape) == 3 and not node.is_input:
            last[node.shape[:2]] = node.name
    while output.inputs and not getattr(output.operation, "weights", None):
        output = output.inputs[0][0]
    penultimate = output.inputs[0][0].name if output.inputs else output.name
    behind = {node.name for node in part(graph, [graph.find(penultimate)]).nodes}
    return [*dict.fromkeys([name for name in last.values() if name in behind] + [penultimate])]


class Pooled(keras.Model):
    """{stage: (N, d)} of pixels: means over each stage's places. Runs a model's layers, and leaves it as it is."""

    def __init__(self, graph, nodes, grid=1):
        super().__init__(name="taps")
        self.graph = part(graph, [*nodes.values()])
        self.taps = tuple((stage, node.name, means(node.shape, grid)) for stage, node in nodes.items())
        self.parts = [node.operation for node in self.graph.nodes if node.is_layer]  # so that their weights are found
        self.built = True

    def call(self, pixels, training=False):
        maps = run(self.graph, pixels)
        return {stage: chained(pooling, maps[name]) for stage, name, pooling in self.taps}


def pooled(model, graph, nodes, grid=1):
    """The ``Pooled`` of a model; each model's are kept while it is there, so that they are compiled once."""
    kept = _POOLED.setdefault(model, {})
    sizes = tuple(node.shape for node in graph.inputs)
    activations = tuple(
        id(getattr(node.operation, "activation", None)) for node in graph.nodes
    )  # which are compiled in
    key = tuple(nodes), grid, sizes, activations
    if key not in kept:
        kept[key] = Pooled(graph, nodes, grid)
    return kept[key]


def means(shape, grid=1, name="means"):
    """Layers from the maps of a stage (h, w, d) to float32 means over all places, or over a grid of them, side by side.

    The grid is no finer than the maps.
    """
    if len(shape) == 1:
        return [layers.Activation("linear", dtype="float32", name=name)]
    if len(shape) == 2:
        return [layers.GlobalAveragePooling1D(dtype="float32", name=name)]
    if grid == 1:
        return [layers.GlobalAveragePooling2D(dtype="float32", name=name)]
    *size, _ = shape
    grid = tuple(min(grid, side) for side in size)
    fits = all(side % places == 0 for side, places in zip(size, grid, strict=True))
    window = tuple(side // places for side, places in zip(size, grid, strict=True))
    kind = layers.AveragePooling2D(window, dtype="float32", name=f"{name}_grid") if fits else None
    pooling = kind or layers.AdaptiveAveragePooling2D(grid, dtype="float32", name=f"{name}_grid")
    return [pooling, layers.Flatten(dtype="float32", name=name)]


def chained(steps, x):
    for step in steps:
        x = step(x)
    return x
