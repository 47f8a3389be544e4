"""What is given as images, before a network has seen it: each with its name, label, hash and group."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from ..data.decode import ImageError
from ..data.gather import gather
from ..data.images import Data, Images
from ..data.threads import each
from .keys import content


class Given(NamedTuple):
    """Images that could be read, and why others could not."""

    items: tuple
    names: tuple
    labels: np.ndarray | None
    classes: tuple | None
    hashes: tuple
    groups: tuple
    failed: Mapping

    def take(self, indices):
        """Those at these positions."""
        some = lambda values: tuple(values[i] for i in indices)  # noqa: E731
        items, names, hashes, groups = map(some, (self.items, self.names, self.hashes, self.groups))
        labels = None if self.labels is None else self.labels[np.asarray(indices, np.int64)]
        return Given(items, names, labels, self.classes, hashes, groups, self.failed)


def asked(images, labels, part):
    """The ``Given`` of images, of a part of a dataset, or of whatever `predict` takes."""
    together = {}
    if isinstance(images, Data):
        together = {} if images.audit is None else dict(zip(images.audit.good.names, images.audit.keys, strict=True))
        images = getattr(images, part, None)
        if images is None or not len(images):
            raise ValueError(f"`part` should be train, valid or test, with images in it. Received: {part!r}")
    if isinstance(images, Images):
        if labels is not None:
            raise ValueError("`labels` should be None for a dataset, which has its own. Received: labels")
        items, names, labels, classes = images.items, images.names, images.labels, images.classes
    else:
        names, items = zip(*gather(images), strict=True)
        labels, classes = numbered(labels, len(items))
    read = list(each(known, items))
    failed = {name: str(found) for name, found in zip(names, read, strict=True) if isinstance(found, Exception)}
    good = [i for i, found in enumerate(read) if not isinstance(found, Exception)]
    if not good:
        raise ImageError("`images`", f"{len(items)} that cannot be read: {next(iter(failed.values()))}", "be images")
    hashes = tuple(found if isinstance(found, Exception) else found[0] for found in read)
    items = tuple(None if isinstance(found, Exception) else found[1] for found in read)
    groups = tuple(together.get(name, each) for name, each in zip(names, hashes, strict=True))
    return Given(items, tuple(names), labels, classes, hashes, groups, failed).take(good)


def known(image):
    """The hash of an image and the image, or why it cannot be read."""
    try:
        return content(image)
    except (OSError, ValueError) as error:
        return error


def numbered(labels, images):
    """Labels as numbers, and the classes that they number: None where they were numbers."""
    if labels is None:
        return None, None
    labels = np.asarray(labels)
    if labels.shape != (images,):
        raise ValueError(f"`labels` should say the class of each of the {images} images. Received: {labels.shape}")
    if labels.dtype.kind in "iu":
        return labels.astype(np.int64), None
    classes, labels = np.unique(labels.astype(str), return_inverse=True)
    return labels.astype(np.int64), tuple(classes.tolist())
