"""x + f(x): ResNet, plain nets, pre-activation, Wide ResNet, ResNeXt, stochastic depth.

A branch is a list of convolutions, a unit places norm and ReLU, the network stacks units.
"""

from functools import partial

from keras import layers

from ..layers import (
    Conv,
    DropPath,
    PadChannels,
    batch_norm,
    batch_norm_relu,
    conv,
    conv_norm_relu,
    enumerate_stages,
    max_pool,
    pooling_head,
    relu,
)
from ..registry import register


def basic_branch(width, stride):
    return [Conv(width, 3, stride), Conv(width, 3)]


def bottleneck_branch(width, stride, groups=1, base=64, strided_conv=1, biases=(False, False, False)):
    """``base`` is a group's width at 64 filters; ``strided_conv``, 0 or 1, is the convolution with the stride."""
    inner = width * base // 64 * groups
    strides = (stride, 1) if strided_conv == 0 else (1, stride)
    first, second, third = biases
    return [
        Conv(inner, 1, strides[0], bias=first),
        Conv(inner, 3, strides[1], groups, bias=second),
        Conv(4 * width, bias=third),
    ]


def post_activation(x, convs, name, output_name, *, shortcut, norm, drop=0.0, dropout=0.0):
    """He et al. 2015: relu(x + f(x)), f = conv norm relu ... conv norm."""
    y = x
    for i, spec in enumerate(convs, start=1):
        y = norm(
            conv(dropout_before_last(y, i, convs, dropout, name), *spec, name=f"{name}_conv{i}"), name=f"{name}_norm{i}"
        )
        if i < len(convs):
            y = relu(y, f"{name}_relu{i}")
    x = shortcut(x, y, branch_stride(convs), norm=norm, name=f"{name}_skip")
    return relu(add_branch(x, y, drop, f"{name}_add"), output_name)


def pre_activation(x, convs, name, output_name, *, shortcut, norm, drop=0.0, dropout=0.0):
    """He et al. 2016: x + f(x), f = norm relu conv ...; a projection shares f's first norm and ReLU."""
    y = first = batch_norm_relu(x, norm=norm, name=f"{name}_1")
    for i, spec in enumerate(convs, start=1):
        if i > 1:
            y = batch_norm_relu(y, norm=norm, name=f"{name}_{i}")
        y = conv(dropout_before_last(y, i, convs, dropout, name), *spec, name=f"{name}_conv{i}")
    projects = x.shape[-1] != y.shape[-1]
    x = shortcut(first if projects else x, y, branch_stride(convs), norm=None, name=f"{name}_skip")
    return add_branch(x, y, drop, output_name)


def branch_stride(convs):
    return max(spec.stride for spec in convs)


def dropout_before_last(y, i, convs, dropout, name):
    """Dropout before the last convolution of a branch (Zagoruyko and Komodakis 2016)."""
    return layers.Dropout(dropout, name=f"{name}_dropout")(y) if dropout and i == len(convs) else y


def add_branch(x, y, drop, name):
    """x + y, where y is dropped with probability ``drop`` (Huang et al. 2016); y alone without a shortcut."""
    y = DropPath(drop, name=f"{name}_drop")(y) if drop else y
    return layers.Identity(name=name)(y) if x is None else layers.Add(name=name)([x, y])


def projection_shortcut(x, y, stride, norm, name, bias=False):
    """Option B: a 1x1 convolution where the shape changes."""
    if stride == 1 and x.shape[-1] == y.shape[-1]:
        return x
    x = conv(x, y.shape[-1], 1, stride, bias=bias, name=name)
    return norm(x, name=f"{name}_norm") if norm else x


def padding_shortcut(x, y, stride, norm, name, window=1):
    """Option A: every ``stride``-th pixel, or the mean of a ``window``, and zeros in place of missing channels."""
    if stride > 1:
        x = layers.AveragePooling2D(window, stride, "same", name=f"{name}_pool")(x)
    return PadChannels(y.shape[-1], name=name)(x) if x.shape[-1] != y.shape[-1] else x


def projection_or_pool_shortcut(x, y, stride, norm, name):
    """keras.applications' v2: every ``stride``-th pixel where channels stay, a 1x1 convolution where they change."""
    if stride > 1 and x.shape[-1] == y.shape[-1]:
        return layers.MaxPooling2D(1, stride, name=name)(x)
    return projection_shortcut(x, y, stride, norm, name, bias=True)


def no_shortcut(x, y, stride, norm, name):
    """No shortcut: a plain network."""


def imagenet_stem(x, *, norm, width=64, bias=False):
    x = conv(x, width, 7, 2, bias=bias, name="stem_conv")
    x = relu(norm(x, name="stem_norm"), "stem_relu")
    return max_pool(x, pad=1, name="stem_pool")


def preact_stem(x, *, norm, bias=False, signed=True):
    x = conv(x, 64, 7, 2, bias=bias, name="stem_conv")
    return max_pool(x, pad=1, signed=signed, name="stem_pool")


def cifar_stem(x, *, norm, width=16):
    return conv_norm_relu(x, width, 3, norm=norm, name="stem_conv")


def bare_stem(x, *, norm, width=16):
    return conv(x, width, 3, name="stem_conv")


def stride_first_block(stage, block, depths):
    """Stride 2 in the first block of each stage but the first."""
    return 2 if stage > 1 and block == 1 else 1


def stride_last_block(stage, block, depths):
    """Stride 2 in the last block of each stage but the last."""
    return 2 if stage < len(depths) and block == depths[stage - 1] else 1


def residual_net(
    x,
    *,
    depths,
    widths=(64, 128, 256, 512),
    branch=basic_branch,
    unit=post_activation,
    shortcut=projection_shortcut,
    stem=imagenet_stem,
    block_stride=stride_first_block,
    norm=batch_norm,
    drop_path=0.0,
    dropout=0.0,
    final=None,
):
    """Stages of ``depths`` blocks and ``widths`` filters; block l of L is dropped with probability drop_path l / L."""
    x = stem(x, norm=norm)
    block_number = 0
    for stage, (depth, width) in enumerate_stages(depths=depths, widths=widths):
        for block in range(1, depth + 1):
            block_number += 1
            name = f"stage{stage}_block{block}"
            output_name = name if block < depth else f"stage{stage}"
            drop = drop_path * block_number / sum(depths)
            convs = branch(width, block_stride(stage, block, depths))
            x = unit(x, convs, name, output_name, shortcut=shortcut, norm=norm, drop=drop, dropout=dropout)
    return final(x, norm=norm, name="final") if final else x


residual = partial(register, trunk=residual_net, head=pooling_head)
resnet = partial(residual, family="resnet", year=2015, paper="arXiv:1512.03385")
V2 = {"unit": pre_activation, "final": batch_norm_relu}
preresnet = partial(residual, family="preresnet", year=2016, paper="arXiv:1603.05027", **V2)
for n, depths in {18: (2, 2, 2, 2), 34: (3, 4, 6, 3)}.items():
    resnet(f"resnet{n}", depths=depths)
    resnet(f"resnet{n}_a", depths=depths, shortcut=padding_shortcut)
    resnet(f"plain{n}", depths=depths, shortcut=no_shortcut, family="plain")

DEEP = {50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}
KERAS = {"norm": partial(batch_norm, epsilon=1.001e-5, momentum=0.99)}
KERAS_V1 = KERAS | {"stem": partial(imagenet_stem, bias=True), "shortcut": partial(projection_shortcut, bias=True)}
KERAS_V2 = KERAS | {
    "stem": partial(preact_stem, bias=True, signed=False),
    "shortcut": projection_or_pool_shortcut,
    "block_stride": stride_last_block,
}
for n, depths in DEEP.items():
    resnet(f"resnet{n}", depths=depths, branch=bottleneck_branch)
    v1 = partial(resnet, depths=depths, scale="caffe")
    v1(f"resnet{n}_v1", branch=partial(bottleneck_branch, strided_conv=0))
    v1(f"resnet{n}_keras", branch=partial(bottleneck_branch, strided_conv=0, biases=(True, True, True)), **KERAS_V1)
    row = partial(preresnet, depths=depths, scale="tf")
    row(f"resnet{n}v2", branch=bottleneck_branch, stem=preact_stem)
    row(f"resnet{n}v2_keras", branch=partial(bottleneck_branch, biases=(False, False, True)), **KERAS_V2)

CIFAR = {"input_shape": (32, 32, 3), "scale": "cifar", "widths": (16, 32, 64)}
for n in (20, 32, 44, 56, 110, 1202):
    row = partial(resnet, depths=3 * ((n - 2) // 6,), stem=cifar_stem, classes=10, **CIFAR)
    row(f"resnet{n}_cifar10", shortcut=padding_shortcut)
    row(f"resnet{n}b_cifar10", shortcut=projection_shortcut)
    if n < 1202:
        row(f"plain{n}_cifar10", shortcut=no_shortcut, family="plain")
stochastic = partial(residual, family="stochastic", year=2016, paper="arXiv:1603.09382", drop_path=0.5, **CIFAR)
stochastic = partial(stochastic, stem=cifar_stem, shortcut=partial(padding_shortcut, window=2))
stochastic("resnet110_stochastic_cifar10", depths=(18, 18, 18), classes=10)
for n, classes in ((164, 10), (164, 100), (1001, 10), (1001, 100)):
    row = partial(preresnet, stem=bare_stem, branch=partial(bottleneck_branch, strided_conv=0), **CIFAR)
    row(f"preresnet{n}_cifar{classes}", depths=3 * ((n - 2) // 9,), classes=classes)

wide = partial(residual, family="wide_resnet", year=2016, paper="arXiv:1605.07146")
for n, k, classes in ((28, 10, 10), (28, 10, 100), (16, 8, 10), (16, 8, 100), (40, 4, 10), (40, 4, 100)):
    row = partial(wide, stem=bare_stem, classes=classes, **V2, **(CIFAR | {"widths": (16 * k, 32 * k, 64 * k)}))
    row(f"wide_resnet{n}_{k}_cifar{classes}", depths=3 * ((n - 4) // 6,))
for n in (50, 101):
    wide(f"wide_resnet{n}_2", depths=DEEP[n], branch=partial(bottleneck_branch, base=128))

resnext = partial(residual, family="resnext", year=2016, paper="arXiv:1611.05431")
for n, groups, base in ((50, 32, 4), (101, 32, 4), (101, 32, 8), (101, 64, 4)):
    branch = partial(bottleneck_branch, groups=groups, base=base)
    resnext(f"resnext{n}_{groups}x{base}d", depths=DEEP[n], branch=branch)
for groups, base in ((8, 64), (16, 64), (32, 4)):
    row = partial(
        resnext,
        depths=(3, 3, 3),
        stem=partial(cifar_stem, width=64),
        branch=partial(bottleneck_branch, groups=groups, base=base),
    )
    row(f"resnext29_{groups}x{base}d_cifar10", classes=10, **(CIFAR | {"widths": (64, 128, 256)}))
