"""Models for attacks: linear ones, whose answers are known by hand, and a small network whose classes are close."""

from functools import cache

import keras
import numpy as np
from keras import layers

SIZE, CLASSES = (6, 5, 3), 4


def linear(rng, classes=2, softmax=False, scale=0.01):
    """Logits W x / 255 + b, and W as for pixels."""
    image = keras.Input(SIZE)
    dense = layers.Dense(classes, activation="softmax" if softmax else None)
    model = keras.Model(image, dense(layers.Flatten()(image)))
    weights = (scale * rng.standard_normal((np.prod(SIZE), classes))).astype(np.float32)
    dense.set_weights([weights, np.zeros(classes, np.float32)])
    return model, weights


@cache
def small(end="none"):
    """A convolutional network whose classes are close to each other at random pixels; one, compiled once, for all."""
    keras.utils.set_random_seed(1)
    image = keras.Input(SIZE, name="photo")
    x = layers.Conv2D(8, 3, padding="same", activation="relu", name="conv")(layers.Rescaling(1 / 64, -2)(image))
    logits = layers.Dense(CLASSES, name="scores")(layers.Flatten()(x))
    return keras.Model(image, {"none": lambda x: x, "softmax": layers.Softmax()}[end](logits))


def margin_of(model, weights, pixels):
    """(f, w): by how much the predicted class of two leads, and the slope of that."""
    scores = np.asarray(model(pixels), np.float64)
    first = scores.argmax(1)
    sign = np.where(first == 0, 1, -1)
    return np.abs(scores[:, 0] - scores[:, 1]), sign[:, None] * (weights[:, 0] - weights[:, 1]).astype(np.float64)
