"""The gradient check passes what is right, on every way of connecting, and catches what is wrong."""

import keras
import numpy as np
import pytest
from keras import layers, ops
from networks import TINY

from kerascnn import build_model, gradient_check


@keras.saving.register_keras_serializable("tests")
class Wrong(layers.Layer):
    """x^2, with a gradient that is off by a factor."""

    def __init__(self, factor=1.0, **rest):
        super().__init__(**rest)
        self.factor = factor

    def call(self, x):
        @ops.custom_gradient
        def square(x):
            def gradient(*args, upstream=None):
                upstream = args[0] if upstream is None else upstream
                return ops.multiply(upstream, 2 * self.factor * x)

            return ops.square(x), gradient

        return square(x)

    def get_config(self):
        return super().get_config() | {"factor": self.factor}


def noise(rng, shape, count=4):
    return rng.integers(0, 256, (count, *shape)).astype("float32"), np.arange(count) % 3


@pytest.mark.parametrize("name", TINY)
def test_every_way_of_connecting_has_right_gradients(name, rng, forgotten):
    model = build_model(name)
    x, y = noise(rng, (32, 32, 3), 2)
    check = gradient_check(model, x, y, samples=2)
    assert check.passed, check
    assert check.max_error < 1e-5
    assert check.kinks < 0.3 * len(check.table)


def squares(factor):
    inputs = keras.Input((8, 8, 3))
    x = layers.Rescaling(1 / 255)(inputs)
    x = layers.Conv2D(4, 3, name="before")(x)
    x = Wrong(factor, name="square")(x)
    x = layers.Dense(3, "softmax", name="after")(layers.Flatten()(x))
    return keras.Model(inputs, x, name="squares")


@pytest.mark.parametrize("factor", [1.0, 1.01, -1.0, 0.0], ids=["right", "1 % off", "wrong sign", "none"])
def test_wrong_gradient_is_detected_in_earlier_layers(factor, rng):
    check = gradient_check(squares(factor), *noise(rng, (8, 8, 3)), samples=10)
    layer = check.layer_table.set_index("layer")
    assert check.passed == (factor == 1)
    assert layer.passed["after"], "what lies above the wrong gradient is right"
    assert layer.passed["before"] == (factor == 1)
    if factor != 1:
        expected = abs(1 - factor) / max(1, abs(factor))
        np.testing.assert_allclose(layer.error["before"], expected, rtol=1e-3)
        assert "wrong" in str(check)


def test_the_slopes_of_a_softmax_in_closed_form(rng):
    """The mean crossentropy of softmax(x W + b) has the gradient x' (p - onehot) / N."""
    model = keras.Sequential([keras.Input((5,)), layers.Dense(3, "softmax", name="dense")])
    x, y = rng.normal(size=(7, 5)), np.arange(7) % 3
    check = gradient_check(model, x, y, samples=18)
    kernel, bias = (weight.astype(np.float64) for weight in model.get_weights())
    p = np.exp(x @ kernel + bias)
    p /= p.sum(1, keepdims=True)
    apart = (p - np.eye(3)[y]) / 7
    expected = {"kernel": x.T @ apart, "bias": apart.sum(0)}
    assert len(check.table) == 18, "all there are"
    for row in check.table.itertuples():
        np.testing.assert_allclose(row.analytic, expected[row.weight][row.index], rtol=1e-9)
        np.testing.assert_allclose(row.numeric, expected[row.weight][row.index], rtol=1e-6, atol=1e-10)
    np.testing.assert_allclose(check.loss, -np.log(p[np.arange(7), y]).mean(), rtol=1e-9)


def test_kinks_are_not_errors():
    """All weights 0: each sum is 0, just where the ReLU turns, and the slopes differ by side."""
    model = keras.Sequential([keras.Input((2,)), layers.Dense(3, "relu", name="kink"), layers.Dense(1, name="sum")])
    model.get_layer("kink").kernel.assign(np.zeros((2, 3)))
    model.get_layer("sum").kernel.assign(np.ones((3, 1)))
    x = np.ones((1, 2))
    check = gradient_check(model, x, np.zeros((1, 1)), loss=lambda y, p: p[:, 0], layers="kink", samples=9)
    assert check.table.kink.all()
    assert np.isnan(check.max_error)
    assert not check.passed
    assert "not measured" in str(check)


def test_model_is_unchanged(rng):
    model = build_model("tiny_resnet")
    before = [weight.copy() for weight in model.get_weights()]
    gradient_check(model, *noise(rng, (32, 32, 3), 2), samples=1, layers="logits")
    assert model.dtype == "float32"
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_frozen_and_nested_layers(rng):
    inner = keras.Sequential([keras.Input((6,)), layers.Dense(4, "tanh", name="deep")], name="inner")
    inner.trainable = False
    model = keras.Sequential([keras.Input((6,)), inner, layers.Dense(3, "softmax", name="top")])
    check = gradient_check(model, rng.normal(size=(3, 6)), np.arange(3), samples=3)
    assert list(check.layer_table.layer) == ["deep", "top"]
    assert check.passed
    assert not inner.trainable


def test_another_loss(rng):
    model = keras.Sequential([keras.Input((4,)), layers.Dense(2, name="dense")])
    x, y = rng.normal(size=(5, 4)), rng.normal(size=(5, 2))
    check = gradient_check(model, x, y, loss="mean_squared_error", layers=model.layers[0], samples=10)
    assert check.passed
    kernel, bias = model.get_weights()
    np.testing.assert_allclose(check.loss, np.mean((x @ kernel + bias - y) ** 2), rtol=1e-6)


def test_progress(rng):
    model = keras.Sequential([keras.Input((4,)), layers.Dense(3, name="a"), layers.Dense(2, name="b")])
    told = []
    gradient_check(model, rng.normal(size=(2, 4)), np.arange(2), samples=1, on_progress=lambda *what: told.append(what))
    assert told == [(1, 2, "a"), (2, 2, "b")]


def test_pictures(rng, tmp_path):
    path = gradient_check(squares(1.01), *noise(rng, (8, 8, 3)), samples=2).save(tmp_path / "check.png")
    assert path.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"layers": "befor"}, "Did you mean before"),
        ({"samples": 0}, "`samples` and `step_size` should be positive"),
        ({"loss": 3}, "`loss` should be"),
    ],
)
def test_invalid_arguments(rng, options, text):
    with pytest.raises(ValueError, match=text):
        gradient_check(squares(1.0), *noise(rng, (8, 8, 3)), **options)


def test_model_without_a_valid_configuration(rng):
    class Own(keras.Model):
        def __init__(self, units):
            super().__init__(name="own")
            self.dense = layers.Dense(units)

        def call(self, x):
            return self.dense(x)

    model = Own(3)
    model(np.zeros((1, 4)))
    with pytest.raises(ValueError, match="rebuildable from its configuration"):
        gradient_check(model, rng.normal(size=(2, 4)), np.arange(2))
