"""Records of training images, against sets of the images themselves."""

import io
import json

import keras
import numpy as np
import pytest
from PIL import Image

import kerascnn
from kerascnn.data import load, training_images
from kerascnn.data.training_images import (
    find_overlap_with_training,
    read_training_images,
    record_training_images,
    training_images_of,
)
from kerascnn.inputs.class_names import save_model
from kerascnn.inputs.classifier import load_model


def random_images(count, seed):
    return np.random.default_rng(seed).integers(0, 256, (count, 8, 8, 3), np.uint8)


def loaded(images):
    return load((images, np.arange(len(images)) % 2), valid=0, test=0).train


@pytest.fixture
def small_record(monkeypatch):
    """At most 100 hashes are kept."""
    monkeypatch.setattr(training_images, "MOST", 100)


def test_every_training_image_is_recognized():
    images = random_images(60, 0)
    record = record_training_images(loaded(images).hashes)
    mixed = loaded(np.concatenate([images[:25], random_images(15, 1)]))
    overlap = find_overlap_with_training(record, mixed)
    assert (overlap.images, overlap.checked, overlap.trained) == (40, 40, 25)
    assert "net was trained on 25 of the 40 images" in overlap.message("net")
    assert find_overlap_with_training(record, loaded(random_images(15, 1))).message("net") == ""


def test_a_sample_of_many_images_estimates_the_overlap(small_record):
    images = random_images(1000, 0)
    record = record_training_images(loaded(images).hashes)
    assert len(record.hashes) == 100
    overlap = find_overlap_with_training(record, loaded(np.concatenate([images[:500], random_images(500, 1)])))
    assert overlap.images == 1000
    assert 60 <= overlap.checked <= 140  # about a tenth of all
    share = overlap.trained / overlap.checked
    assert abs(share - 0.5) < 4 * np.sqrt(0.25 / overlap.checked)
    assert "about" in overlap.message("net")
    none = find_overlap_with_training(record, loaded(random_images(500, 1)))
    assert none.trained == 0 < none.checked


def test_records_add_up(small_record):
    first, second = random_images(300, 0), random_images(70, 1)
    together = record_training_images(loaded(np.concatenate([first, second])).hashes)
    added = record_training_images(loaded(first).hashes) + record_training_images(loaded(second).hashes)
    assert added.limit == together.limit
    np.testing.assert_array_equal(added.hashes, together.hashes)


def test_a_record_survives_json():
    record = record_training_images(loaded(random_images(20, 0)).hashes)
    read = read_training_images(json.loads(json.dumps(record.to_dict())))
    assert read.limit == record.limit
    np.testing.assert_array_equal(read.hashes, record.hashes)


def test_files_arrays_and_archives_of_the_same_pixels_are_the_same(tmp_path):
    images = random_images(20, 0)
    for i, image in enumerate(images):
        folder = tmp_path / "photos" / "ab"[i % 2]
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(folder / f"{i:02}.png")
    record = record_training_images(loaded(images).hashes)
    folder = load(tmp_path / "photos", valid=0, test=0).train
    resized = load(tmp_path / "photos", size=4, valid=0, test=0).train
    assert sorted(folder.hashes) == sorted(resized.hashes) == sorted(loaded(images).hashes)
    assert find_overlap_with_training(record, folder).trained == 20


def test_images_that_nobody_has_hashed_are_decoded(monkeypatch):
    from kerascnn.inputs.batch import as_batch

    images = random_images(20, 0)
    record = record_training_images(loaded(images[:10]).hashes)
    files = []
    for image in images:
        file = io.BytesIO()
        Image.fromarray(image).save(file, "PNG")
        files.append(file.getvalue())
    overlap = find_overlap_with_training(record, as_batch([*files, b"damaged"]))
    assert (overlap.images, overlap.checked, overlap.trained) == (21, 20, 10)
    monkeypatch.setattr(training_images, "CHECKED", 5)
    assert find_overlap_with_training(record, as_batch(files)).checked == 5
    assert find_overlap_with_training(record, as_batch(images)).trained == 10


def test_a_network_and_its_file_know_their_training_images(tmp_path):
    data = loaded(random_images(40, 0))
    model = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Flatten(), keras.layers.Dense(2)])
    kerascnn.fit(model, (data.items[:30], data.labels[:30]), epochs=1, verbose=0)
    save_model(model, tmp_path / "model.keras")
    reopened = load_model(tmp_path / "model.keras")
    for network in (model, reopened):
        overlap = find_overlap_with_training(training_images_of(network), data)
        assert (overlap.checked, overlap.trained) == (40, 30)
    assert training_images_of(keras.saving.load_model(tmp_path / "model.keras")) is None

    kerascnn.fit(reopened, (data.items[25:35], data.labels[25:35]), epochs=1, verbose=0)  # it was trained on both
    assert find_overlap_with_training(training_images_of(reopened), data).trained == 35
    written = kerascnn.export(reopened, tmp_path / "export", verify=False).folder
    assert find_overlap_with_training(training_images_of(load_model(written / "model.keras")), data).trained == 35


def test_a_part_keeps_its_hashes():
    data = load((random_images(50, 0), np.arange(50) % 2), valid=0.2, test=0.2)
    parts = [*data.train.hashes, *data.valid.hashes, *data.test.hashes]
    assert sorted(parts) == sorted(data.audit.good.hashes)
    assert data.train.take([3, 1]).hashes == (data.train.hashes[3], data.train.hashes[1])
