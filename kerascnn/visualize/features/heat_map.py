"""Where in a photo does a network see a class? The classifier applied to all windows in one pass.

The window at position (i, j) of the map has its top left corner at (i, j) * stride of the photo and the size of the
classifier's images. Sermanet et al. 2013 (OverFeat); Long et al. 2014.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import keras
import numpy as np

from ...anatomy.receptive_field import receptive_field
from ...graph.ends import scores_to_probabilities
from ...graph.walk import build_graph
from ...inputs.batch import as_batch
from ...inputs.classifier import class_numbers, classifier
from ...inputs.resize import INTERPOLATIONS, Box, resample, to_channels
from ...plots.style import CLASSES, OTHER
from ...support.display import FigureResult, TextResult
from ...support.text import last_part, pluralize, shorten_end
from ...support.types import Classes, ClassNames, Images, Model, Size
from ..engine.lens import Lens
from .convolutional import to_fully_convolutional


class Window(NamedTuple):
    """Where a class is most probable: its number and name, its probability, and the window in the photo's pixels."""

    number: int
    class_name: str | None
    probability: float
    box: Box


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class PhotoMap(TextResult):
    """The maps of one photo.

    Attributes:
        name: name of the photo.
        image: the photo as decoded.
        scores: logits (h, w, classes); those of one sigmoid s are (0, s).
        probs: probabilities (h, w, classes).
        stride: (y, x) between windows, in pixels of the photo.
        window: (height, width) of a window, in pixels of the photo.
        classes: numbers of the selected classes, or of the most probable one.
    """

    name: str
    image: np.ndarray
    scores: np.ndarray
    probs: np.ndarray
    stride: tuple
    window: tuple
    classes: tuple

    def __str__(self):
        height, width, classes = self.scores.shape
        return f"{self.name}, {height}x{width} positions, {classes} classes"

    @property
    def centers(self):
        """y of each row of the map and x of each column, at the center of the window, in pixels."""
        return tuple(window_centers(self, axis, self.scores.shape[axis]) for axis in (0, 1))

    def box(self, row, column):
        """The window at a position of the map."""
        return Box(row * self.stride[0], column * self.stride[1], *self.window)

    def strongest(self, number):
        """(row, column) where a class is most probable, and of equal ones has the highest score."""
        prob, score = (array[..., number] for array in (self.probs, self.scores))
        return tuple(int(i) for i in np.unravel_index(np.lexsort((score.ravel(), prob.ravel()))[-1], prob.shape))


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class HeatMap(FigureResult):
    """The scores of all classes at each position of each photo.

    Attributes:
        maps: a ``PhotoMap`` for each photo.
        class_names: names of the classes, or None.
    """

    maps: tuple
    class_names: tuple | None

    @property
    def scores(self):
        """Logits (h, w, classes) of each photo."""
        return tuple(photo.scores for photo in self.maps)

    @property
    def probs(self):
        """Probabilities (h, w, classes) of each photo."""
        return tuple(photo.probs for photo in self.maps)

    @property
    def best(self):
        """The most probable ``Window`` of each class of each photo."""
        return tuple(tuple(self._window(photo, number) for number in photo.classes) for photo in self.maps)

    def class_name(self, number):
        """Name of a class, or its number without names."""
        return self.class_names[number] if self.class_names else f"class {number}"

    def _window(self, photo, number):
        position = photo.strongest(number)
        label = self.class_names[number] if self.class_names else None
        return Window(
            number=number, class_name=label, probability=float(photo.probs[*position, number]), box=photo.box(*position)
        )

    def _headline(self):
        return f"{pluralize(len(self.maps), 'photo')}, {pluralize(sum(map(len, self.best)), 'window')}"

    def __str__(self):
        lines = []
        for photo, windows in zip(self.maps, self.best, strict=True):
            height, width = photo.scores.shape[:2]
            lines.append(f"{photo.name}: {height}x{width} positions")
            for number, _, probability, (top, left, high, wide) in windows:
                position = f"{wide:.0f}x{high:.0f} pixels at ({left:.0f}, {top:.0f})"
                lines.append(f"  {probability:7.2%}  {self.class_name(number)}, at {position}")
        return "\n".join(lines)

    def plot(self):
        """Draw a row per photo and class: photo, probability, strongest window, most likely class at each position."""
        return draw_heat_map(self)


def heat_map(
    model: Model | Lens,
    images: Images,
    classes: Classes | None = None,
    *,
    scales: float | Sequence[float] | None = None,
    longest: int = 1024,
    size: Size | None = None,
    class_names: ClassNames | None = None,
) -> HeatMap:
    """Class probabilities at each position of photos of any size.

    Args:
        model: a classifier, or a `Lens` of one.
        images: photos in any form that `predict` takes; they are not cropped, but enlarged where they are smaller than
            the model's images.
        classes: numbers or names; by default the most probable class of each photo.
        scales: one or more sizes of the photo's shorter side, as multiples of the model's; logits are averaged at the
            positions of the first. By default the photo's own size.
        longest: largest height or width of a photo in pixels, which limits memory.
        size: (height, width) of the model's images, if its input size is open.
        class_names: names of the classes, as for `predict`.

    Returns:
        A `HeatMap`.
    """
    prepare = model.preprocess if isinstance(model, Lens) else None
    model = model.model if isinstance(model, Lens) else model
    network = classifier(model, class_names=class_names, size=size)
    preprocessing, end = network.preprocessing, network.end
    net = to_fully_convolutional(model, size)
    step, count = stride_of(net, preprocessing), net.output_shape[-1]
    if end == "sigmoid" and count == 1:
        end, count = "one sigmoid", 2
    names = network.names_for(count)
    if classes is not None:
        classes = tuple(class_numbers(classes, count, class_names=names or False).tolist())
    maps = []
    photos = as_batch(images)
    for row, name in enumerate(photos.names):
        image = photos.decode_image(row, channels=preprocessing.channels)
        grids = [
            Grid(image.shape[:2], shape, step, preprocessing.size)
            for shape in photo_shapes(image.shape[:2], preprocessing, scales, longest)
        ]
        score_maps = []
        for grid in grids:
            pixels = resize_photo(image, grid.shape, preprocessing)[None]
            score_maps.append(score_positions(net, prepare(pixels) if prepare else pixels, end)[grid.inside])
        scores = average_maps(score_maps, grids)
        probs = to_probabilities(scores, end)
        numbers = classes or (int(probs.max((0, 1)).argmax()),)
        maps.append(
            PhotoMap(
                name=name,
                image=image,
                scores=scores,
                probs=probs,
                stride=grids[0].stride,
                window=grids[0].window,
                classes=numbers,
            )
        )
    return HeatMap(maps=tuple(maps), class_names=names)


def stride_of(net, preprocessing):
    """(y, x) pixels of the network's input between neighboring positions of its map."""
    shape = (*(2 * side for side in preprocessing.size), preprocessing.channels)
    graph = build_graph(net, shape)
    units_field = receptive_field(graph, graph.outputs[0])
    if not units_field.stride:
        reason = units_field.reason or "its units do not lie on a regular grid"
        raise ValueError(f"`model` should have a known stride. Received: {net.name}, whose stride is unknown: {reason}")
    return units_field.stride


@dataclass(frozen=True)
class Grid:
    """The windows in a photo of size ``own``, resized to ``shape``."""

    own: tuple
    shape: tuple
    step: tuple
    size: tuple

    @property
    def stride(self):
        """Distance between windows, in pixels of the photo."""
        return self._back(self.step)

    @property
    def window(self):
        """Height and width of the windows, in pixels of the photo."""
        return self._back(self.size)

    @property
    def inside(self):
        """The positions whose windows lie in the photo; networks that pad have others too."""
        sides = zip(self.shape, self.size, self.step, strict=True)
        return tuple(slice(int((length - window) // step) + 1) for length, window, step in sides)

    def _back(self, lengths):
        return tuple(
            length * photo_length / resized_length
            for length, photo_length, resized_length in zip(lengths, self.own, self.shape, strict=True)
        )


def photo_shapes(photo_size, preprocessing, scales, longest):
    """The sizes, at least the model's, to which a photo is resized."""
    smallest_ratio = max(side / length for side, length in zip(preprocessing.size, photo_size, strict=True))
    if scales is None:
        ratios = [max(smallest_ratio, min(1.0, longest / max(photo_size)))]
    else:
        scales = tuple(scales) if isinstance(scales, tuple | list) else (scales,)
        if not scales or not all(isinstance(scale, int | float) and scale >= 1 for scale in scales):
            raise ValueError(f"`scales` should be numbers of at least 1. Received: {scales}")
        ratios = [smallest_ratio * scale for scale in scales]
        if max(ratios) * max(photo_size) > longest and max(scales) > 1:
            raise ValueError(
                f"`scales` should give photos of at most `longest`={longest} pixels. Received: {max(scales)}, "
                f"which gives {round(max(ratios) * max(photo_size))} pixels"
            )
    return [
        tuple(max(round(ratio * length), side) for length, side in zip(photo_size, preprocessing.size, strict=True))
        for ratio in ratios
    ]


def resize_photo(image, shape, preprocessing):
    """A photo resized to a shape, as float32."""
    if image.shape[:2] != shape:
        image = resample(image, shape, INTERPOLATIONS[preprocessing.interpolation])
    return np.asarray(image, np.float32)


def score_positions(net, batch, end):
    """Logits (h, w, classes) of one photo; one sigmoid s becomes (0, s), whose softmax is (1 - p, p)."""
    scores = keras.ops.convert_to_numpy(net(batch, training=False))[0].astype(np.float32)
    if not np.isfinite(scores).all():
        raise ValueError(f"`model` should return finite scores. Received: NaN or infinity from {net.name}")
    return np.concatenate([np.zeros_like(scores), scores], -1) if end == "one sigmoid" else scores


def to_probabilities(scores, end):
    """Logits as probabilities: a sigmoid of each class, or their softmax."""
    if end == "sigmoid":
        return keras.ops.convert_to_numpy(keras.ops.sigmoid(scores))
    return scores_to_probabilities(scores, "unknown" if end == "unknown" else "linear")


def average_maps(maps, grids):
    """The mean of maps at the positions of the first, by linear interpolation with constant borders."""
    total = maps[0]
    targets = [window_centers(grids[0], axis, maps[0].shape[axis]) for axis in (0, 1)]
    for scores, grid in zip(maps[1:], grids[1:], strict=True):
        for axis in (0, 1):
            weights = interpolation_weights(targets[axis], window_centers(grid, axis, scores.shape[axis]))
            scores = np.moveaxis(np.tensordot(weights, scores, (1, axis)), 0, axis)
        total = total + scores
    return (total / len(maps)).astype(np.float32)


def window_centers(grid, axis, count):
    """The centers of the windows along one axis of the photo."""
    return grid.window[axis] / 2 + grid.stride[axis] * np.arange(count)


def interpolation_weights(targets, sources):
    """(targets, sources) weights of linear interpolation."""
    return np.stack([np.interp(targets, sources, row) for row in np.eye(len(sources))], axis=1)


SIDE = 3.4  # inches of a panel
PALE = 0.45  # contrast of the photo below a map


def draw_heat_map(result):
    """Draw a row per photo and class: photo, probability, strongest window, most likely class."""
    from matplotlib.figure import Figure

    rows = [(photo, window) for photo, windows in zip(result.maps, result.best, strict=True) for window in windows]
    heights = [SIDE * np.clip(photo.image.shape[0] / photo.image.shape[1], 0.4, 2) + 0.5 for photo, _ in rows]
    figure = Figure(figsize=(4 * SIDE + 1.2, sum(heights)), layout="compressed")
    grid = figure.subplots(len(rows), 4, squeeze=False, height_ratios=heights)
    for axes, (photo, window) in zip(grid, rows, strict=True):
        name = result.class_name(window.number)
        values = photo.probs[..., window.number]
        draw_photo(axes[0], photo, last_part(photo.name, 32))
        draw_class_probability(figure, axes[1], photo, values, name)
        draw_strongest_window(axes[2], photo, window, values, name)
        draw_most_likely(axes[3], photo, result)
    return figure


def draw_photo(axis, photo, title, pale=False):
    """Draw the photo with axes in pixels, pale and gray below a map."""
    height, width = photo.image.shape[:2]
    pixels = np.clip(np.asarray(photo.image, np.float32) / 255, 0, 1)
    pixels = to_channels(pixels, 1) if pale and pixels.shape[-1] == 3 else pixels
    pixels = 1 - PALE * (1 - pixels) if pale else pixels
    display_pixels = pixels if pixels.shape[-1] == 3 else pixels[..., 0]
    axis.imshow(display_pixels, cmap="gray", vmin=0, vmax=1, extent=(0, width, height, 0))
    axis.set(xlim=(0, width), ylim=(height, 0), aspect="equal")
    axis.set_title(title, fontsize=11)
    axis.locator_params(nbins=4)
    axis.tick_params(labelsize=8)


def draw_cells(axis, photo, values, **options):
    """Draw a map on the photo, one cell per position, centered on its window."""
    ends = zip(photo.centers, photo.stride, strict=True)
    edges = [(middles[0] - stride / 2, middles[-1] + stride / 2) for middles, stride in ends]
    (top, bottom), (left, right) = edges
    drawing = axis.imshow(values, extent=(left, right, bottom, top), interpolation="nearest", **options)
    height, width = photo.image.shape[:2]
    axis.set(xlim=(0, width), ylim=(height, 0), aspect="equal")
    return drawing


def draw_class_probability(figure, axis, photo, values, name):
    """Draw p(class) with a color bar from 0 to 1, or to its maximum if that is small."""
    draw_photo(axis, photo, f"p({shorten_end(name, 28)})", pale=True)
    top = 1.0 if values.max() > 0.5 else max(float(values.max()), 1e-6)
    drawing = draw_cells(axis, photo, values, cmap="viridis", vmin=0, vmax=top)
    height, width = photo.window
    axis.set_xlabel(f"each cell: the {width:.0f}x{height:.0f} pixels centered on it", fontsize=8)
    figure.colorbar(drawing, ax=axis, pad=0.03, ticks=[0, top / 2, top], format="%.2g")


def draw_strongest_window(axis, photo, window, values, name):
    """Draw the window where the class is most probable, and the region where it is half as probable."""
    from matplotlib.patches import Rectangle

    draw_photo(axis, photo, f"{shorten_end(name, 24)}: at most {window.probability:.2f}")
    top, left, height, width = window.box
    for color, thick in (("white", 4), (CLASSES[3], 2)):
        axis.add_patch(Rectangle((left, top), width, height, fill=False, edgecolor=color, linewidth=thick))
    half = values.max() / 2
    if min(values.shape) > 1 and values.min() < half:
        rows, columns = photo.centers
        for color, style, thick in (("white", "-", 2.5), ("black", "--", 1.2)):
            axis.contour(columns, rows, values, levels=[half], colors=color, linestyles=style, linewidths=thick)
        axis.set_xlabel("dashed: region where windows reach at least half of the highest probability", fontsize=8)


def draw_most_likely(axis, photo, result):
    """Draw the most probable class at each position: the most frequent by name, others together."""
    from matplotlib.colors import ListedColormap
    from matplotlib.patches import Patch

    likeliest = photo.probs.argmax(-1)
    numbers, counts = np.unique(likeliest, return_counts=True)
    order = numbers[np.argsort(-counts, kind="stable")][: len(CLASSES)]
    ranks = np.full(photo.probs.shape[-1], len(order))
    ranks[order] = np.arange(len(order))
    colors = [*CLASSES[: len(order)], OTHER]
    draw_photo(axis, photo, "most likely class at each position", pale=True)
    draw_cells(axis, photo, ranks[likeliest], cmap=ListedColormap(colors), vmin=-0.5, vmax=len(order) + 0.5)
    names = [shorten_end(result.class_name(number), 26) for number in order] + ["other"] * (len(numbers) > len(order))
    handles = [Patch(color=color, label=name) for color, name in zip(colors, names, strict=False)]
    axis.legend(handles=handles, fontsize=8, frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.0))
