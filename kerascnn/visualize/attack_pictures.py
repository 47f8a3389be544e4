"""Attacks drawn: before, after, what was added and ten times that, on mid-grey; drawing only."""

import os

import numpy as np

from .drawing import LARGE, bare, cut, looks
from .figures import caption
from .images import steps

MOST, LETTERS = 4, 30  # images of a figure, letters of a title
TIMES = 10  # the difference is never shown without this beside it (Szegedy et al. 2014, figure 5)
SIDE = 2.7  # inches


def draw_fooled(found):
    """Before, after, the difference and ten times the difference, a row an image."""
    count = min(len(found), MOST)
    shown = [looks(in_range(each[:count], found.bounds))[0] for each in (found.originals, found.images)]
    figure, axes = panels(count, shown[0].shape[1:3])
    for i, row in enumerate(axes):
        row[0].imshow(shown[0][i])
        bare(
            row[0],
            titled(found, found.before[i], found.confidence_before[i]),
            cut(os.path.basename(found.names[i]), 34),
        )
        row[1].imshow(shown[1][i])
        bare(row[1], titled(found, found.after[i], found.confidence_after[i]), verdict(found, i))
        differences(
            row[2:], found.difference[i], f"L2 {found.l2[i]:.4g}, Linf {found.linf[i]:.3g}", f"SSIM {found.ssim[i]:.4f}"
        )
    more = f"{count} of {len(found)} images are drawn" if count < len(found) else ""
    caption(figure, f"differences in steps of 0..255: 128 + d and 128 + {TIMES} d, cut off at 0 and 255", more)
    figure.suptitle(str(found), fontsize=LARGE)
    return figure


def panels(count, size, columns=4):
    """A figure and its axes, a row an image."""
    from matplotlib.figure import Figure

    ratio = float(np.clip(size[0] / size[1], 0.4, 2.0))
    figure = Figure(figsize=(columns * (SIDE + 0.15), count * (SIDE * ratio + 0.55) + 0.8), layout="constrained")
    return figure, figure.subplots(count, columns, squeeze=False)


def differences(axes, change, below, further=""):
    """A change and ten times as much, around mid-grey."""
    for axis, times, words in zip(axes, (1, TIMES), (below, further), strict=True):
        axis.imshow(amplified(change, times))
        bare(axis, "difference" if times == 1 else f"{times} x difference", words)


def amplified(change, times):
    """128 + times d, cut off at 0 and 255, as whole steps (H, W, 3); nothing is 128 everywhere."""
    change = change if change.shape[-1] == 3 else change.mean(-1, keepdims=True)
    shown = np.clip(np.round(128 + times * change), 0, 255).astype(np.uint8)
    return np.broadcast_to(shown, (*shown.shape[:2], 3))


def in_range(images, bounds):
    """Pixels of a network's range as 0..255, which `looks` takes them for."""
    return np.clip(steps(images, bounds), 0, 255)


def titled(found, number, confidence):
    sure = f"{confidence:.1%}" if confidence < 0.9995 else f"{100 * confidence:.2f}%"
    return f"{cut(str(found.label(number)), LETTERS)} {sure}"


def verdict(found, i):
    """Whether it worked, in words."""
    aim = "" if found.target is None else f" ({found.label(found.target[i])} wanted)"
    if not found.success[i]:
        return f"not fooled{aim}"
    return "fooled" + (", also in 8 bits" if found.survives[i] else ", not in 8 bits")


def draw_twins(twins):
    """Source, guide, twin, and ten times the difference of source and twin."""
    count = min(len(twins), MOST)
    shown = [looks(in_range(each[:count], twins.bounds))[0] for each in (twins.sources, twins.guides, twins.images)]
    figure, axes = panels(count, shown[0].shape[1:3])
    for i, row in enumerate(axes):
        names = (f"source: {twins.names[i]}", f"guide: {twins.guide_names[i]}", verdict_of_twins(twins, i))
        for axis, images, what, below in zip(row, shown, ("source", "guide", "twin"), names, strict=False):
            axis.imshow(images[i])
            number, sure = getattr(twins, f"class_{what}")[i], getattr(twins, f"confidence_{what}")[i]
            bare(axis, titled(twins, number, sure), cut(below, 44))
        row[3].imshow(amplified(twins.difference[i], TIMES))
        bare(
            row[3], f"{TIMES} x difference", f"L2 {twins.l2[i]:.4g}, Linf {twins.linf[i]:.3g}, SSIM {twins.ssim[i]:.3f}"
        )
    caption(figure, f"difference of source and twin in steps of 0..255: 128 + {TIMES} d, cut off at 0 and 255")
    figure.suptitle(str(twins), fontsize=LARGE)
    return figure


def verdict_of_twins(twins, i):
    return f"twin: at {twins.distance[i]:.0%} of the distance to the guide"
