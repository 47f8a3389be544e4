"""Deletion and insertion: linear models, whose exact ranking is known, and identities at both ends."""

from types import SimpleNamespace

import keras
import numpy as np
import pytest
from scipy.ndimage import correlate1d

from kerascnn.visualize import lens
from kerascnn.visualize.attribution.faithfulness import blur_images, choose, curve_area, curves, rank_pixels

SIDE = 8


def linear(weights, bias=0.0):
    """softmax(w x, 0) of gray images: p(class 0) is the sigmoid of w x + b."""
    model = keras.Sequential([keras.Input((SIDE, SIDE, 1)), keras.layers.Flatten(), keras.layers.Dense(2, "softmax")])
    kernel = np.stack([weights.ravel(), np.zeros(weights.size)], axis=1)
    model.set_weights([kernel.astype(np.float32), np.array([bias, 0], np.float32)])
    return model


def given(maps, images, **more):
    names = tuple(f"{i}.jpg" for i in range(len(images)))
    return SimpleNamespace(**{"map": maps, "images": images, "names": names, "classes": None, "method": "test"} | more)


@pytest.fixture
def case(rng):
    weights = rng.normal(0, 0.01, (SIDE, SIDE))
    images = rng.uniform(0, 255, (2, SIDE, SIDE, 1)).astype(np.float32)
    return SimpleNamespace(weights=weights, images=images, model=linear(weights))


def probability(case, images):
    return 1 / (1 + np.exp(-(images[..., 0] * case.weights).sum((1, 2))))


def test_exact_contributions_have_the_best_ranking(case, rng):
    classes = (0, 0)
    deleting = case.weights * (case.images[..., 0] - 127.5)
    inserting = case.weights * (case.images - blur_images(case.images, 5.0))[..., 0]
    least = curves(case.model, given(deleting, case.images), classes=classes).areas.deletion
    most = curves(case.model, given(inserting, case.images), classes=classes).areas.insertion
    for _ in range(20):
        areas = curves(case.model, given(rng.random((2, SIDE, SIDE)), case.images), classes=classes, steps=28).areas
        assert (least < areas.deletion).all()
        assert (most > areas.insertion).all()


def test_curves_start_at_the_image_and_end_at_the_replacement(case, rng):
    found = curves(case.model, given(rng.random((2, SIDE, SIDE)), case.images), classes=[0, 0])
    assert found.shares[[0, -1]].tolist() == [0, 1]
    image = probability(case, case.images)
    for kind in ("deletion", "random_deletion"):
        np.testing.assert_allclose(getattr(found, kind)[:, 0], image, rtol=1e-5)
        gray = probability(case, np.full_like(case.images, 127.5))
        np.testing.assert_allclose(getattr(found, kind)[:, -1], gray, rtol=1e-5)
    for kind in ("insertion", "random_insertion"):
        np.testing.assert_allclose(
            getattr(found, kind)[:, 0], probability(case, blur_images(case.images, 5)), rtol=1e-5
        )
        np.testing.assert_allclose(getattr(found, kind)[:, -1], image, rtol=1e-5)


def test_each_step_is_the_image_with_its_first_pixels_deleted(case):
    values = np.arange(SIDE * SIDE).reshape(1, SIDE, SIDE)[:, ::-1].repeat(2, 0)
    found = curves(case.model, given(values, case.images), classes=0, steps=4, fill="mean")
    color = case.images.mean((1, 2), keepdims=True)
    changed = np.where(values[..., None] >= 48, color, case.images)
    np.testing.assert_allclose(found.deletion[:, 1], probability(case, changed), rtol=1e-5)
    np.testing.assert_allclose(found.shares, [0, 0.25, 0.5, 0.75, 1])


def test_the_blur_is_a_gaussian_of_eleven_pixels(rng):
    images = rng.uniform(0, 255, (2, 30, 26, 3))
    kernel = np.exp(-(np.arange(-5, 6) ** 2) / 50)
    expected = correlate1d(correlate1d(images, kernel / kernel.sum(), 1, mode="nearest"), kernel / kernel.sum(), 2)
    np.testing.assert_allclose(blur_images(images, 5.0)[:, :, 5:-5], expected[:, :, 5:-5], rtol=1e-6)


def test_area_of_a_constant_and_of_a_line():
    shares = np.array([0, 0.1, 0.5, 1])
    assert curve_area(shares, np.full((2, 4), 0.3)) == pytest.approx([0.3, 0.3])
    assert curve_area(shares, shares) == pytest.approx(0.5)


def test_ranks_by_hand():
    maps = np.array([[[3.0, -1], [7, 3]]])
    found = rank_pixels(maps, np.array([[[0.9, 0], [0, 0.1]]]))
    assert found[0, ..., 0].tolist() == [[2, 3], [0, 1]]


def test_any_batch_gives_the_same_and_traces_once(case, rng):
    attribution = given(rng.random((2, SIDE, SIDE)), case.images)
    whole, told = curves(case.model, attribution, steps=7, batch_size=100), []
    made = len(lens(case.model).programs)
    parts = curves(case.model, attribution, steps=7, batch_size=5, on_progress=lambda *done: told.append(done))
    assert len(lens(case.model).programs) == made
    assert {*told} >= {(5, 16, "images"), (16, 16, "images")}
    for kind in ("deletion", "insertion", "random_deletion", "random_insertion"):
        np.testing.assert_allclose(getattr(parts, kind), getattr(whole, kind), rtol=1e-5)


@pytest.mark.parametrize("asked", [None, (1, 0), 1], ids=["likeliest", "given", "one for all"])
def test_classes(case, rng, asked):
    attribution = given(rng.random((2, SIDE, SIDE)), case.images)
    found = curves(case.model, attribution, classes=asked, steps=3)
    first = probability(case, case.images)
    likeliest = tuple(np.where(first > 0.5, 0, 1).tolist())
    assert found.classes == {None: likeliest, (1, 0): (1, 0), 1: (1, 1)}[asked]
    expected = np.where(np.array(found.classes) == 0, first, 1 - first)
    np.testing.assert_allclose(found.deletion[:, 0], expected, rtol=1e-4)
    own = curves(case.model, given(attribution.map, case.images, classes=(0, 0)), steps=3)
    assert own.classes == (0, 0)


def test_logits_become_probabilities(case, rng):
    logits = keras.Sequential([keras.Input((SIDE, SIDE, 1)), keras.layers.Flatten(), keras.layers.Dense(2)])
    logits.set_weights(case.model.get_weights())
    attribution = given(rng.random((2, SIDE, SIDE)), case.images)
    one, other = (curves(model, attribution, classes=0, steps=5) for model in (case.model, logits))
    np.testing.assert_allclose(one.deletion, other.deletion, rtol=1e-5)


def test_a_constant_map_is_ranked_at_random(case):
    found = curves(case.model, given(np.ones((2, SIDE, SIDE)), case.images), steps=9)
    np.testing.assert_array_equal(found.deletion, found.random_deletion)
    np.testing.assert_array_equal(found.gain, 0)


def test_choose_ranks_the_better_method_first(case):
    seen = []

    def exact(model, images, classes=None):
        seen.append(classes)
        signs = np.where(np.array(classes) == 0, 1, -1)[:, None, None]
        return given(signs * case.weights * (images[..., 0] - 127.5), images, classes=classes)

    worst = given(-exact(None, case.images, (0, 0)).map, case.images)
    table = choose(case.model, case.images, (0, 0), methods={"wrong way": worst, "exact": exact}).table
    assert table.method.tolist() == ["exact", "random", "wrong way"]
    assert seen[-1] == (0, 0)
    row = table.set_index("method").loc["exact"]
    expected = curves(case.model, exact(None, case.images, (0, 0)))
    assert row.gain == pytest.approx(expected.gain.mean())
    assert row.deletion == pytest.approx(expected.mean.deletion)
    assert row.low <= row.gain <= row.high
    assert row.seconds >= 0
    assert table.set_index("method").loc["wrong way"].isna().seconds
    assert table.set_index("method").loc["random", ["gain", "low", "high"]].tolist() == [0, 0, 0]


def test_choose_uses_the_predicted_classes(case):
    seen = []

    def method(model, images, classes=None):
        seen.append(classes)
        return given(images[..., 0], images, classes=classes)

    choose(case.model, case.images, methods={"brightness": method}, steps=2)
    assert seen == [tuple(np.where(probability(case, case.images) > 0.5, 0, 1).tolist())]


def test_figures_and_words(case, rng, tmp_path):
    found = curves(case.model, given(rng.random((2, SIDE, SIDE)), case.images))
    found.save(tmp_path / "curves.png")
    assert (tmp_path / "curves.png").stat().st_size > 10_000
    assert "lower is better" in str(found)
    assert list(found.areas) == ["image", "class", "deletion", "insertion", "random_deletion", "random_insertion"]
    assert found.areas.image.tolist() == ["0.jpg", "1.jpg"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"steps": 0}, "`steps`"),
        ({"batch_size": 0}, "`batch_size`"),
        ({"fill": "gry"}, "Did you mean gray"),
        ({"fill": (1, 2, 3)}, "`fill` should have 1 channels"),
        ({"blur": 0}, "`blur`"),
        ({"classes": (0, 2)}, "`classes` should be integers from 0 to 1"),
        ({"classes": (0, 1, 0)}, "`classes` should be one class or one for each of 2"),
        ({"attribution": np.ones((2, SIDE, SIDE))}, "`attribution`"),
    ],
    ids=["steps", "batch", "fill", "color", "blur", "class", "classes", "array"],
)
def test_errors(case, change, message):
    with pytest.raises(ValueError, match=message):
        curves(case.model, **{"attribution": given(np.ones((2, SIDE, SIDE)), case.images)} | change)


def test_choose_rejects_attributions_of_other_images(case):
    other = given(np.ones((2, SIDE, SIDE)), case.images + 1)
    own = given(np.ones((2, SIDE, SIDE)), case.images)
    with pytest.raises(ValueError, match="same images"):
        choose(case.model, case.images, methods={"own": own, "other": other})
    with pytest.raises(ValueError, match="`methods` should be a dictionary"):
        choose(case.model, case.images, methods=[own])
