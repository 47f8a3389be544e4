"""A small network of each way of connecting, for tests and first tries; nobody published these."""

from functools import partial

from ..heads import conv_pooled, dense, pooled
from ..layers import Conv, conv_norm_relu, conv_relu, norm_relu
from ..registry import register
from .dense import dense_net
from .dualpath import dualpath_net
from .early import NORM_POOL, early_net
from .fractal import fractal_net
from .inception import auxiliary, mean, mean_by_3, padded_mean, peak, pool, residual, tree_net
from .nin import nin_net
from .residual import bare_stem, bottleneck, cifar_stem, pad_channels, pre_activation, residual_net
from .squeeze import complex_bypass, squeeze_net
from .vgg import vgg_net

tiny = partial(
    register,
    year=2026,
    paper="none",
    source="none: made for tests",
    fidelity="the family's connections in small",
    input_shape=(32, 32, 3),
    classes=10,
    scale="cifar",
)
CONVS = (Conv(8, 5, 2, bias=True), Conv(16, 5, 1, 2, bias=True), *3 * (Conv(16, 3, 1, 2, bias=True),))
tiny(
    "tiny_alexnet", family="alexnet", trunk=early_net, convs=CONVS, then=NORM_POOL, head=partial(dense, units=(32, 32))
)
tiny(
    "tiny_nin",
    family="nin",
    trunk=nin_net,
    stages=((Conv(8, 5), Conv(8)), (Conv(8, 3),)),
    dropped=(1,),
    head=conv_pooled,
)
tiny(
    "tiny_vgg",
    family="vgg",
    trunk=vgg_net,
    depths=(1, 2, 2),
    widths=(8, 16, 16),
    unit=partial(conv_norm_relu, bias=True),
    head=partial(dense, units=(32,)),
)
tiny(
    "tiny_squeezenet",
    family="squeezenet",
    trunk=squeeze_net,
    filters=8,
    size=3,
    stages=(((4, 8), (4, 8)), ((4, 16),)),
    bypass=complex_bypass,
    head=conv_pooled,
)
FORK = [[Conv(8)], [Conv(4), [[Conv(8, (1, 3))], [Conv(8, (3, 1))]]], [peak, Conv(4)]]
tiny(
    "tiny_inception",
    family="inception",
    trunk=tree_net,
    unit=conv_norm_relu,
    stages=(
        [Conv(8, 3, 2, pad=0), pool],
        [[*FORK, [mean, Conv(4)], [padded_mean]], partial(residual, branches=FORK, scale=0.2)],
    ),
    head=partial(pooled, dropout=0.2),
)
tiny(
    "tiny_googlenet",
    family="inception",
    trunk=tree_net,
    unit=conv_relu,
    stages=([Conv(8, 3, 2, pad=0)], [FORK, partial(pool, ceil=True)]),
    head=pooled,
    aux={"aux1": ("stage2_1", partial(auxiliary, unit=conv_relu, pooling=mean_by_3, filters=(Conv(4),), units=(16,)))},
)
small = {"trunk": residual_net, "widths": (4, 8), "head": pooled}
tiny("tiny_resnet", family="resnet", stem=cifar_stem, depths=(1, 2), branch=bottleneck, **small)
tiny(
    "tiny_resnet_a",
    family="stochastic",
    stem=partial(cifar_stem, width=4),
    depths=(2, 2),
    shortcut=pad_channels,
    drop_path=0.5,
    **small,
)
tiny(
    "tiny_preresnet",
    family="preresnet",
    stem=bare_stem,
    depths=(1, 2),
    unit=pre_activation,
    final=norm_relu,
    dropout=0.3,
    **small,
)
tiny(
    "tiny_resnext",
    family="resnext",
    stem=cifar_stem,
    depths=(1, 2),
    branch=partial(bottleneck, groups=4, base=32),
    **small | {"widths": (8, 16)},
)
tiny("tiny_densenet", family="densenet", trunk=dense_net, depths=(2, 3), growth=4, stem=bare_stem, head=pooled)
tiny(
    "tiny_dpn",
    family="dpn",
    trunk=dualpath_net,
    depths=(1, 2),
    growths=(4, 4),
    width=8,
    groups=4,
    stem=8,
    added=16,
    head=pooled,
)
tiny(
    "tiny_fractalnet", family="fractalnet", trunk=fractal_net, columns=3, widths=(4, 8), dropout=(0.0, 0.1), head=pooled
)
