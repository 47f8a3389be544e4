"""Recipes and their schedules, against what was published and closed forms; the optimizers against numpy."""

import json
import math

import keras
import numpy as np
import pytest
from learners import descended, made

from kerascnn import build_model
from kerascnn.training.optimizers import initialize, optimizer_of
from kerascnn.training.recipes import FAMILIES, RECIPES, recipe, recipe_of
from kerascnn.training.schedules import Constant, Cosine, Exponential, OneCycle, Plateau, Poly, Steps, Warm
from kerascnn.zoo import catalog

PUBLISHED = {  # recipe: {epoch, counted from 0: rate}, as written by the authors
    "wide_resnet": {0: 0.1, 59: 0.1, 60: 0.02, 119: 0.02, 120: 0.004, 160: 0.0008, 199: 0.0008},
    "densenet": {29: 0.1, 30: 0.01, 59: 0.01, 60: 0.001},
    "densenet_cifar": {149: 0.1, 150: 0.01, 225: 0.001},
    "stochastic_depth": {249: 0.1, 250: 0.01, 374: 0.01, 375: 0.001},
    "resnet": {29: 0.1, 30: 0.01, 60: 0.001},
    "fractalnet": {199: 0.02, 200: 0.002, 300: 0.0002, 350: 0.00002, 375: 0.000002},
    "inception_v3": {0: 0.045, 1: 0.045, 2: 0.045 * 0.94, 99: 0.045 * 0.94**49},
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_rates_as_published(name):
    row = RECIPES[name]
    rates = {epoch: row.learning_rate * row.schedule.factor(epoch / row.epochs) for epoch in PUBLISHED[name]}
    assert rates == pytest.approx(PUBLISHED[name])


def test_rates_by_iterations():
    """He et al. 2015: / 10 at 32k and 48k of 64k, for 110 layers 400 iterations at .01 first."""
    plain, warm = RECIPES["resnet_cifar"].schedule, RECIPES["resnet_cifar_warm"].schedule
    shares = np.array([0, 399, 400, 31_999, 32_000, 47_999, 48_000, 63_999]) / 64_000
    assert [plain.factor(share) for share in shares] == pytest.approx([1, 1, 1, 1, 0.1, 0.1, 0.01, 0.01])
    assert [warm.factor(share) for share in shares] == pytest.approx([0.1, 0.1, 1, 1, 0.1, 0.1, 0.01, 0.01])


SHARES = np.linspace(0, 1, 101)
CLOSED = {
    "constant": (Constant(), np.ones(101)),
    "linear": (Poly(), 1 - SHARES),
    "root": (Poly(0.5), np.sqrt(1 - SHARES)),
    "cosine": (Cosine(), np.cos(np.pi * SHARES / 2) ** 2),
    "exponential": (Exponential(0.5, 10), 0.5 ** (np.arange(101) // 10)),
    "steps": (Steps((0.25, 0.5), (0.5, 0.2)), np.select([SHARES < 0.25, SHARES < 0.5], [1, 0.5], 0.1)),
    "warm": (Warm(0.1, 0.1, Poly()), np.where(np.arange(101) < 10, 0.1, 1 - SHARES)),
    "onecycle": (
        OneCycle(warm=0.5, start=0.0),
        np.where(SHARES < 0.5, 2 * SHARES, np.cos(np.pi * np.maximum(SHARES - 0.5, 0)) ** 2),
    ),
}


@pytest.mark.parametrize("name", CLOSED)
def test_schedules_have_closed_forms(name):
    schedule, expected = CLOSED[name]
    np.testing.assert_allclose([schedule.factor(share) for share in SHARES], expected, atol=1e-12)


@pytest.mark.parametrize(
    ("errors", "factor"),
    [
        ([], 1),
        ([5, 4, 3], 1),
        ([5, 5], 1),
        ([5, 5, 5], 0.1),
        ([5, 5, 5, 4, 4], 0.1),
        ([5, 5, 5, 5, 5], 0.01),
        ([5] * 20, 0.01),
    ],
    ids=str,
)
def test_plateau(errors, factor):
    assert Plateau(patience=2, times=2).factor(0.5, errors) == pytest.approx(factor)


FITS = {
    "resnet20_cifar10": "resnet_cifar",
    "resnet110_cifar10": "resnet_cifar_warm",
    "resnet110_stochastic_cifar10": "stochastic_depth",
    "preresnet164_cifar10": "resnet_cifar_warm",
    "resnet50": "resnet",
    "wide_resnet28_10_cifar10": "wide_resnet",
    "wide_resnet50_2": "resnet",
    "densenet121": "densenet",
    "densenet_40_12_cifar10": "densenet_cifar",
    "googlenet_aux": "googlenet",
    "inception_v3": "inception_v3",
    "zfnet": "alexnet",
    "lenet5": "lenet",
    "my_own": "onecycle",
}


@pytest.mark.parametrize("network", FITS)
def test_the_recipe_of_a_network(network):
    assert recipe_of(network).name == FITS[network]


def test_every_family_has_a_recipe_or_a_listed_exception():
    families = {row.family for row in catalog.read_catalog()}
    assert families - set(FAMILIES) == {"dpn"}
    assert {recipe_of(row).name for row in catalog.read_catalog()} <= set(RECIPES)


@pytest.mark.parametrize("row", RECIPES.values(), ids=lambda row: row.name)
def test_a_recipe_is_data(row):
    stated = json.loads(json.dumps(row.to_dict()))
    assert stated["name"] == row.name
    assert len(row.source) > 20
    assert all(0 <= row.schedule.factor(share) <= 1 for share in np.linspace(0, 1 - 1e-6, 50))


def test_unknown_recipe_suggests_near_names():
    with pytest.raises(ValueError, match=r"wide_resnet\?|wide_resnet,"):
        recipe("wide_resnt")


CASES = {
    "plain": {"momentum": 0.0},
    "momentum": {"momentum": 0.9},
    "nesterov": {"momentum": 0.9, "nesterov": True},
    "l2": {"momentum": 0.9, "l2": 0.1},
    "nesterov l2": {"momentum": 0.9, "nesterov": True, "l2": 0.1},
    "l2 on all": {"momentum": 0.9, "l2": 0.1, "l2_on_all": True},
    "biases twice": {"momentum": 0.9, "l2": 0.1, "bias_rate_factor": 2.0},
}


@pytest.mark.parametrize("case", CASES)
def test_optimizers_agree_with_their_papers(case, rng):
    """Also when the rate changes on the way."""
    row = made(**CASES[case])
    layer = keras.layers.Dense(3)
    layer.build((None, 4))
    layer.bias.assign(rng.normal(size=3))
    optimizer, rates = optimizer_of(row), [0.1, 0.1, 0.01, 0.01, 0.05]
    gradients = [[rng.normal(size=(4, 3)), rng.normal(size=3)] for _ in rates]
    usual = {"momentum": row.momentum, "nesterov": row.nesterov}
    kernel, bias = (np.array(variable) for variable in (layer.kernel, layer.bias))
    kernel = descended(kernel, [g for g, _ in gradients], rates, l2=row.l2, **usual)
    l2 = row.l2 if row.l2_on_all else 0.0
    bias = descended(bias, [g for _, g in gradients], rates, l2=l2, times=row.bias_rate_factor, **usual)
    for rate, pair in zip(rates, gradients, strict=True):
        optimizer.learning_rate = rate
        optimizer.apply([keras.ops.convert_to_tensor(g, "float32") for g in pair], [layer.kernel, layer.bias])
    np.testing.assert_allclose(layer.kernel, kernel, atol=2e-6)
    np.testing.assert_allclose(layer.bias, bias, atol=2e-6)


def test_clipping_is_by_the_norm_of_all_gradients():
    layer = keras.layers.Dense(2, kernel_initializer="zeros")
    layer.build((None, 1))
    pair = [keras.ops.convert_to_tensor(g, "float32") for g in ([[3.0, 0.0]], [0.0, 4.0])]
    optimizer_of(made(momentum=0.0, clip_norm=1.0, learning_rate=1.0)).apply(pair, [layer.kernel, layer.bias])
    np.testing.assert_allclose(layer.kernel, [[-0.6, 0.0]], atol=1e-6)
    np.testing.assert_allclose(layer.bias, [0.0, -0.8], atol=1e-6)


@pytest.mark.parametrize(("name", "spread"), [("resnet", "fan_out"), ("alexnet", 0.01)], ids=["he", "small"])
def test_initialize_draws_kernels_as_the_authors_did(name, spread):
    model = build_model("tiny_vgg")
    before = {v.path: np.array(v) for v in model.weights}
    initialize(model, RECIPES[name], seed=3)
    kernel = model.get_layer("fc1").kernel
    expected = math.sqrt(2 / kernel.shape[1]) if spread == "fan_out" else spread
    assert np.std(kernel) == pytest.approx(expected, rel=0.05)
    changed = {v.path for v in model.weights if not np.array_equal(before[v.path], v)}
    assert changed == {path for path in before if path.endswith("kernel")}
    again = build_model("tiny_vgg")
    initialize(again, RECIPES[name], seed=3)
    np.testing.assert_array_equal(again.get_layer("fc1").kernel, kernel)


def test_initialize_skips_weights_without_an_initializer():
    model = build_model("lenet5")
    before = [np.array(v) for v in model.weights]
    initialize(model, RECIPES["onecycle"])
    assert all(np.array_equal(a, b) for a, b in zip(before, model.weights, strict=True))
