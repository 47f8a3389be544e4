"""The .keras file of an export, loaded by Keras and kerascnn as anybody would; prints its checks as JSON."""

import json
import sys

import keras

from ..evaluation.predict import predict
from .standalone import REPEATED, alike, check, near, read_expected

FILE = "model.keras"


def checks(folder, samples):
    expected = read_expected(samples)
    try:
        model = keras.saving.load_model(f"{folder}/{FILE}", compile=False)
    except Exception as error:  # a custom layer that is not registered fails in many ways
        text = next(iter(str(error).splitlines()), "no reason given")
        yield check(FILE, "loads in a fresh process", text, False)
        return
    paths = [f"{samples}/{name}" for name in expected["files"]]
    size = expected["pixels"].shape[1:3]
    first, again = (predict(model, paths, size=size, labels=False).probs for _ in range(2))
    yield from alike(FILE, "photos", first, expected["probs"], float(expected["limit"]))
    yield near(FILE, "photos: the same answer twice", again, first, REPEATED)


if __name__ == "__main__":
    print(json.dumps([*checks(*sys.argv[1:])]))
