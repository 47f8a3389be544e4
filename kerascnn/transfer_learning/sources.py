"""The inputs of a study: data with a test set, backbones, a folder for the ledger."""

import json
import os
import re
import warnings
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import keras
import numpy as np

from ..data.audit import find_overlap, printable_name
from ..data.dataset import Data
from ..data.load import WARNED, load_dataset
from ..data.splits import SPLIT_RULE
from ..data.training_images import warn_of_training_images
from ..inputs.batch import Batch, DataError, as_batch
from ..inputs.classifier import image_input_shape, open_model
from ..inputs.decode import ImageError, map_in_threads
from ..support.files import write_json
from ..support.store import Store
from ..support.text import unknown_name
from ..zoo.registry import list_models, weights_sources
from .store import hash_image

MIN_IMAGES = 2  # training images that each class must have
SPLIT_FILE = "split.json"  # in a ledger: the version of the rule by which its data are split
MAX_PATHS = 30  # paths listed for each kind of finding


def prepare_data(data, test, groups, seed, rule=SPLIT_RULE):
    """`Data` with training images, validation images included, and a test set; warns of problems."""
    if not isinstance(data, Data):
        found = load_dataset(data, valid=0.0, test=test, groups=groups, seed=seed, rule=rule)
        if test and min(class_counts(found.train)) < MIN_IMAGES:
            warnings.warn(
                (f"{found.name}: too few images in a class to set aside a test set; all images are used for training"),
                stacklevel=3,
            )
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # the same warnings again
                found = load_dataset(data, valid=0.0, test=0.0, groups=groups, seed=seed)
        data = found
    has_valid = data.valid is not None and len(data.valid)
    training = concatenate_batches(data.train, data.valid) if has_valid else data.train
    training = exclude_test_copies(training, data)
    counts = zip(class_counts(training), training.class_names, strict=True)
    few = [(count, name) for count, name in counts if count < MIN_IMAGES]
    if len(training.class_names) < 2 or few:
        received = f"class {min(few)[1]} with {min(few)[0]}" if few else f"only one class, {training.class_names[0]}"
        raise DataError(
            f"`data` should have at least two classes, with at least {MIN_IMAGES} images each. Received: {received}"
        )
    return replace(data, train=training, valid=training.take([]))


def exclude_test_copies(training, data):
    """The training images without duplicates of test images and without images of their groups."""
    if data.audit is None or data.test is None:
        return training
    keys = dict(zip(data.audit.good.names, data.audit.keys, strict=True))
    if {*data.test.names} <= keys.keys() - {*training.names}:
        locked = {keys[name] for name in data.test.names}
        keep = np.array([keys.get(name) not in locked for name in training.names], bool)
    else:  # a test set from another source, which the audit does not cover
        keep = ~find_overlap(
            training, data.test, f"{data.name}: looking for training images that are also in the test set"
        )
    if not keep.all():
        text = (
            f"{data.name}: {(~keep).sum():,} training images are duplicates or near duplicates of test images "
            "and are excluded"
        )
        warnings.warn(text, stacklevel=4)
    return training.take(keep)


def warn_of_known_images(models, data):
    """Warn of images on which a backbone was trained; all accuracies would be too high."""
    parts = {"training images": data.train, "test images": data.test}
    for model in models:
        for what, images in parts.items():
            if images is not None:
                warn_of_training_images(model, images, what)


def describe_data(data, note):
    """Send notes about the data and the findings of their audit."""
    found = data.audit.counts if data.audit is not None else {}
    counts = [f"; {count:,} {kind}" for kind, count in found.items() if kind not in WARNED]
    note(str(data) + "".join(counts))
    for kind, count in found.items():
        paths = [finding.path for finding in data.audit.findings if finding.kind == kind]
        more = f" and {count - MAX_PATHS:,} more" if count > MAX_PATHS else ""
        note(f"{kind}: {', '.join(map(printable_name, paths[:MAX_PATHS]))}{more}")


def class_counts(images):
    return np.bincount(images.labels, minlength=len(images.class_names)).tolist()


def concatenate_batches(first, second):
    """The images of both."""
    together = first.is_decoded and second.is_decoded
    items = np.concatenate([first.items, second.items]) if together else (*first.items, *second.items)
    labels = np.concatenate([first.labels, second.labels])
    hashes = (*first.hashes, *second.hashes) if first.hashes and second.hashes else ()
    return Batch(items, labels, first.class_names, (*first.names, *second.names), hashes=hashes)


def open_backbones(backbones, images, size=None):
    """Open backbones given as names, files or models; names of the zoo get their best published weights."""
    backbones = (backbones,) if isinstance(backbones, str | keras.Model) else tuple(backbones)
    if not backbones:
        raise ValueError("`backbones` should contain at least one network. Received: none")
    models = [open_backbone(source, size) if isinstance(source, str) else source for source in backbones]
    names = [model.name for model in models]
    if len({*names}) < len(names):
        raise ValueError(f"`backbones` should have different names. Received: {', '.join(names)}")
    for model in models:
        sides = [side for side in image_input_shape(model)[:2] if side is not None]
        if images is not None and sides and max(sides) > max(images):
            size = "x".join(map(str, images))
            warnings.warn(f"{model.name} takes {max(sides)} pixels; images of {size} pixels are enlarged", stacklevel=3)
    return models


def open_backbone(name, size=None):
    """Open a file, or a network of the zoo with published weights for images of this size."""
    known = weights_sources()
    if os.path.isfile(name):
        return open_model(name)
    full = name if name in known else next((each for each in known if each.startswith(f"{name}_")), name)
    if full not in known:
        raise ValueError(unknown_name("backbone with weights", name, [each for each in list_models() if each in known]))
    return open_model(full, size)


def make_ledger_folder(out, resume, name):
    """Create the folder of the ledger in ``out``, and check that it is writable; None if nothing is stored."""
    if out is None:
        return None
    folder = Path(out) / name
    if folder.exists() and any(folder.iterdir()) and not resume:
        raise FileExistsError(
            f"`out` should be a new folder, unless `resume=True`. Received: {out}, which contains a study"
        )
    folder.mkdir(parents=True, exist_ok=True)
    (folder / ".draft-probe").write_bytes(b"")  # fail now rather than after an hour of work
    (folder / ".draft-probe").unlink()
    write_json(folder / SPLIT_FILE, {"rule": study_split_rule(folder)})
    return folder


def study_split_rule(folder):
    """The version of the rule for the split of the study with its ledger in a folder; without one the current one."""
    if folder is None:
        return SPLIT_RULE
    if (folder / SPLIT_FILE).exists():
        return json.loads((folder / SPLIT_FILE).read_text())["rule"]
    return 1 if Store(folder).list_keys() else SPLIT_RULE


class HashedImages(NamedTuple):
    """Readable images with a hash of each; equal ``groups`` mark duplicates and images that belong together."""

    images: Batch
    hashes: tuple
    groups: tuple

    def take(self, indices):
        """The images at these positions."""
        hashes, groups = (tuple(values[i] for i in indices) for values in (self.hashes, self.groups))
        return HashedImages(self.images.take(indices), hashes, groups)


def read_hashed_images(images, labels, part):
    """The `HashedImages` of a batch, a part of a dataset, or whatever `predict` takes."""
    together = {}
    if isinstance(images, Data):
        together = {} if images.audit is None else dict(zip(images.audit.good.names, images.audit.keys, strict=True))
        images = getattr(images, part, None)
        if images is None or not len(images):
            raise ValueError(f"`part` should be train, valid or test, and have images. Received: {part!r}")
    if isinstance(images, Batch) and labels is not None:
        raise ValueError("`labels` should be None for a dataset, which has its own labels. Received: labels")
    images = images if isinstance(images, Batch) else number_labels(as_batch(images), labels)
    read = list(map_in_threads(hash_or_error, images.items))
    failed = {name: str(found) for name, found in zip(images.names, read, strict=True) if isinstance(found, Exception)}
    good = [i for i, found in enumerate(read) if not isinstance(found, Exception)]
    if not good:
        raise ImageError("`images`", f"{len(images)} unreadable images: {next(iter(failed.values()))}", "be readable")
    images = images.take(good)
    if not images.is_decoded:
        images = replace(images, items=tuple(read[i][1] for i in good))  # open files can be read only once
    hashes = tuple(read[i][0] for i in good)
    groups = tuple(together.get(name, own) for name, own in zip(images.names, hashes, strict=True))
    return HashedImages(replace(images, failed=failed), hashes, groups)


def hash_or_error(image):
    """(hash, image), or the exception if the image cannot be read."""
    try:
        return hash_image(image)
    except (OSError, ValueError) as error:
        return error


def number_labels(images, labels):
    """A `Batch` with integer labels; names of classes are numbered in sorted order."""
    if labels is None:
        return images
    labels = np.asarray(labels)
    if labels.shape != (len(images),):
        raise ValueError(
            f"`labels` should have the class of each of the {len(images)} images. Received: {labels.shape}"
        )
    if labels.dtype.kind in "iu":
        return replace(images, labels=labels.astype(np.int64))
    classes, labels = np.unique(labels.astype(str), return_inverse=True)
    return replace(images, labels=labels.astype(np.int64), class_names=tuple(classes.tolist()))


SECONDS_PER_UNIT = {"s": 1, "m": 60, "h": 3600, "": 1}


def parse_budget(budget):
    """Seconds from a number or a string such as "90s", "10m" or "1h"; None is no limit."""
    if budget is None:
        return None
    found = re.fullmatch(r"(\d+\.?\d*)\s*([smh]?)", str(budget).strip())
    if isinstance(budget, bool) or not found or float(found[1]) <= 0:
        raise ValueError(
            f"`budget` should be a number of seconds, or a string such as 90s, 10m or 1h. Received: {budget!r}"
        )
    return float(found[1]) * SECONDS_PER_UNIT[found[2]]
