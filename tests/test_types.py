"""Types of what is public: every signature has them, mypy finds no contradiction, and they can be seen from outside.

`python tests/test_types.py` writes the __init__.pyi of each package from its table of public names.
"""

import ast
import subprocess
import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path[:0] = [str(Path(__file__).parent / "support"), str(Path(__file__).parents[1])]

import pytest
from public_names import ROOT, functions, packages

import kerascnn

PACKAGES = packages()


def stub(package):
    """The __init__.pyi of a package: its public names are imported lazily, which no type checker can follow."""
    lines = [f"from .{module} import {name} as {name}" for name, module in PACKAGES[package].items()]
    if package == "kerascnn":
        lines += [f"from . import {name} as {name}" for name in kerascnn.PACKAGES]
    lines.sort()
    head = "__version__: str\nPACKAGES: tuple[str, ...]\n" if package == "kerascnn" else ""
    return "\n".join([*lines, "", f"{head}PUBLIC: dict[str, str]", ""])


def stub_path(package):
    return ROOT.joinpath(*package.split("."), "__init__.pyi")


def statements(text):
    """What a stub says, whatever its order and form."""
    return sorted(
        f"{'.' * node.level}{node.module or ''} {alias.name} {alias.asname}"
        for node in ast.parse(text).body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    )


@pytest.mark.parametrize("package", PACKAGES)
def test_type_checkers_see_what_is_public(package):
    path = stub_path(package)
    assert path.is_file(), "python tests/test_types.py writes it"
    assert statements(path.read_text()) == statements(stub(package)), "python tests/test_types.py writes it anew"


def untyped(public):
    """The parameters of a function that have no type, and "return"."""
    node = public.node
    arguments = [*node.args.posonlyargs, *node.args.args, node.args.vararg, *node.args.kwonlyargs, node.args.kwarg]
    found = [each.arg for each in arguments if each is not None and each.annotation is None]
    return found + ["return"] * (node.returns is None)


def test_public_functions_have_types():
    found = [
        f"{each.path.relative_to(ROOT)}:{each.node.lineno}: {each.name}: {', '.join(missing)}"
        for each in functions()
        if (missing := untyped(each))
    ]
    assert not found, f"{len(found)}:\n" + "\n".join(found)


def test_mypy_passes():
    done = subprocess.run([sys.executable, "-m", "mypy"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


USE = """\
import kerascnn
from kerascnn.visualize import saliency

data = kerascnn.load("digits", size=8)
reveal_type(data)
reveal_type(saliency)
kerascnn.load("digits", size="large")
"""


def test_types_are_visible_to_user_code(tmp_path):
    """As mypy sees the package from a file of somebody else."""
    (tmp_path / "use.py").write_text(USE)
    command = [sys.executable, "-m", "mypy", "--config-file", str(ROOT / "pyproject.toml"), str(tmp_path / "use.py")]
    found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True).stdout
    assert '"kerascnn.data.dataset.Data"' in found, found
    assert "-> kerascnn.visualize.attribution.attribution.Attribution" in found, found
    assert '"load" has incompatible type "str"' in found, found


if __name__ == "__main__":
    written = [stub_path(package) for package in PACKAGES]
    for package, path in zip(PACKAGES, written, strict=True):
        path.write_text(stub(package))
    for command in (["check", "--fix", "-q"], ["format", "-q"]):
        subprocess.run([sys.executable, "-m", "ruff", *command, *written], cwd=ROOT, check=True)
