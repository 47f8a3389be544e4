"""Small networks, images and recipes that learn in a moment, and gradient descent written apart in numpy."""

import keras
import numpy as np
from keras import layers

from kerascnn.training import Recipe
from kerascnn.training.schedules import Constant, Poly


def made(**fields):
    base = {
        "name": "test",
        "learning_rate": 0.1,
        "schedule": Constant(),
        "batch_size": 1,
        "epochs": 1,
        "source": "test",
    }
    return Recipe(**base | fields)


QUICK = made(learning_rate=0.05, momentum=0.9, nesterov=True, l2=1e-3, batch_size=8, epochs=4, schedule=Poly())


def images(number=24, side=6, channels=1, classes=3, seed=0):
    draw = np.random.default_rng(seed)
    return draw.integers(0, 256, (number, side, side, channels)).astype("float32"), np.arange(number) % classes


def small(seed=0, dropout=0.5, side=6, classes=3):
    """A small network with all that a run has to keep: norms, dropout, convolution."""
    keras.utils.set_random_seed(seed)
    x = inputs = keras.Input((side, side, 1))
    x = layers.Rescaling(1 / 255)(x)
    x = layers.ReLU()(layers.BatchNormalization(name="norm")(layers.Conv2D(4, 3, name="conv")(x)))
    x = layers.Dropout(dropout)(layers.Flatten()(x))
    return keras.Model(inputs, layers.Softmax(name="probs")(layers.Dense(classes, name="logits")(x)), name="small")


def linear(side=4, classes=3):
    x = inputs = keras.Input((side, side, 1))
    x = layers.Dense(classes, name="logits")(layers.Flatten()(x))
    return keras.Model(inputs, layers.Softmax(name="probs")(x), name="linear")


def values(model):
    return [np.array(variable) for variable in model.variables]


def same(first, second):
    return all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))


def descended(weights, gradients, rates, *, momentum, nesterov, l2, times=1.0):
    """Stochastic gradient descent in numpy, as the papers write it."""
    weights, velocity = weights.astype(float), np.zeros_like(weights, float)
    for gradient, rate in zip(gradients, rates, strict=True):
        step = rate * times * (gradient + l2 * weights)
        velocity = momentum * velocity - step
        weights = weights + (momentum * velocity - step if nesterov else velocity)
    return weights
