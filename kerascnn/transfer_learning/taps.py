"""The features of all stages of a network in one pass: `taps`."""

from __future__ import annotations

import re
import time
import weakref
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import NamedTuple

import keras
import numpy as np
from keras import layers

from ..graph.ends import classifier_input
from ..graph.run import run_graph, subgraph
from ..graph.walk import build_graph
from ..inputs.classifier import classifier
from ..inputs.decode import ImageError
from ..inputs.resize import Preprocessing
from ..support.checks import check_integer
from ..support.display import TextResult
from ..support.progress import progress
from ..support.store import Store
from ..support.text import check_names, pluralize
from ..support.types import Dataset, FilePath, Images, Labels, Layers, Model, OnProgress, Size, Verbose
from .sources import read_hashed_images
from .store import as_float16_if_lossless, feature_folder, fingerprints, load_features, save_features, tap_store

STAGE, BLOCK = re.compile(r"stage\d+|features"), re.compile(r"stage\d+_(block|fire|layer)\d+")
MAX_TAPS = 16  # number of taps if `stages` is None
PLUS = "+"  # joins the names of concatenated stages
MAX_NAMED_STAGES = 3  # concatenated stages whose names are all shown
_POOLED: weakref.WeakKeyDictionary = weakref.WeakKeyDictionary()


def stage_label(stage):
    """A stage, or several concatenated ones, in few words."""
    names = stage.split(PLUS)
    return stage if len(names) <= MAX_NAMED_STAGES else f"{len(names)} stages, {names[0]} to {names[-1]}"


def stage_nodes(graph, stages=None):
    """{name: call} of the given layers, or of the default stages, in network order."""
    if isinstance(stages, str):
        stages = (stages,)
    nodes = {str(stage): graph.find(stage) for stage in (default_stages(graph) if stages is None else stages)}
    if not nodes:
        raise ValueError("`stages` should name at least one layer. Received: none")
    order = {node: i for i, node in enumerate(graph.nodes)}
    return dict(sorted(nodes.items(), key=lambda pair: order[pair[1]]))


def default_stages(graph):
    """Names of the stages and of blocks evenly between them; without such names, the last layer of each resolution."""
    names = [node.name for node in graph.nodes]
    found, blocks = ([name for name in names if kind.fullmatch(name)] for kind in (STAGE, BLOCK))
    room = min(len(blocks), MAX_TAPS - len(found))
    if found and room > 0:
        found += [blocks[i] for i in np.linspace(0, len(blocks) - 1, room).round().astype(int)]
    return found or last_layers_by_resolution(graph)


def last_layers_by_resolution(graph):
    """The last call of each resolution on the way to the output, and the input of the last layer with weights."""
    output = graph.outputs[0]
    last = {}
    for node in subgraph(graph, [output]).nodes:
        if len(node.shape) == 3 and not node.is_input:
            last[node.shape[:2]] = node.name
    seen = classifier_input(output)
    before = {node.name for node in subgraph(graph, [seen]).nodes}
    return [*dict.fromkeys([name for name in last.values() if name in before] + [seen.name])]


class PooledFeatures(keras.Model):
    """{stage: (N, d)} of pixels, means over the positions of each stage. Runs a model's layers without changing it."""

    def __init__(self, graph, nodes, grid=1):
        super().__init__(name="taps")
        self.graph = subgraph(graph, [*nodes.values()])
        self.taps = tuple((stage, node.name, pooling_layers(node.shape, grid)) for stage, node in nodes.items())
        self.parts = [
            node.operation for node in self.graph.nodes if node.is_layer
        ]  # so that Keras tracks their weights
        self.built = True

    def call(self, pixels, training=False):
        maps = run_graph(self.graph, pixels)
        return {stage: apply_layers(pooling, maps[name]) for stage, name, pooling in self.taps}


def feature_model(model, graph, nodes, grid=1):
    """The `PooledFeatures` of a model, cached as long as the model exists and thus compiled only once."""
    kept = _POOLED.setdefault(model, {})
    sizes = tuple(node.shape for node in graph.inputs)
    activations = tuple(
        id(getattr(node.operation, "activation", None)) for node in graph.nodes
    )  # part of the compiled function
    key = tuple(nodes), grid, sizes, activations
    if key not in kept:
        kept[key] = PooledFeatures(graph, nodes, grid)
    return kept[key]


def pooling_layers(shape, grid=1, name="means"):
    """Layers from feature maps (h, w, d) to float32 means over all positions, or over the cells of a grid.

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


def apply_layers(steps, x):
    for step in steps:
        x = step(x)
    return x


CHUNK_IMAGES = 512  # images per file of the cache; a killed process loses at most one file


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class Taps(TextResult):
    """Features of images at each stage of a network.

    Attributes:
        features: {stage: array (N, crops, d)}, means over the positions of the feature maps.
        labels: True classes (N,), or None.
        class_names: Names of the classes, or None.
        names: Names of the images.
        hashes: Hash of each image.
        groups: Equal for images that belong together: duplicates, or groups of the data.
        crops: Names of the crops, in `CROPS`.
        model: Name of the backbone.
        size: Height and width of the network's input.
        grid: Number of cells along each side of the pooling grid.
        failed: {name: reason} of the images that could not be read.
        computed: Number of images that were not in the cache.
        seconds: Computing time per computed image.
    """

    features: Mapping
    labels: np.ndarray | None
    class_names: tuple | None
    names: tuple
    hashes: tuple
    groups: tuple
    crops: tuple
    model: str
    size: tuple
    grid: int
    failed: Mapping
    computed: int
    seconds: float

    def __len__(self):
        return len(self.names)

    def __str__(self):
        widths = ", ".join(f"{stage} {rows.shape[-1]}" for stage, rows in self.features.items())
        counts = f"{pluralize(len(self), 'image')}, {pluralize(len(self.crops), 'crop')}, {len(self.stages)} stages"
        return f"{counts} of {self.model}\nfeatures: {widths}"

    @property
    def stages(self):
        """Names of the stages, from the input to the classifier."""
        return tuple(self.features)

    def take(self, indices):
        """The images at these positions, in this order."""
        indices = np.arange(len(self))[indices]
        features = {stage: rows[indices] for stage, rows in self.features.items()}
        labels = None if self.labels is None else self.labels[indices]
        some = {name: tuple(getattr(self, name)[i] for i in indices) for name in ("names", "hashes", "groups")}
        return replace(self, features=features, labels=labels, **some)

    def concatenate(self, stages):
        """Features (N, crops, d) of one stage, or of several concatenated."""
        stages = check_names("stage", stages, self.features)
        return np.concatenate([self.features[stage] for stage in stages], axis=-1)


class TapPlan(NamedTuple):
    """What is computed for each image, and where it is stored."""

    predict: Callable  # pixels (N, H, W, C) to {stage: (N, d)}
    preprocessing: Preprocessing
    stages: tuple
    crops: tuple
    stores: Mapping  # {(stage, crop): its `Store`}, empty without a cache
    grid: int
    half: bool
    batch_size: int


def taps(
    model: Model,
    images: Images | Dataset,
    labels: Labels | None = None,
    *,
    crops: str | Sequence[str] = ("identity",),
    stages: Layers | None = None,
    part: str = "train",
    size: Size | None = None,
    grid: int = 1,
    cache: bool | FilePath = True,
    batch_size: int = 32,
    half: bool = True,
    verbose: Verbose = "auto",
    on_progress: OnProgress | None = None,
) -> Taps:
    """Compute the features of all stages of a model in one pass.

    Features are cached on disk under everything they depend on: weights, layers, preprocessing and image.

    Args:
        model: Keras model; it is not changed.
        images: `Batch`, `Data` (see ``part``), or anything that `predict` takes; preprocessed as in `predict`.
        labels: True classes, if ``images`` has none of its own; numbers or names.
        crops: Names of crops in `CROPS`: "identity" is the whole image; others show a corner or are mirrored.
        stages: Layers to tap; None is the ends of stages and blocks and the features; for networks without such names,
            the last layer of each resolution and the input of the classifier.
        part: Part of a dataset: "train", "valid" or "test".
        size: Height and width for a model with an open input; None is its own size.
        grid: Pool over ``grid`` x ``grid`` cells of the maps and concatenate them, if positions matter.
        cache: Where features are cached: True is the default folder, False none, or a folder.
        batch_size: Images per batch.
        half: Whether features are stored in 16 bits where that loses nothing.
        verbose: 0 shows nothing, 1 a progress bar, 2 lines; "auto" a bar on a terminal and lines elsewhere.
        on_progress: Function called with (done, total, what) instead of a progress display; raising stops the work.

    Returns:
        A `Taps`.
    """
    crops = check_crops(crops)
    check_integer(grid=grid, batch_size=batch_size)
    plan = plan_taps(model, stages, crops, size, int(grid), feature_folder(cache), half, int(batch_size))
    given = read_hashed_images(images, labels, part)
    places = product(plan.stages, crops)
    rows = {place: load_features(plan.stores.get(place, Store()), {*given.hashes}) for place in places}
    lacking = [place for place, known in rows.items() if not known.keys() >= {*given.hashes}]
    first = {each: i for i, each in reversed([*enumerate(given.hashes)])}  # duplicates are computed once
    missing = sorted(i for each, i in first.items() if any(each not in rows[place] for place in lacking))
    started, failed = time.perf_counter(), {}
    if missing:
        rest = plan._replace(crops=tuple(crop for crop in crops if any(crop == other for _, other in lacking)))
        rest = rest._replace(batch_size=min(batch_size, len(missing)))
        with progress(verbose, on_progress) as shown:
            failed = compute_missing(rest, given.take(missing), rows, shown)
    seconds = (time.perf_counter() - started) / len(missing) if missing else 0.0
    return assemble_taps(plan, given, rows, failed, model.name, len(missing), seconds)


def plan_taps(model, stages, crops, size, grid, folder, half, batch_size):
    """The `TapPlan`; open sizes are set to the one that images are resized to."""
    preprocessing = classifier(model, size=size).preprocessing
    graph = build_graph(model, (*preprocessing.size, preprocessing.channels))
    nodes = stage_nodes(graph, stages)
    prints = fingerprints(subgraph(graph, [*nodes.values()]))
    settings = preprocessing, grid, half
    stores = {
        (stage, crop): tap_store(folder, model.name, stage, prints[node], crop, *settings)
        for stage, node in nodes.items()
        for crop in crops
        if folder is not None
    }
    return TapPlan(
        feature_model(model, graph, nodes, grid).predict_on_batch,
        preprocessing,
        tuple(nodes),
        crops,
        stores,
        grid,
        half,
        batch_size,
    )


def check_crops(crops):
    """The crops, checked to be known and distinct."""
    crops = check_names("crop", crops, CROPS)
    if not crops or len({*crops}) < len(crops):
        raise ValueError(f"`crops` should be one or more different crops. Received: {crops}")
    return crops


def compute_missing(plan, given, rows, on_progress):
    """Compute and cache missing features chunk by chunk; {name: reason} of unreadable images."""
    failed, done = {}, 0
    stores, hashes, fresh = plan.stores, [], defaultdict(list)
    for some, pixels in given.images.chunks(plan.preprocessing, plan.batch_size, failed):
        hashes += [given.hashes[row] for row in some]
        for place, numbers in forward_crops(plan, pixels).items():
            fresh[place].append(numbers)
        done += len(some)
        on_progress(done, len(given.hashes), "computing features")
        if len(hashes) >= CHUNK_IMAGES:
            stores = store_chunk(stores, plan.half, hashes, fresh, rows)
            hashes, fresh = [], defaultdict(list)
    store_chunk(stores, plan.half, hashes, fresh, rows)
    return given.images.reasons(failed)


def forward_crops(plan, batch):
    """{(stage, crop): (n, d)} of a batch, padded to the full batch size to avoid another trace."""
    count = len(batch)
    full = (
        np.concatenate([batch, np.repeat(batch[-1:], plan.batch_size - count, axis=0)])
        if count < plan.batch_size
        else batch
    )
    return {
        (stage, crop): np.asarray(numbers)[:count]
        for crop in plan.crops
        for stage, numbers in plan.predict(crop_batch(full, crop)).items()
    }


def store_chunk(stores, half, hashes, fresh, rows):
    """Add a chunk to the rows and the cache; return the stores to write to next: none once writing fails."""
    for place, parts in fresh.items():
        numbers, known = np.concatenate(parts), rows[place]
        if not np.isfinite(numbers).all():
            raise ValueError(f"`model` should return finite features. Received: NaN or infinity at {place[0]}")
        numbers = as_float16_if_lossless(numbers) if half else numbers
        new = [i for i, each in enumerate(hashes) if each not in known]
        known.update((hashes[i], numbers[i]) for i in new)
        if new and place in stores and not save_features(stores[place], [hashes[i] for i in new], numbers[new]):
            stores = {}
    return stores


def assemble_taps(plan, given, rows, failed, name, computed, seconds):
    """The `Taps` of the images that have all their rows."""
    good = [i for i, each in enumerate(given.hashes) if all(each in known for known in rows.values())]
    if not good:
        raise ImageError(
            "`images`", f"{len(given.hashes)} unreadable images: {next(iter(failed.values()))}", "be readable"
        )
    given = given.take(good)
    features = {
        stage: np.stack(
            [np.array([rows[stage, crop][each] for each in given.hashes], np.float32) for crop in plan.crops], axis=1
        )
        for stage in plan.stages
    }
    return Taps(
        features=features,
        labels=given.images.labels,
        class_names=given.images.class_names,
        names=given.images.names,
        hashes=given.hashes,
        groups=given.groups,
        crops=plan.crops,
        model=name,
        size=plan.preprocessing.size,
        grid=plan.grid,
        failed={**given.images.failed, **failed},
        computed=computed,
        seconds=seconds,
    )


CORNER_SHARE = 7 / 8  # side of a corner crop relative to the image, as 224 of 256 pixels
CORNERS = {"top_left": (0, 0), "top_right": (0, 1), "bottom_left": (1, 0), "bottom_right": (1, 1)}
CROPS = {  # name -> mirrored?, corner; the ten of Krizhevsky et al. 2012, with the whole image for the center
    "identity": (False, None),
    "flip": (True, None),
    **{name: (False, at) for name, at in CORNERS.items()},
    **{f"flip_{name}": (True, at) for name, at in CORNERS.items()},
}


def crop_batch(batch, crop):
    """The crop of a batch (N, H, W, C), resized to the same size."""
    mirrored, corner = CROPS[crop]
    if corner is not None:
        size = batch.shape[1:3]
        height, width = (round(CORNER_SHARE * side) for side in size)
        top, left = corner[0] * (size[0] - height), corner[1] * (size[1] - width)
        part = batch[:, top : top + height, left : left + width]
        batch = keras.ops.convert_to_numpy(keras.ops.image.resize(part, size))
    return np.ascontiguousarray(batch[:, :, ::-1]) if mirrored else batch
