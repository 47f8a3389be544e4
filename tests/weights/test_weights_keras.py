"""Files of keras.applications: all of each fills our network, and pixels are scaled as Keras scales them."""

import keras
import numpy as np
import pytest
from fitted import blank, fitted

from kerascnn.weights.names import APPLICATIONS
from kerascnn.weights.variables import array_from_keras, model_slots
from kerascnn.zoo.layers import SCALES, Scale, weightless
from kerascnn.zoo.registry import weights_sources


def resnext_file(network):
    """Names and shapes of keras.applications' old ResNeXt files, whose grouped convolutions are depthwise."""
    depths = (3, 4, 6, 3) if "50" in network else (3, 4, 23, 3)
    rows = {"conv1_conv/kernel": (7, 7, 3, 64)} | normed("conv1_bn", 64)
    inputs = 64
    for stage, depth in enumerate(depths):
        filters = 128 * 2**stage
        for block in range(1, depth + 1):
            name = f"conv{stage + 2}_block{block}"
            if block == 1:
                rows |= {f"{name}_0_conv/kernel": (1, 1, inputs, 2 * filters)} | normed(f"{name}_0_bn", 2 * filters)
            rows |= {f"{name}_1_conv/kernel": (1, 1, inputs, filters)} | normed(f"{name}_1_bn", filters)
            c = filters // 32
            rows |= {f"{name}_2_conv/depthwise_kernel": (3, 3, filters, c)} | normed(f"{name}_2_bn", filters)
            rows |= {f"{name}_2_gconv/kernel": (1, 1, filters * c, filters)}
            rows |= {f"{name}_3_conv/kernel": (1, 1, filters, 2 * filters)} | normed(f"{name}_3_bn", 2 * filters)
            inputs = 2 * filters
    return rows | {"probs/kernel": (2048, 1000), "probs/bias": (1000,)}


def normed(name, channels):
    return {f"{name}/{part}": (channels,) for part in ("gamma", "beta", "moving_mean", "moving_variance")}


OWN_NUMBERS = ["inception_v3_keras", "densenet121"]  # layers named by Keras itself (conv2d_7), and by hand


@pytest.mark.parametrize(
    ("network", "style"), [*((name, "old") for name in APPLICATIONS), *((name, "new") for name in OWN_NUMBERS)]
)
def test_files_of_keras_applications_fill_everything(network, style):
    with weightless():
        theirs = getattr(keras.applications, APPLICATIONS[network])(weights=None)
    rows = {}
    for layer in theirs.layers:
        for i, weight in enumerate(layer.weights):
            rows[f"{layer.name}/{weight.name if style == 'old' else i}"] = tuple(weight.shape)
    if style == "new":  # groups of Keras 3 files are in order of the alphabet
        rows = dict(sorted(rows.items()))
    report, model = fitted(network, blank(rows))
    assert (report.used, report.ignored, report.notes) == (len(model.weights), (), [])


@pytest.mark.parametrize("network", ["resnext50_32x4d", "resnext101_32x4d"])
def test_old_resnext_files_fill_everything(network):
    report, model = fitted(network, blank(resnext_file(network)))
    assert (report.used, report.notes) == (len(model.weights), [])
    assert all(name.endswith("_gconv/kernel") for name in report.ignored)


def test_every_keras_source_is_tested():
    found = {network for network, rows in weights_sources().items() for row in rows if row.publisher == "keras"}
    assert found == {*APPLICATIONS, "resnext50_32x4d", "resnext101_32x4d"}


def test_depthwise_sums_are_a_grouped_convolution(rng):
    """Old ResNeXt: a depthwise convolution, and the sum of every c-th of a group's maps, as one grouped kernel."""
    filters, c = 8, 2
    depthwise = rng.normal(size=(3, 3, filters, c)).astype("f4")
    sums = np.zeros((1, 1, filters * c, filters), "f4")
    for i in range(filters):
        start = (i // c) * c * c + i % c
        sums[:, :, start : start + c * c : c, i] = 1
    x = rng.normal(size=(1, 5, 5, filters)).astype("f4")
    expected = keras.ops.conv(keras.ops.depthwise_conv(x, depthwise), sums)
    layer = keras.layers.Conv2D(filters, 3, groups=filters // c, use_bias=False, name="grouped")
    model = keras.Sequential([keras.Input((5, 5, filters)), layer])
    layer.kernel.assign(array_from_keras(depthwise, model_slots(model)[0]))
    np.testing.assert_allclose(model(x), expected, atol=1e-5)


@pytest.mark.parametrize(
    "row", [row for rows in weights_sources().values() for row in rows if row.publisher == "keras"], ids=str
)
def test_keras_scales_as_keras_does(row):
    """The layer against keras.applications' own preprocessing."""
    pixels = np.random.default_rng(0).uniform(0, 255, (2, 3, 3, 3)).astype("f4")
    theirs = keras.src.applications.imagenet_utils.preprocess_input(pixels.copy(), mode=row.scale)
    np.testing.assert_allclose(Scale(**SCALES[row.scale])(pixels), theirs, atol=2e-4)
