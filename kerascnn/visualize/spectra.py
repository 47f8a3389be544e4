"""Which spatial frequencies filters answer to, and what a stride folds onto others.

A stride of s keeps frequencies below 1 / 2s cycles a pixel; the energy of a response above that does not vanish, but
appears at a frequency where there was none (Zeiler & Fergus 2013 see it in the second layer behind 11x11, stride 4).
"""

import numpy as np
from keras import ops

from .asking import read

SIZE = 64  # frequencies of a power spectrum, each way
LOW, HIGH = 1 / 8, 1 / 4  # cycles a pixel: the octave between is "mid"
UPPER = 0.375  # cycles a place of a map: the upper quarter, up to Nyquist's 0.5


def power_of(kernel):
    """Power spectra (filters, 64, 64) of the filters that are not 0, channels together, each of sum 1."""
    size = tuple(max(SIZE, side) for side in kernel.shape[:2])
    power = np.square(np.abs(np.fft.fft2(np.moveaxis(kernel, (3, 2), (0, 1)), size))).sum(1)
    total = power.sum((1, 2))
    return power[total > 0] / total[total > 0, None, None]


def bands(power):
    """Mean shares of the filters' energy by frequency, and ``coverage`` of the mid band.

    Coverage: the share of its frequencies at which at least one filter has half of its largest power.
    """
    if not len(power):
        return dict.fromkeys(("low", "mid", "high", "coverage"), float("nan"))
    radius = np.hypot(*np.meshgrid(*map(np.fft.fftfreq, power.shape[1:]), indexing="ij"))
    mid = (radius >= LOW) & (radius < HIGH)
    shares = {"low": radius < LOW, "mid": mid, "high": radius >= HIGH}
    found = {name: float(power[:, cells].sum(1).mean()) for name, cells in shares.items()}
    reached = (power >= power.max((1, 2), keepdims=True) / 2).any(0)
    return found | {"coverage": float(reached[mid].mean())}


def share_above(maps, limit):
    """Share of the energy of maps (N, h, w, C), means removed, above a frequency (vertical, horizontal)."""
    from scipy.fft import next_fast_len, rfft2

    height, width = maps.shape[1:3]
    window = np.outer(np.hanning(height + 2)[1:-1], np.hanning(width + 2)[1:-1]).astype(np.float32)
    size = [next_fast_len(side, real=True) for side in (height, width)]
    vertical, horizontal = np.meshgrid(np.fft.fftfreq(size[0]), np.fft.rfftfreq(size[1]), indexing="ij")
    outside = (np.abs(vertical) > limit[0]) | (horizontal > limit[1])
    twice = np.where((horizontal == 0) | (horizontal == 0.5), 1, 2)  # the other half of a real map's spectrum
    above = total = 0.0
    for each in np.moveaxis(maps, 3, 1):  # one by one, as they may be large
        apart = (each - (each * window).sum((1, 2), keepdims=True) / window.sum()) * window
        power = twice * np.square(np.abs(rfft2(apart, size))).sum(0)
        above, total = above + power[outside].sum(), total + power.sum()
    return float(above / total) if total else float("nan")


def aliasing(asked, node, shown):
    """What the stride of a convolution does to its responses to images, before any nonlinearity.

    ``aliasing``: share of the energy, at stride 1, above what the stride keeps. ``near_nyquist``: share of the energy
    of the maps after the stride in the upper quarter of the frequencies, for white noise 44 %.
    """
    layer = node.operation
    if node.kind != "Conv2D":
        return {"aliasing": float("nan"), "near_nyquist": float("nan")}
    source = node.inputs[0][0].name
    kernel = ops.cast(layer.kernel, "float32")
    folded, upper = [], []
    for i in range(len(shown)):  # one by one, as maps at stride 1 may be large
        entering = ops.convert_to_tensor(read(asked, shown.at(slice(i, i + 1)), [source])[source])
        response = ops.convert_to_numpy(ops.conv(entering, kernel, 1, layer.padding, dilation_rate=layer.dilation_rate))
        down, right = layer.strides
        folded.append(share_above(response, (0.5 / down, 0.5 / right)))
        upper.append(share_above(response[:, ::down, ::right], (UPPER, UPPER)))
    return {"aliasing": float(np.nanmean(folded)), "near_nyquist": float(np.nanmean(upper))}
