"""HOG against its definition, pixel by pixel in plain Python; its gradient against differences; twins by identities."""

import math

import numpy as np
import pytest

from kerascnn.visualize.lectures.hog import cell_histograms, descriptor, hog_twin, mismatch_and_gradient


def plain(image):
    """Dalal & Triggs with OpenCV's settings, a vote at a time."""
    height, width = image.shape
    at = lambda i, most: -i if i < 0 else 2 * most - 2 - i if i >= most else i  # noqa: E731
    found = np.zeros((height // 8 - 1, width // 8 - 1, 2, 2, 9))
    for row, column in np.ndindex(found.shape[:2]):
        for i, j in np.ndindex(16, 16):
            y, x = 8 * row + i, 8 * column + j
            down = image[at(y + 1, height), x] - image[at(y - 1, height), x]
            right = image[y, at(x + 1, width)] - image[y, at(x - 1, width)]
            degrees = math.degrees(math.atan2(down, right)) % 180
            bell = math.exp(-((i - 8) ** 2 + (j - 8) ** 2) / (2 * 4.0**2))
            for cell in np.ndindex(2, 2):
                near = [max(0, 1 - abs((place + 0.5) / 8 - 0.5 - own)) for place, own in zip((i, j), cell, strict=True)]
                for bin in range(9):
                    gap = abs(degrees - (20 * bin + 10))
                    vote = max(0, 1 - min(gap, 180 - gap) / 20)
                    found[(row, column, *cell, bin)] += bell * near[0] * near[1] * vote * math.hypot(down, right)
    found = found.reshape(*found.shape[:2], 36)
    found = found / (np.linalg.norm(found, axis=-1, keepdims=True) + 3.6)
    found = np.minimum(found, 0.2)
    return found / (np.linalg.norm(found, axis=-1, keepdims=True) + 1e-3)


@pytest.mark.parametrize("shape", [(16, 16), (24, 32)], ids=str)
def test_descriptor_agrees_with_its_definition(rng, shape):
    image = rng.uniform(0, 255, shape)
    np.testing.assert_allclose(descriptor(image), plain(image), atol=1e-5)


def test_constant_image_has_no_edges():
    """Of no length and no direction: a descriptor of zeros, whose gradient is a number."""
    image = np.full((24, 24), 77.0)
    np.testing.assert_allclose(descriptor(image), plain(image), atol=1e-5)
    value, slope = mismatch_and_gradient(image, np.full((2, 2, 36), 0.1))
    assert float(value) == pytest.approx(0.5 * 4 * 36 * 0.01, rel=1e-4)
    assert np.isfinite(slope).all()


def test_gradient_agrees_with_finite_differences(rng):
    image, target = rng.uniform(0, 255, (24, 32)), descriptor(rng.uniform(0, 255, (24, 32)))
    slope = mismatch_and_gradient(image, target)[1].numpy()
    for _ in range(10):
        way = rng.normal(size=image.shape)
        ends = [float(mismatch_and_gradient(image + sign * 1e-6 * way, target)[0]) for sign in (1, -1)]
        assert (slope * way).sum() == pytest.approx((ends[0] - ends[1]) / 2e-6, rel=1e-3, abs=1e-6)


def test_the_negative_is_a_perfect_twin(rng):
    image = rng.uniform(0, 255, (32, 32))
    np.testing.assert_allclose(descriptor(255 - image), descriptor(image), atol=1e-9)
    found = hog_twin(image, 255 - image, size=(32, 32), steps=3)
    assert found.distance < 1e-6
    assert found.correlation == pytest.approx(-1)


def test_stripes_vote_for_their_direction():
    across = np.tile(127 + 100 * np.sin(np.arange(32)), (32, 1))
    strongest = cell_histograms(descriptor(across)).argmax(-1)
    assert set(strongest.ravel()) <= {0, 8}, "gradients to the right, at 0 = 180 degrees"
    assert (cell_histograms(descriptor(across.T)).argmax(-1) == 4).all()


def test_noise_becomes_a_twin(rng):
    y, x = np.mgrid[:48, :48]
    image = 127 + 100 * np.sin(np.hypot(x - 20, y - 25) / 3)
    found = hog_twin(image, size=(48, 48), steps=150)
    assert found.ratio < 0.3
    assert abs(found.correlation) < 0.5
    assert found.distance == pytest.approx(np.linalg.norm(descriptor(found.twin) - descriptor(image)))
    assert found.twin.min() >= 0
    assert found.twin.max() <= 255
    np.testing.assert_array_equal(found.twin, hog_twin(image, size=(48, 48), steps=150).twin)
    assert len(found.plot().axes) == 6


def test_sizes_are_multiples_of_cells(rng):
    with pytest.raises(ValueError, match="`size`"):
        hog_twin(rng.uniform(0, 255, (20, 20)), size=(20, 20))
