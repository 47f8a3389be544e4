"""Sanity checks: methods that read the network and methods that do not, on networks small enough to know."""

from types import SimpleNamespace

import keras
import numpy as np
import pytest
import tensorflow as tf
from numpy.lib.stride_tricks import sliding_window_view
from scipy.stats import spearmanr

from kerascnn.visualize.attribution.sanity import (
    chance_correlation,
    correlations,
    initializer_of,
    layers_to_randomize,
    randomize_layer,
    sanity,
    ssim,
    trainable_layers,
)

SIDE = 16


@keras.saving.register_keras_serializable("test_sanity")
class Bare(keras.layers.Layer):
    """A layer whose weight has no initializer that could be found."""

    def build(self, shape):
        self.slope = self.add_weight(shape=(shape[-1],), name="slope", initializer="ones")

    def call(self, x):
        return x * self.slope


def network():
    inner = keras.Sequential(
        [keras.Input((SIDE, SIDE, 8)), keras.layers.Conv2D(8, 3, padding="same", name="inside"), Bare(name="bare")],
        name="inner",
    )
    return keras.Sequential(
        [
            keras.Input((SIDE, SIDE, 1)),
            keras.layers.Rescaling(1 / 255),
            keras.layers.Conv2D(8, 3, padding="same", activation="tanh", name="first"),
            keras.layers.BatchNormalization(name="norm"),
            inner,
            keras.layers.DepthwiseConv2D(3, padding="same", name="depthwise"),
            keras.layers.Flatten(),
            keras.layers.Dense(3, name="scores"),
        ],
        name="small",
    )


@pytest.fixture
def model(rng):
    found = network()
    found.set_weights([rng.normal(0, 0.3, w.shape) + (w.ndim == 1) for w in found.get_weights()])
    return found


@pytest.fixture
def images(rng):
    return rng.uniform(0, 255, (3, SIDE, SIDE, 1)).astype(np.float32)


def given(maps, images, method="gradient"):
    return SimpleNamespace(map=maps, images=images, names=tuple("abc"), classes=None, method=method)


def gradient(model, images, classes=None):
    x = tf.constant(images)
    with tf.GradientTape() as tape:
        tape.watch(x)
        scores = tf.gather(model(x, training=False), list(classes), axis=1, batch_dims=1)
    return given(tape.gradient(scores, x).numpy().sum(-1), images)


def weighted(model, images, classes=None):
    """The image times the weights of its class in the last layer: quick, and it forgets."""
    kernel = model.layers[-1].get_weights()[0].reshape(SIDE, SIDE, -1, 3).sum(2)
    return given(np.moveaxis(kernel[..., list(classes)], -1, 0) * images[..., 0], images, "weighted")


def edges(model, images, classes=None):
    along = np.gradient(images[..., 0], axis=(1, 2))
    return given(np.hypot(*along), images, "edges")


def test_gradient_passes(model, images):
    found = sanity(model, images, method=gradient)
    assert found.passes
    last = found.table.iloc[-1]
    assert abs(last.rank_correlation) < 0.2
    assert abs(last.signed_rank_correlation) < 0.2
    assert "depends on the trained weights" in str(found)


def test_edge_detector_fails(model, images):
    found = sanity(model, images, method=edges)
    assert not found.passes
    np.testing.assert_allclose(found.table[["rank_correlation", "signed_rank_correlation", "ssim"]], 1)
    assert (found.table.constant == 0).all()
    assert "does not depend" in str(found)


def test_rows_go_from_the_scores_down(model, images):
    names = ["scores", "depthwise", "inner/inside", "first"]
    table = sanity(model, images, method=edges).table
    assert table.layer.tolist() == names
    assert sanity(model, images, method=edges, layers=["inner/bare"]).table.layer.tolist() == [
        "inner/bare",
        "all layers",
    ]
    alone = sanity(model, images, method=edges, independent=True)
    assert alone.table.layer.tolist() == [*names, "all layers"]


@pytest.mark.parametrize("independent", [False, True], ids=["cascading", "independent"])
def test_which_layers_are_random_at_each_step(model, images, independent):
    own, seen = learned_weights(model), []

    def method(copy, images, classes=None):
        now = learned_weights(copy)
        seen.append({name for name in own if any((a != b).any() for a, b in zip(own[name], now[name], strict=True))})
        return edges(copy, images)

    sanity(model, images, method=method, independent=independent)
    everything, top, middle = {*own}, {"scores"}, {"inner/inside", "inner/bare"}
    if independent:
        assert seen == [set(), top, {"depthwise"}, {"inner/inside"}, {"first"}, everything]
    else:
        assert seen == [set(), top, top | {"depthwise"}, top | {"depthwise"} | middle, everything]


def learned_weights(model):
    return {name: layer.get_weights() for name, layer in trainable_layers(model).items()}


def test_model_is_unchanged_even_after_an_error(model, images):
    before, frozen = model.get_weights(), model.layers[1]
    frozen.trainable = False
    calls = []

    def failing(copy, images, classes=None):
        calls.append(copy)
        if len(calls) == 3:
            raise RuntimeError("no more")
        return edges(copy, images)

    with pytest.raises(RuntimeError, match="no more"):
        sanity(model, images, method=failing)
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    assert not frozen.trainable
    assert all(layer.trainable for layer in model.layers if layer is not frozen)
    assert model not in calls
    sanity(model, images, method=weighted)
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_the_same_classes_at_every_step_and_options_are_handed_on(model, images):
    seen = []

    def method(copy, images, classes=None, noise=0):
        seen.append((tuple(classes), noise))
        return edges(copy, images)

    sanity(model, images, method=method, noise=3)
    likeliest = tuple(model.predict_on_batch(images).argmax(-1).tolist())
    assert {*seen} == {(likeliest, 3)}
    assert len(seen) == 5


def test_a_seed_repeats(model, images):
    first, second, other = (
        sanity(model, images, (0, 1, 2), method=weighted, layers=["scores"], seed=s) for s in (1, 1, 2)
    )
    np.testing.assert_array_equal(first.maps, second.maps)
    assert (first.maps[-1] != other.maps[-1]).any()
    np.testing.assert_array_equal(first.maps[0], other.maps[0])


def test_weights_are_drawn_by_their_own_initializers(rng):
    layer = keras.layers.Dense(400, kernel_initializer="he_normal", bias_initializer="ones")
    layer.build((None, 300))
    layer.set_weights([np.full((300, 400), 7.0), np.full(400, 7.0)])
    randomize_layer(layer, rng)
    kernel, bias = layer.get_weights()
    assert kernel.std() == pytest.approx(np.sqrt(2 / 300), rel=0.02)
    assert (bias == 1).all()


@pytest.mark.parametrize(
    ("layer", "weight", "initializer"),
    [
        (keras.layers.BatchNormalization(), "moving_variance", "Ones"),
        (keras.layers.DepthwiseConv2D(3, depthwise_initializer="he_normal"), "kernel", "HeNormal"),
        (keras.layers.SeparableConv2D(4, 3, pointwise_initializer="he_normal"), "pointwise_kernel", "HeNormal"),
        (keras.layers.PReLU(), "alpha", "Zeros"),
    ],
    ids=["batch norm", "depthwise", "separable", "prelu"],
)
def test_initializers_are_found(layer, weight, initializer):
    layer.build((None, 8, 8, 3))
    named = {each.name: each for each in layer.weights}
    assert type(initializer_of(layer, named[weight])).__name__ == initializer


def test_weights_without_an_initializer_are_shuffled(rng):
    layer = Bare()
    layer.build((None, 50))
    values = rng.normal(size=50).astype(np.float32)
    layer.set_weights([values])
    randomize_layer(layer, rng)
    (shuffled,) = layer.get_weights()
    assert (shuffled != values).any()
    np.testing.assert_array_equal(np.sort(shuffled), np.sort(values))


def test_deep_networks_are_randomized_at_twelve_layers():
    learned = {f"layer{i}": SimpleNamespace(weights=[np.zeros((2, 2))[: 1 + i % 2].squeeze()]) for i in range(80)}
    cuts = layers_to_randomize(learned, None)
    assert len(cuts) == 12
    assert (cuts[0], cuts[-1]) == ("layer1", "layer79")
    assert all(int(name.removeprefix("layer")) % 2 for name in cuts)  # those with a kernel


def test_rank_correlations_are_scipys_with_ties(rng):
    one, other = rng.integers(0, 5, (2, 4, 6, 7)).astype(np.float32)
    expected = [spearmanr(a.ravel(), b.ravel()).statistic for a, b in zip(one, other, strict=True)]
    np.testing.assert_allclose(correlations(one, other), expected)
    assert (correlations(one, np.ones_like(one)) == 0).all()


def test_chance_is_the_quantile_over_all_shifts(rng):
    one, other = rng.random((2, 1, 5, 6))
    shifts = [np.roll(other, (y, x), (1, 2)) for y in range(5) for x in range(6)]
    every = [correlations(one, shifted)[0] for shifted in shifts]
    assert chance_correlation(one, other) == pytest.approx(np.quantile(every, 0.95))


def test_ssim_is_the_mean_over_windows(rng):
    one, other = rng.random((2, 1, 9, 10))
    a, b = (np.minimum(each[0] / np.percentile(each, 99), 1) for each in (one, other))
    a, b = (sliding_window_view(np.pad(each, 3, mode="symmetric"), (7, 7)).reshape(90, 49) for each in (a, b))
    level = (2 * a.mean(1) * b.mean(1) + 1e-4) / (a.mean(1) ** 2 + b.mean(1) ** 2 + 1e-4)
    together = ((a - a.mean(1, keepdims=True)) * (b - b.mean(1, keepdims=True))).mean(1)
    structure = (2 * together + 9e-4) / (a.var(1) + b.var(1) + 9e-4)
    assert ssim(one, other)[0] == pytest.approx((level * structure).mean())
    np.testing.assert_allclose(ssim(one, one * 3), 1)


def test_constant_maps_are_counted_and_left_out(model, images):
    calls = []

    def method(copy, images, classes=None):
        calls.append(copy)
        maps = edges(copy, images).map
        return given(maps * np.array([1, 1, len(calls) == 1])[:, None, None], images)

    found = sanity(model, images, (0, 0, 0), method=method, layers=["scores"])
    np.testing.assert_allclose(found.table.rank_correlation, 1)
    np.testing.assert_allclose(found.table.constant, 1 / 3)

    def silent(copy, images, classes=None):
        return given(0 * edges(copy, images).map, images)

    nothing = sanity(model, images, (0, 0, 0), method=silent, layers=["scores"])
    assert nothing.passes is None
    assert "constant" in str(nothing)
    nothing.plot()


@pytest.mark.parametrize("method", [weighted, edges], ids=["signed", "unsigned"])
def test_figures(method, model, images, tmp_path):
    sanity(model, images, method=method).save(tmp_path / "sanity.png")
    assert (tmp_path / "sanity.png").stat().st_size > 10_000


def test_errors(model, images):
    with pytest.raises(ValueError, match="Did you mean depthwise"):
        sanity(model, images, method=gradient, layers=["depthwse"])
    flat = keras.Sequential([keras.Input((4, 4, 1)), keras.layers.Flatten()])
    with pytest.raises(ValueError, match="`model` should have layers with trainable weights"):
        sanity(flat, np.zeros((1, 4, 4, 1)), method=gradient)


def test_method_is_a_keyword_argument(model, images):
    """The model comes first, as everywhere, and an error says what a method is."""
    with pytest.raises(TypeError, match="method"):
        sanity(model, images)
    with pytest.raises(
        ValueError, match="`method` should be a function.*'saliency'; did you mean kerascnn.visualize.saliency"
    ):
        sanity(model, images, method="saliency")
