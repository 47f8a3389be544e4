"""`kerascnn predict`: text, JSON, CSV, and errors."""

import csv
import json

import keras
import numpy as np
import pytest
from keras import layers
from PIL import Image

import kerascnn
from kerascnn.inputs.class_names import published_class_names
from kerascnn.zoo import build, registry
from kerascnn.zoo.registry import WeightsSource

SOURCE = WeightsSource(
    "squeezenet1_1",
    "torchvision/v1",
    "https://download.pytorch.org/net.pth",
    "",
    "",
    "bsd-3-clause",
    None,
    None,
    "torch",
    256,
    224,
    "bilinear",
)


@pytest.fixture
def published(monkeypatch):
    """As if torchvision published weights of squeezenet1_1; what is built is recorded, and small."""
    monkeypatch.setattr(registry, "weights_sources", lambda: {"squeezenet1_1": (SOURCE,)})
    asked = []

    def build_model(name, *, weights=None, **options):
        asked.append((name, weights))
        model = original(name, input_shape=(32, 32, 3))
        model.get_layer("scale").source = "torchvision/v1" if weights == "imagenet" else ""
        return model

    original = build.build_model
    monkeypatch.setattr(build, "build_model", build_model)
    return asked


@pytest.fixture
def photos(tmp_path):
    """A folder with a red and a blue photo, and a file that is called one."""
    folder = tmp_path / "photos"
    folder.mkdir()
    Image.new("RGB", (20, 30), "red").save(folder / "a.png")
    Image.new("RGB", (30, 20), "blue").save(folder / "b.png")
    (folder / "notes.txt").write_text("not asked for")
    return folder


LIKELY = np.e / (np.e + 2)  # softmax of (1, 0, 0)


def test_text(run, model, photos):
    outcome = run("predict", model, photos, "--top", 2)
    assert outcome.exit_code == 0, outcome.stderr
    found = outcome.stdout.splitlines()
    assert found[0] == str(photos / "a.png")
    assert found[1].split() == ["1", "57.6", "%", "█" * 12, "class", "0"]
    assert found[2].split() == ["2", "21.2", "%", "█" * 4, "class", "1"]
    assert found[3:5] == ["", str(photos / "b.png")]
    assert len(found) == 7
    assert outcome.stderr == ""


def test_json(document, model, photos):
    found = document("predict", model, photos / "b.png", photos / "a.png")
    assert found["warnings"] == []
    found = found["result"]
    assert found["model"] == "colors"
    assert found["weights"] is found["saved"] is None
    assert [image["image"] for image in found["images"]] == [str(photos / "b.png"), str(photos / "a.png")]
    assert [len(image["top"]) for image in found["images"]] == [3, 3]
    first = found["images"][0]["top"][0]
    assert first == {"class": 2, "label": None, "probability": pytest.approx(LIKELY, rel=1e-5)}
    assert found["failed"] == {}


def test_save(run, fails, model, photos, tmp_path):
    path = tmp_path / "answers.csv"
    assert run("predict", model, photos, "--save", path).exit_code == 0
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["image", "rank", "class", "label", "probability"]
    assert [row["class"] for row in rows if row["rank"] == "1"] == ["0", "2"]
    assert "already exists" in fails("predict", model, photos, "--save", path, code=2)
    assert run("predict", model, photos / "a.png", "--save", path, "--force").exit_code == 0
    assert len(path.read_text().splitlines()) == 1 + 3
    assert "should end in .csv" in fails("predict", model, photos, "--save", "answers.txt", code=2)
    assert "cannot write" in fails("predict", model, photos, "--save", tmp_path / "no" / "a.csv", code=2)


def test_unreadable_images_are_skipped(run, document, model, photos):
    (photos / "c.jpg").write_text("<html>")
    outcome = run("predict", model, photos)
    assert outcome.exit_code == 5
    assert outcome.stderr == f"{photos / 'c.jpg'} skipped: an HTML page that a server returned instead of the file\n"
    found = document("predict", model, photos, photos / "none.png", code=5)
    assert list(found["result"]["failed"]) == [str(photos / "c.jpg"), str(photos / "none.png")]
    assert len(found["result"]["images"]) == len(found["warnings"]) == 2
    assert run("predict", model, photos, "-q").stderr == ""


def test_only_bad_images(fails, model, tmp_path):
    (tmp_path / "c.jpg").write_text("<html>")
    (tmp_path / "empty").mkdir()
    assert "c.jpg should be a readable image. Received: an HTML page" in fails(
        "predict", model, tmp_path / "c.jpg", code=4
    )
    assert "image not found: none.jpg" in fails("predict", model, "none.jpg", code=4)
    assert "2 unreadable images" in fails("predict", model, tmp_path / "c.jpg", "none.jpg", code=4)
    assert "a folder without readable images" in fails("predict", model, tmp_path / "empty", code=4)


def test_a_network_of_the_zoo(document, published, photos):
    found = document("predict", "SqueezeNet1_1", photos)
    assert published == [("squeezenet1_1", "imagenet")]
    assert found["result"]["weights"] == "torchvision/v1"
    assert found["result"]["model"] == "squeezenet1_1"
    assert [len(image["top"]) for image in found["result"]["images"]] == [5, 5]
    assert found["warnings"] == []
    named = {guess["class"]: guess["label"] for image in found["result"]["images"] for guess in image["top"]}
    assert all(name == published_class_names(1000)[number] for number, name in named.items())


def test_a_network_end_to_end(document, photos, tmp_path):
    """SqueezeNet at its own size: by its name with a file of weights, and as a model file; the same answers."""
    network = kerascnn.build_model("squeezenet1_1")
    network.save_weights(tmp_path / "mine.weights.h5")
    network.save(tmp_path / "mine.keras")
    by_name = document("predict", "squeezenet1_1", photos, "--weights", tmp_path / "mine.weights.h5")["result"]
    by_file = document("predict", tmp_path / "mine.keras", photos)["result"]
    assert by_name["weights"] == str(tmp_path / "mine.weights.h5")
    assert by_name["images"] == by_file["images"]
    best = kerascnn.predict(network, photos).top(1)
    assert [image["top"][0]["class"] for image in by_file["images"]] == [guesses[0].class_number for guesses in best]


@pytest.mark.parametrize(
    ("words", "code", "texts"),
    [
        ("lenet5 a.png", 2, ["no published weights for lenet5", "squeezenet1_1"]),
        ("squeezenet1_1 a.png --weights timm", 2, ["no weights for squeezenet1_1 from timm", "torchvision"]),
        ("squeezenet1_1 a.png --weights none.h5", 4, ["weights file not found: none.h5"]),
        ("squeezenet1_2 a.png", 2, ["Did you mean squeezenet1_1"]),
        ("mine.keras a.png", 4, ["file not found: mine.keras"]),
        ("squeezenet1_1", 2, ["Missing argument"]),
        ("squeezenet1_1 a.png --top 0", 2, ["--top"]),
    ],
)
def test_errors_of_arguments(fails, published, words, code, texts):
    said = fails("predict", *words.split(), code=code)
    assert all(text in said for text in texts), said
    assert published == []


def test_weights_of_a_model_file(fails, model, photos):
    assert "needs the name of a network" in fails("predict", model, photos, "--weights", "imagenet", code=2)


@pytest.mark.parametrize(("error", "code"), [(OSError("no connection"), 1), (ValueError("other shapes"), 4)])
def test_failed_download(fails, published, photos, monkeypatch, error, code):
    def build_model(name, **options):
        raise error

    monkeypatch.setattr(build, "build_model", build_model)
    assert str(error) in fails("predict", "squeezenet1_1", photos, code=code)


def test_a_model_that_is_not_a_classifier(fails, photos, tmp_path):
    keras.Sequential([keras.Input((8, 8, 3)), layers.Conv2D(2, 3)], name="maps").save(tmp_path / "maps.keras")
    said = fails("predict", tmp_path / "maps.keras", photos, code=4)
    assert "cannot classify with maps: `model` should return scores" in said


def test_a_narrow_terminal(run, model, photos, monkeypatch):
    monkeypatch.setenv("COLUMNS", "30")
    found = run("predict", model, photos / "a.png").stdout.splitlines()
    assert max(map(len, found[1:])) <= 30


def test_schema_is_plain_json(run, model, photos):
    assert json.loads(run("predict", model, photos, "--json").stdout)["schema"] == "kerascnn.predict/1"
