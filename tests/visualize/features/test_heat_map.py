"""A classifier slid over larger images: its own logits on its own crop, and those of each crop where nothing pads."""

import json

import keras
import numpy as np
import pytest
from keras import layers
from PIL import Image
from scipy.interpolate import RegularGridInterpolator

import kerascnn
from kerascnn.inputs.resize import Box
from kerascnn.visualize.features.convolutional import to_fully_convolutional
from kerascnn.visualize.features.heat_map import heat_map

SHAPE = (24, 20, 3)


def trunk(padding="same"):
    return [
        layers.Rescaling(1 / 128, -1),
        layers.Conv2D(6, 3, 2, padding=padding, activation="relu"),
        layers.MaxPooling2D(2),
        layers.Conv2D(8, 3, padding=padding, activation="relu"),
    ]


HEADS = {
    "average": lambda end: [layers.GlobalAveragePooling2D(), layers.Dropout(0.5), layers.Dense(5, end)],
    "maximum": lambda end: [layers.GlobalMaxPooling2D(), layers.Dense(5, end)],
    "dense": lambda end: [layers.Flatten(), layers.Dense(5, end)],
    "flat-relu-dense": lambda end: [layers.Flatten(), layers.ELU(), layers.Dropout(0.5), layers.Dense(5, end)],
    "dense-norm-dense": lambda end: [
        layers.Flatten(),
        layers.Dense(7),
        layers.BatchNormalization(axis=1),
        layers.ReLU(),
        layers.Dense(6, "tanh"),
        layers.LayerNormalization(),
        layers.Dense(5),
        layers.Activation(end),
    ],
    "conv-average": lambda end: [
        layers.Conv2D(5, 1, activation="relu"),
        layers.GlobalAveragePooling2D(),
        layers.Activation(end),
    ],
    "average-conv": lambda end: [
        layers.GlobalAveragePooling2D(keepdims=True),
        layers.Conv2D(5, 1),
        layers.Reshape((5,)),
        layers.Activation(end),
    ],
}


def sequential(*parts):
    return keras.Sequential([layers.Input(SHAPE), *(layer for part in parts for layer in part)])


def functional(*parts):
    x = inputs = layers.Input(SHAPE)
    for layer in (layer for part in parts for layer in part):
        x = layer(x)
    return keras.Model(inputs, x)


def nested(*parts):
    return keras.Sequential([layers.Input(SHAPE), *(keras.Sequential(part) for part in parts)])


def randomized(model, rng):
    """A model or layer, with all that is 0 or 1 at the start no longer so."""
    model.set_weights([w + 0.2 * np.abs(rng.standard_normal(w.shape)) for w in model.get_weights()])
    return model


def state(model):
    every = model._flatten_layers()
    return json.dumps(model.get_config(), default=str), [len(layer._inbound_nodes) for layer in every]


CASES = [(nested, head) for head in HEADS] + [(functional, "dense"), (sequential, "average"), (sequential, "dense")]


@pytest.mark.parametrize(("spelling", "head"), CASES, ids=lambda case: getattr(case, "__name__", case))
def test_map_of_the_input_size_equals_the_classifier(head, spelling, rng):
    model = randomized(spelling(trunk(), HEADS[head]("softmax")), rng)
    linear = functional(trunk(), HEADS[head]("linear"))
    linear.set_weights(model.get_weights())
    before, weights = state(model), model.get_weights()
    net = to_fully_convolutional(model)
    x = rng.uniform(0, 255, (2, *SHAPE)).astype(np.float32)
    found = net(x)
    assert found.shape == (2, 1, 1, 5)
    np.testing.assert_allclose(found[:, 0, 0], linear(x), rtol=1e-5, atol=1e-5)
    assert state(model) == before
    for old, new in zip(weights, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    assert not {id(w) for w in model.weights} & {id(w) for w in net.weights}


@pytest.mark.parametrize("head", ["average", "maximum", "dense", "dense-norm-dense"])
def test_each_position_equals_the_classifier_on_its_window(head, rng):
    model = randomized(functional(trunk("valid"), HEADS[head]("softmax")), rng)
    image = rng.integers(0, 256, (33, 30, 3), dtype=np.uint8)
    slide = heat_map(model, image).maps[0]
    assert slide.stride == (4, 4)
    assert slide.probs.shape == ((33 - 24) // 4 + 1, (30 - 20) // 4 + 1, 5)
    for place in np.ndindex(slide.probs.shape[:2]):
        top, left, height, width = map(int, slide.box(*place))
        assert (height, width) == SHAPE[:2]
        crop = image[top : top + height, left : left + width].astype(np.float32)
        np.testing.assert_allclose(slide.probs[place], model(crop[None])[0], rtol=1e-4, atol=1e-6)


@pytest.mark.nightly
@pytest.mark.parametrize("name", kerascnn.list_models("tiny*"))
def test_tiny_networks_become_fully_convolutional(name, rng):
    model = kerascnn.build_model(name)
    x = rng.uniform(0, 255, (2, 32, 32, 3)).astype(np.float32)
    logits = keras.Model(model.input, model.get_layer("logits").output)(x)
    net = to_fully_convolutional(model)
    np.testing.assert_allclose(net(x)[:, 0, 0], logits, rtol=1e-4, atol=1e-4 * np.abs(logits).max())
    assert net.get_layer("logits")
    assert {*heat_map(model, np.pad(x[0], ((0, 40), (0, 32), (0, 0)))).maps[0].stride} < {1, 2, 4, 8, 16, 32}


def test_operations_shared_layers_and_open_sizes(rng):
    inputs = layers.Input((None, None, 3))
    conv, norm = layers.Conv2D(3, 3), layers.BatchNormalization()
    scale = layers.Normalization()
    scale.adapt(rng.uniform(0, 255, (2, 5, 5, 3)))
    x = norm(conv(norm(conv(scale(inputs / 2.0))))) * 2.0
    x = layers.concatenate([keras.ops.mean(x, (1, 2)), layers.GlobalMaxPooling2D()(x)])
    x = layers.Dense(4, "relu")(keras.ops.tanh(x))
    model = keras.Model(inputs, layers.Softmax()(x))
    randomized(norm, rng)
    net = to_fully_convolutional(model, size=(12, 14))
    image = rng.uniform(0, 255, (1, 15, 16, 3)).astype(np.float32)
    probs = keras.ops.softmax(net(image))
    assert probs.shape == (1, 4, 3, 4)
    for i, j in np.ndindex(4, 3):
        crop = image[:, i : i + 12, j : j + 14]
        np.testing.assert_allclose(probs[:, i, j], model(crop, training=False), rtol=1e-4, atol=1e-6)
    assert {layer.name for layer in net.layers} > {conv.name, norm.name}


def excited(x):
    gate = layers.Dense(8, "sigmoid")(layers.GlobalAveragePooling2D(keepdims=True)(x))
    return layers.GlobalAveragePooling2D()(layers.Multiply(name="bad")([x, gate]))


def attended(x):
    tokens = layers.Reshape((-1, 8), name="bad")(x)
    return layers.GlobalAveragePooling1D()(layers.MultiHeadAttention(2, 4)(tokens, tokens))


def two_depths(x):
    deeper = layers.MaxPooling2D(2)(x)
    both = [layers.GlobalAveragePooling2D()(each) for each in (x, deeper)]
    return layers.Concatenate(name="bad")(both)


REFUSED = {
    "squeeze and excitation": excited,
    "attention": attended,
    "pooled at two depths": two_depths,
    "norm of a flattened map": lambda x: layers.BatchNormalization(name="bad")(layers.Flatten()(x)),
    "norm over places": lambda x: layers.Flatten()(layers.GroupNormalization(2, name="bad")(x)),
    "fixed size": lambda x: layers.Flatten()(layers.Resizing(3, 3, name="bad")(x)),
    "weights by place": lambda x: layers.Flatten()(layers.PReLU(name="bad")(x)),
    "3x3 after pooling": lambda x: layers.Flatten()(
        layers.Conv2D(4, 3, padding="same", name="bad")(layers.GlobalMaxPooling2D(keepdims=True)(x))
    ),
    "one place": lambda x: layers.Lambda(lambda y: y[:, 2, 2], name="bad", output_shape=(8,))(x),
}


@pytest.mark.parametrize("head", REFUSED)
def test_unsupported_layers_are_named(head):
    model = functional(trunk(), [])
    model = keras.Model(model.input, layers.Dense(5)(REFUSED[head](model.output)))
    before = state(model)
    with pytest.raises(
        ValueError, match=r"`model` should be convertible to a fully convolutional network.* whose layer 'bad'"
    ):
        to_fully_convolutional(model)
    assert state(model) == before


def test_models_with_map_outputs_are_rejected():
    with pytest.raises(ValueError, match="should return scores"):
        to_fully_convolutional(functional(trunk(), []))


def reddest(end="softmax"):
    """Means of red and blue over a window of 16x16, by hand."""
    head = layers.Dense(2 if end == "softmax" else 1, end)
    model = keras.Sequential(
        [layers.Input((16, 16, 3)), layers.AveragePooling2D(4), layers.GlobalAveragePooling2D(), head]
    )
    kernel = np.float32([[1, 0], [0, 0], [0, 1]]) / 64
    head.set_weights([kernel, np.zeros(2)] if end == "softmax" else [kernel[:, :1] - kernel[:, 1:], np.zeros(1)])
    return model


def photo(factor=1):
    image = np.full((64, 80, 3), 90, np.uint8)
    image[24:40, 40:56] = (250, 10, 10)
    return image.repeat(factor, 0).repeat(factor, 1)


@pytest.mark.parametrize("end", ["softmax", "sigmoid"])
def test_a_planted_object_is_where_its_class_is_strongest(end):
    found = heat_map(
        reddest(end), photo(), class_names=("red", "blue") if end == "softmax" else ("blue", "red"), classes="red"
    )
    (window,) = found.best[0]
    assert window.class_name == "red"
    assert window.box == Box(24, 40, 16, 16)
    assert window.probability == pytest.approx(1 / (1 + np.exp(-240 / 64)), rel=1e-5)
    assert found.scores[0].shape == found.probs[0].shape == (13, 17, 2)
    assert [middle[0] for middle in found.maps[0].centers] == [8, 8]
    assert "red, at 16x16 pixels at (40, 24)" in str(found)


def test_several_sigmoids_are_independent(rng):
    model = randomized(functional(trunk("valid"), [layers.GlobalMaxPooling2D(), layers.Dense(2, "sigmoid")]), rng)
    model.set_weights([0.1 * w for w in model.get_weights()])
    image = rng.integers(0, 256, (30, 20, 3), dtype=np.uint8)
    probs = heat_map(model, image).probs[0]
    np.testing.assert_allclose(probs[0, 0], model(image[None, :24].astype(np.float32))[0], rtol=1e-5)


@pytest.mark.parametrize("options", [{"longest": 80}, {"scales": 4}], ids=["longest", "scale"])
def test_boxes_are_in_the_pixels_of_the_photo(options):
    """A photo of twice the size, looked at in half its own: places and windows are twice as large."""
    found = heat_map(reddest(), Image.fromarray(photo(2)), 0, **options)
    assert found.best[0][0].box == Box(48, 80, 32, 32)
    assert found.maps[0].stride == (8, 8)


def test_a_small_photo_is_enlarged_to_one_window():
    slide = heat_map(reddest(), photo()[:10, :12]).maps[0]
    assert slide.scores.shape == (1, 1, 2)
    assert slide.box(0, 0) == pytest.approx((0, 0, 10, 10), abs=0.6)


def test_scales_are_averaged_where_they_are_in_the_photo(rng):
    model, image = reddest(), rng.integers(0, 256, (40, 64, 3), dtype=np.uint8)
    fine, coarse, both = (heat_map(model, image, scales=scales).maps[0] for scales in (3, 1.5, (3, 1.5)))
    rows, columns = (
        np.clip(middles, *known[[0, -1]]) for middles, known in zip(fine.centers, coarse.centers, strict=True)
    )
    at = np.stack(np.meshgrid(rows, columns, indexing="ij"), -1)
    expected = (fine.scores + RegularGridInterpolator(coarse.centers, coarse.scores)(at)) / 2
    np.testing.assert_allclose(both.scores, expected, atol=1e-5)
    assert both.window == fine.window


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"classes": "green", "class_names": ("red", "blue")}, "Unknown class 'green'"),
        ({"classes": 2}, "integers from 0 to 1"),
        ({"classes": ()}, "`classes` should have at least one class. Received: none"),
        ({"scales": 0.5}, "at least 1"),
        ({"scales": (1, 100)}, "`longest`=1024"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_invalid_arguments(options, message):
    with pytest.raises(ValueError, match=message):
        heat_map(reddest(), photo(), **options)


def test_cells_are_drawn_at_the_center_of_their_window(tmp_path, rng):
    found = heat_map(reddest(), [photo(), photo()[:30]], class_names=("red", "blue"))
    figure = found.plot()
    drawn = figure.axes[1].images[1]
    left, right, bottom, top = drawn.get_extent()
    assert (left, right, bottom, top) == (8 - 2, 72 + 2, 56 + 2, 8 - 2)
    np.testing.assert_allclose(drawn.get_array(), found.probs[0][..., found.maps[0].classes[0]])
    assert found.save(tmp_path / "map.png").stat().st_size > 10_000


@pytest.mark.nightly
def test_squeezenet_on_its_crop_is_the_classifier(squeezenet, shared):
    file = shared("data", "imagenet_sample", "0282_n02123159.jpg")
    crop = np.asarray(Image.open(file).convert("RGB"))[16:240, 16:240]
    found = heat_map(squeezenet, crop, class_names=False)
    np.testing.assert_allclose(found.probs[0][0, 0], squeezenet(crop[None].astype(np.float32))[0], atol=1e-5)
    assert found.maps[0].box(0, 0) == Box(0, 0, 224, 224)
    assert heat_map(squeezenet, file, scales=2, class_names=False).maps[0].probs.shape == (15, 15, 1000)
