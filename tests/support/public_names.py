"""The public functions and classes of kerascnn, found in its sources; no module that needs Keras is imported."""

import ast
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from importlib.util import resolve_name
from pathlib import Path

ROOT = Path(__file__).parents[2]
FUNCTION = (ast.FunctionDef, ast.AsyncFunctionDef)
SHARED_HELP = "attribution_method"  # the decorator that documents what all attribution methods take and return


@dataclass(frozen=True)
class Public:
    """Something that a user can type: its name below `kerascnn`, the file it is in and its definition."""

    name: str
    path: Path
    node: ast.AST

    @property
    def doc(self):
        """The docstring without its indentation; "" if there is none."""
        return ast.get_docstring(self.node) or ""

    @property
    def is_attribution_method(self):
        """Whether a decorator documents what all attribution methods take and return."""
        return any(SHARED_HELP in ast.unparse(decorator) for decorator in self.node.decorator_list)

    @property
    def parameters(self):
        """The names in the signature in order, `*args` and `**kwargs` with their stars."""
        arguments = self.node.args
        names = [each.arg for each in (*arguments.posonlyargs, *arguments.args)]
        if arguments.vararg:
            names.append(f"*{arguments.vararg.arg}")
        names += [each.arg for each in arguments.kwonlyargs]
        if arguments.kwarg:
            names.append(f"**{arguments.kwarg.arg}")
        return names


@cache
def tree_of(path):
    """The syntax tree of a file."""
    return ast.parse(path.read_text(encoding="utf-8"))


def packages():
    """The packages that have a table of public names: {dotted name: its PUBLIC}."""
    found = {}
    for init in sorted((ROOT / "kerascnn").glob("**/__init__.py")):
        if "PUBLIC = {" in init.read_text(encoding="utf-8"):
            package = ".".join(init.relative_to(ROOT).parent.parts)
            found[package] = import_module(package).PUBLIC
    return found


def file_of(module):
    """The file of one of our modules; the import system would import the packages above it."""
    path = ROOT.joinpath(*module.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def definition(name, module):
    """(file, definition) of a public name, wherever its module has it from; (None, None) of a constant."""
    path = file_of(module)
    for node in tree_of(path).body:
        match node:
            case ast.FunctionDef(name=found) | ast.AsyncFunctionDef(name=found) | ast.ClassDef(name=found):
                if found == name:
                    return path, node
            case ast.ImportFrom(level=level, module=source) if level and name in [alias.name for alias in node.names]:
                package = module if path.name == "__init__.py" else module.rpartition(".")[0]
                return definition(name, resolve_name("." * level + (source or ""), package))
    return None, None


def listed():
    """All that is public, once each, as `Public`."""
    found = {}
    for package, table in packages().items():
        for name, module in table.items():
            path, node = definition(name, resolve_name(f".{module}", package))
            if node is not None:
                full = f"{package}.{name}".removeprefix("kerascnn.")
                found.setdefault((path, node.name), Public(full, path, node))
    return list(found.values())


def functions():
    """The public functions."""
    return [each for each in listed() if isinstance(each.node, FUNCTION)]


def classes():
    """The public classes."""
    return [each for each in listed() if isinstance(each.node, ast.ClassDef)]


def methods():
    """The public methods and properties of public classes."""
    return [
        Public(f"{owner.name}.{node.name}", owner.path, node)
        for owner in classes()
        for node in owner.node.body
        if isinstance(node, FUNCTION) and not node.name.startswith("_")
    ]
