"""Is a map faithful to the network? Delete or insert the pixels it calls important, and watch the class (RISE).

Deletion: p(class) while the most important pixels first are replaced by a plain color; a good map lets it fall fast.
Insertion: p(class) while they first are put into a blurred copy; a good map lets it rise fast. Each is one number, the
area under its curve over the share of pixels (Petsiuk et al. 2018), which says something only beside the areas of a
random ranking: networks also fail at scattered gray pixels, whichever these are.
"""

import time
from dataclasses import dataclass, field

import numpy as np
from keras import ops

from ...support.display import Drawn
from ...support.text import count, unknown
from ..engine.lens import probe
from ..engine.query import Pictures, Question, ask, pictures
from ..engine.scores import probability
from .attribution import classes_of_images, maps_of

FILLS = {"gray": lambda images: np.float32(127.5), "mean": lambda images: images.mean((1, 2), keepdims=True)}
RADIUS = 5  # pixels on each side of the blur's kernel of 11
RESAMPLES = 2000


@dataclass(frozen=True, eq=False)
class Curves(Drawn):
    """p(class) of each image (N, S) at each of ``shares`` (S,) of its pixels; the same for a random ranking."""

    shares: np.ndarray = field(repr=False)
    deletion: np.ndarray = field(repr=False)
    insertion: np.ndarray = field(repr=False)
    random_deletion: np.ndarray = field(repr=False)
    random_insertion: np.ndarray = field(repr=False)
    classes: tuple
    names: tuple
    method: str = ""

    @property
    def areas(self):
        """A DataFrame with a row for each image: deletion (less is better), insertion (more is), and by chance."""
        import pandas as pd

        kinds = ("deletion", "insertion", "random_deletion", "random_insertion")
        areas = {kind: area(self.shares, getattr(self, kind)) for kind in kinds}
        return pd.DataFrame({"image": self.names, "class": self.classes, **areas})

    table = areas

    @property
    def mean(self):
        """The areas' means over images, a Series."""
        return self.areas.drop(columns=["image", "class"]).mean()

    @property
    def gain(self):
        """(N,) insertion less deletion, less the same of the random ranking: above 0 the map knows something."""
        areas = self.areas
        return (areas.insertion - areas.deletion - areas.random_insertion + areas.random_deletion).to_numpy()

    def __str__(self):
        mean = self.mean
        return (
            f"{self.method or 'map'}, {count(len(self.names), 'image')}: deletion {mean.deletion:.3f} (by chance "
            f"{mean.random_deletion:.3f}, less is better), insertion {mean.insertion:.3f} ({mean.random_insertion:.3f})"
        )

    def plot(self):
        """The mean curves, and those of the random ranking in gray."""
        from .figures import draw_curves

        return draw_curves(self)


def curves(model, attribution, *, classes=None, steps=28, fill="gray", blur=5.0, seed=0, batch=None, on_progress=None):
    """Deletion and insertion of an attribution's images, the most important pixels first: `Curves`.

    The largest values of the map are the most important; equal ones are ordered by chance. ``classes`` are numbers,
    or names, one for each image: the attribution's, or else those that the model finds likeliest. ``fill`` is "gray"
    (127.5), "mean" (the image's color), or a value or color 0..255; ``blur`` the sigma of a Gaussian of 11x11 pixels.
    """
    maps, images, names = maps_of(attribution)
    classes = getattr(attribution, "classes", None) if classes is None else classes
    shown = Pictures(images, names, getattr(attribution, "others", {}))
    follow, classes = curve_function(probe(model), shown, classes, steps, fill, blur, batch, on_progress)
    chance = np.random.default_rng(seed).random(maps.shape, np.float32)
    shares, deletion, insertion = follow(ranks(maps, chance))
    _, *by_chance = follow(ranks(np.zeros_like(maps), chance))
    method = str(getattr(attribution, "method", ""))
    return Curves(shares, deletion, insertion, *by_chance, classes=classes, names=names, method=method)


@dataclass(frozen=True, eq=False)
class Choice(Drawn):
    """``table``: method, deletion, insertion, gain, low, high, seconds; the most faithful first, chance among them.

    ``gain`` is insertion less deletion, less the same of a random ranking, the mean over ``images``; ``low`` and
    ``high`` are the 95 % bootstrap interval of it, paired by image. ``seconds`` an image include compilation.
    """

    table: object
    model: str
    images: int

    @property
    def best(self):
        """The name of the most faithful method; None where pixels by chance are."""
        first = self.table.method.iloc[0]
        return None if first == "random" else first

    def __str__(self):
        images = count(self.images, "image")
        return f"{self.table.round(3).to_string(index=False, na_rep='-')}\non {images} of {self.model}"

    def plot(self):
        """The gain of each method with its interval, and the two areas that it comes from."""
        from .figures import draw_choice

        return draw_choice(self)


def choose(
    model,
    images,
    classes=None,
    *,
    methods,
    steps=28,
    fill="gray",
    blur=5.0,
    seed=0,
    batch=None,
    on_progress=None,
    **options,
):
    """Which method of attribution is most faithful to a model on these images? `Choice`, with a table, best first.

    ``methods`` maps names to functions ``method(model, images, classes=..., **options)``, or to what they gave for
    these images. Images are decoded once, and given as an array, or as a dict of several inputs. All methods are judged
    by the same ``classes``, numbers or the likeliest ones. Other arguments are those of `curves`.
    """
    import pandas as pd

    if not hasattr(methods, "items") or not methods:
        raise ValueError(f"`methods` should map names to functions or attributions. Received: {methods!r}")
    asked = probe(model)
    shown = pictures(asked, images)
    follow, classes = curve_function(asked, shown, classes, steps, fill, blur, batch, on_progress)
    found = {
        name: run_timed(method, model, shown.plain(asked.input), classes, options) for name, method in methods.items()
    }
    maps = {name: maps_of(attribution) for name, (attribution, _) in found.items()}
    for name, each in maps.items():
        if not np.array_equal(each.images, shown.pixels):
            raise ValueError(f"`methods` should be of the same images. Received: others for {name!r}")
    chance = np.random.default_rng(seed).random(shown.pixels.shape[:3], np.float32)
    rows = []
    for name in ("random", *maps):
        shares, *pair = follow(ranks(maps[name].maps if name in maps else np.zeros_like(chance), chance))
        deletion, insertion = (area(shares, p) for p in pair)
        if name == "random":
            base = insertion - deletion
        gain = insertion - deletion - base
        seconds = found[name][1] / len(shown) if name in found else np.nan
        rows.append((name, deletion.mean(), insertion.mean(), gain.mean(), *interval(gain, seed), seconds))
    table = pd.DataFrame(rows, columns=["method", "deletion", "insertion", "gain", "low", "high", "seconds"])
    return Choice(table.sort_values("gain", ascending=False, ignore_index=True), asked.name, len(shown))


def run_timed(method, model, images, classes, options):
    """(attribution, seconds) of a method; no seconds where it was computed before."""
    if not callable(method):
        return method, np.nan
    start = time.perf_counter()
    return method(model, images, classes=classes, **options), time.perf_counter() - start


def curve_function(asked, shown, classes, steps, fill, blur, batch, on_progress):
    """A function: ranks of pixels -> shares (S,), p(class) by deletion, by insertion (N, S); and the classes."""
    for name, number in (("steps", steps), ("batch", 1 if batch is None else batch)):
        if not isinstance(number, int) or number < 1:
            raise ValueError(f"`{name}` should be a whole number of at least 1. Received: {number!r}")
    images = shown.pixels
    plain, smooth = fill_images(images, fill), blur_images(images, blur)
    classes = classes_of_images(asked, shown, classes, batch=batch)
    size = images[0, ..., 0].size
    counts = np.unique(np.linspace(0, size, steps + 1).round().astype(np.int32))
    score, read = probability(np.array(classes)), lambda run, score: {"p": score}

    def probabilities(ranks, before, after):
        def draw(images, within):
            rows = slice(images.start, images.stop)
            drawn = {"count": counts[None, within.start : within.stop], "rank": ranks[rows, None]}
            return drawn | {"after": after[rows, None]}

        question = Question(("exchanged",), read, score, None, len(counts), draw, exchange, backward=False)
        return ask(asked, question, before, shown.others, batch=batch, on_progress=on_progress)["p"]

    def follow(ranks):
        return counts / size, probabilities(ranks, images, plain), probabilities(ranks, smooth, images)

    return follow, classes


def exchange(pixels, count, rank, after):
    """Images (n, 1, H, W, C) with their first pixels taken from others, (n, samples, H, W, C)."""
    return ops.where(rank < count[..., None, None, None], after, pixels)


def ranks(maps, ties):
    """Of each pixel its rank in its map, (N, H, W, 1), the largest value first; equal ones in the order of ``ties``."""
    flat = [each.reshape(len(maps), -1) for each in (ties, -maps)]
    order = np.lexsort(flat)
    places = np.empty_like(order)
    np.put_along_axis(places, order, np.arange(order.shape[-1])[None], axis=-1)
    return places.reshape(*maps.shape, 1).astype(np.int32)


def fill_images(images, fill):
    """Images of one color each."""
    if isinstance(fill, str) and fill not in FILLS:
        raise ValueError(unknown("fill", fill, FILLS))
    color = FILLS[fill](images) if isinstance(fill, str) else np.asarray(fill, np.float32)
    if color.ndim == 1 and len(color) != images.shape[-1]:
        raise ValueError(f"`fill` should have {images.shape[-1]} channels. Received: {fill}")
    return np.broadcast_to(color, images.shape)


def blur_images(images, sigma):
    """The images under a Gaussian of 11x11 pixels, the border repeated."""
    from scipy.ndimage import gaussian_filter

    if not sigma > 0:
        raise ValueError(f"`blur` should be above 0. Received: {sigma!r}")
    return gaussian_filter(images, (sigma, sigma), axes=(1, 2), radius=RADIUS, mode="nearest")


def area(shares, values):
    """The area under each curve, by trapezoids."""
    return ((values[..., 1:] + values[..., :-1]) / 2 * np.diff(shares)).sum(-1)


def interval(gain, seed):
    """The 95 % percentile interval of a mean over images (Efron 1979)."""
    drawn = np.random.default_rng(seed).integers(0, len(gain), (RESAMPLES, len(gain)))
    return np.quantile(gain[drawn].mean(-1), [0.025, 0.975])
