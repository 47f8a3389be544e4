"""The engine against models cut by hand: scores, signals back, whatever the chunk and the spelling."""

from functools import partial

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers, ops

from kerascnn.visualize import deconvnet, integrated_gradients, lens, logit, saliency, smoothgrad
from kerascnn.visualize.engine import query
from kerascnn.visualize.engine.lens import with_gradient
from kerascnn.visualize.engine.query import pictures
from kerascnn.visualize.engine.scores import PROBS


def trunk(x):
    x = layers.Conv2D(4, 3, activation="relu", name="conv")(x)
    x = layers.MaxPooling2D(name="pool")(x)
    return layers.Flatten(name="flat")(x)


def ended(how):
    """A small classifier and the same without its softmax."""
    image = keras.Input((8, 10, 2), name="image")
    features = trunk(image)
    dense = layers.Dense(5, name="dense")
    logits = dense(features)
    if how == "activation":
        last = layers.Dense(5, activation="softmax", name="ended")
        model = keras.Model(image, last(features))
        last.set_weights(dense.get_weights())
    else:
        make = {
            "layer": layers.Softmax(),
            "activation layer": layers.Activation("softmax"),
            "operation": ops.softmax,
            "lambda": layers.Lambda(tf.nn.softmax),
            "by hand": lambda x: ops.exp(x) / ops.sum(ops.exp(x), axis=-1, keepdims=True),
            "none": lambda x: x,
        }[how]
        model = keras.Model(image, make(logits))
    return model, keras.Model(image, logits)


def by_tape(cut, pixels, classes):
    x = tf.constant(pixels)
    with tf.GradientTape() as tape:
        tape.watch(x)
        score = tf.gather(cut(x, training=False), classes, batch_dims=1)
    return score.numpy(), tape.gradient(score, x).numpy()


@pytest.mark.parametrize("how", ["activation", "layer", "activation layer", "operation", "lambda", "none"])
def test_scores_are_those_before_the_softmax(how, rng):
    model, cut = ended(how)
    pixels = rng.uniform(0, 255, (3, 8, 10, 2)).astype(np.float32)
    found = saliency(model, pixels, [0, 3, 4])
    scores, slopes = by_tape(cut, pixels, [0, 3, 4])
    np.testing.assert_allclose(found.scores, scores, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(found.values, slopes, rtol=1e-4, atol=1e-7)
    np.testing.assert_allclose(found.map, np.abs(slopes).max(-1), rtol=1e-4, atol=1e-7)


def test_softmax_by_hand_uses_log_probabilities(rng):
    model, cut = ended("by hand")
    pixels = rng.uniform(0, 1, (2, 8, 10, 2)).astype(np.float32)
    log_p = keras.Model(cut.input, ops.log_softmax(cut.output))
    scores, slopes = by_tape(log_p, pixels, [1, 2])
    found = saliency(model, pixels, [1, 2])
    np.testing.assert_allclose(found.scores, scores, rtol=1e-5)
    np.testing.assert_allclose(found.values, slopes, rtol=1e-4, atol=1e-6)


def test_numbers_do_not_depend_on_the_chunk(rng):
    model, _ = ended("layer")
    pixels = rng.uniform(0, 255, (3, 8, 10, 2)).astype(np.float32)
    for method in (smoothgrad, integrated_gradients):
        count = {smoothgrad: {"samples": 7}, integrated_gradients: {"steps": 7}}[method]
        whole = method(model, pixels, 1, **count, batch_size=64)
        for batch in (1, 2, 5, 7):
            part = method(model, pixels, 1, **count, batch_size=batch)
            np.testing.assert_allclose(part.values, whole.values, rtol=1e-4, atol=1e-6)
    alone = smoothgrad(model, pixels[1:2], 1, samples=7)
    np.testing.assert_allclose(alone.values[0], smoothgrad(model, pixels, 1, samples=7).values[1], rtol=1e-4, atol=1e-6)


def test_second_call_does_not_retrace(rng):
    model, _ = ended("layer")
    pixels = rng.uniform(0, 255, (5, 8, 10, 2)).astype(np.float32)
    saliency(model, pixels, 0)
    programs = dict(lens(model).programs)
    for count, classes in ((1, 4), (5, [0, 1, 2, 3, 4]), (2, None), (3, 2)):
        saliency(model, pixels[:count], classes)
    new = [key for key in lens(model).programs if key not in programs]
    assert [key[0] for key in new] == [("read", PROBS)]  # asked for once, to find the predicted classes
    traced = [program.experimental_get_tracing_count() for program in lens(model).programs.values()]
    assert set(traced) == {1}


def test_a_changed_activation_is_seen(rng):
    model, cut = ended("activation")
    pixels = rng.uniform(0, 1, (2, 8, 10, 2)).astype(np.float32)
    model.get_layer("conv").activation = keras.activations.tanh
    changed = saliency(model, pixels, 0).values
    model.get_layer("conv").activation = keras.activations.relu
    np.testing.assert_allclose(saliency(model, pixels, 0).values, by_tape(cut, pixels, [0, 0])[1], rtol=1e-4, atol=1e-7)
    assert not np.allclose(changed, saliency(model, pixels, 0).values)


def test_lens_is_freed_with_its_model():
    import gc
    import weakref

    model, _ = ended("layer")
    saliency(model, np.zeros((1, 8, 10, 2), np.float32), 0)
    gone = weakref.ref(model)
    del model
    gc.collect()
    assert gone() is None


def test_scores_add_subtract_scale_and_print(rng):
    model, cut = ended("layer")
    pixels = rng.uniform(0, 255, (2, 8, 10, 2)).astype(np.float32)
    score = 2 * logit(1) - logit([0, 3])
    x = tf.constant(pixels)
    with tf.GradientTape() as tape:
        tape.watch(x)
        out = cut(x, training=False)
        value = 2 * out[:, 1] - tf.gather(out, [0, 3], batch_dims=1)
    found = saliency(model, pixels, score=score)
    np.testing.assert_allclose(found.scores, value, rtol=1e-5)
    np.testing.assert_allclose(found.values, tape.gradient(value, x), rtol=1e-4, atol=1e-7)
    assert str(score) == "2 logit 1 - logit of the class of each image"


def test_invalid_classes(rng):
    model, _ = ended("layer")
    pixels = np.zeros((2, 8, 10, 2), np.float32)
    for classes in (5, -1, [0, 1, 2], 0.5, [[0, 1]]):
        with pytest.raises(ValueError, match="`classes` should"):
            saliency(model, pixels, classes)
    with pytest.raises(ValueError, match="one of them"):
        saliency(model, pixels, 1, score=logit(0))
    with pytest.raises(ValueError, match="Did you mean conv"):
        deconvnet(model, pixels, layer="conf")


def test_image_types(rng):
    model, _ = ended("layer")
    array = rng.integers(0, 256, (8, 10, 2), dtype=np.uint8)
    asked = lens(model)
    for given in (array, array[None], [array], tf.constant(array), array.astype(np.float64)):
        assert pictures(asked, given).pixels.shape == (1, 8, 10, 2)
        np.testing.assert_array_equal(pictures(asked, given).pixels[0], array)


def test_scores_of_tf_keras_vis_and_functions_are_taken(rng):
    from tf_keras_vis.utils.scores import BinaryScore, CategoricalScore

    model, _ = ended("layer")
    pixels = rng.uniform(0, 255, (2, 8, 10, 2)).astype(np.float32)
    wanted = saliency(model, pixels, [3, 1]).values
    for score in (CategoricalScore([3, 1]), lambda out: (out[0, 3], out[1, 1]), logit([3, 1])):
        np.testing.assert_allclose(saliency(model, pixels, score=score).values, wanted, rtol=1e-5, atol=1e-8)
    image = keras.Input((8, 10, 2))
    single = keras.Model(image, layers.Dense(1, "sigmoid")(trunk(image)))
    for value, number in ((True, 1), (False, 0)):
        found = saliency(single, pixels, score=BinaryScore(value))
        np.testing.assert_allclose(found.values, saliency(single, pixels, number).values)
    with pytest.raises(ValueError, match="one number per image"):
        saliency(model, pixels, score=lambda out: out)


def test_out_of_memory_halves_the_chunks(rng, monkeypatch):
    model, _ = ended("layer")
    pixels = rng.uniform(0, 255, (1, 8, 10, 2)).astype(np.float32)
    wanted = smoothgrad(model, pixels, 1, samples=12).values
    asked, made, tried = lens(model), query.query_program, []

    def short_of_memory(*about):
        program = made(*about)

        def run(pixels, weight, *rest):
            tried.append(weight.shape[1])
            if weight.shape[1] > 3:
                raise tf.errors.ResourceExhaustedError(None, None, "no memory")
            return program(pixels, weight, *rest)

        return run

    monkeypatch.setattr(query, "query_program", short_of_memory)
    found = smoothgrad(asked, pixels, 1, samples=12).values
    assert tried == [12, 8, 4, *[2] * 6, 1]  # the last for the scores of the image itself
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-7)


def test_on_progress_can_stop(rng):
    model, _ = ended("layer")
    heard = []

    def on_progress(done, total, what):
        heard.append((done, total))
        if done >= 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        smoothgrad(model, np.zeros((1, 8, 10, 2), np.float32), 1, samples=10, batch_size=2, on_progress=on_progress)
    assert heard == [(2, 10), (4, 10)]


def test_smoothgrad_of_any_method(rng):
    model, _ = ended("layer")
    pixels = rng.uniform(0, 255, (2, 8, 10, 2)).astype(np.float32)
    fast = smoothgrad(model, pixels, 1, samples=3)
    slow = smoothgrad(model, pixels, 1, method=lambda *given, **options: saliency(*given, **options), samples=3)
    np.testing.assert_allclose(slow.values, fast.values, rtol=1e-4, atol=1e-7)
    units = smoothgrad(model, pixels, method=partial(deconvnet, layer="conv", unit=[0, 2]), samples=2)
    assert units.values.shape == (4, 8, 10, 2)
    with pytest.raises(ValueError, match="`unit` should be given"):
        smoothgrad(model, pixels, method=partial(deconvnet, layer="conv"))
    with pytest.raises(ValueError, match="Did you mean deconvnet"):
        smoothgrad(model, pixels, method="deconvnets")


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_score_functions_keep_their_precision(dtype, rng):
    x, weights = (rng.normal(size=(3, 4)).astype(dtype) for _ in range(2))
    value, gradient = with_gradient(lambda x, weights: ops.sum(weights * x**3))(x, weights)
    assert value.dtype == gradient.dtype == dtype
    tolerance = 1e-5 if dtype == "float32" else 1e-13
    np.testing.assert_allclose(value, (weights * x**3).sum(), rtol=tolerance)
    np.testing.assert_allclose(gradient, 3 * weights * x**2, rtol=tolerance)
