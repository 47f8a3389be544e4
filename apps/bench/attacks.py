"""Attacks compared with Foolbox and CleverHans: time of PGD, size of the smallest changes.

One row per task and tool; a tool that is not installed or fails has a row that says so. `attack_rows` makes all rows.
"""

import importlib.util
import statistics
import time
from dataclasses import dataclass
from functools import partial

import numpy as np

from ..output import remark
from .timing import failure_row, median_ratio

OURS = "kerascnn"
PGD, MINIMAL = "PGD, Linf 8, {steps} steps, {n} images", "smallest L2 change, {n} images, random target classes"
EPSILON = 8 / 255
FOREVER = 1e6  # a lead in logits that no image reaches, so that all steps run, as in the other tools


@dataclass(frozen=True, eq=False)
class AttackCase:
    """A network up to its logits (for pixels 0..255, and for 0..1 as other tools want it), images and their classes."""

    model: object
    unit: object
    images: np.ndarray
    before: np.ndarray
    target: np.ndarray
    steps: int = 40

    def part(self, rows):
        return AttackCase(self.model, self.unit, self.images[rows], self.before[rows], self.target[rows], self.steps)


def attack_case(model, images, steps=40, seed=0):
    """Make an `AttackCase` of a kerascnn network and images (N, H, W, C), 0..255."""
    import keras

    bare = keras.Model(model.input, model.get_layer("logits").output)
    pixels = keras.Input(bare.input_shape[1:])
    unit = keras.Model(pixels, bare(pixels * 255.0))
    scores = np.concatenate([np.asarray(bare(images[i : i + 16])) for i in range(0, len(images), 16)])
    before = scores.argmax(1)
    target = np.random.default_rng(seed).integers(0, scores.shape[1] - 1, len(images))
    return AttackCase(bare, unit, images, before, target + (target >= before), steps)


def our_pgd(case):
    from kerascnn.visualize.attacks.fool import fool

    options = {"epsilon": 255 * EPSILON, "steps": case.steps, "start": False, "lead": FOREVER, "integer_pixels": False}
    return fool(case.model, case.images, method="pgd", class_names=False, **options).images


def cleverhans_pgd(case):
    import tensorflow as tf
    from cleverhans.tf2.attacks.projected_gradient_descent import projected_gradient_descent

    options = {"clip_min": 0, "clip_max": 1, "rand_init": False, "sanity_checks": False}
    step = 2.5 * EPSILON / case.steps
    x = tf.constant(case.images / 255)
    return 255 * projected_gradient_descent(case.unit, x, EPSILON, step, case.steps, np.inf, **options).numpy()


def foolbox_pgd(case):
    import foolbox
    import tensorflow as tf

    attack = foolbox.attacks.LinfPGD(rel_stepsize=2.5 / case.steps, steps=case.steps, random_start=False)
    wrapped = foolbox.TensorFlowModel(case.unit, bounds=(0, 1))
    return 255 * attack(wrapped, tf.constant(case.images / 255), tf.constant(case.before), epsilons=EPSILON)[1].numpy()


def our_minimal(case):
    from kerascnn.visualize.attacks.fool import fool

    return fool(case.model, case.images, case.target, integer_pixels=False, class_names=False).images


def foolbox_minimal(case, make):
    """Run one of Foolbox's attacks that search for the smallest change."""
    import foolbox
    import tensorflow as tf

    attack, wrapped = make(foolbox.attacks), foolbox.TensorFlowModel(case.unit, bounds=(0, 1))
    criterion = foolbox.criteria.TargetedMisclassification(tf.constant(case.target))
    return 255 * attack(wrapped, tf.constant(case.images / 255), criterion, epsilons=None)[0].numpy()


TOOLS = {  # task -> {tool: (function, required package)}; DeepFool takes no targets
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


def attack_rows(model, images, rounds=5, pgd_images=8, block=16, tools=None):
    """Rows of both tasks: task, tool, seconds, cpu_seconds, of_ours (median over rounds), cpu_of_ours.

    PGD is timed ``rounds`` times on the first ``pgd_images`` images; the tools take turns. Minimal attacks run once, on
    ``block`` images at a time, and also have success, median_l2 (in steps of 0..255, of the fooled images) and
    l2_of_ours, the median over images. ``tools`` names the tools to run.
    """
    case = attack_case(model, images)
    rows = time_attacks(
        case.part(slice(pgd_images)), PGD.format(steps=case.steps, n=pgd_images), TOOLS[PGD], rounds, tools
    )
    parts = [case.part(slice(i, i + block)) for i in range(0, len(images), block)]
    return rows + compare_minimal_attacks(case, parts, MINIMAL.format(n=len(images)), TOOLS[MINIMAL], tools)


def time_attacks(case, task, attacks, rounds, tools=None):
    """One row per tool, timed in turn after a first call that compiles."""
    times, failed = run_in_turns([case] + [case] * rounds, task, attacks, tools)[:2]
    return [attack_row(task, tool, times, failed, first=1) for tool in attacks if tool in times or tool in failed]


def compare_minimal_attacks(case, parts, task, attacks, tools=None):
    """One row per tool, with the size of its changes."""
    our_minimal(parts[0])  # compile first; the other tools do not compile
    times, failed, adversarial = run_in_turns(parts, task, attacks, tools)
    sizes = {tool: l2_distances(np.concatenate(images), case) for tool, images in adversarial.items() if tool in times}
    rows = []
    for tool in (tool for tool in attacks if tool in times or tool in failed):
        rows.append(attack_row(task, tool, times, failed, total=True))
        if tool in times:
            distances, succeeded = sizes[tool], np.isfinite(sizes[tool])
            both_succeeded = succeeded & np.isfinite(sizes[OURS])
            ratio = (
                float(np.median(distances[both_succeeded] / np.maximum(sizes[OURS][both_succeeded], 1e-12)))
                if both_succeeded.any()
                else None
            )
            size = round(float(np.median(distances[succeeded])), 3) if succeeded.any() else None
            rows[-1] |= {"success": float(succeeded.mean()), "median_l2": size, "l2_of_ours": ratio and round(ratio, 4)}
    return rows


def l2_distances(images, case):
    """L2 norms of the changes, by one network; infinite if an image is not classified as its target."""
    scores = np.concatenate([np.asarray(case.model(images[i : i + 16])) for i in range(0, len(images), 16)])
    target_scores = np.take_along_axis(scores, case.target[:, None], 1)[:, 0]
    distances = np.linalg.norm((images - case.images).astype(np.float64).reshape(len(images), -1), axis=1)
    # scores are equal up to rounding at the decision boundary
    return np.where(target_scores >= scores.max(1) - 1e-3, distances, np.inf)


def run_in_turns(cases, task, attacks, tools=None):
    """Run tools in turn: ({tool: [(seconds, CPU seconds)]}, {tool: reason of its failure}, {tool: [images]})."""
    times, failed, adversarial = {}, {}, {}
    for tool, (_, package) in attacks.items():
        if tools is None or tool == OURS or tool in tools:
            if importlib.util.find_spec(package) is None:
                failed[tool] = "not installed"
            else:
                times[tool], adversarial[tool] = [], []
    for number, case in enumerate(cases):
        remark(f"{task}: case {number + 1} of {len(cases)}")
        for tool in [*times]:
            try:
                clocks = time.perf_counter(), time.process_time()
                adversarial[tool].append(attacks[tool][0](case))
                times[tool].append((time.perf_counter() - clocks[0], time.process_time() - clocks[1]))
            except Exception as error:
                if tool == OURS:
                    raise
                failed[tool] = failure_row(error)["fails"]
                del times[tool]
    return times, failed, adversarial


def attack_row(task, tool, times, failed, first=0, total=False):
    """The row of one tool: median (or total) seconds, and the median ratio to ours over rounds."""
    if tool in failed:
        return {"task": task, "tool": tool, "fails": failed[tool]}
    tool_times, our_times = (np.array(times[name][first:]) for name in (tool, OURS))
    middle = (lambda values: float(sum(values))) if total else statistics.median
    seconds, cpu = (round(middle(tool_times[:, i].tolist()), 3) for i in range(2))
    of_ours, cpu_of_ours = (median_ratio(tool_times[:, i].tolist(), our_times[:, i].tolist()) for i in range(2))
    row = {"task": task, "tool": tool, "seconds": seconds, "cpu_seconds": cpu}
    return row | {"of_ours": of_ours, "cpu_of_ours": cpu_of_ours}
