"""Small networks in PyTorch from the papers' tables, whose state dicts have the published keys.

``NETS`` goes by kerascnn's names. Images come as NCHW, scaled already; what goes out are logits, in a tuple with those
of the auxiliary classifiers where there are any.
"""

from collections import OrderedDict
from functools import partial

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F
from torch_inception import EPSILON, GoogLeNet, InceptionResNetV2, InceptionV3, Unit


def conv(inputs, filters, size=1, stride=1, groups=1):
    return nn.Conv2d(inputs, filters, size, stride, size // 2, groups=groups, bias=False)


def named(**layers):
    return nn.Sequential(OrderedDict(layers))


class AlexNet(nn.Module):
    """Torchvision's."""

    def __init__(self, classes=1000):
        super().__init__()
        self.features = nn.Sequential(
            *(nn.Conv2d(3, 64, 11, 4, 2), nn.ReLU(), nn.MaxPool2d(3, 2)),
            *(nn.Conv2d(64, 192, 5, 1, 2), nn.ReLU(), nn.MaxPool2d(3, 2)),
            *(nn.Conv2d(192, 384, 3, 1, 1), nn.ReLU()),
            *(nn.Conv2d(384, 256, 3, 1, 1), nn.ReLU()),
            *(nn.Conv2d(256, 256, 3, 1, 1), nn.ReLU(), nn.MaxPool2d(3, 2)),
        )
        self.classifier = nn.Sequential(
            *(nn.Dropout(0.5), nn.Linear(256 * 6 * 6, 4096), nn.ReLU()),
            *(nn.Dropout(0.5), nn.Linear(4096, 4096), nn.ReLU()),
            nn.Linear(4096, classes),
        )

    def forward(self, x):
        return self.classifier(self.features(x).flatten(1))


class VGG(nn.Module):
    """A column of the paper's table: 3x3 convolutions per stage; torchvision's order in the classifier."""

    def __init__(self, stages, bn=False, classes=1000):
        super().__init__()
        layers, inputs = [], 3
        for filters, count in zip((64, 128, 256, 512, 512), stages, strict=True):
            for _ in range(count):
                layers += [nn.Conv2d(inputs, filters, 3, padding=1)]
                layers += [nn.BatchNorm2d(filters)] if bn else []
                layers += [nn.ReLU()]
                inputs = filters
            layers += [nn.MaxPool2d(2)]
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Sequential(
            *(nn.Linear(512 * 7 * 7, 4096), nn.ReLU(), nn.Dropout(0.5)),
            *(nn.Linear(4096, 4096), nn.ReLU(), nn.Dropout(0.5)),
            nn.Linear(4096, classes),
        )

    def forward(self, x):
        return self.classifier(self.features(x).flatten(1))


class Fire(nn.Module):
    def __init__(self, inputs, squeeze, expand):
        super().__init__()
        self.squeeze = nn.Conv2d(inputs, squeeze, 1)
        self.expand1x1 = nn.Conv2d(squeeze, expand, 1)
        self.expand3x3 = nn.Conv2d(squeeze, expand, 3, padding=1)

    def forward(self, x):
        x = F.relu(self.squeeze(x))
        return F.relu(torch.cat([self.expand1x1(x), self.expand3x3(x)], 1))


class SqueezeNet(nn.Module):
    """Fire modules 2 to 9, with pools after those of ``pools``; 1 is the first convolution."""

    def __init__(self, filters, size, pools, classes=1000):
        super().__init__()
        layers = [nn.Conv2d(3, filters, size, 2), nn.ReLU()]
        inputs = filters
        for fire in range(1, 10):
            if fire > 1:
                step = fire // 2
                squeeze = 16 * step
                layers += [Fire(inputs, squeeze, 4 * squeeze)]
                inputs = 8 * squeeze
            if fire in pools:
                layers += [nn.MaxPool2d(3, 2, ceil_mode=True)]
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Sequential(nn.Dropout(0.5), nn.Conv2d(512, classes, 1), nn.ReLU())

    def forward(self, x):
        return self.classifier(self.features(x)).mean((2, 3))


class Residual(nn.Module):
    """Convolutions with batch norm, the sum, then ReLU; the 3x3 takes the stride (v1.5)."""

    def __init__(self, inputs, layers, stride, groups):
        super().__init__()
        self.count, channels = len(layers), inputs
        outputs = layers[-1][0]
        strides = [stride, 1] if self.count == 2 else [1, stride, 1]
        for i, (filters, size) in enumerate(layers):
            split = groups if size == 3 else 1
            self.add_module(f"conv{i + 1}", conv(channels, filters, size, strides[i], split))
            self.add_module(f"bn{i + 1}", nn.BatchNorm2d(filters))
            channels = filters
        self.downsample = None
        if stride > 1 or inputs != outputs:
            self.downsample = nn.Sequential(conv(inputs, outputs, 1, stride), nn.BatchNorm2d(outputs))

    def forward(self, x):
        y = x
        for i in range(1, self.count + 1):
            y = getattr(self, f"bn{i}")(getattr(self, f"conv{i}")(y))
            y = F.relu(y) if i < self.count else y
        return F.relu(y + (self.downsample(x) if self.downsample else x))


class ResNet(nn.Module):
    """``base``: channels of a group at 64 planes; None for two 3x3 convolutions per block."""

    def __init__(self, blocks, base=None, groups=1, classes=1000):
        super().__init__()
        self.conv1, self.bn1 = conv(3, 64, 7, 2), nn.BatchNorm2d(64)
        inputs = 64
        for stage, count in enumerate(blocks):
            planes = 64 << stage
            width = base * groups << stage if base else planes
            layers = [(width, 1), (width, 3), (4 * planes, 1)] if base else [(planes, 3), (planes, 3)]
            units = []
            for i in range(count):
                units += [Residual(inputs, layers, 2 if stage and i == 0 else 1, groups)]
                inputs = layers[-1][0]
            self.add_module(f"layer{stage + 1}", nn.Sequential(*units))
        self.fc = nn.Linear(inputs, classes)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.bn1(self.conv1(x))), 3, 2, 1)
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.fc(x.mean((2, 3)))


class Preactivated(nn.Module):
    """Batch norm and ReLU before each convolution; the projection sees the first of them too."""

    def __init__(self, inputs, width, stride, project):
        super().__init__()
        self.downsample = named(conv=conv(inputs, 4 * width, 1, stride)) if project else None
        self.norm1, self.conv1 = nn.BatchNorm2d(inputs), conv(inputs, width)
        self.norm2, self.conv2 = nn.BatchNorm2d(width), conv(width, width, 3, stride)
        self.norm3, self.conv3 = nn.BatchNorm2d(width), conv(width, 4 * width)

    def forward(self, x):
        first = F.relu(self.norm1(x))
        y = self.conv2(F.relu(self.norm2(self.conv1(first))))
        y = self.conv3(F.relu(self.norm3(y)))
        return y + (self.downsample(first) if self.downsample else x)


class ResNetV2(nn.Module):
    """Under timm's names; the stem's pool pads with minus infinity."""

    def __init__(self, blocks, classes=1000):
        super().__init__()
        self.stem = named(conv=conv(3, 64, 7, 2))
        self.stages = nn.Sequential()
        inputs = 64
        for stage, count in enumerate(blocks):
            units, width = nn.Sequential(), 64 << stage
            for i in range(count):
                units.append(Preactivated(inputs, width, 2 if stage and i == 0 else 1, i == 0))
                inputs = 4 * width
            self.stages.append(named(blocks=units))
        self.norm = nn.BatchNorm2d(inputs)
        self.head = named(fc=nn.Conv2d(inputs, classes, 1))

    def forward(self, x):
        x = self.stages(F.max_pool2d(self.stem(x), 3, 2, 1))
        x = F.relu(self.norm(x)).mean((2, 3), keepdim=True)
        return self.head(x).flatten(1)


class DenseLayer(nn.Module):
    def __init__(self, inputs, growth):
        super().__init__()
        self.norm1, self.conv1 = nn.BatchNorm2d(inputs), conv(inputs, 4 * growth)
        self.norm2, self.conv2 = nn.BatchNorm2d(4 * growth), conv(4 * growth, growth, 3)

    def forward(self, x):
        y = self.conv1(F.relu(self.norm1(x)))
        return torch.cat([x, self.conv2(F.relu(self.norm2(y)))], 1)


class DenseNet(nn.Module):
    """Under torchvision's and timm's names of today."""

    def __init__(self, growth, blocks, classes=1000):
        super().__init__()
        channels = 2 * growth
        self.features = named(
            conv0=conv(3, channels, 7, 2), norm0=nn.BatchNorm2d(channels), relu0=nn.ReLU(), pool0=nn.MaxPool2d(3, 2, 1)
        )
        add = self.features.add_module
        for b, count in enumerate(blocks, 1):
            block = nn.Sequential()
            for i in range(count):
                block.add_module(f"denselayer{i + 1}", DenseLayer(channels, growth))
                channels += growth
            add(f"denseblock{b}", block)
            if b < len(blocks):
                mix, pool = conv(channels, channels // 2), nn.AvgPool2d(2)
                add(f"transition{b}", named(norm=nn.BatchNorm2d(channels), relu=nn.ReLU(), conv=mix, pool=pool))
                channels //= 2
        add("norm5", nn.BatchNorm2d(channels))
        self.classifier = nn.Linear(channels, classes)

    def forward(self, x):
        return self.classifier(F.relu(self.features(x)).mean((2, 3)))


class Pre(nn.Module):
    """Batch norm, ReLU, convolution."""

    def __init__(self, inputs, *row):
        super().__init__()
        self.bn, self.conv = nn.BatchNorm2d(inputs, EPSILON), conv(inputs, *row)

    def forward(self, x):
        return self.conv(F.relu(self.bn(x)))


class DualPath(nn.Module):
    """The state is a residual path of ``residual`` channels, then the dense path."""

    def __init__(self, inputs, width, groups, residual, growth, stride, project):
        super().__init__()
        self.residual, self.project = residual, f"c1x1_w_s{stride}" if project else None
        if project:
            self.add_module(self.project, Pre(inputs, residual + 2 * growth, 1, stride))
        self.c1x1_a = Pre(inputs, width)
        self.c3x3_b = Pre(width, width, 3, stride, groups)
        self.c1x1_c = Pre(width, residual + growth)

    def forward(self, x):
        state = getattr(self, self.project)(x) if self.project else x
        y = self.c1x1_c(self.c3x3_b(self.c1x1_a(x)))
        r = self.residual
        return torch.cat([state[:, :r] + y[:, :r], state[:, r:], y[:, r:]], 1)


class DPN(nn.Module):
    """Under timm's names."""

    def __init__(self, stem, width, groups, units, growths, classes=1000):
        super().__init__()
        self.features, channels = named(conv1_1=Unit(3, stem, 7, 2), conv1_pool=nn.MaxPool2d(3, 2, 1)), stem
        for stage, (count, growth) in enumerate(zip(units, growths, strict=True)):
            residual = 256 << stage
            for i in range(count):
                stride = 2 if stage and i == 0 else 1
                unit = DualPath(channels, width << stage, groups, residual, growth, stride, i == 0)
                self.features.add_module(f"conv{stage + 2}_{i + 1}", unit)
                channels = residual + (3 + i) * growth
        self.features.add_module("conv5_bn_ac", named(bn=nn.BatchNorm2d(channels, EPSILON)))
        self.classifier = nn.Conv2d(channels, classes, 1)

    def forward(self, x):
        x = F.relu(self.features(x)).mean((2, 3), keepdim=True)
        return self.classifier(x).flatten(1)


NETS = {
    "alexnet_torchvision": AlexNet,
    "vgg11": partial(VGG, (1, 1, 2, 2, 2)),
    "vgg11_bn": partial(VGG, (1, 1, 2, 2, 2), bn=True),
    "squeezenet1_0": partial(SqueezeNet, 96, 7, (1, 4, 8)),
    "squeezenet1_1": partial(SqueezeNet, 64, 3, (1, 3, 5)),
    "googlenet_torchvision_aux": GoogLeNet,
    "inception_v3_aux": InceptionV3,
    "inception_resnet_v2": InceptionResNetV2,
    "resnet18": partial(ResNet, (2, 2, 2, 2)),
    "resnet50": partial(ResNet, (3, 4, 6, 3), 64),
    "resnext50_32x4d": partial(ResNet, (3, 4, 6, 3), 4, 32),
    "resnet50v2": partial(ResNetV2, (3, 4, 6, 3)),
    "densenet121": partial(DenseNet, 32, (6, 12, 24, 16)),
    "dpn92": partial(DPN, 64, 96, 32, (3, 4, 20, 3), (16, 32, 24, 128)),
}
PUBLISHERS = dict.fromkeys(NETS, "torchvision")
PUBLISHERS |= dict.fromkeys(("inception_resnet_v2", "resnet50v2", "dpn92"), "timm")


def side(network):
    return 299 if "inception" in network else 224


def empty(network):
    """The network without memory for its weights, in inference mode."""
    with torch.device("meta"):
        return NETS[network]().eval()


def loaded(network, arrays):
    """The network with the arrays, which must be all that it has."""
    net = empty(network)
    net.load_state_dict({k: torch.from_numpy(np.array(a)) for k, a in arrays.items()}, strict=True, assign=True)
    return net
