"""Layers that drop whole branches while training: stochastic depth and the joins of fractal nets."""

import keras
from keras import layers, ops

from .layers import serializable


class Random(layers.Layer):
    """A layer with a seed of its own, whose state is saved but is no weight."""

    def __init__(self, seed=None, **kwargs):
        super().__init__(**kwargs)
        self.seed = seed
        self.coin = keras.random.SeedGenerator(seed)

    def survivors(self, shape, rate):
        """True with probability 1 - ``rate``."""
        return keras.random.uniform(shape, seed=self.coin) >= rate

    def get_config(self):
        return {**super().get_config(), "seed": self.seed}


@serializable
class DropPath(Random):
    """A branch that vanishes with probability ``rate`` while training and counts (1 - ``rate``) afterwards.

    Huang et al. 2016. Each image of a batch draws for itself.
    """

    reach = "pointwise"

    def __init__(self, rate, **kwargs):
        super().__init__(**kwargs)
        if not 0 <= rate <= 1:
            raise ValueError(f"`rate` should be a probability, 0 to 1. Received: {rate!r}")
        self.rate = rate

    def call(self, x, training=False):
        if not training:
            return x * (1 - self.rate)
        kept = self.survivors((ops.shape(x)[0],) + (1,) * (len(x.shape) - 1), self.rate)
        return ops.where(kept, x, ops.zeros_like(x))

    def compute_output_shape(self, shape):
        return shape

    def get_config(self):
        return {**super().get_config(), "rate": self.rate}


@serializable
class DrawColumn(Random):
    """For each image the one column of a fractal net that it trains, 1 (shallow) to ``columns``, or 0 for all.

    Larsson et al. 2016: a share ``whole`` of the images keeps one column throughout the network, the others drop paths
    at every join by themselves.
    """

    reach = "none"  # only the number of images matters, not what they show

    def __init__(self, columns, whole=0.5, **kwargs):
        super().__init__(**kwargs)
        self.columns, self.whole = columns, whole

    def call(self, x, training=False):
        batch = (ops.shape(x)[0],)
        if not training:
            return ops.zeros(batch, "int32")
        column = keras.random.randint(batch, 1, self.columns + 1, seed=self.coin)
        return ops.where(self.survivors(batch, self.whole), ops.zeros_like(column), column)

    def compute_output_spec(self, x, training=False):
        return keras.KerasTensor(x.shape[:1], "int32")

    def get_config(self):
        return {**super().get_config(), "columns": self.columns, "whole": self.whole}


@serializable
class Join(Random):
    """The mean of the paths that survive: fractal join with drop-path (Larsson et al. 2016).

    Takes (N,) drawn columns and the maps of the deepest paths out of ``columns``. Where a column is drawn and ends
    here, only its path counts; elsewhere each path is dropped with probability ``rate``, never all of them.
    """

    reach = "pointwise"

    def __init__(self, rate, columns, **kwargs):
        super().__init__(**kwargs)
        self.rate, self.columns = rate, columns

    def call(self, inputs, training=False):
        drawn, *paths = inputs
        if not training:
            return sum(paths) / len(paths)
        kept = ops.cast(self.shares(drawn, len(paths)), paths[0].dtype)
        shape = (-1,) + (1,) * (len(paths[0].shape) - 1)
        total = sum(path * ops.reshape(kept[:, i], shape) for i, path in enumerate(paths))
        return total / ops.reshape(ops.sum(kept, 1), shape)

    def shares(self, drawn, count):
        """(N, count) of 0 and 1, at least a 1 in each row."""
        chance = keras.random.uniform((ops.shape(drawn)[0], count), seed=self.coin)
        # the luckiest path survives in any case
        local = (chance >= self.rate) | (chance >= ops.max(chance, 1, keepdims=True))
        chosen = ops.expand_dims(drawn, 1) == self.columns - count + 1 + ops.arange(count, dtype="int32")
        return ops.where(ops.any(chosen, 1, keepdims=True), chosen, local)

    def compute_output_shape(self, shapes):
        return shapes[1]

    def get_config(self):
        return {**super().get_config(), "rate": self.rate, "columns": self.columns}
