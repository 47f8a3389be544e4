"""Labelled images for `evaluate`: which part of which dataset, or what a user gives with labels."""

import os
from dataclasses import replace

from ..data.dataset import Data
from ..data.load import load
from ..data.sources import NAMES
from ..inputs.batch import Batch, batch_of

PARTS = ("test", "valid", "train")


def labelled(images, labels=None, *, names=None, part=None):
    """A labelled `Batch` of what ``predict`` takes, with labels, or else of a part of a dataset."""
    if labels is None:
        return of_dataset(images, names, part)
    if part is not None or isinstance(images, Batch | Data):
        raise ValueError("`labels` should be None for a dataset, which has its own. Received: labels")
    return batch_of(images, labels, names)


def of_dataset(source, names, part):
    """A `Batch` itself, that of a part of ``Data``, or of a part of what `load` makes data of."""
    if names is not None:
        raise ValueError("`names` should be None for a dataset, which has its own. Received: names")
    if part not in (None, *PARTS):
        raise ValueError(f"`part` should be {', '.join(PARTS)} or None. Received: {part!r}")
    if isinstance(source, Batch) and source.labels is not None:
        if part is not None:
            raise ValueError(f"`part` should be None for images, which have no parts. Received: {part!r}")
        return source
    if not isinstance(source, Data | str | os.PathLike | tuple):
        raise ValueError(f"`labels` should say the class of each image. Received: None for {type(source).__name__}")
    data, part = divided(source, part)
    images = getattr(data, part or "train")
    if images is None or not len(images):
        raise ValueError(f"`part` should be one that {data.name} has. Received: {part!r}, with no images")
    title = f"{data.name}, {part} part" if part else data.name
    return replace(images, title=title, failed=getattr(data.audit, "bad", {}))


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
