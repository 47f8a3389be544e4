"""The oracle for receptive fields: where the gradient of a net with positive weights is not 0."""

import numpy as np
import tensorflow as tf


def positive(model, seed=0):
    """Give a model weights that are all positive, so that no path can cancel another."""
    rng = np.random.default_rng(seed)
    for weight in model.weights:
        weight.assign(rng.uniform(0.5, 1.5, weight.shape))
    return model


def gradient_support(model, unit):
    """The pixels with a gradient: the oracle."""
    shape = (1, *model.input_shape[1:])
    image = tf.constant(np.random.default_rng(1).uniform(0.5, 1, shape).astype("float32"))

    @tf.function(autograph=False)  # leaves out the gradients of weights, in whose code TensorFlow sometimes aborts
    def slope(image):
        value = tf.reduce_sum(model(image)[0][tuple(unit)] if unit is not None else model(image))
        return tf.convert_to_tensor(tf.gradients(value, image, unconnected_gradients="zero")[0])

    gradient = slope(image)
    return np.abs(np.asarray(gradient)[0]).max(-1) > 0 if gradient is not None else np.zeros(shape[1:-1], bool)
