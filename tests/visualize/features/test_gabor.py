"""Planted Gabors are found again; noise is told from them."""

import numpy as np
import pytest
from scipy.optimize import approx_fprime

from kerascnn.visualize.features.gabor import (
    CHANCE,
    chance_r2,
    fit_gabor,
    gabor_and_derivatives,
    positions_from_center,
    principal_plane,
)


def planted(size, count, rng, colors=1):
    """(kernel, the parameters), drawn from the formula as written in the module."""
    y, x = np.mgrid[:size, :size] - (size - 1) / 2
    found, rows = [], []
    for _ in range(count):
        turn, phase = rng.uniform(0, np.pi), rng.uniform(-np.pi, np.pi)
        length, (sx, sy) = rng.uniform(3, 0.8 * size), rng.uniform(0.2, 0.33, 2) * size
        x0, y0 = rng.uniform(-0.1, 0.1, 2) * size
        along = (x - x0) * np.cos(turn) + (y - y0) * np.sin(turn)
        across = -(x - x0) * np.sin(turn) + (y - y0) * np.cos(turn)
        envelope = np.exp(-(along**2 / (2 * sx**2) + across**2 / (2 * sy**2)))
        plane = 2 * envelope * np.cos(2 * np.pi * along / length + phase) + rng.normal(0, 0.05)
        found.append(plane[..., None] * (rng.normal(size=colors) if colors > 1 else 1))
        rows.append(((90 - np.rad2deg(turn)) % 180, length))
    return np.stack(found, -1), np.array(rows)


@pytest.mark.parametrize("size", [7, 11])
@pytest.mark.parametrize("colors", [1, 3], ids=["gray", "colors"])
def test_planted_gabors_are_recovered(size, colors, rng):
    kernel, rows = planted(size, 8, rng, colors)
    found = fit_gabor(kernel)
    turned = np.abs(found.orientation - rows[:, 0])
    assert (found.r2 > 0.999).all()
    assert (np.minimum(turned, 180 - turned) < 1).all()
    np.testing.assert_allclose(found.wavelength, rows[:, 1], rtol=0.02)
    np.testing.assert_allclose(found.share, 1)


def test_all_parameters_of_one_fit():
    y, x = np.mgrid[:11, :11] - 5.0
    along = x - 0.5  # upright stripes
    plane = 3 * np.exp(-(along**2 / (2 * 2.0**2) + (y + 1) ** 2 / (2 * 3.0**2))) * np.cos(2 * np.pi * along / 5 + 0.7)
    (row,) = fit_gabor(plane).to_dict("records")
    expected = {"orientation": 90, "wavelength": 5, "sigma_x": 2, "sigma_y": 3, "x": 0.5, "y": -1, "amplitude": 3}
    assert {name: row[name] for name in expected} == pytest.approx(expected, rel=1e-3)
    assert abs(row["phase"]) == pytest.approx(np.rad2deg(0.7), rel=1e-3)  # its sign is that of the wave's direction


def test_noise_fits_badly(rng):
    """Typical random filters are far from chance, their 99 % point, which falls with the size."""
    found = fit_gabor(rng.normal(size=(7, 7, 1, 25)))
    assert found.r2.median() < 0.75 * found.chance[0]
    assert list(found.chance) == [CHANCE[7, 7, 1]] * 25
    assert CHANCE[11, 11, 1] < CHANCE[9, 9, 1] < CHANCE[7, 7, 1] < CHANCE[5, 5, 1]


@pytest.mark.nightly
def test_one_random_filter_in_a_hundred_is_beyond_chance():
    """Of 120 that the table has not seen: none to five, as the binomial has it 99 times of 100."""
    found = fit_gabor(np.random.default_rng(11).normal(size=(7, 7, 1, 120)))
    assert (found.r2 > found.chance).sum() <= 5


def test_small_filters_are_refused(rng):
    with pytest.raises(ValueError, match="at least 5x5"):
        fit_gabor(rng.normal(size=(3, 3, 3, 4)))


def test_a_constant_has_no_fit():
    assert fit_gabor(np.ones((5, 5, 1, 1))).r2.isna().all()


def test_derivatives(rng):
    places, at = positions_from_center((7, 6)), np.array([1.0, 0.5, 0.1, 0.3, -0.2, 0.7, 0.2, 0.9, 1.1])
    expected = approx_fprime(at, lambda p: gabor_and_derivatives(p, places)[0], 1e-7)
    np.testing.assert_allclose(gabor_and_derivatives(at, places)[1].T, expected, atol=1e-5)


def test_principal_plane_is_the_strongest_color(rng):
    plane, color = rng.normal(size=(5, 5)), np.array([0.6, 0.0, 0.8])
    found, share = principal_plane(plane[..., None] * color)
    np.testing.assert_allclose(found, plane)
    assert share == pytest.approx(1)


@pytest.mark.nightly
@pytest.mark.parametrize("shape", [(5, 5, 3), (7, 7, 1), (11, 11, 3)], ids=str)
def test_the_table_of_chance(shape):
    """A few other random filters reach nearly the same."""
    assert chance_r2(shape, 40) == pytest.approx(CHANCE[shape], abs=0.12)


def test_a_shape_that_is_not_in_the_table():
    assert chance_r2((5, 6, 1), 20) < chance_r2((5, 5, 1)) + 0.1
