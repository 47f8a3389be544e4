"""`kerascnn demo`: files and results of its steps, failures, and existing folders."""

import csv
import json
import os
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from scipy.stats import binomtest

import kerascnn
from kerascnn.transfer_learning import runner
from kerascnn_apps.commands import demo
from kerascnn_apps.datasets import summarize_test
from kerascnn_apps.main import main

OWN = {".kerascnn-demo"}


def listen(patch, names, calls):
    """Note each call of these public functions in ``calls``."""

    def heard(name):
        function = getattr(kerascnn, name)

        def call(*given, **named):
            calls.append(name)
            return function(*given, **named)

        return call

    for name in names:
        patch.setattr(kerascnn, name, heard(name), raising=False)


@pytest.fixture(scope="module")
def calls():
    """The public functions that the steps with LeNet-5 have called."""
    return []


@pytest.fixture(scope="module")
def lenet(tmp_path_factory, calls):
    """(folder, result) of the steps that need LeNet-5 alone."""
    out = tmp_path_factory.mktemp("demo") / "tour"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(demo, "STEPS", demo.STEPS[:2])
        listen(patch, ["build_model", "diagram", "dissect", "load", "fit", "evaluate"], calls)
        outcome = CliRunner().invoke(main, ["demo", "--out", str(out), "--epochs", "1", "--seed", "3", "--json"])
    assert outcome.exit_code == 0, outcome.stderr
    return out, json.loads(outcome.stdout)["result"]


def names(step):
    return {*next(each for each in demo.STEPS if each.name == step).files}


def test_build_and_train(run, lenet):
    out, found = lenet
    assert {*found["files"]} == names("build") | names("train")
    assert {path.name for path in out.iterdir()} == {*found["files"], *OWN}
    learned = found["steps"]["train"]
    assert learned["train"] + learned["test"]["images"] == 1797
    assert learned["test"]["accuracy"] == learned["test"]["right"] / learned["test"]["images"] > 0.5
    assert (out / "lenet5.svg").read_text().startswith("<svg")
    assert "61,706" in (out / "lenet5.txt").read_text()
    assert (out / "mistakes.png").read_bytes().startswith(b"\x89PNG")
    with open(out / "history.csv") as file:
        assert [line["epoch"] for line in csv.DictReader(file)] == ["1"]
    assert "61,706" in run("show", out / "lenet5.keras").stdout


def test_the_tour_calls_public_functions(lenet, calls):
    """Data, training and judgment are the functions of the package that everybody has."""
    assert calls == ["build_model", "diagram", "dissect", "load", "fit", "evaluate"]


def test_the_saved_network_has_the_claimed_accuracy(lenet):
    """The saved network on the same split, by Keras and with the answers of scikit-learn."""
    import keras
    from sklearn.datasets import load_digits

    out, found = lenet
    test = kerascnn.load("digits", valid=0, test=0.25, seed=3).test
    answers = load_digits().target[[int(name.split("/")[1]) for name in test.names]]
    model = keras.saving.load_model(out / "lenet5.keras")
    right = (model.predict(test.pixels(32, 1), verbose=0).argmax(axis=1) == answers).sum()
    assert right == found["steps"]["train"]["test"]["right"]
    assert len(test) == found["steps"]["train"]["test"]["images"]


def broken(error):
    def step(tour):
        raise error

    return demo.Step("train", "that it breaks", step, {"never.txt": "never written"})


def test_failed_step(run, monkeypatch, tmp_path):
    """Files so far are listed, later steps are skipped, and the exit code is 5."""
    monkeypatch.setattr(demo, "STEPS", (demo.STEPS[0], broken(RuntimeError("no luck")), *demo.STEPS[2:]))
    outcome = run("demo", "--out", tmp_path / "tour", "--json")
    assert outcome.exit_code == 5
    found = json.loads(outcome.stdout)
    assert found["result"]["failed"] == {"train": "RuntimeError: no luck"}
    assert found["warnings"] == ["train: RuntimeError: no luck"]
    assert {*found["result"]["files"]} == names("build")
    assert "3/5" not in outcome.stderr
    text = run("demo", "--out", tmp_path / "tour")
    assert text.exit_code == 5
    assert "lenet5.svg" in text.stdout
    assert "never.txt" not in text.stdout


def test_interrupted(run, monkeypatch, tmp_path):
    monkeypatch.setattr(demo, "STEPS", (demo.STEPS[0], broken(KeyboardInterrupt())))
    outcome = run("demo", "--out", tmp_path / "tour")
    assert outcome.exit_code == 130
    assert outcome.stdout == ""
    assert f"{tmp_path / 'tour'} contains lenet5.svg, lenet5.txt" in outcome.stderr


def test_other_folders_are_not_overwritten(fails, tmp_path):
    (tmp_path / "thesis.txt").write_text("mine")
    assert "that the demo did not write" in fails("demo", "--out", tmp_path, code=2)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


@pytest.mark.parametrize("words", ["--epochs 0", "--epochs few", "--seed -1"])
def test_invalid_values(fails, words):
    fails("demo", *words.split(), code=2)


@pytest.mark.parametrize(("right", "number"), [(0, 10), (442, 450), (450, 450)])
def test_interval(right, number):
    expected = binomtest(right, number).proportion_ci(method="wilson")
    probs = np.tile([0.9, 0.1], (number, 1))
    facts = summarize_test(kerascnn.from_probabilities(probs, (np.arange(number) >= right).astype(int)))
    assert (facts["right"], facts["images"], facts["accuracy"]) == (right, number, right / number)
    assert facts["interval"] == pytest.approx([expected.low, expected.high], abs=1e-4)


def test_every_step_has_a_description():
    assert [step.name for step in demo.STEPS] == ["build", "train", "transfer", "export", "report"]
    assert all(step.shows and len(step.shows) < 120 and step.files for step in demo.STEPS)


@pytest.mark.nightly
def test_the_whole_tour(document, in_process, monkeypatch, tmp_path):
    """Offline; the transferred network is better than the baseline; the report itself has its own tests."""
    import tensorflow as tf

    asked = {}

    def report(model, *, data, out, on_progress, **named):
        asked.update(named, classes=len(data.class_names), shape=model.output_shape)
        on_progress(10, 20, "filters")
        for suffix in (".html", ".json"):
            Path(out).with_suffix(suffix).write_text("")

    monkeypatch.setattr(runner, "CAN_FORK", False)
    monkeypatch.setattr(demo, "BUDGET", 1)
    called = []
    listen(monkeypatch, ["transfer", "export"], called)
    monkeypatch.setattr(kerascnn, "report", report, raising=False)
    monkeypatch.setenv("KERASCNN_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("KERASCNN_OFFLINE", "1")
    out = tmp_path / "tour"
    found = document("demo", "--out", out, "--epochs", 2)["result"]
    assert {*os.listdir(out)} == {*found["files"], *OWN}
    assert {*found["files"]} == {name for step in demo.STEPS for name in step.files}
    steps = found["steps"]
    assert called[0] == "transfer"
    assert "export" in called
    assert steps["transfer"]["test"]["accuracy"] > max(0.96, steps["transfer"]["usual"])
    assert 3 <= len(steps["transfer"]["stages"]) <= 4
    assert max(steps["transfer"]["stages"], key=lambda row: row["accuracy"])["depth"] == "the best single stage"
    assert all(check["passed"] for check in steps["export"]["checks"])
    signatures = tf.saved_model.load(str(out / "classifier" / "saved_model" / "1")).signatures
    assert "serving_default" in signatures
    assert asked["effort"] == "quick"
    assert (asked["classes"], asked["shape"]) == (10, (None, 10))
    assert Path(asked["transfer"], "study.json").exists()
