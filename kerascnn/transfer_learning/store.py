"""The cache of features: a key for everything that a tap depends on, and the files of each tap.

Each network has a folder with one folder per tap, whose files hold rows of features and the hashes of their images.
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

MAX_ROUNDING = 0.01  # largest rounding error of 16 bits, as a fraction of a feature's standard deviation


def as_float16_if_lossless(rows):
    """Rows as float16 if that neither overflows nor loses differences between images, else as float32."""
    rows = np.asarray(rows, np.float32)
    with np.errstate(over="ignore"):
        half = rows.astype(np.float16)
    moved = np.abs(half.astype(np.float32) - rows).max(axis=0, initial=0)
    return half if np.all(moved <= MAX_ROUNDING * rows.std(axis=0)) else rows


def load_features(store, wanted):
    """{hash: row} of the wanted images that a tap's store has."""
    rows = {}
    for key in store.list_keys():
        metadata, _ = store.get(key, arrays=()) or ({"hashes": ()}, {})
        positions = [i for i, image_hash in enumerate(metadata["hashes"]) if image_hash in wanted]
        if positions and (chunk := store.get(key)):
            rows |= {metadata["hashes"][i]: chunk[1]["rows"][i] for i in positions}
    return rows


def save_features(store, hashes, rows):
    """Write one file of a tap and return whether that worked; each process writes its own files."""
    return store.put(f"{digest(*hashes)}-{os.getpid()}", {"hashes": hashes}, rows=rows)


def feature_folder(cache):
    """The folder that ``cache`` names: True is the default one, False none."""
    if cache is True:
        return home() / FEATURES
    return None if cache is False or cache is None else Path(cache)


VERSION = 1  # of preprocessing and pooling; raise it when either gives other numbers
IGNORED_SETTINGS = ("name", "trainable", "seed", "build_config")  # do not affect a layer's output
TRAINING_SETTINGS = ("_initializer", "_regularizer", "_constraint")


def fingerprints(graph):
    """{call: hash of all that its output depends on}: kind, settings and weights of it and of all calls before it.

    Changing, training or removing later layers thus leaves a tap's hash as it is (a Merkle tree).
    """
    found = {}
    for node in graph.nodes:
        before = [(found[source], index) for source, index in node.inputs]
        found[node] = digest(node.kind, call_settings(node), before, *layer_weights(node.operation))
    return found


def call_settings(node):
    """Settings of a call as text; a unique text for layers without `get_config`."""
    if node.is_input:
        return "input"
    try:
        config = node.operation.get_config()
    except NotImplementedError:
        return uuid.uuid4().hex
    settings = {
        key: value
        for key, value in config.items()
        if key not in IGNORED_SETTINGS and not key.endswith(TRAINING_SETTINGS)
    }
    arguments = keras.tree.map_structure(lambda x: "x" if isinstance(x, keras.KerasTensor) else x, node.arguments)
    return json.dumps([settings, repr(arguments)], sort_keys=True, default=repr)


def layer_weights(operation):
    """A layer's weights as arrays."""
    return [keras.ops.convert_to_numpy(variable) for variable in getattr(operation, "weights", ())]


def tap_store(folder, model, stage, fingerprint, crop, *settings):
    """The `Store` of one tap's features; the version of Pillow stands for the decoder."""
    key = make_key(f"{stage}-{crop}".replace("/", "."), VERSION, PIL.__version__, fingerprint, crop, *settings)
    return Store(folder / model / key)


def hash_image(image):
    """(hash, image) from the bytes of a file or the pixels of an array; an open file is read and replaced by its
    bytes."""
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
