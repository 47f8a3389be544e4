"""What a user gives as data, batch by batch: arrays as they are, photos decoded and cut as for `predict`."""

from itertools import islice

import numpy as np

from ..evaluation.predict import count, cutting, none_readable, prepared, readable
from ..graph.ends import check_channels_last
from ..inputs.gather import gather


def batches(model, images, batch_size=32, preprocess=None):
    """Arrays of at most ``batch_size`` images; photos that cannot be read are left out, unless none can."""
    count("batch_size", batch_size)
    if isinstance(images, np.ndarray) and images.ndim == len(model.inputs[0].shape):
        if not len(images):
            raise ValueError("`images` should have at least one image. Received: none")
        check_order(model, images)
        found = (images[start : start + batch_size] for start in range(0, len(images), batch_size))
    else:
        found = photos(model, images, batch_size)
    for batch in found:
        yield batch if preprocess is None else np.asarray(preprocess(batch))


def check_order(model, images):
    """Refuse images with their channels last where the model takes them first; arrays as the model's are taken."""
    if images.ndim == 4 and images.shape[-1] in (1, 3) and images.shape[1] not in (1, 3):
        check_channels_last(model)


def photos(model, images, batch_size):
    """Photos as the model takes them."""
    given, names, errors = gather(images), [], {}
    arrays = readable(prepared(given, cutting(model), batch_size), names, errors)
    while batch := list(islice(arrays, batch_size)):
        yield np.stack(batch)
    if not names:
        raise none_readable(given, errors, {name: error.reason for name, error in errors.items()})
