"""f(g(x)): LeNet, AlexNet, ZFNet. A network lists its convolutions and the steps after each."""

from functools import partial

from keras import layers

from ..layers import Conv, LocalResponseNorm, conv, dense_head, enumerate_stages, max_pool, relu
from ..registry import register


def early_net(x, *, convs, steps, activation=relu):
    """One stage per convolution: the convolution, its activation, and its ``steps``."""
    for i, (spec, after) in enumerate_stages(convs=convs, steps=steps):
        x = conv(x, *spec, name=f"conv{i}")
        x = activation(x, name=f"conv{i}_{activation.__name__}" if after else f"stage{i}")
        for j, step in enumerate(after, start=1):
            x = step(x, name=f"stage{i}" if j == len(after) else f"conv{i}_then{j}")
    return x


def tanh(x, name):
    return layers.Activation("tanh", name=name)(x)


def max_pool_2x2(x, name):
    return max_pool(x, 2, name=name)


def average_pool_2x2(x, name):
    return layers.AveragePooling2D(2, name=name)(x)


def paper_norm(x, name):
    return LocalResponseNorm(name=name)(x)


def caffe_norm(x, name):
    return LocalResponseNorm(bias=1.0, alpha=2e-5, name=name)(x)


padded_max_pool = partial(max_pool, pad=1)

lenet = partial(register, trunk=early_net, family="lenet", scale="unit", classes=10)
lenet5 = partial(lenet, year=1998, paper="doi:10.1109/5.726791", input_shape=(32, 32, 1))
lenet5 = partial(lenet5, convs=tuple(Conv(filters, 5, bias=True, pad=0) for filters in (6, 16, 120)))
lenet5("lenet5", steps=((max_pool_2x2,), (max_pool_2x2,), ()), head=partial(dense_head, units=(84,), dropout=0.0))
lenet5(
    "lenet5_tanh",
    steps=((average_pool_2x2,), (average_pool_2x2,), ()),
    activation=tanh,
    head=partial(dense_head, units=(84,), dropout=0.0, activation=tanh),
)
lenet(
    "lenet1",
    year=1990,
    paper="LeCun et al. 1990, Handwritten digit recognition with a back-propagation network",
    input_shape=(28, 28, 1),
    convs=(Conv(4, 5, bias=True, pad=0), Conv(12, 5, bias=True, pad=0)),
    steps=((average_pool_2x2,), (average_pool_2x2,)),
    activation=tanh,
    head=partial(dense_head, units=()),
)


def alexnet_convs(filters, groups=(1, 1, 1, 1, 1), pad=0):
    sizes, strides, pads = (11, 5, 3, 3, 3), (4, 1, 1, 1, 1), (pad, None, None, None, None)
    return tuple(Conv(*spec, bias=True, pad=p) for *spec, p in zip(filters, sizes, strides, groups, pads, strict=True))


def steps_by_stage(*steps):
    """The same steps after convolutions 1 and 2, a pool after the last."""
    return (steps, steps, (), (), (max_pool,))


NORM_POOL = steps_by_stage(paper_norm, max_pool)
FILTERS = (96, 256, 384, 384, 256)

alexnet = partial(
    register, trunk=early_net, family="alexnet", year=2012, paper="Krizhevsky et al. 2012, NIPS", head=dense_head
)
paper = partial(alexnet, steps=NORM_POOL, input_shape=(227, 227, 3), scale="mean")
paper("alexnet", convs=alexnet_convs(FILTERS))
grouped = alexnet_convs(FILTERS, groups=(1, 2, 1, 2, 2))
paper("alexnet_grouped", convs=grouped)
caffe = partial(alexnet, convs=grouped, input_shape=(227, 227, 3), scale="caffe_round")
caffe("alexnet_caffe", steps=steps_by_stage(caffe_norm, max_pool))
caffe("caffenet", steps=steps_by_stage(max_pool, caffe_norm), year=2014, paper="arXiv:1408.5093")
weird_trick = partial(alexnet, year=2014, paper="arXiv:1404.5997", steps=steps_by_stage(max_pool))
torchvision = alexnet_convs((64, 192, 384, 256, 256), pad=2)
weird_trick("alexnet_torchvision", convs=torchvision, head=partial(dense_head, dropout_first=True))
weird_trick("alexnet_owt", convs=alexnet_convs((64, 192, 384, 384, 256), pad=2))

zfnet = partial(register, trunk=early_net, family="zfnet", year=2013, paper="arXiv:1311.2901", head=dense_head)
FIRST = (Conv(96, 7, 2, bias=True, pad=1), Conv(256, 5, 2, bias=True, pad=0))
for name, filters in (("zfnet", (384, 384, 256)), ("zfnet_b", (512, 1024, 512))):
    last = tuple(Conv(count, 3, bias=True) for count in filters)
    zfnet(name, convs=FIRST + last, steps=steps_by_stage(padded_max_pool, caffe_norm), scale="mean")
