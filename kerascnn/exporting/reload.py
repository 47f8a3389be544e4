"""Load the .keras file of an export with Keras and kerascnn; prints the checks as JSON."""

import json
import sys

import keras

from ..evaluation.predict import predict
from ..inputs.classifier import image_input
from .standalone import REPEATED, check_arrays, check_probabilities, check_row, other_inputs, read_expected

FILE = "model.keras"


def run_checks(folder, samples):
    expected = read_expected(samples)
    try:
        model = keras.saving.load_model(f"{folder}/{FILE}", compile=False)
    except Exception as error:  # a custom layer that is not registered fails in many ways
        text = next(iter(str(error).splitlines()), "unknown error")
        yield check_row(FILE, "loads in a new process", text, False)
        return
    images = [f"{samples}/{name}" for name in expected["files"]]
    if others := other_inputs(expected):
        images = {image_input(model).name: images, **others}
    size = expected["pixels"].shape[1:3]
    first, repeated = (predict(model, images, size=size, class_names=False).probs for _ in range(2))
    yield from check_probabilities(FILE, "photos", first, expected["probs"], float(expected["limit"]))
    yield check_arrays(FILE, "photos: repeated call gives the same result", repeated, first, REPEATED)


if __name__ == "__main__":
    print(json.dumps([*run_checks(*sys.argv[1:])]))
