"""Inversion, against networks that can be inverted and the formula of Mahendran & Vedaldi in numpy."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers
from models import equal, snapshot
from synthesis_models import SIZE, curved, gates, known, linear, straight

from kerascnn import build_model
from kerascnn.visualize import invert, lens
from kerascnn.visualize.engine.scores import INPUT
from kerascnn.visualize.synthesis.invert import default_layers, mahendran_recipe, psnr, relative_depth
from kerascnn.visualize.synthesis.params import GRAY, Pixels

NOISY = Pixels(noise=30, clip=False)
CLOSE = straight("adam", 150, 2.0, params=NOISY)


@pytest.fixture(scope="module")
def model():
    return known()


@pytest.fixture(scope="module")
def photos():
    """Smooth pictures."""
    coarse = np.random.default_rng(1).uniform(40, 215, (3, 3, 3, 3))
    return tf.image.resize(coarse, SIZE[:2], "bicubic").numpy().clip(0, 255)


def test_inverting_the_input_recovers_the_pixels(model, photos):
    image = photos[:1]
    found = invert(model, image, "input", recipe=straight("plain", 40, 0.25 * np.square(image).sum(), params=NOISY))
    np.testing.assert_allclose(found.reconstructions[0, :, 0], image, atol=1e-2)
    assert found.table["psnr"][0] > 80
    assert found.errors[0, 0, 0] < 1e-6


def test_an_invertible_linear_network_is_inverted(photos, rng):
    count = int(np.prod(SIZE))
    model = linear(count, SIZE)
    turn = np.linalg.qr(rng.normal(0, 1, (count, count)))[0] * rng.uniform(0.7, 1, count)
    model.layers[-1].kernel.assign(turn)
    code = model(photos[:1]).numpy()
    recipe = straight("plain", 80, 0.5 * np.square(code).sum(), params=NOISY)
    found = invert(model, photos[:1], "scores", recipe=recipe, copies=2)
    for copy in found.reconstructions[0, 0]:
        np.testing.assert_allclose(copy, photos[0], atol=1e-3 * 255)


def test_errors_match_the_formula_and_decrease(model, photos):
    found = invert(model, photos, ["conv", "top"], copies=2, steps=200)
    for i, layer in enumerate(("conv", "top")):
        inner = keras.Model(model.input, model.get_layer(layer).output)
        codes = inner(photos).numpy()
        for j, copies in enumerate(found.reconstructions[i]):
            gap = np.square(inner(copies).numpy() - codes[j]).sum((1, 2, 3)) / np.square(codes[j]).sum()
            np.testing.assert_allclose(found.errors[i, j], gap, rtol=1e-3, atol=1e-6)
        others = [np.square(codes[j] - codes[k]).sum() / np.square(codes[j]).sum() for j, k in ((0, 1), (1, 2), (2, 0))]
        assert found.errors[i].max() < min(others)
        assert (found.error_curves[i][-1] < found.error_curves[i][0] / 3).all()


def test_copies_with_the_same_activations_differ_in_pixels(model, photos):
    table = invert(model, photos[:2], "top", copies=3, recipe=CLOSE).table
    assert len(table) == 6
    assert table["error"].max() < 0.05
    assert table["diversity"].min() > 10


def test_table_has_the_diversity_of_copies(model, photos):
    found = invert(model, photos[:1], ["conv", "logits"], copies=3, steps=5)
    table = found.table
    assert table[["layer", "image", "copy"]].values.tolist() == [
        [layer, "image 0", k] for layer in ("conv", "logits") for k in range(3)
    ]
    copies = found.reconstructions[1, 0].clip(0, 255)
    rms = np.sqrt(np.square(copies[:, None] - copies[None]).mean((2, 3, 4)))
    np.testing.assert_allclose(table["diversity"][3:], rms.sum(1) / 2, rtol=1e-4)
    np.testing.assert_allclose(table["psnr"][3], psnr(copies[0], photos[0]))
    np.testing.assert_allclose(table["error"], found.errors.ravel())


def test_psnr():
    assert psnr(np.full((2, 2, 3), 10.0), np.full((2, 2, 3), 35.5)) == pytest.approx(20)


@pytest.mark.parametrize(("depth", "rough"), [(0.0, 0.5), (0.5, 5.0), (1.0, 50.0)])
def test_priors_are_those_of_the_paper(depth, rough, rng):
    """Sums over an image in units of sigma, the norm of a typical one: 27,098 for their 227 x 227."""
    shape = (6, 5, 3)
    x, sigma = rng.normal(0, 60, shape), 27098.1 * np.sqrt(np.prod(shape) / (227 * 227 * 3))
    y = np.pad(x, ((0, 1), (0, 1), (0, 0)), "edge") / sigma
    variation = np.square(np.diff(y, axis=0)[:, :-1]).sum() + np.square(np.diff(y, axis=1)[:-1]).sum()
    expected = rough * variation, 2.16e8 * (np.abs(x / sigma) ** 6).sum()
    recipe = mahendran_recipe(shape, depth)
    acts = {INPUT: tf.constant(x[None] + GRAY, tf.float32)}
    found = [weight * float(prior.of(acts, *prior.feeds)[0]) for weight, prior in recipe.priors]
    np.testing.assert_allclose(found, expected, rtol=5e-3)
    np.testing.assert_allclose(
        recipe.learning_rates[[0, 150, 350]], 0.004 * sigma**2 * np.array([1, 0.1, 0.01]), rtol=1e-3
    )
    assert recipe.steps == 400


def test_default_layers_are_the_last_of_each_stage():
    asked = lens(build_model("tiny_vgg"))
    layers = default_layers(asked)
    assert layers[-1] == "logits"
    assert list(layers[:-1]) == [f"stage{i + 1}" for i in range(len(layers) - 1)]
    depths = [relative_depth(asked, layer) for layer in layers]
    assert depths == sorted(depths)
    assert depths[-1] == 1
    assert default_layers(lens(curved()))[-1] == "logits"


@pytest.mark.parametrize("kind", ["dead code", "huge weights"])
def test_nan_is_never_returned(kind, photos):
    model = gates(-1e6) if kind == "dead code" else gates(-100.0, weight=1e6)
    found = invert(model, photos, "gate", steps=30)
    assert np.isfinite(found.reconstructions).all()
    assert np.isfinite(found.errors).all()


def test_other_bounds(model, photos):
    x = keras.Input(SIZE)
    foreign = keras.Model(x, model(layers.Rescaling(127.5, 127.5)(x)))
    expected = invert(model, photos, "logits", steps=20)
    found = invert(foreign, photos, "logits", steps=20, bounds=(-1, 1), recipe=expected.recipe)
    np.testing.assert_allclose(found.reconstructions, expected.reconstructions, atol=0.2)


def test_copies_get_the_other_inputs_too(photos, rng):
    x, age = keras.Input(SIZE, name="photo"), keras.Input((4,), name="age")
    model = keras.Model([x, age], layers.Dense(6, name="both")(layers.Concatenate()([layers.Flatten()(x), age])))
    given = {"photo": photos, "age": rng.normal(0, 1, (3, 4)).astype(np.float32)}
    found = invert(lens(model, input="photo"), given, "both", copies=2, recipe=CLOSE)
    assert found.errors.shape == (1, 3, 2)
    assert found.errors.max() < 0.05


def test_on_progress_reports_all_layers_and_the_model_is_unchanged(model, photos):
    before, told = snapshot(model, photos), []
    invert(
        model, photos[:1], ["conv", "top"], steps=4, on_progress=lambda done, total, what: told.append((done, total))
    )
    assert told == [(4, 8), (8, 8)]
    with pytest.raises(ValueError, match="conw"):
        invert(model, photos, "conw")
    equal(snapshot(model, photos), before)


def test_plot_and_save(model, photos, tmp_path):
    found = invert(model, photos[:2], ["conv", "logits"], copies=2, steps=3)
    found.save(tmp_path / "inverted.png")
    assert (tmp_path / "inverted.png").stat().st_size > 1000
    assert str(found) == "2 images inverted from conv, logits"


@pytest.mark.nightly
def test_deeper_layers_reconstruct_less(squeezenet, shared):
    photo = sorted(shared("data", "imagenet_sample").glob("*.jpg"))[10]
    table = invert(squeezenet, [photo], ["stage1", "stage4"], steps=40).table
    assert table["psnr"][0] > table["psnr"][1] + 1
    assert table["error"].max() < 1
