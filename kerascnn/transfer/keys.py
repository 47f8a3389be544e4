"""Names for what features are computed from: of a layer with all before it, and of an image."""

import json
import uuid

import keras
import numpy as np
import PIL
from PIL import Image

from ..digests import digest

VERSION = 1  # of what is made of an image before a network sees it, and of the pooling behind it
IDLE = ("name", "trainable", "seed", "build_config")  # settings without effect on what a layer gives
LEARNING = ("_initializer", "_regularizer", "_constraint")


def fingerprints(graph):
    """{call: hash of all that its output follows from}: kind, settings and weights, its own and those before it.

    So a tap keeps its name when layers behind it change, are trained or taken away (a Merkle tree).
    """
    found = {}
    for node in graph.nodes:
        before = [(found[source], index) for source, index in node.inputs]
        found[node] = digest(node.kind, settings(node), before, *weights(node.operation))
    return found


def settings(node):
    """What a call is told to do, as text; of what does not say, one that never comes again."""
    if node.is_input:
        return "input"
    try:
        config = node.operation.get_config()
    except NotImplementedError:
        return uuid.uuid4().hex
    told = {key: value for key, value in config.items() if key not in IDLE and not key.endswith(LEARNING)}
    arguments = keras.tree.map_structure(lambda x: "x" if isinstance(x, keras.KerasTensor) else x, node.arguments)
    return json.dumps([told, repr(arguments)], sort_keys=True, default=repr)


def weights(operation):
    """Types, shapes and numbers of a layer's weights."""
    for variable in getattr(operation, "weights", ()):
        array = np.ascontiguousarray(keras.ops.convert_to_numpy(variable))
        yield f"{array.dtype}{array.shape}"
        yield array.tobytes()


def tap_key(fingerprint, cut, view, grid, half):
    """The name of one tap's features; Pillow's version stands for the decoder."""
    return digest(VERSION, PIL.__version__, fingerprint, cut, view, grid, half)


def content(image):
    """(hash, image): a file's bytes or an array's pixels; a file that is open is read, and stays as its bytes."""
    if isinstance(image, np.ndarray):
        return digest("pixels", image.dtype, image.shape, np.ascontiguousarray(image).tobytes()), image
    if isinstance(image, Image.Image):
        return digest("pillow", image.mode, image.size, image.getexif().tobytes(), image.tobytes()), image
    if hasattr(image, "read"):
        data = image.read()
        image = image if hasattr(image, "archive") else data
    elif isinstance(image, bytes | bytearray | memoryview):
        data = bytes(image)
    else:
        with open(image, "rb") as file:
            data = file.read()
    return digest("file", data), image
