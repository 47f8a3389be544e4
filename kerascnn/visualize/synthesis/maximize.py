"""What a class, a unit, a layer or a direction likes best: activation maximization (Erhan 2009, Simonyan 2014)."""

from dataclasses import replace

import numpy as np

from ...anatomy.receptive_field import receptive_field
from ...inputs.classifier import class_numbers
from ...support.text import unknown
from ..attribution.attribution import label_of, predicted
from ..engine.lens import probe
from ..engine.query import Question, ask, pictures, unsteps
from ..engine.scores import channel, energy, log_probability, logit, neuron, peak
from ..features.activations import check_units
from .synthesize import climb

KINDS = {"channel": channel, "neuron": neuron, "peak": peak}
LEAST = 64  # pixels of a picture, so that there is something to see


def maximize(
    model,
    layer=None,
    units=None,
    *,
    classes=None,
    score=None,
    kind="channel",
    recipe="lucid",
    start=None,
    size=None,
    copies=1,
    apart=None,
    steps=None,
    seed=0,
    bounds=(0.0, 255.0),
    keep=(),
    until=None,
    labels=None,
    names=None,
    others=None,
    batch=None,
    on_progress=None,
):
    """Pictures that a network's classes, units or scores answer most to.

    One of ``classes``, ``layer`` and ``score`` is asked for. What is not explained here is as in `climb`.

    Args:
        model: any Keras model, or a `Probe` of one.
        layer: a layer whose units are asked for.
        units: their numbers, by default all; "all" is the energy of the whole layer.
        classes: numbers or names, by their scores before the softmax.
        score: any other `Score`.
        kind: of a unit the mean of the "channel", its middle "neuron" or its "peak".
        size: (height, width) or one side of squares; by default two receptive fields of the units, or the model's own.
        labels: the names of all classes.

    Returns:
        A `Synthesis` with ``copies`` images of each class, unit or row of the score.
    """
    given = [name for name, value in (("classes", classes), ("layer", layer), ("score", score)) if value is not None]
    if len(given) != 1:
        raise ValueError(f"`maximize` should have one of classes, layer, score. Received: {', '.join(given) or 'none'}")
    asked = probe(model)
    if classes is not None:
        numbers, named = named_classes(asked, classes, labels)
        score, names = logit(numbers), names or named
    elif score is None:
        score, named = unit_scores(asked, layer, units, kind)
        names, size = names or named, size or canvas(asked, layer)
    return climb(
        asked,
        score,
        recipe=recipe,
        start=start,
        size=size,
        copies=copies,
        apart=apart,
        steps=steps,
        seed=seed,
        bounds=bounds,
        keep=keep,
        until=until,
        names=names,
        others=others,
        batch=batch,
        on_progress=on_progress,
    )


def unrecognizable(
    model,
    classes,
    *,
    goal=0.99,
    recipe="unrecognizable",
    start=None,
    size=None,
    copies=1,
    apart=None,
    steps=None,
    seed=0,
    bounds=(0.0, 255.0),
    keep=(),
    labels=None,
    names=None,
    batch=None,
    on_progress=None,
):
    """Noise that a network takes for classes, and people for nothing.

    From noise the log-probability is climbed without any prior (Nguyen et al. 2015, by gradient). What is not explained
    here is as in `climb`.

    Args:
        model: any Keras model, or a `Probe` of one.
        classes: numbers or names, a picture for each.
        goal: the probability of the class above which an image is good enough.
        labels: the names of all classes.

    Returns:
        A `Synthesis`; ``facts`` have each image's ``probability`` as it is, and as integer pixels, ``rounded``.
    """
    if not 0 < goal < 1:
        raise ValueError(f"`goal` should be a probability between 0 and 1. Received: {goal!r}")
    asked = probe(model)
    numbers, named = named_classes(asked, classes, labels)
    found = climb(
        asked,
        log_probability(numbers),
        recipe=recipe,
        start=start,
        size=size,
        copies=copies,
        apart=apart,
        steps=steps,
        seed=seed,
        bounds=bounds,
        keep=keep,
        until=np.log(1 - 0.7 * (1 - goal)),  # a little further, as pixels are rounded in a file
        names=names or named,
        batch=batch,
        on_progress=on_progress,
    )
    whole = np.clip(np.rint(found.images), 0, 255)
    probs = (predicted(asked, pictures(asked, unsteps(each, bounds))) for each in (found.images, whole))
    each = np.repeat(numbers, len(found) // len(numbers))
    certain, rounded = (every[np.arange(len(every)), each] for every in probs)
    return replace(found, facts=found.facts | {"probability": certain, "rounded": rounded})


def named_classes(asked, classes, labels):
    """(numbers of classes, what they are called)."""
    count = max(asked.output.shape[-1], 2)
    numbers = class_numbers(classes, count, class_names=labels, model=asked.model)
    return numbers, [label_of(int(k), count, labels) for k in numbers]


def unit_scores(asked, layer, units, kind):
    """The score of a layer's units, and what they are called."""
    node = asked.graph.find(layer)
    if isinstance(units, str) and units == "all":
        return energy(node.name), [f"{node.name}, all of it"]
    if kind not in KINDS:
        raise ValueError(unknown("kind", kind, KINDS))
    numbers = check_units(units, node.shape[-1], node.name)
    return KINDS[kind](node.name, numbers), [f"{node.name}:{k}" for k in numbers]


def canvas(asked, layer):
    """(H, W) of a picture for units of a layer: two receptive fields, at most the network's own size; None for that."""
    own = tuple(side or 224 for side in asked.shape[:2])
    node = asked.graph.find(layer)
    try:
        field = receptive_field(asked.graph, node.name).size
    except ValueError:  # it sees the whole image, or nobody knows what
        return own
    if len(node.shape) != 3 or not all(field):
        return own
    return tuple(min(side, max(LEAST, -(-2 * seen // 16) * 16)) for side, seen in zip(own, field, strict=True))


def facets(
    model,
    images,
    layer=None,
    unit=None,
    *,
    classes=None,
    count=4,
    top=None,
    labels=None,
    recipe="facet",
    steps=None,
    seed=0,
    bounds=(0.0, 255.0),
    keep=(),
    batch=None,
    on_progress=None,
):
    """The faces of one unit or class: a picture begun from each cluster of its images.

    The images that score best are clustered by what the network makes of them (k-means on `features`; Nguyen et al.
    2016). What is not explained here is as in `climb`.

    Args:
        model: any Keras model, or a `Probe` of one.
        images: an array (N, H, W, C) of pixels 0..255, or photos in any form that `predict` takes.
        layer: the layer of the unit.
        unit: its number.
        classes: one class, by number or name, in place of a unit.
        count: how many facets.
        top: how many of the best images are clustered, by default 15 a facet.
        labels: the names of all classes.

    Returns:
        A `Synthesis`; ``facts`` say which images are the ``members`` of each cluster, and how each picture ``began``.
    """
    from sklearn.cluster import KMeans

    asked = probe(model)
    shown = pictures(asked, images)
    if (classes is None) == (layer is None or unit is None):
        raise ValueError("`facets` should have one class (classes=) or one unit of a layer (layer=, unit=)")
    if layer is None:
        numbers, named = named_classes(asked, classes, labels)
        if len(numbers) != 1:
            raise ValueError(f"`classes` should be one class. Received: {classes!r}")
        name, score = named[0], logit(numbers)
    else:
        name = f"{layer}:{unit}"
        score = channel(layer, check_units(unit, asked.graph.find(layer).shape[-1], layer))
    seen = replace(shown, pixels=unsteps(shown.pixels, bounds))
    scores, features = scores_and_features(asked, seen, score, batch)
    best = np.argsort(-scores)[: min(top or 15 * count, len(scores))]
    if len(best) < count:
        raise ValueError(f"`images` should be at least as many as facets, {count}. Received: {len(best)}")
    clusters = KMeans(count, n_init=10, random_state=seed).fit_predict(features[best])
    order = np.argsort([-scores[best][clusters == k].mean() for k in range(count)])
    means = np.stack([shown.pixels[best[clusters == k]].mean(0) for k in order])
    names = [f"{name}, facet {k + 1} of {int((clusters == c).sum())} images" for k, c in enumerate(order)]
    found = climb(
        asked,
        score,
        recipe=recipe,
        start=means,
        steps=steps,
        seed=seed,
        bounds=bounds,
        keep=keep,
        names=names,
        batch=batch,
        on_progress=on_progress,
    )
    members = [tuple(shown.names[i] for i in best[clusters == c]) for c in order]
    return replace(found, facts=found.facts | {"members": members, "began": means})


def scores_and_features(asked, shown, score, batch=None):
    """(score of each image, what the network makes of it: `features`, each channel's mean)."""
    layer = asked.features()

    def answer(run, score):
        return {"scores": score, "features": run[layer]}

    found = ask(
        asked, Question(("described", layer), answer, score, backward=False), shown.pixels, shown.others, batch=batch
    )
    maps = found["features"]
    return found["scores"], maps.reshape(len(maps), -1, maps.shape[-1]).mean(1)
