"""Features of images on disk: what a tap's numbers follow from, and the files of each tap.

A folder for each network has one for each tap; its files hold rows of numbers and the hashes of their images.
"""

import json
import os
import uuid
from pathlib import Path

import keras
import numpy as np
import PIL
from PIL import Image

from ..support.store import FEATURES, Store, digest, home, make_key

COARSE = 0.01  # of a feature's standard deviation that rounding to 16 bits may move it


def halved(rows):
    """The rows as float16, where that neither overflows nor blurs what tells images apart; else as float32."""
    rows = np.asarray(rows, np.float32)
    with np.errstate(over="ignore"):
        half = rows.astype(np.float16)
    moved = np.abs(half.astype(np.float32) - rows).max(axis=0, initial=0)
    return half if np.all(moved <= COARSE * rows.std(axis=0)) else rows


def cached_features(store, wanted):
    """{hash: row} of the images wanted that a tap's store has."""
    found = {}
    for key in store.list_keys():
        metadata, _ = store.get(key, arrays=()) or ({"hashes": ()}, {})
        here = [i for i, each in enumerate(metadata["hashes"]) if each in wanted]
        if here and (chunk := store.get(key)):
            found |= {metadata["hashes"][i]: chunk[1]["rows"][i] for i in here}
    return found


def cache_features(store, hashes, rows):
    """Write one file of a tap; whether the disk took it. Processes that work on the same images write one each."""
    return store.put(f"{digest(*hashes)}-{os.getpid()}", {"hashes": hashes}, rows=rows)


def folder_of(cache):
    """The folder that `cache` means: True for the usual one, False for none."""
    if cache is True:
        return home() / FEATURES
    return None if cache is False or cache is None else Path(cache)


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
    """A layer's weights as arrays."""
    return [keras.ops.convert_to_numpy(variable) for variable in getattr(operation, "weights", ())]


def tap_store(folder, model, stage, fingerprint, view, *settings):
    """The `Store` of one tap's features; Pillow's version stands for the decoder."""
    key = make_key(f"{stage}-{view}".replace("/", "."), VERSION, PIL.__version__, fingerprint, view, *settings)
    return Store(folder / model / key)


def content(image):
    """(hash, image): a file's bytes or an array's pixels; a file that is open is read, and stays as its bytes."""
    if isinstance(image, np.ndarray):
        return digest("pixels", image), image
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
