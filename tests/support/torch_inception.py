"""GoogLeNet, Inception-v3 and Inception-ResNet-v2 in PyTorch: the papers' tables under the published names."""

import torch
from torch import nn
from torch.nn import functional as F

EPSILON = 1e-3


class Unit(nn.Module):
    """Convolution, batch norm, ReLU."""

    def __init__(self, inputs, filters, size=1, stride=1, padding=None):
        super().__init__()
        size = size if isinstance(size, tuple) else (size, size)
        padding = tuple(n // 2 for n in size) if padding is None else padding
        self.conv = nn.Conv2d(inputs, filters, size, stride, padding, bias=False)
        self.bn = nn.BatchNorm2d(filters, EPSILON)

    def forward(self, x):
        return F.relu(self.bn(self.conv(x)))


def chain(inputs, *rows):
    """Units one after the other; a row is (filters, size) or (filters, size, stride, padding)."""
    channels = [inputs, *(row[0] for row in rows)]
    units = [Unit(channels[i], *row) for i, row in enumerate(rows)]
    return nn.Sequential(*units) if len(units) > 1 else units[0]


class Joined(nn.Module):
    """Branches of one input, concatenated in the order of their names."""

    def __init__(self, **branches):
        super().__init__()
        self.names = list(branches)
        for name, branch in branches.items():
            self.add_module(name, branch)

    def forward(self, x):
        return torch.cat([getattr(self, name)(x) for name in self.names], 1)


DOWN = (2, 0)  # stride 2 without padding


class GoogLeNet(nn.Module):
    """Torchvision's: 3x3 for the paper's 5x5, batch norm, adaptive pools in the auxiliary classifiers."""

    def __init__(self, classes=1000):
        super().__init__()
        self.conv1, self.conv2, self.conv3 = Unit(3, 64, 7, 2), Unit(64, 64), Unit(64, 192, 3)
        self.inception3a = self.module(192, 64, 96, 128, 16, 32, 32)
        self.inception3b = self.module(256, 128, 128, 192, 32, 96, 64)
        self.inception4a = self.module(480, 192, 96, 208, 16, 48, 64)
        self.inception4b = self.module(512, 160, 112, 224, 24, 64, 64)
        self.inception4c = self.module(512, 128, 128, 256, 24, 64, 64)
        self.inception4d = self.module(512, 112, 144, 288, 32, 64, 64)
        self.inception4e = self.module(528, 256, 160, 320, 32, 128, 128)
        self.inception5a = self.module(832, 256, 160, 320, 32, 128, 128)
        self.inception5b = self.module(832, 384, 192, 384, 48, 128, 128)
        self.aux1, self.aux2 = self.head(512, classes), self.head(528, classes)
        self.fc = nn.Linear(1024, classes)

    @staticmethod
    def module(inputs, one, reduce3, three, reduce5, five, pool):
        return Joined(
            branch1=Unit(inputs, one),
            branch2=chain(inputs, (reduce3,), (three, 3)),
            branch3=chain(inputs, (reduce5,), (five, 3)),
            branch4=nn.Sequential(nn.MaxPool2d(3, 1, 1), Unit(inputs, pool)),
        )

    @staticmethod
    def head(inputs, classes):
        return nn.ModuleDict({"conv": Unit(inputs, 128), "fc1": nn.Linear(2048, 1024), "fc2": nn.Linear(1024, classes)})

    @staticmethod
    def auxiliary(head, x):
        x = head["conv"](F.adaptive_avg_pool2d(x, 4))
        return head["fc2"](F.relu(head["fc1"](x.flatten(1))))

    def forward(self, x):
        x = F.max_pool2d(self.conv1(x), 3, 2, ceil_mode=True)
        x = F.max_pool2d(self.conv3(self.conv2(x)), 3, 2, ceil_mode=True)
        x = F.max_pool2d(self.inception3b(self.inception3a(x)), 3, 2, ceil_mode=True)
        a = self.inception4a(x)
        d = self.inception4d(self.inception4c(self.inception4b(a)))
        x = F.max_pool2d(self.inception4e(d), 2, 2, ceil_mode=True)
        x = self.inception5b(self.inception5a(x)).mean((2, 3))
        return self.fc(x), self.auxiliary(self.aux1, a), self.auxiliary(self.aux2, d)


class Mixed(nn.Module):
    """Chains of (name, filters, size, stride, padding); a layer named ..a leaves its input to the next, ..b.

    Last comes a pool: the mean and a convolution of so many filters, or the maximum and a step of 2.
    """

    def __init__(self, inputs, *chains, pool=None):
        super().__init__()
        self.chains = [[name for name, *_ in rows] for rows in chains]
        for rows in chains:
            channels = inputs
            for name, *row in rows:
                self.add_module(name, Unit(channels, *row))
                channels = channels if name.endswith("a") else row[0]
        self.branch_pool = Unit(inputs, pool) if pool else None

    def forward(self, x):
        outputs = []
        for names in self.chains:
            y = x
            for name in names:
                z = getattr(self, name)(y)
                if name.endswith("a"):
                    outputs.append(z)
                else:
                    y = z
            outputs.append(y)
        pooled = self.branch_pool(F.avg_pool2d(x, 3, 1, 1)) if self.branch_pool else F.max_pool2d(x, 3, 2)
        return torch.cat([*outputs, pooled], 1)


def mixed_5(inputs, pool):
    return Mixed(
        inputs,
        [("branch1x1", 64)],
        [("branch5x5_1", 48), ("branch5x5_2", 64, 5)],
        [("branch3x3dbl_1", 64), ("branch3x3dbl_2", 96, 3), ("branch3x3dbl_3", 96, 3)],
        pool=pool,
    )


def mixed_6(c):
    row, column = (1, 7), (7, 1)
    double = [(c, 1), (c, column), (c, row), (c, column), (192, row)]
    return Mixed(
        768,
        [("branch1x1", 192)],
        [("branch7x7_1", c), ("branch7x7_2", c, row), ("branch7x7_3", 192, column)],
        [(f"branch7x7dbl_{i}", *layer) for i, layer in enumerate(double, 1)],
        pool=192,
    )


def mixed_7(inputs):
    row, column = (1, 3), (3, 1)
    return Mixed(
        inputs,
        [("branch1x1", 320)],
        [("branch3x3_1", 384), ("branch3x3_2a", 384, row), ("branch3x3_2b", 384, column)],
        [
            ("branch3x3dbl_1", 448),
            ("branch3x3dbl_2", 384, 3),
            ("branch3x3dbl_3a", 384, row),
            ("branch3x3dbl_3b", 384, column),
        ],
        pool=192,
    )


class InceptionV3(nn.Module):
    """Torchvision's with the auxiliary classifier, on images scaled to -1..1; its means count the padding."""

    def __init__(self, classes=1000):
        super().__init__()
        self.Conv2d_1a_3x3, self.Conv2d_2a_3x3 = Unit(3, 32, 3, *DOWN), Unit(32, 32, 3, padding=0)
        self.Conv2d_2b_3x3 = Unit(32, 64, 3)
        self.Conv2d_3b_1x1, self.Conv2d_4a_3x3 = Unit(64, 80), Unit(80, 192, 3, padding=0)
        self.Mixed_5b, self.Mixed_5c, self.Mixed_5d = mixed_5(192, 32), mixed_5(256, 64), mixed_5(288, 64)
        self.Mixed_6a = Mixed(
            288,
            [("branch3x3", 384, 3, *DOWN)],
            [("branch3x3dbl_1", 64), ("branch3x3dbl_2", 96, 3), ("branch3x3dbl_3", 96, 3, *DOWN)],
        )
        self.Mixed_6b, self.Mixed_6c, self.Mixed_6d, self.Mixed_6e = (mixed_6(c) for c in (128, 160, 160, 192))
        self.AuxLogits = nn.ModuleDict(
            {"conv0": Unit(768, 128), "conv1": Unit(128, 768, 5, padding=0), "fc": nn.Linear(768, classes)}
        )
        self.Mixed_7a = Mixed(
            768,
            [("branch3x3_1", 192), ("branch3x3_2", 320, 3, *DOWN)],
            [
                ("branch7x7x3_1", 192),
                ("branch7x7x3_2", 192, (1, 7)),
                ("branch7x7x3_3", 192, (7, 1)),
                ("branch7x7x3_4", 192, 3, *DOWN),
            ],
        )
        self.Mixed_7b, self.Mixed_7c = mixed_7(1280), mixed_7(2048)
        self.fc = nn.Linear(2048, classes)

    def auxiliary(self, x):
        x = self.AuxLogits["conv0"](F.avg_pool2d(x, 5, 3))
        return self.AuxLogits["fc"](self.AuxLogits["conv1"](x).mean((2, 3)))

    def forward(self, x):
        x = self.Conv2d_2b_3x3(self.Conv2d_2a_3x3(self.Conv2d_1a_3x3(x)))
        x = F.max_pool2d(x, 3, 2)
        x = F.max_pool2d(self.Conv2d_4a_3x3(self.Conv2d_3b_1x1(x)), 3, 2)
        x = self.Mixed_6a(self.Mixed_5d(self.Mixed_5c(self.Mixed_5b(x))))
        x = self.Mixed_6e(self.Mixed_6d(self.Mixed_6c(self.Mixed_6b(x))))
        last = self.Mixed_7c(self.Mixed_7b(self.Mixed_7a(x)))
        return self.fc(last.mean((2, 3))), self.auxiliary(x)


class Scaled(Joined):
    """x + scale * convolution of the joined branches, then ReLU."""

    def __init__(self, joined, outputs, scale, relu=True, **branches):
        super().__init__(**branches)
        self.conv2d = nn.Conv2d(joined, outputs, 1)
        self.scale, self.relu = scale, relu

    def forward(self, x):
        x = x + self.scale * self.conv2d(super().forward(x))
        return F.relu(x) if self.relu else x


def block35():
    return Scaled(
        128,
        320,
        0.17,
        branch0=Unit(320, 32),
        branch1=chain(320, (32,), (32, 3)),
        branch2=chain(320, (32,), (48, 3), (64, 3)),
    )


def block17():
    return Scaled(384, 1088, 0.1, branch0=Unit(1088, 192), branch1=chain(1088, (128,), (160, (1, 7)), (192, (7, 1))))


def block8(scale, relu=True):
    narrow = chain(2080, (192,), (224, (1, 3)), (256, (3, 1)))
    return Scaled(448, 2080, scale, relu, branch0=Unit(2080, 192), branch1=narrow)


class InceptionResNetV2(nn.Module):
    """The released network under timm's names: means without the padding."""

    def __init__(self, classes=1000):
        super().__init__()
        self.conv2d_1a, self.conv2d_2a = Unit(3, 32, 3, *DOWN), Unit(32, 32, 3, padding=0)
        self.conv2d_2b = Unit(32, 64, 3)
        self.conv2d_3b, self.conv2d_4a = Unit(64, 80), Unit(80, 192, 3, padding=0)
        self.mixed_5b = Joined(
            branch0=Unit(192, 96),
            branch1=chain(192, (48,), (64, 5)),
            branch2=chain(192, (64,), (96, 3), (96, 3)),
            branch3=nn.Sequential(nn.AvgPool2d(3, 1, 1, count_include_pad=False), Unit(192, 64)),
        )
        self.repeat = nn.Sequential(*(block35() for _ in range(10)))
        self.mixed_6a = Joined(
            branch0=Unit(320, 384, 3, *DOWN),
            branch1=chain(320, (256,), (256, 3), (384, 3, *DOWN)),
            branch2=nn.MaxPool2d(3, 2),
        )
        self.repeat_1 = nn.Sequential(*(block17() for _ in range(20)))
        self.mixed_7a = Joined(
            branch0=chain(1088, (256,), (384, 3, *DOWN)),
            branch1=chain(1088, (256,), (288, 3, *DOWN)),
            branch2=chain(1088, (256,), (288, 3), (320, 3, *DOWN)),
            branch3=nn.MaxPool2d(3, 2),
        )
        self.repeat_2 = nn.Sequential(*(block8(0.2) for _ in range(9)))
        self.block8 = block8(1.0, relu=False)
        self.conv2d_7b = Unit(2080, 1536)
        self.classif = nn.Linear(1536, classes)

    def forward(self, x):
        x = F.max_pool2d(self.conv2d_2b(self.conv2d_2a(self.conv2d_1a(x))), 3, 2)
        x = F.max_pool2d(self.conv2d_4a(self.conv2d_3b(x)), 3, 2)
        x = self.repeat_1(self.mixed_6a(self.repeat(self.mixed_5b(x))))
        x = self.block8(self.repeat_2(self.mixed_7a(x)))
        return self.classif(self.conv2d_7b(x).mean((2, 3)))
