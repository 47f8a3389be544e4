"""Why small steps fool: f(x) = w . x + b changes by e ||w||_1 where each x moves by e sign(w) (Goodfellow et al. 2015).

The smallest change that brings f to 0 is |f| / ||w||_1 in every pixel, or |f| / ||w||_2 in Euclidean length.
"""

from dataclasses import dataclass, field

import numpy as np
from scipy.special import expit, softmax

from ...plots.primitives import looks, signals
from ...plots.style import BLUE, LARGE, PLAIN, RED, SMALL, bare, new_figure, small_print, unframe
from ...support.display import Drawn
from ...support.text import cut

X = (2, -1, 3, -2, 2, 2, 1, -4, 5, 1)
W = (-1, -1, 1, -1, 1, -1, 1, 1, -1, 1)  # the ten numbers of Karpathy's lecture (CS231n)
WHITE = 255.0


@dataclass(frozen=True, eq=False)
class TenNumbers(Drawn):
    """Ten inputs ``x``, weights ``w``, inputs ``fooled`` by a step; w . x and sigmoid(w . x) before and after."""

    x: np.ndarray
    w: np.ndarray
    fooled: np.ndarray
    scores: tuple
    probabilities: tuple
    step: float

    @property
    def table(self):
        """A DataFrame with a row an input: x, w, w*x, x', w*x'."""
        import pandas as pd

        columns = {"x": self.x, "w": self.w, "w*x": self.w * self.x, "x'": self.fooled, "w*x'": self.w * self.fooled}
        return pd.DataFrame(columns, index=pd.RangeIndex(1, len(self.x) + 1, name="input"))

    def __str__(self):
        before, after = self.probabilities
        return f"w.x {self.scores[0]:g} -> {self.scores[1]:g}, p {before:.2%} -> {after:.2%}, by {self.step:g} an input"

    def plot(self):
        """The inputs, products and probabilities before and after, and the same step in more inputs."""
        return draw_ten_numbers(self)


def ten_numbers(step=0.5):
    """Ten numbers that a linear classifier takes for 5 % of a class, and for 88 % after a step of 0.5: `TenNumbers`."""
    step = check_step(step)
    x, w = np.array(X, np.float64), np.array(W, np.float64)
    fooled = x + step * np.sign(w)
    scores = float(w @ x), float(w @ fooled)
    return TenNumbers(x, w, fooled, scores, tuple(expit(scores).tolist()), step)


@dataclass(frozen=True, eq=False)
class LinearFooling(Drawn):
    """A softmax regression, ``templates`` (K, H, W, C) and ``biases`` (K,) on pixels 0..255, and what fools it.

    Of image i, ``fooled[i]`` is ``step`` away in each pixel, toward class ``targets[i]``; ``probabilities`` (N, 2, K)
    are before and after. ``linf`` and ``l2`` are the smallest changes at which the target is as likely as the class of
    the image: the same in every pixel, and in Euclidean length. The range of pixels is not heeded, as f is linear.
    """

    images: np.ndarray = field(repr=False)
    fooled: np.ndarray = field(repr=False)
    templates: np.ndarray = field(repr=False)
    biases: np.ndarray = field(repr=False)
    probabilities: np.ndarray = field(repr=False)
    predicted: np.ndarray = field(repr=False)
    targets: np.ndarray = field(repr=False)
    linf: np.ndarray = field(repr=False)
    l2: np.ndarray = field(repr=False)
    labels: tuple
    step: float
    accuracy: float

    @property
    def table(self):
        """A DataFrame with a row an image: class, target, p of both before and after, the smallest changes."""
        import pandas as pd

        rows = np.arange(len(self.images))
        names = np.array(self.labels, object)
        columns = {"class": names[self.predicted], "target": names[self.targets]}
        for word, probs in zip(("before", "after"), self.probabilities.swapaxes(0, 1), strict=True):
            columns[f"p(class) {word}"] = probs[rows, self.predicted]
            columns[f"p(target) {word}"] = probs[rows, self.targets]
        flipped = self.probabilities[:, 1].argmax(-1) != self.predicted
        return pd.DataFrame(columns | {"linf": self.linf, "l2": self.l2, "fooled": flipped})

    def __str__(self):
        fooled = self.table.fooled.mean()
        said = f"{fooled:.0%} of {len(self.images)} images fooled by {self.step:.3g} of 255 in each pixel"
        return f"softmax regression, {self.accuracy:.1%} of its training images right: {said}"

    def plot(self):
        """Template, image, fooled image and ten times their difference, a row an image."""
        return draw_linear_fooling(self)


def fool_linear(images=None, labels=None, targets=None, *, names=None, step=None, count=4, strength=1.0, seed=0):
    """Fit a softmax regression to images and fool it with small steps: `LinearFooling`.

    ``images`` (N, H, W, C) of pixels 0..255 with ``labels``, by default scikit-learn's digits. ``count`` of those it
    gets right are fooled, toward ``targets``, one class or one for each, by default the nearest other class; ``step``
    is by default a tenth more than all of them need. ``strength`` is the C of scikit-learn's LogisticRegression, on
    pixels / 255.
    """
    images, labels = examples(images, labels)
    kinds, numbers = np.unique(labels, return_inverse=True)
    templates, biases, accuracy, right = fit_regression(images, numbers, strength, seed)
    if not len(right):
        raise ValueError("`images` should be such that the regression gets one right. Received: none that it does")
    order = np.random.default_rng(seed).permutation(right)
    shown, predicted = images[order[:count]], numbers[order[:count]]
    flat = templates.reshape(len(kinds), -1)
    scores = shown.reshape(len(shown), -1) @ flat.T + biases
    gaps = np.take_along_axis(scores, predicted[:, None], 1) - scores  # (n, K)
    apart = flat[predicted][:, None] - flat[None]  # (n, K, pixels)
    with np.errstate(divide="ignore", invalid="ignore"):
        linf, l2 = gaps / np.abs(apart).sum(-1), gaps / np.sqrt(np.square(apart).sum(-1))
    rows = np.arange(len(shown))
    linf[rows, predicted] = np.inf
    chosen = linf.argmin(-1) if targets is None else targets_of(targets, kinds, predicted)
    step = check_step(1.1 * linf[rows, chosen].max() if step is None else step)
    toward = np.sign(flat[chosen] - flat[predicted]).reshape(shown.shape)
    fooled = shown + step * toward
    after = fooled.reshape(len(shown), -1) @ flat.T + biases
    probs = softmax(np.stack([scores, after], 1), axis=-1)
    names = tuple(str(each) for each in (kinds if names is None else np.asarray(names, object)[kinds]))
    return LinearFooling(
        images=shown,
        fooled=fooled,
        templates=templates,
        biases=biases,
        probabilities=probs,
        predicted=predicted,
        targets=chosen,
        linf=linf[rows, chosen],
        l2=l2[rows, chosen],
        labels=names,
        step=step,
        accuracy=float(accuracy),
    )


def fit_regression(images, numbers, strength, seed):
    """(templates, biases, accuracy, places of images that it gets right) of a softmax regression on pixels 0..255."""
    from sklearn.linear_model import LogisticRegression

    pixels = images.reshape(len(images), -1) / WHITE
    model = LogisticRegression(C=strength, max_iter=300, random_state=seed).fit(pixels, numbers)
    weights, biases = model.coef_, model.intercept_
    if len(weights) == 1:  # of two classes scikit-learn keeps the difference
        weights, biases = np.stack([-weights[0], weights[0]]) / 2, np.array([-biases[0], biases[0]]) / 2
    right = (pixels @ weights.T + biases).argmax(-1) == numbers
    return (weights / WHITE).reshape(-1, *images.shape[1:]), biases, right.mean(), np.flatnonzero(right)


def examples(images, labels):
    """(images (N, H, W, C) as float64, labels)."""
    if images is None:
        from sklearn.datasets import load_digits

        found = load_digits()
        return found.images[..., None] * (WHITE / 16), found.target
    images, labels = np.asarray(images, np.float64), np.asarray(labels)
    images = images[..., None] if images.ndim == 3 else images
    if images.ndim != 4 or labels.shape != images.shape[:1]:
        said = f"{images.shape} and {labels.shape}"
        raise ValueError(f"`images` should be (N, H, W, C) with as many `labels`. Received: {said}")
    if len(np.unique(labels)) < 2:
        raise ValueError(f"`labels` should have two classes at least. Received: {np.unique(labels).tolist()}")
    return images, labels


def targets_of(targets, kinds, predicted):
    """Targets, labels as given, as places among the classes."""
    targets = np.broadcast_to(np.asarray(targets), predicted.shape)
    if not np.isin(targets, kinds).all():
        raise ValueError(f"`targets` should be among the labels {kinds.tolist()}. Received: {targets.tolist()}")
    places = np.searchsorted(kinds, targets)
    if (places == predicted).any():
        raise ValueError(f"`targets` should differ from the images' own classes. Received: {targets.tolist()}")
    return places


def check_step(step):
    if not np.isfinite(step) or step < 0:
        raise ValueError(f"`step` should be a number from 0. Received: {step!r}")
    return float(step)


BEFORE, AFTER = BLUE, RED
SIZES = np.unique(np.logspace(0.5, 5, 120).round().astype(int))  # numbers of inputs
ROWS = 4


def draw_ten_numbers(found):
    """Inputs and products before and after; the probabilities; the same step in more inputs."""
    figure = new_figure(13, 6.4)
    axes = figure.subplot_mosaic([["x", "p"], ["wx", "n"]], width_ratios=(1.9, 1))
    before, after = f"x: w·x = {found.scores[0]:g}", f"x′: w·x′ = {found.scores[1]:g}"
    pairs(axes["x"], found.x, found.fooled, before, after)
    axes["x"].set_title(f"ten inputs, each {found.step:g} along the sign of its weight", fontsize=LARGE)
    signs = [f"w = {weight:+g}" for weight in found.w]
    axes["x"].set_xticks(range(len(found.x)), signs, fontsize=SMALL)
    pairs(axes["wx"], found.w * found.x, found.w * found.fooled, "w x", "w x′")
    gain = found.step * np.abs(found.w).sum()
    axes["wx"].set_title(f"products: each {found.step:g} larger, their sum {gain:g}", fontsize=LARGE)
    axes["wx"].set_xticks(range(len(found.x)), range(1, len(found.x) + 1), fontsize=SMALL)
    bars = axes["p"].bar(["x", "x′"], found.probabilities, color=[BEFORE, AFTER], width=0.55)
    axes["p"].bar_label(bars, [f"{p:.2%}" for p in found.probabilities], fontsize=LARGE, padding=2)
    axes["p"].set_title("p = 1 / (1 + exp(−w·x))", fontsize=LARGE)
    axes["p"].set_ylim(0, 1.12)
    growth(axes["n"], found)
    for axis in axes.values():
        unframe(axis)
    figure.suptitle("A small step in every input is a large step of the score", fontsize=LARGE + 2)
    return figure


def pairs(axis, first, second, *names):
    places = np.arange(len(first))
    for values, shift, color, name in ((first, -0.2, BEFORE, names[0]), (second, 0.2, AFTER, names[1])):
        bars = axis.bar(places + shift, values, 0.38, color=color, label=name)
        axis.bar_label(bars, [f"{value:g}" for value in values], fontsize=7.5, padding=1, color="0.3")
    low, high = min(first.min(), second.min()), max(first.max(), second.max())
    axis.set_ylim(low - 0.12 * (high - low), high + 0.32 * (high - low))
    axis.axhline(0, color="0.3", linewidth=0.8)
    axis.legend(frameon=False, fontsize=PLAIN, ncols=2, loc="upper left")


def growth(axis, found):
    """p after the step, had the score of x the same value and w as many entries of the same mean size."""
    size = np.abs(found.w).mean()
    start = found.scores[0]
    for step, style in ((found.step, "-"), (found.step / 10, "--"), (found.step / 100, ":")):
        axis.semilogx(
            SIZES, expit(start + step * size * SIZES), style, color=AFTER, label=f"step {step:g}", linewidth=2
        )
    axis.plot(len(found.x), found.probabilities[1], "o", color=AFTER, markersize=8)
    axis.axhline(found.probabilities[0], color=BEFORE, linewidth=1)
    axis.set_title(f"the change is step × ‖w‖₁: from w·x = {start:g}", fontsize=LARGE)
    axis.set_xlabel("inputs", fontsize=PLAIN)
    axis.set_ylabel("p", fontsize=PLAIN)
    axis.set_ylim(-0.03, 1.05)
    axis.grid(alpha=0.25)
    axis.legend(frameon=False, fontsize=PLAIN, loc="center right", bbox_to_anchor=(1, 0.4))


def draw_linear_fooling(found):
    """A row an image: both templates, the image, the fooled one, ten times the difference."""
    count = min(len(found.images), ROWS)
    figure = new_figure(11.5, 0.9 + 2.25 * count)
    most = np.percentile(np.abs(found.templates), 99.5)
    both, _ = looks(np.concatenate([found.images[:count], found.fooled[:count].clip(0, 255)]))
    for i, row in enumerate(figure.subplots(count, 5, squeeze=False)):
        own, target = found.predicted[i], found.targets[i]
        for axis, number in zip(row, (own, target), strict=False):
            axis.imshow(template(found.templates[number], most), **tones(found.templates))
            bare(axis, f"template of {cut(found.labels[number], 16)}")
        draw_prediction(row[2], both[i], found, found.probabilities[i, 0], "")
        draw_prediction(row[3], both[count + i], found, found.probabilities[i, 1], f"needs {found.linf[i]:.2g} a pixel")
        row[4].imshow(signals(10 * (found.fooled[i] - found.images[i]), 2 * 127.5))
        bare(row[4], "difference × 10", f"±{found.step:.3g} of 255 in each pixel")
    sign = "red for, blue against" if found.templates.shape[-1] == 1 else "gray is 0"
    small_print(figure, f"templates: weights, ±p99.5 of all, {sign}; difference: 127.5 + 10 d")
    figure.suptitle(f"A linear classifier ({found.accuracy:.0%} right) is fooled by its own templates", fontsize=LARGE)
    return figure


def template(weights, most):
    """Weights of one channel as they are, of three as colors on mid-gray."""
    return weights[..., 0] / most if weights.shape[-1] == 1 else signals(weights, most)


def tones(templates):
    return {"cmap": "RdBu_r", "vmin": -1, "vmax": 1} if templates.shape[-1] == 1 else {}


def draw_prediction(axis, image, found, probs, below):
    best = int(probs.argmax())
    axis.imshow(image)
    bare(axis, f"{cut(found.labels[best], 16)} {probs[best]:.1%}", below)
