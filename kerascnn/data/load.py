"""Load, check and split a dataset: `load`."""

from __future__ import annotations

import os
import re
import warnings
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from numbers import Real
from pathlib import Path

import numpy as np

from ..inputs.batch import DataError
from ..inputs.resize import size_pair
from ..support.checks import check_integer
from ..support.store import SPLITS, digest, home
from ..support.text import list_names, pluralize
from ..support.types import DataSource, FilePath, Size
from .audit import audit_listing, printable_name
from .dataset import FEWEST, Data
from .sources import NAMES, open_listing
from .splits import SPLIT_RULE, SplitMemory, assign_parts, hash_fraction

WARNED = ("conflicting labels", "leakage")  # findings of which `load` warns with the names of the images


def load(
    source: DataSource,
    *,
    size: Size | None = None,
    valid: float = 0.1,
    test: float = 0.1,
    seed: int = 0,
    groups: str | Callable[[str], object] | Mapping[str, object] | Sequence[object] | None = None,
    limit: int | None = None,
    remember: bool | FilePath = True,
) -> Data:
    """Load a dataset, check every image, and split it.

    Bad files are excluded with a warning, up to 5 % of them. Splits that the source has are kept; missing ones are
    taken from the training images: of each class the same fraction, within one image, and at least one image of every
    class with 5 or more. Duplicates and groups stay in the same split; where a group is too large for that, its class
    has more or fewer images than its share, and a warning names classes without test images. Images of one size are
    kept decoded if they fit into 1 GiB; photos of various sizes stay files.

    The split of a folder or file is remembered, so that all images keep their split when others are added. Without
    that, the split depends on the images alone, and about 1.5 % of them enter or leave the test set of a small dataset
    when it grows by 10 %.

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
        remember: whether to remember the split: True does for a path, in the folder "splits" of the cache (see
            ``kerascnn cache``), if that can be written; a folder does for arrays too; False neither reads nor writes.

    Returns:
        A ``Data`` with ``train``, ``valid`` and ``test``. Class names are in the order of ``sorted``.
    """
    return load_dataset(
        source, size=size, valid=valid, test=test, seed=seed, groups=groups, limit=limit, remember=remember
    )


def load_dataset(
    source, *, size=None, valid=0.1, test=0.1, seed=0, groups=None, limit=None, remember=True, rule=SPLIT_RULE
):
    """``load`` with an earlier version of the rule for the split, for runs that were begun with it."""
    check_fraction("valid", valid)
    check_fraction("test", test)
    if valid + test >= 1:
        raise ValueError(
            f"`valid` + `test` should be less than 1, to leave images for training. Received: {valid} and {test}"
        )
    if limit is not None:
        check_integer(limit=limit)
    memory = open_memory(source, remember)
    found = open_listing(source)
    if hasattr(groups, "__len__") and not isinstance(groups, str | Mapping):
        found, groups = add_groups(found, groups), None
    if limit is not None:
        found = select_entries(found, limit_entries(found.entries, limit, seed))
    audit = audit_listing(found, size=size_pair(size), keep=found.pixels is None or size is not None, groups=groups)
    if audit.fatal:
        raise DataError(audit.fatal)
    warn_of_findings(audit)
    parts = assign_parts(
        audit.parts,
        audit.keys,
        audit.good.hashes,
        audit.good.labels,
        valid=valid,
        test=test,
        seed=seed,
        memory=memory,
        rule=rule,
    )
    data = build_dataset(audit, found, parts)
    if valid or test:
        warn_of_small_classes(data)
    return data


def open_memory(source, remember):
    """The ``SplitMemory`` of a source as ``load`` takes it."""
    if not isinstance(remember, bool):
        return SplitMemory(folder=Path(remember))
    is_path = isinstance(source, str | os.PathLike) and source not in NAMES and os.path.exists(source)
    if not remember or not is_path:
        return SplitMemory()
    path = Path(os.path.realpath(source))
    letters = re.sub(r"[^\w.+-]", "_", path.name)[:60].lstrip(".")
    return SplitMemory(folder=home() / SPLITS / f"{letters}-{digest(os.fsencode(path))[:12]}", is_optional=True)


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
        warnings.warn(f"{audit.name}: {excluded}: {audit.summary('bad')}", stacklevel=4)
    for kind in WARNED:
        paths = [*dict.fromkeys(printable_name(row.path) for row in audit.findings if row.kind == kind)]
        if paths:
            text = f"{pluralize(len(paths), 'image')} with {kind}: {list_names(paths)}"
            warnings.warn(f"{audit.name}: {text}", stacklevel=4)


def warn_of_small_classes(data):
    """Warn of classes with too few images, and of those that the test set says nothing about."""
    if data.small_classes:
        text = f"fewer than {FEWEST} images of {list_names(data.small_classes)}: too few to train or evaluate"
        warnings.warn(f"{data.name}: {text}", stacklevel=4)
    if data.untested_classes:
        text = f"no test images of {list_names(data.untested_classes)}: test results do not cover them"
        warnings.warn(f"{data.name}: {text}", stacklevel=4)


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
