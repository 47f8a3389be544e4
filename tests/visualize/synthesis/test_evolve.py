"""Evolved images: networks drawn pixel by pixel by plain formulas, and models whose answers are known by hand."""

import colorsys
import math

import keras
import numpy as np
import pytest
from keras import layers

from kerascnn import build_model, list_models
from kerascnn.visualize.engine.lens import lens
from kerascnn.visualize.synthesis import evolve as cppn
from kerascnn.visualize.synthesis.evolve import evolve, log_odds

HIDDEN, OUT = cppn.INPUTS, cppn.INPUTS + cppn.HIDDEN
PLAIN = [math.sin, lambda s: 2 / (1 + math.exp(-s)) - 1, lambda s: 2 * math.exp(-s * s) - 1,
         lambda s: max(-1, min(1, s))]  # fmt: skip


def by_hand(kinds, colors):
    """A network of two hidden nodes, one behind the other; and a node that nothing reads."""
    weights = np.zeros((1, OUT + colors, OUT + colors), np.float32)
    weights[0, HIDDEN, :4] = 3, -2, 1, 0.5
    weights[0, HIDDEN + 2, [0, HIDDEN]] = 1.5, 2
    weights[0, HIDDEN + 5, HIDDEN] = 7
    for c in range(colors):
        weights[0, OUT + c, [HIDDEN, HIDDEN + 2, 2]] = 0.7 + c, -1.1, 0.3 * c
    acts = np.zeros((1, OUT + colors), np.int8)
    acts[0, [HIDDEN, HIDDEN + 2]] = kinds[:2]
    acts[0, OUT:] = kinds[2]
    return {"weights": weights, "acts": acts}


@pytest.mark.parametrize("colors", [1, 3], ids=["gray", "hue, lightness, saturation"])
@pytest.mark.parametrize("kinds", [(0, 1, 2), (2, 3, 0), (3, 0, 1), (1, 2, 3)], ids=str)
def test_a_cppn_renders_its_formula(kinds, colors):
    height, width = 5, 7
    found = cppn.render_cppns(by_hand(kinds, colors), (height, width, colors))[0]
    for row, column in np.ndindex(height, width):
        x, y = -1 + 2 * column / (width - 1), -1 + 2 * row / (height - 1)
        d = math.sqrt(x * x + y * y)
        first = PLAIN[kinds[0]](3 * x - 2 * y + d + 0.5)
        second = PLAIN[kinds[1]](1.5 * x + 2 * first)
        outputs = [PLAIN[kinds[2]]((0.7 + c) * first - 1.1 * second + 0.3 * c * d) for c in range(colors)]
        shares = [(value + 1) / 2 for value in outputs]
        expected = colorsys.hls_to_rgb(*shares) if colors == 3 else shares
        np.testing.assert_allclose(found[row, column], 255 * np.array(expected), atol=0.51)


def test_children_are_valid_cppns(rng):
    networks = cppn.random_cppns(rng, 20, (8, 8, 3))
    for _ in range(30):
        networks = cppn.mutate_cppns(rng, networks)
    weights = networks["weights"]
    assert not np.triu(weights).any(), "a node reads only what stands before it"
    assert not weights[:, :HIDDEN].any(), "inputs read nothing"
    assert not weights[:, :, OUT:].any(), "nobody reads an output"
    assert np.abs(weights).max() <= cppn.MAX_WEIGHT
    assert len(np.unique(cppn.render_cppns(networks, (8, 8, 3)).reshape(20, -1), axis=0)) > 10


def test_polynomial_mutation_has_the_mean_step_of_its_density(rng):
    """Its density is (eta + 1) / 2 (1 - |t|)^eta, of mean |t| = 1 / (eta + 2)."""
    values = cppn.polynomial_mutation(rng, np.zeros(200_000), -1, 1, eta=15)
    assert np.abs(values).mean() / 2 == pytest.approx(1 / 17, rel=0.01)
    assert abs(values.mean()) < 1e-3


def linear(channels=1, classes=4, scale=0.02, seed=3):
    kernel = np.random.default_rng(seed).normal(0, scale, (6 * 6 * channels, classes)).astype(np.float32)
    model = keras.Sequential(
        [keras.Input((6, 6, channels)), layers.Flatten(), layers.Dense(classes, "softmax", use_bias=False)]
    )
    model.set_weights([kernel])
    return model, kernel


@pytest.mark.parametrize("encoding", ["direct", "cppn"])
@pytest.mark.parametrize("channels", [1, 3], ids=["gray", "color"])
def test_every_class_of_a_linear_model_is_fooled(encoding, channels):
    model, kernel = linear(channels)
    found = evolve(model, encoding=encoding, population=32, generations=400)
    assert (found.probs > 0.99).all(), str(found)
    scores = found.images.reshape(4, -1).astype(np.float64) @ kernel
    powers = np.exp(scores - scores.max(1, keepdims=True))
    np.testing.assert_allclose(found.probs, np.diag(powers / powers.sum(1, keepdims=True)), atol=1e-4)
    assert found.images.dtype == np.uint8
    assert (np.diff(found.history["median"]) >= -1e-9).all()
    assert found.evaluations == 32 * len(found.history)


def few(model, **options):
    return evolve(model, **{"encoding": "direct", "population": 16, "generations": 8, "goal": 0.9999} | options)


@pytest.mark.parametrize("options", [{}, {"batch_size": 1}, {"batch_size": 5}], ids=["again", "batch 1", "batch 5"])
def test_the_result_depends_on_the_seed_and_not_on_the_batch_size(options):
    model, _ = linear()
    first, second, other = few(model), few(model, **options), few(model, seed=1)
    np.testing.assert_array_equal(first.images, second.images)
    assert (first.images != other.images).any()


def test_evolution_continues_from_an_earlier_result():
    model, _ = linear()
    first = few(model)
    second = few(model, start=first)
    assert len(second.history) == 16
    assert (log_odds(second.probs) >= log_odds(first.probs)).all()
    with pytest.raises(ValueError, match="`start`"):
        few(model, start=first, classes=[1, 2])


def test_an_interrupt_returns_the_images_so_far():
    model, _ = linear()

    def stop(done, total, what):
        if done == 3:
            raise KeyboardInterrupt

    found = few(model, on_progress=stop)
    assert len(found.history) == 3
    np.testing.assert_array_equal(found.images, few(model, generations=3).images)
    with pytest.raises(RuntimeError):
        few(model, on_progress=lambda done, total, what: (_ for _ in ()).throw(RuntimeError))


def test_classes_by_name():
    model, _ = linear()
    one, other = few(model, classes=["d", "b"], class_names=list("abcd")), few(model, classes=[3, 1])
    np.testing.assert_array_equal(one.images, other.images)
    assert one.table.label.tolist() == ["d", "b"]
    assert other.table.label.tolist() == ["class 3", "class 1"]


def test_preprocess_of_the_lens_is_applied():
    model, kernel = linear(scale=1.0)
    asked = lens(model, preprocess=lambda pixels: pixels / 127.5 - 1)
    found = few(asked, classes=[2, 0])
    powers = np.exp((found.images.reshape(2, -1) / 127.5 - 1) @ kernel)
    expected = (powers / powers.sum(1, keepdims=True))[[0, 1], [2, 0]]
    np.testing.assert_allclose(found.probs, expected, rtol=1e-3)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"encoding": "cpn"}, "cppn"),
        ({"classes": [4]}, "`classes`"),
        ({"classes": [1, 1]}, "`classes`"),
        ({"goal": 1}, "`goal`"),
        ({"population": 0}, "`population`"),
    ],
    ids=lambda given: given if isinstance(given, str) else next(iter(given)),
)
def test_invalid_arguments_raise(options, said):
    with pytest.raises(ValueError, match=said):
        few(linear()[0], **options)


def test_the_model_is_unchanged():
    model = build_model(list_models("tiny*")[0])
    before = [np.array(weight) for weight in model.get_weights()]
    found = evolve(model, population=4, generations=2)
    assert len(found.images) == len(found.classes)
    assert len(found.table) == len(found.classes)
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    assert found.plot().axes


@pytest.mark.nightly
def test_the_shipped_network_is_fooled_in_all_ten_classes():
    model = build_model("resnet20", weights="cifar10")
    found = evolve(model, population=32, generations=300)
    assert (found.probs > 0.99).all(), str(found)
    again = np.asarray(model(found.images.astype(np.float32)))
    assert again.argmax(-1).tolist() == list(range(10))
