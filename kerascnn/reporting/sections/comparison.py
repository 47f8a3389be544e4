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
        other_report = json.loads(path.read_text(encoding="utf-8"))
        other_numbers = dict(flatten_numbers(other_report["results"]))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise Skipped(f"{path.name} should be the .json file of a report. Received: {error}") from error
    numbers = {
        part.name: to_json_data(part.section.results) for part in subject.metadata["parts"] if part.state == "finished"
    }
    numbers = dict(flatten_numbers(numbers))
    common = [name for name in numbers if name in other_numbers]
    if not common:
        raise Skipped(f"{path.name} has no values in common with this report")
    rows = [
        {
            "number": name,
            "here": numbers[name],
            "there": other_numbers[name],
            "difference": numbers[name] - other_numbers[name],
        }
        for name in common
    ]
    frame = pd.DataFrame(rows, dtype=object)
    differing = frame[frame.difference != 0]
    equal = len(frame) - len(differing)
    titles = {
        "here": subject.name,
        "there": f"{other_report.get('title', path.name)}, {other_report.get('meta', {}).get('date', '')}",
    }
    blocks = [definition_list(titles), paragraph(f"{len(differing):,} of {len(frame):,} values differ.")]
    blocks += [data_table(differing, max_rows=200)] if len(differing) else []
    blocks += (
        [details(f"{equal:,} equal values", data_table(frame[frame.difference == 0], max_rows=500))] if equal else []
    )
    unmatched = sorted({*other_numbers} ^ {*numbers})
    if unmatched:
        blocks.append(
            details(f"{len(unmatched):,} values that only one report has", paragraph(", ".join(unmatched[:500])))
        )
    return Section("Comparison", tuple(blocks), {"differ": len(differing), "compared": len(frame)})


def flatten_numbers(tree, name=""):
    """("section.key", number) of all numbers; items of a list are named by their own name, if they have one."""
    if isinstance(tree, dict):
        for key, value in tree.items():
            yield from flatten_numbers(value, f"{name}.{key}" if name else str(key))
    elif isinstance(tree, list):
        for i, value in enumerate(tree):
            label = next(
                (value[key] for key in ("name", "layer", "class") if isinstance(value, dict) and key in value), i
            )
            yield from flatten_numbers(value, f"{name}[{label}]")
    elif isinstance(tree, int | float) and not isinstance(tree, bool):
        yield name, tree
