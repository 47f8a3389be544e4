"""Gradient descent as papers write it: the L2 term in the gradient, ahead of the momentum; biases at their own rate.

g = dL/dw + l2 w;  v <- momentum v - rate g;  w <- w + v, or with Nesterov w + momentum v - rate g.
"""

import keras
from keras import ops

from ..support.text import unknown
from .recipes import OPTIMIZERS


class Papers:
    """What the papers add to an optimizer of Keras, variable by variable; goes before it among the bases."""

    def become(self, recipe):
        self.recipe = recipe
        return self

    def build(self, variables):
        self.terms = [terms(self.recipe, variable) for variable in variables]
        super().build(variables)

    def update_step(self, gradient, variable, learning_rate):
        # here and not in the loss: once for all replicas, and the reported loss stays the cross-entropy
        l2, times = self.terms[self._get_variable_index(variable)]
        if l2:
            gradient = ops.add(gradient, ops.multiply(ops.cast(l2, gradient.dtype), ops.cast(variable, gradient.dtype)))
        super().update_step(gradient, variable, learning_rate if times == 1 else ops.multiply(learning_rate, times))


class SGD(Papers, keras.optimizers.SGD):
    pass


class RMSprop(Papers, keras.optimizers.RMSprop):
    pass


class Adam(Papers, keras.optimizers.Adam):
    pass


def terms(recipe, variable):
    """(l2, multiple of the rate) of one variable."""
    name = variable.path.split("/")[-1]
    kernel, bias = name.endswith("kernel"), name == "bias"
    return (recipe.l2 if kernel or recipe.everything else 0.0), (recipe.bias_rate if bias else 1.0)


def optimizer_of(recipe):
    """The optimizer of a recipe, at its highest rate."""
    if recipe.optimizer not in OPTIMIZERS:
        raise ValueError(unknown("optimizer", recipe.optimizer, OPTIMIZERS))
    common = {"learning_rate": recipe.rate, "global_clipnorm": recipe.clip}
    epsilon = {} if recipe.epsilon is None else {"epsilon": recipe.epsilon}
    if recipe.optimizer == "sgd":
        made = SGD(momentum=float(recipe.momentum), nesterov=recipe.nesterov, **common)
    elif recipe.optimizer == "rmsprop":
        made = RMSprop(rho=0.9, momentum=float(recipe.momentum), **epsilon, **common)
    else:
        made = Adam(**epsilon, **common)
    return made.become(recipe)


def initialize(model, recipe, seed=0):
    """Draw the kernels of a model anew as the recipe's authors did; those of a recipe without initializer stay."""
    if recipe.initializer is None:
        return model
    kind, config = recipe.initializer
    kernels = [variable for variable in model.weights if variable.path.endswith("kernel")]
    for number, kernel in enumerate(kernels):
        drawn = getattr(keras.initializers, kind)(**config, seed=1_000_003 * seed + number)
        kernel.assign(drawn(kernel.shape, dtype=kernel.dtype))
    return model
