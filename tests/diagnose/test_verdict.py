"""Good or bad, from networks in which one thing was spoilt."""

import keras
import numpy as np
import pytest
from keras import layers

from kerascnn.diagnose import activity, filters, training_verdict


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).normal(size=(60, 12, 12, 3)).astype("float32")


def network(spoil=None):
    keras.utils.set_random_seed(3)
    inputs = keras.Input((12, 12, 3))
    x = layers.Conv2D(8, 5, activation="relu", name="conv")(inputs)
    x = layers.Dense(10, "tanh", name="dense")(layers.GlobalAveragePooling2D()(x))
    model = keras.Model(inputs, layers.Dense(3, "softmax")(x))
    if spoil == "dead units":
        model.get_layer("conv").bias.assign([-1e3] * 3 + [0] * 5)
    if spoil == "correlated units":
        model.get_layer("dense").kernel.assign(np.repeat(np.ones((8, 1)), 10, 1))
    return model


@pytest.mark.parametrize("spoilt", ["dead units", "correlated units"])
def test_planted_problems_are_named(images, spoilt):
    verdict = training_verdict(activity(network(spoilt), images))
    bad = verdict.table[~verdict.table.good]
    assert not verdict.good
    assert spoilt in set(bad.question)
    assert set(bad.layer) == {"conv" if spoilt == "dead units" else "dense"}
    assert str(verdict).startswith("bad\n")
    assert any(spoilt in reason for reason in verdict.reasons)


def test_healthy_network(images):
    verdict = training_verdict(activity(network(), images))
    assert verdict.good
    assert str(verdict) == "good"


def test_filters_that_learned_nothing(images):
    model = network()
    verdict = training_verdict(activity(model, images), filters(model))
    assert not verdict.good
    assert [reason.split(":")[0] for reason in verdict.reasons] == ["conv"]
    assert "too noisy" in verdict.reasons[0]


def test_few_images_give_wide_bounds(images):
    verdict = training_verdict(activity(network(), images[:10]))
    assert "only 10 images: up to 30%" in str(verdict)
