"""Two images that look different and have nearly one HOG descriptor (Tatu, Lauze, Nielsen & Kimia 2011).

min |d(z) - d(image)|^2 / 2 over the pixels z in 0..255, by L-BFGS-B with the exact gradient (`hog`), from noise or
from another image. What the descriptor does not hold stays as it was at the start: brightness, contrast, sign.
"""

from dataclasses import dataclass, field

import numpy as np

from ..drawn import Drawn
from ..predictions import Cut
from .hog import CELL, descriptor, pulled


@dataclass(frozen=True, eq=False)
class HogTwin(Drawn):
    """``image``, ``start`` and ``twin`` (H, W), 0..255, and the ``descriptors`` of the three by these names.

    ``distance`` is that of the twin's descriptor from the image's, ``apart`` that of the start's; ``pixels`` the root
    mean square of twin less image, ``correlation`` theirs.
    """

    image: np.ndarray = field(repr=False)
    start: np.ndarray = field(repr=False)
    twin: np.ndarray = field(repr=False)
    descriptors: dict = field(repr=False)
    distance: float
    apart: float
    pixels: float
    correlation: float
    steps: int

    @property
    def ratio(self):
        """How much of the start's distance is left; 0 for the same descriptor."""
        return self.distance / self.apart if self.apart else 0.0

    def __str__(self):
        looks = f"{self.pixels:.0f} of 255 apart (rms), correlation {self.correlation:.2f}"
        return (
            f"descriptors {self.distance:.3g} apart, {self.ratio:.1%} of the start's {self.apart:.3g}; pixels {looks}"
        )

    def plot(self):
        """Image, start and twin, above what the descriptors hold of them."""
        from .hog_pictures import draw_twin

        return draw_twin(self)


def hog_twin(image, start=None, *, size=(128, 128), steps=300, seed=0, tell=None):
    """Change ``start``, another image or by default noise, until its HOG is that of ``image``: `HogTwin`.

    Images are paths, Pillow images or arrays of pixels 0..255; they become grey, of ``size``, whole cells of 8 pixels.
    """
    from scipy.optimize import minimize

    good = len(size) == 2 and all(side % CELL == 0 and side >= 2 * CELL for side in size)
    if not good:
        raise ValueError(f"`size` should be two multiples of {CELL} from {2 * CELL}. Received: {size!r}")
    image = grey(image, size)
    noise = np.random.default_rng(seed).uniform(0, 255, image.shape)
    start = noise if start is None else grey(start, size)
    target, done = descriptor(image), 0

    def told(_):
        nonlocal done
        done += 1
        if tell:
            tell(done, steps)

    found = minimize(
        lambda z: (lambda value, slope: (value, slope.ravel()))(*pulled(z.reshape(image.shape), target)),
        start.ravel(),
        jac=True,
        method="L-BFGS-B",
        bounds=[(0, 255)] * image.size,
        callback=told,
        options={"maxiter": steps, "maxfun": 2 * steps, "maxcor": 20, "ftol": 1e-12, "gtol": 1e-10},
    )
    twin = found.x.reshape(image.shape)
    descriptors = {"image": target, "start": descriptor(start), "twin": descriptor(twin)}
    apart = {name: float(np.linalg.norm(each - target)) for name, each in descriptors.items()}
    pixels = float(np.sqrt(np.square(twin - image).mean()))
    with np.errstate(invalid="ignore", divide="ignore"):
        correlation = float(np.corrcoef(twin.ravel(), image.ravel())[0, 1])
    return HogTwin(image, start, twin, descriptors, apart["twin"], apart["start"], pixels, correlation, done)


def grey(image, size):
    """One image as grey pixels (h, w)."""
    if isinstance(image, np.ndarray) and image.ndim == 2:
        image = image[..., None]
    return Cut(tuple(size), 1, min(size), "bilinear", "all")(image)[..., 0].astype(np.float64)
