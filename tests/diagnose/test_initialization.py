"""What initialization does: the lecture's printed figures, closed forms, and TensorFlow's own gradients."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers
from scipy.stats import norm

from kerascnn import build_model, initialization

# std by layer as the lecture notes print them (CS231n 2016, lecture 5), for ten layers of 500 units and another seed
LECTURE = {
    "small, tanh": ({"stddev": 0.01}, [0.213081, 0.047551, 0.010630, 0.002378, 0.000532, 0.000119, 0.000026, 6e-6]),
    "large, tanh": ({"stddev": 1.0}, [0.981879, 0.981649, 0.981566, 0.981656, 0.981601]),
    "Xavier, tanh": (
        {"initializer": "xavier"},
        [0.627953, 0.486051, 0.407723, 0.357108, 0.320917, 0.292116, 0.273387, 0.254935, 0.239266, 0.228008],
    ),
    "Xavier, ReLU": (
        {"initializer": "xavier", "activation": "relu"},
        [0.582273, 0.403795, 0.276912, 0.198685, 0.140299, 0.103280],
    ),
    "He, ReLU": (
        {"initializer": "he", "activation": "relu"},
        [0.825232, 0.827835, 0.813855, 0.826902, 0.834092, 0.860035],
    ),
}


@pytest.mark.parametrize("case", LECTURE)
def test_the_figures_of_the_lecture(case):
    options, stds = LECTURE[case]
    table = initialization(**options).table
    spread = 0.15 if "ReLU" in case else 0.03  # of a ReLU net's last layers, from seed to seed
    np.testing.assert_allclose(table["stddev"][: len(stds)], stds, rtol=spread, atol=6e-7)
    assert len(table) == 10


def test_small_weights_kill_signals_both_ways():
    table = initialization(stddev=0.01).table
    ratio = 0.01 * np.sqrt(500)  # tanh is linear for signals as small as these
    np.testing.assert_allclose(table["stddev"][3:].to_numpy() / table["stddev"][2:9].to_numpy(), ratio, rtol=0.02)
    backward = table.gradient.to_numpy()
    np.testing.assert_allclose(backward[2:-1] / backward[3:], ratio, rtol=0.05)
    assert (table.saturated == 0).all()


SATURATED = {  # of the first layer: unit Gaussian inputs make its sums Gaussian, with variance std^2 500
    "tanh": (1.0, 2 * norm.sf(np.arctanh(0.95) / np.sqrt(500))),
    "sigmoid": (0.2, 2 * norm.sf(np.log(0.95 / 0.05) / (0.2 * np.sqrt(500)))),
    "relu": (1.0, 0.5),
    "leaky_relu": (1.0, np.nan),
}


@pytest.mark.parametrize("act", SATURATED)
def test_saturation_agrees_with_gaussian_sums(act):
    std, share = SATURATED[act]
    table = initialization((500,) * 3, stddev=std, activation=act).table
    np.testing.assert_allclose(table.saturated[0], share, atol=0.01)
    if act == "tanh":
        assert (table.saturated > 0.9).all()


def test_he_keeps_the_mean_square_of_a_relu_net():
    """He et al. 2015, eq. 10: E[a^2] of a layer is that of the layer before."""
    table = initialization((1000,) * 3, initializer="he", activation="relu").table
    np.testing.assert_allclose(table["mean"] ** 2 + table["stddev"] ** 2, 1, rtol=0.1)


@pytest.mark.parametrize(("init", "power"), [("xavier", 1), ("glorot", 1), ("he", 2)])
def test_initializers_on_a_linear_layer(init, power):
    """One linear layer of as many units multiplies the variance by n std^2: 1 for Xavier's and Glorot's, 2 for He's."""
    table = initialization((800,), initializer=init, activation="linear").table
    np.testing.assert_allclose(table["stddev"][0] ** 2, power, rtol=0.05)


@pytest.fixture(scope="module")
def network():
    inputs = keras.Input((8, 8, 3))
    x = layers.Conv2D(4, 3, activation="tanh", name="conv")(inputs)
    x = layers.BatchNormalization(name="norm")(x)
    x = layers.ReLU(name="relu")(x)
    x = layers.Dense(5, "sigmoid", name="dense")(layers.Flatten()(x))
    return keras.Model(inputs, layers.Dense(3, "softmax", name="probs")(x), name="mixed")


def test_gradients_of_a_model_agree_with_tensorflow(network, rng):
    x, y = rng.normal(size=(6, 8, 8, 3)).astype("float32"), np.arange(6) % 3
    table = initialization(network, inputs=x, labels=y).table.set_index("layer")
    assert list(table.index) == ["conv", "relu", "dense"], "not the softmax"
    assert list(table.activation) == ["tanh", "relu", "sigmoid"]
    names = [layer.name for layer in network.layers]
    for name in table.index:
        first = keras.Model(network.inputs[0], network.get_layer(name).output)
        a = tf.Variable(first(x, training=True))
        with tf.GradientTape() as tape:
            out = tf.identity(a)
            for later in network.layers[names.index(name) + 1 :]:
                out = later(out, training=True) if later.name == "norm" else later(out)
            loss = tf.reduce_mean(keras.losses.sparse_categorical_crossentropy(y, out))
        by_a = 6 * np.asarray(tape.gradient(loss, a))  # of each image's own loss
        np.testing.assert_allclose(table.gradient[name], np.sqrt(np.mean(by_a**2)), rtol=1e-4)
        np.testing.assert_allclose(table["stddev"][name], np.std(a), rtol=1e-5)
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean(keras.losses.sparse_categorical_crossentropy(y, network(x, training=True)))
    kernel = network.get_layer("conv").kernel.value
    np.testing.assert_allclose(table.weight_gradient["conv"], np.linalg.norm(tape.gradient(loss, kernel)), rtol=1e-4)


def test_model_is_unchanged(network, rng):
    before = [weight.copy() for weight in network.get_weights()]
    x = rng.normal(size=(4, 8, 8, 3)).astype("float32")
    small = initialization(network, inputs=x, initializer="normal", stddev=1e-3, training=False).table
    large = initialization(network, inputs=x, initializer="normal", stddev=1.0, training=False).table
    assert small["stddev"][0] < 0.05 < 0.5 < large["stddev"][0]
    for old, new in zip(before, network.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_batch_norm_rescues_small_weights(rng):
    """With it a plain net's activations keep their spread whatever the weights' (Ioffe & Szegedy 2015)."""
    x = rng.integers(0, 256, (8, 32, 32, 3)).astype("float32")
    table = initialization(build_model("tiny_vgg"), inputs=x, initializer="normal", stddev=0.01).table
    with_norm = table[table.layer.str.contains("stage")]
    assert (with_norm["stddev"] > 0.3).all()


def test_a_sequence_of_layers_may_be_nested(rng):
    inner = keras.Sequential([layers.Dense(6, "tanh", name="a"), layers.Dense(6, "tanh", name="b")], name="inner")
    model = keras.Sequential([keras.Input((4,)), inner, layers.Dense(2, name="end")])
    table = initialization(model, inputs=rng.normal(size=(5, 4)).astype("float32"), layers=["inner/b"]).table
    assert list(table.layer) == ["inner/b"]


def test_pictures(tmp_path):
    path = initialization((20, 20), stddev=0.1).save(tmp_path / "init.png")
    assert path.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("network", "options", "text"),
    [
        ((500, 500), {"initializer": "xavir"}, "Did you mean xavier"),
        ((500, 500), {"activation": "tanhh"}, "Did you mean tanh"),
        ((), {}, "`network` should be a list of layer widths"),
        ("resnet50", {}, "`network` should be a list of layer widths"),
    ],
)
def test_invalid_arguments(network, options, text):
    with pytest.raises(ValueError, match=text):
        initialization(network, **options)


def test_a_model_needs_inputs():
    with pytest.raises(ValueError, match="`inputs` should be a batch of inputs of tiny_vgg"):
        initialization(build_model("tiny_vgg"))
