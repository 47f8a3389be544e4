"""[e1(s(x)), e3(s(x))]: SqueezeNet, fire modules that squeeze before they expand."""

from functools import partial

from keras import layers

from ..layers import conv, conv_pooling_head, conv_relu, max_pool
from ..registry import register


def squeeze_net(x, *, filters, size, stages, bypass=None):
    """A strided convolution, then stages of fire modules; ``stages`` gives (squeeze, expand) of each."""
    x = conv_relu(x, filters, size, 2, pad=0, name="stage1_conv1")
    x = max_pool(x, ceil=True, name="stage1")
    for i, fires in enumerate(stages, start=2):
        for j, (squeeze, expand) in enumerate(fires, start=1):
            last = i == len(stages) + 1 and j == len(fires)
            name = f"stage{i}_fire{j}"
            x = fire_module(x, squeeze, expand, bypass, name, output_name=f"stage{i}" if last else name)
        if not last:
            x = max_pool(x, ceil=True, name=f"stage{i}")
    return x


def fire_module(x, squeeze, expand, bypass, name, output_name):
    """1x1 to ``squeeze`` channels, then ``expand`` filters of 1x1 and of 3x3 each, concatenated."""
    y = conv_relu(x, squeeze, name=f"{name}_squeeze")
    y = [conv_relu(y, expand, size, name=f"{name}_expand{size}") for size in (1, 3)]
    y = layers.Concatenate(name=f"{name}_concat" if bypass else output_name)(y)
    return bypass(x, y, name, output_name) if bypass else y


def simple_bypass(x, y, name, output_name):
    """x + y if the channels agree, y otherwise."""
    return layers.Add(name=output_name)([x, y]) if x.shape[-1] == y.shape[-1] else layers.Identity(name=output_name)(y)


def complex_bypass(x, y, name, output_name):
    """x + y, with a 1x1 convolution on x if the channels differ."""
    if x.shape[-1] != y.shape[-1]:
        x = conv(x, y.shape[-1], bias=True, name=f"{name}_skip")
    return layers.Add(name=output_name)([x, y])


SMALL, MEDIUM, LARGE, WIDE = (16, 64), (32, 128), (48, 192), (64, 256)
head = partial(conv_pooling_head, dropout=0.5)
squeezenet = partial(register, trunk=squeeze_net, family="squeezenet", year=2016, paper="arXiv:1602.07360", head=head)
STAGES_1_0 = ((SMALL, SMALL, MEDIUM), (MEDIUM, LARGE, LARGE, WIDE), (WIDE,))
v1_0 = partial(squeezenet, filters=96, size=7, stages=STAGES_1_0)
v1_0("squeezenet1_0")
v1_0("squeezenet1_0_caffe", input_shape=(227, 227, 3), scale="caffe_round", head=partial(head, pad=1))
v1_0("squeezenet1_0_simple", bypass=simple_bypass)
v1_0("squeezenet1_0_complex", bypass=complex_bypass)
STAGES_1_1 = ((SMALL, SMALL), (MEDIUM, MEDIUM), (LARGE, LARGE, WIDE, WIDE))
v1_1 = partial(squeezenet, filters=64, size=3, stages=STAGES_1_1)
v1_1("squeezenet1_1")
v1_1("squeezenet1_1_caffe", input_shape=(227, 227, 3), scale="caffe_round")
