"""Changes found on real numbers, made such that they still fool when stored in 8 bits."""

import numpy as np

FACTORS, HALVINGS = 1.25 ** np.arange(0, 16), 5  # of the change: which are tried, and how often the gap is halved


def whole_steps(case, found, size=np.inf, norm=None):
    """The least multiple of each change that fools in whole steps of 0..255; unrounded as it was where none does.

    Rounding keeps a change where it is more than half a step: where the gradient is large. With a ``size``, rounding is
    towards the image, and multiples beyond it do not count.
    """
    change = found - case.pixels
    low, high = np.zeros(len(found)), np.full(len(found), np.inf)
    best = found.copy()

    def try_on(factor):
        tried = rounded(case.pixels, change * factor[:, None, None, None], size, norm)
        fooled = case.margins(tried)[0] < 0
        better = fooled & (factor < high)
        best[better], high[better] = tried[better], factor[better]
        low[~fooled] = np.maximum(low, factor)[~fooled]

    for factor in FACTORS:
        if np.isfinite(high).all():
            break
        try_on(np.where(np.isfinite(high), high, factor))
    for _ in range(HALVINGS if np.isfinite(high).any() else 0):
        try_on(np.where(np.isfinite(high), (low + high) / 2, FACTORS[-1]))
    return best


def rounded(pixels, change, size, norm):
    """Whole steps near pixels + change, no further from the pixels than ``size``."""
    tried = np.round(np.clip(pixels + change, 0, 255))
    if norm is None or not np.isfinite(size):
        return tried.astype(np.float32)
    if norm.name == "linf":
        inside = np.clip(tried, np.ceil(pixels - size), np.floor(pixels + size))
    else:
        inside = np.where(norm.measure(tried - pixels)[:, None, None, None] <= size, tried, pixels)
    return np.clip(inside, 0, 255).astype(np.float32)
