"""A training run on disk: the state to resume from, and the results.

``state.npz`` is the run: weights, momenta, seeds and the history, replaced as a whole after each epoch. The other files
are derived: history.csv, curves.png, card.json, best.weights.h5.
"""

import json
import time
from pathlib import Path
from typing import NamedTuple
from zipfile import BadZipFile

import keras
import numpy as np

from ..data.splits import SPLIT_RULE
from ..support.files import escape_surrogates, write_atomically, write_json, write_text
from ..support.store import package_versions
from .history import best_row, history_of

STATE, BEST, TABLE, CURVES, CARD = "state.npz", "best.weights.h5", "history.csv", "curves.png", "card.json"
REDRAW_SECONDS = 60  # between two drawings of the curves during training


def read_card(path):
    return json.loads(Path(path).read_text(encoding="utf-8"))


def run_split_rule(out):
    """The version of the rule for the split of the run in a folder; the current one if there is no run."""
    folder = None if out is None else Path(out)
    if folder is None or not (folder / STATE).exists() or not (folder / CARD).exists():
        return SPLIT_RULE
    return read_card(folder / CARD).get("split_rule", 1)


def arrays_of(variables):
    """The values of variables, copied."""
    return [np.array(keras.ops.convert_to_numpy(variable)) for variable in variables]


def assign_arrays(variables, arrays):
    """Assign arrays to variables."""
    for variable, array in zip(variables, arrays, strict=True):
        # numpy writes types that it does not know, such as bfloat16, as bytes
        variable.assign(array.view(variable.dtype) if array.dtype.kind == "V" else array)


def all_finite(arrays):
    """Whether no array contains NaN or infinity."""
    return all(np.isfinite(array).all() for array in arrays if array.dtype.kind == "f")


class RunState(NamedTuple):
    """The state of a run: the values of all variables and the rows of its history."""

    arrays: list
    rows: list


class RunFolder:
    """The folder of one run; without a folder nothing is written."""

    def __init__(self, folder):
        self.folder = None if folder is None else Path(folder)
        self.last_drawn = time.monotonic()

    def open(self, facts, resume):
        """Start or resume a run; return the ``RunState`` to continue from, or None."""
        if self.folder is None:
            if resume:
                raise ValueError("`out` should be the folder of the run to resume. Received: None")
            return None
        exists = (self.folder / STATE).exists()
        if exists and not resume:
            raise ValueError(
                f"`out` should be a new folder, unless `resume=True`. Received: {self.folder}, which contains a run"
            )
        if exists:
            check_same_run(facts, read_card(self.folder / CARD), self.folder)
            return self.load()
        self.folder.mkdir(parents=True, exist_ok=True)
        for draft in self.folder.glob(".draft-*"):
            draft.unlink()
        write_json(self.folder / CARD, facts | {"split_rule": SPLIT_RULE, "versions": package_versions()})
        return None

    def load(self):
        try:
            with np.load(self.folder / STATE, allow_pickle=False) as state:
                arrays = [state[key] for key in state.files if key != "about"]
                about = json.loads(str(state["about"]))
        except (OSError, ValueError, KeyError, EOFError, BadZipFile) as error:
            raise ValueError(
                f"`out` should contain a readable run. Received: {self.folder / STATE}, {error}"
            ) from error
        return RunState(arrays, about["rows"])

    def save(self, arrays, rows, learner):
        """Save an epoch; the best weights first, so that a state never refers to missing weights."""
        if self.folder is None:
            return
        if rows and best_row(rows) is rows[-1]:
            with write_atomically(self.folder / BEST) as draft:
                learner.hand_back()
                learner.model.save_weights(draft)
        named_arrays = {f"{number:05d}": array for number, array in enumerate(arrays)}
        with write_atomically(self.folder / STATE) as draft, open(draft, "wb") as file:
            np.savez(file, about=json.dumps({"rows": rows}), **named_arrays)
        self.write_report(history_of(rows))

    def write_report(self, history, last=False):
        """Write table and curves; the curves only from time to time, and at the end."""
        if self.folder is None or not len(history.table):
            return
        write_text(self.folder / TABLE, history.table.to_csv(index=False))
        if last or time.monotonic() - self.last_drawn > REDRAW_SECONDS:
            with write_atomically(self.folder / CURVES) as draft:
                history.plot().savefig(draft, dpi=120, format="png")
            self.last_drawn = time.monotonic()

    def finish(self, history):
        """Write the curves, and the result to the card."""
        if self.folder is None:
            return
        self.write_report(history, last=True)
        result = {"epochs": len(history.table), "stopped": history.stopped}
        if len(history.table):
            result["best"] = history.best
        self.update_card(result=result)

    def update_card(self, **facts):
        """Add entries to the card."""
        write_json(self.folder / CARD, read_card(self.folder / CARD) | facts)


def check_same_run(facts, before, folder):
    """Raise ValueError for another recipe, seed, network or data than those of the run to resume."""
    facts = json.loads(json.dumps(escape_surrogates(facts)))
    for key, value in facts.items():
        stored = before.get(key)
        if key == "recipe" and isinstance(stored, dict):
            stored = stored | {"source": value["source"]}  # a comment, which may be reworded
        if stored != value:
            received, expected = describe_difference(value, stored)
            raise ValueError(f"`{key}` should be as in the run to resume in {folder}, {expected}. Received: {received}")


def describe_difference(new, old):
    """Two values as text; of dicts only what differs."""
    if isinstance(new, dict) and isinstance(old, dict):
        keys = [key for key in new if new[key] != old.get(key)]
        return tuple(", ".join(f"{key}={table.get(key)!r}" for key in keys) for table in (new, old))
    return repr(new), repr(old)
