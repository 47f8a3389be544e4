"""Batch norm measured once more at the end of training."""

import keras
import numpy as np
import pytest
from keras import layers

from kerascnn import fit
from kerascnn.training import Recipe
from kerascnn.training.fit import refresh_batch_norm
from kerascnn.training.schedules import Cosine


def network():
    inputs = keras.Input((4, 4, 2))
    x = layers.BatchNormalization(momentum=0.9, name="first")(inputs)
    x = layers.Dropout(0.5)(layers.Flatten()(x))
    return keras.Model(inputs, layers.Dense(3, "softmax")(layers.BatchNormalization(name="frozen", trainable=False)(x)))


def test_batch_norm_statistics_are_means_over_batches(rng):
    model = network()
    batches = [(rng.normal(3, 2, (8, 4, 4, 2)).astype(np.float32), None) for _ in range(5)]
    first = model.get_layer("first")
    before = {weight.path: weight.numpy() for weight in model.variables}
    refresh_batch_norm(model, batches)
    means = np.mean([x.mean((0, 1, 2)) for x, _ in batches], 0)
    variances = np.mean([x.var((0, 1, 2)) for x, _ in batches], 0)
    np.testing.assert_allclose(first.moving_mean, means, rtol=1e-4)
    np.testing.assert_allclose(first.moving_variance, variances, rtol=1e-4)
    changed = {weight.path for weight in model.variables if not np.array_equal(weight, before[weight.path])}
    assert changed == {first.moving_mean.path, first.moving_variance.path}


@pytest.mark.parametrize("images", [0, 32])
def test_batch_norm_images_of_a_recipe(images, rng):
    x, y = rng.uniform(0, 255, (40, 4, 4, 2)).astype(np.float32), rng.integers(0, 3, 40)
    recipe = Recipe("tried", 0.01, Cosine(), batch_size=8, epochs=1, source="ours", batch_norm_images=images)
    model = network()
    fit(model, (x, y), recipe=recipe, verbose=0)
    whole = np.abs(model.get_layer("first").moving_mean - x.mean((0, 1, 2))).max()
    assert (whole < 10) == bool(images)
