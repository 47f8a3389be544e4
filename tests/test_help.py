"""Results in notebooks: each shows itself, as a picture, a table or text; `kerascnn.help` tells what there is."""

import ast
import importlib
import io
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

import kerascnn
from kerascnn.help import TOPICS, functions
from kerascnn.support.display import FigureResult, TableResult, TextResult

SOURCES = sorted(Path(kerascnn.__file__).parent.rglob("*.py"))
SHOWN = ("_repr_html_", "_repr_png_", "_repr_svg_", "_repr_mimebundle_")


def results():
    """(module, class) of every class with a plot(), a table or a text of its own."""
    for path in SOURCES:
        module = ".".join(path.relative_to(Path(kerascnn.__file__).parents[1]).with_suffix("").parts)
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.ClassDef):
                methods = {each.name for each in node.body if isinstance(each, ast.FunctionDef)}
                if methods & {"plot", "table"}:
                    yield module, node.name


@pytest.mark.parametrize(("module", "name"), results(), ids=lambda value: value.split(".")[-1])
def test_every_result_can_be_displayed(module, name):
    found = getattr(importlib.import_module(module), name)
    assert any(hasattr(found, way) for way in SHOWN), f"{name} should be Drawn, Tabled or Told"


class Line(FigureResult):
    def plot(self):
        from matplotlib.figure import Figure

        figure = Figure(figsize=(2, 1))
        figure.subplots().plot([0, 1])
        return figure

    def __str__(self):
        return "a line"


def test_figure_result(tmp_path):
    assert Image.open(io.BytesIO(Line()._repr_png_())).size == (220, 110)
    assert Image.open(Line().save(tmp_path / "new" / "line.png")).size == (300, 150)
    assert Line()._repr_mimebundle_() == {"text/plain": "a line"}


def test_table_and_text_results():
    import pandas as pd

    class Rows(TableResult):
        table = pd.DataFrame({"a": [1]})

    assert "<table" in Rows()._repr_html_()
    assert TextResult()._repr_mimebundle_()["text/plain"].startswith("<")


def test_help_lists_every_public_function(capsys):
    """By the docstrings that Python has; only classes are left out."""
    kerascnn.help()
    printed = capsys.readouterr().out
    lines = {name: line for topic in TOPICS for name, line in functions(topic).items()}
    for name in kerascnn.PUBLIC:
        found = getattr(kerascnn, name)
        if isinstance(found, type):
            assert name not in lines
        else:
            assert lines[name] == found.__doc__.strip().split("\n")[0]
            assert f"  {name} " in printed
    assert "visualize.saliency" in lines
    assert "transfer_learning.transfer" in lines
    assert not any(name.startswith("transfer.") for name in lines)


def test_help_with_one_topic(capsys):
    kerascnn.help("data")
    assert capsys.readouterr().out.split()[:2] == ["data", "load"]
    with pytest.raises(ValueError, match="Did you mean train"):
        kerascnn.help("trian")


def test_help_needs_nothing_heavy():
    code = "import sys, kerascnn; kerascnn.help(); print('heavy', {'keras', 'numpy', 'tensorflow'} & {*sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "heavy set()", done.stderr
