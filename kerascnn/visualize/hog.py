"""Histograms of oriented gradients (Dalal & Triggs 2005), as OpenCV has them, and what a pixel changes in them.

Cells of 8x8 pixels, 9 directions without sign; blocks of 2x2 cells, Gaussian inside (sigma 4), each pixel shared
between the nearest cells and directions; each block is divided by its length, cut at 0.2, and divided again.
"""

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

CELL, BINS, SIGMA, CUT = 8, 9, 4.0, 0.2
BLOCK = 2 * CELL
LEAST = 0.1 * 4 * BINS, 1e-3  # added to the lengths of blocks, before and after the cut
FLAT = 1e-3  # of a gradient, whose direction is not told apart from none


def descriptor(image):
    """(rows, columns, 36) of a grey image (H, W), 0..255: four cells, row by row, of nine directions for each block."""
    return normed(blocks(votes(*slopes(image))))[0]


def pulled(image, target):
    """(|d - target|^2 / 2, its gradient by the pixels) for the descriptor d of an image."""
    down, right = slopes(image)
    vote = votes(down, right)
    found, back = normed(blocks(vote))
    error = found - target
    signal = spread(back(error), image.shape)  # (H, W, 9) by the votes
    return 0.5 * np.square(error).sum(), unsloped(*unvoted(signal, down, right))


def slopes(image):
    """Differences of the neighbours below and above, right and left; reflected at the border."""
    wide = np.pad(np.asarray(image, np.float64), 1, mode="reflect")
    return wide[2:, 1:-1] - wide[:-2, 1:-1], wide[1:-1, 2:] - wide[1:-1, :-2]


def unsloped(down, right):
    """The transpose of `slopes`."""
    wide = np.zeros((down.shape[0] + 2, down.shape[1] + 2))
    wide[2:, 1:-1] += down
    wide[:-2, 1:-1] -= down
    wide[1:-1, 2:] += right
    wide[1:-1, :-2] -= right
    for axis in (0, 1):
        wide = np.moveaxis(wide, axis, 0)
        wide[2] += wide[0]
        wide[-3] += wide[-1]
        wide = np.moveaxis(wide[1:-1], 0, axis)
    return wide


def directions(down, right):
    """(length, lower bin, upper bin, share of the upper) of gradients."""
    length = np.sqrt(np.square(down) + np.square(right) + FLAT**2)
    place = np.arctan2(down, right) * BINS / np.pi - 0.5
    lower = np.floor(place).astype(int)
    return length, lower % BINS, (lower + 1) % BINS, place - lower


def votes(down, right):
    """(H, W, 9): the length of each pixel's gradient, shared between two directions."""
    length, lower, upper, share = directions(down, right)
    found = np.zeros((*down.shape, BINS))
    np.put_along_axis(found, lower[..., None], (length * (1 - share))[..., None], -1)
    np.put_along_axis(found, upper[..., None], (length * share)[..., None], -1)
    return found


def unvoted(signal, down, right):
    """d / d (down, right) from d / d votes."""
    length, lower, upper, share = directions(down, right)
    first, second = (np.take_along_axis(signal, each[..., None], -1)[..., 0] for each in (lower, upper))
    along = first * (1 - share) + second * share
    turn = (second - first) * BINS / np.pi
    return (along * down + turn * right) / length, (along * right - turn * down) / length


def sharing():
    """(16, 16, 4): how much each pixel of a block counts in each of its cells."""
    places = np.arange(BLOCK)
    cells = np.clip(1 - np.abs((places[:, None] + 0.5) / CELL - 0.5 - np.arange(2)), 0, None)  # (pixels, cells)
    bell = np.exp(-np.square(places - BLOCK / 2) / (2 * SIGMA**2))
    side = cells * bell[:, None]
    return np.einsum("ya,xb->yxab", side, side).reshape(BLOCK, BLOCK, 4)


def blocks(vote):
    """(rows, columns, 4, 9): the cells of each block, not yet normalised."""
    windows = sliding_window_view(vote, (BLOCK, BLOCK), axis=(0, 1))[::CELL, ::CELL]  # (rows, columns, 9, 16, 16)
    return np.einsum("rcoyx,yxk->rcko", windows, sharing(), optimize=True)


def spread(signal, shape):
    """The transpose of `blocks`: (H, W, 9)."""
    signal = signal.reshape(*signal.shape[:2], 4, BINS)
    found, each = np.zeros((*shape, BINS)), np.einsum("rcko,yxk->rcyxo", signal, sharing(), optimize=True)
    for row, column in np.ndindex(signal.shape[:2]):
        found[CELL * row : CELL * row + BLOCK, CELL * column : CELL * column + BLOCK] += each[row, column]
    return found


def normed(raw):
    """(descriptor, its transposed derivative as a function) of blocks: length 1, cut at 0.2, length 1."""
    raw = raw.reshape(*raw.shape[:2], -1)
    once, first = scaled(raw, LEAST[0])
    found, second = scaled(np.minimum(once, CUT), LEAST[1])
    return found, lambda error: first(second(error) * (once < CUT))


def scaled(values, least):
    """(v / (|v| + least), its transposed derivative as a function)."""
    length = np.sqrt(np.square(values).sum(-1, keepdims=True))
    whole = length + least

    def back(error):
        inner = (error * values).sum(-1, keepdims=True)
        return error / whole - values * inner / (np.maximum(length, 1e-12) * whole**2)

    return values / whole, back


def cells(found):
    """(rows, columns, 9) of the cells: the mean over the blocks that a cell is in. For drawing."""
    rows, columns = found.shape[:2]
    total, count = np.zeros((rows + 1, columns + 1, BINS)), np.zeros((rows + 1, columns + 1, 1))
    for k, (down, right) in enumerate(np.ndindex(2, 2)):
        part = slice(down, down + rows), slice(right, right + columns)
        total[part] += found[..., BINS * k : BINS * (k + 1)]
        count[part] += 1
    return total / count
