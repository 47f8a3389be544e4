"""What is done already, on disk: one file for each result, there as a whole or not at all.

Whatever ends the process, what was finished is found again.
"""

import json
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ..files import replacing
from .store import DAMAGED

FOLDER = "ledger"
FACTS = "facts"


@dataclass(frozen=True, eq=False)
class Ledger:
    """Results by name, each with facts (what JSON holds) and arrays; in memory only where there is no folder.

    A full disk is told once for each result, which then stays in memory.
    """

    folder: Path | None = None
    memory: dict = field(default_factory=dict, repr=False)

    def get(self, name):
        """(facts, {name: array}) of a result; None where there is none."""
        if name not in self.memory and self.folder is not None and (path := self.path(name)).exists():
            try:
                with np.load(path, allow_pickle=False) as file:
                    arrays = {key: file[key] for key in file.files if key != FACTS}
                    self.memory[name] = json.loads(str(file[FACTS])), arrays
            except DAMAGED as error:
                warnings.warn(f"{path} is damaged ({error}): what it held is done again", stacklevel=2)
        return self.memory.get(name)

    def put(self, name, facts: Mapping, **arrays):
        """Keep a result, in place of one of this name."""
        facts = json.loads(json.dumps(facts, allow_nan=False))  # as it will be read
        self.memory[name] = facts, arrays
        if self.folder is None:
            return
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with replacing(self.path(name)) as draft, open(draft, "wb") as file:
                np.savez(file, **{FACTS: np.array(json.dumps(facts))}, **arrays)
        except OSError as error:
            text = f"{self.path(name)} is not kept: {error.strerror or error}; --resume would do it again"
            warnings.warn(text, stacklevel=2)

    def once(self, name, make):
        """The result of that name; where there is none, that of ``make()``, which gives facts and arrays."""
        found = self.get(name)
        if found is None:
            facts, arrays = make()
            self.put(name, facts, **arrays)
        return self.memory[name]

    def path(self, name):
        return self.folder / f"{name}.npz"
