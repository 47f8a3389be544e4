"""Counts against published numbers and against counting by hand."""

import json
import re

import keras
import numpy as np
import pandas as pd
import pytest
from keras import layers

from kerascnn.anatomy import dissect
from kerascnn.graph.walk import build_graph
from kerascnn.zoo.layers import weightless


def blank(build, **config):
    """A model without weights in memory."""
    with weightless():
        return build(weights=None, **config)


@pytest.fixture(scope="module")
def vgg():
    return dissect(blank(keras.applications.VGG16))


# Parameters as the papers and Keras print them; multiply-adds of convolutions and dense layers at 224 (299) pixels.
PUBLISHED = {
    "VGG16": (138_357_544, 15.470e9),
    "ResNet50": (25_636_712, 3.858e9),
    "ResNet50V2": (25_613_800, 3.4823e9),
    "DenseNet121": (8_062_504, 2.8342e9),
    "InceptionV3": (23_851_784, 5.7132e9),
    "MobileNetV2": (3_538_984, 0.3008e9),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_counts(name):
    params, macs = PUBLISHED[name]
    anatomy = dissect(blank(getattr(keras.applications, name)))
    assert anatomy.params == params
    assert anatomy.macs == pytest.approx(macs, rel=1e-4)


def test_vgg16_memory_by_layer(vgg):
    assert vgg.activations == 15_237_608
    assert vgg.bytes == pytest.approx(61e6, rel=1e-3)
    assert vgg.outputs == vgg.activations + 25_088, "only Flatten is counted twice among all outputs"
    assert max(vgg.rows, key=lambda row: row.params).name == "fc1"
    assert vgg.row("fc1").params == 7 * 7 * 512 * 4096 + 4096 > vgg.params / 2
    largest = sorted(vgg.rows, key=lambda row: -row.activations)[:2]
    assert [row.name for row in largest] == ["block1_conv1", "block1_conv2"]


def macs_of(layer, shape):
    image = keras.Input(shape)
    return dissect(keras.Model(image, layer(image))).rows[-1].macs


@pytest.mark.parametrize(
    ("layer", "shape", "expected"),
    [
        (layers.Conv2D(5, 3, padding="same"), (8, 6, 4), 8 * 6 * 9 * 4 * 5),
        (layers.Conv2D(6, 3, strides=2, padding="same", groups=2), (8, 6, 4), 4 * 3 * 9 * 2 * 6),
        (layers.DepthwiseConv2D(3, depth_multiplier=2), (8, 6, 4), 6 * 4 * 9 * 4 * 2),
        (layers.SeparableConv2D(5, 3), (8, 6, 4), 6 * 4 * (9 * 4 + 4 * 5)),
        (layers.Conv2DTranspose(5, 2, strides=2), (8, 6, 4), 8 * 6 * 4 * 4 * 5),
        (layers.Conv1D(5, 3), (8, 4), 6 * 3 * 4 * 5),
        (layers.Conv3D(5, 2), (4, 4, 4, 3), 27 * 8 * 3 * 5),
        (layers.Dense(7), (5,), 35),
        (layers.Dense(7), (4, 4, 5), 16 * 35),
        (layers.EinsumDense("abc,cde->abde", (None, 2, 3)), (6, 5), 6 * 5 * 6),
        (layers.EinsumDense("...c,cd->...d", 3), (6, 5), 6 * 5 * 3),
        (layers.TimeDistributed(layers.Dense(3)), (6, 5), 6 * 15),
        (layers.BatchNormalization(), (8, 8, 3), 0),
        (layers.MaxPooling2D(2), (8, 8, 3), 0),
        (layers.LSTM(3), (5, 2), None),
    ],
    ids=lambda value: value.name if isinstance(value, layers.Layer) else None,
)
def test_multiply_adds_by_hand(layer, shape, expected):
    assert macs_of(layer, shape) == expected


def test_attention_counts_projections_and_products():
    tokens = keras.Input((10, 8))
    model = keras.Model(tokens, layers.MultiHeadAttention(2, 4)(tokens, tokens))
    assert dissect(model).macs == 4 * 10 * 8 * 8 + 2 * 10 * 10 * (4 + 4)


def test_moving_statistics_and_frozen_layers():
    model = keras.Sequential([keras.Input((8, 8, 3)), layers.Conv2D(4, 3), layers.BatchNormalization()])
    norm = dissect(model).rows[-1]
    assert (norm.params, norm.learnable, norm.trainable) == (16, 8, 8)
    model.layers[0].trainable = False
    anatomy = dissect(model)
    assert (anatomy.learnable, anatomy.trainable) == (112 + 8, 8)
    assert anatomy.row(model.layers[0].name).trainable == 0


def test_shared_layers_count_weights_once_and_multiply_adds_per_call():
    left, right = keras.Input((8, 8, 3)), keras.Input((4, 4, 3))
    shared = layers.Conv2D(2, 1, name="shared")
    pool = layers.GlobalAveragePooling2D()
    model = keras.Model([left, right], layers.Add()([pool(shared(left)), pool(shared(right))]))
    anatomy = dissect(model)
    assert anatomy.params == model.count_params() == 8
    assert [row.macs for row in anatomy.rows if row.name.startswith("shared")] == [8 * 8 * 6, 4 * 4 * 6]


def test_nested_models_at_any_depth():
    inner = keras.Sequential([keras.Input((None, None, 3)), layers.Conv2D(4, 3, name="conv")], name="inner")
    image = keras.Input((10, 10, 3))
    middle = keras.Model(image, layers.ReLU()(inner(image)), name="middle")
    outer_image = keras.Input((12, 12, 3))
    model = keras.Model(outer_image, layers.Flatten()(middle(outer_image[:, 1:11, 1:11])))
    row = dissect(model).row("middle/inner/conv")
    assert (row.shape, row.macs, row.receptive_field) == ((8, 8, 4), 64 * 27 * 4, (3, 3))
    assert dissect(model).params == model.count_params()


def test_a_nested_model_called_twice_is_traced_at_each_size():
    inner = keras.Sequential([keras.Input((None, None, 1)), layers.Conv2D(1, 3, name="conv")], name="inner")
    image = keras.Input((9, 9, 1))
    model = keras.Model(image, inner(inner(image)))
    anatomy = dissect(model)
    shapes = {row.name: row.shape for row in anatomy.rows}
    assert shapes["inner/conv"] == (7, 7, 1)
    assert shapes["inner/conv#2"] == (5, 5, 1)
    assert anatomy.rows[-1].receptive_field == (5, 5)
    assert anatomy.params == 10


def test_open_sizes_need_input_shape():
    model = keras.Sequential([keras.Input((None, None, 3)), layers.Conv2D(4, 3), layers.Conv2D(4, 3)])
    anatomy = dissect(model)
    assert anatomy.macs is None
    assert anatomy.rows[1].macs is None
    assert anatomy.rows[-1].receptive_field == (5, 5)
    assert "?x?x4" in anatomy.to_text()
    assert np.isnan(anatomy.table.macs.iloc[1])
    settled = dissect(model, input_shape=(10, 8, 3))
    assert settled.macs == 8 * 6 * 27 * 4 + 6 * 4 * 36 * 4
    with pytest.raises(ValueError, match="`input_shape` should match"):
        dissect(model, input_shape=(10, 8, 1))


def test_operations_are_nodes_too():
    image = keras.Input((8, 8, 4))
    model = keras.Model(image, keras.ops.relu(image[..., :2]) + 1.0)
    assert [node.kind for node in build_graph(model).nodes] == ["InputLayer", "GetItem", "Relu", "Add"]
    assert dissect(model).activations == 8 * 8 * 4, "slices and sums take no memory of their own"


def test_models_without_a_graph_are_refused():
    with pytest.raises(ValueError, match="`model` should be a Functional"):
        dissect(keras.Sequential([layers.Dense(3)]))


def test_texts_and_files(vgg, tmp_path):
    assert "138,357,544" in vgg.to_text()
    assert "15.24 M activations" in vgg.to_text()
    assert "... 17 more" in vgg.to_text(max_rows=6)
    content = json.loads(vgg.save(tmp_path / "vgg.json").read_text())
    assert content["totals"]["params"] == 138_357_544
    assert content["rows"][1]["shape"] == [224, 224, 64]
    table = pd.read_csv(vgg.save(tmp_path / "vgg.csv"))
    assert table.params.sum() == 138_357_544
    assert table.macs.sum() == vgg.macs
    page = vgg.save(tmp_path / "vgg.html").read_text()
    assert "<script" not in page
    assert "<html" not in page
    assert "fc1" in page
    classes = set(re.findall(r"class=[\"']?([\w-]+)", page))
    assert classes
    assert all(name.startswith("kc-") for name in classes)
    assert (tmp_path / "sub" / "vgg.txt") == vgg.save(tmp_path / "sub" / "vgg.txt")
    assert not list(tmp_path.rglob("*.tmp"))
    with pytest.raises(ValueError, match=r"`path` should end in one of \.csv"):
        vgg.save(tmp_path / "vgg.xlsx")
    assert set(vgg._repr_mimebundle_()) == {"text/plain", "text/html"}


def test_unknown_is_null_in_json():
    model = keras.Sequential([keras.Input((None, None, 3)), layers.Conv2D(4, 3)])
    assert json.loads(dissect(model).to_json())["totals"]["macs"] is None


def test_unknown_row_suggests_near_names(vgg):
    with pytest.raises(ValueError, match=r"did you mean fc1.*Received: 'fc11'"):
        vgg.row("fc11")


def test_repr_is_one_line(vgg):
    assert repr(vgg) == "<Anatomy: vgg16, 23 layers, 138.4 M parameters, 15.47 G multiply-adds>"
    assert str(vgg).startswith("vgg16\nlayer")
    open_sizes = keras.Sequential([keras.Input((None, None, 3)), layers.Conv2D(4, 3)], name="open")
    assert repr(dissect(open_sizes)) == "<Anatomy: open, 2 layers, 112 parameters, ? multiply-adds>"
