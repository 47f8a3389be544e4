"""Models that take channels first are refused in the same words wherever images go in."""

import keras
import numpy as np
import pytest
from keras import layers

import kerascnn
from kerascnn import visualize
from kerascnn.diagnose import activity

IMAGES = np.random.default_rng(0).integers(0, 256, (12, 32, 32, 3), np.uint8)
LABELS = np.arange(12) % 2

CALLS = {
    "predict": lambda model, folder: kerascnn.predict(model, IMAGES),
    "evaluate": lambda model, folder: kerascnn.evaluate(model, IMAGES, labels=LABELS),
    "lens": lambda model, folder: visualize.lens(model),
    "Lens": lambda model, folder: visualize.Lens(model, preprocess=keras.ops.negative),
    "saliency": lambda model, folder: visualize.saliency(model, IMAGES),
    "maximize": lambda model, folder: visualize.maximize(model, 0, steps=1),
    "heat_map": lambda model, folder: visualize.heat_map(model, IMAGES),
    "export": lambda model, folder: kerascnn.export(model, folder / "export"),
    "transfer": lambda model, folder: kerascnn.transfer((IMAGES, LABELS), model),
    "fit": lambda model, folder: kerascnn.fit(model, (IMAGES, LABELS), epochs=1, verbose=False),
    "activity": lambda model, folder: activity(model, IMAGES),
    "gradient_check": lambda model, folder: kerascnn.gradient_check(model, IMAGES[:2], LABELS[:2]),
}


@pytest.fixture(scope="module")
def model():
    inputs = keras.Input((3, 32, 32))
    x = layers.Conv2D(4, 3, data_format="channels_first", name="conv")(inputs)
    x = layers.GlobalAveragePooling2D(data_format="channels_first")(x)
    return keras.Model(inputs, layers.Dense(2, activation="softmax")(x), name="first")


@pytest.mark.parametrize("name", CALLS)
def test_channels_first_models_are_rejected(name, model, tmp_path):
    with pytest.raises(ValueError, match=r"`model` should use channels_last. Received: first with input "):
        CALLS[name](model, tmp_path)


def test_report_of_a_channels_first_model(model):
    found = kerascnn.report(model, only=("anatomy", "health"))
    assert found.sections_in("finished") == {"anatomy": ""}
    reasons = [*found.sections_in("skipped").values()]
    assert any("should use channels_last" in reason for reason in reasons), reasons
