"""What a study is given: data with a locked test, backbones by name, a folder to write to."""

import os
import re
import warnings
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import keras
import numpy as np

from ..data.audit import shared, shown
from ..data.dataset import Data
from ..data.load import load
from ..inputs.batch import Batch, DataError, batch_of
from ..inputs.classifier import image_input, open_model
from ..inputs.decode import ImageError, each
from ..support.text import unknown
from ..zoo.registry import list_models, sources
from .store import content

LEAST = 2  # images of a class to learn from
NAMED = 30  # paths of a kind that are told


def divided(data, test, groups, seed):
    """``Data`` of images to learn from and a locked test, nothing else; what was wrong is warned of."""
    if not isinstance(data, Data):
        found = load(data, valid=0.0, test=test, groups=groups, seed=seed)
        if test and min(counts(found.train)) < LEAST:
            warnings.warn(f"{found.name}: too few images of a class for a test: all are learned from", stacklevel=3)
            found = load(data, valid=0.0, test=0.0, groups=groups, seed=seed)
        data = found
    learn = data.train if data.valid is None or not len(data.valid) else joined(data.train, data.valid)
    learn = apart(learn, data)
    few = [(count, name) for count, name in zip(counts(learn), learn.classes, strict=True) if count < LEAST]
    if len(learn.classes) < 2 or few:
        came = f"{min(few)[0]} of {min(few)[1]}" if few else f"one class, {learn.classes[0]}"
        raise DataError(f"`data` should have two classes or more, with {LEAST} or more images each. Received: {came}")
    return replace(data, train=learn, valid=learn.take([]))


def apart(learn, data):
    """The images to learn from without those that the test has too, or that belong together with one of its."""
    if data.audit is None or data.test is None:
        return learn
    keys = dict(zip(data.audit.good.names, data.audit.keys, strict=True))
    if {*data.test.names} <= keys.keys() - {*learn.names}:
        locked = {keys[name] for name in data.test.names}
        own = np.array([keys.get(name) not in locked for name in learn.names], bool)
    else:  # a test from elsewhere, which this audit has not seen
        own = ~shared(learn, data.test, f"{data.name}: looking for images of the test")
    if not own.all():
        text = f"{data.name}: {(~own).sum():,} images are, or are like, some of the test: they are not learned from"
        warnings.warn(text, stacklevel=4)
    return learn.take(own)


def describe(data, note):
    """Tell of the data in a line, with what the audit found before anything was learned, and paths of each kind."""
    found = data.audit.counts if data.audit is not None else {}
    note(str(data) + "".join(f"; {count:,} {kind}" for kind, count in found.items()))
    for kind, count in found.items():
        paths = [finding.path for finding in data.audit.findings if finding.kind == kind]
        more = f" and {count - NAMED:,} more" if count > NAMED else ""
        note(f"{kind}: {', '.join(map(shown, paths[:NAMED]))}{more}")


def counts(images):
    return np.bincount(images.labels, minlength=len(images.classes)).tolist()


def joined(first, second):
    """The images of both."""
    together = first.decoded and second.decoded
    items = np.concatenate([first.items, second.items]) if together else (*first.items, *second.items)
    labels = np.concatenate([first.labels, second.labels])
    return Batch(items, labels, first.classes, (*first.names, *second.names))


def opened(backbones, images, size=None):
    """The models of names or models; names get the best weights that are known, and inputs of this ``size``."""
    given = (backbones,) if isinstance(backbones, str | keras.Model) else tuple(backbones)
    if not given:
        raise ValueError("`backbones` should be one or more networks. Received: none")
    models = [named(each, size) if isinstance(each, str) else each for each in given]
    names = [model.name for model in models]
    if len({*names}) < len(names):
        raise ValueError(f"`backbones` should have different names. Received: {', '.join(names)}")
    for model in models:
        sides = [side for side in image_input(model)[:2] if side is not None]
        if images is not None and sides and max(sides) > max(images):
            size = "x".join(map(str, images))
            warnings.warn(
                f"{model.name} takes {max(sides)} pixels, images have {size}: they are enlarged", stacklevel=3
            )
    return models


def named(name, size=None):
    """A network of the zoo with published weights, for images of this ``size`` if not its own."""
    known = sources()
    if os.path.isfile(name):
        return open_model(name)
    full = name if name in known else next((each for each in known if each.startswith(f"{name}_")), name)
    if full not in known:
        raise ValueError(unknown("backbone with weights", name, [each for each in list_models() if each in known]))
    return open_model(full, size)


def writable(out, resume, name):
    """The folder of the ledger in ``out``, which can be written to; None where nothing is to be kept."""
    if out is None:
        return None
    folder = Path(out) / name
    if folder.exists() and any(folder.iterdir()) and not resume:
        raise FileExistsError(f"`out` should be new, or resume=True. Received: {out}, which has a study in it")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / ".draft-probe").write_bytes(b"")  # now, not after an hour
    (folder / ".draft-probe").unlink()
    return folder


class Given(NamedTuple):
    """Images that could be read, with a hash of each, and what belongs together: alike for copies and groups."""

    images: Batch
    hashes: tuple
    groups: tuple

    def take(self, indices):
        """Those at these positions."""
        hashes, groups = (tuple(values[i] for i in indices) for values in (self.hashes, self.groups))
        return Given(self.images.take(indices), hashes, groups)


def asked(images, labels, part):
    """The ``Given`` of a `Batch`, of a part of a dataset, or of whatever `predict` takes."""
    together: Mapping = {}
    if isinstance(images, Data):
        together = {} if images.audit is None else dict(zip(images.audit.good.names, images.audit.keys, strict=True))
        images = getattr(images, part, None)
        if images is None or not len(images):
            raise ValueError(f"`part` should be train, valid or test, with images in it. Received: {part!r}")
    if isinstance(images, Batch) and labels is not None:
        raise ValueError("`labels` should be None for a dataset, which has its own. Received: labels")
    images = images if isinstance(images, Batch) else numbered(batch_of(images), labels)
    read = list(each(known, images.items))
    failed = {name: str(found) for name, found in zip(images.names, read, strict=True) if isinstance(found, Exception)}
    good = [i for i, found in enumerate(read) if not isinstance(found, Exception)]
    if not good:
        raise ImageError("`images`", f"{len(images)} that cannot be read: {next(iter(failed.values()))}", "be images")
    images = images.take(good)
    if not images.decoded:
        images = replace(images, items=tuple(read[i][1] for i in good))  # what can be read once only was read
    hashes = tuple(read[i][0] for i in good)
    groups = tuple(together.get(name, own) for name, own in zip(images.names, hashes, strict=True))
    return Given(replace(images, failed=failed), hashes, groups)


def known(image):
    """The hash of an image and the image, or why it cannot be read."""
    try:
        return content(image)
    except (OSError, ValueError) as error:
        return error


def numbered(images, labels):
    """The `Batch` with labels as numbers, and the classes that they number: None where they were numbers."""
    if labels is None:
        return images
    labels = np.asarray(labels)
    if labels.shape != (len(images),):
        raise ValueError(f"`labels` should say the class of each of the {len(images)} images. Received: {labels.shape}")
    if labels.dtype.kind in "iu":
        return replace(images, labels=labels.astype(np.int64))
    classes, labels = np.unique(labels.astype(str), return_inverse=True)
    return replace(images, labels=labels.astype(np.int64), classes=tuple(classes.tolist()))


UNITS = {"s": 1, "m": 60, "h": 3600, "": 1}


def budgeted(budget):
    """Seconds, from a number or from "90s", "10m", "1h"; None is no limit."""
    if budget is None:
        return None
    found = re.fullmatch(r"(\d+\.?\d*)\s*([smh]?)", str(budget).strip())
    if isinstance(budget, bool) or not found or float(found[1]) <= 0:
        raise ValueError(f"`budget` should be seconds, or as in 90s, 10m or 1h. Received: {budget!r}")
    return float(found[1]) * UNITS[found[2]]
