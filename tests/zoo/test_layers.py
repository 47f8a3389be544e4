"""Layers and units against numpy, and what dropping paths means."""

import keras
import numpy as np
import pytest
from keras import ops
from oracles import reference

from kerascnn.zoo import layers
from kerascnn.zoo.layers import DrawColumn, DropPath, InfinityPadding2D, Join, LocalResponseNorm, PadChannels, Scale


def built(draw, shape):
    """A model of one unit: ``draw`` takes the input."""
    inputs = keras.Input(shape)
    return keras.Model(inputs, draw(inputs))


@pytest.mark.parametrize("side", [224, 225, 56, 57, 7])
def test_strided_convolution_pads_symmetrically(side, rng):
    x = rng.normal(size=(1, side, 9, 4)).astype("float32")
    model = built(lambda i: layers.conv(i, 6, 3, 2, groups=2, name="conv"), (side, 9, 4))
    kernel = np.array(model.get_layer("conv").kernel)
    expected = reference.conv(x, kernel, 2, 1, groups=2)
    np.testing.assert_allclose(model(x), expected, atol=1e-5)


@pytest.mark.parametrize("side", [112, 111, 56, 55, 28, 14, 13, 109, 54, 110, 3])
@pytest.mark.parametrize("ceil", [True, False], ids=["ceil", "floor"])
def test_pooling_rounds_as_torch_does(side, ceil, rng):
    x = np.abs(rng.normal(size=(1, side, side, 2))).astype("float32")
    model = built(lambda i: layers.max_pool(i, ceil=ceil, name="pool"), (None, None, 2))
    np.testing.assert_array_equal(model(x), reference.max_pool(x, 3, 2, ceil=ceil))


def test_signed_maps_keep_their_negative_borders(rng):
    x = -1 - np.abs(rng.normal(size=(1, 8, 8, 2))).astype("float32")
    signed, zero = (
        built(lambda i, s=s: layers.max_pool(i, pad=1, signed=s, name="p"), (8, 8, 2)) for s in (True, False)
    )
    np.testing.assert_array_equal(signed(x), reference.max_pool(x, 3, 2, 1))
    assert np.all(np.array(zero(x))[:, 0] == 0), "zero padding clamps the border, as keras.applications' v2 does"


@pytest.mark.parametrize("options", [{}, {"bias": 1.0, "alpha": 2e-5}, {"radius": 1, "alpha": 0.5}], ids=str)
def test_response_norm(options, rng):
    x = rng.normal(scale=30, size=(2, 3, 3, 7)).astype("float32")
    layer = LocalResponseNorm(**options)
    expected = reference.response_norm(x, layer.radius, layer.bias, layer.alpha, layer.beta)
    np.testing.assert_allclose(layer(x), expected, rtol=1e-5)


def test_response_norm_is_as_precise_as_its_type(rng):
    """In float64, as numerical gradient checks need it, nothing is rounded to float32 on the way."""
    x = rng.normal(scale=30, size=(2, 3, 3, 7))
    layer = LocalResponseNorm(radius=1, alpha=0.5, dtype="float64")
    expected = reference.response_norm(x, 1, layer.bias, 0.5, layer.beta)
    np.testing.assert_allclose(layer(x), expected, rtol=1e-13)


def test_response_norm_survives_half_precision():
    x = np.full((1, 2, 2, 5), 300.0, "float16")  # whose squares float16 cannot hold
    y = np.array(LocalResponseNorm(dtype="float16")(x))
    expected = reference.response_norm(x.astype("float64"), 2, 2.0, 1e-4, 0.75)
    np.testing.assert_allclose(y, expected, rtol=2e-3)


@pytest.mark.parametrize(
    ("scale", "pixel", "expected"),
    [
        ({}, (10, 20, 30), (10, 20, 30)),
        ({"mean": 127.5, "std": 127.5}, (0, 127.5, 255), (-1, 0, 1)),
        ({"mean": (1, 2, 3), "std": (1, 2, 4)}, (1, 4, 11), (0, 1, 2)),
        ({"mean": (1, 2, 3), "bgr": True}, (10, 20, 30), (29, 18, 7)),
    ],
)
def test_scale(scale, pixel, expected):
    pixels = np.array(pixel, "float32").reshape(1, 1, 1, 3)
    before = pixels.copy()
    np.testing.assert_allclose(np.array(Scale(**scale)(pixels)).ravel(), expected, rtol=1e-6)
    np.testing.assert_array_equal(pixels, before)


def test_scale_of_gray_uses_the_average():
    x = np.full((1, 1, 1, 1), 8.0, "float32")
    assert np.array(Scale(mean=(1, 2, 3), std=(1, 2, 3))(x)).item() == 3


def test_infinity_padding_is_never_the_maximum():
    y = np.array(InfinityPadding2D(1)(np.zeros((1, 1, 1, 1), "float32")))
    assert y.shape == (1, 3, 3, 1)
    assert np.isneginf(y).sum() == 8


def test_pad_channels_appends_zeros(rng):
    x = rng.normal(size=(1, 2, 2, 3)).astype("float32")
    y = np.array(PadChannels(5)(x))
    np.testing.assert_array_equal(y[..., :3], x)
    assert not y[..., 3:].any()


def test_drop_path_drops_in_training_and_rescales_at_test():
    x = np.ones((4000, 1, 1, 2), "float32")
    layer = DropPath(0.3, seed=1)
    trained = np.array(layer(x, training=True))
    assert set(np.unique(trained)) == {0, 1}, "an image keeps its branch whole or loses it"
    assert np.array_equal(trained[..., 0], trained[..., 1])
    assert trained.mean() == pytest.approx(0.7, abs=0.03)
    np.testing.assert_allclose(layer(x, training=False), 0.7 * x, rtol=1e-6)


@pytest.mark.parametrize(("rate", "kept"), [(0.0, 1.0), (1.0, 0.0)])
def test_drop_path_at_its_limits(rate, kept):
    x = np.ones((8, 2), "float32")
    layer = DropPath(rate)
    np.testing.assert_array_equal(layer(x, training=True), kept * x)
    np.testing.assert_array_equal(layer(x, training=False), kept * x)


def test_drop_path_rejects_invalid_rates():
    with pytest.raises(ValueError, match=r"`rate` should be between 0 and 1. Received: 1.5"):
        DropPath(1.5)


def paths(count, images=2000):
    """Maps that tell which paths survived: path i is constant 2^i."""
    return [np.full((images, 1, 1, 1), 2.0**i, "float32") for i in range(count)]


def test_join_at_test_is_the_mean_of_all():
    drawn = np.zeros(2000, "int32")
    assert np.all(np.array(Join(0.5, 3)([drawn, *paths(3)], training=False)) == pytest.approx(7 / 3))


def test_join_drops_paths_but_never_all():
    drawn = np.zeros(2000, "int32")
    out = np.array(Join(0.6, 3, seed=1)([drawn, *paths(3)], training=True)).ravel()
    means = {1.0, 2.0, 4.0, 1.5, 2.5, 3.0, 7 / 3}
    assert {round(float(v), 4) for v in out} == {round(v, 4) for v in means}
    # all three survive with 0.4^3; a lone survivor is one of 3 * 0.4 * 0.36 + 0.6^3 cases
    assert np.mean(np.isclose(out, 7 / 3)) == pytest.approx(0.064, abs=0.02)
    assert np.mean(np.isin(out, (1, 2, 4))) == pytest.approx(0.648, abs=0.04)


@pytest.mark.parametrize(("column", "value"), [(1, 1.0), (2, 2.0), (3, 4.0)])
def test_join_uses_only_the_drawn_column(column, value):
    drawn = np.full(2000, column, "int32")
    assert np.all(np.array(Join(0.5, 3)([drawn, *paths(3)], training=True)) == value)


def test_a_join_of_the_deeper_columns_knows_their_numbers():
    drawn = np.full(2000, 3, "int32")
    assert np.all(np.array(Join(0.5, 3)([drawn, *paths(2)], training=True)) == 2), "columns 2 and 3 end here"


def test_draw_column_in_training_and_inference():
    x = np.zeros((3000, 1, 1, 1), "float32")
    layer = DrawColumn(3, seed=1)
    assert not np.array(layer(x, training=False)).any()
    drawn = np.array(layer(x, training=True))
    assert np.mean(drawn == 0) == pytest.approx(0.5, abs=0.04)
    assert [np.mean(drawn == c) for c in (1, 2, 3)] == pytest.approx([1 / 6] * 3, abs=0.03)


CUSTOM = [
    InfinityPadding2D(2),
    Scale(mean=(1.0, 2.0, 3.0), bgr=True),
    LocalResponseNorm(1, 1.0, 0.5, 0.25),
    PadChannels(9),
    DropPath(0.25, seed=3),
    DrawColumn(4, 0.25),
    Join(0.2, 4),
]


@pytest.mark.parametrize("layer", CUSTOM, ids=lambda layer: type(layer).__name__)
def test_layers_round_trip_their_configuration(layer):
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer))
    assert type(again) is type(layer)
    assert again.get_config() == layer.get_config()


@pytest.mark.parametrize("layer", CUSTOM[:5], ids=lambda layer: type(layer).__name__)
def test_compute_output_shape_agrees_with_call(layer):
    assert tuple(layer.compute_output_shape((2, 5, 6, 3))) == tuple(ops.shape(layer(np.zeros((2, 5, 6, 3), "float32"))))
