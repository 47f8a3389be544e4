"""Images that maximize a class, a unit or a layer: activation maximization (Erhan 2009, Simonyan 2014)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Literal

import numpy as np

from ...anatomy.receptive_field import receptive_field
from ...inputs.class_names import resolve_class_names
from ...inputs.classifier import class_numbers
from ...support.text import unknown_name
from ...support.types import Array, Classes, ClassNames, Images, Model, OnProgress, Size, Units
from ..attribution.attribution import class_label, predict_probabilities
from ..engine.lens import Lens, lens
from ..engine.query import Query, from_pixel_range, pictures, run_query
from ..engine.scores import Score, channel, energy, log_probability, logit, neuron, peak
from ..features.activations import unit_numbers
from .recipes import SynthesisRecipe
from .synthesize import Synthesis, synthesize

KINDS = {"channel": channel, "neuron": neuron, "peak": peak}
MIN_SIZE = 64  # pixels: the smallest default size


def maximize(
    model: Model | Lens,
    layer: str | None = None,
    units: Units | Literal["all"] | None = None,
    *,
    classes: Classes | None = None,
    score: Score | Callable | None = None,
    kind: Literal["channel", "neuron", "peak"] = "channel",
    recipe: SynthesisRecipe | str = "lucid",
    start: Array | None = None,
    size: Size | None = None,
    copies: int = 1,
    diversity: tuple[str, float] | None = None,
    steps: int | None = None,
    seed: int = 0,
    bounds: tuple[float, float] = (0.0, 255.0),
    keep: Sequence[int] = (),
    until: float | None = None,
    class_names: ClassNames | None = None,
    titles: Sequence[str] | None = None,
    others: Mapping[str, Array] | None = None,
    batch_size: int | None = None,
    on_progress: OnProgress | None = None,
) -> Synthesis:
    """Images that maximize classes, units of a layer, or any other score.

    Exactly one of ``classes``, ``layer`` and ``score`` says what is maximized.

    Args:
        model: any Keras model, or a `Lens` of one.
        layer: layer whose units are maximized.
        units: channel numbers; by default every channel, one image each. "all" maximizes the mean squared
            activation of the whole layer.
        classes: class numbers or names; their logits are maximized.
        score: any other `Score` to maximize.
        kind: what is maximized of a unit: the mean over positions ("channel"), the center ("neuron") or the
            largest value ("peak").
        recipe: a name in `RECIPES`, or a `SynthesisRecipe`.
        start: initial images (N, H, W, C), pixels 0..255; by default those of the recipe.
        size: (height, width), or one number for squares; by default two receptive fields of the units, or the
            input size of the model.
        copies: number of images for each target, from different noise.
        diversity: (layer, weight) that keeps copies different, by the cosine similarity of their
            Gram matrices at the layer (Olah et al. 2017).
        steps: number of steps; by default the recipe's.
        seed: random seed of noise and transforms.
        bounds: input values of the model for black and white.
        keep: step counts after which intermediate images are stored.
        until: stop changing an image when its score reaches this value.
        class_names: names of all classes of the model.
        titles: one title for each target.
        others: {name: array} for the other inputs of the model.
        batch_size: images that go through the model at once; by default as many as memory allows.
        on_progress: called as `on_progress(done, total, what)`; it may raise to stop.

    Returns:
        A `Synthesis` with ``copies`` images of each class, unit or row of the score.
    """
    passed = [name for name, value in (("classes", classes), ("layer", layer), ("score", score)) if value is not None]
    if len(passed) != 1:
        received = ", ".join(passed) or "none"
        raise ValueError(f"`maximize` should have exactly one of `classes`, `layer` and `score`. Received: {received}")
    network = lens(model)
    if classes is not None:
        numbers, names = classes_and_titles(network, classes, class_names)
        score, titles = logit(numbers), titles or names
    elif score is None:
        score, names = unit_score(network, layer, units, kind)
        titles, size = titles or names, size or default_size(network, layer)
    return synthesize(
        network,
        score,
        recipe=recipe,
        start=start,
        size=size,
        copies=copies,
        diversity=diversity,
        steps=steps,
        seed=seed,
        bounds=bounds,
        keep=keep,
        until=until,
        titles=titles,
        others=others,
        batch_size=batch_size,
        on_progress=on_progress,
    )


def unrecognizable(
    model: Model | Lens,
    classes: Classes,
    *,
    goal: float = 0.99,
    recipe: SynthesisRecipe | str = "unrecognizable",
    start: Array | None = None,
    size: Size | None = None,
    copies: int = 1,
    diversity: tuple[str, float] | None = None,
    steps: int | None = None,
    seed: int = 0,
    bounds: tuple[float, float] = (0.0, 255.0),
    keep: Sequence[int] = (),
    class_names: ClassNames | None = None,
    titles: Sequence[str] | None = None,
    batch_size: int | None = None,
    on_progress: OnProgress | None = None,
) -> Synthesis:
    """Fooling images: noise that the network classifies with high confidence.

    Starting from noise, the log-probability is maximized without any prior (Nguyen et al. 2015, by gradient).

    Args:
        model: any Keras model, or a `Lens` of one.
        classes: class numbers or names, one image each.
        goal: stop when the class reaches this probability.
        recipe: a name in `RECIPES`, or a `SynthesisRecipe`.
        start: initial images (N, H, W, C), pixels 0..255; by default those of the recipe.
        size: (height, width), or one number for squares; by default the input size of the model.
        copies: number of images for each target, from different noise.
        diversity: (layer, weight) that keeps copies different, by the cosine similarity of their
            Gram matrices at the layer (Olah et al. 2017).
        steps: number of steps; by default the recipe's.
        seed: random seed of noise and transforms.
        bounds: input values of the model for black and white.
        keep: step counts after which intermediate images are stored.
        class_names: names of all classes of the model.
        titles: one title for each target.
        batch_size: images that go through the model at once; by default as many as memory allows.
        on_progress: called as `on_progress(done, total, what)`; it may raise to stop.

    Returns:
        A `Synthesis`; its ``metadata`` has the ``probability`` of the class for each image, and that after rounding
        to integer pixels (``rounded``).
    """
    if not 0 < goal < 1:
        raise ValueError(f"`goal` should be a probability between 0 and 1. Received: {goal!r}")
    network = lens(model)
    numbers, names = classes_and_titles(network, classes, class_names)
    result = synthesize(
        network,
        log_probability(numbers),
        recipe=recipe,
        start=start,
        size=size,
        copies=copies,
        diversity=diversity,
        steps=steps,
        seed=seed,
        bounds=bounds,
        keep=keep,
        until=np.log(1 - 0.7 * (1 - goal)),  # beyond the goal, which should hold after rounding to integers too
        titles=titles or names,
        batch_size=batch_size,
        on_progress=on_progress,
    )
    rounded = np.clip(np.rint(result.images), 0, 255)
    targets = np.repeat(numbers, len(result) // len(numbers))
    probabilities = {
        "probability": target_probabilities(network, result.images, targets, bounds),
        "rounded": target_probabilities(network, rounded, targets, bounds),
    }
    return replace(result, metadata=result.metadata | probabilities)


def target_probabilities(network, images, targets, bounds):
    """The probability of each image's target class."""
    probabilities = predict_probabilities(network, pictures(network, from_pixel_range(images, bounds)))
    return probabilities[np.arange(len(images)), targets]


def classes_and_titles(network, classes, class_names):
    """The class numbers, and a title for each."""
    count = max(network.output.shape[-1], 2)
    if class_names is None:
        class_names = resolve_class_names(None, count, network.model)
    numbers = class_numbers(classes, count, class_names=class_names or False, model=network.model)
    return numbers, [class_label(int(k), count, class_names) for k in numbers]


def unit_score(network, layer, units, kind):
    """The score of the units of a layer, and a title for each."""
    node = network.graph.find(layer)
    if isinstance(units, str) and units == "all":
        return energy(node.name), [f"{node.name}, all channels"]
    if kind not in KINDS:
        raise ValueError(unknown_name("kind", kind, KINDS))
    numbers = unit_numbers(units, node.shape[-1], node.name)
    return KINDS[kind](node.name, numbers), [f"{node.name}:{k}" for k in numbers]


def default_size(network, layer):
    """(H, W) of images for units of a layer: two receptive fields, at most the input size of the model."""
    input_size = tuple(side or 224 for side in network.shape[:2])
    node = network.graph.find(layer)
    try:
        field = receptive_field(network.graph, node.name).size
    except ValueError:  # the receptive field is the whole image, or unknown
        return input_size
    if len(node.shape) != 3 or not all(field):
        return input_size
    return tuple(
        min(side, max(MIN_SIZE, -(-2 * width // 16) * 16)) for side, width in zip(input_size, field, strict=True)
    )


def facets(
    model: Model | Lens,
    images: Images,
    layer: str | None = None,
    unit: int | None = None,
    *,
    classes: Classes | None = None,
    count: int = 4,
    top: int | None = None,
    class_names: ClassNames | None = None,
    recipe: SynthesisRecipe | str = "facet",
    steps: int | None = None,
    seed: int = 0,
    bounds: tuple[float, float] = (0.0, 255.0),
    keep: Sequence[int] = (),
    batch_size: int | None = None,
    on_progress: OnProgress | None = None,
) -> Synthesis:
    """Facets of one unit or class: one image started from each cluster of photos.

    The images of the highest score are clustered by their features (k-means on the mean of each channel of the last
    feature maps; Nguyen et al. 2016).

    Args:
        model: any Keras model, or a `Lens` of one.
        images: an array (N, H, W, C) of pixels 0..255, or photos in any form that `predict` takes.
        layer: layer of the unit.
        unit: channel number.
        classes: one class number or name, instead of a unit.
        count: number of facets.
        top: number of highest-scoring images to cluster; by default 15 per facet.
        class_names: names of all classes of the model.
        recipe: a name in `RECIPES`, or a `SynthesisRecipe`.
        steps: number of steps; by default the recipe's.
        seed: random seed of noise and transforms.
        bounds: input values of the model for black and white.
        keep: step counts after which intermediate images are stored.
        batch_size: images that go through the model at once; by default as many as memory allows.
        on_progress: called as `on_progress(done, total, what)`; it may raise to stop.

    Returns:
        A `Synthesis`; its ``metadata`` has the names of the images of each cluster (``members``) and the mean images
        that the facets started from (``began``).
    """
    from sklearn.cluster import KMeans

    network = lens(model)
    photos = pictures(network, images)
    arguments = {"classes": classes, "layer": layer, "unit": unit}
    if (classes is None) == (layer is None or unit is None):
        received = ", ".join(name for name, value in arguments.items() if value is not None) or "none"
        raise ValueError(
            "`facets` should have either one class (`classes`) or one unit of a layer (`layer` and `unit`). "
            f"Received: {received}"
        )
    if layer is None:
        numbers, labels = classes_and_titles(network, classes, class_names)
        if len(numbers) != 1:
            raise ValueError(f"`classes` should be one class. Received: {classes!r}")
        name, score = labels[0], logit(numbers)
    else:
        name = f"{layer}:{unit}"
        score = channel(layer, unit_numbers(unit, network.graph.find(layer).shape[-1], layer))
    inputs = replace(photos, pixels=from_pixel_range(photos.pixels, bounds))
    scores, features = scores_and_features(network, inputs, score, batch_size)
    best = np.argsort(-scores)[: min(top or 15 * count, len(scores))]
    if len(best) < count:
        raise ValueError(
            f"`images` should have at least one image for each of the {count} facets. Received: {len(best)} images"
        )
    clusters = KMeans(count, n_init=10, random_state=seed).fit_predict(features[best])
    order = np.argsort([-scores[best][clusters == k].mean() for k in range(count)])
    means = np.stack([photos.pixels[best[clusters == k]].mean(0) for k in order])
    names = [f"{name}, facet {k + 1} of {int((clusters == c).sum())} images" for k, c in enumerate(order)]
    result = synthesize(
        network,
        score,
        recipe=recipe,
        start=means,
        steps=steps,
        seed=seed,
        bounds=bounds,
        keep=keep,
        titles=names,
        batch_size=batch_size,
        on_progress=on_progress,
    )
    members = [tuple(photos.names[i] for i in best[clusters == c]) for c in order]
    return replace(result, metadata=result.metadata | {"members": members, "began": means})


def scores_and_features(network, inputs, score, batch_size=None):
    """The score of each image, and the mean of each channel of its last feature maps."""
    layer = network.last_feature_maps()

    def scores_and_maps(run, score):
        return {"scores": score, "features": run[layer]}

    activations = run_query(
        network,
        Query(("scores and features", layer), scores_and_maps, score, backward=False),
        inputs.pixels,
        inputs.others,
        batch_size=batch_size,
    )
    maps = activations["features"]
    return activations["scores"], maps.reshape(len(maps), -1, maps.shape[-1]).mean(1)
