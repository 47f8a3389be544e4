"""A small network of each way of connecting, for tests and first tries; nobody published these."""

from functools import partial

from ..layers import Conv, conv_norm_relu, conv_pooled, conv_relu, dense, norm_relu, pooled
from ..registry import register
from .alexnet import NORM_POOL, early_net
from .densenet import dense_net
from .dpn import dualpath_net
from .fractalnet import fractal_net
from .inception import auxiliary, mean, mean_by_3, padded_mean, peak, pool, residual, tree_net
from .nin import nin_net
from .resnet import bare_stem, bottleneck, cifar_stem, pad_channels, pre_activation, residual_net
from .squeezenet import complex_bypass, squeeze_net
from .vgg import vgg_net

tiny = partial(register, year=2026, paper="none", source="none: made for tests", input_shape=(32, 32, 3), classes=10)
tiny = partial(tiny, fidelity="the family's connections in small", scale="cifar")

CONVS = (Conv(8, 5, 2, bias=True), Conv(16, 5, 1, 2, bias=True), *3 * (Conv(16, 3, 1, 2, bias=True),))
head = partial(dense, units=(32, 32))
tiny("tiny_alexnet", family="alexnet", trunk=early_net, convs=CONVS, then=NORM_POOL, head=head)
stages = ((Conv(8, 5), Conv(8)), (Conv(8, 3),))
tiny("tiny_nin", family="nin", trunk=nin_net, stages=stages, dropped=(1,), head=conv_pooled)
vgg = {"depths": (1, 2, 2), "widths": (8, 16, 16), "unit": partial(conv_norm_relu, bias=True)}
tiny("tiny_vgg", family="vgg", trunk=vgg_net, head=partial(dense, units=(32,)), **vgg)
fires = {"filters": 8, "size": 3, "stages": (((4, 8), (4, 8)), ((4, 16),)), "bypass": complex_bypass}
tiny("tiny_squeezenet", family="squeezenet", trunk=squeeze_net, head=conv_pooled, **fires)

FORK = [[Conv(8)], [Conv(4), [[Conv(8, (1, 3))], [Conv(8, (3, 1))]]], [peak, Conv(4)]]
tree = partial(tiny, family="inception", trunk=tree_net)
wide = [[*FORK, [mean, Conv(4)], [padded_mean]], partial(residual, branches=FORK, scale=0.2)]
tree(
    "tiny_inception",
    unit=conv_norm_relu,
    stages=([Conv(8, 3, 2, pad=0), pool], wide),
    head=partial(pooled, dropout=0.2),
)
aux = partial(auxiliary, unit=conv_relu, pooling=mean_by_3, filters=(Conv(4),), units=(16,))
stages = ([Conv(8, 3, 2, pad=0)], [FORK, partial(pool, ceil=True)])
tree("tiny_googlenet", unit=conv_relu, stages=stages, head=pooled, aux={"aux1": ("stage2_1", aux)})

sums = partial(tiny, trunk=residual_net, widths=(4, 8), depths=(1, 2), head=pooled)
sums("tiny_resnet", family="resnet", stem=cifar_stem, branch=bottleneck)
stem = partial(cifar_stem, width=4)
sums("tiny_resnet_a", family="stochastic", stem=stem, depths=(2, 2), shortcut=pad_channels, drop_path=0.5)
preact = {"stem": bare_stem, "unit": pre_activation, "final": norm_relu, "dropout": 0.3}
sums("tiny_preresnet", family="preresnet", **preact)
groups = partial(bottleneck, groups=4, base=32)
sums("tiny_resnext", family="resnext", stem=cifar_stem, branch=groups, widths=(8, 16))
tiny("tiny_densenet", family="densenet", trunk=dense_net, depths=(2, 3), growth=4, stem=bare_stem, head=pooled)
paths = {"depths": (1, 2), "growths": (4, 4), "width": 8, "groups": 4, "stem": 8, "added": 16}
tiny("tiny_dpn", family="dpn", trunk=dualpath_net, head=pooled, **paths)
fractal = {"columns": 3, "widths": (4, 8), "dropout": (0.0, 0.1)}
tiny("tiny_fractalnet", family="fractalnet", trunk=fractal_net, head=pooled, **fractal)
