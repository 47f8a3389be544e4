"""SqueezeNet with its real weights on real photos: what others measured with other code."""

import csv

import numpy as np
import pytest
from oracles.squeezenet import logits
from PIL import Image

from kerascnn import build_model, features
from kerascnn.weights import read_weights

MEASURED = {  # file, network, crop -> top-1, top-5 in % of the 500 photos, with torchvision's modules
    ("squeezenet1_1_torchvision", "squeezenet1_1", 224): (64.8, 84.4),
    ("squeezenet1_1_torchvision", "squeezenet1_1", 227): (63.0, 84.0),
    ("squeezenet1_0_caffe", "squeezenet1_0_caffe", 224): (60.6, 81.4),
    ("squeezenet1_0_caffe", "squeezenet1_0_caffe", 227): (61.8, 81.6),
}


@pytest.fixture(scope="module")
def photos(shared):
    """(N, 256, 256, 3) pixels and their classes."""
    folder = shared("data", "imagenet_sample")
    with open(folder / "labels.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    pixels = [np.asarray(Image.open(folder / row["file"]).convert("RGB")) for row in rows]
    return np.stack(pixels), np.array([int(row["class_index"]) for row in rows])


def cropped(pixels, side):
    start = round((256 - side) / 2)
    return pixels[:, start : start + side, start : start + side]


@pytest.mark.nightly
@pytest.mark.parametrize("case", [("squeezenet1_0_caffe", "squeezenet1_0_caffe", 227)], ids=lambda case: case[1])
def test_accuracy(case, photos, shared):  # that of squeezenet1_1 is found with the tests of evaluation
    file, network, side = case
    model = build_model(network, input_shape=(side, side, 3), weights=shared("weights", f"{file}.safetensors"))
    pixels, classes = photos
    best = np.argsort(-model.predict(cropped(pixels, side), batch_size=50, verbose=0), 1)[:, :5]
    found = 100 * np.mean(best[:, 0] == classes), 100 * np.mean((best == classes[:, None]).any(1))
    np.testing.assert_allclose(found, MEASURED[case], atol=0.4)  # one photo is 0.2


SCALED = {
    "squeezenet1_1": lambda x: (x / 255 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225],
    "squeezenet1_0_caffe": lambda x: x[..., ::-1] - [104.0, 117.0, 123.0],
}


@pytest.mark.parametrize(("file", "network", "side"), MEASURED, ids=lambda value: str(value))
def test_logits(file, network, side, photos, shared):
    """Against the table of the paper, written down in numpy."""
    path = shared("weights", f"{file}.safetensors")
    images = cropped(photos[0][[0, 250]], side).astype("f4")
    model = features(build_model(network, input_shape=(side, side, 3), weights=path), "logits")
    caffe = network.endswith("caffe")
    tensors = {name: array.astype("f4") for name, array in read_weights(path).items()}
    expected = logits(tensors, SCALED[network](images), "1.0" if caffe else "1.1", margin=int(caffe))
    np.testing.assert_allclose(model(images), expected, rtol=1e-4, atol=1e-4)
