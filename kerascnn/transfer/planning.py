"""Which points of the grid to try: as the advice orders them, or all of them."""

from itertools import product

from .advice import LITTLE
from .points import Point
from .probes import PLUS

RATES = (3e-5, 1e-4, 3e-4, 1e-3)
EPOCHS = 6  # of a point that gets to the end: the classifier has been learnt before
ETA = 3  # one in so many points of a rung goes on (Jamieson & Talwalkar 2016)
RUNGS = (1, 2, EPOCHS)
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


def planned(strategy, advice, table, augmentations=AUGMENTATIONS):
    """(points of the first rung in the order to try them, whether they are thinned out)."""
    stage = table.best["stage"]
    depth = freezes(table, stage)
    first = augmentations[0]
    if strategy == "linear":
        return [], False
    if strategy == "grid":
        return [Point(stage, freeze, rate, first, EPOCHS) for freeze, rate in product(depth.values(), RATES)], False
    order = [name for name in advice.strategies if name in ADVISED]
    ways = []
    for place, name in enumerate(order if strategy == "auto" else [strategy]):
        spare = strategy == "auto" and advice.amount == LITTLE
        chosen = ADVISED[name][:1] if spare else ADVISED[name]
        rates = (MIDDLE,) if spare and place else RATES[1:]
        ways += product([depth.get(each, depth["all"]) for each in chosen], rates)
    return [Point(stage, freeze, rate, first, RUNGS[0]) for freeze, rate in dict.fromkeys(ways)], True
