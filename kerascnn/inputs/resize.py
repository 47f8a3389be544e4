"""Images resized and cropped to what a network takes, as torchvision and Pillow do it."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from PIL import Image

from .decode import MAX_PIXELS, ImageError, decode, pillow_to_pixels

INTERPOLATIONS = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}


class Box(NamedTuple):
    """A rectangle of an image in pixels, not necessarily whole ones."""

    top: float
    left: float
    height: float
    width: float


@dataclass(frozen=True)
class Preprocessing:
    """How an image becomes a model's input: the short side resized, then the center cropped.

    ``keep`` says which images that have the right size already are taken as they are.
    """

    size: tuple  # (h, w)
    channels: int
    resize: int
    interpolation: str
    keep: str  # "all", "arrays" or "none"

    @classmethod
    def to_cover(cls, size, channels):
        """Resized just enough to cover ``size``, as for training; images of that size stay as they are."""
        return cls(tuple(size), channels, min(size), "bilinear", "all")

    def keeps(self, shape):
        """Whether an array of this shape (H, W, C) is taken as it is."""
        return self.keep != "none" and shape == (*self.size, self.channels)

    def __call__(self, image):
        """One image, whatever it is given as, as float32 (h, w, channels) of its own."""
        pixels = to_channels(to_pixels(image), self.channels)
        keep = self.keep == "all" or (self.keep == "arrays" and isinstance(image, np.ndarray))
        if not keep or pixels.shape[:2] != self.size:
            pixels = resize_and_crop(pixels, self.size, resize=self.resize, interpolation=self.interpolation)
        return np.array(pixels, np.float32)


def to_pixels(image, name="the image"):
    """The pixels (H, W, C) of a file, of Pillow's image, or of an array, which is returned as it is."""
    if isinstance(image, np.ndarray):
        return image
    return pillow_to_pixels(image, name) if isinstance(image, Image.Image) else decode(image)


def resize_and_crop(image, size, *, resize=None, interpolation="bilinear"):
    """The center (h, w) = ``size`` of an image (H, W, C) whose short side is made ``resize`` pixels long first.

    The long side becomes int(resize * long / short); where the short side is right already, nothing is resampled. If
    ``size`` is no square, the photo is made to cover a rectangle of the same form, larger by resize / min(size).
    Pillow resamples, antialiased: uint8 to uint8; floats, and channels other than RGB, channel by channel.
    Without ``resize`` the image is made just large enough to cover ``size``.
    """
    height, width = image.shape[:2]
    new = shape_after_resize((height, width), size, min(size) if resize is None else resize)
    if new[0] * new[1] > MAX_PIXELS:
        raise ImageError(
            "`images`", f"an image of {width}x{height} pixels", "have an aspect ratio that can be resized and cropped"
        )
    if new != (height, width):
        image = resample(image, new, INTERPOLATIONS[interpolation])
    top, left = (round((have - want) / 2) for have, want in zip(new, size, strict=True))
    return image[top : top + size[0], left : left + size[1]]


def shape_after_resize(shape, size, resize):
    """Height and width to which an image of ``shape`` is resized before ``size`` is cut out."""
    (height, width), (high, wide) = shape, size
    if resize < min(size):
        raise ValueError(f"`resize` should be at least the crop size, {min(size)} pixels. Received: {resize}")
    ratio = resize / min(size)
    if high * width >= wide * height:  # the height decides; in a square, where it is the short side
        new = round(high * ratio)
        return new, int(new * width / height)
    new = round(wide * ratio)
    return int(new * height / width), new


def resample(image, shape, method=Image.Resampling.BILINEAR, box=None):
    """Pillow's resize, of arrays; of the part in a ``Box``, if that is given."""
    edges = box and (box.left, box.top, box.left + box.width, box.top + box.height)
    if image.dtype == np.uint8 and image.shape[-1] == 3:
        return np.asarray(Image.fromarray(image).resize(shape[::-1], method, edges))
    image = image if image.dtype == np.uint8 else image.astype(np.float32)
    planes = [Image.fromarray(image[..., i]).resize(shape[::-1], method, edges) for i in range(image.shape[-1])]
    return np.stack([np.asarray(plane) for plane in planes], axis=-1)


def to_channels(image, channels):
    """Gray as three equal channels, RGB as Pillow's gray "L"; anything else as it is, if it fits."""
    have = image.shape[-1]
    if have == channels:
        return image
    if (have, channels) == (1, 3):
        return np.repeat(image, 3, axis=-1)
    if (have, channels) == (3, 1):
        if image.dtype == np.uint8:
            return np.asarray(Image.fromarray(image).convert("L"))[..., None]
        return image @ np.array([[0.299], [0.587], [0.114]], image.dtype)
    raise ImageError("`images`", f"{have} channels", f"have {channels} channels, as the model expects")


def size_pair(size, argument="size"):
    """A size as (h, w); one number is a square, None stays."""
    if size is None:
        return None
    sides = (size, size) if isinstance(size, int | np.integer) else tuple(size)
    if len(sides) != 2 or not all(isinstance(side, int | np.integer) and side > 0 for side in sides):
        raise ValueError(f"`{argument}` should be a number of pixels or (height, width). Received: {size!r}")
    return int(sides[0]), int(sides[1])
