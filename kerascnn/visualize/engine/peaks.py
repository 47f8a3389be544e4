"""Where in an image the channels of a layer are strongest, and what of it they see."""

import numpy as np
from keras import ops

from ...anatomy.receptive_field import receptive_field
from .query import Question, ask


def peaks(asked, shown, layer):
    """The largest activation of each channel (N, C), and its place (N, C, 2), the first of equal ones.

    Channels of a layer without places have (N, C, 0).
    """
    question = Question(("peaks", layer), lambda run, score: largest(run[layer]), backward=False)
    found = ask(asked, question, shown.pixels, shown.others)
    return found["largest"], found["places"]


def largest(maps):
    """What is read of a batch of activations (N, .., C)."""
    flat = ops.reshape(maps, (ops.shape(maps)[0], -1, maps.shape[-1]))
    first = ops.cast(ops.argmax(flat, 1), "int32")
    width = ops.shape(maps)[2] if len(maps.shape) == 4 else None
    places = ops.stack([first // width, first % width], -1) if width is not None else first[..., None][..., :0]
    return {"largest": ops.max(flat, 1), "places": places}


def strongest(asked, shown, layer, top):
    """The ``top`` channels of a layer for each image by their largest activation, (N, top)."""
    return order(peaks(asked, shown, layer)[0], layer, top)


def order(strengths, layer, top):
    """The ``top`` largest of each row, the first of equal ones."""
    size = strengths.shape[-1]
    if not 1 <= top <= size:
        raise ValueError(f"`top` should be from 1 to the {size} channels of {layer}. Received: {top}")
    return np.argsort(-strengths, axis=-1, kind="stable")[:, :top]


def named_units(unit, strengths, layer):
    """The same channels for each image, (N, units)."""
    units = np.atleast_1d(unit)
    if units.ndim != 1 or units.dtype.kind not in "iu" or not ((units >= 0) & (units < strengths.shape[-1])).all():
        raise ValueError(
            f"`unit` should be from 0 to {strengths.shape[-1] - 1}, a channel of {layer}. Received: {unit}"
        )
    return np.repeat(units[None], len(strengths), axis=0)


def fields(asked, shown, layer, places):
    """(top, left, bottom, right) of what units at ``places`` see, bottom and right excluded, (N, 4).

    They may lie outside the image; the whole image where the receptive field is not known.
    """
    size = shown.pixels.shape[1:]
    shape = size if None in asked.shape else None
    try:
        field = receptive_field(asked.model, layer, asked.input, input_shape=shape)
        return np.array([field.box(tuple(place) if len(place) else None) for place in places])
    except ValueError:
        return np.tile([0, 0, *size[:2]], (len(places), 1))
