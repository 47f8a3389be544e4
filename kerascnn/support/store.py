"""What something was made from: a hash of it, and the versions of what made it."""

import platform
from hashlib import blake2b
from importlib.metadata import PackageNotFoundError, version

import numpy as np

from .. import __version__


def digest(*parts):
    """A hash of texts, bytes and arrays, the same in every process."""
    found = blake2b(digest_size=16)
    for part in parts:
        if isinstance(part, np.ndarray):
            part = f"{part.dtype}{part.shape}".encode() + np.ascontiguousarray(part).tobytes()
        data = part if isinstance(part, bytes | memoryview) else str(part).encode("utf-8", "surrogateescape")
        found.update(len(data).to_bytes(8, "big"))
        found.update(data)
    return found.hexdigest()


def versions():
    """{package: version} of what computes."""
    import keras

    found = {"kerascnn": __version__, "keras": keras.__version__, "numpy": np.__version__}
    backend = keras.config.backend()
    try:
        found[backend] = version(backend)
    except PackageNotFoundError:  # jax and torch under another name of distribution
        found[backend] = "unknown"
    return found | {"python": platform.python_version()}
