"""What is special to a family: where strides, norms, groups and shortcuts are."""

import keras
import numpy as np
import pytest
from networks import outline

from kerascnn import build_model, card, features
from kerascnn.weights.names import layers_by_connection
from kerascnn.zoo.architectures.resnet import no_shortcut


def strides(name):
    return {layer.name: layer.strides[0] for layer in outline(name).layers if isinstance(layer, keras.layers.Conv2D)}


@pytest.mark.parametrize(
    ("name", "conv"), [("resnet50", 2), ("resnet50_v1", 1), ("resnet50v2", 2), ("resnext50_32x4d", 2)]
)
def test_which_convolution_has_the_stride(name, conv):
    found = strides(name)
    assert {key for key, stride in found.items() if stride == 2 and "skip" not in key and "stem" not in key} == {
        f"stage{stage}_block1_conv{conv}" for stage in (2, 3, 4)
    }


def test_keras_applications_v2_halves_at_the_end_of_a_stage():
    halved = [key for key, stride in strides("resnet50v2_keras").items() if stride == 2 and "stem" not in key]
    assert halved == ["stage1_block3_conv2", "stage2_block4_conv2", "stage3_block6_conv2"]


def test_v1_and_v15_have_the_same_weights_and_not_the_same_scores(rng):
    options = {"input_shape": (64, 64, 3), "classes": 10, "scale": "tf"}
    old, new = (build_model(name, **options) for name in ("resnet50_v1", "resnet50"))
    for a, b in zip(layers_by_connection(old), layers_by_connection(new), strict=True):
        a.set_weights(b.get_weights())
    x = rng.uniform(0, 255, (2, 64, 64, 3)).astype("float32")
    assert np.abs(features(old, "logits")(x) - features(new, "logits")(x)).max() > 1e-3


def test_a_plain_net_is_the_residual_net_without_its_sums(rng):
    model = build_model("plain20_cifar10")
    assert not any(isinstance(layer, keras.layers.Add) for layer in model.layers)
    assert any(isinstance(layer, keras.layers.Add) for layer in build_model("resnet20_cifar10").layers)
    x = rng.uniform(0, 255, (1, 32, 32, 3)).astype("float32")
    # a residual net whose branches return zero passes its input on; a plain net cannot
    deep = {
        n: build_model("tiny_resnet_a", drop_path=0.0, **o)
        for n, o in {"sum": {}, "plain": {"shortcut": no_shortcut}}.items()
    }
    for other in deep.values():
        for layer in other.layers:
            if layer.name.endswith("norm2"):
                layer.gamma.assign(np.zeros_like(layer.gamma))
    assert np.array(features(deep["sum"], "stage2")(x)).any()
    assert not np.array(features(deep["plain"], "stage2")(x)).any()


def test_wide_bottlenecks_double_inside_only():
    layers = {layer.name: layer for layer in outline("wide_resnet50_2").layers}
    assert [layers[f"stage4_block1_conv{i}"].filters for i in (1, 2, 3)] == [1024, 1024, 2048]


def test_groups():
    layers = {layer.name: layer for layer in outline("resnext50_32x4d").layers}
    assert layers["stage1_block1_conv2"].groups == 32
    assert [outline("alexnet_grouped").get_layer(f"conv{i}").groups for i in range(1, 6)] == [1, 2, 1, 2, 2]


def test_a_projection_shares_the_first_norm_in_pre_activation():
    model = outline("preresnet164_cifar10")
    first = model.get_layer("stage1_block1_1_relu")
    readers = {node.operation.name for node in first._outbound_nodes}
    assert readers == {"stage1_block1_conv1", "stage1_block1_skip"}
    assert not any(layer.name.endswith("skip_norm") for layer in model.layers)


def test_stochastic_depth_decays_linearly():
    rates = [layer.rate for layer in outline("resnet110_stochastic_cifar10").layers if layer.name.endswith("_drop")]
    survive = [1 - rate for rate in rates]
    assert len(rates) == 54
    assert survive[0] == pytest.approx(0.99074, abs=1e-5)
    assert survive[-1] == 0.5
    assert sum(survive) == pytest.approx(40.25)
    assert np.ptp(np.diff(survive)) == pytest.approx(0, abs=1e-12)


def test_stochastic_depth_of_zero_is_the_constant_depth_net(rng):
    ours = build_model("resnet110_stochastic_cifar10", drop_path=0.0, depths=(2, 2, 2))
    assert not any(layer.name.endswith("_drop") for layer in ours.layers)
    sure, never = (build_model("tiny_resnet_a", drop_path=rate) for rate in (0.0, 1e-9))
    never.set_weights(sure.get_weights())
    x = rng.uniform(0, 255, (2, 32, 32, 3)).astype("float32")
    np.testing.assert_allclose(never(x), sure(x), rtol=1e-5)


def test_dropped_branch_contributes_nothing(rng):
    """With a drop rate of one at the last block, training skips it, whatever its weights."""
    model = build_model("tiny_resnet_a", depths=(1, 1), drop_path=1.0)
    x = rng.uniform(0, 255, (2, 32, 32, 3)).astype("float32")
    read = features(model, "stage2")
    first = np.array(read(x))
    model.get_layer("stage2_block1_conv2").kernel.assign(
        rng.normal(size=model.get_layer("stage2_block1_conv2").kernel.shape)
    )
    np.testing.assert_array_equal(np.array(read(x)), first)


def test_fractal_columns():
    model = outline("fractalnet20_cifar10")
    convs = [layer.name for layer in model.layers if isinstance(layer, keras.layers.Conv2D)]
    per_block = [sum(name.startswith(f"stage{i}") for name in convs) for i in range(1, 6)]
    assert per_block == [7] * 5, "2^3 - 1 convolutions in a block of three columns"
    in_column = [sum(f"column{c}" in name for name in convs if name.startswith("stage1")) for c in (1, 2, 3)]
    assert in_column == [1, 2, 4]
    deep = [layer for layer in outline("fractalnet40_cifar100").layers if isinstance(layer, keras.layers.Conv2D)]
    assert sum("column4" in layer.name for layer in deep) == 40, "the deepest path"


def test_a_fractal_of_one_column_is_a_plain_net():
    model = build_model("fractalnet20_cifar10", columns=1, widths=(4, 4, 4, 4, 4))
    assert sum(isinstance(layer, keras.layers.Conv2D) for layer in model.layers) == 5
    assert not any(layer.name.endswith("join") for layer in model.layers)


def test_drawn_column_is_the_trained_path(rng):
    """Global drop-path: with column 1 drawn everywhere the deeper columns get no gradient."""
    import tensorflow as tf

    model = build_model("tiny_fractalnet", whole=1.0)
    x = tf.constant(rng.uniform(0, 255, (1, 32, 32, 3)).astype("float32"))
    drawn = features(model, ["column", "logits"])
    convs = [layer for layer in model.layers if isinstance(layer, keras.layers.Conv2D)]
    seen = set()
    for _ in range(12):
        with tf.GradientTape() as tape:
            out = drawn(x, training=True)
            loss = tf.reduce_sum(out["logits"] ** 2)
        grads = tape.gradient(loss, [layer.kernel.value for layer in convs])
        moved = {layer.name for layer, g in zip(convs, grads, strict=True) if g is not None and np.any(g)}
        column = int(out["column"][0])
        assert moved == {layer.name for layer in convs if f"column{column}" in layer.name}
        seen.add(column)
    assert seen == {1, 2, 3}


def test_zfnet_is_not_the_net_of_unpadded_pools():
    assert card("zfnet").params != 50_823_272
    assert outline("zfnet").get_layer("stage5").output.shape[1:3] == (6, 6)


def test_naive_modules_grow_to_4944_channels():
    assert outline("googlenet_naive").get_layer("stage4").output.shape[-1] == 4944
    assert card("googlenet_naive").params / card("googlenet").params == pytest.approx(13.94, abs=0.01)


def test_simple_bypass_is_around_every_other_fire_module():
    model = outline("squeezenet1_0_simple")
    sums = [layer.name for layer in model.layers if isinstance(layer, keras.layers.Add)]
    assert sums == ["stage2_fire2", "stage3_fire1", "stage3_fire3", "stage4"], "fire 3, 5, 7, 9"


def test_averages_of_inception_count_the_padding_in_torch_and_not_in_keras():
    ones = np.ones((1, 5, 5, 1), "float32")
    from kerascnn.zoo.architectures.inception import average_pool_3x3, average_pool_3x3_with_padding

    inputs = keras.Input((5, 5, 1))
    excluded = np.array(keras.Model(inputs, average_pool_3x3(inputs, None, "a", "a"))(ones))
    included = np.array(keras.Model(inputs, average_pool_3x3_with_padding(inputs, None, "b", "b"))(ones))
    assert np.all(excluded == 1)
    assert included[0, 0, 0, 0] == pytest.approx(4 / 9)
    assert included[0, 2, 2, 0] == pytest.approx(1)
