"""Gradient descent as in the papers: L2 in the gradient, before the momentum; biases with their own learning rate.

g = dL/dw + l2 w;  v <- momentum v - rate g;  w <- w + v, or with Nesterov w + momentum v - rate g.
"""

from __future__ import annotations

import keras
from keras import ops

from ..support.text import unknown_name
from ..support.types import Model
from .recipes import OPTIMIZERS, Recipe


class PaperUpdates:
    """Mixin for Keras optimizers with L2 and learning rate per variable, as in the papers."""

    def configure(self, recipe):
        self.recipe = recipe
        return self

    def build(self, variables):
        self.terms = [l2_and_rate_factor(self.recipe, variable) for variable in variables]
        super().build(variables)

    def update_step(self, gradient, variable, learning_rate):
        # here and not in the loss: once for all replicas, and the reported loss stays the cross-entropy
        l2, rate_factor = self.terms[self._get_variable_index(variable)]
        if l2:
            gradient = ops.add(gradient, ops.multiply(ops.cast(l2, gradient.dtype), ops.cast(variable, gradient.dtype)))
        step = learning_rate if rate_factor == 1 else ops.multiply(learning_rate, rate_factor)
        super().update_step(gradient, variable, step)


class PaperSGD(PaperUpdates, keras.optimizers.SGD):
    pass


class PaperRMSprop(PaperUpdates, keras.optimizers.RMSprop):
    pass


class PaperAdam(PaperUpdates, keras.optimizers.Adam):
    pass


def l2_and_rate_factor(recipe, variable):
    """(l2, factor of the learning rate) of one variable."""
    name = variable.path.split("/")[-1]
    kernel, bias = name.endswith("kernel"), name == "bias"
    return (recipe.l2 if kernel or recipe.l2_on_all else 0.0), (recipe.bias_rate_factor if bias else 1.0)


def optimizer_of(recipe):
    """The optimizer of a recipe, at its highest learning rate."""
    if recipe.optimizer not in OPTIMIZERS:
        raise ValueError(unknown_name("optimizer", recipe.optimizer, OPTIMIZERS))
    common = {"learning_rate": recipe.learning_rate, "global_clipnorm": recipe.clip_norm}
    epsilon = {} if recipe.epsilon is None else {"epsilon": recipe.epsilon}
    if recipe.optimizer == "sgd":
        optimizer = PaperSGD(momentum=float(recipe.momentum), nesterov=recipe.nesterov, **common)
    elif recipe.optimizer == "rmsprop":
        optimizer = PaperRMSprop(rho=0.9, momentum=float(recipe.momentum), **epsilon, **common)
    else:
        optimizer = PaperAdam(**epsilon, **common)
    return optimizer.configure(recipe)


def initialize(model: Model, recipe: Recipe, seed: int = 0) -> Model:
    """Initialize the kernels of a model as the authors of a recipe did.

    Args:
        model: any Keras model, which is changed in place.
        recipe: a ``Recipe``; one without initializer changes nothing.
        seed: random seed.

    Returns:
        The model.
    """
    if recipe.initializer is None:
        return model
    kind, config = recipe.initializer
    kernels = [variable for variable in model.weights if variable.path.endswith("kernel")]
    for number, kernel in enumerate(kernels):
        initializer = getattr(keras.initializers, kind)(**config, seed=1_000_003 * seed + number)
        kernel.assign(initializer(kernel.shape, dtype=kernel.dtype))
    return model
