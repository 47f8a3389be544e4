"""Images that nobody recognises and a network is sure of, bred without gradients (Nguyen, Yosinski & Clune 2015).

MAP-Elites: one place for each class, held by the image with the largest p(class) so far. Every child is tried at every
class. Images are whole numbers 0..255, as they would be in a file: nothing is lost when one is saved.
"""

from dataclasses import dataclass, field

import numpy as np

from ..drawn import Drawn
from ..labels import labels as names_of
from ..predictions import cutting
from .attribution import predicted
from .encodings import CHUNK, drawn, encoding_of, taken
from .engine import probe
from .images import pictures

SURE = 1e-7  # the least p and 1 - p that are told apart in float32
OPEN = 0.8  # of the parents are of classes below the goal
ORDER = 3  # decimals of the log odds that decide, so that rounding errors do not


@dataclass(frozen=True, eq=False)
class Evolved(Drawn):
    """``images`` (K, H, W, C), uint8, one for each of ``classes``, and their p(class), ``probabilities`` (K,).

    ``history``: a row a generation, with the images tried so far, the median of p(class), and the share above the goal.
    """

    images: np.ndarray = field(repr=False)
    probabilities: np.ndarray
    classes: tuple
    labels: tuple | None = field(repr=False)
    history: object = field(repr=False)
    genes: dict = field(repr=False)
    encoding: str
    goal: float
    model: str

    @property
    def table(self):
        """A DataFrame with a row a class: class, label, probability, reached."""
        import pandas as pd

        names = [self.labels[number] if self.labels else f"class {number}" for number in self.classes]
        reached = self.probabilities > self.goal
        columns = {"class": self.classes, "label": names, "probability": self.probabilities, "reached": reached}
        return pd.DataFrame(columns)

    @property
    def evaluations(self):
        """How many images the network was asked about."""
        return int(self.history.evaluations.iloc[-1])

    def __str__(self):
        reached, median = (self.probabilities > self.goal).sum(), np.median(self.probabilities)
        sure = f"{reached} of {len(self.classes)} classes above {self.goal:.0%}"
        return f"{self.model}, {self.encoding}: {sure}, median {median:.2%}, after {self.evaluations:,} images"

    def plot(self):
        """The images with their classes and p(class), and how these rose."""
        from .evolving_pictures import draw_evolved

        return draw_evolved(self)


def evolve(model, classes=None, *, encoding="cppn", population=64, generations=1000, seed=0, goal=0.99, labels=None,
           start=None, batch=None, tell=None):  # fmt: skip
    """Breed an image for each class, all of them at once, until each p(class) is above ``goal``: `Evolved`.

    ``encoding`` "cppn" gives patterns (`cppn`), "direct" noise pixel by pixel, which needs a small image. Each of the
    ``generations`` is ``population`` children of one parent. Ctrl-C ends it with what there is; ``start``, an earlier
    result, is gone on from.
    """
    asked, way = probe(model), encoding_of(encoding)
    shape = shape_of(asked)
    classes = classes_of(asked, classes)
    for name, number in (("population", population), ("generations", generations)):
        if not isinstance(number, int | np.integer) or number < 1:
            raise ValueError(f"`{name}` should be a whole number from 1. Received: {number!r}")
    if not 0 < goal < 1:
        raise ValueError(f"`goal` should be a probability between 0 and 1. Received: {goal!r}")
    archive, rows = begun(start, asked, classes, encoding, shape)
    past = len(rows)
    rng = np.random.default_rng([seed, past])
    try:
        for generation in range(past, past + generations):
            genes = way.first(rng, population, shape)
            if archive["genes"]:
                parents = chosen(rng, archive["probs"] > goal, population)
                genes = way.child(rng, taken(archive["genes"], parents), generation)
            probs = judged(asked, way, genes, shape, batch)[:, classes]
            settle(archive, genes, probs)
            best = archive["probs"]
            tried = (rows[-1][1] if rows else 0) + population
            rows.append((generation + 1, tried, np.median(best), (best > goal).mean()))
            if tell:
                tell(generation + 1 - past, generations)
            if (best > goal).all():
                break
    except KeyboardInterrupt:
        if not rows:
            raise
    return evolved(asked, way, archive, rows, classes, named(asked, labels), encoding, goal, shape)


def evolved(asked, way, archive, rows, classes, labels, encoding, goal, shape):
    """The result."""
    import pandas as pd

    history = pd.DataFrame(rows, columns=["generation", "evaluations", "median", "share"])
    images = drawn(way, archive["genes"], shape)
    said = (tuple(classes.tolist()), labels, history, archive["genes"], encoding, goal, asked.name)
    return Evolved(images, archive["probs"], *said)


def begun(start, asked, classes, encoding, shape):
    """(archive, rows of the history) to begin with: empty, or those of an earlier result."""
    if start is None:
        none = np.full(len(classes), -np.inf)
        return {"genes": {}, "probs": none, "odds": none.copy()}, []
    wanted = (encoding, shape, tuple(classes.tolist()))
    given = (start.encoding, start.images.shape[1:], start.classes)
    if given != wanted:
        raise ValueError(f"`start` should have the encoding, size and classes {wanted}. Received: {given}")
    genes = {name: array.copy() for name, array in start.genes.items()}
    archive = {"genes": genes, "probs": start.probabilities.copy(), "odds": odds(start.probabilities)}
    return archive, [*start.history.itertuples(index=False, name=None)]


def chosen(rng, reached, count):
    """Places of parents: most are those of classes still below the goal."""
    weights = np.where(reached, (1 - OPEN) / max(reached.sum(), 1), OPEN / max((~reached).sum(), 1))
    return rng.choice(len(reached), count, p=weights / weights.sum())


def settle(archive, genes, probs):
    """Give each class the best of the new images where it beats the old one."""
    ranks = odds(probs)
    best = ranks.argmax(0)
    columns = np.arange(len(best))
    better = np.flatnonzero(ranks[best, columns] > archive["odds"])
    archive["genes"] = archive["genes"] or taken(genes, best)
    for name, array in archive["genes"].items():
        array[better] = genes[name][best[better]]
    archive["odds"][better] = ranks[best[better], better]
    archive["probs"][better] = probs[best[better], better]


def odds(probs):
    """log(p / (1 - p)), rounded."""
    probs = np.clip(np.asarray(probs, np.float64), 1e-30, 1 - SURE)
    return np.round(np.log(probs) - np.log1p(-probs), ORDER)


def judged(asked, way, genes, shape, batch):
    """The probabilities (N, classes) of the pictures of genes; of one score, those of its two sides."""
    count = len(next(iter(genes.values())))
    starts = range(0, count, 2 * CHUNK)
    some = (drawn(way, taken(genes, slice(at, at + 2 * CHUNK)), shape) for at in starts)
    return np.concatenate([predicted(asked, pictures(asked, pixels), batch) for pixels in some])


def shape_of(asked):
    """(H, W, C) of the images."""
    if len(asked.inputs) > 1:
        raise ValueError(f"`model` should have one input, of images. Received: {', '.join(asked.inputs)}")
    if asked.shape[-1] not in (1, 3):
        raise ValueError(f"`model` should take grey or RGB images. Received: {asked.shape[-1]} channels")
    height, width = asked.shape[:2] if None not in asked.shape[:2] else cutting(asked.model).size
    return height, width, asked.shape[-1]


def classes_of(asked, classes):
    """The classes as an array, by default all."""
    count = max(asked.output.shape[-1], 2)
    classes = np.arange(count) if classes is None else np.asarray(classes)
    good = classes.ndim == 1 and classes.dtype.kind in "iu" and len(classes) and len(set(classes.tolist()))
    if not good or good != len(classes) or not (classes.min() >= 0 and classes.max() < count):
        raise ValueError(f"`classes` should be different whole numbers from 0 to {count - 1}. Received: {classes}")
    return classes


def named(asked, labels):
    """What the classes are called: ImageNet's names where there are a thousand."""
    return names_of(1000) if labels is None and asked.output.shape[-1] == 1000 else labels
