"""mean(f(x), f(f(x)), ...): FractalNet, built by its own recursion."""

from functools import partial

from keras import layers

from ..layers import DrawColumn, Join, batch_norm, conv, enumerate_stages, pooling_head, relu
from ..registry import register


def fractal_net(
    x, *, columns, widths=(64, 128, 256, 512, 512), dropout=(0.0, 0.1, 0.2, 0.3, 0.4), drop_path=0.15, whole=0.5
):
    """Blocks of ``columns`` paths, the deepest of 2^(columns - 1) convolutions; each ends with a pool and a join.

    In training, a fraction ``whole`` of the images keeps a single column, the others drop paths at each join.
    """
    column = DrawColumn(columns, whole, name="column")(x)

    def join(paths, name):
        return Join(drop_path, columns, name=name)([column, *paths]) if len(paths) > 1 else paths[0]

    for i, (width, rate) in enumerate_stages(widths=widths, dropout=dropout):
        unit = partial(conv_unit, width=width, dropout=rate)
        paths = fractal_paths(x, range(1, columns + 1), unit, join, f"stage{i}")
        paths = [layers.MaxPooling2D(2, name=f"stage{i}_pool{j}")(path) for j, path in enumerate(paths, start=1)]
        x = join(paths, f"stage{i}") if columns > 1 else layers.Identity(name=f"stage{i}")(*paths)
    return x


def fractal_paths(x, columns, unit, join, name):
    """The paths that end together, from shallow to deep: one convolution, and the fractal of half the depth twice."""
    column, *deeper = columns
    shallow = unit(x, name=f"{name}_column{column}")
    if not deeper:
        return [shallow]
    half = join(fractal_paths(x, deeper, unit, join, f"{name}a"), f"{name}a_join")
    return [shallow, *fractal_paths(half, deeper, unit, join, f"{name}b")]


def conv_unit(x, width, dropout, name):
    """Convolution, dropout, norm, ReLU."""
    x = conv(x, width, 3, name=f"{name}_conv")
    x = layers.Dropout(dropout, name=f"{name}_dropout")(x) if dropout else x
    return relu(batch_norm(x, name=f"{name}_norm"), f"{name}_relu")


fractalnet = partial(
    register, trunk=fractal_net, family="fractalnet", year=2016, paper="arXiv:1605.07648", head=pooling_head
)
fractalnet = partial(fractalnet, input_shape=(32, 32, 3), scale="cifar")
fractalnet("fractalnet20_cifar10", columns=3, classes=10)
fractalnet("fractalnet20_cifar100", columns=3, classes=100)
fractalnet("fractalnet40_cifar100", columns=4, widths=(32, 64, 128, 256, 256), classes=100)
