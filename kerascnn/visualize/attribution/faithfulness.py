"""Is a map faithful to the network? Delete or insert the pixels it ranks highest, and follow the class (RISE).

Deletion: p(class) while pixels are replaced by a plain color, most important first; with a good map it falls fast.
Insertion: p(class) while pixels are copied into a blurred image in the same order; with a good map it rises fast. Each
gives one number, the area under its curve over the fraction of pixels (Petsiuk et al. 2018). Compare it with the areas
of a random order, because networks also fail at scattered gray pixels wherever these are.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from keras import ops

from ...support.checks import check_integer
from ...support.display import FigureResult
from ...support.text import pluralize, unknown_name
from ...support.types import Classes, Images, Model, OnProgress
from ..engine.lens import Lens, lens
from ..engine.query import Pictures, Query, pictures, run_query
from ..engine.scores import probability
from .attribution import as_maps, resolve_classes

FILLS = {"gray": lambda images: np.float32(127.5), "mean": lambda images: images.mean((1, 2), keepdims=True)}
RADIUS = 5  # pixels on each side of the blur's kernel of 11
RESAMPLES = 2000


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class Curves(FigureResult):
    """Deletion and insertion curves: p(class) of each image over the fraction of its pixels.

    Attributes:
        shares: (S,), fractions of the pixels.
        deletion: (N, S), p(class) while pixels are deleted.
        insertion: (N, S), p(class) while pixels are inserted.
        random_deletion: (N, S), the same in a random order.
        random_insertion: (N, S), the same in a random order.
        classes: the class of each image.
        names: names of the images.
        method: name of the attribution method.
    """

    shares: np.ndarray
    deletion: np.ndarray
    insertion: np.ndarray
    random_deletion: np.ndarray
    random_insertion: np.ndarray
    classes: tuple
    names: tuple
    method: str = ""

    @property
    def areas(self):
        """Areas under the curves of each image, as a DataFrame."""
        import pandas as pd

        kinds = ("deletion", "insertion", "random_deletion", "random_insertion")
        areas = {kind: curve_area(self.shares, getattr(self, kind)) for kind in kinds}
        return pd.DataFrame({"image": self.names, "class": self.classes, **areas})

    table = areas

    @property
    def mean(self):
        """The areas, averaged over images, as a Series."""
        return self.areas.drop(columns=["image", "class"]).mean()

    @property
    def gain(self):
        """(N,): insertion minus deletion, minus that of the random order."""
        areas = self.areas
        return (areas.insertion - areas.deletion - areas.random_insertion + areas.random_deletion).to_numpy()

    def _headline(self):
        mean = self.mean
        images = pluralize(len(self.names), "image")
        return f"{self.method or 'map'}, {images}, deletion {mean.deletion:.3f}, insertion {mean.insertion:.3f}"

    def __str__(self):
        mean = self.mean
        return (
            f"{self.method or 'map'}, {pluralize(len(self.names), 'image')}: "
            f"deletion {mean.deletion:.3f} (random order {mean.random_deletion:.3f}; lower is better), "
            f"insertion {mean.insertion:.3f} (random order {mean.random_insertion:.3f}; higher is better)"
        )

    def plot(self):
        """Draw the mean curves, and those of the random order in gray."""
        from .figures import draw_curves

        return draw_curves(self)


def curves(
    model: Model | Lens,
    attribution: Any,
    *,
    classes: Classes | None = None,
    steps: int = 28,
    fill: str | float | Sequence[float] = "gray",
    blur: float = 5.0,
    seed: int = 0,
    batch_size: int | None = None,
    on_progress: OnProgress | None = None,
) -> Curves:
    """Deletion and insertion curves of an attribution (Petsiuk et al. 2018).

    Pixels are deleted or inserted in the order of the map, largest values first; ties are broken at random. A random
    order is evaluated for comparison.

    Args:
        model: a Keras model, or a `Lens` on one.
        attribution: an `Attribution` of the model.
        classes: class numbers or names, one for each image; by default those of the attribution, else the predicted
            classes.
        steps: number of steps from the first to the last pixel.
        fill: what replaces deleted pixels: "gray" (127.5), "mean" (the mean color of the image), or a value or color
            from 0 to 255.
        blur: standard deviation in pixels of the Gaussian filter (11x11) of the images that pixels are inserted into.
        seed: random seed for the random order and for ties.
        batch_size: batch size; by default as large as memory allows. It does not change the result.
        on_progress: called as `on_progress(done, total, what)` during the work; may raise to stop it.

    Returns:
        `Curves`.
    """
    maps, images, names = as_maps(attribution)
    classes = getattr(attribution, "classes", None) if classes is None else classes
    inputs = Pictures(images, names, getattr(attribution, "others", {}))
    follow, numbers = curve_function(lens(model), inputs, classes, steps, fill, blur, batch_size, on_progress)
    chance = np.random.default_rng(seed).random(maps.shape, np.float32)
    shares, deletion, insertion = follow(rank_pixels(maps, chance))
    _, random_deletion, random_insertion = follow(rank_pixels(np.zeros_like(maps), chance))
    method = str(getattr(attribution, "method", ""))
    return Curves(
        shares=shares,
        deletion=deletion,
        insertion=insertion,
        random_deletion=random_deletion,
        random_insertion=random_insertion,
        classes=numbers,
        names=names,
        method=method,
    )


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class Choice(FigureResult):
    """Attribution methods ranked by faithfulness.

    ``gain`` is insertion minus deletion, minus that of a random order, averaged over images; ``low`` and ``high`` are
    its 95 % bootstrap interval, paired by image. ``seconds`` per image include compilation.

    Attributes:
        table: DataFrame of method, deletion, insertion, gain, low, high, seconds; best first, with "random".
        model: name of the model.
        image_count: number of images.
    """

    table: object
    model: str
    image_count: int

    @property
    def best(self):
        """Name of the most faithful method; None if no method beats a random order."""
        first = self.table.method.iloc[0]
        return None if first == "random" else first

    def _headline(self):
        methods = pluralize(len(self.table), "method")
        return f"{methods} on {pluralize(self.image_count, 'image')}, model {self.model}, best {self.best}"

    def __str__(self):
        images = pluralize(self.image_count, "image")
        return f"{self.table.round(3).to_string(index=False, na_rep='-')}\n{images}, model {self.model}"

    def plot(self):
        """Draw the gain of each method with its interval, and its two areas."""
        from .figures import draw_choice

        return draw_choice(self)


def choose(
    model: Model | Lens,
    images: Images,
    classes: Classes | None = None,
    *,
    methods: Mapping[str, Any],
    steps: int = 28,
    fill: str | float | Sequence[float] = "gray",
    blur: float = 5.0,
    seed: int = 0,
    batch_size: int | None = None,
    on_progress: OnProgress | None = None,
    **options: Any,
) -> Choice:
    """Rank attribution methods by their faithfulness to a model on these images.

    Args:
        model: a Keras model, or a `Lens` on one.
        images: an array (N, H, W, C) as the model takes it, or photos in any form that `predict` accepts.
        classes: a class, or one for each image, as numbers or names; by default the predicted classes. They are the
            same for all methods.
        methods: dictionary of functions ``method(model, images, classes=..., **options)``, or of attributions of these
            images, by name; required.
        steps: number of steps from the first to the last pixel.
        fill: what replaces deleted pixels: "gray" (127.5), "mean" (the mean color of the image), or a value or color
            from 0 to 255.
        blur: standard deviation in pixels of the Gaussian filter (11x11) of the images that pixels are inserted into.
        seed: random seed for the random order, for ties and for the bootstrap.
        batch_size: batch size for the curves; by default as large as memory allows. It does not change the result.
        on_progress: called as `on_progress(done, total, what)` during the work; may raise to stop it.
        **options: passed to each function in ``methods``, such as `layer`, `samples` or `class_names`.

    Returns:
        `Choice`, with a table, the most faithful method first.
    """
    import pandas as pd

    if not hasattr(methods, "items") or not methods:
        raise ValueError(
            f"`methods` should be a dictionary of functions or attributions by name. Received: {methods!r}"
        )
    view = lens(model)
    inputs = pictures(view, images)
    follow, classes = curve_function(view, inputs, classes, steps, fill, blur, batch_size, on_progress)
    found = {
        name: time_method(method, model, inputs.plain(view.input), classes, options) for name, method in methods.items()
    }
    maps = {name: as_maps(attribution) for name, (attribution, _) in found.items()}
    for name, each in maps.items():
        if not np.array_equal(each.images, inputs.pixels):
            raise ValueError(
                f"`methods` should be attributions of the same images. Received: other images for {name!r}"
            )
    chance = np.random.default_rng(seed).random(inputs.pixels.shape[:3], np.float32)
    rows = []
    for name in ("random", *maps):
        shares, *pair = follow(rank_pixels(maps[name].maps if name in maps else np.zeros_like(chance), chance))
        deletion, insertion = (curve_area(shares, p) for p in pair)
        if name == "random":
            base = insertion - deletion
        gain = insertion - deletion - base
        seconds = found[name][1] / len(inputs) if name in found else np.nan
        rows.append((name, deletion.mean(), insertion.mean(), gain.mean(), *bootstrap_interval(gain, seed), seconds))
    table = pd.DataFrame(rows, columns=["method", "deletion", "insertion", "gain", "low", "high", "seconds"])
    table = table.sort_values("gain", ascending=False, ignore_index=True)
    return Choice(table=table, model=view.name, image_count=len(inputs))


def time_method(method, model, images, classes, options):
    """(attribution, seconds) of a method; no seconds where it was computed before."""
    if not callable(method):
        return method, np.nan
    start = time.perf_counter()
    return method(model, images, classes=classes, **options), time.perf_counter() - start


def curve_function(lens, inputs, classes, steps, fill, blur, batch_size, on_progress):
    """A function: ranks of pixels -> shares (S,), p(class) by deletion, by insertion (N, S); and the classes."""
    check_integer(steps=steps, batch_size=1 if batch_size is None else batch_size)
    images = inputs.pixels
    plain, smooth = fill_images(images, fill), blur_images(images, blur)
    classes = resolve_classes(lens, inputs, classes, batch_size=batch_size)
    size = images[0, ..., 0].size
    counts = np.unique(np.linspace(0, size, steps + 1).round().astype(np.int32))
    score, read = probability(np.array(classes)), lambda run, score: {"p": score}

    def probabilities(ranks, before, after):
        def draw(images, within):
            rows = slice(images.start, images.stop)
            drawn = {"count": counts[None, within.start : within.stop], "rank": ranks[rows, None]}
            return drawn | {"after": after[rows, None]}

        question = Query(("exchanged",), read, score, None, len(counts), draw, exchange, backward=False)
        return run_query(lens, question, before, inputs.others, batch_size=batch_size, on_progress=on_progress)["p"]

    def follow(ranks):
        return counts / size, probabilities(ranks, images, plain), probabilities(ranks, smooth, images)

    return follow, classes


def exchange(pixels, count, rank, after):
    """Images (n, 1, H, W, C) with their first pixels taken from others, (n, samples, H, W, C)."""
    return ops.where(rank < count[..., None, None, None], after, pixels)


def rank_pixels(maps, ties):
    """Of each pixel its rank in its map, (N, H, W, 1), the largest value first; equal ones in the order of ``ties``."""
    flat = [each.reshape(len(maps), -1) for each in (ties, -maps)]
    order = np.lexsort(flat)
    places = np.empty_like(order)
    np.put_along_axis(places, order, np.arange(order.shape[-1])[None], axis=-1)
    return places.reshape(*maps.shape, 1).astype(np.int32)


def fill_images(images, fill):
    """Images of one color each."""
    if isinstance(fill, str) and fill not in FILLS:
        raise ValueError(unknown_name("fill", fill, FILLS))
    color = FILLS[fill](images) if isinstance(fill, str) else np.asarray(fill, np.float32)
    if color.ndim == 1 and len(color) != images.shape[-1]:
        raise ValueError(f"`fill` should have {images.shape[-1]} channels. Received: {fill}")
    return np.broadcast_to(color, images.shape)


def blur_images(images, sigma):
    """The images under a Gaussian of 11x11 pixels, the border repeated."""
    from scipy.ndimage import gaussian_filter

    if not sigma > 0:
        raise ValueError(f"`blur` should be positive. Received: {sigma!r}")
    return gaussian_filter(images, (sigma, sigma), axes=(1, 2), radius=RADIUS, mode="nearest")


def curve_area(shares, values):
    """The area under each curve, by trapezoids."""
    return ((values[..., 1:] + values[..., :-1]) / 2 * np.diff(shares)).sum(-1)


def bootstrap_interval(gain, seed):
    """The 95 % percentile interval of a mean over images (Efron 1979)."""
    drawn = np.random.default_rng(seed).integers(0, len(gain), (RESAMPLES, len(gain)))
    return np.quantile(gain[drawn].mean(-1), [0.025, 0.975])
