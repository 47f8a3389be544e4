"""How an image is written: the numbers that are climbed, and the pixels 0..255 that they stand for.

``begin(rngs, size)`` draws what each image starts from, with its own generator, and ``begin(rngs, size, image)`` gives
what writes images (N, H, W, C); ``decode`` makes pixels of either, in keras.ops, each image by itself. ``size`` is
(height, width, channels). Two equal ways of writing decode alike.
"""

from dataclasses import dataclass

import numpy as np
from keras import ops

GRAY = 127.5  # the middle of 0..255: a canvas of zeros
MARGIN = 0.5  # pixels from black and white, where a sigmoid is flat: half a gray level is not seen
CORRELATION = np.array([[0.26, 0.09, 0.02], [0.27, 0, -0.05], [0.27, -0.09, 0.03]])  # lucid: root of ImageNet's colors
COLORS = (CORRELATION / np.linalg.norm(CORRELATION, axis=0).max()).T  # decorrelated (.., 3) @ COLORS = RGB


@dataclass(frozen=True)
class Pixels:
    """Pixels minus gray (N, H, W, C); at the start zeros, Gaussian ``noise`` about gray, or pixels ``between`` two.

    ``Pixels()`` is Simonyan's start, ``Pixels(noise=10)`` Yosinski's, ``Pixels(between=(102, 153))`` Chollet's and
    ``Pixels(between=(0, 255))`` that of tf-keras-vis. ``gray`` is a number, or one a channel: a mean image's color.
    """

    noise: float = 0.0
    between: tuple | None = None
    gray: float | tuple = GRAY
    clip: bool = True

    def __post_init__(self):
        if self.noise < 0 or (self.noise and self.between):
            raise ValueError(f"`noise` should be at least 0, and 0 where `between` is given. Received: {self.noise}")
        if self.between and not self.between[0] <= self.between[1]:
            raise ValueError(f"`between` should be (low, high) in pixels. Received: {self.between}")

    def initialize(self, rngs, size, image=None):
        """The canvases (N, H, W, C) that images start from, or that write ``image``."""
        if image is None and self.between:
            image = np.stack([rng.uniform(*self.between, size) for rng in rngs])
        elif image is None:
            return np.stack([rng.normal(0, self.noise, size) for rng in rngs]).astype(np.float32)
        return (_check_shape(image, rngs, size) - np.asarray(self.gray)).astype(np.float32)

    def decode(self, z, size):
        """Pixels (N, H, W, C): gray added, and cut off below 0 and above 255."""
        pixels = z + np.asarray(self.gray, np.float32)
        if not self.clip:
            return pixels
        # The gradient passes where the value is cut, as in Yosinski's loop, which clips before the network and not
        # behind: else a pixel that once left 0..255 would stay there. (p - p is 0, so the value is clip's to the bit.)
        return ops.stop_gradient(ops.clip(pixels, 0.0, 255.0)) + (pixels - ops.stop_gradient(pixels))


@dataclass(frozen=True)
class Fourier:
    """Waves in decorrelated colors (N, 2, C, W // 2 + 1, H), real and imaginary, as lucid writes images.

    A wave of f cycles a pixel is scaled by 1 / f^decay, so that a step climbs as photos are: mostly in the coarse.
    pixels = 255 sigmoid(irfft2(scale z) / 4 @ colors), scale = sqrt(h w) / max(f, 1 / max(h, w))^decay
    (Olah, Mordvintsev & Schubert 2017). What is not RGB has no ``colors``. Black and white are half a level off.
    """

    stddev: float = 0.01
    decay: float = 1.0
    colors: bool = True

    def __post_init__(self):
        if self.stddev < 0:
            raise ValueError(f"`stddev` should be at least 0. Received: {self.stddev}")

    def initialize(self, rngs, size, image=None):
        """The waves (N, 2, C, W // 2 + 1, H) that images start from, or that write ``image``."""
        height, width, channels = size
        if image is None:
            shape = (2, channels, width // 2 + 1, height)
            return np.stack([rng.normal(0, self.stddev, shape) for rng in rngs]).astype(np.float32)
        share = np.clip(_check_shape(image, rngs, size), MARGIN, 255 - MARGIN) / 255
        field = np.log(share / (1 - share))
        if self._uses_colors(channels):
            field = field @ np.linalg.inv(COLORS)
        waves = np.fft.rfft2(field, axes=(1, 2)).transpose(0, 3, 2, 1) * 4 / self._scale(height, width)
        return np.stack([waves.real, waves.imag], 1).astype(np.float32)

    def decode(self, z, size):
        """Pixels (N, H, W, C), all between 0 and 255."""
        height, width, channels = size
        scaled = z * (self._scale(height, width) / (4 * height)).astype(np.float32)
        # keras.ops has no irfft2, and its ifft2 takes twice as long: down the columns first, by the forward transform
        # with real and imaginary parts exchanged, which is the inverse one.
        imaginary, real = ops.fft((scaled[:, 1], scaled[:, 0]))
        field = ops.irfft((ops.swapaxes(real, 2, 3), ops.swapaxes(imaginary, 2, 3)), width)
        field = ops.reshape(ops.transpose(field, (0, 2, 3, 1)), (-1, height, width, channels))
        if self._uses_colors(channels):
            field = ops.matmul(field, COLORS.astype(np.float32))
        return 255.0 * ops.sigmoid(field)

    def _uses_colors(self, channels):
        return self.colors and channels == 3

    def _scale(self, height, width):
        """What each wave (W // 2 + 1, H) is multiplied with."""
        frequency = np.hypot(np.fft.rfftfreq(width)[:, None], np.fft.fftfreq(height))
        return np.sqrt(height * width) / np.maximum(frequency, 1 / max(height, width)) ** self.decay


def _check_shape(image, rngs, size):
    image = np.asarray(image, np.float64)
    if image.shape != (len(rngs), *size):
        raise ValueError(f"`image` should have the shape {(len(rngs), *size)}. Received: {image.shape}")
    return image
