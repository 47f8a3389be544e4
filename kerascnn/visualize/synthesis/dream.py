"""Deep dreams: an image is changed so that a layer sees more of what it sees in it (Mordvintsev et al. 2015)."""

import os
from dataclasses import replace
from itertools import takewhile

import cv2
import numpy as np

from ...inputs.batch import batch_of
from ...inputs.resize import to_channels, to_pixels
from ...support.files import save_image
from ..engine.lens import probe
from ..engine.query import Pictures, pictures, read, unsteps
from ..engine.scores import as_score, channel, energy, matching
from .synthesize import climb


def dream(
    model,
    images,
    layer=None,
    units=None,
    *,
    guide=None,
    score=None,
    size=None,
    octaves=4,
    zoom=1.4,
    recipe="dream",
    steps=None,
    seed=0,
    bounds=(0.0, 255.0),
    keep=(),
    batch=None,
    on_progress=None,
):
    """Images in which a layer sees more of what it sees, from coarse to fine.

    What is not explained here is as in `climb`, for each octave.

    Args:
        model: any Keras model, or a `Probe` of one.
        images: an array (N, H, W, C) of pixels 0..255, or photos in any form that `predict` takes.
        layer: by default the last with places; its energy is dreamed of.
        units: its channels in place of that, one for all images or one each.
        guide: an image of which the layer should be reminded.
        score: any other `Score` in place of a layer's.
        size: pixels of the longer side; by default arrays stay as they are, and photos get the network's size.
        octaves: how many sizes; each takes over the detail that was dreamed in the one before.
        zoom: how many times as large an octave is as the one before.

    Returns:
        A `Synthesis`; ``facts`` have the images as they ``began``.
    """
    asked = probe(model)
    shown = canvases(asked, images, size)
    layer = asked.places(layer) if score is None else layer
    score = as_score(score) if score is not None else dream_score(asked, layer, units, guide, bounds)
    bases = pyramid(shown.pixels, octaves, zoom)
    detail = np.zeros_like(bases[0])
    for i, base in enumerate(bases):
        told = on_progress and (lambda done, total, what, i=i: on_progress(i * total + done, octaves * total, what))
        start = base + resize(detail, base.shape[1:3])
        found = climb(
            asked,
            score,
            recipe=recipe,
            start=start,
            steps=steps,
            seed=seed,
            bounds=bounds,
            keep=keep,
            names=shown.names,
            others=shown.others,
            batch=batch,
            on_progress=told,
        )
        detail = found.images - base
    return replace(found, facts=found.facts | {"began": shown.pixels})


def dream_on(
    model,
    image,
    folder,
    frames=60,
    *,
    layer=None,
    units=None,
    guide=None,
    score=None,
    size=None,
    octaves=4,
    zoom=1.05,
    recipe="dream",
    steps=None,
    seed=0,
    bounds=(0.0, 255.0),
    batch=None,
    on_progress=None,
):
    """Frames of a flight into a dream, each the one before made larger and dreamed on, as PNG files: their paths.

    Frames that are in ``folder`` already are kept, and the last of them is where it goes on. ``zoom`` is from frame to
    frame; the other arguments are those of `dream`.
    """
    os.makedirs(folder, exist_ok=True)
    paths = [os.path.join(folder, f"frame_{i:04d}.png") for i in range(frames)]
    there = sum(1 for _ in takewhile(os.path.exists, paths))
    asked = probe(model)
    if there:  # as large as it is, whatever the network takes
        image, size = to_channels(to_pixels(paths[there - 1], paths[there - 1]), asked.shape[2]), None
    last = canvases(asked, image, size).pixels[:1]
    for i in range(there, frames):
        found = dream(
            asked,
            last if i == 0 else zoom_in(last, zoom),
            layer,
            units,
            guide=guide,
            score=score,
            octaves=octaves,
            recipe=recipe,
            steps=steps,
            seed=seed,
            bounds=bounds,
            batch=batch,
        )
        last = found.images
        save_image(last[0], paths[i])
        if on_progress:
            on_progress(i + 1, frames, "frames")
    return paths


def dream_score(asked, layer, units, guide, bounds):
    """The score that is dreamed of."""
    if guide is not None:
        shown = pictures(asked, guide)
        shown = replace(shown, pixels=unsteps(shown.pixels, bounds))
        return matching(layer, read(asked, shown, [layer])[layer][:1])
    return energy(layer) if units is None else channel(layer, units)


def canvases(asked, images, size):
    """The images with the longer side as long as asked for; else as the network takes them, arrays as they are."""
    if size is None and isinstance(images, np.ndarray) and images.ndim in (3, 4):
        images = np.asarray(images, np.float32).reshape(-1, *images.shape[-3:])
        return Pictures(images, tuple(f"image {i}" for i in range(len(images))))
    if size is None:
        return pictures(asked, images)
    photos = batch_of(images)
    arrays = [photos.one(row, channels=asked.shape[2]) for row in range(len(photos))]
    shapes = [tuple(round(side * size / max(array.shape[:2])) for side in array.shape[:2]) for array in arrays]
    if len(set(shapes)) > 1:
        raise ValueError(f"`images` should have one form to be dreamed on at once, of size {size}. Received: {shapes}")
    return Pictures(np.concatenate([resize(array[None], shapes[0]) for array in arrays]), photos.names)


def pyramid(images, octaves, zoom):
    """The images, smallest first, the last as they are, each ``zoom`` times as large as the one before."""
    height, width = images.shape[1:3]
    sides = [(round(height / zoom**k), round(width / zoom**k)) for k in reversed(range(octaves))]
    return [images if side == (height, width) else resize(images, side) for side in sides]


def zoom_in(images, zoom):
    """The middle of images, as large as they were."""
    height, width = images.shape[1:3]
    matrix = np.array(
        [[1 / zoom, 0, (width - 1) / 2 * (1 - 1 / zoom)], [0, 1 / zoom, (height - 1) / 2 * (1 - 1 / zoom)]]
    )
    how = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return by_channel(lambda plane: cv2.warpAffine(plane, matrix, (width, height), flags=how), images)


def resize(images, shape):
    """Images at another size (h, w): averaged where they become smaller, bilinear where larger."""
    how = cv2.INTER_AREA if shape[0] < images.shape[1] else cv2.INTER_LINEAR
    return by_channel(lambda image: cv2.resize(image, shape[::-1], interpolation=how), images)


def by_channel(change, images):
    """What ``change`` makes of each image, with its channels even where it is one."""
    changed = [change(np.ascontiguousarray(image, np.float32)) for image in images]
    return np.stack([each.reshape(*each.shape[:2], -1) for each in changed])
