"""`kerascnn bench synthesis`: images climbed by this package and by others, and beside a bare gradient of them.

A task is a row of TASKS: what each tool makes of a `Case`, a call that does all of it. Other syntheses add rows.
"""

import importlib.metadata
import importlib.util
import statistics
from dataclasses import dataclass, replace

import numpy as np

from ..output import remark
from .timing import failure, machine, median_ratio, open_network, seconds_of, tables
from .visualize import heading, prepared

OURS, BARE, THEIRS = "kerascnn", "bare gradient, compiled", "tf-keras-vis"
RIVALS = {THEIRS: "tf_keras_vis"}  # tool -> the package that it needs
PATIENCE = 60  # seconds; what takes longer is done in one round only


@dataclass(frozen=True, eq=False)
class Case:
    """What is climbed: classes of a plain Functional model that ends with logits, from ``images``, in so many steps."""

    model: object
    images: np.ndarray
    steps: int

    @property
    def classes(self):
        return list(range(len(self.images)))


def climbed(recipe):
    """This package with a recipe, of which only the number of steps is the case's."""

    def made(case):
        from kerascnn.visualize import maximize

        return lambda: maximize(case.model, classes=case.classes, recipe=replace(recipe(), steps=case.steps))

    return made


def theirs():
    from kerascnn.visualize import RECIPES

    return RECIPES["tf_keras_vis"]


def lucid():
    from kerascnn.visualize import RECIPES

    return RECIPES["lucid"]


def plain():
    """Neither shaken nor judged: what the loop itself costs."""
    from kerascnn.visualize import Recipe
    from kerascnn.visualize.synthesis.params import Pixels

    return Recipe("neither shaken nor judged", 1, 1.0, "plain", Pixels(between=(0, 255)))


def tf_keras_vis(case):
    """With its own defaults: jitter 4, rotation by 1 degree, variation and norm, RMSprop."""
    from tf_keras_vis.activation_maximization import ActivationMaximization
    from tf_keras_vis.utils.scores import CategoricalScore

    climb = ActivationMaximization(case.model)
    return lambda: climb(CategoricalScore(case.classes), seed_input=case.images, steps=case.steps)


def bare(case):
    """One compiled gradient a step, by a tape, and nothing else: nobody who climbs can do less.

    The tape stands here and not in the engine because it is what the engine is measured by.
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


TASKS = {  # title -> {tool: what makes its call}; the first is what others are told in
    "{units} classes, {steps} steps": {
        OURS: climbed(theirs),
        "kerascnn, recipe lucid": climbed(lucid),
        "kerascnn, plain": climbed(plain),
        BARE: bare,
        THEIRS: tf_keras_vis,
    }
}


def measured(network, weights, units, steps, size, rounds, tasks=TASKS):
    """Seconds of each tool at each task, in turn, and what they are of ours and of the bare gradient."""
    given = prepared(network, weights, units, size)
    case = Case(given.model, given.images, steps)
    here = {tool: importlib.metadata.version(tool) for tool in RIVALS if importlib.util.find_spec(RIVALS[tool])}
    rows = []
    for title, tools in tasks.items():
        title = title.format(units=units, steps=steps)
        remark(title)
        present = {tool: make for tool, make in tools.items() if tool not in RIVALS or tool in here}
        rows += [{"task": title} | row for row in compared(case, present, rounds)]
    about = {"network": network, "units": units, "steps": steps, "size": case.images.shape[1], "rounds": rounds}
    about |= machine() | {"tools": here, "not_installed": sorted(RIVALS.keys() - here)}
    return about | {"rows": rows}


def fooled(network, weights, photos, rounds):
    """The rows of attacks on a network, on photos."""
    from kerascnn.visualize import probe
    from kerascnn.visualize.engine.query import pictures

    from .attacks import rows

    model = open_network(network, weights)
    return rows(model, pictures(probe(model), photos).pixels, rounds)


def compared(case, tools, rounds):
    """A row for each tool; the first call of each compiles and does not count."""
    calls, rows = {}, {}
    for tool, make in tools.items():
        remark(tool)
        try:
            calls[tool] = make(replace(case, steps=min(case.steps, 2)) if tool in RIVALS else case)
            rows[tool] = {"tool": tool, "first_seconds": round(seconds_of(calls[tool]), 3)}
            calls[tool] = make(case) if tool in RIVALS else calls[tool]
        except Exception as error:
            if tool not in RIVALS:
                raise
            calls.pop(tool, None)
            rows[tool] = {"tool": tool} | failure(error)
    seconds = {tool: [] for tool in calls}
    for _ in range(rounds):
        for tool, call in calls.items():
            if sum(seconds[tool]) < PATIENCE or tool not in RIVALS:
                seconds[tool].append(seconds_of(call))
    bases = {"of_ours": next(iter(tools)), "of_bare": BARE}
    for tool, own in seconds.items():
        rows[tool] |= {"seconds": round(statistics.median(own), 4), "rounds": len(own)}
        rows[tool] |= {name: median_ratio(own, seconds[base]) for name, base in bases.items() if base in seconds}
    return list(rows.values())


def lines(result):
    """A table of the tools for each task."""
    yield heading(result)
    yield from tables(result["rows"], ("s", "of ours", "of bare", "first s"), cells)
    yield from tables(result.get("fooled", []), ("s", "of ours", "fooled", "L2"), against)
    if result["not_installed"]:
        yield ""
        yield f"not installed: {', '.join(result['not_installed'])}"


def against(row):
    told = [f"{row[name]:.2f}" if name in row else "-" for name in ("seconds", "of_ours", "success", "median_l2")]
    return [row["tool"], *told, row.get("fails", "")]


def cells(row):
    if "fails" in row:
        return [row["tool"], "-", "-", "-", "-", row["fails"]]
    told = [f"{row[name]:.2f}" if name in row else "-" for name in ("seconds", "of_ours", "of_bare", "first_seconds")]
    return [row["tool"], *told, "one round" if row["rounds"] == 1 else ""]
