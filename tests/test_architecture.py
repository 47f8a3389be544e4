"""The house rules that a machine can check: imports point one way, names and layout are as planned, style holds."""

import ast
import re
import subprocess
import sys
from collections import Counter, defaultdict
from pathlib import Path

import pytest

from kerascnn.reporting.sections import SECTIONS
from kerascnn.visualize.registry import ROWS

ROOT = Path(__file__).parents[1]
BOTTOM = {"support", "graph", "inputs", "plots"}
ALLOWED = {  # room -> the rooms below it, whose modules it may import
    "__init__": {"support"},
    "support": set(),
    "plots": {"support"},
    "graph": {"support"},
    "inputs": {"support", "graph", "zoo", "weights"},  # published preprocessing; ImageNet's names come as a download
    "zoo": {"support", "graph", "weights", "anatomy"},  # build_model loads weights; the catalog counts layers
    "weights": {"support", "zoo"},
    "anatomy": {"support", "graph", "plots"},
    "data": {"support", "inputs", "zoo", "weights"},  # the record of its training images ships with a network
    "training": BOTTOM | {"zoo", "data"},
    "evaluation": BOTTOM | {"zoo", "data"},
    "diagnose": BOTTOM | {"zoo", "data", "anatomy", "evaluation"},
    "visualize": BOTTOM | {"zoo", "data", "anatomy", "evaluation", "diagnose"},
    "exporting": BOTTOM | {"zoo", "data", "evaluation"},
    "reporting": BOTTOM | {"zoo", "weights", "data", "anatomy", "evaluation", "diagnose", "visualize"},
    "transfer_learning": BOTTOM
    | {"zoo", "weights", "data", "anatomy", "training", "evaluation", "exporting", "reporting"},
    "help": {"support", "zoo"},
}
ANYWHERE = {"__version__", "PUBLIC"}
TENSORFLOW = (
    "data/",
    "training/learner.py",
    "exporting/",
    "visualize/engine/",
    "visualize/attribution/windows.py",
)  # where it may be named
SOURCES = sorted([*ROOT.glob("kerascnn/**/*.py"), *ROOT.glob("apps/**/*.py")])
PACKAGE = [path for path in SOURCES if path.is_relative_to(ROOT / "kerascnn")]
MOST_FILES = 14  # in a folder; a room that needs more has a second floor


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


def room(path):
    return path.relative_to(ROOT / "kerascnn").parts[0].removesuffix(".py")


def test_page_module_does_not_import_networks():
    names = set(imported(ROOT / "kerascnn" / "reporting" / "page.py"))
    ours = {name.split(".")[1] for name in names if name.startswith("kerascnn.")}
    assert ours <= {"reporting", "support"}
    assert not {name.split(".")[0] for name in names} & {"keras", "tensorflow"}


def test_imports_have_one_direction():
    wrong = []
    for path in PACKAGE:
        ours = {name.split(".")[1] for name in imported(path) if name.startswith("kerascnn.")}
        wrong += [f"{path}: {name}" for name in ours - ALLOWED[room(path)] - {room(path)} - ANYWHERE]
        wrong += [f"{path}: {name}" for name in imported(path) if name.startswith("kerascnn_apps")]
    assert not wrong, "\n".join(wrong)


def test_only_some_rooms_name_tensorflow():
    """The zoo is pure Keras."""
    for path in PACKAGE:
        if not str(path.relative_to(ROOT / "kerascnn")).startswith(TENSORFLOW):
            assert not any(name.split(".")[0] == "tensorflow" for name in imported(path)), path


def test_folders_hold_few_files():
    count = Counter(path.parent.relative_to(ROOT) for path in SOURCES)
    crowded = {str(folder): files for folder, files in count.items() if files > MOST_FILES}
    crowded.pop("apps/commands", None)  # has a file for each subcommand
    assert not crowded


def test_the_package_has_few_files():
    assert len(PACKAGE) <= 200


SINGLE_IMPORTER = {  # only one module imports it, and no package gives it to users -> why it is a file
    "anatomy.blocks": "what is drawn, found from the graph; diagram.py places and writes it",
    "exporting.photos": "Pillow's decoding and resampling as TensorFlow operations",
    "training.schedules": "how a learning rate changes, each a formula of its paper",
    "transfer_learning.runner": "the search for a fine-tuned network, its trials in processes of their own",
    "visualize.attribution.windows": "which part of a network a patch can change: a primitive, not a picture",
    "weights.connections": "proxies, certificates and tokens, apart from what is downloaded",
    "weights.formats.caffe": "a format",
    "weights.formats.hdf5": "a format",
    "weights.formats.pickles": "an interpreter that runs nothing, apart for its audit",
    "zoo.architectures.tiny": "networks for tests, beside the real ones",
    "zoo.grammar": "the grammar of early networks: parsed here, built by build.py",
}
BY_NAME = {"exporting.__main__", "exporting.reload", "reporting.sections.comparison"}  # run, or found, by their names


def given_to_users():
    """Modules below kerascnn that a package names as the place of something public."""
    for path in PACKAGE:
        if path.name == "__init__.py":
            room = ".".join(path.relative_to(ROOT / "kerascnn").parts[:-1])
            for module in re.findall(r'"\w+": "([\w.]+)"', path.read_text()):
                yield module.removeprefix(".") if module.startswith(".") else f"{room}.{module}".strip(".")
    for method in ROWS.values():
        yield f"visualize{method.module}"
    for row in SECTIONS.values():
        yield f"reporting.sections.{row.function.split('.')[0]}"


def test_files_with_one_importer_are_justified():
    modules = {".".join(path.relative_to(ROOT / "kerascnn").with_suffix("").parts) for path in PACKAGE}
    importers = defaultdict(set)
    for path in SOURCES:
        for name in imported(path):
            name = name.removeprefix("kerascnn.")
            importers[name].add(path)
            importers[name.rpartition(".")[0]].add(path)
    inner = {module for module in modules if not module.endswith("__init__")} - {*given_to_users()} - BY_NAME
    assert {module for module in inner if len(importers[module]) <= 1} == {*SINGLE_IMPORTER}


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
