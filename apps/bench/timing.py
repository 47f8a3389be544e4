"""What measurements share: the network that is measured, clocks, turns, and the machine that they were made on."""

import contextlib
import io
import os
import statistics
import time
import warnings

from ..errors import one_line


def open_network(network, weights=None, size=None):
    """A network of the zoo for images of a ``size``, with a file of weights, "none", or the best that are published."""
    from kerascnn import build_model, card
    from kerascnn.transfer_learning.sources import named

    if weights is None:
        return named(network, size)
    shape = {"input_shape": (size, size, card(network).input_shape[-1])} if size else {}
    return build_model(network, weights=None if weights == "none" else weights, **shape)


def machine():
    """How many cores there are, and how busy they are with other things."""
    load = round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None
    return {"cores": os.cpu_count(), "load": load}


def seconds_of(run):
    """The seconds of a call, whose progress bars and warnings are not shown."""
    start = time.perf_counter()
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        run()
    return time.perf_counter() - start


def median_ratio(own, base):
    """The median of what one takes of another, round by round."""
    return round(statistics.median(a / b for a, b in zip(own, base, strict=False)), 3)


def failure(error):
    """What a tool cannot do, as the end of its row: a result, and not the end of the others."""
    return {"fails": one_line(f"{type(error).__name__}: {error}", 100)}


def tables(rows, titles, cells):
    """A table of the tools for each task; the title of its first column is the task."""
    from ..output import table

    for task in dict.fromkeys(row["task"] for row in rows):
        yield ""
        lines = [cells(row) for row in rows if row["task"] == task]
        yield from table([task, *titles, ""], lines, words=[task, ""])
