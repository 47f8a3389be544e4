"""The networks by how much work they are in a test."""

import math
import re
from functools import cache

import keras
import numpy as np
import pytest

from kerascnn.zoo import catalog
from kerascnn.zoo.build import build_model, features, outline
from kerascnn.zoo.registry import card, list_models

TINY = list_models("tiny*")
ALL = list_models()
CUSTOM = ["tiny_alexnet", "tiny_resnet_a", "tiny_fractalnet", "tiny_dpn"]  # have every layer of ours
SMALLEST = {row.name: row.min_size for row in catalog.read_catalog()}
WORK = {row.name: row.macs for row in catalog.read_catalog()}
LIGHT = ["lenet1", "lenet5", "lenet5_tanh", "resnet20_cifar10", "squeezenet1_1", "densenet_40_12_cifar10"]


def pieces():
    """The least work in which each function draws with each of its keywords, given and left out, and each head.

    For what holds of a network where it holds of its pieces. Deeper and wider ones differ in numbers, which are
    counted for each.
    """
    by_trunk = {}
    for row in map(card, WORK):
        by_trunk.setdefault(row.trunk, set()).update(row.config)
    found, met = [], set()
    for row in map(card, sorted(WORK, key=WORK.get)):
        own = {(row.trunk, keyword, keyword in row.config) for keyword in (*by_trunk[row.trunk], "")}
        own |= {row.head, (row.trunk, bool(row.aux))}
        if own - met:
            found.append(row.name)
            met |= own
    return found


def rows(fast=(), names=None):
    """Every network as a pytest parameter; those not in ``fast`` run nightly."""
    marks = {name: () if name in fast else (pytest.mark.nightly,) for name in names or ALL}
    return [pytest.param(name, marks=mark) for name, mark in marks.items()]


def odd(name):
    """An input shape of one channel that is neither square nor even, and as small as the network takes."""
    side = max(SMALLEST[name], 17 if SMALLEST[name] == 1 else 0)
    return (side + side % 2 + 1, side + side % 2 + 3, 1)


def images(shape, count=2):
    return np.random.default_rng(0).uniform(0, 255, (count, *shape)).astype("float32")


def scores(model, x):
    return np.array(features(model, "logits")(x))


def count(weights):
    return sum(math.prod(weight.shape) for weight in weights)


def vary(model, rng):
    """Give a model batch norm statistics and biases far from 0 and 1, under which a mistake shows.

    Untrained sums double the variance; over hundreds of blocks only small gammas keep them finite.
    """
    norms = [weight for weight in model.weights if weight.path.endswith("gamma")]
    for weight in model.weights:
        if len(weight.shape) == 1:
            spread = re.search("gamma|variance", weight.path)
            weight.assign(rng.uniform(0.5, 1.5, weight.shape) if spread else rng.normal(0, 0.1, weight.shape))
    for weight in norms if len(norms) > 500 else ():
        weight.assign(0.2 * weight)


def varied(name="tiny_resnet", **options):
    """A network of the zoo whose weights are the same each time, and such that a mistake shows."""
    keras.utils.set_random_seed(0)
    model = build_model(name, **options)
    vary(model, np.random.default_rng(0))
    return model


@cache
def _kept(name):
    model = varied(name)
    return model, model.get_weights()


def known(name="tiny_resnet"):
    """The network of `varied`, built once for all tests, with its own weights again; what is compiled of it stays."""
    model, weights = _kept(name)
    model.set_weights(weights)
    return model


__all__ = [
    "ALL",
    "CUSTOM",
    "LIGHT",
    "SMALLEST",
    "TINY",
    "card",
    "count",
    "images",
    "known",
    "odd",
    "outline",
    "pieces",
    "rows",
    "scores",
    "varied",
    "vary",
]
