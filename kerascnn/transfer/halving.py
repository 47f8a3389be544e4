"""Successive halving: all points for a few epochs, the best of them for more, within a budget."""

import math
from dataclasses import replace

from .planning import ETA

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
