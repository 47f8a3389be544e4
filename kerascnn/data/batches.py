"""Images as batches for training, in an order that seed and epoch alone decide: `batches`.

Everything is decoded by ``decode``: Pillow by threads is faster here than TensorFlow's decoder and its resize, and
there is one way only in which a file becomes pixels.
"""

import numpy as np
import tensorflow as tf

from ..inputs.decode import THREADS
from ..inputs.resize import pair, resample
from .augment import augmentation, draws
from .dataset import BUDGET


def batches(images, size, batch_size, *, augment=None, shuffle=False, seed=0, epoch=0, channels=3, drop=False):
    """One epoch as a tf.data.Dataset of float32 pixels 0..255 (B, h, w, C) and int64 labels (B,).

    ``augment`` is none, flip, shift (anything, digits too), crop_flip or reflect_crop_flip (CIFAR), photo_crop or
    resized_crop (ImageNet, before and since 2014), or a function of a batch of pixels (float32) and random numbers
    (B, 8) in [0, 1). Order and random numbers depend on ``seed`` and ``epoch``: training that was interrupted goes on
    exactly, with batches of any size. What fits into 1 GiB is decoded once and kept with ``images``, except under
    photo_crop and resized_crop, which cut from photos in their full size. ``drop`` leaves out a last batch that is not
    full.
    """
    size, (change, boxes) = pair(size) or own_size(images), augmentation(augment)
    if not isinstance(batch_size, int | np.integer) or batch_size < 1:
        raise ValueError(f"`batch_size` should be a whole number of at least 1. Received: {batch_size!r}")
    count = len(images)
    order = np.random.default_rng([seed, epoch, 0]).permutation(count) if shuffle else np.arange(count)
    rows = draws(count, seed, epoch)
    with tf.device("CPU"):
        found = tf.data.Dataset.from_tensor_slices((order, rows[order], images.labels[order]))
        if boxes or count * size[0] * size[1] * channels > BUDGET:
            found = decoded(found, images, size, channels, boxes)
            found = found.batch(batch_size, drop_remainder=drop)
        else:
            pixels = memory(images, size, channels)
            found = found.batch(batch_size, drop_remainder=drop)
            found = found.map(lambda at, row, label: (tf.gather(pixels, at), row, label))
        found = found.map(finished(change, callable(augment), (*size, channels)), num_parallel_calls=2)
        return found.prefetch(tf.data.AUTOTUNE)


def finished(change, own, shape):
    """From uint8 to augmented float32; a caller's ``own`` function gets float32, ours are faster on bytes."""

    def finish(pixels, row, label):
        if own:
            pixels = tf.convert_to_tensor(change(tf.cast(pixels, tf.float32), row))
        else:
            pixels = change(pixels, row)
        return tf.ensure_shape(tf.cast(pixels, tf.float32), (None, *shape)), label

    return finish


def memory(images, size, channels):
    """All pixels as one tensor in the computer's memory, made once."""
    key = (size, channels)
    if key not in images.kept:
        with tf.device("CPU"):
            images.kept[key] = tf.convert_to_tensor(images.pixels(size, channels))
    return images.kept[key]


def decoded(found, images, size, channels, boxes):
    """Each image read when its turn comes, by several threads, in order; the part of it that ``boxes`` says, if any."""

    def one(at, row):
        if boxes is None:
            return images.one(int(at), size, channels)
        image = images.one(int(at), None, channels)
        return resample(image, size, box=boxes(row[None], *image.shape[:2], size)[0])

    def read(at, row, label):
        pixels = tf.numpy_function(one, [at, row], tf.uint8)
        return tf.ensure_shape(pixels, (*size, channels)), row, label

    return found.map(read, num_parallel_calls=THREADS, deterministic=True)


def own_size(images):
    """The size of images that are pixels already."""
    if not images.decoded:
        raise ValueError("`size` should be (h, w) or a number of pixels for images in files. Received: None")
    return images.items.shape[1:3]
