"""Any model: what it may be made of, what is refused and why, and that a model is afterwards as it was."""

import random

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers, ops
from models import (
    SIZE,
    augmented,
    equal,
    gray,
    head,
    image,
    layer_called_twice,
    model_called_twice,
    nested_twice,
    normalized,
    open_size,
    regularized,
    scaling_inside,
    sequential,
    sequential_inside,
    snapshot,
    trunk,
)
from networks import CUSTOM, TINY

from kerascnn import build_model
from kerascnn.visualize import METHODS, deconvnet, grad_cam, guided_backprop, lens, occlusion, saliency, smoothgrad

FEW = {"smoothgrad": {"samples": 2}, "integrated_gradients": {"steps": 2}, "occlusion": {"patch": 4, "stride": 4}}


@pytest.fixture
def pixels(rng):
    return rng.uniform(0, 255, (2, *SIZE)).astype(np.float32)


KINDS = (
    sequential,
    sequential_inside,
    nested_twice,
    layer_called_twice,
    model_called_twice,
    gray,
    scaling_inside,
    open_size,
    regularized,
    normalized,
    augmented,
)


def slopes(model, pixels, of=lambda scores: scores[:, 1]):
    """The gradient by a tape through the model as Keras calls it."""
    x = tf.constant(pixels)
    with tf.GradientTape() as tape:
        tape.watch(x)
        score = of(model(x, training=False))
    return tape.gradient(score, x).numpy()


def same(found, expected):
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_kind_of_model(kind, pixels):
    model = kind()
    pixels = pixels[..., : model.inputs[0].shape[-1]]
    before = snapshot(model, pixels)
    found = saliency(model, pixels, 1)
    same(found.values, slopes(model, pixels))
    np.testing.assert_array_equal(found.values, saliency(model, pixels, 1).values)
    for method in (guided_backprop, grad_cam):
        assert np.isfinite(method(model, pixels, 1).values).all()
    equal(snapshot(model, pixels), before)


def test_a_model_from_a_file(tmp_path, pixels):
    model = nested_twice()
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(guided_backprop(loaded, pixels, 1).values, guided_backprop(model, pixels, 1).values)


def test_losses_of_regularizers_are_left_to_the_user(pixels):
    model = regularized()
    saliency(model, pixels, 1)
    model(pixels)
    assert len(model.losses) == 2
    assert all(np.isfinite(float(loss)) for loss in model.losses)
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True), jit_compile=False)
    model.fit(pixels / 255, np.array([0, 1]), verbose=0)
    same(saliency(model, pixels, 1).values, slopes(model, pixels))


def test_an_output_is_chosen(pixels):
    x = image()
    maps = trunk()(x)
    model = keras.Model(x, {"kind": head(maps, 3, "a"), "breed": head(maps, 5, "b")})
    with pytest.raises(ValueError, match="`output` should be one of the outputs of .*: kind, breed"):
        saliency(model, pixels, 1)
    for output in ("kind", "breed"):
        found = saliency(lens(model, output=output), pixels, 1)
        same(found.values, slopes(model, pixels, lambda scores, output=output: scores[output][:, 1]))
    listed = keras.Model(x, [*model.output.values()])
    with pytest.raises(ValueError, match="one of the outputs of .*: a, b"):
        saliency(listed, pixels, 1)
    for output in ("b", 1):
        np.testing.assert_array_equal(saliency(lens(listed, output=output), pixels, 1).values, found.values)


def test_auxiliary_classifiers_are_ignored():
    model = build_model("tiny_googlenet", aux=True)
    assert len(model.outputs) > 1
    assert lens(model).output.name == "probs"


def test_an_input_is_chosen(pixels, rng):
    x, other, age = image(), keras.Input((8, 6, 1), name="depth"), keras.Input((4,), name="age")
    maps = trunk(inputs=(8, 6, 4))(layers.Concatenate()([x, other]))
    model = keras.Model([x, other, age], head(layers.Multiply()([maps, layers.Dense(4)(age)[:, None, None]])))
    given = {"photo": pixels, "depth": pixels[..., :1], "age": rng.normal(0, 1, (2, 4)).astype(np.float32)}
    with pytest.raises(ValueError, match="`input` should be the name of the image input.*photo, depth, age"):
        saliency(model, given, 1)
    asked = lens(model, input="photo")
    with pytest.raises(ValueError, match="`images` should be a dict with the inputs photo, depth, age"):
        saliency(asked, pixels, 1)
    with pytest.raises(ValueError, match="`images` should have the inputs photo, depth, age"):
        saliency(asked, {"photo": pixels}, 1)
    beside = [tf.constant(given[name]) for name in ("depth", "age")]
    expected = slopes(lambda x, training: model([x, *beside], training=training), pixels)
    same(saliency(asked, given, 1, batch_size=1).values, expected)
    for method in (smoothgrad, guided_backprop, grad_cam, occlusion):
        found = method(asked, given, 1, **FEW.get(method.__name__, {}))
        assert found.images.shape == pixels.shape
        assert np.isfinite(found.values).all()


def test_single_sigmoid_explains_both_classes(pixels):
    x = image()
    maps = trunk()(layers.Rescaling(1 / 255)(x))
    model = keras.Model(x, layers.Dense(1, "sigmoid")(layers.Flatten()(maps)))
    cut = keras.Model(x, maps)
    kernel, bias = model.layers[-1].weights

    def logit(x, training):
        return tf.reshape(cut(x), (len(x), -1)) @ kernel + bias

    expected = slopes(logit, pixels, lambda scores: scores[:, 0])
    same(saliency(model, pixels, 1).values, expected)
    same(saliency(model, pixels, 0).values, -expected)
    found = occlusion(model, pixels, **FEW["occlusion"])
    own = model(pixels).numpy()[:, 0]
    assert found.classes == tuple((own >= 0.5).astype(int))
    covered = np.where(np.array(found.classes)[:, None, None] == 1, found.probability, 1 - found.probability)
    logits = np.where(np.array(found.classes)[:, None, None] == 1, found.score_maps, -found.score_maps)
    np.testing.assert_allclose(covered, 1 / (1 + np.exp(-logits)), rtol=1e-5)
    with pytest.raises(ValueError, match="from 0 to 1"):
        saliency(model, pixels, 2)


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_half_precision_agrees_with_float32(policy, pixels):
    keras.config.set_dtype_policy(policy)
    try:
        half = scaling_inside()
    finally:
        keras.config.set_dtype_policy("float32")
    twin = scaling_inside()
    twin.set_weights(half.get_weights())
    for method in (saliency, guided_backprop):
        found, expected = method(half, pixels, 1).values, method(twin, pixels, 1).values
        assert found.dtype == np.float32
        assert np.corrcoef(found.ravel(), expected.ravel())[0, 1] > 0.99
        np.testing.assert_allclose(np.abs(found).sum(), np.abs(expected).sum(), rtol=0.05)


def test_small_gradients_survive_float16(pixels):
    """Below 6e-8 float16 has nothing; a score far from the pixels has such slopes."""
    keras.config.set_dtype_policy("mixed_float16")
    try:
        half = scaling_inside()
    finally:
        keras.config.set_dtype_policy("float32")
    twin = scaling_inside()
    half.layers[-1].kernel.assign(half.layers[-1].kernel * 1e-4)
    twin.set_weights(half.get_weights())
    found, expected = saliency(half, pixels, 1).values, saliency(twin, pixels, 1).values
    assert np.corrcoef(found.ravel(), expected.ravel())[0, 1] > 0.99


def test_gradients_pass_through_preprocess(pixels):
    model = sequential_inside()
    asked = lens(model, preprocess=lambda x: (x[..., ::-1] - 100.0) / 58.0)
    scaled = lambda x, training: model((x[..., ::-1] - 100.0) / 58.0, training=training)  # noqa: E731
    found = saliency(asked, pixels, 1)
    same(found.values, slopes(scaled, pixels))
    np.testing.assert_array_equal(found.images, pixels)
    np.testing.assert_allclose(found.scores, scaled(pixels, False)[:, 1], rtol=1e-4)


class Subclassed(keras.Model):
    def call(self, x):
        return x


REFUSED = {
    "subclassed": (Subclassed, "Functional model or a built Sequential"),
    "not built": (lambda: keras.Sequential([layers.Dense(2)]), "a built Sequential model"),
    "no images": (lambda: keras.Sequential([keras.Input((4,)), layers.Dense(2)]), "`input` should be the name"),
    "no model": (lambda: "squeezenet1_1", "`model` should be"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_unsupported_models_are_rejected(kind, pixels):
    make, reason = REFUSED[kind]
    with pytest.raises(ValueError, match=reason):
        saliency(make(), pixels, 0)


NONLINEAR = {
    "tanh": lambda: layers.Activation("tanh"),
    "sigmoid": lambda: layers.Activation("sigmoid"),
    "sigmoid operation": lambda: ops.sigmoid,
    "gelu": lambda: layers.Activation("gelu"),
    "silu": lambda: layers.Activation("silu"),
    "hard_silu": lambda: layers.Activation("hard_silu"),
    "hard_sigmoid operation": lambda: ops.hard_sigmoid,
    "elu": layers.ELU,
    "softplus": lambda: layers.Activation("softplus"),
    "PReLU": layers.PReLU,
    "Lambda": lambda: layers.Lambda(tf.nn.tanh),
}


@pytest.mark.parametrize("act", NONLINEAR)
def test_guided_and_deconvnet_refuse_other_nonlinearities_by_name(act, pixels):
    x = image()
    model = keras.Model(x, head(NONLINEAR[act]()(layers.Conv2D(4, 3, name="conv")(x))))
    before = snapshot(model, pixels)
    for method in (guided_backprop, deconvnet):
        for _ in range(2):  # the second time too
            with pytest.raises(ValueError, match=f"(?i)nonlinearities other than ReLU.*{act.split()[0]}"):
                method(model, pixels, 1)
    equal(snapshot(model, pixels), before)


def test_a_network_of_the_zoo_with_tanh_is_refused(rng):
    model = build_model("lenet5_tanh", weights=None)
    photo = rng.uniform(0, 255, (1, *model.input_shape[1:])).astype(np.float32)
    with pytest.raises(ValueError, match="(?i)tanh"):
        guided_backprop(model, photo, 0)


def busy():
    """Everything that remembers, draws or is shared."""
    x, act = image(), layers.ReLU(name="act")
    maps = layers.GaussianNoise(1.0)(layers.Rescaling(1 / 255)(x))
    maps = act(layers.BatchNormalization()(layers.Conv2D(4, 3, name="conv", activity_regularizer="l2")(maps)))
    maps = trunk("inner", inputs=(6, 4, 4))(layers.Dropout(0.3, seed=1)(maps))
    frozen = layers.Conv2D(4, 1, activation="relu", trainable=False)
    return keras.Model(x, layers.Dense(3, "softmax")(layers.Flatten()(act(frozen(maps)))))


@pytest.fixture(scope="module")
def used():
    return busy()


def chance():
    """What random numbers come next."""
    return (
        float(keras.random.uniform((1,))[0]),
        float(np.random.random()),
        random.random(),
        float(tf.random.uniform(())),
    )


@pytest.mark.parametrize("method", METHODS)
def test_model_and_random_state_are_unchanged(method, used, pixels):
    keras.utils.set_random_seed(5)
    expected = chance()
    before, own = snapshot(used, pixels), pixels.copy()
    keras.utils.set_random_seed(5)
    found = METHODS[method](used, pixels, 1, **FEW.get(method, {}))
    assert chance() == expected
    equal(snapshot(used, pixels), before)
    np.testing.assert_array_equal(pixels, own)
    assert np.isfinite(found.values).all()


def fails(*_):
    raise RuntimeError("on purpose")


WRONG = {
    "layer": (grad_cam, {"layer": "nowhere"}, ValueError),
    "unit's layer": (deconvnet, {"layer": "nowhere"}, ValueError),
    "score": (saliency, {"score": fails}, RuntimeError),
    "score in a rule": (guided_backprop, {"score": fails}, RuntimeError),
    "score of a wrong shape": (guided_backprop, {"score": lambda scores: scores}, ValueError),
    "on_progress": (smoothgrad, {"on_progress": fails}, RuntimeError),
    "on_progress in a rule": (deconvnet, {"on_progress": fails}, RuntimeError),
    "class": (occlusion, {"classes": 7}, ValueError),
    "batch_size": (saliency, {"batch_size": "8"}, ValueError),
    "samples": (smoothgrad, {"samples": -3}, ValueError),
    "images": (saliency, {"images": np.zeros((2, 3, 3, 9), np.float32)}, ValueError),
}


@pytest.mark.parametrize("what", WRONG)
def test_model_is_unchanged_after_an_error(what, used, pixels):
    method, options, error = WRONG[what]
    before = snapshot(used, pixels)
    with pytest.raises(error):
        method(used, **{"images": pixels} | options)
    equal(snapshot(used, pixels), before)
    same(saliency(used, pixels, 1).values, slopes(cut(used), pixels))


def cut(model):
    """The scores before the softmax of a last layer, by hand."""
    kernel, bias = model.layers[-1].weights
    flat = keras.Model(model.input, model.layers[-1].input)
    return lambda x, training: flat(x, training=training) @ kernel + bias


# By these the others go: a slope, rules, maps, covered images.
WAYS = ("saliency", "guided_backprop", "grad_cam", "occlusion")
# These ask what saliency asks, of pixels made before the network runs.
SLOPES = ("gradient_x_input", "smoothgrad", "integrated_gradients")


def methods(name):
    """Every method for one network, and for those with layers of ours all that ask something of them."""
    if name not in CUSTOM:
        return WAYS
    return [method for method in METHODS if name == CUSTOM[0] or method not in SLOPES]


@pytest.mark.nightly
@pytest.mark.parametrize("name", TINY)
def test_network_of_the_zoo(name, rng, forgotten):
    model = build_model(name, weights=None)
    photo = rng.uniform(0, 255, (1, *model.input_shape[1:])).astype(np.float32)
    for method in methods(name):
        found = METHODS[method](
            model, photo, 1, **FEW.get(method, {}) | ({"patch": 16, "stride": 16} if method == "occlusion" else {})
        )
        assert found.map.shape == photo.shape[:3]
        assert np.isfinite(found.values).all()
        assert found.values.any() or "cam" in method  # a random network's may be 0


def test_counts_may_be_numpy_integers(used, pixels):
    one, same_one = (saliency(used, pixels, 1, batch_size=size).values for size in (np.int64(1), 1))
    np.testing.assert_array_equal(one, same_one)
    few, same_few = (smoothgrad(used, pixels, 1, samples=count, seed=3).values for count in (np.int64(2), 2))
    np.testing.assert_array_equal(few, same_few)
