"""Photos as arrays: `decode` any image file to RGB, `fit` it to the size that a network takes."""

from .decode import ImageError, decode
from .fit import fit
from .gather import gather

__all__ = ["ImageError", "decode", "fit", "gather"]
