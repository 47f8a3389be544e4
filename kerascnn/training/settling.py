"""Batch norm's statistics measured once more when training is over (precise batch norm, Wu & Johnson 2021).

Moving averages remember the last few batches, of augmented images and of weights that still changed.
"""

import keras
import numpy as np
from keras import ops


def settle(model, batches):
    """Give each batch norm the mean over batches of the means and variances that it has now; all else stays."""
    layers = [layer for layer in model._flatten_layers() if isinstance(layer, keras.layers.BatchNormalization)]
    norms = [layer for layer in layers if layer.trainable]  # a frozen one keeps its own
    sums, count = [[0.0, 0.0] for _ in norms], 0
    for pixels, _ in batches:
        for total, layer, found in zip(sums, norms, statistics(model, norms, pixels), strict=True):
            for i, (value, old) in enumerate(zip(found, (layer.moving_mean, layer.moving_variance), strict=True)):
                # the moving average is momentum old + (1 - momentum) value
                total[i] = total[i] + (value - layer.momentum * numpy(old)) / (1 - layer.momentum)
        count += 1
    for layer, (mean, variance) in zip(norms, sums, strict=True):
        layer.moving_mean.assign(mean / count)
        layer.moving_variance.assign(np.maximum(variance / count, 0))


def statistics(model, norms, pixels):
    """The moving averages as they would be after one more batch; no variable is changed, no dropout drawn."""
    with keras.StatelessScope() as scope:
        model(pixels, training=True)
        kept = [[scope.get_current_value(v) for v in (norm.moving_mean, norm.moving_variance)] for norm in norms]
    return [[numpy(value) for value in pair] for pair in kept]


def numpy(value):
    return np.asarray(ops.convert_to_numpy(value), np.float64)
