"""Load, check and split a dataset: `load`."""

from __future__ import annotations

import hashlib
import warnings
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from numbers import Real

import numpy as np

from ..inputs.batch import DataError
from ..inputs.resize import size_pair
from ..support.checks import check_integer
from ..support.types import DataSource, Size
from .audit import audit_listing
from .dataset import Data
from .sources import open_listing


def load(
    source: DataSource,
    *,
    size: Size | None = None,
    valid: float = 0.1,
    test: float = 0.1,
    seed: int = 0,
    groups: str | Callable[[str], object] | Mapping[str, object] | Sequence[object] | None = None,
    limit: int | None = None,
) -> Data:
    """Load a dataset, check every image, and split it.

    Bad files are excluded with a warning, up to 5 % of them. Splits that the source has are kept; missing ones are
    taken from the training images by hashing, so that images keep their split when others are added. Duplicates stay in
    the same split. Images of one size are kept decoded if they fit into 1 GiB; photos of various sizes stay files.

    Args:
        source: a folder with one subfolder per class (below train, valid and test, if it has these), a zip archive of
            one, a CSV file (file, label[, split][, group]), arrays (x, y) or ((x, y), (x_test, y_test)), an .npz file
            of these, or a name: "digits", "shapes", "cifar10", "cifar100", "mnist" or "fashion_mnist".
        size: height and width in pixels, to which all images are resized and cropped while loading; None keeps them.
        valid: fraction of the images for validation.
        test: fraction of the images for testing.
        seed: of the random splits.
        groups: images of a group stay in the same split; a regular expression of file names, a function or a dict from
            file names to groups, or, for arrays, one value per image.
        limit: largest number of images to load, taken evenly from the classes; None loads all.

    Returns:
        A ``Data`` with ``train``, ``valid`` and ``test``. Class names are in the order of ``sorted``.
    """
    check_fraction("valid", valid)
    check_fraction("test", test)
    if valid + test >= 1:
        raise ValueError(
            f"`valid` + `test` should be less than 1, to leave images for training. Received: {valid} and {test}"
        )
    if limit is not None:
        check_integer(limit=limit)
    found = open_listing(source)
    if hasattr(groups, "__len__") and not isinstance(groups, str | Mapping):
        found, groups = add_groups(found, groups), None
    if limit is not None:
        found = select_entries(found, limit_entries(found.entries, limit, seed))
    audit = audit_listing(found, size=size_pair(size), keep=found.pixels is None or size is not None, groups=groups)
    if audit.fatal:
        raise DataError(audit.fatal)
    warn_of_findings(audit)
    return build_dataset(audit, found, assign_parts(audit.parts, audit.keys, audit.good.labels, valid, test, seed))


def build_dataset(audit, found, chosen):
    """A ``Data`` of the images in their splits; its audit keeps the files even where the splits have the pixels."""
    images = audit.good
    part = {name: np.flatnonzero(chosen == name) for name in ("train", "valid", "test")}
    if not len(part["train"]):
        raise DataError(f"{audit.name} should have training images. Received: only validation or test images")
    test = images.take(part["test"]) if len(part["test"]) else None
    if images.is_decoded and found.pixels is None:
        files = {entry.name: entry.item for entry in found.entries}
        audit = replace(audit, good=replace(images, items=tuple(files[name] for name in images.names)))
    train, valid = images.take(part["train"]), images.take(part["valid"])
    return Data(name=audit.name, train=train, valid=valid, test=test, audit=audit)


def check_fraction(argument, share):
    if not isinstance(share, Real) or isinstance(share, bool) or not 0 <= share < 1:
        raise ValueError(f"`{argument}` should be a fraction, at least 0 and below 1. Received: {share!r}")


def add_groups(found, groups):
    """The listing with a group for each entry, in order."""
    if len(groups) != len(found.entries):
        raise ValueError(
            f"`groups` should have one value for each of the {len(found.entries)} images. "
            f"Received: {len(groups)} values"
        )
    entries = [entry._replace(group=str(group)) for entry, group in zip(found.entries, groups, strict=True)]
    return replace(found, entries=tuple(entries))


def select_entries(found, indices):
    """The listing with the entries at these positions."""
    pixels = None if found.pixels is None else found.pixels[indices]
    return replace(found, entries=tuple(found.entries[i] for i in indices), pixels=pixels)


def warn_of_findings(audit):
    """Warn of excluded files, and of findings that make results look too good."""
    if audit.bad:
        total = len(audit.bad) + len(audit.good)
        excluded = f"excluded {len(audit.bad):,} of {total:,} images"
        warnings.warn(f"{audit.name}: {excluded}: {audit.summary('bad')}", stacklevel=3)
    leaks = {key: count for key, count in audit.counts.items() if key in ("leakage", "conflicting labels")}
    for kind, count in leaks.items():
        warnings.warn(f"{audit.name}: {count:,} images with {kind}; audit(...) lists them", stacklevel=3)


def hash_fraction(key, seed=0):
    """A number in [0, 1) that depends on key and seed alone: the first 64 bits of a salted SHA-256."""
    return (
        int.from_bytes(hashlib.sha256(f"{seed} {key}".encode("utf-8", "surrogateescape")).digest()[:8], "big") / 2**64
    )


def split_by_hash(keys, labels, valid, test, seed=0):
    """The split of each image: "test" if the ``hash_fraction`` of its key is below ``test``, "valid" just above that.

    Each class is split in these fractions, up to the chance of the hash (of 1,000 images, 100 +- 9), and an image keeps
    its split whatever is added. Only small sets are corrected: a class without a training image gets the one with the
    highest fraction, and an empty split gets the image with the lowest that its classes can spare.
    """
    place = {key: hash_fraction(key, seed) for key in keys}
    part = {key: "test" if at < test else "valid" if at < test + valid else "train" for key, at in place.items()}
    classes = defaultdict(set)
    for key, label in zip(keys, np.asarray(labels).tolist(), strict=True):
        classes[label].add(key)
    for owned in classes.values():
        if not any(part[key] == "train" for key in owned):
            part[max(owned, key=place.get)] = "train"
    for name in [name for name, share in (("test", test), ("valid", valid)) if share]:
        if name not in part.values():
            spare = [key for key in place if can_spare(key, part, classes)]
            if spare:
                part[min(spare, key=place.get)] = name
    return np.array([part[key] for key in keys], object)


def can_spare(key, part, classes):
    """Whether every class with this key has other training images."""
    owners = [owned for owned in classes.values() if key in owned]
    return part[key] == "train" and all(sum(part[other] == "train" for other in owned) > 1 for owned in owners)


def assign_parts(given, keys, labels, valid, test, seed=0):
    """The split of each image: as given where it is, the missing splits from the remaining images."""
    given = np.array(given, object)
    valid = 0 if (given == "valid").any() else valid
    test = 0 if (given == "test").any() else test
    free = given == "" if (given == "").any() else given == "train"
    chosen = np.where(given == "", "train", given).astype(object)
    where = np.flatnonzero(free)
    if len(where) and (valid or test):
        chosen[where] = split_by_hash([keys[i] for i in where], np.asarray(labels)[where], valid, test, seed)
    return chosen


def limit_entries(entries, limit, seed=0):
    """At most ``limit`` entries per split, evenly from the classes; a larger limit keeps those of a smaller one."""
    queues = defaultdict(lambda: defaultdict(list))
    for i, entry in enumerate(entries):
        queues[entry.part][entry.label].append((hash_fraction(entry.name, seed), i))
    chosen = []
    for classes in queues.values():
        ranked = [(rank, label, i) for label, queue in classes.items() for rank, (_, i) in enumerate(sorted(queue))]
        chosen += [i for _, _, i in sorted(ranked)[:limit]]
    return sorted(chosen)
