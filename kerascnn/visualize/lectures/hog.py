"""Two images that look different and have nearly one HOG descriptor (Tatu, Lauze, Nielsen & Kimia 2011).

min |d(z) - d(image)|^2 / 2 over the pixels z in 0..255, by L-BFGS-B with the exact gradient (`hog`), from noise or
from another image. What the descriptor does not hold stays as it was at the start: brightness, contrast, sign.
"""

from dataclasses import dataclass, field

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from ...inputs.resize import Preprocessing
from ...plots.style import LARGE, bare, new_figure, small_print
from ...support.display import Drawn


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
        pass

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
    return Preprocessing.to_cover(size, 1)(image)[..., 0].astype(np.float64)


CELL, BINS, SIGMA, CUT = 8, 9, 4.0, 0.2
BLOCK = 2 * CELL
LEAST = 0.1 * 4 * BINS, 1e-3  # added to the lengths of blocks, before and after the cut
FLAT = 1e-3  # of a gradient, whose direction is not told apart from none


def descriptor(image):
    """(rows, columns, 36) of a grey image (H, W), 0..255: four cells, row by row, of nine directions for each block."""
    return normed(blocks(votes(*slopes(image))))[0]


def pulled(image, target):
    """(|d - target|^2 / 2, its gradient by the pixels) for the descriptor d of an image."""
    down, right = slopes(image)
    vote = votes(down, right)
    found, back = normed(blocks(vote))
    error = found - target
    signal = spread(back(error), image.shape)  # (H, W, 9) by the votes
    return 0.5 * np.square(error).sum(), unsloped(*unvoted(signal, down, right))


def slopes(image):
    """Differences of the neighbours below and above, right and left; reflected at the border."""
    wide = np.pad(np.asarray(image, np.float64), 1, mode="reflect")
    return wide[2:, 1:-1] - wide[:-2, 1:-1], wide[1:-1, 2:] - wide[1:-1, :-2]


def unsloped(down, right):
    """The transpose of `slopes`."""
    wide = np.zeros((down.shape[0] + 2, down.shape[1] + 2))
    wide[2:, 1:-1] += down
    wide[:-2, 1:-1] -= down
    wide[1:-1, 2:] += right
    wide[1:-1, :-2] -= right
    for axis in (0, 1):
        wide = np.moveaxis(wide, axis, 0)
        wide[2] += wide[0]
        wide[-3] += wide[-1]
        wide = np.moveaxis(wide[1:-1], 0, axis)
    return wide


def directions(down, right):
    """(length, lower bin, upper bin, share of the upper) of gradients."""
    length = np.sqrt(np.square(down) + np.square(right) + FLAT**2)
    place = np.arctan2(down, right) * BINS / np.pi - 0.5
    lower = np.floor(place).astype(int)
    return length, lower % BINS, (lower + 1) % BINS, place - lower


def votes(down, right):
    """(H, W, 9): the length of each pixel's gradient, shared between two directions."""
    length, lower, upper, share = directions(down, right)
    found = np.zeros((*down.shape, BINS))
    np.put_along_axis(found, lower[..., None], (length * (1 - share))[..., None], -1)
    np.put_along_axis(found, upper[..., None], (length * share)[..., None], -1)
    return found


def unvoted(signal, down, right):
    """d / d (down, right) from d / d votes."""
    length, lower, upper, share = directions(down, right)
    first, second = (np.take_along_axis(signal, each[..., None], -1)[..., 0] for each in (lower, upper))
    along = first * (1 - share) + second * share
    turn = (second - first) * BINS / np.pi
    return (along * down + turn * right) / length, (along * right - turn * down) / length


def sharing():
    """(16, 16, 4): how much each pixel of a block counts in each of its cells."""
    places = np.arange(BLOCK)
    cells = np.clip(1 - np.abs((places[:, None] + 0.5) / CELL - 0.5 - np.arange(2)), 0, None)  # (pixels, cells)
    bell = np.exp(-np.square(places - BLOCK / 2) / (2 * SIGMA**2))
    side = cells * bell[:, None]
    return np.einsum("ya,xb->yxab", side, side).reshape(BLOCK, BLOCK, 4)


def blocks(vote):
    """(rows, columns, 4, 9): the cells of each block, not yet normalised."""
    windows = sliding_window_view(vote, (BLOCK, BLOCK), axis=(0, 1))[::CELL, ::CELL]  # (rows, columns, 9, 16, 16)
    return np.einsum("rcoyx,yxk->rcko", windows, sharing(), optimize=True)


def spread(signal, shape):
    """The transpose of `blocks`: (H, W, 9)."""
    signal = signal.reshape(*signal.shape[:2], 4, BINS)
    found, each = np.zeros((*shape, BINS)), np.einsum("rcko,yxk->rcyxo", signal, sharing(), optimize=True)
    for row, column in np.ndindex(signal.shape[:2]):
        found[CELL * row : CELL * row + BLOCK, CELL * column : CELL * column + BLOCK] += each[row, column]
    return found


def normed(raw):
    """(descriptor, its transposed derivative as a function) of blocks: length 1, cut at 0.2, length 1."""
    raw = raw.reshape(*raw.shape[:2], -1)
    once, first = scaled(raw, LEAST[0])
    found, second = scaled(np.minimum(once, CUT), LEAST[1])
    return found, lambda error: first(second(error) * (once < CUT))


def scaled(values, least):
    """(v / (|v| + least), its transposed derivative as a function)."""
    length = np.sqrt(np.square(values).sum(-1, keepdims=True))
    whole = length + least

    def back(error):
        inner = (error * values).sum(-1, keepdims=True)
        return error / whole - values * inner / (np.maximum(length, 1e-12) * whole**2)

    return values / whole, back


def cells(found):
    """(rows, columns, 9) of the cells: the mean over the blocks that a cell is in. For drawing."""
    rows, columns = found.shape[:2]
    total, count = np.zeros((rows + 1, columns + 1, BINS)), np.zeros((rows + 1, columns + 1, 1))
    for k, (down, right) in enumerate(np.ndindex(2, 2)):
        part = slice(down, down + rows), slice(right, right + columns)
        total[part] += found[..., BINS * k : BINS * (k + 1)]
        count[part] += 1
    return total / count


def draw_twin(found):
    """Image, start and twin; below each the edges that its descriptor holds."""
    figure = new_figure(11.5, 8.2)
    above, below = figure.subplots(2, 3)
    images = {"image": found.image, "start": found.start, "twin": found.twin}
    norm = {name: np.linalg.norm(each - found.descriptors["image"]) for name, each in found.descriptors.items()}
    for axis, (name, image) in zip(above, images.items(), strict=True):
        axis.imshow(image, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
        apart = np.sqrt(np.square(image - found.image).mean())
        bare(axis, name, "" if name == "image" else f"{apart:.0f} of 255 from the image (rms)")
    for axis, (name, each) in zip(below, found.descriptors.items(), strict=True):
        glyphs(axis, cells(each))
        bare(axis, f"HOG of the {name}", "" if name == "image" else f"{norm[name]:.3g} from that of the image")
    small_print(figure, "a line for each direction of the edges in a cell of 8x8 pixels")
    title = f"Two images, nearly one descriptor: {found.ratio:.1%} of the start's distance is left"
    figure.suptitle(title, fontsize=LARGE)
    return figure


def glyphs(axis, each):
    """A line along the edge, across its gradient, for each direction of each cell; the brighter the stronger."""
    from matplotlib.collections import LineCollection

    rows, columns = each.shape[:2]
    y, x, bins = np.meshgrid(*map(np.arange, each.shape), indexing="ij")
    angle = (bins + 0.5) * np.pi / BINS + np.pi / 2
    middle = np.stack([x, y], -1) * CELL + CELL / 2 - 0.5
    reach = CELL / 2 * np.stack([np.cos(angle), np.sin(angle)], -1)
    lines = np.stack([middle - reach, middle + reach], -2).reshape(-1, 2, 2)
    strength = np.clip(each.ravel() / max(each.max(), 1e-12), 0, 1)
    order = strength.argsort(kind="stable")  # strong ones on top
    shades = np.repeat(strength[order, None], 3, 1)
    axis.add_collection(LineCollection(lines[order], colors=shades, linewidths=1.1))
    axis.set_facecolor("black")
    axis.set(xlim=(-0.5, columns * CELL - 0.5), ylim=(rows * CELL - 0.5, -0.5), aspect="equal")
