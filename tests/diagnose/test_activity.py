"""Units over images against numpy on what the layers give; bounds against scipy; dead units that were planted."""

import keras
import numpy as np
import pytest
from keras import layers
from PIL import Image
from scipy.stats import binomtest

from kerascnn import activity, build_model
from kerascnn.diagnose.activity import effective_ranks, treves_rolls, upper_bound


@pytest.fixture(scope="module")
def network():
    """Two layers of ReLUs, in the first of which units 1 and 4 never get above 0; sees images of 0..1."""
    keras.utils.set_random_seed(1)
    inputs = keras.Input((6, 6, 3))
    x = layers.Conv2D(6, 3, name="conv")(inputs)
    x = layers.ReLU(name="relu")(x)
    x = layers.Dense(5, "relu", name="dense")(layers.Flatten()(x))
    model = keras.Model(inputs, layers.Dense(2, "softmax", name="probs")(x), name="planted")
    bias = np.zeros(6)
    bias[[1, 4]] = -1e6
    model.get_layer("conv").bias.assign(bias)
    return model


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(2).uniform(size=(50, 6, 6, 3)).astype("float32")


def test_exactly_the_planted_units_are_dead(network, images):
    found = activity(network, images)
    assert list(found.table.layer) == ["relu", "dense"]
    conv = found.dead[found.dead.layer == "relu"]
    assert list(conv.unit) == [1, 4]
    np.testing.assert_allclose(conv.at_most, 1 - 0.05 ** (1 / 50))
    assert found.table.dead[0] == 2


@pytest.mark.parametrize("batch_size", [7, 50, 64])
def test_statistics_agree_with_numpy(network, images, batch_size):
    found = activity(network, images, batch_size=batch_size)
    for name in ("relu", "dense"):
        a = np.asarray(keras.Model(network.inputs[0], network.get_layer(name).output)(images), np.float64)
        a = a.reshape(50, -1, a.shape[-1])
        rows = found.unit_table[found.unit_table.layer == name]
        np.testing.assert_allclose(rows["mean"], a.mean((0, 1)), rtol=1e-5)
        np.testing.assert_allclose(rows["stddev"], a.std((0, 1)), rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(rows["max"], a.max((0, 1)), rtol=1e-6)
        np.testing.assert_allclose(rows.places, (a > 0).mean((0, 1)), rtol=1e-5)
        np.testing.assert_allclose(rows.images, (a > 0).any(1).mean(0))
        flat = a.reshape(50, -1)
        flat = flat[flat.any(1)]  # an image on which all are silent has no sparsity
        sparsity = (1 - flat.mean(1) ** 2 / (flat**2).mean(1)) / (1 - 1 / flat.shape[1])
        layer = found.table.set_index("layer").loc[name]
        np.testing.assert_allclose(layer.sparsity, sparsity.mean(), rtol=1e-4)


def test_correlations_agree_with_numpy(network, images):
    """Of a dense layer, which has one place: over all images."""
    found = activity(network, images, batch_size=9)
    a = np.asarray(keras.Model(network.inputs[0], network.get_layer("dense").output)(images), np.float64)
    alive = a.std(0) > 0
    matrix = found.correlations["dense"][np.ix_(alive, alive)]
    np.testing.assert_allclose(matrix, np.corrcoef(a[:, alive].T), atol=1e-4)
    assert np.isnan(found.correlations["relu"][1]).all(), "a unit that does not vary"
    v = np.linalg.eigvalsh(np.cov(a.T))
    layer = found.table.set_index("layer").loc["dense"]
    np.testing.assert_allclose(layer.participation, v.sum() ** 2 / (v**2).sum(), rtol=1e-3)


def test_the_order_of_images_does_not_matter(network, images):
    one, other = activity(network, images), activity(network, images[::-1], batch_size=11)
    np.testing.assert_allclose(one.unit_table["stddev"], other.unit_table["stddev"], rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(one.table.participation, other.table.participation, rtol=1e-4)


def test_correlated_units(images):
    inputs = keras.Input((6, 6, 3))
    hidden = layers.Dense(4, "tanh", name="same")
    model = keras.Model(inputs, layers.Dense(2)(hidden(layers.Flatten()(inputs))))
    kernel = np.repeat(np.random.default_rng(0).normal(size=(108, 1)), 4, 1) / 10
    hidden.kernel.assign(kernel * [1, 1, -1, 1])
    layer = activity(model, images).table.iloc[0]
    assert layer.correlated == 1
    np.testing.assert_allclose(layer.correlation, 1, atol=1e-4)
    np.testing.assert_allclose(layer.participation, 1, atol=1e-4)
    assert layer.dead == 0


def test_a_unit_without_a_threshold_is_dead_if_it_is_constant(images):
    inputs = keras.Input((6, 6, 3))
    hidden = layers.Dense(3, "tanh", name="hidden")
    model = keras.Model(inputs, layers.Dense(2)(hidden(layers.Flatten()(inputs))))
    kernel = np.random.default_rng(0).normal(size=(108, 3))
    kernel[:, 1] = 0
    hidden.kernel.assign(kernel)
    hidden.bias.assign([-9.0, 0.5, 0.0])  # negative throughout, but alive
    assert list(activity(model, images).dead.unit) == [1]


@pytest.mark.parametrize("hits", [0, 1, 7, 20])
def test_bounds_are_clopper_and_pearsons(hits):
    exact = binomtest(hits, 20).proportion_ci(0.90, "exact").high  # one-sided 95 %
    np.testing.assert_allclose(upper_bound(hits, 20), exact, rtol=1e-9)


def test_the_rule_of_three():
    np.testing.assert_allclose(upper_bound(0, 1000), 3 / 1000, rtol=0.01)


def test_sparsity_at_its_ends():
    one_hot, equal = np.eye(8)[0], np.ones(8)
    for values, sparsity in ((one_hot, 1), (equal, 0)):
        np.testing.assert_allclose(treves_rolls(values.mean(), (values**2).mean(), 8), sparsity, atol=1e-12)


def test_ranks_of_equal_directions():
    for size in (1, 3, 5):
        covariance = np.diag([2.0] * size + [0.0] * (6 - size))
        np.testing.assert_allclose(effective_ranks(covariance), (size, size))
    assert np.isnan(effective_ranks(np.zeros((3, 3)))).all()


def test_photos_are_preprocessed_as_in_predict(tmp_path, rng):
    model = build_model("tiny_resnet")
    for i in range(3):
        Image.fromarray(rng.integers(0, 256, (40, 50, 3), np.uint8)).save(tmp_path / f"{i}.png")
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n and no more")
    found = activity(model, tmp_path, layers="stem_conv_relu", batch_size=2)
    assert found.image_count == 3
    assert found.unit_table["stddev"].gt(0).any()


def test_several_sizes(images):
    inputs = keras.Input((None, None, 3))
    maps = layers.Conv2D(4, 3, activation="relu", name="conv")(inputs)
    model = keras.Model(inputs, layers.Dense(2)(layers.GlobalAveragePooling2D()(maps)))
    assert activity(model, images).table.units[0] == 4


def test_pictures(network, images, tmp_path):
    path = activity(network, images).save(tmp_path / "activity.png")
    assert path.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"confidence": 1.0}, "`confidence` should be between 0 and 1"),
        ({"batch_size": 0}, "`batch_size` should be an integer"),
        ({"layers": "rel"}, "Did you mean relu"),
    ],
)
def test_invalid_arguments(network, images, options, text):
    with pytest.raises(ValueError, match=text):
        activity(network, images, **options)


def test_no_images(network):
    with pytest.raises(ValueError, match="at least one image"):
        activity(network, np.zeros((0, 6, 6, 3)))
