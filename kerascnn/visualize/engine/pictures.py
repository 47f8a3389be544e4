"""What a user gives as images, as the pixels that a network takes."""

from dataclasses import dataclass, field

import numpy as np

from ...inputs.batch import batch_of
from ...inputs.classifier import classifier
from ..attacks.norms import RANGE


@dataclass(frozen=True, eq=False)
class Pictures:
    """Pixels (N, H, W, C), float32, what the images are called, and what other inputs are given beside them."""

    pixels: np.ndarray = field(repr=False)
    names: tuple
    others: dict = field(default_factory=dict, repr=False)

    def __len__(self):
        return len(self.pixels)

    def plain(self, input):
        """What any function takes that the model is given to: an array, or a dict of several inputs."""
        return {input: self.pixels, **self.others} if self.others else self.pixels

    def at(self, rows):
        """Some of them: a slice, or an array of numbers."""
        others = {name: array if len(array) == 1 else array[rows] for name, array in self.others.items()}
        names = tuple(np.array(self.names, object)[rows])
        return Pictures(self.pixels[rows], names, others)


def pictures(probe, images):
    """`Pictures` from paths, folders, Pillow images or arrays; a dict of inputs for a model that has several.

    Arrays that fit the model are taken as they are, whatever their range; the rest is cut as `predict` cuts.
    """
    if isinstance(images, Pictures):
        return images
    others = {}
    if isinstance(images, dict):
        wrong = set(images) ^ set(probe.inputs)
        if wrong:
            expected = ", ".join(probe.inputs)
            raise ValueError(f"`images` should have the inputs {expected}. Received: {', '.join(images)}")
        others = {name: np.asarray(array) for name, array in images.items() if name != probe.input}
        images = images[probe.input]
    elif len(probe.inputs) > 1:
        raise ValueError(f"`images` should be a dict with the inputs {', '.join(probe.inputs)} of {probe.name}")
    array = fitting(images, probe.shape)
    if array is not None:
        found = Pictures(array, tuple(f"image {i}" for i in range(len(array))), others)
    else:
        photos = batch_of(images)
        found = Pictures(photos.array(classifier(probe.model).preprocessing), photos.names, others)
    wrong = [name for name, array in others.items() if len(array) not in (1, len(found))]
    if wrong:
        raise ValueError(
            f"`images` should have as many rows of {wrong[0]} as images. Received: {len(others[wrong[0]])}"
        )
    return found


def fitting(images, shape):
    """Arrays of the model's own size as float32 (N, H, W, C); None for anything else."""
    if not isinstance(images, np.ndarray):
        convertible = hasattr(images, "__array__") and hasattr(images, "dtype")  # tensors of any framework
        stacked = isinstance(images, list | tuple) and images and all(isinstance(i, np.ndarray) for i in images)
        if not convertible and not (stacked and len({image.shape for image in images}) == 1):
            return None
        images = np.asarray(images)
    images = images[None] if images.ndim == 3 else images
    fits = images.ndim == 4 and all(own in (None, side) for own, side in zip(shape, images.shape[1:], strict=True))
    return np.asarray(images, np.float32) if fits else None


def steps(pixels, bounds):
    """Pixels of a network's range as 0..255."""
    low, high = bounds
    return pixels if (low, high) == (0, RANGE) else (pixels - np.float32(low)) * np.float32(RANGE / (high - low))


def unsteps(pixels, bounds):
    """The way back, of arrays or tensors."""
    low, high = bounds
    return pixels if (low, high) == (0, RANGE) else pixels * np.float32((high - low) / RANGE) + np.float32(low)
