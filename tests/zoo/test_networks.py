"""Every network: names, forward, gradients, files, precision, backends. All rows nightly."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from networks import ALL, CUSTOM, LIGHT, SMALLEST, TINY, card, images, odd, outline, pieces, rows, vary

from kerascnn import build_model, features

pytestmark = pytest.mark.usefixtures("forgotten")
DEEP = 300  # layers; deeper networks have none in their file that shallower ones have not


def probs(outputs):
    return np.array(outputs["probs"] if isinstance(outputs, dict) else outputs)


@pytest.mark.parametrize("name", rows([*TINY, *LIGHT], [*pieces(), *TINY]))
def test_forward_at_the_published_size(name, rng):
    model = build_model(name)
    vary(model, rng)
    out = probs(model(images(card(name).input_shape, 1)))
    assert out.shape == (1, card(name).classes)
    assert out.sum() == pytest.approx(1, abs=1e-4)
    assert out.std() > 0


@pytest.mark.parametrize("name", rows([*TINY, *LIGHT], [*pieces(), *TINY]))
def test_an_odd_size_one_channel_seven_classes_gradients_and_a_file(name, tmp_path, rng):
    shape = odd(name)
    model = build_model(name, input_shape=shape, classes=7)
    vary(model, rng)
    x = tf.constant(images(shape))
    before = probs(model(x))
    assert before.shape == (2, 7)
    assert np.isfinite(before).all()
    assert [weight.path for weight in without_gradient(model, x)] == []
    if len(model.layers) > DEEP:
        return
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(probs(again(x)), before)


def without_gradient(model, x):
    """The trainable weights that a random weighting of all logits does not move."""
    scores = [layer.name for layer in model.layers if layer.name.endswith("logits")]
    read = features(model, scores)
    with tf.GradientTape() as tape:
        values = read(x).values()
        loss = sum(tf.reduce_sum(v * tf.random.stateless_normal(v.shape, (1, i))) for i, v in enumerate(values))
    variables = model.trainable_variables
    gradients = tape.gradient(loss, [variable.value for variable in variables])
    return [v for v, g in zip(variables, gradients, strict=True) if g is None or not np.any(g)]


@pytest.mark.parametrize("name", rows([*TINY, *LIGHT], pieces()))
def test_mixed_precision_outputs_are_float32(name):
    model = outline(name, input_shape=odd(name), classes=7, dtype="mixed_float16")
    ends = [layer for layer in model.layers if layer.name.endswith(("logits", "probs"))]
    assert {layer.compute_dtype for layer in ends} == {output.dtype for output in model.outputs} == {"float32"}
    half = {layer.compute_dtype for layer in model.layers if isinstance(layer, keras.layers.Conv2D)}
    assert half == {"float16"}


@pytest.mark.parametrize("name", [*TINY, *LIGHT])
def test_mixed_precision_runs(name):
    """With the statistics of the batch, without which untrained sums leave float16's range."""
    shape = odd(name)
    model = build_model(name, input_shape=shape, classes=7, dtype="mixed_float16")
    out = probs(model(images(shape), training=True))
    assert out.dtype == np.float32
    assert out.sum(1) == pytest.approx([1, 1], abs=1e-3)


@pytest.mark.parametrize("name", [*CUSTOM, "tiny_googlenet", "tiny_resnext"])
def test_fit_brings_the_loss_down(name):
    """Every layer of ours, several outputs, groups; that all weights have gradients is shown above, for all pieces."""
    model = build_model(name, classes=2)
    x = images((32, 32, 3), 32)
    y = np.arange(32) % 2
    x[y == 1] *= 0.3
    outputs = list(model.output) if isinstance(model.output, dict) else ["probs"]
    loss = (
        dict.fromkeys(outputs, "sparse_categorical_crossentropy")
        if len(outputs) > 1
        else "sparse_categorical_crossentropy"
    )
    model.compile(keras.optimizers.SGD(0.02), loss=loss, jit_compile=False)
    history = model.fit(x, dict.fromkeys(outputs, y) if len(outputs) > 1 else y, epochs=8, batch_size=16, verbose=0)
    assert min(history.history["loss"][-2:]) < history.history["loss"][0]


@pytest.mark.nightly
@pytest.mark.parametrize("name", CUSTOM)
def test_exported_savedmodel_agrees(name, tmp_path):
    model = build_model(name)
    x = tf.constant(images((32, 32, 3)))
    model.export(tmp_path / "saved", verbose=False)
    again = tf.saved_model.load(tmp_path / "saved")
    np.testing.assert_allclose(probs(again.serve(x)), probs(model(x)), atol=1e-6)


def test_every_registered_network_is_a_case():
    assert len(rows()) == len(ALL)
    assert set(SMALLEST) == {*ALL, *TINY}
