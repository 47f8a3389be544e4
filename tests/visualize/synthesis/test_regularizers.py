"""What is done to a canvas after a step, each against a line of numpy."""

import numpy as np
import pytest
import tensorflow as tf
from scipy import ndimage

from kerascnn.visualize.synthesis import regularizers
from kerascnn.visualize.synthesis.regularizers import (
    clip_values,
    decay,
    fix_norm,
    gaussian_blur,
    project_to_ball,
    zero_small_contributions,
    zero_small_norms,
    zero_small_values,
)


def lengths(x):
    return np.sqrt(np.square(x).sum((1, 2, 3), keepdims=True))


def cleared(x, size, percent):
    return np.stack([np.where(s < np.percentile(s, percent), 0, i) for i, s in zip(x, size, strict=True)])


ORACLES = {  # what numpy says of x and the gradient g
    decay(0.3): lambda x, g: x * 0.7,
    gaussian_blur(1.0, every=4): lambda x, g: ndimage.gaussian_filter(x, (0, 1, 1, 0)),
    zero_small_values(35): lambda x, g: cleared(x, np.abs(x), 35),
    zero_small_values(0): lambda x, g: x,
    zero_small_norms(50): lambda x, g: cleared(x, np.linalg.norm(x, axis=3, keepdims=True), 50),
    zero_small_norms(33.3): lambda x, g: cleared(x, np.linalg.norm(x, axis=3, keepdims=True), 33.3),
    zero_small_contributions(90): lambda x, g: cleared(x, np.abs((g * x).sum(3, keepdims=True)), 90),
    fix_norm(300.0): lambda x, g: x / lengths(x) * 300,
    fix_norm(5): lambda x, g: x / lengths(x) * 5,
    project_to_ball(1e6): lambda x, g: x,
    project_to_ball(300.0): lambda x, g: x * np.minimum(1, 300 / lengths(x)),
    project_to_ball(20.0, np.inf): lambda x, g: x.clip(-20, 20),
    clip_values(-30, 40): lambda x, g: x.clip(-30, 40),
    clip_values((-30, -20, -10), (5, 15, 25)): lambda x, g: x.clip([-30, -20, -10], [5, 15, 25]),
}


@pytest.fixture
def canvas(rng):
    scale = np.array([10, 40, 1]).reshape(3, 1, 1, 1)  # images of unlike contrast: each has percentiles of its own
    return [(rng.normal(size=(3, 11, 9, 3)) * scale).astype(np.float32) for _ in range(2)]


@pytest.mark.parametrize("regularizer", ORACLES, ids=lambda regularizer: regularizer.name)
def test_regularizers_match_numpy(regularizer, canvas):
    x, gradient = canvas
    assert np.allclose(regularizer.apply(x, gradient), ORACLES[regularizer](x, gradient), rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("regularizer", ORACLES, ids=lambda regularizer: regularizer.name)
def test_regularizers_treat_images_independently_in_a_compiled_loop(regularizer, canvas):
    x, gradient = canvas
    act = tf.function(lambda *given: regularizer.apply(*given), input_signature=[tf.TensorSpec((None, 11, 9, 3))] * 2)
    together = act(x, gradient)
    assert np.allclose(together[1:2], act(x[1:2], gradient[1:2]), rtol=1e-6, atol=1e-5)


def test_fix_norm_is_over_the_whole_image(canvas):
    """The default axis of keras.ops.normalize makes every pixel as long; no axis at all, the whole batch."""
    x, gradient = canvas
    found = fix_norm(7.0).apply(x, gradient).numpy()
    assert np.allclose(lengths(found), 7, rtol=1e-5)
    assert np.allclose((found * x).sum((1, 2, 3)), 7 * lengths(x).ravel(), rtol=1e-5)  # the direction stays
    assert np.linalg.norm(found, axis=3).std() > 0.1


@pytest.mark.parametrize(
    "regularizer", [fix_norm(5.0), project_to_ball(5.0), zero_small_norms(50), decay(0.1)], ids=lambda each: each.name
)
def test_a_gray_image_stays_gray(regularizer):
    zeros = np.zeros((2, 5, 5, 3), np.float32)
    assert np.array_equal(regularizer.apply(zeros, zeros), zeros)


def test_only_equal_regularizers_have_equal_keys():
    keys = [regularizer.key for regularizer in ORACLES if regularizer.key[0] != "gaussian blur"]
    assert len({*keys}) == len(keys)
    assert decay(0.3).key == decay(0.3).key
    assert gaussian_blur(1.0, every=4).every == 4
    assert decay(0.3).every == 1


@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("decay", (1.5,)),
        ("gaussian_blur", (0.2,)),
        ("gaussian_blur", (1.0, 0)),
        ("zero_small_values", (101,)),
        ("zero_small_norms", (-1,)),
        ("fix_norm", (0,)),
        ("project_to_ball", (1, 3)),
        ("clip_values", (2, 1)),
    ],
)
def test_invalid_settings_raise(name, given):
    with pytest.raises(ValueError, match=r"should be .* Received"):
        getattr(regularizers, name)(*given)
