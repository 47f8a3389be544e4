"""What may be given as images, made a list of single ones, each with a name."""

import os
import warnings

import numpy as np
from PIL import Image

from ..support.files import displayable
from .decode import SNIFF, ImageError, kind_of

SUFFIXES = (".jpg", ".jpeg", ".png", ".gif", ".bmp", ".tif", ".tiff", ".webp", ".avif", ".ppm", ".pgm", ".jp2")
PATHS, FILES = str | os.PathLike, bytes | bytearray | memoryview
ADVICE = "be a path, a folder, a list of these, a Pillow image, or an array (H, W, 3) or (N, H, W, 3) of pixels 0..255"


def gather(images):
    """[(name, image)]: an image is a path, bytes, an open file, Pillow's, or an array (H, W, C), uint8 or float32.

    A folder gives its images in the order of their names: files that begin like one, and those that only their names
    call images, whose decoding then says what they are.
    """
    if is_array(images) and np.ndim(images) == 4:
        found = [(f"image {i}", image) for i, image in enumerate(pixels(images, "`images`"))]
    elif is_series(images):
        found = [pair for i, image in enumerate(images) for pair in single(image, f"image {i}")]
    else:
        found = single(images, "image 0")
    if not found:
        raise ImageError("`images`", "none", "have at least one image")
    return found


def single(image, name):
    """One of the given as pairs; several from a folder."""
    if isinstance(image, PATHS):
        return folder(image) if os.path.isdir(image) else [(displayable(os.fsdecode(image)), image)]
    if isinstance(image, Image.Image | FILES) or hasattr(image, "read"):
        return [(name, image)]
    if is_array(image) and np.ndim(image) in (2, 3):
        return [(name, pixels(image, name))]
    raise ImageError("`images`", shown(image), ADVICE)


def folder(path):
    """The images in a folder, not those in folders of it."""
    path = os.fsdecode(path)
    try:
        names = sorted(name for name in os.listdir(path) if not name.startswith("."))
    except OSError:
        names = []
    files = [os.path.join(path, name) for name in names]
    found = [(displayable(file), file) for file in files if os.path.isfile(file) and is_image(file)]
    return found or [(displayable(path), path)]  # which decoding then refuses


def is_image(path):
    """Whether a file begins like an image, or its name says so."""
    if path.lower().endswith(SUFFIXES):
        return True
    try:
        with open(path, "rb") as file:
            return bool(kind_of(file.read(SNIFF)))
    except OSError:
        return False


def is_array(image):
    return hasattr(image, "__array__") and not isinstance(image, Image.Image)


def is_series(images):
    """Whether these are several: a list, a generator, a column of paths."""
    one = isinstance(images, PATHS | FILES | Image.Image) or hasattr(images, "read")
    return not one and hasattr(images, "__iter__") and not (is_array(images) and np.ndim(images) != 1)


def pixels(array, name):
    """An array of pixels as uint8 or float32, gray with a channel; with a warning where they are not 0..255."""
    array = np.asarray(array)
    array = array[..., None] if array.ndim == 2 else array
    if array.dtype.kind not in "uif" or not array.size:
        raise ImageError(name, shown(array), "be an array of pixels 0..255")
    if array.dtype == np.uint8:
        return array
    low, high = float(array.min()), float(array.max())
    if not np.isfinite(low + high):
        raise ImageError(name, "NaN or infinity among them", "have finite pixels")
    if low < 0 or high > 255 or (array.dtype.kind == "f" and 0 < high <= 1):
        warnings.warn(f"{name}: pixels should be 0..255, these are {low:g}..{high:g}; scaled already?", stacklevel=5)
    return array.astype(np.float32)


def shown(image):
    """What came instead of an image."""
    if is_array(image):
        return f"an array of shape {tuple(np.shape(image))} and type {np.asarray(image).dtype}"
    return f"{type(image).__name__}"
