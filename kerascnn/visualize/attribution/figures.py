"""Figures of attributions: image, map, and the map over the image; signals in color; drawing only."""

import math

import numpy as np

from ...plots.primitives import (
    COVERED,
    GRADIENTS,
    GUTTER,
    MAX_IMAGES,
    blur_sigma,
    display_images,
    draw_color_bar,
    draw_overlay,
    error_bars,
    evenly_spaced,
    hatch_constant,
    mosaic,
    paint_map,
    scale_for,
    signals_to_colors,
)
from ...plots.style import (
    BLACK,
    BLUE,
    GRAY,
    GREEN,
    LARGE,
    RED,
    YELLOW,
    add_footnote,
    hide_frame,
    hide_ticks,
    new_figure,
    style_axis,
)
from ...support.text import file_name, format_number, last_part, pluralize, shorten_end

PERCENT = {"max": 99, "sum": 99.5}  # of |value|, where the colors end
SIGNALS = 99.9  # the same of signals in color
LECTURE = 16 / 9


def draw_attribution(result):
    """Image, map and overlay, a row an image; signals through ReLUs in color beside the image."""
    if "units" in result.metadata:
        return draw_projections(result)
    drawn = min(len(result), MAX_IMAGES)
    shown, said = display_images(result.images[:drawn])
    draw = draw_signal if result.rule else draw_map
    figure, axes = attribution_axes(drawn, 2 if result.rule else 3, shown.shape[1:3])
    for i, (image, axis) in enumerate(zip(shown, axes, strict=False)):
        axis[0].imshow(image)
        hide_ticks(axis[0], shorten_end(result.title(i), 30), file_name(result.names[i], 34))
        draw(axis[1:], result, i, image)
    hide_empty(axes[drawn:])
    add_footnote(figure, said, count_caption(drawn, len(result), "images"), map_caption(result))
    figure.suptitle(f"{result.method}: {result.score}", fontsize=LARGE)
    return figure


def attribution_axes(count, columns, size):
    """A figure about as wide as a lecture's screen, and the axes of each image: banks side by side, of rows."""
    side, ratio = 2.6 if count < 3 else 2.3, float(np.clip(size[0] / size[1], 0.4, 2.0))

    def figure_size(banks):
        rows = -(-count // banks)
        return banks * (columns * (side + 0.1) + 0.6), rows * (side * ratio + 0.55) + 0.9

    banks = min(range(1, count + 1), key=lambda banks: abs(np.log(np.divide(*figure_size(banks)) / LECTURE)))
    figure = new_figure(*figure_size(banks))
    parts = np.ravel(figure.subfigures(1, banks, wspace=0.04, squeeze=False))
    drawn = [part.subplots(-(-count // banks), columns, squeeze=False) for part in parts]
    return figure, [row for rows in zip(*drawn, strict=True) for row in rows]


def hide_empty(axes):
    """Draw nothing on rows of axes that are left over."""
    for axis in (axis for row in axes for axis in row):
        axis.axis("off")


def count_caption(drawn, total, what):
    """That not all are drawn, if so."""
    return f"showing {drawn} of {total} {what}" if drawn < total else ""


def map_caption(result):
    """What a reader of the figure has to know."""
    if result.rule:
        return f"signal: 0.5 + x / (2 p{SIGNALS}), gray is 0, each image scaled on its own"
    several = result.values.shape[-1] > 1
    what = {"max": "map: largest absolute value over the colors", "sum": "map: sum over the colors"}[result.reduce]
    sign = ", red for positive and blue for negative evidence" if result.is_signed else ""
    laid = f"overlay: smoothed by {blur_sigma(result.map.shape[1:]):.0f} px, contour at half of the maximum"
    return f"{what if several else 'map'}, each image scaled on its own{sign}\n{laid}"


def draw_map(axes, result, i, image):
    """The map with its scale, then over the image."""
    values, percent = result.map[i], PERCENT[result.reduce]
    colors = GRADIENTS if result.reduce == "max" else COVERED
    scale = scale_for(values, result.is_signed, percent, colors)
    draw_color_bar(paint_map(axes[0], values, scale), axes[0])
    hide_ticks(axes[0], "map", scale.words)
    draw_overlay(axes[1], image, values, result.is_signed, percent, colors)
    hide_ticks(axes[1], "overlay on the image")


def draw_signal(axes, result, i, image):
    """The signal that arrives at the pixels, in color."""
    scale = scale_for(result.values[i], True, SIGNALS)
    if scale.high == 0:
        hatch_constant(axes[0], image.shape[:2], 0.0)
    else:
        axes[0].imshow(signals_to_colors(result.values[i], scale.high), interpolation="nearest")
    hide_ticks(axes[0], "signal at the input", scale.words)


TITLE = 9.5  # points
ROWS = 6  # images of a segmentation that are drawn
DEPTHS = 6  # maps of a sanity check that are drawn
PERCENTILE = 99  # of a map, drawn as the largest value


def draw_segmentation(result):
    """A row for each image: the image, its map with the seeds, the outline and box of the object."""
    drawn = min(len(result.images), ROWS)
    figure = new_figure(9, 0.9 + 3 * drawn)
    for i, row in enumerate(figure.subplots(drawn, 3, squeeze=False)):
        show_image(row[0], result.images[i], file_name(result.names[i], 34))
        show_seeds(row[1], result.maps[i], result.seeds[i])
        show_object(row[2], result.images[i], result.masks[i], result.boxes[i])
    more = f"; {len(result.images) - drawn} more images not shown" if len(result.images) > drawn else ""
    figure.suptitle(f"Object segmented from the map and color alone{more}", fontsize=LARGE)
    return figure


def show_seeds(axis, values, seeds):
    """The map in gray, object seeds in red and surroundings in blue."""
    show_map(axis, np.abs(values), "", cmap="gray")
    for side, color in ((1, RED), (-1, BLUE)):
        axis.imshow(color_mask(seeds == side, color, 0.9 if side > 0 else 0.45), interpolation="nearest")
    hide_ticks(
        axis, "|map|: seeds of object (red) and background (blue)" if seeds.any() else "no region above the threshold"
    )


def show_object(axis, image, mask, box):
    """What is outside dimmed, the outline, the tight box."""
    from matplotlib.patches import Rectangle

    if not mask.any():
        show_image(axis, image, "nothing found")
        return
    show_image(axis, image, f"object: {mask.mean():.0%} of the image")
    axis.imshow(color_mask(~mask, BLACK, 0.55), interpolation="nearest")
    axis.contour(np.pad(mask, 1)[1:-1, 1:-1], [0.5], colors=[YELLOW], linewidths=1.5)
    top, left, bottom, right = box
    frame = Rectangle((left - 0.5, top - 0.5), right - left, bottom - top, fill=False, edgecolor=RED, linewidth=2)
    axis.add_patch(frame)
    frame.set_clip_on(False)  # also along the border of the image


def draw_curves(result):
    """Mean p(class) over the share of pixels, by the map and by chance, with each image thin."""
    figure = new_figure(10, 4.4)
    mean = result.mean
    for axis, kind, words in zip(
        figure.subplots(1, 2, sharey=True),
        ("deletion", "insertion"),
        ("lower is better", "higher is better"),
        strict=True,
    ):
        own, chance = getattr(result, kind), getattr(result, f"random_{kind}")
        percent = 100 * result.shares
        if 1 < len(own) <= 30:
            axis.plot(percent, own.T, color=BLUE, alpha=0.18, linewidth=0.8)
        axis.plot(
            percent, chance.mean(0), color=GRAY, linewidth=2, label=f"random order: area {mean[f'random_{kind}']:.3f}"
        )
        axis.plot(percent, own.mean(0), color=BLUE, linewidth=2.5, label=f"order of the map: area {mean[kind]:.3f}")
        axis.fill_between(percent, own.mean(0), color=BLUE, alpha=0.1, linewidth=0)
        below = f"% of the pixels {'deleted' if kind == 'deletion' else 'inserted'}, most important first"
        style_axis(axis, f"{kind}: {words}", xlabel=below, xlim=(0, 100), ylim=(0, 1.02))
        axis.legend(frameon=False, fontsize=9)
    figure.axes[0].set_ylabel("p(class)")
    figure.suptitle(f"{result.method or 'Map'}: {pluralize(len(result.names), 'image')}", fontsize=LARGE)
    return figure


def draw_choice(result):
    """A row a method: its gain over chance with the interval; deletion and insertion, beside those of chance."""
    table = result.table[result.table.method != "random"]
    chance = result.table[result.table.method == "random"].iloc[0]
    figure, places = new_figure(10.5, 1.6 + 0.42 * len(table)), np.arange(len(table))
    gains, areas = figure.subplots(1, 2, sharey=True)
    bars = error_bars(table.gain, table.low, table.high)
    gains.errorbar(table.gain, places, xerr=bars, fmt="o", color=BLUE, ecolor=BLUE, elinewidth=1.5, capsize=3)
    gains.axvline(0, color="0.4", linewidth=1)
    gains.set_xlabel("improvement over random order, 95 % interval (higher is better)")
    gains.set_yticks(places, table.method)
    gains.set_ylim(len(table) - 0.5, -0.5)
    for kind, color, words in (("deletion", RED, "lower is better"), ("insertion", BLUE, "higher is better")):
        areas.plot(table[kind], places, "o", color=color, label=f"{kind}: {words}")
        areas.axvline(chance[kind], color=color, linestyle=":", linewidth=1.5, label=f"{kind}, random order")
    areas.hlines(places, table.deletion, table.insertion, color="0.85", zorder=0)
    areas.set_xlim(0, 1)
    areas.set_xlabel("area under the curve of p(class)")
    areas.legend(frameon=False, fontsize=8.5, loc="center left", bbox_to_anchor=(1, 0.5))
    for axis in (gains, areas):
        axis.grid(alpha=0.25, axis="x")
        hide_frame(axis)
    title = f"Which attribution is most faithful to {result.model}? {pluralize(result.image_count, 'image')}"
    figure.suptitle(title, fontsize=LARGE)
    return figure


def draw_sanity(result):
    """Resemblance to the original map by layer above, maps of the first image below."""
    figure = new_figure(11, 6.8)
    above, below = figure.subfigures(2, 1, height_ratios=(1.7, 1))
    draw_resemblance(above.subplots(), result)
    labels = ["trained", *result.table.layer]
    rows = evenly_spaced(len(labels), DEPTHS)
    axes = below.subplots(1, len(rows) + 1)
    show_image(axes[0], result.images[0], "image")
    for axis, row in zip(axes[1:], rows, strict=True):
        show_map(axis, result.maps[row][0], last_part(labels[row], 22))
    below.supxlabel("maps of the first image, each scaled on its own", fontsize=9, color="0.35")
    how = "one layer at a time" if result.independent else "cumulatively from the output layer"
    verdict = {True: "depends", False: "does not depend", None: "may depend"}[result.passes]
    figure.suptitle(f"{result.method} {verdict} on the trained weights: weights randomized {how}", fontsize=LARGE)
    return figure


def draw_resemblance(axis, result):
    table, places = result.table, np.arange(len(result.table) + 1)
    lines = {
        "rank_correlation": ("rank correlation of |map|", BLUE, "o-"),
        "signed_rank_correlation": ("rank correlation of the signed map (decides)", RED, "s--"),
        "ssim": ("structural similarity", GREEN, "^:"),
    }
    axis.axhspan(-1, result.limit, color="0.93", zorder=0)
    axis.annotate(f"below {result.limit:.2f}: no resemblance", (0, result.limit), (2, -4), textcoords="offset points",
                  va="top", fontsize=8.5, color="0.4")  # fmt: skip
    for key, (label, color, style) in lines.items():
        axis.plot(places, [1, *table[key]], style, color=color, label=label, markersize=6)
    axis.set_xticks(
        places, ["trained", *(last_part(name, 20) for name in table.layer)], rotation=35, ha="right", fontsize=8
    )
    lowest = table[[*lines]].min().min()
    style_axis(axis, ylim=(min(-0.1, lowest - 0.05), 1.05), ylabel="similarity to the original map")
    axis.legend(frameon=False, fontsize=9, loc="lower right", bbox_to_anchor=(1, 1), ncols=3)


def show_image(axis, image, title):
    """Pixels as they are shown."""
    axis.imshow(display_images(image[None])[0][0])
    hide_ticks(axis, title)


def show_map(axis, values, title, cmap="gray"):
    """A map from 0 in gray, or around 0 in red and blue; up to its 99th percentile."""
    paint_map(axis, values, scale_for(values, values.min() < 0, PERCENTILE, cmap))
    hide_ticks(axis, title)


def color_mask(mask, color, alpha):
    """One color over a mask, as RGBA."""
    from matplotlib.colors import to_rgba

    return np.where(mask[..., None], to_rgba(color, alpha), 0.0)


TILES = 9  # of a unit, its strongest
MID_GRAY = 0.5


def draw_projections(result):
    """A block for each unit that all images were asked of; else image, projection and patch of each image's own."""
    every = unit_groups(result)
    drawn = every[:MAX_IMAGES]
    shown, said = display_images(result.images)
    alone = all(len(rows) == 1 for rows in drawn)
    figure, axes = unit_axes(len(drawn), 3 if alone else 2)
    for rows, axis in zip(drawn, axes, strict=False):
        draw_unit(axis, result, rows, shown)
    hide_empty(axes[len(drawn) :])
    left = count_caption(len(drawn), len(every), "units")
    scale = f"projection: 0.5 + x / (2 p{SIGNALS}), gray is 0, one scale per unit"
    field = "both cropped to the receptive field of the unit; gray outside the image"
    add_footnote(figure, said, left, scale + "\n" + field)
    figure.suptitle(
        f"{result.method} from {result.metadata['layer']}: projections next to image patches", fontsize=LARGE
    )
    return figure


def unit_groups(result):
    """The rows to draw together: a unit's, its strongest first, where all images have the same units; else each."""
    units, images = result.metadata["units"], len(np.unique(result.metadata["of"]))
    each = [np.flatnonzero(units == unit) for unit in dict.fromkeys(units.tolist())]
    if any(len(rows) != images for rows in each):
        return [np.array([row]) for row in range(len(units))]
    return [rows[np.argsort(-result.scores[rows], kind="stable")][:TILES] for rows in each]


def unit_axes(count, columns):
    """A figure, and the axes of each unit, several units a row."""
    most = 2 if columns == 3 or count in (2, 4) else 3 if count in (3, 5, 6, 9) else 4
    across = min(count, most)
    down, side = -(-count // across), {1: 3.2, 2: 2.6 if columns == 2 else 2.2}.get(across, 2.1)
    figure = new_figure(across * (columns * side + 0.25), down * (side + 0.5) + 1.1)
    parts = np.ravel(figure.subfigures(down, across, squeeze=False, wspace=0.03))
    return figure, [part.subplots(1, columns, squeeze=False)[0] for part in parts]


def draw_unit(axes, result, rows, shown):
    """Projections, patches, and before them the image with a frame around the patch, if there is one image."""
    boxes, unit, scores = result.metadata["boxes"], result.metadata["units"][rows[0]], result.scores[rows]
    scale = scale_for(np.stack([crop_box(result.values[row], boxes[row], 0.0) for row in rows]), True, SIGNALS)
    projections = [crop_box(signals_to_colors(result.values[row], scale.high), boxes[row]) for row in rows]
    patches, columns = [crop_box(shown[row], boxes[row]) for row in rows], math.ceil(math.sqrt(len(rows)))
    if len(axes) == 3:
        draw_framed(axes[0], shown[rows[0]], boxes[rows[0]])
        name = result.names[rows[0]].removesuffix(f", {result.metadata['layer']}:{unit}")
        hide_ticks(axes[0], "image", file_name(name, 34))
    if scale.high == 0:
        hatch_constant(axes[-2], patches[0].shape[:2], 0.0)
    else:
        axes[-2].imshow(tile_patches(projections, columns), interpolation="nearest")
    axes[-1].imshow(tile_patches(patches, columns), interpolation="nearest")
    hide_ticks(axes[-2], f"unit {unit}", scale.words)
    activation = (
        format_number(scores[0]) if len(rows) == 1 else f"{format_number(scores[0])} to {format_number(scores[-1])}"
    )
    high, wide = patches[0].shape[:2]
    hide_ticks(axes[-1], f"activation {activation}", f"receptive field {high}×{wide} px")


def draw_framed(axis, image, box):
    """The image with a frame around what the unit sees of it."""
    from matplotlib.patches import Rectangle

    top, left, bottom, right = box
    axis.imshow(image)
    limits = axis.get_xlim(), axis.get_ylim()
    for color, width in (("black", 3.0), ("white", 1.5)):
        axis.add_patch(
            Rectangle((left - 0.5, top - 0.5), right - left, bottom - top, fill=False, color=color, lw=width)
        )
    axis.set(xlim=limits[0], ylim=limits[1])


def crop_box(image, box, outside=MID_GRAY):
    """The part of an image (H, W, C) in a box that may leave it."""
    top, left, bottom, right = (int(edge) for edge in box)
    beyond = max(0, -top, -left, bottom - image.shape[0], right - image.shape[1])
    sides = ((beyond, beyond), (beyond, beyond), (0, 0))
    wide = np.pad(np.asarray(image, np.float64), sides, constant_values=outside)
    return wide[top + beyond : bottom + beyond, left + beyond : right + beyond]


def tile_patches(tiles, columns):
    """Tiles of one size, a white gutter between them."""
    gap = max(GUTTER, round(max(tiles[0].shape[:2]) / 40))
    return mosaic(np.stack(tiles), columns, gap, shade=1)[gap:-gap, gap:-gap]
