"""`export`: a classifier, its class names and how its photos are cut, as one folder that is complete or not there."""

import io
import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

import keras
import numpy as np
from PIL import Image

from ..evaluation.predict import predict
from ..graph.ends import adds_up, features, soften
from ..inputs.batch import Batch, batch_of
from ..inputs.classifier import classifier
from ..inputs.decode import decode, kind_of, unpack
from ..support.display import Tabled
from ..support.text import unknown
from . import card, signatures
from .signatures import Plan
from .verify import Check, ExportError, files_of
from .verify import verify as checked

FORMATS = {"keras": (), "saved_model": (), "tflite": (), "onnx": ("tf2onnx", "onnxruntime")}  # and what each needs
LIMIT, LIMIT16 = 1e-4, 2e-2  # how far probabilities may be apart, computed in 32 bits or in 16


@dataclass(frozen=True)
class Exported(Tabled):
    """What was written: the folder, its ``files`` {path: bytes}, and what was checked afterwards."""

    folder: Path
    files: Mapping = field(repr=False)
    checks: tuple[Check, ...] = field(repr=False)

    @property
    def table(self):
        """The checks as a DataFrame: file, what, found, passed."""
        import pandas as pd

        return pd.DataFrame([vars(check) for check in self.checks], columns=["file", "what", "found", "passed"])


def export(
    model,
    path,
    *,
    classes=None,
    formats=("keras", "saved_model"),
    temperature=1.0,
    size=None,
    samples=None,
    verify=True,
    preprocess=None,
    facts=None,
    replace=False,
) -> Exported:
    """Write a classifier for others to run: a folder with the network, its class names and a card of all it takes.

    ``formats``: "keras"; "saved_model" for TensorFlow Serving, which takes encoded photos as well as pixels and gives
    names; "tflite" and "onnx", from pixels to probabilities. Photos are cut as ``predict`` cuts them, pixel for pixel.
    ``classes`` names the classes in the order of the scores; ImageNet's and CIFAR-10's are known. ``temperature``
    divides the logits (Guo et al. 2017) everywhere but in the .keras file, which is the model as it is, without its
    optimizer. ``size`` (h, w) is what photos are cut to where the input size is open. ``preprocess`` is a Keras layer
    from pixels 0..255 to what a foreign model expects. ``facts`` go into the card: {"data": ..., "accuracy": ...}.

    Everything is loaded again in fresh processes and compared with ``predict`` on drawn photos and on ``samples``
    (whatever ``predict`` takes). Only then the folder gets its name; else ``ExportError`` says what differs and where
    the files are. ``replace`` allows another export in its place.
    """
    formats, path, facts = check_formats(formats), check_path(path, replace), check_facts(facts)
    if not isinstance(temperature, int | float) or not 0 < temperature < np.inf:
        raise ValueError(f"`temperature` should be a number above 0. Received: {temperature!r}")
    own = drawn()
    theirs = given(samples) if samples is not None else []
    plan = planned(preprocessed(model, preprocess), classes, float(temperature), size, own)
    limit = check_precision(plan.model, formats)
    with tempfile.TemporaryDirectory() as apart, unfinished(path, replace) as folder:
        write(plan, folder, formats)
        write_samples(os.path.join(folder, "check"), own, answers(plan, own, limit))
        card.write(folder, plan, scaling(plan.model, preprocess), formats, limit, facts)
        if verify and theirs:
            write_samples(os.path.join(apart, "all"), own + theirs, answers(plan, own + theirs, limit))
        checks = checked(folder, os.path.join(apart, "all") if theirs else None) if verify else ()
    sizes = {name: file.stat().st_size for name, file in files_of(path).items()}
    return Exported(path, sizes, checks)


def check_formats(formats):
    """The formats, each known and possible here."""
    formats = (formats,) if isinstance(formats, str) else tuple(formats)
    for name in formats:
        if name not in FORMATS:
            raise ValueError(unknown("format", name, FORMATS))
        for package in FORMATS[name]:
            if find_spec(package) is None:
                text = f'`formats` has {name!r}, which needs {package}: pip install "kerascnn[{name}]"'
                raise ModuleNotFoundError(text, name=package)
    if not formats:
        raise ValueError(f"`formats` should have at least one of {', '.join(FORMATS)}. Received: none")
    if keras.config.backend() != "tensorflow":
        raise ValueError(f"`model` should run on TensorFlow to be exported. Received: {keras.config.backend()}'s")
    return formats


def check_path(path, replace):
    """The path, if something may be written there."""
    path = Path(os.path.abspath(path))
    if os.path.lexists(path):
        if not replace:
            raise FileExistsError(f"`path` should be new, or replace=True. Received: {path}, which is there already")
        if not (path / "card.json").is_file():
            raise FileExistsError(f"`path` should be new or an export to replace. Received: {path}, which is neither")
    return path


def preprocessed(model, layer):
    """The model from pixels 0..255, with the preprocessing that it needs inside."""
    if layer is None:
        return model
    if not isinstance(layer, keras.Layer):
        raise ValueError(f"`preprocess` should be a Keras layer, so that it can be saved. Received: {layer!r}")
    inputs = keras.Input(model.inputs[0].shape[1:], name="pixels")
    return keras.Model(inputs, model(layer(inputs)), name=model.name)


def check_facts(facts):
    """The facts as JSON holds them; what the card says by itself they may not say otherwise."""
    facts = facts or {}
    if not isinstance(facts, Mapping) or not all(isinstance(key, str) for key in facts):
        raise ValueError(f"`facts` should be a dictionary of what the card is to say. Received: {facts!r}")
    taken = sorted(card.OWN & {*facts})
    if taken:
        raise ValueError(f"`facts` should not name what the card says by itself. Received: {', '.join(taken)}")
    try:
        return json.loads(json.dumps(dict(facts), default=lambda value: value.tolist(), allow_nan=False))
    except (AttributeError, TypeError, ValueError) as error:
        raise ValueError(f"`facts` should be what JSON can hold. Received: {error}") from error


def planned(model, classes, temperature, size, samples):
    """All that the files have to know."""
    network = classifier(model, labels=classes, size=size)
    cut = network.preprocessing
    if cut.channels not in (1, 3):
        raise ValueError(f"`model` should take photos, 1 or 3 channels. Received: {model.name}, with {cut.channels}")
    if isinstance(classes, str):
        raise ValueError(f"`classes` should be the names of the classes. Received: {classes!r}")
    pixels = Batch(tuple(data for _, data in samples)).array(cut)
    width = network.probabilities(pixels).shape[-1]
    names = network.class_names(width) or tuple(f"class {i}" for i in range(width))
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"`classes` should have different names, to be told apart. Received: {twice!r} twice")
    end = meaning(network.end, network.scores(pixels))
    return Plan(model, cut, names, end, temperature, tuple(model.inputs[0].shape[1:]))


def meaning(end, scores):
    """What scores are: "softmax", "sigmoid", "linear", or "pair" for one sigmoid that stands for two classes.

    Where the graph does not say, what they are for some images.
    """
    if end == "unknown":
        return "softmax" if adds_up(scores) else "linear"
    return "pair" if end == "sigmoid" and scores.shape[-1] == 1 else end


def check_precision(model, formats):
    """How far probabilities may be apart, by the precision that the model computes in."""
    half = any("16" in str(getattr(layer, "compute_dtype", "")) for layer in model._flatten_layers())
    if half and {"tflite", "onnx"} & {*formats}:
        raise ValueError(f"`model` should compute in float32 for tflite and onnx. Received: {model.name}, in 16 bits")
    return LIMIT16 if half else LIMIT


def scaling(model, preprocess):
    """Where pixels become what the weights expect, in words."""
    if preprocess is not None:
        return f"inside, the layer {preprocess.name} ({type(preprocess).__name__}) that was given"
    layer = next((layer for layer in model.layers if layer.name == "scale"), None)
    if layer is None:
        return "inside the model, if it needs any"
    own = {key: value for key, value in layer.get_config().items() if key in ("mean", "std", "bgr", "source") and value}
    settings = ", ".join(f"{key} {value}" for key, value in own.items())
    return f"inside, (pixels - mean) / std: {settings or 'as they are'}"


def write(plan, folder, formats):
    """The network in all formats."""
    if "keras" in formats:
        file = os.path.join(folder, "model.keras")
        plan.model.save(file)
        if getattr(plan.model, "optimizer", None) is not None:
            with suppress(Exception):  # what does not load here does not in a fresh process, which then says why
                keras.saving.load_model(file, compile=False).save(file)
    if {*formats} != {"keras"}:
        signatures.save(plan, folder, formats)


@contextmanager
def unfinished(path, replace):
    """A folder beside ``path`` that takes its name when the body is done; kept where its files say something else."""
    path.parent.mkdir(parents=True, exist_ok=True)
    folder = tempfile.mkdtemp(prefix=f"{path.name}.unfinished-", dir=path.parent)
    try:
        yield folder
    except ExportError:
        raise
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    mask = os.umask(0)
    os.umask(mask)
    os.chmod(folder, 0o777 & ~mask)  # a server runs as somebody else; temporary folders are private
    before = None
    if os.path.lexists(check_path(path, replace)):
        before = tempfile.mkdtemp(prefix=f"{path.name}.before-", dir=path.parent)
        os.rename(path, before)
    os.rename(folder, path)
    if before:
        shutil.rmtree(before, ignore_errors=True)


SIZES = ((240, 320), (320, 240), (97, 131), (300, 300))


def drawn():
    """[(file, bytes)] of smooth colors from a fixed seed: JPEG and PNG, upright and turned, gray and transparent."""
    rng = np.random.default_rng(0)
    coarse = [Image.fromarray(rng.integers(0, 256, (5, 7, 4), np.uint8)) for _ in SIZES]
    photos = [image.resize(size[::-1], Image.Resampling.BICUBIC) for image, size in zip(coarse, SIZES, strict=True)]
    color, turned, clear, gray = photos
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was held on its side
    return [
        ("color.jpg", written(color.convert("RGB"), "JPEG", quality=90)),
        ("turned.jpg", written(turned.convert("RGB"), "JPEG", quality=90, exif=exif)),
        ("clear.png", written(clear, "PNG")),
        ("gray.png", written(gray.convert("L"), "PNG")),
    ]


def written(image, format, **options):
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


def given(images):
    """[(file, bytes)] of a user's samples: JPEG and PNG files as they are, anything else written as PNG."""
    return [(f"{i:03}", encoded(image)) for i, image in enumerate(batch_of(images).items)]


def encoded(image):
    if isinstance(image, np.ndarray):
        image = np.clip(np.round(image), 0, 255).astype(np.uint8)
        return written(Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image), "PNG")
    if isinstance(image, Image.Image):
        return written(Image.fromarray(unpack(image, "the image")), "PNG")
    if isinstance(image, str | os.PathLike):
        decode(image)  # says what a file is that is no image
        image = Path(image).read_bytes()
    image = image.read() if hasattr(image, "read") else bytes(image)
    return image if kind_of(image[:16]) in ("JPEG", "PNG") else written(Image.fromarray(decode(image)), "PNG")


def answers(plan, samples, limit):
    """What the model says of samples through ``predict``, and what each of an export's files then has to say."""
    data = [each for _, each in samples]
    with keras.device("cpu"):  # where the check in a fresh process runs; a GPU rounds otherwise
        probs = predict(plan.model, data, size=plan.cut.size, labels=plan.classes).probs
        pixels = Batch(tuple(data)).array(plan.cut)
        seen = keras.ops.convert_to_numpy(features(plan.model)(pixels))
    return {
        "files": np.array([name for name, _ in samples]),
        "classes": np.array(plan.classes),
        "probs": probs,
        "answers": soften(probs, plan.end, plan.temperature),
        "pixels": pixels.astype(np.uint8),
        "features": seen.astype(np.float32),
        "limit": np.array(limit),
    }


def write_samples(folder, samples, expected):
    """Samples and answers as files in a new folder."""
    os.makedirs(folder)
    for name, data in samples:
        Path(folder, name).write_bytes(data)
    np.savez_compressed(os.path.join(folder, "expected.npz"), **expected)
