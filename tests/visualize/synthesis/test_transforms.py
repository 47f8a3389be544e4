"""Shakes and warps, against scipy.ndimage and numpy.roll."""

import numpy as np
import pytest
import tensorflow as tf
from scipy import ndimage

from kerascnn.visualize.synthesis.transforms import (
    Transform,
    blur,
    jitter,
    mirror,
    rotate,
    sample_matrices,
    scale,
    warp,
)

SHAKES = [jitter(8), scale(0.9, 1.1), rotate(10), mirror(), jitter(4)]


def generators(count, seed=0):
    return [np.random.default_rng([seed, i]) for i in range(count)]


def maps(*matrices):
    return tf.constant(np.array(matrices, np.float32))


def moved(down, right):
    return [[1, 0, down], [0, 1, right]]


def turned(degrees):
    angle = np.deg2rad(degrees)
    return [[np.cos(angle), np.sin(angle), 0], [-np.sin(angle), np.cos(angle), 0]]


def by_scipy(image, matrix, **how):
    """Each channel of (H, W, C) read at matrix @ (y, x, 1) about the center."""
    matrix, middle = np.asarray(matrix, float), (np.array(image.shape[:2]) - 1) / 2
    offset = middle + matrix[:, 2] - matrix[:, :2] @ middle
    planes = [
        ndimage.affine_transform(plane, matrix[:, :2], offset, order=1, **how) for plane in np.moveaxis(image, 2, 0)
    ]
    return np.stack(planes, 2)


@pytest.fixture
def images(rng):
    return rng.uniform(0, 255, (3, 17, 22, 3)).astype(np.float32)


@pytest.mark.parametrize("whole", [False, True], ids=["bilinear", "whole"])
@pytest.mark.parametrize("fill", ["gray", "edge", "wrap", 0.0])
def test_identity_is_exact(images, fill, whole):
    assert np.array_equal(warp(images, maps(*[moved(0, 0)] * 3), fill, whole), images)


@pytest.mark.parametrize("whole", [False, True], ids=["bilinear", "whole"])
@pytest.mark.parametrize("move", [(2, -3), (-5, 4), (40, 0), (0, -23)], ids=str)
def test_moves_on_the_grid_are_exact_with_every_fill(images, move, whole):
    down, right = move
    moves = maps(*[moved(*move)] * 3)
    assert np.array_equal(warp(images, moves, "wrap", whole), np.roll(images, (-down, -right), (1, 2)))
    rows, columns = np.arange(17) + down, np.arange(22) + right
    held = images[:, rows.clip(0, 16)][:, :, columns.clip(0, 21)]
    assert np.array_equal(warp(images, moves, "edge", whole), held)
    beyond = ((rows < 0) | (rows > 16))[:, None] | (columns < 0) | (columns > 21)
    for fill, value in (("gray", 127.5), (3.0, 3.0)):
        assert np.array_equal(warp(images, moves, fill, whole), np.where(beyond[None, :, :, None], value, held))


@pytest.mark.parametrize("whole", [False, True], ids=["bilinear", "whole"])
def test_mirrors_and_quarter_turns_are_exact(rng, whole):
    square = rng.uniform(0, 255, (4, 19, 19, 3)).astype(np.float32)
    given = maps([[1, 0, 0], [0, -1, 0]], turned(90), turned(180), turned(-90))
    expected = [square[0, :, ::-1], np.rot90(square[1]), np.rot90(square[2], 2), np.rot90(square[3], -1)]
    assert np.allclose(warp(square, given, on_grid=whole), expected, atol=1e-3)


@pytest.mark.parametrize(("fill", "mode"), [("gray", "grid-constant"), ("edge", "nearest"), ("wrap", "grid-wrap")])
def test_affine_warps_match_scipy(images, fill, mode):
    steps = sample_matrices(SHAKES, generators(3), 4)
    for matrices in steps:
        expected = [by_scipy(*pair, mode=mode, cval=127.5) for pair in zip(images, matrices, strict=True)]
        assert np.allclose(warp(images, tf.constant(matrices), fill), expected, atol=5e-3)


@pytest.mark.parametrize(("fill", "whole"), [("gray", False), ("edge", False), ("wrap", False), ("wrap", True)])
def test_gradients_of_warps_are_the_transposed_map(images, rng, fill, whole):
    """<warp x - warp 0, s> = <x, gradient>: a warp is linear but for what it fills with."""
    transforms = [jitter(3), mirror()] if whole else SHAKES
    matrices = tf.constant(sample_matrices(transforms, generators(3), 1)[0])
    x, signal = tf.constant(images), rng.normal(size=images.shape).astype(np.float32)
    with tf.GradientTape() as tape:
        tape.watch(x)
        value = tf.reduce_sum(warp(x, matrices, fill, whole) * signal, (1, 2, 3))
    gradient = tape.gradient(value, x).numpy()
    linear = value - tf.reduce_sum(warp(tf.zeros_like(x), matrices, fill, whole) * signal, (1, 2, 3))
    assert np.allclose((gradient * images).sum((1, 2, 3)), linear, rtol=1e-4, atol=0.5)
    if fill != "gray":
        assert np.allclose(gradient.sum((1, 2, 3)), signal.sum((1, 2, 3)), atol=1e-2)  # shares of a pixel sum to 1


def test_jitter_covers_its_range_with_mean_zero():
    """A range without +j drifts half a pixel a step, which adds up where the image itself is moved."""
    moves = sample_matrices([jitter(4)], generators(2), 8000)[:, :, :, 2]
    assert set(moves.ravel()) == set(range(-4, 5))
    assert np.abs(moves.mean((0, 1))).max() < 0.1
    assert np.bincount((moves + 4).astype(int).ravel()).min() > 0.9 * moves.size / 9
    assert not np.array_equal(moves[:, 0], moves[:, 1])  # nor does a whole batch move alike


def test_jitter_0_leaves_the_image_unchanged(images):
    for matrices in sample_matrices([jitter(0)], generators(3), 5):
        assert np.array_equal(warp(images, tf.constant(matrices)), images)


@pytest.mark.parametrize("transforms", [[], SHAKES], ids=["none", "all"])
def test_matrices_do_not_depend_on_the_batch_or_on_the_number_of_steps(transforms):
    together = sample_matrices(transforms, generators(8), 50)
    assert together.shape == (50, 8, 2, 3)
    assert together.dtype == np.float32
    assert np.array_equal(sample_matrices(transforms, generators(8)[5:6], 50), together[:, 5:6])
    assert np.array_equal(sample_matrices(transforms, generators(8), 20), together[:20])


def test_transforms_stay_within_their_ranges():
    sizes = np.linalg.det(sample_matrices([scale(0.8, 1.25)], generators(1), 4000)[:, 0, :, :2]) ** -0.5
    assert sizes.min() == pytest.approx(0.8, abs=0.01)
    assert sizes.max() == pytest.approx(1.25, abs=0.01)
    turns = sample_matrices([rotate(10)], generators(1), 4000)[:, 0]
    angles = np.rad2deg(np.arctan2(turns[:, 0, 1], turns[:, 0, 0]))
    assert angles.min() == pytest.approx(-10, abs=0.1)
    assert angles.max() == pytest.approx(10, abs=0.1)
    assert np.abs(angles.mean()) < 0.5
    assert np.allclose(np.linalg.det(turns[:, :, :2]), 1)
    assert sample_matrices([mirror()], generators(1), 4000)[:, 0, 1, 1].mean() == pytest.approx(0, abs=0.1)


def test_transforms_are_composed_in_order(images):
    def always(matrix):
        return Transform("always", lambda rng, steps: np.tile(np.vstack([matrix, [0, 0, 1]]), (steps, 1, 1)))

    first, second = moved(3, -2), [[1, 0, 0], [0, -1, 0]]
    both = sample_matrices([always(first), always(second)], generators(3), 1)[0]
    one_by_one = warp(warp(images, maps(*[first] * 3), "wrap"), maps(*[second] * 3), "wrap")
    assert np.array_equal(warp(images, tf.constant(both), "wrap"), one_by_one)


def test_scale_enlarges(rng):
    dot = np.full((1, 21, 21, 1), 0, np.float32)
    dot[0, 8:13, 8:13] = 255
    larger = warp(dot, tf.constant(sample_matrices([scale(2, 2)], generators(1), 1)[0]), 0.0)
    assert float(tf.reduce_sum(larger)) == pytest.approx(4 * dot.sum(), rel=0.05)


@pytest.mark.parametrize("sigma", [0.5, 1.0, 4.0])
def test_blur_matches_scipy(images, sigma):
    assert np.allclose(blur(images, sigma), ndimage.gaussian_filter(images, (0, sigma, sigma, 0)), atol=1e-3)


def test_warped_images_are_independent(images):
    matrices = tf.constant(sample_matrices(SHAKES, generators(3), 1)[0])
    for fill in ("gray", "edge", "wrap"):
        assert np.allclose(warp(images, matrices, fill)[1:2], warp(images[1:2], matrices[1:2], fill), atol=1e-4)
    assert np.allclose(blur(images, 1.0)[1:2], blur(images[1:2], 1.0), atol=1e-4)


@pytest.mark.parametrize("compiled", [False, pytest.param(True, marks=pytest.mark.nightly)], ids=["graph", "xla"])
def test_a_loop_with_transforms_matches_numpy(images, compiled):
    """Traced with an open batch, its gradient taken inside the loop."""
    steps = tf.constant(sample_matrices(SHAKES, generators(3), 3))
    spec = [tf.TensorSpec((None, 17, 22, 3)), tf.TensorSpec((3, None, 2, 3))]
    score = lambda x, moves: tf.reduce_sum(tf.square(blur(warp(x, moves), 1.0)))  # noqa: E731

    @tf.function(input_signature=spec, jit_compile=compiled)
    def climb(x, steps):
        for step in tf.range(3):
            x += 0.01 * tf.gradients(score(x, steps[step]), x)[0]
        return x

    x = tf.constant(images)
    for moves in steps:
        with tf.GradientTape() as tape:
            tape.watch(x)
            value = score(x, moves)
        x += 0.01 * tape.gradient(value, x)
    assert np.allclose(climb(images, steps), x, atol=1e-2)
    assert np.abs(x - images).max() > 1
    assert np.allclose(climb(images[1:2], steps[:, 1:2]), x[1:2], atol=1e-2)
