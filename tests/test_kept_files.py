"""Files that an earlier layout of the package wrote still open: networks with our layers, a run, an export."""

import shutil
from pathlib import Path

import keras
import numpy as np
import pytest

import kerascnn
from kerascnn.exporting import verify

KEPT = Path(__file__).parent / "kept"
ANSWERS = dict(np.load(KEPT / "answers.npz"))
PIXELS = ANSWERS.pop("pixels")


@pytest.mark.parametrize("name", ANSWERS)
def test_saved_networks_give_the_same_predictions(name):
    model = keras.saving.load_model(KEPT / f"{name}.keras")
    found = keras.ops.convert_to_numpy(model(PIXELS.astype(np.float32), training=False))
    np.testing.assert_allclose(found, ANSWERS[name], atol=1e-5)


def test_old_training_run_is_resumed(tmp_path):
    rng = np.random.default_rng(0)
    images, labels = rng.integers(0, 256, (32, 28, 28, 1), dtype=np.uint8), np.arange(32) % 3
    shutil.copytree(KEPT / "run", tmp_path / "run")
    histories = []
    for folder, resume in (("run", True), ("new", False)):
        keras.utils.set_random_seed(0)
        model = kerascnn.build_model("lenet1", input_shape=(28, 28, 1), classes=3)
        out = tmp_path / folder
        history = kerascnn.fit(
            model, (images, labels), "adam", epochs=30, batch_size=16, out=out, resume=resume, seed=3, verbose=0
        )
        histories.append(history.table["loss"].to_numpy())
    assert len(histories[0]) == 30
    np.testing.assert_allclose(*histories, rtol=1e-4)


def test_old_export_passes_its_checks():
    assert all(check.passed for check in verify(KEPT / "export"))
