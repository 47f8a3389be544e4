"""Batches against Pillow and numpy: which pixels, in which order, and what augmentation makes of them."""

from importlib import import_module

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from planted import contents, photo, write

from kerascnn.data import Batch, batches, load
from kerascnn.data.augment import AUGMENTATIONS, area_boxes, random_rows, window_boxes

batching = import_module("kerascnn.data.batches")  # of that name the package has a function too

SHAPES = [(48, 64), (60, 40), (24, 24), (30, 90)]


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Thirteen photos of several sizes in JPEG files, as a Batch."""
    folder = tmp_path_factory.mktemp("photos")
    for i in range(13):
        write(folder / "ab"[i % 2] / f"{i:02}.jpg", contents(photo(i, SHAPES[i % 4]), "JPEG", quality=90))
    return load(folder, valid=0, test=0).train


@pytest.fixture(scope="module")
def arrays():
    x = np.random.default_rng(0).integers(0, 256, (11, 12, 10, 3), dtype=np.uint8)
    return Batch(x, np.arange(11) % 3, ("a", "b", "c"), tuple(map(str, range(11))))


def run(*given, **options):
    """(pixels, labels) of all batches."""
    found = [(x.numpy(), y.numpy()) for x, y in batches(*given, **options)]
    return np.concatenate([x for x, _ in found]), np.concatenate([y for _, y in found])


def covered(path, size, resized):
    """Pillow's own resize to sides worked out by hand, and its crop of the center."""
    image = Image.open(path).resize(resized[::-1], Image.Resampling.BILINEAR)
    top, left = (resized[0] - size[0]) // 2, (resized[1] - size[1]) // 2
    return np.asarray(image.crop((left, top, left + size[1], top + size[0])), np.int16)


@pytest.mark.parametrize(
    ("size", "resized"),
    [((24, 24), [(24, 32), (36, 24), (24, 24), (24, 72)]), ((16, 32), [(24, 32), (48, 32), (32, 32), (16, 48)])],
    ids=["square", "wide"],
)
@pytest.mark.parametrize("budget", [2**30, 0], ids=["kept", "decoded each epoch"])
def test_pixels_agree_with_pillow(files, size, resized, budget, monkeypatch):
    monkeypatch.setattr(batching, "BUDGET", budget)
    found, labels = run(files, size, 4)
    expected = [covered(path, size, resized[int(path.stem) % 4]) for path in files.items]
    assert found.dtype == np.float32
    assert np.abs(found - np.stack(expected)).max() <= 1
    assert labels.tolist() == [int(path.stem) % 2 for path in files.items]


def test_gray_agrees_with_pillow(files):
    found, _ = run(files, 24, 5, channels=1)
    path = files.items[0]
    gray = np.asarray(Image.open(path).convert("L").resize((32, 24), Image.Resampling.BILINEAR))[:, 4:28]
    assert found.shape == (13, 24, 24, 1)
    assert np.abs(found[0, ..., 0] - gray).max() <= 2


@pytest.mark.parametrize("augment", [*AUGMENTATIONS, "own"])
@pytest.mark.parametrize("shuffle", [False, True], ids=["in order", "shuffled"])
def test_batch_size_does_not_change_the_images(files, augment, shuffle):
    if augment == "own":
        augment = lambda x, rows: x + rows[:, 7, None, None, None]  # noqa: E731
    options = {"augment": augment, "shuffle": shuffle, "seed": 3, "epoch": 2}
    expected = run(files, 24, 13, **options)
    for batch in (1, 3, 100):
        found = run(files, 24, batch, **options)
        np.testing.assert_array_equal(found[0], expected[0])
        np.testing.assert_array_equal(found[1], expected[1])


def test_order_depends_on_seed_and_epoch(arrays):
    def order(**options):
        found, _ = run(arrays, None, 4, shuffle=True, **options)
        return [next(i for i in range(11) if (arrays.items[i] == image).all()) for image in found]

    assert sorted(order()) == [*range(11)]
    assert order(seed=1, epoch=5) == order(seed=1, epoch=5)
    assert len({tuple(order(seed=seed, epoch=epoch)) for seed in range(3) for epoch in range(3)}) == 9
    one, other = (run(arrays, None, 4, augment="crop_flip", epoch=epoch)[0] for epoch in (0, 1))
    assert (one != other).any()


def test_augmentation_depends_on_the_image_not_on_the_order(arrays):
    """Shuffled or not, an image of an epoch looks the same."""
    plain, _ = run(arrays, None, 4, augment="crop_flip")
    mixed, _ = run(arrays, None, 4, augment="crop_flip", shuffle=True)
    assert sorted(image.tobytes() for image in plain) == sorted(image.tobytes() for image in mixed)


def moved(image, row, pad, mode):
    """An image padded by numpy and cut at a random place."""
    down, right = (int(row[i] * (2 * pad + 1)) for i in (1, 2))
    padded = np.pad(image, ((pad, pad), (pad, pad), (0, 0)), mode)
    return padded[down : down + image.shape[0], right : right + image.shape[1]]


def mirrored(image, row):
    return image[:, ::-1] if row[0] < 0.5 else image


ORACLES = {
    "none": lambda image, row: image,
    "flip": mirrored,
    "shift": lambda image, row: moved(image, row, 1, "edge"),
    "crop_flip": lambda image, row: moved(mirrored(image, row), row, 4, "constant"),
    "reflect_crop_flip": lambda image, row: moved(mirrored(image, row), row, 4, "reflect"),
}


@pytest.mark.parametrize("name", ORACLES)
def test_augmentations_against_numpy(arrays, name):
    rows = random_rows(11, seed=5, epoch=1)
    assert rows.min() >= 0
    assert rows.max() < 1
    found, _ = run(arrays, None, 4, augment=name, seed=5, epoch=1)
    np.testing.assert_array_equal(found, [ORACLES[name](i, row) for i, row in zip(arrays.items, rows, strict=True)])


@pytest.mark.parametrize("name", ["shift", "crop_flip", "reflect_crop_flip"])
def test_every_crop_position_occurs(name):
    """With 2,000 images each place of the window comes, and half of them are mirrored where any are."""
    image = np.arange(16 * 16 * 3, dtype=np.uint32).reshape(16, 16, 3) % 251
    x = np.broadcast_to(image.astype(np.uint8), (2000, 16, 16, 3))
    found, _ = run(Batch(x, np.zeros(2000, int), ("a",), tuple(map(str, range(2000)))), None, 500, augment=name)
    places = 25 if name == "shift" else 2 * 81
    assert len({image.tobytes() for image in found}) == places


def test_photo_crop_is_a_window_of_the_resized_photo(files):
    """Short side 256/224 of the size, by Pillow; then any window of whole pixels, mirrored or not."""
    size, rows = (28, 28), random_rows(13, 0, 0)  # 28 * 256 / 224 = 32
    found, _ = run(files, size, 4, augment="photo_crop")
    for image, path, row in zip(found, files.items, rows, strict=True):
        photo = Image.open(path)
        scale = 32 / min(photo.size)
        wide, high = (int(side * scale + 1e-6) for side in photo.size)
        edges = (0, 0, wide / scale, high / scale)  # less than a pixel is left over
        whole = np.asarray(photo.resize((wide, high), Image.Resampling.BILINEAR, edges), np.int16)
        top, left = int(row[3] * (high - 28 + 1)), int(row[4] * (wide - 28 + 1))
        expected = whole[top : top + 28, left : left + 28]
        assert np.abs(image - mirrored(expected, row)).max() <= 1


RAMP = np.stack([*np.mgrid[:120, :200].astype(np.uint8), np.zeros((120, 200), np.uint8)], axis=-1)


@pytest.mark.parametrize("name", ["resized_crop", "photo_crop"])
def test_crop_positions_on_a_ramp_image(name):
    """On an image whose colors are the place, each pixel has to show the center of its own part of the box."""
    x = np.broadcast_to(RAMP, (200, 120, 200, 3))
    images = Batch(x, np.zeros(200, int), ("a",), tuple(map(str, range(200))))
    found, _ = run(images, (16, 24), 50, augment=name, seed=2)
    rows = random_rows(200, 2, 0)
    for image, row, box in zip(
        found, rows, (area_boxes if name == "resized_crop" else window_boxes)(rows, 120, 200, (16, 24)), strict=True
    ):
        down = box.top + (np.arange(16) + 0.5) * box.height / 16 - 0.5
        right = box.left + (np.arange(24) + 0.5) * box.width / 24 - 0.5
        image = mirrored(image, row)
        inner = (slice(2, -2), slice(2, -2))
        assert np.abs(image[..., 0] - down[:, None])[inner].max() <= 1.5
        assert np.abs(image[..., 1] - right[None])[inner].max() <= 1.5


@pytest.mark.parametrize("sides", [(480, 640), (640, 480), (100, 1000), (224, 224), (10, 10)], ids=str)
def test_boxes_are_as_published(sides):
    rows = random_rows(4000, 0, 0)
    found = np.array(area_boxes(rows, *sides, (224, 224)))
    tops, lefts, high, wide = found.T
    assert min(tops.min(), lefts.min()) >= 0
    assert (tops + high).max() <= sides[0]
    assert (lefts + wide).max() <= sides[1]
    uncut = (high < sides[0]) & (wide < sides[1])
    area, ratio = (high * wide)[uncut] / np.prod(sides), (wide / high)[uncut]
    assert area.min() >= 0.08 - 1e-9
    assert area.max() <= 1
    assert ratio.min() >= 3 / 4 - 1e-9
    assert ratio.max() <= 4 / 3 + 1e-9
    tops, lefts, high, wide = np.array(window_boxes(rows, *sides, (224, 224))).T
    np.testing.assert_allclose(high, min(sides) * 224 / 256)
    np.testing.assert_allclose(wide, high)
    assert min(tops.min(), lefts.min()) >= 0
    assert (tops + high).max() <= sides[0] + 1e-9
    assert (lefts + wide).max() <= sides[1] + 1e-9
    assert len(np.unique(tops.round(6))) == int(sides[0] * 256 / min(sides) + 1e-6) - 224 + 1


def test_custom_augmentation_gets_floats_and_random_rows(arrays):
    seen = []

    def change(pixels, rows):
        seen.append((pixels.dtype, rows.shape[1]))
        return pixels * rows[:, :1, None, None]

    found, _ = run(arrays, None, 4, augment=change)
    assert seen[0] == (tf.float32, 8)
    np.testing.assert_allclose(found, arrays.items * random_rows(11, 0, 0)[:, :1, None, None], rtol=1e-6)


def test_the_last_batch(arrays):
    kept, dropped = (batches(arrays, None, 4, drop=drop) for drop in (False, True))
    assert [len(y) for _, y in kept] == [4, 4, 3]
    assert [len(y) for _, y in dropped] == [4, 4]
    assert (int(kept.cardinality()), int(dropped.cardinality())) == (3, 2)
    assert kept.element_spec[0].shape.as_list() == [None, 12, 10, 3]
    assert dropped.element_spec[0].shape.as_list() == [4, 12, 10, 3]


def test_files_are_decoded_once(files, monkeypatch):
    fresh, read = files.take(range(13)), []
    one = Batch.decode_image
    monkeypatch.setattr(Batch, "decode_image", lambda self, i, *rest: read.append(i) or one(self, i, *rest))
    for epoch in range(3):
        run(fresh, 24, 4, epoch=epoch, augment="flip")
    assert sorted(read) == [*range(13)]
    run(fresh, 24, 4, augment="resized_crop")
    assert len(read) == 26


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"augment": "crop_flp"}, "Did you mean crop_flip"),
        ({"augment": 3}, "Unknown augmentation 3"),
        ({"batch_size": 0}, "`batch_size` should be an integer of at least 1. Received: 0"),
        ({"size": None}, "`size` should be .* for images in files"),
        ({"size": (1, 2, 3)}, r"`size` should be a number of pixels or \(height, width\)"),
    ],
    ids=str,
)
def test_invalid_arguments(files, options, text):
    with pytest.raises(ValueError, match=text):
        batches(files, **{"size": 24, "batch_size": 4} | options)


def test_deleted_file_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(batching, "BUDGET", 0)
    for i in range(4):
        write(tmp_path / "ab"[i % 2] / f"{i}.jpg", contents(photo(i, SHAPES[i]), "JPEG"))
    images = load(tmp_path, valid=0, test=0).train
    (tmp_path / "b" / "3.jpg").unlink()
    with pytest.raises(tf.errors.OpError, match=r"3\.jpg should be a readable image. Received: a path"):
        run(images, 24, 2)
