"""A point of the grid, and what came of it: tried, with smaller batches where memory is short, and written down."""

from dataclasses import asdict, dataclass, field

import numpy as np

from ..evaluation import wilson
from .keys import digest
from .stages import told

BATCH = 32
TRIES = 3  # the first and two more, each with half of the batch
MEMORY = ("MemoryError", "ResourceExhaustedError", "XlaRuntimeError")
APART = ("point", "history", "logits", "weights")  # which are no facts for a table
KILLED = "Killed"  # what the system does where memory is short


@dataclass(frozen=True)
class Point:
    """How to finetune: the network ends at ``stage`` (several joined by +), and learns beyond the stage ``freeze``.

    ``freeze`` "" is none. The images of ``fold`` judge it; -1 is none of them, and then ``stop`` is its last epoch.
    """

    stage: str
    freeze: str
    rate: float
    augment: str
    epochs: int
    fold: int = 0
    stop: int | None = None

    def key(self, context):
        """Its name in the ledger of a study."""
        return f"point-{digest(context, *asdict(self).values())}"

    def __str__(self):
        frozen = f"frozen up to {self.freeze}" if self.freeze else "nothing frozen"
        changed = "" if self.augment == "none" else f", {self.augment}"
        return f"{told(self.stage)}, {frozen}, rate {self.rate:g}{changed}, epochs {self.epochs}"


@dataclass(frozen=True, eq=False)
class Outcome:
    """What came of a point: ``logits`` of the images that judged it, or why it failed."""

    point: Point
    failed: str = ""
    tries: int = 1
    batch: int = BATCH
    seconds: float = 0.0
    accuracy: float | None = None
    loss: float | None = None
    epoch: int | None = None
    kept: bool = False
    history: list = field(default_factory=list, repr=False)
    logits: np.ndarray | None = field(default=None, repr=False)
    weights: list | None = field(default=None, repr=False)

    @property
    def row(self):
        """Facts for a table."""
        found = {name: value for name, value in vars(self).items() if name not in APART}
        low = high = None
        if self.accuracy is not None:
            number = len(self.logits)
            _, low, high = wilson(round(self.accuracy * number), number)
        return asdict(self.point) | found | {"low": low, "high": high}


class Failed(RuntimeError):
    """A point that could not be done; ``kind`` is the class of the error, or ``Killed``."""

    def __init__(self, kind, text):
        super().__init__(text)
        self.kind = kind


def settled(point, perform, ledger, context):
    """The ``Outcome`` of a point: from the ledger, or of ``perform(point, batch, together)``, which may fail.

    Batches are halved where memory ran out, and put together again to steps of as many images. What failed for want of
    room on a disk is not written down: there may be some the next time.
    """
    key = point.key(context)
    known = ledger.get(key)
    if known is None:
        outcome = tried(point, perform)
        facts = {name: value for name, value in vars(outcome).items() if name not in APART}
        arrays = {} if outcome.logits is None else {"logits": outcome.logits}
        arrays |= {f"weight{i}": array for i, array in enumerate(outcome.weights or ())}
        if outcome.failed.startswith("OSError"):
            return outcome
        ledger.put(key, facts | {"history": outcome.history, "point": asdict(point)}, **arrays)
        return outcome
    facts, arrays = known
    weights = [arrays[f"weight{i}"] for i in range(sum(name.startswith("weight") for name in arrays))]
    return Outcome(**facts | {"point": point, "logits": arrays.get("logits"), "weights": weights or None})


def tried(point, perform):
    """The ``Outcome`` of a point that nobody has tried."""
    for attempt in range(TRIES):
        together = 2**attempt
        batch = max(BATCH // together, 1)
        try:
            found = perform(point, batch, together)
        except Exception as error:  # whatever it is, the other points go on
            kind = getattr(error, "kind", type(error).__name__)
            reason = f"{kind}: {str(error).splitlines()[0] if str(error) else 'no reason given'}"
            if kind not in (*MEMORY, KILLED):
                break
        else:
            names = ("seconds", "accuracy", "loss", "epoch", "kept", "history", "logits", "weights")
            return Outcome(point, "", attempt + 1, batch, **{name: getattr(found, name) for name in names})
    return Outcome(point, reason, attempt + 1, batch)
