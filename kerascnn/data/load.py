"""A dataset from wherever it is, checked and divided: `load`."""

import hashlib
import warnings
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import replace
from numbers import Real

import numpy as np

from ..inputs.batch import DataError
from ..inputs.resize import pair
from .audit import examine
from .dataset import Data
from .sources import listing


def load(source, *, size=None, valid=0.1, test=0.1, seed=0, groups=None, limit=None):
    """A dataset as ``Data``: every image decoded and judged once, then divided into train, valid and test.

    ``source`` is a folder with a subfolder a class (train, valid and test may lie above them), a zip archive of one, a
    CSV file (file, label[, split][, group]), arrays (x, y) or ((x, y), (x_test, y_test)), an .npz file of these, or a
    name: digits, shapes, cifar10, cifar100, mnist, fashion_mnist. Classes stand in the plain order of ``sorted``.

    Bad files are left out with a warning, up to 5 % of them. Parts that are given stay; those that are missing are cut
    from the rest by hashing, so that images keep their part when others are added. Images that are the same, or of
    the same group (``groups``: a regular expression, a function or a dict of names, or labels for arrays), stay
    together. Images which are alike in size, or cut to ``size``, are kept decoded where they fit into 1 GiB; without
    ``size`` photos stay files, from which batches cut any part.
    """
    check_share("valid", valid)
    check_share("test", test)
    if valid + test >= 1:
        raise ValueError(f"`valid` and `test` should leave something to train on. Received: {valid} and {test}")
    if limit is not None and (not isinstance(limit, int | np.integer) or isinstance(limit, bool) or limit < 1):
        raise ValueError(f"`limit` should be a whole number of at least 1. Received: {limit!r}")
    found = listing(source)
    if hasattr(groups, "__len__") and not isinstance(groups, str | Mapping):
        found, groups = grouped(found, groups), None
    if limit is not None:
        found = some(found, limited(found.entries, limit, seed))
    audit = examine(found, size=pair(size), keep=found.pixels is None or size is not None, groups=groups)
    if audit.fatal:
        raise DataError(audit.fatal)
    told(audit)
    return assembled(audit, found, parts(audit.parts, audit.keys, audit.good.labels, valid, test, seed))


def assembled(audit, found, chosen):
    """The images in their parts; the audit keeps files, where the parts have their pixels."""
    images = audit.good
    part = {name: np.flatnonzero(chosen == name) for name in ("train", "valid", "test")}
    if not len(part["train"]):
        raise DataError(f"{audit.name} should have images to train on. Received: only others")
    test = images.take(part["test"]) if len(part["test"]) else None
    if images.decoded and found.pixels is None:
        files = {entry.name: entry.item for entry in found.entries}
        audit = replace(audit, good=replace(images, items=tuple(files[name] for name in images.names)))
    return Data(audit.name, images.take(part["train"]), images.take(part["valid"]), test, audit)


def check_share(argument, share):
    if not isinstance(share, Real) or isinstance(share, bool) or not 0 <= share < 1:
        raise ValueError(f"`{argument}` should be a share from 0 to below 1. Received: {share!r}")


def grouped(found, groups):
    """The listing with a group for each of its entries, in their order."""
    if len(groups) != len(found.entries):
        raise ValueError(f"`groups` should have one for each of {len(found.entries)} images. Received: {len(groups)}")
    entries = [entry._replace(group=str(group)) for entry, group in zip(found.entries, groups, strict=True)]
    return replace(found, entries=tuple(entries))


def some(found, indices):
    """The listing with some of its entries."""
    pixels = None if found.pixels is None else found.pixels[indices]
    return replace(found, entries=tuple(found.entries[i] for i in indices), pixels=pixels)


def told(audit):
    """Warn of what is left out, and of what makes figures too good."""
    if audit.bad:
        total = len(audit.bad) + len(audit.good)
        warnings.warn(f"{audit.name}: {len(audit.bad):,} of {total:,} left out: {audit.summary('bad')}", stacklevel=3)
    leaks = {key: count for key, count in audit.counts.items() if key in ("leakage", "conflicting labels")}
    for kind, count in leaks.items():
        warnings.warn(f"{audit.name}: {count:,} times {kind}: audit(...) lists them", stacklevel=3)


def fraction(key, seed=0):
    """A number in [0, 1) that a key always gets: the first 64 bits of its salted sha256."""
    return (
        int.from_bytes(hashlib.sha256(f"{seed} {key}".encode("utf-8", "surrogateescape")).digest()[:8], "big") / 2**64
    )


def divided(keys, labels, valid, test, seed=0):
    """The part of each image: "test" where the ``fraction`` of its key is below ``test``, "valid" in what follows.

    So each class is divided in these shares up to the chance of the hash (of 1,000, 100 +- 9), and an image keeps its
    part whatever is added. Only what is too small for chance is helped: a class without a training image gets the one
    that is nearest to being one, and a part without any image gets the one that is nearest to that.
    """
    place = {key: fraction(key, seed) for key in keys}
    part = {key: "test" if at < test else "valid" if at < test + valid else "train" for key, at in place.items()}
    classes = defaultdict(set)
    for key, label in zip(keys, np.asarray(labels).tolist(), strict=True):
        classes[label].add(key)
    for owned in classes.values():
        if not any(part[key] == "train" for key in owned):
            part[max(owned, key=place.get)] = "train"
    for name in [name for name, share in (("test", test), ("valid", valid)) if share]:
        if name not in part.values():
            spare = [key for key in place if spared(key, part, classes)]
            if spare:
                part[min(spare, key=place.get)] = name
    return np.array([part[key] for key in keys], object)


def spared(key, part, classes):
    """Whether each class can do without this key in training."""
    owners = [owned for owned in classes.values() if key in owned]
    return part[key] == "train" and all(sum(part[other] == "train" for other in owned) > 1 for owned in owners)


def parts(given, keys, labels, valid, test, seed=0):
    """The part of each image, where some may be ``given``: those stay, and what is missing is cut from the rest."""
    given = np.array(given, object)
    valid = 0 if (given == "valid").any() else valid
    test = 0 if (given == "test").any() else test
    free = given == "" if (given == "").any() else given == "train"
    chosen = np.where(given == "", "train", given).astype(object)
    where = np.flatnonzero(free)
    if len(where) and (valid or test):
        chosen[where] = divided([keys[i] for i in where], np.asarray(labels)[where], valid, test, seed)
    return chosen


def limited(entries, limit, seed=0):
    """At most ``limit`` entries of each part, evenly from the classes; a larger limit keeps what a smaller one has."""
    queues = defaultdict(lambda: defaultdict(list))
    for i, entry in enumerate(entries):
        queues[entry.part][entry.label].append((fraction(entry.name, seed), i))
    chosen = []
    for classes in queues.values():
        ranked = [(rank, label, i) for label, queue in classes.items() for rank, (_, i) in enumerate(sorted(queue))]
        chosen += [i for _, _, i in sorted(ranked)[:limit]]
    return sorted(chosen)
