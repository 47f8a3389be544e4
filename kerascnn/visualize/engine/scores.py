"""Scores: one number per image, computed from named layers.

The same score is differentiated (attribution), maximized (synthesis) and used to rank images. Besides layers, by name
or path, a score may read "input" (the pixels), "logits" (before a last softmax or sigmoid) and "probs" of every
network, unless a layer has that name (`ALIASES`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from keras import ops

from ...support.types import Array

INPUT, LOGITS, PROBS = "//input", "//logits", "//probs"  # no layer can be called so
ALIASES = {key.removeprefix("//"): key for key in (INPUT, LOGITS, PROBS)}


@dataclass(frozen=True, eq=False)
class Score:
    """One number per image, computed from named layers.

    ``+``, ``-`` and ``*`` combine scores.

    Attributes:
        layers: names of the layers that are read.
        of: function of {layer: activations} and the ``feeds`` that returns shape (N,).
        name: name of the score in titles.
        feeds: arrays with one row per image, or one row for all.
        key: scores of equal key compute the same from other feeds and share a compiled function.
    """

    layers: tuple
    of: Callable = field(repr=False)
    name: str
    feeds: tuple = field(default=(), repr=False)
    key: tuple = field(default=(), repr=False)

    def __add__(self, other):
        if not isinstance(other, Score):
            return self if other == 0 else NotImplemented  # 0: what `sum` begins with
        feed_count = len(self.feeds)
        return Score(
            tuple(dict.fromkeys(self.layers + other.layers)),
            lambda acts, *feeds: self.of(acts, *feeds[:feed_count]) + other.of(acts, *feeds[feed_count:]),
            f"{self.name} - {other.name[1:]}" if other.name.startswith("-") else f"{self.name} + {other.name}",
            self.feeds + other.feeds,
            ("+", self.key, other.key),
        )

    __radd__ = __add__

    def __mul__(self, factor):
        if not isinstance(factor, int | float | np.number):
            return NotImplemented
        inner = f"({self.name})" if any(sign in self.name for sign in (" + ", " - ")) else self.name
        return Score(
            self.layers,
            lambda acts, *feeds: feeds[-1] * self.of(acts, *feeds[:-1]),
            f"-{inner}" if factor == -1 else f"{factor:g} {inner}",
            (*self.feeds, np.array([factor], np.float32)),
            ("*", self.key),
        )

    __rmul__ = __mul__

    def __neg__(self):
        return self * -1

    def __sub__(self, other):
        return self + -other if isinstance(other, Score) else NotImplemented

    def __str__(self):
        return self.name


def logit(classes: int | Array) -> Score:
    """The logit of a class: its output before the softmax.

    Args:
        classes: class number for all images, or one per image.

    Returns:
        `Score`.
    """
    return _class_score(classes, "logit", LOGITS, lambda scores: scores)


def probability(classes: int | Array) -> Score:
    """The probability of a class.

    Args:
        classes: class number for all images, or one per image.

    Returns:
        `Score`.
    """
    return _class_score(classes, "p", PROBS, both_classes)


def log_probability(classes: int | Array) -> Score:
    """The logarithm of the probability of a class, computed from the logits.

    S - log sum exp S, which does not round to 0 where the probability does.

    Args:
        classes: class number for all images, or one per image.

    Returns:
        `Score`.
    """

    def log_softmax(scores):
        return ops.log_softmax(both_classes(scores, lambda s: 0 * s))

    return _class_score(classes, "log probability", LOGITS, log_softmax)


def neuron(layer: str, unit: int | Array, y: int | None = None, x: int | None = None) -> Score:
    """The activation of one unit of a layer.

    Args:
        layer: name of a layer.
        unit: channel number, or one per image.
        y: row of the feature map; by default the middle. Ignored for layers without feature maps.
        x: column of the feature map; by default the middle.

    Returns:
        `Score`.
    """

    def of(acts, channel, position):
        a = acts[layer]
        if len(a.shape) == 2:
            return _take_entry(a, channel)
        height, width = a.shape[1:3]
        position = ops.where(position < 0, ops.convert_to_tensor([[height // 2, width // 2]]), position)
        flat = ops.reshape(a, (-1, height * width, a.shape[-1]))
        flat_index = position[:, 0] * width + position[:, 1]
        return _take_entry(ops.take_along_axis(flat, ops.reshape(flat_index, (-1, 1, 1)), 1)[:, 0], channel)

    position_text = "" if y is None else f" at ({y}, {x})"
    position = np.array([[-1 if y is None else y, -1 if x is None else x]], np.int32)
    return Score(
        (layer,),
        of,
        f"{layer_label(layer)}:{_unit_label(unit)}{position_text}",
        (_as_numbers(unit), position),
        ("neuron", layer),
    )


def channel(layer: str, unit: int | Array) -> Score:
    """The mean of a channel of a layer over all positions.

    Args:
        layer: name of a layer.
        unit: channel number, or one per image.

    Returns:
        `Score`.
    """
    of = lambda acts, k: _take_entry(_reduce_places(acts[layer], ops.mean), k)  # noqa: E731
    return Score((layer,), of, f"{layer_label(layer)}:{_unit_label(unit)}", (_as_numbers(unit),), ("channel", layer))


def peak(layer: str, unit: int | Array) -> Score:
    """The maximum of a channel of a layer over all positions.

    Its gradient goes to the first of equal maxima.

    Args:
        layer: name of a layer.
        unit: channel number, or one per image.

    Returns:
        `Score`.
    """

    def of(acts, k):
        a = acts[layer]
        if len(a.shape) == 2:
            return _take_entry(a, k)
        flat = ops.reshape(a, (-1, a.shape[1] * a.shape[2], a.shape[-1]))
        channel_values = ops.take_along_axis(flat, ops.reshape(k, (-1, 1, 1)), 2)[..., 0]
        return ops.take_along_axis(channel_values, ops.argmax(channel_values, 1)[:, None], 1)[:, 0]

    name = f"strongest position of {layer_label(layer)}:{_unit_label(unit)}"
    return Score((layer,), of, name, (_as_numbers(unit),), ("peak", layer))


def energy(layer: str) -> Score:
    """Half the mean square of a layer's activations, which deep dreams maximize.

    Args:
        layer: name of a layer.

    Returns:
        `Score`.
    """
    of = lambda acts: 0.5 * ops.mean(ops.square(_flatten_rows(acts[layer])), 1)  # noqa: E731
    return Score((layer,), of, f"energy of {layer_label(layer)}", (), ("energy", layer))


def direction(layer: str, vector: Array, power: float = 0.0) -> Score:
    """The projection of a layer's channels onto a direction.

    a . v cos(a, v)^power, for the mean a of the activations over all positions; the cosine is at least 0.1.

    Args:
        layer: name of a layer.
        vector: direction v (channels,), or one per image.
        power: exponent of the cosine; 0 leaves it out.

    Returns:
        `Score`.
    """

    def of(acts, vector):
        a = _reduce_places(acts[layer], ops.mean)
        along = ops.sum(a * vector, -1)
        lengths = ops.sqrt(ops.sum(a * a, -1) * ops.sum(vector * vector, -1) + 1e-24)
        return along * ops.maximum(along / lengths, 0.1) ** power if power else along

    vectors = np.atleast_2d(np.asarray(vector, np.float32))
    return Score((layer,), of, f"direction of {layer_label(layer)}", (vectors,), ("direction", layer, power))


def guide_similarity(layer: str, guide: Array) -> Score:
    """Similarity of a layer's activations to those of a guide image.

    The mean over positions of the largest a . g, for activations a and any position g of the guide.

    Args:
        layer: name of a layer.
        guide: activations (h, w, C) of the guide at this layer, or one per image.

    Returns:
        `Score`.
    """

    def of(acts, guide):
        a = acts[layer]
        a, guide = (ops.reshape(t, (ops.shape(t)[0], -1, a.shape[-1])) for t in (a, guide))
        return ops.mean(ops.max(ops.matmul(a, ops.transpose(guide, (0, 2, 1))), -1), -1)

    guide = np.asarray(guide, np.float32)
    guide = guide if guide.ndim == 4 else guide[None]
    return Score((layer,), of, f"similarity to the guide at {layer_label(layer)}", (guide,), ("matching", layer))


def distance(layer: str, target: Array) -> Score:
    """Relative squared distance of a layer's activations from a target.

    ||a - target||^2 / ||target||^2 (Mahendran & Vedaldi 2015).

    Args:
        layer: name of a layer.
        target: activations, one row for all images or one per image.

    Returns:
        `Score`.
    """

    def of(acts, target):
        gap = ops.sum(ops.square(_flatten_rows(acts[layer]) - _flatten_rows(target)), 1)
        return gap / ops.maximum(ops.sum(ops.square(_flatten_rows(target)), 1), 1e-12)

    return Score(
        (layer,), of, f"distance at {layer_label(layer)}", (np.asarray(target, np.float32),), ("distance", layer)
    )


def as_score(score):
    """A `Score` from a `Score`, a score of tf-keras-vis, or a function of the logits."""
    if isinstance(score, Score):
        return score
    kind = type(score).__name__
    if kind == "CategoricalScore":  # reads row i of its batch for class i, which a chunk of a batch does not have
        return logit(score.indices if len(score.indices) > 1 else score.indices[0])
    if kind == "BinaryScore":
        return logit([int(value) for value in score.target_values])
    if not callable(score):
        raise ValueError(f"`score` should be a Score, or a function of the logits (N, classes). Received: {score!r}")

    def of(acts):
        value = score(acts[LOGITS])
        value = ops.stack(value) if isinstance(value, list | tuple) else ops.convert_to_tensor(value)
        if len(value.shape) != 1:
            raise ValueError(f"`score` should return one number per image, shape (N,). Received: {tuple(value.shape)}")
        return value

    return Score((LOGITS,), of, getattr(score, "__name__", kind), (), ("function", score))


def layer_label(layer):
    """The name of a layer in titles."""
    return getattr(layer, "name", layer).removeprefix("//")


def both_classes(probs, complement=lambda p: 1 - p):
    """(1 - p, p) of a single sigmoid's p; other outputs unchanged."""
    return ops.concatenate([complement(probs), probs], -1) if probs.shape[-1] == 1 else probs


def _class_score(classes, word, layer, change):
    numbers = _as_numbers(classes)
    name = f"{word} {numbers[0]}" if len(set(numbers.tolist())) == 1 else f"{word} of the class of each image"
    return Score((layer,), lambda acts, k: _take_class(change(acts[layer]), k), name, (numbers,), (word,))


def _unit_label(units):
    """The number of a unit, or that it differs between images."""
    numbers = set(np.atleast_1d(units).tolist())
    return numbers.pop() if len(numbers) == 1 else "a different unit for each image"


def _as_numbers(values):
    numbers = np.atleast_1d(np.asarray(values))
    if numbers.dtype.kind not in "iu" or numbers.ndim != 1 or (numbers < 0).any():
        raise ValueError(
            f"`classes` or `unit` should be one non-negative integer, or one per image. Received: {values!r}"
        )
    return numbers.astype(np.int32)


def _take_class(a, k):
    """Entry k of each row; of a single sigmoid's logit, itself for class 1 and its negative for class 0."""
    a = _reduce_places(a, ops.mean)
    if a.shape[-1] == 1:
        return ops.cast(2 * ops.minimum(k, 1) - 1, a.dtype) * a[:, 0]
    return _take_entry(a, k)


def _take_entry(a, k):
    """Entry k of each row."""
    return ops.take_along_axis(a, ops.broadcast_to(k, ops.shape(a)[:1])[:, None], 1)[:, 0]


def _reduce_places(a, reduce):
    return reduce(a, axis=tuple(range(1, len(a.shape) - 1))) if len(a.shape) > 2 else a


def _flatten_rows(a):
    return ops.reshape(a, (ops.shape(a)[0], -1))
