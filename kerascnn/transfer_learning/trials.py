"""A point of the grid, and what came of it: tried, with smaller batches where memory is short, and written down."""

import math
import warnings
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from itertools import product

import numpy as np
from scipy.special import softmax

from ..evaluation.calibration import temperature
from ..evaluation.statistics import wilson
from ..support.store import make_key
from .advice import LITTLE
from .taps import PLUS, told

BATCH = 32
TRIES = 3  # the first and two more, each with half of the batch
MEMORY = ("MemoryError", "ResourceExhaustedError", "XlaRuntimeError")
APART = ("point", "logits", "weights")  # which are no facts for JSON
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
    def facts(self):
        """All but the point and the arrays."""
        return {name: value for name, value in vars(self).items() if name not in APART}

    @property
    def row(self):
        """Facts for a table."""
        low = high = None
        if self.accuracy is not None:
            number = len(self.logits)
            _, low, high = wilson(round(self.accuracy * number), number)
        found = asdict(self.point) | self.facts | {"low": low, "high": high}
        del found["history"]
        return found


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
    key = make_key("point", context, *asdict(point).values())
    known = ledger.get(key)
    if known is None:
        outcome = tried(point, perform)
        arrays = {f"weight{i}": array for i, array in enumerate(outcome.weights or ())}
        if outcome.logits is not None:
            arrays["logits"] = outcome.logits
        if not outcome.failed.startswith("OSError"):
            ledger.put(key, outcome.facts, **arrays)
        return outcome
    facts, arrays = known
    weights = [array for name, array in arrays.items() if name != "logits"]
    return Outcome(point, logits=arrays.get("logits"), weights=weights or None, **facts)


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
            return Outcome(point, "", attempt + 1, batch, **vars(found))
    return Outcome(point, reason, attempt + 1, batch)


@dataclass(frozen=True, eq=False)
class Candidate:
    """A classifier as it did on images (positions ``judged``) that it was not shown.

    ``macs`` are multiply-adds for one image. A linear one has a ``head``, which learned from those ``views`` of each
    image, a finetuned one the ``point`` that it came of and the ``epoch`` that was best.
    """

    backbone: str
    stage: str
    macs: int
    logits: np.ndarray = field(repr=False)
    labels: np.ndarray = field(repr=False)  # of the judged images
    judged: np.ndarray = field(repr=False)
    head: str = ""
    views: tuple = ("identity",)
    penalty: float | None = None
    point: Point | None = None
    epoch: int | None = None
    seconds: float = 0.0

    @property
    def right(self):
        return self.logits.argmax(axis=1) == self.labels

    @cached_property
    def sure(self):
        """Log of the probability that each image's true class is given, as if it had judged one image more, and knew
        nothing of that: a few that are all right make nobody certain."""
        scores = self.logits.astype(np.float64) / self.temperature
        count, classes = scores.shape
        given = softmax(scores, axis=1)[np.arange(count), self.labels]
        return np.log((count * given + 1 / classes) / (count + 1))

    @property
    def accuracy(self):
        return float(self.right.mean())

    @property
    def cost(self):
        """What sorts candidates, the cheapest first: linear ones, then by the work for an image."""
        return self.point is not None, self.macs

    @cached_property
    def temperature(self):
        """By what its logits are divided, for probabilities that mean what they say of images not shown."""
        with certain():
            return temperature(self.logits, self.labels).value

    @property
    def name(self):
        if self.point:
            return f"{self.backbone}, {self.point}"
        mirrored = ", some mirrored" if any(view.startswith("flip") for view in self.views) else ""
        seen = f", {len(self.views)} views{mirrored}" if len(self.views) > 1 else ""
        return f"{self.backbone}, {self.head} on {told(self.stage)}{seen}"

    @property
    def row(self):
        """Facts for a table."""
        _, low, high = wilson(int(self.right.sum()), len(self.right))
        point = self.point
        way = {"freeze": point.freeze, "rate": point.rate, "augment": point.augment} if point else {}
        return way | {
            "name": self.name,
            "kind": "finetuned" if point else "linear",
            "backbone": self.backbone,
            "stage": self.stage,
            "head": self.head or "finetuned",
            "penalty": self.penalty,
            "views": len(self.views),
            "epochs": self.epoch,
            "accuracy": self.accuracy,
            "low": low,
            "high": high,
            "images": len(self.right),
            "macs": self.macs,
            "seconds": self.seconds,
        }


@contextmanager
def certain():
    """Without the warning that no temperature is best, where no image is wrong."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "no temperature is best")
        yield


def lead(first, second, of="right"):
    """(mean, standard error) of what the first has more than the second, of the images that judged both.

    ``of`` "right" is accuracy, "sure" the log of the probability of the true class.
    """
    _, one, two = np.intersect1d(first.judged, second.judged, return_indices=True)
    gaps = getattr(first, of)[one].astype(np.float64) - getattr(second, of)[two]
    if not len(gaps):
        raise ValueError("`second` should be judged by images that judged `first`. Received: others only")
    return float(gaps.mean()), float(gaps.std() / np.sqrt(len(gaps)))


def surest(candidates):
    """The candidate that gives the truth most probability, each beside the best so far on images that judged both."""
    best = candidates[0]
    for other in candidates[1:]:
        best = other if lead(other, best, "sure")[0] > 0 else best
    return best


def chosen(candidates):
    """The cheapest candidate whose distance from the surest is at most its standard error; of equals the more right."""
    best = surest(candidates)
    near = [each for each in candidates if each is best or near_enough(best, each)]
    cheap = min(each.cost for each in near)
    found = [each for each in near if each.cost == cheap]
    return best if best in found else max(found, key=lambda each: each.accuracy)


def near_enough(best, other):
    """Whether the other is neither less sure nor less right by more than the standard error."""
    gaps = lead(best, other, "sure"), lead(best, other)
    return all(gap <= error for gap, error in gaps)


RATES = (3e-5, 1e-4, 3e-4, 1e-3)
STEPS, EPOCHS = 150, (6, 20)  # of a point that gets to the end; the fewest and the most epochs that are for them
ETA = 3  # one in so many points of a rung goes on, and learns so many times longer (Jamieson & Talwalkar 2016)
AUGMENTATIONS = ("none", "shift")
STRATEGIES = ("auto", "linear", "layers", "finetune", "grid")
SHARES = {"last": 0.75, "half": 0.4}  # of the stages that stay frozen
ADVISED = {"layers": ("last", "half"), "finetune": ("all",)}
MIDDLE = 3e-4


def freezes(table, stage):
    """{name: stage up to which layers are frozen} for a network that ends at ``stage``: head, last, half, all."""
    deepest = max(map(table.stages.index, stage.split(PLUS)))
    before = table.stages[:deepest]
    found = {"head": table.stages[deepest]}
    for name, share in SHARES.items():
        if (number := round(share * len(before))) > 0:
            found[name] = before[number - 1]
    return found | {"all": ""}


def rungs(images):
    """Epochs of the first points and of those that go on: by steps, of which few images make few an epoch.

    Rates that are high do worse than low ones at first and better in the end: what is thinned out has to be near it.
    """
    last = min(max(-(-STEPS // -(-images // BATCH)), EPOCHS[0]), EPOCHS[1])
    return -(-last // ETA), last


def planned(strategy, advice, table, stage, augmentations=AUGMENTATIONS):
    """(points of the first rung in the order to try them, whether they are thinned out) of networks up to a stage."""
    few, many = rungs(len(table))
    depth = freezes(table, stage)
    first = augmentations[0]
    if strategy == "linear":
        return [], False
    if strategy == "grid":
        return [Point(stage, freeze, rate, first, many) for freeze, rate in product(depth.values(), RATES)], False
    auto = strategy == "auto"
    ways = []
    for name in [name for name in advice.strategies if name in ADVISED] if auto else [strategy]:
        tried = ADVISED[name][:1] if auto and advice.amount == LITTLE else ADVISED[name]
        ways += [(stage, depth.get(each, depth["all"]), MIDDLE) for each in tried]
    if auto:
        ways.append(challenger(table))
    return [Point(*way, first, few) for way in dict.fromkeys(ways)], True


def neighbors(point):
    """The point with the rates next to its own, the lower one first."""
    place = RATES.index(point.rate)
    return [replace(point, rate=RATES[at]) for at in (place - 1, place + 1) if 0 <= at < len(RATES)]


def challenger(table):
    """What many would try first, whatever the advice: the whole network, half of it frozen, at a high rate."""
    last = table.stages[-1]
    depth = freezes(table, last)
    return last, depth.get("half", depth["all"]), RATES[-1]


SPARE = 0.15  # of the budget, for learning once more from all images


class Clock:
    """Seconds that work took, wherever that was, so that a study that was resumed spends what one that was not does."""

    def __init__(self, budget, spent=0.0):
        self.budget, self.spent = budget, spent

    def allows(self, seconds):
        return self.budget is None or self.spent + seconds <= (1 - SPARE) * self.budget


def climbed(points, attempt, clock, guess, rungs=(None,), augmentations=("none",), near=None, worth=None):
    """Outcomes of points, rung by rung; ``attempt(point)`` gives one. Those that the budget forbids are left out.

    ``rungs`` are epochs; a single None stands for those of the points, of which none is thinned out then.
    ``guess(point, outcomes)`` says how many seconds a point may take. Ranked by the loss of the images held out, which
    has fewer ties than accuracy. If ``worth(outcome)`` says so of the best point of the first rung, it also tries what
    is ``near(point)``, without rates that are ``too_high``, and the next rung follows. In the last one the best also
    tries other augmentations, and the next ones take what was best for it.
    """
    outcomes, thin = [], len(rungs) > 1
    for epochs in rungs:
        names, here, queue = augmentations if thin and epochs == rungs[-1] else (), [], [*points]
        while queue:
            point = queue.pop(0)
            for name in changes(point, here, names):
                point = replace(point, epochs=epochs or point.epochs, augment=name)
                if not (thin and too_high(point, here)) and clock.allows(guess(point, outcomes)):
                    here.append(attempt(point))
                    clock.spent += here[-1].seconds
            if not queue and near and (good := ranked(here)) and (worth is None or worth(good[0])):
                queue, near = near(good[0].point), None
        outcomes += here
        good = ranked(here)
        points = [each.point for each in good[: math.ceil(len(here) / ETA)]]
        if not points or (worth and not worth(good[0])):
            break
    return outcomes


def ranked(outcomes):
    """Those that did not fail, the best first."""
    return sorted((each for each in outcomes if not each.failed), key=lambda each: each.loss)


def changes(point, outcomes, augmentations):
    """The augmentations to try a point with: its own, or all of them, or of those the one that was best before."""
    if not augmentations:
        return (point.augment,)
    good = ranked(outcomes)
    return (good[0].point.augment,) if good else augmentations


def too_high(point, outcomes):
    """Whether of the lower rates, all else the same, the highest did worse than the one before: losses by the rate
    have one valley."""
    below = [each for each in ranked(outcomes) if replace(each.point, rate=point.rate) == point]
    losses = [each.loss for each in sorted(below, key=lambda each: each.point.rate) if each.point.rate < point.rate]
    return len(losses) > 1 and losses[-1] > losses[-2]
