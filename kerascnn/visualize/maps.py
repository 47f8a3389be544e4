"""Maps and the images they belong to, as they are judged: checked, with names."""

from typing import NamedTuple

import numpy as np


class Maps(NamedTuple):
    """``maps`` (N, H, W) of ``images`` (N, H, W, C), pixels 0..255, called ``names``."""

    maps: np.ndarray
    images: np.ndarray
    names: tuple


def maps_of(attribution, images=None):
    """`Maps` of an attribution; with ``images``, ``attribution`` may be arrays (N, H, W), or (H, W) for one image."""
    if images is None and not (hasattr(attribution, "map") and hasattr(attribution, "images")):
        came = type(attribution).__name__
        raise ValueError(f"`attribution` should have a map and images, or be maps with `images`. Received: {came}")
    maps = np.asarray(getattr(attribution, "map", attribution), np.float32)
    images = np.asarray(attribution.images if images is None else images, np.float32)
    if maps.ndim == 2 and images.ndim == 3:
        maps, images = maps[None], images[None]
    if maps.ndim != 3 or images.ndim != 4 or maps.shape != images.shape[:3] or not maps.size:
        came = f"maps {maps.shape}, images {images.shape}"
        raise ValueError(f"`attribution` should have maps (N, H, W) of images (N, H, W, C). Received: {came}")
    if not np.isfinite(maps).all() or not np.isfinite(images).all():
        raise ValueError("`attribution` should have finite maps and images. Received: NaN or infinity")
    names = getattr(attribution, "names", None) or tuple(f"image {i}" for i in range(len(maps)))
    return Maps(maps, images, tuple(names))
