"""`kerascnn report`: HTML, JSON, text, and errors of arguments."""

import json
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from kerascnn.reporting import Section

making = import_module("kerascnn.reporting.report")  # of that name the package has a function too

FEW = ("--only", "anatomy,appendix")


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.setenv("KERASCNN_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def photos(here):
    """A folder of two photos, and one of two classes."""
    rng = np.random.default_rng(0)
    for name in ("photos/a.png", "photos/b.png", *(f"data/{kind}/{i}.png" for kind in "uvw" for i in range(4))):
        (here / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (16, 16, 3), dtype=np.uint8)).save(here / name)
    return here / "photos"


def planned(monkeypatch, **functions):
    """Sections of a test's own."""
    rows = {
        name: SimpleNamespace(
            title=name.title(), needs="luck", seconds=(1, 1, 1), runs_network=False, load=lambda made=function: made
        )
        for name, function in functions.items()
    }
    monkeypatch.setattr(making, "SECTIONS", rows)


def fine(about):
    return Section("Fine", (), {"n": 1})


def broken(about):
    raise RuntimeError("no luck")


def stopped(about):
    raise KeyboardInterrupt


def test_html_and_json(document, here, model):
    result = document("report", model, "-o", "out/x.html", *FEW)["result"]
    assert result["finished"] == ["anatomy", "appendix"]
    assert (result["page"], result["json"]) == ("out/x.html", "out/x.json")
    twin = json.loads((here / "out/x.json").read_text())
    assert twin["results"]["anatomy"]["totals"]["params"] == 0  # the file's network has no weights
    assert "Report on colors" in (here / "out/x.html").read_text()


def test_text_lists_sections_and_the_file(run, model):
    outcome = run("report", model, "-o", "x.html", "--only", "anatomy,health,appendix")
    assert outcome.exit_code == 0, outcome.stderr
    said = outcome.stdout
    assert [line.split()[:2] for line in said.splitlines()[2:5]] == [
        ["anatomy", "finished"],
        ["health", "skipped"],
        ["appendix", "finished"],
    ]
    assert "report: x.html" in said
    assert "Architecture" in outcome.stderr  # progress, a line a section
    assert run("report", model, "-o", "x.html", "--force", "--quiet", *FEW).stderr == ""


def test_a_second_run_reuses(document, model):
    document("report", model, "-o", "x.html", *FEW)
    said = json.loads(Path("x.json").read_text())
    assert said["meta"]["reused"] == []
    document("report", model, "-o", "x.html", "--force", *FEW)
    assert json.loads(Path("x.json").read_text())["meta"]["reused"] == ["anatomy"]


def test_photos_and_labeled_images(document, model, photos):
    words = ("--only", "cards", "--quick", "--class-names", "u,v,w")
    document("report", model, "-o", "x.html", "--data", "data", "--images", photos, *words)
    twin = json.loads(Path("x.json").read_text())
    assert twin["results"]["cards"]["judged"] == 12
    assert twin["meta"]["effort"] == "quick"


@pytest.mark.parametrize(("second", "code", "states"), [(broken, 5, "failed"), (stopped, 130, "interrupted")])
def test_report_with_a_failed_section(run, here, model, monkeypatch, second, code, states):
    planned(monkeypatch, cards=fine, anatomy=second)
    outcome = run("report", model, "-o", "x.html", "--json")
    assert outcome.exit_code == code
    assert list(json.loads(outcome.stdout)["result"][states]) == ["anatomy"]
    assert "</html>" in (here / "x.html").read_text()


def test_compare_with_another_report(document, model):
    document("report", model, "-o", "a.html", *FEW)
    document("report", model, "-o", "b.html", "--compare", "a.json", *FEW)
    assert json.loads(Path("b.json").read_text())["results"]["comparison"]["differ"] == 0


def test_existing_files_are_not_overwritten(fails, document, here, model):
    (here / "x.json").write_text("mine")
    assert "x.json already exists" in fails("report", model, "-o", "x.html", *FEW, code=2)
    assert document("report", model, "-o", "x.html", "--open-free", *FEW)["result"]["page"] == "x-2.html"
    assert (here / "x.json").read_text() == "mine"


@pytest.mark.parametrize(
    ("words", "code", "text"),
    [
        (["colors", "-o", "x.html"], 2, "Unknown network"),
        (["resnet19", "-o", "x.html"], 2, "Did you mean resnet"),
        (["nowhere.keras", "-o", "x.html"], 4, "file not found: nowhere.keras"),
        (["MODEL", "-o", "x.htm"], 2, "--out should end in .html"),
        (["MODEL", "-o", "x.html", "--only", "helth"], 2, "Did you mean health"),
        (["MODEL", "-o", "x.html", "--skip", "units,appendx"], 2, "Did you mean appendix"),
        (["MODEL", "-o", "x.html", "--layers", "conv3"], 2, "`layer` should be a layer of colors"),
        (["MODEL", "-o", "x.html", "--data", "no/where"], 4, "file or folder not found: no/where"),
        (["MODEL", "-o", "x.html", "--images", "no.png"], 4, "image not found: no.png"),
        (["MODEL", "-o", "x.html", "--transfer", "run"], 4, "folder not found: run"),
        (["MODEL", "-o", "x.html", "--compare", "y.json"], 4, "file not found: y.json"),
        (["MODEL", "-o", "x.html", "--class-names", "a,b"], 4, "3 classes"),
        (["MODEL", "-o", "x.html", "--weights", "imagenet"], 2, "--weights needs the name"),
        (["MODEL"], 2, "--out"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_errors_of_arguments(run, here, model, words, code, text):
    outcome = run("report", *[model if word == "MODEL" else word for word in words], "--quiet")
    assert outcome.exit_code == code
    assert text in outcome.stderr
    assert len(outcome.stderr.splitlines()) <= 2
    assert not (here / "x.html").exists()


def test_not_images(fails, here, model):
    (here / "text.png").write_text("no image")
    assert "text.png" in fails("report", model, "-o", "x.html", "--images", "text.png", code=4)


def test_cached_sections_are_listed_and_removed(document, model):
    document("report", model, "-o", "x.html", *FEW)
    (row,) = document("cache", "list")["result"]["files"]
    assert row["file"].startswith("../reports/colors-")
    document("cache", "clear", "colors*", "--yes")
    assert document("cache", "list")["result"]["files"] == []
