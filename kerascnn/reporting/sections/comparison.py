"""The numbers of two reports side by side, and their differences."""

import json
from pathlib import Path

import pandas as pd

from ...support.files import to_json_data
from ..context import Skipped
from ..page import Section, data_table, definition_list, details, paragraph


def comparison_section(subject):
    """Every number that both reports have under the same name."""
    path = Path(subject.metadata["compare"])
    try:
        other = json.loads(path.read_text(encoding="utf-8"))
        theirs = dict(flatten_numbers(other["results"]))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise Skipped(f"{path.name} should be the .json file of a report. Received: {error}") from error
    ours = {
        part.name: to_json_data(part.section.results) for part in subject.metadata["parts"] if part.state == "finished"
    }
    ours = dict(flatten_numbers(ours))
    both = [name for name in ours if name in theirs]
    if not both:
        raise Skipped(f"{path.name} has no values in common with this report")
    rows = [
        {"number": name, "here": ours[name], "there": theirs[name], "difference": ours[name] - theirs[name]}
        for name in both
    ]
    frame = pd.DataFrame(rows, dtype=object)
    apart = frame[frame.difference != 0]
    equal = len(frame) - len(apart)
    said = {"here": subject.name, "there": f"{other.get('title', path.name)}, {other.get('meta', {}).get('date', '')}"}
    blocks = [definition_list(said), paragraph(f"{len(apart):,} of {len(frame):,} values differ.")]
    blocks += [data_table(apart, max_rows=200)] if len(apart) else []
    blocks += (
        [details(f"{equal:,} equal values", data_table(frame[frame.difference == 0], max_rows=500))] if equal else []
    )
    missing = sorted({*theirs} ^ {*ours})
    if missing:
        blocks.append(details(f"{len(missing):,} values that only one report has", paragraph(", ".join(missing[:500]))))
    return Section("Comparison", tuple(blocks), {"differ": len(apart), "compared": len(frame)})


def flatten_numbers(tree, name=""):
    """("section.key", number) of all numbers; items of a list are named by their own name, if they have one."""
    if isinstance(tree, dict):
        for key, value in tree.items():
            yield from flatten_numbers(value, f"{name}.{key}" if name else str(key))
    elif isinstance(tree, list):
        for i, value in enumerate(tree):
            own = next(
                (value[key] for key in ("name", "layer", "class") if isinstance(value, dict) and key in value), i
            )
            yield from flatten_numbers(value, f"{name}[{own}]")
    elif isinstance(tree, int | float) and not isinstance(tree, bool):
        yield name, tree
