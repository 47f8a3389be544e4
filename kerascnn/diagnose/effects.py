"""What dropout, batch norm and the nonlinearity change in a small network: one thing at a time, trained side by side.

Dropout: Srivastava et al. 2014. Batch norm: Ioffe & Szegedy 2015. ReLU against tanh: Krizhevsky et al. 2012, fig. 1.
"""

from functools import partial

import keras
from keras import layers

from ..registry import unknown
from .labelled import labelled
from .variants import compare

ACTS = {"sigmoid": layers.Activation, "tanh": layers.Activation, "relu": layers.ReLU, "leaky_relu": layers.LeakyReLU}


def dropout_effect(data, epochs=10, limit=None, *, rates=(0.0, 0.25, 0.5), make=None, **options):
    """The same network without dropout and with some; see `compare`. ``make(dropout=...)`` builds another network."""
    changes = {f"dropout {rate:g}" if rate else "no dropout": {"dropout": rate} for rate in rates}
    return effect(changes, data, epochs, limit, make, {"title": "Dropout"} | options)


def norm_effect(data, epochs=10, limit=None, *, make=None, **options):
    """The same network without batch norm and with it; see `compare`. ``make(norm=...)`` builds another network."""
    changes = {"no norm": {"norm": False}, "batch norm": {"norm": True}}
    return effect(changes, data, epochs, limit, make, {"title": "Batch norm"} | options)


def activation_effect(data, epochs=10, limit=None, *, acts=tuple(ACTS), make=None, **options):
    """The same network with one nonlinearity after another; see `compare`. ``make(act=...)`` builds another network."""
    changes = {act: {"act": act} for act in acts}
    return effect(changes, data, epochs, limit, make, {"title": "Nonlinearities"} | options)


def effect(changes, data, epochs, limit, make, options):
    """`compare` with one network of ``make``'s kind, `small` without it, for each of ``changes``."""
    images = labelled("data", data, limit, options.get("seed", 0))
    make = make or partial(small, images.x.shape[1:], images.classes)
    variants = {name: partial(make, **change) for name, change in changes.items()}
    return compare(variants, images, epochs, **({"rate": 0.02} | options))


def small(input_shape, classes, *, act="relu", norm=False, dropout=0.0, convs=(16, 16, 32, 32), units=64):
    """A small network in which one thing can be changed: 3x3 convolutions, a pool after each second one, two dense."""
    if act not in ACTS:
        raise ValueError(unknown("act", act, ACTS))
    x = inputs = keras.Input(input_shape)
    x = layers.Rescaling(1 / 127.5, offset=-1)(x)

    def after(x, name):
        x = layers.BatchNormalization(name=f"{name}_norm")(x) if norm else x
        return ACTS[act](*([act] if ACTS[act] is layers.Activation else []), name=f"{name}_{act}")(x)

    for i, filters in enumerate(convs, start=1):
        x = after(layers.Conv2D(filters, 3, padding="same", name=f"conv{i}")(x), f"conv{i}")
        x = layers.MaxPooling2D(name=f"pool{i}")(x) if i % 2 == 0 and min(x.shape[1:3]) > 1 else x
    x = after(layers.Dense(units, name="fc")(layers.Flatten()(x)), "fc")
    x = layers.Dropout(dropout, name="dropout")(x) if dropout else x
    return keras.Model(inputs, layers.Dense(classes, "softmax", name="probs")(x), name="small")
