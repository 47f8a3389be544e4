"""What other libraries get wrong in attribution, each as a test that we do not."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers, ops
from oracles import signals

from kerascnn.visualize import (
    deconvnet,
    grad_cam,
    guided_backprop,
    integrated_gradients,
    lens,
    occlusion,
    saliency,
    smoothgrad,
)

SIZE = (8, 6, 3)
RAND = np.random.default_rng(3)
PIXELS = RAND.uniform(0, 255, (2, *SIZE)).astype(np.float32)
SPELLED = {
    "layers.ReLU": layers.ReLU,
    "layers.ReLU(6)": lambda: layers.ReLU(6),
    "ops.relu": lambda: ops.relu,
    "ReLU(negative_slope)": lambda: layers.ReLU(negative_slope=0.3),
}


def network(end="softmax", act=layers.ReLU, name=None):
    """conv, a ReLU, conv, the ReLU again, dense."""
    keras.utils.set_random_seed(2)
    x, relu = keras.Input(SIZE), act()
    maps = relu(layers.Conv2D(4, 3, name="conv")(layers.Rescaling(1 / 64)(x)))
    maps = relu(layers.Conv2D(3, 3, padding="same", name="top")(maps))
    scores = layers.Dense(3, name="scores")(layers.Flatten()(maps))
    return keras.Model(x, layers.Softmax()(scores) if end == "softmax" else scores, name=name)


@pytest.fixture(scope="module")
def model():
    return network()


@pytest.fixture(scope="module")
def bare():
    """The same without its softmax."""
    return network(end=None)


@pytest.fixture(scope="module")
def slopes(bare):
    x = tf.constant(PIXELS)
    with tf.GradientTape() as tape:
        tape.watch(x)
        score = bare(x)[:, 1]
    return tape.gradient(score, x).numpy()


def same(found, expected, error=1e-5):
    np.testing.assert_allclose(found, expected, rtol=0, atol=error * np.abs(expected).max())


def test_01_probabilities_are_not_taken_for_scores(model, bare, slopes):
    found = saliency(model, PIXELS, 1)
    same(found.scores, bare(PIXELS).numpy()[:, 1])
    same(found.values, slopes)


def test_01_confident_network_has_a_nonzero_map():
    sure = network()
    sure.get_layer("scores").kernel.assign(1000 * sure.get_layer("scores").kernel)
    assert sure(PIXELS).numpy().max() == 1
    assert (saliency(sure, PIXELS).map.max((1, 2)) > 0).all()


def test_02_a_sequential_model_does_not_fail():
    model = keras.Sequential([keras.Input(SIZE), layers.Conv2D(2, 3, activation="relu"), layers.Flatten()])
    model.add(layers.Dense(3, "softmax"))
    assert saliency(model, PIXELS, 1).map.any()


@pytest.mark.parametrize("act", SPELLED)
def test_03_and_14_guided_is_not_the_plain_gradient(act):
    """And the scores are those of the model: no ReLU is exchanged for another."""
    model = network(None, SPELLED[act])
    found, plain = guided_backprop(model, PIXELS, 1), saliency(model, PIXELS, 1)
    assert np.abs(found.values - plain.values).max() > 0.1 * np.abs(plain.values).max()
    same(found.scores, model(PIXELS).numpy()[:, 1])


def test_03_and_14_guided_sees_relus_in_nested_models(model):
    x = keras.Input(SIZE)
    nested = keras.Model(x, keras.Sequential([keras.Input(SIZE), network(name="inner")], name="outer")(x))
    same(guided_backprop(nested, PIXELS, 1).values, guided_backprop(model, PIXELS, 1).values)


@pytest.mark.parametrize("method", [guided_backprop, deconvnet], ids=lambda method: method.__name__)
def test_14_relu6_above_its_maximum(method):
    """Above 6 guided stops a signal, deconvnet does not."""
    x = keras.Input((1, 3, 1))
    unit = layers.Conv2D(1, 1, use_bias=False, kernel_initializer="ones")
    model = keras.Model(x, layers.Dense(2, kernel_initializer="ones")(layers.Flatten()(layers.ReLU(6)(unit(x)))))
    found = method(model, np.float32([-3, 2, 9]).reshape(1, 1, 3, 1), 0).values.ravel()
    np.testing.assert_array_equal(found != 0, [False, True, False] if method is guided_backprop else [True] * 3)


def test_04_and_21_grad_cam_reaches_into_nested_models(model):
    x = keras.Input(SIZE)
    nested = keras.Model(x, network(name="inner")(x))
    same(grad_cam(nested, PIXELS, 1, layer="inner/top").values, grad_cam(model, PIXELS, 1, layer="top").values)
    same(grad_cam(nested, PIXELS, 1).values, grad_cam(model, PIXELS, 1).values)


def test_06_smooth_does_not_average_absolute_gradients():
    """Of |x|, whose slope is -1 as often as 1 around 0, nothing must remain but noise."""
    x = keras.Input((4, 5, 1))
    model = keras.Model(x, ops.sum(ops.abs(x - 5.0), (1, 2)))
    pixels = np.full((1, 4, 5, 1), 5, np.float32)
    pixels[0, 0, 0], pixels[0, 3, 4] = 0, 10
    found = smoothgrad(model, pixels, score=lambda values: values[:, 0], samples=100, noise=0.3)
    assert found.map[0, 1:3].mean() < 0.2


def test_06_map_without_signal_is_zero():
    x = keras.Input(SIZE)
    model = keras.Model(x, layers.Dense(3, kernel_initializer="zeros")(layers.Flatten()(x)))
    for method in (saliency, guided_backprop):
        np.testing.assert_array_equal(method(model, PIXELS, 1).map, 0)
    np.testing.assert_array_equal(integrated_gradients(model, PIXELS, 1, steps=2).map, 0)


def test_06_and_17_maps_are_not_normalized(model):
    """Twice the score, twice the map."""
    twice = network(end=None)
    twice.get_layer("scores").kernel.assign(2 * twice.get_layer("scores").kernel)
    same(saliency(twice, PIXELS, 1).map, 2 * saliency(model, PIXELS, 1).map)


@pytest.mark.parametrize("method", [grad_cam, saliency], ids=lambda method: method.__name__)
def test_08_large_scores_do_not_overflow(method):
    large = network(end=None)
    large.get_layer("scores").kernel.assign(1e6 * large.get_layer("scores").kernel)
    small = network(end=None)
    found = method(large, PIXELS, 1)
    assert np.abs(found.scores).min() > 1000
    same(found.values, 1e6 * method(small, PIXELS, 1).values)


def test_09_and_17_integrated_gradients_scale(bare):
    """The sum is the change of the score, on pixels 0..255 and on 0..1."""
    for pixels in (PIXELS, PIXELS / 255):
        found = integrated_gradients(bare, pixels, 1, steps=200)
        change = bare(pixels).numpy()[:, 1] - bare(0 * pixels).numpy()[:, 1]
        np.testing.assert_allclose(found.values.sum((1, 2, 3)), change, rtol=0.01)
    np.testing.assert_array_equal(integrated_gradients(bare, PIXELS, 1, steps=2, baseline=PIXELS).values, 0)


def test_10_grad_cam_finds_its_layer(model):
    last = [node.name for node in lens(model).graph.nodes if node.kind == "ReLU"][-1]
    np.testing.assert_array_equal(grad_cam(model, PIXELS, 1).values, grad_cam(model, PIXELS, 1, layer=last).values)


def test_11_another_class_does_not_retrace():
    model = network()
    for classes in range(3):
        saliency(model, PIXELS, classes)
        guided_backprop(model, PIXELS, np.int64(classes))
    programs = lens(model).programs
    assert len(programs) == 2
    assert all(program.experimental_get_tracing_count() == 1 for program in programs.values())


def test_12_occlusion_of_non_square_images():
    """A long image in which only the last column matters, covered by the fill that is asked for."""
    x = keras.Input((3, 12, 1))
    model = keras.Model(x, layers.Dense(2, "softmax", name="end")(layers.Flatten()(x[:, :, -1:])))
    model.get_layer("end").set_weights([np.array([[1.0, -1.0]] * 3), np.zeros(2)])
    found = occlusion(model, np.ones((1, 3, 12, 1), np.float32), patch=1, stride=1, fill=0.5)
    assert found.probability.shape == found.map.shape == (1, 3, 12)
    clean, covered = signals.softmax(np.array([[3.0, -3.0], [2.5, -2.5]]))[:, 0]
    np.testing.assert_allclose(found.probability[0, :, :-1], clean, rtol=1e-6)
    np.testing.assert_allclose(found.probability[0, :, -1], covered, rtol=1e-6)
    np.testing.assert_allclose(found.map[0], [[0] * 11 + [0.5]] * 3, atol=1e-6)


@pytest.mark.parametrize(
    "method",
    [saliency, guided_backprop, grad_cam, smoothgrad, integrated_gradients],
    ids=lambda method: method.__name__,
)
def test_13_no_method_asks_for_the_softmax(method, model, bare):
    options = {"smoothgrad": {"samples": 2}, "integrated_gradients": {"steps": 2}}.get(method.__name__, {})
    found, expected = (method(asked, PIXELS, 1, **options).values for asked in (model, bare))
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6 * np.abs(expected).max())


@pytest.mark.parametrize("stride", [1, 2, 3])
def test_16_occlusion_is_unbiased_at_borders(stride):
    """Where each pixel counts the same, so does each pixel of the map that is whole in all patches."""
    x = keras.Input((9, 12, 1))
    model = keras.Model(x, ops.mean(x, (1, 2)))
    found = occlusion(
        model, np.ones((1, 9, 12, 1), np.float32), score=lambda v: v[:, 0], patch=3, stride=stride, fill=0
    )
    inner = found.map[0, 3:-3, 3:-3]
    np.testing.assert_allclose(inner, inner.mean(), rtol=1e-5)
    assert found.map.min() > 0.4 * inner.mean()  # a corner is covered by patches that hang over by up to two thirds


def test_17_and_21_noise_is_a_share_of_the_range_of_each_image():
    """The slope of x^2 / 2 is x, so that the map less the image is the noise, and its deviation sigma."""
    x = keras.Input((40, 50, 1))
    model = keras.Model(x, ops.sum(ops.square(x), (1, 2)) / 2)
    for low, high in ((0, 1), (0, 255), (100, 110)):
        pixels = RAND.uniform(low, high, (1, 40, 50, 1)).astype(np.float32)
        found = smoothgrad(model, pixels, score=lambda values: values[:, 0], samples=1, noise=0.2)
        sigma = 0.2 * (pixels.max() - pixels.min())
        np.testing.assert_allclose((found.values - pixels).std(), sigma, rtol=0.1)


def test_17_guided_backprop_passes_through_the_head():
    """A ReLU between dense layers is a ReLU too."""
    x = keras.Input((1, 2, 1))
    hidden = layers.Dense(2, "relu", use_bias=False, name="hidden")(layers.Flatten()(x))
    model = keras.Model(x, layers.Dense(1, use_bias=False, name="end")(hidden))
    model.get_layer("hidden").set_weights([np.eye(2)])
    model.get_layer("end").set_weights([np.array([[1.0], [-1.0]])])
    pixels = np.float32([2, 3]).reshape(1, 1, 2, 1)
    score = lambda values: values[:, 0]  # noqa: E731
    np.testing.assert_array_equal(saliency(model, pixels, score=score).values.ravel(), [1, -1])
    np.testing.assert_array_equal(guided_backprop(model, pixels, score=score).values.ravel(), [1, 0])


def test_18_and_22_shared_relus_are_not_modified(model):
    """By several images at once, as one by one."""
    relu = next(layer for layer in model.layers if isinstance(layer, layers.ReLU))
    before = dict(vars(relu))
    found = guided_backprop(model, PIXELS, 1).values
    assert vars(relu) == before
    assert sum(layer is relu for layer in model.layers) == 1
    for i in range(2):
        same(found[i], guided_backprop(model, PIXELS[i], 1).values[0])
    apart = network()
    first, second = (apart.get_layer(name) for name in ("conv", "top"))
    x = apart.input
    maps = layers.ReLU()(second(layers.ReLU()(first(apart.layers[1](x)))))
    same(found, guided_backprop(keras.Model(x, apart.get_layer("scores")(layers.Flatten()(maps))), PIXELS, 1).values)


@pytest.mark.parametrize(
    "method", [saliency, smoothgrad, guided_backprop, deconvnet], ids=lambda method: method.__name__
)
def test_21_batch_norm_does_not_stop_a_signal(method):
    """A factor of its own for each channel, whatever else is in the batch."""
    x, kernel = keras.Input((4, 5, 2)), RAND.normal(0, 1, (40, 2))
    norm = layers.BatchNormalization(epsilon=0.0, center=False)
    model = keras.Model(x, layers.Dense(2, use_bias=False, name="end")(layers.Flatten()(norm(x))))
    norm.set_weights([np.array([2.0, -1.0]), np.zeros(2), np.array([4.0, 0.25])])
    model.get_layer("end").set_weights([kernel])
    found = method(
        model,
        RAND.uniform(0, 9, (3, 4, 5, 2)).astype(np.float32),
        0,
        **({"samples": 2} if method is smoothgrad else {}),
    )
    start = found.scores[:, None, None, None] if method is deconvnet else np.ones((3, 1, 1, 1))
    same(found.values, start * kernel[:, 0].reshape(4, 5, 2) * [1, -2])
