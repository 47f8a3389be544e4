"""Small networks to climb, and recipes without chance."""

from functools import cache

import keras
import numpy as np
from keras import layers

from kerascnn.visualize.synthesis.params import Pixels
from kerascnn.visualize.synthesis.recipes import SynthesisRecipe

SIZE = (8, 6, 3)


def straight(step, steps, rate, **how):
    """A recipe that begins with gray and is never shaken."""
    return SynthesisRecipe("straight", steps, rate, step, how.pop("params", Pixels(clip=False)), **how)


def linear(units=3, size=(4, 5, 3)):
    """Scores w . x + b."""
    return keras.Sequential([keras.Input(size), layers.Flatten(), layers.Dense(units, name="scores")])


def weights(model, k):
    """The w of a class of a linear network, as an image."""
    return model.layers[-1].kernel.numpy()[:, k].reshape(model.input_shape[1:])


def curved(name=None):
    """conv, ReLU, conv, ReLU, dense."""
    keras.utils.set_random_seed(2)
    x = keras.Input(SIZE, name="photo")
    maps = layers.Conv2D(4, 3, activation="relu", name="conv")(layers.Rescaling(1 / 64, -2)(x))
    maps = layers.Conv2D(3, 3, padding="same", activation="relu", name="top")(maps)
    return keras.Model(x, layers.Dense(5, "softmax", name="probs")(layers.Flatten()(maps)), name=name)


@cache
def known():
    """A `curved` network, one for all tests that only read it; what is compiled of it stays."""
    return curved()


def cosine(a, b):
    a, b = np.ravel(a).astype(float), np.ravel(b).astype(float)
    return a @ b / np.sqrt(a @ a * (b @ b))


def gates(*biases, weight=1.0, act="relu"):
    """A layer "gate" of 1x1 kernels that see the red of a pixel: relu(weight red + bias), one a bias."""
    x = keras.Input(SIZE)
    gate = layers.Conv2D(len(biases), 1, activation=act, name="gate")
    model = keras.Model(x, layers.Dense(2, name="scores")(layers.Flatten()(gate(x))))
    gate.kernel.assign(np.array([weight, 0, 0])[:, None] * np.ones((1, 1, 1, len(biases))))
    gate.bias.assign(biases)
    return model
