"""x + f(x): ResNet, plain nets, pre-activation, Wide ResNet, ResNeXt, stochastic depth.

A branch is a list of convolutions, a unit decides where norm and ReLU stand, the net stacks units.
"""

from functools import partial

from keras import layers

from ..heads import pooled
from ..layers import Conv, DropPath, PadChannels, conv, conv_norm_relu, max_pool, norm, norm_relu, relu, staged
from ..registry import register


def basic(width, stride):
    return [Conv(width, 3, stride), Conv(width, 3)]


def bottleneck(width, stride, groups=1, base=64, strided=1, biases=(False, False, False)):
    """``base`` is one group's width at 64 filters; ``strided`` the convolution, 0 or 1, that takes the stride."""
    inner = width * base // 64 * groups
    strides = (stride, 1) if strided == 0 else (1, stride)
    first, second, third = biases
    return [
        Conv(inner, 1, strides[0], bias=first),
        Conv(inner, 3, strides[1], groups, bias=second),
        Conv(4 * width, bias=third),
    ]


def post_activation(x, convs, name, out, *, shortcut, norm, drop=0.0, dropout=0.0):
    """He et al. 2015: relu(x + f(x)), f = conv norm relu ... conv norm."""
    y = x
    for i, spec in enumerate(convs, start=1):
        y = norm(conv(between(y, i, convs, dropout, name), *spec, name=f"{name}_conv{i}"), name=f"{name}_norm{i}")
        if i < len(convs):
            y = relu(y, f"{name}_relu{i}")
    x = shortcut(x, y, stride(convs), norm=norm, name=f"{name}_skip")
    return relu(add(x, y, drop, f"{name}_add"), out)


def pre_activation(x, convs, name, out, *, shortcut, norm, drop=0.0, dropout=0.0):
    """He et al. 2016: x + f(x), f = norm relu conv ...; a projection shares f's first norm and ReLU."""
    y = first = norm_relu(x, norm=norm, name=f"{name}_1")
    for i, spec in enumerate(convs, start=1):
        if i > 1:
            y = norm_relu(y, norm=norm, name=f"{name}_{i}")
        y = conv(between(y, i, convs, dropout, name), *spec, name=f"{name}_conv{i}")
    projects = x.shape[-1] != y.shape[-1]
    x = shortcut(first if projects else x, y, stride(convs), norm=None, name=f"{name}_skip")
    return add(x, y, drop, out)


def stride(convs):
    return max(spec.stride for spec in convs)


def between(y, i, convs, dropout, name):
    """Dropout before the last convolution of a branch (Zagoruyko and Komodakis 2016)."""
    return layers.Dropout(dropout, name=f"{name}_dropout")(y) if dropout and i == len(convs) else y


def add(x, y, drop, name):
    """x + y, where y vanishes with probability ``drop`` (Huang et al. 2016); y alone in a plain net."""
    y = DropPath(drop, name=f"{name}_drop")(y) if drop else y
    return layers.Identity(name=name)(y) if x is None else layers.Add(name=name)([x, y])


def project(x, y, stride, norm, name, bias=False):
    """Option B: a 1x1 convolution where the shape changes."""
    if stride == 1 and x.shape[-1] == y.shape[-1]:
        return x
    x = conv(x, y.shape[-1], 1, stride, bias=bias, name=name)
    return norm(x, name=f"{name}_norm") if norm else x


def pad_channels(x, y, stride, norm, name, window=1):
    """Option A: every ``stride``-th pixel, or the mean of a ``window``, and zeros in place of missing channels."""
    if stride > 1:
        x = layers.AveragePooling2D(window, stride, "same", name=f"{name}_pool")(x)
    return PadChannels(y.shape[-1], name=name)(x) if x.shape[-1] != y.shape[-1] else x


def project_or_pool(x, y, stride, norm, name):
    """keras.applications' v2: every ``stride``-th pixel where channels stay, a 1x1 convolution where they change."""
    if stride > 1 and x.shape[-1] == y.shape[-1]:
        return layers.MaxPooling2D(1, stride, name=name)(x)
    return project(x, y, stride, norm, name, bias=True)


def plain(x, y, stride, norm, name):
    """No shortcut at all."""


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


def early(stage, block, depths):
    """Halve in the first block of each stage but the first."""
    return 2 if stage > 1 and block == 1 else 1


def late(stage, block, depths):
    """Halve in the last block of each stage but the last."""
    return 2 if stage < len(depths) and block == depths[stage - 1] else 1


def residual_net(
    x,
    *,
    depths,
    widths=(64, 128, 256, 512),
    branch=basic,
    unit=post_activation,
    shortcut=project,
    stem=imagenet_stem,
    halve=early,
    norm=norm,
    drop_path=0.0,
    dropout=0.0,
    final=None,
):
    """Stages of ``depths`` blocks and ``widths`` filters; the l-th of L blocks drops with chance drop_path l / L."""
    x = stem(x, norm=norm)
    seen = 0
    for stage, (depth, width) in staged(depths=depths, widths=widths):
        for block in range(1, depth + 1):
            seen += 1
            name = f"stage{stage}_block{block}"
            out = name if block < depth else f"stage{stage}"
            drop = drop_path * seen / sum(depths)
            convs = branch(width, halve(stage, block, depths))
            x = unit(x, convs, name, out, shortcut=shortcut, norm=norm, drop=drop, dropout=dropout)
    return final(x, norm=norm, name="final") if final else x


residual = partial(register, trunk=residual_net, head=pooled)
resnet = partial(residual, family="resnet", year=2015, paper="arXiv:1512.03385")
v2 = {"unit": pre_activation, "final": norm_relu}
preresnet = partial(residual, family="preresnet", year=2016, paper="arXiv:1603.05027", **v2)
KERAS_NORM = partial(norm, epsilon=1.001e-5, momentum=0.99)

# ImageNet: name, blocks; parameters and multiply-adds of torchvision's, of keras.applications' v1, of both v2
for n, depths, params, macs in ((18, (2, 2, 2, 2), 11_689_512, 1.8141), (34, (3, 4, 6, 3), 21_797_672, 3.6638)):
    resnet(
        f"resnet{n}",
        depths=depths,
        params=params,
        macs=macs,
        source="torchvision",
        fidelity="the paper's with projections where the shape changes (option B), as in torchvision",
    )
for n, depths, params, macs in ((18, (2, 2, 2, 2), 11_515_688, 1.7948), (34, (3, 4, 6, 3), 21_623_848, 3.6445)):
    row = partial(resnet, depths=depths, params=params, macs=macs, source="layer table")
    row(f"resnet{n}_a", shortcut=pad_channels, fidelity="the paper's option A: shortcuts without parameters")
    row(
        f"plain{n}",
        family="plain",
        shortcut=plain,
        fidelity=f"the paper's plain net: ResNet-{n} without shortcuts, batch norm kept; option A's parameters",
    )

DEEP = {50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}
COUNTS = {  # v1.5 and v1 without biases, keras.applications' v1, v2, keras.applications' v2
    50: (25_557_032, 25_583_592, 25_549_352, 25_568_360),
    101: (44_549_160, 44_601_832, 44_541_480, 44_577_896),
    152: (60_192_808, 60_268_520, 60_185_128, 60_236_904),
}
MACS = {  # v1.5 and v2, v1, keras.applications' v2
    50: (4.0892, 3.8580, 3.4823),
    101: (7.8014, 7.5702, 7.1945),
    152: (11.5136, 11.2824, 10.9067),
}
for n, depths in DEEP.items():
    (new, biased, pre, pre_keras), (macs, macs_v1, macs_keras) = COUNTS[n], MACS[n]
    row = partial(resnet, depths=depths)
    row(
        f"resnet{n}",
        branch=bottleneck,
        params=new,
        macs=macs,
        source="torchvision",
        fidelity="v1.5, as in torchvision, timm and KerasHub: the stride is in the 3x3 convolution",
    )
    row(
        f"resnet{n}_v1",
        branch=partial(bottleneck, strided=0),
        scale="caffe",
        params=new,
        macs=macs_v1,
        source="layer table; the paper says 3.8, 7.6, 11.3 billion multiply-adds",
        fidelity="the paper's, as in Caffe: the stride is in the first 1x1 convolution",
    )
    row(
        f"resnet{n}_keras",
        branch=partial(bottleneck, strided=0, biases=(True, True, True)),
        shortcut=partial(project, bias=True),
        stem=partial(imagenet_stem, bias=True),
        norm=KERAS_NORM,
        scale="caffe",
        params=biased,
        macs=macs_v1,
        source="keras.applications",
        fidelity="the paper's, with a bias in every convolution as in keras.applications",
    )
    row = partial(preresnet, depths=depths)
    row(
        f"resnet{n}v2",
        branch=bottleneck,
        stem=preact_stem,
        scale="tf",
        params=pre,
        macs=macs,
        source="timm, to two decimals" if n == 50 else "layer table",
        fidelity="as in timm: stride in the first block's 3x3 convolution, stem pool padded with minus infinity",
    )
    row(
        f"resnet{n}v2_keras",
        branch=partial(bottleneck, biases=(False, False, True)),
        shortcut=project_or_pool,
        stem=partial(preact_stem, bias=True, signed=False),
        halve=late,
        norm=KERAS_NORM,
        scale="tf",
        params=pre_keras,
        macs=macs_keras,
        source="keras.applications",
        fidelity="keras.applications': stride at the end of a stage, some biases, stem pool padded with zeros",
    )

# CIFAR: parameters and multiply-adds with shortcuts without parameters (A) and with projections (B)
cifar = {"classes": 10, "input_shape": (32, 32, 3), "scale": "cifar", "widths": (16, 32, 64)}
CIFAR = {
    20: (269_722, 0.0406, 272_474, 0.0408),
    32: (464_154, 0.0689, 466_906, 0.0691),
    44: (658_586, 0.0972, 661_338, 0.0974),
    56: (853_018, 0.1255, 855_770, 0.1257),
    110: (1_727_962, 0.2529, 1_730_714, 0.2531),
    1202: (19_421_274, 2.8292, 19_424_026, 2.8295),
}
for n, (params, macs, params_b, macs_b) in CIFAR.items():
    row = partial(resnet, depths=3 * ((n - 2) // 6,), stem=cifar_stem, source="layer table", **cifar)
    same = {"params": params, "macs": macs, "source": "layer table; the paper says 0.27 to 19.4 million"}
    row(f"resnet{n}_cifar10", shortcut=pad_channels, **same, fidelity="the paper's 6n+2 layers with option A")
    row(
        f"resnet{n}b_cifar10",
        params=params_b,
        macs=macs_b,
        source="imgclsmob" if n in (20, 56, 110, 1202) else "layer table",
        fidelity="the paper's 6n+2 layers with projections (option B), a usual deviation",
    )
    if n < 1202:
        row(
            f"plain{n}_cifar10",
            family="plain",
            shortcut=plain,
            params=params,
            macs=macs,
            source="layer table of ResNet, whose option A adds no parameter",
            fidelity="the paper's plain net: the ResNet without shortcuts, batch norm kept",
        )
stochastic = partial(residual, family="stochastic", year=2016, paper="arXiv:1603.09382", drop_path=0.5)
stochastic(
    "resnet110_stochastic_cifar10",
    depths=(18, 18, 18),
    stem=cifar_stem,
    shortcut=partial(pad_channels, window=2),
    params=1_727_962,
    macs=0.2529,
    source="layer table; the paper says 1.7 million",
    fidelity="linear decay to 0.5; averaging shortcuts as the authors'; no conv biases, each image draws for itself",
    **cifar,
)
for n, classes, params, macs in (
    (164, 10, 1_703_258, 0.2445),
    (164, 100, 1_726_388, 0.2445),
    (1001, 10, 10_327_706, 1.4878),
    (1001, 100, 10_350_836, 1.4879),
):
    preresnet(
        f"preresnet{n}_cifar{classes}",
        depths=3 * ((n - 2) // 9,),
        stem=bare_stem,
        branch=partial(bottleneck, strided=0),
        params=params,
        macs=macs,
        source="imgclsmob",
        fidelity="the paper's bottleneck form, stride in the first 1x1 convolution",
        **(cifar | {"classes": classes}),
    )

wide = partial(residual, family="wide_resnet", year=2016, paper="arXiv:1605.07146")
for depth, k, classes, params, macs in (
    (28, 10, 10, 36_479_194, 5.2433),
    (28, 10, 100, 36_536_884, 5.2434),
    (16, 8, 10, 10_961_370, 1.5481),
    (16, 8, 100, 11_007_540, 1.5482),
    (40, 4, 10, 8_949_210, 1.2986),
    (40, 4, 100, 8_972_340, 1.2986),
):
    wide(
        f"wide_resnet{depth}_{k}_cifar{classes}",
        depths=3 * ((depth - 4) // 6,),
        stem=bare_stem,
        params=params,
        macs=macs,
        source="imgclsmob" if depth == 28 else "layer table; the paper says 11.0 and 8.9 million",
        fidelity="the paper's WRN; dropout=0.3 gives its variant with dropout",
        **v2,
        **(cifar | {"classes": classes, "widths": (16 * k, 32 * k, 64 * k)}),
    )
for n, params, macs in ((50, 68_883_240, 11.398), (101, 126_886_696, 22.7531)):
    wide(
        f"wide_resnet{n}_2",
        depths=DEEP[n],
        branch=partial(bottleneck, base=128),
        params=params,
        macs=macs,
        source="torchvision",
        fidelity="torchvision's: ResNet v1.5 with bottlenecks twice as wide",
    )

resnext = partial(residual, family="resnext", year=2016, paper="arXiv:1611.05431")
for n, groups, base, params, macs, source in (
    (50, 32, 4, 25_028_904, 4.2305, "torchvision"),
    (101, 32, 4, 44_177_704, 7.97, "imgclsmob"),
    (101, 32, 8, 88_791_336, 16.414, "torchvision"),
    (101, 64, 4, 83_455_272, 15.4603, "torchvision"),
):
    resnext(
        f"resnext{n}_{groups}x{base}d",
        depths=DEEP[n],
        branch=partial(bottleneck, groups=groups, base=base),
        params=params,
        macs=macs,
        source=source,
        fidelity="grouped convolutions (form C)" + ("; 32x8d is not in the paper" if base == 8 else ""),
    )
for groups, base, params, macs in ((8, 64, 34_426_698, 5.387), (16, 64, 68_155_210, None), (32, 4, 4_775_754, None)):
    resnext(
        f"resnext29_{groups}x{base}d_cifar10",
        depths=(3, 3, 3),
        stem=partial(cifar_stem, width=64),
        branch=partial(bottleneck, groups=groups, base=base),
        params=params,
        macs=macs,
        source="layer table; the paper says 34.4 and 68.1 million" if base == 64 else "imgclsmob",
        fidelity="the paper's 29 layers, form C; stride in the 3x3 convolution",
        **(cifar | {"widths": (64, 128, 256)}),
    )
