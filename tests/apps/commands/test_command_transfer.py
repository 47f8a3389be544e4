"""`kerascnn transfer`: the study, its files, resume, and errors."""

import json
import re
from dataclasses import replace
from importlib import import_module
from types import SimpleNamespace

import keras
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from kerascnn import build_model, predict
from kerascnn.inputs.class_names import read_class_names, save_model, stored_class_names
from kerascnn.transfer_learning import runner
from kerascnn.transfer_learning.trials import Trial, TrialResult
from kerascnn_apps.commands.transfer import candidate_lines

study = import_module("kerascnn.transfer_learning.study")


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """Stripes in files, a backbone in a file."""
    folder = tmp_path_factory.mktemp("stripes")
    y = np.arange(60) % 3
    x = np.random.default_rng(0).integers(0, 120, (60, 32, 32, 3), "uint8")
    x[y == 0, :, :16] += 60
    x[y == 1, :, 16:] += 60
    np.savez(folder / "stripes.npz", x=x, y=np.array(["left", "right", "none"])[y])
    np.savez(folder / "one.npz", x=x[y == 0], y=np.array(["left"] * 20))
    keras.utils.set_random_seed(0)
    build_model("tiny_resnet").save(folder / "backbone.keras")
    return folder


@pytest.fixture(autouse=True)
def here(monkeypatch, tmp_path):
    """Points in this process, which spares a start of TensorFlow; features in a folder of the test's own."""
    monkeypatch.setattr(runner, "CAN_FORK", False)
    monkeypatch.setenv("KERASCNN_HOME", str(tmp_path / "cache"))


@pytest.fixture
def words(source, tmp_path):
    return "transfer", source / "stripes.npz", "--models", source / "backbone.keras", "--out", tmp_path / "run"


def test_transfer(document, run, fails, words, tmp_path):
    found = document(*words, "--strategy", "linear")
    result, folder = found["result"], tmp_path / "run"
    assert {path.name for path in folder.iterdir()} == {*result["files"], "ledger"}
    assert result["test"]["right"] == round(result["test"]["accuracy"] * result["test"]["images"])
    assert len(pd.read_csv(folder / "table.csv")) == len(result["candidates"])
    assert sum(row["chosen"] for row in result["candidates"]) == 1
    assert json.loads((folder / "labels.json").read_text()) == ["left", "none", "right"]
    network = keras.saving.load_model(folder / "model.keras")
    assert (network.output_shape, stored_class_names(network)) == ((None, 3), ("left", "none", "right"))
    assert read_class_names(folder / "model.keras") == ("left", "none", "right")
    assert "--resume to continue" in fails(*words, code=2)
    again = run(*words, "--strategy", "linear", "--resume")
    assert again.exit_code == 0, again.stderr
    assert f"{result['test']['right']} of {result['test']['images']} correct" in again.stdout
    assert again.stdout.splitlines()[-1].strip().startswith("kerascnn export")
    assert "first classifier ready" in again.stderr
    assert "points.csv" not in again.stdout  # there were no trials
    chosen = next(row for row in result["candidates"] if row["chosen"])
    assert chosen["log_likelihood_lead"] == 0
    table = again.stdout.split("candidates, by difference from the chosen")[1].splitlines()[1:]
    titles = [title.strip() for title in table[0].split("  ") if title.strip()]
    assert titles == ["from the chosen", "accuracy", "95 % interval", "images", "candidate"]
    (line,) = [line for line in table if line.split()[:1] == ["chosen"]]
    assert f"{100 * chosen['accuracy']:.1f} %" in line
    starts = [match.group(1) for row in table if (match := re.match(r" *([+-]0\.\d+ ±|chosen )", row))]
    differences = [0.0 if start == "chosen " else float(start.split()[0]) for start in starts]
    assert len(differences) > 2
    assert differences == sorted(differences, reverse=True)


@pytest.mark.parametrize("width", [60, 80, 120])
def test_names_of_candidates_are_not_cut(width, monkeypatch):
    """They take several lines; equal candidates are shown once, and rows are not longer than the terminal."""
    monkeypatch.setenv("COLUMNS", str(width))
    names = [f"net, fine-tuned, frozen up to stage{i}, learning rate 0.0001, 20 epochs, on 11 stages" for i in range(3)]
    numbers = {"accuracy": 0.9, "low": 0.8, "high": 0.95, "images": 1234, "backbone": "net", "head": "finetuned"}
    rows = [{"name": name, "log_likelihood": -i} | numbers for i, name in enumerate(names)]
    rows.append(rows[-1] | {"name": "net, the same"})
    table = pd.DataFrame(rows).assign(
        log_likelihood_lead=[0.0, -0.1, -0.2, -0.2], log_likelihood_error=0.01, chosen=[True, False, False, False]
    )
    title, *lines = candidate_lines(SimpleNamespace(table=table))
    assert "(3 of 3)" in title
    assert max(map(len, lines)) <= width + len("\x1b[1m\x1b[0m")
    lines = [line for line in lines if "candidate" not in line]
    shown = " ".join(word for line in lines for word in line.split())
    assert not any("..." in line for line in lines)
    for i in range(3):
        assert f"stage{i}, learning" in shown or f"stage{i}," in shown
    assert ("80.0 % to 95.0 %" in shown) == (width >= 100)


def test_names_stay_with_the_network(document, run, fails, source, tmp_path):
    """Every later command speaks of the classes by name, without being told them."""
    model, photo = tmp_path / "net.keras", tmp_path / "photo.png"
    save_model(build_model("tiny_resnet", classes=3), model, ["left", "none", "right"])
    with np.load(source / "stripes.npz") as data:
        Image.fromarray(data["x"][0]).save(photo)

    (image,) = document("predict", model, photo)["result"]["images"]
    probs = predict(keras.saving.load_model(model), photo).probs[0]
    assert [guess["label"] for guess in image["top"]] == [("left", "none", "right")[k] for k in np.argsort(-probs)]
    (image,) = document("predict", model, photo, "--class-names", "L,N,R", "--top", 1)["result"]["images"]
    assert image["top"][0]["label"] == "LNR"[probs.argmax()]
    assert "each of the 3 classes. Received: 2 names" in fails("predict", model, photo, "--class-names", "L,N", code=4)

    seen = ("see", "saliency", model, photo, "--out", tmp_path / "seen.png", "--force")
    (image,) = document(*seen, "--class", "right")["result"]["images"]
    assert (image["class"], image["label"]) == (2, "right")
    assert document(*seen, "--class", "R", "--class-names", "L,N,R")["result"]["images"][0]["class"] == 2
    assert "Did you mean right" in fails(*seen, "--class", "rihgt", code=2)

    document("export", model, tmp_path / "out", "--no-verify", "--format", "keras")
    for file in (tmp_path / "out" / "labels.json", tmp_path / "out" / "card.json"):
        names = json.loads(file.read_text())
        assert (names if isinstance(names, list) else names["classes"]) == ["left", "none", "right"]
    (image,) = document("predict", tmp_path / "out" / "model.keras", photo, "--top", 1)["result"]["images"]
    assert image["top"][0]["label"] == ("left", "none", "right")[probs.argmax()]
    assert "right" in run("evaluate", model, source / "stripes.npz").stdout


@pytest.mark.parametrize(
    ("data", "models", "more", "code", "text"),
    [
        ("nowhere.npz", "backbone.keras", (), 4, "nowhere.npz"),
        ("one.npz", "backbone.keras", (), 4, "at least two classes"),
        ("stripes.npz", "nothing.keras", (), 4, "file not found"),
        ("stripes.npz", "resnet20_cifra10", (), 2, "resnet20_cifar10"),
        ("stripes.npz", "backbone.keras", ("--budget", "soon"), 2, "--budget 10m"),
        ("stripes.npz", "backbone.keras", ("--strategy", "hope"), 2, "'auto'"),
    ],
    ids=["no data", "one class", "no file", "misspelled", "budget", "strategy"],
)
def test_invalid_arguments(fails, source, data, models, more, code, text, monkeypatch, tmp_path):
    monkeypatch.chdir(source)
    assert text in fails("transfer", data, "--models", models, "--out", tmp_path / "run", *more, code=code)


def test_unwritable_folder(fails, words, tmp_path):
    (tmp_path / "run").write_text("")
    assert fails(*words, code=2)
    (tmp_path / "file").write_text("")
    assert "cannot write" in fails(*words[:-1], tmp_path / "file" / "run", code=1)


def test_other_files_are_not_overwritten(fails, words, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "thesis.txt").write_text("")
    assert "is not empty" in fails(*words, code=2)


def test_interrupted(run, words, monkeypatch):
    """Finished work is stored, and the message says how to resume."""

    def interrupted(*given, **named):
        raise KeyboardInterrupt

    monkeypatch.setattr(study, "transfer", interrupted)
    outcome = run(*words)
    assert outcome.exit_code == 130
    assert "add --resume to the same command to continue" in outcome.stderr


def test_failed_trials(document, words, monkeypatch):
    """The other trials are used; exit code 5 and a warning."""
    point = Trial("stage2", "", 1e-3, "none", 1)
    whole = study.transfer
    failed = (TrialResult(trial=point, failed="out of memory"),)
    monkeypatch.setattr(
        study, "transfer", lambda *given, **named: replace(whole(*given, **named), trial_results=failed)
    )
    found = document(*words, "--strategy", "linear", code=5)
    assert found["warnings"] == [f"{point} failed: out of memory"]


@pytest.mark.nightly
def test_digits(document, tmp_path):
    result = document("transfer", "digits", "--out", tmp_path / "run", "--strategy", "linear")["result"]
    assert result["test"]["accuracy"] >= 0.98
    assert result["advice"] == ["different", "little"]
    assert result["difference"]["low"] > 0  # better than the baseline, beyond chance
    assert result["chosen"]["stage"] != "features"
