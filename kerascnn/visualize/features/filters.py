"""The filters of a convolution as pictures: what a first layer looks for in raw pixels."""

from dataclasses import dataclass, field

import keras
import numpy as np
from keras import ops

from ...diagnose.filters import filters
from ...graph.run import act_of, before, part, run
from ...graph.walk import walk
from ...plots.primitives import BETWEEN, GUTTER, MARGIN, MID_GRAY, columns_for, sheet, some, tile_grid, zoom_for, zoomed
from ...support.display import Drawn
from ...support.text import unknown
from .gabor import LEAST, gabor

SCALES, SORTS = ("filter", "common"), ("index", "rms", "orientation", "hue")
COMPONENTS = 3
GRAYISH = 0.2  # of a filter's energy off the gray axis: below, its hue says little


@dataclass(frozen=True, eq=False)
class FilterImages(Drawn):
    """Filters as images, 0..1, where a weight of 0 is exactly 0.5.

    ``kernel`` (h, w, channels, filters) and ``bias`` act on the model's own input, channels as RGB. ``shows`` says what
    the last axis of ``images`` is: "colors" (3, or 1 for gray), "channels", each for itself, or "components".
    ``order``: the filters as they are drawn. ``table``: filter, rms, verdict (of `diagnose.filters`, on the kernel as
    stored), color (share of the energy off the gray axis), hue (degrees, light against dark alike: 0..180), and where
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
    name, stride, found = find_kernel(model, layer, fold)
    kernel = found.kernel
    table = describe(kernel, found, fit or sort == "orientation")
    colors = found.sees_pixels and kernel.shape[2] in (1, 3)
    shows = "components" if components else "colors" if colors else "channels"
    signed = parts_of(kernel) if components else np.moveaxis(kernel, 3, 0)
    notes = [*found.notes]
    if components:
        share = np.square(signed).sum((1, 2, 3)) / np.maximum(np.square(kernel).sum((0, 1, 2)), 1e-30)
        table["explained"] = share
        notes.append(f"each filter's {signed.shape[-1]} strongest spatial components, {share.mean():.0%} of its energy")
    order = sort_order(table, sort)
    return FilterImages(
        layer=name,
        kernel=kernel,
        bias=found.bias,
        images=to_images(signed, scale),
        shows=shows,
        order=order,
        table=table,
        stride=stride,
        scale=scale,
        sort=sort,
        note="; ".join(notes),
    )


def find_kernel(model, layer, fold):
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


def to_images(signed, scale):
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


def describe(kernel, found, fit):
    """The table of filters."""
    import pandas as pd

    if fit and min(kernel.shape[:2]) < LEAST:
        wanted = f"left out, or another than 'orientation', for filters smaller than {LEAST}x{LEAST}"
        raise ValueError(f"`fit` and `sort` should be {wanted}. Received: {kernel.shape[0]}x{kernel.shape[1]}")
    table = pd.DataFrame({"filter": np.arange(kernel.shape[-1]), "rms": np.sqrt(np.square(kernel).mean((0, 1, 2)))})
    table["verdict"] = filters(found.stored).table.verdict
    if found.sees_pixels and kernel.shape[2] == 3:
        table["color"], table["hue"] = np.transpose([color_of(kernel[..., i]) for i in range(kernel.shape[-1])])
    if fit:
        fits = gabor(kernel)
        for column in ("r2", "orientation", "wavelength", "chance"):
            table[column] = fits[column]
        table["oriented"] = (fits.r2 > fits.chance) & (fits.wavelength < 2 * max(kernel.shape[:2]))
    return table


def color_of(one):
    """(share of a filter's energy off the gray axis, hue of its strongest color in degrees, its sign left out).

    The plane across the gray axis has red at 0 degrees and green at 120, as in HSV, so yellow-blue is at 60.
    """
    pixels = one.reshape(-1, 3)
    plane = np.array([[2, -1, -1], [0, np.sqrt(3), -np.sqrt(3)]]).T / np.sqrt(6)
    chroma, energy = pixels @ plane, np.square(pixels).sum()
    if not energy:
        return 0.0, 0.0
    axis = np.linalg.svd(chroma, full_matrices=False)[2][0]
    return float(np.square(chroma).sum() / energy), float(np.rad2deg(np.arctan2(axis[1], axis[0])) % 180)


def sort_order(table, sort):
    """The filters in the order in which they are drawn."""
    if sort == "rms":
        return np.argsort(-table.rms.to_numpy(), kind="stable")
    if sort == "orientation":  # blobs and noise last, by strength
        return np.lexsort((np.where(table.oriented, table.orientation, -table.rms), ~table.oriented))
    if sort == "hue":
        if "hue" not in table:
            raise ValueError("`sort` should be 'index' or 'rms' where filters have no colors. Received: 'hue'")
        gray = table.color < GRAYISH
        return np.lexsort((np.where(gray, -table.rms, table.hue), ~gray))
    return np.arange(len(table))


WIDE = 900  # pixels of a grid, about
ROWS, COLUMNS = 32, 32  # filters and channels that are drawn channel by channel
TILES = 256  # filters that are drawn in colors
SAYS = {
    "filter": "Each filter on its own scale, which shows its form: max |w| = {low:.2g} to {high:.2g}",
    "common": "All filters on one scale, which shows their strength: max |w| = {high:.2g}",
}
SORTED = {
    "rms": "sorted by strength (rms)",
    "orientation": "sorted by orientation of the fitted Gabor; the others last",
    "hue": "sorted by hue; gray ones first",
}


def draw_filter_images(result):
    """One grid in the order of the layer; a second one where they are sorted."""
    every = np.arange(len(result.images))
    orders = {"": every} if result.sort == "index" else {"by index": every, SORTED[result.sort]: result.order}
    grids = [grid(result, order) for order in orders.values()]
    width = sum(each.image.shape[1] for each in grids) + 2 * MARGIN * (len(grids) - 1)
    above = 28 if len(grids) > 1 else 0
    figure, top = sheet(max(width, 620), grids[0].image.shape[0] + above, str(result), caption(result))
    left, dead = MARGIN, ~result.kernel.any((0, 1, 2))
    for each, (title, order) in zip(grids, orders.items(), strict=True):
        each.place(figure, left, top + above, title, silent=dead[order])
        left += each.image.shape[1] + 2 * MARGIN
    return figure


def grid(result, order, zoom=None):
    """The `TileGrid` of filters in an order: the first of them, where they are many."""
    if result.shows == "colors":
        tiles = result.images[order[:TILES]]
        tiles = tiles if tiles.shape[-1] == 3 else tiles.repeat(3, -1)
        columns = columns_for(len(tiles))
        return tile_grid(zoomed(tiles, zoom or zoom_for(tiles.shape[1:], columns, WIDE)), columns)
    shown = result.images[order[:ROWS]][..., :COLUMNS]
    count, height, width, channels = shown.shape
    columns = max(1, round(np.sqrt(1.5 * count * height / (width * channels))))
    zoom = zoom or min(24, zoom_for((height, width * channels), columns, WIDE))
    return tile_grid(strips(shown, zoom), columns, BETWEEN)


def strips(images, zoom):
    """The channels of each filter beside each other, blue below 0 and red above: (filters, h, w, 3)."""
    from matplotlib import colormaps

    count, height, width, channels = images.shape
    painted = colormaps["RdBu_r"](np.moveaxis(images, 3, 1))[..., :3]  # (filters, channels, h, w, 3)
    big = zoomed(painted.reshape(-1, height, width, 3), zoom)
    room = np.full((len(big), big.shape[1], big.shape[2] + GUTTER, 3), MID_GRAY, np.float32)
    room[:, :, :-GUTTER] = big
    room = room.reshape(count, channels, *room.shape[1:]).swapaxes(1, 2)
    return room.reshape(count, big.shape[1], -1, 3)[:, :, :-GUTTER]


def caption(result):
    """How large, how scaled, what was folded."""
    most = np.abs(result.kernel).max((0, 1, 2))
    says = SAYS[result.scale].format(low=most.min(), high=most.max())
    parts = [says.split(":")[0] if result.shows == "components" else says]  # whose largest are not the weights'
    if result.shows == "colors":
        parts.append("0 is mid-gray")
    else:
        channels = result.images.shape[-1]
        what = "components" if result.shows == "components" else "input channels"
        rows = some(ROWS, len(result.images), "filters")
        parts.append(f"a strip a filter ({rows}), {some(COLUMNS, channels, what)} side by side")
        parts.append("red above 0, blue below, white is 0")
    verdicts = result.table.verdict.value_counts()
    parts.append(", ".join(f"{count} {verdict}" for verdict, count in verdicts.items()))
    if "r2" in result.table:
        count, chance = int(result.table.oriented.sum()), result.table.chance.iloc[0]
        parts.append(f"{count} oriented (a Gabor of r2 > {chance:.2f}, noise: 1 in 100; waves below two filters)")
    return "; ".join(parts) + (f". {result.note[0].upper()}{result.note[1:]}." if result.note else ".")


OPEN = 16  # pixels, where a model leaves the size of its images open
SAMPLED = 4096  # pixels that A and t are fitted to
EXACT = {"float16": 0.02, "bfloat16": 0.02}  # of the largest value, else:
SINGLE = 1e-5
NOTHING = 1e-6  # of A's largest entry; what rounding leaves of a 0


@dataclass(frozen=True, eq=False)
class Effective:
    """A kernel (h, w, channels, filters) and bias on the model's own input; ``stored`` is the kernel as it is kept."""

    kernel: np.ndarray = field(repr=False)
    bias: np.ndarray = field(repr=False)
    stored: np.ndarray = field(repr=False)
    sees_pixels: bool  # no other convolution comes before
    notes: tuple


def effective(graph, node, fold=True):
    """The kernel of one convolution of a graph as it acts on raw pixels; without ``fold`` only in their order."""
    stored, bias = weights_of(node.operation)
    kernel, notes = stored, []
    norm = norm_after(graph, node) if fold else None
    if norm is not None:
        factor, shift = affine_of(norm)
        kernel, bias = kernel * factor, bias * factor + shift
        notes.append("batch norm folded in")
    sees_pixels = not any(is_convolution(each) for each in before(node) if each is not node)
    found = pixelwise(graph, node) if sees_pixels else None
    if found is not None:
        matrix, offset, why = found
        if why or len(matrix) != kernel.shape[2]:
            notes.append(why or "what stands before it mixes channels that it keeps apart: left as it is")
        else:
            turned = matrix if fold else order_of(matrix)
            bias = bias + (np.einsum("hwcf,c->f", kernel, offset) if fold else 0)
            kernel = np.einsum("hwkf,kc->hwcf", kernel, turned)
            notes += folding_notes(matrix, fold)
    return Effective(kernel, bias, stored, sees_pixels, tuple(notes))


def is_convolution(node):
    return len(getattr(node.operation, "kernel_size", ())) == 2


def weights_of(layer):
    """(kernel (h, w, channels, filters), bias), float64."""
    kernel = np.asarray(layer.get_weights()[0], np.float64)
    if "Depthwise" in type(layer).__name__ or "Separable" in type(layer).__name__:  # a filter has one channel
        kernel = kernel.reshape(*kernel.shape[:2], 1, -1)
    elif "Transpose" in type(layer).__name__:
        kernel = np.swapaxes(kernel, 2, 3)
    bias = getattr(layer, "bias", None) if "Separable" not in type(layer).__name__ else None
    return kernel, np.zeros(kernel.shape[-1]) if bias is None else ops.convert_to_numpy(bias).astype(np.float64)


def readers_of(graph, node):
    """The calls that take what a call gives."""
    return [each for each in graph.nodes if any(source is node for source, _ in each.inputs)]


def norm_after(graph, node):
    """The batch norm that alone reads a linear convolution, or None."""
    readers = readers_of(graph, node)
    alone = len(readers) == 1 and node not in graph.outputs and not act_of(node)
    last = alone and readers[0].kind == "BatchNormalization" and readers[0].operation.axis in (-1, 3)
    return readers[0].operation if last else None


def affine_of(norm):
    """A batch norm in inference as (factor, shift) for each channel."""
    names = ("gamma", "beta", "moving_mean", "moving_variance")
    values = [getattr(norm, name) for name in names]
    gamma, beta, mean, variance = (None if v is None else ops.convert_to_numpy(v).astype(np.float64) for v in values)
    factor = (1 if gamma is None else gamma) / np.sqrt(variance + norm.epsilon)
    return factor, (0 if beta is None else beta) - mean * factor


def pixelwise(graph, node):
    """(A, t, "") if A x + t for each pixel x is all that comes before a convolution, or (None, None, why not).

    Measured, so that any layer will do: fitted to one image of noise, then checked on another and on constant ones.
    None where nothing comes before, but for zeros around the image.
    """
    source = node.inputs[0][0]
    while source.kind == "ZeroPadding2D":
        source = source.inputs[0][0]
    if source.is_input:
        return None
    needed = part(graph, [source])
    image = needed.inputs[0].shape
    refused = None, None, "what stands before it is no linear map of single pixels: left as it is"
    if len(needed.inputs) != 1 or len(image) != 3 or len(source.shape) != 3:
        return refused
    shape = tuple(OPEN if size is None else size for size in image)
    noise = np.random.default_rng(0).uniform(0, 255, (2, *shape))
    x = np.concatenate([noise, np.zeros((1, *shape)), np.full((1, *shape), 255.0)]).astype(np.float32)
    y = run(needed, ops.convert_to_tensor(x))[source.name]
    limit = EXACT.get(keras.backend.standardize_dtype(y.dtype), SINGLE)
    y = ops.convert_to_numpy(ops.cast(y, "float32")).astype(np.float64)
    if y.shape[:3] != x.shape[:3]:
        return refused
    pixels, values = x.reshape(-1, shape[-1]).astype(np.float64), y.reshape(-1, y.shape[-1])
    with_one = np.concatenate([pixels, np.ones((len(pixels), 1))], 1)
    solved = np.linalg.lstsq(with_one[:SAMPLED], values[:SAMPLED], rcond=None)[0]
    error = np.abs(with_one @ solved - values).max()
    if not error <= limit * max(np.abs(values).max(), 1e-30):
        return refused
    matrix = solved[:-1].T
    return np.where(np.abs(matrix) > NOTHING * np.abs(matrix).max(), matrix, 0.0), solved[-1], ""


def order_of(matrix):
    """The permutation of channels in a matrix that scales them and changes their order; else the identity."""
    used = (matrix != 0).astype(np.float64)
    permutes = matrix.shape[0] == matrix.shape[1] and (used.sum(0) == 1).all() and (used.sum(1) == 1).all()
    return used if permutes else np.eye(*matrix.shape)


def folding_notes(matrix, fold):
    """What was done about the map of pixels that comes before."""
    used = matrix != 0
    square = matrix.shape[0] == matrix.shape[1]
    said = ["BGR inside, shown as RGB"] if square and len(used) > 1 and (used == np.eye(len(used))[::-1]).all() else []
    own = square and np.allclose(np.abs(matrix).sum(1), 1, atol=1e-6) and used.sum() == len(used)
    return said if own or not fold else [*said, "input scaling folded in"]
