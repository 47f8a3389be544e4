"""What whoever waits is shown: nothing at first, then a bar or lines; and what a run says while it learns."""

import io
import sys

import pytest

from kerascnn.support.progress import progress
from kerascnn.training.fit import epoch_label, epoch_note

ROW = {"epoch": 3, "loss": 0.5, "accuracy": 0.8, "val_loss": 0.6, "val_accuracy": 0.75, "rate": 0.1, "seconds": 2.0}
TOLD = "epoch 3 of 4  loss 0.500  accuracy  80.0 %   val_loss 0.600  val_accuracy  75.0 %   learning rate 0.1   2.0 s"


def terminal(monkeypatch):
    """A terminal in place of stderr."""

    class Terminal(io.StringIO):
        def isatty(self):
            return True

    monkeypatch.setattr(sys, "stderr", Terminal())
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    return sys.stderr


def learn(shown):
    """An epoch of a run as `fit` reports it."""
    shown(25, 40, f"{epoch_label(2, 4)}  step 5 of 10  loss 1.000")
    shown.note(30, 40, f"{epoch_label(2, 4)}  {epoch_note(ROW)}")


def test_one_line_per_epoch_without_a_terminal(capsys):
    with progress(unit="text", wait=0, every=60) as shown:
        learn(shown)
    assert capsys.readouterr().err == TOLD + "\n"


def test_one_line_per_minute_in_long_epochs(capsys):
    with progress(unit="text", wait=0, every=-1) as shown:
        shown(25, 120, f"{epoch_label(2, 12)}  step 5 of 10  loss 1.000")
    assert capsys.readouterr().err == "epoch  3 of 12  step 5 of 10  loss 1.000\n"


def test_a_bar_on_a_terminal(monkeypatch):
    screen = terminal(monkeypatch)
    with progress(True, unit="text", wait=0, lasting=True) as shown:
        learn(shown)
    told = screen.getvalue()
    assert TOLD in told
    assert "epoch 3 of 4  step 5 of 10  loss 1.000" in told


def test_verbose_2_prints_lines_on_a_terminal(monkeypatch):
    screen = terminal(monkeypatch)
    with progress(2, unit="text", wait=0, every=60) as shown:
        learn(shown)
    assert screen.getvalue() == TOLD + "\n"


@pytest.mark.parametrize("how", ["verbose", "variable"])
def test_silent_with_verbose_0_or_quiet(how, capsys, monkeypatch):
    if how == "variable":
        monkeypatch.setenv("KERASCNN_QUIET", "1")
    with progress(how == "variable", unit="text", every=-1) as shown:
        learn(shown)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("lines", [False, True], ids=["bar", "lines"])
def test_nothing_in_the_first_seconds(monkeypatch, lines):
    screen = terminal(monkeypatch)
    with progress(2 if lines else "auto") as shown:
        shown(1, 2, "reading")
    assert screen.getvalue() == ""


def test_bar_disappears_at_the_end(monkeypatch):
    screen = terminal(monkeypatch)
    with progress(wait=0) as shown:
        shown(1, 2, "reading [photos]")
    told = screen.getvalue()
    assert "reading [photos]" in told
    assert told.endswith("\x1b[1A\x1b[2K")


LINES = {"count": "reading 1,000 of 4,000", "seconds": " 25%  reading, about 50 min remaining", "text": "reading"}


@pytest.mark.parametrize(("unit", "line"), LINES.items())
def test_lines(capsys, unit, line):
    with progress(unit=unit, every=-1) as shown:
        shown(1000, 4000, "reading")
        shown(4000, 4000, "reading")  # what is done is seen anyway
    assert capsys.readouterr().err == line + "\n"


def test_new_topic_prints_a_line(capsys):
    with progress(unit="text", every=60, topic=lambda done, total, what: what.split(":")[0]) as shown:
        for what in ("one", "one: half", "two: half", "two"):
            shown(1, 2, what)
    assert capsys.readouterr().err == "one\ntwo: half\n"


def test_on_progress_replaces_the_display(capsys):
    heard = []
    with progress(2, lambda *what: heard.append(what), every=-1) as shown:
        shown(1, 2, "one")
        shown.note(2, 2, "both")
    assert heard == [(1, 2, "one"), (2, 2, "both")]
    assert capsys.readouterr().err == ""
