"""What there is to call, by topic, told by the first lines of docstrings; nothing heavy is imported for it."""

import ast
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from textwrap import shorten

from . import PUBLIC
from .support.text import unknown_name

TOPICS = {  # topic -> (rooms of kerascnn's public names, a package whose own public functions come below)
    "build": (("zoo", "weights", "anatomy"), None),
    "data": (("data",), None),
    "train": (("training",), None),
    "transfer": (("transfer_learning",), "transfer_learning"),
    "see": ((), "visualize"),
    "judge": (("evaluation", "diagnose"), None),
    "export": (("exporting",), None),
    "report": (("reporting", "help"), None),
}
WIDTH = 120


def help(topic: str | None = None) -> None:
    """Print the public functions by topic, a line each.

    Args:
        topic: one of "build", "data", "train", "transfer", "see", "judge", "export" and "report"; by default all.
    """
    if topic is not None and topic not in TOPICS:
        raise ValueError(unknown_name("topic", topic, TOPICS))
    for name in [topic] if topic else TOPICS:
        found = functions(name)
        wide = max(map(len, found)) + 2
        print(f"\n{name}")
        for function, line in found.items():
            print(f"  {function.ljust(wide)}{shorten(line, WIDTH - wide - 2, placeholder=' ...')}")
    print("\nFor details: help(kerascnn.build_model). On the command line: kerascnn --help")


def functions(topic):
    """{what is typed after `kerascnn.`: the first line of its docstring} of a topic."""
    rooms, package = TOPICS[topic]
    lines = {name: first_line(name, module) for name, module in PUBLIC.items() if module.split(".")[0] in rooms}
    if package:
        below = import_module(f".{package}", __package__).PUBLIC
        for name, module in below.items():
            lines[f"{package}.{name}"] = first_line(name, f"{package}.{module}")
    return {name: line for name, line in lines.items() if line}


def first_line(name, module):
    """The first line of a function's docstring; None of what is not a function.

    It is looked for in the module, and in those from which the module has the name.
    """
    full = f"{__package__}.{module}"
    tree = ast.parse(Path(find_spec(full).origin).read_text(encoding="utf-8"))
    for node in tree.body:
        match node:
            case ast.FunctionDef(name=found) if found == name:
                return ast.get_docstring(node).split("\n")[0]
            case ast.ImportFrom(level=level, module=source) if level and name in [alias.name for alias in node.names]:
                room = full.rsplit(".", level)[0].removeprefix(__package__).strip(".")
                return first_line(name, f"{room}.{source}".strip("."))
    return None
