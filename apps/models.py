"""The networks of the catalog as the command line names and completes them; reads one JSON file."""

import re

import click

from .options import Failure

UNITS = {"": 1, "k": 1e3, "m": 1e6, "g": 1e9, "b": 1e9, "t": 1e12}


def networks():
    """Every network of the catalog."""
    from kerascnn import catalog

    try:
        return catalog.read()
    except OSError as error:
        raise Failure(f"no catalog of networks: {error}", "python -m kerascnn.catalog") from error


def network_called(name):
    """The row of a network, named in letters of any size; None where there is none."""
    from kerascnn.registry import called

    return called(name.lower(), {row.name: row for row in networks()})


class Count(click.ParamType):
    """A number of parameters: 25_000_000, 1.2e6, 5M."""

    name = "count"

    def convert(self, value, option, context):
        if isinstance(value, int):
            return value
        text = value.replace("_", "").replace(",", "").replace(" ", "").lower()
        found = re.fullmatch(r"(\d+\.?\d*(?:e\d+)?|\.\d+(?:e\d+)?)([kmgbt]?)", text)
        if not found:
            self.fail(f"{value!r} is not a number such as 25_000_000, 1.2e6 or 5M.", option, context)
        return round(float(found[1]) * UNITS[found[2]])


def complete_families(context, option, incomplete):
    return sorted({row.family for row in networks() if row.family.startswith(incomplete)})


def complete_publishers(context, option, incomplete):
    from kerascnn.registry import publishers

    return [name for name in publishers() if name.startswith(incomplete)]


def complete_names(context, option, incomplete):
    """Networks, the tiny ones only when asked for."""
    from kerascnn.registry import natural

    names = [row.name for row in networks() if row.name.startswith(incomplete)]
    tiny = incomplete.startswith("tiny")
    return sorted((name for name in names if tiny or not name.startswith("tiny")), key=natural)


def complete_names_and_files(context, option, incomplete):
    from click.shell_completion import CompletionItem

    return [*map(CompletionItem, complete_names(context, option, incomplete)), CompletionItem(incomplete, type="file")]
