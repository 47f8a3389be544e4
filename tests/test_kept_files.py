"""Files that an earlier layout of the package wrote still open: networks with our layers, a run, an export."""

import json
import shutil
from pathlib import Path

import keras
import numpy as np
import pytest

import kerascnn
from kerascnn.data.load import load_dataset
from kerascnn.data.splits import hash_fraction
from kerascnn.exporting import verify
from kerascnn.support.store import Store
from kerascnn.transfer_learning.sources import make_ledger_folder, prepare_data, study_split_rule

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


def test_a_run_begun_with_the_first_rule_for_the_split_keeps_it(tmp_path):
    """Its card has no version of the rule; with the rule of today its training images would be others."""
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "data.npz", x=rng.integers(0, 256, (240, 8, 8, 1), dtype=np.uint8), y=np.arange(240) % 3)
    model = kerascnn.build_model("lenet1", input_shape=(28, 28, 1), classes=3)
    settings = {"epochs": 1, "batch_size": 64, "out": tmp_path / "run", "verbose": 0}
    begun = load_dataset(tmp_path / "data.npz", rule=1)
    assert {*begun.train.names} != {*load_dataset(tmp_path / "data.npz").train.names}
    kerascnn.fit(model, begun, "adam", **settings)
    card = tmp_path / "run" / "card.json"
    facts = json.loads(card.read_text())
    assert facts.pop("split_rule") == 2
    with pytest.raises(ValueError, match="`data` should be as in the run to resume"):
        kerascnn.fit(model, tmp_path / "data.npz", "adam", resume=True, **settings)
    card.write_text(json.dumps(facts))
    assert len(kerascnn.fit(model, tmp_path / "data.npz", "adam", resume=True, **settings).table) == 1


def test_a_study_begun_with_the_first_rule_for_the_split_keeps_it(tmp_path):
    """Its ledger has results, but no version of the rule; a new one has the version from its start."""
    assert study_split_rule(tmp_path / "none") == 2
    Store(tmp_path / "old" / "ledger").put("probe-1", {})
    assert study_split_rule(tmp_path / "old" / "ledger") == 1
    for _ in range(2):
        assert study_split_rule(make_ledger_folder(tmp_path / "old", True, "ledger")) == 1
        new = make_ledger_folder(tmp_path / "new", True, "ledger")
        Store(new).put("probe-1", {})
        assert study_split_rule(new) == 2
    source = (np.random.default_rng(0).integers(0, 256, (240, 8, 8, 3), dtype=np.uint8), np.arange(240) % 3)
    by_hash, now = (prepare_data(source, 0.2, None, 0, rule) for rule in (1, 2))
    assert np.bincount(now.test.labels).tolist() != np.bincount(by_hash.test.labels).tolist()
    keys = dict(zip(now.audit.good.names, now.audit.keys, strict=True))
    assert all((hash_fraction(keys[name]) < 0.2) == (name in by_hash.test.names) for name in keys)


def test_old_export_passes_its_checks():
    assert all(check.passed for check in verify(KEPT / "export"))
