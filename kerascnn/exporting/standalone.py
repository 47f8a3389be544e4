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


def check_row(file, what, found, passed):
    return {"file": file, "what": what, "found": str(found), "passed": bool(passed)}


def check_arrays(file, what, found, expected, limit):
    """Whether two arrays are the same, within a limit."""
    if found.shape != expected.shape:
        return check_row(file, what, f"shape {found.shape} instead of {expected.shape}", False)
    apart = float(np.abs(found.astype(np.float64) - expected).max())
    return check_row(file, what, f"largest difference {apart:.1e}", apart <= limit)


def check_probabilities(file, what, probs, expected, limit):
    """The same probabilities, and the same first class."""
    yield check_arrays(file, f"{what}: probabilities", probs, expected, limit)
    if probs.shape == expected.shape:
        # where two classes are equal within the limit, either may be first
        rows, best = np.arange(len(expected)), expected.max(-1)
        same = expected[rows, probs.argmax(-1)] >= best - 2 * limit
        yield check_row(file, f"{what}: predicted class", f"{same.sum()} of {same.size} equal", same.all())


def check_saved_model(folder, samples, expected):
    """The signatures of the SavedModel."""
    import tensorflow as tf

    files = [Path(samples, name).read_bytes() for name in expected["files"]]
    name, answers, limit = "saved_model", expected["answers"], float(expected["limit"])
    signatures = tf.saved_model.load(f"{folder}/saved_model/1").signatures

    def ask(signature, **given):
        """All answers, asked in batches."""
        ((argument, data),) = given.items()
        batches = [tf.constant(data[i : i + BATCH]) for i in range(0, len(data), BATCH)]
        found = [signatures[signature](**{argument: batch}) for batch in batches]
        return {key: np.concatenate([part[key].numpy() for part in found]) for key in found[0]}

    first, again = (ask("serving_default", image_bytes=files) for _ in range(2))
    yield from check_probabilities(name, "bytes", first["probabilities"], answers, limit)
    yield check_arrays(
        name, "bytes: repeated call gives the same result", again["probabilities"], first["probabilities"], REPEATED
    )
    yield from check_top_classes(name, first, expected["classes"])
    pixels = expected["pixels"].astype(np.float32)
    yield from check_probabilities(name, "images", ask("images", images=pixels)["probabilities"], answers, limit)
    seen, again = (ask("features", images=pixels)["features"] for _ in range(2))
    size = max(1.0, float(np.abs(expected["features"]).max()))
    yield check_arrays(name, "features", seen / size, expected["features"] / size, limit)
    yield check_arrays(name, "features: repeated call gives the same result", again / size, seen / size, REPEATED)


def check_top_classes(file, answer, class_names):
    """Whether names and scores are those of the likeliest classes, in their order."""
    probs, scores = answer["probabilities"], answer["scores"]
    order = np.argsort(-probs, axis=-1, kind="stable")[:, : scores.shape[-1]]
    names = np.array([[name.decode("utf-8") for name in row] for row in answer["classes"]])
    wrong = np.argwhere(names != class_names[order])
    found = (
        "as expected"
        if not len(wrong)
        else f"{names[tuple(wrong[0])]} instead of {class_names[order][tuple(wrong[0])]}"
    )
    yield check_row(file, "bytes: class names", found, not len(wrong))
    yield check_arrays(file, "bytes: scores", scores, np.take_along_axis(probs, order, -1), 0)


def check_tflite(folder, expected):
    """The LiteRT file, an image at a time."""
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ImportError:  # TensorFlow's own, which is to leave it
        import tensorflow as tf

        Interpreter = tf.lite.Interpreter
    network = Interpreter(f"{folder}/model.tflite")
    (into,), (out,) = network.get_input_details(), network.get_output_details()
    network.resize_tensor_input(into["index"], [1, *expected["pixels"].shape[1:]])
    network.allocate_tensors()
    rows = []
    for image in expected["pixels"].astype(np.float32):
        network.set_tensor(into["index"], image[None])
        network.invoke()
        rows.append(network.get_tensor(out["index"])[0])
    yield from check_probabilities(
        "model.tflite", "images", np.stack(rows), expected["answers"], float(expected["limit"])
    )


def check_onnx(folder, expected):
    """The ONNX file."""
    import onnxruntime

    network = onnxruntime.InferenceSession(f"{folder}/model.onnx", providers=["CPUExecutionProvider"])
    (into,) = network.get_inputs()
    (probs,) = network.run(None, {into.name: expected["pixels"].astype(np.float32)})
    yield from check_probabilities("model.onnx", "images", probs, expected["answers"], float(expected["limit"]))


def read_expected(samples):
    """What was written beside the samples: the names of their files, pixels, and what is to be answered."""
    with np.load(f"{samples}/expected.npz") as file:
        return dict(file)


def run_checks(folder, samples):
    expected = read_expected(samples)
    with open(f"{folder}/labels.json", encoding="utf-8") as file:
        same = json.load(file) == expected["classes"].tolist()
    yield check_row("labels.json", "class names", "as expected" if same else "different names or order", same)
    if os.path.isdir(f"{folder}/saved_model"):
        yield from check_saved_model(folder, samples, expected)
    if os.path.exists(f"{folder}/model.tflite"):
        yield from check_tflite(folder, expected)
    if os.path.exists(f"{folder}/model.onnx"):
        yield from check_onnx(folder, expected)
    ours = sorted(name for name in sys.modules if name.split(".")[0] == "kerascnn")
    found = f"{len(ours)} kerascnn modules loaded" if ours else "no kerascnn module loaded"
    yield check_row("saved_model", "works without kerascnn", found, not ours)


if __name__ == "__main__":
    print(json.dumps([*run_checks(*sys.argv[1:])]))
