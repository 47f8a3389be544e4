"""Pictures that a network dreamt, drawn: a sheet of all, and how each came about."""

import numpy as np

from ...plots.primitives import BETWEEN, DPI, MARGIN, columns_for, looks, place, resize, sheet, spaced
from ...plots.style import BLUE, LARGE, PLAIN, RED, SMALL, bare, new_figure, small_print, tidy, unframe
from ...support.text import cut, tail
from .params import GREY

WIDE, SIDE = 1500, 220  # pixels of a sheet, at most about, and of a tile that is drawn larger than it is
TALL = 26  # pixels above a tile for its title
LETTER = 9  # pixels of a letter of a title
FAINT, CLEAR = 30.0, 100.0  # greys from the middle one: less is not seen, and is made this
AXIS = 40  # pixels left of a curve for its numbers


def draw_sheet(result, columns=None):
    """All images in rows, each under its name and score; beside each what it began with, where that is a picture."""
    images, titles = result.images, [result.title(i) for i in range(len(result))]
    began = result.facts.get("began")
    if began is not None:
        images = np.stack([began, images], 1).reshape(-1, *images.shape[1:])
        titles = [title for pair in zip(["begun from"] * len(titles), titles, strict=True) for title in pair]
    stretch = stretched(result)
    images = GREY + stretch * (images - GREY)
    count, height, width = images.shape[:3]
    columns = columns or (full_rows(count) if began is None else min(2 * full_rows(len(result)), 6))
    zoom = scale(width, columns)
    titles = brief(titles, zoomed(width, zoom))
    figure, top = sheet(*extent(count, columns, (height, width), zoom), str(result), caption(result))
    tiles(figure, images, titles, columns, zoom, top)
    return figure


def draw_steps(result):
    """A row an image: the image after the steps that were kept, and the scores of all steps."""
    count, height, width = result.images.shape[:3]
    marks = [*result.marks, len(result.said["score"])]
    frames = np.concatenate([result.kept, result.images[None]]) if result.marks[-1] != marks[-1] else result.kept
    frames = GREY + stretched(result) * (frames - GREY)
    marks = marks[: len(frames)]
    columns = len(frames) + 1
    zoom = scale(width, columns)
    figure, top = sheet(*extent(count * columns, columns, (height, width), zoom), str(result), caption(result))
    for i in range(count):
        titles = [f"{result.names[i] if not k else ''} step {mark}".strip() for k, mark in enumerate(marks)]
        left = tiles(figure, frames[:, i], titles, columns, zoom, top + i * (zoomed(height, zoom) + TALL + BETWEEN))
        curve(figure, result, i, left, top + i * (zoomed(height, zoom) + TALL + BETWEEN) + TALL, (height, width), zoom)
    return figure


def stretched(result):
    """By how much the contrast of pictures is raised that would look grey; not of those that began with a picture."""
    if "probability" in result.facts or "began" in result.facts:
        return 1.0
    far = float(np.percentile(np.abs(result.images - GREY), 99.5))
    return CLEAR / far if 0 < far < FAINT else 1.0


def curve(figure, result, i, left, top, shape, zoom):
    """The scores of an image over the steps, at (left, top) pixels of a figure."""
    wide, high = (round(side * DPI) for side in figure.get_size_inches())
    height, width = (zoomed(side, zoom) for side in shape)
    box = (left + AXIS, high - top - height + AXIS / 2, max(width - AXIS, AXIS), max(height - AXIS / 2, AXIS / 2))
    axis = figure.add_axes((box[0] / wide, box[1] / high, box[2] / wide, box[3] / high))
    axis.plot(np.arange(1, len(result.said["score"]) + 1), result.said["score"][:, i], color=BLUE, linewidth=1.2)
    unframe(axis)
    axis.tick_params(labelsize=7, pad=1)
    axis.set_title(f"score, {result.scores[i]:.3g} at last", fontsize=7.5, loc="left", pad=3)


def tiles(figure, images, titles, columns, zoom, top):
    """Images under their titles, row by row from ``top``; the left edge of what would come next in the first row."""
    height, width = (zoomed(side, zoom) for side in images.shape[1:3])
    shown, _ = looks(np.clip(images, 0, 255)) if images.shape[-1] in (1, 3) else looks(images)
    for i, image in enumerate(shown):
        left = MARGIN + i % columns * (width + BETWEEN)
        row = top + i // columns * (height + TALL + BETWEEN) + TALL
        axis = place(figure, resize(image.astype(np.float32), (height, width)), left, row)
        axis.set_title(shortened(titles[i], width), fontsize=7.5, loc="left", pad=3)
    return MARGIN + len(images) * (width + BETWEEN)


def full_rows(count):
    """About as many columns as look well, rather those that leave no row half empty."""
    wanted = columns_for(count, 1.2)
    near = [
        columns for columns in range(max(wanted - 2, min(3, count)), min(wanted + 3, count) + 1) if count % columns == 0
    ]
    return min(near, key=lambda columns: abs(columns - wanted)) if near else wanted


def extent(count, columns, shape, zoom):
    """(width, height) in pixels of rows of tiles with their titles."""
    height, width = (zoomed(side, zoom) for side in shape)
    rows = -(-count // columns)
    return max(columns * (width + BETWEEN), 640), rows * (height + TALL + BETWEEN)


def scale(width, columns):
    """How much larger tiles are drawn than they are: whole, or smaller where a row would be too long."""
    room = WIDE / (columns * (width + BETWEEN))
    return float(max(min(int(room), round(SIDE / width)), 1)) if room >= 1 else max(room, 96 / width)


def zoomed(side, zoom):
    return max(round(side * zoom), 1)


def brief(titles, width):
    """Titles without the layer that all of them name, where their tiles are too narrow for it."""
    begins = {title.rpartition(":")[0] for title in titles}
    if len(begins) > 1 or max(map(len, titles)) * LETTER < width:
        return titles
    return [title.rpartition(":")[2] for title in titles]


def shortened(text, width):
    """A title no longer than its tile: the middle of long layer names goes."""
    return tail(text, max(int(width / LETTER), 6))


def caption(result):
    """By which recipe, how long, and what did not work."""
    said = [result.recipe.what, f"{len(result.said['score'])} steps"]
    off, helped = result.facts.get("off"), result.facts.get("redirected")
    if helped is not None and helped.any():
        said.append(f"{helped.sum()} off at first and helped on")
    if off is not None and off.any():
        said.append(f"{off.sum()} stayed off")
    stretch = stretched(result)
    shown = "pixels 0 to 255, nothing stretched" if stretch == 1 else f"contrast raised {stretch:.3g} times about grey"
    number = "probability" if "probability" in result.facts else "score"
    return "; ".join(said) + f". Over each picture its {number} as it is; {shown}."


def draw_inversion(result, copies=None):
    """An image a strip: the original, then what each layer keeps of it; further copies of the code below."""
    layers, count, made, height, width = result.reconstructions.shape[:5]
    copies = min(copies or made, made)
    columns = layers + 1
    zoom = scale(width, columns)
    said = f"{result.recipe.what}; {len(result.said[0])} steps. Beside each layer's name the error at that layer"
    said += f" and the pixels' PSNR{'; copies of one code began with other noise' if copies > 1 else ''}."
    figure, top = sheet(*extent(count * copies * columns, columns, (height, width), zoom), str(result), said)
    table = result.table.set_index(["layer", "image", "copy"])
    for i, name in enumerate(result.names):
        for k in range(copies):
            images = [result.images[i] if k == 0 else np.full_like(result.images[i], 255)]
            images += [result.reconstructions[j, i, k] for j in range(layers)]
            titles = [shortened(name, zoomed(width, zoom)) if k == 0 else ""]
            for layer in result.layers:
                row = table.loc[(layer, name, k)]
                titles.append(f"{layer}  {row.error:.2g}, {row.psnr:.1f} dB")
            high = top + (i * copies + k) * (zoomed(height, zoom) + TALL + BETWEEN)
            tiles(figure, np.stack(images), titles, columns, zoom, high)
    return figure


MOST, COLUMNS = 20, 5  # images drawn


def draw_evolved(found):
    """The images, at most twenty from the surest to the least sure, with their classes; how p(class) rose."""
    order = np.argsort(-found.probabilities, kind="stable")
    shown = order[spaced(len(order), MOST)]
    columns = min(COLUMNS, len(shown))
    rows = -(-len(shown) // columns)
    figure = new_figure(1.75 * columns + 5.2, max(2.05 * rows, 3.4) + 0.9)
    left, right = figure.subfigures(1, 2, width_ratios=(1.75 * columns, 5.2))
    axes = left.subplots(rows, columns, squeeze=False).ravel()
    for axis, i in zip(axes, shown, strict=False):
        image = found.images[i]
        axis.imshow(image if image.shape[-1] == 3 else image[..., 0], cmap="gray", vmin=0, vmax=255)
        bare(axis, cut(found.table.label[i], 18), f"{found.probabilities[i]:.2%}", fontsize=SMALL + 0.5)
    for empty in axes[len(shown) :]:
        empty.axis("off")
    if len(shown) < len(order):
        small_print(left, f"{len(shown)} of {len(order)} classes, evenly from the surest to the least sure")
    draw_history(right.subplots(), found)
    figure.suptitle(str(found), fontsize=LARGE)
    return figure


def draw_history(axis, found):
    """The median of p(class) and the share of classes above the goal over the images tried."""
    tried = found.history.evaluations
    axis.plot(tried, 100 * found.history["median"], color=BLUE, linewidth=2.5, label="median p(class)")
    label = f"classes above {found.goal:.0%}"
    axis.plot(tried, 100 * found.history.share, "--", color=RED, linewidth=2.5, label=label, drawstyle="steps-post")
    axis.set_xscale("log")
    tidy(axis, ylim=(-2, 103))
    axis.set_xlabel("images tried", fontsize=PLAIN)
    axis.set_ylabel("%", fontsize=PLAIN)
    axis.legend(frameon=False, fontsize=PLAIN, loc="lower right")
