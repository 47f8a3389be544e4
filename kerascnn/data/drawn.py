"""Datasets that need no download: scikit-learn's handwritten digits, and shapes drawn on the fly."""

import numpy as np
from PIL import Image, ImageDraw

from .arrays import from_arrays
from .images import stretched

SIDE = 32
COUNT = 100  # shapes of a class
FINE = 4  # drawn so many times larger, for smooth edges


def digits():
    """1,797 handwritten digits of scikit-learn, 8x8 with 17 levels of grey, resized to 32x32."""
    from sklearn.datasets import load_digits

    found = load_digits()
    small = np.rint(found.images * 255 / 16).astype(np.uint8)[..., None]
    return from_arrays((np.stack([stretched(image, (SIDE, SIDE)) for image in small]), found.target), "digits")


def shapes(count=COUNT, seed=0):
    """``count`` images 32x32 of each of ``SHAPES``: any colours, places, sizes and turns, with noise."""
    rng = np.random.default_rng(seed)
    names = [name for _ in range(count) for name in SHAPES]
    return from_arrays((np.stack([drawn(SHAPES[name], rng) for name in names]), np.array(names)), "shapes")


def drawn(shape, rng):
    """One image of a shape, (32, 32, 3)."""
    side = SIDE * FINE
    ink, paper = colours(rng)
    radius = rng.uniform(0.22, 0.42) * side
    centre = rng.uniform(radius, side - radius, 2)
    mask = Image.new("L", (side, side))
    shape(ImageDraw.Draw(mask), centre, radius, rng.uniform(0, 2 * np.pi))
    mask = np.asarray(mask.resize((SIDE, SIDE), Image.Resampling.BOX), np.float64)[..., None] / 255
    image = mask * ink + (1 - mask) * paper + rng.normal(0, 6, (SIDE, SIDE, 3))
    return np.rint(image).clip(0, 255).astype(np.uint8)


def colours(rng):
    """Two colours that can be told apart."""
    while True:
        ink, paper = rng.uniform(0, 255, (2, 3))
        if abs(ink.mean() - paper.mean()) > 60:
            return ink, paper


def corners(centre, radius, angles):
    return [tuple(centre + radius * np.array([np.cos(angle), np.sin(angle)])) for angle in angles]


def polygon(sides):
    def shape(draw, centre, radius, turn):
        draw.polygon(corners(centre, radius, turn + 2 * np.pi * np.arange(sides) / sides), fill=255)

    return shape


def circle(draw, centre, radius, turn):
    draw.ellipse([*(centre - radius), *(centre + radius)], fill=255)


def ring(draw, centre, radius, turn):
    circle(draw, centre, radius, turn)
    draw.ellipse([*(centre - 0.55 * radius), *(centre + 0.55 * radius)], fill=0)


def cross(draw, centre, radius, turn):
    for angle in (turn, turn + np.pi / 2):
        draw.line(corners(centre, radius, (angle, angle + np.pi)), fill=255, width=int(0.5 * radius))


def stripes(draw, centre, radius, turn):
    across, along = np.array([np.cos(turn), np.sin(turn)]), np.array([-np.sin(turn), np.cos(turn)])
    for step in np.arange(-1.2, 1.3, 0.6):
        middle = centre + step * radius * across
        ends = [tuple(middle - radius * along), tuple(middle + radius * along)]
        draw.line(ends, fill=255, width=int(0.28 * radius))


SHAPES = {
    "circle": circle,
    "cross": cross,
    "ring": ring,
    "square": polygon(4),
    "stripes": stripes,
    "triangle": polygon(3),
}
