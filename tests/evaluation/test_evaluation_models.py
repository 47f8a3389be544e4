"""`evaluate` on arrays, datasets, folders and photos; saved files; published accuracies."""

import csv
import json
import warnings

import keras
import numpy as np
import pandas as pd
import pytest
from keras import layers
from PIL import Image

import kerascnn
from kerascnn import evaluate
from kerascnn.data import Batch, DataError, load, training_images
from kerascnn.inputs import class_names
from kerascnn.inputs.class_names import align_labels
from kerascnn.inputs.decode import ImageError
from kerascnn.support import progress


@pytest.fixture(scope="module")
def color_model():
    """A model whose logits are the mean red, green and blue of an image, divided by 25.5."""
    inputs = keras.Input((8, 8, 3))
    x = layers.GlobalAveragePooling2D()(layers.Rescaling(1 / 25.5)(inputs))
    return keras.Model(inputs, x, name="colors")


def photos(rng, count=20):
    """Noise images and labels; the class is the channel with the strongest noise."""
    y = rng.integers(0, 3, count)
    x = rng.integers(0, 100, (count, 8, 8, 3))
    x[np.arange(count), :, :, y] += 60
    return x.astype(np.uint8), y


def dataset(x, y, classes=("red", "green", "blue")):
    return Batch(x, y.astype(np.int64), classes, tuple(f"p{i}" for i in range(len(y))))


def test_probabilities_are_the_softmax_of_the_model_output(color_model, rng):
    x, y = photos(rng)
    found = evaluate(color_model, x, y, class_names=["red", "green", "blue"])
    scores = x.reshape(20, -1, 3).mean(1) / 25.5
    expected = np.exp(scores) / np.exp(scores).sum(1, keepdims=True)
    assert found.probs == pytest.approx(expected, abs=1e-5)
    assert (found.accuracy, found.model, found.class_names) == (1, "colors", ("red", "green", "blue"))
    assert found.names[:2] == ("image 0", "image 1")


@pytest.mark.parametrize("batch_size", [1, 7])
def test_probabilities_do_not_depend_on_batch_size(color_model, rng, batch_size):
    x, y = photos(rng, 40)
    expected = evaluate(color_model, x, y)
    assert evaluate(color_model, x, y, batch_size=batch_size).probs == pytest.approx(expected.probs, abs=1e-6)


@pytest.mark.parametrize("verbose", ["auto", 2, 0])
def test_progress_is_shown_unless_verbose_is_0(color_model, rng, capsys, monkeypatch, verbose):
    monkeypatch.setattr(progress, "PATIENCE", 0)
    evaluate(color_model, *photos(rng, 40), batch_size=1, verbose=verbose)
    assert ("evaluating 32 of 40" in capsys.readouterr().err) == bool(verbose)


def test_on_progress_is_called_after_each_batch_and_may_stop(color_model, rng, capsys, monkeypatch):
    monkeypatch.setattr(progress, "PATIENCE", 0)
    calls = []
    evaluate(color_model, *photos(rng, 5), batch_size=2, on_progress=lambda *arguments: calls.append(arguments))
    assert calls == [(2, 5, "evaluating"), (4, 5, "evaluating"), (5, 5, "evaluating")]
    assert capsys.readouterr().err == ""

    def stop(done, total, what):
        raise RuntimeError(f"after {done}")

    with pytest.raises(RuntimeError, match="after 2"):
        evaluate(color_model, *photos(rng, 5), batch_size=2, on_progress=stop)


def test_a_dataset_gives_the_same_probabilities_as_its_arrays(color_model, rng):
    x, y = photos(rng)
    given = dataset(x, y)
    found, plain = evaluate(color_model, given, batch_size=1), evaluate(color_model, x, y)
    assert found.probs == pytest.approx(plain.probs, abs=1e-6)
    assert (found.class_names, found.names) == (given.class_names, given.names)


def test_larger_images_of_a_dataset_are_preprocessed_as_in_training(color_model, rng):
    """They are not cropped like the photos of `predict`."""
    x, y = rng.integers(0, 256, (6, 24, 16, 3), np.uint8), rng.integers(0, 3, 6)
    found = evaluate(color_model, dataset(x, y))
    assert found.probs == pytest.approx(evaluate(color_model, dataset(x, y).pixels(8), y).probs, abs=1e-6)


def test_data_is_evaluated_on_its_test_split(color_model, rng):
    x, y = photos(rng, 300)
    data = load((x, y), seed=3)
    found = evaluate(color_model, data)
    assert found.names == data.test.names
    assert found.dataset == "arrays, test split"
    assert "(arrays, test split)" in found.text().splitlines()[0]
    assert evaluate(color_model, data, part="valid").names == data.valid.names
    with pytest.raises(ValueError, match="`part`"):
        evaluate(color_model, load((x, y), test=0))


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        ((), ("all", 12)),
        (("train", "test"), ("test", 12)),
        (("train", "val"), ("valid", 12)),
        (("train", "valid", "test"), ("test", 12)),
    ],
    ids=["no splits", "test", "valid", "all three"],
)
def test_a_folder_is_evaluated_on_its_test_split_or_as_a_whole(color_model, rng, tmp_path, parts, expected):
    for part in parts or ("",):
        for i, name in enumerate(("blue", "green", "red")):
            folder = tmp_path / "photos" / part / name
            folder.mkdir(parents=True)
            for j in range(4):
                pixels = rng.integers(0, 90, (8, 8, 3), np.uint8)
                pixels[..., 2 - i] += 100
                Image.fromarray(pixels).save(folder / f"{j}.png")
    found = evaluate(color_model, tmp_path / "photos", class_names=["red", "green", "blue"])
    part, count = expected
    assert (found.accuracy, len(found)) == (1, count)
    assert found.dataset == ("photos" if part == "all" else f"photos, {part} split")
    assert all(name.startswith(part[:3]) for name in found.names) or part == "all"


def test_a_dataset_by_name_is_evaluated_on_its_test_split():
    model = kerascnn.build_model("lenet5", input_shape=(32, 32, 1))
    found, data = evaluate(model, "digits"), load("digits")
    assert found.names == data.test.names
    assert found.class_names == tuple("0123456789")
    assert found.labels.tolist() == data.test.labels.tolist()


def test_fewer_classes_than_the_model_are_matched_by_name(color_model, rng):
    x, y = photos(rng)
    given = dataset(x, np.where(y == 0, 0, 1), ("blue", "red"))
    found = evaluate(color_model, given, class_names=["red", "green", "blue"])
    assert found.labels.tolist() == np.where(y == 0, 2, 0).tolist()
    with pytest.raises(ValueError, match="`class_names` should be the model's 3 class names"):
        evaluate(color_model, given)


def test_classes_in_another_order_are_matched_by_name(color_model, rng):
    x, y = photos(rng)
    given = dataset(x, 2 - y, ("blue", "green", "red"))
    assert evaluate(color_model, given, class_names=["red", "green", "blue"]).accuracy == 1
    with pytest.raises(ValueError, match="'red'.*[Dd]id you mean read"):
        evaluate(color_model, given, class_names=["read", "green", "blue"])
    with pytest.raises(ValueError, match="`class_names` should have one name for each of the 3"):
        evaluate(color_model, given, class_names=["red", "green"])


def test_class_names_that_are_numbers(color_model, rng):
    """Of fewer classes than the model has, the numbers count; of as many, the order of the names, as in training."""
    x, y = photos(rng)
    assert evaluate(color_model, dataset(x[y != 1], y[y != 1] // 2, ("0", "2"))).accuracy == 1
    assert evaluate(color_model, dataset(x, y, ("5", "6", "7"))).accuracy == 1
    known = tuple(sorted(map(str, range(11))))
    with pytest.warns(UserWarning, match="0, 1, 10"):
        assert align_labels(np.arange(11), known, None, 11, color_model)[0].tolist() == [*range(11)]
    numbers = [*map(str, range(11))]
    assert align_labels(np.arange(11), known, numbers, 11, color_model)[0].tolist() == [0, 1, 10, *range(2, 10)]
    thousand = tuple(sorted(map(str, range(1000))))
    assert align_labels(np.arange(1000), thousand, None, 1000, color_model)[0].tolist() == [*map(int, thousand)]


def test_wordnet_ids_as_class_names(color_model, monkeypatch):
    monkeypatch.setattr(
        class_names, "imagenet_class_names", lambda: {f"n{3 * i:08}": f"thing {i}" for i in range(1000)}
    )
    numbers, names = align_labels([0, 1, 1], ("n00000006", "n00002997"), None, 1000, color_model)
    assert (numbers.tolist(), names[999]) == ([2, 999, 999], "thing 999")
    with pytest.raises(ValueError, match="n00000007"):
        align_labels([0], ("n00000007",), None, 1000, color_model)


def test_labels_and_part_that_do_not_fit_the_images(color_model, rng):
    x, y = photos(rng)
    for arguments, text in (
        ({"images": x, "labels": y, "part": "test"}, "`labels` should be None"),
        ({"images": dataset(x, y), "part": "test"}, "`part` should be None"),
        ({"images": dataset(x, y), "labels": y}, "`labels` should be None"),
        ({"images": "digits", "part": "exam"}, "`part` should be None or one of test"),
        ({"images": "digitz"}, "digits"),
    ):
        with pytest.raises(ValueError, match=text):
            evaluate(color_model, **arguments)


def test_unreadable_files_of_a_folder_are_reported(color_model, rng, tmp_path):
    for i, name in enumerate(("blue", "green", "red")):
        (tmp_path / "set" / name).mkdir(parents=True)
        for j in range(8):
            pixels = rng.integers(0, 90, (8, 8, 3), np.uint8)
            pixels[..., 2 - i] += 100
            Image.fromarray(pixels).save(tmp_path / "set" / name / f"{j}.png")
    (tmp_path / "set" / "red" / "bad.jpg").write_text("hello")
    with pytest.warns(UserWarning, match="excluded 1 of 25 images"):
        found = evaluate(color_model, tmp_path / "set", class_names=["red", "green", "blue"])
    assert (len(found), found.accuracy, found.failed) == (24, 1, {"red/bad.jpg": "no image"})
    for i in range(2):
        (tmp_path / "set" / "red" / f"bad{i}.jpg").write_text("hello")
    with pytest.raises(DataError, match="at most 5%"):
        evaluate(color_model, tmp_path / "set")


def test_unreadable_paths_are_skipped_with_their_labels(color_model, rng, tmp_path):
    x, y = photos(rng, 6)
    paths = [tmp_path / f"{i}.png" for i in range(6)]
    for path, pixels in zip(paths, x, strict=True):
        Image.fromarray(pixels).save(path)
    paths[2].write_text("hello")
    for batch_size in (64, 1):
        found = evaluate(color_model, paths, y, batch_size=batch_size, verbose=0)
        assert found.labels.tolist() == np.delete(y, 2).tolist()
        assert found.accuracy == 1
        assert found.failed == {str(paths[2]): "text"}
    with pytest.raises(ImageError):
        evaluate(color_model, [paths[2]], [0])


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (None, "`labels` should have the class"),
        ([0, 1], "each of the 20 images"),
        ([3] * 20, "0 to 2"),
        (["red"] * 20, "class names are unknown"),
    ],
    ids=["none", "length", "number", "names"],
)
def test_invalid_labels(color_model, rng, labels, message):
    with pytest.raises(ValueError, match=message):
        evaluate(color_model, photos(rng)[0], labels)


def test_saved_files_hold_the_measures(color_model, rng, tmp_path):
    x, y = photos(rng, 60)
    found = evaluate(color_model, x, rng.permutation(y), class_names=["red", "green", "blue"])
    folder = found.save(tmp_path / "all")
    names = {"images", "per_class", "confusions", "confusion", "calibration"}
    assert {path.name for path in folder.iterdir()} == {
        *(f"{name}.csv" for name in names), "evaluation.json", "evaluation.txt", "evaluation.png"
    }  # fmt: skip
    saved = json.loads((folder / "evaluation.json").read_text())
    assert saved["measures"]["accuracy"]["value"] == pytest.approx(found.accuracy)
    assert pd.read_csv(folder / "images.csv")["correct"].mean() == pytest.approx(found.accuracy)
    table = pd.read_csv(folder / "confusion.csv", index_col=0)
    assert np.trace(table.to_numpy()) / 60 == pytest.approx(found.accuracy)
    assert Image.open(folder / "evaluation.png").size[0] > 1000
    assert found.save(tmp_path / "one.csv").read_text() == (folder / "images.csv").read_text()
    with pytest.raises(ValueError, match="`path`"):
        found.save(tmp_path / "one.xlsx")


@pytest.mark.nightly
def test_squeezenet_has_the_accuracy_of_torchvision(squeezenet, shared):
    """500 ImageNet photos: 64.8 % and 84.4 %, as the same weights have in torchvision's own network."""
    folder = shared("data", "imagenet_sample")
    rows = list(csv.DictReader((folder / "labels.csv").open()))
    numbers = [int(row["class_index"]) for row in rows]
    found = evaluate(squeezenet, [folder / row["file"] for row in rows], numbers, class_names=False)
    assert (found.accuracy, found.top(5)) == pytest.approx((0.648, 0.844), abs=0.0021)
    assert found.balanced_accuracy == pytest.approx(found.accuracy)  # one photo a class
    assert found.intervals["accuracy"].low < 0.582 + 0.05  # published on the validation set
    assert found.calibration.ece < 0.1


def test_images_that_the_network_was_trained_on_are_warned_of(monkeypatch, color_model, rng):
    x, y = photos(rng, 40)
    training = load((x[:30], y[:30]), valid=0, test=0).train
    record = training_images.record_training_images(training.hashes)
    monkeypatch.setattr(training_images, "training_images_of", lambda model: record)
    with pytest.warns(UserWarning, match="colors was trained on 20 of the 30 images"):
        evaluate(color_model, x[10:], y[10:], verbose=0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        evaluate(color_model, x[30:], y[30:], verbose=0)
        evaluate(color_model, load((x[:30], y[:30])), part="train", verbose=0)


def test_the_shipped_network_knows_its_training_images(shared):
    data = load(shared("data", "cifar10_train.zip"), limit=200, valid=0, test=0)
    with pytest.warns(UserWarning, match="resnet20_cifar10 was trained on about 100% of the 200 images"):
        evaluate(kerascnn.build_model("resnet20", weights="cifar10"), data.train, verbose=0)
    unseen = load(shared("data", "cifar10_test_a.zip"), limit=200, valid=0, test=0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        evaluate(kerascnn.build_model("resnet20", weights="cifar10"), unseen.train, verbose=0)
