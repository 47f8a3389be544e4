"""How images are written, against lucid's formulas in numpy."""

import numpy as np
import pytest
import tensorflow as tf

from kerascnn.visualize.synthesis.params import Fourier, Pixels

SIZES = [(16, 24, 3), (15, 21, 3), (12, 9, 1), (13, 8, 4)]
WAYS = [Pixels(), Pixels(noise=10.0, gray=(120.0, 110.0, 100.0)), Fourier(), Fourier(decay=0.85, colors=False)]


def generators(count, seed=0):
    return [np.random.default_rng([seed, i]) for i in range(count)]


def decoded(way, z, size):
    return np.asarray(way.decode(tf.constant(z), size))


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("way", [Pixels(), Fourier(), Fourier(decay=0.85, colors=False)], ids=repr)
def test_parameters_of_an_image_decode_to_it(way, size, rng):
    image = rng.uniform(0.5, 254.5, (3, *size))
    assert np.abs(decoded(way, way.initialize(generators(3), size, image), size) - image).max() < 1e-5 * 255


def test_black_and_white_are_half_a_level_off_and_have_a_gradient():
    image = np.zeros((1, 8, 8, 3))
    image[:, :4] = 255
    way = Fourier()
    z = tf.constant(way.initialize(generators(1), (8, 8, 3), image))
    with tf.GradientTape() as tape:
        tape.watch(z)
        pixels = way.decode(z, (8, 8, 3))
    assert np.abs(pixels - image).max() == pytest.approx(0.5, abs=1e-3)
    assert np.abs(tape.gradient(pixels, z)).max() > 0.1


@pytest.mark.parametrize("decay", [1.0, 0.85])
@pytest.mark.parametrize("size", [(16, 24, 3), (15, 21, 3)], ids=str)
def test_fourier_decodes_as_lucid(size, decay):
    height, width, _ = size
    way = Fourier(stddev=0.3, decay=decay)
    z = way.initialize(generators(2), size)
    across = np.fft.fftfreq(width)[: width // 2 + 1]
    frequency = np.sqrt(np.fft.fftfreq(height)[:, None] ** 2 + across**2)
    scale = 1 / np.maximum(frequency, 1 / max(width, height)) ** decay * np.sqrt(width * height)
    waves = (z[:, 0] + 1j * z[:, 1]).swapaxes(2, 3) * scale
    field = np.fft.irfft2(waves, (height, width)).transpose(0, 2, 3, 1) / 4
    roots = np.array([[0.26, 0.09, 0.02], [0.27, 0.00, -0.05], [0.27, -0.09, 0.03]])
    field = field @ (roots / np.max(np.linalg.norm(roots, axis=0))).T
    assert np.allclose(decoded(way, z, size), 255 / (1 + np.exp(-field)), atol=2e-3)


def test_power_of_random_fourier_images_falls_with_the_square_of_the_frequency():
    side, way = 64, Fourier(colors=False)
    share = decoded(way, way.initialize(generators(24), (side, side, 1)), (side, side, 1))[..., 0].astype(float) / 255
    power = np.square(np.abs(np.fft.fft2(np.log(share / (1 - share))))).mean(0)
    frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(side), np.fft.fftfreq(side)))
    band = (frequency > 1.5 / side) & (frequency < 0.5)
    slope = np.polyfit(np.log(frequency[band]), np.log(power[band]), 1)[0]
    assert slope == pytest.approx(-2, abs=0.1)


@pytest.mark.parametrize("way", [Pixels(noise=10.0), Fourier(stddev=0.5)], ids=repr)
def test_gradients_are_finite_differences(way, rng):
    size = (6, 7, 3)
    z, weights = tf.constant(way.initialize(generators(1), size)), rng.normal(size=(1, *size))
    step = rng.normal(size=z.shape).astype(np.float32)
    with tf.GradientTape() as tape:
        tape.watch(z)
        value = tf.reduce_sum(way.decode(z, size) * weights)
    slope = float(tf.reduce_sum(tape.gradient(value, z) * step))
    ahead, behind = ((decoded(way, z + h * step, size) * weights).sum() for h in (1e-2, -1e-2))
    assert slope == pytest.approx((ahead - behind) / 2e-2, rel=2e-3)


def test_values_are_clipped_and_gradients_are_not():
    z = tf.constant([[[[-300.0], [200.0], [0.0]]]])
    with tf.GradientTape() as tape:
        tape.watch(z)
        pixels = Pixels().decode(z, (1, 3, 1))
    assert pixels.numpy().ravel().tolist() == [0.0, 255.0, 127.5]
    assert tape.gradient(pixels, z).numpy().ravel().tolist() == [1.0, 1.0, 1.0]
    assert Pixels(clip=False).decode(z, (1, 3, 1)).numpy().ravel().tolist() == [-172.5, 327.5, 127.5]


@pytest.mark.parametrize(
    ("way", "mean", "std", "low", "high"),
    [
        (Pixels(), 127.5, 0, 127.5, 127.5),
        (Pixels(noise=10.0), 127.5, 10, 60, 195),  # not a mean of 10 and a deviation of 1
        (Pixels(between=(0.4 * 255, 0.6 * 255)), 127.5, 51 / 12**0.5, 102, 153),
        (Pixels(between=(0, 255)), 127.5, 255 / 12**0.5, 0, 255),
    ],
    ids=["zeros (Simonyan)", "noise (Yosinski)", "uniform (Chollet)", "uniform (tf-keras-vis)"],
)
def test_initial_images_are_those_of_the_papers(way, mean, std, low, high):
    size = (64, 64, 3)
    pixels = decoded(way, way.initialize(generators(2), size), size)
    assert pixels.mean() == pytest.approx(mean, abs=1)
    assert pixels.std() == pytest.approx(std, rel=0.02, abs=1e-6)
    assert low <= pixels.min()
    assert pixels.max() <= high


@pytest.mark.parametrize("way", [*WAYS, Pixels(between=(0, 255))], ids=repr)
def test_initial_images_do_not_depend_on_the_batch(way):
    size = (10, 9, 3)
    together = way.initialize(generators(4), size)
    alone = way.initialize(generators(4)[2:3], size)
    assert np.array_equal(together[2:3], alone)
    assert np.allclose(decoded(way, together, size)[2:3], decoded(way, alone, size), rtol=1e-6, atol=1e-4)


@pytest.mark.parametrize("way", WAYS, ids=repr)
def test_one_pixel_does_not_change_the_others(way, rng):
    """What stretches an image to its least and largest value couples every pixel with all others."""
    size, image = (8, 8, 3), rng.uniform(100, 150, (1, 8, 8, 3))
    brighter = image.copy()
    brighter[0, 3, 4] = 250
    first, second = (decoded(way, way.initialize(generators(1), size, given), size) for given in (image, brighter))
    changed = np.abs(first - second).max((0, 3)) > 1e-2
    assert changed.sum() == 1
    assert changed[3, 4]


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: Pixels(noise=-1),
        lambda: Pixels(noise=1, between=(0, 1)),
        lambda: Pixels(between=(2, 1)),
        lambda: Fourier(stddev=-1),
        lambda: Pixels().initialize(generators(2), (4, 4, 3), np.zeros((1, 4, 4, 3))),
        lambda: Fourier().initialize(generators(1), (4, 4, 3), np.zeros((1, 4, 5, 3))),
    ],
)
def test_invalid_settings_raise(wrong):
    with pytest.raises(ValueError, match=r"should .* Received"):
        wrong()
