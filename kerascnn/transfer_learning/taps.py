"""One pass through a network gives the features of all its stages: `taps`."""

import re
import time
import weakref
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from itertools import product
from typing import NamedTuple

import keras
import numpy as np
from keras import layers

from ..graph.ends import penultimate
from ..graph.run import part, run
from ..graph.walk import walk
from ..inputs.classifier import classifier
from ..inputs.decode import ImageError
from ..inputs.resize import Preprocessing, check_count
from ..support.progress import progress
from ..support.store import Store
from ..support.text import check_names
from .sources import asked
from .store import cache_features, cached_features, fingerprints, folder_of, halved, tap_store

STAGE, BLOCK = re.compile(r"stage\d+|features"), re.compile(r"stage\d+_(block|fire|layer)\d+")
MOST = 16  # taps where nobody says which
PLUS, FEW = "+", 3  # between stages side by side, and how many of them are named
_POOLED = weakref.WeakKeyDictionary()


def told(stage):
    """A stage, or several side by side, in few words."""
    names = stage.split(PLUS)
    return stage if len(names) <= FEW else f"{len(names)} stages, {names[0]} to {names[-1]}"


def staged(graph, stages=None):
    """{name: call} of the ends of a network's stages and blocks in their order, or of the layers that are named."""
    if isinstance(stages, str):
        stages = (stages,)
    nodes = {str(stage): graph.find(stage) for stage in (usual(graph) if stages is None else stages)}
    if not nodes:
        raise ValueError("`stages` should name one layer or more. Received: none")
    order = {node: i for i, node in enumerate(graph.nodes)}
    return dict(sorted(nodes.items(), key=lambda pair: order[pair[1]]))


def usual(graph):
    """Names of the stages, and of blocks evenly between them; of a network without such names, ``resolutions``."""
    names = [node.name for node in graph.nodes]
    found, blocks = ([name for name in names if kind.fullmatch(name)] for kind in (STAGE, BLOCK))
    room = min(len(blocks), MOST - len(found))
    if found and room > 0:
        found += [blocks[i] for i in np.linspace(0, len(blocks) - 1, room).round().astype(int)]
    return found or resolutions(graph)


def resolutions(graph):
    """The last call of each resolution on the way to the output, and what the last layer with weights reads."""
    output = graph.outputs[0]
    last = {}
    for node in part(graph, [output]).nodes:
        if len(node.shape) == 3 and not node.is_input:
            last[node.shape[:2]] = node.name
    seen = penultimate(output)
    before = {node.name for node in part(graph, [seen]).nodes}
    return [*dict.fromkeys([name for name in last.values() if name in before] + [seen.name])]


class Pooled(keras.Model):
    """{stage: (N, d)} of pixels: means over each stage's places. Runs a model's layers, and leaves it as it is."""

    def __init__(self, graph, nodes, grid=1):
        super().__init__(name="taps")
        self.graph = part(graph, [*nodes.values()])
        self.taps = tuple((stage, node.name, means(node.shape, grid)) for stage, node in nodes.items())
        self.parts = [node.operation for node in self.graph.nodes if node.is_layer]  # so that their weights are found
        self.built = True

    def call(self, pixels, training=False):
        maps = run(self.graph, pixels)
        return {stage: chained(pooling, maps[name]) for stage, name, pooling in self.taps}


def pooled(model, graph, nodes, grid=1):
    """The ``Pooled`` of a model; each model's are kept while it is there, so that they are compiled once."""
    kept = _POOLED.setdefault(model, {})
    sizes = tuple(node.shape for node in graph.inputs)
    activations = tuple(id(getattr(node.operation, "activation", None)) for node in graph.nodes)  # are compiled in
    key = tuple(nodes), grid, sizes, activations
    if key not in kept:
        kept[key] = Pooled(graph, nodes, grid)
    return kept[key]


def means(shape, grid=1, name="means"):
    """Layers from the maps of a stage (h, w, d) to float32 means over all places, or over a grid of them, side by side.

    The grid is no finer than the maps.
    """
    if len(shape) == 1:
        return [layers.Activation("linear", dtype="float32", name=name)]
    if len(shape) == 2:
        return [layers.GlobalAveragePooling1D(dtype="float32", name=name)]
    if grid == 1:
        return [layers.GlobalAveragePooling2D(dtype="float32", name=name)]
    *size, _ = shape
    grid = tuple(min(grid, side) for side in size)
    fits = all(side % places == 0 for side, places in zip(size, grid, strict=True))
    window = tuple(side // places for side, places in zip(size, grid, strict=True))
    kind, places = (layers.AveragePooling2D, window) if fits else (layers.AdaptiveAveragePooling2D, grid)
    pooling = kind(places, dtype="float32", name=f"{name}_grid")
    return [pooling, layers.Flatten(dtype="float32", name=name)]


def chained(steps, x):
    for step in steps:
        x = step(x)
    return x


CHUNK = 512  # images in one file of the cache: what a killed process has to do again, at most


@dataclass(frozen=True, eq=False)
class Taps:
    """Features of images at each stage of a network: {stage: (N, views, d)}, means over the places of its maps.

    ``groups`` are alike for images that belong together (copies, or groups of the data). ``computed`` counts the
    images that were not in the cache, and ``seconds`` is what each of them took.
    """

    features: Mapping = field(repr=False)
    labels: np.ndarray | None = field(repr=False)
    classes: tuple | None
    names: tuple = field(repr=False)
    hashes: tuple = field(repr=False)
    groups: tuple = field(repr=False)
    views: tuple
    model: str
    size: tuple
    grid: int
    failed: Mapping
    computed: int
    seconds: float

    def __len__(self):
        return len(self.names)

    @property
    def stages(self):
        """The names of the stages, from the image to the classifier."""
        return tuple(self.features)

    def take(self, indices):
        """Those images at these positions, in this order."""
        indices = np.arange(len(self))[indices]
        features = {stage: rows[indices] for stage, rows in self.features.items()}
        labels = None if self.labels is None else self.labels[indices]
        some = {name: tuple(getattr(self, name)[i] for i in indices) for name in ("names", "hashes", "groups")}
        return replace(self, features=features, labels=labels, **some)

    def joined(self, stages):
        """(N, views, d) of one stage, or of several side by side."""
        stages = check_names("stage", stages, self.features)
        return np.concatenate([self.features[stage] for stage in stages], axis=-1)


class Plan(NamedTuple):
    """What is computed of each image, and where it is kept."""

    ask: Callable  # pixels (N, H, W, C) to {stage: (N, d)}
    cut: Preprocessing
    stages: tuple
    views: tuple
    stores: Mapping  # {(stage, view): where it is kept}, empty without a cache
    grid: int
    half: bool
    batch: int


def taps(
    model,
    images,
    labels=None,
    *,
    views=("identity",),
    stages=None,
    part="train",
    size=None,
    grid=1,
    cache=True,
    batch=32,
    half=True,
    verbose="auto",
    on_progress=None,
):
    """The ``Taps`` of a model: what all its stages make of images, in one pass.

    ``images`` are ``Batch``, a part of ``Data``, or whatever `predict` takes, with ``labels`` of their own; they are
    cut as by `predict`. ``stages`` are the ends of stages and blocks, and features, or any layers; of a network without
    such names, the last layer of each resolution and what its classifier sees. ``grid``: means are taken over so many
    by so many parts of the maps, side by side, where it matters what is where. ``views`` are some of ``VIEWS``.

    Features are kept on disk in 16 bits (``half``), where that loses nothing, and found again by what they follow from:
    the weights, the layers, the way of cutting, the image. ``cache`` False keeps none, a path keeps them there.
    ``verbose`` 0 shows nothing, 2 lines, 1 or "auto" a bar on a terminal and lines elsewhere; in their place
    ``on_progress(done, total, what)`` is called, which may raise to end the work.
    """
    views = viewed(views)
    plan = planned(
        model, stages, views, size, check_count("grid", grid), folder_of(cache), half, check_count("batch", batch)
    )
    given = asked(images, labels, part)
    places = product(plan.stages, views)
    rows = {place: cached_features(plan.stores.get(place, Store()), {*given.hashes}) for place in places}
    lacking = [place for place, known in rows.items() if not known.keys() >= {*given.hashes}]
    first = {each: i for i, each in reversed([*enumerate(given.hashes)])}  # copies are computed once
    missing = sorted(i for each, i in first.items() if any(each not in rows[place] for place in lacking))
    started, failed = time.perf_counter(), {}
    if missing:
        rest = plan._replace(views=tuple(view for view in views if any(view == other for _, other in lacking)))
        rest = rest._replace(batch=min(batch, len(missing)))
        with progress(verbose, on_progress) as shown:
            failed = compute(rest, given.take(missing), rows, shown)
    seconds = (time.perf_counter() - started) / len(missing) if missing else 0.0
    return assembled(plan, given, rows, failed, model.name, len(missing), seconds)


def planned(model, stages, views, size, grid, folder, half, batch):
    """The ``Plan``; where sizes are open, at the one that images are cut to."""
    cut = classifier(model, size=size).preprocessing
    graph = walk(model, (*cut.size, cut.channels))
    nodes = staged(graph, stages)
    prints = fingerprints(part(graph, [*nodes.values()]))
    settings = cut, grid, half
    stores = {
        (stage, view): tap_store(folder, model.name, stage, prints[node], view, *settings)
        for stage, node in nodes.items()
        for view in views
        if folder is not None
    }
    return Plan(pooled(model, graph, nodes, grid).predict_on_batch, cut, tuple(nodes), views, stores, grid, half, batch)


def viewed(views):
    """The views, each of them known."""
    views = check_names("view", views, VIEWS)
    if not views or len({*views}) < len(views):
        raise ValueError(f"`views` should be one or more different ones. Received: {views}")
    return views


def compute(plan, given, rows, on_progress):
    """Compute what is missing, and keep it chunk by chunk; {name: why} of what turns out to be no image."""
    failed, done = {}, 0
    stores, hashes, fresh = plan.stores, [], defaultdict(list)
    for some, pixels in given.images.chunks(plan.cut, plan.batch, failed):
        hashes += [given.hashes[row] for row in some]
        for place, numbers in forward(plan, pixels).items():
            fresh[place].append(numbers)
        done += len(some)
        on_progress(done, len(given.hashes), "computing features")
        if len(hashes) >= CHUNK:
            stores = remember(stores, plan.half, hashes, fresh, rows)
            hashes, fresh = [], defaultdict(list)
    remember(stores, plan.half, hashes, fresh, rows)
    return given.images.reasons(failed)


def forward(plan, batch):
    """{(stage, view): (n, d)} of a batch, which is filled up to the usual size: another one would be traced again."""
    count = len(batch)
    full = np.concatenate([batch, np.repeat(batch[-1:], plan.batch - count, axis=0)]) if count < plan.batch else batch
    return {
        (stage, view): np.asarray(numbers)[:count]
        for view in plan.views
        for stage, numbers in plan.ask(seen(full, view)).items()
    }


def remember(stores, half, hashes, fresh, rows):
    """Add a chunk to the rows and the cache; the stores to write to from then on: none once the disk refuses."""
    for place, parts in fresh.items():
        numbers, known = np.concatenate(parts), rows[place]
        if not np.isfinite(numbers).all():
            raise ValueError(f"`model` should give finite features. Received: NaN or infinity at {place[0]}")
        numbers = halved(numbers) if half else numbers
        new = [i for i, each in enumerate(hashes) if each not in known]
        known.update((hashes[i], numbers[i]) for i in new)
        if new and place in stores and not cache_features(stores[place], [hashes[i] for i in new], numbers[new]):
            stores = {}
    return stores


def assembled(plan, given, rows, failed, name, computed, seconds):
    """The ``Taps`` of the images that have all their rows."""
    good = [i for i, each in enumerate(given.hashes) if all(each in known for known in rows.values())]
    if not good:
        raise ImageError(
            "`images`", f"{len(given.hashes)} that cannot be read: {next(iter(failed.values()))}", "be some"
        )
    given = given.take(good)
    features = {
        stage: np.stack(
            [np.array([rows[stage, view][each] for each in given.hashes], np.float32) for view in plan.views], axis=1
        )
        for stage in plan.stages
    }
    return Taps(
        features,
        labels=given.images.labels,
        classes=given.images.classes,
        names=given.images.names,
        hashes=given.hashes,
        groups=given.groups,
        views=plan.views,
        model=name,
        size=plan.cut.size,
        grid=plan.grid,
        failed={**given.images.failed, **failed},
        computed=computed,
        seconds=seconds,
    )


SIDE = 7 / 8  # of the image that a corner shows, as 224 of 256 pixels
CORNERS = {"top_left": (0, 0), "top_right": (0, 1), "bottom_left": (1, 0), "bottom_right": (1, 1)}
VIEWS = {  # name -> mirrored?, corner; the ten of Krizhevsky et al. 2012, with the whole image for the center
    "identity": (False, None),
    "flip": (True, None),
    **{name: (False, at) for name, at in CORNERS.items()},
    **{f"flip_{name}": (True, at) for name, at in CORNERS.items()},
}


def seen(batch, view):
    """A batch (N, H, W, C) as a view shows it, in the same size."""
    mirrored, corner = VIEWS[view]
    if corner is not None:
        size = batch.shape[1:3]
        height, width = (round(SIDE * side) for side in size)
        top, left = corner[0] * (size[0] - height), corner[1] * (size[1] - width)
        part = batch[:, top : top + height, left : left + width]
        batch = keras.ops.convert_to_numpy(keras.ops.image.resize(part, size))
    return np.ascontiguousarray(batch[:, :, ::-1]) if mirrored else batch
