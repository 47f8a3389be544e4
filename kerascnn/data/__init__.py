"""Photos and datasets as arrays: `decode` any image file, `fit` it to a network, `load` and `audit` a dataset, make
`batches` of it."""

from ..lazy import lazily
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
__getattr__, __dir__ = lazily(__name__, LATER)
