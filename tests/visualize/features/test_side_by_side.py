"""Two networks: nothing differs from itself, channels have no order, aliasing is what a stride folds."""

import keras
import numpy as np
import pytest
from keras import layers

from kerascnn import build_model
from kerascnn.visualize import lens
from kerascnn.visualize.engine.query import pictures
from kerascnn.visualize.features.side_by_side import (
    aliasing_measures,
    band_energies,
    cka,
    energy_above,
    power_spectra,
    side_by_side,
)


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).uniform(0, 255, (6, 32, 32, 3)).astype(np.float32)


def test_a_network_against_itself(images, tmp_path):
    model = build_model("tiny_alexnet")
    found = side_by_side(model, model, images)
    assert (found.table.difference == 0).all()
    np.testing.assert_allclose(np.diag(found.similarity), 1)
    assert len(set(found.model_names)) == 2
    assert [len(pair) for pair in found.maps] == [2, 2]
    assert found.layers == (("conv1_relu", "conv1_relu"), ("conv2_relu", "conv2_relu"))
    assert found.save(tmp_path / "both.png").stat().st_size > 10_000


def permuted(model, order):
    """The same network, the filters of its first layer in another order."""
    other = keras.models.clone_model(model)
    other.set_weights(model.get_weights())
    kernel, bias = model.get_layer("first").get_weights()
    other.get_layer("first").set_weights([kernel[..., order], bias[order]])
    return other


def test_the_order_of_channels_does_not_matter(images, rng):
    inputs = keras.Input((32, 32, 3))
    x = layers.Conv2D(8, 5, 2, activation="relu", name="first")(inputs)
    model = keras.Model(inputs, x)
    found = side_by_side(model, permuted(model, rng.permutation(8)), images, layers="first")
    np.testing.assert_allclose(found.table.difference, 0, atol=1e-6)
    np.testing.assert_allclose(found.similarity, 1)


def test_without_images(rng):
    one, other = (build_model(name) for name in ("tiny_alexnet", "tiny_vgg"))
    found = side_by_side(one, other)
    assert found.maps == ()
    assert found.similarity is None
    assert "aliasing" not in found.table.index
    assert found.table.loc["side", "tiny_alexnet"] == 5
    assert found.plot().axes


def waves(*frequencies, side=128):
    """An image of upright stripes, gray, around 128."""
    x = np.arange(side)
    row = 128 + sum(40 * np.cos(2 * np.pi * f * x) for f in frequencies)
    return np.broadcast_to(row[None, None, :, None], (1, side, side, 1)).astype(np.float32)


def strided(kernel):
    """A convolution with stride 4 without padding."""
    model = keras.Sequential([keras.Input((128, 128, 1)), layers.Conv2D(1, len(kernel), 4, use_bias=False)])
    model.layers[-1].set_weights([kernel[:, :, None, None].astype(np.float32)])
    return model


def measured(model, image):
    asked = lens(model)
    return aliasing_measures(asked, asked.graph.nodes[-1], pictures(asked, image))


POINT = np.ones((1, 1))
BELL = np.exp(-np.square(np.arange(-8, 9)) / (2 * 3.0**2))
LOWPASS = np.outer(BELL, BELL) / BELL.sum() ** 2


def test_a_wave_above_nyquist_is_aliased_unless_it_is_filtered_out():
    """0.14 cycles a pixel are 0.56 after a stride of 4, which come back as 0.44."""
    low, both = waves(0.03), waves(0.03, 0.14)
    assert measured(strided(POINT), low)["aliasing"] < 1e-3
    folded = measured(strided(POINT), both)
    assert folded["aliasing"] == pytest.approx(0.5, abs=0.02)  # two waves of equal strength
    assert folded["near_nyquist"] == pytest.approx(0.5, abs=0.05)
    kept = measured(strided(LOWPASS), both)
    assert kept["aliasing"] < 0.002
    assert kept["near_nyquist"] < 0.01


def test_energy_above_a_frequency_of_white_noise(rng):
    """The share of the frequencies."""
    maps = rng.normal(size=(4, 64, 48, 8)).astype(np.float32)
    assert energy_above(maps, (0.375, 0.375)) == pytest.approx(1 - 49 / 64 * 37 / 48, abs=0.01)
    assert energy_above(maps, (0.25, 0.5)) == pytest.approx(1 - 33 / 64, abs=0.01)
    assert np.isnan(energy_above(0 * maps, (0.25, 0.25)))


@pytest.mark.parametrize(("frequency", "band"), [(0.05, "low"), (0.18, "mid"), (0.35, "high")])
def test_bands(frequency, band):
    x = np.arange(31)
    wave = np.hanning(31) * np.cos(2 * np.pi * frequency * x)
    kernel = np.outer(np.hanning(31), wave)[:, :, None, None]
    found = band_energies(power_spectra(kernel))
    assert found[band] > 0.98
    assert found["low"] + found["mid"] + found["high"] == pytest.approx(1)
    assert (found["coverage"] > 0) == (band == "mid")


def test_point_filter_has_a_flat_spectrum():
    found = band_energies(power_spectra(np.ones((1, 1, 3, 2))))
    assert found["coverage"] == 1
    assert found["low"] == pytest.approx(np.pi / 64, rel=0.05)  # the area of the disc
    assert found["mid"] == pytest.approx(3 * np.pi / 64, rel=0.05)
    assert np.isnan(band_energies(power_spectra(np.zeros((5, 5, 3, 2))))["low"])


def test_cka_is_invariant_to_rotation_and_scale(rng):
    x = rng.normal(size=(12, 5))
    turned = 3 * x @ np.linalg.qr(rng.normal(size=(5, 5)))[0] + 7
    assert cka(x, turned) == pytest.approx(1)


def test_cka_of_unrelated_representations_is_near_zero(rng):
    """Also with far more units than images, where without the correction it would be nearly 1."""
    values = [cka(rng.normal(size=(16, 4000)), rng.normal(size=(16, 4000))) for _ in range(5)]
    assert np.abs(np.mean(values)) < 0.15


def test_cka_is_hsic_by_the_sum_over_all_quadruples(rng):
    """Song et al. 2012, by its definition: the mean over i, j, q, r all different."""
    from itertools import permutations

    x, y = rng.normal(size=(6, 3)), rng.normal(size=(6, 2)) + rng.normal(size=(6, 1))

    def hsic(a, b):
        k, m = a @ a.T, b @ b.T
        return np.mean([k[i, j] * (m[i, j] + m[q, r] - 2 * m[i, q]) for i, j, q, r in permutations(range(6), 4)])

    expected = hsic(x, y) / np.sqrt(hsic(x, x) * hsic(y, y))
    assert cka(x, y) == pytest.approx(expected)


def test_errors(rng):
    model = build_model("tiny_alexnet")
    with pytest.raises(ValueError, match="or pairs of them"):
        side_by_side(model, model, layers=[("conv1", "conv2", "conv3")])
    with pytest.raises(ValueError, match="Did you mean conv1"):
        side_by_side(model, model, layers=["convv1"])
    with pytest.raises(ValueError, match="at least 4"):
        cka(rng.normal(size=(3, 2)), rng.normal(size=(3, 2)))


def test_too_few_images_have_no_similarity(images):
    model = build_model("tiny_alexnet")
    found = side_by_side(model, model, images[:2])
    assert found.similarity is None
    assert found.plot().axes
