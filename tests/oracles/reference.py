"""What layers should compute, written with numpy loops by somebody who never saw them."""

import numpy as np


def pad(x, before, after, value=0.0):
    return np.pad(x, ((0, 0), (before, after), (before, after), (0, 0)), constant_values=value)


def conv(x, kernel, stride=1, margin=0, groups=1):
    """(N, H, W, C) with an HWIO kernel, ``margin`` zeros on each side."""
    x = pad(x, margin, margin)
    height, width, per_group, filters = kernel.shape
    rows, columns = ((n - k) // stride + 1 for n, k in zip(x.shape[1:3], (height, width), strict=True))
    out = np.zeros((len(x), rows, columns, filters))
    each = filters // groups
    for i in range(rows):
        for j in range(columns):
            patch = x[:, i * stride : i * stride + height, j * stride : j * stride + width]
            for g in range(groups):
                part = patch[..., g * per_group : (g + 1) * per_group]
                block = slice(g * each, (g + 1) * each)
                out[:, i, j, block] = np.tensordot(part, kernel[..., block], axes=3)
    return out


def max_pool(x, size, stride, margin=0, ceil=False):
    """Torch's rule: round the output size up where ``ceil``, windows may hang over the edge."""
    x = pad(x, margin, margin, -np.inf)
    length = [n - size for n in x.shape[1:3]]
    rows, columns = ((-(-n // stride) if ceil else n // stride) + 1 for n in length)
    windows = [
        [x[:, i * stride : i * stride + size, j * stride : j * stride + size].max((1, 2)) for j in range(columns)]
        for i in range(rows)
    ]
    return np.stack([np.stack(row, 1) for row in windows], 1)


def response_norm(x, radius, bias, alpha, beta):
    out = np.empty_like(x)
    for c in range(x.shape[-1]):
        around = x[..., max(0, c - radius) : c + radius + 1]
        out[..., c] = x[..., c] / (bias + alpha * np.sum(around**2, -1)) ** beta
    return out
