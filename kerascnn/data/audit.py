"""Every file of a dataset decoded once and judged: `audit`, and `Audit`, what it found."""

import os
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np

from ..inputs.batch import Batch, DataError
from ..inputs.decode import each
from ..inputs.resize import pair
from ..support.display import Told
from ..support.files import write_json, write_text
from . import inspection
from .dataset import BUDGET
from .inspection import KINDS, SEVERITIES, inspect
from .listing import Entry, Finding, suffix
from .sources import listing

TOLERATED = 0.05  # of the images may be bad; beyond that something is wrong with the whole
SMALL, UNEVEN = 5, 3.0  # images of a class; largest class over smallest
CHAIN, PART = 20, 0.1  # images alike by way of others that are kept together; above both, only those with equal pixels


@dataclass(frozen=True, eq=False)
class Audit(Told):
    """What was found in a dataset, and the images that are ``good`` for training."""

    name: str
    findings: tuple[Finding, ...] = field(repr=False)
    good: Batch
    parts: tuple[str, ...] = field(repr=False)  # of each good image: train, valid or test as it was given, or ""
    keys: tuple[str, ...] = field(repr=False)  # of each good image: alike for those that have to stay together
    sizes: frozenset = field(repr=False)  # (h, w)

    @property
    def table(self):
        """A DataFrame with a row for each finding: path, kind, severity, detail; the gravest first."""
        import pandas as pd

        order = {kind: (SEVERITIES.index(row.severity), i) for i, (kind, row) in enumerate(KINDS.items())}
        rows = sorted(self.findings, key=lambda finding: (order[finding.kind], finding.path))
        rows = [(path, kind, KINDS[kind].severity, detail) for path, kind, detail in rows]
        return pd.DataFrame(rows, columns=["path", "kind", "severity", "detail"])

    @property
    def counts(self):
        """How often each kind was found, in the order of ``KINDS``; what was not found is not there."""
        found = Counter(finding.kind for finding in self.findings)
        return {kind: found[kind] for kind in KINDS if found[kind]}

    @property
    def balance(self):
        """Good images of each class."""
        counts = np.bincount(self.good.labels, minlength=len(self.good.classes))
        return dict(zip(self.good.classes, counts.tolist(), strict=True))

    @property
    def bad(self):
        """Paths of what is left out, and why."""
        return {path: kind for path, kind, _ in self.findings if KINDS[kind].severity == "bad"}

    @property
    def fatal(self):
        """Why this dataset should not be used; "" where it may."""
        if not len(self.good):
            return f"{self.name} should have images in folders, one a class. Received: none that can be read" + (
                f" ({self.summary('bad', 'ignored')})" if self.findings else ""
            )
        total = len(self.bad) + len(self.good)
        if len(self.bad) > TOLERATED * total:
            share = f"{len(self.bad):,} bad of {total:,} ({self.summary('bad')})"
            return f"{self.name} should have at most {TOLERATED:.0%} bad images. Received: {share}"
        return ""

    def summary(self, *severities):
        """Counts of these severities, the most frequent kind first."""
        counts = {kind: count for kind, count in self.counts.items() if KINDS[kind].severity in severities}
        return ", ".join(f"{count:,} {kind}" for kind, count in sorted(counts.items(), key=lambda row: -row[1]))

    def text(self, worst=10):
        """The audit to be read: counts of each kind, classes, and of what is grave the first ``worst`` paths."""
        return "\n".join(lines(self, worst))

    def __str__(self):
        return self.text()

    def save(self, path):
        """Write the table as .csv, or everything as .json; return the path."""
        if Path(path).suffix not in (".csv", ".json"):
            raise ValueError(f"`path` should end in .csv or .json. Received: {path}")
        if Path(path).suffix == ".json":
            return write_json(path, document(self), make_folders=False)
        return write_text(path, self.table.to_csv(index=False), make_folders=False)


def audit(source, *, verbose="auto", on_progress=None):
    """Decode every image of a dataset once, and list what is odd, bad, double or uneven.

    Args:
        source: as ``load`` takes it.
        verbose: 0 shows nothing, 2 lines, 1 or "auto" a bar on a terminal and lines elsewhere.
        on_progress: called as ``on_progress(done, total, what)`` in place of these; may raise to end the work.

    Returns:
        An ``Audit``.
    """
    return examine(listing(source), verbose=verbose, on_progress=on_progress)


def examine(found, *, size=None, keep=False, groups=None, verbose="auto", on_progress=None):
    """The ``Audit`` of a listing. ``keep``: hold the pixels, cut to ``size``, where all fit into memory.

    Without ``size`` they are held if all images are alike.
    """
    entries, size = found.entries, pair(size)
    what = "" if found.pixels is not None else f"{found.name}: reading"
    look = partial(inspect, size=size, keep=keep)
    kept, seen, good = None, [], []
    for i, (one, pixels) in enumerate(each(look, entries, what, verbose=verbose, on_progress=on_progress)):
        seen.append(one)
        if not one.sha:
            continue
        if keep and not good and fits(len(entries), pixels.shape):
            kept = np.empty((len(entries), *pixels.shape), np.uint8)
        kept = None if kept is None else put(kept, len(good), pixels)
        good.append(i)
    chosen, shown = [entries[i] for i in good], [seen[i] for i in good]
    items = kept[: len(good)] if kept is not None else originals(found, good)
    images = labeled(items, chosen)
    findings = [*found.findings, *(finding for one in seen for finding in one.findings)]
    findings += about_classes(found, images)
    rows, together = alike(chosen, shown)
    keys = splitting_keys(chosen, shown, together, groups)
    sizes = frozenset(one.shape for one in shown)
    return Audit(found.name, tuple(findings + rows), images, tuple(entry.part for entry in chosen), keys, sizes)


def fits(count, shape):
    return count * shape[0] * shape[1] * 3 <= BUDGET


def put(kept, place, pixels):
    """The store with one more image; None from the first that has another shape."""
    if pixels.shape != kept.shape[1:]:
        if pixels.shape[:2] != kept.shape[1:3]:
            return None
        kept = np.repeat(kept, 3, axis=-1) if kept.shape[-1] == 1 else kept
        pixels = np.repeat(pixels, 3, axis=-1) if pixels.shape[-1] == 1 else pixels
    kept[place] = pixels
    return kept


def originals(found, good):
    """The items as the listing has them: files, or the array."""
    if found.pixels is None:
        return tuple(found.entries[i].item for i in good)
    return found.pixels if len(good) == len(found.pixels) else found.pixels[good]


def labeled(items, entries):
    """The good images; their classes are those that have any."""
    classes = tuple(sorted({entry.label for entry in entries}))
    index = {name: i for i, name in enumerate(classes)}
    labels = np.array([index[entry.label] for entry in entries], np.int64)
    return Batch(items, labels, classes, tuple(entry.name for entry in entries))


def about_classes(found, images):
    """What is to be said about the classes."""
    counts = np.bincount(images.labels, minlength=len(images.classes))
    rows = [Finding(name, "empty class", "none can be read") for name in found.classes if name not in images.classes]
    if len(images.classes) == 1:
        rows.append(Finding(images.classes[0], "single class"))
    for name, count in zip(images.classes, counts.tolist(), strict=True):
        if count < SMALL:
            rows.append(Finding(name, "small class", f"{count} image{'s' * (count > 1)}"))
    if len(counts) > 1 and counts.max() > UNEVEN * counts.min():
        most, least = images.classes[counts.argmax()], images.classes[counts.argmin()]
        rows.append(Finding(most, "imbalance", f"{counts.max():,}, and {counts.min():,} of {least}"))
    spelled = {}
    for name in found.classes:
        plain = re.sub(r"[\s_-]+", "", name).casefold()
        if plain in spelled:
            rows.append(Finding(name, "similar classes", f"and {spelled[plain]!r}"))
        spelled.setdefault(plain, name)
    return rows


def alike(entries, seen):
    """Findings about images that are the same, and for each image the first of those it has to stay together with."""
    first = inspection.exact([one.sha for one in seen])
    alone = np.flatnonzero(first == np.arange(len(seen)))
    near = alone[inspection.near([seen[i].fingerprint for i in alone], [seen[i].thumb for i in alone])]
    copies = [(int(first[i]), i, "exact duplicate") for i in np.flatnonzero(first != np.arange(len(seen)))]
    told, rows = set(), []
    for i, j, kind in copies + [(i, j, "near duplicate") for i, j in near.tolist()]:
        one, other = entries[i], entries[j]
        if (kind, j) not in told:
            rows.append(Finding(other.name, kind, f"of {one.name}"))
            told.add((kind, j))
        if one.label != other.label:
            rows.append(Finding(other.name, "conflicting labels", f"{other.label!r}; {one.name} is {one.label!r}"))
        if one.part != other.part and one.part and other.part:
            rows.append(Finding(other.name, "leakage", f"in {other.part}; {one.name} is in {one.part}"))
    chained = inspection.joined(len(seen), [*enumerate(first), *near])
    sizes = np.bincount(chained, minlength=len(seen))[chained]
    return rows, np.where(sizes > max(CHAIN, PART * len(seen)), first, chained)


def shared(images, others, what=""):
    """Whether each of the images (N,) is the same as one of the others, or nearly; they are looked at again."""
    entries = [
        Entry(item, name, "") for some in (images, others) for item, name in zip(some.items, some.names, strict=True)
    ]
    _, together = alike(entries, [one for one, _ in each(inspect, entries, what)])
    return np.isin(together[: len(images)], together[len(images) :])


def splitting_keys(entries, seen, together, groups):
    """By what each image is given a part: its group if it has one, else its pixels; the same for all that belong
    together."""
    named = grouping(entries, groups)
    heads = {}
    pairs = [*enumerate(together)]
    for i, group in enumerate(named):
        if group:
            pairs.append((heads.setdefault(group, i), i))
    joined = inspection.joined(len(entries), pairs)
    own = [f"group {group}" if group else f"sha1 {one.sha}" for group, one in zip(named, seen, strict=True)]
    keys = {}
    for root, key in zip(joined.tolist(), own, strict=True):
        keys[root] = min(key, keys.get(root, key))
    return tuple(keys[root] for root in joined.tolist())


def grouping(entries, groups):
    """The group of each entry, "" for none: as listed, or by a regular expression, a function or a dict of names."""
    if groups is None:
        return [entry.group for entry in entries]
    if isinstance(groups, str):
        try:
            pattern = re.compile(groups)
        except re.error as error:
            raise DataError(f"`groups` should be a regular expression. Received: {groups!r}: {error}") from None
        found = [pattern.search(entry.name) for entry in entries]
        found = [(match[1] if pattern.groups else match[0]) if match else "" for match in found]
        if not any(found):
            raise DataError(f"`groups` should match names such as {os.fspath(entries[0].name)!r}. Received: {groups!r}")
        return [group or "" for group in found]
    ask = groups.get if isinstance(groups, Mapping) else groups
    if not callable(ask):
        raise DataError(f"`groups` should be a regular expression, a function or a dict. Received: {groups!r}")
    named = [ask(entry.name) for entry in entries]
    return ["" if group is None else str(group) for group in named]


TITLES = {"bad": "left out", "warning": "look at these", "note": "dealt with", "ignored": "no images of a class"}
LISTED = 30  # classes, at most
BAR = 30


def lines(audit, worst):
    """The audit, line by line."""
    bad, good = len(audit.bad), len(audit.good)
    share = f", {bad:,} bad ({bad / (bad + good):.1%})" if bad else ", none bad"
    yield f"{audit.name}: {good:,} images in {len(audit.good.classes)} classes{share}"
    yield from of_kinds(audit)
    yield from of_classes(audit)
    for severity in ("bad", "warning"):
        yield from of_paths(audit, severity, worst)
    if audit.fatal:
        yield ""
        yield audit.fatal


def of_kinds(audit):
    for severity in SEVERITIES:
        counts = {kind: count for kind, count in audit.counts.items() if KINDS[kind].severity == severity}
        if counts:
            yield ""
            yield TITLES[severity]
        for kind, count in counts.items():
            yield f"  {count:>7,}  {kind:<18}  {KINDS[kind].meaning}"
            if kind in ("unreadable format", "other file"):
                yield f"{'':31}{', '.join(f'{count:,} {name}' for name, count in endings(audit, kind))}"


def endings(audit, kind):
    """(suffix, how many files) of one kind, the most frequent first."""
    names = [
        finding.detail if kind == "unreadable format" else suffix(finding.path)
        for finding in audit.findings
        if finding.kind == kind
    ]
    return Counter(f".{name}" if name else "without suffix" for name in names).most_common()


def of_classes(audit):
    balance = audit.balance
    most, width = max(balance.values(), default=0), min(30, max(map(len, balance), default=0))
    if balance:
        yield ""
        yield "classes"
    ordered = sorted(balance.items(), key=lambda row: (-row[1], row[0])) if len(balance) > LISTED else balance.items()
    for name, count in [*ordered][:LISTED]:
        yield f"  {count:>7,}  {shown(name)[:width]:<{width}}  {'#' * max(1, round(BAR * count / most))}"
    if len(balance) > LISTED:
        yield f"           and {len(balance) - LISTED} more, down to {min(balance.values()):,}"


def of_paths(audit, severity, worst):
    """The first paths of each kind."""
    table = audit.table
    for kind in KINDS:
        rows = table[(table.kind == kind) & (table.severity == severity)]
        if len(rows):
            yield ""
            yield kind
            for path, detail in zip(rows.path[:worst], rows.detail[:worst], strict=True):
                yield f"  {shown(path)}" + (f"  ({shown(detail)})" if detail else "")
        if len(rows) > worst:
            yield f"  and {len(rows) - worst:,} more"


def shown(text):
    """A name as one line of letters, whatever a file is called."""
    return text if text.isprintable() else repr(text)[1:-1]


def document(audit):
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
