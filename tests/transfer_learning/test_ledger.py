"""What is finished stays finished, whatever happens to the process, the memory or the disk."""

import os
import random
import signal
import subprocess
import sys
import time
from itertools import product

import numpy as np
import pytest

from kerascnn.support.store import Store
from kerascnn.transfer_learning.finetune import FinetuneResult
from kerascnn.transfer_learning.runner import workers
from kerascnn.transfer_learning.trials import BATCH_SIZE, Trial, TrialError, run_trial

POINTS = [
    Trial("stage2", freeze, rate, "none", 3) for freeze, rate in product(("", "stage1"), (1e-4, 3e-4, 1e-3, 3e-3))
]


def worked(point, batch, together, seconds=0.0):
    """A result that follows from the point alone."""
    time.sleep(seconds)
    logits = (
        np.random.default_rng(round(1e5 * point.learning_rate) + len(point.freeze))
        .normal(size=(10, 3))
        .astype("float32")
    )
    history = [{"epoch": 0, "loss": None, "held_loss": 1.5}]
    return FinetuneResult(
        accuracy=float(logits[0, 0] > 0), loss=0.5, epoch=1, logits=logits, history=history, cached=False, seconds=1.0
    )


def short(point, batch, together):
    """Two points need more memory than there is: one finds it with smaller batches."""
    if point.learning_rate == 1e-3 and (point.freeze or batch > BATCH_SIZE // 2):
        raise MemoryError("no room")
    return worked(point, batch, together)


def rows(ledger, perform=worked):
    return [run_trial(point, perform, ledger, "data").row for point in POINTS]


def test_stored_trials_are_returned_unchanged(tmp_path):
    before = [run_trial(point, worked, Store(tmp_path), "data") for point in POINTS]
    asked = []
    after = [run_trial(point, lambda *given: asked.append(given), Store(tmp_path), "data") for point in POINTS]
    assert not asked
    for one, other in zip(before, after, strict=True):
        assert one.row == other.row
        assert one.history == other.history
        np.testing.assert_array_equal(one.logits, other.logits)


def test_other_data_is_another_trial(tmp_path):
    asked = []
    for context in ("data", "other data"):
        run_trial(POINTS[0], lambda *given: asked.append(given) or worked(*given), Store(tmp_path), context)
    assert len(asked) == 2


def test_memory_runs_out():
    found = {(row["freeze"], row["learning_rate"]): row for row in rows(Store(), short)}
    assert (found["", 1e-3]["attempts"], found["", 1e-3]["batch_size"], found["", 1e-3]["failed"]) == (
        2,
        BATCH_SIZE // 2,
        "",
    )
    assert (found["stage1", 1e-3]["attempts"], found["stage1", 1e-3]["accuracy"]) == (3, None)
    assert found["stage1", 1e-3]["failed"] == "MemoryError: no room"
    assert sum(not row["failed"] for row in found.values()) == len(POINTS) - 1


def test_other_errors_are_not_retried():
    found = run_trial(POINTS[0], lambda *given: 1 / 0, Store(), "data")
    assert (found.attempts, found.failed) == (1, "ZeroDivisionError: division by zero")


def test_full_disk_keeps_results_in_memory(tmp_path, monkeypatch):
    def full(*given, **how):
        raise OSError(28, "No space left on device")

    ledger = Store(tmp_path)
    monkeypatch.setattr(np, "savez", full)
    with pytest.warns(UserWarning, match="cannot cache .*: No space left on device"):
        expected = rows(ledger)
    assert rows(ledger, None) == expected
    assert not [*tmp_path.iterdir()]


def test_damaged_file_is_recomputed(tmp_path):
    expected = rows(Store(tmp_path))
    first, second, *_ = sorted(tmp_path.iterdir())
    first.write_bytes(first.read_bytes()[:100])
    second.write_bytes(b"")
    with pytest.warns(UserWarning, match="is damaged"):
        assert rows(Store(tmp_path)) == expected


def begun(folder):
    """A process that works on all points, forked."""
    process = os.fork()
    if not process:
        try:
            rows(Store(folder), lambda *given: short(*given) and worked(*given, seconds=0.05))
        finally:
            os._exit(0)
    return process


@pytest.mark.filterwarnings("ignore:.*fork")
def test_results_survive_kill_9(tmp_path):
    """Ten times, at random moments: nothing finished is lost, nothing half is found, and the table is the same."""
    expected, draw, before = rows(Store(), short), random.Random(0), set()
    for _ in range(10):
        process = begun(tmp_path)
        time.sleep(draw.uniform(0.01, 0.12))
        os.kill(process, signal.SIGKILL)
        os.waitpid(process, 0)
        there = {(path.name, path.read_bytes()) for path in tmp_path.glob("point-*.npz")}
        assert before <= there
        before = there
    assert rows(Store(tmp_path), short) == expected


@pytest.fixture(scope="module")
def do():
    with workers() as do:
        yield do


def dies(how):
    os.kill(os.getpid(), how)


@pytest.mark.nightly
def test_trial_runs_in_a_separate_process(do):
    assert do(max, 2, 3) == 3
    assert do(os.getpid) != do(os.getpid) != os.getpid()
    with pytest.raises(TrialError, match="negative"):
        do(np.zeros, -1)
    for how, kind in ((signal.SIGKILL, "Killed"), (signal.SIGSEGV, "Died")):
        with pytest.raises(TrialError, match=how.name) as caught:
            do(dies, how)
        assert caught.value.kind == kind
    assert do(max, 2, 3) == 3


ASKING = """
import sys
from kerascnn.transfer_learning.runner import workers
with workers() as do:
    do(exec, "import os, time; open(" + repr(sys.argv[1]) + ", 'w').write(str(os.getpid())); time.sleep(60)")
"""


@pytest.mark.nightly
@pytest.mark.parametrize("how", ["killed", "interrupted"])
def test_workers_end_with_their_parent(tmp_path, how):
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    path = tmp_path / "process"
    words = [sys.executable, "-c", ASKING, str(path)]
    asking = subprocess.Popen(words, env=environment, start_new_session=True, stderr=subprocess.DEVNULL)
    until = time.monotonic() + 100
    while not path.exists() or not path.read_text():
        assert time.monotonic() < until
        time.sleep(0.05)
    if how == "killed":
        asking.kill()
    else:
        os.killpg(asking.pid, signal.SIGINT)  # as Ctrl-C, which all processes of a terminal are told
    assert asking.wait(timeout=20) == {"killed": -signal.SIGKILL, "interrupted": -signal.SIGINT}[how]
    there = f"/proc/{path.read_text()}"
    while os.path.exists(there):
        assert time.monotonic() < until
        time.sleep(0.05)
