"""Models of others wherever a model is taken: their own pixels, several inputs, layers by names that we use too."""

import keras
import numpy as np
import pytest
from keras import layers, ops
from PIL import Image

from kerascnn.visualize import (
    activation_maps,
    choose,
    curves,
    energy,
    heat_map,
    lens,
    log_probability,
    logit,
    neuron,
    occlusion,
    probability,
    saliency,
    sanity,
    side_by_side,
)
from kerascnn.visualize.engine import query

SIZE = (12, 16)


def scaled(pixels):
    """BGR between -1 and 1."""
    return pixels[..., ::-1] / 127.5 - 1


@keras.saving.register_keras_serializable("test_foreign")
class Scaled(layers.Layer):
    """The same as a layer, which says that it takes each pixel by itself."""

    reach = "pointwise"

    def call(self, x):
        return scaled(x)


def network(inside=None):
    """A network that takes BGR between -1 and 1; with ``inside``, its own pixels."""
    inputs = keras.Input((*SIZE, 3), name="image")
    x = inputs if inside is None else inside(inputs)
    x = layers.Conv2D(4, 3, activation="relu", name="maps")(x)
    x = layers.Conv2D(4, 3, activation="relu", name="more")(x)
    return keras.Model(inputs, layers.Dense(3, "softmax", name="end")(layers.GlobalAveragePooling2D()(x)), name="net")


@pytest.fixture
def pair():
    """The same network twice: a probe that scales the pixels, and one that has the scaling inside."""
    inner, outer = network(), network(Scaled())
    for weight in inner.weights:
        weight.assign(np.random.default_rng(len(weight.shape)).normal(0, 0.5, weight.shape))
    outer.set_weights(inner.get_weights())
    asked = lens(inner, preprocess=scaled)
    return asked, outer


@pytest.fixture
def pixels(rng):
    return rng.uniform(0, 255, (4, *SIZE, 3)).astype(np.float32)


def same(found, expected):
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def numbers(table):
    return table.select_dtypes("number").drop(columns="seconds", errors="ignore").to_numpy(float)


READ = {
    "activation maps": lambda model, x: activation_maps(model, x, "more").values,
    "curves": lambda model, x: curves(model, saliency(model, x), steps=4).deletion,
    "choose": lambda model, x: numbers(choose(model, x, methods={"saliency": saliency}, steps=3).table),
    "sanity": lambda model, x: numbers(sanity(model, x, method=saliency, layers=["end"]).table),
    "side by side": lambda model, x: numbers(side_by_side(model, model, x).table.loc[["aliasing", "near_nyquist"]]),
    "similarity": lambda model, x: numbers(side_by_side(model, model, x).similarity),
    "heat map": lambda model, x: np.stack(heat_map(model, x, size=SIZE).probs),
}


@pytest.mark.parametrize("what", READ)
def test_lens_with_preprocess_equals_scaling_inside_the_model(what, pair, pixels):
    asked, whole = pair
    same(READ[what](asked, pixels), READ[what](whole, pixels))


def test_several_inputs_are_carried_along(rng, pixels):
    inputs, gate = keras.Input((*SIZE, 3), name="image"), keras.Input((3,), name="gate")
    x = layers.GlobalAveragePooling2D()(layers.Conv2D(3, 3, name="maps")(inputs))
    model = keras.Model([inputs, gate], layers.Softmax()(layers.Multiply(name="gated")([x, gate])))
    given = {"image": pixels, "gate": rng.uniform(0.1, 3, (4, 3)).astype(np.float32)}
    gated = keras.Model(model.inputs, model.get_layer("gated").output)
    same(activation_maps(model, given, "gated").values[:, 0, 0], np.array(gated(given)))
    found = curves(model, saliency(model, given, 1), steps=3)
    same(found.deletion[:, 0], np.array(model(given))[:, 1])
    seen = []

    def method(model, images, classes=None):
        seen.append(images)
        return saliency(model, images, np.array(classes))

    choose(model, given, methods={"saliency": method}, steps=2)
    np.testing.assert_array_equal(seen[0]["gate"], given["gate"])


def test_choose_decodes_each_photo_once(pair, tmp_path, monkeypatch, rng):
    Image.fromarray(rng.integers(0, 256, (*SIZE, 3), dtype=np.uint8)).save(tmp_path / "a.png")
    seen, own = [], query.as_batch
    monkeypatch.setattr(query, "as_batch", lambda given: seen.append(given) or own(given))
    choose(pair[1], [str(tmp_path / "a.png")], methods={"one": saliency, "other": occlusion}, steps=2)
    sanity(pair[1], [str(tmp_path / "a.png")], method=saliency, layers=["end"])
    assert len(seen) == 2


def called(name, nested):
    """A network with a hidden layer of two units by a name that the engine also uses."""
    inputs = keras.Input((4, 4, 1), name="image")
    hidden = layers.Dense(2, activation="relu", name=name)
    x = layers.Flatten()(inputs)
    if nested:
        inner = keras.Input((16,))
        hidden = keras.Model(inner, hidden(inner), name="inner")
    return keras.Model(inputs, layers.Dense(3, "softmax", name="end")(hidden(x)))


@pytest.mark.parametrize("nested", [False, True], ids=["flat", "nested"])
@pytest.mark.parametrize("name", ["logits", "probs", "input"])
def test_layers_named_logits_probs_or_input_take_precedence(name, nested, rng):
    model = called(name, nested)
    x = rng.uniform(0, 255, (2, 4, 4, 1)).astype(np.float32)
    first, bias, last, offset = (w.numpy().astype(np.float64) for w in model.weights)
    hidden = np.maximum(x.reshape(2, -1) @ first + bias, 0)
    scores = hidden @ last + offset
    probs = np.array(ops.softmax(scores.astype(np.float32)))
    same(activation_maps(model, x, name).values[:, 0, 0], hidden)
    same(saliency(model, x, score=neuron(name, 1)).scores, hidden[:, 1])
    same(saliency(model, x, score=energy(name)).scores, 0.5 * np.square(hidden).mean(1))
    same(saliency(model, x, score=logit(2)).scores, scores[:, 2])
    same(saliency(model, x, score=probability(2)).scores, probs[:, 2])
    cover = occlusion(model, x, 2, patch=2, stride=2, layer=name)
    same(cover.scores, scores[:, 2])
    assert cover.layer.rsplit("/", 1)[-1] == name


@pytest.mark.parametrize("name", ["logits", "probs", "input"])
def test_logits_probs_and_input_exist_for_every_network(name, pair, pixels):
    _, whole = pair
    found = activation_maps(whole, pixels, name)
    assert found.layer == name
    probs = np.array(whole(pixels))
    expected = {"logits": np.log(probs), "probs": probs, "input": pixels}[name]
    values = found.values if name == "input" else found.values[:, 0, 0]
    if name == "logits":
        values, expected = (a - a[:, :1] for a in (values, expected))
    same(values, expected)


@pytest.mark.parametrize("number", [0, 1])
def test_probabilities_of_a_single_sigmoid_are_those_of_two_classes(number, pixels):
    inputs = keras.Input((*SIZE, 3))
    model = keras.Model(inputs, layers.Dense(1, "sigmoid")(layers.Flatten()(layers.Rescaling(0.01)(inputs))))
    p = np.array(model(pixels))[:, 0]
    expected = p if number else 1 - p
    same(saliency(model, pixels, score=probability(number)).scores, expected)
    same(saliency(model, pixels, score=log_probability(number)).scores, np.log(expected))


def test_output_is_the_call_that_returns_it():
    """A layer that another model used first, and that is called again later."""
    shared = layers.Dense(4, name="shared")
    keras.Model(other := keras.Input((4,)), shared(other))
    inputs = keras.Input((2, 2, 1))
    first = shared(layers.Flatten()(inputs))
    second = shared(layers.ReLU()(first))
    model = keras.Model(inputs, [first, second])
    assert lens(model, output=0).output.name == "shared"
    assert lens(model, output=1).output.name == "shared#2"
    x = np.arange(8, dtype=np.float32).reshape(2, 2, 2, 1)
    for number in range(2):
        same(saliency(lens(model, output=number), x, 1).scores, np.array(model(x)[number])[:, 1])
    backwards = keras.Model(inputs, {"late": second, "early": first})
    assert lens(backwards, output="early").output.name == "shared"
