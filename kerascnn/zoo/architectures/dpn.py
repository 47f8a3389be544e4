"""x + f(x) on one path, [x, f(x)] on the other: Dual Path Networks."""

from functools import partial

from keras import layers

from ..layers import conv, norm, norm_relu, pooled, staged
from ..registry import register
from .resnet import imagenet_stem

dpn_norm = partial(norm, epsilon=1e-3)


def dualpath_net(x, *, depths, growths, width, groups, stem=64, added=256):
    """Stages of bottlenecks; the residual path is ``added`` wide and doubles, the dense one grows by ``growths``."""
    x = imagenet_stem(x, norm=dpn_norm, width=stem)
    for i, (depth, growth) in staged(depths=depths, growths=growths):
        times = 2 ** (i - 1)
        for j in range(1, depth + 1):
            stride = 2 if i > 1 and j == 1 else 1
            name = f"stage{i}_block{j}"
            out = name if j < depth else f"stage{i}"
            x = unit(x, added * times, growth, width * times, groups, stride, j == 1, name, out)
    return norm_relu(x, norm=dpn_norm, name="final")


def unit(x, added, growth, inner, groups, stride, first, name, out):
    """Split x at channel ``added``; add to the left part, append to the right one."""
    if first:
        start = norm_relu(x, norm=dpn_norm, name=f"{name}_skip")
        state = conv(start, added + 2 * growth, 1, stride, name=f"{name}_skip_conv")
    else:
        state = x
    y = conv(norm_relu(x, norm=dpn_norm, name=f"{name}_1"), inner, name=f"{name}_conv1")
    y = conv(norm_relu(y, norm=dpn_norm, name=f"{name}_2"), inner, 3, stride, groups, name=f"{name}_conv2")
    y = conv(norm_relu(y, norm=dpn_norm, name=f"{name}_3"), added + growth, name=f"{name}_conv3")
    summed = layers.Add(name=f"{name}_add")([state[..., :added], y[..., :added]])
    return layers.Concatenate(name=out)([summed, state[..., added:], y[..., added:]])


dpn = partial(register, trunk=dualpath_net, family="dpn", year=2017, paper="arXiv:1707.01629", head=pooled, scale="dpn")
dpn("dpn92", depths=(3, 4, 20, 3), growths=(16, 32, 24, 128), width=96, groups=32)
dpn("dpn98", depths=(3, 6, 20, 3), growths=(16, 32, 32, 128), width=160, groups=40, stem=96)
dpn("dpn131", depths=(4, 8, 28, 3), growths=(16, 32, 32, 128), width=160, groups=40, stem=128)
