"""SqueezeNet in numpy, from the tensors of a torch checkpoint and the paper's table alone."""

import numpy as np

from oracles.reference import conv, max_pool

POOLS = {
    "1.0": {"features.0": 3, "features.5": 3, "features.10": 3},
    "1.1": {"features.0": 3, "features.4": 3, "features.7": 3},
}
FIRES = {"1.0": (3, 4, 5, 7, 8, 9, 10, 12), "1.1": (3, 4, 6, 7, 9, 10, 11, 12)}


def logits(tensors, images, version, margin=0):
    """Scores (N, classes) of images (N, H, W, 3) that are scaled already; ``margin`` pads the classifier."""

    def relu_conv(x, name, stride=1, margin=0):
        kernel = tensors[f"{name}.weight"].astype(float).transpose(2, 3, 1, 0)
        return np.maximum(conv(x, kernel, stride, margin) + tensors[f"{name}.bias"], 0)

    def pooled(x, name):
        return max_pool(x, 3, 2, ceil=True) if name in POOLS[version] else x

    x = pooled(relu_conv(images.astype(float), "features.0", stride=2), "features.0")
    for place in FIRES[version]:
        name = f"features.{place}"
        squeezed = relu_conv(x, f"{name}.squeeze")
        ones, threes = relu_conv(squeezed, f"{name}.expand1x1"), relu_conv(squeezed, f"{name}.expand3x3", margin=1)
        x = pooled(np.concatenate([ones, threes], -1), name)
    return relu_conv(x, "classifier.1", margin=margin).mean((1, 2))
