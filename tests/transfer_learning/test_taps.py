"""Features of all stages in one pass, and the cache that keeps them."""

import os
import signal
import subprocess
import sys
import time

import keras
import numpy as np
import pytest
from networks import known
from PIL import Image

from kerascnn import build_model, features
from kerascnn.data import load
from kerascnn.evaluation import wilson
from kerascnn.transfer_learning import taps
from kerascnn.transfer_learning.store import as_float16_if_lossless
from kerascnn.transfer_learning.taps import PooledFeatures


@pytest.fixture(scope="module")
def model():
    return known()


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(1).integers(0, 256, (10, 32, 32, 3), dtype=np.uint8)


@pytest.fixture
def passes(monkeypatch):
    """How many images went through each batch of a network."""
    seen, ask = [], PooledFeatures.predict_on_batch

    def counted(self, batch):
        seen.append(len(batch))
        return ask(self, batch)

    monkeypatch.setattr(PooledFeatures, "predict_on_batch", counted)
    return seen


def same(one, other, **how):
    assert one.stages == other.stages
    for stage in one.stages:
        np.testing.assert_allclose(one.features[stage], other.features[stage], err_msg=stage, **how)


def foreign():
    """A network without our names, with another one in it."""
    inputs = keras.Input((16, 16, 3))
    inner = keras.Sequential(
        [keras.Input((16, 16, 3)), keras.layers.Conv2D(4, 3, padding="same", activation="relu", name="conv")],
        name="inner",
    )
    x = keras.layers.MaxPooling2D(name="pool")(inner(inputs))
    x = keras.layers.Conv2D(5, 3, padding="same", name="conv")(x)
    x = keras.layers.GlobalAveragePooling2D(name="mean")(x)
    return keras.Model(inputs, keras.layers.Dense(3, activation="softmax", name="out")(x), name="foreign")


@pytest.mark.parametrize("grid", [1, 2, 3], ids=["means", "quarters", "ninths"])
def test_features_are_means_over_positions(model, images, grid):
    found = taps(model, images, grid=grid, cache=False, half=False)
    assert found.stages == ("stage1", "stage2_block1", "stage2", "features")
    for stage in found.stages:
        maps = features(model, stage).predict(images, verbose=0)
        if maps.ndim == 4:
            side = maps.shape[1]
            edges = [(i * side // grid, -(-(i + 1) * side // grid)) for i in range(grid)]
            parts = [maps[:, a:b, c:d].mean(axis=(1, 2)) for a, b in edges for c, d in edges]
            maps = np.concatenate(parts, axis=1)
        np.testing.assert_allclose(found.features[stage][:, 0], maps, rtol=1e-4, atol=1e-4)


def test_foreign_networks_have_one_tap_per_resolution(images):
    model, pixels = foreign(), images[:, :16, :16]
    before = model.get_weights()
    nodes = {layer.name: len(layer._inbound_nodes) for layer in model._flatten_layers()}
    found = taps(model, pixels, cache=False, half=False)
    assert found.stages == ("inner/conv", "conv", "mean")
    inner = model.get_layer("inner").predict(pixels, verbose=0).mean(axis=(1, 2))
    np.testing.assert_allclose(found.features["inner/conv"][:, 0], inner, rtol=1e-4)
    assert nodes == {layer.name: len(layer._inbound_nodes) for layer in model._flatten_layers()}
    assert all(np.array_equal(one, other) for one, other in zip(before, model.get_weights(), strict=True))


def test_logits_agree_with_the_model(model, images):
    found = taps(model, images, stages="logits", cache=False).features["logits"][:, 0]
    np.testing.assert_array_equal(found.argmax(axis=1), model.predict(images, verbose=0).argmax(axis=1))


@pytest.mark.nightly
def test_logits_of_a_trained_network_have_its_accuracy(shared):
    model = build_model("resnet20", weights="cifar10")
    test = load(shared("data", "cifar10_test_a.zip"), valid=0, test=0, limit=300).train
    found = taps(model, test, stages="logits", cache=False)
    _, low, high = wilson((found.features["logits"][:, 0].argmax(axis=1) == found.labels).sum(), len(found))
    assert low < 0.891 < high  # the published accuracy


@pytest.mark.parametrize("batch", [1, 3, 10, 64])
def test_batch_size_does_not_change_features(model, images, batch):
    whole = taps(model, images, cache=False, half=False, batch_size=5)
    same(taps(model, images, cache=False, half=False, batch_size=batch), whole, rtol=1e-4, atol=1e-5)


def test_crops(model, images):
    found = taps(model, images, crops=("identity", "flip", "top_left"), cache=False, half=False)
    plain, flipped = (taps(model, x, cache=False, half=False) for x in (images, images[:, :, ::-1]))
    for stage in found.stages:
        np.testing.assert_array_equal(found.features[stage][:, 0], plain.features[stage][:, 0])
        np.testing.assert_allclose(found.features[stage][:, 1], flipped.features[stage][:, 0], rtol=1e-4, atol=1e-5)
    corner = [np.asarray(Image.fromarray(x[:28, :28]).resize((32, 32), Image.BILINEAR)) for x in images]
    corner = taps(model, np.stack(corner), cache=False, half=False)
    for stage in found.stages:  # Pillow rounds pixels
        gap = np.abs(found.features[stage][:, 2] - corner.features[stage][:, 0]).max()
        assert gap < 0.05 * np.abs(corner.features[stage]).max()


def test_second_call_computes_nothing(model, images, tmp_path, passes):
    first = taps(model, images, cache=tmp_path, crops=("identity", "flip"))
    assert (first.computed, sum(passes)) == (10, 20)
    passes.clear()
    second = taps(model, images, cache=tmp_path, crops=("identity", "flip"))
    assert (second.computed, passes) == (0, [])
    same(first, second, rtol=0)


def test_only_new_features_are_computed(model, images, tmp_path, passes):
    taps(model, images[:7], cache=tmp_path)
    passes.clear()
    found = taps(model, images, cache=tmp_path)
    assert (found.computed, passes) == (3, [3])
    passes.clear()
    taps(model, images[::-1], cache=tmp_path, crops=("identity", "flip"))
    assert passes == [10]  # the other view only
    same(found, taps(model, images, cache=False), rtol=2e-3, atol=1e-3)


def test_copies_are_computed_once_and_share_a_group(model, images, tmp_path, passes):
    found = taps(model, images[[0, 1, 0]], cache=tmp_path)
    assert passes == [2]
    assert found.groups[0] == found.groups[2] != found.groups[1]


def test_layers_after_a_stage_do_not_invalidate_its_features(model, images, tmp_path, passes):
    copy = keras.models.clone_model(model)
    copy.set_weights(model.get_weights())
    taps(model, images, cache=tmp_path)
    passes.clear()
    dense = copy.get_layer("logits")
    dense.kernel.assign(2 * dense.kernel)
    assert taps(copy, images, cache=tmp_path).computed == 0
    copy.get_layer("stage2_block1_conv1").trainable = False
    assert taps(copy, images, cache=tmp_path).computed == 0
    kernel = copy.get_layer("stage2_block1_conv1").kernel
    kernel.assign(kernel * 1.001)
    assert taps(copy, images, stages="stage1", cache=tmp_path).computed == 0
    assert taps(copy, images, stages="stage2", cache=tmp_path).computed == 10
    assert passes == [10]


@pytest.mark.parametrize("damage", ["cut off", "a flipped bit", "empty"])
def test_damaged_files_are_recomputed(model, images, tmp_path, damage):
    whole = taps(model, images, cache=tmp_path)
    file = next(path for path in tmp_path.rglob("*.npz") if "stage1" in str(path))
    data = bytearray(file.read_bytes())
    row = whole.features["stage1"][4, 0]
    place = max(data.find(row.astype(kind).tobytes()) for kind in (np.float16, np.float32))
    assert place > 0
    data[place] ^= 16
    file.write_bytes({"cut off": data[:300], "a flipped bit": data, "empty": b""}[damage])
    with pytest.warns(UserWarning, match="damaged"):
        again = taps(model, images, cache=tmp_path)
    assert again.computed == 10
    same(whole, again, rtol=0)
    assert taps(model, images, cache=tmp_path).computed == 0


def test_full_disk_disables_only_the_cache(model, images, tmp_path, monkeypatch):
    def full(*given, **how):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", full)
    with pytest.warns(UserWarning, match="No space left") as told:
        found = taps(model, images, cache=tmp_path)
    assert len([each for each in told if "No space" in str(each.message)]) == 1
    same(found, taps(model, images, cache=False), rtol=0)


@pytest.mark.parametrize(
    ("rows", "kind"),
    [
        (np.random.default_rng(0).normal(0, 1, (50, 3)), np.float16),
        (np.random.default_rng(0).normal(0, 1e5, (50, 3)), np.float32),
        (np.random.default_rng(0).normal(1000, 0.01, (50, 3)), np.float32),
        (np.random.default_rng(0).normal(0, 1e-7, (50, 3)), np.float32),
        (np.ones((1, 3)), np.float16),
    ],
    ids=["plain", "overflows", "far from 0", "tiny", "constant"],
)
def test_float16_only_if_lossless(rows, kind):
    found = as_float16_if_lossless(rows)
    assert found.dtype == kind
    assert np.abs(found.astype(np.float64) - rows).max() <= 0.01 * max(rows.std(), 1e-30)


def test_unreadable_files_are_skipped(model, images, tmp_path):
    for i in range(3):
        Image.fromarray(images[i]).save(tmp_path / f"{i}.png")
    (tmp_path / "bad.png").write_bytes(b"no image")
    paths = [tmp_path / name for name in ("0.png", "bad.png", "1.png", "gone.png", "2.png")]
    found = taps(model, paths, labels=["a", "b", "a", "b", "b"], cache=False)
    assert [os.path.basename(name) for name in found.names] == ["0.png", "1.png", "2.png"]
    assert sorted(os.path.basename(name) for name in found.failed) == ["bad.png", "gone.png"]
    assert found.class_names == ("a", "b")
    assert found.labels.tolist() == [0, 0, 1]


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"crops": "upside"}, "crop"),
        ({"crops": ()}, "`crops` should be"),
        ({"stages": "stage9"}, "should be a layer of tiny_resnet"),
        ({"labels": [1, 2]}, "`labels` should have the class"),
        ({"grid": 0}, "`grid` should be"),
    ],
    ids=["crop", "no crop", "stage", "labels", "grid"],
)
def test_bad_input(model, images, how, message):
    with pytest.raises(ValueError, match=message):
        taps(model, images, cache=False, **how)


KILLED = """
import sys, numpy as np, keras
from importlib import import_module
from kerascnn import build_model
from kerascnn.transfer_learning import taps
import_module("kerascnn.transfer_learning.taps").CHUNK_IMAGES = 8
keras.utils.set_random_seed(0)
images = np.random.default_rng(0).integers(0, 256, (400, 32, 32, 3), dtype=np.uint8)
taps(build_model("tiny_resnet"), images, cache=sys.argv[1], batch_size=8)
"""


@pytest.mark.nightly
def test_features_of_a_killed_process_are_reused(tmp_path):
    process = subprocess.Popen([sys.executable, "-c", KILLED, tmp_path])
    while len([*tmp_path.rglob("[!.]*.npz")]) < 20:
        assert process.poll() is None
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    keras.utils.set_random_seed(0)
    model, pixels = build_model("tiny_resnet"), np.random.default_rng(0).integers(0, 256, (400, 32, 32, 3), np.uint8)
    found = taps(model, pixels, cache=tmp_path)
    assert 0 < found.computed < 400
    assert taps(model, pixels, cache=tmp_path).computed == 0
    same(found, taps(model, pixels, cache=False), rtol=5e-3, atol=1e-3)
