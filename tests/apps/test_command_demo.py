"""`kerascnn demo`: what it writes, what it claims, and whose folder it leaves alone."""

import csv

import pytest
from scipy.stats import binomtest

from kerascnn_apps.demo import FILES, wilson


def test_demo(document, run, tmp_path):
    out = tmp_path / "tour"
    found = document("demo", "--out", out, "--epochs", 1)["result"]
    assert set(found["files"]) == set(FILES)
    assert {path.name for path in out.iterdir()} == {*FILES, ".kerascnn-demo"}
    assert found["train"] + found["test"] == 1797
    assert found["accuracy"] == found["right"] / found["test"] > 0.5
    assert (out / "lenet5.svg").read_text().startswith("<svg")
    assert "61,706" in (out / "lenet5.txt").read_text()
    assert (out / "mistakes.png").read_bytes().startswith(b"\x89PNG")
    with open(out / "history.csv") as file:
        assert [line["epoch"] for line in csv.DictReader(file)] == ["1"]
    assert "61,706" in run("show", out / "lenet5.keras").stdout


def test_what_it_claims_is_what_the_file_does(document, tmp_path):
    """The saved network, on a split that is made here once more."""
    import keras
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    found = document("demo", "--out", tmp_path / "tour", "--epochs", 1, "--seed", 3)["result"]
    data = load_digits()
    _, images, _, answers = train_test_split(
        data.images, data.target, test_size=0.25, stratify=data.target, random_state=3
    )
    images = keras.ops.image.resize(images[..., None].astype("float32") * 255 / 16, (32, 32))
    model = keras.saving.load_model(tmp_path / "tour" / "lenet5.keras")
    assert (model.predict(images, verbose=0).argmax(axis=1) == answers).sum() == found["right"]


def test_folders_of_others_are_left_alone(fails, tmp_path):
    (tmp_path / "thesis.txt").write_text("mine")
    assert "not the demo's" in fails("demo", "--out", tmp_path, code=2)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


@pytest.mark.parametrize("words", ["--epochs 0", "--epochs few", "--seed -1"])
def test_wrong_values(fails, words):
    fails("demo", *words.split(), code=2)


@pytest.mark.parametrize(("right", "number"), [(0, 10), (442, 450), (450, 450)])
def test_interval(right, number):
    expected = binomtest(right, number).proportion_ci(method="wilson")
    assert wilson(right, number) == pytest.approx([expected.low, expected.high], abs=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1])
def test_it_learns_to_read(document, tmp_path, seed):
    found = document("demo", "--out", tmp_path / "tour", "--seed", seed, "-q")["result"]
    assert found["accuracy"] > 0.97
    assert found["seconds"] < 60
