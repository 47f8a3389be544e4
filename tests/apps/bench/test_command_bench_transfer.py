"""`kerascnn bench transfer`: the guide's models, and ratios computed by hand; no speed."""

from concurrent.futures import Future
from importlib import import_module

import keras
import numpy as np
import pytest
from networks import vary

from kerascnn import build_model
from kerascnn_apps.bench import guide

bench = import_module("kerascnn_apps.bench.transfer")


def tiny():
    keras.utils.set_random_seed(0)
    model = build_model("tiny_resnet")
    vary(model, np.random.default_rng(0))
    return model


@pytest.mark.parametrize(
    ("depth", "learns", "frozen"),
    [
        ("head", [], ["stage1_block1_conv1", "stage2_block1_conv1"]),
        ("half", ["stage2_block1_conv1"], ["stage1_block1_conv1"]),
        ("all", ["stage1_block1_conv1", "stage2_block1_conv1"], []),
    ],
)
def test_trainable_layers_of_the_guide(depth, learns, frozen):
    backbone = tiny()
    model = guide.build_guide_model(backbone, depth, "shift", 3)
    base = next(layer for layer in model.layers if isinstance(layer, keras.Model))
    assert all(base.get_layer(name).trainable_variables for name in learns)
    assert not any(base.get_layer(name).trainable_variables for name in frozen)
    assert isinstance(model.layers[-1], keras.layers.Dense)
    kinds = [type(layer).__name__ for layer in model.layers]
    assert kinds[1:3] == ["RandomFlip", "RandomTranslation"]
    assert kinds[-2] == "Dropout"


@pytest.mark.nightly
def test_the_guides_batch_norm_keeps_its_statistics():
    backbone, draw = tiny(), np.random.default_rng(0)
    x, y = draw.uniform(0, 255, (20, 32, 32, 3)).astype("float32"), np.arange(20) % 2
    model, row = guide.train_guide_point(backbone, "all", 1e-3, "none", (x, y), 1)
    base = next(layer for layer in model.layers if isinstance(layer, keras.Model))
    for own in base.layers:
        if isinstance(own, keras.layers.BatchNormalization):
            other = backbone.get_layer(own.name)
            np.testing.assert_array_equal(own.moving_mean, other.moving_mean)
    first = "stage1_block1_conv1"
    assert not np.array_equal(base.get_layer(first).get_weights()[0], backbone.get_layer(first).get_weights()[0])
    assert all(value > 0 for pair in (row["tracing"], row["seconds"]) for value in pair)


LABELS = np.arange(20) % 2
OPTIONS = {"full": False, "learning_rates": 4, "epochs": 10}


def own(probs):
    marks = [("data", [1, 1]), ("net: computed features of 20 images", [3, 2]), ("first", [5, 3]), ("heads", [9, 6])]
    found = {"marks": marks, "total": [120, 100], "forward": [2, 1], "probs": probs, "chosen": "it", "tried": 3}
    return found | {"held": 0.5, "frozen": [4, 3]}


def row(depth, seconds):
    found = {
        "depth": depth,
        "learning_rate": 1e-3,
        "augmentation": "none",
        "finished": True,
        "epochs": 10,
        "accuracy": 0.5,
    }
    return found | {"tracing": [8, 5], "seconds": [2 * seconds, seconds]}


def test_ratios():
    right = np.eye(2)[LABELS]
    theirs = {"rows": [row("head", 4), row("all", 11)], "best": 1, "scores": 9 * np.eye(2, dtype="float32")[1 - LABELS]}
    result = bench.summarize_transfer(own(0.8 * right + 0.1), theirs, LABELS, OPTIONS)
    whole, frozen = 4 * 10 * (4 + 11), 4 * 10 * 4
    assert result["ratios"] == {
        "whole grid": (whole + 4 * 10) / 100,
        "whole grid without tracing": whole / 100,
        "frozen base only": (frozen + 4 * 5) / 3,
        "frozen base only, against all stages": (frozen + 4 * 5) / (6 - 1),
        "frozen base only, against all stages with cached features": (frozen + 4 * 5) / (6 - 2),
        "first usable model, in units of one forward pass": 3.0,
    }
    assert result["test"]["kerascnn"]["value"] == 1
    assert result["test"]["the Keras guide"]["value"] == 0
    assert result["difference"]["low"] > 0
    whole = bench.summarize_transfer(own(right), theirs, LABELS, OPTIONS | {"full": True})
    assert (
        whole["ratios"]["whole grid without tracing"] == 10 * (4 + 11) / 100
    )  # each row is a point, none stands for 4


class Here:
    """An executor that works in this process."""

    def __init__(self, *given):
        pass

    def __enter__(self):
        return self

    def __exit__(self, *given):
        pass

    def submit(self, work, *given):
        future = Future()
        future.set_result(work(*given))
        return future


@pytest.mark.nightly
def test_the_command(document, run, monkeypatch):
    def quick(folder, options):
        _, (x, y), (test, answers) = bench.read_benchmark_inputs(folder)
        assert x.shape == test.shape == (20, 32, 32, 3)
        assert x.dtype == np.uint8
        return own(np.eye(10)[answers] * 0.8 + 0.02)

    monkeypatch.setattr(bench, "ProcessPoolExecutor", Here)
    monkeypatch.setattr(bench, "run_our_study", quick)
    words = ["bench", "transfer", "digits", "--network", "tiny_resnet", "--weights", "none"]
    words += ["--images", 20, "--epochs", 1, "--depths", 2, "--learning-rates", 2]
    result = document(*words, "--augmentations", 2)["result"]
    assert [(each["depth"], each["augmentation"]) for each in result["rows"]] == [
        ("head", "none"),
        ("head", "flip"),
        ("all", "none"),
        ("all", "flip"),
    ]
    assert [result[name] for name in ("images", "tested", "size", "points")] == [20, 20, 32, 8]
    text = run(*words, "--augmentations", 1, "--depths", 1, "--full")
    assert text.exit_code == 0, text.stderr
    assert "the guide trained in full" in text.stdout
    assert "whole grid" in text.stdout
