"""Climbing: closed forms, identities between climbs, and what other libraries get wrong, by its number."""

import warnings
from dataclasses import replace

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers
from models import equal, gray, model_called_twice, nested_twice, open_size, scaling_inside, snapshot
from synthesis_models import SIZE, cosine, curved, gates, known, linear, straight, weights

from kerascnn.visualize import RECIPES, SynthesisRecipe, lens, synthesize
from kerascnn.visualize.engine import loop as looping
from kerascnn.visualize.engine.query import Query, run_query
from kerascnn.visualize.engine.scores import channel, energy, logit, neuron, peak
from kerascnn.visualize.synthesis.params import GRAY, Fourier, Pixels
from kerascnn.visualize.synthesis.regularizers import gaussian_blur, norm_score, variation
from kerascnn.visualize.synthesis.synthesize import REDIRECTED_STEPS
from kerascnn.visualize.synthesis.transforms import jitter, rotate, scale

SHAKEN = SynthesisRecipe("shaken waves", 6, 0.1, transforms=(jitter(2), scale(0.9, 1.1), rotate(10)))
KINDS = nested_twice, model_called_twice, gray, scaling_inside
ADAM = straight("adam", 12, 4.0, params=Pixels(noise=10))
GRAYISH = replace(ADAM, description="from gray", params=Pixels(noise=0.5))


@pytest.fixture(scope="module")
def model():
    return known()


@pytest.fixture
def photos(rng):
    return rng.integers(0, 256, (2, *SIZE)).astype(np.float32)


# closed forms


@pytest.mark.parametrize("weight", [0.5, 20.0])
def test_a_linear_score_with_an_l2_prior_converges_to_its_weights_over_2_lambda(weight):
    model = linear()
    count = np.prod(model.input_shape[1:])
    recipe = straight("plain", 60, 0.25 * count / weight, priors=((weight, norm_score(2)),))
    found = synthesize(model, logit([0, 2]), recipe=recipe).images - GRAY
    expected = np.stack([weights(model, k) for k in (0, 2)]) * count / (2 * weight)  # the prior is a mean
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())


def test_with_a_fixed_norm_an_image_converges_to_the_direction_of_the_weights():
    model = linear()
    recipe = replace(RECIPES["erhan"], params=Pixels(noise=10, clip=False))
    found = synthesize(model, logit([0, 1, 2]), recipe=recipe).images - GRAY
    for k, image in enumerate(found):
        assert cosine(image, weights(model, k)) > 0.999
        assert np.linalg.norm(image) == pytest.approx(20000, rel=1e-4)


def test_scores_add_multiply_and_subtract_without_changing_their_parts():
    model = linear()
    first, second = logit(0), logit([1])
    score = 2 * first - second + 0.5 * logit(2)
    found = synthesize(model, score, recipe=straight("plain", 1, 3.0)).images[0] - GRAY
    w = [weights(model, k) for k in range(3)]
    np.testing.assert_allclose(found, 3 * (2 * w[0] - w[1] + 0.5 * w[2]), rtol=1e-4, atol=1e-5)
    assert (str(first), str(second), len(score.feeds)) == ("logit 0", "logit 1", 6)


@pytest.mark.parametrize("of", [channel, neuron, peak], ids=lambda of: of.__name__)
def test_the_only_unit_of_a_layer_is_maximized(of):
    """A single sigmoid's class 0 is asked with a minus; the one channel of a layer is not."""
    score, maps = of("gate", 0), tf.fill((2, 3, 3, 1), 5.0)
    np.testing.assert_array_equal(score.of({"gate": maps}, *score.feeds), [5.0, 5.0])


def test_priors_with_different_weights_do_not_share_a_compiled_step():
    model = linear()
    found = []
    for factor in (2, 8):
        prior = factor * norm_score(2)
        recipe = straight("plain", 80, 15.0, priors=((1.0, prior),))
        found.append(synthesize(model, logit(0), recipe=replace(recipe, learning_rate=15.0 / factor)).images - GRAY)
    np.testing.assert_allclose(found[0], 4 * found[1], rtol=1e-3, atol=1e-3)


def test_regularizers_are_applied_at_every_nth_step():
    """At the others they are not: three steps of blurring every second are two of none and one of blur."""
    from scipy.ndimage import gaussian_filter

    model, w = linear(), None
    w = weights(model, 0)
    found = synthesize(
        model, logit(0), recipe=straight("plain", 3, 5.0, regularizers=(gaussian_blur(1.0, every=2),))
    ).images[0]
    expected = gaussian_filter(10 * w, (1, 1, 0)) + 5 * w
    np.testing.assert_allclose(found - GRAY, expected, rtol=1e-3, atol=1e-4)


def test_learning_rates_of_stages():
    model = linear()
    recipe = straight("plain", 4, ((1.0, 1), (10.0, 2), (100.0, 1)))
    for steps, total in ((4, 121), (8, 242)):
        found = synthesize(model, logit(0), recipe=recipe, steps=steps).images[0] - GRAY
        np.testing.assert_allclose(found, total * weights(model, 0), rtol=1e-4, atol=1e-4)


# shaking


def test_zero_learning_rate_without_transforms_keeps_the_image(model, photos):
    transforms = (jitter(0), rotate(0), scale(1, 1))
    recipe = straight("adam", 3, 0.0, params=Pixels(), transforms=transforms)
    np.testing.assert_array_equal(synthesize(model, logit(1), recipe=recipe, start=photos).images, photos)


@pytest.mark.parametrize(
    "transforms", [(jitter(3),), (jitter(2), rotate(10), scale(0.9, 1.1))], ids=["whole", "between"]
)
def test_transforms_do_not_degrade_the_image(transforms, model, photos):
    recipe = straight("plain", 40, 0.0, params=Pixels(), transforms=transforms)
    np.testing.assert_array_equal(synthesize(model, logit(1), recipe=recipe, start=photos).images, photos)


def test_transforms_do_not_make_the_image_drift():
    """What answers to a blob in the middle is climbed in the middle."""
    model = linear(1, (31, 31, 1))
    y, x = np.mgrid[:31, :31] - 15
    model.layers[-1].kernel.assign(np.exp(-(x**2 + y**2) / 4).reshape(-1, 1))
    recipe = straight("plain", 400, 1.0, transforms=(jitter(4),))
    found = synthesize(model, logit([1]), recipe=recipe).images[0, ..., 0] - GRAY
    for axis in (x, y):
        assert abs((found * axis).sum() / found.sum()) < 0.4  # half a pixel a step would be off the side
        assert np.sqrt((found * axis**2).sum() / found.sum()) == pytest.approx(np.sqrt(2 + 4 * 5 / 3), rel=0.1)


def test_copies_get_different_transforms_and_targets_the_same():
    model = linear(2, (9, 9, 1))
    kernel = np.zeros((9, 9, 2), np.float32)
    kernel[4, 4] = 1
    model.layers[-1].kernel.assign(kernel.reshape(-1, 2))
    recipe = straight("plain", 1, 1.0, transforms=(jitter(3),))
    found = synthesize(model, logit([0, 1]), recipe=recipe, copies=6).images[..., 0] - GRAY
    places = found.reshape(2, 6, -1).argmax(-1)
    np.testing.assert_array_equal(places[0], places[1])
    assert len(set(places[0])) > 2


# identities between climbs


@pytest.mark.parametrize("recipe", [SHAKEN, ADAM], ids=lambda recipe: recipe.description)
def test_units_together_give_the_images_of_each_alone(model, recipe):
    together = synthesize(model, channel("top", [0, 1, 2]), recipe=recipe, copies=2)
    alone = [synthesize(model, channel("top", [k]), recipe=recipe, copies=2) for k in range(3)]
    np.testing.assert_allclose(together.images, np.concatenate([a.images for a in alone]), atol=0.02)
    np.testing.assert_allclose(together.scores, np.concatenate([a.scores for a in alone]), rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("batch", [1, 2])
def test_the_batch_size_does_not_change_the_images(model, batch):
    score = channel("top", [0, 1, 2, 0, 1])
    whole, parts = (synthesize(model, score, recipe=SHAKEN, batch_size=size) for size in (None, batch))
    np.testing.assert_allclose(parts.images, whole.images, atol=0.02)
    np.testing.assert_allclose(parts.curves["score"], whole.curves["score"], rtol=1e-3, atol=1e-5)


def test_seeds_and_copies(model):
    first, again, other = (synthesize(model, logit(1), recipe=SHAKEN, copies=3, seed=seed).images for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    apart = np.abs(first[:, None] - np.concatenate([first, other])).mean((2, 3, 4))
    assert (apart[~np.eye(3, 6, dtype=bool)] > 0.1).all()
    np.testing.assert_allclose(synthesize(model, logit(1), recipe=SHAKEN, seed=0).images, first[:1], atol=0.02)


def grams(model, images):
    """The cosines of Gram matrices of "conv", by numpy."""
    inner = keras.Model(model.input, model.get_layer("conv").output)
    maps = inner(images).numpy().reshape(len(images), -1, 4)
    flat = np.stack([(m.T @ m).ravel() / np.linalg.norm(m.T @ m) for m in maps])
    return flat @ flat.T


@pytest.mark.parametrize("batch", [None, 2])
def test_diversity_makes_copies_less_similar(model, batch):
    how = {"recipe": ADAM, "copies": 3, "batch_size": batch}
    near = synthesize(model, logit([0, 1]), **how)
    far = synthesize(model, logit([0, 1]), diversity=("conv", 1000.0), **how)
    for unit in (slice(0, 3), slice(3, 6)):
        cosines = [grams(model, each.images[unit])[np.triu_indices(3, 1)].mean() for each in (near, far)]
        assert cosines[1] < cosines[0] - 0.01
    nothing = synthesize(model, logit([0, 1]), diversity=("conv", 0.0), **how)
    np.testing.assert_allclose(nothing.images, near.images, atol=0.02)


@pytest.mark.nightly
def test_diversity_includes_inactive_copies():
    """Among copies of which some are off at first, chunks do not part kin."""
    model = gates(-129.5)
    recipe = straight("unit", 20, 20.0, params=Pixels(noise=1.0))
    score = neuron("gate", [0, 0], 2, 2)
    how = {"recipe": recipe, "copies": 4, "diversity": ("gate", 5.0), "seed": 3}
    whole, parts = synthesize(model, score, batch_size=8, **how), synthesize(model, score, batch_size=4, **how)
    np.testing.assert_allclose(parts.images, whole.images, atol=0.02)


def test_until_stops_at_the_first_step_that_reaches_it(model):
    recipe = straight("plain", 40, 20.0, params=Pixels(noise=10))
    score, every = logit([0, 1, 2]), range(1, 40)
    free = synthesize(model, score, recipe=recipe, keep=every)
    goal = float(np.median(free.curves["score"][18]))
    told = []
    found = synthesize(
        model, score, recipe=recipe, until=goal, on_progress=lambda done, total, what: told.append(done / total)
    )
    for i, said in enumerate(free.curves["score"].T):
        first = np.argmax(said >= goal) if (said >= goal).any() else None
        expected = free.images[i] if first is None else free.snapshots[first - 1, i] if first else None
        if expected is not None:
            np.testing.assert_allclose(found.images[i], expected, atol=0.02)
    low = synthesize(model, score, recipe=recipe, until=-1e9)
    np.testing.assert_array_equal(low.curves["score"], np.tile(low.curves["score"][0], (40, 1)))
    begin = Pixels(noise=10).initialize([np.random.default_rng([0, 0]) for _ in range(3)], SIZE)
    np.testing.assert_allclose(low.images, begin + GRAY, rtol=1e-5)
    assert told[-1] == 1


@pytest.mark.parametrize("keep", [(0, 3, 7), (7, 3), (3, 3)], ids=str)
def test_snapshots_are_the_images_of_shorter_runs(model, keep):
    long = synthesize(model, channel("top", [0, 1]), recipe=SHAKEN, steps=9, keep=keep)
    assert long.snapshot_steps == keep
    for k, kept in zip(keep, long.snapshots, strict=True):
        if k:
            short = synthesize(model, channel("top", [0, 1]), recipe=SHAKEN, steps=k)
            np.testing.assert_allclose(kept, short.images, atol=0.02)
            np.testing.assert_allclose(long.curves["score"][:k], short.curves["score"], rtol=1e-3, atol=1e-5)


def test_snapshots_of_redirected_units_are_the_images_of_shorter_runs():
    model = gates(-160.0, 0.0)
    keep = (5, REDIRECTED_STEPS, REDIRECTED_STEPS + 4)
    long = synthesize(model, channel("gate", [0, 1]), recipe=replace(GRAYISH, steps=30), keep=keep)
    assert long.metadata["redirected"].tolist() == [True, False]
    for k, kept in zip(keep, long.snapshots, strict=True):
        short = synthesize(model, channel("gate", [0, 1]), recipe=replace(GRAYISH, steps=k))
        np.testing.assert_allclose(kept, short.images, atol=0.02)


def tracings(asked):
    return sum(program.experimental_get_tracing_count() for program in asked.programs.values())


def test_other_units_seeds_steps_and_copies_do_not_retrace(model):
    asked = lens(curved())
    synthesize(asked, channel("top", [0, 1]), recipe=SHAKEN)
    synthesize(asked, logit([3]), recipe=SHAKEN)
    before = len(asked.programs), tracings(asked)
    assert before == (4, 4)  # for each kind of score: one that reads and one that climbs
    for how in ({"seed": 4}, {"steps": 3}, {"copies": 3}, {"batch_size": 1}, {"keep": (2, 4)}):
        synthesize(asked, channel("top", [2]), recipe=SHAKEN, **how)
        synthesize(asked, logit([0, 4, 2]), recipe=SHAKEN, **how)
    synthesize(asked, logit(1), recipe=replace(SHAKEN, learning_rate=0.3, transforms=(rotate(3),)))
    assert (len(asked.programs), tracings(asked)) == before


def test_on_progress_reports_all_steps_and_may_raise():
    model, told = gates(-160.0, 0.0), []
    before = snapshot(model, np.zeros((1, *SIZE), np.float32))
    found = synthesize(
        model,
        channel("gate", [0, 1]),
        recipe=GRAYISH,
        steps=40,
        batch_size=1,
        on_progress=lambda done, total, what: told.append((done, total)),
    )
    done = [int(each) for each, _ in told]
    assert done == sorted(set(done))
    assert done[-1] == 80
    assert {int(of) for _, of in told} == {80}

    def stop(done, total, what):
        if done > 20:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        synthesize(model, channel("gate", [0, 1]), recipe=GRAYISH, steps=40, batch_size=1, on_progress=stop)
    equal(snapshot(model, np.zeros((1, *SIZE), np.float32)), before)
    again = synthesize(model, channel("gate", [0, 1]), recipe=GRAYISH, steps=40, batch_size=1)
    np.testing.assert_array_equal(again.images, found.images)


def test_out_of_memory_halves_the_batch_and_keeps_copies_together(model, monkeypatch):
    sizes, whole = [], looping.run_chunk

    def short(probe, loop, state, *rest):
        count = len(next(iter(state.values())))
        sizes.append(count)
        if count > 2:
            raise tf.errors.ResourceExhaustedError(None, None, "no memory")
        return whole(probe, loop, state, *rest)

    expected = synthesize(model, logit([0, 1, 2]), recipe=SHAKEN).images
    monkeypatch.setattr(looping, "run_chunk", short)
    found = synthesize(lens(curved()), logit([0, 1, 2]), recipe=SHAKEN, batch_size=3).images
    np.testing.assert_allclose(found, expected, atol=0.02)
    assert min(sizes) == 1


# units that are off


@pytest.mark.parametrize(("bias", "recipe"), [(-131.0, GRAYISH), (-160.0, SHAKEN)], ids=["slightly off", "off, shaken"])
def test_redirected_gradients_activate_an_inactive_unit(bias, recipe):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = synthesize(gates(bias), channel("gate", [0]), recipe=replace(recipe, steps=60))
    assert found.metadata["redirected"].all()
    assert not found.metadata["off"].any()
    assert found.curves["score"][0, 0] < 0.5
    assert found.scores[0] > 20


def test_redirected_gradients_activate_a_hidden_relu():
    """All of the layer below the one that is asked are off, by sums that are 1,000 too small."""
    x = keras.Input(SIZE)
    hidden = layers.Conv2D(2, 3, activation="relu", name="hidden")
    top = layers.Conv2D(1, 3, activation="relu", name="top")
    model = keras.Model(x, layers.Flatten()(top(hidden(x))))
    hidden.kernel.assign(np.ones(hidden.kernel.shape))
    hidden.bias.assign([-27 * GRAY - 1e3, -27 * GRAY - 1e3])
    top.kernel.assign(np.ones(top.kernel.shape))
    found = synthesize(model, channel("top", 0), recipe=replace(GRAYISH, steps=60))
    assert found.metadata["redirected"].all()
    assert found.curves["score"][0, 0] == 0
    assert found.scores[0] > 1000


@pytest.mark.parametrize(
    "recipe", [ADAM, replace(ADAM, priors=((1.0, variation(1)), (0.1, norm_score(2))))], ids=["adam", "with priors"]
)
def test_a_unit_that_never_becomes_active_warns(recipe):
    with pytest.warns(UserWarning, match="1 of 2 images had zero gradient"):
        found = synthesize(gates(-1e6, 0.0), channel("gate", [0, 1]), recipe=recipe, steps=20)
    assert found.metadata["off"].tolist() == [True, False]
    assert found.scores[0] == 0
    assert np.isfinite(found.images).all()


@pytest.mark.parametrize("layer", ["conv", "top", "probs"])
def test_redirected_gradients_change_nothing_for_an_active_unit(model, layer, photos):
    asked = lens(model)
    score = energy(layer) if layer != "probs" else logit(3)
    answer = lambda run, score: {"g": run.gradient(score)}  # noqa: E731
    plain, helped = (
        run_query(asked, Query(("slope", rule), answer, score, rule), photos)["g"] for rule in (None, "redirected")
    )
    assert plain.any()
    np.testing.assert_array_equal(helped, plain)


def test_an_active_unit_is_not_affected_by_an_inactive_one():
    model = gates(-1e6, 0.0, 3.0)
    with pytest.warns(UserWarning, match="never became active"):
        found = synthesize(model, channel("gate", [0, 1, 2]), recipe=ADAM)
    alone = synthesize(model, channel("gate", [1, 2]), recipe=ADAM)
    np.testing.assert_allclose(found.images[1:], alone.images, atol=0.02)


# kinds of models


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_kind_of_model(kind):
    model = kind()
    size = tuple(side or 8 for side in model.input_shape[1:])
    before = snapshot(model, np.zeros((1, *size), np.float32))
    start = np.random.default_rng(0).uniform(0, 255, (1, *size)).astype(np.float32)
    found = synthesize(model, logit([0, 1]), recipe=straight("unit", 1, 1.0), start=start)
    x = tf.constant(np.repeat(start, 2, 0))
    with tf.GradientTape() as tape:
        tape.watch(x)
        score = tf.linalg.diag_part(model(x, training=False)[:, :2])
    g = tape.gradient(score, x).numpy()
    g /= np.sqrt((g**2).sum((1, 2, 3), keepdims=True))
    np.testing.assert_allclose(found.images - start, g, atol=2e-4)
    equal(snapshot(model, np.zeros((1, *size), np.float32)), before)


def beside():
    """Two inputs, two outputs."""
    keras.utils.set_random_seed(1)
    x, age = keras.Input(SIZE, name="photo"), keras.Input((4,), name="age")
    maps = layers.Flatten()(layers.Conv2D(4, 3, name="conv")(x))
    both = layers.Concatenate()([maps, layers.Dense(8, name="older")(age)])
    return keras.Model([x, age], {"kind": layers.Dense(3)(both), "breed": layers.Dense(4)(both)})


def test_several_inputs_and_outputs(rng):
    model, age = beside(), rng.normal(0, 1, (2, 4)).astype(np.float32)
    scores = {}
    for output in ("kind", "breed"):
        asked = lens(model, input="photo", output=output)
        found = synthesize(asked, logit([0, 2]), recipe=ADAM, others={"age": age}, copies=2)
        given = {"photo": found.images, "age": np.repeat(age, 2, 0)}
        scores[output] = model(given)[output].numpy()[np.arange(4), [0, 0, 2, 2]]
        np.testing.assert_allclose(found.scores, scores[output], rtol=1e-4)
        assert (found.scores > found.curves["score"][0]).all()


def test_inputs_that_the_score_does_not_need_are_optional():
    asked = lens(beside(), input="photo", output="kind")
    assert synthesize(asked, channel("conv", 0), recipe=ADAM).scores[0] > 0
    with pytest.raises(ValueError, match="`others` should have values for the other inputs, age"):
        synthesize(asked, logit(0), recipe=ADAM)


@pytest.mark.parametrize(("bounds", "by"), [((-1, 1), "bounds"), ((0, 1), "preprocess")], ids=str)
def test_bounds_do_not_change_the_images(model, bounds, by):
    low, high = bounds
    x = keras.Input(SIZE)
    foreign = keras.Model(x, model(layers.Rescaling(255 / (high - low), -255 * low / (high - low))(x)))
    expected = synthesize(model, logit([0, 1]), recipe=ADAM)
    if by == "bounds":
        found = synthesize(foreign, logit([0, 1]), recipe=ADAM, bounds=bounds)
    else:
        asked = lens(foreign, preprocess=lambda pixels: low + (high - low) / 255 * pixels)
        found = synthesize(asked, logit([0, 1]), recipe=ADAM)
    np.testing.assert_allclose(found.images, expected.images, atol=0.1)
    np.testing.assert_allclose(found.scores, expected.scores, rtol=1e-3)


@pytest.mark.nightly
def test_half_precision_reaches_the_score_of_float32():
    asked = curved()
    policy = keras.config.dtype_policy()
    try:
        keras.config.set_dtype_policy("mixed_float16")
        half = curved()
    finally:
        keras.config.set_dtype_policy(policy)
    half.set_weights(asked.get_weights())
    full, found = (synthesize(each, channel("top", [0, 1, 2]), recipe=ADAM) for each in (asked, half))
    assert {each.dtype for each in (found.images, found.scores)} == {np.dtype("float32")}
    rise = [each.scores - each.curves["score"][0] for each in (full, found)]
    assert (rise[0] > 0).all()
    np.testing.assert_allclose(rise[1], rise[0], rtol=0.05)


@pytest.mark.parametrize(
    ("size", "params"), [((12, 10), Fourier()), ((5, 7), Pixels(noise=10))], ids=["waves", "pixels"]
)
def test_inner_layers_take_images_of_any_size(model, size, params):
    found = synthesize(model, channel("top", [0, 1]), recipe=replace(ADAM, params=params), size=size)
    assert found.images.shape == (2, *size, 3)
    assert (found.scores >= found.curves["score"][0]).all()


def test_memory_estimate_depends_on_the_image_size_not_on_the_parametrization():
    asked = lens(open_size())
    synthesize(asked, logit(0), recipe=SHAKEN, steps=1, size=(24, 40))
    assert {shape for shape, _ in asked.limits} == {(24, 40, 3)}


def test_pixels_stay_within_0_and_255(model):
    found = synthesize(model, logit([0, 1]), recipe=straight("unit", 20, 1e5, params=Pixels()))
    assert found.images.min() == 0
    assert found.images.max() == 255


WRONG = {
    "recipe": ({"recipe": "lucidd"}, "lucid"),
    "steps": ({"steps": 0}, "`steps` should be an integer of at least 1"),
    "a start without rows": ({"start": np.zeros(SIZE)}, r"`start` should be images \(N, H, W, C\)"),
    "other rows": ({"start": np.zeros((3, *SIZE))}, r"`start` should have as many images as"),
    "keep": ({"keep": (99999,)}, "`keep` should be step counts from 0 to"),
    "titles": ({"titles": ["one"]}, "`titles` should have one title for each"),
    "copies": ({"copies": 0}, "`copies` should be an integer of at least 1"),
}


@pytest.mark.parametrize("case", WRONG)
def test_invalid_arguments_raise(model, case):
    how, said = WRONG[case]
    with pytest.raises(ValueError, match=said):
        synthesize(model, logit([0, 1]), **{"recipe": ADAM} | how)
