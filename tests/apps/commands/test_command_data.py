"""`kerascnn data check`: planted defects as text, JSON and a file; errors."""

import csv
import json

import pytest
from planted import contents, photo, plant, write

from kerascnn.data import audit


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("planted")
    return root, plant(root)


@pytest.fixture
def small(tmp_path):
    """Forty photos of two classes, and one file that is empty."""
    for i in range(40):
        write(tmp_path / "photos" / "ab"[i % 2] / f"{i}.png", contents(photo(i, (16, 16)), "PNG"))
    write(tmp_path / "photos" / "a" / "bad.jpg", b"")
    return tmp_path / "photos"


def test_text(run, folder):
    outcome = run("data", "check", folder[0])
    assert outcome.exit_code == 0, outcome.stderr
    lines = outcome.stdout.splitlines()
    assert lines[0] == f"{folder[0].name}: {len(audit(folder[0]).good)} images in 5 classes, 16 bad images (4.3%)"
    for path, kind in folder[1]:
        if kind in ("empty", "HTML", "truncated", "too large", "exact duplicate", "conflicting labels"):
            assert any(line.strip().startswith(path) for line in lines), path
    assert {"excluded", "warnings", "converted", "classes"} <= set(lines)
    assert outcome.stderr == ""


def test_json(document, folder):
    found = document("data", "check", folder[0])
    result = found["result"]
    assert {(row["path"], row["kind"]) for row in result["findings"]} >= folder[1]
    assert result["bad"] == 16
    assert result["fatal"] == ""
    assert sum(result["classes"].values()) == result["images"]
    assert found["warnings"] == []


def test_fewer_paths(run, folder):
    long, short, none = (run("data", "check", folder[0], "--paths", n).stdout for n in (10, 1, 0))
    assert "  and 3 more" in short
    assert "cat/empty.jpg" in short
    assert "cat/empty.jpg" not in none
    assert len(none) < len(short) < len(long)


@pytest.mark.parametrize("suffix", ["csv", "json"])
def test_saved(run, small, tmp_path, suffix):
    path = tmp_path / f"found.{suffix}"
    outcome = run("data", "check", small, "--save", path)
    assert outcome.exit_code == 0
    assert outcome.stderr == f"saved: {path}\n"
    text = path.read_text()
    rows = json.loads(text)["findings"] if suffix == "json" else [*csv.DictReader(text.splitlines())]
    assert [(row["path"], row["kind"], row["severity"]) for row in rows] == [("a/bad.jpg", "empty", "bad")]
    assert {path.name for path in tmp_path.iterdir()} == {"photos", path.name}


def test_existing_files_are_not_overwritten(run, fails, small, tmp_path):
    path = tmp_path / "found.csv"
    path.write_text("mine")
    assert "already exists" in fails("data", "check", small, "--save", path, code=2)
    assert path.read_text() == "mine"
    assert run("data", "check", small, "--save", path, "--force", "-q").stderr == ""
    assert "empty" in path.read_text()


def test_too_many_bad_images(run, document, small):
    for i in range(2):
        write(small / "b" / f"bad{i}.jpg", b"<html>")
    outcome = run("data", "check", small)
    assert outcome.exit_code == 4
    expected = "photos should have at most 5% bad images. Received: 3 bad images of 43 (2 HTML, 1 empty)"
    assert outcome.stdout.splitlines()[-1] == expected
    found = document("data", "check", small, code=4)
    assert found["warnings"] == [expected] == [found["result"]["fatal"]]


def test_invalid_sources(fails, tmp_path):
    assert "should be an existing folder" in fails("data", "check", tmp_path / "none", code=4)
    assert "Did you mean digits" in fails("data", "check", "digit", code=4)
    (tmp_path / "words.csv").write_text("a,b\n1,2\n")
    assert "should have the columns file, label" in fails("data", "check", tmp_path / "words.csv", code=4)
    fails("data", "check", code=2)
    fails("data", "chek", tmp_path, code=2)
    assert "--save should end in .csv or .json" in fails("data", "check", tmp_path, "--save", "a.txt", code=2)
    missing = tmp_path / "none" / "a.csv"
    assert "cannot write" in fails("data", "check", "digits", "--save", missing, code=2)


def test_an_empty_folder(run, tmp_path):
    outcome = run("data", "check", tmp_path)
    assert outcome.exit_code == 4
    assert "Received: no readable images" in outcome.stdout


def test_a_named_dataset(document):
    result = document("data", "check", "shapes")["result"]
    assert result["images"] == 600
    assert result["findings"] == []


def test_names_with_line_breaks(run, small):
    write(small / "a" / "two\nlines\x1b[31m.jpg", b"")
    outcome = run("data", "check", small)
    assert "  a/two\\nlines\\x1b[31m.jpg" in outcome.stdout.splitlines()
