"""Finetuning: what is frozen does not move, and what is kept on disk gives the same numbers as what is not."""

import errno
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from networks import varied

from kerascnn.transfer_learning import head_model
from kerascnn.transfer_learning.finetune import STAGE_DECAY, compile_suffix, finetune
from kerascnn.transfer_learning.networks import split_model, stages_above


@pytest.fixture(scope="module")
def labels():
    return np.arange(30) % 3


@pytest.fixture(scope="module")
def pixels(labels):
    rng = np.random.default_rng(1)
    colors = np.array([[150, 100, 100], [100, 150, 100], [100, 100, 150]])[labels][:, None, None]
    return (colors + rng.integers(-60, 60, (30, 32, 32, 3))).clip(0, 255).astype(np.uint8)


def network(stages="stage2", name="tiny_resnet"):
    """A new copy each time of the same network with the same head."""
    backbone = varied(name)
    stages = (stages,) if isinstance(stages, str) else stages
    width = sum(backbone.get_layer(stage).output.shape[-1] for stage in stages)
    head = np.random.default_rng(3).normal(0, 0.05, (width, 3))
    return head_model(backbone, stages, head, np.zeros(3))


@pytest.fixture
def started():
    return network


HELD = np.arange(30) % 5 == 0


@pytest.mark.parametrize(
    ("stages", "augment"),
    [
        ("stage2", "none"),
        pytest.param(("stage1", "stage2"), "none", marks=pytest.mark.nightly),
        pytest.param("stage2", "flip", marks=pytest.mark.nightly),
        (("stage1", "stage2"), "flip"),
    ],
    ids=["one stage", "two stages", "one stage, two crops", "two stages, two crops"],
)
def test_cached_maps_give_the_same_result(started, pixels, labels, tmp_path, stages, augment):
    how = {
        "freeze": "stage1",
        "learning_rate": 1e-2,
        "epochs": 3,
        "augment": augment,
        "batch_size": 8,
        "return_weights": True,
    }
    plain = finetune(started(stages), pixels, labels, HELD, **how)
    for _ in range(2):  # the second finds what the first has kept
        quick = finetune(started(stages), pixels, labels, HELD, out=tmp_path, name="it", **how)
        assert (plain.cached, quick.cached) == (False, True)
        for one, other in zip(plain.history, quick.history, strict=True):
            assert one["held_loss"] == pytest.approx(other["held_loss"], abs=1e-5)
        for one, other in zip(plain.weights, quick.weights, strict=True):
            np.testing.assert_allclose(one, other, atol=1e-5)


@pytest.mark.parametrize("freeze", [None, "stage1", "stage1_block1_relu2", "stage2"])
def test_frozen_weights_stay_and_others_change(started, pixels, labels, tmp_path, freeze):
    model = started()
    before = {v.path: np.array(v) for v in model.variables}
    split_model(model, freeze)
    frozen = {layer.name for layer in model.layers if not layer.trainable}
    finetune(model, pixels, labels, None, freeze=freeze, learning_rate=1e-2, epochs=1, out=tmp_path)
    norms = {layer.name for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization)}
    moved = {v.path for v in model.variables if not np.array_equal(before[v.path], v)}
    expected = {
        v.path
        for layer in model.layers
        if layer.name not in frozen | norms
        for v in layer.weights
        if "seed" not in v.path
    }
    assert moved == expected
    assert ("stage1_block1_conv1" in frozen) == (freeze is not None)
    assert expected


def test_shift_augmentation_is_not_cached(started, pixels, labels, tmp_path):
    found = finetune(started(), pixels, labels, HELD, freeze="stage1", augment="shift", epochs=1, out=tmp_path)
    assert not found.cached
    assert not [*tmp_path.iterdir()]


def test_epoch_0_is_the_initial_classifier_and_training_improves_it(started, pixels, labels):
    model = started()
    before = model.predict(pixels[HELD].astype("float32"), verbose=0)
    found = finetune(model, pixels, labels, HELD, learning_rate=3e-3, epochs=6, batch_size=8)
    own = -np.log(before[np.arange(HELD.sum()), labels[HELD]]).mean()
    assert found.history[0]["held_loss"] == pytest.approx(own, rel=1e-4)
    assert found.loss == min(row["held_loss"] for row in found.history[1:])
    assert found.loss < own
    after = model.predict(pixels[HELD].astype("float32"), verbose=0)  # the weights are those of the best epoch
    assert -np.log(after[np.arange(HELD.sum()), labels[HELD]]).mean() == pytest.approx(found.loss, rel=1e-4)


@pytest.mark.nightly
def test_gradient_accumulation_equals_one_batch(started, pixels, labels):
    how = {"freeze": "stage1", "epochs": 4, "learning_rate": 3e-3}
    some = np.arange(30) >= 16  # 16 to learn from: no batch is only part full
    whole, halves, small = (
        finetune(started(), pixels, labels, some, batch_size=batch, accumulation_steps=together, **how).history[-1][
            "held_loss"
        ]
        for batch, together in ((8, 1), (4, 2), (4, 1))
    )
    assert abs(whole - halves) < 0.3 * abs(whole - small)  # but for the rate, which moves with each batch


def test_learning_rates_fall_toward_the_input(started):
    behind = stages_above(started())
    rates = [STAGE_DECAY ** behind[name] for name in ("stage1_block1_conv1", "stage2_block1_conv1", "logits")]
    assert rates == [STAGE_DECAY**2, STAGE_DECAY, 1]


def test_out_of_space_for_feature_maps(started, pixels, labels, tmp_path, monkeypatch):
    how = {"freeze": "stage1", "learning_rate": 1e-2, "epochs": 1, "batch_size": 8}
    plain = finetune(started(), pixels, labels, HELD, **how)

    def full(*given):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(np, "save", full)
    with pytest.warns(
        UserWarning, match="cannot cache feature maps in .*; they are computed again in each epoch: .*No space left"
    ):
        found = finetune(started(), pixels, labels, HELD, out=tmp_path, **how)
    assert not found.cached
    assert found.loss == pytest.approx(plain.loss, abs=1e-5)
    assert not [*tmp_path.iterdir()]


PROGRAM = """
import sys
sys.path[:0] = {tests!r}
import numpy as np
import tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
from test_finetune import HELD, finetune, network
import importlib
module = importlib.import_module("kerascnn.transfer_learning.finetune")
labels = np.arange(30) % 3
pixels = np.random.default_rng(1).integers(0, 256, (30, 32, 32, 3)).astype("uint8")
pixels[np.arange(30), :, :, labels] |= 128
devices = module.device_strategy
found = []
for number, strategy in enumerate((devices, lambda: None)):
    module.device_strategy = strategy
    model = network()
    how = dict(freeze="stage1", learning_rate=1e-2, epochs=2, batch_size=8, return_weights=True, out=sys.argv[1])
    told = finetune(model, pixels, labels, HELD, name=str(number), **how)
    print("devices:", strategy().num_replicas_in_sync if strategy() else 1, told.cached, told.logits.shape)
    assert all(np.array_equal(a, b) for a, b in zip(told.weights, model.get_weights(), strict=True))
    found.append([told.logits, *told.weights])
for two, one in zip(*found, strict=True):
    np.testing.assert_allclose(two, one, rtol=1e-3, atol=1e-4)
module.device_strategy = devices
import warnings
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    finetune(network(), pixels, labels, HELD, epochs=1, batch_size=4, accumulation_steps=2)
print([str(each.message) for each in caught if "on a single device" in str(each.message)])
"""


@pytest.mark.nightly
def test_two_devices_train_like_one(tmp_path):
    paths = [str(Path(__file__).parent), str(Path(__file__).parents[1] / "support")]
    words = [sys.executable, "-c", PROGRAM.format(tests=paths), str(tmp_path)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr[-3000:]
    lines = done.stdout.splitlines()
    assert lines[:2] == ["devices: 2 True (6, 3)", "devices: 1 True (6, 3)"]
    assert "on a single device" in lines[2]


def test_steps_equal_keras_adam(rng):
    start, slopes = rng.normal(0, 1, (5, 4)), rng.normal(0, 1, (9, 5, 4))
    inputs = keras.Input((5,))
    model = keras.Model(inputs, keras.layers.Dense(4, use_bias=False, name="logits")(inputs))
    ours = compile_suffix(model, model, 1e-2, len(slopes), 1).optimizer
    cosine = keras.optimizers.schedules.CosineDecay(1e-3, len(slopes) - 1, warmup_target=1e-2, warmup_steps=1)
    found = []
    for optimizer in (ours, keras.optimizers.Adam(cosine)):
        model.layers[-1].set_weights([start])
        for slope in slopes:
            optimizer.apply([keras.ops.cast(slope, "float32")], model.trainable_variables)
        found.append(model.get_weights()[0])
    np.testing.assert_allclose(*found, atol=1e-6)
    assert np.abs(found[0] - start).max() > 1e-2


def test_nan_loss_is_an_error(started, pixels, labels):
    with pytest.raises(ArithmeticError, match=r"NaN or infinite in epoch \d"):
        finetune(started(), pixels, labels, HELD, learning_rate=1e30, epochs=3)
