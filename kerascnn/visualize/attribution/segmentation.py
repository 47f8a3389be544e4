"""Objects cut out by their saliency, with no segmentation ever learned (Simonyan et al. 2014, section 3.2).

The pixels of the largest saliency tell the object's colors, those of the least the background's: two mixtures of five
Gaussians. GrabCut (Rother et al. 2004) then gives every pixel to one of them, so that few edges are cut,

    E(a) = sum_i -log p(z_i | colors of a_i) + gamma sum_ij [a_i != a_j] exp(-beta |z_i - z_j|^2) / dist(i, j),

and fits the colors again. The largest connected component is the object, and its tight box says where it is.
"""

from dataclasses import dataclass, field

import numpy as np

from ...support.display import Drawn
from .attribution import maps_of

HELD = 0.1  # least share of the object's seeds in what is cut out; below it the colors are too alike


@dataclass(frozen=True, eq=False)
class Segmentation(Drawn):
    """``masks`` (N, H, W) of objects; ``boxes`` (N, 4) y0, x0, y1, x1, so that ``image[y0:y1, x0:x1]`` holds one.

    ``seeds`` (N, H, W) are 1 where the object's colors were taken, -1 where the background's, else 0. Where nothing
    is ``found``, in a constant map or where colors do not tell the object apart, a mask is empty, its box 0, 0, 0, 0.
    """

    masks: np.ndarray = field(repr=False)
    boxes: np.ndarray
    images: np.ndarray = field(repr=False)
    maps: np.ndarray = field(repr=False)
    seeds: np.ndarray = field(repr=False)
    names: tuple

    @property
    def found(self):
        """(N,) whether there is an object."""
        return self.masks.any((1, 2))

    @property
    def table(self):
        """A DataFrame with a row for each image: found, the object's share of the pixels, and its box."""
        import pandas as pd

        sides = pd.DataFrame(self.boxes, columns=["y0", "x0", "y1", "x1"])
        return pd.DataFrame({"image": self.names, "found": self.found, "share": self.areas}).join(sides)

    def __str__(self):
        lines = []
        for name, found, share, y0, x0, y1, x1 in self.table.itertuples(index=False):
            where = f"object in {x1 - x0}x{y1 - y0} pixels at ({x0}, {y0}), {share:.0%} of the image"
            lines.append(f"{name}: {where if found else 'nothing found'}")
        return "\n".join(lines)

    @property
    def areas(self):
        """(N,) the objects' share of the pixels."""
        return self.masks.mean((1, 2))

    def plot(self):
        """Each image, its map with the seeds, and the object's outline and box."""
        from .figures import draw_segmentation

        return draw_segmentation(self)


def segment(attribution, images=None, *, foreground=0.95, background=0.30, blur=0.0, steps=5, seed=0):
    """Cut the object out of each image: `Segmentation`.

    ``attribution`` is what a method of attribution gives, or maps (N, H, W) of ``images`` (N, H, W, C), pixels 0..255.
    Pixels are ranked by |map|, as Simonyan's are; of a map whose negative values speak against the class, as those of
    CAM and occlusion do, give ``np.maximum(map, 0)``. Above the quantile ``foreground`` they tell the object's colors,
    up to the quantile ``background`` the surroundings'; any pixel may still change sides, for saliency is scattered
    over both. ``blur`` first smooths |map| by a Gaussian of so many pixels, which gathers the seeds of a noisy one.
    ``steps`` is the number of graph cuts.
    """
    from scipy.ndimage import gaussian_filter

    if not 0 <= background < foreground <= 1:
        came = f"{foreground}, {background}"
        raise ValueError(f"`foreground` and `background` should be quantiles, the first larger. Received: {came}")
    if not isinstance(steps, int) or steps < 1:
        raise ValueError(f"`steps` should be a whole number of at least 1. Received: {steps!r}")
    maps, images, names = maps_of(attribution, images)
    if not 0 <= blur < np.inf:
        raise ValueError(f"`blur` should be at least 0. Received: {blur!r}")
    if images.shape[-1] not in (1, 3):
        raise ValueError(f"`images` should have 1 or 3 channels. Received: {images.shape[-1]}")
    seeds = np.stack([seeded(each, foreground, background) for each in gaussian_filter(np.abs(maps), (0, blur, blur))])
    masks = np.stack([object_of(*pair, steps, seed) for pair in zip(images, seeds, strict=True)])
    return Segmentation(masks, np.stack([box(mask) for mask in masks]), images, maps, seeds, names)


def seeded(saliency, foreground, background):
    """1 for pixels above the one quantile, -1 for those up to the other, 0 between; all 0 where nothing stands out."""
    low, high = np.quantile(saliency, [background, foreground])
    fore = saliency >= high if high > low else saliency > high  # a map that is mostly 0 has both at 0
    return fore.astype(np.int8) - (saliency <= low) if fore.any() else np.zeros(saliency.shape, np.int8)


def object_of(image, seeds, steps, seed):
    """The largest part of what is cut out, if it holds enough of the seeds, and more than its size alone explains."""
    mask = largest(cut(image, seeds, steps, seed))
    held = mask[seeds > 0].mean() if mask.any() else 0
    return mask if held >= HELD and held > mask.mean() else np.zeros_like(mask)


def cut(image, seeds, steps, seed):
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


def largest(mask):
    """The largest component of a mask, neighbors also being those at corners."""
    import cv2

    _, numbers, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    areas = stats[1:, cv2.CC_STAT_AREA]  # number 0 is what lies outside
    return numbers == 1 + areas.argmax() if len(areas) else mask


def box(mask):
    """y0, x0, y1, x1 around a mask; four 0 around nothing."""
    if not mask.any():
        return np.zeros(4, np.int64)
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return np.array([rows[0], columns[0], rows[-1] + 1, columns[-1] + 1])
