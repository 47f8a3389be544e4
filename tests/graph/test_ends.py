"""What a classifier reads, in models of every form."""

import keras
import numpy as np
import pytest
from keras import layers

from kerascnn.graph.ends import feature_extractor


def flat(last=True, name="features"):
    """A small network, up to its features or with a classifier."""
    images = keras.Input((4, 4, 3))
    x = layers.GlobalAveragePooling2D(name=name)(layers.Conv2D(5, 3, name="maps")(images))
    seen = layers.Dropout(0.5, name="rest")(x)
    return keras.Model(images, layers.Dense(2, "softmax", name="probs")(seen) if last else seen, name="inner")


def wrapped(inner, last=False):
    """The network inside another, which may have the classifier."""
    images = keras.Input((4, 4, 3))
    x = inner(images)
    return keras.Model(images, layers.Dense(2, "softmax")(x) if last else x)


CASES = {
    "by its name": lambda: (flat(), "features"),
    "without a name": lambda: (flat(name="means"), "rest"),
    "a classifier inside": lambda: (wrapped(flat()), "features"),
    "a backbone inside": lambda: (wrapped(flat(last=False), last=True), "rest"),
    "sequential": lambda: (keras.Sequential([keras.Input((4, 4, 3)), flat()]), "features"),
}


@pytest.mark.parametrize("case", CASES)
def test_features(case, rng):
    model, name = CASES[case]()
    images = rng.normal(size=(3, 4, 4, 3)).astype("float32")
    inner = next((layer for layer in model.layers if isinstance(layer, keras.Model)), model)
    expected = keras.Model(inner.inputs[0], inner.get_layer(name).output)(images)
    np.testing.assert_allclose(feature_extractor(model)(images), expected, rtol=1e-6)
