"""Pictures written as small networks from a pixel's place to its colour (Stanley 2007): regular, smooth, of any size.

colour(x, y) = N(x, y, sqrt(x^2 + y^2), 1); each node is sin s, tanh(s / 2), 2 exp(-s^2) - 1, or s held to -1..1, of the
sum s of what comes in. Of a population only the nodes that an output needs are drawn.
"""

import numpy as np

INPUTS = 4  # x, y, distance from the centre, 1
HIDDEN = 20  # slots of nodes, which read only what stands before them
SPAN, ETA = 10.0, 15  # weights lie in -10..10; polynomial mutation
RATES = {"add": 0.5, "remove": 0.3, "move": 0.5, "split": 0.5, "join": 0.2}  # a child (Nguyen et al. 2015)
RATE = 0.1  # of the weights, and of the activations
GROWTH = 6  # mutations that the first ones have behind them
ACTIVATIONS = {
    "sine": np.sin,
    "sigmoid": lambda s: np.tanh(s / 2),
    "gaussian": lambda s: 2 * np.exp(-np.square(s)) - 1,
    "linear": lambda s: np.clip(s, -1, 1),
}


def first(rng, count, shape):
    """``count`` networks {"weights": (count, to, from), "acts": (count, nodes)}; a weight of 0 is no connection."""
    nodes = INPUTS + HIDDEN + shape[-1]
    weights = np.zeros((count, nodes, nodes), np.float32)
    weights[:, -shape[-1] :, :INPUTS] = rng.uniform(-SPAN / 4, SPAN / 4, (count, shape[-1], INPUTS))
    found = {"weights": weights, "acts": rng.integers(len(ACTIVATIONS), size=(count, nodes)).astype(np.int8)}
    for _ in range(GROWTH):
        found = mutated(rng, found)
    return found


def mutated(rng, networks, generation=0):
    """A child of each network: connections and nodes come and go, weights move a little."""
    networks = {name: array.copy() for name, array in networks.items()}
    weights, acts = networks["weights"], networks["acts"]
    for each, draws in zip(weights, rng.random((len(weights), len(RATES))), strict=True):
        for change, draw in zip(RATES, draws, strict=True):
            if draw < RATES[change]:
                CHANGES[change](rng, each)
    chosen = (weights != 0) & (rng.random(weights.shape) < RATE)
    weights[chosen] = polynomial(rng, weights[chosen], -SPAN, SPAN)
    chosen = rng.random(acts.shape) < RATE / 4
    acts[chosen] = rng.integers(len(ACTIVATIONS), size=chosen.sum())
    return networks


def polynomial(rng, values, low, high, eta=ETA):
    """Values moved a little more often than far (Deb & Goyal 1996), the more so the larger ``eta``."""
    draw = rng.random(values.shape)
    power = 1 / (eta + 1)
    step = np.where(draw < 0.5, (2 * draw) ** power - 1, 1 - (2 - 2 * draw) ** power)
    return np.clip(values + (high - low) * step, low, high)


def free(weights):
    """The hidden nodes that nothing reads, with those that read nothing."""
    used = weights.any(0)[INPUTS : INPUTS + HIDDEN] & weights.any(1)[INPUTS : INPUTS + HIDDEN]
    return INPUTS + np.flatnonzero(~used)


def add(rng, weights):
    """A connection between two nodes that are there."""
    nodes, there = len(weights), np.ones(len(weights), bool)
    there[free(weights)] = False
    places = np.tril(there[:, None] & there & (weights == 0), -1)
    places[:INPUTS] = False
    places[:, INPUTS + HIDDEN :] = False
    places = np.flatnonzero(places)
    if len(places):
        weights[np.unravel_index(rng.choice(places), (nodes, nodes))] = rng.uniform(-SPAN, SPAN)


def picked(rng, weights):
    """(to, from) of a connection."""
    places = np.flatnonzero(weights)
    return np.unravel_index(rng.choice(places), weights.shape) if len(places) else None


def remove(rng, weights):
    place = picked(rng, weights)
    if place:
        weights[place] = 0


def move(rng, weights):
    """A connection gives its weight to another place."""
    place = picked(rng, weights)
    if place:
        to = place[0]
        there = np.setdiff1d(np.arange(min(to, INPUTS + HIDDEN)), free(weights))
        there = there[weights[to, there] == 0]
        if len(there):
            weights[to, rng.choice(there)], weights[place] = weights[place], 0


def split(rng, weights):
    """A node in the middle of a connection."""
    place = picked(rng, weights)
    if place:
        to, source = place
        slots = free(weights)
        slots = slots[(slots > source) & (slots < to)]
        if len(slots):
            node = rng.choice(slots)
            weights[node], weights[:, node] = 0, 0
            weights[node, source], weights[to, node], weights[place] = 1, weights[place], 0


def join(rng, weights):
    """A node less."""
    nodes = np.setdiff1d(np.arange(INPUTS, INPUTS + HIDDEN), free(weights))
    if len(nodes):
        node = rng.choice(nodes)
        weights[node], weights[:, node] = 0, 0


CHANGES = {"add": add, "remove": remove, "move": move, "split": split, "join": join}


def needed(weights):
    """(P, nodes): whether an output depends on a node."""
    nodes = weights.shape[1]
    found = np.zeros(weights.shape[:2], bool)
    found[:, INPUTS + HIDDEN :] = True
    for node in range(nodes - 1, INPUTS - 1, -1):
        found |= found[:, node, None] & (weights[:, node] != 0)
    return found


def drawn(networks, shape):
    """The pictures (P, H, W, C) of whole numbers 0..255: grey, or hue, lightness and saturation, as RGB."""
    height, width, colours = shape
    weights, acts = networks["weights"], networks["acts"]
    y, x = np.meshgrid(*(np.linspace(-1, 1, side, dtype=np.float32) for side in (height, width)), indexing="ij")
    places = np.stack([x, y, np.hypot(x, y), np.ones_like(x)]).reshape(INPUTS, -1)
    values = np.zeros((len(weights), weights.shape[1], height * width), np.float32)
    values[:, :INPUTS] = places
    alive = needed(weights)
    for node in range(INPUTS, weights.shape[1]):
        for number, function in enumerate(ACTIVATIONS.values()):
            for row in np.flatnonzero(alive[:, node] & (acts[:, node] == number)):
                sources = np.flatnonzero(weights[row, node])
                values[row, node] = function(weights[row, node, sources] @ values[row, sources])
    outputs = values[:, -colours:].transpose(0, 2, 1).reshape(-1, height, width, colours)
    return np.rint(255 * (rgb(outputs) if colours == 3 else (outputs + 1) / 2)).astype(np.uint8)


def rgb(outputs):
    """Hue, lightness and saturation, each from -1 to 1, as RGB from 0 to 1."""
    hue, light, strength = np.moveaxis((outputs + 1) / 2, -1, 0)
    chroma = strength * (1 - np.abs(2 * light - 1))
    red, green, blue = np.abs(6 * hue - 3) - 1, 2 - np.abs(6 * hue - 2), 2 - np.abs(6 * hue - 4)
    return np.stack([light + chroma * (np.clip(each, 0, 1) - 0.5) for each in (red, green, blue)], -1)
