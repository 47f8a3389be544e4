"""Turn whatever is given as images into a list of single images with names."""

from __future__ import annotations

import os
import warnings
from typing import Any

import numpy as np
from PIL import Image

from ..support.files import escape_surrogates
from ..support.types import Images
from .decode import SNIFF, ImageError, image_format

SUFFIXES = (".jpg", ".jpeg", ".png", ".gif", ".bmp", ".tif", ".tiff", ".webp", ".avif", ".ppm", ".pgm", ".jp2")
PATHS, FILES = str | os.PathLike, bytes | bytearray | memoryview
ADVICE = (
    "be a path, a folder, a list of these, a Pillow image, or an array (H, W, 3) or (N, H, W, 3) of pixel values 0..255"
)


def gather(images: Images) -> list[tuple[str, Any]]:
    """List images with their names, without decoding them.

    A folder stands for its images in the order of their names: files that start like an image or have the extension of
    one.

    Args:
        images: a path, a folder, bytes, an open file, a Pillow image, an array (H, W, C) or (N, H, W, C), or several.

    Returns:
        A list of (name, image); an image is a path, bytes, an open file, a Pillow image, or an array (H, W, C) of uint8
        or float32.
    """
    source: Any = images
    if is_array(source) and np.ndim(source) == 4:
        pairs = [(f"image {i}", image) for i, image in enumerate(check_pixels(source, "`images`"))]
    elif is_sequence(images):
        pairs = [pair for i, image in enumerate(source) for pair in gather_one(image, f"image {i}")]
    else:
        pairs = gather_one(images, "image 0")
    if not pairs:
        raise ImageError("`images`", "none", "have at least one image")
    return pairs


def gather_one(image, name):
    """One image as a list of one (name, image); a folder as a list of its images."""
    if isinstance(image, PATHS):
        return list_folder_images(image) if os.path.isdir(image) else [(escape_surrogates(os.fsdecode(image)), image)]
    if isinstance(image, Image.Image | FILES) or hasattr(image, "read"):
        return [(name, image)]
    if is_array(image) and np.ndim(image) in (2, 3):
        return [(name, check_pixels(image, name))]
    raise ImageError("`images`", describe_input(image), ADVICE)


def list_folder_images(path):
    """The images in a folder, without those in its subfolders."""
    path = os.fsdecode(path)
    try:
        names = sorted(name for name in os.listdir(path) if not name.startswith("."))
    except OSError:
        names = []
    files = [os.path.join(path, name) for name in names]
    images = [(escape_surrogates(file), file) for file in files if os.path.isfile(file) and is_image_file(file)]
    return images or [(escape_surrogates(path), path)]  # which decoding then refuses


def is_image_file(path):
    """Whether a file starts like an image or has the extension of one."""
    if path.lower().endswith(SUFFIXES):
        return True
    try:
        with open(path, "rb") as file:
            return bool(image_format(file.read(SNIFF)))
    except OSError:
        return False


def is_array(image):
    return hasattr(image, "__array__") and not isinstance(image, Image.Image)


def is_sequence(images):
    """Whether this is several images: a list, a generator, a column of paths."""
    is_single = isinstance(images, PATHS | FILES | Image.Image) or hasattr(images, "read")
    return not is_single and hasattr(images, "__iter__") and not (is_array(images) and np.ndim(images) != 1)


def check_pixels(array, name):
    """Pixels as uint8 or float32 (H, W, C); warns if they are not 0..255."""
    array = np.asarray(array)
    array = array[..., None] if array.ndim == 2 else array
    if array.dtype.kind not in "uif" or not array.size:
        raise ImageError(name, describe_input(array), "be an array of pixel values 0..255")
    if array.dtype == np.uint8:
        return array
    low, high = float(array.min()), float(array.max())
    if not np.isfinite(low + high):
        raise ImageError(name, "NaN or infinity", "have finite pixels")
    if low < 0 or high > 255 or (array.dtype.kind == "f" and 0 < high <= 1):
        warnings.warn(
            f"{name}: pixel values should be 0..255. Received: {low:g}..{high:g}; were they scaled already?",
            stacklevel=5,
        )
    return array.astype(np.float32)


def describe_input(image):
    """Describe a value that is not an image, for messages."""
    if is_array(image):
        return f"an array of shape {tuple(np.shape(image))} and type {np.asarray(image).dtype}"
    return f"{type(image).__name__}"
