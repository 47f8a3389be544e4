"""[x, f(x)]: DenseNet."""

from functools import partial

from keras import layers

from ..heads import pooled
from ..layers import conv, norm, norm_relu
from ..registry import register
from .residual import bare_stem, imagenet_stem


def dense_net(x, *, depths, growth, stem=imagenet_stem, width=4, compression=0.5, dropout=0.0):
    """Stages whose layers each add ``growth`` channels, through a 1x1 bottleneck ``width`` times as wide if any."""
    x = stem(x, norm=norm)
    for i, depth in enumerate(depths, start=1):
        for j in range(1, depth + 1):
            name = f"stage{i}_layer{j}"
            y = x
            if width:
                y = unit(y, width * growth, 1, dropout, f"{name}_bottleneck")
            y = unit(y, growth, 3, dropout, f"{name}_grow")
            x = layers.Concatenate(name=name if j < depth else f"stage{i}")([x, y])
        if i < len(depths):
            x = unit(x, int(x.shape[-1] * compression), 1, dropout, f"transition{i}")
            x = layers.AveragePooling2D(2, name=f"transition{i}_pool")(x)
    return norm_relu(x, name="final")


def unit(x, filters, size, dropout, name):
    """norm, ReLU, convolution, dropout."""
    x = conv(norm_relu(x, name=name), filters, size, name=f"{name}_conv")
    return layers.Dropout(dropout, name=f"{name}_dropout")(x) if dropout else x


densenet = partial(register, trunk=dense_net, family="densenet", year=2016, paper="arXiv:1608.06993", head=pooled)
for n, depths, growth, params, macs in (
    (121, (6, 12, 24, 16), 32, 7_978_856, 2.8342),
    (161, (6, 12, 36, 24), 48, 28_681_000, 7.7279),
    (169, (6, 12, 32, 32), 32, 14_149_480, 3.3598),
    (201, (6, 12, 48, 32), 32, 20_013_928, 4.2914),
):
    densenet(
        f"densenet{n}",
        depths=depths,
        growth=growth,
        stem=partial(imagenet_stem, width=2 * growth),
        params=params,
        macs=macs,
        source="torchvision",
        fidelity="the paper's BC form as in torchvision and keras.applications",
    )

for n, growth, width, classes, params, macs in (
    (40, 12, 0, 10, 1_019_722, 0.2648),
    (100, 12, 0, 10, 6_979_642, 1.7695),
    (100, 12, 4, 10, 769_162, 0.2879),
    (100, 12, 4, 100, 800_032, 0.288),
    (250, 24, 4, 10, 15_324_406, 5.419),
    (190, 40, 4, 10, 25_624_430, 9.302),
):
    densenet(
        f"densenet{'_bc' if width else ''}_{n}_{growth}_cifar{classes}",
        depths=3 * ((n - 4) // (6 if width else 3),),
        growth=growth,
        width=width,
        compression=0.5 if width else 1.0,
        stem=partial(bare_stem, width=2 * growth if width else 16),
        classes=classes,
        input_shape=(32, 32, 3),
        scale="cifar",
        params=params,
        macs=macs,
        source="imgclsmob" if width else "layer table; the paper says 1.0 and 7.0 million",
        fidelity="the paper's BC form" if width else "the paper's form without bottlenecks; 16 channels from the stem",
    )
