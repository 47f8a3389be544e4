"""Names of classes: published ones, and those that stay with a network that was trained on them."""

import csv
import json
import subprocess
import sys

import keras
import numpy as np
import pytest
from keras import layers

import kerascnn
from kerascnn.graph.copy import rebuild_model
from kerascnn.inputs.class_names import (
    align_labels,
    imagenet_class_names,
    published_class_names,
    read_class_names,
    resolve_class_names,
    save_model,
    store_class_names,
    stored_class_names,
)
from kerascnn.inputs.classifier import class_numbers, load_model

PETS = ("cat", "dog", "Großer Hund")


def ours():
    return kerascnn.build_model("lenet1", classes=3)


def foreign(name="foreign"):
    inputs = keras.Input((8, 8, 3))
    x = layers.GlobalAveragePooling2D()(layers.Conv2D(4, 3, name="conv")(inputs))
    return keras.Model(inputs, layers.Dense(3, activation="softmax")(x), name=name)


def test_cifar():
    assert published_class_names(10)[3] == "cat"
    assert published_class_names(7) is None


def test_imagenet_has_a_thousand_different_names_in_wordnets_order():
    names, wnids = published_class_names(1000), [*imagenet_class_names()]
    assert len({name.casefold() for name in names}) == len(names) == 1000
    assert wnids == sorted({*wnids})
    assert (names[1], wnids[1]) == ("goldfish", "n01443537")
    assert (names[134], names[517]) == ("crane (bird)", "crane (machine)")
    assert {names[638], names[639]} == {"maillot", "tank suit"}


def test_imagenets_names_are_wordnets_words(shared):
    """Every number, WordNet id and name is WordNet's; only the two cranes say more."""
    table = imagenet_class_names()
    with open(shared("reference", "imagenet_classes.csv"), encoding="utf-8") as file:
        rows = [*csv.DictReader(file)]
    assert [row["wnid"] for row in rows] == [*table]
    for row, name in zip(rows, table.values(), strict=True):
        assert name.split(" (")[0] in row["wordnet_lemmas"].split(", ")


def test_a_near_name_is_suggested():
    model = keras.Sequential([keras.Input((4, 4, 3)), layers.Flatten(), layers.Dense(1000)])
    assert class_numbers("goldfish", 1000, model=model) == [1]
    with pytest.raises(ValueError, match="Did you mean goldfish"):
        class_numbers("goldfsh", 1000, model=model)


def test_the_softmax_of_a_network_of_the_zoo_holds_its_names(tmp_path):
    model = ours()
    assert stored_class_names(model) is None
    store_class_names(model, PETS)
    model.save(tmp_path / "net.keras")  # by Keras alone
    for copy in (model, rebuild_model(model), keras.saving.load_model(tmp_path / "net.keras")):
        assert resolve_class_names(None, 3, copy) == PETS
        assert stored_class_names(keras.Sequential([keras.Input((28, 28, 1)), copy])) == PETS
    assert stored_class_names(kerascnn.rehead(model, 3)) is None
    assert resolve_class_names(["a", "b", "c"], 3, model) == ("a", "b", "c")
    assert resolve_class_names(False, 3, model) is None


@pytest.mark.parametrize("build", [ours, foreign])
def test_a_file_holds_names_for_any_model(build, tmp_path):
    model, path = build(), tmp_path / "net.keras"
    save_model(model, path, PETS)
    assert stored_class_names(model) is None  # the user's model is as before
    assert read_class_names(path) == PETS
    again = load_model(path)
    assert resolve_class_names(None, 3, again) == PETS
    save_model(again, tmp_path / "again.keras")
    assert read_class_names(tmp_path / "again.keras") == PETS
    np.testing.assert_array_equal(model.get_weights()[0], again.get_weights()[0])


def test_a_file_with_names_opens_without_kerascnn(tmp_path):
    path = tmp_path / "net.keras"
    save_model(foreign(), path, PETS)
    code = "import sys, keras; print(keras.saving.load_model(sys.argv[1]).name, 'kerascnn' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["foreign", "False"]


def test_labels_beside_a_network_are_its_names(tmp_path):
    """Folders that were written before names were in the file."""
    path = tmp_path / "model.keras"
    foreign().save(path)
    assert read_class_names(path) is None
    (tmp_path / "labels.json").write_text(json.dumps(PETS))
    assert read_class_names(path) == PETS
    assert stored_class_names(load_model(path)) == PETS
    (tmp_path / "labels.json").write_text("{}")
    assert stored_class_names(load_model(path)) is None


def test_numbers_are_not_stored_as_names():
    model = ours()
    store_class_names(model, ("0", "1", "2"))
    assert stored_class_names(model) is None
    store_class_names(model, ("0", "10", "2"))  # the order of their letters says something
    assert stored_class_names(model) == ("0", "10", "2")


def test_fit_leaves_names_in_the_network(rng):
    pixels = rng.integers(0, 256, (12, 28, 28, 1), dtype=np.uint8)
    images = kerascnn.inputs.batch.Batch(pixels, np.arange(12) % 3, PETS, tuple(map(str, range(12))))
    model = ours()
    data = kerascnn.data.dataset.Data(name="pets", train=images, valid=images, test=None)
    kerascnn.fit(model, data, "adam", epochs=1, verbose=0)
    assert kerascnn.predict(model, pixels[:1]).class_names == PETS


def test_labels_find_the_stored_names():
    model = foreign()
    store_class_names(model, PETS)
    numbers, names = align_labels([0, 1], ("Großer Hund", "cat"), None, 3, model)
    assert (numbers.tolist(), names) == ([2, 0], PETS)
    with pytest.raises(ValueError, match="'cats'. Did you mean cat"):  # not by their order, which may be another
        align_labels([0, 1, 2], ("cats", "dog", "Großer Hund"), None, 3, model)
