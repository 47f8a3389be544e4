"""DeepDream: change an image to amplify what a layer responds to in it (Mordvintsev et al. 2015)."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import takewhile
from typing import Any

import cv2
import numpy as np

from ...inputs.batch import as_batch
from ...inputs.resize import to_channels, to_pixels
from ...support.files import save_image
from ...support.progress import stage_progress
from ...support.types import FilePath, Images, Model, OnProgress, Units
from ..engine.lens import Lens, lens
from ..engine.query import Pictures, from_pixel_range, pictures, read_activations
from ..engine.scores import Score, as_score, channel, energy, guide_similarity
from .recipes import SynthesisRecipe
from .synthesize import Synthesis, synthesize


def dream(
    model: Model | Lens,
    images: Images,
    layer: str | None = None,
    units: Units | None = None,
    *,
    guide: Images | None = None,
    score: Score | Callable | None = None,
    size: int | None = None,
    octaves: int = 4,
    zoom: float = 1.4,
    recipe: SynthesisRecipe | str = "dream",
    steps: int | None = None,
    seed: int = 0,
    bounds: tuple[float, float] = (0.0, 255.0),
    keep: Sequence[int] = (),
    batch_size: int | None = None,
    on_progress: OnProgress | None = None,
) -> Synthesis:
    """DeepDream: amplify what a layer responds to in images, from coarse to fine.

    Each octave is a `synthesize` that starts from the resized image plus the detail added by the octave before.

    Args:
        model: Keras model, or a `Lens` of one.
        images: images to dream on: arrays (N, H, W, C) of pixels 0..255, or photos in any form that `predict`
            takes.
        layer: name of the layer; by default the last one with feature maps. Its mean squared activation is
            maximized.
        units: channels to maximize instead, one for all images or one each.
        guide: image whose activations at the layer are imitated.
        score: any other `Score` to maximize.
        size: longer side in pixels; by default arrays keep their size, and photos get the input size of the model.
        octaves: number of sizes, from small to full; each adds to the detail of the one before.
        zoom: ratio of the sizes of successive octaves.
        recipe: a name in `RECIPES`, or a `SynthesisRecipe`.
        steps: number of steps; by default the recipe's.
        seed: random seed of noise and transforms.
        bounds: input values of the model for black and white.
        keep: step counts after which intermediate images are stored.
        batch_size: images that go through the model at once; by default as many as memory allows.
        on_progress: called as `on_progress(done, total, what)`; it may raise to stop.

    Returns:
        A `Synthesis`; ``metadata["began"]`` are the initial images.
    """
    network = lens(model)
    inputs = pictures_of_size(network, images, size)
    layer = network.feature_map_layer(layer) if score is None else layer
    objective = as_score(score) if score is not None else dream_score(network, layer, units, guide, bounds)
    bases = pyramid(inputs.pixels, octaves, zoom)
    detail = np.zeros_like(bases[0])
    for i, base in enumerate(bases):
        start = base + resize_images(detail, base.shape[1:3])
        result = synthesize(
            network,
            objective,
            recipe=recipe,
            start=start,
            steps=steps,
            seed=seed,
            bounds=bounds,
            keep=keep,
            titles=inputs.names,
            others=inputs.others,
            batch_size=batch_size,
            on_progress=stage_progress(on_progress, i, octaves),
        )
        detail = result.images - base
    return replace(result, metadata=result.metadata | {"began": inputs.pixels})


def dream_frames(
    model: Model | Lens,
    image: Images,
    out: FilePath,
    frames: int = 60,
    *,
    layer: str | None = None,
    units: Units | None = None,
    guide: Images | None = None,
    score: Score | Callable | None = None,
    size: int | None = None,
    octaves: int = 4,
    zoom: float = 1.05,
    recipe: SynthesisRecipe | str = "dream",
    steps: int | None = None,
    seed: int = 0,
    bounds: tuple[float, float] = (0.0, 255.0),
    batch_size: int | None = None,
    on_progress: OnProgress | None = None,
) -> list[str]:
    """Write the frames of a zoom into a dream as PNG files.

    Each frame is the dream of the frame before, enlarged. Existing frames are kept, and the last of them is continued.

    Args:
        model: Keras model, or a `Lens` of one.
        image: image to start from.
        out: folder for the frames.
        frames: number of frames.
        layer: name of the layer; by default the last one with feature maps. Its mean squared activation is
            maximized.
        units: channels to maximize instead, one for all images or one each.
        guide: image whose activations at the layer are imitated.
        score: any other `Score` to maximize.
        size: longer side in pixels; by default arrays keep their size, and photos get the input size of the model.
        octaves: number of sizes, from small to full; each adds to the detail of the one before.
        zoom: enlargement from one frame to the next.
        recipe: a name in `RECIPES`, or a `SynthesisRecipe`.
        steps: number of steps; by default the recipe's.
        seed: random seed of noise and transforms.
        bounds: input values of the model for black and white.
        batch_size: images that go through the model at once; by default as many as memory allows.
        on_progress: called as `on_progress(done, total, what)` after each frame; it may raise to stop.

    Returns:
        The paths of the frames.
    """
    os.makedirs(out, exist_ok=True)
    paths = [os.path.join(str(out), f"frame_{i:04d}.png") for i in range(frames)]
    existing = sum(1 for _ in takewhile(os.path.exists, paths))
    network = lens(model)
    initial: Any = image
    if existing:  # its size is kept, whatever the input size of the model
        path = paths[existing - 1]
        initial, size = to_channels(to_pixels(path, path), network.shape[2]), None
    frame = pictures_of_size(network, initial, size).pixels[:1]
    for i in range(existing, frames):
        result = dream(
            network,
            frame if i == 0 else zoom_in(frame, zoom),
            layer,
            units,
            guide=guide,
            score=score,
            octaves=octaves,
            recipe=recipe,
            steps=steps,
            seed=seed,
            bounds=bounds,
            batch_size=batch_size,
        )
        frame = result.images
        save_image(frame[0], paths[i])
        if on_progress:
            on_progress(i + 1, frames, "frames")
    return paths


def dream_score(network, layer, units, guide, bounds):
    """The score of a dream: similarity to the guide, the mean of units, or the energy of the layer."""
    if guide is not None:
        guide_inputs = pictures(network, guide)
        guide_inputs = replace(guide_inputs, pixels=from_pixel_range(guide_inputs.pixels, bounds))
        return guide_similarity(layer, read_activations(network, guide_inputs, [layer])[layer][:1])
    return energy(layer) if units is None else channel(layer, units)


def pictures_of_size(network, images, size):
    """The images with a longer side of ``size``; by default arrays keep their size, photos get the input size."""
    if size is None and isinstance(images, np.ndarray) and images.ndim in (3, 4):
        images = np.asarray(images, np.float32).reshape(-1, *images.shape[-3:])
        return Pictures(images, tuple(f"image {i}" for i in range(len(images))))
    if size is None:
        return pictures(network, images)
    photos = as_batch(images)
    arrays = [photos.decode_image(row, channels=network.shape[2]) for row in range(len(photos))]
    shapes = [tuple(round(side * size / max(array.shape[:2])) for side in array.shape[:2]) for array in arrays]
    if len(set(shapes)) > 1:
        raise ValueError(f"`images` should have the same shape at size {size}. Received: {shapes}")
    return Pictures(np.concatenate([resize_images(array[None], shapes[0]) for array in arrays]), photos.names)


def pyramid(images, octaves, zoom):
    """The images at increasing sizes, each ``zoom`` times the one before; the last are the images themselves."""
    height, width = images.shape[1:3]
    sides = [(round(height / zoom**k), round(width / zoom**k)) for k in reversed(range(octaves))]
    return [images if side == (height, width) else resize_images(images, side) for side in sides]


def zoom_in(images, zoom):
    """Enlarge images about their center, at the same size."""
    height, width = images.shape[1:3]
    matrix = np.array(
        [[1 / zoom, 0, (width - 1) / 2 * (1 - 1 / zoom)], [0, 1 / zoom, (height - 1) / 2 * (1 - 1 / zoom)]]
    )
    interpolation = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return map_images(lambda image: cv2.warpAffine(image, matrix, (width, height), flags=interpolation), images)


def resize_images(images, shape):
    """Resize images to (height, width): area averages to shrink, bilinear to enlarge."""
    interpolation = cv2.INTER_AREA if shape[0] < images.shape[1] else cv2.INTER_LINEAR
    return map_images(lambda image: cv2.resize(image, shape[::-1], interpolation=interpolation), images)


def map_images(function, images):
    """Apply an OpenCV function to each image; the channel axis, which OpenCV drops if it is 1, is kept."""
    results = [function(np.ascontiguousarray(image, np.float32)) for image in images]
    return np.stack([image.reshape(*image.shape[:2], -1) for image in results])
