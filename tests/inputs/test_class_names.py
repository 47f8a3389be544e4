"""Names of classes: known ones, and what happens where the file of ImageNet's is missing or damaged."""

import json
import warnings

import pytest

from kerascnn.inputs import class_names
from kerascnn.weights import DownloadError

INDEX = {str(i): [f"n{i:08d}", f"class_number_{i}"] for i in range(1000)} | {
    "134": ["n00000134", "crane"],
    "517": ["n00000517", "crane"],
}


@pytest.fixture(autouse=True)
def forgotten_names():
    class_names.imagenet_class_names.cache_clear()
    yield
    class_names.imagenet_class_names.cache_clear()


@pytest.fixture
def downloaded(monkeypatch, tmp_path):
    """Have the download give this file."""

    def give(contents):
        path = tmp_path / "index.json"
        path.write_text(contents if isinstance(contents, str) else json.dumps(contents))
        monkeypatch.setattr(class_names, "fetch", lambda address, file, hash="", **rest: path)

    return give


def test_cifar():
    assert class_names.published_class_names(10)[3] == "cat"
    assert class_names.published_class_names(7) is None


def test_imagenet(downloaded):
    downloaded(INDEX)
    names = class_names.published_class_names(1000)
    assert names[7] == "class number 7"
    assert names[134] == "crane (n00000134)"
    assert len(set(names)) == 1000
    assert list(class_names.imagenet_class_names())[517] == "n00000517"


DAMAGED = {
    "cut off": json.dumps(INDEX)[:-20],
    "a list": "[]",
    "one short": {key: row for key, row in INDEX.items() if key != "999"},
    "no WordNet number": INDEX | {"5": ["tench", "n00000005"]},
    "twice the same": INDEX | {"5": ["n00000004", "tench"]},
    "another order": INDEX | {"5": INDEX["6"], "6": INDEX["5"]},
    "no name": INDEX | {"5": ["n00000005", None]},
    "a word": INDEX | {"5": "ab"},
}


@pytest.mark.parametrize("kind", DAMAGED)
def test_damaged_file_is_ignored(downloaded, kind):
    downloaded(DAMAGED[kind])
    with pytest.warns(UserWarning, match="numbers are used instead"):
        assert class_names.published_class_names(1000) is None


def test_offline_warns_once(monkeypatch):
    def fetch(*_, **__):
        raise DownloadError("no connection")

    monkeypatch.setattr(class_names, "fetch", fetch)
    with pytest.warns(UserWarning, match="numbers are used instead: no connection"):
        assert class_names.published_class_names(1000) is None
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert class_names.published_class_names(1000) is None
