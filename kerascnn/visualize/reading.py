"""What single calls of a model give for images, computed without the rest of it."""

import numpy as np
from keras import ops

from ..anatomy.running import graph_of, part, run

CHUNK = 8  # images at once: all maps up to the layer are held


def read(model, images, layers):
    """{name of a call: its values as float32} of the layers given by name or path, in inference."""
    graph = graph_of(model, images)
    nodes = [graph.find(layer) for layer in layers]
    needed, kept = part(graph, nodes), {node.name: [] for node in nodes}
    for start in range(0, len(images), CHUNK):
        values = run(needed, ops.convert_to_tensor(images[start : start + CHUNK], "float32"))
        for name, arrays in kept.items():
            arrays.append(ops.convert_to_numpy(ops.cast(values[name], "float32")))
    return {name: np.concatenate(arrays) for name, arrays in kept.items()}
