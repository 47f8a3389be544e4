"""Runs side by side: gradient descent by hand, what differs between variants, and going on after an interruption."""

import io
from functools import partial
from types import SimpleNamespace

import keras
import numpy as np
import pytest
from keras import layers
from PIL import Image
from sklearn.datasets import load_digits

from kerascnn import build_model, card
from kerascnn.diagnose import (
    activation_effect,
    compare_training,
    dropout_effect,
    norm_effect,
    plain_against_residual,
    variants,
)
from kerascnn.diagnose.images import training_images
from kerascnn.inputs.batch import Batch


def linear(outputs=3):
    """Softmax regression from weights 0."""
    dense = layers.Dense(outputs, "softmax", kernel_initializer="zeros")
    return keras.Sequential([keras.Input((4,)), dense], name="linear")


@pytest.fixture
def points(rng):
    return rng.normal(size=(30, 4)).astype("float32"), np.arange(30) % 3


def test_the_losses_of_gradient_descent_by_hand(points):
    """Whole batches: v = 0.9 v - rate g, w = w + v. The loss of an epoch is that before its one step."""
    x, y = points
    w, v, expected = np.zeros((5, 3)), np.zeros((5, 3)), []
    inputs = np.hstack([x, np.ones((30, 1))])
    for _ in range(4):
        p = np.exp(inputs @ w)
        p /= p.sum(1, keepdims=True)
        expected.append(-np.log(p[np.arange(30), y]).mean())
        v = 0.9 * v - 0.5 * inputs.T @ (p - np.eye(3)[y]) / 30
        w = w + v
    found = compare_training({"by hand": linear}, points, 4, learning_rate=0.5, batch_size=30)
    np.testing.assert_allclose(found.losses["by hand"], expected, rtol=1e-5)
    assert list(found.table.epoch) == [1, 2, 3, 4]
    assert list(found.final.params) == [15]
    assert found.table.val_loss.isna().all()


def test_validation_is_of_the_trained_weights(points):
    model = linear()
    found = compare_training({"model": model}, points, 1, validation=points, learning_rate=0.1, batch_size=30)
    assert found.final.val_loss[0] < found.final.loss[0] == pytest.approx(np.log(3), rel=1e-5)
    assert not np.any(model.get_weights()[0]), "the model given is copied"


def test_variants_see_the_same_batches(points):
    """Twins of which one is drawn after a larger network: the same losses to the last bit."""

    def drawn():
        return keras.Sequential([keras.Input((4,)), layers.Dense(8, "relu"), layers.Dense(3, "softmax")])

    def larger():
        return keras.Sequential([keras.Input((4,)), layers.Dense(64, "relu"), layers.Dense(3, "softmax")])

    found = compare_training({"one": drawn, "larger": larger, "twin": drawn}, points, 3, batch_size=7).losses
    np.testing.assert_array_equal(found.one, found.twin)
    assert (found.one != found.larger).all()


def test_progress_messages(points):
    told = []
    compare_training({"a": linear}, points, 2, batch_size=10, on_progress=lambda *what: told.append(what))
    assert [(what.split()[0], round(epoch, 2)) for epoch, _, what in told] == [
        ("a", 0.33), ("a", 0.67), ("a", 1), ("a", 1.33), ("a", 1.67), ("a", 2),
    ]  # fmt: skip
    assert all({"loss", "accuracy"} <= set(what.split()) and epochs == 2 for _, epochs, what in told)


def test_interrupted_comparison_is_resumed(points, tmp_path):
    networks = {"a": linear, "b/2": linear}
    whole = compare_training(networks, points, 2, batch_size=30).table

    def stop(epoch, epochs, what):
        if what.startswith("b/2 "):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        compare_training(networks, points, 2, batch_size=30, out=tmp_path / "runs", on_progress=stop)
    assert sorted(path.name for path in (tmp_path / "runs").iterdir()) == ["a.csv", "settings.json"]
    trained = []
    options = {"batch_size": 30, "out": tmp_path / "runs"}
    options["on_progress"] = lambda epoch, epochs, what: trained.append(what.split()[0])
    found = compare_training(networks, points, 2, **options).table
    assert set(trained) == {"b/2"}
    assert found.equals(whole)
    trained.clear()
    assert compare_training(networks, points, 2, **options).table.equals(whole)
    assert not trained


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"epochs": 3}, "epochs 2, not 3"),
        ({"learning_rate": 0.2}, "rate 0.1, not 0.2"),
        ({"limit": 20}, "images 30, not 20"),
        ({"variants": {"a": partial(linear, 4)}}, "15 parameters instead of 20"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_other_runs_are_not_mixed_in(points, tmp_path, change, text):
    options = {"variants": {"a": linear}, "data": points, "epochs": 2, "out": tmp_path}
    compare_training(**options)
    with pytest.raises(ValueError, match=text):
        compare_training(**options | change)


def test_other_data_of_the_same_size_are_not_mixed_in(points, tmp_path):
    compare_training({"a": linear}, points, 1, out=tmp_path)
    with pytest.raises(ValueError, match="`out` should contain runs with the same settings"):
        compare_training({"a": linear}, (points[0] + 1, points[1]), 1, out=tmp_path)


@pytest.fixture
def recorded(monkeypatch):
    """What `compare` would train."""
    found = {}

    def instead(networks, data, epochs, **options):
        found.update(networks)
        return SimpleNamespace(data=data, epochs=epochs, **options)

    monkeypatch.setattr(variants, "compare_training", instead)
    monkeypatch.setattr(variants, "compare_training", instead)
    return found


def test_the_networks_are_those_of_the_paper(recorded, rng):
    data = rng.integers(0, 256, (20, 32, 32, 3), np.uint8), np.arange(20) % 10
    done = plain_against_residual(data, (20, 56))
    assert list(recorded) == ["plain20", "resnet20", "plain56", "resnet56"]
    assert done.group == {"plain20": "20", "resnet20": "20", "plain56": "56", "resnet56": "56"}
    for name, network in recorded.items():
        config = card(f"{name}_cifar10").config
        assert network.keywords["depths"] == config["depths"]
        assert network.keywords["widths"] == config["widths"]
    for kind in ("plain", "resnet"):
        model, twin = recorded[f"{kind}20"](), build_model(f"{kind}20_cifar10")
        assert [type(layer) for layer in model.layers] == [type(layer) for layer in twin.layers]
        trainable = sum(np.prod(weight.shape) for weight in model.trainable_weights)
        assert trainable == card(f"{kind}20_cifar10").params, "0.27 M in the paper's table 6"


EFFECTS = {
    "dropout": (dropout_effect, ["no dropout", "dropout 0.25", "dropout 0.5"], layers.Dropout, [0, 1, 1]),
    "norm": (norm_effect, ["no normalization", "batch norm"], layers.BatchNormalization, [0, 5]),
    "activation": (activation_effect, ["sigmoid", "tanh", "relu", "leaky_relu"], layers.ReLU, [0, 0, 5, 0]),
}


@pytest.mark.parametrize("case", EFFECTS)
def test_variants_differ_in_one_setting(recorded, case):
    effect, names, kind, counts = EFFECTS[case]
    effect((np.zeros((6, 16, 16, 3), np.uint8), np.arange(6) % 3))
    assert list(recorded) == names
    models = [network() for network in recorded.values()]
    assert [sum(isinstance(layer, kind) for layer in model.layers) for model in models] == counts
    assert len({len([w for w in model.weights if len(w.shape) > 1]) for model in models}) == 1
    assert all(model.output_shape == (None, 3) for model in models)


@pytest.fixture(scope="module")
def digits():
    found = load_digits()
    return np.rint(found.images * 255 / 16)[..., None].astype(np.uint8), found.target


@pytest.mark.nightly
def test_batch_norm_learns_faster_and_sigmoids_slower(digits):
    """Ioffe & Szegedy 2015, fig. 1; Krizhevsky et al. 2012, fig. 1."""
    norm = norm_effect(digits, 3, 600, batch_size=32).losses.iloc[-1]
    assert norm["batch norm"] < norm["no normalization"]
    act = activation_effect(digits, 3, 600, activations=("sigmoid", "relu"), batch_size=32).losses.iloc[-1]
    assert act.relu < act.sigmoid


def test_pictures(points, tmp_path):
    found = compare_training(
        {"plain": linear, "twin": linear}, points, 2, validation=points, group={"plain": "a", "twin": "a"}
    )
    assert found.save(tmp_path / "losses.png").read_bytes().startswith(b"\x89PNG")


def files(values):
    """Photos of one color each as a `Batch` of PNG files, decoded when they are asked for."""
    found = []
    for value in values:
        file = io.BytesIO()
        Image.fromarray(np.full((2, 2, 3), value, np.uint8)).save(file, "PNG")
        found.append(file.getvalue())
    return Batch(tuple(found), np.asarray(values) % 2, ("a", "b", "c"))


@pytest.mark.parametrize("wrapped", [False, True], ids=["images", "a dataset in parts"])
def test_images_and_datasets(wrapped):
    images = files(range(10))
    given = SimpleNamespace(train=images, valid=None) if wrapped else images
    found = training_images("data", given, 4)
    assert found.items.shape == (4, 2, 2, 3)
    assert len(found.class_names) == 3, "though no image shows the last"
    np.testing.assert_array_equal(found.items[:, 0, 0, 0] % 2, found.labels)
    assert len(training_images("data", given).labels) == 10


def test_limit_samples_all_classes():
    """Sorted by class, as folders are: the first images would all be alike."""
    y = np.repeat(np.arange(10), 100)
    found = training_images("data", (np.arange(1000), y), 100)
    assert len(set(found.labels)) == 10
    np.testing.assert_array_equal(found.items // 100, found.labels)
    assert list(found.items) == sorted(set(found.items))
    assert len(found.class_names) == 10
    np.testing.assert_array_equal(training_images("data", (np.arange(1000), y[:, None])).labels, y)


@pytest.mark.parametrize(
    ("data", "text"),
    [
        ("cifar10", "should be arrays"),
        ((np.zeros(3), np.zeros(2, int)), "for 3 images"),
        ((np.zeros(3), np.zeros(3)), "integer class numbers"),
        ((np.zeros(3), np.eye(3)), "integer class numbers"),
        ((np.zeros(0), np.zeros(0, int)), "at least one image"),
    ],
    ids=["a name", "lengths", "floats", "one-hot", "empty"],
)
def test_invalid_data(data, text):
    with pytest.raises(ValueError, match=text):
        compare_training({"a": linear}, data, 1)


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (partial(compare_training, {}), "`variants` should be a dictionary"),
        (partial(compare_training, {"a": linear}, epochs=0), "`epochs` should be an integer"),
        (partial(compare_training, {"a": linear}, limit=-1), "`limit` should be an integer"),
        (partial(plain_against_residual, depths=(18,)), "of the form 6n"),
        (partial(activation_effect, activations=("rellu",)), "Did you mean relu"),
    ],
    ids=["none", "epochs", "limit", "depths", "acts"],
)
def test_invalid_arguments(call, text, points):
    with pytest.raises(ValueError, match=text):
        call(data=(np.zeros((6, 8, 8, 3)), np.arange(6) % 3))
