"""What sections of pictures have in common: pictures at a size, code that runs, progress of a part, places in words."""

import numpy as np

from .. import figures
from ..page import code as verbatim
from ..page import folded, picture, rgb

ROWS, COLUMNS = ("top", "middle", "bottom"), ("left", "centre", "right")


def enlarged_picture(pixels, alt, caption, side=figures.SIDE, *, kind="photo", name=None):
    """A picture ``side`` CSS pixels wide, its own pixels repeated where it is smaller."""
    pixels = figures.enlarged(rgb(pixels), side)
    return picture(pixels, alt, caption, kind=kind, name=name, width=side)


def within(subject, first, last, what):
    """``tell`` of a method, for a part of a section from ``first`` to ``last``, 0 to 1."""

    def tell(done, of):
        subject.tell(first + (last - first) * done / max(of, 1), what)

    return tell


def code(subject, *lines):
    """Lines that make a figure again, given ``model`` and ``photos``, the samples of the report."""
    size = "x".join(map(str, subject.probe.shape))
    begin = [f"# model: {subject.name}; photos: the samples of the report, (N, {size}), pixels 0 to 255"]
    begin += ["from kerascnn import visualize"]
    if subject.preprocess is not None:
        begin += ["model = visualize.probe(model, preprocess=preprocess)"]
    return "\n".join((*begin, *lines))


def snippet(text):
    """Code that a click shows, for a row of pictures."""
    return folded("Code", verbatim(text))


def concentration(values):
    """(the least share of pixels that holds half of |values| (H, W), where in words); (0, "nowhere") of zeros."""
    flat = np.abs(np.nan_to_num(values)).ravel()
    order = np.argsort(-flat, kind="stable")
    total = np.cumsum(flat[order], dtype=np.float64)
    if not len(flat) or total[-1] == 0:
        return 0.0, "nowhere"
    count = int(np.searchsorted(total, total[-1] / 2)) + 1
    place = np.stack(np.unravel_index(order[:count], values.shape), 1).mean(0)
    return count / flat.size, place_of(place, values.shape)


def place_of(place, shape):
    """A place (row, column) of an image in words: top left, middle centre .."""
    thirds = (min(int(3 * (at + 0.5) / side), 2) for at, side in zip(place, shape, strict=True))
    return " ".join(words[third] for words, third in zip((ROWS, COLUMNS), thirds, strict=True))
