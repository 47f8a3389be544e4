"""`fit`: against numpy, the same again, what it leaves alone, and how it refuses."""

import re
from dataclasses import replace

import keras
import numpy as np
import pytest
from keras import layers
from learners import QUICK, descended, images, linear, made, same, small, values

from kerascnn import build_model, fit
from kerascnn.data import load
from kerascnn.training.fit import plan_training, select_recipe
from kerascnn.training.learner import cross_entropy, prepare_learner
from kerascnn.training.recipes import RECIPES, recipe_of
from kerascnn.training.schedules import Steps


@pytest.mark.parametrize("nesterov", [False, True], ids=["momentum", "nesterov"])
def test_softmax_regression_in_numpy(nesterov, rng):
    """Five steps over all images, the rate lowered on the way."""
    x, y = (images(12, 4)[0] / 64).astype("float32"), np.arange(12) % 3
    model = linear()
    kernel, bias = (np.array(v, float) for v in model.get_layer("logits").weights)
    row = made(
        learning_rate=0.1, momentum=0.9, nesterov=nesterov, l2=0.05, batch_size=12, epochs=5, schedule=Steps((0.6,))
    )
    rates, losses = [0.1, 0.1, 0.1, 0.01, 0.01], []
    history = fit(model, (x, y), row, verbose=False)
    flat, hot = x.reshape(12, -1).astype(float), np.eye(3)[y]
    velocity = [np.zeros_like(kernel), np.zeros_like(bias)]
    for rate in rates:
        powers = np.exp(flat @ kernel + bias)
        probs = powers / powers.sum(1, keepdims=True)
        losses.append(-np.log((probs * hot).sum(1)).mean())
        steps = [rate * (flat.T @ (probs - hot) / 12 + 0.05 * kernel), rate * (probs - hot).mean(0)]
        velocity = [0.9 * v - step for v, step in zip(velocity, steps, strict=True)]
        moves = [0.9 * v - step if nesterov else v for v, step in zip(velocity, steps, strict=True)]
        kernel, bias = kernel + moves[0], bias + moves[1]
    np.testing.assert_allclose(history.table.loss, losses, rtol=1e-4)
    np.testing.assert_allclose(history.table.learning_rate, rates, rtol=1e-6)
    np.testing.assert_allclose(model.get_layer("logits").kernel, kernel, atol=1e-5)
    np.testing.assert_allclose(model.get_layer("logits").bias, bias, atol=1e-5)


def test_reference_agrees_with_its_closed_form():
    """Without momentum and gradient L2 alone shrinks by (1 - rate l2) a step."""
    left = descended(np.ones(1), [0.0] * 3, [0.1] * 3, momentum=0.0, nesterov=False, l2=0.5)
    assert left == pytest.approx(0.95**3)


def test_weight_decay_equals_keras_l2_of_half_the_rate():
    x, y = images(16, 4)
    data, row = (x / 64, y), replace(QUICK, epochs=2, l2=0.2)
    keras.utils.set_random_seed(1)
    ours, theirs = linear(), linear()
    theirs.set_weights(ours.get_weights())
    theirs.get_layer("logits").kernel.regularizer = keras.regularizers.L2(0.1)
    fit(ours, data, row, verbose=False)
    fit(theirs, data, replace(row, l2=0.0), verbose=False)
    for a, b in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("from_logits", [True, False], ids=["logits", "probabilities"])
def test_cross_entropy(smoothing, from_logits, rng):
    scores, y = rng.normal(size=(5, 4)).astype("float32"), np.array([0, 3, 1, 1, 2])
    probs = np.exp(scores) / np.exp(scores).sum(1, keepdims=True)
    target = (1 - smoothing) * np.eye(4)[y] + smoothing / 4
    found = cross_entropy(from_logits, smoothing)(y, scores if from_logits else probs)
    assert float(np.mean(found)) == pytest.approx(-(target * np.log(probs)).sum(1).mean(), rel=1e-5)


def test_the_same_seed_gives_the_same_weights():
    data = (images(), images(9, seed=1))
    runs = []
    for seed in (0, 0, 1):
        model = small()
        fit(model, data, QUICK, seed=seed, verbose=False)
        runs.append(values(model))
    assert same(runs[0], runs[1])
    assert not same(runs[0], runs[2])


def test_compile_settings_are_kept():
    model = small()
    model.compile("adam", "mse")
    optimizer = model.optimizer
    fit(model, images(), replace(QUICK, epochs=1), verbose=False)
    assert model.optimizer is optimizer
    assert model.loss == "mse"
    assert not model.losses
    assert int(optimizer.iterations) == 0


def test_frozen_layers_do_not_change():
    """Their statistics too, and whatever was frozen before the last compile."""
    model = small()
    model.compile("sgd", "mse")
    frozen = [model.get_layer("conv"), model.get_layer("norm")]
    for layer in frozen:
        layer.trainable = False
    before = [values(layer) for layer in frozen]
    rest = np.array(model.get_layer("logits").kernel)
    fit(model, images(), QUICK, epochs=1, verbose=False)
    assert all(same(a, values(layer)) for a, layer in zip(before, frozen, strict=True))
    assert not np.array_equal(rest, model.get_layer("logits").kernel)
    model.trainable = False
    with pytest.raises(ValueError, match=r"`model` should have a trainable layer. Received: small"):
        fit(model, images())


def aided():
    """A classifier with an auxiliary one."""
    keras.utils.set_random_seed(0)
    inputs = keras.Input((6, 6, 1))
    x = layers.Rescaling(1 / 255)(layers.Flatten()(inputs))
    ends = {name: layers.Softmax(name=name)(layers.Dense(3, name=f"{name}_logits")(x)) for name in ("probs", "aux1")}
    return keras.Model(inputs, ends)


def test_auxiliary_losses_have_the_recipes_weights():
    """A first step of the auxiliary classifier is proportional to its weight in the loss."""
    data, moved = images(8), {}
    for weight in (0.3, 0.6):
        model = aided()
        kernels = {name: np.array(model.get_layer(f"{name}_logits").kernel) for name in ("probs", "aux1")}
        history = fit(
            model, (data, data), made(learning_rate=1e-3, momentum=0.0, batch_size=8, aux_weight=weight), verbose=False
        )
        moved[weight] = {name: model.get_layer(f"{name}_logits").kernel - kernels[name] for name in kernels}
    assert np.abs(moved[0.3]["aux1"]).max() > 0
    np.testing.assert_allclose(moved[0.6]["aux1"], 2 * moved[0.3]["aux1"], rtol=1e-2, atol=1e-7)
    np.testing.assert_allclose(moved[0.6]["probs"], moved[0.3]["probs"], rtol=1e-4, atol=1e-8)
    assert history.table.notna().all(axis=None)


@pytest.mark.nightly
def test_auxiliary_classifiers_of_googlenet_are_trained():
    model, data = build_model("tiny_googlenet"), images(8, 32, 3)
    before = {v.path: np.array(v) for v in model.trainable_variables if "aux" in v.path and v.path.endswith("kernel")}
    fit(model, (data, data), made(learning_rate=1e-3, batch_size=8), verbose=False)
    assert len(before) >= 2
    assert not any(np.array_equal(before[v.path], v) for v in model.trainable_variables if v.path in before)


WRONG = {
    "recipe": ({"recipe": "resnet_cifr"}, "Unknown recipe 'resnet_cifr'. Did you mean resnet_cifar"),
    "epochs": ({"epochs": 0}, "`epochs` should be an integer of at least 1. Received: 0"),
    "batch_size": ({"batch_size": 2.5}, "`batch_size` should be an integer"),
    "learning rate": ({"learning_rate": -1}, "`learning_rate` should be a number above 0. Received: -1"),
    "seed": ({"seed": "a"}, "`seed` should be a non-negative integer. Received: 'a'"),
    "data": ({"data": [1]}, "`data` should be a dataset of kerascnn.load"),
    "labels": ({"data": (images()[0], np.arange(24))}, "labels 0 to 2, the classes of small. Received: 0 to 23"),
    "lengths": ({"data": (images()[0], np.arange(3))}, "`data` should be a dataset of kerascnn.load"),
    "nan": ({"data": (images()[0] * np.nan, images()[1])}, "NaN or infinity in the pixels"),
    "resume": ({"resume": True}, "`out` should be the folder of the run to resume"),
    "augment": ({"augment": "crop_flp"}, "Unknown augmentation 'crop_flp'. Did you mean crop_flip"),
    "verbose": ({"verbose": 7}, "`verbose` should be 'auto', 0, 1 or 2. Received: 7"),
}


@pytest.mark.parametrize("name", WRONG)
def test_invalid_arguments(name):
    given, text = WRONG[name]
    with pytest.raises(ValueError, match=re.escape(text)):
        fit(small(), **{"data": images()} | given)


def test_scaled_pixels_raise_a_warning():
    x, y = images()
    with pytest.warns(UserWarning, match="0..255"):
        plan_training(small(), (x / 255, y), QUICK, 0)


ASKED = {"epochs": None, "batch_size": None, "learning_rate": None, "augment": None}
PHOTOS = {  # a network, its size: what becomes of photo_crop and resized_crop
    "photos": ("alexnet", 96, "photo_crop"),
    "small": ("alexnet", 64, "crop_flip"),
    "photos of 2015": ("resnet", 96, "resized_crop"),
    "small of 2015": ("resnet", 32, "crop_flip"),
    "ours": ("onecycle", 32, "shift"),
}


@pytest.mark.parametrize("case", PHOTOS)
def test_small_images_are_not_cropped_like_photos(case):
    name, side, augment = PHOTOS[case]
    assert select_recipe(name, small(side=side), ASKED).augment == augment
    assert select_recipe(name, small(side=side), ASKED | {"augment": "flip"}).augment == "flip"


def test_labels_may_be_a_column_as_in_keras_datasets():
    x, y = images()
    assert (plan_training(small(), (x, y[:, None].astype("uint8")), QUICK, 0).train.labels == y).all()


def test_a_name_is_loaded():
    """scikit-learn's digits; the test part is left alone."""
    plan, data = plan_training(small(side=32, classes=10), "digits", QUICK, 3), load("digits", seed=3)
    assert (plan.name, len(plan.train), len(plan.valid)) == ("digits", len(data.train), len(data.valid))
    assert len(data.test) > 100


def test_published_is_the_recipe_of_the_authors():
    assert select_recipe("published", build_model("lenet5"), ASKED) == recipe_of("lenet5")


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_trains_two_steps(name):
    model = small(side=16)
    before = values(model)
    history = fit(model, images(8, 16), name, epochs=1, batch_size=4, verbose=False)
    moved = [not np.array_equal(a, b) for a, b in zip(before, values(model), strict=True)]
    assert np.mean(moved) > 0.8
    assert np.isfinite(history.table.loss).all()


@pytest.mark.nightly
def test_half_precision_has_its_loss_scaled():
    model = build_model("tiny_resnet", dtype="mixed_float16")
    learner = prepare_learner(model, QUICK, 0)
    assert isinstance(learner.compiled.optimizer, keras.optimizers.LossScaleOptimizer)
    history = fit(model, images(16, 32, 3), QUICK, epochs=2, verbose=False)
    assert np.isfinite(history.table.loss).all()


def test_fit_prints_progress(capsys):
    fit(small(), (images(), images(9)), QUICK, epochs=2)
    first, second = capsys.readouterr().err.splitlines()
    assert first.startswith("epoch 1 of 2  loss ")
    assert "val_loss" in second


def test_on_progress_reports_steps_and_epochs(capsys):
    heard = []
    fit(small(), images(), QUICK, epochs=2, on_progress=lambda *what: heard.append(what))
    done, total, _ = zip(*heard, strict=True)
    assert [*done] == sorted(done)
    assert {*total} == {done[-1]}
    assert heard[0][2].startswith("epoch 1 of 2  step 1/")
    assert heard[-1][2].startswith("epoch 2 of 2  loss ")
    assert capsys.readouterr().err == ""
