"""Ablation of networks whose parts have a known effect; parameter counts by hand."""

from functools import cache

import keras
import numpy as np
import pytest
from keras import layers

import kerascnn
from kerascnn import ablate
from kerascnn.data import Batch
from kerascnn.evaluation import NotRemovable, without_part


def residual_model():
    """Block 1 computes x + 2 x, block 2 has a projection shortcut, and block 3 adds 0."""
    x = inputs = keras.Input((6, 6, 4), name="input")
    y = layers.Conv2D(4, 1, use_bias=False, name="block1_conv")(x)
    x = layers.Add(name="block1")([x, y])
    y = layers.Conv2D(8, 3, padding="same", name="block2_conv1")(x)
    y = layers.Conv2D(8, 3, padding="same", name="block2_conv2")(y)
    x = layers.Add(name="block2_add")([layers.Conv2D(8, 1, name="block2_skip")(x), y])
    x = layers.ReLU(name="block2")(x)
    y = layers.Conv2D(8, 1, kernel_initializer="zeros", name="block3_conv")(x)
    x = layers.Add(name="last")([y, x])
    x = layers.GlobalAveragePooling2D(name="features")(x)
    x = layers.Dense(3, name="logits")(x)
    model = keras.Model(inputs, layers.Softmax(name="probs")(x), name="residual")
    model.get_layer("block1_conv").set_weights([2 * np.eye(4)[None, None]])
    return model


@pytest.fixture
def images(rng):
    return rng.uniform(0, 255, (12, 6, 6, 4)).astype(np.float32), rng.integers(0, 3, 12)


def layer_output(model, name, x):
    return np.asarray(keras.Model(model.input, model.get_layer(name).output)(x))


def test_removing_a_residual_branch_leaves_the_shortcut(images):
    model, (x, _) = residual_model(), images
    assert layer_output(model, "block1", x) == pytest.approx(3 * x)
    cut = without_part(model, "block1")
    assert "block1_conv" not in [layer.name for layer in cut.layers]
    assert cut.count_params() == model.count_params() - 16
    behind = keras.Model(model.get_layer("block1").output, model.output)
    assert np.asarray(cut(x)) == pytest.approx(np.asarray(behind(x)), abs=1e-6)


def test_a_projection_is_recognized_as_the_shortcut(images):
    model, (x, _) = residual_model(), images
    cut = without_part(model, "block2")
    names = [layer.name for layer in cut.layers]
    assert "block2_skip" in names
    assert not {"block2_conv1", "block2_conv2"} & {*names}
    kernel, bias = model.get_layer("block2_skip").get_weights()
    assert layer_output(cut, "block2", x) == pytest.approx(
        np.maximum(3 * x @ kernel[0, 0] + bias, 0), rel=1e-4, abs=1e-3
    )


@pytest.mark.parametrize("name", ["block3", "block3_conv"])
@pytest.mark.parametrize("mode", ["remove", "zero"])
def test_removing_a_branch_of_zeros_changes_nothing(images, name, mode):
    """Also where the sum behind the block has another name."""
    model, (x, _) = residual_model(), images
    assert np.asarray(without_part(model, name, mode)(x)) == pytest.approx(np.asarray(model(x)), abs=1e-6)


def test_a_layer_inside_a_branch_is_bypassed(images):
    model, (x, _) = residual_model(), images
    names = [layer.name for layer in without_part(model, "block2_conv2").layers]
    assert "block2_conv2" not in names
    assert "block2_conv1" in names
    branches = [layer_output(model, name, x) for name in ("block2_conv1", "block2_skip")]
    cut = layer_output(without_part(model, "block2_conv2"), "block2_add", x)
    assert cut == pytest.approx(sum(branches), rel=1e-4, abs=1e-3)


def test_the_model_is_not_changed(images):
    model, (x, y) = residual_model(), images
    config, weights, before = model.get_config(), model.get_weights(), np.asarray(model(x))
    calls = [len(layer._inbound_nodes) for layer in model.layers]

    def retrain(network):
        network.set_weights([0 * weight for weight in network.get_weights()])

    ablate(model, ["block1", "block2"], x, y, retrain=retrain)
    assert model.get_config() == config
    assert all((now == then).all() for now, then in zip(model.get_weights(), weights, strict=True))
    assert [len(layer._inbound_nodes) for layer in model.layers] == calls
    assert (np.asarray(model(x)) == before).all()


def test_units_are_replaced_by_zero_or_their_mean(images):
    model, (x, y) = residual_model(), images
    maps = layer_output(model, "block2", x)
    zero = layer_output(without_part(model, "block2", "zero", units=[1, 5]), "block2_ablated", x)
    other_units = [0, 2, 3, 4, 6, 7]
    assert (zero[..., [1, 5]] == 0).all()
    assert zero[..., other_units] == pytest.approx(maps[..., other_units])
    means = maps.reshape(-1, 8).mean(0)
    mean = layer_output(without_part(model, "block2", "mean", means=means), "block2_ablated", x)
    assert mean == pytest.approx(np.broadcast_to(means, maps.shape), rel=1e-5)
    found = ablate(model, "block2", x, y, mode="mean")  # all images then have the same probabilities
    probs = found.evaluations["block2"].probs
    assert np.ptp(probs, axis=0).max() < 1e-6
    features = means  # block3, which follows, adds 0
    kernel, bias = model.get_layer("logits").get_weights()
    expected = np.exp(features @ kernel + bias - (features @ kernel + bias).max())
    assert probs[0] == pytest.approx(expected / expected.sum(), abs=1e-4)


NOT_REMOVABLE = {
    "input": ("input", "remove", "the model's input"),
    "output": ("probs", "remove", "the output of the model"),
    "shape": ("logits", "remove", "changes the shape from 8 to 3"),
    "zeroed output": ("probs", "zero", "the output of the model"),
}


@pytest.mark.parametrize("case", NOT_REMOVABLE)
def test_parts_that_cannot_be_removed(case):
    name, mode, reason = NOT_REMOVABLE[case]
    with pytest.raises(NotRemovable, match=reason):
        without_part(residual_model(), name, mode)


def test_equal_branches_and_shared_layers():
    x = inputs = keras.Input((4, 4, 3))
    shared = layers.Conv2D(3, 1, name="shared")
    x = shared(shared(x))
    x = layers.Add(name="sum")([layers.Conv2D(3, 1, name="left")(x), layers.Conv2D(3, 1, name="right")(x)])
    model = keras.Model(inputs, layers.GlobalAveragePooling2D()(x))
    with pytest.raises(NotRemovable, match="equal depth"):
        without_part(model, "sum")
    with pytest.raises(NotRemovable, match="more than once"):
        without_part(model, "shared")
    with pytest.raises(ValueError, match="Did you mean|sum"):
        without_part(model, "summ")
    with pytest.raises(ValueError, match="`units`"):
        without_part(model, "left", "zero", units=[3])


def test_a_sequential_model_and_a_layer_of_its_shape(rng):
    model = keras.Sequential(
        [keras.Input((4, 4, 2)), layers.Conv2D(2, 3, padding="same", name="conv"), layers.Flatten(), layers.Dense(2)]
    )
    x = rng.uniform(0, 255, (5, 4, 4, 2)).astype(np.float32)
    kernel, bias = model.layers[-1].get_weights()
    assert np.asarray(without_part(model, "conv")(x)) == pytest.approx(
        x.reshape(5, -1) @ kernel + bias, rel=1e-4, abs=1e-3
    )


ZOO = {
    "tiny_resnet": ("stage1_block1", "stage2_block1", "stage2_block2", "stage2"),
    "tiny_preresnet": ("stage1_block1", "stage2_block2", "stage2"),
    "tiny_resnet_a": ("stage1_block1", "stage1_block2", "stage2_block1"),
    "tiny_resnext": ("stage2_block2",),
}
BRANCHES = [(network, part) for network, parts in ZOO.items() for part in parts]


@cache
def build(network):
    return kerascnn.build_model(network)


@pytest.mark.parametrize(("network", "part"), BRANCHES, ids=str)
def test_blocks_of_the_zoo_lose_their_convolutions(network, part):
    model = build(network)
    cut = without_part(model, part)
    removed = {layer.name for layer in model.layers} - {layer.name for layer in cut.layers}
    convs = {layer.name for layer in model.layers if layer.name.startswith(f"{part}_") and "_conv" in layer.name}
    assert removed >= convs > set()
    assert not any("skip" in name for name in removed if not name.endswith("norm"))
    weights = sum(model.get_layer(name).count_params() for name in removed)
    assert cut.count_params() == model.count_params() - weights


def test_ablation_table_with_retraining(rng):
    model = kerascnn.build_model("tiny_resnet")
    x, y = rng.integers(0, 256, (40, 32, 32, 3), np.uint8), rng.integers(0, 10, 40)
    networks = []

    def retrain(network):
        networks.append(network)
        network.get_layer("logits").bias.assign(100 * np.eye(10)[3])

    found = ablate(
        model, ["stage1_block1", "stage2_block2", ("stage2", [0, 1]), "logits"], x, y, mode="zero", retrain=retrain
    )
    assert found.table["part"].tolist() == ["stage1_block1", "stage2_block2", "stage2:0,1", "logits"]
    assert not found.not_removable
    assert len(networks) == 5
    for row in found.table.itertuples():
        assert row.drop == pytest.approx(found.baseline.accuracy - row.accuracy)
        assert row.drop_low <= row.drop <= row.drop_high
    other_rows = found.table[found.table["part"] != "logits"]
    assert other_rows["retrained_accuracy"].tolist() == pytest.approx([np.mean(y == 3)] * 3)  # always class 3
    assert found.retrained_baseline.accuracy == pytest.approx(np.mean(y == 3))
    assert f"{100 * found.table['drop'][0]:.1f} (" in str(found)
    assert max(map(len, str(found).splitlines())) <= 120


def test_parts_that_cannot_be_removed_are_listed(images, tmp_path):
    model, (x, y) = residual_model(), images
    found = ablate(model, ["block3", "logits"], x, y)
    assert found.not_removable == {"logits": "logits changes the shape from 8 to 3"}
    assert found.table["drop"].tolist() == [0]
    assert found.save(tmp_path / "drops.png").stat().st_size > 5000
    assert found.save(tmp_path / "drops.csv").read_text().startswith("part,mode,params")
    with pytest.raises(NotRemovable, match="logits changes"):
        ablate(model, "logits", x, y)
    with pytest.raises(ValueError, match="logits"):
        ablate(model, "logitz", x, y)


def test_layers_numbered_by_keras_are_separate_parts(rng):
    """Of conv, conv_1 and conv_2 only one is removed."""
    x = inputs = keras.Input((4, 4, 2))
    for name in ("conv", "conv_1", "conv_2", "conv_2_norm"):
        x = layers.Conv2D(2, 1, name=name)(x)
    model = keras.Model(inputs, layers.Dense(2)(layers.Flatten()(x)))
    remaining = [layer.name for layer in without_part(model, "conv").layers if layer.name.startswith("conv")]
    assert remaining == ["conv_1", "conv_2", "conv_2_norm"]
    remaining = [layer.name for layer in without_part(model, "conv_2").layers if layer.name.startswith("conv")]
    assert remaining == ["conv", "conv_1"]


def test_a_dataset_gives_the_same_ablation_as_its_arrays(images):
    model, (x, y) = residual_model(), images
    x = np.round(x).astype(np.uint8)
    dataset = Batch(x, y, ("a", "b", "c"), tuple(map(str, range(12))))
    for mode in ("remove", "mean"):
        from_dataset = ablate(model, "block2", dataset, mode=mode).evaluations["block2"]
        from_arrays = ablate(model, "block2", x, y, mode=mode).evaluations["block2"]
        assert from_dataset.probs == pytest.approx(from_arrays.probs, abs=1e-6)
