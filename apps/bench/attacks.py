"""Fooling a network beside Foolbox and CleverHans: seconds of PGD, and how small the smallest changes are.

A row a task and tool; a tool that is not installed, or cannot do it, is a row that says so. `rows` makes them all.
"""

import importlib.util
import statistics
import time
from dataclasses import dataclass
from functools import partial

import numpy as np

from ..output import remark
from .timing import failure, median_ratio

OURS = "kerascnn"
PGD, MINIMAL = "PGD, Linf 8, {steps} steps, {n} images", "smallest L2, {n} images to random classes"
SIZE = 8 / 255
FOREVER = 1e6  # logits of lead that no image reaches, so that all steps are taken, as the others do


@dataclass(frozen=True, eq=False)
class Case:
    """A network of pixels 0..255 up to its logits, the same of 0..1 as others want it, images and what they become."""

    model: object
    unit: object
    images: np.ndarray
    before: np.ndarray
    target: np.ndarray
    steps: int = 40

    def part(self, rows):
        return Case(self.model, self.unit, self.images[rows], self.before[rows], self.target[rows], self.steps)


def cased(model, images, steps=40, seed=0):
    """A `Case` of a kerascnn network and images (N, H, W, C), 0..255."""
    import keras

    bare = keras.Model(model.input, model.get_layer("logits").output)
    pixels = keras.Input(bare.input_shape[1:])
    unit = keras.Model(pixels, bare(pixels * 255.0))
    scores = np.concatenate([np.asarray(bare(images[i : i + 16])) for i in range(0, len(images), 16)])
    before = scores.argmax(1)
    target = np.random.default_rng(seed).integers(0, scores.shape[1] - 1, len(images))
    return Case(bare, unit, images, before, target + (target >= before), steps)


def our_pgd(case):
    from kerascnn.visualize.attacks.fool import fool

    options = {"size": 255 * SIZE, "steps": case.steps, "start": False, "lead": FOREVER, "labels": False}
    return fool(case.model, case.images, method="pgd", **options).images


def cleverhans_pgd(case):
    import tensorflow as tf
    from cleverhans.tf2.attacks.projected_gradient_descent import projected_gradient_descent

    options = {"clip_min": 0, "clip_max": 1, "rand_init": False, "sanity_checks": False}
    step = 2.5 * SIZE / case.steps
    x = tf.constant(case.images / 255)
    return 255 * projected_gradient_descent(case.unit, x, SIZE, step, case.steps, np.inf, **options).numpy()


def foolbox_pgd(case):
    import foolbox
    import tensorflow as tf

    attack = foolbox.attacks.LinfPGD(rel_stepsize=2.5 / case.steps, steps=case.steps, random_start=False)
    wrapped = foolbox.TensorFlowModel(case.unit, bounds=(0, 1))
    return 255 * attack(wrapped, tf.constant(case.images / 255), tf.constant(case.before), epsilons=SIZE)[1].numpy()


def our_minimal(case):
    from kerascnn.visualize.attacks.fool import fool

    return fool(case.model, case.images, case.target, labels=False).images


def foolbox_minimal(case, make):
    """One of Foolbox's attacks that find a smallest change by themselves."""
    import foolbox
    import tensorflow as tf

    attack, wrapped = make(foolbox.attacks), foolbox.TensorFlowModel(case.unit, bounds=(0, 1))
    wanted = foolbox.criteria.TargetedMisclassification(tf.constant(case.target))
    return 255 * attack(wrapped, tf.constant(case.images / 255), wanted, epsilons=None)[0].numpy()


TOOLS = {  # task -> {tool: (what does it, the package that it needs)}; DeepFool takes no targets
    PGD: {
        OURS: (our_pgd, "kerascnn"),
        "CleverHans": (cleverhans_pgd, "cleverhans"),
        "Foolbox": (foolbox_pgd, "foolbox"),
    },
    MINIMAL: {
        OURS: (our_minimal, "kerascnn"),
        "Foolbox DDN, 100 steps": (partial(foolbox_minimal, make=lambda a: a.DDNAttack(steps=100)), "foolbox"),
        "Foolbox FMN, 100 steps": (partial(foolbox_minimal, make=lambda a: a.L2FMNAttack(steps=100)), "foolbox"),
        "Foolbox C&W, 5 x 100 steps": (
            partial(
                foolbox_minimal,
                make=lambda a: a.L2CarliniWagnerAttack(binary_search_steps=5, steps=100, initial_const=1.0),
            ),
            "foolbox",
        ),
    },
}


def rows(model, images, rounds=5, few=8, block=16, tools=None):
    """Rows of both tasks: task, tool, seconds, cpu_seconds, of_ours (median over rounds), cpu_of_ours.

    PGD is timed ``rounds`` times on the first ``few`` images, tools in turn. The smallest changes are looked for once,
    ``block`` images at a time and tools in turn, and have also success, median_l2 (steps of 0..255; of those that were
    fooled) and l2_of_ours, the median over images. ``tools`` names those to run.
    """
    case = cased(model, images)
    found = compared(case.part(slice(few)), PGD.format(steps=case.steps, n=few), TOOLS[PGD], rounds, tools)
    parts = [case.part(slice(i, i + block)) for i in range(0, len(images), block)]
    return found + smallest(case, parts, MINIMAL.format(n=len(images)), TOOLS[MINIMAL], tools)


def compared(case, task, ways, rounds, tools=None):
    """A row a tool, timed in turn after a first call that compiles."""
    times, failed = turns([case] + [case] * rounds, task, ways, tools)[:2]
    return [row(task, tool, times, failed, first=1) for tool in ways if tool in times or tool in failed]


def smallest(case, parts, task, ways, tools=None):
    """A row a tool, with how far it had to go."""
    our_minimal(parts[0])  # compiles, as others do nothing of the kind
    times, failed, found = turns(parts, task, ways, tools)
    sizes = {tool: l2(np.concatenate(images), case) for tool, images in found.items() if tool in times}
    made = []
    for tool in (tool for tool in ways if tool in times or tool in failed):
        made.append(row(task, tool, times, failed, whole=True))
        if tool in times:
            far, ok = sizes[tool], np.isfinite(sizes[tool])
            both = ok & np.isfinite(sizes[OURS])
            ratio = float(np.median(far[both] / np.maximum(sizes[OURS][both], 1e-12))) if both.any() else None
            size = round(float(np.median(far[ok])), 3) if ok.any() else None
            made[-1] |= {"success": float(ok.mean()), "median_l2": size, "l2_of_ours": ratio and round(ratio, 4)}
    return made


def l2(images, case):
    """How far images are from what they were; infinite where they are not of their target, looked at by one network."""
    scores = np.concatenate([np.asarray(case.model(images[i : i + 16])) for i in range(0, len(images), 16)])
    own = np.take_along_axis(scores, case.target[:, None], 1)[:, 0]
    far = np.linalg.norm((images - case.images).astype(np.float64).reshape(len(images), -1), axis=1)
    return np.where(own >= scores.max(1) - 1e-3, far, np.inf)  # equal but for rounding, at the border


def turns(cases, task, ways, tools=None):
    """({tool: [(seconds, CPU seconds)]}, {tool: why not}, {tool: [images]}) of tools that take turns."""
    times, failed, found = {}, {}, {}
    for tool, (_, package) in ways.items():
        if tools is None or tool == OURS or tool in tools:
            if importlib.util.find_spec(package) is None:
                failed[tool] = "not installed"
            else:
                times[tool], found[tool] = [], []
    for number, case in enumerate(cases):
        remark(f"{task}: {number + 1} of {len(cases)}")
        for tool in [*times]:
            try:
                clocks = time.perf_counter(), time.process_time()
                found[tool].append(ways[tool][0](case))
                times[tool].append((time.perf_counter() - clocks[0], time.process_time() - clocks[1]))
            except Exception as error:
                if tool == OURS:
                    raise
                failed[tool] = failure(error)["fails"]
                del times[tool]
    return times, failed, found


def row(task, tool, times, failed, first=0, whole=False):
    """One tool at one task: median seconds (or all of them), and what they are of ours, round by round."""
    if tool in failed:
        return {"task": task, "tool": tool, "fails": failed[tool]}
    own, base = (np.array(times[name][first:]) for name in (tool, OURS))
    middle = (lambda values: float(sum(values))) if whole else statistics.median
    seconds, cpu = (round(middle(own[:, i].tolist()), 3) for i in range(2))
    of_ours, cpu_of_ours = (median_ratio(own[:, i].tolist(), base[:, i].tolist()) for i in range(2))
    made = {"task": task, "tool": tool, "seconds": seconds, "cpu_seconds": cpu}
    return made | {"of_ours": of_ours, "cpu_of_ours": cpu_of_ours}
