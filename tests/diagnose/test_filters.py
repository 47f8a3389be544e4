"""Verdicts on filters whose nature is known: Gabors, noise, copies of one; measures against closed forms."""

import keras
import numpy as np
import pytest
from keras import layers

from kerascnn import build_model
from kerascnn.diagnose import filters
from kerascnn.diagnose.filters import measure_filters


def gabor(size, rng):
    """A colored Gabor or blob."""
    y, x = np.mgrid[:size, :size] - (size - 1) / 2
    angle, frequency, phase = rng.uniform(0, np.pi), rng.uniform(0, 0.3), rng.uniform(0, 2 * np.pi)
    envelope = np.exp(-(x**2 + y**2) / (2 * (rng.uniform(0.2, 0.35) * size) ** 2))
    wave = np.cos(2 * np.pi * frequency * (x * np.cos(angle) + y * np.sin(angle)) + phase)
    return (envelope * wave)[..., None] * rng.normal(size=3)


SIZE, COUNT, DRAWS = 7, 40, 6


@pytest.fixture(scope="module")
def banks():
    """Banks of filters by their nature."""
    rng = np.random.default_rng(1)
    gabors = np.stack([gabor(SIZE, rng) for _ in range(COUNT)], -1)
    gabors /= gabors.std((0, 1, 2))
    noise = rng.normal(size=gabors.shape)
    shifted = np.stack([np.roll(gabors[..., 0], tuple(rng.integers(-1, 2, 2)), (0, 1)) for _ in range(COUNT)], -1)
    half = np.arange(COUNT) < COUNT / 2
    return {
        "gabors": gabors,
        "noise": noise,
        "copies": shifted * rng.choice([-1, 1], COUNT) + 0.02 * noise,
        "half dead": np.where(half, gabors, 1e-6 * noise),
        "gabors in noise": gabors + 3 * noise,
        "gabors and a little noise": gabors + 0.2 * noise,
        "pixels shuffled": rng.permutation(gabors.reshape(-1, 3, COUNT)).reshape(gabors.shape),
    }


VERDICTS = {
    "gabors": {"good"},
    "noise": {"too noisy", "unstructured"},
    "copies": {"too correlated"},
    "half dead": {"dead"},
    "gabors in noise": {"too noisy", "unstructured"},
    "gabors and a little noise": {"good"},
}


@pytest.fixture(scope="module")
def found(banks):
    """The verdicts on each."""
    return {nature: filters(bank, draws=DRAWS) for nature, bank in banks.items()}


@pytest.mark.parametrize("nature", VERDICTS)
def test_verdicts(found, nature):
    assert set(found[nature].verdicts) == VERDICTS[nature]


def test_counts_agree_with_the_verdicts(found, rng):
    """Of copies of one random filter each is noisy and a copy; every layer verdict holds for its share of filters."""
    copies = rng.normal(size=(SIZE, SIZE, 3, 1)) + 0.02 * rng.normal(size=(SIZE, SIZE, 3, COUNT))
    both = filters(copies, draws=DRAWS)
    assert {"too noisy", "too correlated"} <= set(both.verdicts)
    assert both.counts == {"too noisy": COUNT, "too correlated": COUNT}
    assert f"of {COUNT} filters {COUNT} too noisy, {COUNT} too correlated" in str(both)
    for bank in (*found.values(), both):
        for name, share in {"dead": 0.25, "too noisy": 0.5, "too correlated": 0.5}.items():
            held = sum(name in verdict for verdict in bank.table.verdict)
            assert bank.counts.get(name, 0) == held
            assert (name in bank.verdicts) == (held >= share * COUNT)
        assert bank.counts.get("good", 0) == (bank.table.verdict == "good").sum()


def test_shuffled_pixels_are_noisier(found):
    """The same weights, the same directions, no smoothness."""
    whole, shuffled = (found[nature].table for nature in ("gabors", "pixels shuffled"))
    assert whole.smoothness.median() > 0.5 > shuffled.smoothness.median()
    assert (shuffled.noise > whole.noise).mean() > 0.9


def test_the_scale_of_weights_does_not_matter(banks, found):
    one, other = found["gabors"], filters(1e-4 * banks["gabors"], draws=DRAWS)
    np.testing.assert_allclose(one.table.noise, other.table.noise)
    assert list(one.table.verdict) == list(other.table.verdict)


@pytest.mark.parametrize("seed", range(4))
def test_a_new_network_has_noise(seed):
    """What a layer starts with is told from what it learns, whatever the seed."""
    keras.utils.set_random_seed(seed)
    model = keras.Sequential([keras.Input((32, 32, 3)), layers.Conv2D(COUNT, 7, name="first"), layers.Conv2D(8, 3)])
    found = filters(model, draws=DRAWS)
    assert found.layer == "first"
    assert set(found.verdicts) == {"too noisy", "unstructured"}
    assert (found.table.verdict == "too noisy").mean() > 0.9


def test_learned_filters_are_good(shared):
    weights = shared("weights", "squeezenet1_0_caffe.safetensors")
    found = filters(build_model("squeezenet1_0_caffe", weights=weights), draws=DRAWS)
    assert found.kernel.shape == (7, 7, 3, 96)
    assert found.verdicts == ("good",)
    assert found.bank.set_index("measure").value["directions"] >= 5


def test_small_filters_are_not_called_noisy(rng):
    found = filters(rng.normal(size=(3, 3, 16, 32)), draws=DRAWS)
    assert not found.sufficient
    assert "too noisy" not in found.verdicts
    assert "too small" in str(found)


def test_measures_in_closed_form(rng):
    row, column = rng.normal(size=7), rng.normal(size=7)
    kernel = np.zeros((7, 7, 1, 4))
    kernel[..., 0, 0] = np.outer(column, row)  # of rank 1
    kernel[..., 0, 1] = 1  # constant: one frequency, each weight its neighbor
    kernel[3, 3, 0, 2] = 1  # a point: all frequencies alike
    kernel[2, 4, 0, 3] = -2  # the same point elsewhere, other sign
    each, bank = measure_filters(kernel, np.arange(4))
    np.testing.assert_allclose(each["separable"], 1)
    np.testing.assert_allclose(each["concentration"][1], 1)
    np.testing.assert_allclose(each["concentration"][2], 5 / 49)  # a tenth of 49 frequencies, rounded
    np.testing.assert_allclose(each["smoothness"][1:3], [1, 0], atol=1e-12)
    np.testing.assert_allclose(each["twin"][2:], 1)
    assert bank["entropy_rank"] <= 4


def test_equal_directions_have_the_rank_of_their_number():
    kernel = np.eye(9).reshape(3, 3, 1, 9)
    _, bank = measure_filters(kernel, np.arange(9))
    np.testing.assert_allclose(bank["entropy_rank"], 9)


def test_chance_is_marchenko_and_pasturs():
    """The largest singular value of an m x n matrix of Gaussians is near sqrt(m) + sqrt(n)."""
    kernel = np.random.default_rng(0).normal(size=(11, 11, 3, 96))
    _, bank = measure_filters(kernel, np.arange(0))
    expected = (np.sqrt(363) + np.sqrt(96)) / np.sqrt(363 * 96)
    np.testing.assert_allclose(bank["largest"], expected, rtol=0.03)


def test_depthwise_and_transposed_filters(rng):
    inputs = keras.Input((16, 16, 4))
    x = layers.DepthwiseConv2D(5, depth_multiplier=2, name="depthwise")(inputs)
    model = keras.Model(inputs, layers.Conv2DTranspose(6, 5, name="up")(x))
    assert filters(model, "depthwise").kernel.shape == (5, 5, 1, 8)
    up = filters(model, model.get_layer("up")).kernel
    np.testing.assert_array_equal(up[..., 3], model.get_layer("up").get_weights()[0][:, :, 3])


def test_pictures(found, tmp_path):
    path = found["gabors in noise"].save(tmp_path / "filters.png")
    assert path.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("layer", "options", "text"),
    [("stage1_con", {}, "Did you mean stage1_conv1"), (None, {"draws": 1}, "`draws` should be at least 2")],
)
def test_invalid_arguments(layer, options, text):
    with pytest.raises(ValueError, match=text):
        filters(build_model("squeezenet1_1", input_shape=(64, 64, 3)), layer, **options)


def test_a_model_without_convolutions():
    with pytest.raises(ValueError, match="should have a 2D convolution"):
        filters(keras.Sequential([keras.Input((4,)), layers.Dense(2)]))
