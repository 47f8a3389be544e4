"""The filters of a convolution as pictures: what a first layer looks for in raw pixels."""

from dataclasses import dataclass, field

import numpy as np

from ..anatomy import walk
from ..diagnose import filters
from ..drawn import Drawn
from ..registry import unknown
from .folding import Effective, effective, is_convolution
from .gabors import LEAST, gabor

SCALES, SORTS = ("filter", "common"), ("index", "rms", "orientation", "hue")
COMPONENTS = 3
GREYISH = 0.2  # of a filter's energy off the grey axis: below, its hue says little


@dataclass(frozen=True, eq=False)
class FilterImages(Drawn):
    """Filters as images, 0..1, where a weight of 0 is exactly 0.5.

    ``kernel`` (h, w, channels, filters) and ``bias`` act on the model's own input, channels as RGB. ``shows`` says what
    the last axis of ``images`` is: "colours" (3, or 1 for grey), "channels", each for itself, or "components".
    ``order``: the filters as they are drawn. ``table``: filter, rms, verdict (of `diagnose.filters`, on the kernel as
    stored), colour (share of the energy off the grey axis), hue (degrees, light against dark alike: 0..180), and where
    Gabors were fitted r2, orientation, wavelength, chance and oriented (better than chance, waves below two filters).
    """

    layer: str
    kernel: np.ndarray = field(repr=False)
    bias: np.ndarray = field(repr=False)
    images: np.ndarray = field(repr=False)  # (filters, h, w, channels)
    shows: str
    order: np.ndarray = field(repr=False)
    table: object = field(repr=False)
    stride: tuple
    scale: str
    sort: str
    note: str

    def __str__(self):
        height, width, channels, count = self.kernel.shape
        step = "x".join(map(str, sorted(set(self.stride))))
        return f"{self.layer}: {count} filters of {height}x{width}x{channels}, stride {step}"

    def plot(self):
        """The filters as a grid; beside it the same ones sorted, if a sorting was asked for."""
        from .kernel_pictures import draw_filter_images

        return draw_filter_images(self)


def filter_images(model, layer=None, *, scale="filter", fold=True, sort="index", components=False, fit=False):
    """The filters of the first convolution, or of the one that ``layer`` names, as pictures: `FilterImages`.

    0.5 + w / (2 max|w|), the largest of each filter (``scale="filter"``: its form) or of all ("common": its strength).
    ``fold``: with the batch norm after it and the scaling of the input before it, so that a picture is what acts on raw
    pixels. Filters that do not read an image are shown channel by channel, or as their strongest three spatial
    ``components`` (of the SVD of a filter as (h w, channels)). ``fit`` fits Gabors, as sorting by orientation does.
    ``model`` may also be a kernel (h, w, channels, filters).
    """
    for name, given, known in (("scale", scale, SCALES), ("sort", sort, SORTS)):
        if given not in known:
            raise ValueError(unknown(name, given, known))
    name, stride, found = acting(model, layer, fold)
    kernel = found.kernel
    table = described(kernel, found, fit or sort == "orientation")
    colours = found.sees_pixels and kernel.shape[2] in (1, 3)
    shows = "components" if components else "colours" if colours else "channels"
    signed = parts_of(kernel) if components else np.moveaxis(kernel, 3, 0)
    notes = [*found.notes]
    if components:
        share = np.square(signed).sum((1, 2, 3)) / np.maximum(np.square(kernel).sum((0, 1, 2)), 1e-30)
        table["explained"] = share
        notes.append(f"each filter's {signed.shape[-1]} strongest spatial components, {share.mean():.0%} of its energy")
    order = sorted_by(table, sort)
    return FilterImages(
        *(name, kernel, found.bias, pictured(signed, scale), shows, order, table, stride, scale, sort), "; ".join(notes)
    )


def acting(model, layer, fold):
    """(name, stride, `Effective`) of the convolution asked for."""
    if isinstance(model, np.ndarray):
        if model.ndim != 4 or min(model.shape) < 1:
            raise ValueError(f"`model` should be a Keras model, or (h, w, channels, filters). Received: {model.shape}")
        kernel = model.astype(np.float64)
        return "kernel", (1, 1), Effective(kernel, np.zeros(kernel.shape[-1]), kernel, True, ())
    graph = walk(getattr(model, "graph", model))  # a Probe has one
    convolutions = [node for node in graph.nodes if is_convolution(node)]
    if not convolutions:
        raise ValueError(f"`model` should have a convolution over two axes. Received: {model.name}, which has none")
    node = convolutions[0] if layer is None else graph.find(layer)
    if node not in convolutions:
        names = ", ".join(each.name for each in convolutions[:8])
        raise ValueError(f"`layer` should be a convolution of {model.name} ({names} ..). Received: {node.name!r}")
    return node.name, tuple(node.operation.strides), effective(graph, node, fold)


def pictured(signed, scale):
    """Signed values (filters, h, w, c) as images 0..1 around exactly 0.5."""
    axes = (1, 2, 3) if scale == "filter" else None
    most = np.abs(signed).max(axes, keepdims=True)
    return (0.5 + signed / (2 * np.where(most > 0, most, 1))).astype(np.float32)


def parts_of(kernel):
    """The strongest spatial components of each filter (filters, h, w, up to 3): U s of its SVD.

    The sign is such that the channels that read it do so with a positive sum of weights.
    """
    height, width, channels, count = kernel.shape
    matrices = np.moveaxis(kernel, 3, 0).reshape(count, height * width, channels)
    left, values, right = np.linalg.svd(matrices, full_matrices=False)
    sign = np.where(right.sum(2) < 0, -1.0, 1.0)
    kept = (left * (values * sign)[:, None])[..., :COMPONENTS]
    return kept.reshape(count, height, width, -1)


def described(kernel, found, fit):
    """The table of filters."""
    import pandas as pd

    if fit and min(kernel.shape[:2]) < LEAST:
        wanted = f"left out, or another than 'orientation', for filters smaller than {LEAST}x{LEAST}"
        raise ValueError(f"`fit` and `sort` should be {wanted}. Received: {kernel.shape[0]}x{kernel.shape[1]}")
    table = pd.DataFrame({"filter": np.arange(kernel.shape[-1]), "rms": np.sqrt(np.square(kernel).mean((0, 1, 2)))})
    table["verdict"] = filters(found.stored).table.verdict
    if found.sees_pixels and kernel.shape[2] == 3:
        table["colour"], table["hue"] = np.transpose([colour_of(kernel[..., i]) for i in range(kernel.shape[-1])])
    if fit:
        fits = gabor(kernel)
        for column in ("r2", "orientation", "wavelength", "chance"):
            table[column] = fits[column]
        table["oriented"] = (fits.r2 > fits.chance) & (fits.wavelength < 2 * max(kernel.shape[:2]))
    return table


def colour_of(one):
    """(share of a filter's energy off the grey axis, hue of its strongest colour in degrees, its sign left out).

    The plane across the grey axis has red at 0 degrees and green at 120, as in HSV, so yellow-blue is at 60.
    """
    pixels = one.reshape(-1, 3)
    plane = np.array([[2, -1, -1], [0, np.sqrt(3), -np.sqrt(3)]]).T / np.sqrt(6)
    chroma, energy = pixels @ plane, np.square(pixels).sum()
    if not energy:
        return 0.0, 0.0
    axis = np.linalg.svd(chroma, full_matrices=False)[2][0]
    return float(np.square(chroma).sum() / energy), float(np.rad2deg(np.arctan2(axis[1], axis[0])) % 180)


def sorted_by(table, sort):
    """The filters in the order in which they are drawn."""
    if sort == "rms":
        return np.argsort(-table.rms.to_numpy(), kind="stable")
    if sort == "orientation":  # blobs and noise last, by strength
        return np.lexsort((np.where(table.oriented, table.orientation, -table.rms), ~table.oriented))
    if sort == "hue":
        if "hue" not in table:
            raise ValueError("`sort` should be 'index' or 'rms' where filters have no colours. Received: 'hue'")
        grey = table.colour < GREYISH
        return np.lexsort((np.where(grey, -table.rms, table.hue), ~grey))
    return np.arange(len(table))
