"""Figures of what speaks for a map: segmentations, curves and sanity checks. Drawing only, from the numbers."""

import numpy as np

BLUE, RED, GREEN, GREY = "#0072b2", "#d55e00", "#009e73", "0.6"
ROWS = 6  # images of a segmentation that are drawn
DEPTHS = 6  # maps of a sanity check that are drawn
PERCENTILE = 99  # of a map, drawn as the largest value


def new_figure(width, height):
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def draw_segmentation(result):
    """A row for each image: the image, its map with the seeds, the outline and box of the object."""
    count = min(len(result.images), ROWS)
    figure = new_figure(9, 0.9 + 3 * count)
    for row, i in zip(figure.subplots(count, 3, squeeze=False), range(count), strict=True):
        show_image(row[0], result.images[i], short(result.names[i]))
        show_seeds(row[1], result.maps[i], result.seeds[i])
        show_object(row[2], result.images[i], result.masks[i], result.boxes[i])
    more = f"; {len(result.images) - count} more images" if len(result.images) > count else ""
    figure.suptitle(f"The object, by the map and colour alone{more}", fontsize=13)
    return figure


def show_seeds(axis, values, seeds):
    """The map in grey, object seeds in red and surroundings in blue."""
    show_map(axis, values, "", cmap="gray")
    for side, colour in ((1, RED), (-1, BLUE)):
        axis.imshow(flat(seeds == side, colour, 0.9 if side > 0 else 0.45), interpolation="nearest")
    axis.set_title("|map|: seeds of object (red), rest (blue)" if seeds.any() else "nothing stands out", fontsize=9.5)


def show_object(axis, image, mask, box):
    """What is outside dimmed, the outline, the tight box."""
    from matplotlib.patches import Rectangle

    if not mask.any():
        show_image(axis, image, "nothing found")
        return
    show_image(axis, image, f"object: {mask.mean():.0%} of the pixels")
    axis.imshow(flat(~mask, "#000000", 0.55), interpolation="nearest")
    axis.contour(np.pad(mask, 1)[1:-1, 1:-1], [0.5], colors=["#f0e442"], linewidths=1.5)
    top, left, bottom, right = box
    frame = Rectangle((left - 0.5, top - 0.5), right - left, bottom - top, fill=False, edgecolor=RED, linewidth=2)
    axis.add_patch(frame)
    frame.set_clip_on(False)  # also along the border of the image


def draw_curves(result):
    """Mean p(class) over the share of pixels, by the map and by chance, with each image thin."""
    figure = new_figure(10, 4.4)
    mean = result.mean
    for axis, kind, words in zip(
        figure.subplots(1, 2, sharey=True), ("deletion", "insertion"), ("less is better", "more is better"), strict=True
    ):
        own, chance = getattr(result, kind), getattr(result, f"random_{kind}")
        percent = 100 * result.shares
        if 1 < len(own) <= 30:
            axis.plot(percent, own.T, color=BLUE, alpha=0.18, linewidth=0.8)
        axis.plot(
            percent, chance.mean(0), color=GREY, linewidth=2, label=f"at random: area {mean[f'random_{kind}']:.3f}"
        )
        axis.plot(percent, own.mean(0), color=BLUE, linewidth=2.5, label=f"by the map: area {mean[kind]:.3f}")
        axis.fill_between(percent, own.mean(0), color=BLUE, alpha=0.1, linewidth=0)
        axis.set_title(f"{kind}: {words}", fontsize=11)
        axis.set_xlabel(f"% of the pixels {'deleted' if kind == 'deletion' else 'inserted'}, most important first")
        axis.set_xlim(0, 100)
        axis.set_ylim(0, 1.02)
        axis.grid(alpha=0.25)
        axis.spines[["top", "right"]].set_visible(False)
        axis.legend(frameon=False, fontsize=9)
    figure.axes[0].set_ylabel("p(class)")
    count = len(result.names)
    figure.suptitle(f"{result.method or 'Map'}: {count} image{'s' if count > 1 else ''}", fontsize=13)
    return figure


def draw_choice(result):
    """A row a method: its gain over chance with the interval; deletion and insertion, beside those of chance."""
    table = result.table[result.table.method != "random"]
    chance = result.table[result.table.method == "random"].iloc[0]
    figure, places = new_figure(10.5, 1.6 + 0.42 * len(table)), np.arange(len(table))
    gains, areas = figure.subplots(1, 2, sharey=True)
    sides = np.abs([table.gain - table.low, table.high - table.gain])
    gains.errorbar(table.gain, places, xerr=sides, fmt="o", color=BLUE, ecolor=BLUE, elinewidth=1.5, capsize=3)
    gains.axvline(0, color="0.4", linewidth=1)
    gains.set_xlabel("gain over chance, 95 % interval: more is better")
    gains.set_yticks(places, table.method)
    gains.set_ylim(len(table) - 0.5, -0.5)
    for kind, colour, words in (("deletion", RED, "less is better"), ("insertion", BLUE, "more is better")):
        areas.plot(table[kind], places, "o", color=colour, label=f"{kind}: {words}")
        areas.axvline(chance[kind], color=colour, linestyle=":", linewidth=1.5, label=f"{kind} by chance")
    areas.hlines(places, table.deletion, table.insertion, color="0.85", zorder=0)
    areas.set_xlim(0, 1)
    areas.set_xlabel("area under p(class)")
    areas.legend(frameon=False, fontsize=8.5, loc="center left", bbox_to_anchor=(1, 0.5))
    for axis in (gains, areas):
        axis.grid(alpha=0.25, axis="x")
        axis.spines[["top", "right"]].set_visible(False)
    count = f"{result.images} image{'s' if result.images > 1 else ''}"
    figure.suptitle(f"Which method finds the pixels that {result.model} needs? {count}", fontsize=13)
    return figure


def draw_sanity(result):
    """Resemblance to the original map by layer above, maps of the first image below."""
    figure = new_figure(11, 6.8)
    above, below = figure.subfigures(2, 1, height_ratios=(1.7, 1))
    draw_resemblance(above.subplots(), result)
    labels = ["trained", *result.table.layer]
    rows = np.unique(np.linspace(0, len(labels) - 1, min(DEPTHS, len(labels))).round().astype(int))
    axes = below.subplots(1, len(rows) + 1)
    show_image(axes[0], result.images[0], "image")
    for axis, row in zip(axes[1:], rows, strict=True):
        show_map(axis, result.maps[row][0], short(labels[row], 22))
    below.supxlabel("maps of the first image, each scaled on its own", fontsize=9, color="0.35")
    how = "one layer at a time" if result.independent else "from the scores down"
    verdict = {True: "depends", False: "does not depend", None: "may depend"}[result.passed]
    figure.suptitle(f"{result.method} {verdict} on what was learnt: weights randomised {how}", fontsize=13)
    return figure


def draw_resemblance(axis, result):
    table, places = result.table, np.arange(len(result.table) + 1)
    lines = {
        "rank_correlation": ("rank correlation of |map|", BLUE, "o-"),
        "signed_rank_correlation": ("rank correlation of the map (decides)", RED, "s--"),
        "ssim": ("structural similarity", GREEN, "^:"),
    }
    axis.axhspan(-1, result.limit, color="0.93", zorder=0)
    axis.annotate(f"no resemblance: below {result.limit:.2f}", (0, result.limit), (2, -4), textcoords="offset points",
                  va="top", fontsize=8.5, color="0.4")  # fmt: skip
    for key, (label, colour, style) in lines.items():
        axis.plot(places, [1, *table[key]], style, color=colour, label=label, markersize=6)
    axis.set_xticks(
        places, ["trained", *(short(name, 20) for name in table.layer)], rotation=35, ha="right", fontsize=8
    )
    lowest = table[[*lines]].min().min()
    axis.set_ylim(min(-0.1, lowest - 0.05), 1.05)
    axis.set_ylabel("like the original map")
    axis.grid(alpha=0.25)
    axis.spines[["top", "right"]].set_visible(False)
    axis.legend(frameon=False, fontsize=9, loc="lower right", bbox_to_anchor=(1, 1), ncols=3)


def show_image(axis, image, title):
    """Pixels 0..255, of one or three channels."""
    image = image.clip(0, 255) / 255
    axis.imshow(image if image.shape[-1] == 3 else image.mean(-1), cmap="gray", vmin=0, vmax=1)
    bare(axis, title)


def show_map(axis, values, title, cmap=None):
    """A map from 0 in grey, or around 0 in red and blue; up to its 99th percentile."""
    if values.min() == values.max():
        axis.imshow(np.full(values.shape, 0.85), cmap="gray", vmin=0, vmax=1)
        axis.text(0.5, 0.5, "constant", transform=axis.transAxes, ha="center", va="center", color="0.3")
        bare(axis, title)
        return
    signed = cmap is None and values.min() < 0
    most = np.percentile(np.abs(values), PERCENTILE) or np.abs(values).max() or 1
    values = values if signed else np.abs(values)
    axis.imshow(values, cmap="RdBu_r" if signed else "gray", vmin=-most if signed else 0, vmax=most)
    bare(axis, title)


def flat(mask, colour, alpha):
    """One colour over a mask, as RGBA."""
    from matplotlib.colors import to_rgba

    return np.where(mask[..., None], to_rgba(colour, alpha), 0.0)


def short(name, length=34):
    name = str(name).rsplit("/", 1)[-1]
    return name if len(name) <= length else "…" + name[1 - length :]


def bare(axis, title):
    axis.set_title(title, fontsize=9.5)
    axis.set_xticks([])
    axis.set_yticks([])
