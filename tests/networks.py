"""The networks by how much work they are in a test."""

import math

import pytest

from kerascnn.build import card, list_models, outline

TINY = list_models("tiny*")
ALL = list_models()
LIGHT = ["lenet1", "lenet5", "lenet5_tanh", "resnet20_cifar10", "squeezenet1_1", "densenet_40_12_cifar10"]


def rows(fast=(), names=None):
    """Every network as a pytest parameter; those not in ``fast`` are slow."""
    marks = {name: () if name in fast else (pytest.mark.slow,) for name in names or ALL}
    return [pytest.param(name, marks=mark) for name, mark in marks.items()]


def count(weights):
    return sum(math.prod(weight.shape) for weight in weights)


__all__ = ["ALL", "LIGHT", "TINY", "card", "count", "outline", "rows"]
