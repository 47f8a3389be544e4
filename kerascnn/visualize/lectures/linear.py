"""Why small steps fool: f(x) = w . x + b changes by e ||w||_1 where each x moves by e sign(w) (Goodfellow et al. 2015).

The smallest change that brings f to 0 is |f| / ||w||_1 in every pixel, or |f| / ||w||_2 in Euclidean length.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import expit, softmax

from ...plots.primitives import display_images, signals_to_colors
from ...plots.style import BLUE, LARGE, PLAIN, RED, SMALL, add_footnote, hide_frame, hide_ticks, new_figure
from ...support.display import FigureResult
from ...support.text import pluralize, shorten_end
from ...support.types import Array, Classes, ClassNames, Labels

X = (2, -1, 3, -2, 2, 2, 1, -4, 5, 1)
W = (-1, -1, 1, -1, 1, -1, 1, 1, -1, 1)  # the ten numbers of Karpathy's lecture (CS231n)
WHITE = 255.0


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class TenNumbers(FigureResult):
    """Ten inputs of a linear classifier, before and after a small step.

    Attributes:
        x: the inputs.
        w: the weights.
        fooled: the inputs after the step.
        scores: w . x before and after.
        probs: sigmoid(w . x) before and after.
        step_size: change of each input.
    """

    x: np.ndarray
    w: np.ndarray
    fooled: np.ndarray
    scores: tuple
    probs: tuple
    step_size: float

    @property
    def table(self):
        """A DataFrame with a row an input: x, w, w*x, x', w*x'."""
        import pandas as pd

        columns = {"x": self.x, "w": self.w, "w*x": self.w * self.x, "x'": self.fooled, "w*x'": self.w * self.fooled}
        return pd.DataFrame(columns, index=pd.RangeIndex(1, len(self.x) + 1, name="input"))

    def __str__(self):
        before, after = self.probs
        return (
            f"w·x {self.scores[0]:g} -> {self.scores[1]:g}, p {before:.2%} -> {after:.2%}, "
            f"changing each input by {self.step_size:g}"
        )

    def plot(self):
        """The inputs, products and probabilities before and after, and the same step in more inputs."""
        return draw_ten_numbers(self)


def ten_numbers(step_size: float = 0.5) -> TenNumbers:
    """Ten inputs whose class probability a small step raises from 5 % to 88 %.

    Args:
        step_size: change of each input, in the direction of its weight's sign.

    Returns:
        A `TenNumbers`.
    """
    step_size = check_step_size(step_size)
    x, w = np.array(X, np.float64), np.array(W, np.float64)
    fooled = x + step_size * np.sign(w)
    scores = float(w @ x), float(w @ fooled)
    return TenNumbers(x=x, w=w, fooled=fooled, scores=scores, probs=tuple(expit(scores).tolist()), step_size=step_size)


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class LinearFooling(FigureResult):
    """A softmax regression on pixels 0..255, and images that fool it.

    Pixels may leave 0..255, since f is linear.

    Attributes:
        originals: images before, (N, H, W, C).
        images: images after; each pixel is ``step_size`` away, toward the target.
        templates: weights of each class, (K, H, W, C).
        biases: bias of each class, (K,).
        probs: probabilities before and after, (N, 2, K).
        before: predicted classes before, (N,).
        target: classes to reach, (N,).
        linf: smallest change of every pixel at which the target is as likely as the class before, (N,).
        l2: smallest Euclidean length of a change that does the same, (N,).
        class_names: names of all classes.
        step_size: change of each pixel, of 255.
        accuracy: accuracy of the regression on the training images.
    """

    originals: np.ndarray
    images: np.ndarray
    templates: np.ndarray
    biases: np.ndarray
    probs: np.ndarray
    before: np.ndarray
    target: np.ndarray
    linf: np.ndarray
    l2: np.ndarray
    class_names: tuple
    step_size: float
    accuracy: float

    @property
    def table(self):
        """A DataFrame with a row an image: class, target, p of both before and after, the smallest changes."""
        import pandas as pd

        rows = np.arange(len(self.originals))
        names = np.array(self.class_names, object)
        columns = {"class": names[self.before], "target": names[self.target]}
        for word, probs in zip(("before", "after"), self.probs.swapaxes(0, 1), strict=True):
            columns[f"p(class) {word}"] = probs[rows, self.before]
            columns[f"p(target) {word}"] = probs[rows, self.target]
        flipped = self.probs[:, 1].argmax(-1) != self.before
        return pd.DataFrame(columns | {"linf": self.linf, "l2": self.l2, "success": flipped})

    def _headline(self):
        fooled = int(self.table.success.sum())
        return f"{fooled} of {pluralize(len(self.originals), 'image')} fooled, step size {self.step_size:.3g} of 255"

    def __str__(self):
        fooled = self.table.success.mean()
        result = (
            f"{fooled:.0%} of {len(self.originals)} images fooled by changing each pixel by {self.step_size:.3g} of 255"
        )
        return f"softmax regression with training accuracy {self.accuracy:.1%}: {result}"

    def plot(self):
        """Template, image, fooled image and ten times their difference, a row an image."""
        return draw_linear_fooling(self)


def fool_linear(
    images: Array | None = None,
    labels: Labels | None = None,
    targets: Classes | None = None,
    *,
    class_names: ClassNames | None = None,
    step_size: float | None = None,
    limit: int = 4,
    strength: float = 1.0,
    seed: int = 0,
) -> LinearFooling:
    """Fit a softmax regression to images and fool it by small steps.

    Args:
        images: pixels 0..255 (N, H, W, C); by default scikit-learn's digits.
        labels: their true classes.
        targets: the class that each image should become, or one for all; by default the nearest other class.
        class_names: names of the classes.
        step_size: change of each pixel, of 255; by default a tenth more than all images need.
        limit: number of correctly classified images to fool.
        strength: C of scikit-learn's LogisticRegression, on pixels / 255.
        seed: random seed of the selected images.

    Returns:
        A `LinearFooling`.
    """
    images, labels = training_examples(images, labels)
    classes, numbers = np.unique(labels, return_inverse=True)
    templates, biases, accuracy, right = fit_regression(images, numbers, strength, seed)
    if not len(right):
        raise ValueError(
            "`images` should contain at least one image that the regression classifies correctly. Received: none"
        )
    order = np.random.default_rng(seed).permutation(right)
    selected, predicted = images[order[:limit]], numbers[order[:limit]]
    flat = templates.reshape(len(classes), -1)
    scores = selected.reshape(len(selected), -1) @ flat.T + biases
    gaps = np.take_along_axis(scores, predicted[:, None], 1) - scores  # (n, K)
    weight_differences = flat[predicted][:, None] - flat[None]  # (n, K, pixels)
    with np.errstate(divide="ignore", invalid="ignore"):
        linf, l2 = gaps / np.abs(weight_differences).sum(-1), gaps / np.sqrt(np.square(weight_differences).sum(-1))
    rows = np.arange(len(selected))
    linf[rows, predicted] = np.inf
    target_classes = linf.argmin(-1) if targets is None else target_positions(targets, classes, predicted)
    step_size = check_step_size(1.1 * linf[rows, target_classes].max() if step_size is None else step_size)
    toward = np.sign(flat[target_classes] - flat[predicted]).reshape(selected.shape)
    fooled = selected + step_size * toward
    after = fooled.reshape(len(selected), -1) @ flat.T + biases
    probs = softmax(np.stack([scores, after], 1), axis=-1)
    class_names = tuple(
        str(name) for name in (classes if class_names is None else np.asarray(class_names, object)[classes])
    )
    return LinearFooling(
        originals=selected,
        images=fooled,
        templates=templates,
        biases=biases,
        probs=probs,
        before=predicted,
        target=target_classes,
        linf=linf[rows, target_classes],
        l2=l2[rows, target_classes],
        class_names=class_names,
        step_size=step_size,
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


def training_examples(images, labels):
    """(images (N, H, W, C) as float64, labels)."""
    if images is None:
        from sklearn.datasets import load_digits

        digits = load_digits()
        return digits.images[..., None] * (WHITE / 16), digits.target
    images, labels = np.asarray(images, np.float64), np.asarray(labels)
    images = images[..., None] if images.ndim == 3 else images
    if images.ndim != 4 or labels.shape != images.shape[:1]:
        shapes = f"{images.shape} and {labels.shape}"
        raise ValueError(
            f"`images` should have shape (N, H, W, C), and `labels` should have N values. Received: {shapes}"
        )
    if len(np.unique(labels)) < 2:
        raise ValueError(f"`labels` should contain at least two classes. Received: {np.unique(labels).tolist()}")
    return images, labels


def target_positions(targets, classes, predicted):
    """Targets, labels as given, as places among the classes."""
    targets = np.broadcast_to(np.asarray(targets), predicted.shape)
    if not np.isin(targets, classes).all():
        raise ValueError(f"`targets` should be among the labels {classes.tolist()}. Received: {targets.tolist()}")
    places = np.searchsorted(classes, targets)
    if (places == predicted).any():
        raise ValueError(f"`targets` should differ from the true classes of the images. Received: {targets.tolist()}")
    return places


def check_step_size(step_size):
    if not np.isfinite(step_size) or step_size < 0:
        raise ValueError(f"`step_size` should be a non-negative number. Received: {step_size!r}")
    return float(step_size)


BEFORE_COLOR, AFTER_COLOR = BLUE, RED
SIZES = np.unique(np.logspace(0.5, 5, 120).round().astype(int))  # numbers of inputs
ROWS = 4


def draw_ten_numbers(result):
    """Inputs and products before and after; the probabilities; the same step in more inputs."""
    figure = new_figure(13, 6.4)
    axes = figure.subplot_mosaic([["x", "p"], ["wx", "n"]], width_ratios=(1.9, 1))
    before, after = f"x: w·x = {result.scores[0]:g}", f"x′: w·x′ = {result.scores[1]:g}"
    draw_bar_pairs(axes["x"], result.x, result.fooled, before, after)
    axes["x"].set_title(
        f"ten inputs, each changed by {result.step_size:g} in the direction of its weight's sign", fontsize=LARGE
    )
    signs = [f"w = {weight:+g}" for weight in result.w]
    axes["x"].set_xticks(range(len(result.x)), signs, fontsize=SMALL)
    draw_bar_pairs(axes["wx"], result.w * result.x, result.w * result.fooled, "w x", "w x′")
    gain = result.step_size * np.abs(result.w).sum()
    axes["wx"].set_title(f"products: each grows by {result.step_size:g}, their sum by {gain:g}", fontsize=LARGE)
    axes["wx"].set_xticks(range(len(result.x)), range(1, len(result.x) + 1), fontsize=SMALL)
    bars = axes["p"].bar(["x", "x′"], result.probs, color=[BEFORE_COLOR, AFTER_COLOR], width=0.55)
    axes["p"].bar_label(bars, [f"{p:.2%}" for p in result.probs], fontsize=LARGE, padding=2)
    axes["p"].set_title("p = 1 / (1 + exp(−w·x))", fontsize=LARGE)
    axes["p"].set_ylim(0, 1.12)
    draw_growth(axes["n"], result)
    for axis in axes.values():
        hide_frame(axis)
    figure.suptitle("A small step in every input adds up to a large step of the score", fontsize=LARGE + 2)
    return figure


def draw_bar_pairs(axis, first, second, *names):
    places = np.arange(len(first))
    for values, shift, color, name in ((first, -0.2, BEFORE_COLOR, names[0]), (second, 0.2, AFTER_COLOR, names[1])):
        bars = axis.bar(places + shift, values, 0.38, color=color, label=name)
        axis.bar_label(bars, [f"{value:g}" for value in values], fontsize=7.5, padding=1, color="0.3")
    low, high = min(first.min(), second.min()), max(first.max(), second.max())
    axis.set_ylim(low - 0.12 * (high - low), high + 0.32 * (high - low))
    axis.axhline(0, color="0.3", linewidth=0.8)
    axis.legend(frameon=False, fontsize=PLAIN, ncols=2, loc="upper left")


def draw_growth(axis, result):
    """p after the step, had the score of x the same value and w as many entries of the same mean size."""
    size = np.abs(result.w).mean()
    start = result.scores[0]
    for step, style in ((result.step_size, "-"), (result.step_size / 10, "--"), (result.step_size / 100, ":")):
        axis.semilogx(
            SIZES, expit(start + step * size * SIZES), style, color=AFTER_COLOR, label=f"step {step:g}", linewidth=2
        )
    axis.plot(len(result.x), result.probs[1], "o", color=AFTER_COLOR, markersize=8)
    axis.axhline(result.probs[0], color=BEFORE_COLOR, linewidth=1)
    axis.set_title(f"change = step × ‖w‖₁, starting from w·x = {start:g}", fontsize=LARGE)
    axis.set_xlabel("inputs", fontsize=PLAIN)
    axis.set_ylabel("p", fontsize=PLAIN)
    axis.set_ylim(-0.03, 1.05)
    axis.grid(alpha=0.25)
    axis.legend(frameon=False, fontsize=PLAIN, loc="center right", bbox_to_anchor=(1, 0.4))


def draw_linear_fooling(result):
    """A row an image: both templates, the image, the fooled one, ten times the difference."""
    count = min(len(result.originals), ROWS)
    figure = new_figure(11.5, 0.9 + 2.25 * count)
    limit = np.percentile(np.abs(result.templates), 99.5)
    pictures, _ = display_images(np.concatenate([result.originals[:count], result.images[:count].clip(0, 255)]))
    for i, row in enumerate(figure.subplots(count, 5, squeeze=False)):
        predicted, target = result.before[i], result.target[i]
        for axis, number in zip(row, (predicted, target), strict=False):
            axis.imshow(template_image(result.templates[number], limit), **template_colors(result.templates))
            hide_ticks(axis, f"weights of {shorten_end(result.class_names[number], 16)}")
        draw_prediction(row[2], pictures[i], result, result.probs[i, 0], "")
        draw_prediction(
            row[3], pictures[count + i], result, result.probs[i, 1], f"fooled by {result.linf[i]:.2g} per pixel"
        )
        row[4].imshow(signals_to_colors(10 * (result.images[i] - result.originals[i]), 2 * 127.5))
        hide_ticks(row[4], "difference × 10", f"±{result.step_size:.3g} of 255 in each pixel")
    sign = "red is positive, blue negative" if result.templates.shape[-1] == 1 else "gray is 0"
    add_footnote(figure, f"weights: one scale of ±p99.5, {sign}; difference: 127.5 + 10 d")
    figure.suptitle(
        f"A linear classifier (accuracy {result.accuracy:.0%}) is fooled by its own weights", fontsize=LARGE
    )
    return figure


def template_image(weights, limit):
    """Weights of one channel as they are, of three as colors on mid-gray."""
    return weights[..., 0] / limit if weights.shape[-1] == 1 else signals_to_colors(weights, limit)


def template_colors(templates):
    return {"cmap": "RdBu_r", "vmin": -1, "vmax": 1} if templates.shape[-1] == 1 else {}


def draw_prediction(axis, image, result, probs, below):
    best = int(probs.argmax())
    axis.imshow(image)
    hide_ticks(axis, f"{shorten_end(result.class_names[best], 16)} {probs[best]:.1%}", below)
