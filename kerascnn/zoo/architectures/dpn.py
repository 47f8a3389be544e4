"""x + f(x) on one path, [x, f(x)] on the other: Dual Path Networks."""

from functools import partial

from keras import layers

from ..layers import batch_norm, batch_norm_relu, conv, enumerate_stages, pooling_head
from ..registry import register
from .resnet import imagenet_stem

dpn_norm = partial(batch_norm, epsilon=1e-3)


def dualpath_net(x, *, depths, growths, width, groups, stem=64, residual_width=256):
    """Stages of bottlenecks: the residual path doubles from ``residual_width`` on, ``growths`` extend the dense one."""
    x = imagenet_stem(x, norm=dpn_norm, width=stem)
    for i, (depth, growth) in enumerate_stages(depths=depths, growths=growths):
        times = 2 ** (i - 1)
        for j in range(1, depth + 1):
            stride = 2 if i > 1 and j == 1 else 1
            name = f"stage{i}_block{j}"
            output_name = name if j < depth else f"stage{i}"
            x = dualpath_unit(
                x, residual_width * times, growth, width * times, groups, stride, j == 1, name, output_name
            )
    return batch_norm_relu(x, norm=dpn_norm, name="final")


def dualpath_unit(x, residual_width, growth, inner, groups, stride, first, name, output_name):
    """Split x at channel ``residual_width``; add to the left part, append to the right one."""
    if first:
        start = batch_norm_relu(x, norm=dpn_norm, name=f"{name}_skip")
        state = conv(start, residual_width + 2 * growth, 1, stride, name=f"{name}_skip_conv")
    else:
        state = x
    y = conv(batch_norm_relu(x, norm=dpn_norm, name=f"{name}_1"), inner, name=f"{name}_conv1")
    y = conv(batch_norm_relu(y, norm=dpn_norm, name=f"{name}_2"), inner, 3, stride, groups, name=f"{name}_conv2")
    y = conv(batch_norm_relu(y, norm=dpn_norm, name=f"{name}_3"), residual_width + growth, name=f"{name}_conv3")
    summed = layers.Add(name=f"{name}_add")([state[..., :residual_width], y[..., :residual_width]])
    return layers.Concatenate(name=output_name)([summed, state[..., residual_width:], y[..., residual_width:]])


dpn = partial(
    register, trunk=dualpath_net, family="dpn", year=2017, paper="arXiv:1707.01629", head=pooling_head, scale="dpn"
)
dpn("dpn92", depths=(3, 4, 20, 3), growths=(16, 32, 24, 128), width=96, groups=32)
dpn("dpn98", depths=(3, 6, 20, 3), growths=(16, 32, 32, 128), width=160, groups=40, stem=96)
dpn("dpn131", depths=(4, 8, 28, 3), growths=(16, 32, 32, 128), width=160, groups=40, stem=128)
