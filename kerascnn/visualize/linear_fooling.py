"""Why small steps fool: f(x) = w . x + b changes by e ||w||_1 where each x moves by e sign(w) (Goodfellow et al. 2015).

The smallest change that brings f to 0 is |f| / ||w||_1 in every pixel, or |f| / ||w||_2 in Euclidean length.
"""

from dataclasses import dataclass, field

import numpy as np

from ..drawn import Drawn

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
        from .linear_pictures import draw_ten_numbers

        return draw_ten_numbers(self)


def ten_numbers(step=0.5):
    """Ten numbers that a linear classifier takes for 5 % of a class, and for 88 % after a step of 0.5: `TenNumbers`."""
    step = positive(step)
    x, w = np.array(X, np.float64), np.array(W, np.float64)
    fooled = x + step * np.sign(w)
    scores = float(w @ x), float(w @ fooled)
    return TenNumbers(x, w, fooled, scores, tuple(map(sigmoid, scores)), step)


def sigmoid(score):
    return float(1 / (1 + np.exp(-score)))


@dataclass(frozen=True, eq=False)
class LinearFooling(Drawn):
    """A softmax regression, ``templates`` (K, H, W, C) and ``biases`` (K,) on pixels 0..255, and what fools it.

    Of image i, ``fooled[i]`` is ``step`` away in each pixel, towards class ``targets[i]``; ``probabilities`` (N, 2, K)
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
        from .linear_pictures import draw_linear_fooling

        return draw_linear_fooling(self)


def fool_linear(images=None, labels=None, targets=None, *, names=None, step=None, count=4, strength=1.0, seed=0):
    """Fit a softmax regression to images and fool it with small steps: `LinearFooling`.

    ``images`` (N, H, W, C) of pixels 0..255 with ``labels``, by default scikit-learn's digits. ``count`` of those it
    gets right are fooled, towards ``targets``, one class or one for each, by default the nearest other class; ``step``
    is by default a tenth more than all of them need. ``strength`` is the C of scikit-learn's LogisticRegression, on
    pixels / 255.
    """
    images, labels = examples(images, labels)
    kinds, numbers = np.unique(labels, return_inverse=True)
    templates, biases, accuracy, right = fitted(images, numbers, strength, seed)
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
    step = positive(1.1 * linf[rows, chosen].max() if step is None else step)
    towards = np.sign(flat[chosen] - flat[predicted]).reshape(shown.shape)
    fooled = shown + step * towards
    after = fooled.reshape(len(shown), -1) @ flat.T + biases
    probs = np.stack([softmax(scores), softmax(after)], 1)
    names = tuple(str(each) for each in (kinds if names is None else np.asarray(names, object)[kinds]))
    least = linf[rows, chosen], l2[rows, chosen]
    return LinearFooling(
        shown, fooled, templates, biases, probs, predicted, chosen, *least, names, step, float(accuracy)
    )


def fitted(images, numbers, strength, seed):
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


def softmax(scores):
    powers = np.exp(scores - scores.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)


def positive(step):
    if not np.isfinite(step) or step < 0:
        raise ValueError(f"`step` should be a number from 0. Received: {step!r}")
    return float(step)
