"""The numbers of two reports beside each other, and their difference."""

import json
from pathlib import Path

import pandas as pd

from ...support.files import plain
from ..context import Skipped
from ..page import Section, facts, folded, paragraph, table


def comparison(subject):
    """Every number that both reports have under one name."""
    path = Path(subject.facts["compare"])
    try:
        other = json.loads(path.read_text(encoding="utf-8"))
        theirs = dict(numbers(other["results"]))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise Skipped(f"{path.name} is no report.json: {error}") from error
    ours = {part.name: plain(part.section.results) for part in subject.facts["parts"] if part.state == "finished"}
    ours = dict(numbers(ours))
    both = [name for name in ours if name in theirs]
    if not both:
        raise Skipped(f"{path.name} has no number that this report has too")
    rows = [
        {"number": name, "here": ours[name], "there": theirs[name], "difference": ours[name] - theirs[name]}
        for name in both
    ]
    frame = pd.DataFrame(rows, dtype=object)
    apart = frame[frame.difference != 0]
    equal = len(frame) - len(apart)
    said = {"here": subject.name, "there": f"{other.get('title', path.name)}, {other.get('meta', {}).get('date', '')}"}
    blocks = [facts(said), paragraph(f"{len(apart):,} of {len(frame):,} numbers differ.")]
    blocks += [table(apart, most=200)] if len(apart) else []
    blocks += [folded(f"{equal:,} equal numbers", table(frame[frame.difference == 0], most=500))] if equal else []
    missing = sorted({*theirs} ^ {*ours})
    if missing:
        blocks.append(folded(f"{len(missing):,} numbers of one report only", paragraph(", ".join(missing[:500]))))
    return Section("Comparison", tuple(blocks), {"differ": len(apart), "compared": len(frame)})


def numbers(tree, name=""):
    """("section.key", number) of all numbers; rows of a list go by their own name where they have one."""
    if isinstance(tree, dict):
        for key, value in tree.items():
            yield from numbers(value, f"{name}.{key}" if name else str(key))
    elif isinstance(tree, list):
        for i, value in enumerate(tree):
            own = next(
                (value[key] for key in ("name", "layer", "class") if isinstance(value, dict) and key in value), i
            )
            yield from numbers(value, f"{name}[{own}]")
    elif isinstance(tree, int | float) and not isinstance(tree, bool):
        yield name, tree
