"""An audit as text to be read, and as a file."""

import json
from collections import Counter
from pathlib import Path

from ..files import displayable, replacing
from .kinds import KINDS, SEVERITIES
from .listing import suffix

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


def written(audit, path):
    """Write the audit as CSV or JSON."""
    path = Path(path)
    if path.suffix not in (".csv", ".json"):
        raise ValueError(f"`path` should end in .csv or .json. Received: {path}")
    if path.suffix == ".csv":
        text = displayable(audit.table.to_csv(index=False))
    else:
        text = json.dumps(displayable(document(audit)), indent=2) + "\n"
    with replacing(path) as draft:
        draft.write_text(text, encoding="utf-8", newline="")
    return path
