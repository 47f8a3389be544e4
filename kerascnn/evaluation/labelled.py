"""Labelled images put to a classifier: which part of which dataset, in chunks, and what it makes of them."""

import os
import warnings
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from ..data.dataset import Data, Images
from ..data.load import load
from ..data.sources import NAMES
from ..inputs.decode import ImageError
from ..inputs.gather import gather
from ..inputs.threads import telling
from ..support.files import displayable
from .predict import count, cutting, predict, published

IMAGENET = 1000
BATCHES = 16  # in a chunk, after which is told how far it is
PARTS = ("test", "valid", "train")


class Labelled(NamedTuple):
    """Images that can be gone through again; ``classes`` are what their labels number, None for the model's."""

    images: object  # Images, or what ``predict`` takes, so that it can be sliced
    labels: object
    names: tuple
    classes: tuple | None = None
    data: str = ""  # what they are called
    failed: Mapping = {}  # {name: why it was left out}

    def __len__(self):
        return len(self.labels)


def labelled(images, labels=None, *, names=None, part=None):
    """``Labelled`` of what ``predict`` takes, with labels, or else of a part of a dataset."""
    if labels is None:
        return of_dataset(images, names, part)
    if part is not None or isinstance(images, Images | Data):
        raise ValueError("`labels` should be None for a dataset, which has its own. Received: labels")
    listed, own = series(images)
    names = own if names is None else tuple(map(str, names))
    if len(labels) != len(listed):
        raise ValueError(f"`labels` should say the class of each of the {len(listed)} images. Received: {len(labels)}")
    if len(names) != len(listed):
        raise ValueError(f"`names` should name each of the {len(listed)} images. Received: {len(names)}")
    return Labelled(listed, labels, tuple(names))


def of_dataset(source, names, part):
    """``Labelled`` of ``Images``, of a part of ``Data``, or of a part of what `load` makes data of."""
    if names is not None:
        raise ValueError("`names` should be None for a dataset, which has its own. Received: names")
    if part not in (None, *PARTS):
        raise ValueError(f"`part` should be {', '.join(PARTS)} or None. Received: {part!r}")
    if isinstance(source, Images):
        if part is not None:
            raise ValueError(f"`part` should be None for images, which have no parts. Received: {part!r}")
        return Labelled(source, source.labels, source.names, source.classes)
    if not isinstance(source, Data | str | os.PathLike | tuple):
        raise ValueError(f"`labels` should say the class of each image. Received: None for {type(source).__name__}")
    data, part = divided(source, part)
    images = getattr(data, part or "train")
    if images is None or not len(images):
        raise ValueError(f"`part` should be one that {data.name} has. Received: {part!r}, with no images")
    called = f"{data.name}, {part} part" if part else data.name
    return Labelled(images, images.labels, images.names, images.classes, called, getattr(data.audit, "bad", {}))


def divided(source, part):
    """(Data, which part of it); None for all of what nobody has divided.

    What has a name is what networks are trained on here, so of that, as of ``Data``, only the test part counts.
    """
    if isinstance(source, Data):
        return source, part or "test"
    if part or (isinstance(source, str) and (source in NAMES or not os.path.exists(source))):
        return load(source), part or "test"
    data = load(source, valid=0, test=0)
    return data, next((name for name in ("test", "valid") if len(getattr(data, name) or ())), None)


class Answers(NamedTuple):
    """What a model says of the images that could be read: probabilities, which images, {index: why not} of others."""

    probs: np.ndarray
    kept: np.ndarray
    failed: dict


def predicted(model, given, *, batch_size, preprocess=None, quiet=False):
    """The ``Answers`` of a model."""
    step = BATCHES * count("batch_size", batch_size)
    probs, kept, failed = [], [], {}
    tell = telling(None if quiet or len(given) <= step else "evaluating", len(given))
    try:
        for start, some in chunks(model, given, step):
            tell(start)
            try:
                found = predict(model, some, labels=False, batch_size=batch_size, preprocess=preprocess)
            except ImageError as error:
                if len(given) == len(some):
                    raise
                failed |= dict.fromkeys(range(start, start + len(some)), getattr(error, "reason", str(error)))
                continue
            bad = {i: found.failed[name] for i, name in enumerate(calls(some)) if name in found.failed}
            failed |= {start + i: reason for i, reason in bad.items()}
            kept += [start + i for i in range(len(some)) if i not in bad]
            probs.append(found.probs)
    finally:
        tell(None)
    if not kept:
        raise ImageError("`images`", f"{len(given)} that cannot be read", "be images")
    return Answers(np.concatenate(probs), np.array(kept), failed)


def chunks(model, given, step):
    """(index of the first, images as ``predict`` takes them) of each chunk.

    Where weights are published, or classes are ImageNet's, a dataset's images are cut as by ``predict``; else as for
    training, by ``pixels``.
    """
    images, cut = given.images, cutting(model)
    measured = published(model) or any(tensor.shape[-1] == IMAGENET for tensor in getattr(model, "outputs", None) or ())
    for start in range(0, len(given), step):
        some = range(start, min(start + step, len(given)))
        if not isinstance(images, Images):
            yield start, images[start : start + step]
        elif measured:
            yield start, images.take(some).items
        else:
            yield start, images.take(some).pixels(cut.size, cut.channels)


def series(images):
    """(the images so that they can be sliced, what they are called)."""
    if isinstance(images, np.ndarray) and images.ndim == 4:
        return images, [f"image {i}" for i in range(len(images))]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # predict says it again
        given = gather(images)
    return [image for _, image in given], [name for name, _ in given]


def calls(images):
    """What ``predict`` calls each of them."""
    return [
        displayable(os.fsdecode(image)) if isinstance(image, str | os.PathLike) else f"image {i}"
        for i, image in enumerate(images)
    ]
