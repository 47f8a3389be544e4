"""[a(x), b(x), c(x), d(x)]: GoogLeNet, Inception-v3, Inception-ResNet-v2; a network is a tree of branches."""

from functools import partial

from keras import layers

from ..layers import (
    Conv,
    LocalResponseNorm,
    batch_norm,
    conv,
    conv_norm_relu,
    conv_relu,
    logits,
    max_pool,
    pooling_head,
    relu,
)
from ..registry import register


def tree_net(x, *, stages, unit):
    """Stages of steps: a ``Conv`` becomes a ``unit``, a list parallel branches, a function is called."""
    for i, steps in enumerate(stages, start=1):
        x = build_chain(x, steps, unit, f"stage{i}", last=f"stage{i}")
    return x


def build_chain(x, steps, unit, name, last=None):
    """The steps one after the other; ``last`` names the last layer."""
    for i, step in enumerate(steps, start=1):
        step_name = f"{name}_{i}"
        output_name = last if i == len(steps) and last else step_name
        if isinstance(step, Conv):
            # the unit's last layer is its ReLU
            end = output_name if output_name != step_name else None
            x = unit(x, step.filters, step.size, step.stride, pad=step.pad, name=step_name, output_name=end)
        elif isinstance(step, list):
            x = build_fork(x, step, unit, step_name, output_name)
        else:
            x = step(x, unit=unit, name=step_name, output_name=output_name)
    return x


def build_fork(x, branches, unit, name, output_name):
    """The outputs of parallel branches, concatenated."""
    maps = [build_chain(x, steps, unit, f"{name}_branch{i}") for i, steps in enumerate(branches, start=1)]
    return layers.Concatenate(name=output_name)(maps)


def residual_module(x, branches, scale, unit, name, output_name, activation=True):
    """x + scale * f(x), f being a fork and a 1x1 convolution back to x's channels."""
    y = conv(build_fork(x, branches, unit, name, f"{name}_mixed"), x.shape[-1], bias=True, name=f"{name}_up")
    y = layers.Rescaling(scale, name=f"{name}_scale")(y)
    x = layers.Add(name=f"{name}_add" if activation else output_name)([x, y])
    return relu(x, output_name) if activation else x


def max_pool_3x3(x, unit, name, output_name):
    """3x3 max-pooling with stride 1."""
    return layers.MaxPooling2D(3, 1, "same", name=output_name)(x)


def average_pool_3x3(x, unit, name, output_name):
    """3x3 average pooling with stride 1 that leaves out the padding (TensorFlow)."""
    return layers.AveragePooling2D(3, 1, "same", name=output_name)(x)


def average_pool_3x3_with_padding(x, unit, name, output_name):
    """3x3 average pooling with stride 1 that includes the padding (PyTorch)."""
    return layers.AveragePooling2D(3, 1, name=output_name)(layers.ZeroPadding2D(1, name=f"{name}_pad")(x))


def max_pool_step(x, unit, name, output_name, size=3, ceil=False):
    return max_pool(x, size, ceil=ceil, name=output_name)


def response_norm(x, unit, name, output_name):
    return LocalResponseNorm(bias=1.0, alpha=2e-5, name=output_name)(x)


def auxiliary_head(x, classes, name, *, unit, pooling, filters, units=(), dropout=0.7):
    """An auxiliary classifier on a stage, whose loss reaches the early layers in training."""
    x = build_chain(pooling(x, name=f"{name}_pool"), filters, unit, f"{name}_conv")
    x = layers.Flatten(name=f"{name}_flatten")(x) if units else layers.GlobalAveragePooling2D(name=f"{name}_mean")(x)
    for width in units:
        x = relu(layers.Dense(width, kernel_initializer="he_normal", name=f"{name}_fc")(x), f"{name}_fc_relu")
        x = layers.Dropout(dropout, name=f"{name}_dropout")(x)
    return logits(x, classes, f"{name}_logits")


def average_pool_to_4x4(x, name):
    return layers.AdaptiveAveragePooling2D(4, name=name)(x)


def average_pool_5x5_by_3(x, name):
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


def inception_module(one, three_in, three, five_in, five, projection, size=5):
    branches = [[Conv(one)], [Conv(three_in), Conv(three, 3)], [Conv(five_in), Conv(five, size)]]
    return [*branches, [max_pool_3x3, Conv(projection)]]


def naive_module(one, three_in, three, five_in, five, projection):
    return [[Conv(one)], [Conv(three, 3)], [Conv(five, 5)], [max_pool_3x3]]


def googlenet_net(x, *, module=inception_module, unit=conv_relu, response_norms=True, last_pool=3):
    """The stem and nine modules; ``module`` turns a row of the paper's table into branches."""
    up = partial(max_pool_step, ceil=True)
    norms = [response_norm] if response_norms else []
    stem = [Conv(64, 7, 2), up, *norms, Conv(64), Conv(192, 3), *norms, up]
    third, fourth, fifth = ([module(*row) for row in rows] for rows in MODULES)
    stages = (stem, [*third, up], [*fourth, partial(up, size=last_pool)], fifth)
    return tree_net(x, stages=stages, unit=unit)


inception_norm = partial(batch_norm, epsilon=1e-3)
inception_unit = partial(conv_norm_relu, norm=inception_norm)


def googlenet_auxiliaries(**options):
    """The two auxiliary classifiers of GoogLeNet, on modules 4a and 4d."""
    head = partial(auxiliary_head, filters=(Conv(128),), units=(1024,), **options)
    return {"aux1": ("stage3_1", head), "aux2": ("stage3_4", head)}


googlenet = partial(register, trunk=googlenet_net, family="inception", year=2014, paper="arXiv:1409.4842")
paper = partial(googlenet, head=partial(pooling_head, dropout=0.4), scale="mean")
paper("googlenet")
paper("googlenet_aux", aux=googlenet_auxiliaries(unit=conv_relu, pooling=average_pool_5x5_by_3))
paper("googlenet_naive", module=naive_module)
paper("googlenet_bn", unit=inception_unit, response_norms=False)
TORCH = {
    "module": partial(inception_module, size=3),
    "unit": inception_unit,
    "response_norms": False,
    "last_pool": 2,
    "scale": "tf",
}
torchvision = partial(googlenet, head=partial(pooling_head, dropout=0.2), **TORCH)
torchvision("googlenet_torchvision")
torchvision("googlenet_torchvision_aux", aux=googlenet_auxiliaries(unit=inception_unit, pooling=average_pool_to_4x4))

V3_STEM = [
    Conv(32, 3, 2, pad=0),
    Conv(32, 3, pad=0),
    Conv(64, 3),
    max_pool_step,
    Conv(80),
    Conv(192, 3, pad=0),
    max_pool_step,
]


def v3_a(average_pool, projection):
    return [[Conv(64)], [Conv(48), Conv(64, 5)], [Conv(64), Conv(96, 3), Conv(96, 3)], [average_pool, Conv(projection)]]


def v3_b(average_pool, width):
    """7x7 factorized into 1x7 and 7x1, once and twice."""
    row, column = Conv(width, (1, 7)), Conv(width, (7, 1))
    single = [Conv(width), row, Conv(192, (7, 1))]
    return [[Conv(192)], single, [Conv(width), column, row, column, Conv(192, (1, 7))], [average_pool, Conv(192)]]


def v3_c(average_pool):
    """3x3 split into 1x3 and 3x1 in parallel."""
    spread = [[Conv(384, (1, 3))], [Conv(384, (3, 1))]]
    return [[Conv(320)], [Conv(384), spread], [Conv(448), Conv(384, 3), spread], [average_pool, Conv(192)]]


def v3_net(x, *, unit, average_pool=average_pool_3x3):
    reduction = [[Conv(384, 3, 2, pad=0)], [Conv(64), Conv(96, 3), Conv(96, 3, 2, pad=0)], [max_pool_step]]
    factorized = [Conv(192), Conv(192, (1, 7)), Conv(192, (7, 1)), Conv(192, 3, 2, pad=0)]
    second_reduction = [[Conv(192), Conv(320, 3, 2, pad=0)], factorized, [max_pool_step]]
    stages = (
        V3_STEM,
        [v3_a(average_pool, 32), v3_a(average_pool, 64), v3_a(average_pool, 64)],
        [reduction, *(v3_b(average_pool, width) for width in (128, 160, 160, 192))],
        [second_reduction, v3_c(average_pool), v3_c(average_pool)],
    )
    return tree_net(x, stages=stages, unit=unit)


keras_unit = partial(conv_norm_relu, norm=partial(batch_norm, epsilon=1e-3, momentum=0.99, scale=False))
v3_auxiliary = partial(
    auxiliary_head, unit=inception_unit, pooling=average_pool_5x5_by_3, filters=(Conv(128), Conv(768, 5, pad=0))
)
large = partial(register, family="inception", input_shape=(299, 299, 3), scale="tf")
inception_v3 = partial(large, trunk=v3_net, year=2015, paper="arXiv:1512.00567")
torchvision = partial(
    inception_v3,
    unit=inception_unit,
    average_pool=average_pool_3x3_with_padding,
    head=partial(pooling_head, dropout=0.5),
)
torchvision("inception_v3")
torchvision("inception_v3_aux", aux={"aux1": ("stage3", v3_auxiliary)})
inception_v3("inception_v3_keras", unit=keras_unit, head=pooling_head)


def resnet_v2_net(x, *, unit):
    """Inception modules as residual branches, scaled down before they are added."""
    first = [[Conv(96)], [Conv(48), Conv(64, 5)], [Conv(64), Conv(96, 3), Conv(96, 3)], [average_pool_3x3, Conv(64)]]
    block35 = [[Conv(32)], [Conv(32), Conv(32, 3)], [Conv(32), Conv(48, 3), Conv(64, 3)]]
    reduction = [[Conv(384, 3, 2, pad=0)], [Conv(256), Conv(256, 3), Conv(384, 3, 2, pad=0)], [max_pool_step]]
    block17 = [[Conv(192)], [Conv(128), Conv(160, (1, 7)), Conv(192, (7, 1))]]
    second_reduction = [
        [Conv(256), Conv(384, 3, 2, pad=0)],
        [Conv(256), Conv(288, 3, 2, pad=0)],
        [Conv(256), Conv(288, 3), Conv(320, 3, 2, pad=0)],
        [max_pool_step],
    ]
    block8 = [[Conv(192)], [Conv(192), Conv(224, (1, 3)), Conv(256, (3, 1))]]
    stages = (
        V3_STEM,
        [first] + 10 * [partial(residual_module, branches=block35, scale=0.17)],
        [reduction] + 20 * [partial(residual_module, branches=block17, scale=0.1)],
        [
            second_reduction,
            *9 * [partial(residual_module, branches=block8, scale=0.2)],
            partial(residual_module, branches=block8, scale=1.0, activation=False),
            Conv(1536),
        ],
    )
    return tree_net(x, stages=stages, unit=unit)


inception_resnet = partial(large, trunk=resnet_v2_net, year=2016, paper="arXiv:1602.07261")
inception_resnet("inception_resnet_v2", unit=inception_unit, head=partial(pooling_head, dropout=0.2))
inception_resnet("inception_resnet_v2_keras", unit=keras_unit, head=pooling_head)
