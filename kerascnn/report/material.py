"""From what a user gives, a network and images in any form, to the `Subject` that sections ask."""

import os
from itertools import islice

import numpy as np

from ..data import Images, gather
from ..evaluation.classes import aligned
from ..evaluation.images import chunks, labelled
from ..predictions import cutting, named, none_readable, prepared, readable
from ..registry import sources, unknown
from . import hashes
from .stages import stage_layers
from .subject import DRAWN, EFFORTS, JUDGED, POOL, Subject

BATCH = 64


def subject(model, data, images, *, classes, transfer, effort, layers, seed, preprocess, tell):
    """The `Subject`; its ``facts`` have the hashes, the counts, and what is to be told of them."""
    from ..anatomy import walk
    from ..visualize import Probe

    if effort not in EFFORTS:
        raise ValueError(unknown("effort", effort, EFFORTS))
    model = opened(model)
    walk(model)  # says what is wrong with what is no model
    facts = {"model": hashes.of_model(model), "notes": []}
    try:
        probe = Probe(model, preprocess=preprocess)
        cutting(model)
    except ValueError as error:  # several inputs, or none of images: what needs no image can still be said
        facts["mute"] = str(error)
        return Subject(model, model.name, None, effort=effort, seed=seed, transfer=transfer, tell=tell, facts=facts)
    given = None if data is None else chosen(labelled(data), effort, seed, facts)
    given, classes = renumbered(given, classes, probe)
    rng = np.random.default_rng(seed)
    few, many = DRAWN[effort], POOL[effort]
    shown = None if given is None else given.take(spread(given.labels, rng)[:many])
    samples, names, labels, pool = None, (), None, None
    if shown is not None:
        pool = pixels(model, shown)
        samples, names, labels = pool[:few], shown.names[:few], shown.labels[:few]
    if images is not None:
        read, names = photos(model, gather(images), few if pool is not None else many, facts)
        samples, names, labels = read[:few], names[:few], None
        pool = read if pool is None else pool
    facts["images"] = {"judged": 0 if given is None else len(given), "statistics": 0 if pool is None else len(pool)}
    parts = [hashes.of_images(given), *names, *([] if samples is None else [samples, pool])]
    facts["data"] = hashes.digest(*parts) if samples is not None else ""
    facts["preprocess"] = hashes.of_preprocess(preprocess, probe.shape)
    layers = tuple(probe.tap(layer) for layer in layers) if layers else stage_layers(probe)
    return Subject(
        model, model.name, probe, classes, samples, tuple(map(short, names)), labels, given, pool, layers, effort, seed,
        transfer, tell, facts,
    )  # fmt: skip


def opened(model):
    """The network: itself, of the zoo by its name with the best weights there are, or from a file."""
    if not isinstance(model, str | os.PathLike):
        return model
    import keras

    if os.path.exists(model):
        return keras.saving.load_model(model, compile=False)
    from ..build import build_model, card

    row = card(str(model))
    known = sources().get(row.name, ())
    weights = known[0].name if known and known[0].shipped else "imagenet" if known else None
    return build_model(row.name, weights=weights)


def chosen(given, effort, seed, facts):
    """The `Images` that judge, as many as the effort is for, drawn at random of more."""
    images, most = given.images, JUDGED[effort]
    facts["source"] = str(given.data)
    if given.failed:
        facts["notes"].append(f"{len(given.failed)} images of the data could not be read and are left out")
    if most is None or len(images) <= most:
        return images
    facts["notes"].append(f"{most:,} of {len(images):,} labelled images judge, drawn with seed {seed}: --full for all")
    return images.take(np.sort(np.random.default_rng(seed).permutation(len(images))[:most]))


def renumbered(images, classes, probe):
    """(the `Images` with labels as the model numbers its classes, these classes' names or None)."""
    width = probe.output.shape[-1] if len(probe.output.shape) == 1 else None
    if width is None or images is None:
        return images, None if width is None else named(classes, max(width, 2), probe.model)
    numbers, names = aligned(images.labels, images.classes, classes, max(width, 2), probe.model)
    called = names or tuple(str(i) for i in range(max(width, 2)))
    return Images(images.items, np.asarray(numbers), called, images.names), names


def spread(labels, rng):
    """Positions in an order that meets every class once before any twice, drawn at random."""
    order = rng.permutation(len(labels))
    turn, seen = np.empty(len(labels), int), {}
    for i in order:
        turn[i] = seen.get(labels[i], 0)
        seen[labels[i]] = turn[i] + 1
    return order[np.argsort(turn[order], kind="stable")]


def pixels(model, images):
    """`Images` as pixels (N, H, W, C), float32, cut as `evaluate` cuts them."""
    cut, found = cutting(model), []
    for _, some in chunks(model, labelled(images), BATCH):
        arrays = readable(prepared([*gather(some)], cut, BATCH), [], {})
        found.extend(arrays)
    return np.stack(found)


def photos(model, given, most, facts):
    """(pixels, names) of the first ``most`` of what `gather` found that can be read."""
    names, errors = [], {}
    found = [*islice(readable(prepared(given, cutting(model), BATCH), names, errors), most)]
    if not found:
        raise none_readable(given, errors, {name: error.reason for name, error in errors.items()})
    if errors:
        facts["notes"].append(f"{len(errors)} images could not be read and are left out")
    return np.stack(found), names[:most]


def short(name):
    """A file's name without its folders."""
    return os.path.basename(str(name)) or str(name)
