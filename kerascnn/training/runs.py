"""A training run on disk: what a killed one goes on from, and what is left of a finished one.

``state.npz`` is the run: weights, momenta, seeds and the history, replaced as a whole after each epoch. The other files
follow from it: history.csv, curves.png, card.json, best.weights.h5.
"""

import json
import time
from pathlib import Path
from typing import NamedTuple
from zipfile import BadZipFile

import keras
import numpy as np

from ..support.files import displayable, replacing, write_json, write_text
from ..support.store import versions
from .history import best_row, history_of

STATE, BEST, TABLE, CURVES, CARD = "state.npz", "best.weights.h5", "history.csv", "curves.png", "card.json"
REDRAWN = 60  # seconds between two drawings of the curves while training


def read_json(path):
    return json.loads(Path(path).read_text(encoding="utf-8"))


def arrays_of(variables):
    """The values of variables, copied."""
    return [np.array(keras.ops.convert_to_numpy(variable)) for variable in variables]


def assign(variables, arrays):
    """Give variables their values back."""
    for variable, array in zip(variables, arrays, strict=True):
        # numpy writes types that it does not know, such as bfloat16, as bytes
        variable.assign(array.view(variable.dtype) if array.dtype.kind == "V" else array)


def finite(arrays):
    """Whether no array has NaN or infinity."""
    return all(np.isfinite(array).all() for array in arrays if array.dtype.kind == "f")


class State(NamedTuple):
    """Where a run is: the values of all variables, and the rows of its history."""

    arrays: list
    rows: list


class Run:
    """The folder of one run, or nowhere: then nothing is written."""

    def __init__(self, folder):
        self.folder = None if folder is None else Path(folder)
        self.drawn = time.monotonic()

    def open(self, facts, resume):
        """Begin or resume; the ``State`` to go on from, or None."""
        if self.folder is None:
            if resume:
                raise ValueError("`out` should be the folder of the run to resume. Received: None")
            return None
        there = (self.folder / STATE).exists()
        if there and not resume:
            raise ValueError(
                f"`out` should be a new folder, or `resume` be True. Received: {self.folder}, with a run in it"
            )
        if there:
            check_same(facts, read_json(self.folder / CARD), self.folder)
            return self.load()
        self.folder.mkdir(parents=True, exist_ok=True)
        for draft in self.folder.glob(".draft-*"):
            draft.unlink()
        write_json(self.folder / CARD, facts | {"versions": versions()})
        return None

    def load(self):
        try:
            with np.load(self.folder / STATE, allow_pickle=False) as state:
                arrays = [state[key] for key in state.files if key != "about"]
                about = json.loads(str(state["about"]))
        except (OSError, ValueError, KeyError, EOFError, BadZipFile) as error:
            raise ValueError(
                f"`out` should hold a run that can be read. Received: {self.folder / STATE}, {error}"
            ) from error
        return State(arrays, about["rows"])

    def save(self, arrays, rows, learner):
        """After an epoch: the best weights first, so that a state never tells of weights that are not there."""
        if self.folder is None:
            return
        if rows and best_row(rows) is rows[-1]:
            with replacing(self.folder / BEST) as draft:
                learner.hand_back()
                learner.model.save_weights(draft)
        named = {f"{number:05d}": array for number, array in enumerate(arrays)}
        with replacing(self.folder / STATE) as draft, open(draft, "wb") as file:
            np.savez(file, about=json.dumps({"rows": rows}), **named)
        self.tell(history_of(rows))

    def tell(self, history, last=False):
        """Write what people read; the picture only now and then, and at the end."""
        if self.folder is None or not len(history.table):
            return
        write_text(self.folder / TABLE, history.table.to_csv(index=False))
        if last or time.monotonic() - self.drawn > REDRAWN:
            with replacing(self.folder / CURVES) as draft:
                history.plot().savefig(draft, dpi=120, format="png")
            self.drawn = time.monotonic()

    def finish(self, history):
        """Write the curves, and on the card how it ended."""
        if self.folder is None:
            return
        self.tell(history, last=True)
        ended = {"epochs": len(history.table), "stopped": history.stopped}
        ended |= {"best": history.best} if len(history.table) else {}
        self.note(result=ended)

    def note(self, **facts):
        """Add facts to the card."""
        write_json(self.folder / CARD, read_json(self.folder / CARD) | facts)


def check_same(facts, before, folder):
    """Refuse to resume with another recipe, seed, network or data: the result would be neither run's."""
    facts = json.loads(json.dumps(displayable(facts)))
    for key, value in facts.items():
        if before.get(key) != value:
            came, was = differing(value, before.get(key))
            raise ValueError(f"`resume` goes on with the run in {folder}, whose {key} was {was}. Received: {came}")


def differing(new, old):
    """Of two values, or of the parts of two tables that differ, the texts."""
    if isinstance(new, dict) and isinstance(old, dict):
        keys = [key for key in new if new[key] != old.get(key)]
        return tuple(", ".join(f"{key}={table.get(key)!r}" for key in keys) for table in (new, old))
    return repr(new), repr(old)
