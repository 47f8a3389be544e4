"""Photos and datasets as arrays: `decode` any image file, `fit` it to a network, `load` and `audit` a dataset, make
`batches` of it."""

from importlib import import_module

from .decode import ImageError, decode
from .fit import fit
from .gather import gather

LATER = {  # name -> module; prediction needs none of these, and batches load TensorFlow
    "Audit": "auditing",
    "Data": "images",
    "DataError": "images",
    "Images": "images",
    "audit": "auditing",
    "batches": "batching",
    "load": "loading",
}
__all__ = ["Audit", "Data", "DataError", "ImageError", "Images", "audit", "batches", "decode", "fit", "gather", "load"]


def __getattr__(name):
    if name not in LATER:
        raise AttributeError(f"module 'kerascnn.data' has no attribute {name!r}")
    return getattr(import_module(f".{LATER[name]}", __name__), name)
