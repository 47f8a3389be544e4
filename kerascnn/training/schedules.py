"""How the rate changes while a network learns: each schedule gives the factor at a share of the whole, 0 to 1.

``factor(share, errors)``: ``share`` of all steps are done; ``errors`` are those of the finished epochs on the
validation images, which only ``Plateau`` asks. Pure functions, so a run that resumes needs no state of theirs.
"""

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Constant:
    """The rate as it is."""

    def factor(self, share, errors=()):
        return 1.0


@dataclass(frozen=True)
class Steps:
    """The rate multiplied by ``by`` at each share of ``at``; ``by`` may have one value for each."""

    at: tuple
    by: float | tuple = 0.1

    def factor(self, share, errors=()):
        each = self.by if isinstance(self.by, tuple) else (self.by,) * len(self.at)
        return math.prod(by for at, by in zip(self.at, each, strict=True) if share >= at - 1e-9)


@dataclass(frozen=True)
class Exponential:
    """The rate multiplied by ``by`` after each of ``times`` equal parts."""

    by: float
    times: int

    def factor(self, share, errors=()):
        return self.by ** math.floor(share * self.times + 1e-9)


@dataclass(frozen=True)
class Poly:
    """(1 - share) ^ power, as Caffe has it."""

    power: float = 1.0

    def factor(self, share, errors=()):
        return (1 - share) ** self.power


@dataclass(frozen=True)
class Cosine:
    """(1 + cos(pi share)) / 2 (Loshchilov & Hutter 2016)."""

    def factor(self, share, errors=()):
        return (1 + math.cos(math.pi * share)) / 2


@dataclass(frozen=True)
class OneCycle:
    """Linear from ``start`` to 1 in the first ``warm`` of the steps, then half a cosine down to 0 (Smith 2018)."""

    warm: float = 0.25
    start: float = 0.05

    def factor(self, share, errors=()):
        if share < self.warm:
            return self.start + (1 - self.start) * share / self.warm
        return Cosine().factor((share - self.warm) / (1 - self.warm))


@dataclass(frozen=True)
class Warm:
    """``factor`` constantly for the first ``until`` of the steps, then as ``then`` says."""

    until: float
    low: float
    then: object

    def factor(self, share, errors=()):
        return self.low if share < self.until - 1e-9 else self.then.factor(share, errors)


@dataclass(frozen=True)
class Plateau:
    """The rate multiplied by ``by`` whenever the error has not fallen for ``patience`` epochs, at most ``times``."""

    by: float = 0.1
    patience: int = 5
    times: int = 3

    def factor(self, share, errors=()):
        best, waited, drops = math.inf, 0, 0
        for error in errors:
            best, waited = (error, 0) if error < best else (best, waited + 1)
            if waited >= self.patience and drops < self.times:
                drops, waited = drops + 1, 0
        return self.by**drops
