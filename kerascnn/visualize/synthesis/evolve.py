"""Images that nobody recognizes and a network is sure of, bred without gradients (Nguyen, Yosinski & Clune 2015).

MAP-Elites: one place for each class, held by the image with the largest p(class) so far. Every child is tried at every
class. Images are whole numbers 0..255, as they would be in a file: nothing is lost when one is saved.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from ...inputs.classifier import class_numbers, classifier, resolve_class_names
from ...plots.style import CLASSES, LARGE, PLAIN, SMALL, hide_ticks, new_figure
from ...support.display import FigureResult
from ...support.text import shorten_end, unknown_name
from ...support.types import Classes, ClassNames, Model, OnProgress
from ..attribution.attribution import class_label, predict_probabilities
from ..engine.lens import Lens, lens
from ..engine.query import pictures

INPUTS = 4  # x, y, distance from the center, 1
HIDDEN = 20  # slots of nodes, which read only what stands before them
SPAN, ETA = 10.0, 15  # weights lie in -10..10; polynomial mutation
RATES = {"add": 0.5, "remove": 0.3, "move": 0.5, "split": 0.5, "join": 0.2}  # a child (Nguyen et al. 2015)
CPPN_RATE = 0.1  # of the weights, and of the activations
GROWTH = 6  # mutations that the first ones have behind them
ACTIVATIONS = {
    "sine": np.sin,
    "sigmoid": lambda s: np.tanh(s / 2),
    "gaussian": lambda s: 2 * np.exp(-np.square(s)) - 1,
    "linear": lambda s: np.clip(s, -1, 1),
}


def random_cppns(rng, count, shape):
    """``count`` networks {"weights": (count, to, from), "acts": (count, nodes)}; a weight of 0 is no connection."""
    nodes = INPUTS + HIDDEN + shape[-1]
    weights = np.zeros((count, nodes, nodes), np.float32)
    weights[:, -shape[-1] :, :INPUTS] = rng.uniform(-SPAN / 4, SPAN / 4, (count, shape[-1], INPUTS))
    found = {"weights": weights, "acts": rng.integers(len(ACTIVATIONS), size=(count, nodes)).astype(np.int8)}
    for _ in range(GROWTH):
        found = mutate_cppns(rng, found)
    return found


def mutate_cppns(rng, networks, generation=0):
    """A child of each network: connections and nodes come and go, weights move a little."""
    networks = {name: array.copy() for name, array in networks.items()}
    weights, acts = networks["weights"], networks["acts"]
    for each, draws in zip(weights, rng.random((len(weights), len(RATES))), strict=True):
        for change, draw in zip(RATES, draws, strict=True):
            if draw < RATES[change]:
                MUTATIONS[change](rng, each)
    chosen = (weights != 0) & (rng.random(weights.shape) < CPPN_RATE)
    weights[chosen] = polynomial_mutation(rng, weights[chosen], -SPAN, SPAN)
    chosen = rng.random(acts.shape) < CPPN_RATE / 4
    acts[chosen] = rng.integers(len(ACTIVATIONS), size=chosen.sum())
    return networks


def polynomial_mutation(rng, values, low, high, eta=ETA):
    """Values moved a little more often than far (Deb & Goyal 1996), the more so the larger ``eta``."""
    draw = rng.random(values.shape)
    power = 1 / (eta + 1)
    step = np.where(draw < 0.5, (2 * draw) ** power - 1, 1 - (2 - 2 * draw) ** power)
    return np.clip(values + (high - low) * step, low, high)


def find_unused_nodes(weights):
    """The hidden nodes that nothing reads, with those that read nothing."""
    used = weights.any(0)[INPUTS : INPUTS + HIDDEN] & weights.any(1)[INPUTS : INPUTS + HIDDEN]
    return INPUTS + np.flatnonzero(~used)


def add_connection(rng, weights):
    """A connection between two nodes that are there."""
    nodes, there = len(weights), np.ones(len(weights), bool)
    there[find_unused_nodes(weights)] = False
    places = np.tril(there[:, None] & there & (weights == 0), -1)
    places[:INPUTS] = False
    places[:, INPUTS + HIDDEN :] = False
    places = np.flatnonzero(places)
    if len(places):
        weights[np.unravel_index(rng.choice(places), (nodes, nodes))] = rng.uniform(-SPAN, SPAN)


def pick_connection(rng, weights):
    """(to, from) of a connection."""
    places = np.flatnonzero(weights)
    return np.unravel_index(rng.choice(places), weights.shape) if len(places) else None


def remove_connection(rng, weights):
    place = pick_connection(rng, weights)
    if place:
        weights[place] = 0


def move_connection(rng, weights):
    """A connection gives its weight to another place."""
    place = pick_connection(rng, weights)
    if place:
        to = place[0]
        there = np.setdiff1d(np.arange(min(to, INPUTS + HIDDEN)), find_unused_nodes(weights))
        there = there[weights[to, there] == 0]
        if len(there):
            weights[to, rng.choice(there)], weights[place] = weights[place], 0


def split_connection(rng, weights):
    """A node in the middle of a connection."""
    place = pick_connection(rng, weights)
    if place:
        to, source = place
        slots = find_unused_nodes(weights)
        slots = slots[(slots > source) & (slots < to)]
        if len(slots):
            node = rng.choice(slots)
            weights[node], weights[:, node] = 0, 0
            weights[node, source], weights[to, node], weights[place] = 1, weights[place], 0


def remove_node(rng, weights):
    """A node less."""
    nodes = np.setdiff1d(np.arange(INPUTS, INPUTS + HIDDEN), find_unused_nodes(weights))
    if len(nodes):
        node = rng.choice(nodes)
        weights[node], weights[:, node] = 0, 0


MUTATIONS = {
    "add": add_connection,
    "remove": remove_connection,
    "move": move_connection,
    "split": split_connection,
    "join": remove_node,
}


def output_ancestors(weights):
    """(P, nodes): whether an output depends on a node."""
    nodes = weights.shape[1]
    found = np.zeros(weights.shape[:2], bool)
    found[:, INPUTS + HIDDEN :] = True
    for node in range(nodes - 1, INPUTS - 1, -1):
        found |= found[:, node, None] & (weights[:, node] != 0)
    return found


def render_cppns(networks, shape):
    """The pictures (P, H, W, C) of whole numbers 0..255: gray, or hue, lightness and saturation, as RGB."""
    height, width, colors = shape
    weights, acts = networks["weights"], networks["acts"]
    y, x = np.meshgrid(*(np.linspace(-1, 1, side, dtype=np.float32) for side in (height, width)), indexing="ij")
    places = np.stack([x, y, np.hypot(x, y), np.ones_like(x)]).reshape(INPUTS, -1)
    values = np.zeros((len(weights), weights.shape[1], height * width), np.float32)
    values[:, :INPUTS] = places
    alive = output_ancestors(weights)
    for node in range(INPUTS, weights.shape[1]):
        for number, function in enumerate(ACTIVATIONS.values()):
            for row in np.flatnonzero(alive[:, node] & (acts[:, node] == number)):
                sources = np.flatnonzero(weights[row, node])
                values[row, node] = function(weights[row, node, sources] @ values[row, sources])
    outputs = values[:, -colors:].transpose(0, 2, 1).reshape(-1, height, width, colors)
    return np.rint(255 * (hsl_to_rgb(outputs) if colors == 3 else (outputs + 1) / 2)).astype(np.uint8)


def hsl_to_rgb(outputs):
    """Hue, lightness and saturation, each from -1 to 1, as RGB from 0 to 1."""
    hue, light, strength = np.moveaxis((outputs + 1) / 2, -1, 0)
    chroma = strength * (1 - np.abs(2 * light - 1))
    red, green, blue = np.abs(6 * hue - 3) - 1, 2 - np.abs(6 * hue - 2), 2 - np.abs(6 * hue - 4)
    return np.stack([light + chroma * (np.clip(each, 0, 1) - 0.5) for each in (red, green, blue)], -1)


RATE_HALVING, PIXEL_RATE = 1000, 0.1  # generations after which the rate of pixels that change is halved
CHUNK = 16  # pictures drawn at once


@dataclass(frozen=True)
class Encoding:
    """How an image is written: the first ones, children, and pixels, of genes {name: array with a row an image}."""

    sample: Callable  # (rng, count, shape) -> genes
    mutate: Callable  # (rng, genes, generation) -> genes
    render: Callable  # (genes, shape) -> (N, H, W, C), uint8


def random_pixels(rng, count, shape):
    return {"pixels": rng.integers(256, size=(count, *shape), dtype=np.uint8)}


def mutate_pixels(rng, genes, generation):
    """Children by polynomial mutation of a share of the pixels, which is halved every thousand generations."""
    pixels = genes["pixels"].copy()
    chosen = rng.random(pixels.shape, np.float32) < PIXEL_RATE * 0.5 ** (generation // RATE_HALVING)
    pixels[chosen] = np.rint(polynomial_mutation(rng, pixels[chosen].astype(np.float32), 0, 255))
    return {"pixels": pixels}


ENCODINGS = {
    "cppn": Encoding(random_cppns, mutate_cppns, render_cppns),
    "direct": Encoding(random_pixels, mutate_pixels, lambda genes, shape: genes["pixels"]),
}


def select_genes(genes, rows):
    return {name: array[rows] for name, array in genes.items()}


def render_genes(way, genes, shape):
    """The pictures of genes, a few at a time."""
    count = len(next(iter(genes.values())))
    starts = range(0, count, CHUNK)
    return np.concatenate([way.render(select_genes(genes, slice(at, at + CHUNK)), shape) for at in starts])


MIN_PROBABILITY = 1e-7  # the least p and 1 - p that are told apart in float32
UNREACHED_SHARE = 0.8  # of the parents are of classes below the goal
DECIMALS = 3  # decimals of the log odds that decide, so that rounding errors do not


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class Evolved(FigureResult):
    """Images evolved until a network predicts a class for each.

    Attributes:
        images: (K, H, W, C), uint8, one for each class.
        probabilities: of its class for each image, (K,).
        classes: class numbers.
        class_names: names of all classes, or None.
        history: DataFrame with a row for each generation: images evaluated, median probability, and the fraction
            above the goal.
        genes: what the images are rendered from.
        encoding: "cppn" or "direct".
        goal: the probability to reach.
        model: name of the model.
    """

    images: np.ndarray = field(repr=False)
    probabilities: np.ndarray
    classes: tuple
    class_names: tuple | None = field(repr=False)
    history: object = field(repr=False)
    genes: dict = field(repr=False)
    encoding: str
    goal: float
    model: str

    @property
    def table(self):
        """A DataFrame with a row for each class: class, label, probability, reached."""
        import pandas as pd

        names = [class_label(number, len(self.class_names or ()), self.class_names) for number in self.classes]
        reached = self.probabilities > self.goal
        columns = {"class": self.classes, "label": names, "probability": self.probabilities, "reached": reached}
        return pd.DataFrame(columns)

    @property
    def evaluations(self):
        """Number of images that the network has classified."""
        return int(self.history.evaluations.iloc[-1])

    def __str__(self):
        reached, median = (self.probabilities > self.goal).sum(), np.median(self.probabilities)
        sure = f"{reached} of {len(self.classes)} classes above {self.goal:.0%}"
        return f"{self.model}, {self.encoding}: {sure}, median {median:.2%}, after {self.evaluations:,} images"

    def plot(self):
        """Draw the images with their probabilities, and how these rose."""
        return draw_evolved(self)


def evolve(
    model: Model | Lens,
    classes: Classes | None = None,
    *,
    encoding: str = "cppn",
    population: int = 64,
    generations: int = 1000,
    seed: int = 0,
    goal: float = 0.99,
    class_names: ClassNames | None = None,
    start: Evolved | None = None,
    batch_size: int | None = None,
    on_progress: OnProgress | None = None,
) -> Evolved:
    """Evolve images that a network classifies with confidence (Nguyen et al. 2015).

    All classes evolve at once, by MAP-Elites. Ctrl-C returns the images so far.

    Args:
        model: Keras model with one input, or a `Lens` of one.
        classes: different class numbers or names; by default all.
        encoding: "cppn" for patterns, or "direct" for single pixels, which needs small images.
        population: number of children in a generation, each of one parent.
        generations: maximum number of generations.
        seed: random seed.
        goal: evolution stops when every image has this probability of its class.
        class_names: names of all classes.
        start: an `Evolved` to continue from.
        batch_size: images that go through the model at once; by default as many as memory allows.
        on_progress: called as `on_progress(done, total, what)`; it may raise to stop.

    Returns:
        An `Evolved`.
    """
    import pandas as pd

    if encoding not in ENCODINGS:
        raise ValueError(f"`encoding` should be 'cppn' or 'direct'. {unknown_name('encoding', encoding, ENCODINGS)}")
    asked, way = lens(model), ENCODINGS[encoding]
    shape = input_image_shape(asked)
    count = max(asked.output.shape[-1], 2)
    numbers = distinct_classes(asked, classes, class_names, count)
    names = resolve_class_names(class_names, count, asked.model)
    for name, number in (("population", population), ("generations", generations)):
        if not isinstance(number, int | np.integer) or number < 1:
            raise ValueError(f"`{name}` should be an integer of at least 1. Received: {number!r}")
    if not 0 < goal < 1:
        raise ValueError(f"`goal` should be a probability between 0 and 1. Received: {goal!r}")
    archive, rows = initial_archive(start, asked, numbers, encoding, shape)
    past = len(rows)
    rng = np.random.default_rng([seed, past])
    try:
        for generation in range(past, past + generations):
            genes = way.sample(rng, population, shape)
            if archive["genes"]:
                parents = choose_parents(rng, archive["probs"] > goal, population)
                genes = way.mutate(rng, select_genes(archive["genes"], parents), generation)
            probs = class_probabilities(asked, way, genes, shape, batch_size)[:, numbers]
            update_archive(archive, genes, probs)
            best = archive["probs"]
            tried = (rows[-1][1] if rows else 0) + population
            rows.append((generation + 1, tried, np.median(best), (best > goal).mean()))
            if on_progress:
                on_progress(generation + 1 - past, generations, "generations")
            if (best > goal).all():
                break
    except KeyboardInterrupt:
        if not rows:
            raise
    return Evolved(
        images=render_genes(way, archive["genes"], shape),
        probabilities=archive["probs"],
        classes=tuple(numbers.tolist()),
        class_names=names,
        history=pd.DataFrame(rows, columns=["generation", "evaluations", "median", "share"]),
        genes=archive["genes"],
        encoding=encoding,
        goal=goal,
        model=asked.name,
    )


def initial_archive(start, asked, classes, encoding, shape):
    """(archive, rows of the history) to begin with: empty, or those of an earlier result."""
    if start is None:
        none = np.full(len(classes), -np.inf)
        return {"genes": {}, "probs": none, "odds": none.copy()}, []
    wanted = (encoding, shape, tuple(classes.tolist()))
    given = (start.encoding, start.images.shape[1:], start.classes)
    if given != wanted:
        raise ValueError(f"`start` should have the encoding, size and classes {wanted}. Received: {given}")
    genes = {name: array.copy() for name, array in start.genes.items()}
    archive = {"genes": genes, "probs": start.probabilities.copy(), "odds": log_odds(start.probabilities)}
    return archive, [*start.history.itertuples(index=False, name=None)]


def choose_parents(rng, reached, count):
    """Places of parents: most are those of classes still below the goal."""
    weights = np.where(
        reached, (1 - UNREACHED_SHARE) / max(reached.sum(), 1), UNREACHED_SHARE / max((~reached).sum(), 1)
    )
    return rng.choice(len(reached), count, p=weights / weights.sum())


def update_archive(archive, genes, probs):
    """Give each class the best of the new images where it beats the old one."""
    ranks = log_odds(probs)
    best = ranks.argmax(0)
    columns = np.arange(len(best))
    better = np.flatnonzero(ranks[best, columns] > archive["odds"])
    archive["genes"] = archive["genes"] or select_genes(genes, best)
    for name, array in archive["genes"].items():
        array[better] = genes[name][best[better]]
    archive["odds"][better] = ranks[best[better], better]
    archive["probs"][better] = probs[best[better], better]


def log_odds(probs):
    """log(p / (1 - p)), rounded."""
    probs = np.clip(np.asarray(probs, np.float64), 1e-30, 1 - MIN_PROBABILITY)
    return np.round(np.log(probs) - np.log1p(-probs), DECIMALS)


def class_probabilities(asked, way, genes, shape, batch_size):
    """The probabilities (N, classes) of the pictures of genes; of one score, those of its two sides."""
    count = len(next(iter(genes.values())))
    starts = range(0, count, 2 * CHUNK)
    some = (render_genes(way, select_genes(genes, slice(at, at + 2 * CHUNK)), shape) for at in starts)
    return np.concatenate([predict_probabilities(asked, pictures(asked, pixels), batch_size) for pixels in some])


def input_image_shape(asked):
    """(H, W, C) of the images."""
    if len(asked.inputs) > 1:
        raise ValueError(f"`model` should have one input, of images. Received: {', '.join(asked.inputs)}")
    if asked.shape[-1] not in (1, 3):
        raise ValueError(f"`model` should take gray or RGB images. Received: {asked.shape[-1]} channels")
    height, width = asked.shape[:2] if None not in asked.shape[:2] else classifier(asked.model).size
    return height, width, asked.shape[-1]


def distinct_classes(asked, classes, class_names, count):
    """The numbers of the classes as an array, by default of all."""
    if classes is None:
        return np.arange(count)
    numbers = class_numbers(classes, count, class_names=class_names, model=asked.model)
    if len(set(numbers.tolist())) < len(numbers):
        raise ValueError(f"`classes` should be different from each other. Received: {classes}")
    return numbers


MAX_IMAGES, COLUMNS = 20, 5  # images drawn


def draw_evolved(found):
    """The images, at most twenty from the surest to the least sure, with their classes; how p(class) rose."""
    order = np.argsort(-found.probabilities, kind="stable")
    shown = order[np.linspace(0, len(order) - 1, min(MAX_IMAGES, len(order))).round().astype(int)]
    columns = min(COLUMNS, len(shown))
    rows = -(-len(shown) // columns)
    figure = new_figure(1.75 * columns + 5.2, max(2.05 * rows, 3.4) + 0.9)
    left, right = figure.subfigures(1, 2, width_ratios=(1.75 * columns, 5.2))
    axes = left.subplots(rows, columns, squeeze=False).ravel()
    for axis, i in zip(axes, shown, strict=False):
        image = found.images[i]
        axis.imshow(image if image.shape[-1] == 3 else image[..., 0], cmap="gray", vmin=0, vmax=255)
        hide_ticks(axis, shorten_end(found.table.label[i], 18), f"{found.probabilities[i]:.2%}")
        axis.title.set_size(SMALL + 0.5)
    for empty in axes[len(shown) :]:
        empty.axis("off")
    if len(shown) < len(order):
        said = f"{len(shown)} of {len(order)} classes, evenly from the surest to the least sure"
        left.supxlabel(said, fontsize=SMALL, color="0.3")
    draw_history(right.subplots(), found)
    figure.suptitle(str(found), fontsize=LARGE)
    return figure


def draw_history(axis, found):
    """The median of p(class) and the share of classes above the goal over the images tried."""
    tried = found.history.evaluations
    axis.plot(tried, 100 * found.history["median"], color=CLASSES[0], linewidth=2.5, label="median p(class)")
    label = f"classes above {found.goal:.0%}"
    axis.plot(
        tried, 100 * found.history.share, "--", color=CLASSES[3], linewidth=2.5, label=label, drawstyle="steps-post"
    )
    axis.set_xscale("log")
    axis.set_ylim(-2, 103)
    axis.set_xlabel("images tried", fontsize=PLAIN)
    axis.set_ylabel("%", fontsize=PLAIN)
    axis.grid(alpha=0.25)
    axis.spines[["top", "right"]].set_visible(False)
    axis.legend(frameon=False, fontsize=PLAIN, loc="lower right")
