"""Which points of the grid to try: as the advice orders them, or all of them."""

from dataclasses import replace
from itertools import product

from .advice import LITTLE
from .points import BATCH, Point
from .stages import PLUS

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


def neighbours(point):
    """The point with the rates next to its own, the lower one first."""
    place = RATES.index(point.rate)
    return [replace(point, rate=RATES[at]) for at in (place - 1, place + 1) if 0 <= at < len(RATES)]


def challenger(table):
    """What many would try first, whatever the advice: the whole network, half of it frozen, at a high rate."""
    last = table.stages[-1]
    depth = freezes(table, last)
    return last, depth.get("half", depth["all"]), RATES[-1]
