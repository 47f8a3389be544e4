"""Fooling images by evolution: unrecognizable, yet classified with confidence (Nguyen, Yosinski & Clune 2015).

The algorithm is MAP-Elites, without gradients: its archive holds, for each class, the image with the largest p(class)
so far, and every child competes in every class. Pixels are integers 0..255, so that saving an image loses nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ...inputs.classifier import class_numbers, classifier, resolve_class_names
from ...plots.style import CLASSES, LARGE, PLAIN, SMALL, hide_ticks, new_figure
from ...support.checks import check_integer
from ...support.display import FigureResult
from ...support.text import shorten_end, unknown_name
from ...support.types import Classes, ClassNames, Model, OnProgress
from ..attribution.attribution import class_label, predict_probabilities
from ..engine.lens import Lens, lens
from ..engine.query import pictures

INPUTS = 4  # x, y, distance from the center, 1
HIDDEN = 20  # slots for hidden nodes, each connected only to nodes before it
MAX_WEIGHT, ETA = 10.0, 15  # weights are in -10..10; eta of the polynomial mutation
# probabilities of each mutation of a child (Nguyen et al. 2015)
RATES = {"add": 0.5, "remove": 0.3, "move": 0.5, "split": 0.5, "join": 0.2}
CPPN_RATE = 0.1  # probability that a weight is mutated
INITIAL_MUTATIONS = 6  # of the networks of the first generation
ACTIVATIONS = {
    "sine": np.sin,
    "sigmoid": lambda s: np.tanh(s / 2),
    "gaussian": lambda s: 2 * np.exp(-np.square(s)) - 1,
    "linear": lambda s: np.clip(s, -1, 1),
}


def random_cppns(rng, count, shape):
    """Random CPPNs {"weights": (count, to, from), "acts": (count, nodes)}; a weight of 0 is no connection."""
    nodes = INPUTS + HIDDEN + shape[-1]
    weights = np.zeros((count, nodes, nodes), np.float32)
    weights[:, -shape[-1] :, :INPUTS] = rng.uniform(-MAX_WEIGHT / 4, MAX_WEIGHT / 4, (count, shape[-1], INPUTS))
    networks = {"weights": weights, "acts": rng.integers(len(ACTIVATIONS), size=(count, nodes)).astype(np.int8)}
    for _ in range(INITIAL_MUTATIONS):
        networks = mutate_cppns(rng, networks)
    return networks


def mutate_cppns(rng, networks, generation=0):
    """A child of each CPPN: connections and nodes are added and removed, weights and activations mutated."""
    networks = {name: array.copy() for name, array in networks.items()}
    weights, acts = networks["weights"], networks["acts"]
    for child, draws in zip(weights, rng.random((len(weights), len(RATES))), strict=True):
        for mutation, draw in zip(RATES, draws, strict=True):
            if draw < RATES[mutation]:
                MUTATIONS[mutation](rng, child)
    mutated = (weights != 0) & (rng.random(weights.shape) < CPPN_RATE)
    weights[mutated] = polynomial_mutation(rng, weights[mutated], -MAX_WEIGHT, MAX_WEIGHT)
    mutated = rng.random(acts.shape) < CPPN_RATE / 4
    acts[mutated] = rng.integers(len(ACTIVATIONS), size=mutated.sum())
    return networks


def polynomial_mutation(rng, values, low, high, eta=ETA):
    """Values with random steps, the smaller the larger ``eta`` is (Deb & Goyal 1996)."""
    draw = rng.random(values.shape)
    power = 1 / (eta + 1)
    step = np.where(draw < 0.5, (2 * draw) ** power - 1, 1 - (2 - 2 * draw) ** power)
    return np.clip(values + (high - low) * step, low, high)


def find_unused_nodes(weights):
    """The hidden nodes without outgoing or without incoming connections."""
    used = weights.any(0)[INPUTS : INPUTS + HIDDEN] & weights.any(1)[INPUTS : INPUTS + HIDDEN]
    return INPUTS + np.flatnonzero(~used)


def add_connection(rng, weights):
    """Connect two nodes that are in use."""
    used = np.ones(len(weights), bool)
    used[find_unused_nodes(weights)] = False
    free = np.tril(used[:, None] & used & (weights == 0), -1)
    free[:INPUTS] = False
    free[:, INPUTS + HIDDEN :] = False
    free = np.flatnonzero(free)
    if len(free):
        weights[np.unravel_index(rng.choice(free), weights.shape)] = rng.uniform(-MAX_WEIGHT, MAX_WEIGHT)


def pick_connection(rng, weights):
    """The indices (to, from) of a random connection; None if there is none."""
    connections = np.flatnonzero(weights)
    return np.unravel_index(rng.choice(connections), weights.shape) if len(connections) else None


def remove_connection(rng, weights):
    connection = pick_connection(rng, weights)
    if connection:
        weights[connection] = 0


def move_connection(rng, weights):
    """Move the source of a connection to another node."""
    connection = pick_connection(rng, weights)
    if connection:
        to = connection[0]
        sources = np.setdiff1d(np.arange(min(to, INPUTS + HIDDEN)), find_unused_nodes(weights))
        sources = sources[weights[to, sources] == 0]
        if len(sources):
            weights[to, rng.choice(sources)], weights[connection] = weights[connection], 0


def split_connection(rng, weights):
    """Insert a node into a connection."""
    connection = pick_connection(rng, weights)
    if connection:
        to, source = connection
        slots = find_unused_nodes(weights)
        slots = slots[(slots > source) & (slots < to)]
        if len(slots):
            node = rng.choice(slots)
            weights[node], weights[:, node] = 0, 0
            weights[node, source], weights[to, node], weights[connection] = 1, weights[connection], 0


def remove_node(rng, weights):
    """Remove a hidden node with its connections."""
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
    """Whether an output depends on each node: (networks, nodes)."""
    nodes = weights.shape[1]
    needed = np.zeros(weights.shape[:2], bool)
    needed[:, INPUTS + HIDDEN :] = True
    for node in range(nodes - 1, INPUTS - 1, -1):
        needed |= needed[:, node, None] & (weights[:, node] != 0)
    return needed


def render_cppns(networks, shape):
    """The images (N, H, W, C) of CPPNs, uint8; color outputs are hue, lightness and saturation."""
    height, width, colors = shape
    weights, acts = networks["weights"], networks["acts"]
    y, x = np.meshgrid(*(np.linspace(-1, 1, side, dtype=np.float32) for side in (height, width)), indexing="ij")
    places = np.stack([x, y, np.hypot(x, y), np.ones_like(x)]).reshape(INPUTS, -1)
    values = np.zeros((len(weights), weights.shape[1], height * width), np.float32)
    values[:, :INPUTS] = places
    needed = output_ancestors(weights)
    for node in range(INPUTS, weights.shape[1]):
        for number, function in enumerate(ACTIVATIONS.values()):
            for row in np.flatnonzero(needed[:, node] & (acts[:, node] == number)):
                sources = np.flatnonzero(weights[row, node])
                values[row, node] = function(weights[row, node, sources] @ values[row, sources])
    outputs = values[:, -colors:].transpose(0, 2, 1).reshape(-1, height, width, colors)
    return np.rint(255 * (hsl_to_rgb(outputs) if colors == 3 else (outputs + 1) / 2)).astype(np.uint8)


def hsl_to_rgb(outputs):
    """Hue, lightness and saturation, each from -1 to 1, as RGB from 0 to 1."""
    hue, lightness, saturation = np.moveaxis((outputs + 1) / 2, -1, 0)
    chroma = saturation * (1 - np.abs(2 * lightness - 1))
    red, green, blue = np.abs(6 * hue - 3) - 1, 2 - np.abs(6 * hue - 2), 2 - np.abs(6 * hue - 4)
    return np.stack([lightness + chroma * (np.clip(color, 0, 1) - 0.5) for color in (red, green, blue)], -1)


RATE_HALVING, PIXEL_RATE = 1000, 0.1  # the fraction of mutated pixels is halved every 1000 generations
CHUNK = 16  # images rendered at once


@dataclass(frozen=True)
class Encoding:
    """An encoding of images as genes {name: array with a row for each image}.

    Attributes:
        sample: ``sample(rng, count, shape)`` returns random genes.
        mutate: ``mutate(rng, genes, generation)`` returns the genes of a child of each image.
        render: ``render(genes, shape)`` returns images (N, H, W, C), uint8.
    """

    sample: Callable
    mutate: Callable
    render: Callable


def random_pixels(rng, count, shape):
    return {"pixels": rng.integers(256, size=(count, *shape), dtype=np.uint8)}


def mutate_pixels(rng, genes, generation):
    """Children by polynomial mutation of random pixels, a fraction that is halved every 1000 generations."""
    pixels = genes["pixels"].copy()
    mutated = rng.random(pixels.shape, np.float32) < PIXEL_RATE * 0.5 ** (generation // RATE_HALVING)
    pixels[mutated] = np.rint(polynomial_mutation(rng, pixels[mutated].astype(np.float32), 0, 255))
    return {"pixels": pixels}


ENCODINGS = {
    "cppn": Encoding(random_cppns, mutate_cppns, render_cppns),
    "direct": Encoding(random_pixels, mutate_pixels, lambda genes, shape: genes["pixels"]),
}


def select_genes(genes, rows):
    return {name: array[rows] for name, array in genes.items()}


def render_genes(encoder, genes, shape):
    """The images of genes, rendered in chunks."""
    count = len(next(iter(genes.values())))
    starts = range(0, count, CHUNK)
    return np.concatenate([encoder.render(select_genes(genes, slice(start, start + CHUNK)), shape) for start in starts])


MIN_PROBABILITY = 1e-7  # the smallest 1 - p that float32 resolves
UNREACHED_SHARE = 0.8  # fraction of parents from classes below the goal
DECIMALS = 3  # of the log odds that are compared, so that rounding errors do not decide


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class Evolution(FigureResult):
    """Images evolved until a network predicts a class for each.

    Attributes:
        images: (K, H, W, C), uint8, one for each class.
        probs: (K,), the probability of each image's class.
        classes: class numbers.
        class_names: names of all classes, or None.
        history: DataFrame with a row for each generation: generation, evaluations (images classified so far), median
            (of the probabilities) and share (of classes above the goal).
        genes: what the images are rendered from.
        encoding: "cppn" or "direct".
        goal: the probability to reach.
        model: name of the model.
    """

    images: np.ndarray
    probs: np.ndarray
    classes: tuple
    class_names: tuple | None
    history: object
    genes: dict
    encoding: str
    goal: float
    model: str

    @property
    def table(self):
        """A DataFrame with a row for each class: class, label, probability, reached."""
        import pandas as pd

        names = [class_label(number, len(self.class_names or ()), self.class_names) for number in self.classes]
        reached = self.probs > self.goal
        columns = {"class": self.classes, "label": names, "probability": self.probs, "reached": reached}
        return pd.DataFrame(columns)

    @property
    def evaluations(self):
        """Number of images that the network has classified."""
        return int(self.history.evaluations.iloc[-1])

    def __str__(self):
        reached, median = (self.probs > self.goal).sum(), np.median(self.probs)
        count = f"{reached} of {len(self.classes)} classes above {self.goal:.0%}"
        return f"{self.model}, {self.encoding}: {count}, median {median:.2%}, after {self.evaluations:,} images"

    def plot(self):
        """Draw the images with their probabilities, and the probabilities over the generations."""
        return draw_evolution(self)


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
    start: Evolution | None = None,
    batch_size: int | None = None,
    on_progress: OnProgress | None = None,
) -> Evolution:
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
        start: an `Evolution` to continue from.
        batch_size: images that go through the model at once; by default as many as memory allows.
        on_progress: called as `on_progress(done, total, what)`; it may raise to stop.

    Returns:
        An `Evolution`.
    """
    import pandas as pd

    if encoding not in ENCODINGS:
        raise ValueError(f"`encoding` should be 'cppn' or 'direct'. {unknown_name('encoding', encoding, ENCODINGS)}")
    network, encoder = lens(model), ENCODINGS[encoding]
    shape = input_image_shape(network)
    count = max(network.output.shape[-1], 2)
    numbers = distinct_classes(network, classes, class_names, count)
    names = resolve_class_names(class_names, count, network.model)
    check_integer(population=population, generations=generations)
    if not 0 < goal < 1:
        raise ValueError(f"`goal` should be a probability between 0 and 1. Received: {goal!r}")
    archive, rows = initial_archive(start, network, numbers, encoding, shape)
    generations_before = len(rows)
    rng = np.random.default_rng([seed, generations_before])
    try:
        for generation in range(generations_before, generations_before + generations):
            genes = encoder.sample(rng, population, shape)
            if archive["genes"]:
                parents = choose_parents(rng, archive["probs"] > goal, population)
                genes = encoder.mutate(rng, select_genes(archive["genes"], parents), generation)
            probs = class_probabilities(network, encoder, genes, shape, batch_size)[:, numbers]
            update_archive(archive, genes, probs)
            best = archive["probs"]
            evaluations = (rows[-1][1] if rows else 0) + population
            rows.append((generation + 1, evaluations, np.median(best), (best > goal).mean()))
            if on_progress:
                on_progress(generation + 1 - generations_before, generations, "generations")
            if (best > goal).all():
                break
    except KeyboardInterrupt:
        if not rows:
            raise
    return Evolution(
        images=render_genes(encoder, archive["genes"], shape),
        probs=archive["probs"],
        classes=tuple(numbers.tolist()),
        class_names=names,
        history=pd.DataFrame(rows, columns=["generation", "evaluations", "median", "share"]),
        genes=archive["genes"],
        encoding=encoding,
        goal=goal,
        model=network.name,
    )


def initial_archive(start, network, classes, encoding, shape):
    """The archive and the rows of the history at the start: empty, or those of an earlier result."""
    if start is None:
        lowest = np.full(len(classes), -np.inf)
        return {"genes": {}, "probs": lowest, "odds": lowest.copy()}, []
    expected = (encoding, shape, tuple(classes.tolist()))
    received = (start.encoding, start.images.shape[1:], start.classes)
    if received != expected:
        raise ValueError(f"`start` should have the encoding, size and classes {expected}. Received: {received}")
    genes = {name: array.copy() for name, array in start.genes.items()}
    archive = {"genes": genes, "probs": start.probs.copy(), "odds": log_odds(start.probs)}
    return archive, [*start.history.itertuples(index=False, name=None)]


def choose_parents(rng, reached, count):
    """Indices of random parents, most of them from classes that are below the goal."""
    weights = np.where(
        reached, (1 - UNREACHED_SHARE) / max(reached.sum(), 1), UNREACHED_SHARE / max((~reached).sum(), 1)
    )
    return rng.choice(len(reached), count, p=weights / weights.sum())


def update_archive(archive, genes, probs):
    """Replace the image of each class whose best new image has higher log odds."""
    odds = log_odds(probs)
    best = odds.argmax(0)
    columns = np.arange(len(best))
    better = np.flatnonzero(odds[best, columns] > archive["odds"])
    archive["genes"] = archive["genes"] or select_genes(genes, best)
    for name, array in archive["genes"].items():
        array[better] = genes[name][best[better]]
    archive["odds"][better] = odds[best[better], better]
    archive["probs"][better] = probs[best[better], better]


def log_odds(probs):
    """log(p / (1 - p)), rounded."""
    probs = np.clip(np.asarray(probs, np.float64), 1e-30, 1 - MIN_PROBABILITY)
    return np.round(np.log(probs) - np.log1p(-probs), DECIMALS)


def class_probabilities(network, encoder, genes, shape, batch_size):
    """The probabilities (N, classes) of the images of genes; two classes for a model with one output."""
    count = len(next(iter(genes.values())))
    starts = range(0, count, 2 * CHUNK)
    batches = (render_genes(encoder, select_genes(genes, slice(start, start + 2 * CHUNK)), shape) for start in starts)
    return np.concatenate([predict_probabilities(network, pictures(network, pixels), batch_size) for pixels in batches])


def input_image_shape(network):
    """(H, W, C) of the input images of the model."""
    if len(network.inputs) > 1:
        raise ValueError(f"`model` should have one input, of images. Received: {', '.join(network.inputs)}")
    if network.shape[-1] not in (1, 3):
        raise ValueError(f"`model` should take gray or RGB images. Received: {network.shape[-1]} channels")
    height, width = network.shape[:2] if None not in network.shape[:2] else classifier(network.model).size
    return height, width, network.shape[-1]


def distinct_classes(network, classes, class_names, count):
    """The numbers of the classes as an array, by default of all."""
    if classes is None:
        return np.arange(count)
    numbers = class_numbers(classes, count, class_names=class_names, model=network.model)
    if len(set(numbers.tolist())) < len(numbers):
        raise ValueError(f"`classes` should have no class twice. Received: {classes}")
    return numbers


MAX_IMAGES, COLUMNS = 20, 5  # images in the figure, and in a row of it


def draw_evolution(result):
    """At most 20 images in order of probability, with their classes, beside the history of the probabilities."""
    order = np.argsort(-result.probs, kind="stable")
    selection = order[np.linspace(0, len(order) - 1, min(MAX_IMAGES, len(order))).round().astype(int)]
    columns = min(COLUMNS, len(selection))
    rows = -(-len(selection) // columns)
    figure = new_figure(1.75 * columns + 5.2, max(2.05 * rows, 3.4) + 0.9)
    left, right = figure.subfigures(1, 2, width_ratios=(1.75 * columns, 5.2))
    axes = left.subplots(rows, columns, squeeze=False).ravel()
    for axis, i in zip(axes, selection, strict=False):
        image = result.images[i]
        axis.imshow(image if image.shape[-1] == 3 else image[..., 0], cmap="gray", vmin=0, vmax=255)
        hide_ticks(axis, shorten_end(result.table.label[i], 18), f"{result.probs[i]:.2%}")
        axis.title.set_size(SMALL + 0.5)
    for empty in axes[len(selection) :]:
        empty.axis("off")
    if len(selection) < len(order):
        note = f"{len(selection)} of {len(order)} classes, evenly spaced in order of probability"
        left.supxlabel(note, fontsize=SMALL, color="0.3")
    draw_history(right.subplots(), result)
    figure.suptitle(str(result), fontsize=LARGE)
    return figure


def draw_history(axis, result):
    """The median of p(class), and the fraction of classes above the goal, over the evaluated images."""
    evaluations = result.history.evaluations
    axis.plot(evaluations, 100 * result.history["median"], color=CLASSES[0], linewidth=2.5, label="median p(class)")
    label = f"classes above {result.goal:.0%}"
    axis.plot(
        evaluations,
        100 * result.history.share,
        "--",
        color=CLASSES[3],
        linewidth=2.5,
        label=label,
        drawstyle="steps-post",
    )
    axis.set_xscale("log")
    axis.set_ylim(-2, 103)
    axis.set_xlabel("images evaluated", fontsize=PLAIN)
    axis.set_ylabel("%", fontsize=PLAIN)
    axis.grid(alpha=0.25)
    axis.spines[["top", "right"]].set_visible(False)
    axis.legend(frameon=False, fontsize=PLAIN, loc="lower right")
