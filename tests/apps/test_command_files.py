"""Class names from options and files, and metadata files."""

import pytest

from kerascnn_apps.errors import BadFile
from kerascnn_apps.files import read_metadata, read_names

GIVEN = {
    "words": ("red, green,blue", None),
    "lines": ("names.txt", "red\ngreen\n\nblue\n"),
    "windows": ("names.csv", "\ufeffred\r\ngreen\r\nblue"),
    "json": ("labels.json", '["red", "green", "blue"]'),
    "no suffix": ("names", "red\ngreen\nblue"),
}


@pytest.mark.parametrize("case", GIVEN)
def test_names(case, monkeypatch, tmp_path):
    """The same three, however they are given; `kerascnn transfer` writes them as JSON."""
    monkeypatch.chdir(tmp_path)
    given, text = GIVEN[case]
    if text is not None:
        (tmp_path / given).write_text(text, encoding="utf-8")
    assert read_names(given) == ["red", "green", "blue"]


WRONG = {
    "none.txt": (None, "cannot read"),
    "a.json": ('{"0": "red"}', "should be a list of names"),
    "b.json": ("[1", "should be a JSON file"),
    "c.json": ('["red", ""]', "should be a list of names"),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_names(name, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    text, said = WRONG[name]
    if text is not None:
        (tmp_path / name).write_text(text)
    with pytest.raises(BadFile, match=said):
        read_names(name)


def test_metadata(tmp_path):
    (tmp_path / "facts.json").write_text('{"data": "three colors"}')
    assert read_metadata(str(tmp_path / "facts.json")) == {"data": "three colors"}
