"""What methods of attribution should give, from their formulas alone: float64, numpy, no network library.

A network is a list of steps. Each knows what it makes of x, and what it makes of a signal R that comes back to x:
"gradient" R dy/dx, "guided" and "deconvnet" as Springenberg et al. 2015 and Zeiler & Fergus 2014 treat ReLUs.
"""

from dataclasses import dataclass

import numpy as np

from oracles.reference import response_norm


@dataclass
class Conv:
    """y[i, j, f] = b[f] + sum x[i + a, j + b, c] k[a, b, c, f], with zeros around where ``same``."""

    kernel: np.ndarray
    bias: np.ndarray
    same: bool = False

    def __post_init__(self):
        self.kernel, self.bias = np.float64(self.kernel), np.float64(self.bias)
        sides = self.kernel.shape[:2] if self.same else (1, 1)
        self.around = ((0, 0), *(((k - 1) // 2, k // 2) for k in sides), (0, 0))

    def forward(self, x):
        x = np.pad(x, self.around)
        high, wide = self.kernel.shape[:2]
        rows, columns = x.shape[1] - high + 1, x.shape[2] - wide + 1
        y = np.zeros((len(x), rows, columns, self.kernel.shape[-1])) + self.bias
        for a in range(high):
            for b in range(wide):
                y += np.einsum("nijc,cf->nijf", x[:, a : a + rows, b : b + columns], self.kernel[a, b])
        return y

    def back(self, signal, x, rule):
        found = np.pad(np.zeros_like(x), self.around)
        rows, columns = signal.shape[1:3]
        for a in range(self.kernel.shape[0]):
            for b in range(self.kernel.shape[1]):
                found[:, a : a + rows, b : b + columns] += np.einsum("nijf,cf->nijc", signal, self.kernel[a, b])
        (_, _), (top, _), (left, _), _ = self.around
        return found[:, top : top + x.shape[1], left : left + x.shape[2]]


@dataclass
class Relu:
    """min(max(z, below z), top)."""

    top: float = np.inf
    below: float = 0.0

    def forward(self, z):
        return np.minimum(np.where(z > 0, z, self.below * z), self.top)

    def back(self, signal, z, rule):
        slope = np.where((z > 0) & (z < self.top), 1.0, np.where(z > 0, 0.0, self.below))
        return {
            "gradient": slope * signal,
            "guided": slope * np.maximum(signal, 0),
            "deconvnet": np.maximum(signal, 0),
        }[rule]


@dataclass
class MaxPool:
    """The largest of each window; back to the first of equal ones, added up where windows overlap."""

    size: int = 2
    stride: int = 2

    def windows(self, x):
        for i in range((x.shape[1] - self.size) // self.stride + 1):
            for j in range((x.shape[2] - self.size) // self.stride + 1):
                yield (
                    i,
                    j,
                    slice(i * self.stride, i * self.stride + self.size),
                    slice(j * self.stride, j * self.stride + self.size),
                )

    def forward(self, x):
        *_, (rows, columns, _, _) = self.windows(x)
        y = np.empty((len(x), rows + 1, columns + 1, x.shape[-1]))
        for i, j, down, right in self.windows(x):
            y[:, i, j] = x[:, down, right].max((1, 2))
        return y

    def back(self, signal, x, rule):
        found = np.zeros_like(x)
        for i, j, down, right in self.windows(x):
            for n in range(len(x)):
                for c in range(x.shape[-1]):
                    window = x[n, down, right, c]
                    a, b = np.unravel_index(window.argmax(), window.shape)
                    found[n, down.start + a, right.start + b, c] += signal[n, i, j, c]
        return found


class GlobalMax:
    """The largest of each map; back to the first of equal ones."""

    def forward(self, x):
        return x.max((1, 2))

    def back(self, signal, x, rule):
        found = np.zeros_like(x)
        for n in range(len(x)):
            for c in range(x.shape[-1]):
                a, b = np.unravel_index(x[n, ..., c].argmax(), x.shape[1:3])
                found[n, a, b, c] = signal[n, c]
        return found


@dataclass
class Gate:
    """x sigmoid(W mean(x)): maps multiplied each by one number, which is a constant on the way back."""

    kernel: np.ndarray

    def gate(self, x):
        return 1 / (1 + np.exp(-x.mean((1, 2)) @ np.float64(self.kernel)))[:, None, None]

    def forward(self, x):
        return x * self.gate(x)

    def back(self, signal, x, rule):
        return signal * self.gate(x)


@dataclass
class ResponseNorm:
    """y_c = x_c / d_c^beta, d_c = k + alpha sum x_j^2 over near channels; deconvnet passes it by."""

    radius: int
    bias: float
    alpha: float
    beta: float

    def forward(self, x):
        return response_norm(x, self.radius, self.bias, self.alpha, self.beta)

    def back(self, signal, x, rule):
        if rule == "deconvnet":
            return signal
        found, channels = np.zeros_like(x), range(x.shape[-1])
        for c in channels:
            near = [j for j in channels if abs(j - c) <= self.radius]
            d = self.bias + self.alpha * sum(x[..., j] ** 2 for j in near)
            for j in near:
                slope = -2 * self.alpha * self.beta * x[..., c] * x[..., j] / d ** (self.beta + 1)
                found[..., j] += signal[..., c] * (slope + (j == c) / d**self.beta)
        return found


class Flatten:
    def forward(self, x):
        return x.reshape(len(x), -1)

    def back(self, signal, x, rule):
        return signal.reshape(x.shape)


@dataclass
class Dense:
    kernel: np.ndarray
    bias: np.ndarray

    def forward(self, x):
        return x @ np.float64(self.kernel) + np.float64(self.bias)

    def back(self, signal, x, rule):
        return signal @ np.float64(self.kernel).T


def forwards(net, x):
    """What enters each step, and what leaves the last."""
    acts = [np.float64(x)]
    for step in net:
        acts.append(step.forward(acts[-1]))
    return acts


def backwards(net, acts, signal, rule="gradient"):
    """A signal at the output of ``net``, brought back to its input."""
    for step, x in zip(reversed(net), reversed(acts[: len(net)]), strict=True):
        signal = step.back(signal, x, rule)
    return signal


def one_hot(classes, count):
    return np.eye(count)[np.asarray(classes)]


def scores(net, x, classes):
    return forwards(net, x)[-1][np.arange(len(x)), classes]


def slopes(net, x, classes):
    """dS/dx."""
    acts = forwards(net, x)
    return backwards(net, acts, one_hot(classes, acts[-1].shape[-1]))


STARTS = {"guided": "one", "deconvnet": "activation"}  # rule -> what its signal starts with in the papers


def from_class(net, x, classes, rule, start=None):
    """From the score of a class, 1 or the score itself."""
    acts = forwards(net, x)
    signal = one_hot(classes, acts[-1].shape[-1])
    return backwards(net, acts, signal * acts[-1] if (start or STARTS[rule]) == "activation" else signal, rule)


def from_unit(net, x, units, rule, start=None):
    """From one channel of the last maps of ``net``, at the first of its strongest places, with its own value or 1."""
    acts = forwards(net, x)
    signal = np.zeros_like(acts[-1])
    for n, k in enumerate(units):
        a, b = np.unravel_index(acts[-1][n, ..., k].argmax(), signal.shape[1:3])
        signal[n, a, b, k] = acts[-1][n, a, b, k] if (start or STARTS[rule]) == "activation" else 1.0
    return backwards(net, acts, signal, rule)


def integral(net, x, classes, steps, x0=0.0):
    """(x - x0) int_0^1 dS/dx(x0 + t (x - x0)) dt by Gauss's rule."""
    x = np.float64(x)
    places, weights = np.polynomial.legendre.leggauss(steps)
    mean = sum(w / 2 * slopes(net, x0 + (1 + t) / 2 * (x - x0), classes) for t, w in zip(places, weights, strict=True))
    return (x - x0) * mean


def class_map(net, x, classes, depth, size):
    """ReLU(sum_k mean(dS/dA_k) A_k) of the maps after ``depth`` steps, and the same at the size of the image."""
    acts = forwards(net, x)
    signal = backwards(net[depth:], acts[depth:], one_hot(classes, acts[-1].shape[-1]))
    maps = acts[depth]
    cam = np.maximum(np.einsum("nk,nijk->nij", signal.mean((1, 2)), maps), 0)
    return cam, enlarged(cam, size)


def enlarged(maps, size):
    """Bilinear, each value in the middle of its square."""
    found = np.zeros((len(maps), *size))
    for y in range(size[0]):
        for x in range(size[1]):
            found[:, y, x] = sum(
                wy * wx * maps[:, i, j]
                for i, wy in between(y, size[0], maps.shape[1])
                for j, wx in between(x, size[1], maps.shape[2])
            )
    return found


def between(place, long, short):
    """The two neighbors of a pixel on a coarser line, with their weights."""
    at = min(max((place + 0.5) * short / long - 0.5, 0), short - 1)
    low = int(at)
    return [(low, 1 - (at - low)), (min(low + 1, short - 1), at - low)]


def softmax(z):
    e = np.exp(z - z.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def occlusion(net, x, classes, patch, stride, fill, depth):
    """Zeiler & Fergus' three maps (strongest map, p, best class), the scores, and S(x) - S(covered) of each pixel."""
    x, here = np.float64(x), np.arange(len(x))
    high, wide = x.shape[1:3]
    own = scores(net, x, classes)
    strongest = forwards(net[:depth], x)[-1].max((1, 2)).argmax(-1)
    tops = range(-(patch[0] - stride[0]), high, stride[0])
    lefts = range(-(patch[1] - stride[1]), wide, stride[1])
    shape = (len(x), len(tops), len(lefts))
    found = {name: np.zeros(shape) for name in ("scores", "p", "best", "strongest")}
    total, times = np.zeros(x.shape[:3]), np.zeros((high, wide))
    for r, top in enumerate(tops):
        for c, left in enumerate(lefts):
            rows, columns = slice(max(top, 0), max(top + patch[0], 0)), slice(max(left, 0), max(left + patch[1], 0))
            covered = x.copy()
            covered[:, rows, columns] = fill
            acts = forwards(net, covered)
            found["scores"][:, r, c] = acts[-1][here, classes]
            found["p"][:, r, c] = softmax(acts[-1])[here, classes]
            found["best"][:, r, c] = acts[-1].argmax(-1)
            found["strongest"][:, r, c] = acts[depth][here, ..., strongest].sum((1, 2))
            total[:, rows, columns] += (own - acts[-1][here, classes])[:, None, None]
            times[rows, columns] += 1
    return found | {"values": total / times, "channel": strongest}
