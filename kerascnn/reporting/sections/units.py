"""What the units of each stage answer to the first photo, and what of it the strongest of them answered to."""

import numpy as np

from ...plots.primitives import scale_of
from ...support.text import compact, cut
from ...visualize.attribution.figures import cut_out
from ...visualize.attribution.gradients import deconvnet
from ...visualize.features.activations import activation_maps
from .. import figures
from ..context import Skipped
from ..figures import code, enlarged_picture, snippet
from ..page import Section, figure, heading, paragraph, row

MOST, STRONGEST = 24, 4  # units of a layer, as maps and with their projections
SIDE = 158  # CSS pixels of a picture; two units of three fit beside each other


def units(subject):
    """Maps of the most active units of each chosen layer, and the strongest projected back to the pixels."""
    first = subject.photos[:1]
    if not subject.layers:
        raise Skipped("the network has no layer with maps; --layers names others")
    name = subject.sample_names[0]
    note = (
        "Each map is a unit's answer at every place of the photo. The projection (deconvnet, Zeiler & Fergus 2014) "
        "sends the unit's largest answer back to the pixels: it shows what in the patch the unit answered to, and "
        "nothing of what else it would answer to. Under it the ends of its scale, about mid-gray, which is 0."
    )
    photo = enlarged_picture(first[0], f"the photo {name}", f"the photo: {cut(name, 40)}")
    blocks, results = [paragraph(note), photo], {}
    for i, layer in enumerate(subject.layers):
        subject.on_progress(i, len(subject.layers), layer)
        made, results[layer] = of_layer(subject, first, layer)
        blocks += made
    return Section("What units look for", tuple(blocks), {"image": name, "layers": results})


def of_layer(subject, first, layer):
    """(blocks, numbers) of one layer."""
    try:
        found = activation_maps(subject.probe, first, layer, sort="max")
    except ValueError as error:
        return [heading(layer), paragraph(error, soft=True)], {"refused": str(error)}
    shown, silent = found.table.head(MOST), int((found.table["max"] <= 0).sum())
    title = f"{layer}: {found.units} units, maps of {found.values.shape[1]}×{found.values.shape[2]}"
    blocks = [heading(title), sheet(subject, found, shown, silent)]
    try:
        projected = deconvnet(subject.probe, first, layer=layer, top=min(STRONGEST, found.units))
    except ValueError as error:
        blocks.append(paragraph(error, soft=True))
    else:
        blocks += projections(subject, found, projected, layer)
    strongest = shown[["unit", "max", "mean", "positive"]].to_dict("records")
    return blocks, {"units": found.units, "silent": silent, "strongest": strongest}


def sheet(subject, found, shown, silent):
    """The maps of the most active units."""
    maps = np.moveaxis(found.values[0], -1, 0)[: len(shown)]
    titles = [f"{unit:.0f}  max {compact(most)}" for unit, most in zip(shown["unit"], shown["max"], strict=True)]
    scale = "0 is dark; each map's scale ends at its 99.5th percentile"
    if found.signed:
        scale = "0 is white, red above, blue below; each map's scale ends at ± the 99.5th percentile of its |values|"
    if maps[0].size == 1:
        scale = "the layer has no places: one square a unit, all on one scale"
    some = f"the {len(maps)} of {found.units} units that answer most" if len(maps) < found.units else "all units"
    alt = (
        f"{found.layer}: maps of {some}, from unit {titles[0].replace('  max', ', up to')} "
        f"down to unit {titles[-1].replace('  max', ', up to')}; {silent} of {found.units} units answer nowhere"
    )
    caption = (
        f"{some.capitalize()}, largest first; {scale}; striped: 0 everywhere. {silent} of {found.units} are silent."
    )
    again = code(
        subject, f"found = visualize.activation_maps(model, photos[:1], {found.layer!r}, sort='max')", "found.plot()"
    )
    drawing = figures.sheet(maps, titles, found.signed)
    return figure(drawing, alt, caption, again, name=f"maps-{found.layer}")


def projections(subject, found, projected, layer):
    """Of each of the strongest units its map, the projection of its largest answer, and the patch that it sees."""
    again = code(subject, f"visualize.deconvnet(model, photos[:1], layer={layer!r}, top={len(projected)}).plot()")
    return row([row(of_unit(found, projected, k)) for k in range(len(projected))]), snippet(again)


def of_unit(found, projected, k):
    """The three pictures of a unit."""
    unit, strength = int(projected.facts["units"][k]), compact(float(projected.scores[k]))
    place = [*found.table["unit"]].index(unit)
    box = framed(projected.facts["boxes"][k], projected.images.shape[1:3])
    high, wide = box[2] - box[0], box[3] - box[1]
    signal, scale = figures.signal(cut_out(projected.values[k], box, 0.0))
    patch = cut_out(projected.images[k], box, 127.5)
    sees = f"sees {'all' if (high, wide) == projected.images.shape[1:3] else ''} {high}×{wide} px".replace("  ", " ")
    called, share = f"unit {unit} of {found.layer}", f"{found.table['positive'].iloc[place]:.0%}"
    return (
        enlarged_picture(
            in_place(found, place),
            f"{called}: above 0 at {share} of the places, largest {strength}",
            f"unit {unit}: up to {strength}",
            SIDE,
            kind="map",
            name=f"u-{found.layer}-{unit}",
        ),
        enlarged_picture(
            signal,
            f"what {called} answered to, within the {high}×{wide} pixels that it sees; {scale.words}",
            f"±{compact(scale.high)}",
            SIDE,
            kind="map",
        ),
        enlarged_picture(patch, f"the patch that {called} sees", sees, SIDE),
    )


def in_place(found, place):
    """The map of a unit in colors, as large as the pictures beside it."""
    values = found.values[0, ..., place]
    together = scale_of(found.values[0], found.signed, 100) if values.size == 1 else None
    shape = round(2 * SIDE * values.shape[0] / values.shape[1]), 2 * SIDE
    return figures.tile(values, shape, found.signed, together)


def framed(box, size):
    """What a unit sees, whole numbers; of one that sees as much as the photo, the photo."""
    top, left, bottom, right = map(int, box)
    if bottom - top >= size[0]:
        top, bottom = 0, size[0]
    if right - left >= size[1]:
        left, right = 0, size[1]
    return top, left, bottom, right
