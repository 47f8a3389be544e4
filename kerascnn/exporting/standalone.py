"""Run an export with TensorFlow (or ONNX Runtime) alone; prints the checks as JSON.

Run as a file by ``verify``, and imports nothing of ours: so it stands for a machine that has no kerascnn.
"""

import json
import os
import sys
from pathlib import Path

import numpy as np

REPEATED = 1e-6
BATCH = 8
OTHER_INPUT = "input "  # before the name of an input, in the file of the expected predictions


def other_inputs(expected):
    """The values of the inputs besides the images, by name."""
    return {key.removeprefix(OTHER_INPUT): rows for key, rows in expected.items() if key.startswith(OTHER_INPUT)}


def check_row(file, check, result, passed):
    return {"file": file, "what": check, "found": str(result), "passed": bool(passed)}


def check_arrays(file, check, actual, expected, limit):
    """Whether two arrays are the same, within a limit."""
    if actual.shape != expected.shape:
        return check_row(file, check, f"shape {actual.shape} instead of {expected.shape}", False)
    difference = float(np.abs(actual.astype(np.float64) - expected).max())
    return check_row(file, check, f"largest difference {difference:.1e}", difference <= limit)


def check_probabilities(file, kind, probs, expected, limit):
    """The same probabilities, and the same first class."""
    yield check_arrays(file, f"{kind}: probabilities", probs, expected, limit)
    if probs.shape == expected.shape:
        # where two classes are equal within the limit, either may be first
        rows, best = np.arange(len(expected)), expected.max(-1)
        is_equal = expected[rows, probs.argmax(-1)] >= best - 2 * limit
        yield check_row(file, f"{kind}: predicted class", f"{is_equal.sum()} of {is_equal.size} equal", is_equal.all())


def check_saved_model(folder, samples, expected):
    """The signatures of the SavedModel."""
    import tensorflow as tf

    files = [Path(samples, name).read_bytes() for name in expected["files"]]
    name, answers, limit = "saved_model", expected["answers"], float(expected["limit"])
    signatures = tf.saved_model.load(f"{folder}/saved_model/1").signatures

    def ask(signature, **images):
        """All answers, asked in batches."""
        inputs = {**images, **other_inputs(expected)}
        starts = range(0, len(files), BATCH)
        batches = [{name: tf.constant(rows[i : i + BATCH]) for name, rows in inputs.items()} for i in starts]
        outputs = [signatures[signature](**batch) for batch in batches]
        return {key: np.concatenate([output[key].numpy() for output in outputs]) for key in outputs[0]}

    first, repeated = (ask("serving_default", image_bytes=files) for _ in range(2))
    yield from check_probabilities(name, "bytes", first["probabilities"], answers, limit)
    yield check_arrays(
        name, "bytes: repeated call gives the same result", repeated["probabilities"], first["probabilities"], REPEATED
    )
    yield from check_top_classes(name, first, expected["classes"])
    pixels = expected["pixels"].astype(np.float32)
    yield from check_probabilities(name, "images", ask("images", images=pixels)["probabilities"], answers, limit)
    features, repeated = (ask("features", images=pixels)["features"] for _ in range(2))
    size = max(1.0, float(np.abs(expected["features"]).max()))
    yield check_arrays(name, "features", features / size, expected["features"] / size, limit)
    yield check_arrays(
        name, "features: repeated call gives the same result", repeated / size, features / size, REPEATED
    )


def check_top_classes(file, answer, class_names):
    """Whether names and scores are those of the likeliest classes, in their order."""
    probs, scores = answer["probabilities"], answer["scores"]
    order = np.argsort(-probs, axis=-1, kind="stable")[:, : scores.shape[-1]]
    names = np.array([[name.decode("utf-8") for name in row] for row in answer["classes"]])
    wrong = np.argwhere(names != class_names[order])
    result = (
        "as expected"
        if not len(wrong)
        else f"{names[tuple(wrong[0])]} instead of {class_names[order][tuple(wrong[0])]}"
    )
    yield check_row(file, "bytes: class names", result, not len(wrong))
    yield check_arrays(file, "bytes: scores", scores, np.take_along_axis(probs, order, -1), 0)


def check_tflite(folder, expected):
    """The LiteRT file, an image at a time."""
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ImportError:  # TensorFlow's own, which is to leave it
        import tensorflow as tf

        Interpreter = tf.lite.Interpreter
    network = Interpreter(f"{folder}/model.tflite")
    into, (out,) = network.get_input_details(), network.get_output_details()
    inputs = {"images": expected["pixels"].astype(np.float32), **other_inputs(expected)}
    places = {name: place["index"] for name in inputs for place in into if tensor_name(place["name"]) == name}
    for name, place in places.items():
        network.resize_tensor_input(place, [1, *inputs[name].shape[1:]])
    network.allocate_tensors()
    rows = []
    for i in range(len(expected["files"])):
        for name, place in places.items():
            network.set_tensor(place, inputs[name][i : i + 1])
        network.invoke()
        rows.append(network.get_tensor(out["index"])[0])
    yield from check_probabilities(
        "model.tflite", "images", np.stack(rows), expected["answers"], float(expected["limit"])
    )


def tensor_name(name):
    """The name of an argument of a signature, as LiteRT calls it: "serving_default_images:0"."""
    return name.removeprefix("serving_default_").partition(":")[0]


def check_onnx(folder, expected):
    """The ONNX file."""
    import onnxruntime

    network = onnxruntime.InferenceSession(f"{folder}/model.onnx", providers=["CPUExecutionProvider"])
    inputs = {"images": expected["pixels"].astype(np.float32), **other_inputs(expected)}
    (probs,) = network.run(None, {place.name: inputs[tensor_name(place.name)] for place in network.get_inputs()})
    yield from check_probabilities("model.onnx", "images", probs, expected["answers"], float(expected["limit"]))


def read_expected(samples):
    """What was written beside the samples: the names of their files, pixels, and what is to be answered."""
    with np.load(f"{samples}/expected.npz") as file:
        return dict(file)


def run_checks(folder, samples):
    expected = read_expected(samples)
    with open(f"{folder}/labels.json", encoding="utf-8") as file:
        is_equal = json.load(file) == expected["classes"].tolist()
    yield check_row("labels.json", "class names", "as expected" if is_equal else "different names or order", is_equal)
    if os.path.isdir(f"{folder}/saved_model"):
        yield from check_saved_model(folder, samples, expected)
    if os.path.exists(f"{folder}/model.tflite"):
        yield from check_tflite(folder, expected)
    if os.path.exists(f"{folder}/model.onnx"):
        yield from check_onnx(folder, expected)
    package_modules = sorted(name for name in sys.modules if name.split(".")[0] == "kerascnn")
    result = f"{len(package_modules)} kerascnn modules loaded" if package_modules else "no kerascnn module loaded"
    yield check_row("saved_model", "works without kerascnn", result, not package_modules)


if __name__ == "__main__":
    print(json.dumps([*run_checks(*sys.argv[1:])]))
