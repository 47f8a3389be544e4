"""Every method against numpy (oracles/signals.py), closed forms and differences; ReLUs however they are written."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers, ops
from oracles import signals

from kerascnn import build_model
from kerascnn.graph.copy import rebuild_model
from kerascnn.visualize import (
    deconvnet,
    grad_cam,
    gradient_x_input,
    guided_backprop,
    integrated_gradients,
    lens,
    occlusion,
    probability,
    saliency,
    smoothgrad,
)
from kerascnn.zoo.layers import LocalResponseNorm

DRAW = np.random.default_rng(172)  # no map of it is zero, no sum of it cancels
PIXELS = DRAW.uniform(0, 255, (3, 8, 7, 2)).astype(np.float32)
CLASSES = [0, 3, 2]
FIRST = DRAW.normal(0, 0.02, (3, 3, 2, 4)), DRAW.normal(0, 1, 4)
SECOND = DRAW.normal(0, 0.5, (2, 2, 4, 3)), DRAW.normal(0, 1, 3)
LAST = DRAW.normal(0, 0.5, (12, 4)), DRAW.normal(0, 1, 4)
NET = [
    signals.Conv(*FIRST, same=True),
    signals.Relu(),
    signals.MaxPool(3, 2),
    signals.Conv(*SECOND),
    signals.Relu(),
    signals.Flatten(),
    signals.Dense(*LAST),
]
RULES = {guided_backprop: "guided", deconvnet: "deconvnet"}
TOP = 5  # steps of NET up to the last maps
SPELLINGS = {
    "activation='relu'": None,
    "layers.ReLU": layers.ReLU,
    "layers.Activation": lambda: layers.Activation("relu"),
    "ops.relu": lambda: ops.relu,
    "Lambda(tf.nn.relu)": lambda: layers.Lambda(tf.nn.relu),
}


def close(found, expected, error=1e-6):
    """Equal but for a share of the map's own largest value, image by image."""
    assert found.shape == expected.shape
    axes = tuple(range(1, expected.ndim))
    largest = np.abs(expected).max(axes)
    assert (largest > 0).all(), "a map of zeros proves nothing"
    np.testing.assert_array_less(np.abs(found - expected).max(axes) / largest, error)


def given(layer, weights):
    """A layer that has its weights from the start."""
    kernel, *bias = weights
    layer.kernel_initializer = keras.initializers.Constant(kernel)
    layer.bias_initializer = keras.initializers.Constant(bias[0]) if bias else "zeros"
    layer.use_bias = bool(bias)
    return layer


def conv(weights, **options):
    return given(layers.Conv2D(weights[0].shape[-1], weights[0].shape[:2], **options), weights)


def dense(weights, **options):
    return given(layers.Dense(weights[0].shape[-1], **options), weights)


def spelled(act):
    """conv-relu-pool-[nested conv-relu]-dense-softmax, with a ReLU as it is spelled."""
    inside = {"activation": "relu"} if act is None else {}
    relu = (lambda x: x) if act is None else lambda x: act()(x)
    image = keras.Input((8, 7, 2))
    x = layers.MaxPooling2D(3, 2, name="pool")(relu(conv(FIRST, padding="same", **inside)(image)))
    inner = keras.Input(x.shape[1:])
    x = keras.Model(inner, relu(conv(SECOND, **inside)(inner)), name="inner")(x)
    return keras.Model(image, layers.Softmax()(dense(LAST)(layers.Flatten()(x))))


@pytest.fixture(scope="module")
def models():
    return {name: spelled(act) for name, act in SPELLINGS.items()}


@pytest.fixture(scope="module")
def first(models):
    """What each method gave for the first spelling."""
    return {}


def nested(model):
    """The last call of the nested model, a ReLU."""
    return [node.name for node in lens(model).graph.nodes if node.name.startswith("inner/")][-1]


COVERING = {"patch": (3, 2), "stride": (2, 1), "fill": 40.0}
METHODS = {  # name -> (what is asked, what numpy gives)
    "saliency": (
        lambda model: saliency(model, PIXELS, CLASSES).map,
        lambda: np.abs(signals.slopes(NET, PIXELS, CLASSES)).max(-1),
    ),
    "gradient_x_input": (
        lambda model: gradient_x_input(model, PIXELS, CLASSES).map,
        lambda: (PIXELS * signals.slopes(NET, PIXELS, CLASSES)).sum(-1),
    ),
    "guided_backprop": (
        lambda model: guided_backprop(model, PIXELS, CLASSES).values,
        lambda: signals.from_class(NET, PIXELS, CLASSES, "guided"),
    ),
    "deconvnet": (
        lambda model: deconvnet(model, PIXELS, CLASSES).values,
        lambda: signals.from_class(NET, PIXELS, CLASSES, "deconvnet"),
    ),
    "guided_backprop, nested unit": (
        lambda model: guided_backprop(model, PIXELS, layer=nested(model), unit=1).values,
        lambda: signals.from_unit(NET[:TOP], PIXELS, [1] * 3, "guided"),
    ),
    "deconvnet, nested unit": (
        lambda model: deconvnet(model, PIXELS, layer=nested(model), unit=1).values,
        lambda: signals.from_unit(NET[:TOP], PIXELS, [1] * 3, "deconvnet"),
    ),
    "guided_backprop, from the activation": (
        lambda model: guided_backprop(model, PIXELS, CLASSES, signal="activation").values,
        lambda: signals.from_class(NET, PIXELS, CLASSES, "guided", "activation"),
    ),
    "deconvnet, from one": (
        lambda model: deconvnet(model, PIXELS, CLASSES, signal="one").values,
        lambda: signals.from_class(NET, PIXELS, CLASSES, "deconvnet", "one"),
    ),
    "deconvnet, nested unit from one": (
        lambda model: deconvnet(model, PIXELS, layer=nested(model), unit=1, signal="one").values,
        lambda: signals.from_unit(NET[:TOP], PIXELS, [1] * 3, "deconvnet", "one"),
    ),
    "integrated_gradients": (
        lambda model: integrated_gradients(model, PIXELS, CLASSES, steps=6, baseline=30).values,
        lambda: signals.integral(NET, PIXELS, CLASSES, 6, 30),
    ),
    "grad_cam": (
        lambda model: grad_cam(model, PIXELS, CLASSES).map,
        lambda: signals.class_map(NET, PIXELS, CLASSES, TOP, (8, 7))[1],
    ),
    "grad_cam, first layer": (
        lambda model: grad_cam(model, PIXELS, CLASSES, layer="pool").metadata["coarse"][..., 0],
        lambda: signals.class_map(NET, PIXELS, CLASSES, 3, (8, 7))[0],
    ),
    "occlusion": (
        lambda model: occlusion(model, PIXELS, CLASSES, **COVERING).map,
        lambda: signals.occlusion(NET, PIXELS, CLASSES, *COVERING.values(), TOP)["values"],
    ),
}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("spelling", SPELLINGS)
def test_method_is_its_formula_however_relu_is_written(spelling, method, models, first):
    asked, by_numpy = METHODS[method]
    found = asked(models[spelling])
    close(found, by_numpy())
    np.testing.assert_array_equal(found, first.setdefault(method, found))


def test_occlusion_shows_the_three_maps_of_zeiler_and_fergus(models):
    found = occlusion(models["layers.ReLU"], PIXELS, CLASSES, **COVERING)
    expected = signals.occlusion(NET, PIXELS, CLASSES, *COVERING.values(), TOP)
    np.testing.assert_array_equal(found.channels, expected["channel"])
    np.testing.assert_array_equal(found.predicted, expected["best"])
    for read, name in ((found.score_maps, "scores"), (found.strongest, "strongest")):
        close(read, expected[name], 2e-6)
    np.testing.assert_allclose(found.probability, expected["p"], rtol=1e-4, atol=1e-6)


def test_smooth_is_the_mean_gradient_of_the_images_with_its_noise(models):
    found = smoothgrad(models["layers.ReLU"], PIXELS, CLASSES, samples=3, noise=0.1, seed=4)
    total = 0
    for k in range(3):
        normal = np.random.default_rng((4, k)).standard_normal(PIXELS.shape[1:], np.float32)
        spread = 0.1 * np.ptp(PIXELS, (1, 2, 3))[:, None, None, None]
        total = total + signals.slopes(NET, PIXELS + spread * normal, CLASSES) / 3
    close(found.map, np.abs(total).max(-1))


def test_gradient_of_a_probability_by_hand(models):
    """dp_c = p_c (dS_c - sum_k p_k dS_k)."""
    small = PIXELS / 20  # where p is not 0 or 1
    p = signals.softmax(signals.forwards(NET, small)[-1])
    each = np.stack([signals.slopes(NET, small, [k] * 3) for k in range(4)])
    expected = p[:, 1, None, None, None] * (each[1] - np.einsum("nk,knijc->nijc", p, each))
    close(saliency(models["layers.ReLU"], small, probability(1)).values, expected, 1e-5)


def test_gradient_agrees_with_float64_differences(models, rng):
    model, step = models["activation='relu'"], 1e-4
    copy = rebuild_model(model, "float64")
    exact = keras.Model(copy.input, copy.layers[-2].output)  # without the softmax
    places = rng.choice(PIXELS[0].size, 50, replace=False)
    moved = np.float64(PIXELS[:1]).reshape(1, 1, -1) + step * np.array([[[1]], [[-1]]]) * np.eye(PIXELS[0].size)[places]
    high, low = exact(moved.reshape(-1, 8, 7, 2)).numpy()[:, 0].reshape(2, -1)
    slopes = saliency(model, PIXELS[:1], 0).values.ravel()
    np.testing.assert_allclose(slopes[places], (high - low) / (2 * step), atol=1e-6 * np.abs(slopes).max(), rtol=0)


GATE = DRAW.normal(0, 0.05, (4, 4))
NORM = {"radius": 1, "bias": 1.0, "alpha": 0.1, "beta": 0.75}
MIDDLES = {  # name -> (what follows the first convolution in Keras, and in numpy)
    "ReLU6": (lambda x: layers.ReLU(6)(x), [signals.Relu(top=6)]),
    "activation relu6": (lambda x: layers.Activation("relu6")(x), [signals.Relu(top=6)]),
    "ReLU(max_value=4)": (lambda x: layers.ReLU(4)(x), [signals.Relu(top=4)]),
    "LeakyReLU": (lambda x: layers.LeakyReLU(0.25)(x), [signals.Relu(below=0.25)]),
    "ReLU(negative_slope)": (lambda x: layers.ReLU(negative_slope=0.25)(x), [signals.Relu(below=0.25)]),
    "gate": (lambda x: gated(layers.ReLU()(x)), [signals.Relu(), signals.Gate(GATE)]),
    "response norm": (
        lambda x: LocalResponseNorm(**NORM)(layers.ReLU()(x)),
        [signals.Relu(), signals.ResponseNorm(**NORM)],
    ),
}


def gated(x):
    """Squeeze and excitation: each map times a number of its own."""
    squeezed = layers.GlobalAveragePooling2D(keepdims=True)(x)
    return layers.Multiply()([x, dense((GATE,), activation="sigmoid")(squeezed)])


@pytest.mark.parametrize("method", [guided_backprop, deconvnet], ids=lambda method: method.__name__)
@pytest.mark.parametrize("middle", MIDDLES)
def test_rules_with_other_relus_gates_and_response_norm(middle, method):
    by_keras, by_numpy = MIDDLES[middle]
    image = keras.Input((8, 7, 2))
    x = layers.MaxPooling2D(3, 2)(by_keras(conv(FIRST, padding="same")(image)))
    x = layers.ReLU(name="second")(conv(SECOND)(x))
    net = [NET[0], *by_numpy, *NET[2:TOP]]
    found = method(keras.Model(image, x), PIXELS, layer="second", unit=0).values
    close(found, signals.from_unit(net, PIXELS, [0] * 3, RULES[method]), 2e-6)


@pytest.mark.parametrize("method", [guided_backprop, deconvnet], ids=lambda method: method.__name__)
def test_rules_use_the_first_of_equal_maxima(method):
    weights, last = (DRAW.uniform(0.1, 1, (1, 1, 2, 4)),), (DRAW.uniform(0.1, 1, (4, 3)), np.ones(3))
    tiled = np.tile(DRAW.uniform(1, 9, (1, 2, 3, 2)), (1, 3, 2, 1)).astype(np.float32)
    image = keras.Input((6, 6, 2))
    x = layers.GlobalMaxPooling2D()(layers.ReLU()(conv(weights)(image)))
    net = [signals.Conv(*weights, 0), signals.Relu(), signals.GlobalMax(), signals.Dense(*last)]
    found = method(keras.Model(image, dense(last)(x)), tiled, 1).values
    close(found, signals.from_class(net, tiled, [1], RULES[method]))
    assert np.count_nonzero(found.any(-1)) == np.count_nonzero(found[0, :2, :3].any(-1))  # none in a later tile


LINEAR = DRAW.normal(0, 1, (6, 5, 2, 3))


@pytest.fixture(scope="module")
def linear():
    image = keras.Input((6, 5, 2))
    return keras.Model(image, dense((LINEAR.reshape(-1, 3), DRAW.normal(0, 1, 3)))(layers.Flatten()(image)))


def test_linear_model_returns_its_weights(linear):
    pixels = DRAW.uniform(0, 255, (2, 6, 5, 2)).astype(np.float32)
    w = np.stack([LINEAR[..., 1], LINEAR[..., 2]])
    close(saliency(linear, pixels, [1, 2]).map, np.abs(w).max(-1))
    for noise in (0.15, 3.0):
        close(smoothgrad(linear, pixels, [1, 2], samples=4, noise=noise).map, np.abs(w).max(-1))
    close(guided_backprop(linear, pixels, [1, 2]).values, w)
    deconv = deconvnet(linear, pixels, [1, 2])
    close(deconv.values, w * deconv.scores[:, None, None, None])
    exact = integrated_gradients(linear, pixels, [1, 2], steps=1, baseline=(10, 20))
    close(exact.values, w * (pixels - np.array([10, 20])))
    assert (exact.metadata["completeness"] < 1e-4).all()


def test_occlusion_of_a_linear_model(linear):
    pixels = DRAW.uniform(0, 255, (2, 6, 5, 2)).astype(np.float32)
    lost = (np.stack([LINEAR[..., 1], LINEAR[..., 2]]) * (pixels - np.array([7, 9]))).sum(-1)
    close(occlusion(linear, pixels, [1, 2], patch=1, stride=1, fill=(7, 9)).map, lost, 5e-6)
    found = occlusion(linear, pixels, [1, 2], patch=(2, 3), stride=(2, 1), fill=(7, 9))
    window = np.array(
        [[lost[:, max(r, 0) : r + 2, max(c, 0) : c + 3].sum((1, 2)) for c in range(-2, 5)] for r in range(0, 6, 2)]
    ).transpose(2, 0, 1)
    close(found.scores[:, None, None] - found.score_maps, window, 5e-6)
    close(found.map, np.repeat(np.stack([window[..., c : c + 3].mean(-1) for c in range(5)], -1), 2, 1), 5e-6)


def test_quadratic_model_is_smoothed_without_bias_and_integrated_exactly():
    n, a = 60, DRAW.normal(0, 1, (6 * 5 * 2, 6 * 5 * 2)).astype(np.float32)
    a = a + a.T
    image = keras.Input((6, 5, 2))
    flat = layers.Flatten()(image)
    model = keras.Model(image, ops.sum(dense((a,))(flat) * flat, -1, keepdims=True))
    pixels = DRAW.uniform(0, 10, (1, 6, 5, 2)).astype(np.float32)
    x = np.float64(pixels).ravel()
    score = lambda values: values[:, 0]  # noqa: E731
    close(saliency(model, pixels, score=score).values.ravel()[None], (2 * a @ x)[None])
    exact = integrated_gradients(model, pixels, score=score, steps=1)
    np.testing.assert_allclose(exact.values.sum(), x @ a @ x, rtol=1e-5)
    sigma = 0.15 * np.ptp(x) * 2 * np.sqrt((a**2).sum(1))
    gap = smoothgrad(model, pixels, score=score, samples=n).values.ravel() - 2 * a @ x
    assert (np.abs(gap) < 4 * sigma / np.sqrt(n)).all()
    assert np.abs(gap).mean() > 0.3 * (sigma / np.sqrt(n)).mean()  # and there is noise


def test_deconvnet_scales_with_its_start_value():
    """Twice the weights of a unit: twice the value to start from, and twice what each of it is worth."""
    maps = []
    for scale in (1, 2):
        image = keras.Input((8, 7, 2))
        x = layers.MaxPooling2D(3, 2)(conv(FIRST, padding="same", activation="relu")(image))
        x = conv((scale * SECOND[0], scale * SECOND[1]), activation="relu", name="unit")(x)
        maps.append(deconvnet(keras.Model(image, x), PIXELS, layer="unit", unit=1).values)
    np.testing.assert_array_equal(maps[1], 4 * maps[0])


def test_deconvnet_follows_the_pooling_switches():
    hot = np.zeros((1, 8, 6, 1), np.float32)
    for i in range(4):
        for j in range(3):
            hot[0, 2 * i + DRAW.integers(2), 2 * j + DRAW.integers(2)] = 1 + i + j
    image = keras.Input((8, 6, 1))
    x = layers.MaxPooling2D(2)(layers.ReLU()(conv((np.ones((1, 1, 1, 1)),))(image)))
    x = conv((DRAW.uniform(0.5, 1, (4, 3, 1, 2)),), activation="relu", name="top")(x)
    found = deconvnet(keras.Model(image, x), hot, layer="top", unit=0).values
    np.testing.assert_array_equal(found != 0, hot != 0)


def test_occlusion_of_a_constant_model_is_zero():
    image = keras.Input((6, 5, 2))
    model = keras.Model(image, dense((np.zeros((60, 3)), np.array([1.0, 2, 3])))(layers.Flatten()(image)))
    found = occlusion(model, DRAW.uniform(0, 255, (1, 6, 5, 2)).astype(np.float32))
    assert found.classes == (2,)
    np.testing.assert_array_equal(found.values, 0)


def test_occlusion_finds_planted_objects():
    """Two objects, each the class of a detector that wants all of it: p falls where one is touched, the other wins."""
    objects = np.where(DRAW.uniform(0, 1, (2, 3, 3)) > 0.5, 1.0, -1.0)
    objects[:, 1, 1] = 1, -1
    picture = np.zeros((1, 9, 12, 1), np.float32)
    picture[0, 1:4, 2:5, 0], picture[0, 5:8, 8:11, 0] = objects
    image = keras.Input((9, 12, 1))
    x = conv((objects.transpose(1, 2, 0)[:, :, None], np.full(2, -8.0)), activation="relu", name="detector")(image)
    x = dense((np.diag([4.0, 2.0]),), activation="softmax")(layers.GlobalMaxPooling2D()(x))
    found = occlusion(keras.Model(image, x), picture, patch=1, stride=1, fill=0)
    assert found.classes == (0,)
    least = found.probability == found.probability.min()
    np.testing.assert_array_equal(least[0], picture[0, :, :, 0] * mask((1, 2)) != 0)
    np.testing.assert_array_equal(found.predicted[0] == 1, least[0])
    assert set(np.unique(found.predicted)) == {0, 1}
    np.testing.assert_array_equal(found.strongest[0] == 0, least[0])


def mask(corner):
    """Where an object of 3 x 3 is."""
    rows, columns = np.ogrid[:9, :12]
    return (abs(rows - corner[0] - 1) < 2) & (abs(columns - corner[1] - 1) < 2)


@pytest.mark.nightly
def test_integrated_gradients_are_complete_on_a_trained_network(shared):
    weights = shared("weights", "squeezenet1_1_torchvision.safetensors")
    model = build_model("squeezenet1_1", weights=weights, input_shape=(112, 112, 3))
    photos = sorted(shared("data", "imagenet_sample").glob("*.jpg"))[:2]
    found = integrated_gradients(model, photos, steps=200)
    np.testing.assert_allclose(found.values.sum((1, 2, 3)), found.metadata["change"], rtol=0.01)
    assert (found.metadata["completeness"] < 0.01).all()


@pytest.mark.parametrize("method", [guided_backprop, deconvnet], ids=lambda method: method.__name__)
def test_invalid_signal_arguments(method, models):
    model = models["layers.ReLU"]
    with pytest.raises(ValueError, match="`layer` and `score` are alternatives"):
        method(model, PIXELS, layer="pool", score=probability(1))
    with pytest.raises(ValueError, match="Unknown signal 'activatoin'.*activation"):
        method(model, PIXELS, CLASSES, signal="activatoin")
