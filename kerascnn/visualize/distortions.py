"""How far an image is from another: largest and Euclidean distance, and structural similarity.

Everything is in steps of 0..255, whatever range a network takes.
"""

import numpy as np

WINDOW, SIGMA = 11, 1.5  # pixels a side and spread of the Gaussian window (Wang et al. 2004, section III.B)
RANGE = 255.0


def l2(change):
    """sqrt(sum d^2) of each image."""
    return np.sqrt(np.square(change, dtype=np.float64).reshape(len(change), -1).sum(1))


def linf(change):
    """max |d| of each image."""
    return np.abs(change).reshape(len(change), -1).max(1).astype(np.float64)


def rms(change):
    """sqrt(sum d^2 / n) of each image: the distortion of Szegedy et al. 2014."""
    return l2(change) / np.sqrt(np.prod(change.shape[1:]))


def ssim(one, other):
    """Mean structural similarity of each pair of images (N, H, W, C), Wang et al. 2004; over colours the mean.

    ((2 m1 m2 + c1) (2 s12 + c2)) / ((m1^2 + m2^2 + c1) (s1^2 + s2^2 + c2)) in Gaussian windows of 11x11 that lie
    within the image; smaller images have one window as large as they are.
    """
    one, other = np.asarray(one, np.float64), np.asarray(other, np.float64)
    mean = windows(one.shape[1:3])
    c1, c2 = (0.01 * RANGE) ** 2, (0.03 * RANGE) ** 2
    m1, m2 = mean(one), mean(other)
    v1, v2, cov = mean(one * one) - m1 * m1, mean(other * other) - m2 * m2, mean(one * other) - m1 * m2
    same = (2 * m1 * m2 + c1) * (2 * cov + c2) / ((m1 * m1 + m2 * m2 + c1) * (v1 + v2 + c2))
    return same.mean((1, 2, 3))


def windows(size):
    """The function that takes the mean in every window that lies within (N, H, W, C)."""
    from scipy.ndimage import correlate1d

    def mean(values):
        for axis, side in enumerate(size, start=1):
            length = min(WINDOW, side)
            at = np.arange(length) - (length - 1) / 2
            weights = np.exp(-(at**2) / (2 * SIGMA**2))
            values = correlate1d(values, weights / weights.sum(), axis, mode="nearest")
            first = length // 2
            values = np.take(values, np.arange(first, first + side - length + 1), axis)
        return values

    return mean
