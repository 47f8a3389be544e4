"""`kerascnn train`: training, test, resume, and errors."""

import json
import signal

import keras
import numpy as np
import pandas as pd
import pytest

from kerascnn import predict
from kerascnn.data import load
from kerascnn.evaluation.statistics import wilson
from kerascnn.training import RECIPES
from kerascnn.training.fit import TrainingPlan


def stripes(count=60):
    """Images that are easy: bright on the left, on the right, or nowhere."""
    y = np.arange(count) % 3
    x = np.random.default_rng(0).integers(0, 40, (count, 32, 32, 1), "uint8")
    x[y == 0, :, :16] += 200
    x[y == 1, :, 16:] += 200
    return x, np.array(["left", "right", "none"])[y]


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """Files of stripes: with parts of their own, without, and with a class too many."""
    folder, (x, y) = tmp_path_factory.mktemp("stripes"), stripes()
    cuts = {"train": slice(0, 36), "valid": slice(36, 48), "test": slice(48, 60)}
    parts = {f"{axis}_{name}": array[cut] for name, cut in cuts.items() for axis, array in (("x", x), ("y", y))}
    np.savez(folder / "parts.npz", **parts)
    np.savez(folder / "whole.npz", x=x, y=y)
    np.savez(folder / "strange.npz", x=x, y=np.where(y == "left", "up", y))
    return folder


@pytest.fixture
def train(document, source, tmp_path):
    """Train LeNet-5 on the stripes: its folder and the answer."""

    def start(*words, data="parts.npz", out="run", code=0):
        path = tmp_path / out
        found = document(
            "train", "lenet5", "--data", source / data, "--out", path, "--batch-size", 12, *words, code=code
        )
        return path, found["result"]

    return start


def test_train_and_test(train, source):
    path, result = train("--epochs", 6)
    test = result["test"]
    assert test["images"] == 12
    assert test["interval"] == [*wilson(test["right"], 12)[1:]]
    expected = {"model.keras", "best.weights.h5", "state.npz", "history.csv", "curves.png", "card.json", "labels.json"}
    assert {each.name for each in path.iterdir()} == expected
    model = keras.saving.load_model(path / "model.keras", compile=False)
    locked = load(source / "parts.npz").test
    assert json.loads((path / "labels.json").read_text()) == list(locked.class_names)
    assert predict(model, locked.items[:1]).class_names == locked.class_names
    found = model.predict(locked.items, verbose=0).argmax(1) == locked.labels
    assert (found.sum(), model.output_shape) == (test["right"], (None, 3))
    assert json.loads((path / "card.json").read_text())["test"] == test
    assert len(pd.read_csv(path / "history.csv")) == result["epochs"] == 6


@pytest.mark.nightly
def test_ctrl_c_then_resume(train, monkeypatch):
    """Same result as an uninterrupted run; the test set is used once."""
    original, asked = TrainingPlan.learning_rate, []

    def rate(plan, step, errors):
        if step == plan.steps and not asked:
            asked.append(signal.raise_signal(signal.SIGINT))
        return original(plan, step, errors)

    whole, _ = train("--epochs", 3, out="whole")
    monkeypatch.setattr(TrainingPlan, "learning_rate", rate)
    path, result = train("--epochs", 3, code=130)
    assert result["stopped"] == "stopped by Ctrl-C after epoch 2 of 3"
    assert result["test"] is None
    assert not (path / "model.keras").exists()
    path, result = train("--epochs", 3, "--resume")
    weights = [keras.saving.load_model(each / "model.keras").get_weights() for each in (whole, path)]
    assert all(np.array_equal(a, b) for a, b in zip(*weights, strict=True))
    card = json.loads((path / "card.json").read_text())
    (path / "card.json").write_text(json.dumps(card | {"test": card["test"] | {"right": -1}}))
    assert train("--epochs", 3, "--resume")[1]["test"]["right"] == -1


def test_text(run, source, tmp_path):
    outcome = run("train", "lenet5", "--data", source / "parts.npz", "--out", tmp_path / "run", "--epochs", 1)
    assert outcome.exit_code == 0, outcome.stderr
    assert "of 12 correct, 95 % interval" in outcome.stdout
    assert f"kerascnn predict {tmp_path / 'run' / 'model.keras'} IMAGE" in outcome.stdout
    assert "epoch 1 of 1  loss" in outcome.stderr
    assert "for training: 36, for validation: 12, locked: 12" in outcome.stderr


def test_list(run, document):
    lines = run("train", "--list").stdout.splitlines()
    assert [line.split()[0] for line in lines[1:]] == [*RECIPES]
    stated = document("train", "--list")["result"]["recipes"]
    assert {row["name"]: row["batch"] for row in stated} == {name: row.batch_size for name, row in RECIPES.items()}


SHARES = {  # words: the fractions for training, validation and test
    "by default": ([], (0.8, 0.1, 0.1)),
    "no test": (["--test", "0"], (0.9, 0.1, 0)),
    "to learn only": (["--valid", "0", "--test", "0"], (1, 0, 0)),
    "another source": (["--test-data", "parts.npz"], (0.9, 0.1, 0.2)),  # the test part of that
}


QUICK = ("another source", "to learn only")


@pytest.mark.parametrize(
    "case", [pytest.param(case, marks=() if case in QUICK else pytest.mark.nightly) for case in SHARES]
)
def test_fractions_of_splits(case, run, source, tmp_path, monkeypatch):
    monkeypatch.chdir(source)
    words, expected = SHARES[case]
    outcome = run("train", "lenet5", "--data", "whole.npz", "--out", tmp_path / "run", "--epochs", 1, *words)
    assert outcome.exit_code == 0, outcome.stderr
    card = json.loads((tmp_path / "run" / "card.json").read_text())
    found = (card["data"]["train"], card["data"]["valid"], card.get("test", {"images": 0})["images"])
    np.testing.assert_allclose(np.array(found) / 60, expected, atol=0.1)
    assert [count > 0 for count in found] == [share > 0 for share in expected]
    assert ("not tested" in outcome.stdout) == (found[2] == 0)
    assert ("best validation accuracy" in outcome.stdout) == (found[1] > 0)


WRONG = {
    "network": (["lenet6", "--data", "parts.npz"], 2, "lenet5"),
    "no network": (["--data", "parts.npz"], 2, "missing argument NAME"),
    "no data": (["lenet5"], 2, "needs images"),
    "recipe": (["lenet5", "--data", "parts.npz", "--recipe", "alexnt"], 2, "alexnet"),
    "epochs": (["lenet5", "--data", "parts.npz", "--epochs", "0"], 2, "--epochs"),
    "source": (["lenet5", "--data", "nowhere"], 4, "nowhere"),
    "size": (["lenet5", "--data", "parts.npz", "--size", "4"], 2, "at least"),
    "rate": (["lenet5", "--data", "parts.npz", "--lr", "1e30"], 1, "NaN or infinite"),
    "share": (["lenet5", "--data", "parts.npz", "--test", "1"], 2, "--test"),
    "shares": (["lenet5", "--data", "parts.npz", "--test", ".5", "--valid", ".5"], 4, "to leave images for training"),
    "strange": (
        ["lenet5", "--data", "parts.npz", "--test-data", "strange.npz"],
        4,
        "only classes of --data. Received also: up",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_invalid_arguments(run, name, source, tmp_path, monkeypatch):
    monkeypatch.chdir(source)
    words, code, text = WRONG[name]
    outcome = run("train", *words, "--out", tmp_path / "run")
    assert outcome.exit_code == code, outcome.output
    assert text in outcome.stderr
    assert "Traceback" not in outcome.stderr


def test_existing_folders_are_not_overwritten(fails, tmp_path):
    words = ("train", "lenet5", "--data", "digits", "--out")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "state.npz").write_bytes(b"")
    assert "already contains a run" in fails(*words, tmp_path / "run", code=2)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.txt").write_text("all of it")
    assert "is not empty" in fails(*words, tmp_path / "other", code=2)
    assert "is not empty" in fails(*words, tmp_path / "other", "--resume", code=2)
