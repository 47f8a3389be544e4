"""The card of an export: what the network is, what it takes and gives, how photos are cut, how it is called."""

import json
import os
from datetime import UTC, datetime
from importlib import metadata

from .. import __version__
from ..inputs.classifier import published
from ..support.files import displayable
from .signatures import BEST
from .verify import digests

MEANING = {
    "softmax": "probabilities that add up to 1",
    "linear": "softmax of the logits, which add up to 1",
    "sigmoid": "a probability of each class for itself",
    "pair": "1 - p and p of one sigmoid",
}
DIFFERENCES = (
    "JPEG, PNG, GIF (the first image) and BMP of 24 or 32 bits; predict also reads TIFF, WebP, AVIF and others",
    "EXIF's orientation is applied to JPEG, not to PNG, nor where only XMP has it",
    "transparent pixels of PNG lie on white; of GIF they have the color that TensorFlow gives them",
    "one image that cannot be read fails the whole request: check uploads before, or ask for one image at a time",
)
PYTHON = """import tensorflow as tf

serve = tf.saved_model.load("{path}").signatures["serving_default"]
answer = serve(image_bytes=tf.constant([open("photo.jpg", "rb").read()]))
print(answer["classes"].numpy()[0, 0].decode(), float(answer["scores"][0, 0]))
"""


OWN = {"schema", "network", "parameters", "classes", "probabilities", "temperature", "weights", "input", "photos"}
OWN |= {"signatures", "call", "needs", "tolerance", "versions", "written", "sha256"}


def write(folder, plan, scaling, formats, limit, facts):
    """labels.json and card.json; the card is the last file, for it has the hashes of all others."""
    dump(list(plan.classes), os.path.join(folder, "labels.json"))
    dump(card(folder, plan, scaling, formats, limit, facts), os.path.join(folder, "card.json"))


def dump(data, path):
    with open(path, "w", encoding="utf-8") as file:
        json.dump(displayable(data), file, indent=2, ensure_ascii=False, allow_nan=False)
        file.write("\n")


def card(folder, plan, scaling, formats, limit, facts):
    """All that somebody has to know who has only the folder."""
    source, (height, width, channels) = published(plan.model), plan.shape
    versions = {name: metadata.version(name) for name in ("tensorflow", "keras", "numpy", "pillow")}
    return {
        "schema": "kerascnn.export/1",
        "network": plan.model.name,
        "parameters": plan.model.count_params(),
        "classes": list(plan.classes),
        "probabilities": MEANING[plan.end],
        "temperature": plan.temperature,
        **facts,
        "weights": origin(source) if source else None,
        "input": {
            "height": height,
            "width": width,
            "channels": channels,
            "pixels": "0..255, " + ("gray" if channels == 1 else "RGB"),
            "scaling": scaling,
        },
        "photos": cut_in_words(plan.cut) | {"differences": [*DIFFERENCES]},
        "signatures": signatures(plan) if "saved_model" in formats else {},
        "call": calls(plan.model.name, formats),
        "needs": needs(plan.model) if "keras" in formats else {},
        "tolerance": limit,
        "versions": {"kerascnn": __version__, **versions},
        "written": datetime.now(UTC).isoformat(timespec="seconds"),
        "sha256": digests(folder),
    }


def origin(source):
    """Where published weights are from, and what was measured with them."""
    measured = {"top1": source.top1, "top5": source.top5, "of": "ImageNet's validation images, % as published"}
    return {"source": source.name, "address": source.address, "license": source.license, "accuracy": measured}


def needs(model):
    """The packages that have to be imported before the .keras file loads: those of its layers, Keras' own aside."""
    packages = {type(layer).__module__.split(".")[0] for layer in model._flatten_layers()}
    return {"model.keras": sorted(packages - {"keras"})}


def cut_in_words(cut):
    """How a photo becomes the input."""
    gray = ["decoded, turned as EXIF says", "gray as 0.299 R + 0.587 G + 0.114 B"]
    steps = [
        *(gray if cut.channels == 1 else ["decoded"]),
        f"resized, {cut.interpolation}, antialiased, to whole numbers; the short side {cut.resize} pixels long",
        "the long side int(resize * long / short)",
        f"the center {cut.size[0]}x{cut.size[1]} cut out",
    ]
    return {
        "resize": cut.resize,
        "crop": list(cut.size),
        "interpolation": cut.interpolation,
        "antialias": True,
        "of_that_size_already": "taken as they are" if cut.keep == "all" else "resized and cut like all others",
        "steps": steps,
    }


def signatures(plan):
    shape = ["N", *plan.shape]
    probs = {"probabilities": ["float32", ["N", len(plan.classes)]]}
    best = ["N", min(BEST, len(plan.classes))]
    return {
        "serving_default": {
            "inputs": {"image_bytes": ["string", ["N"]]},
            "outputs": {"classes": ["string", best], "scores": ["float32", best], **probs},
        },
        "images": {"inputs": {"images": ["float32", shape]}, "outputs": probs},
        "features": {"inputs": {"images": ["float32", shape]}, "outputs": {"features": "float32"}},
    }


def calls(name, formats):
    """How each file is used."""
    known = {
        "keras": "import kerascnn, keras; kerascnn.predict(keras.saving.load_model('model.keras'), 'photo.jpg')",
        "tflite": "images of 0..255, float32, to probabilities: tf.lite.Interpreter('model.tflite')",
        "onnx": "images of 0..255, float32, to probabilities: onnxruntime.InferenceSession('model.onnx')",
    }
    found = {key: text for key, text in known.items() if key in formats}
    if "saved_model" in formats:
        found["python"] = PYTHON.format(path="saved_model/1")
        found["server"] = server("saved_model", name)
        found["request"] = request(name)
    return found | {"check": "python -m kerascnn.exporting FOLDER"}


def server(folder, name):
    """TensorFlow Serving's command line."""
    mount = f'-v "{os.path.abspath(folder) if os.path.isabs(folder) else f"$PWD/{folder}"}:/models/{name}:ro"'
    return f"docker run --rm -p 8501:8501 {mount} -e MODEL_NAME={name} tensorflow/serving"


def request(name):
    """A request to it, with a photo as base64."""
    photo = '{"instances": [{"b64": "\'"$(base64 < photo.jpg | tr -d "\\n")"\'"}]}'
    return f"echo '{photo}' | curl -d @- http://localhost:8501/v1/models/{name}:predict"
