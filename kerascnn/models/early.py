"""f(g(x)), drawn by hand: LeNet, AlexNet, ZFNet. A row lists its convolutions and what follows each."""

from functools import partial

from keras import layers

from ..heads import dense
from ..layers import Conv, LocalResponseNorm, conv, max_pool, relu, staged
from ..registry import register


def early_net(x, *, convs, then, act=relu):
    """One stage a convolution: it, its activation, and the steps of ``then``."""
    for i, (spec, steps) in staged(convs=convs, then=then):
        x = conv(x, *spec, name=f"conv{i}")
        x = act(x, name=f"conv{i}_{act.__name__}" if steps else f"stage{i}")
        for j, step in enumerate(steps, start=1):
            x = step(x, name=f"stage{i}" if j == len(steps) else f"conv{i}_then{j}")
    return x


def tanh(x, name):
    return layers.Activation("tanh", name=name)(x)


def halve(x, name):
    return max_pool(x, 2, name=name)


def mean(x, name):
    return layers.AveragePooling2D(2, name=name)(x)


def paper_norm(x, name):
    return LocalResponseNorm(name=name)(x)


def caffe_norm(x, name):
    return LocalResponseNorm(bias=1.0, alpha=2e-5, name=name)(x)


overlap = partial(max_pool, size=3, stride=2)
padded = partial(max_pool, size=3, stride=2, pad=1)

lenet = partial(register, trunk=early_net, family="lenet", scale="unit", classes=10)
lenet5 = partial(lenet, year=1998, paper="doi:10.1109/5.726791", input_shape=(32, 32, 1))
LENET5 = (Conv(6, 5, bias=True, pad=0), Conv(16, 5, bias=True, pad=0), Conv(120, 5, bias=True, pad=0))
lenet5(
    "lenet5",
    convs=LENET5,
    then=((halve,), (halve,), ()),
    head=partial(dense, units=(84,), dropout=0.0),
    params=61_706,
    macs=0.00041652,
    source="layer table",
    fidelity="today's usual form: ReLU, max-pooling, every C3 map sees all of S2, softmax; pad 28x28 digits by 2",
)
lenet5(
    "lenet5_tanh",
    convs=LENET5,
    then=((mean,), (mean,), ()),
    act=tanh,
    head=partial(dense, units=(84,), dropout=0.0, act=tanh),
    params=61_706,
    macs=0.00041652,
    source="layer table",
    fidelity="close to 1998: tanh, average pooling; but no trainable subsampling, C3 sees all of S2, softmax for RBF",
)
lenet(
    "lenet1",
    year=1990,
    paper="LeCun et al. 1990, Handwritten digit recognition with a back-propagation network",
    input_shape=(28, 28, 1),
    convs=(Conv(4, 5, bias=True, pad=0), Conv(12, 5, bias=True, pad=0)),
    then=((mean,), (mean,)),
    act=tanh,
    head=partial(dense, units=(), dropout=0.0),
    fidelity="tanh and average pooling; the paper's second layer is sparse and shares less, so it has fewer parameters",
)


def alexnet_convs(filters, groups=(1, 1, 1, 1, 1), pad=0):
    sizes, strides, pads = (11, 5, 3, 3, 3), (4, 1, 1, 1, 1), (pad, None, None, None, None)
    return tuple(Conv(*spec, bias=True, pad=p) for *spec, p in zip(filters, sizes, strides, groups, pads, strict=True))


NORM_POOL = ((paper_norm, overlap), (paper_norm, overlap), (), (), (overlap,))
POOL_NORM = ((padded, caffe_norm), (padded, caffe_norm), (), (), (overlap,))
POOL = ((overlap,), (overlap,), (), (), (overlap,))

alexnet = partial(
    register, trunk=early_net, family="alexnet", year=2012, paper="Krizhevsky et al. 2012, NIPS", head=dense
)
paper_alexnet = partial(alexnet, then=NORM_POOL, input_shape=(227, 227, 3), scale="mean")
paper_alexnet(
    "alexnet",
    convs=alexnet_convs((96, 256, 384, 384, 256)),
    params=62_378_344,
    macs=1.1353,
    source="imgclsmob",
    fidelity="the paper's net in one stream: local response norm, overlapping pools; 227 pixels, which give 55x55",
)
paper_alexnet(
    "alexnet_grouped",
    convs=alexnet_convs((96, 256, 384, 384, 256), groups=(1, 2, 1, 2, 2)),
    params=60_965_224,
    macs=0.7244,
    source="layer table; the paper says 60 million",
    fidelity="the paper's two streams as groups of convolutions 2, 4 and 5",
)
owt = partial(alexnet, year=2014, paper="arXiv:1404.5997", then=POOL)
owt(
    "alexnet_torchvision",
    convs=alexnet_convs((64, 192, 384, 256, 256), pad=2),
    head=partial(dense, early=True),
    params=61_100_840,
    macs=0.7142,
    source="torchvision",
    fidelity="torchvision's: no norm, dropout before fc6 and fc7; neither the paper of 2012 nor that of 2014",
)
owt(
    "alexnet_owt",
    convs=alexnet_convs((64, 192, 384, 384, 256), pad=2),
    params=61_838_248,
    macs=0.8388,
    source="layer table of the paper's footnote",
    fidelity="as the footnote of 'One weird trick' prints it: 384 filters in convolution 4",
)


def zfnet_convs(*last):
    first = (Conv(96, 7, 2, bias=True, pad=1), Conv(256, 5, 2, bias=True, pad=0))
    return first + tuple(Conv(filters, 3, bias=True) for filters in last)


zfnet = partial(
    register, trunk=early_net, family="zfnet", year=2013, paper="arXiv:1311.2901", head=dense, then=POOL_NORM
)
zfnet = partial(zfnet, scale="mean", source="imgclsmob")
zfnet(
    "zfnet",
    convs=zfnet_convs(384, 384, 256),
    params=62_357_608,
    macs=1.168,
    fidelity="the paper's eight layers; pools padded by 1, without which the last map would be 5x5 in place of 6x6",
)
zfnet(
    "zfnet_b",
    convs=zfnet_convs(512, 1024, 512),
    params=107_627_624,
    macs=2.4767,
    fidelity="the paper's larger model: 512, 1024, 512 filters in convolutions 3 to 5; pools padded by 1",
)
