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
        wanted = self.loop.score.layers if self.loop.score else ()
        return Run(self.lens, pixels, self.others, self.loop.rule, layers=wanted)

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
    now,
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
    """Run a `Loop` from ``state``, arrays with a row an image, over the steps of ``now``, arrays (steps, N or 1, ..).

    ``size``: (H, W, C) of the images, where the state writes them otherwise. ``rows``: which images, if not all.
    ``group``: so many, one after the other, are always in one chunk. ``keep`` has rising counts of steps after which
    the state is kept, and ``is_done(state, said)`` says whether a chunk may end before.
    ``on_progress(done, total, what)`` hears of steps of images and may raise to end it.
    """
    count, steps = len(next(iter(state.values()))), len(next(iter(now.values())))
    order = np.arange(count) if rows is None else np.flatnonzero(rows)
    now = {"k": np.arange(steps, dtype=np.int32)[:, None], **now}
    feeds = loop.score.feeds if loop.score else ()
    beside = broadcast_rows(count, {"given": constants or {}, "score": tuple(feeds), "inputs": others or {}})
    size, first, parts, total = size or image_shape(lens, state), 0, [], len(order) * steps
    limit = max((batch_size or batch_limit(lens, size, True)) // group, 1) * group
    while first < len(order):
        some = order[first : first + limit]
        chunk = [tf.nest.map_structure(lambda a, some=some: a[some], arrays) for arrays in (state, beside)]
        mine = {name: a[:, some] if a.shape[1] > 1 else a for name, a in now.items()}
        heard = on_progress and (
            lambda done, first=first, some=some: on_progress(first * steps + len(some) * done, total, "steps")
        )
        try:
            parts.append(run_chunk(lens, loop, *chunk, mine, snapshots, is_done, heard))
        except tf.errors.ResourceExhaustedError:
            if limit == group:
                raise
            limit = lens.limits[size, True] = max(limit // 2 // group, 1) * group
            continue
        first += len(some)
    return join_chunks(parts)


def run_chunk(lens, loop, state, beside, now, snapshots, is_done, progress):
    """One chunk through all its steps."""
    steps, done, said, kept = len(now["k"]), 0, [], []
    marks = sorted({*range(STRETCH, steps, STRETCH), *(k for k in snapshots if 0 < k < steps), steps})
    for mark in marks:
        part = {name: tf.constant(array[done:mark]) for name, array in now.items()}
        run = loop_program(lens, loop, state, beside, part)
        tensors = tf.nest.map_structure(tf.constant, (state, beside))
        state, more = tf.nest.map_structure(lambda a: a.numpy(), run(*tensors, part))
        said.append(more)
        done = mark
        if mark in snapshots:
            kept.append(state)
        if progress:
            progress(done)
        if is_done and is_done(state, more):
            break
    said = {name: np.concatenate([each[name] for each in said]) for name in loop.reports}
    still = {name: np.pad(a, ((0, steps - done), (0, 0)), mode="edge") for name, a in said.items()}
    if progress and done < steps:
        progress(steps)
    return Trajectory(state, still, kept + [state] * (len(snapshots) - len(kept)))


def join_chunks(parts):
    """The courses of all chunks as one."""
    join = lambda *arrays: np.concatenate(arrays)  # noqa: E731
    state = tf.nest.map_structure(join, *[part.state for part in parts])
    said = {name: np.concatenate([part.history[name] for part in parts], axis=1) for name in parts[0].history}
    kept = [tf.nest.map_structure(join, *states) for states in zip(*[part.snapshots for part in parts], strict=True)]
    return Trajectory(state, said, kept)


def loop_program(lens, loop, state, beside, now):
    """The compiled loop for states of this shape; made once, for any number of images and steps."""
    rows = lambda a: tf.TensorSpec((None, *a.shape[1:]), a.dtype)  # noqa: E731
    specs = (
        *tf.nest.map_structure(rows, (state, beside)),
        {name: tf.TensorSpec((None, None, *a.shape[2:]), a.dtype) for name, a in now.items()},
    )
    return compile_once(lens, loop, specs, lambda: build_loop(lens, loop))


def build_loop(lens, loop):
    """The function that is compiled: the gradient is taken inside the loop's body, where its operations are.

    A step stays a function of its own: TensorFlow optimizes functions that are called, and not the body of a loop,
    which would take half as long again.
    """

    def run_step(state, here, beside):
        after, more = loop.step(
            LoopNetwork(lens, loop, beside["score"], beside["inputs"]), state, here, beside["given"]
        )
        after = {name: tf.cast(tf.ensure_shape(after[name], a.shape), a.dtype) for name, a in state.items()}
        return after, {name: tf.cast(more[name], tf.float32) for name in loop.reports}

    step = tf.function(run_step, autograph=False, experimental_attributes={"_noinline": True})

    def run_loop(state, beside, now):
        steps, count = tf.shape(now["k"])[0], tf.shape(next(iter(state.values())))[0]
        said = {name: tf.TensorArray(tf.float32, steps) for name in loop.reports}

        def body(k, state, said):
            after, more = step(state, {name: array[k] for name, array in now.items()}, beside)
            after = {name: tf.ensure_shape(after[name], array.shape) for name, array in state.items()}
            return k + 1, after, {name: said[name].write(k, more[name]) for name in said}

        _, state, said = tf.while_loop(
            lambda k, *_: k < steps, body, (tf.constant(0), dict(state), said), parallel_iterations=1
        )
        said = {name: tf.reshape(array.stack(), (steps, count)) for name, array in said.items()}
        return state, said

    return run_loop


def image_shape(lens, state):
    """The size of the images in a state: of its largest (N, H, W, C), else that of the model."""
    found = [array.shape[1:] for array in state.values() if np.ndim(array) == 4]
    return max(found, key=np.prod) if found else tuple(side or 0 for side in lens.shape)
