import keras
import pytest
from keras import layers

from kerascnn.exporting import reload, standalone


@pytest.fixture
def here():
    """What fresh processes would check, in this one; all but that kerascnn is not loaded."""

    def check(folder):
        rows = [*standalone.run_checks(folder, f"{folder}/check")]
        if (folder / "model.keras").exists():
            rows += reload.run_checks(folder, f"{folder}/check")
        rows = [row for row in rows if row["what"] != "works without kerascnn"]
        assert all(row["passed"] for row in rows), [row for row in rows if not row["passed"]]
        return rows

    return check


@pytest.fixture
def means():
    """A classifier whose logits are a hundredth of the mean red, green and blue: any answer is known by hand."""

    def build(*end, size=16, channels=3, name="means"):
        inputs = keras.Input((size, size, channels))
        x = layers.GlobalAveragePooling2D()(layers.Rescaling(0.01)(inputs))
        for layer in end:
            x = layer(x)
        return keras.Model(inputs, x, name=name)

    return build
