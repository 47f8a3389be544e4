"""What published checkpoints contain: keys and shapes from the papers' tables and the publishers' naming."""

import math
import re
from functools import partial

import numpy as np
from published_inception import googlenet, inception_resnet_v2, inception_v3
from published_layers import CLASSES, NORM, conv, dense, norm, unit

# AlexNet, VGG, SqueezeNet

ALEXNET = {0: (3, 64, 11), 3: (64, 192, 5), 6: (192, 384, 3), 8: (384, 256, 3), 10: (256, 256, 3)}
VGG = {11: (1, 1, 2, 2, 2), 13: (2, 2, 2, 2, 2), 16: (2, 2, 3, 3, 3), 19: (2, 2, 4, 4, 4)}
FIRES = ((16, 64), (16, 64), (32, 128), (32, 128), (48, 192), (48, 192), (64, 256), (64, 256))
SQUEEZENET = {
    "1_0": ((96, 7), (3, 4, 5, 7, 8, 9, 10, 12)),
    "1_1": ((64, 3), (3, 4, 6, 7, 9, 10, 11, 12)),
}  # the first convolution; which entries of `features` are fire modules


def alexnet():
    for index, (inputs, filters, size) in ALEXNET.items():
        yield from conv(f"features.{index}", inputs, filters, size, bias=True)
    yield from dense("classifier.1", 256 * 6 * 6, 4096)
    yield from dense("classifier.4", 4096, 4096)
    yield from dense("classifier.6", 4096)


def vgg(depth, bn=False, timm=False):
    index, inputs = 0, 3
    for filters, layers in zip((64, 128, 256, 512, 512), VGG[depth], strict=True):
        for _ in range(layers):
            yield from conv(f"features.{index}", inputs, filters, 3, bias=True)
            if bn:
                yield from norm(f"features.{index + 1}", filters)
            index, inputs = index + 2 + bn, filters
        index += 1
    if timm:
        yield from conv("pre_logits.fc1", 512, 4096, 7, bias=True)
        yield from conv("pre_logits.fc2", 4096, 4096, 1, bias=True)
        yield from dense("head.fc", 4096)
    else:
        yield from dense("classifier.0", 512 * 7 * 7, 4096)
        yield from dense("classifier.3", 4096, 4096)
        yield from dense("classifier.6", 4096)


def squeezenet(version):
    (inputs, size), places = SQUEEZENET[version]
    yield from conv("features.0", 3, inputs, size, bias=True)
    for place, (squeeze, expand) in zip(places, FIRES, strict=True):
        name = f"features.{place}"
        yield from conv(f"{name}.squeeze", inputs, squeeze, 1, bias=True)
        yield from conv(f"{name}.expand1x1", squeeze, expand, 1, bias=True)
        yield from conv(f"{name}.expand3x3", squeeze, expand, 3, bias=True)
        inputs = 2 * expand
    yield from conv("classifier.1", 512, CLASSES, 1, bias=True)


# ResNet and its kin

BLOCKS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}


def resnet(depth, groups=1, base=64):
    yield from conv("conv1", 3, 64, 7)
    yield from norm("bn1", 64)
    inputs = 64
    for stage, blocks in enumerate(BLOCKS[depth], 1):
        planes = 32 * 2**stage
        width = planes * base // 64 * groups
        layers = ((planes, 3), (planes, 3)) if depth < 50 else ((width, 1), (width, 3), (4 * planes, 1))
        outputs = layers[-1][0]
        for block in range(blocks):
            name, channels = f"layer{stage}.{block}", inputs
            for i, (filters, size) in enumerate(layers, 1):
                yield from conv(f"{name}.conv{i}", channels, filters, size, groups if size == 3 else 1)
                yield from norm(f"{name}.bn{i}", filters)
                channels = filters
            if block == 0 and inputs != outputs:
                yield from conv(f"{name}.downsample.0", inputs, outputs)
                yield from norm(f"{name}.downsample.1", outputs)
            inputs = outputs
    yield from dense("fc", inputs)


def resnet_v2(depth):
    yield from conv("stem.conv", 3, 64, 7)
    inputs = 64
    for stage, blocks in enumerate(BLOCKS[depth]):
        width = 64 * 2**stage
        for block in range(blocks):
            name = f"stages.{stage}.blocks.{block}"
            if block == 0:
                yield from conv(f"{name}.downsample.conv", inputs, 4 * width)
            for i, (channels, filters, size) in enumerate(
                ((inputs, width, 1), (width, width, 3), (width, 4 * width, 1)), 1
            ):
                yield from norm(f"{name}.norm{i}", channels)
                yield from conv(f"{name}.conv{i}", channels, filters, size)
            inputs = 4 * width
    yield from norm("norm", inputs)
    yield from conv("head.fc", inputs, CLASSES, bias=True)


DENSENET = {
    121: (32, (6, 12, 24, 16)),
    161: (48, (6, 12, 36, 24)),
    169: (32, (6, 12, 32, 32)),
    201: (32, (6, 12, 48, 32)),
}  # growth, layers per block


def densenet(depth):
    growth, blocks = DENSENET[depth]
    channels = 2 * growth
    yield from conv("features.conv0", 3, channels, 7)
    yield from norm("features.norm0", channels)
    for block, layers in enumerate(blocks, 1):
        for layer in range(1, layers + 1):
            name = f"features.denseblock{block}.denselayer{layer}"
            yield from norm(f"{name}.norm1", channels)
            yield from conv(f"{name}.conv1", channels, 4 * growth)
            yield from norm(f"{name}.norm2", 4 * growth)
            yield from conv(f"{name}.conv2", 4 * growth, growth, 3)
            channels += growth
        if block < len(blocks):
            yield from norm(f"features.transition{block}.norm", channels)
            yield from conv(f"features.transition{block}.conv", channels, channels // 2)
            channels //= 2
    yield from norm("features.norm5", channels)
    yield from dense("classifier", channels)


DPN = {
    92: (64, 96, 32, (3, 4, 20, 3), (16, 32, 24, 128)),
    98: (96, 160, 40, (3, 6, 20, 3), (16, 32, 32, 128)),
    131: (128, 160, 40, (4, 8, 28, 3), (16, 32, 32, 128)),
}  # stem, width at 256 channels, groups, units per stage, growth per stage


def dpn(depth):
    channels, ratio, groups, stages, growths = DPN[depth]
    yield from unit("features.conv1_1", 3, channels, 7)
    for stage, (units, growth) in enumerate(zip(stages, growths, strict=True)):
        bandwidth = 256 * 2**stage
        width = ratio * 2**stage
        for i in range(1, units + 1):
            rows = [
                ("c1x1_a", channels, width, 1, 1),
                ("c3x3_b", width, width, 3, groups),
                ("c1x1_c", width, bandwidth + growth, 1, 1),
            ]
            if i == 1:
                rows.insert(0, (f"c1x1_w_s{2 if stage else 1}", channels, bandwidth + 2 * growth, 1, 1))
            for row, inputs, filters, size, split in rows:
                name = f"features.conv{stage + 2}_{i}.{row}"
                yield from norm(f"{name}.bn", inputs)
                yield from conv(f"{name}.conv", inputs, filters, size, split)
            channels = bandwidth + growth * (i + 2)
    yield from norm("features.conv5_bn_ac.bn", channels)
    yield from conv("classifier", channels, CLASSES, bias=True)


RESIDUAL = {
    "resnet18": (18,),
    "resnet34": (34,),
    "resnet50": (50,),
    "resnet101": (101,),
    "resnet152": (152,),
    "resnext50_32x4d": (50, 32, 4),
    "resnext101_32x4d": (101, 32, 4),
    "resnext101_32x8d": (101, 32, 8),
    "resnext101_64x4d": (101, 64, 4),
    "wide_resnet50_2": (50, 1, 128),
    "wide_resnet101_2": (101, 1, 128),
}  # depth, groups, width of a group at 64 planes
SHARED = {name: partial(resnet, *row) for name, row in RESIDUAL.items()}
SHARED |= {f"densenet{depth}": partial(densenet, depth) for depth in DENSENET}


def vggs(timm):
    return {f"vgg{d}{'_bn' * bn}": partial(vgg, d, bn, timm) for bn in (False, True) for d in VGG}


PUBLISHED = {
    "torchvision": {
        "alexnet_torchvision": alexnet,
        **vggs(timm=False),
        "googlenet_torchvision": googlenet,
        "googlenet_torchvision_aux": googlenet,
        "inception_v3": partial(inception_v3, aux=True),
        "inception_v3_aux": partial(inception_v3, aux=True),
        **{name: rows for name, rows in SHARED.items() if name != "resnext101_32x4d"},
        "squeezenet1_0": partial(squeezenet, "1_0"),
        "squeezenet1_1": partial(squeezenet, "1_1"),
    },
    "timm": {
        **vggs(timm=True),
        **SHARED,
        "resnet50v2": partial(resnet_v2, 50),
        "resnet101v2": partial(resnet_v2, 101),
        "inception_v3": partial(inception_v3, aux=False),
        "inception_v3_aux": partial(inception_v3, aux=True),  # the tag tv_in1k; tf, tf_adv and gluon have no head
        "inception_resnet_v2": inception_resnet_v2,
        **{f"dpn{depth}": partial(dpn, depth) for depth in DPN},
    },
}


def shapes(network, publisher, *, tracked=True, old=True):
    """Key to shape, in the order of the modules.

    ``tracked``: with num_batches_tracked, which files older than PyTorch 0.4.1 lack. ``old``: torchvision's DenseNet
    as its files have it (``norm.1``, nothing tracked), else as its module writes it today (``norm1``).
    """
    rows = dict(PUBLISHED[publisher][network]())
    old = old and publisher == "torchvision" and network.startswith("densenet")
    if old:
        rows = {re.sub(r"(denselayer\d+\.(?:norm|conv))([12])", r"\1.\2", key): shape for key, shape in rows.items()}
    if old or not tracked:
        rows = {key: shape for key, shape in rows.items() if not key.endswith("num_batches_tracked")}
    return rows


def parameters(shapes):
    """How many numbers training changes."""
    return sum(math.prod(shape) for key, shape in shapes.items() if not key.endswith(NORM[2:]))


def statistics(shapes):
    """How many means and variances batch norm keeps besides."""
    return sum(math.prod(shape) for key, shape in shapes.items() if key.endswith(NORM[2:4]))


# One convolution of every residual branch is small, lest each sum double the variance
BRANCH = re.compile(r"(layer\d|stages)\..*conv2\.|features\..*c3x3_b\.conv")


def values(key, shape, rng):
    """Kernels that keep the variance through ReLU, a small classifier; statistics near those of a normed map."""
    kind = key.rpartition(".")[2]
    if kind == "num_batches_tracked":
        return np.int64(rng.integers(1, 10**6))
    noise = rng.standard_normal(shape, dtype=np.float32)
    if len(shape) > 1:
        gain = 0.2 if shape[0] == CLASSES else 0.3 if BRANCH.match(key) else 1
        return noise * np.float32(gain * math.sqrt(2 / math.prod(shape[1:])))
    if kind in ("weight", "running_var"):
        return np.exp(noise / 5)
    return noise / 10


def checkpoint(network, publisher, rng, **flags):
    """Key to array, float32 but for num_batches_tracked, such that signals neither explode nor vanish."""
    rows = shapes(network, publisher, **flags)
    return {key: values(key, shape, rng) for key, shape in rows.items()}
