"""Augmentations of whole batches; what happens to an image depends on its own row of random numbers only.

A row has ``DRAWS`` numbers in [0, 1), so that an image becomes the same in a batch of any size, on any machine.
"""

import math

import numpy as np
import tensorflow as tf

from ..inputs.resize import Box
from ..support.text import unknown_name

DRAWS = 8
AREA, ASPECT = (0.08, 1.0), (3 / 4, 4 / 3)  # Szegedy et al. 2015, arXiv:1409.4842, section 6
MARGIN = 256 / 224  # Krizhevsky et al. 2012: photos of 256 pixels, of which 224 are seen


def random_rows(count, seed, epoch):
    """The random numbers (count, 8), float32, of each image of a dataset in an epoch."""
    return np.random.default_rng([seed, epoch, 1]).random((count, DRAWS), np.float32)


def flip(pixels, draws):
    """Mirrored left to right, one image in two."""
    return tf.where((draws[:, 0] < 0.5)[:, None, None, None], tf.reverse(pixels, [2]), pixels)


def random_shift(pixels, draws, pad, edge):
    """Shifted by up to ``pad`` pixels each way; what comes in is the ``edge``: "reflect", "repeat" or "zero"."""
    height, width = pixels.shape[1:3]
    shifts = tf.cast(tf.floor(draws[:, 1:3] * (2 * pad + 1)), tf.int32) - pad
    rows, columns = (shifts[:, i : i + 1] + tf.range(side)[None] for i, side in enumerate((height, width)))
    found = tf.gather(pixels, source_indices(rows, height, edge), axis=1, batch_dims=1)
    found = tf.gather(found, source_indices(columns, width, edge), axis=2, batch_dims=1)
    if edge != "zero":
        return found
    there = [tf.cast((at >= 0) & (at < side), pixels.dtype) for at, side in ((rows, height), (columns, width))]
    return found * there[0][:, :, None, None] * there[1][:, None, :, None]


def source_indices(at, side, edge):
    """Places beyond an edge as places before it."""
    if edge == "reflect":
        at = tf.abs(at)
        at = side - 1 - tf.abs(side - 1 - at)
    return tf.clip_by_value(at, 0, side - 1)


def crop_flip(pixels, draws):
    """Mirrored, and cut anywhere from the image with 4 pixels of zeros around it: CIFAR in He et al. 2015,
    arXiv:1512.03385, section 4.2."""
    return random_shift(flip(pixels, draws), draws, 4, "zero")


def reflect_crop_flip(pixels, draws):
    """``crop_flip`` where the 4 pixels reflect the image, which leaves no seam: Zagoruyko & Komodakis 2016,
    arXiv:1605.07146."""
    return random_shift(flip(pixels, draws), draws, 4, "reflect")


def shift(pixels, draws):
    """Shifted by up to an eighth of the side, never mirrored: any images, digits and letters too."""
    return random_shift(pixels, draws, max(1, min(pixels.shape[1:3]) // 8), "repeat")


def area_boxes(draws, height, width, size):
    """Boxes of 8 to 100 % of a photo's area with sides 3:4 to 4:3, one for each row of random numbers; cut where one
    would leave the photo. (Szegedy draws again up to ten times, which a single row of numbers cannot.)"""
    draws = np.asarray(draws, np.float64)
    area = height * width * (AREA[0] + draws[:, 1] * (AREA[1] - AREA[0]))
    ratio = np.exp(math.log(ASPECT[0]) + draws[:, 2] * (math.log(ASPECT[1]) - math.log(ASPECT[0])))
    wide, high = np.minimum(np.sqrt(area * ratio), width), np.minimum(np.sqrt(area / ratio), height)
    tops, lefts = draws[:, 3] * (height - high), draws[:, 4] * (width - wide)
    return [Box(*row) for row in zip(tops, lefts, high, wide, strict=True)]


def window_boxes(draws, height, width, size):
    """Boxes that are ``size`` where the photo covers 256/224 times that, at any whole pixel of it, one for each row of
    random numbers: Krizhevsky et al. 2012, section 4.1, and what came before Szegedy."""
    draws = np.asarray(draws, np.float64)
    pixel = min(height / size[0], width / size[1]) / MARGIN  # of the resized photo, in pixels of the photo
    free = [int(have / pixel + 1e-6) - want for have, want in zip((height, width), size, strict=True)]
    tops, lefts = (np.floor(draws[:, 3 + i] * (free[i] + 1)) * pixel for i in range(2))
    return [Box(top, left, size[0] * pixel, size[1] * pixel) for top, left in zip(tops, lefts, strict=True)]


def no_augmentation(pixels, draws):
    """As they are."""
    return pixels


AUGMENTATIONS = {
    "none": no_augmentation,
    "flip": flip,
    "shift": shift,
    "crop_flip": crop_flip,
    "reflect_crop_flip": reflect_crop_flip,
    "photo_crop": flip,  # and its box, as below
    "resized_crop": flip,
}
BOXES = {"photo_crop": window_boxes, "resized_crop": area_boxes}  # cut while photos are decoded, from all their pixels


def find_augmentation(name):
    """(a function of pixels and draws, a function of boxes or None) of that name; None is "none"."""
    if callable(name):
        return name, None
    if name is None:
        return no_augmentation, None
    if not isinstance(name, str) or name not in AUGMENTATIONS:
        raise ValueError(unknown_name("augmentation", name, AUGMENTATIONS))
    return AUGMENTATIONS[name], BOXES.get(name)
