"""The house rules that a machine can check: imports point one way, style holds."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ALLOWED = {  # module or package -> what of ours it may import
    "__init__": {"lazy"},
    "lazy": set(),
    "files": set(),
    "digests": set(),
    "drawn": {"files"},
    "registry": set(),
    "guide": {"PUBLIC", "registry"},
    "layers": set(),
    "anatomy": {"anatomy", "drawn", "files"},
    "paths": {"layers"},
    "heads": {"layers"},
    "models": {"models", "registry", "layers", "paths", "heads"},
    "checks": {"registry", "layers"},
    "weightless": set(),
    "build": {"registry", "models", "layers", "heads", "checks", "weights", "weightless"},
    "weights": {"weights", "drawn", "files", "registry", "layers", "lazy", "paths", "weightless"},
    "data": {"data", "drawn", "files", "lazy", "registry"},
    "labels": {"weights"},
    "outputs": set(),
    "predictions": {"data", "drawn", "labels", "outputs", "registry"},
    "evaluation": {"evaluation", "drawn", "files", "data", "labels", "outputs", "predictions", "registry"},
    "diagnose": {"diagnose", "drawn", "files", "anatomy", "build", "data", "outputs", "predictions", "registry"},
    "catalog": {"registry", "build", "anatomy"},
    "training": {
        "__version__",
        "catalog",
        "data",
        "drawn",
        "files",
        "lazy",
        "outputs",
        "registry",
        "training",
        "weights",
    },
    "visualize": {
        "visualize",
        "anatomy",
        "data",
        "drawn",
        "files",
        "diagnose",
        "labels",
        "outputs",
        "predictions",
        "registry",
        "lazy",
    },
    "report": {
        "report",
        "__version__",
        "anatomy",
        "build",
        "data",
        "diagnose",
        "digests",
        "evaluation",
        "files",
        "labels",
        "lazy",
        "outputs",
        "predictions",
        "registry",
        "visualize",
        "weights",
    },
    "transfer": {
        "transfer",
        "anatomy",
        "build",
        "data",
        "drawn",
        "digests",
        "evaluation",
        "exporting",
        "files",
        "lazy",
        "outputs",
        "predictions",
        "registry",
        "report",
        "training",
        "weights",
    },
    "exporting": {"exporting", "data", "drawn", "files", "outputs", "predictions", "registry", "__version__"},
}
SEEING = ("engine", "asking", "looping", "rules", "windows")
TENSORFLOW = (
    "data/",
    "training/devices.py",
    "exporting/",
    *(f"visualize/{name}.py" for name in SEEING),
)  # where it may be named
SOURCES = sorted([*ROOT.glob("kerascnn/**/*.py"), *ROOT.glob("apps/**/*.py")])


def imported(path):
    """The modules that a file's import statements name, dots resolved: kerascnn.layers, keras ..."""
    package = [
        "kerascnn" if path.parts[len(ROOT.parts)] == "kerascnn" else "kerascnn_apps",
        *path.relative_to(ROOT).parts[1:-1],
    ]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            yield from (f"{module}.{name.name}" for name in node.names)


@pytest.mark.parametrize("name", ["__init__", "page", "looks", "rasters"])
def test_a_page_knows_nothing_of_networks(name):
    names = set(imported(ROOT / "kerascnn" / "report" / f"{name}.py"))
    ours = {each.split(".")[1] for each in names if each.startswith("kerascnn.")}
    assert ours <= {"report", "lazy", "files"}
    assert not {each.split(".")[0] for each in names} & {"keras", "tensorflow"}


def area(path):
    return path.relative_to(ROOT / "kerascnn").parts[0].removesuffix(".py")


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_point_one_way(path):
    names = set(imported(path))
    if path.is_relative_to(ROOT / "kerascnn"):
        ours = {name.split(".")[1] for name in names if name.startswith("kerascnn.")}
        assert ours <= ALLOWED[area(path)], f"{area(path)} may not import {ours - ALLOWED[area(path)]}"
        assert not any(name.startswith("kerascnn_apps") for name in names)
        if not str(path.relative_to(ROOT / "kerascnn")).startswith(TENSORFLOW):
            assert not any(name.split(".")[0] == "tensorflow" for name in names), "the zoo is pure Keras"


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_files_and_functions_stay_short(path):
    text = path.read_text()
    code = len([line for line in text.splitlines() if line.strip()])
    assert code <= 300, f"{code} lines: is there a second idea in it?"
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef):
            assert node.end_lineno - node.lineno < 45, f"{node.name} is long"


@pytest.mark.parametrize("command", [["check", "-q", "."], ["format", "-q", "--check", "."]], ids=lambda c: c[0])
def test_ruff(command):
    done = subprocess.run([sys.executable, "-m", "ruff", *command], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_no_file_names_a_package_index_or_a_place_on_this_machine():
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True).stdout.split()
    forbidden = re.compile(r"--index-url|--extra-index|/simple/|pypi\.org|/root/|/home/|/work/")
    for name in listed:
        path = ROOT / name
        if path.suffix in {".py", ".md", ".toml", ".txt", ".json", ""} and path.is_file() and path != Path(__file__):
            assert not forbidden.search(path.read_text(errors="ignore")), name


def test_constraints_are_names_and_versions():
    for line in (ROOT / "constraints.txt").read_text().splitlines():
        assert re.fullmatch(r"[a-z0-9._-]+==[0-9][\w.+!]*", line), line
