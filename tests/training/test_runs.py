"""How runs end and go on: Ctrl-C, NaN, crashes, and what is in their folders."""

import json
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import pytest
from learners import QUICK, images, same, small, values

from kerascnn import fit
from kerascnn.training import TrainingDiverged
from kerascnn.training.fit import TrainingPlan
from kerascnn.training.history import COLUMNS, history_of
from kerascnn.training.schedules import Steps


@pytest.fixture
def at_step(monkeypatch):
    """Do something in the middle of an epoch (counted from 1)."""

    def arrange(epoch, action):
        original, done = TrainingPlan.learning_rate, []

        def rate(plan, step, errors):
            if step == (epoch - 1) * plan.steps + 1 and not done:
                done.append(step)
                action()
            return original(plan, step, errors)

        monkeypatch.setattr(TrainingPlan, "learning_rate", rate)

    return arrange


def test_ctrl_c_once_ends_after_the_epoch_and_saves(at_step, tmp_path, capsys):
    data, model = (images(), images(9, seed=1)), small()
    at_step(2, lambda: signal.raise_signal(signal.SIGINT))
    before = signal.getsignal(signal.SIGINT)
    history = fit(model, data, QUICK, out=tmp_path, verbose=False)
    assert history.stopped == "stopped by Ctrl-C after epoch 2 of 4"
    assert [*history.table.epoch] == [1, 2]
    assert "Ctrl-C again" in capsys.readouterr().err
    assert signal.getsignal(signal.SIGINT) is before
    history = fit(small(seed=5), data, QUICK, out=tmp_path, resume=True, verbose=False)
    assert [*history.table.epoch] == [1, 2, 3, 4]


def test_ctrl_c_twice_stops_at_once(at_step, tmp_path):
    at_step(2, lambda: [signal.raise_signal(signal.SIGINT) for _ in range(2)])
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        fit(small(), images(), QUICK, out=tmp_path, verbose=False)
    assert signal.getsignal(signal.SIGINT) is before
    assert len(pd.read_csv(tmp_path / "history.csv")) == 1


@pytest.fixture(scope="module")
def whole():
    """A model that learned without a break, and its history."""
    model = small()
    return model, fit(model, (images(), images(9, seed=1)), QUICK, verbose=False)


@pytest.mark.parametrize("epoch", [2, *(pytest.param(epoch, marks=pytest.mark.nightly) for epoch in (1, 4))])
def test_resumed_run_is_bitwise_equal(epoch, whole, at_step, tmp_path):
    """Into a model of other weights: all comes from the folder."""
    data, other = (images(), images(9, seed=1)), small(seed=5)
    model, expected = whole

    def fails():
        raise RuntimeError("power cut")

    at_step(epoch, fails)
    with pytest.raises(RuntimeError, match="power cut"):
        fit(small(), data, QUICK, out=tmp_path, verbose=False)
    history = fit(other, data, QUICK, out=tmp_path, resume=True, verbose=False)
    assert same(values(model), values(other))
    kept = ["epoch", "loss", "accuracy", "val_loss", "val_accuracy", "learning_rate"]
    pd.testing.assert_frame_equal(history.table[kept], expected.table[kept], check_exact=True)


@pytest.mark.nightly
def test_kills_at_random_moments(tmp_path):
    """SIGKILL, twice; by hand with more: python tests/support/kill_trainings.py."""
    y = np.arange(240) % 3
    x = np.random.default_rng(0).integers(0, 80, (240, 32, 32, 1), "uint8") + (80 * y[:, None, None, None]).astype(
        "uint8"
    )
    np.savez(tmp_path / "three.npz", x=x, y=y)
    script = Path(__file__).parents[1] / "support" / "kill_trainings.py"
    words = [sys.executable, script, "--kills", "2", "--epochs", "4", "--data", tmp_path / "three.npz"]
    done = subprocess.run(list(map(str, words)), capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "bitwise equal: True" in done.stdout
    assert "kills: 0" not in done.stdout


@pytest.mark.parametrize("epoch", [3, pytest.param(1, marks=pytest.mark.nightly)])
def test_nan_stops_with_a_reason_and_leaves_the_last_good_state(epoch, monkeypatch, tmp_path):
    original, folder = TrainingPlan.learning_rate, tmp_path / "run"

    def rate(plan, step, errors):
        return 1e38 if step == (epoch - 1) * plan.steps else original(plan, step, errors)

    good = small()
    if epoch > 1:
        row = replace(QUICK, schedule=Steps(()))
        fit(good, images(), replace(row, epochs=epoch - 1), verbose=False)
    monkeypatch.setattr(TrainingPlan, "learning_rate", rate)
    model = small()
    row = replace(QUICK, schedule=Steps(()))
    with pytest.raises(
        TrainingDiverged, match=rf"epoch {epoch}, at a learning rate of .*Try a learning rate of 0.005"
    ) as caught:
        fit(model, images(), row, out=folder, verbose=False)
    assert len(caught.value.history.table) == epoch - 1
    assert same(model.get_weights(), good.get_weights())
    with np.load(folder / "state.npz") as state:
        assert all(np.isfinite(state[key]).all() for key in state.files if key != "about")
    assert "NaN" in json.loads((folder / "card.json").read_text())["result"]["stopped"] if epoch > 1 else True


def test_the_folder_of_a_run(tmp_path):
    model, data = small(), (images(), images(9, seed=1))
    history = fit(model, data, QUICK, out=tmp_path, seed=3, verbose=False)
    expected = {"state.npz", "best.weights.h5", "history.csv", "curves.png", "card.json"}
    assert {path.name for path in tmp_path.iterdir()} == expected
    card = json.loads((tmp_path / "card.json").read_text())
    assert card["network"] == {"name": "small", "parameters": model.count_params(), "input": [6, 6, 1]}
    assert (card["seed"], card["recipe"]["rate"], card["data"]["train"]) == (3, 0.05, 24)
    assert card["versions"]["keras"] == keras.__version__
    assert card["result"]["best"] == history.best
    best = small(seed=5)
    best.load_weights(tmp_path / "best.weights.h5")
    found = best.predict(data[1][0], verbose=0).argmax(1) == data[1][1]
    assert found.mean() == pytest.approx(history.best["val_accuracy"])
    table = history.table
    assert history.best["val_accuracy"] == table.val_accuracy.max()
    assert (
        history.best["epoch"]
        == table.epoch[table.val_accuracy == table.val_accuracy.max()].iloc[
            table.val_loss[table.val_accuracy == table.val_accuracy.max()].argmin()
        ]
    )


def test_a_run_is_not_written_over_nor_resumed_as_another(tmp_path):
    fit(small(), images(), QUICK, epochs=1, out=tmp_path, verbose=False)
    with pytest.raises(ValueError, match="`out` should be a new folder, unless `resume=True`"):
        fit(small(), images(), QUICK, epochs=1, out=tmp_path)
    with pytest.raises(ValueError, match=r"`recipe` should be as in the run .* rate=0.05. Received: rate=0.1"):
        fit(small(), images(), QUICK, epochs=1, learning_rate=0.1, out=tmp_path, resume=True)
    with pytest.raises(ValueError, match=r"`seed` should be as in the run .* 0. Received: 1"):
        fit(small(), images(), QUICK, epochs=1, seed=1, out=tmp_path, resume=True)
    whole = (tmp_path / "state.npz").read_bytes()
    for damaged in (b"", b"no state", whole[:-100], whole[:100]):
        (tmp_path / "state.npz").write_bytes(damaged)
        with pytest.raises(ValueError, match="`out` should contain a readable run"):
            fit(small(), images(), QUICK, epochs=1, out=tmp_path, resume=True)


def test_history_is_written_atomically(tmp_path, monkeypatch):
    """A full disk leaves what was there."""
    history = history_of([dict.fromkeys(COLUMNS, 1.0)])
    for name in ("history.csv", "curves.png"):
        assert history.save(tmp_path / "made" / name) == tmp_path / "made" / name
        (tmp_path / name).write_bytes(b"old")

    def half(self, path, **options):
        Path(path).write_bytes(b"half")
        raise OSError("no space left on device")

    monkeypatch.setattr(pd.DataFrame, "to_csv", half)
    monkeypatch.setattr("matplotlib.figure.Figure.savefig", half)
    for name in ("history.csv", "curves.png"):
        with pytest.raises(OSError, match="no space"):
            history.save(tmp_path / name)
        assert (tmp_path / name).read_bytes() == b"old"
    assert {path.name for path in tmp_path.iterdir()} == {"made", "history.csv", "curves.png"}
