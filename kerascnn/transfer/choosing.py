"""Which of several classifiers to keep: the cheapest that is not worse than the best by more than one standard error.

Differences are paired: of the same images, none of which the classifiers were shown (Breiman et al. 1984, 3.4.3). The
best is the surest of the truth, by the log of its probability: of few images that says more than how many are right.
"""

import warnings
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from ..evaluation import temperature, wilson
from .points import Point
from .stages import told


@dataclass(frozen=True, eq=False)
class Candidate:
    """A classifier as it did on images (positions ``judged``) that it was not shown.

    ``macs`` are multiply-adds for one image. A linear one has a ``head``, which learnt from those ``views`` of each
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
        powers = np.exp(scores - scores.max(axis=1, keepdims=True))
        count, classes = powers.shape
        given = powers[np.arange(count), self.labels] / powers.sum(axis=1)
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
        found = {
            "name": self.name,
            "kind": "finetuned" if point else "linear",
            "backbone": self.backbone,
            "stage": self.stage,
        }
        found |= {"head": self.head or "finetuned", "penalty": self.penalty, "views": len(self.views)} | way
        found |= {"epochs": self.epoch, "accuracy": self.accuracy, "low": low, "high": high}
        return found | {"images": len(self.right), "macs": self.macs, "seconds": self.seconds}


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
