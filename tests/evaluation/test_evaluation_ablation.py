"""Networks without parts: identities, counts by hand, and networks whose parts do what is known."""

from functools import cache

import keras
import numpy as np
import pytest
from keras import layers

import kerascnn
from kerascnn import ablate
from kerascnn.data import Batch
from kerascnn.evaluation import NotRemovable, without_part


def residual():
    """4 channels; block1 adds the shortcut to itself doubled, block2 projects, block3 adds nothing."""
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


def read(model, name, x):
    return np.asarray(keras.Model(model.input, model.get_layer(name).output)(x))


def test_a_branch_leaves_its_shortcut(images):
    model, (x, _) = residual(), images
    assert read(model, "block1", x) == pytest.approx(3 * x)
    cut = without_part(model, "block1")
    assert "block1_conv" not in [layer.name for layer in cut.layers]
    assert cut.count_params() == model.count_params() - 16
    behind = keras.Model(model.get_layer("block1").output, model.output)
    assert np.asarray(cut(x)) == pytest.approx(np.asarray(behind(x)), abs=1e-6)


def test_a_projection_is_the_shorter_way(images):
    model, (x, _) = residual(), images
    cut = without_part(model, "block2")
    names = [layer.name for layer in cut.layers]
    assert "block2_skip" in names
    assert not {"block2_conv1", "block2_conv2"} & {*names}
    kernel, bias = model.get_layer("block2_skip").get_weights()
    assert read(cut, "block2", x) == pytest.approx(np.maximum(3 * x @ kernel[0, 0] + bias, 0), rel=1e-4, abs=1e-3)


@pytest.mark.parametrize("name", ["block3", "block3_conv"])
@pytest.mark.parametrize("how", ["remove", "zero"])
def test_what_adds_nothing_is_not_missed(images, name, how):
    """Also where the sum behind the block has another name."""
    model, (x, _) = residual(), images
    assert np.asarray(without_part(model, name, how)(x)) == pytest.approx(np.asarray(model(x)), abs=1e-6)


def test_a_layer_of_a_branch_is_bypassed_and_the_branch_stays(images):
    model, (x, _) = residual(), images
    names = [layer.name for layer in without_part(model, "block2_conv2").layers]
    assert "block2_conv2" not in names
    assert "block2_conv1" in names
    halves = [read(model, name, x) for name in ("block2_conv1", "block2_skip")]
    cut = read(without_part(model, "block2_conv2"), "block2_add", x)
    assert cut == pytest.approx(sum(halves), rel=1e-4, abs=1e-3)


def test_the_model_itself_stays_as_it_is(images):
    model, (x, y) = residual(), images
    config, weights, before = model.get_config(), model.get_weights(), np.asarray(model(x))
    calls = [len(layer._inbound_nodes) for layer in model.layers]

    def retrain(network):
        network.set_weights([0 * each for each in network.get_weights()])

    ablate(model, ["block1", "block2"], x, y, retrain=retrain)
    assert model.get_config() == config
    assert all((one == two).all() for one, two in zip(model.get_weights(), weights, strict=True))
    assert [len(layer._inbound_nodes) for layer in model.layers] == calls
    assert (np.asarray(model(x)) == before).all()


def test_units_give_zero_or_their_mean(images):
    model, (x, y) = residual(), images
    maps = read(model, "block2", x)
    zero = read(without_part(model, "block2", "zero", units=[1, 5]), "block2_ablated", x)
    kept = [0, 2, 3, 4, 6, 7]
    assert (zero[..., [1, 5]] == 0).all()
    assert zero[..., kept] == pytest.approx(maps[..., kept])
    means = maps.reshape(-1, 8).mean(0)
    whole = read(without_part(model, "block2", "mean", means=means), "block2_ablated", x)
    assert whole == pytest.approx(np.broadcast_to(means, maps.shape), rel=1e-5)
    found = ablate(model, "block2", x, y, mode="mean")  # then all images get one answer
    probs = found.evaluations["block2"].probs
    assert np.ptp(probs, axis=0).max() < 1e-6
    features = means  # nothing comes after block2 but a branch of zeros
    kernel, bias = model.get_layer("logits").get_weights()
    expected = np.exp(features @ kernel + bias - (features @ kernel + bias).max())
    assert probs[0] == pytest.approx(expected / expected.sum(), abs=1e-4)


REFUSED = {
    "input": ("input", "remove", "the model's input"),
    "output": ("probs", "remove", "the output of the model"),
    "shape": ("logits", "remove", "changes the shape from 8 to 3"),
    "zeroed output": ("probs", "zero", "the output of the model"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_left_out(case):
    name, how, reason = REFUSED[case]
    with pytest.raises(NotRemovable, match=reason):
        without_part(residual(), name, how)


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
def built(network):
    return kerascnn.build_model(network)


@pytest.mark.parametrize(("network", "part"), BRANCHES, ids=str)
def test_blocks_of_the_zoo_lose_their_convolutions(network, part):
    model = built(network)
    cut = without_part(model, part)
    gone = {layer.name for layer in model.layers} - {layer.name for layer in cut.layers}
    convs = {layer.name for layer in model.layers if layer.name.startswith(f"{part}_") and "_conv" in layer.name}
    assert gone >= convs > set()
    assert not any("skip" in name for name in gone if not name.endswith("norm"))
    weights = sum(model.get_layer(name).count_params() for name in gone)
    assert cut.count_params() == model.count_params() - weights


def test_the_table(rng):
    model = kerascnn.build_model("tiny_resnet")
    x, y = rng.integers(0, 256, (40, 32, 32, 3), np.uint8), rng.integers(0, 10, 40)
    given = []

    def retrain(network):
        given.append(network)
        network.get_layer("logits").bias.assign(100 * np.eye(10)[3])

    found = ablate(
        model, ["stage1_block1", "stage2_block2", ("stage2", [0, 1]), "logits"], x, y, mode="zero", retrain=retrain
    )
    assert found.table["part"].tolist() == ["stage1_block1", "stage2_block2", "stage2:0,1", "logits"]
    assert not found.not_removable
    assert len(given) == 5
    for row in found.table.itertuples():
        assert row.drop == pytest.approx(found.baseline.accuracy - row.accuracy)
        assert row.drop_low <= row.drop <= row.drop_high
    same = found.table[found.table["part"] != "logits"]
    assert same["retrained_accuracy"].tolist() == pytest.approx([np.mean(y == 3)] * 3)  # always class 3
    assert found.retrained_baseline.accuracy == pytest.approx(np.mean(y == 3))
    assert f"{100 * found.table['drop'][0]:.1f} (" in str(found)
    assert max(map(len, str(found).splitlines())) <= 120


def test_refusals_are_listed_beside_results(images, tmp_path):
    model, (x, y) = residual(), images
    found = ablate(model, ["block3", "logits"], x, y)
    assert found.not_removable == {"logits": "logits changes the shape from 8 to 3"}
    assert found.table["drop"].tolist() == [0]
    assert found.save(tmp_path / "drops.png").stat().st_size > 5000
    assert found.save(tmp_path / "drops.csv").read_text().startswith("part,mode,params")
    with pytest.raises(NotRemovable, match="logits changes"):
        ablate(model, "logits", x, y)
    with pytest.raises(ValueError, match="logits"):
        ablate(model, "logitz", x, y)


def test_names_that_keras_gave_are_no_parts_of_one_another(rng):
    """Of conv2d, conv2d_1 and conv2d_2 one goes."""
    x = inputs = keras.Input((4, 4, 2))
    for name in ("conv", "conv_1", "conv_2", "conv_2_norm"):
        x = layers.Conv2D(2, 1, name=name)(x)
    model = keras.Model(inputs, layers.Dense(2)(layers.Flatten()(x)))
    left = [layer.name for layer in without_part(model, "conv").layers if layer.name.startswith("conv")]
    assert left == ["conv_1", "conv_2", "conv_2_norm"]
    left = [layer.name for layer in without_part(model, "conv_2").layers if layer.name.startswith("conv")]
    assert left == ["conv", "conv_1"]


def test_a_dataset_and_its_means_are_as_its_arrays(images):
    model, (x, y) = residual(), images
    x = np.round(x).astype(np.uint8)
    given = Batch(x, y, ("a", "b", "c"), tuple(map(str, range(12))))
    for how in ("remove", "mean"):
        one, two = (ablate(model, "block2", *each, mode=how) for each in ((given,), (x, y)))
        assert one.evaluations["block2"].probs == pytest.approx(two.evaluations["block2"].probs, abs=1e-6)
