"""`kerascnn bench synthesis`: images of classes by this package, other tools, and a bare compiled gradient.

A task is a row of TASKS: for each tool a function that makes a call of a `SynthesisCase`. Add a row for another task.
"""

import importlib.metadata
import importlib.util
import statistics
from dataclasses import dataclass, replace

import numpy as np

from ..output import remark
from .timing import failure_row, machine_load, median_ratio, open_network, task_tables, time_call
from .visualize import attribution_case, benchmark_heading

OURS, BARE, THEIRS = "kerascnn", "bare gradient, compiled", "tf-keras-vis"
RIVALS = {THEIRS: "tf_keras_vis"}  # tool -> required package
PATIENCE = 60  # seconds; slower calls run once


@dataclass(frozen=True, eq=False)
class SynthesisCase:
    """The task: a Functional model that ends with logits, start images (one per class) and the number of steps."""

    model: object
    images: np.ndarray
    steps: int

    @property
    def classes(self):
        return list(range(len(self.images)))


def maximize_with(recipe):
    """This package with a recipe; the case sets the number of steps."""

    def make_call(case):
        from kerascnn.visualize import maximize

        return lambda: maximize(case.model, classes=case.classes, recipe=replace(recipe(), steps=case.steps))

    return make_call


def tf_keras_vis_recipe():
    from kerascnn.visualize import RECIPES

    return RECIPES["tf_keras_vis"]


def lucid_recipe():
    from kerascnn.visualize import RECIPES

    return RECIPES["lucid"]


def plain_recipe():
    """A recipe without transforms and regularizers: the cost of the loop itself."""
    from kerascnn.visualize import SynthesisRecipe
    from kerascnn.visualize.synthesis.params import Pixels

    return SynthesisRecipe("no transforms, no regularizers", 1, 1.0, "plain", Pixels(between=(0, 255)))


def tf_keras_vis_maximize(case):
    """tf-keras-vis with its defaults: jitter 4, rotation by 1 degree, total variation and norm, RMSprop."""
    from tf_keras_vis.activation_maximization import ActivationMaximization
    from tf_keras_vis.utils.scores import CategoricalScore

    climb = ActivationMaximization(case.model)
    return lambda: climb(CategoricalScore(case.classes), seed_input=case.images, steps=case.steps)


def bare_gradient_loop(case):
    """One compiled gradient per step and nothing else: a lower bound for every tool.

    The tape stands here and not in the engine because the engine is measured against it.
    """
    import tensorflow as tf

    classes, images = tf.constant(case.classes)[:, None], tf.constant(case.images)

    @tf.function
    def slopes(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            score = tf.gather(case.model(x, training=False), classes, batch_dims=1)
        return tape.gradient(score, x)

    return lambda: [slopes(images) for _ in range(case.steps)][-1].numpy()


TASKS = {  # title -> {tool: function that makes its call}; the first is the reference
    "{units} classes, {steps} steps": {
        OURS: maximize_with(tf_keras_vis_recipe),
        "kerascnn, recipe lucid": maximize_with(lucid_recipe),
        "kerascnn, plain": maximize_with(plain_recipe),
        BARE: bare_gradient_loop,
        THEIRS: tf_keras_vis_maximize,
    }
}


def measure_synthesis(network, weights, units, steps, size, rounds, tasks=TASKS):
    """Time of each tool at each task, in turn, and its ratio to ours and to the bare gradient."""
    base = attribution_case(network, weights, units, size)
    case = SynthesisCase(base.model, base.images, steps)
    installed = {tool: importlib.metadata.version(tool) for tool in RIVALS if importlib.util.find_spec(RIVALS[tool])}
    rows = []
    for title, tools in tasks.items():
        title = title.format(units=units, steps=steps)
        remark(title)
        available = {tool: make for tool, make in tools.items() if tool not in RIVALS or tool in installed}
        rows += [{"task": title} | row for row in time_synthesis(case, available, rounds)]
    about = {"network": network, "units": units, "steps": steps, "size": case.images.shape[1], "rounds": rounds}
    about |= machine_load() | {"tools": installed, "not_installed": sorted(RIVALS.keys() - installed)}
    return about | {"rows": rows}


def measure_attacks(network, weights, photos, rounds):
    """Rows of attacks on a network, on photos."""
    from kerascnn.visualize import lens
    from kerascnn.visualize.engine.query import pictures

    from .attacks import attack_rows

    model = open_network(network, weights)
    return attack_rows(model, pictures(lens(model), photos).pixels, rounds)


def time_synthesis(case, tools, rounds):
    """One row per tool; its first call compiles and does not count."""
    calls, rows = {}, {}
    for tool, make in tools.items():
        remark(tool)
        try:
            calls[tool] = make(replace(case, steps=min(case.steps, 2)) if tool in RIVALS else case)
            rows[tool] = {"tool": tool, "first_seconds": round(time_call(calls[tool]), 3)}
            calls[tool] = make(case) if tool in RIVALS else calls[tool]
        except Exception as error:
            if tool not in RIVALS:
                raise
            calls.pop(tool, None)
            rows[tool] = {"tool": tool} | failure_row(error)
    seconds = {tool: [] for tool in calls}
    for _ in range(rounds):
        for tool, call in calls.items():
            if sum(seconds[tool]) < PATIENCE or tool not in RIVALS:
                seconds[tool].append(time_call(call))
    bases = {"of_ours": next(iter(tools)), "of_bare": BARE}
    for tool, tool_seconds in seconds.items():
        rows[tool] |= {"seconds": round(statistics.median(tool_seconds), 4), "rounds": len(tool_seconds)}
        rows[tool] |= {
            name: median_ratio(tool_seconds, seconds[base]) for name, base in bases.items() if base in seconds
        }
    return list(rows.values())


def synthesis_lines(result):
    """One table of the tools per task."""
    yield benchmark_heading(result)
    yield from task_tables(
        result["rows"], ("s", "relative to ours", "relative to bare gradient", "first call, s"), synthesis_cells
    )
    yield from task_tables(result.get("fooled", []), ("s", "relative to ours", "fooled", "L2"), attack_cells)
    if result["not_installed"]:
        yield ""
        yield f"not installed: {', '.join(result['not_installed'])}"


def attack_cells(row):
    numbers = [f"{row[name]:.2f}" if name in row else "-" for name in ("seconds", "of_ours", "success", "median_l2")]
    return [row["tool"], *numbers, row.get("fails", "")]


def synthesis_cells(row):
    if "fails" in row:
        return [row["tool"], "-", "-", "-", "-", row["fails"]]
    numbers = [
        f"{row[name]:.2f}" if name in row else "-" for name in ("seconds", "of_ours", "of_bare", "first_seconds")
    ]
    return [row["tool"], *numbers, "measured once" if row["rounds"] == 1 else ""]
