"""Filters as pictures: zero is mid-gray, folding is exact on raw pixels, colors are those of the photo."""

import keras
import numpy as np
import pytest
from keras import layers, ops

from kerascnn import build_model
from kerascnn.visualize.features.filters import filter_images
from kerascnn.zoo.layers import SCALES, Scale

SIDE = 16


def first(*before, channels=3, norm=False, **options):
    """A model of one convolution of 5x5 behind the layers given."""
    inputs = x = keras.Input((SIDE, SIDE, channels))
    for layer in before:
        x = layer(x)
    x = layers.Conv2D(6, 5, name="first", **options)(x)
    x = layers.BatchNormalization(name="norm")(x) if norm else x
    return keras.Model(inputs, x)


def vary(model, rng):
    """Weights far from those at the start."""
    for weight in model.weights:
        spread = "variance" in weight.path or "gamma" in weight.path
        weight.assign(rng.uniform(0.5, 1.5, weight.shape) if spread else rng.normal(0, 0.3, weight.shape))
    return model


def stored(model):
    return ops.convert_to_numpy(model.get_layer("first").kernel)


def normalized():
    return layers.Normalization(mean=[120.0, 110.0, 100.0], variance=[3600.0, 3000.0, 2500.0])


BEFORE = {
    "nothing": (list, ""),
    "Scale, torch": (lambda: [Scale(**SCALES["torch"])], "input scaling included"),
    "Scale, caffe": (lambda: [Scale(**SCALES["caffe"])], "BGR kernel, shown as RGB"),
    "Rescaling": (lambda: [layers.Rescaling(1 / 127.5, -1)], "input scaling included"),
    "Normalization": (lambda: [normalized()], "input scaling included"),
    "two of them": (lambda: [layers.Rescaling(1 / 255), normalized()], "input scaling included"),
    "batch norm": (lambda: [layers.BatchNormalization()], "input scaling included"),
    "augmentation": (lambda: [layers.RandomFlip(), layers.Rescaling(1 / 255)], "input scaling included"),
    "nested": (
        lambda: [keras.Sequential([keras.Input((SIDE, SIDE, 3)), layers.Rescaling(1 / 9)])],
        "input scaling included",
    ),
}


@pytest.mark.parametrize("norm", [False, True], ids=["", "norm"])
@pytest.mark.parametrize("before", BEFORE)
def test_folded_filters_act_on_raw_pixels(before, norm, rng):
    """kernel * pixels + bias is what the convolution and its norm give."""
    model = vary(first(*BEFORE[before][0](), norm=norm), rng)
    found = filter_images(model)
    pixels = rng.uniform(0, 255, (2, SIDE, SIDE, 3)).astype(np.float32)
    ours = ops.convert_to_numpy(ops.conv(pixels.astype(np.float64), found.kernel, padding="valid")) + found.bias
    theirs = ops.convert_to_numpy(model(pixels, training=False))
    np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-5 * np.abs(theirs).max())
    assert BEFORE[before][1] in found.note
    assert ("batch normalization included" in found.note) == norm


def test_zero_is_exactly_mid_gray(rng):
    model = vary(first(Scale(**SCALES["torch"])), rng)
    kernel, bias = model.get_layer("first").get_weights()
    kernel[2, 2] = 0
    kernel[..., 1, 3] = 0
    kernel[..., 5] = 0
    model.get_layer("first").set_weights([kernel, bias])
    for scale in ("filter", "common"):
        images = filter_images(model, scale=scale).images
        assert images.shape == (6, 5, 5, 3)
        assert (images[:, 2, 2] == 0.5).all()
        assert (images[3, ..., 1] == 0.5).all()
        assert (images[5] == 0.5).all()
        assert images.min() >= 0
        assert images.max() <= 1


def test_scales(rng):
    """On its own scale each filter reaches an end; on the common one only the strongest does."""
    kernel = rng.normal(size=(5, 5, 3, 4)) * [1, 2, 3, 4]
    form = np.abs(filter_images(kernel).images - 0.5).max((1, 2, 3))
    strength = np.abs(filter_images(kernel, scale="common").images - 0.5).max((1, 2, 3))
    most = np.abs(kernel).max((0, 1, 2))
    np.testing.assert_allclose(form, 0.5)
    np.testing.assert_allclose(strength, 0.5 * most / most.max(), rtol=1e-5)


@pytest.mark.parametrize("fold", [True, False], ids=["folded", "as stored"])
def test_bgr_kernels_are_shown_as_rgb(fold, rng):
    bgr, rgb = vary(first(Scale(bgr=True, std=2.0)), rng), first(Scale(std=2.0))
    rgb.get_layer("first").set_weights([stored(bgr)[:, :, ::-1], np.zeros(6)])
    one, other = (filter_images(model, fold=fold) for model in (bgr, rgb))
    np.testing.assert_allclose(one.images, other.images, atol=1e-6)
    np.testing.assert_allclose(one.kernel, stored(rgb) / (2 if fold else 1), atol=1e-6)


def test_nonlinear_scaling_is_not_folded(rng):
    model = vary(first(layers.Lambda(lambda x: x * x)), rng)
    found = filter_images(model)
    np.testing.assert_array_equal(found.kernel, stored(model))
    assert "not a linear function" in found.note


def test_zeros_around_the_image_do_not_matter(rng):
    model = vary(first(layers.Rescaling(0.5), layers.ZeroPadding2D(2)), rng)
    np.testing.assert_allclose(filter_images(model).kernel, stored(model) / 2, rtol=1e-5, atol=1e-7)


def test_norm_with_a_bypass_is_not_folded(rng):
    inputs = keras.Input((SIDE, SIDE, 3))
    x = layers.Conv2D(6, 5, name="first")(inputs)
    model = keras.Model(inputs, layers.Add()([layers.BatchNormalization()(x), x]))
    found = filter_images(vary(model, rng))
    np.testing.assert_array_equal(found.kernel, stored(model))


@pytest.mark.parametrize("channels", [1, 3], ids=["gray", "colors"])
@pytest.mark.parametrize("kind", ["functional", "Sequential", "nested", "nested Sequential"])
def test_any_model(kind, channels, rng):
    inner = vary(first(layers.Rescaling(0.25), channels=channels), rng)
    if "Sequential" in kind:
        inner = keras.Sequential([keras.Input((SIDE, SIDE, channels)), *inner.layers[1:]])
    model = inner
    if "nested" in kind:
        inputs = keras.Input((SIDE, SIDE, channels))
        model = keras.Model(inputs, layers.Conv2D(4, 3)(inner(inputs)))
    found = filter_images(model)
    np.testing.assert_allclose(found.kernel, stored(inner) / 4, rtol=1e-5, atol=1e-7)
    assert found.layer.rsplit("/", 1)[-1] == "first"
    assert found.images.shape == (6, 5, 5, channels)
    assert found.shows == "colors"
    assert found.plot().axes


def test_half_precision(rng):
    keras.config.set_dtype_policy("mixed_float16")
    try:
        model = vary(first(Scale(**SCALES["torch"])), rng)
    finally:
        keras.config.set_dtype_policy("float32")
    ours = filter_images(model).kernel
    np.testing.assert_allclose(ours, stored(model) / np.array(SCALES["torch"]["std"])[:, None], rtol=5e-3, atol=1e-5)


def test_deeper_filters_by_channel_and_by_component(rng):
    model = build_model("tiny_vgg")
    second = [layer for layer in model.layers if isinstance(layer, layers.Conv2D)][1]
    found = filter_images(model, second.name, fold=False)
    np.testing.assert_allclose(found.kernel, ops.convert_to_numpy(second.kernel), rtol=1e-6)
    assert found.shows == "channels"
    assert found.images.shape == (second.filters, 3, 3, found.kernel.shape[2])
    assert found.plot().axes
    left, right = rng.normal(size=(2, 4, 3, 3)), rng.normal(size=(2, 4, 8))
    kernel = np.einsum("kfhw,kfc->hwcf", left, right)  # of rank 2
    found = filter_images(kernel, components=True)
    assert found.shows == "components"
    assert found.images.shape == (4, 3, 3, 3)
    np.testing.assert_allclose(found.table.explained, 1)
    np.testing.assert_allclose(found.images[..., 2], 0.5, atol=1e-6)  # there is no third
    assert found.plot().axes


def test_sorting():
    """Stripes by their angle, hues by theirs."""
    y, x = np.mgrid[:9, :9] - 4.0
    angles = np.array([120, 30, 75])  # of the stripes, as one sees them
    across = [np.deg2rad(90 - angle) for angle in angles]
    bell = np.exp(-(x**2 + y**2) / 12)
    planes = [bell * np.cos(1.6 * (x * np.cos(turn) + y * np.sin(turn))) for turn in across]
    kernel = np.stack(planes, -1)[:, :, None] * np.ones((3, 1))
    found = filter_images(kernel, sort="orientation")
    assert list(found.order) == [1, 2, 0]
    np.testing.assert_allclose(found.table.orientation, angles, atol=0.5)
    colors = np.array([[0, 1, 0], [1, 0, 0], [1, 1, 1], [1, 1, 0]]).T  # green, red, gray, yellow
    found = filter_images(bell[..., None, None] * colors, sort="hue")
    assert list(found.order) == [2, 1, 3, 0]
    np.testing.assert_allclose(found.table.hue[[0, 1, 3]], [120, 0, 60], atol=1e-6)
    assert list(filter_images(kernel * [1, 3, 2], sort="rms").order) == [1, 2, 0]


def test_a_filter_without_weights_is_hatched(rng):
    kernel = rng.normal(size=(5, 5, 3, 8))
    kernel[..., 3] = 0
    axis = filter_images(kernel).plot().axes[0]
    assert [text.get_text() for text in axis.texts] == ["0"]
    assert len(axis.patches) == 1


def test_a_grid_is_one_image(rng, tmp_path):
    """40 filters, one array; each weight a whole number of pixels, between gutters of mid-gray."""
    found = filter_images(rng.normal(size=(11, 11, 3, 40)))
    figure = found.plot()
    assert len(figure.axes) == 1
    (drawn,) = figure.axes[0].images
    pixels = np.asarray(drawn.get_array())
    zoom = (pixels.shape[1] - 2) // 8 - 2
    assert zoom % 11 == 0
    factor = zoom // 11
    np.testing.assert_array_equal(pixels[2 : 2 + zoom : factor, 2 : 2 + zoom : factor], found.images[0])
    assert (pixels[:, :2] == 0.5).all()
    box = figure.axes[0].get_window_extent()
    np.testing.assert_allclose([box.width, box.height], pixels.shape[1::-1], atol=1e-6)  # one for one
    assert found.save(tmp_path / "filters.png").stat().st_size > 10_000


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"scale": "filters"}, "Did you mean filter"),
        ({"sort": "hues"}, "Did you mean hue"),
        ({"layer": "firts"}, "Did you mean first"),
        ({"layer": "norm"}, "should be a convolution"),
    ],
    ids=lambda value: str(value)[:20],
)
def test_errors(arguments, text):
    with pytest.raises(ValueError, match=text):
        filter_images(first(norm=True), **arguments)


def test_small_filters_have_no_orientation(rng):
    with pytest.raises(ValueError, match="smaller than 5x5"):
        filter_images(rng.normal(size=(3, 3, 3, 4)), sort="orientation")


def test_published_filters(shared):
    """SqueezeNet 1.0 was trained on BGR: its colors are right only if turned around."""
    model = build_model("squeezenet1_0_caffe", weights=shared("weights", "squeezenet1_0_caffe.safetensors"))
    before = [weight.copy() for weight in model.get_weights()]
    found = filter_images(model)
    kernel = ops.convert_to_numpy(model.get_layer("stage1_conv1").kernel)
    np.testing.assert_allclose(found.kernel, kernel[:, :, ::-1], atol=1e-7)
    assert found.note == "BGR kernel, shown as RGB"
    for one, other in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
