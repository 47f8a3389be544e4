"""What is written for readers is true: blocks run, tables are made by the package, links and pictures are there."""

import re
import sys
from pathlib import Path

import keras
import pytest

ROOT = Path(__file__).parents[1]
DOCUMENTS = [ROOT / "README.md", ROOT / "docs" / "guide.md"]
LONGEST, HEAVIEST = 15, 300_000  # lines of a block of the README; bytes of a picture
BLOCKS = [(path, block) for path in DOCUMENTS for block in re.findall(r"```python\n(.*?)```", path.read_text(), re.S)]


def named(pair):
    path, block = pair
    imports = re.findall(r"from kerascnn[\w.]* import (.*)", block)
    return f"{path.stem}-{'-'.join(imports).replace(', ', '-')[:48]}"


def cases():
    for pair in BLOCKS:
        marks = pytest.mark.nightly if pair[0].stem == "guide" else ()
        yield pytest.param(pair, marks=marks, id=named(pair))


@pytest.mark.parametrize("pair", cases())
def test_code_blocks_run(pair, in_process, tmp_path, monkeypatch):
    path, block = pair
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(keras.Model, "_resolve_auto_jit_compile", lambda model: False)  # XLA compiles for longest
    exec(compile(block, path.name, "exec"), {"__name__": path.stem})
    assert path.stem == "guide" or len(block.splitlines()) <= LONGEST


@pytest.fixture
def make(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "docs"))
    yield __import__("make")
    del sys.modules["make"]


def test_readme_tables_are_up_to_date(make):
    text = DOCUMENTS[0].read_text()
    assert make.filled(text) == text, "python docs/make.py"


def test_tables_list_every_pretrained_network_and_method(make):
    from kerascnn.visualize.registry import ROWS
    from kerascnn.zoo.registry import weights_sources

    models, methods = make.models(), make.methods()
    assert all(f"`{name}`" in models for name in weights_sources())
    assert all(f"`{name}`" in methods for name in ROWS)


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_links_point_to_existing_files(path):
    text = path.read_text()
    links = re.findall(r"\]\((?!http|#)([^)#]+)\)", text) + re.findall(r'<img src="([^"]+)"', text)
    assert links or path.stem == "guide"
    for link in links:
        file = path.parent / link
        assert file.is_file(), link
        assert file.suffix == ".md" or file.stat().st_size < HEAVIEST, link
