"""Occlusion: how a score changes when a part of the image is covered (Zeiler & Fergus 2014, figure 7)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from keras import ops

from ...inputs.resize import size_pair
from ...plots.primitives import COVERED, Scale, display_images, draw_color_bar, paint_map, pixel_range, scale_for
from ...plots.style import CLASSES, LARGE, OTHER, PLAIN, SMALL, add_footnote, hide_ticks, new_figure
from ...support.text import file_name, shorten_end
from ...support.types import Classes, ClassNames, Images, Model, OnProgress, Size
from ..engine.lens import Lens, logits_and_probs
from ..engine.query import Query
from ..engine.scores import ALIASES, INPUT, LOGITS, PROBS, Score, both_classes, layer_label
from ..registry import attribution_method
from . import windows as locality
from .attribution import Attribution, channel_peaks, make_target
from .figures import PERCENT, count_caption

CHUNK = 32  # windows at once, which are smaller than images


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class Occlusion(Attribution):
    """An `Attribution` by occlusion, with maps over the positions of the patch.

    The values are S(x) - S(occluded), averaged over the patches that cover a pixel. Maps are (N, rows, columns).

    Attributes:
        score_maps: S(occluded), the score with the patch at each position.
        probability: p(class) at each position; None where a score was given.
        predicted: the most probable class at each position; None where a score was given.
        strongest: sum over the strongest feature map of ``layer`` at each position.
        layer: name of that layer.
        channels: channel of its strongest feature map for each image.
        patch: (height, width) of the patch in pixels.
        stride: (vertical, horizontal) distance between positions in pixels.
        fill: color of the patch, in pixel values.
        rows: vertical centers of the patches in pixels.
        columns: horizontal centers of the patches in pixels.
    """

    score_maps: np.ndarray | None = None
    probability: np.ndarray | None = None
    predicted: np.ndarray | None = None
    strongest: np.ndarray | None = None
    layer: str | None = None
    channels: tuple | None = None
    patch: tuple = ()
    stride: tuple = ()
    fill: tuple = ()
    rows: np.ndarray | None = None
    columns: np.ndarray | None = None

    def plot(self):
        """Draw patch, strongest map, p(class), predicted class and attribution."""
        return draw_occlusion(self)


@attribution_method
def occlusion(
    model: Model | Lens,
    images: Images,
    classes: Classes | None = None,
    *,
    patch: Size | None = None,
    stride: Size | None = None,
    fill: float | Sequence[float] = 127.5,
    layer: str | None = None,
    windows: bool = True,
    score: Score | Callable | None = None,
    class_names: ClassNames | None = None,
    batch_size: int | None = None,
    on_progress: OnProgress | None = None,
) -> Occlusion:
    """Drop of the score with a patch at each position (Zeiler & Fergus 2014).

    Patches extend beyond the border, so that each pixel is covered equally often.

    Args:
        patch: size of the patch in pixels, one number or (height, width); by default a seventh of the image.
        stride: distance between patch positions in pixels, one number or (vertical, horizontal); by default a quarter
            of the patch.
        fill: gray value or color of the patch, in pixel values.
        layer: layer whose strongest feature map is recorded too; by default the last that has feature maps, if any.
        windows: recompute only the activations that a patch can change, where that is faster; the result is the same.

    Returns:
        An `Occlusion`.
    """
    target = make_target(
        model, images, classes, score=score, class_names=class_names, batch_size=batch_size, on_progress=on_progress
    )
    size, depth = target.inputs.pixels.shape[1:3], target.inputs.pixels.shape[-1]
    patch = size_pair(patch, "patch") or tuple(max(round(side / 7), 1) for side in size)
    stride = size_pair(stride, "stride") or tuple(max(side // 4, 1) for side in patch)
    layer = target.lens.tap(target.lens.last_feature_maps(otherwise=INPUT) if layer is None else layer)
    channels = channel_peaks(target.lens, target.inputs, layer)[0].argmax(-1).astype(np.int32)
    starts = [np.arange(-(p - s), side, s) for side, p, s in zip(size, patch, stride, strict=True)]
    corners = np.stack(np.meshgrid(*starts, indexing="ij"), -1).reshape(-1, 2).astype(np.int32)
    color = fill_color(fill, depth)
    plan = find_plan(target, layer, patch, corners) if windows else None
    if plan:
        maps = cover_in_windows(target, layer, channels, corners, plan, color)
    else:
        maps = cover_in_passes(target, layer, channels, corners, patch, color)
    maps = {name: rows.reshape(len(target.inputs), *map(len, starts)) for name, rows in maps.items()}
    has_classes, scores = target.classes is not None, target.scores()
    values = average_over_patches(scores[:, None, None] - maps["score"], starts, patch, size)[..., None]
    title = f"occlusion by {patch[0]}x{patch[1]} every {stride[0]}x{stride[1]} pixels"
    return Occlusion(
        **vars(target.attribution(values, title, scores=scores)),
        score_maps=maps["score"],
        probability=maps["p"] if has_classes else None,
        predicted=maps["best"] if has_classes else None,
        strongest=maps["strongest"],
        layer=layer_label(layer),
        channels=tuple(channels.tolist()),
        patch=patch,
        stride=stride,
        fill=tuple(color.ravel().tolist()),
        rows=starts[0] + (patch[0] - 1) / 2,
        columns=starts[1] + (patch[1] - 1) / 2,
    )


def cover_in_passes(target, layer, channels, corners, patch, fill):
    """What is read with the patch at each corner, {name: (N, corners)}, by whole passes."""
    same = {"patch": np.array([[patch]], np.int32), "fill": fill}
    draw = lambda images, within: {"corner": corners[None, within.start : within.stop], **same}  # noqa: E731
    read = lambda run, score, channel, number: read_covered(run, score, channel, number, layer)  # noqa: E731
    extra = {"channel": channels, "number": target_classes(target)}
    key = ("occlusion", layer)
    return target.run_query(
        Query(key, read, target.score, None, len(corners), draw, cover, extra=extra, backward=False)
    )


def target_classes(target):
    """The class of each image whose probability is read; the first where a score was asked for."""
    return np.array(target.classes or [0] * len(target.inputs), np.int32)


def find_plan(target, layer, patch, corners):
    """How windows would be computed, if that pays; None for what they do not know: other inputs, half precision."""
    view = target.lens
    kinds = {getattr(node.operation, "compute_dtype", "float32") for node in view.graph.nodes}
    reads = {INPUT, *view.inputs} & {layer, *map(view.tap, target.score.layers)}
    if view.has_preprocessing or len(view.inputs) > 1 or kinds != {"float32"} or reads:
        return None
    shape = target.inputs.pixels.shape[1:]
    key = ("plan", patch, shape, corners.tobytes())
    if key not in view.programs:
        view.programs[key] = locality.plan_windows(
            view.graph if view.shape == shape else view.model, patch, corners, shape
        )
    return view.programs[key]


def cover_in_windows(target, layer, channels, corners, plan, fill):
    """What is read with the patch at each corner, {name: (N, corners)}, computed again where it can have changed."""
    view, score = target.lens, target.score
    taps, end = {name: view.tap(name) for name in (layer, *score.layers, LOGITS, PROBS)}, view.output.name
    kept = {end, *taps.values()} - {*ALIASES.values()}
    key = ("windows", plan, *sorted(kept))
    if key not in view.programs:
        view.programs[key] = locality.compile_occlusion(
            plan, kept, lambda values: values | logits_and_probs(values[end])
        )
    run, found, chunk = view.programs[key], [], target.batch_size or CHUNK
    chosen = channels, target_classes(target)
    for i, pixels in enumerate(target.inputs.pixels):
        maps, each = run.clean(pixels), []
        feeds = [feed[i : i + 1] if len(feed) > 1 else feed for feed in score.feeds]
        for start in range(0, len(corners), chunk):
            values = run.rows(maps, corners[start : start + chunk], fill[0, 0])
            acts = {name: values[tap] for name, tap in taps.items()}
            repeated = (np.repeat(one[i], len(acts[LOGITS])) for one in chosen)
            each.append(read_covered(acts, score.of(acts, *feeds), *repeated, layer))
        found.append({name: np.concatenate([ops.convert_to_numpy(part[name]) for part in each]) for name in each[0]})
        if target.on_progress:
            target.on_progress((i + 1) * len(corners), len(target.inputs) * len(corners), "places")
    return {name: np.stack([one[name] for one in found]) for name in found[0]}


def cover(pixels, corner, patch, fill):
    """Images (n, 1, H, W, C) with the patch at each corner, by comparing whole numbers."""
    down, right = (ops.arange(side, dtype="int32") for side in pixels.shape[2:4])
    inside = [
        (places >= corner[..., axis, None]) & (places < corner[..., axis, None] + patch[..., axis, None])
        for axis, places in enumerate((down, right))
    ]
    mask = inside[0][..., :, None, None] & inside[1][..., None, :, None]
    return ops.where(mask, ops.reshape(fill, (1, 1, 1, 1, -1)), pixels)


def read_covered(acts, score, channel, number, layer):
    """What is read of each covered image."""
    maps, probs = acts[layer], acts[PROBS]
    own = ops.take_along_axis(maps, ops.reshape(channel, (-1, *[1] * (len(maps.shape) - 1))), -1)
    probs = both_classes(ops.mean(ops.reshape(probs, (ops.shape(probs)[0], -1, probs.shape[-1])), 1))
    return {
        "score": score,
        "p": ops.take_along_axis(probs, number[:, None], 1)[:, 0],
        "best": ops.argmax(probs, -1),
        "strongest": ops.sum(own, tuple(range(1, len(own.shape)))),
    }


def average_over_patches(change, starts, patch, size):
    """(N, H, W): for each pixel the mean of ``change`` over the patches that cover it."""
    covers = [
        ((places >= start[:, None]) & (places < start[:, None] + side)).astype(np.float32)
        for start, side, places in zip(starts, patch, map(np.arange, size), strict=True)
    ]  # (patches, pixels) of each axis
    total = np.einsum("nij,iy,jx->nyx", change, *covers, optimize=True)
    return total / np.maximum(covers[0].sum(0)[:, None] * covers[1].sum(0), 1)


def fill_color(fill, channels):
    """A gray or a color as an array (1, 1, channels)."""
    try:
        return np.broadcast_to(np.asarray(fill, np.float32).reshape(-1), (1, 1, channels)).copy()
    except ValueError:
        raise ValueError(f"`fill` should be one number or {channels} numbers. Received: {fill!r}") from None


ROWS = 5  # images of a figure
NAMED = 8  # classes with a color of their own


def draw_occlusion(result):
    """Image with the occluder, strongest map, p(class), most probable class, and the attribution, a row an image."""
    count = min(len(result), ROWS)
    shown, said = display_images(result.images[:count])
    panels = [draw_image, draw_strongest, draw_probability, draw_predicted, draw_pixels]
    if result.probability is None:
        panels = [draw_image, draw_strongest, draw_score, draw_pixels]
    side, ratio = 2.3, float(np.clip(shown.shape[1] / shown.shape[2], 0.4, 2.0))
    width = len(panels) * (side + 0.65) + 1.1 * (result.predicted is not None)
    figure = new_figure(width, count * (side * ratio + 0.6) + 1.1)
    for i, row in enumerate(figure.subplots(count, len(panels), squeeze=False)):
        for panel, axis in zip(panels, row, strict=True):
            panel(axis, result, i, shown[i])
    add_footnote(figure, said, count_caption(count, len(result), "images"), occlusion_caption(result))
    figure.suptitle(f"occlusion: {result.score}", fontsize=LARGE)
    return figure


def occlusion_caption(result):
    """Size, stride and fill, in words."""
    (high, wide), (down, right) = result.patch, result.stride
    fill = ", ".join(f"{value:g}" for value in dict.fromkeys(result.fill))
    grid = f"every {down}×{right} px, {len(result.rows)}×{len(result.columns)} positions"
    where = (
        "drawn at the position of the lowest score\n"
        "axes of the maps: center of the patch in pixels; dotted: border of the image"
    )
    return f"patch of {high}×{wide} px filled with {fill}, {grid}, {where}"


def draw_image(axis, result, i, image):
    """The image, the occluder to scale where it costs most."""
    from matplotlib.patches import Rectangle

    axis.imshow(image)
    limits = axis.get_xlim(), axis.get_ylim()
    row, column = np.unravel_index(np.argmin(result.score_maps[i]), result.score_maps[i].shape)
    (high, wide), (low, top) = result.patch, pixel_range(result.images)
    corner = result.columns[column] - wide / 2, result.rows[row] - high / 2
    fill = np.clip((np.array(result.fill) - low) / ((top - low) or 1), 0, 1)
    fill = fill if len(fill) == 3 else np.full(3, fill.mean())
    axis.add_patch(Rectangle(corner, wide, high, facecolor=fill, edgecolor="white", linewidth=1.2))
    axis.set(xlim=limits[0], ylim=limits[1])
    hide_ticks(axis, shorten_end(result.title(i), 28), file_name(result.names[i], 30))


def label_positions(axis, result, title):
    """Axes in pixels: where the center of the occluder was."""
    axis.set_title(title, fontsize=PLAIN)
    axis.tick_params(labelsize=SMALL)
    high, wide = result.images.shape[1:3]
    axis.set_xticks(np.linspace(0, wide, 5)[1:-1].round())
    axis.set_yticks(np.linspace(0, high, 5)[1:-1].round())
    frame = ([-0.5, wide - 0.5, wide - 0.5, -0.5, -0.5], [-0.5, -0.5, high - 0.5, high - 0.5, -0.5])
    axis.plot(*frame, ":", color="white", linewidth=1.3)


def map_extent(result):
    """The edges of a map over places, in pixels."""
    (down, right), rows, columns = result.stride, result.rows, result.columns
    return columns[0] - right / 2, columns[-1] + right / 2, rows[-1] + down / 2, rows[0] - down / 2


def draw_strongest(axis, result, i, image):
    values = result.strongest[i]
    title = f"sum of {shorten_end(result.layer, 18)}:{result.channels[i]}"
    draw_places(axis, result, values, Scale(float(min(values.min(), 0)), float(values.max()), COVERED), title)


def draw_probability(axis, result, i, image):
    name = shorten_end(result.class_name(result.classes[i]), 18)
    draw_places(axis, result, result.probability[i], Scale(0.0, 1.0, COVERED), f"p({name})")


def draw_score(axis, result, i, image):
    values = result.score_maps[i]
    draw_places(
        axis, result, values, Scale(float(values.min()), float(values.max()), COVERED), shorten_end(result.score, 24)
    )


def draw_places(axis, result, values, scale, title):
    """A map over the places of the patch, with its key."""
    draw_color_bar(paint_map(axis, values, scale, extent=map_extent(result)), axis)
    label_positions(axis, result, title)


def draw_predicted(axis, result, i, image):
    """The most probable class at each place, in colors of their own, the commonest first."""
    from matplotlib.colors import ListedColormap
    from matplotlib.patches import Patch

    predicted = result.predicted[i]
    classes, counts = np.unique(predicted, return_counts=True)
    order = classes[np.argsort(-counts, kind="stable")]
    order = [number for number in order if number == result.classes[i]] + [n for n in order if n != result.classes[i]]
    named = order[: NAMED if len(order) <= NAMED else NAMED - 1]
    numbers = np.full(predicted.shape, len(named))
    for place, number in enumerate(named):
        numbers[predicted == number] = place
    colors = [*CLASSES[: len(named)], OTHER]
    shown = {"cmap": ListedColormap(colors), "vmin": -0.5, "vmax": len(named) + 0.5, "interpolation": "nearest"}
    axis.imshow(numbers, extent=map_extent(result), **shown)
    label_positions(axis, result, "most probable class")
    texts = [f"{shorten_end(result.class_name(number), 20)}, {(predicted == number).mean():.0%}" for number in named]
    if len(named) < len(order):
        texts.append(f"{len(order) - len(named)} other classes, {(numbers == len(named)).mean():.0%}")
    handles = [Patch(facecolor=color, label=text) for color, text in zip(colors, texts, strict=False)]
    axis.legend(handles=handles, loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False, fontsize=SMALL)


def draw_pixels(axis, result, i, image):
    """The attribution of each pixel."""
    values = result.map[i]
    scale = scale_for(values, result.is_signed, PERCENT["sum"])
    draw_color_bar(paint_map(axis, values, scale), axis)
    hide_ticks(axis, "drop of the score", scale.words)
