"""From features to logits: the three classifiers of the zoo. A head names ``features`` and ``logits``."""

import keras
from keras import layers

from .layers import conv, relu


def logits(x, classes, name="logits"):
    """The scores of the classes."""
    return layers.Dense(classes, dtype=full_precision(), name=name)(x)


def full_precision():
    """The type of scores and probabilities: float32 where the policy computes in 16 bits."""
    policy = keras.config.dtype_policy()
    return "float32" if policy.compute_dtype in ("float16", "bfloat16") else policy


def pooled(x, classes, *, dropout=0.0):
    """Global average pooling and one dense layer (Lin et al. 2013; He et al. 2015)."""
    x = layers.GlobalAveragePooling2D(name="features")(x)
    if dropout:
        x = layers.Dropout(dropout, name="features_dropout")(x)
    return logits(x, classes)


def dense(x, classes, *, units=(4096, 4096), dropout=0.5, early=False, act=relu):
    """Fully connected layers (LeCun et al. 1998); dropout after each, or where ``early`` before."""
    x = layers.Flatten(name="flatten" if units else "features")(x)
    for i, width in enumerate(units, start=1):
        if early and dropout:
            x = layers.Dropout(dropout, name=f"fc{i}_dropout")(x)
        x = layers.Dense(width, kernel_initializer="he_normal", name=f"fc{i}")(x)
        x = act(x, name="features" if i == len(units) else f"fc{i}_{act.__name__}")
        if dropout and not early:
            x = layers.Dropout(dropout, name=f"fc{i}_dropout")(x)
    return logits(x, classes)


def conv_pooled(x, classes, *, dropout=0.0, pad=0):
    """One map a class, ReLU, and its average (Lin et al. 2013; Iandola et al. 2016)."""
    x = layers.Dropout(dropout, name="features")(x)
    x = relu(conv(x, classes, bias=True, pad=pad, name="logits_conv"), "logits_relu")
    return layers.GlobalAveragePooling2D(dtype=full_precision(), name="logits")(x)
