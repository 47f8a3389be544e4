"""The compiled loop, against loops in numpy: nothing depends on chunks, and all that happens between steps is heard."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from kerascnn.visualize import lens
from kerascnn.visualize.engine import loop as looping
from kerascnn.visualize.engine.loop import STRETCH, Loop, iterate
from kerascnn.visualize.engine.scores import logit

SIZE, COUNT, STEPS = (3, 2, 1), 5, 2 * STRETCH + 5


@pytest.fixture
def asked():
    return lens(keras.Sequential([keras.Input(SIZE), layers.Flatten(), layers.Dense(3)], name="linear"))


@pytest.fixture
def case(rng):
    """What changes, what is there for a step (one row for all, and a row an image), and what stays."""
    state = {"x": rng.normal(0, 1, (COUNT, *SIZE)).astype(np.float32), "sum": np.zeros(COUNT, np.float32)}
    now = {"add": rng.normal(0, 1, (STEPS, 1)).astype(np.float32)}
    now["own"] = rng.normal(0, 1, (STEPS, COUNT)).astype(np.float32)
    return state, now, {"times": rng.uniform(0.5, 0.9, (COUNT, 1, 1, 1)).astype(np.float32)}


def step(look, state, now, given):
    k = tf.cast(now["k"], tf.float32)
    x = given["times"] * state["x"] + now["add"][:, None, None, None] + 0.01 * k[:, None, None, None]
    total = state["sum"] + now["own"]
    return {"x": x, "sum": total}, {"score": total}


LOOP = Loop(("add",), step)


def by_hand(state, now, given, steps=STEPS):
    x, total, said = state["x"], state["sum"], []
    for k in range(steps):
        x = given["times"] * x + now["add"][k] + 0.01 * k
        total = total + now["own"][k]
        said.append(total)
    return x, np.array(said)


def same(found, expected):
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("batch", [None, 1, 2, 3])
def test_loop_agrees_with_a_python_loop(asked, case, batch):
    found = iterate(asked, LOOP, *case, batch_size=batch)
    x, said = by_hand(*case)
    same(found.state["x"], x)
    same(found.history["score"], said)


def test_chunks_change_no_bit(asked, case):
    whole, parts = iterate(asked, LOOP, *case), iterate(asked, LOOP, *case, batch_size=2)
    for name in whole.state:
        np.testing.assert_array_equal(whole.state[name], parts.state[name])


def test_inputs_are_not_modified(asked, case):
    before = tf.nest.map_structure(np.copy, case)
    iterate(asked, LOOP, *case)
    for old, new in zip(tf.nest.flatten(before), tf.nest.flatten(case), strict=True):
        np.testing.assert_array_equal(old, new)


@pytest.mark.parametrize("batch", [None, 2])
def test_selected_rows_only(asked, case, batch):
    rows = np.array([True, False, True, True, False])
    found = iterate(asked, LOOP, *case, rows=rows, batch_size=batch)
    x, said = by_hand(*case)
    same(found.state["x"], x[rows])
    same(found.history["score"], said[:, rows])


@pytest.mark.parametrize("batch", [None, 2])
@pytest.mark.parametrize("keep", [(1, STRETCH, STRETCH + 3, STEPS), (3,)], ids=str)
def test_snapshots_equal_the_ends_of_shorter_loops(asked, case, keep, batch):
    found = iterate(asked, LOOP, *case, snapshots=keep, batch_size=batch)
    assert len(found.snapshots) == len(keep)
    for k, kept in zip(keep, found.snapshots, strict=True):
        same(kept["x"], by_hand(*case, steps=k)[0])


def test_finished_chunks_stop_and_others_continue(asked, case):
    first, told = np.arange(COUNT) < 2, []
    half = by_hand(*case, steps=STRETCH)[0][:2]
    found = iterate(
        asked,
        LOOP,
        *case,
        batch_size=2,
        snapshots=(STEPS,),
        is_done=lambda state, said: state["x"].shape == half.shape and np.allclose(state["x"], half, atol=1e-4),
        on_progress=lambda done, total, what: told.append((done, total)),
    )
    x, said = by_hand(*case)
    same(found.state["x"][first], half)
    same(found.state["x"][~first], x[~first])
    same(found.history["score"][STRETCH:, first], np.tile(said[STRETCH - 1, first], (STEPS - STRETCH, 1)))
    same(found.snapshots[0]["x"], found.state["x"])
    assert told[-1] == (COUNT * STEPS, COUNT * STEPS)


def test_on_progress_counts_all_steps(asked, case):
    told = []
    iterate(asked, LOOP, *case, batch_size=2, on_progress=lambda done, total, what: told.append((done, total)))
    done = [each for each, _ in told]
    assert done == sorted(set(done))
    assert max(np.diff([0, *done])) <= 2 * STRETCH
    assert {of for _, of in told} == {COUNT * STEPS}
    assert done[-1] == COUNT * STEPS


def test_on_progress_can_stop_the_loop(asked, case):
    def on_progress(done, total, what):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        iterate(asked, LOOP, *case, on_progress=on_progress)
    same(iterate(asked, LOOP, *case).state["x"], by_hand(*case)[0])


def test_compiled_once_for_any_number_of_images_and_steps(asked, case):
    state, now, given = case
    for count, steps in ((COUNT, STEPS), (2, STEPS), (1, 3), (3, STRETCH)):
        few = tf.nest.map_structure(lambda a, n=count: a[:n], state)
        part = {"add": now["add"][:steps], "own": now["own"][:steps, :count]}
        iterate(asked, LOOP, few, part, {"times": given["times"][:count]})
    assert len(asked.programs) == 1
    assert next(iter(asked.programs.values())).experimental_get_tracing_count() == 1


def test_out_of_memory_halves_the_chunks(asked, case, monkeypatch):
    sizes, whole = [], looping.run_chunk

    def short(probe, loop, state, *rest):
        sizes.append(len(state["x"]))
        if sizes[-1] > 2:
            raise tf.errors.ResourceExhaustedError(None, None, "no memory")
        return whole(probe, loop, state, *rest)

    monkeypatch.setattr(looping, "run_chunk", short)
    found = iterate(asked, LOOP, *case, batch_size=8)
    same(found.state["x"], by_hand(*case)[0])
    assert sizes == [5, 4, 2, 2, 1]
    iterate(asked, LOOP, *case)
    assert max(sizes[5:]) == 2  # it is remembered


@pytest.mark.parametrize(("batch", "sizes"), [(1, [2, 2, 1]), (3, [2, 2, 1]), (4, [4, 1]), (9, [5])], ids=str)
def test_groups_stay_in_one_chunk(asked, case, monkeypatch, batch, sizes):
    found, whole = [], looping.run_chunk
    monkeypatch.setattr(looping, "run_chunk", lambda *given: found.append(len(given[2]["x"])) or whole(*given))
    same(iterate(asked, LOOP, *case, batch_size=batch, group=2).state["x"], by_hand(*case)[0])
    assert found == sizes


def test_out_of_memory_keeps_groups_together(asked, case, monkeypatch):
    def short(*given):
        sizes.append(len(given[2]["x"]))
        raise tf.errors.ResourceExhaustedError(None, None, "no memory")

    sizes = []
    monkeypatch.setattr(looping, "run_chunk", short)
    with pytest.raises(tf.errors.ResourceExhaustedError):
        iterate(asked, LOOP, *case, batch_size=4, group=2)
    assert sizes == [4, 2]


def test_out_of_memory_for_one_image_is_an_error(asked, case, monkeypatch):
    def short(*_):
        raise tf.errors.ResourceExhaustedError(None, None, "no memory")

    monkeypatch.setattr(looping, "run_chunk", short)
    with pytest.raises(tf.errors.ResourceExhaustedError):
        iterate(asked, LOOP, *case)


def test_network_and_gradient_inside_the_loop(asked, rng):
    """Up a linear score by steps of its weights, each image its own class."""
    classes = [2, 0, 1, 1, 2]

    def climb(look, state, now, given):
        run = look(state["x"])
        score = look.score(run)
        return {"x": state["x"] + run.gradient(score)}, {"score": score}

    weights, bias = (weight.numpy() for weight in asked.model.weights)
    x = rng.normal(0, 1, (COUNT, *SIZE)).astype(np.float32)
    loop, now = Loop(("climb",), climb, logit(classes)), {"k": np.zeros((4, 1), np.int32)}
    found = iterate(asked, loop, {"x": x}, now, batch_size=2)
    own = weights.T[classes]
    same(found.state["x"], x + 4 * own.reshape(x.shape))
    scores = (x.reshape(COUNT, -1) * own).sum(1) + bias[classes]
    same(found.history["score"], scores + np.arange(4)[:, None] * (own**2).sum(1))
