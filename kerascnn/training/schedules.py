"""Learning rate schedules: the factor of the learning rate at a fraction of the run, 0 to 1.

``factor(share, errors)``: ``share`` is the fraction of all steps done; ``errors`` are those of the finished epochs on
the validation images, used by ``Plateau`` only. Schedules are pure functions, so a resumed run needs no state of them.
"""

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Constant:
    """A constant learning rate."""

    def factor(self, share, errors=()):
        return 1.0


@dataclass(frozen=True)
class Steps:
    """Multiplied by ``by`` at each fraction in ``at``; ``by`` may have one value for each."""

    at: tuple
    by: float | tuple = 0.1

    def factor(self, share, errors=()):
        factors = self.by if isinstance(self.by, tuple) else (self.by,) * len(self.at)
        return math.prod(by for at, by in zip(self.at, factors, strict=True) if share >= at - 1e-9)


@dataclass(frozen=True)
class Exponential:
    """Multiplied by ``by`` after each of ``times`` equal parts of the run."""

    by: float
    times: int

    def factor(self, share, errors=()):
        return self.by ** math.floor(share * self.times + 1e-9)


@dataclass(frozen=True)
class Poly:
    """(1 - share) ^ power, as in Caffe."""

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
    """``low`` for the first ``until`` of the steps, then the schedule ``then``."""

    until: float
    low: float
    then: object

    def factor(self, share, errors=()):
        return self.low if share < self.until - 1e-9 else self.then.factor(share, errors)


@dataclass(frozen=True)
class Plateau:
    """Multiplied by ``by`` when the error has not fallen for ``patience`` epochs, at most ``times``."""

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
