"""Kill a running study with -9 at random moments, go on each time, and compare with one that nothing happened to.

    python tests/support/kill_studies.py [--kills 10] [--images 90] [--seed 0]

In both two points run out of memory, however small their batches. Prints the moments, and at the end whether the final
tables are equal and whether any point that was finished is lost or was done again. Children are forked once TensorFlow
is imported and before it computes anything, which saves the import.
"""

import argparse
import os
import random
import signal
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
import numpy as np
import pandas as pd
import tensorflow  # noqa: F401
from networks import varied

from kerascnn.transfer_learning import runner, transfer

SHORT = (("", 3e-4), ("stage1", 3e-4))  # what is frozen, rate: points without memory
QUICK = {"strategy": "grid", "heads": "ridge", "cache": False}


def photos(count, side=32):
    """Colors under noise."""
    y, draw = np.arange(count) % 3, np.random.default_rng(0)
    x = np.eye(3)[y][:, None, None] * 20 + 110 + draw.integers(-90, 90, (count, side, side, 3))
    return x.clip(0, 255).astype(np.uint8), np.array([f"class {i}" for i in y])


def short_of_memory(original):
    """The work on a point, which some of them have no memory for."""

    def worked(folder, file, fields, *rest):
        if (fields["freeze"], fields["learning_rate"]) in SHORT:
            raise MemoryError("injected")
        return original(folder, file, fields, *rest)

    return worked


def studied(out, images):
    """The study, with its points in this process, and its tables as files."""
    runner.CAN_FORK = False
    runner.perform_trial = short_of_memory(runner.perform_trial)
    found = transfer(photos(images), varied(), out=out, on_progress=lambda done, budget, what: print(what), **QUICK)
    found.table.drop(columns="seconds").to_csv(out / "table.csv", index=False)
    found.trials.drop(columns=["seconds"]).to_csv(out / "points.csv", index=False)
    np.save(out / "tested.npy", found.evaluation.probs)


def start(out, images, log):
    """A process with a study, forked."""
    sys.stdout.flush()
    process = os.fork()
    if process:
        return process
    file = os.open(log, os.O_CREAT | os.O_APPEND | os.O_WRONLY)
    os.dup2(file, 1)
    os.dup2(file, 2)
    try:
        studied(out, images)
        os._exit(0)
    finally:
        os._exit(1)


def ended(process, seconds, enough=lambda: False):
    """Whether a process ends by itself within so many seconds, and before there is ``enough``."""
    until = time.monotonic() + seconds
    while time.monotonic() < until and not enough():
        if os.waitpid(process, os.WNOHANG)[0]:
            return True
        time.sleep(0.005)
    return False


def finished(out):
    """{file: bytes} of the points that are in the ledger."""
    return {path.name: path.read_bytes() for path in (out / "ledger").glob("point-*.npz")}


def whole(out, images, log):
    """The seconds of a study without kills."""
    began = time.monotonic()
    _, status = os.waitpid(start(out, images, log), 0)
    if status:
        sys.exit(log.read_text())
    return time.monotonic() - began


def killed(out, images, log, kills, draw, longest):
    """Kill, look, go on, as often as asked; rows of what was seen, and the points that were lost or done again.

    Four lives in five last until a point more is saved, and a while after that.
    """
    rows, lost, before = [], set(), {}
    while len(rows) < kills:
        began, process = time.monotonic(), start(out, images, log)
        further = draw.random() < 0.8 and (lambda: len(finished(out)) > len(before))  # noqa: B023
        if (further and ended(process, 600, further)) or ended(process, draw.uniform(0.1, longest)):
            break
        seconds = time.monotonic() - began
        os.kill(process, signal.SIGKILL)
        os.waitpid(process, 0)
        now = finished(out)
        lost |= {name for name in before if now.get(name) != before[name]}
        drafts = [path.name for path in out.rglob(".draft-*")]
        rows.append((len(rows) + 1, round(seconds, 1), len(now), ", ".join(drafts)))
        before = now
    whole(out, images, log)
    now = finished(out)
    return rows, lost | {name for name in before if now.get(name) != before[name]}


def compare(kills, images, seed):
    with tempfile.TemporaryDirectory() as place:
        one, other, log = (Path(place) / name for name in ("whole", "killed", "log"))
        seconds = whole(one, images, log)
        points = pd.read_csv(one / "points.csv")
        print(f"without kills: {seconds:.1f} s, {len(points)} points, {points.failed.notna().sum()} without memory")
        rows, lost = killed(other, images, log, kills, random.Random(seed), seconds / len(points))
        print(pd.DataFrame(rows, columns=["kill", "after s", "points saved", "half-written"]).to_string(index=False))
        same = all((one / name).read_bytes() == (other / name).read_bytes() for name in ("table.csv", "points.csv"))
        same &= np.array_equal(np.load(one / "tested.npy"), np.load(other / "tested.npy"))
        short = points[points.failed.notna()]
        print(f"without memory: {sorted(set(zip(short.freeze.fillna(''), short.rate, short.tries, strict=True)))}")
    print(f"kills: {len(rows)}, same tables and test: {same}, points lost or done again: {len(lost)}")
    return same and not lost and len(short) == len(SHORT)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--images", type=int, default=90)
    parser.add_argument("--seed", type=int, default=0)
    sys.exit(not compare(**vars(parser.parse_args())))
