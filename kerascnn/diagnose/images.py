"""What a user gives as images to look into a network with: batch by batch, or all at once with their classes."""

import numpy as np

from ..graph.ends import check_channels_last
from ..inputs.batch import Batch, as_batch, squeeze_labels
from ..inputs.classifier import classifier
from ..support.checks import check_integer


def iterate_batches(model, images, batch_size=32, preprocess=None):
    """Arrays of at most ``batch_size`` images; photos that cannot be read are left out, unless none can."""
    check_integer(batch_size=batch_size)
    if isinstance(images, np.ndarray) and images.ndim == len(model.inputs[0].shape):
        if not len(images):
            raise ValueError("`images` should have at least one image. Received: none")
        check_channel_order(model, images)
        found = (images[start : start + batch_size] for start in range(0, len(images), batch_size))
    else:
        found = read_photos(model, as_batch(images), batch_size)
    for batch in found:
        yield batch if preprocess is None else np.asarray(preprocess(batch))


def check_channel_order(model, images):
    """Refuse images with their channels last where the model takes them first; arrays as the model's are taken."""
    if images.ndim == 4 and images.shape[-1] in (1, 3) and images.shape[1] not in (1, 3):
        check_channels_last(model)


def read_photos(model, images, batch_size):
    """Photos as the model takes them."""
    failed = {}
    for _, pixels in images.chunks(classifier(model).preprocessing, batch_size, failed):
        yield pixels
    images.check_readable(failed)


def training_images(argument, data, limit=None, seed=0):
    """A decoded `Batch` of ``data``, or of ``limit`` of its images drawn with ``seed``.

    Drawn, since a folder's first images may all be of one class. ``data`` are arrays (x, y), or images with labels; of
    a dataset in parts the part called ``train``.
    """
    if limit is not None:
        check_integer(limit=limit)
    images = getattr(data, "train", data)
    if not isinstance(images, Batch):
        images = batch_of_arrays(argument, data)
    if not len(images):
        raise ValueError(f"`{argument}` should have at least one image. Received: none")
    if limit is not None and limit < len(images):
        images = images.take(np.sort(np.random.default_rng(seed).permutation(len(images))[:limit]))
    return images if images.is_decoded else Batch(images.pixels(), images.labels, images.class_names, images.names)


def pixels_and_labels(images):
    """The pixels and labels of a decoded `Batch`."""
    return images.items, images.labels


def batch_of_arrays(argument, data):
    """Arrays (x, y) as a `Batch`."""
    if not isinstance(data, tuple | list) or len(data) != 2:
        came = type(data).__name__
        raise ValueError(f"`{argument}` should be arrays (x, y), or images with labels. Received: {came}")
    x, y = np.asarray(data[0]), squeeze_labels(data[1])
    if y.ndim != 1 or y.dtype.kind not in "iu" or len(x) != len(y) or (y < 0).any():
        wanted = f"integer class numbers (N,) from 0 for {len(x)} images"
        raise ValueError(f"`{argument}` should have {wanted}. Received: {y.shape} of {y.dtype}")
    return Batch(x, y, tuple(str(number) for number in range(int(y.max(initial=0)) + 1)))
