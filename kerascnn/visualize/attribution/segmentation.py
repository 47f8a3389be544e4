"""Objects segmented by their saliency, without training on segmentations (Simonyan et al. 2014, section 3.2).

The pixels of the largest saliency give the colors of the object, those of the least the colors of the background: two
mixtures of five Gaussians. GrabCut (Rother et al. 2004) then assigns every pixel to one of them, so that few edges are
cut,

    E(a) = sum_i -log p(z_i | colors of a_i) + gamma sum_ij [a_i != a_j] exp(-beta |z_i - z_j|^2) / dist(i, j),

and fits the colors again. The largest connected component is the object, and its tight box says where it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ...support.checks import check_integer
from ...support.display import FigureResult
from ...support.text import pluralize
from ...support.types import Array
from .attribution import as_maps

SEEDS = 0.1  # least share of the object's seeds in what is cut out; below it the colors are too alike


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class Segmentation(FigureResult):
    """Masks and boxes of objects.

    Where a map is constant, or colors do not separate the object, ``has_object`` is False, the mask is empty and the
    box is 0, 0, 0, 0.

    Attributes:
        masks: (N, H, W), True for pixels of the object.
        boxes: (N, 4) y0, x0, y1, x1, so that ``image[y0:y1, x0:x1]`` contains the object.
        images: (N, H, W, C), pixels 0..255.
        maps: (N, H, W), the maps that the seeds come from.
        seeds: (N, H, W), 1 for seeds of the object, -1 for seeds of the background, else 0.
        names: names of the images.
    """

    masks: np.ndarray
    boxes: np.ndarray
    images: np.ndarray
    maps: np.ndarray
    seeds: np.ndarray
    names: tuple

    @property
    def has_object(self):
        """(N,): whether an object was found."""
        return self.masks.any((1, 2))

    @property
    def table(self):
        """Fraction and box of the object of each image, as a DataFrame."""
        import pandas as pd

        sides = pd.DataFrame(self.boxes, columns=["y0", "x0", "y1", "x1"])
        return pd.DataFrame({"image": self.names, "found": self.has_object, "share": self.areas}).join(sides)

    def _headline(self):
        return f"{pluralize(len(self.names), 'image')}, objects in {int(self.has_object.sum())}"

    def __str__(self):
        lines = []
        for name, found, share, y0, x0, y1, x1 in self.table.itertuples(index=False):
            where = f"object of {x1 - x0}x{y1 - y0} pixels at ({x0}, {y0}), {share:.0%} of the image"
            lines.append(f"{name}: {where if found else 'nothing found'}")
        return "\n".join(lines)

    @property
    def areas(self):
        """(N,): fraction of the image that the object covers."""
        return self.masks.mean((1, 2))

    def plot(self):
        """Draw each image, its map with the seeds, and the object."""
        from .figures import draw_segmentation

        return draw_segmentation(self)


def segment(
    attribution: Any,
    images: Array | None = None,
    *,
    foreground: float = 0.95,
    background: float = 0.30,
    blur: float = 0.0,
    steps: int = 5,
    seed: int = 0,
) -> Segmentation:
    """Segment the object of each image by GrabCut, from an attribution.

    Pixels are ranked by |map|, as in Simonyan et al. 2014. For maps whose negative values are evidence against the
    class, as those of occlusion, pass ``np.maximum(map, 0)``. Seeds only initialize the colors of object and
    background: any pixel may still change sides.

    Args:
        attribution: an `Attribution`, or maps (N, H, W) together with ``images``.
        images: pixels (N, H, W, C), 0..255; by default those of the attribution.
        foreground: quantile of |map| above which pixels are seeds of the object.
        background: quantile of |map| up to which pixels are seeds of the background.
        blur: standard deviation in pixels of a Gaussian filter of |map|, which joins the seeds of a noisy map.
        steps: number of graph cuts.
        seed: random seed for the initial clusters of colors.

    Returns:
        `Segmentation`.
    """
    from scipy.ndimage import gaussian_filter

    if not 0 <= background < foreground <= 1:
        came = f"{foreground}, {background}"
        raise ValueError(
            f"`foreground` and `background` should be quantiles from 0 to 1, `foreground` the larger. Received: {came}"
        )
    check_integer(steps=steps)
    maps, images, names = as_maps(attribution, images)
    if not 0 <= blur < np.inf:
        raise ValueError(f"`blur` should be at least 0. Received: {blur!r}")
    if images.shape[-1] not in (1, 3):
        raise ValueError(f"`images` should have 1 or 3 channels. Received: {images.shape[-1]}")
    seeds = np.stack(
        [seed_pixels(each, foreground, background) for each in gaussian_filter(np.abs(maps), (0, blur, blur))]
    )
    masks = np.stack([extract_object(*pair, steps, seed) for pair in zip(images, seeds, strict=True)])
    boxes = np.stack([bounding_box(mask) for mask in masks])
    return Segmentation(masks=masks, boxes=boxes, images=images, maps=maps, seeds=seeds, names=names)


def seed_pixels(saliency, foreground, background):
    """1 for pixels above the one quantile, -1 for those up to the other, 0 between; all 0 where nothing stands out."""
    low, high = np.quantile(saliency, [background, foreground])
    fore = saliency >= high if high > low else saliency > high  # a map that is mostly 0 has both at 0
    return fore.astype(np.int8) - (saliency <= low) if fore.any() else np.zeros(saliency.shape, np.int8)


def extract_object(image, seeds, steps, seed):
    """The largest part of what is cut out, if it holds enough of the seeds, and more than its size alone explains."""
    mask = largest_component(grab_cut(image, seeds, steps, seed))
    held = mask[seeds > 0].mean() if mask.any() else 0
    return mask if held >= SEEDS and held > mask.mean() else np.zeros_like(mask)


def grab_cut(image, seeds, steps, seed):
    """The mask that GrabCut finds; the first colors come from the seeds alone."""
    import cv2

    if not seeds.any():
        return np.zeros(seeds.shape, bool)
    pixels = np.repeat(image, 3 // image.shape[-1], axis=-1).clip(0, 255).round().astype(np.uint8)
    back, fore = np.zeros((1, 65)), np.zeros((1, 65))  # weights, means and covariances of five Gaussians
    known = seeds != 0
    sides = np.where(seeds > 0, cv2.GC_PR_FGD, cv2.GC_PR_BGD).astype(np.uint8)
    cv2.setRNGSeed(seed)  # k-means, with which the Gaussians start, draws its centers
    cv2.grabCut(pixels[known][None], sides[known][None], None, back, fore, 0, cv2.GC_INIT_WITH_MASK)
    cv2.grabCut(pixels, sides, None, back, fore, 1, cv2.GC_EVAL_FREEZE_MODEL)
    if steps > 1 and np.isin((cv2.GC_PR_FGD, cv2.GC_PR_BGD), sides).all():  # no side without colors
        cv2.grabCut(pixels, sides, None, back, fore, steps - 1, cv2.GC_EVAL)
    return sides == cv2.GC_PR_FGD


def largest_component(mask):
    """The largest component of a mask, neighbors also being those at corners."""
    import cv2

    _, numbers, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    areas = stats[1:, cv2.CC_STAT_AREA]  # number 0 is what lies outside
    return numbers == 1 + areas.argmax() if len(areas) else mask


def bounding_box(mask):
    """y0, x0, y1, x1 around a mask; four 0 around nothing."""
    if not mask.any():
        return np.zeros(4, np.int64)
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return np.array([rows[0], columns[0], rows[-1] + 1, columns[-1] + 1])
