"""Small models of every make, and what a call could change of one."""

import json

import keras
from keras import layers, ops

SIZE = (8, 6, 3)


def image(size=SIZE):
    return keras.Input(size, name="photo")


def trunk(name=None, inputs=SIZE):
    return keras.Sequential([keras.Input(inputs), layers.Conv2D(4, 3, padding="same", activation="relu")], name=name)


def head(x, units=3, name="scores"):
    return layers.Dense(units, name=name)(layers.Flatten()(layers.MaxPooling2D()(x)))


def sequential():
    return keras.Sequential([image(), layers.Conv2D(4, 3, activation="relu"), layers.Flatten(), layers.Dense(3)])


def sequential_inside():
    x = image()
    return keras.Model(x, head(trunk()(x)))


def nested_twice():
    inner = keras.Sequential([keras.Input(SIZE), trunk("inmost"), layers.ReLU()], name="inner")
    x = image()
    return keras.Model(x, head(inner(x)))


def layer_called_twice():
    x, conv, act = image(), layers.Conv2D(3, 3, padding="same", name="conv"), layers.ReLU(name="act")
    return keras.Model(x, head(act(conv(act(conv(x))))))


def model_called_twice():
    x, inner = image(), trunk("inner")
    return keras.Model(x, head(layers.Add()([inner(x), inner(ops.flip(x, 2))])))


def gray():
    return keras.Sequential(
        [keras.Input((8, 6, 1)), layers.Conv2D(4, 3, activation="relu"), layers.Flatten(), layers.Dense(3)]
    )


def scaling_inside():
    x = image()
    return keras.Model(x, head(trunk()(layers.Rescaling(1 / 255, -0.5)(x))))


def open_size():
    x = image((None, None, 3))
    return keras.Model(x, layers.Dense(3)(layers.GlobalAveragePooling2D()(trunk(inputs=(None, None, 3))(x))))


def regularized():
    x = image()
    maps = layers.Conv2D(4, 3, activation="relu", activity_regularizer="l2")(x)
    return keras.Model(x, head(layers.ActivityRegularization(l1=0.1)(maps)))


def normalized():
    x = image()
    maps = layers.BatchNormalization(moving_variance_initializer=keras.initializers.Constant(9.0))(trunk()(x))
    return keras.Model(x, head(layers.ReLU()(maps)))


def augmented():
    x = image()
    maps = trunk()(layers.GaussianNoise(0.9)(layers.RandomRotation(0.3)(layers.RandomFlip()(x))))
    return keras.Model(x, head(layers.Dropout(0.5)(layers.SpatialDropout2D(0.5)(maps))))


def snapshot(model, pixels):
    """What a call could change of a model."""
    every = [model, *model._flatten_layers(include_self=False)]
    return {
        "weights": [(v.path, v.trainable, v.numpy().tobytes()) for v in model.variables],
        "outputs": model(pixels, training=False).numpy().tobytes(),
        "layers": [(id(layer), layer.name, layer.trainable, len(layer._inbound_nodes)) for layer in every],
        "acts": [id(getattr(layer, "activation", None)) for layer in every],
        "policies": [str(layer.dtype_policy) for layer in every],
        "config": json.dumps(keras.saving.serialize_keras_object(model), sort_keys=True, default=str),
        "phase": keras.config.dtype_policy().name,
    }


def equal(found, expected):
    for what, value in expected.items():
        assert found[what] == value, what
