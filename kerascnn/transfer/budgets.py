"""Time in words."""

import re

UNITS = {"s": 1, "m": 60, "h": 3600, "": 1}


def budgeted(budget):
    """Seconds, from a number or from "90s", "10m", "1h"; None is no limit."""
    if budget is None:
        return None
    found = re.fullmatch(r"(\d+\.?\d*)\s*([smh]?)", str(budget).strip())
    if isinstance(budget, bool) or not found or float(found[1]) <= 0:
        raise ValueError(f"`budget` should be seconds, or as in 90s, 10m or 1h. Received: {budget!r}")
    return float(found[1]) * UNITS[found[2]]
