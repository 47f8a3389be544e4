"""The card of an export: the network, its inputs and outputs, preprocessing and usage."""

import json
import os
from datetime import UTC, datetime
from importlib.metadata import version

from .. import __version__
from ..inputs.classifier import find_published_source
from ..support.files import escape_surrogates
from .signatures import BEST
from .verify import file_hashes

MEANING = {
    "softmax": "probabilities that add up to 1",
    "linear": "softmax of the logits",
    "sigmoid": "an independent probability for each class (sigmoid)",
    "pair": "1 - p and p of a single sigmoid",
}
DIFFERENCES = (
    "JPEG, PNG, GIF (first frame) and BMP with 24 or 32 bits; kerascnn.predict also reads TIFF, WebP, AVIF and others",
    "EXIF orientation is applied to JPEG, but not to PNG or if it is only in XMP",
    "transparent pixels are drawn on white in PNG; in GIF they get the color that TensorFlow chooses",
    "one unreadable image makes the whole request fail: validate uploads, or send one image per request",
)
PYTHON = """import tensorflow as tf

serve = tf.saved_model.load("{path}").signatures["serving_default"]
answer = serve(image_bytes=tf.constant([open("photo.jpg", "rb").read()]){others})
print(answer["classes"].numpy()[0, 0].decode(), float(answer["scores"][0, 0]))
"""


RESERVED = {"schema", "network", "parameters", "classes", "probabilities", "temperature", "weights", "input", "photos"}
RESERVED |= {"other_inputs", "signatures", "call", "needs", "tolerance", "versions", "written", "sha256"}


def write_card(folder, plan, scaling, formats, limit, metadata):
    """labels.json and card.json; the card is the last file, for it has the hashes of all others."""
    write_displayable_json(list(plan.class_names), os.path.join(folder, "labels.json"))
    write_displayable_json(
        build_card(folder, plan, scaling, formats, limit, metadata), os.path.join(folder, "card.json")
    )


def write_displayable_json(data, path):
    with open(path, "w", encoding="utf-8") as file:
        json.dump(escape_surrogates(data), file, indent=2, ensure_ascii=False, allow_nan=False)
        file.write("\n")


def build_card(folder, plan, scaling, formats, limit, metadata):
    """All that somebody has to know who has only the folder."""
    source, (height, width, channels) = find_published_source(plan.model), plan.shape
    versions = {name: version(name) for name in ("tensorflow", "keras", "numpy", "pillow")}
    return {
        "schema": "kerascnn.export/1",
        "network": plan.model.name,
        "parameters": plan.model.count_params(),
        "classes": list(plan.class_names),
        "probabilities": MEANING[plan.end],
        "temperature": plan.temperature,
        **metadata,
        "weights": weights_source(source, (height, width)) if source else None,
        "input": {
            "height": height,
            "width": width,
            "channels": channels,
            "pixels": "0..255, " + ("gray" if channels == 1 else "RGB"),
            "scaling": scaling,
        },
        "other_inputs": {name: describe_tensor(tensor) for name, tensor in plan.other_inputs.items()},
        "photos": photo_preprocessing(plan.preprocessing) | {"differences": [*DIFFERENCES]},
        "signatures": describe_signatures(plan) if "saved_model" in formats else {},
        "call": usage_examples(plan, formats),
        "needs": package_requirements(plan.model) if "keras" in formats else {},
        "tolerance": limit,
        "versions": {"kerascnn": __version__, **versions},
        "written": datetime.now(UTC).isoformat(timespec="seconds"),
        "sha256": file_hashes(folder),
    }


def weights_source(source, size):
    """Where published weights are from, and what was measured with them, at which size of the images."""
    accuracy = {
        "top1": source.top1,
        "top5": source.top5,
        "of": "CIFAR-10 test images, %" if source.is_shipped else "ImageNet validation set, % as published",
        "at": [source.crop, source.crop],
        "is_at_input_size": source.is_measured_at(size),
    }
    return {"source": source.name, "address": source.address, "license": source.license, "accuracy": accuracy}


def package_requirements(model):
    """The packages that have to be imported before the .keras file loads: those of its layers, Keras' own aside."""
    packages = {type(layer).__module__.split(".")[0] for layer in model._flatten_layers()}
    return {"model.keras": sorted(packages - {"keras"})}


def photo_preprocessing(preprocessing):
    """How a photo becomes the input."""
    gray = ["decoded and rotated by EXIF orientation", "converted to grayscale: 0.299 R + 0.587 G + 0.114 B"]
    steps = [
        *(gray if preprocessing.channels == 1 else ["decoded"]),
        f"resized ({preprocessing.interpolation}, antialiased, rounded to integers) to a short side of "
        f"{preprocessing.resize} pixels",
        "long side: int(resize * long / short)",
        f"center crop {preprocessing.size[0]}x{preprocessing.size[1]}",
    ]
    return {
        "resize": preprocessing.resize,
        "crop": list(preprocessing.size),
        "interpolation": preprocessing.interpolation,
        "antialias": True,
        "of_that_size_already": "used without resizing"
        if preprocessing.keep == "all"
        else "resized and cropped like all others",
        "steps": steps,
    }


def describe_signatures(plan):
    shape = ["N", *plan.shape]
    others = {name: describe_tensor(tensor) for name, tensor in plan.other_inputs.items()}
    probs = {"probabilities": ["float32", ["N", len(plan.class_names)]]}
    best = ["N", min(BEST, len(plan.class_names))]
    return {
        "serving_default": {
            "inputs": {"image_bytes": ["string", ["N"]], **others},
            "outputs": {"classes": ["string", best], "scores": ["float32", best], **probs},
        },
        "images": {"inputs": {"images": ["float32", shape], **others}, "outputs": probs},
        "features": {"inputs": {"images": ["float32", shape], **others}, "outputs": {"features": "float32"}},
    }


def describe_tensor(tensor):
    """The type and shape of an input, as the signatures list them."""
    return [tensor.dtype, ["N", *tensor.shape[1:]]]


def usage_examples(plan, formats):
    """How each file is used."""
    name = plan.model.name
    photos = plan.inputs_by_name("'photo.jpg'", {name: name for name in plan.other_inputs})
    if plan.other_inputs:
        photos = "{" + ", ".join(f"{name!r}: {value}" for name, value in photos.items()) + "}"
    examples_by_format = {
        "keras": f"import kerascnn, keras; kerascnn.predict(keras.saving.load_model('model.keras'), {photos})",
        "tflite": "images (0..255, float32) to probabilities: tf.lite.Interpreter('model.tflite')",
        "onnx": "images (0..255, float32) to probabilities: onnxruntime.InferenceSession('model.onnx')",
    }
    examples = {key: text for key, text in examples_by_format.items() if key in formats}
    if "saved_model" in formats:
        examples["python"] = python_example("saved_model/1", plan.other_inputs)
        examples["server"] = serving_command("saved_model", name)
        examples["request"] = serving_request(name, plan.other_inputs)
    return examples | {"check": "python -m kerascnn.exporting FOLDER"}


def python_example(path, other_inputs=()):
    """Python code that asks the SavedModel at ``path``."""
    return PYTHON.format(path=path, others="".join(f", {name}={name}" for name in other_inputs))


def serving_command(folder, name):
    """TensorFlow Serving's command line."""
    mount = f'-v "{os.path.abspath(folder) if os.path.isabs(folder) else f"$PWD/{folder}"}:/models/{name}:ro"'
    return f"docker run --rm -p 8501:8501 {mount} -e MODEL_NAME={name} tensorflow/serving"


def serving_request(name, other_inputs=()):
    """A request to it, with a photo as base64."""
    image = '{"b64": "\'"$(base64 < photo.jpg | tr -d "\\n")"\'"}'
    named = ", ".join([f'"image_bytes": {image}', *(f'"{name}": ...' for name in other_inputs)])
    photo = '{"instances": [' + (f"{{{named}}}" if other_inputs else image) + "]}"
    return f"echo '{photo}' | curl -d @- http://localhost:8501/v1/models/{name}:predict"
