"""What an image is judged by besides the network: closed forms and finite differences."""

import numpy as np
import pytest
import tensorflow as tf

from kerascnn.visualize.engine.scores import INPUT
from kerascnn.visualize.synthesis.regularizers import norm_score, variation

PRIORS = [variation(p, form) for p in (1.0, 2.0, 3.0) for form in ("isotropic", "anisotropic")]
PRIORS += [norm_score(p) for p in (1.0, 2.0, 6.0)]


def valued(prior, x):
    return prior.of({INPUT: tf.constant(x)})


def sloped(prior, x):
    x = tf.constant(x)
    with tf.GradientTape() as tape:
        tape.watch(x)
        value = prior.of({INPUT: x})
    return tape.gradient(value, x).numpy()


@pytest.fixture
def images(rng):
    return rng.uniform(0, 255, (3, 9, 12, 3)).astype(np.float32)


@pytest.mark.parametrize("power", [1.0, 2.0, 3.0])
def test_variation_matches_mahendran_and_vedaldi(images, power):
    x = images.astype(float)
    expected = np.zeros(3)
    for i, j in np.ndindex(9, 12):
        down = x[:, min(i + 1, 8), j] - x[:, i, j]
        right = x[:, i, min(j + 1, 11)] - x[:, i, j]
        expected += ((down**2 + right**2) ** (power / 2)).sum(1)
    assert np.allclose(valued(variation(power), images), expected / (9 * 12), rtol=1e-5)


def test_variation_matches_tensorflow_and_the_sum_of_squares(images):
    libraries = tf.image.total_variation(tf.constant(images)) / (9 * 12)
    assert np.allclose(valued(variation(1.0, "anisotropic"), images), libraries, rtol=1e-5)
    squares = sum(np.square(np.diff(images.astype(float), axis=axis)).sum((1, 2, 3)) for axis in (1, 2)) / (9 * 12)
    for form in ("isotropic", "anisotropic"):
        assert np.allclose(valued(variation(2.0, form), images), squares, rtol=1e-5)


@pytest.mark.parametrize("power", [1.0, 2.0, 6.0])
def test_norm_is_a_mean_of_powers_about_gray(images, power):
    expected = np.mean(np.abs(images.astype(float) - 127.5) ** power, (1, 2, 3))
    assert np.allclose(valued(norm_score(power), images), expected, rtol=1e-5)
    assert np.allclose(
        valued(norm_score(power, gray=0.0), images), np.mean(images.astype(float) ** power, (1, 2, 3)), rtol=1e-5
    )


@pytest.mark.parametrize("prior", PRIORS, ids=str)
def test_gradients_are_finite_differences(prior, images, rng):
    gradient = sloped(prior, images)
    x = tf.constant(images, tf.float64)
    step = rng.normal(size=images.shape)
    ahead, behind = (prior.of({INPUT: x + h * step}).numpy() for h in (1e-4, -1e-4))
    assert np.allclose((gradient * step).sum((1, 2, 3)), (ahead - behind) / 2e-4, rtol=1e-3)


@pytest.mark.parametrize("prior", PRIORS, ids=str)
def test_priors_and_their_gradients_are_zero_for_a_gray_image(prior):
    gray = np.full((2, 6, 6, 3), 127.5, np.float32)
    assert np.array_equal(valued(prior, gray), [0, 0])
    assert np.array_equal(sloped(prior, gray), np.zeros_like(gray))


@pytest.mark.parametrize("prior", PRIORS, ids=str)
def test_priors_do_not_depend_on_the_image_size(prior, rng):
    small, large = (rng.uniform(0, 255, (1, side, side, 3)).astype(np.float32) for side in (48, 192))
    assert float(valued(prior, small)[0]) == pytest.approx(float(valued(prior, large)[0]), rel=0.06)


@pytest.mark.parametrize("prior", PRIORS, ids=str)
def test_priors_treat_images_independently(prior, images):
    assert np.allclose(valued(prior, images)[1:2], valued(prior, images[1:2]), rtol=1e-6)
    assert prior.layers == (INPUT,)


def test_priors_have_different_keys_and_add_up(images):
    assert len({prior.key for prior in PRIORS}) == len(PRIORS)
    both = -variation() - 0.5 * norm_score(6.0)
    alone = -valued(variation(), images) - 0.5 * valued(norm_score(6.0), images)
    assert np.allclose(both.of({INPUT: images}, *both.feeds), alone, rtol=1e-6)


@pytest.mark.parametrize("wrong", [lambda: variation(0), lambda: variation(2, "round"), lambda: norm_score(-1)])
def test_invalid_settings_raise(wrong):
    with pytest.raises(ValueError, match=r"should be .* Received"):
        wrong()
