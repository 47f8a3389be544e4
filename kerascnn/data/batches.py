"""Batches for training, in an order that depends on seed and epoch alone: `batches`.

Files are decoded by ``decode``: Pillow in threads is faster here than TensorFlow's decoder and resize, and files become
pixels in one way only.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from ..inputs.batch import Batch
from ..inputs.decode import THREADS
from ..inputs.resize import resample, size_pair
from ..support.checks import check_integer
from ..support.types import Size
from .augment import find_augmentation, random_rows
from .dataset import BUDGET


def batches(
    images: Batch,
    size: Size | None,
    batch_size: int,
    *,
    augment: str | Callable | None = None,
    shuffle: bool = False,
    seed: int = 0,
    epoch: int = 0,
    channels: int = 3,
    drop: bool = False,
) -> tf.data.Dataset:
    """One epoch of a dataset in batches, as a tf.data.Dataset.

    Order and random numbers depend on ``seed`` and ``epoch`` alone, so interrupted training resumes exactly. Images
    that fit into 1 GiB are decoded once and kept in memory, except for "photo_crop" and "resized_crop", which crop from
    photos in full size.

    Args:
        images: a labeled ``Batch``, such as ``data.train``.
        size: height and width in pixels; None for the size of images that are arrays.
        batch_size: number of images in a batch.
        augment: "none", "flip", "shift" (any images, digits too), "crop_flip" or "reflect_crop_flip" (CIFAR),
            "photo_crop" or "resized_crop" (ImageNet, before and since 2014), or a function of a batch of float32 pixels
            and random numbers (B, 8) in [0, 1) that returns pixels.
        shuffle: whether to shuffle the images.
        seed: of the order and the random numbers.
        epoch: number of the epoch; each has another order and other random numbers.
        channels: 3, or 1 for grayscale.
        drop: whether to drop an incomplete last batch.

    Returns:
        A tf.data.Dataset of float32 pixels 0..255 (B, h, w, C) and int64 labels (B,).
    """
    height, width = size_pair(size) or size_after_decoding(images)
    shape = (height, width)
    change, boxes = find_augmentation(augment)
    check_integer(batch_size=batch_size)
    count = len(images)
    order = np.random.default_rng([seed, epoch, 0]).permutation(count) if shuffle else np.arange(count)
    rows = random_rows(count, seed, epoch)
    labels: Any = images.labels
    with tf.device("CPU"):
        found = tf.data.Dataset.from_tensor_slices((order, rows[order], labels[order]))
        if boxes or count * height * width * channels > BUDGET:
            found = decode_in_order(found, images, shape, channels, boxes)
            found = found.batch(batch_size, drop_remainder=drop)
        else:
            pixels = pixels_in_memory(images, shape, channels)
            found = found.batch(batch_size, drop_remainder=drop)
            found = found.map(lambda at, row, label: (tf.gather(pixels, at), row, label))
        found = found.map(
            augment_and_convert(change, callable(augment), (height, width, channels)), num_parallel_calls=2
        )
        return found.prefetch(tf.data.AUTOTUNE)


def augment_and_convert(change, own, shape):
    """A function that augments and makes float32; a caller's ``own`` function gets float32, ours uint8 for speed."""

    def finish(pixels, row, label):
        if own:
            pixels = tf.convert_to_tensor(change(tf.cast(pixels, tf.float32), row))
        else:
            pixels = change(pixels, row)
        return tf.ensure_shape(tf.cast(pixels, tf.float32), (None, *shape)), label

    return finish


def pixels_in_memory(images, size, channels):
    """All pixels as one tensor in main memory, made once."""
    key = (size, channels)
    if key not in images.cache:
        with tf.device("CPU"):
            images.cache[key] = tf.convert_to_tensor(images.pixels(size, channels))
    return images.cache[key]


def decode_in_order(found, images, size, channels, boxes):
    """Images decoded on demand by several threads, in order, and cropped to a random box if ``boxes`` makes them."""

    def decode_one(at, row):
        if boxes is None:
            return images.decode_image(int(at), size, channels)
        image = images.decode_image(int(at), None, channels)
        return resample(image, size, box=boxes(row[None], *image.shape[:2], size)[0])

    def read(at, row, label):
        pixels = tf.numpy_function(decode_one, [at, row], tf.uint8)
        return tf.ensure_shape(pixels, (*size, channels)), row, label

    return found.map(read, num_parallel_calls=THREADS, deterministic=True)


def size_after_decoding(images):
    """The size of images that are arrays."""
    if not images.is_decoded:
        raise ValueError("`size` should be (height, width) or one number of pixels for images in files. Received: None")
    return images.items.shape[1:3]
