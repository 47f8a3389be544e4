"""Filters as Gabor functions, the form of simple cells (Daugman 1985; Jones & Palmer 1987), by least squares.

g = A exp(-(x'^2 / 2 sx^2 + y'^2 / 2 sy^2)) cos(2 pi x' / lambda + phi) + c,
x' = (x - x0) cos t + (y - y0) sin t,  y' = -(x - x0) sin t + (y - y0) cos t
"""

from functools import cache

import numpy as np

LEAST = 5  # pixels of a side: nine parameters fit any 3x3 filter
PADDED = 64  # frequencies that a start is looked for among
STARTS = 2
NOISE = 100  # random filters whose fits say what chance reaches
EVALUATIONS = 40  # of the function, for each start
CHANCE = {  # of 300 random filters, for common shapes; others are tried out when they come, which takes seconds
    **{(5, 5, 1): 0.73, (5, 5, 3): 0.77, (7, 7, 1): 0.48, (7, 7, 3): 0.48},
    **{(9, 9, 1): 0.32, (9, 9, 3): 0.32, (11, 11, 1): 0.24, (11, 11, 3): 0.23},
}
COLUMNS = ["r2", "orientation", "wavelength", "phase", "sigma_x", "sigma_y", "x", "y", "amplitude"]


def gabor(kernel):
    """Fit each filter of a kernel (h, w, channels, filters): a DataFrame with a row for each.

    Of several channels the strongest color is fitted: the first principal axis; ``share`` is its part of the energy.
    ``r2`` of the fit counts where it exceeds ``chance``, which 99 % of random filters of this shape do not reach.
    ``orientation`` is that of the stripes, in degrees counterclockwise from the horizontal, 0..180; ``wavelength``,
    ``sigma_x`` (across the stripes), ``sigma_y`` and the center ``x``, ``y`` (from the filter's) are in pixels.
    """
    import pandas as pd

    kernel = np.asarray(kernel, np.float64)
    kernel = kernel[..., None, None] if kernel.ndim == 2 else kernel
    if kernel.ndim != 4 or min(kernel.shape[:2]) < LEAST:
        wanted = f"(h, w, channels, filters) of at least {LEAST}x{LEAST}, as nine parameters fit anything smaller"
        raise ValueError(f"`kernel` should be {wanted}. Received: {kernel.shape}")
    pairs = [strongest(kernel[..., i]) for i in range(kernel.shape[-1])]
    table = pd.DataFrame([fit_plane(plane) for plane, _ in pairs], columns=COLUMNS)
    table.insert(0, "filter", np.arange(len(table)))
    table["share"] = [share for _, share in pairs]
    table["chance"] = chance(kernel.shape[:3])
    return table


@cache
def chance(shape, count=NOISE):
    """The r2 that 99 % of random filters (h, w, channels) do not exceed."""
    if shape in CHANCE and count == NOISE:
        return CHANCE[shape]
    noise = np.random.default_rng(0).standard_normal((count, *shape))
    return float(np.percentile([fit_plane(strongest(each)[0])[0] for each in noise], 99))


def strongest(one):
    """(plane (h, w) along the first principal axis of the channels, its share of the energy)."""
    left, values, right = np.linalg.svd(one.reshape(-1, one.shape[-1]), full_matrices=False)
    sign = np.sign(right[0].sum()) or 1.0  # bright means more light, as far as it means anything
    energy = np.square(values).sum()
    return (sign * left[:, 0] * values[0]).reshape(one.shape[:2]), float(values[0] ** 2 / energy) if energy else 0.0


def fit_plane(plane):
    """One row of ``COLUMNS``: the best fit of several starts; NaN for a constant plane."""
    from scipy.optimize import least_squares

    spread = plane.std()
    if spread <= 1e-12 * max(np.abs(plane).max(), 1e-30):
        return (float("nan"),) * len(COLUMNS)
    target = ((plane - plane.mean()) / spread).ravel()
    places = grid(plane.shape)
    options = {"method": "lm", "max_nfev": EVALUATIONS, "xtol": 1e-6, "ftol": 1e-6}
    best = None
    for start in starts(target.reshape(plane.shape)):
        found = least_squares(lambda p: wave(p, places)[0] - target, start, lambda p: wave(p, places)[1].T, **options)
        inside = np.abs(found.x[3:5]).max() <= max(plane.shape)
        rank = (not inside, found.cost)
        if best is None or rank < best[0]:
            best = rank, found.x
    (_, cost), parameters = best
    return 1 - 2 * cost / np.square(target).sum(), *describe(parameters, spread)


def grid(shape):
    """(x, y) of each pixel from the center."""
    y, x = np.mgrid[: shape[0], : shape[1]].astype(np.float64)
    return (x - (shape[1] - 1) / 2).ravel(), (y - (shape[0] - 1) / 2).ravel()


def wave(parameters, places):
    """Values and derivatives of E (a cos w + b sin w) + c; the phase as a and b, the widths as logarithms."""
    a, b, c, x0, y0, angle, frequency, log_x, log_y = parameters
    x, y = places[0] - x0, places[1] - y0
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


def starts(plane):
    """The parameters that fit best, before anything is adjusted, of a few: from the peaks of the spectrum."""
    height, width = plane.shape
    power = np.abs(np.fft.fft2(plane, (PADDED, PADDED)))
    v, u = np.meshgrid(np.fft.fftfreq(PADDED), np.fft.fftfreq(PADDED), indexing="ij")
    power[(u < 0) | ((u == 0) & (v < 0))] = 0  # the other half says the same
    weight = np.square(plane) / np.square(plane).sum()
    center = [(weight.ravel() * place).sum() for place in grid(plane.shape)]
    found = []
    for _ in range(2):
        peak = np.unravel_index(power.argmax(), power.shape)
        across, down = u[peak], v[peak]
        power[np.hypot(u - across, v - down) < 1 / max(height, width)] = 0
        angle, frequency = np.arctan2(down, across), max(np.hypot(across, down), 0.25 / max(height, width))
        for middle in (center, (0.0, 0.0)):
            for width_x, width_y in ((0.15, 0.15), (0.3, 0.3), (0.15, 0.3)):
                logs = np.log([width_x * width, width_y * height])
                found.append(project(plane.ravel(), (*middle, angle, frequency, *logs), grid(plane.shape)))
    return [parameters for _, parameters in sorted(found, key=lambda pair: pair[0])[:STARTS]]


def project(target, others, places):
    """(squared error, parameters) with the best a, b and c for the others."""
    basis = wave(np.array([1.0, 1.0, 0.0, *others]), places)[1][:3].T
    solved = np.linalg.lstsq(basis, target, rcond=1e-8)[0]
    return float(np.square(basis @ solved - target).sum()), np.array([*solved, *others])


def describe(parameters, spread):
    """The parameters as they are reported: those of ``COLUMNS`` but r2."""
    a, b, _, x0, y0, angle, frequency, log_x, log_y = parameters
    across, down = frequency * np.cos(angle), frequency * np.sin(angle)
    stripes = np.rad2deg(np.arctan2(-down, across)) + 90  # rows count downwards
    length = np.hypot(across, down)
    phase = np.rad2deg(np.arctan2(-b if frequency >= 0 else b, a))
    width_x, width_y = np.exp(np.clip([log_x, log_y], -20, 20))
    wavelength = 1 / length if length else float("inf")
    return stripes % 180, wavelength, phase, width_x, width_y, x0, y0, spread * np.hypot(a, b)
