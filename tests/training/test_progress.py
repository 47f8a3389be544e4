"""What is told of a run while it learns."""

import io
import sys

import pytest
from learners import QUICK, images, small

from kerascnn import fit
from kerascnn.training import progress
from kerascnn.training.progress import telling

ROW = {"epoch": 3, "loss": 0.5, "accuracy": 0.8, "val_loss": 0.6, "val_accuracy": 0.75, "rate": 0.1, "seconds": 2.0}
TOLD = "epoch 3 of 4  loss 0.500   80.0 %   valid 0.600   75.0 %   rate 0.1   2.0 s"


def test_a_line_an_epoch_elsewhere_than_on_a_terminal(capsys):
    with telling("auto", steps=10, epochs=4, done=2) as tell:
        tell.step(0, {"loss": 1.0})
        tell.epoch(ROW)
    assert capsys.readouterr().err == TOLD + "\n"


def test_a_line_a_minute_in_long_epochs(capsys, monkeypatch):
    monkeypatch.setattr(progress, "PATIENCE", -1)
    with telling("auto", steps=10, epochs=12, done=2) as tell:
        tell.step(4, {"loss": 1.0})
    assert capsys.readouterr().err == "epoch  3 of 12  step 5 of 10  loss 1.000\n"


def test_a_bar_on_a_terminal(monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    monkeypatch.setattr(sys, "stderr", Terminal())
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    with telling(True, steps=10, epochs=4, done=2) as tell:
        tell.step(4, {"loss": 1.0})
        tell.epoch(ROW)
    told = sys.stderr.getvalue()
    assert TOLD in told
    assert "epoch 3 of 4  loss 1.000" in told


@pytest.mark.parametrize("how", ["verbose", "variable"])
def test_nothing_where_nobody_asked(how, capsys, monkeypatch):
    if how == "variable":
        monkeypatch.setenv("KERASCNN_QUIET", "1")
    with telling(how == "variable", 10, 4) as tell:
        tell.step(0, {"loss": 1.0})
        tell.epoch(ROW)
    assert capsys.readouterr().err == ""


def test_fit_tells(capsys):
    fit(small(), (images(), images(9)), QUICK, epochs=2)
    first, second = capsys.readouterr().err.splitlines()
    assert first.startswith("epoch 1 of 2  loss ")
    assert "valid" in second
