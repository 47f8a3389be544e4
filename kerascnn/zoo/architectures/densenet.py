"""[x, f(x)]: DenseNet."""

from functools import partial

from keras import layers

from ..layers import batch_norm, batch_norm_relu, conv, pooling_head
from ..registry import register
from .resnet import bare_stem, imagenet_stem


def dense_net(x, *, depths, growth, stem=imagenet_stem, width=4, compression=0.5, dropout=0.0):
    """Stages whose layers each add ``growth`` channels, after a 1x1 bottleneck of ``width`` times as many."""
    x = stem(x, norm=batch_norm)
    for i, depth in enumerate(depths, start=1):
        for j in range(1, depth + 1):
            name = f"stage{i}_layer{j}"
            y = x
            if width:
                y = dense_unit(y, width * growth, 1, dropout, f"{name}_bottleneck")
            y = dense_unit(y, growth, 3, dropout, f"{name}_grow")
            x = layers.Concatenate(name=name if j < depth else f"stage{i}")([x, y])
        if i < len(depths):
            x = dense_unit(x, int(x.shape[-1] * compression), 1, dropout, f"transition{i}")
            x = layers.AveragePooling2D(2, name=f"transition{i}_pool")(x)
    return batch_norm_relu(x, name="final")


def dense_unit(x, filters, size, dropout, name):
    """Norm, ReLU, convolution, dropout."""
    x = conv(batch_norm_relu(x, name=name), filters, size, name=f"{name}_conv")
    return layers.Dropout(dropout, name=f"{name}_dropout")(x) if dropout else x


densenet = partial(register, trunk=dense_net, family="densenet", year=2016, paper="arXiv:1608.06993", head=pooling_head)
for n, depths, growth in (
    (121, (6, 12, 24, 16), 32),
    (161, (6, 12, 36, 24), 48),
    (169, (6, 12, 32, 32), 32),
    (201, (6, 12, 48, 32), 32),
):
    densenet(f"densenet{n}", depths=depths, growth=growth, stem=partial(imagenet_stem, width=2 * growth))

cifar = partial(densenet, input_shape=(32, 32, 3), scale="cifar")
for n, growth in ((40, 12), (100, 12)):
    row = partial(cifar, growth=growth, width=0, compression=1.0, stem=bare_stem)
    row(f"densenet_{n}_{growth}_cifar10", depths=3 * ((n - 4) // 3,), classes=10)
for n, growth, classes in ((100, 12, 10), (100, 12, 100), (250, 24, 10), (190, 40, 10)):
    row = partial(cifar, growth=growth, stem=partial(bare_stem, width=2 * growth))
    row(f"densenet_bc_{n}_{growth}_cifar{classes}", depths=3 * ((n - 4) // 6,), classes=classes)
