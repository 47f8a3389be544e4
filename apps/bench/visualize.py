"""`kerascnn bench visualize`: attribution methods compared with other tools and a bare compiled gradient."""

import ctypes
import os
import statistics
import threading
import time

import numpy as np

from ..output import format_table, remark
from .timing import failure_row, machine_load, median_ratio, open_network, task_tables, time_call
from .tools import OURS, TOOLS, AttributionCase, find_installed_tools

TASKS = {  # title -> (method, grouping: all in one call, each in its own, or one image)
    "saliency, {n} images": ("saliency", "all"),
    "saliency, one image per call": ("saliency", "each"),
    "SmoothGrad, 32 samples of one image": ("smooth", "one"),
    "grad_cam, {n} images": ("grad_cam", "all"),
    "occlusion of one image": ("occlusion", "one"),
    "guided, {n} images": ("guided", "all"),
    "deconvnet, {n} images": ("deconvnet", "all"),
}
FEW_AND_MANY = {"samples": (10, 1000), "masks": ((2, 5), (100, 100))}  # for --memory; masks down and across
PAUSE = 0.002  # seconds between two readings of the memory


def measure_attribution(network, weights, images, size, rounds, memory):
    """Time and memory of each tool at each task, and the memory of few and of many samples."""
    versions, missing = find_installed_tools()
    case = attribution_case(network, weights, images, size)
    rows = []
    for title, (method, grouping) in TASKS.items():
        remark(title.format(n=images))
        rows += time_attribution(case, missing, title.format(n=images), method, grouping, rounds)
    side = case.images.shape[1]
    about = {"network": network, "images": images, "size": side, "patch": case.patch, "rounds": rounds}
    about |= machine_load() | {"tools": versions, "not_installed": sorted(missing)}
    return about | {"rows": rows, "memory": memory_rows(case, **FEW_AND_MANY) if memory else []}


def attribution_case(network, weights, images, size):
    """The network up to its logits, random images, and the predicted class of the first."""
    import keras

    from kerascnn.visualize import lens

    keras.utils.set_random_seed(0)
    model = open_network(network, weights, size)
    model = keras.Model(model.input, model.get_layer("logits").output)
    pixels = np.random.default_rng(0).uniform(0, 255, (images, *model.input_shape[1:])).astype(np.float32)
    number = int(np.asarray(model(pixels[:1]))[0].argmax())
    return AttributionCase(model, lens(model).last_feature_maps(), pixels, number, max(pixels.shape[1] // 7, 1))


def time_attribution(case, missing, title, method, grouping, rounds):
    """One row per installed tool that can do a task, timed in turn."""
    calls, rows = {}, []
    for tool, (make, _) in TOOLS.items():
        if tool in missing:
            continue
        try:
            function = make(case).get(method)
            if function is not None:
                calls[tool] = task_call(function, case.images, grouping)
                rows.append({"task": title, "tool": tool} | first_call(calls[tool]))
        except Exception as error:
            if tool == OURS:
                raise
            calls.pop(tool, None)
            rows.append({"task": title, "tool": tool} | failure_row(error))
    seconds = {tool: [] for tool in calls}
    for _ in range(rounds):
        for tool, run in calls.items():
            seconds[tool].append(time_call(run))
    return [row | relative_speed(seconds[row["tool"]], seconds[OURS]) if row["tool"] in calls else row for row in rows]


def task_call(function, images, grouping):
    """A call that does the whole task."""
    parts = {"all": [images], "each": [images[i : i + 1] for i in range(len(images))], "one": [images[:1]]}[grouping]
    return lambda: [function(part) for part in parts]


def first_call(run):
    """Seconds of the first call, which compiles, and memory of a second."""
    return {"first_seconds": round(time_call(run), 4), "memory_mb": round(memory_growth(run), 1)}


def relative_speed(seconds, our_seconds):
    """The median time, and its median ratio to ours over rounds."""
    return {"seconds": round(statistics.median(seconds), 5), "of_ours": median_ratio(seconds, our_seconds)}


def memory_rows(case, samples, masks):
    """Memory of few and of many samples and masks, which should be the same."""
    from kerascnn import visualize

    calls = {f"smooth, {n:,} samples": smoothgrad_call(visualize, case, n) for n in samples}
    calls |= {f"occlusion, {d * r:,} masks": occlusion_call(visualize, case, (d, r)) for d, r in masks}
    rows = []
    for title, run in calls.items():
        remark(title)
        time_call(
            smoothgrad_call(visualize, case, 1) if "smooth" in title else occlusion_call(visualize, case, (1, 1))
        )  # compiles
        start = time.perf_counter()
        rows.append(
            {"task": title, "memory_mb": round(memory_growth(run), 1), "seconds": round(time.perf_counter() - start, 2)}
        )
    return rows


def smoothgrad_call(visualize, case, samples):
    return lambda: visualize.smoothgrad(case.model, case.images[:1], case.number, samples=samples)


def occlusion_call(visualize, case, counts):
    """Occlusion with this many patches down and across."""
    sides = case.images.shape[1:3]
    stride = [-(-side // n) for side, n in zip(sides, counts, strict=True)]
    patch = [(n + 1) * step - side for side, n, step in zip(sides, counts, stride, strict=True)]
    return lambda: visualize.occlusion(case.model, case.images[:1], case.number, patch=patch, stride=stride)


def memory_growth(run):
    """The largest growth of the process in MB while a call runs."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc keeps freed memory, which would hide growth
    if trim:
        trim(0)
    before, peak, finished = resident_memory(), [0.0], threading.Event()

    def look():
        while not finished.wait(PAUSE):
            peak[0] = max(peak[0], resident_memory())

    watcher = threading.Thread(target=look, daemon=True)
    watcher.start()
    try:
        time_call(run)
    finally:
        finished.set()
        watcher.join()
    return max(peak[0], resident_memory()) - before


def resident_memory():
    """Resident memory of this process in MB; 0 if the system does not tell."""
    try:
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6
    except OSError:
        return 0.0


def benchmark_heading(result):
    """What was measured, on which machine, with which tools."""
    tools = ", ".join(f"{tool} {version}" for tool, version in result["tools"].items())
    return (
        f"{result['network']}, {result['size']}x{result['size']}, {result['rounds']} rounds of each in turn; "
        f"{result['cores']} cores, load {result['load']}; {tools}"
    )


def attribution_lines(result):
    """One table of the tools per task."""
    yield benchmark_heading(result)
    yield from task_tables(result["rows"], ("ms", "relative to ours", "first call, ms", "MB"), attribution_cells)
    if result["memory"]:
        yield ""
        rows = [[row["task"], f"{row['memory_mb']:.0f}", f"{row['seconds']:.1f}"] for row in result["memory"]]
        yield from format_table(["memory", "MB", "seconds"], rows, words=["memory"])
    if result["not_installed"]:
        yield ""
        yield f"not installed: {', '.join(result['not_installed'])}"


def attribution_cells(row):
    if "fails" in row:
        return [row["tool"], "-", "-", "-", "-", row["fails"]]
    times = [f"{1000 * row['seconds']:,.1f}", f"{row['of_ours']:.2f}", f"{1000 * row['first_seconds']:,.0f}"]
    return [row["tool"], *times, f"{row['memory_mb']:.0f}", ""]
