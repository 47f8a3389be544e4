"""Where in a photo does a network see a class? The classifier slid over it, all windows in one pass.

The window at place (i, j) of the map has its top left corner at (i, j) * stride of the photo, and is as large as the
images that the classifier takes. Sermanet et al. 2013 (OverFeat); Long et al. 2014.
"""

from dataclasses import dataclass, field
from typing import NamedTuple

import keras
import numpy as np

from ...anatomy.receptive_field import receptive_field
from ...graph.ends import probabilities
from ...graph.walk import walk
from ...inputs.batch import batch_of
from ...inputs.classifier import class_numbers, classifier
from ...inputs.resize import INTERPOLATIONS, Box, resample, to_channels
from ...plots.style import CLASSES, OTHER
from ...support.display import Drawn
from ...support.text import cut, last_part
from ..engine.lens import Probe
from .convolutional import convolutional


class Window(NamedTuple):
    """Where a class is strongest: its number and label, its probability there, and the window in the photo's pixels."""

    number: int
    label: str | None
    probability: float
    box: Box


@dataclass(frozen=True, eq=False)
class Slide:
    """The maps of one photo. ``stride`` and ``window`` are (y, x) in pixels of ``image``, the photo as decoded."""

    name: str
    image: np.ndarray = field(repr=False)
    scores: np.ndarray = field(repr=False)  # (h, w, classes), logits; a single sigmoid's s as (0, s)
    probs: np.ndarray = field(repr=False)  # (h, w, classes)
    stride: tuple
    window: tuple
    classes: tuple  # the numbers of those asked about, or of the strongest

    @property
    def centers(self):
        """y of each row of the map and x of each column: the middle of its window, in pixels from the top left edge."""
        return tuple(centers(self, axis, self.scores.shape[axis]) for axis in (0, 1))

    def box(self, row, column):
        """The window at a place of the map."""
        return Box(row * self.stride[0], column * self.stride[1], *self.window)

    def strongest(self, number):
        """(row, column) where a class is likeliest; of equally likely places, where its score is highest."""
        prob, score = (array[..., number] for array in (self.probs, self.scores))
        return tuple(int(i) for i in np.unravel_index(np.lexsort((score.ravel(), prob.ravel()))[-1], prob.shape))


@dataclass(frozen=True, eq=False)
class HeatMap(Drawn):
    """The scores of all classes at each place of each photo, one ``Slide`` a photo; ``labels`` names the classes."""

    slides: tuple
    labels: tuple | None = field(repr=False)

    @property
    def scores(self):
        """Logits (h, w, classes) of each photo."""
        return tuple(slide.scores for slide in self.slides)

    @property
    def probs(self):
        """Probabilities (h, w, classes) of each photo."""
        return tuple(slide.probs for slide in self.slides)

    @property
    def best(self):
        """For each photo, the strongest ``Window`` of each of its classes."""
        return tuple(tuple(self._window(slide, number) for number in slide.classes) for slide in self.slides)

    def label(self, number):
        """What a class is called."""
        return self.labels[number] if self.labels else f"class {number}"

    def _window(self, slide, number):
        place = slide.strongest(number)
        label = self.labels[number] if self.labels else None
        return Window(number, label, float(slide.probs[*place, number]), slide.box(*place))

    def __str__(self):
        lines = []
        for slide, windows in zip(self.slides, self.best, strict=True):
            height, width = slide.scores.shape[:2]
            lines.append(f"{slide.name}: {height}x{width} places")
            for number, _, probability, (top, left, high, wide) in windows:
                where = f"{wide:.0f}x{high:.0f} pixels at ({left:.0f}, {top:.0f})"
                lines.append(f"  {probability:7.2%}  {self.label(number)}, in {where}")
        return "\n".join(lines)

    def plot(self):
        """A row for each photo and class: photo, probability, strongest window, the likeliest class at each place."""
        return draw_heat_map(self)


def heat_map(model, images, classes=None, *, scales=None, longest=1024, size=None, labels=None):
    """Where a classifier sees which class in photos of any size: `HeatMap`.

    ``images`` as for ``predict``, but not cut: photos at their own size, enlarged where they are smaller than what
    ``model`` takes, reduced where a side is longer than ``longest``, which bounds memory. ``scales`` (1.5, 2) instead
    makes the short side that many times the model's; logits are averaged at the places of the first. ``classes`` are
    numbers or labels; without them, each photo's likeliest at any place. ``size`` and ``labels`` as for ``predict``.
    """
    prepare = model.preprocess if isinstance(model, Probe) else None
    model = model.model if isinstance(model, Probe) else model
    network = classifier(model, labels=labels, size=size)
    preprocessing, end = network.preprocessing, network.end
    net = convolutional(model, size)
    step, count = stride_of(net, preprocessing), net.output_shape[-1]
    if end == "sigmoid" and count == 1:
        end, count = "single sigmoid", 2
    labels = network.class_names(count)
    if classes is not None:
        classes = tuple(class_numbers(classes, count, class_names=labels or False).tolist())
    slides = []
    images = batch_of(images)
    for row, name in enumerate(images.names):
        image = images.one(row, channels=preprocessing.channels)
        grids = [
            Grid(image.shape[:2], shape, step, preprocessing.size)
            for shape in photo_shapes(image.shape[:2], preprocessing, scales, longest)
        ]
        found = []
        for grid in grids:
            pixels = resize_photo(image, grid.shape, preprocessing)[None]
            found.append(score_places(net, prepare(pixels) if prepare else pixels, end)[grid.inside])
        scores = average_maps(found, grids)
        probs = to_probabilities(scores, end)
        chosen = classes or (int(probs.max((0, 1)).argmax()),)
        slides.append(Slide(name, image, scores, probs, grids[0].stride, grids[0].window, chosen))
    return HeatMap(tuple(slides), labels)


def stride_of(net, preprocessing):
    """(y, x) pixels of the network's input from one place of its map to the next."""
    shape = (*(2 * side for side in preprocessing.size), preprocessing.channels)
    graph = walk(net, shape)
    found = receptive_field(graph, graph.outputs[0])
    if not found.stride:
        reason = found.reason or "units have no grid"
        raise ValueError(f"`model` should have a stride. Received: {net.name}, of which it is not known: {reason}")
    return found.stride


@dataclass(frozen=True)
class Grid:
    """How a photo of size ``own``, resized to ``shape``, is looked at."""

    own: tuple
    shape: tuple
    step: tuple
    size: tuple

    @property
    def stride(self):
        """From window to window, in pixels of the photo."""
        return self._back(self.step)

    @property
    def window(self):
        """Height and width of the windows, in pixels of the photo."""
        return self._back(self.size)

    @property
    def inside(self):
        """The places whose windows lie in the photo; a network that pads, or skips its last pixels, has others too."""
        sides = zip(self.shape, self.size, self.step, strict=True)
        return tuple(slice(int((whole - window) // step) + 1) for whole, window, step in sides)

    def _back(self, lengths):
        return tuple(length * own / new for length, own, new in zip(lengths, self.own, self.shape, strict=True))


def photo_shapes(own, preprocessing, scales, longest):
    """The sizes, all at least the model's, in which a photo is looked at."""
    least = max(side / have for side, have in zip(preprocessing.size, own, strict=True))
    if scales is None:
        ratios = [max(least, min(1.0, longest / max(own)))]
    else:
        scales = tuple(scales) if isinstance(scales, tuple | list) else (scales,)
        if not scales or not all(isinstance(scale, int | float) and scale >= 1 for scale in scales):
            raise ValueError(f"`scales` should be numbers of at least 1. Received: {scales}")
        ratios = [least * scale for scale in scales]
        if max(ratios) * max(own) > longest and max(scales) > 1:
            raise ValueError(
                f"`scales` should make photos of at most `longest`={longest} pixels a side. Received: {max(scales)}, "
                f"which makes one of {round(max(ratios) * max(own))}"
            )
    return [
        tuple(max(round(ratio * have), side) for have, side in zip(own, preprocessing.size, strict=True))
        for ratio in ratios
    ]


def resize_photo(image, shape, preprocessing):
    """A photo in the size in which it is looked at, as float32."""
    if image.shape[:2] != shape:
        image = resample(image, shape, INTERPOLATIONS[preprocessing.interpolation])
    return np.asarray(image, np.float32)


def score_places(net, batch, end):
    """Logits (h, w, classes) of one photo; a single sigmoid's s is (0, s), whose softmax is (1 - p, p)."""
    scores = keras.ops.convert_to_numpy(net(batch, training=False))[0].astype(np.float32)
    if not np.isfinite(scores).all():
        raise ValueError(f"`model` should give finite scores. Received: NaN or infinity from {net.name}")
    return np.concatenate([np.zeros_like(scores), scores], -1) if end == "single sigmoid" else scores


def to_probabilities(scores, end):
    """Logits as probabilities: each class by itself after a sigmoid, else their softmax."""
    if end == "sigmoid":
        return keras.ops.convert_to_numpy(keras.ops.sigmoid(scores))
    return probabilities(scores, "unknown" if end == "unknown" else "linear")


def average_maps(maps, grids):
    """The mean of maps at the places of the first: between its centers a map is linear, beyond the outermost constant.

    Weights of linear interpolation are columns of a matrix for each axis.
    """
    total = maps[0]
    targets = [centers(grids[0], axis, maps[0].shape[axis]) for axis in (0, 1)]
    for scores, grid in zip(maps[1:], grids[1:], strict=True):
        for axis in (0, 1):
            weights = interpolation_weights(targets[axis], centers(grid, axis, scores.shape[axis]))
            scores = np.moveaxis(np.tensordot(weights, scores, (1, axis)), 0, axis)
        total = total + scores
    return (total / len(maps)).astype(np.float32)


def centers(grid, axis, count):
    """The middles of the windows along one axis of the photo."""
    return grid.window[axis] / 2 + grid.stride[axis] * np.arange(count)


def interpolation_weights(targets, sources):
    """(targets, sources) weights of linear interpolation."""
    return np.stack([np.interp(targets, sources, row) for row in np.eye(len(sources))], axis=1)


SIDE = 3.4  # inches of a panel
PALE = 0.45  # of the photo, where no window has its middle


def draw_heat_map(result):
    """A row for each photo and class: photo, probability, strongest window, the likeliest class at each place."""
    from matplotlib.figure import Figure

    rows = [(slide, window) for slide, windows in zip(result.slides, result.best, strict=True) for window in windows]
    heights = [SIDE * np.clip(slide.image.shape[0] / slide.image.shape[1], 0.4, 2) + 0.5 for slide, _ in rows]
    figure = Figure(figsize=(4 * SIDE + 1.2, sum(heights)), layout="compressed")
    grid = figure.subplots(len(rows), 4, squeeze=False, height_ratios=heights)
    for axes, (slide, window) in zip(grid, rows, strict=True):
        name = result.label(window.number)
        values = slide.probs[..., window.number]
        draw_photo(axes[0], slide, last_part(slide.name, 32))
        draw_probability(figure, axes[1], slide, values, name)
        draw_strongest(axes[2], slide, window, values, name)
        draw_likeliest(axes[3], slide, result)
    return figure


def draw_photo(axis, slide, title, pale=False):
    """The photo, its axes in pixels; faded to gray where something lies on it."""
    height, width = slide.image.shape[:2]
    pixels = np.clip(np.asarray(slide.image, np.float32) / 255, 0, 1)
    pixels = to_channels(pixels, 1) if pale and pixels.shape[-1] == 3 else pixels
    pixels = 1 - PALE * (1 - pixels) if pale else pixels
    shown = pixels if pixels.shape[-1] == 3 else pixels[..., 0]
    axis.imshow(shown, cmap="gray", vmin=0, vmax=1, extent=(0, width, height, 0))
    axis.set(xlim=(0, width), ylim=(height, 0), aspect="equal")
    axis.set_title(title, fontsize=11)
    axis.locator_params(nbins=4)
    axis.tick_params(labelsize=8)


def draw_map(axis, slide, values, **options):
    """A map on the photo, nothing between its places: each is a cell of one stride around its window's middle."""
    ends = zip(slide.centers, slide.stride, strict=True)
    edges = [(middles[0] - stride / 2, middles[-1] + stride / 2) for middles, stride in ends]
    (top, bottom), (left, right) = edges
    drawn = axis.imshow(values, extent=(left, right, bottom, top), interpolation="nearest", **options)
    height, width = slide.image.shape[:2]
    axis.set(xlim=(0, width), ylim=(height, 0), aspect="equal")
    return drawn


def draw_probability(figure, axis, slide, values, name):
    """p(class) with its color bar; from 0 to 1, or to its largest where that is small."""
    draw_photo(axis, slide, f"p({cut(name, 28)})", pale=True)
    top = 1.0 if values.max() > 0.5 else max(float(values.max()), 1e-6)
    drawn = draw_map(axis, slide, values, cmap="viridis", vmin=0, vmax=top)
    height, width = slide.window
    axis.set_xlabel(f"each cell: the {width:.0f}x{height:.0f} pixels around it", fontsize=8)
    figure.colorbar(drawn, ax=axis, pad=0.03, ticks=[0, top / 2, top], format="%.2g")


def draw_strongest(axis, slide, window, values, name):
    """The window where the class is likeliest, and a line around where it is half as likely."""
    from matplotlib.patches import Rectangle

    draw_photo(axis, slide, f"{cut(name, 24)}: at most {window.probability:.2f}")
    top, left, height, width = window.box
    for color, thick in (("white", 4), (CLASSES[3], 2)):
        axis.add_patch(Rectangle((left, top), width, height, fill=False, edgecolor=color, linewidth=thick))
    half = values.max() / 2
    if min(values.shape) > 1 and values.min() < half:
        rows, columns = slide.centers
        for color, style, thick in (("white", "-", 2.5), ("black", "--", 1.2)):
            axis.contour(columns, rows, values, levels=[half], colors=color, linestyles=style, linewidths=thick)
        axis.set_xlabel("dashed: windows centered inside give half of that or more", fontsize=8)


def draw_likeliest(axis, slide, result):
    """The most probable class at each place: those of the most places by name, the rest as other."""
    from matplotlib.colors import ListedColormap
    from matplotlib.patches import Patch

    likeliest = slide.probs.argmax(-1)
    numbers, counts = np.unique(likeliest, return_counts=True)
    order = numbers[np.argsort(-counts, kind="stable")][: len(CLASSES)]
    ranks = np.full(slide.probs.shape[-1], len(order))
    ranks[order] = np.arange(len(order))
    colors = [*CLASSES[: len(order)], OTHER]
    draw_photo(axis, slide, "likeliest class by place", pale=True)
    draw_map(axis, slide, ranks[likeliest], cmap=ListedColormap(colors), vmin=-0.5, vmax=len(order) + 0.5)
    names = [cut(result.label(number), 26) for number in order] + ["other"] * (len(numbers) > len(order))
    handles = [Patch(color=color, label=name) for color, name in zip(colors, names, strict=False)]
    axis.legend(handles=handles, fontsize=8, frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.0))
