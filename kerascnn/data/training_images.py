"""Which images a network was trained on: hashes of their pixels, which travel with the network."""

from __future__ import annotations

import base64
import json
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import keras
import numpy as np

from ..inputs.batch import Batch
from ..inputs.classifier import find_published_source
from ..inputs.decode import ImageError
from ..inputs.model_files import get_fact, set_fact
from ..inputs.resize import to_pixels
from ..weights.load import source_path
from .inspection import hash_pixels

MOST = 2**14  # hashes that are kept; of more images those with the smallest
CHECKED = 256  # images that are decoded only to be hashed
BITS = 32  # of a hash
FACT = "training_images"  # what a model knows by this name
SHIPPED = "training_images.json"  # beside a network that is part of the package


@dataclass(frozen=True, kw_only=True)
class TrainingImages:
    """Hashes of the images that a network was trained on.

    Of many images only those with the smallest hashes are kept: a random sample, by which any image of ``limit`` or
    less can be told from others (Broder 1997).

    Attributes:
        hashes: the first 32 bits of the kept hashes, sorted, as an array of uint32.
        limit: the largest hash for which ``hashes`` says whether an image was among the training images.
    """

    hashes: np.ndarray
    limit: int

    def __repr__(self):
        return f"<TrainingImages: {len(self.hashes):,} hashes, {self.limit / 2**BITS:.0%} of all images>"

    def __add__(self, more: TrainingImages) -> TrainingImages:
        limit = min(self.limit, more.limit)
        hashes = np.union1d(self.hashes, more.hashes)
        return keep_smallest(hashes[hashes <= limit], limit)

    def to_dict(self) -> dict:
        """Plain data, for a card."""
        hashes = base64.b64encode(self.hashes.astype("<u4").tobytes()).decode()
        return {"limit": self.limit, "hashes": hashes}


def read_training_images(data: dict) -> TrainingImages:
    """`TrainingImages` of what ``to_dict`` wrote."""
    hashes = np.frombuffer(base64.b64decode(data["hashes"]), "<u4").astype(np.uint32)
    return TrainingImages(hashes=hashes, limit=data["limit"])


def record_training_images(hashes: Sequence[str]) -> TrainingImages:
    """`TrainingImages` of the hashes of all pixels, as ``hash_pixels`` gives them."""
    return keep_smallest(np.unique(shorten(hashes)), 2**BITS - 1)


def keep_smallest(hashes, limit):
    """`TrainingImages` of sorted hashes, at most ``MOST`` of them."""
    if len(hashes) > MOST:
        hashes, limit = hashes[:MOST], int(hashes[MOST - 1])
    return TrainingImages(hashes=hashes, limit=limit)


def shorten(hashes):
    """The first 32 bits of hexadecimal hashes, as an array of uint32."""
    return np.array([int(digest[: BITS // 4], 16) for digest in hashes], np.uint32)


def training_images_of(model: keras.Model) -> TrainingImages | None:
    """The record of the images that a network, or its backbone, was trained on; None if there is none."""
    data, source = get_fact(model, FACT), find_published_source(model)
    if data is None and source is not None and source.is_shipped:
        path = source_path(source).parent / SHIPPED
        data = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None
    return None if data is None else read_training_images(data)


def store_training_images(model: keras.Model, images: Batch, backbone: keras.Model | None = None) -> None:
    """Let a model know the images that it is trained on, besides those that it, or its backbone, knows already."""
    hashes = images.hashes or (image_hashes(images) if images.is_decoded else ())
    if not len(hashes):
        return
    record, before = record_training_images(hashes), training_images_of(model if backbone is None else backbone)
    set_fact(model, FACT, (record if before is None else record + before).to_dict())


def warn_of_training_images(model: keras.Model, images: Batch, what: str = "images") -> None:
    """Warn if labeled images, called ``what``, are among those that a network was trained on."""
    training = training_images_of(model)
    if training is None:
        return
    message = find_overlap_with_training(training, images).message(model.name, what)
    if message:
        warnings.warn(message, stacklevel=4)


@dataclass(frozen=True, kw_only=True)
class Overlap:
    """How many of some images a network was trained on.

    Attributes:
        images: number of images.
        checked: number of those for which the record of the training images says whether they are among them.
        trained: number of the checked that are.
    """

    images: int
    checked: int
    trained: int

    def message(self, name: str, what: str = "images") -> str:
        """A sentence that warns of the overlap; "" if there is none."""
        if not self.trained:
            return ""
        if self.checked == self.images:
            part = f"{self.trained:,} of the {self.images:,} {what}"
        else:
            share = self.trained / self.checked
            part = f"about {share:.0%} of the {self.images:,} {what} ({self.trained:,} of {self.checked:,} checked)"
        return f"{name} was trained on {part}: accuracy on them does not tell how well it recognizes new images"


def find_overlap_with_training(training: TrainingImages, images: Batch) -> Overlap:
    """How many images of a `Batch` are among the training images, by their pixels.

    Images that were not hashed while they were loaded are decoded here, at most 256 of them.
    """
    hashes = shorten(image_hashes(images))
    checked = hashes[hashes <= training.limit]
    trained = int(np.isin(checked, training.hashes).sum())
    return Overlap(images=len(images), checked=len(checked), trained=trained)


def image_hashes(images):
    """The hashes of a `Batch`: of all images where an audit or decoded pixels have them, else of some."""
    if images.hashes:
        return images.hashes
    if not images.is_decoded and len(images) > CHECKED:
        images = images.take(np.linspace(0, len(images) - 1, CHECKED).astype(int))
    return [digest for digest in map(hash_or_none, images.items, images.names) if digest]


def hash_or_none(image, name):
    """The hash of an image's pixels, None where it cannot be read; an open file is left for its next reader."""
    if hasattr(image, "seek"):
        return None
    try:
        pixels = to_pixels(image, name)
    except (ImageError, OSError):
        return None
    return hash_pixels(pixels) if pixels.dtype == np.uint8 else None
