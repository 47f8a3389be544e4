"""Shared by all measurements: the network, clocks, ratios, the state of the machine, tables."""

import contextlib
import io
import os
import statistics
import time
import warnings

from ..errors import one_line


def open_network(network, weights=None, size=None):
    """Open a network for images of a ``size`` with a weights file, "none" (random) or the best published weights."""
    from kerascnn import build_model, card
    from kerascnn.transfer_learning.sources import open_backbone

    if weights is None:
        return open_backbone(network, size)
    shape = {"input_shape": (size, size, card(network).input_shape[-1])} if size else {}
    return build_model(network, weights=None if weights == "none" else weights, **shape)


def machine_load():
    """The number of cores and the load."""
    load = round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None
    return {"cores": os.cpu_count(), "load": load}


def time_call(run):
    """Seconds of a call, with its progress bars and warnings hidden."""
    start = time.perf_counter()
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        run()
    return time.perf_counter() - start


def median_ratio(seconds, base_seconds):
    """The median of the ratios of two series, round by round."""
    return round(statistics.median(a / b for a, b in zip(seconds, base_seconds, strict=False)), 3)


def failure_row(error):
    """The failure of a tool as part of its row; the other tools go on."""
    return {"fails": one_line(f"{type(error).__name__}: {error}", 100)}


def task_tables(rows, titles, cells):
    """One table of the tools per task; the task is the title of the first column."""
    from ..output import format_table

    for task in dict.fromkeys(row["task"] for row in rows):
        yield ""
        lines = [cells(row) for row in rows if row["task"] == task]
        yield from format_table([task, *titles, ""], lines, words=[task, ""])
