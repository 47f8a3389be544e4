"""What a network says when a part of the image is covered (Zeiler & Fergus 2014, figure 7), and which pixels matter."""

from dataclasses import dataclass, field

import numpy as np
from keras import ops

from ...inputs.resize import pair
from ...plots.primitives import COVERED, Scale, draw_key, looks, paint, range_of, scale_of
from ...plots.style import CLASSES, LARGE, OTHER, PLAIN, SMALL, bare, new_figure, small_print
from ...support.text import cut, file_name
from ..engine.lens import ended
from ..engine.query import Question
from ..engine.scores import INPUT, LOGITS, OWN, PROBS, both, called
from ..registry import attribution_method
from . import windows as locality
from .attribution import Attribution, aim, peaks
from .figures import PERCENT, drawn_of

CHUNK = 32  # windows at once, which are smaller than images


@dataclass(frozen=True, eq=False)
class Occlusion(Attribution):
    """An `Attribution` by covering, and what was read with the patch at each place, (N, rows, columns).

    The values are S(x) - S(covered), the mean over the patches that cover a pixel. ``score_maps`` have S(covered),
    ``probability`` and ``predicted`` p(class) and the most probable class, ``strongest`` the sum over the strongest map
    of ``layer``, whose channel for each image is in ``channels``. ``rows`` and ``columns`` are the patches' middles.
    """

    score_maps: np.ndarray = field(default=None, repr=False)
    probability: np.ndarray | None = field(default=None, repr=False)
    predicted: np.ndarray | None = field(default=None, repr=False)
    strongest: np.ndarray | None = field(default=None, repr=False)
    layer: str | None = None
    channels: tuple | None = None
    patch: tuple = ()
    stride: tuple = ()
    fill: tuple = ()
    rows: np.ndarray = field(default=None, repr=False)
    columns: np.ndarray = field(default=None, repr=False)

    def plot(self):
        """Image with the patch, strongest map, p(class), most probable class, and the attribution, a row an image."""
        return draw_occlusion(self)


@attribution_method
def occlusion(
    model,
    images,
    classes=None,
    *,
    patch=None,
    stride=None,
    fill=127.5,
    layer=None,
    windows=True,
    score=None,
    labels=None,
    batch=None,
    on_progress=None,
):
    """What the score loses with a patch at each place (Zeiler & Fergus 2014).

    Patches hang over the border, so that each pixel is covered as often.

    Args:
        patch: pixels of a side, one number or (down, right); by default a seventh of the image.
        stride: pixels from one place to the next, one number or (down, right); by default a quarter of the patch.
        fill: what covers, a gray or a color on the scale of the pixels.
        layer: whose strongest map is followed too; by default the last with places, or else the image.
        windows: compute again only what a patch can change, with the same numbers, where that pays.

    Returns:
        An `Occlusion`.
    """
    aimed = aim(model, images, classes, score=score, labels=labels, batch=batch, on_progress=on_progress)
    size, depth = aimed.shown.pixels.shape[1:3], aimed.shown.pixels.shape[-1]
    patch = pair(patch, "patch") or tuple(max(round(side / 7), 1) for side in size)
    stride = pair(stride, "stride") or tuple(max(side // 4, 1) for side in patch)
    layer = aimed.probe.tap(aimed.probe.features(otherwise=INPUT) if layer is None else layer)
    channels = peaks(aimed.probe, aimed.shown, layer)[0].argmax(-1).astype(np.int32)
    starts = [np.arange(-(p - s), side, s) for side, p, s in zip(size, patch, stride, strict=True)]
    corners = np.stack(np.meshgrid(*starts, indexing="ij"), -1).reshape(-1, 2).astype(np.int32)
    fill = color(fill, depth)
    plan = plan_windows(aimed, layer, patch, corners) if windows else None
    if plan:
        maps = cover_in_windows(aimed, layer, channels, corners, plan, fill)
    else:
        maps = cover_in_passes(aimed, layer, channels, corners, patch, fill)
    maps = {name: rows.reshape(len(aimed.shown), *map(len, starts)) for name, rows in maps.items()}
    asked, scores = aimed.classes is not None, aimed.scores()
    values = spread(scores[:, None, None] - maps["score"], starts, patch, size)[..., None]
    title = f"occlusion by {patch[0]}x{patch[1]} every {stride[0]}x{stride[1]} pixels"
    return Occlusion(
        **vars(aimed.attribution(values, title, scores=scores)),
        score_maps=maps["score"],
        probability=maps["p"] if asked else None,
        predicted=maps["best"] if asked else None,
        strongest=maps["strongest"],
        layer=called(layer),
        channels=tuple(channels.tolist()),
        patch=patch,
        stride=stride,
        fill=tuple(fill.ravel().tolist()),
        rows=starts[0] + (patch[0] - 1) / 2,
        columns=starts[1] + (patch[1] - 1) / 2,
    )


def cover_in_passes(aimed, layer, channels, corners, patch, fill):
    """What is read with the patch at each corner, {name: (N, corners)}, by whole passes."""
    same = {"patch": np.array([[patch]], np.int32), "fill": fill}
    draw = lambda images, within: {"corner": corners[None, within.start : within.stop], **same}  # noqa: E731
    read = lambda run, score, channel, number: read_covered(run, score, channel, number, layer)  # noqa: E731
    extra = {"channel": channels, "number": class_numbers(aimed)}
    key = ("occlusion", layer)
    return aimed.ask(Question(key, read, aimed.score, None, len(corners), draw, cover, extra=extra, backward=False))


def class_numbers(aimed):
    """The class of each image whose probability is read; the first where a score was asked for."""
    return np.array(aimed.classes or [0] * len(aimed.shown), np.int32)


def plan_windows(aimed, layer, patch, corners):
    """How windows would be computed, if that pays; None for what they do not know: other inputs, half precision."""
    asked = aimed.probe
    kinds = {getattr(node.operation, "compute_dtype", "float32") for node in asked.graph.nodes}
    reads = {INPUT, *asked.inputs} & {layer, *map(asked.tap, aimed.score.layers)}
    if asked.prepared or len(asked.inputs) > 1 or kinds != {"float32"} or reads:
        return None
    shape = aimed.shown.pixels.shape[1:]
    key = ("plan", patch, shape, corners.tobytes())
    if key not in asked.programs:
        asked.programs[key] = locality.plan(asked.graph if asked.shape == shape else asked.model, patch, corners, shape)
    return asked.programs[key]


def cover_in_windows(aimed, layer, channels, corners, plan, fill):
    """What is read with the patch at each corner, {name: (N, corners)}, computed again where it can have changed."""
    asked, score = aimed.probe, aimed.score
    taps, end = {name: asked.tap(name) for name in (layer, *score.layers, LOGITS, PROBS)}, asked.output.name
    kept = {end, *taps.values()} - {*OWN.values()}
    key = ("windows", plan, *sorted(kept))
    if key not in asked.programs:
        asked.programs[key] = locality.occluded(plan, kept, lambda values: values | ended(values[end]))
    run, found, chunk = asked.programs[key], [], aimed.batch or CHUNK
    chosen = channels, class_numbers(aimed)
    for i, pixels in enumerate(aimed.shown.pixels):
        maps, each = run.clean(pixels), []
        feeds = [feed[i : i + 1] if len(feed) > 1 else feed for feed in score.feeds]
        for start in range(0, len(corners), chunk):
            values = run.rows(maps, corners[start : start + chunk], fill[0, 0])
            acts = {name: values[tap] for name, tap in taps.items()}
            repeated = (np.repeat(one[i], len(acts[LOGITS])) for one in chosen)
            each.append(read_covered(acts, score.of(acts, *feeds), *repeated, layer))
        found.append({name: np.concatenate([ops.convert_to_numpy(part[name]) for part in each]) for name in each[0]})
        if aimed.on_progress:
            aimed.on_progress((i + 1) * len(corners), len(aimed.shown) * len(corners), "places")
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
    probs = both(ops.mean(ops.reshape(probs, (ops.shape(probs)[0], -1, probs.shape[-1])), 1))
    return {
        "score": score,
        "p": ops.take_along_axis(probs, number[:, None], 1)[:, 0],
        "best": ops.argmax(probs, -1),
        "strongest": ops.sum(own, tuple(range(1, len(own.shape)))),
    }


def spread(change, starts, patch, size):
    """(N, H, W): for each pixel the mean of ``change`` over the patches that cover it."""
    covers = [
        ((places >= start[:, None]) & (places < start[:, None] + side)).astype(np.float32)
        for start, side, places in zip(starts, patch, map(np.arange, size), strict=True)
    ]  # (patches, pixels) of each axis
    total = np.einsum("nij,iy,jx->nyx", change, *covers, optimize=True)
    return total / np.maximum(covers[0].sum(0)[:, None] * covers[1].sum(0), 1)


def color(fill, channels):
    """A gray or a color as an array (1, 1, channels)."""
    try:
        return np.broadcast_to(np.asarray(fill, np.float32).reshape(-1), (1, 1, channels)).copy()
    except ValueError:
        raise ValueError(f"`fill` should be a number or {channels} of them. Received: {fill!r}") from None


ROWS = 5  # images of a figure
NAMED = 8  # classes with a color of their own


def draw_occlusion(found):
    """Image with the occluder, strongest map, p(class), most probable class, and the attribution, a row an image."""
    count = min(len(found), ROWS)
    shown, said = looks(found.images[:count])
    panels = [draw_image, draw_strongest, draw_probability, draw_predicted, draw_pixels]
    if found.probability is None:
        panels = [draw_image, draw_strongest, draw_score, draw_pixels]
    side, ratio = 2.3, float(np.clip(shown.shape[1] / shown.shape[2], 0.4, 2.0))
    width = len(panels) * (side + 0.65) + 1.1 * (found.predicted is not None)
    figure = new_figure(width, count * (side * ratio + 0.6) + 1.1)
    for i, row in enumerate(figure.subplots(count, len(panels), squeeze=False)):
        for panel, axis in zip(panels, row, strict=True):
            panel(axis, found, i, shown[i])
    small_print(figure, said, drawn_of(count, len(found), "images"), setting(found))
    figure.suptitle(f"occlusion: {found.score}", fontsize=LARGE)
    return figure


def setting(found):
    """Size, stride and fill, in words."""
    (high, wide), (down, right) = found.patch, found.stride
    fill = ", ".join(f"{value:g}" for value in dict.fromkeys(found.fill))
    grid = f"every {down}×{right} px, {len(found.rows)}×{len(found.columns)} places"
    where = "drawn where the score is lowest\naxes of the maps: its center in pixels; dotted: the image"
    return f"occluder {high}×{wide} px filled with {fill}, {grid}, {where}"


def draw_image(axis, found, i, image):
    """The image, the occluder to scale where it costs most."""
    from matplotlib.patches import Rectangle

    axis.imshow(image)
    limits = axis.get_xlim(), axis.get_ylim()
    row, column = np.unravel_index(np.argmin(found.score_maps[i]), found.score_maps[i].shape)
    (high, wide), (low, top) = found.patch, range_of(found.images)
    corner = found.columns[column] - wide / 2, found.rows[row] - high / 2
    fill = np.clip((np.array(found.fill) - low) / ((top - low) or 1), 0, 1)
    fill = fill if len(fill) == 3 else np.full(3, fill.mean())
    axis.add_patch(Rectangle(corner, wide, high, facecolor=fill, edgecolor="white", linewidth=1.2))
    axis.set(xlim=limits[0], ylim=limits[1])
    bare(axis, cut(found.title(i), 28), file_name(found.names[i], 30))


def places(axis, found, title):
    """Axes in pixels: where the center of the occluder was."""
    axis.set_title(title, fontsize=PLAIN)
    axis.tick_params(labelsize=SMALL)
    high, wide = found.images.shape[1:3]
    axis.set_xticks(np.linspace(0, wide, 5)[1:-1].round())
    axis.set_yticks(np.linspace(0, high, 5)[1:-1].round())
    frame = ([-0.5, wide - 0.5, wide - 0.5, -0.5, -0.5], [-0.5, -0.5, high - 0.5, high - 0.5, -0.5])
    axis.plot(*frame, ":", color="white", linewidth=1.3)


def extent(found):
    """The edges of a map over places, in pixels."""
    (down, right), rows, columns = found.stride, found.rows, found.columns
    return columns[0] - right / 2, columns[-1] + right / 2, rows[-1] + down / 2, rows[0] - down / 2


def draw_strongest(axis, found, i, image):
    values = found.strongest[i]
    title = f"sum of {cut(found.layer, 18)}:{found.channels[i]}"
    draw_places(axis, found, values, Scale(float(min(values.min(), 0)), float(values.max()), COVERED), title)


def draw_probability(axis, found, i, image):
    name = cut(found.label(found.classes[i]), 18)
    draw_places(axis, found, found.probability[i], Scale(0.0, 1.0, COVERED), f"p({name})")


def draw_score(axis, found, i, image):
    values = found.score_maps[i]
    draw_places(axis, found, values, Scale(float(values.min()), float(values.max()), COVERED), cut(found.score, 24))


def draw_places(axis, found, values, scale, title):
    """A map over the places of the patch, with its key."""
    draw_key(paint(axis, values, scale, extent=extent(found)), axis)
    places(axis, found, title)


def draw_predicted(axis, found, i, image):
    """The most probable class at each place, in colors of their own, the commonest first."""
    from matplotlib.colors import ListedColormap
    from matplotlib.patches import Patch

    predicted = found.predicted[i]
    classes, counts = np.unique(predicted, return_counts=True)
    order = classes[np.argsort(-counts, kind="stable")]
    order = [number for number in order if number == found.classes[i]] + [n for n in order if n != found.classes[i]]
    named = order[: NAMED if len(order) <= NAMED else NAMED - 1]
    numbers = np.full(predicted.shape, len(named))
    for place, number in enumerate(named):
        numbers[predicted == number] = place
    colors = [*CLASSES[: len(named)], OTHER]
    shown = {"cmap": ListedColormap(colors), "vmin": -0.5, "vmax": len(named) + 0.5, "interpolation": "nearest"}
    axis.imshow(numbers, extent=extent(found), **shown)
    places(axis, found, "most probable class")
    texts = [f"{cut(found.label(number), 20)}, {(predicted == number).mean():.0%}" for number in named]
    if len(named) < len(order):
        texts.append(f"{len(order) - len(named)} others, {(numbers == len(named)).mean():.0%}")
    handles = [Patch(facecolor=color, label=text) for color, text in zip(colors, texts, strict=False)]
    axis.legend(handles=handles, loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False, fontsize=SMALL)


def draw_pixels(axis, found, i, image):
    """The attribution of each pixel."""
    values = found.map[i]
    scale = scale_of(values, found.signed, PERCENT["sum"])
    draw_key(paint(axis, values, scale), axis)
    bare(axis, "fall of the score", scale.words)
