"""Copies of a model answer as the model does, and share nothing with it."""

import keras
import numpy as np
import pytest
from keras import layers

from kerascnn.graph.copy import build_submodel, clone_with_changes, rebuild_model
from kerascnn.graph.walk import build_graph


@pytest.fixture
def adapted(rng):
    """A network whose first layer computes with what it made of the mean and spread of its images."""
    normalize = layers.Normalization(name="normalize")
    normalize.adapt(rng.normal(5, 3, (50, 6, 6, 3)).astype("float32"))
    images = keras.Input((6, 6, 3), name="images")
    maps = layers.Conv2D(4, 3, name="maps")(normalize(images))
    probs = layers.Dense(2, "softmax", name="probs")(layers.GlobalAveragePooling2D(name="means")(maps))
    return keras.Model(images, probs, name="adapted")


def ended(model):
    """A copy up to the last call of a model."""
    graph = build_graph(model)
    copy = build_submodel(graph, {"end": graph.outputs[0]}, keras.Input((6, 6, 3)))
    return keras.Model(copy.inputs, copy.output["end"])


@pytest.mark.parametrize("copied", [rebuild_model, clone_with_changes, ended], ids=["rebuilt", "cloned", "truncated"])
def test_adapted_normalization_is_copied(adapted, copied, rng):
    images = rng.normal(5, 3, (4, 6, 6, 3)).astype("float32")
    before = adapted.predict_on_batch(images)
    copy = copied(adapted)
    np.testing.assert_allclose(copy.predict_on_batch(images), before, rtol=1e-6)
    copy.set_weights([np.zeros_like(weight) for weight in copy.get_weights()])
    np.testing.assert_array_equal(adapted.predict_on_batch(images), before)
