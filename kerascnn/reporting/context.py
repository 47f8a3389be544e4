"""What a section may ask about: a network, images to draw pictures of, labeled ones to judge it by."""

import json
import os
from dataclasses import dataclass, field, replace
from functools import cache, cached_property
from pathlib import Path

import numpy as np

from ..evaluation.evaluate import labeled
from ..graph.run import part
from ..inputs.batch import batch_of
from ..inputs.class_names import aligned
from ..inputs.classifier import classifier, open_model, resolve_class_names
from ..support import store
from ..support.store import digest
from ..support.text import unknown

EFFORTS = ("quick", "normal", "full")
DRAWN = {"quick": 4, "normal": 6, "full": 12}  # photos that pictures are made of
POOL = {"quick": 64, "normal": 256, "full": 1024}  # images that statistics are of
JUDGED = {"quick": 512, "normal": 5_000, "full": None}  # labeled images that are put to the network


class Skipped(Exception):
    """A section that cannot be: why, and how to get it."""


def silent(done, total, what=""):
    """Tell nobody how far a section is."""


@dataclass(frozen=True, eq=False)
class Subject:
    """What a report is about, for its sections to ask. Images are pixels 0..255 cut to the network's size."""

    model: object = field(repr=False)
    name: str
    probe: object = field(repr=False)  # kerascnn.visualize.Probe of the model
    classes: tuple | None = field(default=None, repr=False)  # names
    samples: np.ndarray | None = field(default=None, repr=False)  # (n, H, W, C) float32, to draw pictures of
    sample_names: tuple = ()
    sample_labels: np.ndarray | None = field(default=None, repr=False)
    data: object = field(default=None, repr=False)  # kerascnn.data.Batch, labeled, to judge by
    pool: np.ndarray | None = field(default=None, repr=False)  # (m, H, W, C) float32, for statistics
    layers: tuple = ()
    effort: str = "normal"
    seed: int = 0
    transfer: Path | None = None  # the folder of a finished study
    on_progress: object = field(default=silent, repr=False)  # on_progress(done, total, what) of a section
    facts: dict = field(default_factory=dict, repr=False)  # where it all comes from, for the appendix

    @property
    def preprocess(self):
        """What makes of pixels what the network expects; None where it does that by itself."""
        return self.probe.given["preprocess"]

    def of_effort(self, quick, normal, full):
        """One of three by the effort."""
        return dict(zip(EFFORTS, (quick, normal, full), strict=True))[self.effort]

    @property
    def remarks(self):
        """What was left out or warned of, each once."""
        warned = (str(each.message) for each in self.facts["warnings"] if issubclass(each.category, UserWarning))
        return [*dict.fromkeys([*self.facts["notes"], *warned])]

    def need_one_input(self):
        """`Skipped` where the network has inputs beside the images."""
        if len(self.probe.inputs) > 1:
            inputs = ", ".join(self.probe.inputs)
            raise Skipped(
                f"the network has several inputs ({inputs}), and images for one of them: call the methods yourself"
            )

    @property
    def photos(self):
        """The samples, (N, H, W, C), or `Skipped`, also where a network takes more than images."""
        self.need_one_input()
        if self.samples is None:
            raise Skipped("no images were given: --images PATH ..., or --data DIR")
        return self.samples

    @cached_property
    def class_names(self):
        """What all classes are called, by their numbers; `Skipped` where the network gives no scores of classes."""
        shape = self.probe.output.shape
        if len(shape) != 1:
            raise Skipped(f"the network gives {shape} for an image, no scores of classes")
        numbers = range(max(shape[0], 2))  # a single sigmoid tells two apart
        return tuple(str(self.classes[number]) if self.classes else f"class {number}" for number in numbers)

    @cached_property
    def photo_probabilities(self):
        """(N, classes) of the samples."""
        return self.probabilities(self.photos)

    def probabilities(self, images):
        """(N, classes) of images as the network's probe reads them, whatever the network ends with."""
        from ..visualize.attribution.attribution import predicted
        from ..visualize.engine.query import pictures

        return predicted(self.probe, pictures(self.probe, images))

    @cached_property
    def anatomy(self):
        """`kerascnn.dissect` of the network, at the size that images are cut to where its own is open."""
        from ..anatomy.table import dissect
        from ..inputs.classifier import classifier

        if self.probe is None or None not in self.probe.shape:
            return dissect(self.model)
        network = classifier(self.model)
        return dissect(self.model, (*network.size, network.channels))

    @cached_property
    def evaluation(self):
        """`kerascnn.evaluate` of the network on ``data``, done once; `Skipped` where it cannot be."""
        from ..evaluation.evaluate import evaluate

        if self.data is None:
            raise Skipped("no labeled images were given: --data DIR, a folder with a subfolder for each class")
        try:
            return evaluate(self.model, self.data, classes=self.classes, preprocess=self.preprocess, verbose=0)
        except ValueError as error:
            raise Skipped(f"the network cannot be judged by these images: {error}") from error

    @cached_property
    def activity(self):
        """`kerascnn.activity` of the network on ``pool``, done once; `Skipped` where there is none."""
        from ..diagnose.activity import activity
        from ..graph.run import activations

        if self.pool is None:
            raise Skipped("no images were given: --data DIR, or --images with dozens of them")
        if not activations(self.probe.graph):
            raise Skipped("the network has no units: neither weights nor nonlinearities")
        return activity(self.model, self.pool, preprocess=self.preprocess)


BATCH = 64


def subject(model, data, images, *, classes, transfer, effort, layers, seed, preprocess, on_progress):
    """The `Subject`; its ``facts`` have the hashes, the counts, and what is to be told of them."""
    from ..graph.walk import walk
    from ..visualize.engine.lens import Probe

    if effort not in EFFORTS:
        raise ValueError(unknown("effort", effort, EFFORTS))
    model = open_model(model)
    walk(model)  # says what is wrong with what is no model
    facts = {"model": of_model(model), "notes": []}
    try:
        probe = Probe(model, preprocess=preprocess)
        network = classifier(model)
    except ValueError as error:  # several inputs, or none of images: what needs no image can still be said
        facts["mute"] = str(error)
        how = {"effort": effort, "seed": seed, "transfer": transfer, "on_progress": on_progress}
        return Subject(model, model.name, None, facts=facts, **how)
    given = None if data is None else chosen(labeled(data), effort, seed, facts)
    given, classes = renumbered(given, classes, probe)
    rng = np.random.default_rng(seed)
    few, many = DRAWN[effort], POOL[effort]
    shown = None if given is None else given.take(spread(given.labels, rng)[:many])
    samples, names, labels, pool = None, (), None, None
    if shown is not None:
        pool = pixels(network, shown)
        samples, names, labels = pool[:few], shown.names[:few], shown.labels[:few]
    if images is not None:
        read, names = photos(network, batch_of(images), few if pool is not None else many, facts)
        samples, names, labels = read[:few], names[:few], None
        pool = read if pool is None else pool
    facts["images"] = {"judged": 0 if given is None else len(given), "statistics": 0 if pool is None else len(pool)}
    parts = [of_images(given), *names, *([] if samples is None else [samples, pool])]
    facts["data"] = store.digest(*parts) if samples is not None else ""
    facts["preprocess"] = of_preprocess(preprocess, probe.shape)
    layers = tuple(probe.tap(layer) for layer in layers) if layers else stage_layers(probe)
    return Subject(
        model, model.name, probe, classes, samples, tuple(map(short, names)), labels, given, pool, layers, effort, seed,
        transfer, on_progress, facts,
    )  # fmt: skip


def chosen(given, effort, seed, facts):
    """The images that judge, as many as the effort is for, drawn at random of more."""
    most = JUDGED[effort]
    facts["source"] = given.title
    if given.failed:
        facts["notes"].append(f"{len(given.failed)} images of the data could not be read and are left out")
    if most is None or len(given) <= most:
        return given
    facts["notes"].append(f"{most:,} of {len(given):,} labeled images judge, drawn with seed {seed}: --full for all")
    return given.take(np.sort(np.random.default_rng(seed).permutation(len(given))[:most]))


def renumbered(images, classes, probe):
    """(the images with labels as the model numbers its classes, these classes' names or None)."""
    width = probe.output.shape[-1] if len(probe.output.shape) == 1 else None
    if width is None or images is None:
        return images, None if width is None else resolve_class_names(classes, max(width, 2), probe.model)
    numbers, names = aligned(images.labels, images.classes, classes, max(width, 2), probe.model)
    called = names or tuple(str(i) for i in range(max(width, 2)))
    return replace(images, labels=np.asarray(numbers), classes=called), names


def spread(labels, rng):
    """Positions in an order that meets every class once before any twice, drawn at random."""
    order = rng.permutation(len(labels))
    turn, seen = np.empty(len(labels), int), {}
    for i in order:
        turn[i] = seen.get(labels[i], 0)
        seen[labels[i]] = turn[i] + 1
    return order[np.argsort(turn[order], kind="stable")]


def pixels(network, images):
    """The pixels (N, H, W, C) of a `Batch`, float32, cropped as `evaluate` crops them."""
    return np.concatenate([part for _, part in images.chunks(network.preprocessing_of(images), BATCH)])


def photos(network, images, most, facts):
    """(pixels, names) of the first ``most`` of a `Batch` that can be read."""
    rows, arrays, failed = [], [], {}
    for some, pixels in images.chunks(network.preprocessing, BATCH, failed):
        rows += some
        arrays += [*pixels]
        if len(rows) >= most:
            break
    images.check_readable(failed)
    if failed:
        facts["notes"].append(f"{len(failed)} images could not be read and are left out")
    return np.stack(arrays[:most]), [images.names[row] for row in rows[:most]]


def short(name):
    """A file's name without its folders."""
    return os.path.basename(str(name)) or str(name)


@cache
def of_code():
    """A hash of the files that draw and word what a section finds."""
    return digest(*(path.read_bytes() for path in code_files()))


def code_files():
    """This package's own files, with its template and style, and those of `kerascnn.plots`."""
    here = Path(__file__).parent
    files = [*here.rglob("*"), *here.parent.glob("plots/*")]
    return sorted(path for path in files if path.suffix in (".py", ".jinja", ".css"))


def of_model(model):
    """A hash of a network's configuration and weights."""
    import keras

    try:
        config = json.dumps(keras.saving.serialize_keras_object(model), sort_keys=True, default=repr)
    except (ValueError, TypeError, NotImplementedError):  # a layer of the user's that cannot be saved
        config = model.name
    return digest(config, *(np.asarray(keras.ops.convert_to_numpy(weight)) for weight in model.weights))


def of_images(images):
    """A hash of `Batch`: what they show, what they are called, what they are labeled."""
    if images is None:
        return ""
    items = [images.items] if images.decoded else map(contents, images.items)
    return digest(*images.classes, *images.names, images.labels, *items)


def contents(item):
    """The bytes of a file, or of a member of an archive."""
    return item.read() if hasattr(item, "read") else Path(item).read_bytes()


def of_preprocess(preprocess, shape):
    """A hash of what a function makes of a ramp of pixels; "" without one."""
    import keras

    if preprocess is None:
        return ""
    shape = [side or 8 for side in shape]
    ramp = np.linspace(0, 255, int(np.prod(shape)), dtype=np.float32).reshape(1, *shape)
    return digest(keras.ops.convert_to_numpy(preprocess(ramp)))


def of_folder(folder, suffixes=(".json", ".csv")):
    """A hash of the small files of a folder; "" without one."""
    if folder is None or not Path(folder).is_dir():
        return ""
    files = sorted(path for path in Path(folder).iterdir() if path.suffix in suffixes)
    return digest(*(part for path in files for part in (path.name, path.read_bytes())))


MOST = 6
ARRANGING = ("ZeroPadding2D", "Cropping2D", "Dropout", "SpatialDropout2D", "Pad", "Identity")


def stage_layers(probe):
    """One layer a stage: the last with maps of each size that a convolution writes, up to the features."""
    last = probe.features(otherwise="")
    if not last:
        return ()
    found, convolved = {}, set()
    for node in part(probe.graph, [probe.graph.find(last)]).nodes:
        if node.is_input or len(node.shape) != 3 or node.kind in ARRANGING:
            continue
        size = node.shape[:2] if None not in node.shape[:2] else None  # of open sizes: all one stage
        if len(getattr(node.operation, "kernel_size", ())) == 2:
            convolved.add(size)
        found.pop(size, None)
        found[size] = node.name
    names = [name for size, name in found.items() if size in convolved] or [*found.values()]
    step = max(1, -(-len(names) // MOST))
    return tuple(names[::-1][::step][::-1])
