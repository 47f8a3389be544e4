"""`kerascnn bench visualize`: this package's attributions beside other tools, and beside a bare compiled gradient."""

import ctypes
import os
import statistics
import threading
import time

import numpy as np

from ..output import remark, table
from .timing import failure, machine, median_ratio, open_network, seconds_of, tables
from .tools import OURS, TOOLS, Case, installed

TASKS = {  # title -> (what, how many images: all in one call, all one by one, or one)
    "saliency, {n} images": ("saliency", "all"),
    "saliency, one image a call": ("saliency", "each"),
    "smooth, 32 samples of one image": ("smooth", "one"),
    "grad_cam, {n} images": ("grad_cam", "all"),
    "occlusion of one image": ("occlusion", "one"),
    "guided, {n} images": ("guided", "all"),
    "deconvnet, {n} images": ("deconvnet", "all"),
}
FEW_AND_MANY = {"samples": (10, 1000), "masks": ((2, 5), (100, 100))}  # of --memory; masks down and across
PAUSE = 0.002  # seconds between two looks at the memory


def measured(network, weights, images, size, rounds, memory):
    """Seconds and memory of each tool at each task, and what memory many samples take beside few."""
    versions, missing = installed()
    case = prepared(network, weights, images, size)
    rows = []
    for title, (what, how) in TASKS.items():
        remark(title.format(n=images))
        rows += compared(case, missing, title.format(n=images), what, how, rounds)
    side = case.images.shape[1]
    about = {"network": network, "images": images, "size": side, "patch": case.patch, "rounds": rounds}
    about |= machine() | {"tools": versions, "not_installed": sorted(missing)}
    return about | {"rows": rows, "memory": flat(case, **FEW_AND_MANY) if memory else []}


def prepared(network, weights, images, size):
    """The network up to its logits, random pixels, and the class of the first."""
    import keras

    from kerascnn.visualize import probe

    keras.utils.set_random_seed(0)
    model = open_network(network, weights, size)
    model = keras.Model(model.input, model.get_layer("logits").output)
    pixels = np.random.default_rng(0).uniform(0, 255, (images, *model.input_shape[1:])).astype(np.float32)
    number = int(np.asarray(model(pixels[:1]))[0].argmax())
    return Case(model, probe(model).features(), pixels, number, max(pixels.shape[1] // 7, 1))


def compared(case, missing, title, what, how, rounds):
    """A row for each tool that is here and can do a task, timed in turn."""
    ways, rows = {}, []
    for tool, (make, _) in TOOLS.items():
        if tool in missing:
            continue
        try:
            way = make(case).get(what)
            if way is not None:
                ways[tool] = asked(way, case.images, how)
                rows.append({"task": title, "tool": tool} | started(ways[tool]))
        except Exception as error:
            if tool == OURS:
                raise
            ways.pop(tool, None)
            rows.append({"task": title, "tool": tool} | failure(error))
    seconds = {tool: [] for tool in ways}
    for _ in range(rounds):
        for tool, run in ways.items():
            seconds[tool].append(seconds_of(run))
    return [row | speed(seconds[row["tool"]], seconds[OURS]) if row["tool"] in ways else row for row in rows]


def asked(way, images, how):
    """A call that does the whole task."""
    parts = {"all": [images], "each": [images[i : i + 1] for i in range(len(images))], "one": [images[:1]]}[how]
    return lambda: [way(part) for part in parts]


def started(run):
    """The seconds of a first call, which compiles, and the memory of a second."""
    return {"first_seconds": round(seconds_of(run), 4), "memory_mb": round(grown(run), 1)}


def speed(own, base):
    """The median time, and the median of what it is of ours, round by round."""
    return {"seconds": round(statistics.median(own), 5), "of_ours": median_ratio(own, base)}


def flat(case, samples, masks):
    """The memory of few and of many samples and masks, which should be the same."""
    from kerascnn import visualize

    ways = {f"smooth, {n:,} samples": smoothed(visualize, case, n) for n in samples}
    ways |= {f"occlusion, {d * r:,} masks": masked(visualize, case, (d, r)) for d, r in masks}
    rows = []
    for title, run in ways.items():
        remark(title)
        seconds_of(smoothed(visualize, case, 1) if "smooth" in title else masked(visualize, case, (1, 1)))  # compiles
        start = time.perf_counter()
        rows.append(
            {"task": title, "memory_mb": round(grown(run), 1), "seconds": round(time.perf_counter() - start, 2)}
        )
    return rows


def smoothed(visualize, case, samples):
    return lambda: visualize.smoothgrad(case.model, case.images[:1], case.number, samples=samples)


def masked(visualize, case, counts):
    """Occlusion with as many patches down and across."""
    sides = case.images.shape[1:3]
    stride = [-(-side // n) for side, n in zip(sides, counts, strict=True)]
    patch = [(n + 1) * step - side for side, n, step in zip(sides, counts, stride, strict=True)]
    return lambda: visualize.occlusion(case.model, case.images[:1], case.number, patch=patch, stride=stride)


def grown(run):
    """By how many MB the process grows while it runs, at most."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc keeps what is freed, and would hide what comes
    if trim:
        trim(0)
    before, peak, done = resident(), [0.0], threading.Event()

    def look():
        while not done.wait(PAUSE):
            peak[0] = max(peak[0], resident())

    watcher = threading.Thread(target=look, daemon=True)
    watcher.start()
    try:
        seconds_of(run)
    finally:
        done.set()
        watcher.join()
    return max(peak[0], resident()) - before


def resident():
    """MB of this process in memory; 0 where the system does not say."""
    try:
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6
    except OSError:
        return 0.0


def heading(result):
    """What was measured, where, and beside what."""
    tools = ", ".join(f"{tool} {version}" for tool, version in result["tools"].items())
    return (
        f"{result['network']}, {result['size']}x{result['size']}, {result['rounds']} rounds of each in turn; "
        f"{result['cores']} cores, load {result['load']}; {tools}"
    )


def lines(result):
    """A table of the tools for each task."""
    yield heading(result)
    yield from tables(result["rows"], ("ms", "of ours", "first ms", "MB"), cells)
    if result["memory"]:
        yield ""
        rows = [[row["task"], f"{row['memory_mb']:.0f}", f"{row['seconds']:.1f}"] for row in result["memory"]]
        yield from table(["memory", "MB", "seconds"], rows, words=["memory"])
    if result["not_installed"]:
        yield ""
        yield f"not installed: {', '.join(result['not_installed'])}"


def cells(row):
    if "fails" in row:
        return [row["tool"], "-", "-", "-", "-", row["fails"]]
    times = [f"{1000 * row['seconds']:,.1f}", f"{row['of_ours']:.2f}", f"{1000 * row['first_seconds']:,.0f}"]
    return [row["tool"], *times, f"{row['memory_mb']:.0f}", ""]
