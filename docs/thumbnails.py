"""A thumbnail of every way to see, for the README: a function a kind of result, a row a way."""

import matplotlib
import numpy as np
from PIL import Image

from kerascnn import visualize
from kerascnn.plots.primitives import display_images, draw_overlay, signals_to_colors
from kerascnn.plots.style import BLUE, RED
from kerascnn.visualize.registry import METHODS, ROWS

SIDE = 128  # pixels of what is drawn as a chart, half of them
PERCENT = 99.5  # of |value|, where the colors end
CLASSES = (
    3,
    130,
    417,
    562,
)  # any will do; these have shapes that one knows: a shark, a flamingo, a balloon, a fountain


def thumbnails(model, photo):
    """{way: picture (h, w, 3), 0..1} of each way to see that there is; ``photo`` as the network takes it."""
    found = {name: attributed(way(model, photo, **ASKED.get(name, {}))) for name, way in METHODS.items()}
    found |= {name: draw(model, photo) for name, draw in DRAWN.items()}
    return {name: found[name] for name in ROWS}


def attributed(found):
    """Signals on mid-gray, gradients in gray, what has a sign from blue to red, the rest over the photo."""
    if found.rule:
        values = found.values.sum(axis=0)  # of several units, where it was units that were asked
        return signals_to_colors(values, np.percentile(np.abs(values), PERCENT))
    values = found.map[0]
    if not found.is_signed and found.reduce == "max":
        return colored(values, "gray")
    if found.values.shape[-1] > 1:
        return colored(values, "RdBu_r", signed=True)
    return over(found.images, values)


def colored(values, colors, signed=False):
    high = np.percentile(np.abs(values), PERCENT) or 1
    scaled = values / (2 * high) + 0.5 if signed else values / high
    return matplotlib.colormaps[colors](np.clip(scaled, 0, 1))[..., :3]


def over(images, values, colors="viridis"):
    """A map over the photo without its colors."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(1, 1), dpi=2 * SIDE)
    axis = figure.add_axes((0, 0, 1, 1))
    axis.axis("off")
    draw_overlay(axis, display_images(images[:1])[0][0], values, False, PERCENT, colors)
    return canvas(figure)


def canvas(figure):
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    drawn = FigureCanvasAgg(figure)
    drawn.draw()
    return np.asarray(drawn.buffer_rgba())[..., :3] / 255


def mosaic(images, columns):
    """Images (N, H, W, C) of pixels 0..255 beside and below each other."""
    images = np.clip(images, 0, 255)[: len(images) // columns * columns] / 255
    rows = [np.concatenate(images[i : i + columns], axis=1) for i in range(0, len(images), columns)]
    return np.concatenate(rows)


def halves(left, right):
    """The left half of one picture, the right half of another."""
    middle = left.shape[1] // 2
    return np.concatenate([left[:, :middle], right[:, middle:]], axis=1)


def axes():
    """A chart so small that it has neither ticks nor words."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(1, 1), dpi=2 * SIDE)
    axis = figure.add_axes((0.06, 0.06, 0.88, 0.88))
    axis.set_xticks([])
    axis.set_yticks([])
    axis.spines[["top", "right"]].set_visible(False)
    return figure, axis


def lines(*curves):
    """Values in the order that they have, as lines."""
    figure, axis = axes()
    for values, color in zip(curves, (BLUE, RED), strict=False):
        axis.plot(np.linspace(0, 1, len(values)), values, color=color, linewidth=1.6)
    return canvas(figure)


def filters(model, photo):
    found = visualize.filter_images(model, sort="hue")
    first = np.repeat(np.repeat(found.images[found.order[:36]], 6, axis=1), 6, axis=2)
    return mosaic(255 * np.pad(first, ((0, 0), (1, 1), (1, 1), (0, 0)), constant_values=1.0), 6)


def maps(model, photo):
    found = visualize.activation_maps(model, photo, "stage2", sort="max")
    units = np.moveaxis(found.values[0, ..., :9], -1, 0)
    return mosaic(np.stack([255 * colored(unit, "viridis") for unit in units]), 3)


def slid(model, photo):
    wide = np.asarray(Image.fromarray(photo.astype(np.uint8)).resize((448, 448)))
    found = visualize.heat_map(model, wide)
    scores = found.probs[0][..., found.best[0][0].number]
    return over(wide[None].astype(np.float32), np.asarray(Image.fromarray(scores).resize((448, 448), Image.BILINEAR)))


def pair(model, photo):
    """First filters of two networks, the other one with random weights."""
    from kerascnn import build_model

    return halves(filters(model, photo), filters(build_model("squeezenet1_1"), photo))


def segmented(model, photo):
    found = visualize.segment(visualize.smoothgrad(model, photo, samples=16))
    mask = found.masks[0][..., None]
    return np.where(mask, photo / 255, 0.25 + 0.25 * photo.mean(-1, keepdims=True) / 255)


def deleted(model, photo):
    found = visualize.curves(model, visualize.grad_cam(model, photo))
    return lines(found.insertion[0], found.deletion[0])


def faithful(model, photo):
    """Gain over pixels by chance, a bar a method."""
    names = ("grad_cam", "occlusion", "smoothgrad", "saliency")
    asked = {name: lambda *given, name=name, **how: METHODS[name](*given, **how) for name in names}
    table = visualize.choose(model, photo, methods=asked).table.set_index("method")
    figure, axis = axes()
    axis.bar(range(len(names)), [table.gain[name] for name in names], color=BLUE, width=0.7)
    axis.axhline(0, color="0.6")
    return canvas(figure)


def randomized(model, photo):
    """Guided backpropagation before and after its weights were drawn anew: side by side."""
    from kerascnn import build_model

    both = (model, build_model("squeezenet1_1"))
    return halves(*(attributed(visualize.guided_backprop(each, photo)) for each in both))


def classes(model, photo):
    return mosaic(visualize.maximize(model, classes=[*CLASSES], recipe="lucid").images, 2)


def faces(model, photo):
    photos = np.stack([photo, photo[:, ::-1], np.roll(photo, 60, 0), np.roll(photo, 60, 1)])
    return mosaic(visualize.facets(model, photos, classes=663, count=4).images, 2)


def kept(model, photo):
    found = visualize.invert(model, photo, ["stage1", "stage3"], steps=150)
    return halves(*np.clip(found.reconstructions[:, 0, 0], 0, 255) / 255)


def dreamed(model, photo):
    return visualize.dream(model, photo, "stage3").images[0] / 255


def noise(model, photo):
    return mosaic(visualize.unrecognizable(model, classes=[*CLASSES]).images, 2)


def bred(model, photo):
    from kerascnn import build_model

    small = build_model("resnet20", weights="cifar10")
    return mosaic(visualize.evolve(small, [0, 1, 3, 8], generations=60).images.astype(np.float32), 2)


def changed(model, photo):
    """Before and after, left and right, and what was changed, tenfold."""
    found = visualize.fool(model, photo, target=CLASSES[1], steps=60)
    third = photo.shape[1] // 3
    tenfold = np.clip(127.5 + 10 * (found.images[0] - found.originals[0]), 0, 255)
    parts = found.originals[0][:, :third], found.images[0][:, third : 2 * third], tenfold[:, 2 * third :]
    return np.concatenate(parts, axis=1) / 255


ASKED = {
    "smoothgrad": {"samples": 16},
    "deconvnet": {"layer": "stage3", "top": 9},
    "occlusion": {"patch": 32, "stride": 8},
    "score_cam": {"channels": 64},
}
DRAWN = {
    "filter_images": filters,
    "activation_maps": maps,
    "heat_map": slid,
    "side_by_side": pair,
    "segment": segmented,
    "curves": deleted,
    "choose": faithful,
    "sanity": randomized,
    "maximize": classes,
    "facets": faces,
    "invert": kept,
    "dream": dreamed,
    "unrecognizable": noise,
    "evolve": bred,
    "fool": changed,
}


def framed(picture, side):
    """A picture 0..1 as pixels of that size."""
    whole = np.clip(np.rint(255 * np.asarray(picture)), 0, 255).astype(np.uint8)
    return np.asarray(Image.fromarray(whole).resize((side, side), Image.LANCZOS))
