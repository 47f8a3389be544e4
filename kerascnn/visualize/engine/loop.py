"""The one way in which images are changed step by step: a loop compiled whole, many images at once, each on its own.

A `Loop` says what one step does; `iterate` runs it in chunks of bounded memory and in stretches of steps, between
which it tells how far it is and looks whether there is more to do. Whatever is random is drawn before, so that numbers
depend neither on the size of a chunk nor on the compiler.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import tensorflow as tf

from .lens import Run
from .query import batch_limit, broadcast_rows, compile_once
from .scores import Score

STRETCH = 16  # steps between two times of telling


@dataclass(frozen=True, eq=False)
class Loop:
    """What one step does; loops of equal ``key``, score and rule share a compiled function.

    ``step(look, state, now, given)`` -> (state, {name: (N,)}), in keras.ops, where ``look(pixels)`` is a `Run` of a
    batch and ``state``, ``now`` and ``given`` are dicts of tensors with a row an image: what changes, what is there for
    this step alone (its number ``now["k"]`` too), what stays. ``says`` names what a step says beside.
    """

    key: tuple
    step: Callable
    score: Score | None = None
    reports: tuple = ("score",)
    rule: str | None = None


@dataclass(frozen=True, eq=False)
class LoopNetwork:
    """The network as a step sees it: ``look(pixels)`` runs what the score needs of it."""

    lens: object
    loop: Loop
    feeds: tuple
    others: dict

    def __call__(self, pixels):
        layers = self.loop.score.layers if self.loop.score else ()
        return Run(self.lens, pixels, self.others, self.loop.rule, layers=layers)

    def score(self, run):
        """The loop's score of each image of a run."""
        return run.score(self.loop.score, self.feeds)


@dataclass(frozen=True, eq=False)
class Trajectory:
    """What came of a loop: the last ``state``, what was ``said`` at each step (steps, N), and what was kept between."""

    state: dict = field(repr=False)
    history: dict = field(repr=False)
    snapshots: list = field(default_factory=list, repr=False)


def iterate(
    lens,
    loop,
    state,
    schedule,
    constants=None,
    *,
    others=None,
    size=None,
    rows=None,
    group=1,
    snapshots=(),
    is_done=None,
    batch_size=None,
    on_progress=None,
):
    """Run a `Loop` from ``state``, arrays with a row an image, over the steps of ``schedule``.

    ``schedule``: arrays (steps, N or 1, ..) of values that change from step to step. ``size``: (H, W, C) of the images,
    if not those of the state. ``rows``: the images to run, if not all. ``group``: number of consecutive images that are
    always in one chunk. ``snapshots``: rising numbers of steps after which the state is kept. ``is_done(state,
    history)``: whether a chunk may end early. ``on_progress(done, total, what)`` counts steps of images and may raise
    to stop.
    """
    count, steps = len(next(iter(state.values()))), len(next(iter(schedule.values())))
    order = np.arange(count) if rows is None else np.flatnonzero(rows)
    schedule = {"k": np.arange(steps, dtype=np.int32)[:, None], **schedule}
    feeds = loop.score.feeds if loop.score else ()
    row_data = broadcast_rows(count, {"given": constants or {}, "score": tuple(feeds), "inputs": others or {}})
    size, first, trajectories, total = size or image_shape(lens, state), 0, [], len(order) * steps
    limit = max((batch_size or batch_limit(lens, size, True)) // group, 1) * group
    while first < len(order):
        chunk_rows = order[first : first + limit]
        chunk = [
            tf.nest.map_structure(lambda a, chunk_rows=chunk_rows: a[chunk_rows], arrays)
            for arrays in (state, row_data)
        ]
        chunk_schedule = {name: a[:, chunk_rows] if a.shape[1] > 1 else a for name, a in schedule.items()}
        report_steps = on_progress and (
            lambda done, first=first, chunk_rows=chunk_rows: on_progress(
                first * steps + len(chunk_rows) * done, total, "steps"
            )
        )
        try:
            trajectories.append(run_chunk(lens, loop, *chunk, chunk_schedule, snapshots, is_done, report_steps))
        except tf.errors.ResourceExhaustedError:
            if limit == group:
                raise
            limit = lens.limits[size, True] = max(limit // 2 // group, 1) * group
            continue
        first += len(chunk_rows)
    return join_chunks(trajectories)


def run_chunk(lens, loop, state, row_data, schedule, snapshots, is_done, progress):
    """One chunk through all its steps."""
    steps, done, histories, snapshot_states = len(schedule["k"]), 0, [], []
    marks = sorted({*range(STRETCH, steps, STRETCH), *(k for k in snapshots if 0 < k < steps), steps})
    for mark in marks:
        step_values = {name: tf.constant(array[done:mark]) for name, array in schedule.items()}
        run = loop_program(lens, loop, state, row_data, step_values)
        tensors = tf.nest.map_structure(tf.constant, (state, row_data))
        state, history = tf.nest.map_structure(lambda a: a.numpy(), run(*tensors, step_values))
        histories.append(history)
        done = mark
        if mark in snapshots:
            snapshot_states.append(state)
        if progress:
            progress(done)
        if is_done and is_done(state, history):
            break
    histories = {name: np.concatenate([history_part[name] for history_part in histories]) for name in loop.reports}
    padded = {name: np.pad(a, ((0, steps - done), (0, 0)), mode="edge") for name, a in histories.items()}
    if progress and done < steps:
        progress(steps)
    return Trajectory(state, padded, snapshot_states + [state] * (len(snapshots) - len(snapshot_states)))


def join_chunks(trajectories):
    """The courses of all chunks as one."""
    join = lambda *arrays: np.concatenate(arrays)  # noqa: E731
    state = tf.nest.map_structure(join, *[trajectory.state for trajectory in trajectories])
    history = {
        name: np.concatenate([trajectory.history[name] for trajectory in trajectories], axis=1)
        for name in trajectories[0].history
    }
    snapshots = [
        tf.nest.map_structure(join, *states)
        for states in zip(*[trajectory.snapshots for trajectory in trajectories], strict=True)
    ]
    return Trajectory(state, history, snapshots)


def loop_program(lens, loop, state, row_data, schedule):
    """The compiled loop for states of this shape; made once, for any number of images and steps."""
    rows = lambda a: tf.TensorSpec((None, *a.shape[1:]), a.dtype)  # noqa: E731
    specs = (
        *tf.nest.map_structure(rows, (state, row_data)),
        {name: tf.TensorSpec((None, None, *a.shape[2:]), a.dtype) for name, a in schedule.items()},
    )
    return compile_once(lens, loop, specs, lambda: build_loop(lens, loop))


def build_loop(lens, loop):
    """The function that is compiled: the gradient is taken inside the loop's body, where its operations are.

    A step stays a function of its own: TensorFlow optimizes functions that are called, and not the body of a loop,
    which would take half as long again.
    """

    def run_step(state, step_values, row_data):
        new_state, reports = loop.step(
            LoopNetwork(lens, loop, row_data["score"], row_data["inputs"]), state, step_values, row_data["given"]
        )
        new_state = {name: tf.cast(tf.ensure_shape(new_state[name], a.shape), a.dtype) for name, a in state.items()}
        return new_state, {name: tf.cast(reports[name], tf.float32) for name in loop.reports}

    step = tf.function(run_step, autograph=False, experimental_attributes={"_noinline": True})

    def run_loop(state, row_data, schedule):
        steps, count = tf.shape(schedule["k"])[0], tf.shape(next(iter(state.values())))[0]
        history = {name: tf.TensorArray(tf.float32, steps) for name in loop.reports}

        def body(k, state, history):
            new_state, reports = step(state, {name: array[k] for name, array in schedule.items()}, row_data)
            new_state = {name: tf.ensure_shape(new_state[name], array.shape) for name, array in state.items()}
            return k + 1, new_state, {name: history[name].write(k, reports[name]) for name in history}

        _, state, history = tf.while_loop(
            lambda k, *_: k < steps, body, (tf.constant(0), dict(state), history), parallel_iterations=1
        )
        history = {name: tf.reshape(array.stack(), (steps, count)) for name, array in history.items()}
        return state, history

    return run_loop


def image_shape(lens, state):
    """The size of the images in a state: of its largest (N, H, W, C), else that of the model."""
    shapes = [array.shape[1:] for array in state.values() if np.ndim(array) == 4]
    return max(shapes, key=np.prod) if shapes else tuple(side or 0 for side in lens.shape)
