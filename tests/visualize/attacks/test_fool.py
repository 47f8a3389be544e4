"""Attacks against closed forms on linear models, the limits they are given, and whatever a model may be made of."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from attacked import CLASSES, SIZE, linear, margin_of, small
from keras import layers, ops

import kerascnn
from kerascnn.visualize import Lens
from kerascnn.visualize.attacks.fool import ATTACKS
from kerascnn.visualize.attacks.norms import ssim

FEW = {"minimal": {"steps": 20}, "lbfgs": {"steps": 20}, "pgd": {"steps": 8}}
METHODS = [pytest.param(name, FEW.get(name, {}), id=name) for name in ATTACKS]


def fool(model, images, target=None, **options):
    """Attack in floats, as the closed forms are, unless asked otherwise."""
    return kerascnn.visualize.fool(model, images, target, **({"integer_pixels": False} | options))


def test_fgsm_is_the_sign_of_the_gradient(pixels, rng):
    model, weights = linear(rng)
    found = fool(model, pixels, method="fgsm", epsilon=3)
    _, slope = margin_of(model, weights, pixels)
    np.testing.assert_allclose(found.images, pixels - 3 * np.sign(slope).reshape(pixels.shape), atol=1e-3)


@pytest.mark.parametrize("norm", ["l2", "linf"])
@pytest.mark.parametrize("name", ["bim", "pgd"])
def test_epsilon_and_pixel_range_are_never_exceeded(name, norm, rng):
    if name == "bim" and norm == "l2":
        norm = "linf"
    images = np.concatenate([np.zeros((1, *SIZE)), np.full((1, *SIZE), 255.0), rng.uniform(0, 255, (6, *SIZE))])
    images = images.astype(np.float32)
    for size in (0.5, 4.0, 300.0):
        options = {"norm": norm} if name == "pgd" else {}
        found = fool(small(), images, method=name, epsilon=size, lead=1e4, **options)  # never done, so always moving
        assert getattr(found, norm).max() <= size * (1 + 1e-6) + 4e-5  # 4e-5: of float32 near 255
        assert found.images.min() >= 0
        assert found.images.max() <= 255


@pytest.mark.parametrize("name", ["fgsm", "bim", "pgd"])
def test_epsilon_of_zero_changes_nothing(name, pixels):
    found = fool(small(), pixels, method=name, epsilon=0)
    np.testing.assert_array_equal(found.images, pixels)
    assert not found.success.any()
    assert not found.difference.any()


def test_larger_epsilon_and_more_steps_fool_more_images(rng):
    model, images = small(), rng.uniform(0, 255, (24, *SIZE)).astype(np.float32)
    counts = [
        fool(model, images, method="pgd", epsilon=size, start=False).success.sum() for size in (1, 4, 16, 64, 255)
    ]
    single = [fool(model, images, method="fgsm", epsilon=size).success.sum() for size in (1, 4, 16, 64, 255)]
    assert counts == sorted(counts)
    assert counts[-1] == len(images)
    assert all(many >= one for many, one in zip(counts, single, strict=True))


@pytest.mark.parametrize(("name", "options"), METHODS)
def test_targets_are_reached(name, options, pixels):
    model = small()
    wanted = (np.asarray(model(pixels)).argmax(1) + 1) % CLASSES
    size = {"epsilon": 120} if name in ("fgsm", "bim", "pgd") else {}
    found = fool(model, pixels, wanted, method=name, **options, **size)
    reached = np.asarray(model(found.images)).argmax(1) == wanted
    np.testing.assert_array_equal(found.success, reached)
    assert reached.mean() == 1 or name == "fgsm"


@pytest.mark.parametrize(("name", "options"), METHODS)
def test_numbers_do_not_depend_on_the_chunk(name, options, pixels):
    one, two = (fool(small(), pixels, method=name, batch_size=batch, **options) for batch in (5, 2))
    np.testing.assert_allclose(one.images, two.images, atol=0.05)


def test_seed_determines_the_random_start(pixels):
    options = {"method": "pgd", "epsilon": 8, "steps": 1, "step_size": 0}
    some, all_ = fool(small(), pixels[:2], **options), fool(small(), pixels, **options)
    np.testing.assert_array_equal(some.images, all_.images[:2])
    assert np.abs(all_.difference).max() > 7
    assert (fool(small(), pixels, seed=1, **options).images != all_.images).any()


@pytest.mark.parametrize("norm", ["l2", "linf"])
def test_random_start_does_not_depend_on_the_batch(norm, pixels):
    """Alone, in a part of the batch, in another order, twice."""
    options = {"method": "pgd", "norm": norm, "steps": 1, "step_size": 0}
    start = fool(small(), pixels, **options).images
    assert (start != pixels).any((1, 2, 3)).all()
    order = np.array([3, 0, 4, 4, 1])
    np.testing.assert_array_equal(fool(small(), pixels[order], **options).images, start[order])
    for i in range(len(pixels)):
        np.testing.assert_array_equal(fool(small(), pixels[i], **options).images, start[i : i + 1])
    steps = start - pixels
    assert len(np.unique(steps.round(3), axis=0)) == len(pixels)


ALONE = [*METHODS, pytest.param("minimal", {"steps": 20, "starts": 4, "seed": 3}, id="random starts")]


@pytest.mark.parametrize(("name", "options"), ALONE)
def test_results_do_not_depend_on_neighbors(name, options, pixels):
    """Another order, and the same images in two halves."""
    found, order = fool(small(), pixels, method=name, **options), np.array([4, 2, 0, 3, 1])
    shuffled = fool(small(), pixels[order], method=name, **options)
    halves = [fool(small(), part, method=name, **options).images for part in (pixels[:2], pixels[2:])]
    np.testing.assert_allclose(shuffled.images, found.images[order], atol=0.05)
    np.testing.assert_allclose(np.concatenate(halves), found.images, atol=0.05)


@pytest.mark.parametrize(("name", "options"), METHODS)
def test_logits_before_a_softmax_are_used(name, options, pixels):
    """Probabilities saturate: used as scores they would have no slope."""
    bare, ended = small(), small("softmax")
    one, two = (fool(model, pixels, method=name, **options) for model in (bare, ended))
    np.testing.assert_allclose(one.images, two.images, atol=0.05)
    np.testing.assert_allclose(one.confidence_after, two.confidence_after, atol=1e-3)


def test_a_saturated_softmax_is_fooled(rng, pixels):
    model, _ = linear(rng, 3, softmax=True, scale=10.0)
    found = fool(model, pixels, method="minimal")
    assert found.confidence_before.min() > 0.9999
    assert found.success.all()


@pytest.mark.parametrize("rounded", [True, False], ids=["integers", "floats"])
@pytest.mark.parametrize(("name", "options"), METHODS)
def test_by_default_images_survive_8_bits(name, options, rounded, pixels):
    """As integers before and after: the model says the same of what a PNG file would hold."""
    model = small()
    size = {"epsilon": 8} if name in ("fgsm", "bim", "pgd") else {}
    found = kerascnn.visualize.fool(model, np.round(pixels) if rounded else pixels, method=name, **options, **size)
    np.testing.assert_array_equal(found.originals, np.round(pixels))
    np.testing.assert_array_equal(found.images, np.round(found.images))
    stored = found.images.astype(np.uint8).astype(np.float32)
    classes = [np.asarray(model(each)).argmax(1) for each in (np.round(pixels), stored)]
    np.testing.assert_array_equal(found.success, classes[0] != classes[1])
    np.testing.assert_array_equal(found.survives, found.success)
    assert found.success.all() or name == "fgsm"
    assert not size or found.linf.max() <= 8


def test_integer_pixels_of_another_range_are_integers_of_0_to_255(pixels):
    image = keras.Input(SIZE)
    model = keras.Model(image, small()(image * 127.5 + 127.5))
    found = kerascnn.visualize.fool(model, pixels / 127.5 - 1, bounds=(-1, 1), steps=20)
    steps = (found.images + 1) * 127.5
    np.testing.assert_allclose(steps, np.round(steps), atol=1e-3)
    assert np.round(found.difference).any((1, 2, 3)).all()
    assert found.survives.all()


def test_fgsm_in_integers_is_the_whole_step(pixels, rng):
    model, weights = linear(rng)
    whole = np.round(np.clip(pixels, 5, 250))
    found = kerascnn.visualize.fool(model, whole, method="fgsm", epsilon=3)
    _, slope = margin_of(model, weights, whole)
    np.testing.assert_array_equal(found.images, whole - 3 * np.sign(slope).reshape(pixels.shape))


def test_less_than_one_pixel_value_is_no_size_of_integers(pixels):
    with pytest.raises(ValueError, match="`epsilon` should be at least 1, or `integer_pixels` False. Received: 0.5"):
        kerascnn.visualize.fool(small(), pixels, method="pgd", epsilon=0.5)


def test_a_model_of_another_range_is_fooled_by_the_same(pixels):
    """The same network, once for 0..255 and once for -1..1, and once with the way between as a preprocess."""
    plain = small()
    image = keras.Input(SIZE)
    foreign = keras.Model(image, plain(image * 127.5 + 127.5))
    asked = Lens(foreign, preprocess=lambda x: x / 127.5 - 1)
    for options in ({"method": "minimal"}, {"method": "pgd", "epsilon": 4, "start": False}):
        one = fool(plain, pixels, **options)
        two = fool(foreign, pixels / 127.5 - 1, bounds=(-1, 1), **options)
        three = fool(asked, pixels, **options)
        assert two.images.min() >= -1
        assert two.images.max() <= 1
        for other in (two, three):
            np.testing.assert_allclose(one.l2, other.l2, rtol=1e-2, atol=1e-2)
            np.testing.assert_array_equal(one.after, other.after)


def sequential():
    return keras.Sequential(
        [keras.Input(SIZE), layers.Conv2D(4, 3, activation="relu"), layers.Flatten(), layers.Dense(3)]
    )


def nested():
    x = keras.Input(SIZE)
    return keras.Model(
        x, layers.Dense(3)(layers.Flatten()(keras.Sequential([keras.Input(SIZE), layers.Conv2D(4, 3)])(x)))
    )


def gray():
    size = (*SIZE[:2], 1)
    return keras.Sequential([keras.Input(size), layers.Conv2D(4, 3), layers.Flatten(), layers.Dense(3)])


def sigmoid():
    return keras.Sequential(
        [keras.Input(SIZE), layers.Rescaling(1 / 255, -0.5), layers.Flatten(), layers.Dense(1, "sigmoid")]
    )


def maps():
    x = keras.Input(SIZE)
    return keras.Model(x, ops.softmax(layers.GlobalAveragePooling2D()(layers.Conv2D(3, 3)(x))))


def half():
    before = keras.mixed_precision.dtype_policy()
    keras.mixed_precision.set_dtype_policy("mixed_float16")
    try:
        return small.__wrapped__()
    finally:
        keras.mixed_precision.set_dtype_policy(before)


@pytest.mark.parametrize("make", [sequential, nested, gray, sigmoid, maps, half], ids=lambda make: make.__name__)
def test_any_classifier_is_fooled(make, rng):
    model = make()
    images = rng.uniform(60, 190, (3, *model.input_shape[1:])).astype(np.float32)
    for name in ("minimal", "pgd"):
        found = fool(model, images, method=name, steps=20, **({"epsilon": 120} if name == "pgd" else {}))
        assert found.success.all(), name
        scores = np.asarray(model(found.images), np.float32)
        classes = scores.argmax(1) if scores.shape[1] > 1 else (scores[:, 0] >= 0.5).astype(int)
        if make is not half:  # whose border is as wide as its rounding
            np.testing.assert_array_equal(classes, found.after)


@pytest.mark.parametrize("name", kerascnn.list_models("tiny*")[:2])
def test_zoo_networks_are_fooled_and_unchanged(name, rng):
    model = kerascnn.build_model(name, weights=None)
    before = [np.array(weight) for weight in model.weights]
    images = rng.uniform(0, 255, (2, *model.input_shape[1:])).astype(np.float32)
    assert fool(model, images).success.all()

    def stop(done, total, what):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fool(model, images, on_progress=stop)
    for weight, was in zip(model.weights, before, strict=True):
        np.testing.assert_array_equal(weight, was)


def test_on_progress_reaches_the_end(pixels):
    heard = []
    fool(small(), pixels, method="pgd", lead=1e4, on_progress=lambda done, total, what: heard.append(done / total))
    assert heard == sorted(heard)
    assert heard[-1] == 1


def test_invalid_arguments(pixels):
    model = small()
    for options, words in (
        ({"method": "pdg"}, "Did you mean pgd"),
        ({"target": 9}, "from 0 to 3"),
        ({"target": [0, 1]}, "one for each of 5"),
        ({"target": "cat"}, "should be a number"),
        ({"target": "caat", "class_names": ["cat", "dog", "cow", "hen"]}, "Did you mean cat"),
        ({"bounds": (0, 1)}, "range of the images"),
        ({"bounds": (1, 0)}, "lowest, highest"),
        ({"norm": "l3"}, "Unknown norm"),
        ({"method": "pgd", "epsilon": -1}, "at least 0"),
        ({"steps": 0}, "at least 1"),
        ({"steps": 2.5}, "`steps` should be an integer of at least 1. Received: 2.5"),
    ):
        with pytest.raises(ValueError, match=words):
            fool(model, pixels, **options)


class Biased(layers.Layer):
    """Scores that are another in a plain call than in a compiled one: class 0 has so many more."""

    def __init__(self, more):
        super().__init__()
        self.more = more

    def call(self, scores):
        return scores if tf.inside_function() else scores + ops.one_hot(0, scores.shape[-1]) * self.more


@pytest.mark.parametrize("end", [None, "softmax"], ids=["logits", "softmax"])
@pytest.mark.parametrize(("name", "options"), METHODS)
def test_success_is_decided_by_the_model(name, options, end, pixels, rng):
    """What only the compiled attack believes is no success; differences as small as rounding's deny nothing."""
    inner, _ = linear(rng)
    inner.layers[-1].bias.assign([30, 0])
    size = {"epsilon": 120} if name in ("fgsm", "bim", "pgd") else {}
    for more, expected in ((1e4, False), (1e-4, True)):
        model = keras.Model(inner.input, layers.Activation(end or "linear")(Biased(more)(inner.output)))
        found = fool(model, pixels, method=name, **options, **size)
        classes = np.asarray(model(found.images)).argmax(1)
        np.testing.assert_array_equal(found.after, classes)
        np.testing.assert_array_equal(found.success, classes != found.before)
        rounded = np.asarray(model(np.round(found.images))).argmax(1)
        np.testing.assert_array_equal(found.survives, rounded != found.before)
        assert (found.success == expected).all()


def test_success_requires_the_lead(pixels):
    model, options = small(), {"method": "pgd", "epsilon": 120, "steps": 8}
    leads = [fool(each, pixels, lead=4, **options) for each in (model, small("softmax"))]
    for found in leads:
        scores = np.asarray(model(found.images))
        own = np.arange(CLASSES) == found.before[:, None]
        gap = np.where(own, -np.inf, scores).max(1) - scores[own]
        np.testing.assert_array_equal(found.success, gap >= 4)
    assert not fool(model, pixels, lead=1e4, **options).success.any()


@pytest.mark.parametrize("chosen", ["one", "two"])
def test_selected_output_is_attacked(chosen, pixels, rng):
    """Of a model with two inputs and two outputs."""
    image, gate = keras.Input(SIZE, name="image"), keras.Input((3,), name="gate")
    x = layers.Concatenate()([layers.Flatten()(layers.Rescaling(1 / 255, -0.5)(image)), gate])
    model = keras.Model([gate, image], {"one": layers.Dense(3, name="one")(x), "two": layers.Dense(4, name="two")(x)})
    given = {"image": pixels, "gate": rng.uniform(0, 1, (len(pixels), 3)).astype(np.float32)}
    found = fool(Lens(model, output=chosen), given)
    classes = [np.asarray(model([given["gate"], each])[chosen]).argmax(1) for each in (pixels, found.images)]
    np.testing.assert_array_equal(found.before, classes[0])
    np.testing.assert_array_equal(found.after, classes[1])
    assert found.success.all()


def test_results_are_tables_and_pictures(pixels, tmp_path):
    found = fool(small(), pixels, "cow", class_names=["cat", "dog", "cow", "hen"])
    assert [*found.table.columns[:6]] == ["image", "before", "confidence_before", "after", "confidence_after", "target"]
    assert set(found.table.target) == {"cow"}
    change = (found.images - pixels).astype(np.float64)
    np.testing.assert_allclose(found.l2, np.linalg.norm(change.reshape(5, -1), axis=1), rtol=1e-5)
    np.testing.assert_allclose(found.linf, np.abs(change).max((1, 2, 3)), rtol=1e-4)
    np.testing.assert_allclose(found.rms, np.sqrt((change**2).mean((1, 2, 3))), rtol=1e-5)
    assert found.save(tmp_path / "fooled.png").stat().st_size > 10_000
    assert "5 of 5" in str(found)


def test_no_difference_is_mid_gray():
    from kerascnn.visualize.attacks.attack import amplify_difference

    assert (amplify_difference(np.zeros((2, 2, 3)), 10) == 128).all()
    np.testing.assert_array_equal(amplify_difference(np.array([[[-20.0, 1.0, 20.0]]]), 10)[0, 0], [0, 138, 255])


def test_structural_similarity_is_its_formula(rng):
    """Of an image smaller than the window, one Gaussian window by hand; of a change of brightness, its closed form."""
    one, other = rng.uniform(0, 255, (2, 1, 5, 5, 1))
    at = np.arange(5) - 2
    weights = np.exp(-(at[:, None] ** 2 + at**2) / (2 * 1.5**2))
    weights /= weights.sum()
    a, b = one[0, ..., 0], other[0, ..., 0]
    mean = lambda x: (weights * x).sum()  # noqa: E731
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    spread = mean((a - mean(a)) ** 2) + mean((b - mean(b)) ** 2)
    both = mean((a - mean(a)) * (b - mean(b)))
    by_hand = (2 * mean(a) * mean(b) + c1) * (2 * both + c2) / ((mean(a) ** 2 + mean(b) ** 2 + c1) * (spread + c2))
    np.testing.assert_allclose(ssim(one, other), by_hand, rtol=1e-9)
    np.testing.assert_allclose(ssim(one, one), 1)
    flat = [np.full((1, 20, 30, 3), level) for level in (100.0, 150.0)]
    np.testing.assert_allclose(ssim(*flat), (2 * 100 * 150 + c1) / (100**2 + 150**2 + c1))
