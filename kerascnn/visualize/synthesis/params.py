"""Image parametrizations: the arrays that are optimized, and how they are decoded to pixels 0..255.

``initialize(rngs, size)`` draws random parameters, one generator for each image; ``initialize(rngs, size, image)``
returns the parameters of given images (N, H, W, C). ``decode(z, size)`` returns their pixels, in keras.ops, and treats
the images of a batch independently. ``size`` is (height, width, channels). Equal parametrizations decode alike, so
that compiled steps can be shared between them.
"""

from dataclasses import dataclass

import numpy as np
from keras import ops

GRAY = 127.5  # the middle of 0..255: the pixel value of parameters that are zero
MARGIN = 0.5  # distance of pixels from 0 and 255, where the sigmoid is flat; half a gray level is invisible
CORRELATION = np.array([[0.26, 0.09, 0.02], [0.27, 0, -0.05], [0.27, -0.09, 0.03]])  # lucid: root of ImageNet's colors
COLORS = (CORRELATION / np.linalg.norm(CORRELATION, axis=0).max()).T  # decorrelated (.., 3) @ COLORS = RGB


@dataclass(frozen=True)
class Pixels:
    """The parameters are the pixels minus gray, (N, H, W, C).

    ``Pixels()`` starts as Simonyan et al., ``Pixels(noise=10)`` as Yosinski et al., ``Pixels(between=(102, 153))`` as
    Chollet, and ``Pixels(between=(0, 255))`` as tf-keras-vis.

    Attributes:
        noise: standard deviation of the Gaussian noise that images start from; 0 for a gray image.
        between: (low, high) of the uniform noise that images start from instead.
        gray: pixel value of parameters that are zero: a number, or one for each channel, such as a mean color.
        clip: limit decoded pixels to 0..255.
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
        """The parameters (N, H, W, C) of random images, or of the images in ``image``."""
        if image is None and self.between:
            image = np.stack([rng.uniform(*self.between, size) for rng in rngs])
        elif image is None:
            return np.stack([rng.normal(0, self.noise, size) for rng in rngs]).astype(np.float32)
        return (_check_shape(image, rngs, size) - np.asarray(self.gray)).astype(np.float32)

    def decode(self, z, size):
        """Pixels (N, H, W, C), clipped to 0..255 where ``clip`` is on."""
        pixels = z + np.asarray(self.gray, np.float32)
        if not self.clip:
            return pixels
        # A straight-through gradient, as in Yosinski's loop: with the gradient of clip, which is zero outside 0..255, a
        # pixel that leaves this range could never return. (p - p is exactly 0: the value is that of clip.)
        return ops.stop_gradient(ops.clip(pixels, 0.0, 255.0)) + (pixels - ops.stop_gradient(pixels))


@dataclass(frozen=True)
class Fourier:
    """The parameters are Fourier coefficients in decorrelated colors, (N, 2, C, W // 2 + 1, H), as in lucid.

    The second axis holds real and imaginary parts. A frequency of f cycles per pixel is scaled by 1 / f^decay, so that
    steps change mostly low frequencies, as in the spectrum of photos (Olah, Mordvintsev & Schubert 2017):
    pixels = 255 sigmoid(irfft2(scale z) / 4 @ colors), scale = sqrt(h w) / max(f, 1 / max(h, w))^decay.
    Given images are encoded to within half a gray level of black and white.

    Attributes:
        stddev: standard deviation of the random coefficients that images start from.
        decay: exponent of the frequency.
        colors: decorrelate the colors of RGB images; images of other channel counts never are.
    """

    stddev: float = 0.01
    decay: float = 1.0
    colors: bool = True

    def __post_init__(self):
        if self.stddev < 0:
            raise ValueError(f"`stddev` should be at least 0. Received: {self.stddev}")

    def initialize(self, rngs, size, image=None):
        """The coefficients (N, 2, C, W // 2 + 1, H) of random images, or of the images in ``image``."""
        height, width, channels = size
        if image is None:
            shape = (2, channels, width // 2 + 1, height)
            return np.stack([rng.normal(0, self.stddev, shape) for rng in rngs]).astype(np.float32)
        brightness = np.clip(_check_shape(image, rngs, size), MARGIN, 255 - MARGIN) / 255
        logits = np.log(brightness / (1 - brightness))
        if self._uses_colors(channels):
            logits = logits @ np.linalg.inv(COLORS)
        coefficients = np.fft.rfft2(logits, axes=(1, 2)).transpose(0, 3, 2, 1) * 4 / self._scale(height, width)
        return np.stack([coefficients.real, coefficients.imag], 1).astype(np.float32)

    def decode(self, z, size):
        """Pixels (N, H, W, C), all between 0 and 255."""
        height, width, channels = size
        scaled = z * (self._scale(height, width) / (4 * height)).astype(np.float32)
        # keras.ops has no irfft2, and its ifft2 takes twice as long. The columns are transformed first: fft with real
        # and imaginary parts exchanged is the inverse transform (up to the factor of `scaled`).
        imaginary, real = ops.fft((scaled[:, 1], scaled[:, 0]))
        logits = ops.irfft((ops.swapaxes(real, 2, 3), ops.swapaxes(imaginary, 2, 3)), width)
        logits = ops.reshape(ops.transpose(logits, (0, 2, 3, 1)), (-1, height, width, channels))
        if self._uses_colors(channels):
            logits = ops.matmul(logits, COLORS.astype(np.float32))
        return 255.0 * ops.sigmoid(logits)

    def _uses_colors(self, channels):
        return self.colors and channels == 3

    def _scale(self, height, width):
        """The factor of each frequency, (W // 2 + 1, H)."""
        frequency = np.hypot(np.fft.rfftfreq(width)[:, None], np.fft.fftfreq(height))
        return np.sqrt(height * width) / np.maximum(frequency, 1 / max(height, width)) ** self.decay


def _check_shape(image, rngs, size):
    image = np.asarray(image, np.float64)
    if image.shape != (len(rngs), *size):
        raise ValueError(f"`image` should have the shape {(len(rngs), *size)}. Received: {image.shape}")
    return image
