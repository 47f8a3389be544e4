"""Features on disk: for each tap a folder of files, each with rows of numbers and the hashes of their images.

A file is there as a whole or not at all, so that a process may be killed, and several may write.
"""

import json
import os
import uuid
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from zipfile import BadZipFile

import keras
import numpy as np
import PIL
from PIL import Image

from ..support.files import replacing
from ..support.store import FEATURES, digest, home

DAMAGED = (BadZipFile, EOFError, KeyError, ValueError, OSError)
COARSE = 0.01  # of a feature's standard deviation that rounding to 16 bits may move it


def halved(rows):
    """The rows as float16, where that neither overflows nor blurs what tells images apart; else as float32."""
    rows = np.asarray(rows, np.float32)
    with np.errstate(over="ignore"):
        half = rows.astype(np.float16)
    moved = np.abs(half.astype(np.float32) - rows).max(axis=0, initial=0)
    return half if np.all(moved <= COARSE * rows.std(axis=0)) else rows


def kept(folder, wanted):
    """(hashes, rows) of each file of a tap, of the images wanted; a damaged file is removed."""
    for path in sorted(folder.glob("[!.]*.npz")):
        try:
            with np.load(path, allow_pickle=False) as file:
                hashes = [each.decode() for each in file["hashes"].tolist()]
                here = [i for i, each in enumerate(hashes) if each in wanted]
                rows = file["rows"][here] if here else None
        except FileNotFoundError:  # cleared meanwhile
            continue
        except DAMAGED as error:
            warnings.warn(f"{path} is damaged ({error}): its features are computed again", stacklevel=2)
            path.unlink(missing_ok=True)
            continue
        if here:
            yield [hashes[i] for i in here], rows


def keep(folder, hashes, rows):
    """Write one file of a tap."""
    folder.mkdir(parents=True, exist_ok=True)
    with replacing(folder / f"{digest(*hashes)}-{os.getpid()}.npz") as draft, open(draft, "wb") as file:
        np.savez(file, hashes=np.array(hashes, "S32"), rows=rows)


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


RESULTS_FOLDER = "ledger"
FACTS = "facts"


@dataclass(frozen=True, eq=False)
class Ledger:
    """Results by name, each with facts (what JSON holds) and arrays; in memory only where there is no folder.

    A full disk is told once for each result, which then stays in memory.
    """

    folder: Path | None = None
    memory: dict = field(default_factory=dict, repr=False)

    def get(self, name):
        """(facts, {name: array}) of a result; None where there is none."""
        if name not in self.memory and self.folder is not None and (path := self.path(name)).exists():
            try:
                with np.load(path, allow_pickle=False) as file:
                    arrays = {key: file[key] for key in file.files if key != FACTS}
                    self.memory[name] = json.loads(str(file[FACTS])), arrays
            except DAMAGED as error:
                warnings.warn(f"{path} is damaged ({error}): what it held is done again", stacklevel=2)
        return self.memory.get(name)

    def put(self, name, facts: Mapping, **arrays):
        """Keep a result, in place of one of this name."""
        facts = json.loads(json.dumps(facts, allow_nan=False))  # as it will be read
        self.memory[name] = facts, arrays
        if self.folder is None:
            return
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with replacing(self.path(name)) as draft, open(draft, "wb") as file:
                np.savez(file, **{FACTS: np.array(json.dumps(facts))}, **arrays)
        except OSError as error:
            text = f"{self.path(name)} is not kept: {error.strerror or error}; --resume would do it again"
            warnings.warn(text, stacklevel=2)

    def once(self, name, make):
        """The result of that name; where there is none, that of ``make()``, which gives facts and arrays."""
        found = self.get(name)
        if found is None:
            facts, arrays = make()
            self.put(name, facts, **arrays)
        return self.memory[name]

    def path(self, name):
        return self.folder / f"{name}.npz"
