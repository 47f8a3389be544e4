"""A small network of each family, for tests and first trials; these were never published."""

from functools import partial

from ..layers import Conv, batch_norm_relu, conv_norm_relu, conv_pooling_head, conv_relu, dense_head, pooling_head
from ..registry import register
from .alexnet import NORM_POOL, early_net
from .densenet import dense_net
from .dpn import dualpath_net
from .fractalnet import fractal_net
from .inception import (
    auxiliary_head,
    average_pool_3x3,
    average_pool_3x3_with_padding,
    average_pool_5x5_by_3,
    max_pool_3x3,
    max_pool_step,
    residual_module,
    tree_net,
)
from .nin import nin_net
from .resnet import bare_stem, bottleneck_branch, cifar_stem, padding_shortcut, pre_activation, residual_net
from .squeezenet import complex_bypass, squeeze_net
from .vgg import vgg_net

tiny = partial(register, year=2026, paper="none", source="none: a test network", input_shape=(32, 32, 3), classes=10)
tiny = partial(tiny, fidelity="a small network with the same connections as its family", scale="cifar")

CONVS = (Conv(8, 5, 2, bias=True), Conv(16, 5, 1, 2, bias=True), *3 * (Conv(16, 3, 1, 2, bias=True),))
head = partial(dense_head, units=(32, 32))
tiny("tiny_alexnet", family="alexnet", trunk=early_net, convs=CONVS, steps=NORM_POOL, head=head)
stages = ((Conv(8, 5), Conv(8)), (Conv(8, 3),))
tiny("tiny_nin", family="nin", trunk=nin_net, stages=stages, dropout_stages=(1,), head=conv_pooling_head)
vgg = {"depths": (1, 2, 2), "widths": (8, 16, 16), "unit": partial(conv_norm_relu, bias=True)}
tiny("tiny_vgg", family="vgg", trunk=vgg_net, head=partial(dense_head, units=(32,)), **vgg)
fires = {"filters": 8, "size": 3, "stages": (((4, 8), (4, 8)), ((4, 16),)), "bypass": complex_bypass}
tiny("tiny_squeezenet", family="squeezenet", trunk=squeeze_net, head=conv_pooling_head, **fires)

FORK = [[Conv(8)], [Conv(4), [[Conv(8, (1, 3))], [Conv(8, (3, 1))]]], [max_pool_3x3, Conv(4)]]
tree = partial(tiny, family="inception", trunk=tree_net)
wide = [
    [*FORK, [average_pool_3x3, Conv(4)], [average_pool_3x3_with_padding]],
    partial(residual_module, branches=FORK, scale=0.2),
]
tree(
    "tiny_inception",
    unit=conv_norm_relu,
    stages=([Conv(8, 3, 2, pad=0), max_pool_step], wide),
    head=partial(pooling_head, dropout=0.2),
)
aux = partial(auxiliary_head, unit=conv_relu, pooling=average_pool_5x5_by_3, filters=(Conv(4),), units=(16,))
googlenet_stages = ([Conv(8, 3, 2, pad=0)], [FORK, partial(max_pool_step, ceil=True)])
tree("tiny_googlenet", unit=conv_relu, stages=googlenet_stages, head=pooling_head, aux={"aux1": ("stage2_1", aux)})

sums = partial(tiny, trunk=residual_net, widths=(4, 8), depths=(1, 2), head=pooling_head)
sums("tiny_resnet", family="resnet", stem=cifar_stem, branch=bottleneck_branch)
stem = partial(cifar_stem, width=4)
sums("tiny_resnet_a", family="stochastic", stem=stem, depths=(2, 2), shortcut=padding_shortcut, drop_path=0.5)
preact = {"stem": bare_stem, "unit": pre_activation, "final": batch_norm_relu, "dropout": 0.3}
sums("tiny_preresnet", family="preresnet", **preact)
groups = partial(bottleneck_branch, groups=4, base=32)
sums("tiny_resnext", family="resnext", stem=cifar_stem, branch=groups, widths=(8, 16))
tiny("tiny_densenet", family="densenet", trunk=dense_net, depths=(2, 3), growth=4, stem=bare_stem, head=pooling_head)
paths = {"depths": (1, 2), "growths": (4, 4), "width": 8, "groups": 4, "stem": 8, "residual_width": 16}
tiny("tiny_dpn", family="dpn", trunk=dualpath_net, head=pooling_head, **paths)
fractal = {"columns": 3, "widths": (4, 8), "dropout": (0.0, 0.1)}
tiny("tiny_fractalnet", family="fractalnet", trunk=fractal_net, head=pooling_head, **fractal)
