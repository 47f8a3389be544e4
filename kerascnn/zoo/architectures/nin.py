"""f(x), where f is a small network at every position: Network in Network."""

from functools import partial

from keras import layers

from ..layers import Conv, conv_pooling_head, conv_relu, max_pool
from ..registry import register


def nin_net(x, *, stages, dropout=0.5, dropout_stages=(3,)):
    """Stages of mlpconv: a convolution, then 1x1 convolutions; a pool after each but the last."""
    for i, convs in enumerate(stages, start=1):
        last = i == len(stages)
        for j, spec in enumerate(convs, start=1):
            output_name = f"stage{i}" if last and j == len(convs) else None
            x = conv_relu(
                x, spec.filters, spec.size, spec.stride, pad=spec.pad, name=f"stage{i}_conv{j}", output_name=output_name
            )
        if not last:
            x = max_pool(x, ceil=True, name=f"stage{i}_pool" if i in dropout_stages else f"stage{i}")
        if i in dropout_stages:
            x = layers.Dropout(dropout, name=f"stage{i}")(x)
    return x


nin = partial(register, trunk=nin_net, family="nin", year=2013, paper="arXiv:1312.4400", head=conv_pooling_head)
IMAGENET = (
    (Conv(96, 11, 4, pad=0), Conv(96), Conv(96)),
    (Conv(256, 5), Conv(256), Conv(256)),
    (Conv(384, 3), Conv(384), Conv(384)),
    (Conv(1024, 3), Conv(1024)),
)
CIFAR = ((Conv(192, 5), Conv(160), Conv(96)), (Conv(192, 5), Conv(192), Conv(192)), (Conv(192, 3), Conv(192)))
nin("nin", stages=IMAGENET, scale="mean")
cifar = partial(nin, stages=CIFAR, dropout_stages=(1, 2), input_shape=(32, 32, 3), scale="cifar")
cifar("nin_cifar10", classes=10)
cifar("nin_cifar100", classes=100)
