"""Kill `kerascnn train` with -9 at random moments, go on each time, and compare with a run that nothing happened to.

    python tests/support/kill_trainings.py [--kills 10] [--epochs 30] [--data digits] [--seed 0]

Prints the moments, and at the end whether weights, momenta, seeds and history are equal to the bit. Children are
forked once TensorFlow is imported and before it computes anything, which saves the import.
"""

import argparse
import os
import random
import signal
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
import keras  # noqa: F401
import numpy as np
import pandas as pd
import sklearn.datasets  # noqa: F401
import tensorflow  # noqa: F401

from kerascnn_apps.main import main


def start(words, log):
    """A process that runs a command line, forked."""
    sys.stdout.flush()
    process = os.fork()
    if process:
        return process
    file = os.open(log, os.O_CREAT | os.O_APPEND | os.O_WRONLY)
    os.dup2(file, 1)
    os.dup2(file, 2)
    try:
        main(words)
    except SystemExit as done:
        os._exit(done.code or 0)
    finally:
        os._exit(1)


def ended(process, seconds):
    """Whether a process ends by itself within so many seconds."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if os.waitpid(process, os.WNOHANG)[0]:
            return True
        time.sleep(0.005)
    return False


def epochs_in(run):
    try:
        return len(pd.read_csv(run / "history.csv"))
    except FileNotFoundError:
        return 0


def whole(words, folder):
    """A run without kills, and how long it took."""
    began = time.monotonic()
    _, status = os.waitpid(start([*words, "--out", str(folder / "whole")], folder / "log"), 0)
    if status:
        sys.exit((folder / "log").read_text())
    return time.monotonic() - began


def killed(words, folder, kills, draw, longest):
    """Kill, look, go on, as often as asked or until it is done; rows of what was seen."""
    run, rows = folder / "killed", []
    words = [*words, "--out", str(run), "--resume"]
    for number in range(kills):
        seconds = draw.uniform(0.3, longest)
        process = start(words, folder / "log")
        if ended(process, seconds):
            return rows
        os.kill(process, signal.SIGKILL)
        os.waitpid(process, 0)
        drafts = [path.name for path in run.glob(".draft-*")]
        rows.append((number + 1, round(seconds, 2), epochs_in(run), ", ".join(drafts)))
    os.waitpid(start(words, folder / "log"), 0)
    return rows


def differences(folder):
    """What of the two runs is not equal to the bit."""
    one, other = ({}, {})
    for found, run in ((one, folder / "whole"), (other, folder / "killed")):
        with np.load(run / "state.npz") as state:
            found |= {f"state {key}": state[key] for key in state.files if key != "about"}
        model = keras.saving.load_model(run / "model.keras", compile=False)
        found |= {f"model {variable.path}": keras.ops.convert_to_numpy(variable) for variable in model.variables}
        model.load_weights(run / "best.weights.h5")
        found |= {f"best {variable.path}": keras.ops.convert_to_numpy(variable) for variable in model.variables}
        table = pd.read_csv(run / "history.csv", dtype=str).drop(columns="seconds")
        found |= {f"history {name}": table[name].to_numpy() for name in table}
    print(f"compared: {len(one)} arrays, {sum(array.size for array in one.values()):,} numbers")
    return [key for key in one | other if not np.array_equal(one.get(key), other.get(key))]


def compare(kills, epochs, data, seed):
    words = ["train", "lenet5", "--data", data, "--epochs", str(epochs), "--seed", str(seed)]
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        seconds = whole(words, folder)
        alone = pd.read_csv(folder / "whole" / "history.csv").seconds.sum()
        print(f"without kills: {seconds:.1f} s, {alone:.1f} s of them in {epochs} epochs")
        # start and compilation, and then of the epochs about as much as leaves some for the next
        longest = seconds - alone + 2 * alone / (kills + 1)
        rows = killed(words, folder, kills, random.Random(seed), longest)
        print(pd.DataFrame(rows, columns=["kill", "after s", "epochs saved", "half-written"]).to_string(index=False))
        different = differences(folder)
    print(f"kills: {len(rows)}, bitwise equal: {not different} {' '.join(different[:5])}".rstrip())
    return not different


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--data", default="digits")
    parser.add_argument("--seed", type=int, default=0)
    sys.exit(not compare(**vars(parser.parse_args())))
