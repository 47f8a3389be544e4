"""Export of a classifier to a folder, which is complete or does not exist."""

from __future__ import annotations

import io
import json
import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import keras
import numpy as np
from PIL import Image

from ..evaluation.predict import predict
from ..graph.ends import apply_temperature, feature_extractor, sums_to_one
from ..inputs.batch import Batch
from ..inputs.class_names import save_model, store_class_names, stored_class_names
from ..inputs.classifier import classifier, image_input, load_model, pack_inputs
from ..inputs.decode import decode, image_format, pillow_to_pixels
from ..inputs.model_files import copy_facts
from ..support.display import TableResult
from ..support.text import pluralize, unknown_name
from ..support.types import ClassNames, FilePath, Images, Model, Options, Size
from . import card, signatures
from .signatures import ExportPlan
from .standalone import OTHER_INPUT
from .verify import Check, ExportError, list_files
from .verify import verify as checked

FORMATS = {"keras": (), "saved_model": (), "tflite": (), "onnx": ("tf2onnx", "onnxruntime")}  # and what each needs
LIMIT, LIMIT16 = 1e-4, 2e-2  # how far probabilities may be apart, computed in 32 bits or in 16


@dataclass(frozen=True, kw_only=True, repr=False)
class Exported(TableResult):
    """An export on disk.

    Attributes:
        folder: path of the folder.
        files: size in bytes of each file by name.
        checks: the checks that were made afterwards.
    """

    folder: Path
    files: Mapping
    checks: tuple[Check, ...]

    def _headline(self):
        passed = sum(check.passed for check in self.checks)
        return f"{self.folder}, {pluralize(len(self.files), 'file')}, {passed} of {len(self.checks)} checks passed"

    @property
    def table(self):
        """The checks as a DataFrame: file, what, found, passed."""
        import pandas as pd

        return pd.DataFrame([vars(check) for check in self.checks], columns=["file", "what", "found", "passed"])


def export(
    model: Model,
    path: FilePath,
    *,
    class_names: ClassNames | None = None,
    formats: str | Sequence[str] = ("keras", "saved_model"),
    temperature: float = 1.0,
    size: Size | None = None,
    samples: Images | None = None,
    verify: bool = True,
    preprocess: keras.Layer | None = None,
    metadata: Options | None = None,
    replace: bool = False,
) -> Exported:
    """Export a classifier with its class names and preprocessing to a folder.

    Everything is loaded again in new processes and compared with `predict`. Only then the folder gets its name;
    otherwise `ExportError` says what differs and where the files are. Images are resized and cropped exactly as in
    `predict`.

    Args:
        model: a Keras classifier.
        path: the folder to write.
        class_names: names of the classes in the order of the scores; by default as in `predict`.
        formats: "keras"; "saved_model" for TensorFlow Serving, from encoded photos or pixels to class names; "tflite"
            and "onnx", from pixels to probabilities.
        temperature: divides the logits (Guo et al. 2017), except in the .keras file, which is the model without its
            optimizer.
        size: (height, width) of the input, for models with an open input size.
        samples: images to compare, in addition to generated ones, in any form that `predict` takes; for a model with
            several inputs as a dict or tuple of these.
        verify: whether to check the export.
        preprocess: Keras layer from pixels, 0 to 255, to what a foreign model expects.
        metadata: entries to add to the card, such as {"data": ..., "accuracy": ...}.
        replace: whether an existing export may be replaced.

    Returns:
        An `Exported` with the files and the checks.
    """
    formats = check_formats(formats)
    target = check_path(path, replace)
    metadata = check_metadata(metadata)
    if not isinstance(temperature, int | float) or not 0 < temperature < np.inf:
        raise ValueError(f"`temperature` should be positive. Received: {temperature!r}")
    model = add_preprocessing(model, preprocess)
    generated = generate_samples(model)
    given = None if samples is None else encode_samples(model, samples)
    plan = plan_export(model, class_names, float(temperature), size, generated)
    limit = check_precision(plan.model, formats)
    with tempfile.TemporaryDirectory() as temporary_folder, atomic_export_folder(target, replace) as folder:
        write_model_files(plan, folder, formats)
        write_samples(os.path.join(folder, "check"), generated, answers_to_check(plan, generated, limit))
        card.write_card(folder, plan, describe_scaling(plan.model, preprocess), formats, limit, metadata)
        if verify and given:
            both = generated + given
            write_samples(os.path.join(temporary_folder, "all"), both, answers_to_check(plan, both, limit))
        checks = checked(folder, os.path.join(temporary_folder, "all") if given else None) if verify else ()
    sizes = {name: file.stat().st_size for name, file in list_files(target).items()}
    return Exported(folder=target, files=sizes, checks=checks)


def check_formats(formats):
    """The formats, each known and possible here."""
    formats = (formats,) if isinstance(formats, str) else tuple(formats)
    for name in formats:
        if name not in FORMATS:
            raise ValueError(unknown_name("format", name, FORMATS))
        for package in FORMATS[name]:
            if find_spec(package) is None:
                text = f'`formats` includes {name!r}, which needs {package}: pip install "kerascnn[{name}]"'
                raise ModuleNotFoundError(text, name=package)
    if not formats:
        raise ValueError(f"`formats` should contain at least one of {', '.join(FORMATS)}. Received: none")
    if keras.config.backend() != "tensorflow":
        raise ValueError(
            "`model` should run on the TensorFlow backend to be exported. "
            f"Received: a model of backend {keras.config.backend()}"
        )
    return formats


def check_path(path, replace):
    """The path, if something may be written there."""
    path = Path(os.path.abspath(path))
    if os.path.lexists(path):
        if not replace:
            raise FileExistsError(f"`path` should not exist, unless `replace=True`. Received: {path}, which exists")
        if not (path / "card.json").is_file():
            raise FileExistsError(
                f"`path` should be a new folder or an existing export. Received: {path}, which is neither"
            )
    return path


def add_preprocessing(model, layer):
    """The model from pixels 0..255, with the preprocessing that it needs inside."""
    if layer is None:
        return model
    if not isinstance(layer, keras.Layer):
        raise ValueError(
            f"`preprocess` should be a Keras layer, so that it can be saved with the model. Received: {layer!r}"
        )
    image = image_input(model)
    pixels = keras.Input(image.shape[1:], name="pixels")
    others = {tensor.name: tensor for tensor in model.inputs if tensor is not image}
    values = pack_inputs(model, {**others, image.name: layer(pixels)}) if others else layer(pixels)
    inputs = [pixels, *others.values()] if others else pixels
    preprocessed = keras.Model(inputs, model(values), name=model.name)
    copy_facts(model, preprocessed)
    store_class_names(preprocessed, stored_class_names(model))
    return preprocessed


def check_metadata(metadata):
    """The facts as JSON holds them; what the card says by itself they may not say otherwise."""
    metadata = metadata or {}
    if not isinstance(metadata, Mapping) or not all(isinstance(key, str) for key in metadata):
        raise ValueError(f"`metadata` should be a dictionary of entries to add to the card. Received: {metadata!r}")
    reserved_keys = sorted(card.RESERVED & {*metadata})
    if reserved_keys:
        raise ValueError(
            f"`metadata` should not contain entries that the card already has. Received: {', '.join(reserved_keys)}"
        )
    try:
        return json.loads(json.dumps(dict(metadata), default=lambda value: value.tolist(), allow_nan=False))
    except (AttributeError, TypeError, ValueError) as error:
        raise ValueError(f"`metadata` should be JSON serializable. Received: {error}") from error


def plan_export(model, class_names, temperature, size, samples):
    """All that the files have to know."""
    network = classifier(model, class_names=class_names, size=size, several_inputs=True)
    preprocessing = network.preprocessing
    if preprocessing.channels not in (1, 3):
        raise ValueError(
            "`model` should take images with 1 or 3 channels. "
            f"Received: {model.name} with {preprocessing.channels} channels"
        )
    if isinstance(class_names, str):
        raise ValueError(f"`class_names` should be a list of class names. Received: {class_names!r}")
    pixels = Batch(samples.photos).array(preprocessing)
    width = network.probabilities(pixels, samples.other_inputs).shape[-1]
    names = network.names_for(width) or numbered_classes(width)
    if len(set(names)) < len(names):
        duplicate = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"`class_names` should be unique. Received: {duplicate!r} twice")
    end = kind_of_scores(network.end, network.scores(pixels, samples.other_inputs))
    return ExportPlan(model, preprocessing, names, end, temperature, tuple(image_input(model).shape[1:]))


def numbered_classes(count):
    """What classes are called whose names are unknown."""
    return tuple(f"class {i}" for i in range(count))


def kind_of_scores(end, scores):
    """What scores are: "softmax", "sigmoid", "linear", or "pair" for one sigmoid that stands for two classes.

    Where the graph does not say, what they are for some images.
    """
    if end == "unknown":
        return "softmax" if sums_to_one(scores) else "linear"
    return "pair" if end == "sigmoid" and scores.shape[-1] == 1 else end


def check_precision(model, formats):
    """How far probabilities may be apart, by the precision that the model computes in."""
    half = any("16" in str(getattr(layer, "compute_dtype", "")) for layer in model._flatten_layers())
    if half and {"tflite", "onnx"} & {*formats}:
        raise ValueError(
            f"`model` should compute in float32 for tflite and onnx. Received: {model.name}, which computes in 16 bits"
        )
    return LIMIT16 if half else LIMIT


def describe_scaling(model, preprocess):
    """Where pixels become what the weights expect, in words."""
    if preprocess is not None:
        return f"in the exported model: the given layer {preprocess.name} ({type(preprocess).__name__})"
    layer = next((layer for layer in model.layers if layer.name == "scale"), None)
    if layer is None:
        return "in the model itself, if it needs any"
    config = {
        key: value for key, value in layer.get_config().items() if key in ("mean", "std", "bgr", "source") and value
    }
    settings = ", ".join(f"{key} {value}" for key, value in config.items())
    return f"in the model: (pixels - mean) / std with {settings or 'no change'}"


def write_model_files(plan, folder, formats):
    """The network in all formats."""
    if "keras" in formats:
        file = os.path.join(folder, "model.keras")
        names = plan.class_names if plan.class_names != numbered_classes(len(plan.class_names)) else None
        save_model(plan.model, file, names)
        if getattr(plan.model, "optimizer", None) is not None:
            with suppress(Exception):  # what does not load here does not in a fresh process, which then says why
                save_model(load_model(file), file)
    if {*formats} != {"keras"}:
        signatures.save_signatures(plan, folder, formats)


@contextmanager
def atomic_export_folder(path, replace):
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


@dataclass(frozen=True, kw_only=True)
class Samples:
    """Photos as the bytes of files, and what other inputs are given with them, with a row for each photo."""

    names: tuple
    photos: tuple
    other_inputs: Mapping

    def __len__(self):
        return len(self.photos)

    def __add__(self, more):
        together = {name: np.concatenate([rows, more.other_inputs[name]]) for name, rows in self.other_inputs.items()}
        return Samples(names=self.names + more.names, photos=self.photos + more.photos, other_inputs=together)


def generate_samples(model):
    """`Samples` from a fixed seed: smooth colors as JPEG and PNG, upright and turned, gray and transparent."""
    rng = np.random.default_rng(0)
    coarse = [Image.fromarray(rng.integers(0, 256, (5, 7, 4), np.uint8)) for _ in SIZES]
    photos = [image.resize(size[::-1], Image.Resampling.BICUBIC) for image, size in zip(coarse, SIZES, strict=True)]
    color, turned, clear, gray = photos
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was held on its side
    files = {
        "color.jpg": encode_image(color.convert("RGB"), "JPEG", quality=90),
        "turned.jpg": encode_image(turned.convert("RGB"), "JPEG", quality=90, exif=exif),
        "clear.png": encode_image(clear, "PNG"),
        "gray.png": encode_image(gray.convert("L"), "PNG"),
    }
    image = image_input(model)
    others = {tensor.name: generate_rows(tensor, len(files), rng) for tensor in model.inputs if tensor is not image}
    return Samples(names=tuple(files), photos=tuple(files.values()), other_inputs=others)


def generate_rows(tensor, count, rng):
    """Values for an input besides the images: normally distributed, or 0 for integers, which may be indices."""
    shape = (count, *(side or 1 for side in tensor.shape[1:]))
    return rng.normal(size=shape).astype(tensor.dtype) if "float" in tensor.dtype else np.zeros(shape, tensor.dtype)


def encode_image(image, format, **options):
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


def encode_samples(model, images):
    """`Samples` of a user: JPEG and PNG files as they are, anything else written as PNG."""
    batch = classifier(model, several_inputs=True).batch(images)
    photos = tuple(encode_sample(image) for image in batch.items)
    types = {tensor.name: tensor.dtype for tensor in model.inputs}
    others = {name: rows.astype(types[name]) for name, rows in batch.other_inputs.items()}
    return Samples(names=tuple(f"{i:03}" for i in range(len(photos))), photos=photos, other_inputs=others)


def encode_sample(image):
    if isinstance(image, np.ndarray):
        image = np.clip(np.round(image), 0, 255).astype(np.uint8)
        return encode_image(Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image), "PNG")
    if isinstance(image, Image.Image):
        return encode_image(Image.fromarray(pillow_to_pixels(image, "the image")), "PNG")
    if isinstance(image, str | os.PathLike):
        decode(image)  # says what a file is that is no image
        image = Path(image).read_bytes()
    image = image.read() if hasattr(image, "read") else bytes(image)
    return image if image_format(image[:16]) in ("JPEG", "PNG") else encode_image(Image.fromarray(decode(image)), "PNG")


def answers_to_check(plan, samples, limit):
    """What the model says of samples through ``predict``, and what each of an export's files then has to say."""
    with keras.device("cpu"):  # where the check in a fresh process runs; a GPU rounds otherwise
        images = plan.inputs_by_name([*samples.photos], samples.other_inputs)
        probs = predict(plan.model, images, size=plan.preprocessing.size, class_names=plan.class_names).probs
        pixels = Batch(samples.photos).array(plan.preprocessing)
        inputs = plan.inputs_by_name(pixels, samples.other_inputs)
        features = keras.ops.convert_to_numpy(feature_extractor(plan.model)(inputs))
    return {
        "files": np.array(samples.names),
        "classes": np.array(plan.class_names),
        "probs": probs,
        "answers": apply_temperature(probs, plan.end, plan.temperature),
        "pixels": pixels.astype(np.uint8),
        "features": features.astype(np.float32),
        "limit": np.array(limit),
        **{f"{OTHER_INPUT}{name}": rows for name, rows in samples.other_inputs.items()},
    }


def write_samples(folder, samples, expected):
    """Samples and answers as files in a new folder."""
    os.makedirs(folder)
    for name, data in zip(samples.names, samples.photos, strict=True):
        Path(folder, name).write_bytes(data)
    np.savez_compressed(os.path.join(folder, "expected.npz"), **expected)
