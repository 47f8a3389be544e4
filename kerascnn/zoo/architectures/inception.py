"""[a(x), b(x), c(x), d(x)]: GoogLeNet, Inception-v3, Inception-ResNet-v2. A network is a tree of branches."""

from functools import partial

from keras import layers

from ..layers import Conv, LocalResponseNorm, conv, conv_norm_relu, conv_relu, logits, max_pool, norm, pooled, relu
from ..registry import register


def tree_net(x, *, stages, unit):
    """Stages of steps: a ``Conv`` is a ``unit``, a list its branches side by side, anything else a function."""
    for i, steps in enumerate(stages, start=1):
        x = chain(x, steps, unit, f"stage{i}", last=f"stage{i}")
    return x


def chain(x, steps, unit, name, last=None):
    for i, step in enumerate(steps, start=1):
        here = f"{name}_{i}"
        out = last if i == len(steps) and last else here
        if isinstance(step, Conv):
            # the unit's last layer is its ReLU
            end = out if out != here else None
            x = unit(x, step.filters, step.size, step.stride, pad=step.pad, name=here, out=end)
        elif isinstance(step, list):
            x = fork(x, step, unit, here, out)
        else:
            x = step(x, unit=unit, name=here, out=out)
    return x


def fork(x, branches, unit, name, out):
    """What each branch makes of x, concatenated."""
    maps = [chain(x, steps, unit, f"{name}_branch{i}") for i, steps in enumerate(branches, start=1)]
    return layers.Concatenate(name=out)(maps)


def residual(x, branches, scale, unit, name, out, act=True):
    """x + scale * f(x), f being a fork and a 1x1 convolution back to x's channels."""
    y = conv(fork(x, branches, unit, name, f"{name}_mixed"), x.shape[-1], bias=True, name=f"{name}_up")
    y = layers.Rescaling(scale, name=f"{name}_scale")(y)
    x = layers.Add(name=f"{name}_add" if act else out)([x, y])
    return relu(x, out) if act else x


def peak(x, unit, name, out):
    """The 3x3 maximum at every position."""
    return layers.MaxPooling2D(3, 1, "same", name=out)(x)


def mean(x, unit, name, out):
    """The 3x3 mean, over the pixels that exist (TensorFlow)."""
    return layers.AveragePooling2D(3, 1, "same", name=out)(x)


def padded_mean(x, unit, name, out):
    """The 3x3 mean, counting the padding (torch)."""
    return layers.AveragePooling2D(3, 1, name=out)(layers.ZeroPadding2D(1, name=f"{name}_pad")(x))


def pool(x, unit, name, out, size=3, ceil=False):
    return max_pool(x, size, ceil=ceil, name=out)


def response_norm(x, unit, name, out):
    return LocalResponseNorm(bias=1.0, alpha=2e-5, name=out)(x)


def auxiliary(x, classes, name, *, unit, pooling, filters, units=(), dropout=0.7):
    """A classifier on a stage, whose loss reaches the early layers while training."""
    x = chain(pooling(x, name=f"{name}_pool"), filters, unit, f"{name}_conv")
    x = layers.Flatten(name=f"{name}_flatten")(x) if units else layers.GlobalAveragePooling2D(name=f"{name}_mean")(x)
    for width in units:
        x = relu(layers.Dense(width, kernel_initializer="he_normal", name=f"{name}_fc")(x), f"{name}_fc_relu")
        x = layers.Dropout(dropout, name=f"{name}_dropout")(x)
    return logits(x, classes, f"{name}_logits")


def mean_to_4(x, name):
    return layers.AdaptiveAveragePooling2D(4, name=name)(x)


def mean_by_3(x, name):
    return layers.AveragePooling2D(5, 3, name=name)(x)


# GoogLeNet: 1x1, 3x3 reduction, 3x3, 5x5 reduction, 5x5, pool projection of each module (the paper's table 1)
MODULES = (
    ((64, 96, 128, 16, 32, 32), (128, 128, 192, 32, 96, 64)),
    (
        (192, 96, 208, 16, 48, 64),
        (160, 112, 224, 24, 64, 64),
        (128, 128, 256, 24, 64, 64),
        (112, 144, 288, 32, 64, 64),
        (256, 160, 320, 32, 128, 128),
    ),
    ((256, 160, 320, 32, 128, 128), (384, 192, 384, 48, 128, 128)),
)


def reduced(one, three_in, three, five_in, five, projection, size=5):
    branches = [[Conv(one)], [Conv(three_in), Conv(three, 3)], [Conv(five_in), Conv(five, size)]]
    return [*branches, [peak, Conv(projection)]]


def naive(one, three_in, three, five_in, five, projection):
    return [[Conv(one)], [Conv(three, 3)], [Conv(five, 5)], [peak]]


def googlenet_net(x, *, module=reduced, unit=conv_relu, normed=True, last_pool=3):
    """The stem and nine modules. ``module`` turns a row of the paper's table into branches."""
    up = partial(pool, ceil=True)
    norms = [response_norm] if normed else []
    stem = [Conv(64, 7, 2), up, *norms, Conv(64), Conv(192, 3), *norms, up]
    third, fourth, fifth = ([module(*row) for row in rows] for rows in MODULES)
    stages = (stem, [*third, up], [*fourth, partial(up, size=last_pool)], fifth)
    return tree_net(x, stages=stages, unit=unit)


inception_norm = partial(norm, epsilon=1e-3)
normed_unit = partial(conv_norm_relu, norm=inception_norm)


def two_heads(**options):
    """GoogLeNet's, on modules 4a and 4d."""
    head = partial(auxiliary, filters=(Conv(128),), units=(1024,), **options)
    return {"aux1": ("stage3_1", head), "aux2": ("stage3_4", head)}


googlenet = partial(register, trunk=googlenet_net, family="inception", year=2014, paper="arXiv:1409.4842")
paper = partial(googlenet, head=partial(pooled, dropout=0.4), scale="mean")
paper("googlenet")
paper("googlenet_aux", aux=two_heads(unit=conv_relu, pooling=mean_by_3))
paper("googlenet_naive", module=naive)
paper("googlenet_bn", unit=normed_unit, normed=False)
TORCH = {"module": partial(reduced, size=3), "unit": normed_unit, "normed": False, "last_pool": 2, "scale": "tf"}
torchvision = partial(googlenet, head=partial(pooled, dropout=0.2), **TORCH)
torchvision("googlenet_torchvision")
torchvision("googlenet_torchvision_aux", aux=two_heads(unit=normed_unit, pooling=mean_to_4))

V3_STEM = [Conv(32, 3, 2, pad=0), Conv(32, 3, pad=0), Conv(64, 3), pool, Conv(80), Conv(192, 3, pad=0), pool]


def v3_a(mean, projection):
    return [[Conv(64)], [Conv(48), Conv(64, 5)], [Conv(64), Conv(96, 3), Conv(96, 3)], [mean, Conv(projection)]]


def v3_b(mean, width):
    """7x7 factorized into 1x7 and 7x1, once and twice."""
    row, column = Conv(width, (1, 7)), Conv(width, (7, 1))
    once = [Conv(width), row, Conv(192, (7, 1))]
    return [[Conv(192)], once, [Conv(width), column, row, column, Conv(192, (1, 7))], [mean, Conv(192)]]


def v3_c(mean):
    """3x3 spread into 1x3 beside 3x1."""
    spread = [[Conv(384, (1, 3))], [Conv(384, (3, 1))]]
    return [[Conv(320)], [Conv(384), spread], [Conv(448), Conv(384, 3), spread], [mean, Conv(192)]]


def v3_net(x, *, unit, mean=mean):
    halved = [[Conv(384, 3, 2, pad=0)], [Conv(64), Conv(96, 3), Conv(96, 3, 2, pad=0)], [pool]]
    crossed = [Conv(192), Conv(192, (1, 7)), Conv(192, (7, 1)), Conv(192, 3, 2, pad=0)]
    again = [[Conv(192), Conv(320, 3, 2, pad=0)], crossed, [pool]]
    stages = (
        V3_STEM,
        [v3_a(mean, 32), v3_a(mean, 64), v3_a(mean, 64)],
        [halved, *(v3_b(mean, width) for width in (128, 160, 160, 192))],
        [again, v3_c(mean), v3_c(mean)],
    )
    return tree_net(x, stages=stages, unit=unit)


keras_unit = partial(conv_norm_relu, norm=partial(norm, epsilon=1e-3, momentum=0.99, scale=False))
v3_auxiliary = partial(auxiliary, unit=normed_unit, pooling=mean_by_3, filters=(Conv(128), Conv(768, 5, pad=0)))
large = partial(register, family="inception", input_shape=(299, 299, 3), scale="tf")
inception_v3 = partial(large, trunk=v3_net, year=2015, paper="arXiv:1512.00567")
torchvision = partial(inception_v3, unit=normed_unit, mean=padded_mean, head=partial(pooled, dropout=0.5))
torchvision("inception_v3")
torchvision("inception_v3_aux", aux={"aux1": ("stage3", v3_auxiliary)})
inception_v3("inception_v3_keras", unit=keras_unit, head=pooled)


def resnet_v2_net(x, *, unit):
    """Inception modules as residual branches, scaled down before they are added."""
    first = [[Conv(96)], [Conv(48), Conv(64, 5)], [Conv(64), Conv(96, 3), Conv(96, 3)], [mean, Conv(64)]]
    block35 = [[Conv(32)], [Conv(32), Conv(32, 3)], [Conv(32), Conv(48, 3), Conv(64, 3)]]
    halved = [[Conv(384, 3, 2, pad=0)], [Conv(256), Conv(256, 3), Conv(384, 3, 2, pad=0)], [pool]]
    block17 = [[Conv(192)], [Conv(128), Conv(160, (1, 7)), Conv(192, (7, 1))]]
    again = [
        [Conv(256), Conv(384, 3, 2, pad=0)],
        [Conv(256), Conv(288, 3, 2, pad=0)],
        [Conv(256), Conv(288, 3), Conv(320, 3, 2, pad=0)],
        [pool],
    ]
    block8 = [[Conv(192)], [Conv(192), Conv(224, (1, 3)), Conv(256, (3, 1))]]
    stages = (
        V3_STEM,
        [first] + 10 * [partial(residual, branches=block35, scale=0.17)],
        [halved] + 20 * [partial(residual, branches=block17, scale=0.1)],
        [
            again,
            *9 * [partial(residual, branches=block8, scale=0.2)],
            partial(residual, branches=block8, scale=1.0, act=False),
            Conv(1536),
        ],
    )
    return tree_net(x, stages=stages, unit=unit)


inception_resnet = partial(large, trunk=resnet_v2_net, year=2016, paper="arXiv:1602.07261")
inception_resnet("inception_resnet_v2", unit=normed_unit, head=partial(pooled, dropout=0.2))
inception_resnet("inception_resnet_v2_keras", unit=keras_unit, head=pooled)
