"""f(f(...f(x))), f always 3x3: VGG. A row is a tuple of widths."""

from functools import partial

from ..heads import dense
from ..layers import conv_norm_relu, conv_relu, max_pool, staged
from ..registry import register


def vgg_net(x, *, depths, widths=(64, 128, 256, 512, 512), unit=conv_relu, ones=()):
    """Stages of 3x3 convolutions and a pool; in the stages ``ones`` the last convolution is 1x1."""
    for i, (depth, width) in staged(depths=depths, widths=widths):
        for j in range(1, depth + 1):
            x = unit(x, width, 1 if i in ones and j == depth else 3, name=f"stage{i}_conv{j}")
        x = max_pool(x, 2, name=f"stage{i}")
    return x


DEPTHS = {11: (1, 1, 2, 2, 2), 13: (2, 2, 2, 2, 2), 16: (2, 2, 3, 3, 3), 19: (2, 2, 4, 4, 4)}
LETTERS = {11: "A", 13: "B", 16: "D", 19: "E"}
PLAIN = {11: 132_863_336, 13: 133_047_848, 16: 138_357_544, 19: 143_667_240}
NORMED = {11: 132_868_840, 13: 133_053_736, 16: 138_365_992, 19: 143_678_248}
MACS = {11: 7.6091, 13: 11.3085, 16: 15.4703, 19: 19.6321}

vgg = partial(register, trunk=vgg_net, family="vgg", year=2014, paper="arXiv:1409.1556", head=dense)
for n, depths in DEPTHS.items():
    row = partial(vgg, depths=depths, macs=MACS[n], source="torchvision")
    row(
        f"vgg{n}",
        params=PLAIN[n],
        fidelity=f"configuration {LETTERS[n]} of the paper; keras.applications leaves the dropout out",
    )
    row(
        f"vgg{n}_bn",
        unit=partial(conv_norm_relu, bias=True),
        params=NORMED[n],
        fidelity="torchvision's: batch norm after each convolution, which keeps its bias; not in the paper",
    )
vgg(
    "vgg16_c",
    depths=DEPTHS[16],
    ones=(3, 4, 5),
    params=133_638_952,
    macs=11.7709,
    source="layer table; the paper says 134 million",
    fidelity="configuration C of the paper: the third convolution of stages 3 to 5 is 1x1",
)
