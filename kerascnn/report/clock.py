"""How far a report is, and how long it will still take, by what its sections took so far."""

import time

from .subject import EFFORTS

REUSED = 0.05  # seconds of a section that was kept


class Clock:
    """Tells ``tell(done, what, left)``: the share of the work done, the section at work, the seconds left or None."""

    def __init__(self, rows, effort, tell=None):
        place = EFFORTS.index(effort) if effort in EFFORTS else 0
        self.rows, self.told = rows, tell
        self.costs = {name: row.seconds[place] for name, row in rows.items()}
        self.past, self.spent, self.name, self.since = 0.0, 0.0, None, 0.0

    def begin(self, name):
        self.name, self.since = name, time.monotonic()
        self.tell(0.0)

    def end(self, reused):
        """A section is done; one that was reused says nothing of the speed."""
        cost = self.costs[self.name]
        if not reused:
            self.past += cost
            self.spent += time.monotonic() - self.since
        self.costs[self.name] = 0.0 if not reused else REUSED
        self.tell(1.0)

    def tell(self, done, what=""):
        """What a section calls, with its own share from 0 to 1."""
        if self.told is None:
            return
        names = [*self.rows]
        title = self.rows[self.name].title
        rest = sum(self.costs[name] for name in names[names.index(self.name) + 1 :])
        here = self.costs[self.name] * (1 - min(max(done, 0.0), 1.0))
        pace = self.spent / self.past if self.past else 1.0
        whole = sum(self.costs.values()) + self.past
        share = 1 - (rest + here) / whole if whole else 1.0
        self.told(min(max(share, 0.0), 1.0), f"{title}{f': {what}' if what else ''}", pace * (rest + here))
