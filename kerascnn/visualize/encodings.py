"""How evolved images are written: as pixels, or as networks that draw them (`cppn`)."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from . import cppn

HALVING, RATE = 1000, 0.1  # generations after which the rate of pixels that change is halved
CHUNK = 16  # pictures drawn at once


@dataclass(frozen=True)
class Encoding:
    """How an image is written: the first ones, children, and pixels, of genes {name: array with a row an image}."""

    first: Callable  # (rng, count, shape) -> genes
    child: Callable  # (rng, genes, generation) -> genes
    pixels: Callable  # (genes, shape) -> (N, H, W, C), uint8


def noise(rng, count, shape):
    return {"pixels": rng.integers(256, size=(count, *shape), dtype=np.uint8)}


def changed(rng, genes, generation):
    """Children by polynomial mutation of a share of the pixels, which is halved every thousand generations."""
    pixels = genes["pixels"].copy()
    chosen = rng.random(pixels.shape, np.float32) < RATE * 0.5 ** (generation // HALVING)
    pixels[chosen] = np.rint(cppn.polynomial(rng, pixels[chosen].astype(np.float32), 0, 255))
    return {"pixels": pixels}


ENCODINGS = {
    "cppn": Encoding(cppn.first, cppn.mutated, cppn.drawn),
    "direct": Encoding(noise, changed, lambda genes, shape: genes["pixels"]),
}


def taken(genes, rows):
    return {name: array[rows] for name, array in genes.items()}


def drawn(way, genes, shape):
    """The pictures of genes, a few at a time."""
    count = len(next(iter(genes.values())))
    starts = range(0, count, CHUNK)
    return np.concatenate([way.pixels(taken(genes, slice(at, at + CHUNK)), shape) for at in starts])


def encoding_of(encoding):
    if encoding not in ENCODINGS:
        from ..registry import unknown

        raise ValueError(f"`encoding` should be 'cppn' or 'direct'. {unknown('encoding', encoding, ENCODINGS)}")
    return ENCODINGS[encoding]
