"""What sections of a report can use: a network, sample images for pictures, labeled images for evaluation."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cache, cached_property
from pathlib import Path

import numpy as np

from ..evaluation.evaluate import load_labeled_images
from ..graph.run import subgraph
from ..inputs.class_names import align_labels
from ..inputs.classifier import classifier, open_model, resolve_class_names
from ..support import store
from ..support.display import TextResult
from ..support.store import digest
from ..support.text import unknown_name

EFFORTS = ("quick", "normal", "full")
SAMPLES = {"quick": 4, "normal": 6, "full": 12}  # photos that pictures are made of
POOL = {"quick": 64, "normal": 256, "full": 1024}  # images that statistics are of
MAX_EVALUATED = {"quick": 512, "normal": 5_000, "full": None}  # labeled images that are put to the network


class Skipped(Exception):
    """Raised by a section that cannot be made: why, and what it needs."""


def ignore_progress(done, total, what=""):
    """Discard a section's progress."""


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class Subject(TextResult):
    """The subject of a report, as its sections see it.

    Images are pixels 0..255, resized and cropped to the network's size.

    Attributes:
        model: The network.
        name: Its name.
        lens: `kerascnn.visualize.Lens` of the network; None if it does not take images alone.
        given_class_names: Names of the classes, or None.
        samples: Images (n, H, W, C) to draw pictures of, or None.
        sample_inputs: The other inputs of the samples, by name, for a network with several inputs.
        sample_names: Names of the samples.
        sample_labels: True classes of the samples, or None.
        data: Labeled images for evaluation, a `kerascnn.data.Batch`, or None.
        pool: Images (m, H, W, C) for statistics, or None.
        pool_other_inputs: The other inputs of these images, by name.
        layers: Names of the layers to show.
        effort: "quick", "normal" or "full".
        seed: Random seed.
        transfer: Folder of a finished study, or None.
        on_progress: Function of a section's own progress, called with (done, total, what).
        metadata: Provenance, for the appendix.
    """

    model: object
    name: str
    lens: object
    given_class_names: tuple | None = None
    samples: np.ndarray | None = None
    sample_inputs: Mapping = field(default_factory=dict)
    sample_names: tuple = ()
    sample_labels: np.ndarray | None = None
    data: object = None
    pool: np.ndarray | None = None
    pool_other_inputs: Mapping = field(default_factory=dict)
    layers: tuple = ()
    effort: str = "normal"
    seed: int = 0
    transfer: Path | None = None
    on_progress: object = ignore_progress
    metadata: dict = field(default_factory=dict)

    def __str__(self):
        images = {"samples": self.samples, "labeled images": self.data, "images for statistics": self.pool}
        counts = (f"{0 if each is None else len(each)} {what}" for what, each in images.items())
        return f"{self.name}, {', '.join(counts)}"

    @property
    def preprocess(self):
        """The function that turns pixels into the network's input, or None."""
        return self.lens.settings["preprocess"]

    def by_effort(self, quick, normal, full):
        """One of three values, chosen by the effort."""
        return dict(zip(EFFORTS, (quick, normal, full), strict=True))[self.effort]

    @property
    def notes(self):
        """What was skipped or warned of, each once."""
        warned = (
            str(warning.message) for warning in self.metadata["warnings"] if issubclass(warning.category, UserWarning)
        )
        return [*dict.fromkeys([*self.metadata["notes"], *warned])]

    def require_one_input(self):
        """Raise `Skipped` if the network has inputs besides the images."""
        if len(self.lens.inputs) > 1:
            inputs = ", ".join(self.lens.inputs)
            raise Skipped(f"the network has several inputs ({inputs}): call the methods in Python instead")

    def photo_inputs(self, count=None):
        """The first ``count`` samples, with the network's other inputs if any."""
        photos = self.photos[:count]
        return add_inputs(self.lens, photos, first_rows(self.sample_inputs, count))

    def pool_inputs(self, count=None):
        """The first ``count`` images for statistics, with other inputs if any."""
        if self.pool is None:
            return self.photo_inputs(count)
        return add_inputs(self.lens, self.pool[:count], first_rows(self.pool_other_inputs, count))

    @property
    def photos(self):
        """The samples (N, H, W, C); raises `Skipped` if there are none."""
        if self.samples is None:
            raise Skipped("no images were given: use --images PATH ..., or --data DIR")
        return self.samples

    @cached_property
    def class_names(self):
        """Names of all classes; raises `Skipped` if there are none."""
        shape = self.lens.output.shape
        if len(shape) != 1:
            raise Skipped(f"the network is not a classifier: it returns {shape} for an image")
        numbers = range(max(shape[0], 2))  # a single sigmoid tells two apart
        return tuple(
            str(self.given_class_names[number]) if self.given_class_names else f"class {number}" for number in numbers
        )

    @cached_property
    def photo_probs(self):
        """Probabilities (N, classes) of the samples."""
        return self.probs(self.photo_inputs())

    def probs(self, images):
        """Probabilities (N, classes) of images, whatever the network ends with."""
        from ..visualize.attribution.attribution import predict_probabilities
        from ..visualize.engine.query import pictures

        return predict_probabilities(self.lens, pictures(self.lens, images))

    @cached_property
    def anatomy(self):
        """`kerascnn.dissect` of the network, with open sizes filled in."""
        from ..anatomy.table import dissect
        from ..inputs.classifier import classifier

        if self.lens is None or None not in self.lens.shape:
            return dissect(self.model)
        network = classifier(self.model, several_inputs=True)
        return dissect(self.model, (*network.size, network.channels))

    @cached_property
    def evaluation(self):
        """`kerascnn.evaluate` on ``data``; raises `Skipped` if that is impossible."""
        from ..evaluation.evaluate import evaluate

        if self.data is None:
            raise Skipped("no labeled images were given: use --data DIR, a folder with one subfolder per class")
        try:
            return evaluate(
                self.model, self.data, class_names=self.given_class_names, preprocess=self.preprocess, verbose=0
            )
        except ValueError as error:
            raise Skipped(f"cannot evaluate the network on these images: {error}") from error

    @cached_property
    def activity(self):
        """`kerascnn.activity` on ``pool``; raises `Skipped` if there is none."""
        from ..diagnose.activity import activity
        from ..graph.run import activation_nodes

        if self.pool is None:
            raise Skipped("too few images were given: use --data DIR, or --images with dozens of them")
        self.require_one_input()
        if not activation_nodes(self.lens.graph):
            raise Skipped("the network has no units: no layer has weights or a nonlinearity")
        return activity(self.model, self.pool, preprocess=self.preprocess)


BATCH = 64


def make_subject(model, data, images, *, class_names, transfer, effort, layers, seed, preprocess, on_progress):
    """The `Subject`; its metadata have the hashes, the counts and the notes."""
    from ..graph.walk import build_graph
    from ..visualize.engine.lens import Lens

    if effort not in EFFORTS:
        raise ValueError(unknown_name("effort", effort, EFFORTS))
    model = open_model(model)
    build_graph(model)  # raises if this is not a model
    metadata = {"model": hash_model(model), "notes": []}
    try:
        lens = Lens(model, preprocess=preprocess)
        network = classifier(model, several_inputs=True)
    except ValueError as error:  # several image inputs, or none: sections without images remain
        metadata["mute"] = str(error)
        return Subject(
            model=model,
            name=model.name,
            lens=None,
            effort=effort,
            seed=seed,
            transfer=transfer,
            on_progress=on_progress,
            metadata=metadata,
        )

    labeled_images = None
    if data is not None:
        labeled_images = limit_images(load_labeled_images(data, network=network), effort, seed, metadata)
    labeled_images, class_names = renumber_labels(labeled_images, class_names, lens)
    rng = np.random.default_rng(seed)
    sample_count, pool_count = SAMPLES[effort], POOL[effort]
    selected = (
        None
        if labeled_images is None
        else labeled_images.take(class_balanced_order(labeled_images.labels, rng)[:pool_count])
    )
    samples, names, labels, pool = None, (), None, None
    sample_inputs = pool_other_inputs = {}
    if selected is not None:
        pool = read_pixels(network, selected)
        pool_other_inputs = selected.other_inputs
        sample_inputs = first_rows(pool_other_inputs, sample_count)
        samples, names, labels = pool[:sample_count], selected.names[:sample_count], selected.labels[:sample_count]
    if images is not None:
        most = sample_count if pool is not None else pool_count
        photos, names, other_inputs = read_photos(network, network.batch(images), most, metadata)
        samples, names, labels = photos[:sample_count], names[:sample_count], None
        sample_inputs = first_rows(other_inputs, sample_count)
        if pool is None:
            pool, pool_other_inputs = photos, other_inputs
    metadata["images"] = {
        "judged": 0 if labeled_images is None else len(labeled_images),
        "statistics": 0 if pool is None else len(pool),
    }
    arrays = [] if samples is None else [samples, pool, *sample_inputs.values(), *pool_other_inputs.values()]
    hashed_parts = [hash_batch(labeled_images), *names, *arrays]
    metadata["data"] = store.digest(*hashed_parts) if samples is not None else ""
    metadata["preprocess"] = hash_preprocess(preprocess, lens.shape)
    layers = tuple(lens.tap(layer) for layer in layers) if layers else stage_layers(lens)
    return Subject(
        model=model,
        name=model.name,
        lens=lens,
        given_class_names=class_names,
        samples=samples,
        sample_inputs=sample_inputs,
        sample_names=tuple(map(base_name, names)),
        sample_labels=labels,
        data=labeled_images,
        pool=pool,
        pool_other_inputs=pool_other_inputs,
        layers=layers,
        effort=effort,
        seed=seed,
        transfer=transfer,
        on_progress=on_progress,
        metadata=metadata,
    )


def limit_images(images, effort, seed, metadata):
    """The images for evaluation, a random sample if the effort allows fewer."""
    limit = MAX_EVALUATED[effort]
    metadata["source"] = images.title
    if images.failed:
        metadata["notes"].append(f"{len(images.failed)} unreadable images of --data were skipped")
    if limit is None or len(images) <= limit:
        return images
    metadata["notes"].append(
        f"{limit:,} of {len(images):,} labeled images are evaluated, sampled with seed {seed}; use --full for all"
    )
    return images.take(np.sort(np.random.default_rng(seed).permutation(len(images))[:limit]))


def renumber_labels(images, class_names, lens):
    """(images with labels numbered as the model numbers its classes, the names of these classes or None)."""
    width = lens.output.shape[-1] if len(lens.output.shape) == 1 else None
    if width is None or images is None:
        return images, None if width is None else resolve_class_names(class_names, max(width, 2), lens.model)
    numbers, names = align_labels(images.labels, images.class_names, class_names, max(width, 2), lens.model)
    display_names = names or tuple(str(i) for i in range(max(width, 2)))
    return replace(images, labels=np.asarray(numbers), class_names=display_names), names


def class_balanced_order(labels, rng):
    """Positions in random order, one image of every class before a second of any."""
    order = rng.permutation(len(labels))
    turn, counts = np.empty(len(labels), int), {}
    for i in order:
        turn[i] = counts.get(labels[i], 0)
        counts[labels[i]] = turn[i] + 1
    return order[np.argsort(turn[order], kind="stable")]


def read_pixels(network, images):
    """Pixels (N, H, W, C) of a `Batch`, float32, preprocessed as in `evaluate`."""
    return np.concatenate([part for _, part in images.chunks(network.preprocessing_of(images), BATCH)])


def read_photos(network, images, limit, metadata):
    """(pixels, names, other inputs) of the first ``limit`` readable images of a `Batch`."""
    rows, arrays, failed = [], [], {}
    for positions, pixels in images.chunks(network.preprocessing, BATCH, failed):
        rows += positions
        arrays += [*pixels]
        if len(rows) >= limit:
            break
    images.check_readable(failed)
    if failed:
        metadata["notes"].append(f"{len(failed)} unreadable images were skipped")
    rows = rows[:limit]
    other_inputs = {name: values[rows] for name, values in images.other_inputs.items()}
    return np.stack(arrays[:limit]), [images.names[row] for row in rows], other_inputs


def first_rows(other_inputs, count):
    """The first ``count`` rows of the other inputs."""
    return {name: rows[:count] for name, rows in other_inputs.items()}


def add_inputs(lens, pixels, other_inputs):
    """Pixels alone, or for a network with several inputs a dict of all by name."""
    return {lens.input: pixels, **other_inputs} if other_inputs else pixels


def base_name(name):
    """A file's name without its folders."""
    return os.path.basename(str(name)) or str(name)


@cache
def hash_code():
    """Hash of the files that draw and word the sections."""
    return digest(*(path.read_bytes() for path in code_files()))


def code_files():
    """This package's own files, its template and style included, and those of `kerascnn.plots`."""
    folder = Path(__file__).parent
    files = [*folder.rglob("*"), *folder.parent.glob("plots/*")]
    return sorted(path for path in files if path.suffix in (".py", ".pyi", ".jinja", ".css"))


def hash_model(model):
    """Hash of a network's configuration and weights."""
    import keras

    try:
        config = json.dumps(keras.saving.serialize_keras_object(model), sort_keys=True, default=repr)
    except (ValueError, TypeError, NotImplementedError):  # a layer of the user's that cannot be saved
        config = model.name
    return digest(config, *(np.asarray(keras.ops.convert_to_numpy(weight)) for weight in model.weights))


def hash_batch(images):
    """Hash of a `Batch`: images, names and labels."""
    if images is None:
        return ""
    items = [images.items] if images.is_decoded else map(read_item, images.items)
    return digest(*images.class_names, *images.names, images.labels, *items, *images.other_inputs.values())


def read_item(item):
    """The bytes of a file, or of a member of an archive."""
    return item.read() if hasattr(item, "read") else Path(item).read_bytes()


def hash_preprocess(preprocess, shape):
    """Hash of what a preprocessing function does to a ramp of pixels; "" without one."""
    import keras

    if preprocess is None:
        return ""
    shape = [side or 8 for side in shape]
    ramp = np.linspace(0, 255, int(np.prod(shape)), dtype=np.float32).reshape(1, *shape)
    return digest(keras.ops.convert_to_numpy(preprocess(ramp)))


def hash_folder(folder, suffixes=(".json", ".csv")):
    """Hash of the small files of a folder; "" without one."""
    if folder is None or not Path(folder).is_dir():
        return ""
    files = sorted(path for path in Path(folder).iterdir() if path.suffix in suffixes)
    return digest(*(part for path in files for part in (path.name, path.read_bytes())))


MAX_LAYERS = 6
PASS_THROUGH_KINDS = ("ZeroPadding2D", "Cropping2D", "Dropout", "SpatialDropout2D", "Pad", "Identity")


def stage_layers(lens):
    """One layer per stage: the last one of each resolution that has a convolution, up to the features."""
    last = lens.last_feature_maps(otherwise="")
    if not last:
        return ()
    layer_by_size, convolved = {}, set()
    for node in subgraph(lens.graph, [lens.graph.find(last)]).nodes:
        if node.is_input or len(node.shape) != 3 or node.kind in PASS_THROUGH_KINDS:
            continue
        size = node.shape[:2] if None not in node.shape[:2] else None  # of open sizes: all one stage
        if len(getattr(node.operation, "kernel_size", ())) == 2:
            convolved.add(size)
        layer_by_size.pop(size, None)
        layer_by_size[size] = node.name
    names = [name for size, name in layer_by_size.items() if size in convolved] or [*layer_by_size.values()]
    step = max(1, -(-len(names) // MAX_LAYERS))
    return tuple(names[::-1][::step][::-1])
