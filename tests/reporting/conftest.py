"""A small network with ten classes, images for it, and a cache of its own for each test file."""

import keras
import numpy as np
import pytest
from keras import layers

HOSTILE = "<script>alert('cat')</script>"


@pytest.fixture(autouse=True, scope="module")
def home(tmp_path_factory):
    """Where finished sections are kept."""
    folder = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KERASCNN_HOME", str(folder))
        yield folder


def network(seed=0, inputs=(20, 24, 3), classes=4):
    keras.utils.set_random_seed(seed)
    x = pixels = keras.Input(inputs, name="pixels")
    x = layers.Rescaling(1 / 255)(x)
    x = layers.Conv2D(8, 5, activation="relu", padding="same", name="conv1")(x)
    x = layers.MaxPooling2D(name="pool1")(x)
    x = layers.Conv2D(6, 3, activation="relu", name="conv2")(x)
    x = layers.Flatten(name="flat")(x)
    return keras.Model(pixels, layers.Dense(classes, activation="softmax", name="probs")(x), name="small")


@pytest.fixture(scope="session")
def model():
    return network()


@pytest.fixture(scope="session")
def data():
    """Labeled images (x, y) as `kerascnn.data.load` takes them."""
    rng = np.random.default_rng(3)
    labels = np.repeat(np.arange(4), 12)
    pixels = rng.integers(0, 60, (48, 20, 24, 3)) + 40 * labels[:, None, None, None]
    return pixels.astype(np.uint8), labels
