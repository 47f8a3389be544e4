"""Feature maps of the first photo at each stage, and projections of the strongest units."""

import numpy as np

from ...plots.primitives import scale_for
from ...support.text import format_number, shorten_middle
from ...visualize.attribution.figures import crop_box
from ...visualize.attribution.gradients import deconvnet
from ...visualize.features.activations import activation_maps
from .. import figures
from ..context import Skipped
from ..figures import code_details, figure_code, pixel_picture
from ..page import Section, block_row, figure, heading, paragraph

MOST, STRONGEST = 24, 4  # units of a layer, as maps and with their projections
SIDE = 158  # CSS pixels of a picture; two units of three fit beside each other


def units_section(subject):
    """Maps of the most active units of each layer, the strongest ones projected back to the pixels."""
    first = subject.photo_inputs(1)
    if not subject.layers:
        raise Skipped("the network has no convolutional layer to show; use --layers to name others")
    name = subject.sample_names[0]
    note = (
        "Each map shows the response of a unit at every position of the photo. The projection "
        "(deconvnet, Zeiler & Fergus 2014) carries the largest response back to the pixels: it shows "
        "what in the image patch the unit responded to, but nothing about what else it would respond to. "
        "The text below it gives the ends of its scale; mid-gray is 0."
    )
    photo = pixel_picture(subject.photos[0], f"the photo {name}", f"the photo: {shorten_middle(name, 40)}")
    blocks, results = [paragraph(note), photo], {}
    for i, layer in enumerate(subject.layers):
        subject.on_progress(i, len(subject.layers), layer)
        blocks_of_layer, results[layer] = layer_blocks(subject, first, layer)
        blocks += blocks_of_layer
    return Section("What units respond to", tuple(blocks), {"image": name, "layers": results})


def layer_blocks(subject, first, layer):
    """(blocks, numbers) of one layer."""
    try:
        activations = activation_maps(subject.lens, first, layer, sort="max")
    except ValueError as error:
        return [heading(layer), paragraph(error, soft=True)], {"refused": str(error)}
    strongest_rows, silent = activations.table.head(MOST), int((activations.table["max"] <= 0).sum())
    title = (
        f"{layer}: {activations.unit_count} units, maps of {activations.values.shape[1]}×{activations.values.shape[2]}"
    )
    blocks = [heading(title), maps_figure(subject, activations, strongest_rows, silent)]
    try:
        projected = deconvnet(subject.lens, first, layer=layer, top=min(STRONGEST, activations.unit_count))
    except ValueError as error:
        blocks.append(paragraph(error, soft=True))
    else:
        blocks += projection_blocks(subject, activations, projected, layer)
    strongest = strongest_rows[["unit", "max", "mean", "positive"]].to_dict("records")
    return blocks, {"units": activations.unit_count, "silent": silent, "strongest": strongest}


def maps_figure(subject, activations, rows, silent):
    """The maps of the most active units."""
    maps = np.moveaxis(activations.values[0], -1, 0)[: len(rows)]
    titles = [
        f"{unit:.0f}  max {format_number(maximum)}" for unit, maximum in zip(rows["unit"], rows["max"], strict=True)
    ]
    scale = "dark is 0; the scale of each map ends at its 99.5th percentile"
    if activations.has_negative:
        scale = (
            "white is 0, red positive, blue negative; the scale of each map ends at ± the 99.5th percentile "
            "of its |values|"
        )
    if maps[0].size == 1:
        scale = "the layer has no spatial positions: one square per unit, all on one scale"
    selection = (
        f"the {len(maps)} of {activations.unit_count} units with the strongest response"
        if len(maps) < activations.unit_count
        else "all units"
    )
    alt = (
        f"{activations.layer}: maps of {selection}, from unit {titles[0].replace('  max', ', up to')} to unit "
        f"{titles[-1].replace('  max', ', up to')}; {silent} of {activations.unit_count} units are 0 everywhere"
    )
    caption = (
        f"{selection.capitalize()}, strongest first; {scale}; hatched: 0 everywhere. "
        f"{silent} of {activations.unit_count} units are 0 everywhere."
    )
    code = figure_code(
        subject,
        f"maps = visualize.activation_maps(model, photos[:1], {activations.layer!r}, sort='max')",
        "maps.plot()",
    )
    drawing = figures.map_sheet(maps, titles, activations.has_negative)
    return figure(drawing, alt, caption, code, name=f"maps-{activations.layer}")


def projection_blocks(subject, activations, projected, layer):
    """For each of the strongest units its map, the projection of its maximum, and the image patch it sees."""
    code = figure_code(subject, f"visualize.deconvnet(model, photos[:1], layer={layer!r}, top={len(projected)}).plot()")
    return block_row(
        [block_row(unit_pictures(activations, projected, k)) for k in range(len(projected))]
    ), code_details(code)


def unit_pictures(activations, projected, k):
    """The three pictures of a unit."""
    unit, strength = int(projected.metadata["units"][k]), format_number(float(projected.scores[k]))
    index = [*activations.table["unit"]].index(unit)
    box = clip_box(projected.metadata["boxes"][k], projected.images.shape[1:3])
    high, wide = box[2] - box[0], box[3] - box[1]
    signal, scale = figures.signal_colors(crop_box(projected.values[k], box, 0.0))
    patch = crop_box(projected.images[k], box, 127.5)
    sees = f"receptive field {'all' if (high, wide) == projected.images.shape[1:3] else ''} {high}×{wide} px".replace(
        "  ", " "
    )
    unit_label, share = f"unit {unit} of {activations.layer}", f"{activations.table['positive'].iloc[index]:.0%}"
    return (
        pixel_picture(
            unit_map(activations, index),
            f"{unit_label}: above 0 at {share} of the positions, maximum {strength}",
            f"unit {unit}: up to {strength}",
            SIDE,
            kind="map",
            name=f"u-{activations.layer}-{unit}",
        ),
        pixel_picture(
            signal,
            f"what {unit_label} responded to within its receptive field of {high}×{wide} pixels; {scale.words}",
            f"±{format_number(scale.high)}",
            SIDE,
            kind="map",
        ),
        pixel_picture(patch, f"image patch in the receptive field of {unit_label}", sees, SIDE),
    )


def unit_map(activations, index):
    """The map of a unit in colors, as large as the pictures beside it."""
    values = activations.values[0, ..., index]
    shared_scale = scale_for(activations.values[0], activations.has_negative, 100) if values.size == 1 else None
    shape = round(2 * SIDE * values.shape[0] / values.shape[1]), 2 * SIDE
    return figures.map_tile(values, shape, activations.has_negative, shared_scale)


def clip_box(box, size):
    """The receptive field in whole pixels; the whole photo if it is as large."""
    top, left, bottom, right = map(int, box)
    if bottom - top >= size[0]:
        top, bottom = 0, size[0]
    if right - left >= size[1]:
        left, right = 0, size[1]
    return top, left, bottom, right
