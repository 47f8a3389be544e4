"""`kerascnn evaluate`: labeled photos in folders and tables, comparisons, and errors."""

import json
import shutil

import keras
import numpy as np
import pytest
from keras import layers
from PIL import Image

from kerascnn.data import load

COLORS = ("red", "green", "blue")


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Files of a model whose scores are a photo's mean blue, green and red, and of one that finds all photos green."""
    folder = tmp_path_factory.mktemp("models")
    inputs = keras.Input((16, 16, 3))
    x = layers.GlobalAveragePooling2D(name="mean")(layers.Rescaling(1 / 255, name="scaled")(inputs))
    for name, kernel, bias in (("colors", np.eye(3)[::-1], [0, 0, 0]), ("green", np.zeros((3, 3)), [0, 1, 0])):
        dense = layers.Dense(3, activation="softmax")
        keras.Model(inputs, dense(x), name=name).save(folder / f"{name}.keras")
        model = keras.models.load_model(folder / f"{name}.keras")
        model.layers[-1].set_weights([kernel, np.array(bias)])
        model.save(folder / f"{name}.keras")
    return folder


@pytest.fixture
def photos(tmp_path):
    """Four photos of each color in a folder of its own; one blue photo lies with the red ones."""
    for number, color in enumerate(COLORS):
        folder = tmp_path / "photos" / color
        folder.mkdir(parents=True)
        for i in range(4):
            shown = 2 if (color, i) == ("red", 3) else number
            pixels = np.full((20, 20, 3), 20, np.uint8)
            pixels[..., shown] = 200
            Image.fromarray(pixels).save(folder / f"{i}.png")
    return tmp_path / "photos"


def test_a_folder_of_classes(run, models, photos):
    """Classes by their names' order: blue, green, red, as the model has them."""
    outcome = run("evaluate", models / "colors.keras", photos)
    assert outcome.exit_code == 0, outcome.output
    assert outcome.stdout.startswith("12 images of 3 classes, model colors (photos)\n")
    assert "accuracy           91.7 % (64.6 to 98.5)" in outcome.stdout
    assert " 1 of 4    red -> blue" in outcome.stdout


def test_numbers(document, models, photos):
    found = document("evaluate", models / "colors.keras", photos)["result"]
    assert found["measures"]["accuracy"]["value"] == pytest.approx(11 / 12, abs=1e-6)
    assert [row["class"] for row in found["per_class"]][-1] == "red"
    assert found["confused"] == [
        {"class": "red", "predicted": "blue", "count": 1, "share": 0.25, "class_number": 2, "predicted_number": 0}
    ]


@pytest.mark.parametrize("title", ["file,label", "file,size,label"], ids=str)
def test_a_table_of_files(document, models, photos, title):
    place = title.split(",").index("label")
    rows = []
    for number, color in enumerate(sorted(COLORS)):
        for i in range(4):
            row = [f"{color}/{i}.png", "7", "7"][: len(title.split(","))]
            row[place] = str(number)
            rows.append(",".join(row))
    (photos / "labels.csv").write_text("\n".join([title, *rows]))
    found = document("evaluate", models / "colors.keras", photos / "labels.csv")["result"]
    assert found["measures"]["accuracy"]["value"] == pytest.approx(11 / 12, abs=1e-6)


def test_a_zip_is_its_folder(document, models, photos):
    shutil.make_archive(str(photos), "zip", photos)
    found = document("evaluate", models / "colors.keras", photos.with_suffix(".zip"))["result"]
    assert found["data"] == "photos.zip"
    assert found["measures"]["accuracy"]["value"] == pytest.approx(11 / 12, abs=1e-6)


def test_splits(document, fails, models, photos):
    """Nobody divided the photos: then all count, or what training would lock away."""
    for part in ("train", "test"):
        found = document("evaluate", models / "colors.keras", photos, "--part", part)["result"]
        assert found["data"] == f"photos, {part} split"
        assert found["images"] == len(getattr(load(photos), part))
    for color in COLORS:
        for part in ("train", "valid"):
            (photos / part / color).mkdir(parents=True, exist_ok=True)
            shutil.copy(photos / color / "0.png", photos / part / color / f"{part}.png")
        shutil.rmtree(photos / color)
    assert document("evaluate", models / "colors.keras", photos)["result"]["data"] == "photos, valid split"


def test_classes_by_name(document, models, photos):
    """Without the green photos the others find their classes by what the model's are called."""
    shutil.rmtree(photos / "green")
    (photos.parent / "names.txt").write_text("blue\ngreen\nred\n")
    for names in ("blue,green,red", photos.parent / "names.txt"):
        found = document("evaluate", models / "colors.keras", photos, "--class-names", names)["result"]
        assert found["measures"]["accuracy"]["value"] == pytest.approx(7 / 8)


def test_against_another_and_against_people(document, run, models, photos, tmp_path):
    answers = tmp_path / "answers.csv"
    answers.write_text("image,answer\n" + "".join(f"{c}/3.png,blue\n" for c in COLORS))
    words = ["evaluate", models / "colors.keras", photos, "--against", models / "green.keras", "--human", answers]
    found = document(*words)["result"]
    assert found["against"]["table"] == [[4, 7], [0, 1]]
    assert found["against"]["p"] == pytest.approx(2 / 2**7, rel=1e-5)
    assert found["people"]["table"] == [[1, 0], [1, 1]]
    text = run(*words, "--save", tmp_path / "found").stdout
    assert "correct only in colors: 7, only in green: 0" in text
    assert "people" in text
    shutil.copy(models / "colors.keras", tmp_path / "copy.keras")
    same = document(*words[:4], tmp_path / "copy.keras")["result"]["against"]
    assert (same["called"], same["p"]) == (["colors.keras", "copy.keras"], 1)
    names = {path.name for path in (tmp_path / "found").iterdir()}
    assert names >= {"against.csv", "against.png", "people.csv", "people.png", "evaluation.json"}


def test_without_a_layer(document, fails, models, photos):
    """A rescaling by 1/255 that is missing only makes the model surer."""
    found = document("evaluate", models / "colors.keras", photos, "--without", "scaled")["result"]["without"]
    assert found["intact"]["accuracy"] == pytest.approx(11 / 12, abs=1e-6)
    assert [(row["part"], row["drop"]) for row in found["parts"]] == [("scaled", 0)]
    assert "changes the shape" in fails("evaluate", models / "colors.keras", photos, "--without", "mean", code=2)
    assert "Unknown layer" in fails("evaluate", models / "colors.keras", photos, "--without", "stage1", code=2)


def test_save(run, fails, models, photos, tmp_path):
    words = ["evaluate", models / "colors.keras", photos, "--save", tmp_path / "found"]
    assert run(*words).exit_code == 0
    stated = json.loads((tmp_path / "found" / "evaluation.json").read_text())
    assert stated["images"] == 12
    assert "already exists" in fails(*words, code=2)
    assert run(*words, "--force").exit_code == 0


def test_an_unreadable_image_is_skipped(document, fails, models, photos):
    for color in COLORS:
        for i in range(4):
            shutil.copy(photos / color / f"{i}.png", photos / color / f"{i} again.png")
    (photos / "green" / "bad.jpg").write_text("hello")
    found = document("evaluate", models / "colors.keras", photos, code=5)
    assert found["result"]["images"] == 24
    assert found["result"]["failed"] == {"green/bad.jpg": "no image"}
    assert found["warnings"][0] == "green/bad.jpg skipped: no image"
    (photos / "green" / "worse.jpg").write_text("hello")
    assert "at most 5% bad images" in fails("evaluate", models / "colors.keras", photos, code=4)


WRONG = {
    "no data": (["./nowhere"], "file or folder not found: ./nowhere"),
    "no name": (["digitz"], "Did you mean digits"),
    "no classes": (["photos/red"], "images in one subfolder per class"),
    "no columns": (["list.csv"], "the columns file, label"),
    "class": (["classes.csv"], "`class_names` should be the model's 3 class names in output order"),
    "too many": (["many.csv"], "`class_names` should be the model's 3 class names in output order"),
    "number": (["numbers.csv"], "1 class, such as '3'"),
    "names": (["photos", "--class-names", "bleu,green,red"], "Did you mean bleu"),
    "names' count": (
        ["photos", "--class-names", "red"],
        "`class_names` should have one name for each of the 3 classes of the model",
    ),
    "people": (["photos", "--human", "list.csv"], "columns image, answer"),
    "person": (["photos", "--human", "answers.csv"], "such as 'blue/0.png'. Received: 'violet.png'"),
    "no people": (["photos", "--human", "none.csv"], "file not found: none.csv"),
    "no test part": (["three.csv", "--part", "test"], "`part` should be a split of"),
    "another size": (["photos", "--against", "four.keras"], "cannot evaluate four on these images"),
}
TABLES = {
    "list": "photos\nred/0.png",
    "classes": "file,label\nphotos/red/0.png,mauve",
    "many": "file,label\n" + "\n".join(f"photos/red/{i}.png,mauve{i}" for i in range(4)),
    "numbers": "file,label\nphotos/red/0.png,3",
    "answers": "image,answer\nviolet.png,red",
    "three": "file,label\n" + "\n".join(f"photos/{color}/0.png,{color}" for color in COLORS),
}


@pytest.mark.parametrize("case", WRONG)
def test_bad_data(fails, models, photos, monkeypatch, case):
    monkeypatch.chdir(photos.parent)
    for name, text in TABLES.items():
        (photos.parent / f"{name}.csv").write_text(text)
    keras.Sequential([keras.Input((8, 8, 3)), layers.Flatten(), layers.Dense(4)], name="four").save("four.keras")
    words, text = WRONG[case]
    assert text in fails("evaluate", models / "colors.keras", *words, code=4)


def test_images_that_the_network_was_trained_on_are_warned_of(run, models, photos, monkeypatch):
    from kerascnn.data import load, training_images

    record = training_images.record_training_images(load(photos, valid=0, test=0, remember=False).train.hashes[:2])
    monkeypatch.setattr(training_images, "training_images_of", lambda model: record)
    assert (
        "colors was trained on 5 of the 12 images" in run("evaluate", models / "colors.keras", photos).stderr
    )  # all blue
