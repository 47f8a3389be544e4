"""What a report is about as hashes, so that a section is made again only where something of that has changed."""

import json
from functools import cache
from pathlib import Path

import numpy as np

from ..digests import digest


@cache
def of_code():
    """A hash of this package's own files, which draw and word what they find."""
    folder = Path(__file__).parent
    return digest(*(path.read_bytes() for path in sorted(folder.rglob("*.py"))))


def of_model(model):
    """A hash of a network's configuration and weights."""
    import keras

    try:
        config = json.dumps(keras.saving.serialize_keras_object(model), sort_keys=True, default=repr)
    except (ValueError, TypeError, NotImplementedError):  # a layer of the user's that cannot be saved
        config = model.name
    return digest(config, *(np.asarray(keras.ops.convert_to_numpy(weight)) for weight in model.weights))


def of_images(images):
    """A hash of `Images`: what they show, what they are called, what they are labelled."""
    if images is None:
        return ""
    items = [images.items] if images.decoded else map(contents, images.items)
    return digest(*images.classes, *images.names, images.labels, *items)


def contents(item):
    """The bytes of a file, or of a member of an archive."""
    return item.read() if hasattr(item, "read") else Path(item).read_bytes()


def of_preprocess(preprocess, shape):
    """A hash of what a function makes of a ramp of pixels; "" without one."""
    import keras

    if preprocess is None:
        return ""
    shape = [side or 8 for side in shape]
    ramp = np.linspace(0, 255, int(np.prod(shape)), dtype=np.float32).reshape(1, *shape)
    return digest(keras.ops.convert_to_numpy(preprocess(ramp)))


def of_folder(folder, suffixes=(".json", ".csv")):
    """A hash of the small files of a folder; "" without one."""
    if folder is None or not Path(folder).is_dir():
        return ""
    files = sorted(path for path in Path(folder).iterdir() if path.suffix in suffixes)
    return digest(*(part for path in files for part in (path.name, path.read_bytes())))
