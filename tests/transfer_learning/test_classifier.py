"""A probe as a network says what the probe says."""

from dataclasses import replace

import keras
import numpy as np
import pytest
from networks import known, varied

from kerascnn import export, predict
from kerascnn.transfer_learning import fit_head, head_model, taps, train_probes, truncate_at_stages
from kerascnn.transfer_learning.networks import ProbedBackbone, average_candidates, average_heads, fit_candidate_head
from kerascnn.transfer_learning.trials import mean_difference, most_likely

pytestmark = pytest.mark.filterwarnings("ignore:the best temperature is outside")  # colors are easy


@pytest.fixture(scope="module")
def labels():
    return np.arange(24) % 3


@pytest.fixture(scope="module")
def images(labels):
    rng = np.random.default_rng(2)
    colors = np.array([[200, 60, 60], [60, 200, 60], [60, 60, 200]])[labels][:, None, None]
    return (colors + rng.integers(-50, 50, (24, 32, 32, 3))).clip(0, 255).astype(np.uint8)


@pytest.fixture(scope="module", params=["tiny_resnet", "tiny_densenet"])
def model(request):
    return known(request.param)


def probed(model, images, labels, **how):
    found = taps(model, images, labels, cache=False, half=False, **how)
    return found, train_probes(found, heads="softmax", fractions=(1.0,))


@pytest.mark.parametrize("grid", [1, 2], ids=["means", "quarters"])
def test_model_agrees_with_the_probe(model, images, labels, grid):
    found, table = probed(model, images, labels, grid=grid)
    before = [np.array(weight) for weight in model.get_weights()]
    for stage in (table.stages[0], table.summary["stage"].iloc[-1]):
        head = fit_head(found, table, stage, "softmax")
        said = predict(head.model(model), images, class_names=False).probs
        np.testing.assert_allclose(said, head.probs(found), atol=1e-4)
    assert all(np.array_equal(one, other) for one, other in zip(before, model.get_weights(), strict=True))


def test_layers_after_the_stage_are_removed(model):
    short = truncate_at_stages(model, "stage1")
    assert "stage1" in {layer.name for layer in short.layers}
    assert not any(layer.name.startswith(("stage2", "features", "logits")) for layer in short.layers)
    assert short.count_params() < model.count_params()


def test_training_keeps_the_backbone_and_its_statistics(images, labels):
    model = known()
    before = [np.array(weight) for weight in model.get_weights()]
    made = head_model(model, "stage2", np.zeros((model.get_layer("stage2").output.shape[-1], 3)), np.zeros(3))
    norms = {layer.name: layer for layer in made.layers if isinstance(layer, keras.layers.BatchNormalization)}
    means = {name: np.array(layer.moving_mean) for name, layer in norms.items()}
    kernel = np.array(made.get_layer("stage1_block1_conv1").kernel)
    made.compile("sgd", "sparse_categorical_crossentropy")
    made.fit(images, labels, epochs=2, verbose=0)
    assert all(np.array_equal(one, other) for one, other in zip(before, model.get_weights(), strict=True))
    assert all(np.array_equal(means[name], norms[name].moving_mean) for name in norms)
    assert not np.array_equal(kernel, made.get_layer("stage1_block1_conv1").kernel)


def test_nested_and_shared_layers(images):
    inner = keras.Sequential(
        [keras.Input((32, 32, 3)), keras.layers.Conv2D(3, 3, padding="same", name="conv")], name="in"
    )
    inputs = keras.Input((32, 32, 3))
    outputs = keras.layers.Dense(2)(keras.layers.GlobalAveragePooling2D()(inner(inner(inputs)) + inputs))
    model = keras.Model(inputs, outputs)
    short = truncate_at_stages(model, "in/conv#2")
    expected = inner(inner(images.astype(np.float32)))
    np.testing.assert_allclose(short.predict(images, verbose=0)["in/conv#2"], expected, rtol=1e-3, atol=1e-2)
    assert short.count_params() == inner.count_params()


def test_open_sizes_are_closed(images, labels):
    model = varied("tiny_squeezenet", input_shape=(None, None, 3))
    found = taps(model, images, labels, size=24, cache=False, half=False)
    table = train_probes(found, heads="ridge", fractions=(1.0,))
    made = fit_head(found, table).model(model)
    assert made.input_shape == (None, 24, 24, 3)
    np.testing.assert_allclose(
        predict(made, images, class_names=False).probs, fit_head(found, table).probs(found), atol=1e-4
    )


def test_saved_and_loaded(images, labels, tmp_path):
    model = known()
    found, table = probed(model, images, labels)
    made = fit_head(found, table).model(model)
    made.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(again.predict(images, verbose=0), made.predict(images, verbose=0), atol=1e-6)


@pytest.mark.nightly
def test_export(images, labels, in_process, tmp_path):
    model = known()
    found, table = probed(model, images, labels, grid=2)
    done = export(
        fit_head(found, table).model(model),
        tmp_path / "photos",
        class_names=("red", "green", "blue"),
        formats="saved_model",
    )
    assert done.checks
    assert all(check.passed for check in done.checks)


def test_neighbors_cannot_become_a_model(images, labels):
    found = taps(known(), images, labels, cache=False)
    table = train_probes(found, heads=("ridge", "knn"), fractions=(1.0,))
    with pytest.raises(ValueError, match="`head` should be linear"):
        fit_head(found, table, "stage1", "knn")


def test_bad_weights():
    with pytest.raises(ValueError, match="`weights` should have shape"):
        head_model(known(), "stage1", np.zeros((3, 2)), np.zeros(2))


def test_the_mean_of_heads_is_one_head(model, images, labels):
    """Softmax of the mean of calibrated logits: the geometric mean of the probabilities, up to its sum."""
    found, table = probed(model, images, labels)
    names = [table.stages[0], table.summary["stage"].iloc[-1], table.stages[-1]]
    heads = [fit_head(found, table, stage, "softmax") for stage in names]
    used = {stage for head in heads for stage in head.stages}
    stages = {stage: found.features[stage].shape[-1] for stage in found.stages if stage in used}
    mean = average_heads(heads, stages, temperature=1.5)
    products = np.prod([head.probs(found) for head in heads], axis=0) ** (1 / len(heads) / 1.5)
    expected = products / products.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(mean.probs(found), expected, atol=1e-6)
    said = predict(mean.model(model), images, class_names=False).probs
    np.testing.assert_allclose(said, expected, atol=1e-4)


def noisy(labels, rng, *, shift, noise):
    """Features whose classes overlap."""
    return (np.eye(3)[labels] * shift + rng.normal(0, noise, (len(labels), 3)))[:, None].astype(np.float32)


def test_candidates_near_the_best_are_averaged(rng):
    """Three independent views of the same classes, one copy and one useless one: the mean of three beats each."""
    model, labels = known(), np.arange(120) % 3
    layers = [layer.name for layer in model.layers if isinstance(layer, keras.layers.Conv2D)][:5]
    found = taps(model, rng.integers(0, 255, (120, 32, 32, 3), "uint8"), labels, stages=layers, cache=False, half=False)
    names = found.stages
    rows = {name: noisy(labels, rng, shift=1.0, noise=1.0) for name in names[:3]}
    rows |= {names[3]: rows[names[0]], names[4]: noisy(labels, rng, shift=0.0, noise=1.0)}
    found = replace(found, features=rows)
    table = train_probes(found, heads="ridge", concatenate=(), fractions=(), verbose=0)
    backbone = ProbedBackbone(model, found, table, dict.fromkeys(names, 1), {})
    mean = average_candidates((backbone,))
    best = most_likely(backbone.candidates)
    gaps = {each.stage: mean_difference(best, each, "log_likelihood") for each in backbone.candidates}
    near = {stage for stage, (gap, error) in gaps.items() if gap <= error}
    assert names[4] not in near
    assert len(mean.members) == len(near - {names[3]}) > 1  # the copy does not count
    logits = np.mean([each.logits / each.temperature for each in mean.members], axis=0)
    np.testing.assert_allclose(mean.logits, logits)
    assert mean.log_likelihood.mean() > max(each.log_likelihood.mean() for each in mean.members)
    head = fit_candidate_head(mean, (backbone,))
    assert head.stages == tuple(mean.stage.split("+"))
    assert head.temperature == mean.temperature


def test_one_candidate_is_no_ensemble(images, labels):
    model = known()
    found, table = probed(model, images, labels)
    table = train_probes(found, heads="ridge", stages=(found.stages[-1],), concatenate=(), fractions=(), verbose=0)
    assert average_candidates((ProbedBackbone(model, found, table, {found.stages[-1]: 1}, {}),)) is None
