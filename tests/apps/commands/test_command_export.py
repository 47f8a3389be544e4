"""`kerascnn export`: files, text, and errors, also of failed checks."""

import json
from importlib import import_module

import pytest
from PIL import Image

import kerascnn
from kerascnn.exporting import Check, ExportError

writing = import_module("kerascnn.exporting.export")  # of that name the package has a function too


@pytest.fixture
def names(tmp_path):
    path = tmp_path / "names.txt"
    path.write_text("red\ngreen\nblue\n")
    return path


@pytest.mark.nightly
def test_end_to_end(document, in_process, model, names, tmp_path):
    """Written and checked, with a photo too."""
    Image.new("RGB", (30, 20), "blue").save(tmp_path / "blue.png")
    facts = tmp_path / "facts.json"
    facts.write_text('{"data": "three colors"}')
    words = ["--class-names", names, "--sample", tmp_path / "blue.png", "--metadata", facts, "--temperature", 2]
    found = document("export", model, tmp_path / "out", *words)["result"]
    assert (found["model"], found["folder"]) == ("colors", str(tmp_path / "out"))
    assert {check["file"] for check in found["checks"]} == {"card.json", "labels.json", "saved_model", "model.keras"}
    assert all(check["passed"] for check in found["checks"])
    card = json.loads((tmp_path / "out" / "card.json").read_text())
    assert (card["data"], card["temperature"], card["classes"]) == ("three colors", 2, ["red", "green", "blue"])
    assert {*found["files"]} == {*card["sha256"], "card.json"}


def test_text(run, model, names, tmp_path):
    outcome = run("export", model, tmp_path / "out", "--class-names", names, "--no-verify")
    assert outcome.exit_code == 0, outcome.stderr
    found = outcome.stdout.splitlines()
    assert found[0] == str(tmp_path / "out")
    assert {line.split()[0] for line in found[1:6]} == {
        "card.json",
        "check/",
        "labels.json",
        "model.keras",
        "saved_model/",
    }
    assert any("docker run" in line and f"{tmp_path / 'out' / 'saved_model'}:/models/colors" in line for line in found)
    assert outcome.stderr == ""


def test_one_format(document, model, tmp_path):
    files = document("export", model, tmp_path / "out", "--no-verify", "--format", "keras")["result"]["files"]
    assert {name for name in files if not name.startswith("check/")} == {"card.json", "labels.json", "model.keras"}


def test_a_failed_check(run, model, tmp_path, monkeypatch):
    """Exit code 1; nothing on stdout; which check, and where the files are."""
    checks = (Check(file="saved_model", what="bytes: probabilities", found="largest difference 0.5", passed=False),)

    def export(model, out, **options):
        raise ExportError(tmp_path / "kept", checks)

    monkeypatch.setattr(kerascnn, "export", export)
    outcome = run("export", model, tmp_path / "out")
    assert outcome.exit_code == 1
    assert outcome.stdout == ""
    assert "largest difference 0.5" in outcome.stderr
    assert f"the files are in {tmp_path / 'kept'}" in outcome.stderr.splitlines()[-1]


def test_existing_files_are_not_overwritten(run, fails, model, tmp_path):
    (tmp_path / "out").mkdir()
    assert "already exists" in fails("export", model, tmp_path / "out", code=2)
    assert "is not an export and will not be overwritten" in fails("export", model, tmp_path / "out", "--force", code=2)
    words = ("export", model, tmp_path / "new", "--no-verify", "--format", "keras")
    assert run(*words).exit_code == 0
    assert "already exists" in fails(*words, code=2)
    assert run(*words, "--force").exit_code == 0


def test_invalid_files(fails, model, tmp_path):
    bad, out = tmp_path / "bad.json", tmp_path / "out"
    assert "cannot read" in fails("export", model, out, "--class-names", tmp_path / "none.txt", code=4)
    assert "image not found" in fails("export", model, out, "--sample", tmp_path / "none.png", code=4)
    bad.write_text('{"0": "red"}')
    assert "should be a list of names" in fails("export", model, out, "--class-names", bad, code=4)
    bad.write_text("[1")
    assert "should be a JSON file" in fails("export", model, out, "--metadata", bad, code=4)
    bad.write_text("[1]")
    assert "should be a JSON object" in fails("export", model, out, "--metadata", bad, code=4)
    bad.write_text('{"sha256": 1}')
    assert "`metadata` should not contain" in fails("export", model, out, "--metadata", bad, code=4)
    bad.write_text("a\nb\n")
    said = fails("export", model, out, "--class-names", bad.rename(tmp_path / "two.txt"), code=4)
    assert "cannot export colors: `class_names` should have one name for each of the 3 classes" in said
    bad.write_text("<html>")
    assert "an HTML page" in fails("export", model, out, "--sample", bad, code=4)
    assert not out.exists()


@pytest.mark.parametrize(
    ("words", "code", "texts"),
    [
        ("lenet5 out", 2, ["no published weights for lenet5"]),
        ("squeezenet1_2 out", 2, ["Did you mean squeezenet1_1"]),
        ("none.keras out", 4, ["file not found: none.keras"]),
        ("squeezenet1_1", 2, ["Missing argument"]),
        ("squeezenet1_1 out --format keras,zip", 2, ["`--format` should be one or more of keras", "'zip'"]),
        ("squeezenet1_1 out --temperature 0", 2, ["--temperature"]),
    ],
)
def test_errors_of_arguments(fails, words, code, texts):
    said = fails("export", *words.split(), code=code)
    assert all(text in said for text in texts), said


def test_missing_extra(fails, model, tmp_path, monkeypatch):
    monkeypatch.setattr(writing, "find_spec", lambda name: None)
    assert "[onnx]" in fails("export", model, tmp_path / "out", "--format", "onnx", code=3)
