"""Scores: what a network is asked, one number an image, read from named layers.

The same score says what to differentiate (attribution), what to climb (synthesis), and by what to rank images. Besides
layers, by name or path, a score may read of every network what `OWN` has: the pixels, the scores before a last softmax
or sigmoid, and the probabilities. "input", "logits" and "probs" say the same where no layer has that name.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from keras import ops

INPUT, LOGITS, PROBS = "//input", "//logits", "//probs"  # no layer can be called so
OWN = {key.removeprefix("//"): key for key in (INPUT, LOGITS, PROBS)}


@dataclass(frozen=True, eq=False)
class Score:
    """One number an image; ``+ - *`` make new scores.

    ``of`` takes {layer: activations} and the ``feeds``, arrays with a row for each image or one row for all. Scores of
    equal ``key`` compute the same from other feeds, so that one compiled function serves them all.
    """

    layers: tuple
    of: Callable = field(repr=False)
    name: str
    feeds: tuple = field(default=(), repr=False)
    key: tuple = field(default=(), repr=False)

    def __add__(self, other):
        if not isinstance(other, Score):
            return self if other == 0 else NotImplemented  # 0: what `sum` begins with
        mine = len(self.feeds)
        return Score(
            tuple(dict.fromkeys(self.layers + other.layers)),
            lambda acts, *feeds: self.of(acts, *feeds[:mine]) + other.of(acts, *feeds[mine:]),
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


def logit(classes):
    """The score of a class before the softmax; one class for all images, or one each."""
    return _class(classes, "logit", LOGITS, lambda scores: scores)


def probability(classes):
    """The probability of a class."""
    return _class(classes, "p", PROBS, both)


def log_probability(classes):
    """The logarithm of the probability of a class, S - log sum exp S, which does not round to 0."""
    return _class(classes, "log p", LOGITS, lambda scores: ops.log_softmax(both(scores, lambda s: 0 * s)))


def neuron(layer, channel, y=None, x=None):
    """One unit of a layer: ``channel`` at (y, x), by default the middle; of a layer without places ``channel``."""

    def of(acts, channel, place):
        a = acts[layer]
        if len(a.shape) == 2:
            return _picked(a, channel)
        height, width = a.shape[1:3]
        place = ops.where(place < 0, ops.convert_to_tensor([[height // 2, width // 2]]), place)
        flat = ops.reshape(a, (-1, height * width, a.shape[-1]))
        here = place[:, 0] * width + place[:, 1]
        return _picked(ops.take_along_axis(flat, ops.reshape(here, (-1, 1, 1)), 1)[:, 0], channel)

    where = "" if y is None else f" at ({y}, {x})"
    place = np.array([[-1 if y is None else y, -1 if x is None else x]], np.int32)
    return Score(
        (layer,), of, f"{called(layer)}:{_said(channel)}{where}", (_numbers(channel), place), ("neuron", layer)
    )


def channel(layer, number):
    """The mean of a channel of a layer over all places."""
    of = lambda acts, k: _picked(_over_places(acts[layer], ops.mean), k)  # noqa: E731
    return Score((layer,), of, f"{called(layer)}:{_said(number)}", (_numbers(number),), ("channel", layer))


def peak(layer, number):
    """A channel of a layer where it is strongest, the first place of equal ones."""

    def of(acts, k):
        a = acts[layer]
        if len(a.shape) == 2:
            return _picked(a, k)
        flat = ops.reshape(a, (-1, a.shape[1] * a.shape[2], a.shape[-1]))
        mine = ops.take_along_axis(flat, ops.reshape(k, (-1, 1, 1)), 2)[..., 0]
        return ops.take_along_axis(mine, ops.argmax(mine, 1)[:, None], 1)[:, 0]

    return Score((layer,), of, f"{called(layer)}:{_said(number)} where strongest", (_numbers(number),), ("peak", layer))


def energy(layer):
    """Half the mean square of a layer's activations: what deep dreams climb."""
    of = lambda acts: 0.5 * ops.mean(ops.square(_flat(acts[layer])), 1)  # noqa: E731
    return Score((layer,), of, f"energy of {called(layer)}", (), ("energy", layer))


def direction(layer, vector, power=0.0):
    """A layer along a direction of its channels, a . v, times cos(a, v)^power, the cosine at least 0.1."""

    def of(acts, vector):
        a = _over_places(acts[layer], ops.mean)
        along = ops.sum(a * vector, -1)
        lengths = ops.sqrt(ops.sum(a * a, -1) * ops.sum(vector * vector, -1) + 1e-24)
        return along * ops.maximum(along / lengths, 0.1) ** power if power else along

    vectors = np.atleast_2d(np.asarray(vector, np.float32))
    return Score((layer,), of, f"direction of {called(layer)}", (vectors,), ("direction", layer, power))


def matching(layer, guide):
    """How well each place of a layer goes with the place of a guide (h, w, C) that it goes with best, a . g."""

    def of(acts, guide):
        a = acts[layer]
        a, guide = (ops.reshape(t, (ops.shape(t)[0], -1, a.shape[-1])) for t in (a, guide))
        return ops.mean(ops.max(ops.matmul(a, ops.transpose(guide, (0, 2, 1))), -1), -1)

    guide = np.asarray(guide, np.float32)
    guide = guide if guide.ndim == 4 else guide[None]
    return Score((layer,), of, f"likeness to a guide at {called(layer)}", (guide,), ("matching", layer))


def distance(layer, target):
    """||a - target||^2 / ||target||^2 of a layer's activations (Mahendran & Vedaldi 2015)."""

    def of(acts, target):
        gap = ops.sum(ops.square(_flat(acts[layer]) - _flat(target)), 1)
        return gap / ops.maximum(ops.sum(ops.square(_flat(target)), 1), 1e-12)

    return Score((layer,), of, f"distance at {called(layer)}", (np.asarray(target, np.float32),), ("distance", layer))


def as_score(given):
    """What a user gives as a `Score`: one already, a score of tf-keras-vis, or a function of the logits."""
    if isinstance(given, Score):
        return given
    kind = type(given).__name__
    if kind == "CategoricalScore":  # reads row i of its batch for class i, which a chunk of a batch does not have
        return logit(given.indices if len(given.indices) > 1 else given.indices[0])
    if kind == "BinaryScore":
        return logit([int(value) for value in given.target_values])
    if not callable(given):
        raise ValueError(f"`score` should be a Score or a function of the scores (N, classes). Received: {given!r}")

    def of(acts):
        value = given(acts[LOGITS])
        value = ops.stack(value) if isinstance(value, list | tuple) else ops.convert_to_tensor(value)
        if len(value.shape) != 1:
            raise ValueError(f"`score` should give one number an image, (N,). Received: {tuple(value.shape)}")
        return value

    return Score((LOGITS,), of, getattr(given, "__name__", kind), (), ("function", given))


def called(layer):
    """What a layer, or what is read in place of one, is called."""
    return getattr(layer, "name", layer).removeprefix("//")


def both(probs, other=lambda p: 1 - p):
    """Of a single sigmoid's p, (1 - p, p); else what is given."""
    return ops.concatenate([other(probs), probs], -1) if probs.shape[-1] == 1 else probs


def _class(classes, word, layer, change):
    numbers = _numbers(classes)
    name = f"{word} {numbers[0]}" if len(set(numbers.tolist())) == 1 else f"{word} of each image's class"
    return Score((layer,), lambda acts, k: _of_class(change(acts[layer]), k), name, (numbers,), (word,))


def _said(given):
    """A number, or that it is another one for each image."""
    numbers = set(np.atleast_1d(given).tolist())
    return numbers.pop() if len(numbers) == 1 else "one unit each"


def _numbers(given):
    numbers = np.atleast_1d(np.asarray(given))
    if numbers.dtype.kind not in "iu" or numbers.ndim != 1 or (numbers < 0).any():
        raise ValueError(f"A score should have one whole number, or one an image, from 0 up. Received: {given!r}")
    return numbers.astype(np.int32)


def _of_class(a, k):
    """Entry k of each row; of a single sigmoid's logit, itself for class 1 and its negative for class 0."""
    a = _over_places(a, ops.mean)
    if a.shape[-1] == 1:
        return ops.cast(2 * ops.minimum(k, 1) - 1, a.dtype) * a[:, 0]
    return _picked(a, k)


def _picked(a, k):
    """Entry k of each row."""
    return ops.take_along_axis(a, ops.broadcast_to(k, ops.shape(a)[:1])[:, None], 1)[:, 0]


def _over_places(a, reduce):
    return reduce(a, axis=tuple(range(1, len(a.shape) - 1))) if len(a.shape) > 2 else a


def _flat(a):
    return ops.reshape(a, (ops.shape(a)[0], -1))
