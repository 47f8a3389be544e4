"""What there is to call, by topic, told by the first lines of docstrings; nothing heavy is imported for it."""

import ast
from importlib import import_module
from pathlib import Path
from textwrap import shorten

from . import PUBLIC
from .registry import unknown

TOPICS = {  # topic -> (modules of kerascnn's public names, a package whose own public functions come below)
    "build": (("build", "weights", "anatomy"), None),
    "data": (("data",), None),
    "train": (("training",), None),
    "transfer": (("transfer",), "transfer"),
    "see": ((), "visualize"),
    "judge": (("predictions", "evaluation", "diagnose"), None),
    "export": (("exporting",), None),
    "report": (("report", "guide"), None),
}
WIDTH = 120


def help(topic=None):
    """Print the public functions by topic, a line each."""
    if topic is not None and topic not in TOPICS:
        raise ValueError(unknown("topic", topic, TOPICS))
    for name in [topic] if topic else TOPICS:
        found = functions(name)
        wide = max(map(len, found)) + 2
        print(f"\n{name}")
        for function, line in found.items():
            print(f"  {function.ljust(wide)}{shorten(line, WIDTH - wide - 2, placeholder=' ...')}")
    print("\nMore of one: help(kerascnn.build_model). On the command line: kerascnn --help")


def functions(topic):
    """{what is typed after `kerascnn.`: the first line of its docstring} of a topic."""
    modules, package = TOPICS[topic]
    found = {name: first_line(name, module) for name, module in PUBLIC.items() if module in modules}
    if package:
        below = import_module(f".{package}", __package__).PUBLIC
        found |= {f"{package}.{name}": first_line(name, f"{package}/{module}") for name, module in below.items()}
    return {name: line for name, line in found.items() if line}


def first_line(name, module):
    """The first line of a function's docstring; None of what is no function.

    It is looked for in the module, and in those from which the module has the name.
    """
    path = Path(__file__).parent / module
    path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    tree = ast.parse(path.read_text(encoding="utf-8"))
    if path.parent.name == name == module:  # a package that can be called
        return ast.get_docstring(tree).split("\n")[0]
    for node in tree.body:
        match node:
            case ast.FunctionDef(name=found) if found == name:
                return ast.get_docstring(node).split("\n")[0]
            case ast.ImportFrom(level=1, module=source) if name in [alias.name for alias in node.names]:
                return first_line(name, (path.parent / source).relative_to(Path(__file__).parent).as_posix())
            case ast.Assign(targets=[ast.Name(id="PUBLIC" | "LATER")]) if name in (
                names := ast.literal_eval(node.value)
            ):
                return first_line(name, f"{module}/{names[name]}")
    return None
