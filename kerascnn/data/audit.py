"""Check every file of a dataset: `audit`, and its result, an `Audit`."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from ..inputs.batch import Batch, DataError
from ..inputs.decode import map_in_threads
from ..inputs.resize import size_pair
from ..support.display import TextResult
from ..support.files import write_json, write_text
from ..support.text import pluralize
from ..support.types import DataSource, FilePath, OnProgress, Verbose
from . import inspection
from .dataset import BUDGET, FEWEST
from .inspection import KINDS, SEVERITIES, inspect_entry
from .listing import Entry, Finding, file_suffix
from .sources import open_listing

TOLERATED = 0.05  # largest fraction of bad images; above it, something is wrong with the whole dataset
UNEVEN = 3.0  # largest class over smallest
CHAIN, PART = 20, 0.1  # largest group of near duplicates kept in one split; beyond both, only those with equal pixels


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class Audit(TextResult):
    """Findings about the files and classes of a dataset, and its usable images.

    Attributes:
        name: of the dataset.
        findings: a ``Finding`` (path, kind, detail) for each problem of a file or a class.
        good: a ``Batch`` of the usable images.
        parts: for each good image, "train", "valid" or "test" as the source says, or "".
        keys: for each good image, a key that is equal for images that stay in the same split.
        sizes: the (height, width) of the good images, each once.
    """

    name: str
    findings: tuple[Finding, ...]
    good: Batch
    parts: tuple[str, ...]
    keys: tuple[str, ...]
    sizes: frozenset

    def _headline(self):
        counts = (
            f"{pluralize(len(self.good), 'image')}, {len(self.bad)} bad, {pluralize(len(self.findings), 'finding')}"
        )
        return f"{self.name}: {counts}"

    @property
    def table(self):
        """The findings as a DataFrame (path, kind, severity, detail), worst first."""
        import pandas as pd

        order = {kind: (SEVERITIES.index(row.severity), i) for i, (kind, row) in enumerate(KINDS.items())}
        rows = sorted(self.findings, key=lambda finding: (order[finding.kind], finding.path))
        rows = [(path, kind, KINDS[kind].severity, detail) for path, kind, detail in rows]
        return pd.DataFrame(rows, columns=["path", "kind", "severity", "detail"])

    @property
    def counts(self):
        """The number of findings of each kind, in the order of ``KINDS``."""
        counts = Counter(finding.kind for finding in self.findings)
        return {kind: counts[kind] for kind in KINDS if counts[kind]}

    @property
    def balance(self):
        """The number of good images of each class."""
        counts = np.bincount(self.good.labels, minlength=len(self.good.class_names))
        return dict(zip(self.good.class_names, counts.tolist(), strict=True))

    @property
    def bad(self):
        """The excluded files: a dict of their paths and the kind of problem."""
        return {path: kind for path, kind, _ in self.findings if KINDS[kind].severity == "bad"}

    @property
    def fatal(self):
        """Why this dataset cannot be used; "" if it can."""
        if not len(self.good):
            return f"{self.name} should have images in one subfolder per class. Received: no readable images" + (
                f" ({self.summary('bad', 'ignored')})" if self.findings else ""
            )
        total = len(self.bad) + len(self.good)
        if len(self.bad) > TOLERATED * total:
            share = f"{len(self.bad):,} bad images of {total:,} ({self.summary('bad')})"
            return f"{self.name} should have at most {TOLERATED:.0%} bad images. Received: {share}"
        return ""

    def summary(self, *severities):
        """Count the findings of some severities in words, the most frequent kind first.

        Args:
            *severities: of "bad", "warning", "note" and "ignored".

        Returns:
            Text such as "3 truncated, 1 empty".
        """
        counts = {kind: count for kind, count in self.counts.items() if KINDS[kind].severity in severities}
        return ", ".join(f"{count:,} {kind}" for kind, count in sorted(counts.items(), key=lambda row: -row[1]))

    def text(self, limit: int = 10) -> str:
        """The audit as text: the counts of each kind, the classes, and the worst files.

        Args:
            limit: number of paths to list for each kind of problem.

        Returns:
            Text of several lines.
        """
        return "\n".join(report_lines(self, limit))

    def __str__(self):
        return self.text()

    def save(self, path: FilePath) -> Path:
        """Write the table as .csv, or everything as .json.

        Args:
            path: file to write; its suffix says which.

        Returns:
            The path.
        """
        if Path(path).suffix not in (".csv", ".json"):
            raise ValueError(f"`path` should end in .csv or .json. Received: {path}")
        if Path(path).suffix == ".json":
            return write_json(path, audit_document(self), make_folders=False)
        return write_text(path, self.table.to_csv(index=False), make_folders=False)


def audit(source: DataSource, *, verbose: Verbose = "auto", on_progress: OnProgress | None = None) -> Audit:
    """Check a dataset: damaged files, duplicates, leaks and imbalance.

    Every image is decoded once, by the decoder that training uses.

    Args:
        source: a dataset, as ``load`` takes it.
        verbose: 0 shows nothing, 2 prints lines, 1 or "auto" shows a progress bar on a terminal and lines elsewhere.
        on_progress: called as ``on_progress(done, total, what)`` instead; may raise to end the work.

    Returns:
        An ``Audit``.
    """
    return audit_listing(open_listing(source), verbose=verbose, on_progress=on_progress)


def audit_listing(found, *, size=None, keep=False, groups=None, verbose="auto", on_progress=None):
    """Audit a listing.

    Args:
        found: a ``Listing``.
        size: (height, width) to which the kept pixels are resized and cropped; without it they are kept as they are.
        keep: whether to keep the pixels in memory, if they fit and all have the same shape.
        groups: as ``load`` takes them, but not as a list.
        verbose: as for ``audit``.
        on_progress: as for ``audit``.
    """
    entries, size = found.entries, size_pair(size)
    what = "" if found.pixels is not None else f"{found.name}: reading images"
    inspect = partial(inspect_entry, size=size, keep=keep)
    results = map_in_threads(inspect, entries, what, verbose=verbose, on_progress=on_progress)
    kept, inspections, good = None, [], []

    for i, (inspection_of_entry, pixels) in enumerate(results):
        inspections.append(inspection_of_entry)
        if not inspection_of_entry.sha:
            continue
        if keep and not good and fits_in_memory(len(entries), pixels.shape):
            kept = np.empty((len(entries), *pixels.shape), np.uint8)
        kept = None if kept is None else store_pixels(kept, len(good), pixels)
        good.append(i)

    good_entries = [entries[i] for i in good]
    good_inspections = [inspections[i] for i in good]
    items = kept[: len(good)] if kept is not None else original_items(found, good)
    images = build_labeled_batch(items, good_entries, tuple(inspected.sha for inspected in good_inspections))

    findings = list(found.findings)
    for inspected in inspections:
        findings += inspected.findings
    findings += find_class_problems(found, images)
    duplicates, together = find_duplicates(good_entries, good_inspections)

    return Audit(
        name=found.name,
        findings=(*findings, *duplicates),
        good=images,
        parts=tuple(entry.part for entry in good_entries),
        keys=split_keys(good_entries, good_inspections, together, groups),
        sizes=frozenset(inspected.shape for inspected in good_inspections),
    )


def fits_in_memory(count, shape):
    """Whether the decoded pixels of ``count`` images of this shape fit into the memory budget."""
    return count * shape[0] * shape[1] * 3 <= BUDGET


def store_pixels(kept, place, pixels):
    """The array with one more image in it; None if that has another height or width."""
    if pixels.shape != kept.shape[1:]:
        if pixels.shape[:2] != kept.shape[1:3]:
            return None
        kept = np.repeat(kept, 3, axis=-1) if kept.shape[-1] == 1 else kept
        pixels = np.repeat(pixels, 3, axis=-1) if pixels.shape[-1] == 1 else pixels
    kept[place] = pixels
    return kept


def original_items(found, good):
    """The good items as the listing has them: files, or pixels of its array."""
    if found.pixels is None:
        return tuple(found.entries[i].item for i in good)
    return found.pixels if len(good) == len(found.pixels) else found.pixels[good]


def build_labeled_batch(items, entries, hashes):
    """A `Batch` of the entries, labeled; classes without images are dropped."""
    classes = tuple(sorted({entry.label for entry in entries}))
    index = {name: i for i, name in enumerate(classes)}
    labels = np.array([index[entry.label] for entry in entries], np.int64)
    return Batch(items, labels, classes, tuple(entry.name for entry in entries), hashes=hashes)


def find_class_problems(found, images):
    """Findings about the classes: empty, single, small, uneven, or with similar names."""
    counts = np.bincount(images.labels, minlength=len(images.class_names))
    rows = [
        Finding(name, "empty class", "no readable image")
        for name in found.class_names
        if name not in images.class_names
    ]
    if len(images.class_names) == 1:
        rows.append(Finding(images.class_names[0], "single class"))
    for name, count in zip(images.class_names, counts.tolist(), strict=True):
        if count < FEWEST:
            rows.append(Finding(name, "small class", f"{count} image{'s' * (count > 1)}"))
    tested = {entry.label for entry in found.entries if entry.part == "test"}
    for name in images.class_names:
        if tested and name not in tested:
            rows.append(Finding(name, "untested class", "none of its images is in the test split"))
    if len(counts) > 1 and counts.max() > UNEVEN * counts.min():
        most, least = images.class_names[counts.argmax()], images.class_names[counts.argmin()]
        rows.append(Finding(most, "imbalance", f"{counts.max():,} images, but only {counts.min():,} of {least}"))
    spelled = {}
    for name in found.class_names:
        plain = re.sub(r"[\s_-]+", "", name).casefold()
        if plain in spelled:
            rows.append(
                Finding(name, "similar classes", f"differs from {spelled[plain]!r} only in case, spaces or punctuation")
            )
        spelled.setdefault(plain, name)
    return rows


def find_duplicates(entries, seen):
    """Findings about duplicates, and for each image the first image of those that it has to stay together with."""
    first = inspection.first_with_equal_pixels([one.sha for one in seen])
    alone = np.flatnonzero(first == np.arange(len(seen)))
    near = alone[inspection.near_duplicate_pairs([seen[i].fingerprint for i in alone], [seen[i].thumb for i in alone])]
    copies = [(int(first[i]), i, "exact duplicate") for i in np.flatnonzero(first != np.arange(len(seen)))]
    reported, rows = set(), []
    for i, j, kind in copies + [(i, j, "near duplicate") for i, j in near.tolist()]:
        first_entry, entry = entries[i], entries[j]

        if (kind, j) not in reported:
            rows.append(Finding(entry.name, kind, f"duplicate of {first_entry.name}"))
            reported.add((kind, j))

        if first_entry.label != entry.label and ("conflicting labels", j) not in reported:
            reported.add(("conflicting labels", j))
            detail = f"labeled {entry.label!r}, but {first_entry.name} is labeled {first_entry.label!r}"
            rows.append(Finding(entry.name, "conflicting labels", detail))

        if first_entry.part != entry.part and first_entry.part and entry.part and ("leakage", j) not in reported:
            reported.add(("leakage", j))
            detail = f"in {entry.part}, but {first_entry.name} is in {first_entry.part}"
            rows.append(Finding(entry.name, "leakage", detail))

    chained = inspection.group_by_pairs(len(seen), [*enumerate(first), *near])
    sizes = np.bincount(chained, minlength=len(seen))[chained]
    return rows, np.where(sizes > max(CHAIN, PART * len(seen)), first, chained)


def find_overlap(images, others, what=""):
    """Whether each of the images is a duplicate or near duplicate of one of ``others``, as an array (N,) of bool."""
    entries = [
        Entry(item, name, "") for batch in (images, others) for item, name in zip(batch.items, batch.names, strict=True)
    ]
    inspections = [inspected for inspected, _ in map_in_threads(inspect_entry, entries, what)]
    _, together = find_duplicates(entries, inspections)
    return np.isin(together[: len(images)], together[len(images) :])


def split_keys(entries, seen, together, groups):
    """The key by which each image is assigned to a split: its group, else a hash of its pixels; equal for all that
    stay together."""
    named = entry_groups(entries, groups)
    heads = {}
    pairs = [*enumerate(together)]
    for i, group in enumerate(named):
        if group:
            pairs.append((heads.setdefault(group, i), i))
    joined = inspection.group_by_pairs(len(entries), pairs)
    own = [f"group {group}" if group else f"sha1 {one.sha}" for group, one in zip(named, seen, strict=True)]
    keys = {}
    for root, key in zip(joined.tolist(), own, strict=True):
        keys[root] = min(key, keys.get(root, key))
    return tuple(keys[root] for root in joined.tolist())


def entry_groups(entries, groups):
    """The group of each entry, "" for none: as listed, or from a regular expression, a function or a dict of names."""
    if groups is None:
        return [entry.group for entry in entries]
    if isinstance(groups, str):
        try:
            pattern = re.compile(groups)
        except re.error as error:
            raise DataError(f"`groups` should be a valid regular expression. Received: {groups!r}: {error}") from None
        matches = [pattern.search(entry.name) for entry in entries]
        found = [(match[1] if pattern.groups else match[0]) if match else "" for match in matches]
        if not any(found):
            raise DataError(
                f"`groups` should match file names such as {os.fspath(entries[0].name)!r}. Received: {groups!r}"
            )
        return [group or "" for group in found]
    group_of = groups.get if isinstance(groups, Mapping) else groups
    if not callable(group_of):
        raise DataError(f"`groups` should be a regular expression, a function or a dict. Received: {groups!r}")
    named = [group_of(entry.name) for entry in entries]
    return ["" if group is None else str(group) for group in named]


TITLES = {"bad": "excluded", "warning": "warnings", "note": "converted", "ignored": "ignored files"}
LISTED = 30  # classes, at most
BAR = 30  # letters of the longest bar


def report_lines(audit, limit):
    """The lines of `Audit.text`."""
    bad, good = len(audit.bad), len(audit.good)
    share = f", {bad:,} bad images ({bad / (bad + good):.1%})" if bad else ", no bad images"
    yield f"{audit.name}: {good:,} images in {len(audit.good.class_names)} classes{share}"
    yield from kind_lines(audit)
    yield from class_lines(audit)
    for severity in ("bad", "warning"):
        yield from path_lines(audit, severity, limit)
    if audit.fatal:
        yield ""
        yield audit.fatal


def kind_lines(audit):
    """The number of findings of each kind, by severity."""
    for severity in SEVERITIES:
        counts = {kind: count for kind, count in audit.counts.items() if KINDS[kind].severity == severity}
        if counts:
            yield ""
            yield TITLES[severity]
        for kind, count in counts.items():
            yield f"  {count:>7,}  {kind:<18}  {KINDS[kind].meaning}"
            if kind in ("unreadable format", "other file"):
                yield f"{'':31}{', '.join(f'{count:,} {name}' for name, count in count_suffixes(audit, kind))}"


def count_suffixes(audit, kind):
    """The file name extensions of one kind of finding, as (suffix, count), the most frequent first."""
    names = [
        finding.detail if kind == "unreadable format" else file_suffix(finding.path)
        for finding in audit.findings
        if finding.kind == kind
    ]
    return Counter(f".{name}" if name else "without file extension" for name in names).most_common()


def class_lines(audit):
    """The number of images of each class, with bars."""
    balance = audit.balance
    most, width = max(balance.values(), default=0), min(30, max(map(len, balance), default=0))
    if balance:
        yield ""
        yield "classes"
    ordered = sorted(balance.items(), key=lambda row: (-row[1], row[0])) if len(balance) > LISTED else balance.items()
    for name, count in [*ordered][:LISTED]:
        yield f"  {count:>7,}  {printable_name(name)[:width]:<{width}}  {'#' * max(1, round(BAR * count / most))}"
    if len(balance) > LISTED:
        yield f"           and {len(balance) - LISTED} more, down to {min(balance.values()):,}"


def path_lines(audit, severity, limit):
    """The first paths of each kind of finding."""
    table = audit.table
    for kind in KINDS:
        rows = table[(table.kind == kind) & (table.severity == severity)]
        if len(rows):
            yield ""
            yield kind
            for path, detail in zip(rows.path[:limit], rows.detail[:limit], strict=True):
                yield f"  {printable_name(path)}" + (f"  ({printable_name(detail)})" if detail else "")
        if len(rows) > limit:
            yield f"  and {len(rows) - limit:,} more"


def printable_name(text):
    """A file name on one line, with what cannot be printed escaped."""
    return text if text.isprintable() else repr(text)[1:-1]


def audit_document(audit):
    """The audit as plain data."""
    return {
        "name": audit.name,
        "images": len(audit.good),
        "bad": len(audit.bad),
        "fatal": audit.fatal,
        "counts": audit.counts,
        "classes": audit.balance,
        "sizes": sorted(map(list, audit.sizes))[:100],
        "findings": audit.table.to_dict("records"),
    }
