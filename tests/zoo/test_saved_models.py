"""What kerascnn trained itself: the files are whole, small, and as accurate as their cards say."""

import hashlib
import json
import zipfile
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from networks import ALL, card
from PIL import Image

import kerascnn_saved_models
from kerascnn import build_model, evaluate, load_weights, predict
from kerascnn.inputs import class_names
from kerascnn.zoo.registry import weights_sources

FOLDER = Path(kerascnn_saved_models.__file__).parent
SHIPPED = [source for name in ALL for source in card(name).weights if source.is_shipped]
ids = [source.network for source in SHIPPED]
MIB = 2**20


def folder(source):
    return (FOLDER / source.file).parent


@pytest.fixture(params=SHIPPED, ids=ids)
def source(request):
    return request.param


@pytest.fixture
def pixels(source, rng):
    return rng.integers(0, 256, (4, *card(source.network).input_shape)).astype("float32")


def test_each_folder_belongs_to_a_card():
    assert {folder(source) for source in SHIPPED} == {
        path.parent for path in FOLDER.glob("*/*") if path.suffix == ".keras"
    }


def test_file_has_the_recorded_hash(source):
    found = hashlib.sha256((FOLDER / source.file).read_bytes()).hexdigest()
    assert source.hash == f"sha256:{found}"


def test_saved_models_are_small(source):
    assert sum(path.stat().st_size for path in folder(source).rglob("*")) <= 4 * MIB


def test_card_has_data_recipe_seed_and_accuracy(source):
    told = json.loads((folder(source) / "card.json").read_text())
    assert {"data", "recipe", "seed", "accuracy", "reproduce"} <= set(told)
    low, high = told["accuracy"]["interval"]
    assert low < told["accuracy"]["top1"] < high
    assert source.top1 == pytest.approx(100 * told["accuracy"]["top1"], abs=0.005)


def test_weights_file_and_savedmodel_agree(source, pixels):
    """Each by itself: our drawing filled with the weights, Keras' own file, TensorFlow's graph."""
    model = build_model(source.network, weights=source.name)
    asked = np.array(model(pixels))
    saved = keras.saving.load_model(FOLDER / source.file)
    np.testing.assert_allclose(np.array(saved(pixels)), asked, atol=1e-6)
    serve = tf.saved_model.load(folder(source) / "saved_model" / "1").signatures["images"]
    (name,) = serve.structured_input_signature[1]
    np.testing.assert_allclose(np.array(serve(**{name: tf.constant(pixels)})["probabilities"]), asked, atol=1e-5)


def test_other_classes_keep_the_backbone(source):
    with pytest.warns(UserWarning, match="initial weights"):
        model = build_model(source.network, weights=source.name, classes=3)
    whole = build_model(source.network, weights=source.name)
    np.testing.assert_array_equal(model.get_layer("stem_conv").kernel, whole.get_layer("stem_conv").kernel)


@pytest.mark.parametrize("asked", ["cifar10", "kerascnn", "kerascnn/cifar10"])
def test_spellings_of_weights_names(asked):
    model = build_model("resnet20", weights=asked)
    assert load_weights(build_model("resnet20"), asked).source == model.get_layer("scale").source == "kerascnn/cifar10"


def test_imagenet_weights_are_not_available():
    with pytest.raises(ValueError, match="weights for resnet20_cifar10 'imagenet'.*kerascnn/cifar10"):
        build_model("resnet20", weights="imagenet")


def test_predict_returns_a_class_name(shared):
    with zipfile.ZipFile(shared("data", "cifar10_test_a.zip")) as archive:
        names = [name for name in archive.namelist() if name.endswith(".jpg")][::100]
        photos = [np.array(Image.open(archive.open(name))) for name in names]
    found = predict(build_model("resnet20", weights="cifar10"), np.stack(photos))
    assert found.class_names == class_names.CIFAR10
    right = [guess.class_name == name.split("/")[-2] for (guess,), name in zip(found.top(1), names, strict=True)]
    assert np.mean(right) > 0.7


@pytest.mark.nightly
def test_accuracy_agrees_with_the_card(shared):
    (source,) = weights_sources()["resnet20_cifar10"]
    found = evaluate(build_model("resnet20", weights="cifar10"), shared("data", "cifar10_test_a.zip"))
    assert 100 * found.accuracy == pytest.approx(source.top1, abs=0.05)
