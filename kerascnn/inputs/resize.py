"""A photo cut to what a network takes: its short side resized, then the centre, as torchvision and Pillow do it."""

import numpy as np
from PIL import Image

from .decode import LIMIT, ImageError

INTERPOLATIONS = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}


def fit(image, size, *, resize, interpolation="bilinear"):
    """The centre (h, w) = ``size`` of an image (H, W, C) whose short side is made ``resize`` pixels long first.

    The long side becomes int(resize * long / short); where the short side is right already, nothing is resampled. If
    ``size`` is no square, the photo is made to cover a rectangle of the same form, larger by resize / min(size).
    Pillow resamples, antialiased: uint8 to uint8; floats, and channels other than RGB, channel by channel.
    """
    height, width = image.shape[:2]
    new = resized_shape((height, width), size, resize)
    if new[0] * new[1] > LIMIT:
        raise ImageError("`images`", f"one of {width}x{height} pixels", "be of a form that can be cut to a photo's")
    if new != (height, width):
        image = resample(image, new, INTERPOLATIONS[interpolation])
    top, left = (round((have - want) / 2) for have, want in zip(new, size, strict=True))
    return image[top : top + size[0], left : left + size[1]]


def resized_shape(shape, size, resize):
    """Height and width to which an image of ``shape`` is resized before ``size`` is cut out."""
    (height, width), (high, wide) = shape, size
    if resize < min(size):
        raise ValueError(f"`resize` should be at least the {min(size)} pixels that are cut out. Received: {resize}")
    ratio = resize / min(size)
    if high * width >= wide * height:  # the height decides; in a square, where it is the short side
        new = round(high * ratio)
        return new, int(new * width / height)
    new = round(wide * ratio)
    return int(new * height / width), new


def resample(image, shape, method):
    """Pillow's resize, of arrays."""
    if image.dtype == np.uint8 and image.shape[-1] == 3:
        return np.asarray(Image.fromarray(image).resize(shape[::-1], method))
    image = image if image.dtype == np.uint8 else image.astype(np.float32)
    planes = [Image.fromarray(image[..., i]).resize(shape[::-1], method) for i in range(image.shape[-1])]
    return np.stack([np.asarray(plane) for plane in planes], axis=-1)


def to_channels(image, channels):
    """Grey as three equal channels, RGB as Pillow's grey "L"; anything else as it is, if it fits."""
    have = image.shape[-1]
    if have == channels:
        return image
    if (have, channels) == (1, 3):
        return np.repeat(image, 3, axis=-1)
    if (have, channels) == (3, 1):
        if image.dtype == np.uint8:
            return np.asarray(Image.fromarray(image).convert("L"))[..., None]
        return image @ np.array([[0.299], [0.587], [0.114]], image.dtype)
    raise ImageError("`images`", f"{have} channels", f"have {channels} channels, as the model takes them")
