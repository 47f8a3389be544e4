"""f(f(...f(x))), where f is always 3x3: VGG."""

from functools import partial

from ..layers import conv_norm_relu, conv_relu, dense_head, enumerate_stages, max_pool
from ..registry import register


def vgg_net(x, *, depths, widths=(64, 128, 256, 512, 512), unit=conv_relu, pointwise_stages=()):
    """Stages of 3x3 convolutions and a pool; in ``pointwise_stages`` the last convolution is 1x1."""
    for i, (depth, width) in enumerate_stages(depths=depths, widths=widths):
        for j in range(1, depth + 1):
            x = unit(x, width, 1 if i in pointwise_stages and j == depth else 3, name=f"stage{i}_conv{j}")
        x = max_pool(x, 2, name=f"stage{i}")
    return x


vgg = partial(register, trunk=vgg_net, family="vgg", year=2014, paper="arXiv:1409.1556", head=dense_head)
for n, depths in {11: (1, 1, 2, 2, 2), 13: (2, 2, 2, 2, 2), 16: (2, 2, 3, 3, 3), 19: (2, 2, 4, 4, 4)}.items():
    vgg(f"vgg{n}", depths=depths)
    vgg(f"vgg{n}_bn", depths=depths, unit=partial(conv_norm_relu, bias=True))
vgg("vgg16_c", depths=(2, 2, 3, 3, 3), pointwise_stages=(3, 4, 5))
