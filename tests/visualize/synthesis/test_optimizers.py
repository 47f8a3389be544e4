"""Each move of an image along its gradient against its formula, a loop over single images in numpy."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from kerascnn.visualize.synthesis.recipes import MAX_STEP, OPTIMIZERS

RATES = (0.5, 0.5, 0.5, 0.25, 0.25, 2.0)
SHAPES = [(4, 5, 3), (2, 3, 3, 4)]  # pixels, and waves
SCALES = np.array([0.1, 1.0, 40.0])  # gradients of three images


def climbed(move, z, gradients, rates=RATES):
    """Where a batch is after all steps."""
    move, z = OPTIMIZERS[move], tf.constant(z)
    memory = {name: tf.zeros_like(z) for name in move.memory} | {name: tf.zeros(len(z)) for name in move.scalars}
    for g, rate in zip(gradients, rates, strict=True):
        z, memory = move.update(
            z, tf.constant(g), memory, tf.reshape(tf.constant(rate), (-1,) + (1,) * (len(z.shape) - 1))
        )
        assert set(memory) == {*move.memory, *move.scalars}
    return z.numpy()


def steps(change):
    """A climb of one image whose steps depend on nothing but the gradient: z + change(g, rate)."""

    def climb(z, gradients, rates):
        for g, rate in zip(gradients, rates, strict=True):
            z = z + change(g, rate)
        return z

    return climb


def momentum(z, gradients, rates):
    v, before = 0.0, None
    for g, rate in zip(gradients, rates, strict=True):
        pull = rate * g
        rms = np.sqrt(np.mean(pull**2))
        pull = pull * (MAX_STEP / rms if rms > MAX_STEP else 1.0)
        v = (0.9 * v if rate == before else 0.0) + pull
        z, before = z + v, rate
    return z


def by_keras(optimizer, **settings):
    """What an optimizer of Keras makes of it, which walks down."""

    def climb(z, gradients, rates):
        walks, place = optimizer(1.0, **settings), keras.Variable(z)
        for g, rate in zip(gradients, rates, strict=True):
            walks.learning_rate = rate
            walks.apply([keras.ops.convert_to_tensor(-g)], [place])
        return place.numpy()

    return climb


ORACLES = {
    "plain": steps(lambda g, rate: rate * g),
    "unit": steps(lambda g, rate: rate * g / np.linalg.norm(g)),
    "mean": steps(lambda g, rate: rate * g / np.abs(g).mean()),
    "sign": steps(lambda g, rate: rate * np.sign(g)),
    "progress": steps(lambda g, rate: min(rate, 2 / np.sum(g**2)) * g),
    "momentum": momentum,
    "adam": by_keras(keras.optimizers.Adam, epsilon=1e-12),
    "rmsprop": by_keras(keras.optimizers.RMSprop, rho=0.999),
}


@pytest.fixture(params=SHAPES, ids=["pixels", "waves"])
def way(request, rng):
    """Where three images are, and the gradients of each step."""
    scales = SCALES.reshape(-1, *[1] * len(request.param))
    z = rng.normal(0, 10, (3, *request.param)).astype(np.float32)
    return z, [(scales * rng.normal(0, 1, (3, *request.param))).astype(np.float32) for _ in RATES]


def test_every_optimizer_has_an_oracle():
    assert ORACLES.keys() == OPTIMIZERS.keys()


@pytest.mark.parametrize("move", OPTIMIZERS)
def test_optimizers_match_their_formula_for_each_image(move, way):
    z, gradients = way
    expected = [ORACLES[move](z[i], [g[i] for g in gradients], RATES) for i in range(len(z))]
    np.testing.assert_allclose(climbed(move, z, gradients), expected, rtol=2e-5, atol=2e-4)


@pytest.mark.parametrize("move", OPTIMIZERS)
def test_images_of_a_batch_are_independent(move, way):
    z, gradients = way
    other = [np.concatenate([g[:1], 1e3 * g[1:][::-1]]) for g in gradients]
    np.testing.assert_array_equal(climbed(move, z, gradients)[0], climbed(move, z, other)[0])


@pytest.mark.parametrize("move", OPTIMIZERS)
def test_zero_gradient_changes_nothing_and_gives_no_nan(move, way):
    z, _ = way
    np.testing.assert_array_equal(climbed(move, z, [np.zeros_like(z)] * len(RATES)), z)


@pytest.mark.parametrize("move", OPTIMIZERS)
def test_zero_learning_rate_changes_nothing(move, way):
    z, gradients = way
    np.testing.assert_array_equal(climbed(move, z, gradients, [0.0] * len(RATES)), z)


@pytest.mark.parametrize("move", ["unit", "progress"])
def test_steps_are_normalized_over_the_whole_image(move, way):
    z, gradients = way
    g, rate = gradients[0], 1e9 if move == "progress" else 3.0
    step = climbed(move, 0 * z, [g], [rate])
    along = np.sum(step * g, tuple(range(1, g.ndim)))
    lengths = [np.sqrt(np.sum(a**2, tuple(range(1, g.ndim)))) for a in (step, g)]
    np.testing.assert_allclose(along, lengths[0] * lengths[1], rtol=1e-5)  # all of it along the gradient
    if move == "unit":
        np.testing.assert_allclose(lengths[0], 3.0, rtol=1e-5)
    else:
        np.testing.assert_allclose(along, 2.0, rtol=1e-5)  # by so much the score would rise


def test_each_image_may_have_its_own_learning_rate(way):
    z, gradients = way
    rates = np.array([0.5, 1.0, 2.0], np.float32)
    for move in OPTIMIZERS:
        found = climbed(move, z, gradients[:1], [rates])
        alone = [climbed(move, z[i : i + 1], [gradients[0][i : i + 1]], [rates[i]])[0] for i in range(3)]
        np.testing.assert_allclose(found, alone, rtol=1e-6)
