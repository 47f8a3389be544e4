"""Filters as Gabor functions, the form of simple cells (Daugman 1985; Jones & Palmer 1987), by least squares.

g = A exp(-(x'^2 / 2 sx^2 + y'^2 / 2 sy^2)) cos(2 pi x' / lambda + phi) + c,
x' = (x - x0) cos t + (y - y0) sin t,  y' = -(x - x0) sin t + (y - y0) cos t
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from ...support.types import Array

if TYPE_CHECKING:
    import pandas as pd

SMALLEST = 5  # height and width: nine parameters fit any 3x3 filter
PADDED = 64  # frequencies of the spectrum for initial parameters
STARTS = 2
NOISE = 100  # random filters that are fitted to find the r2 of chance
EVALUATIONS = 40  # of the function, for each start
CHANCE = {  # of 300 random filters, for common shapes; others are tried out when they come, which takes seconds
    **{(5, 5, 1): 0.73, (5, 5, 3): 0.77, (7, 7, 1): 0.48, (7, 7, 3): 0.48},
    **{(9, 9, 1): 0.32, (9, 9, 3): 0.32, (11, 11, 1): 0.24, (11, 11, 3): 0.23},
}
COLUMNS = ["r2", "orientation", "wavelength", "phase", "sigma_x", "sigma_y", "x", "y", "amplitude"]


def fit_gabor(kernel: Array) -> pd.DataFrame:
    """Fit a Gabor function to each filter of a kernel.

    Of several channels the first principal axis is fitted. A fit is meaningful where ``r2`` exceeds ``chance``, the r2
    that 1 % of random filters of this shape exceed.

    Args:
        kernel: weights (h, w, channels, filters) or (h, w), of at least 5x5.

    Returns:
        A DataFrame with a row per filter: filter, r2, orientation (of the stripes, in degrees counterclockwise from
        horizontal, 0..180), wavelength, phase, sigma_x (across the stripes), sigma_y and the center x, y (from the
        filter's) in pixels, amplitude, share (fraction of energy of the principal axis) and chance.
    """
    import pandas as pd

    kernel = np.asarray(kernel, np.float64)
    kernel = kernel[..., None, None] if kernel.ndim == 2 else kernel
    if kernel.ndim != 4 or min(kernel.shape[:2]) < SMALLEST:
        raise ValueError(
            f"`kernel` should be (h, w, channels, filters) of at least {SMALLEST}x{SMALLEST}, because nine parameters "
            f"fit any smaller kernel. Received: {kernel.shape}"
        )
    pairs = [principal_plane(kernel[..., i]) for i in range(kernel.shape[-1])]
    table = pd.DataFrame([fit_plane(plane) for plane, _ in pairs], columns=COLUMNS)
    table.insert(0, "filter", np.arange(len(table)))
    table["share"] = [share for _, share in pairs]
    table["chance"] = chance_r2(kernel.shape[:3])
    return table


@cache
def chance_r2(shape, count=NOISE):
    """The r2 that 1 % of random filters (h, w, channels) exceed."""
    if shape in CHANCE and count == NOISE:
        return CHANCE[shape]
    noise = np.random.default_rng(0).standard_normal((count, *shape))
    return float(np.percentile([fit_plane(principal_plane(kernel)[0])[0] for kernel in noise], 99))


def principal_plane(kernel):
    """(plane (h, w) along the first principal axis of the channels, its fraction of the energy)."""
    left, values, right = np.linalg.svd(kernel.reshape(-1, kernel.shape[-1]), full_matrices=False)
    sign = np.sign(right[0].sum()) or 1.0  # bright means more light, as far as it means anything
    energy = np.square(values).sum()
    return (sign * left[:, 0] * values[0]).reshape(kernel.shape[:2]), float(values[0] ** 2 / energy) if energy else 0.0


def fit_plane(plane):
    """One row of ``COLUMNS``: the best fit of several starts; NaN for a constant plane."""
    from scipy.optimize import least_squares

    spread = plane.std()
    if spread <= 1e-12 * max(np.abs(plane).max(), 1e-30):
        return (float("nan"),) * len(COLUMNS)
    target = ((plane - plane.mean()) / spread).ravel()
    positions = positions_from_center(plane.shape)
    options = {"method": "lm", "max_nfev": EVALUATIONS, "xtol": 1e-6, "ftol": 1e-6}
    best = None
    for start in initial_parameters(target.reshape(plane.shape)):
        solution = least_squares(
            lambda p: gabor_and_derivatives(p, positions)[0] - target,
            start,
            lambda p: gabor_and_derivatives(p, positions)[1].T,
            **options,
        )
        inside = np.abs(solution.x[3:5]).max() <= max(plane.shape)
        rank = (not inside, solution.cost)
        if best is None or rank < best[0]:
            best = rank, solution.x
    (_, cost), parameters = best
    return 1 - 2 * cost / np.square(target).sum(), *parameters_to_row(parameters, spread)


def positions_from_center(shape):
    """(x, y) of each pixel, relative to the center."""
    y, x = np.mgrid[: shape[0], : shape[1]].astype(np.float64)
    return (x - (shape[1] - 1) / 2).ravel(), (y - (shape[0] - 1) / 2).ravel()


def gabor_and_derivatives(parameters, positions):
    """Values and derivatives of E (a cos w + b sin w) + c; the phase as a and b, the widths as logarithms."""
    a, b, c, x0, y0, angle, frequency, log_x, log_y = parameters
    x, y = positions[0] - x0, positions[1] - y0
    cos, sin = np.cos(angle), np.sin(angle)
    along, across = x * cos + y * sin, -x * sin + y * cos
    inverse_x, inverse_y = np.exp(np.clip([-2 * log_x, -2 * log_y], -40, 40))
    envelope = np.exp(-0.5 * (along**2 * inverse_x + across**2 * inverse_y))
    turn = 2 * np.pi * frequency
    even, odd = envelope * np.cos(turn * along), envelope * np.sin(turn * along)
    value = a * even + b * odd
    slope = turn * (b * even - a * odd) - value * along * inverse_x  # by x'
    side = -value * across * inverse_y  # by y'
    rows = (
        even,
        odd,
        np.ones_like(even),
        -slope * cos + side * sin,
        -slope * sin - side * cos,
        slope * across - side * along,
        2 * np.pi * along * (b * even - a * odd),
        value * along**2 * inverse_x,
        value * across**2 * inverse_y,
    )
    return value + c, np.stack(rows)


def initial_parameters(plane):
    """The best of several initial parameters, from the peaks of the spectrum."""
    height, width = plane.shape
    power = np.abs(np.fft.fft2(plane, (PADDED, PADDED)))
    v, u = np.meshgrid(np.fft.fftfreq(PADDED), np.fft.fftfreq(PADDED), indexing="ij")
    power[(u < 0) | ((u == 0) & (v < 0))] = 0  # the other half says the same
    weight = np.square(plane) / np.square(plane).sum()
    center = [(weight.ravel() * coordinate).sum() for coordinate in positions_from_center(plane.shape)]
    candidates = []
    for _ in range(2):
        peak = np.unravel_index(power.argmax(), power.shape)
        across, down = u[peak], v[peak]
        power[np.hypot(u - across, v - down) < 1 / max(height, width)] = 0
        angle, frequency = np.arctan2(down, across), max(np.hypot(across, down), 0.25 / max(height, width))
        for middle in (center, (0.0, 0.0)):
            for width_x, width_y in ((0.15, 0.15), (0.3, 0.3), (0.15, 0.3)):
                logs = np.log([width_x * width, width_y * height])
                candidates.append(
                    solve_linear_terms(
                        plane.ravel(), (*middle, angle, frequency, *logs), positions_from_center(plane.shape)
                    )
                )
    return [parameters for _, parameters in sorted(candidates, key=lambda pair: pair[0])[:STARTS]]


def solve_linear_terms(target, fixed_parameters, positions):
    """(squared error, parameters) with the best a, b and c for the others."""
    basis = gabor_and_derivatives(np.array([1.0, 1.0, 0.0, *fixed_parameters]), positions)[1][:3].T
    solved = np.linalg.lstsq(basis, target, rcond=1e-8)[0]
    return float(np.square(basis @ solved - target).sum()), np.array([*solved, *fixed_parameters])


def parameters_to_row(parameters, spread):
    """The parameters as reported, in the order of ``COLUMNS`` without r2."""
    a, b, _, x0, y0, angle, frequency, log_x, log_y = parameters
    across, down = frequency * np.cos(angle), frequency * np.sin(angle)
    stripes = np.rad2deg(np.arctan2(-down, across)) + 90  # rows count downwards
    length = np.hypot(across, down)
    phase = np.rad2deg(np.arctan2(-b if frequency >= 0 else b, a))
    width_x, width_y = np.exp(np.clip([log_x, log_y], -20, 20))
    wavelength = 1 / length if length else float("inf")
    return stripes % 180, wavelength, phase, width_x, width_y, x0, y0, spread * np.hypot(a, b)
