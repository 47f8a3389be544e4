"""The filters of a convolution as images: what a first layer detects in raw pixels."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
from keras import ops

from ...diagnose.filters import filters
from ...graph.run import activation_name, ancestors, run_graph, subgraph
from ...graph.walk import build_graph
from ...plots.primitives import (
    BETWEEN,
    GUTTER,
    MARGIN,
    MID_GRAY,
    enlarge_tiles,
    grid_columns,
    pixel_figure,
    selection_note,
    tile_grid,
    zoom_factor,
)
from ...support.display import FigureResult
from ...support.text import unknown_name
from ...support.types import Array, Model
from .gabor import SMALLEST, fit_gabor

if TYPE_CHECKING:
    from ..engine.lens import Lens

SCALES, SORTS = ("filter", "common"), ("index", "rms", "orientation", "hue")
COMPONENTS = 3
GRAYISH = 0.2  # fraction of energy off the gray axis, below which hue means little


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class FilterImages(FigureResult):
    """Filters as images 0..1, where a weight of 0 is exactly 0.5.

    Attributes:
        layer: name of the convolution.
        kernel: weights (h, w, channels, filters) that act on the model's own input, channels as RGB.
        bias: biases (filters,) that belong to ``kernel``.
        images: the filters (filters, h, w, channels).
        shows: what the last axis of ``images`` is: "colors" (3, or 1 for gray), "channels" or "components".
        order: indices of the filters, sorted.
        table: a DataFrame with filter, rms, verdict (of `diagnose.filters`, for the stored kernel), color (fraction of
            energy off the gray axis) and hue (degrees 0..180, without sign); for fitted Gabor functions also r2,
            orientation, wavelength, chance and oriented (better than chance, wavelength below two filter sizes).
        stride: (y, x) in pixels.
        scale: "filter" or "common".
        sort: how the filters are sorted.
        note: what ``kernel`` includes.
    """

    layer: str
    kernel: np.ndarray
    bias: np.ndarray
    images: np.ndarray
    shows: str
    order: np.ndarray
    table: Any
    stride: tuple
    scale: str
    sort: str
    note: str

    def __str__(self):
        height, width, channels, count = self.kernel.shape
        step = "x".join(map(str, sorted(set(self.stride))))
        return f"{self.layer}: {count} filters of {height}x{width}x{channels}, stride {step}"

    def plot(self):
        """Draw the filters as a grid, and next to it the sorted filters."""
        return draw_filter_images(self)


def filter_images(
    model: Model | Lens | Array,
    layer: str | None = None,
    *,
    scale: str = "filter",
    fold: bool = True,
    sort: str = "index",
    components: bool = False,
    fit: bool = False,
) -> FilterImages:
    """Filters of a convolution as images, by default of the first one.

    A weight w is shown as 0.5 + w / (2 max|w|). Filters that do not read an image are shown channel by channel.

    Args:
        model: any Keras model, a `Lens` of one, or a kernel (h, w, channels, filters).
        layer: name of the convolution; by default the first.
        scale: max|w| is that of each "filter" (shows shape) or "common" to all (shows strength).
        fold: include the batch norm after the layer and the scaling of the input before it, so that the filters are
            those that act on raw pixels.
        sort: "index", "rms", "orientation" or "hue".
        components: show the three strongest spatial components of each filter, by SVD as (h w, channels).
        fit: fit Gabor functions, as sorting by orientation does.

    Returns:
        `FilterImages`.
    """
    for argument, value, choices in (("scale", scale, SCALES), ("sort", sort, SORTS)):
        if value not in choices:
            raise ValueError(unknown_name(argument, value, choices))
    name, stride, effective = select_kernel(model, layer, fold)
    kernel = effective.kernel
    table = filter_table(kernel, effective, fit or sort == "orientation")
    colors = effective.sees_pixels and kernel.shape[2] in (1, 3)
    shows = "components" if components else "colors" if colors else "channels"
    signed = spatial_components(kernel) if components else np.moveaxis(kernel, 3, 0)
    notes = [*effective.notes]
    if components:
        share = np.square(signed).sum((1, 2, 3)) / np.maximum(np.square(kernel).sum((0, 1, 2)), 1e-30)
        table["explained"] = share
        notes.append(
            f"the {signed.shape[-1]} strongest spatial components of each filter, {share.mean():.0%} of its energy"
        )
    order = order_filters(table, sort)
    return FilterImages(
        layer=name,
        kernel=kernel,
        bias=effective.bias,
        images=kernels_to_images(signed, scale),
        shows=shows,
        order=order,
        table=table,
        stride=stride,
        scale=scale,
        sort=sort,
        note="; ".join(notes),
    )


def select_kernel(model, layer, fold):
    """(name, stride, `EffectiveKernel`) of the selected convolution."""
    if isinstance(model, np.ndarray):
        if model.ndim != 4 or min(model.shape) < 1:
            raise ValueError(
                f"`model` should be a Keras model or a kernel (h, w, channels, filters). Received: {model.shape}"
            )
        kernel = model.astype(np.float64)
        return "kernel", (1, 1), EffectiveKernel(kernel, np.zeros(kernel.shape[-1]), kernel, True, ())
    graph = build_graph(getattr(model, "graph", model))  # a Lens has one
    convolutions = [node for node in graph.nodes if is_2d_convolution(node)]
    if not convolutions:
        raise ValueError(f"`model` should have a 2D convolution. Received: {model.name}, which has none")
    node = convolutions[0] if layer is None else graph.find(layer)
    if node not in convolutions:
        names = ", ".join(convolution.name for convolution in convolutions[:8])
        raise ValueError(f"`layer` should be a convolution of {model.name} ({names} ..). Received: {node.name!r}")
    return node.name, tuple(node.operation.strides), effective_kernel(graph, node, fold)


def kernels_to_images(signed, scale):
    """Signed values (filters, h, w, c) as images 0..1 around exactly 0.5."""
    axes = (1, 2, 3) if scale == "filter" else None
    limits = np.abs(signed).max(axes, keepdims=True)
    return (0.5 + signed / (2 * np.where(limits > 0, limits, 1))).astype(np.float32)


def spatial_components(kernel):
    """The strongest spatial components of each filter (filters, h, w, up to 3): U s of its SVD.

    The sign is such that the channels that read it do so with a positive sum of weights.
    """
    height, width, channels, count = kernel.shape
    matrices = np.moveaxis(kernel, 3, 0).reshape(count, height * width, channels)
    left, values, right = np.linalg.svd(matrices, full_matrices=False)
    sign = np.where(right.sum(2) < 0, -1.0, 1.0)
    components = (left * (values * sign)[:, None])[..., :COMPONENTS]
    return components.reshape(count, height, width, -1)


def filter_table(kernel, effective, fit):
    """Measures of each filter, as a DataFrame."""
    import pandas as pd

    if fit and min(kernel.shape[:2]) < SMALLEST:
        expected = f"not set (`sort` not 'orientation') for filters smaller than {SMALLEST}x{SMALLEST}"
        raise ValueError(f"`fit` and `sort` should be {expected}. Received: {kernel.shape[0]}x{kernel.shape[1]}")
    table = pd.DataFrame({"filter": np.arange(kernel.shape[-1]), "rms": np.sqrt(np.square(kernel).mean((0, 1, 2)))})
    table["verdict"] = filters(effective.stored).table.verdict
    if effective.sees_pixels and kernel.shape[2] == 3:
        table["color"], table["hue"] = np.transpose([color_and_hue(kernel[..., i]) for i in range(kernel.shape[-1])])
    if fit:
        fits = fit_gabor(kernel)
        for column in ("r2", "orientation", "wavelength", "chance"):
            table[column] = fits[column]
        table["oriented"] = (fits.r2 > fits.chance) & (fits.wavelength < 2 * max(kernel.shape[:2]))
    return table


def color_and_hue(kernel):
    """(share of a filter's energy off the gray axis, hue of its strongest color in degrees, its sign left out).

    The plane across the gray axis has red at 0 degrees and green at 120, as in HSV, so yellow-blue is at 60.
    """
    pixels = kernel.reshape(-1, 3)
    plane = np.array([[2, -1, -1], [0, np.sqrt(3), -np.sqrt(3)]]).T / np.sqrt(6)
    chroma, energy = pixels @ plane, np.square(pixels).sum()
    if not energy:
        return 0.0, 0.0
    axis = np.linalg.svd(chroma, full_matrices=False)[2][0]
    return float(np.square(chroma).sum() / energy), float(np.rad2deg(np.arctan2(axis[1], axis[0])) % 180)


def order_filters(table, sort):
    """Indices of the filters, sorted."""
    if sort == "rms":
        return np.argsort(-table.rms.to_numpy(), kind="stable")
    if sort == "orientation":  # blobs and noise last, by strength
        return np.lexsort((np.where(table.oriented, table.orientation, -table.rms), ~table.oriented))
    if sort == "hue":
        if "hue" not in table:
            raise ValueError("`sort` should be 'index' or 'rms' for filters without colors. Received: 'hue'")
        gray = table.color < GRAYISH
        return np.lexsort((np.where(gray, -table.rms, table.hue), ~gray))
    return np.arange(len(table))


WIDE = 900  # pixels of a grid, about
ROWS, COLUMNS = 32, 32  # filters and channels drawn channel by channel
TILES = 256  # filters drawn in colors
SCALE_NOTES = {
    "filter": "Each filter has its own scale (shows shape): max |w| = {low:.2g} to {high:.2g}",
    "common": "All filters share one scale (shows strength): max |w| = {high:.2g}",
}
SORT_NOTES = {
    "rms": "sorted by strength (rms)",
    "orientation": "sorted by orientation of the fitted Gabor function; filters without a good fit last",
    "hue": "sorted by hue; gray filters first",
}


def draw_filter_images(result):
    """Draw a grid in the order of the layer, and a second, sorted one."""
    index_order = np.arange(len(result.images))
    orders = (
        {"": index_order}
        if result.sort == "index"
        else {"by index": index_order, SORT_NOTES[result.sort]: result.order}
    )
    grids = [filter_grid(result, order) for order in orders.values()]
    width = sum(grid.image.shape[1] for grid in grids) + 2 * MARGIN * (len(grids) - 1)
    above = 28 if len(grids) > 1 else 0
    figure, top = pixel_figure(max(width, 620), grids[0].image.shape[0] + above, str(result), filter_caption(result))
    left, dead = MARGIN, ~result.kernel.any((0, 1, 2))
    for grid, (title, order) in zip(grids, orders.items(), strict=True):
        grid.place(figure, left, top + above, title, silent=dead[order])
        left += grid.image.shape[1] + 2 * MARGIN
    return figure


def filter_grid(result, order, zoom=None):
    """The `TileGrid` of filters in an order, or of the first of many."""
    if result.shows == "colors":
        tiles = result.images[order[:TILES]]
        tiles = tiles if tiles.shape[-1] == 3 else tiles.repeat(3, -1)
        columns = grid_columns(len(tiles))
        return tile_grid(enlarge_tiles(tiles, zoom or zoom_factor(tiles.shape[1:], columns, WIDE)), columns)
    filters_shown = result.images[order[:ROWS]][..., :COLUMNS]
    count, height, width, channels = filters_shown.shape
    columns = max(1, round(np.sqrt(1.5 * count * height / (width * channels))))
    zoom = zoom or min(24, zoom_factor((height, width * channels), columns, WIDE))
    return tile_grid(channel_strips(filters_shown, zoom), columns, BETWEEN)


def channel_strips(images, zoom):
    """The channels of each filter side by side, negative in blue, positive in red: (filters, h, w, 3)."""
    from matplotlib import colormaps

    count, height, width, channels = images.shape
    painted = colormaps["RdBu_r"](np.moveaxis(images, 3, 1))[..., :3]  # (filters, channels, h, w, 3)
    big = enlarge_tiles(painted.reshape(-1, height, width, 3), zoom)
    room = np.full((len(big), big.shape[1], big.shape[2] + GUTTER, 3), MID_GRAY, np.float32)
    room[:, :, :-GUTTER] = big
    room = room.reshape(count, channels, *room.shape[1:]).swapaxes(1, 2)
    return room.reshape(count, big.shape[1], -1, 3)[:, :, :-GUTTER]


def filter_caption(result):
    """How the filters are scaled, their verdicts, and what is included."""
    limits = np.abs(result.kernel).max((0, 1, 2))
    scale_note = SCALE_NOTES[result.scale].format(low=limits.min(), high=limits.max())
    # the largest values of components are not those of the weights
    parts = [scale_note.split(":")[0] if result.shows == "components" else scale_note]
    if result.shows == "colors":
        parts.append("mid-gray is 0")
    else:
        channels = result.images.shape[-1]
        noun = "components" if result.shows == "components" else "input channels"
        rows = selection_note(ROWS, len(result.images), "filters")
        parts.append(f"one row per filter ({rows}), {selection_note(COLUMNS, channels, noun)} side by side")
        parts.append("red is positive, blue negative, white 0")
    verdicts = result.table.verdict.value_counts()
    parts.append(", ".join(f"{count} {verdict}" for verdict, count in verdicts.items()))
    if "r2" in result.table:
        count, chance = int(result.table.oriented.sum()), result.table.chance.iloc[0]
        parts.append(
            f"{count} oriented filters (Gabor fit with r2 > {chance:.2f}, which 1 in 100 noise filters reach; "
            "wavelength below two filter sizes)"
        )
    return "; ".join(parts) + (f". {result.note[0].upper()}{result.note[1:]}." if result.note else ".")


OPEN = 16  # pixels, for a model with open input size
SAMPLED = 4096  # pixels that A and t are fitted to
EXACT = {"float16": 0.02, "bfloat16": 0.02}  # of the largest value, else:
SINGLE = 1e-5
NOTHING = 1e-6  # of A's largest entry; what rounding leaves of a 0


@dataclass(frozen=True, eq=False)
class EffectiveKernel:
    """A kernel (h, w, channels, filters) and bias acting on the model's input; ``stored`` is the layer's kernel."""

    kernel: np.ndarray = field(repr=False)
    bias: np.ndarray = field(repr=False)
    stored: np.ndarray = field(repr=False)
    sees_pixels: bool  # no other convolution comes before
    notes: tuple


def effective_kernel(graph, node, fold=True):
    """The kernel of one convolution of a graph as it acts on raw pixels; without ``fold`` only in their order."""
    stored, bias = kernel_and_bias(node.operation)
    kernel, notes = stored, []
    norm = following_batch_norm(graph, node) if fold else None
    if norm is not None:
        factor, shift = batch_norm_affine(norm)
        kernel, bias = kernel * factor, bias * factor + shift
        notes.append("batch normalization included")
    sees_pixels = not any(is_2d_convolution(source) for source in ancestors(node) if source is not node)
    transform = fit_pixel_transform(graph, node) if sees_pixels else None
    if transform is not None:
        matrix, offset, why = transform
        if why or len(matrix) != kernel.shape[2]:
            notes.append(why or "input scaling not included, because it mixes channels that the kernel keeps separate")
        else:
            input_matrix = matrix if fold else channel_permutation(matrix)
            bias = bias + (np.einsum("hwcf,c->f", kernel, offset) if fold else 0)
            kernel = np.einsum("hwkf,kc->hwcf", kernel, input_matrix)
            notes += folding_notes(matrix, fold)
    return EffectiveKernel(kernel, bias, stored, sees_pixels, tuple(notes))


def is_2d_convolution(node):
    return len(getattr(node.operation, "kernel_size", ())) == 2


def kernel_and_bias(layer):
    """(kernel (h, w, channels, filters), bias), float64."""
    kernel = np.asarray(layer.get_weights()[0], np.float64)
    if "Depthwise" in type(layer).__name__ or "Separable" in type(layer).__name__:  # a filter has one channel
        kernel = kernel.reshape(*kernel.shape[:2], 1, -1)
    elif "Transpose" in type(layer).__name__:
        kernel = np.swapaxes(kernel, 2, 3)
    bias = getattr(layer, "bias", None) if "Separable" not in type(layer).__name__ else None
    return kernel, np.zeros(kernel.shape[-1]) if bias is None else ops.convert_to_numpy(bias).astype(np.float64)


def readers_of(graph, node):
    """The calls that read the output of a call."""
    return [reader for reader in graph.nodes if any(source is node for source, _ in reader.inputs)]


def following_batch_norm(graph, node):
    """The batch norm that is the only reader of a linear convolution, or None."""
    readers = readers_of(graph, node)
    alone = len(readers) == 1 and node not in graph.outputs and not activation_name(node)
    last = alone and readers[0].kind == "BatchNormalization" and readers[0].operation.axis in (-1, 3)
    return readers[0].operation if last else None


def batch_norm_affine(norm):
    """A batch norm in inference as (factor, shift) for each channel."""
    names = ("gamma", "beta", "moving_mean", "moving_variance")
    values = [getattr(norm, name) for name in names]
    gamma, beta, mean, variance = (None if v is None else ops.convert_to_numpy(v).astype(np.float64) for v in values)
    factor = (1 if gamma is None else gamma) / np.sqrt(variance + norm.epsilon)
    return factor, (0 if beta is None else beta) - mean * factor


def fit_pixel_transform(graph, node):
    """(A, t, "") if A x + t for each pixel x is all that comes before a convolution, or (None, None, why not).

    Measured, so that any layer will do: fitted to one image of noise, then checked on another and on constant ones.
    None where nothing comes before, but for zeros around the image.
    """
    source = node.inputs[0][0]
    while source.kind == "ZeroPadding2D":
        source = source.inputs[0][0]
    if source.is_input:
        return None
    input_graph = subgraph(graph, [source])
    image = input_graph.inputs[0].shape
    refused = None, None, "input scaling not included, because it is not a linear function of single pixels"
    if len(input_graph.inputs) != 1 or len(image) != 3 or len(source.shape) != 3:
        return refused
    shape = tuple(OPEN if size is None else size for size in image)
    noise = np.random.default_rng(0).uniform(0, 255, (2, *shape))
    x = np.concatenate([noise, np.zeros((1, *shape)), np.full((1, *shape), 255.0)]).astype(np.float32)
    y = run_graph(input_graph, ops.convert_to_tensor(x))[source.name]
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


def channel_permutation(matrix):
    """The permutation of channels in a matrix that scales them and changes their order; else the identity."""
    used = (matrix != 0).astype(np.float64)
    permutes = matrix.shape[0] == matrix.shape[1] and (used.sum(0) == 1).all() and (used.sum(1) == 1).all()
    return used if permutes else np.eye(*matrix.shape)


def folding_notes(matrix, fold):
    """Notes on the input scaling."""
    used = matrix != 0
    square = matrix.shape[0] == matrix.shape[1]
    notes = ["BGR kernel, shown as RGB"] if square and len(used) > 1 and (used == np.eye(len(used))[::-1]).all() else []
    is_permutation = square and np.allclose(np.abs(matrix).sum(1), 1, atol=1e-6) and used.sum() == len(used)
    return notes if is_permutation or not fold else [*notes, "input scaling included"]
