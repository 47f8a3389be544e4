"""Maps of a layer: the numbers of the model itself, the right box on the image, silent units marked."""

import keras
import numpy as np
import pytest
from keras import layers, ops

from kerascnn import build_model
from kerascnn.visualize.features.activations import activation_maps


def nested():
    """A model in a model."""
    inner_inputs = x = keras.Input((16, 16, 3))
    x = layers.Conv2D(4, 3, padding="same", activation="relu", name="conv")(x)
    inner = keras.Model(inner_inputs, layers.MaxPooling2D(name="pool")(x), name="inner")
    inputs = keras.Input((16, 16, 3))
    x = layers.Rescaling(1 / 255)(inputs)
    outputs = layers.Dense(3, activation="softmax")(layers.GlobalAveragePooling2D()(inner(x)))
    return keras.Model(inputs, outputs), inner


@pytest.mark.parametrize("layer", ["conv", "inner/conv"])
def test_values_are_those_of_the_model(layer, rng):
    model, inner = nested()
    images = rng.uniform(0, 255, (11, 16, 16, 3)).astype(np.float32)  # more than are computed at once
    before = model.get_weights()
    found = activation_maps(model, images, layer)
    expected = ops.convert_to_numpy(inner.get_layer("conv")(images / 255))
    np.testing.assert_allclose(found.values, expected, rtol=1e-4, atol=1e-6)
    assert found.values.dtype == np.float32
    assert found.layer == "inner/conv"
    np.testing.assert_allclose(found.table["max"], expected.max((0, 1, 2)), rtol=1e-4)
    np.testing.assert_allclose(found.table["mean"], expected.mean((0, 1, 2)), rtol=1e-4)
    np.testing.assert_allclose(found.table.positive, (expected > 0).mean((0, 1, 2)), atol=1e-3)
    for one, other in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def pointed():
    """Units that pick a color, the second of them silent."""
    kernel = np.zeros((3, 3, 3, 4), np.float32)
    kernel[1, 1, 0, 0], kernel[1, 1, 1, 2], kernel[1, 1, 2, 3] = 1, 3, 2
    model = keras.Sequential([keras.Input((12, 12, 3)), layers.Conv2D(4, 3, 2, activation="relu", name="conv")])
    model.get_layer("conv").set_weights([kernel, np.array([0, -1, 0, -90], np.float32)])
    return model


def test_box_is_the_receptive_field_of_the_strongest_unit():
    image = np.full((1, 12, 12, 3), 10, np.float32)
    image[0, 5, 7, 1] = 200  # green: unit 2, row 2, column 3, which begins at pixel (4, 6)
    found = activation_maps(pointed(), image, "conv")
    assert found.strongest() == (2, 2, 3)
    np.testing.assert_array_equal(found.boxes, [[4, 6, 7, 9]])


def test_sorting_and_units():
    image = np.full((1, 12, 12, 3), 50, np.float32)
    image[0, ::4, ::4] = 0
    orders = {sort: list(activation_maps(pointed(), image, "conv", sort=sort).table.unit) for sort in ("max", "mean")}
    assert orders == {"max": [2, 0, 3, 1], "mean": [2, 0, 3, 1]}
    rare = activation_maps(pointed(), image * [1, 1, 0.95], "conv", sort="sparsity")
    assert rare.table.unit.iloc[-1] == 1  # never above 0, so last
    assert (np.diff(rare.table.positive.iloc[:-1]) >= 0).all()
    some = activation_maps(pointed(), image, "conv", units=[3, 0])
    assert list(some.table.unit) == [3, 0]
    assert some.values.shape == (1, 5, 5, 2)
    assert some.unit_count == 4


@pytest.mark.parametrize("norm", ["unit", "layer"])
def test_pictures(norm, tmp_path):
    image = np.random.default_rng(0).uniform(0, 255, (2, 12, 12, 3)).astype(np.float32)
    found = activation_maps(pointed(), image, "conv")
    figure = found.plot(1, norm=norm)
    texts = [text.get_text() for axis in figure.axes for text in axis.texts]
    assert texts == ["0"]  # of the silent unit
    assert len(figure.axes) == (3 if norm == "unit" else 4)  # and a color bar
    assert found.save(tmp_path / "maps.png", 1, norm=norm).stat().st_size > 5_000


def test_signed_maps_have_white_at_zero(rng):
    model = keras.Sequential([keras.Input((12, 12, 1)), layers.Conv2D(2, 3, name="conv")])
    found = activation_maps(model, rng.normal(size=(1, 12, 12, 1)).astype(np.float32), "conv")
    assert found.has_negative
    bar = found.plot(norm="layer").axes[-1]
    low, high = bar.get_ylim()
    assert low == -high


def test_vectors_and_open_sizes(rng):
    inputs = keras.Input((None, None, 3))
    x = layers.Conv2D(5, 3, name="conv")(inputs)
    model = keras.Model(inputs, layers.Dense(4, name="dense")(layers.GlobalMaxPooling2D()(x)))
    images = rng.uniform(0, 255, (2, 20, 24, 3)).astype(np.float32)
    assert activation_maps(model, images, "conv").values.shape == (2, 18, 22, 5)
    vector = activation_maps(model, images, "dense")
    assert vector.values.shape == (2, 1, 1, 4)
    np.testing.assert_array_equal(vector.boxes, [[0, 0, 20, 24]] * 2)  # the whole image
    assert vector.plot().axes


def test_photos_are_resized_and_cropped(shared):
    photo = next(iter(sorted(shared("data", "imagenet_sample").glob("*.jpg"))))
    model = build_model("tiny_vgg")
    found = activation_maps(model, [photo], "stage1")
    assert found.images.shape == (1, 32, 32, 3)
    assert found.images.max() > 100


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"layer": "convv"}, "Did you mean conv"),
        ({"sort": "maxi"}, "Did you mean max"),
        ({"units": [4]}, "integers from 0 to 3"),
        ({"units": []}, "integers from 0 to 3"),
        ({"units": [0.5]}, "integers from 0 to 3"),
    ],
    ids=lambda value: str(value)[:20],
)
def test_errors(arguments, text):
    with pytest.raises(ValueError, match=text):
        activation_maps(pointed(), np.zeros((1, 12, 12, 3)), **({"layer": "conv"} | arguments))


def test_errors_of_drawing():
    found = activation_maps(pointed(), np.zeros((1, 12, 12, 3)), "conv")
    with pytest.raises(ValueError, match="Did you mean unit"):
        found.plot(norm="units")
    with pytest.raises(ValueError, match="`image` should be 0 to 0"):
        found.plot(1)
    assert found.plot().axes  # nothing but zeros
