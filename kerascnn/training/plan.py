"""What a training run computes: recipe, images and seed, checked before anything is computed."""

import dataclasses
import math
import os
import warnings
import zlib
from dataclasses import dataclass

import numpy as np

from ..data import Data, Images, batches, load
from ..data.augment import augmentation
from ..outputs import image_input, scores_of
from .recipes import OURS, PUBLISHED, Recipe, recipe_of
from .recipes import recipe as recipe_called

CUTTING = ("photo_crop", "resized_crop")  # augmentations of photos
SMALL = 64  # pixels; the largest side of images that are no photos
MEASURED = 64  # images at once, or more, where nothing is learnt


@dataclass(frozen=True, eq=False)
class Plan:
    """All that decides what ``fit`` computes."""

    recipe: Recipe
    name: str
    train: Images
    valid: Images | None
    size: tuple
    channels: int
    seed: int

    @property
    def steps(self):
        """Steps in an epoch."""
        return -(-len(self.train) // self.recipe.batch)

    def rate(self, step, errors):
        """The rate of a step, counted from the start of the run."""
        return self.recipe.rate * self.recipe.schedule.factor(step / (self.steps * self.recipe.epochs), errors)

    def batches(self, epoch, outputs=()):
        """The batches of an epoch of training, or with None those of the validation images; labels for each output."""
        if epoch is None:
            found = batches(self.valid, self.size, max(self.recipe.batch, MEASURED), channels=self.channels)
        else:
            order = {"augment": self.recipe.augment, "shuffle": True, "seed": self.seed, "epoch": epoch}
            found = batches(self.train, self.size, self.recipe.batch, channels=self.channels, **order)
        return found.map(lambda x, y: (x, dict.fromkeys(outputs, y))) if outputs else found

    def settling(self):
        """The batches on which batch norm is measured at the end, as they are: not augmented."""
        order = {"shuffle": True, "seed": self.seed, "epoch": self.recipe.epochs}
        size = max(self.recipe.batch, MEASURED)
        found = batches(self.train, self.size, size, channels=self.channels, **order)
        return found.take(-(-self.recipe.settle // size))

    def facts(self, model):
        """The plan as JSON can hold it."""
        data = {"name": self.name, "classes": [str(name) for name in self.train.classes], "train": len(self.train)}
        data |= {"valid": 0 if self.valid is None else len(self.valid)}
        told = "\n".join(f"{label} {name}" for label, name in zip(self.train.labels, self.train.names, strict=True))
        data |= {"checksum": zlib.crc32(told.encode("utf-8", "surrogateescape"))}
        network = {"name": model.name, "parameters": model.count_params(), "input": [*self.size, self.channels]}
        return {"network": network, "recipe": self.recipe.stated(), "data": data, "seed": self.seed}


def chosen(recipe, model, replaced):
    """The recipe with what the user replaces in it."""
    found = recipe_of(model.name) if recipe == PUBLISHED else recipe_called(recipe or OURS)
    found = suited(found, image_input(model)[:2])
    for key, name in (("epochs", "epochs"), ("batch", "batch_size")):
        value = replaced[key]
        if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < 1):
            raise ValueError(f"`{name}` should be a whole number of at least 1. Received: {value!r}")
    rate = replaced["rate"]
    if rate is not None and (not isinstance(rate, int | float) or not 0 < rate < math.inf):
        raise ValueError(f"`rate` should be a number above 0. Received: {rate!r}")
    return dataclasses.replace(found, **{key: value for key, value in replaced.items() if value is not None})


def suited(recipe, size):
    """The recipe for this size: images as small as CIFAR's are shifted in place, not cut out of larger ones."""
    small = None not in size and min(size) <= SMALL
    return dataclasses.replace(recipe, augment="crop_flip") if small and recipe.augment in CUTTING else recipe


def planned(model, data, recipe, seed):
    """The plan, with what was given checked."""
    if not isinstance(seed, int) or isinstance(seed, bool) or seed < 0:
        raise ValueError(f"`seed` should be a whole number of at least 0. Received: {seed!r}")
    augmentation(recipe.augment)  # here, before a folder is begun
    *size, channels = image_input(model)
    data = load(data, seed=seed) if isinstance(data, str | os.PathLike) else data
    name, train, valid = parts(data)
    if not model.trainable_variables:
        raise ValueError(f"`model` should have a layer that is not frozen. Received: {model.name}, all of it frozen")
    if None in size:
        size = data.size if isinstance(data, Data) else train.items.shape[1:3]
        if size is None:
            raise ValueError(f"`model` should have a size, for images of several sizes. Received: {model.name}, open")
    classes = scores_of(model.output, model).shape[-1]
    for images in (train, valid):
        if images is not None and (np.min(images.labels) < 0 or np.max(images.labels) >= classes):
            low, high = np.min(images.labels), np.max(images.labels)
            raise ValueError(
                f"`data` should have labels 0 to {classes - 1}, for {model.name}. Received: {low} to {high}"
            )
    return Plan(recipe, name, train, valid, tuple(map(int, size)), channels, seed)


def parts(data):
    """(name, training images, validation images or None)."""
    if isinstance(data, Data):
        return data.name, data.train, data.valid if data.valid is not None and len(data.valid) else None
    advice = "`data` should be Data, a folder, (x, y) or ((x, y), (xv, yv)) of images (N, H, W, C) and labels (N,)."
    if not isinstance(data, tuple | list) or len(data) != 2:
        raise ValueError(f"{advice} Received: {type(data).__name__}")
    pairs = data if all(isinstance(part, tuple | list) and len(part) == 2 for part in data) else [data]
    found = [images_of(*pair, advice) for pair in pairs]
    return "arrays", found[0], found[1] if len(found) > 1 else None


def images_of(x, y, advice):
    """Arrays as ``Images``."""
    x, y = np.asarray(x), np.asarray(y)
    y = y[:, 0] if y.ndim == 2 and y.shape[1] == 1 else y  # as keras.datasets has them
    if x.ndim != 4 or y.shape != (len(x),) or not len(x) or y.dtype.kind not in "iu":
        raise ValueError(f"{advice} Received: shapes {x.shape} and {y.shape}, labels of type {y.dtype}")
    if not np.isfinite(x).all():
        raise ValueError(f"{advice} Received: NaN or infinity among the pixels")
    if x.dtype.kind == "f" and x.max() <= 1 and x.max() > 0:
        warnings.warn("pixels should be 0..255, these are at most 1; scaled already?", stacklevel=5)
    names = tuple(f"image {number}" for number in range(len(x)))
    return Images(x, y, tuple(str(number) for number in range(int(y.max()) + 1)), names)
