"""Fooled linear classifiers: the lecture's numbers, and closed forms checked by stepping there."""

import numpy as np
import pytest

from kerascnn.visualize.lectures.linear import fool_linear, ten_numbers


def test_the_ten_numbers_to_four_digits():
    found = ten_numbers()
    assert found.scores == (-3, 2)
    np.testing.assert_allclose(found.probs, (0.0474, 0.8808), atol=5e-5)
    np.testing.assert_array_equal(np.abs(found.fooled - found.x), 0.5)
    assert found.table["w*x"].sum() == -3
    assert found.table["w*x'"].sum() == 2


@pytest.mark.parametrize("step", [0, 0.1, 2])
def test_the_change_is_the_step_times_the_l1_norm(step):
    before, after = ten_numbers(step).scores
    assert after - before == pytest.approx(step * 10)


@pytest.fixture(scope="module", params=["gray", "colors", "two classes"])
def found(request):
    rng = np.random.default_rng(1)
    count = 2 if request.param == "two classes" else 4
    channels = 3 if request.param == "colors" else 1
    labels = np.arange(80) % count
    patterns = rng.normal(0, 40, (count, 6, 5, channels))
    images = np.clip(127 + patterns[labels] + rng.normal(0, 25, (80, 6, 5, channels)), 0, 255)
    return fool_linear(images, 10 * labels, strength=0.01)


def scores(found, images):
    return np.einsum("nhwc,khwc->nk", images, found.templates) + found.biases


def test_probabilities_are_the_softmax_of_the_templates(found):
    for images, probs in zip((found.originals, found.images), found.probs.swapaxes(0, 1), strict=True):
        powers = np.exp(scores(found, images))
        np.testing.assert_allclose(probs, powers / powers.sum(1, keepdims=True), rtol=1e-6)


@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize("share", [0.999, 1.001])
def test_smallest_change_reaches_the_decision_boundary(found, norm, share):
    rows = np.arange(len(found.originals))
    weights = found.templates[found.target] - found.templates[found.before]
    unit = np.sign(weights) if norm == "linf" else weights / np.sqrt(np.square(weights).sum((1, 2, 3), keepdims=True))
    moved = scores(found, found.originals + share * getattr(found, norm)[:, None, None, None] * unit)
    ahead = moved[rows, found.target] > moved[rows, found.before]
    assert ahead.all() if share > 1 else not ahead.any()


def test_the_default_step_fools_every_image(found):
    assert found.table.success.all()
    assert np.abs(found.images - found.originals).max() == pytest.approx(found.step_size)
    assert found.class_names[1] == "10"


def test_no_step_changes_nothing(found):
    same = fool_linear(found.originals, found.before, step_size=0)
    np.testing.assert_array_equal(same.images, same.originals)
    np.testing.assert_allclose(same.probs[:, 0], same.probs[:, 1])


@pytest.mark.parametrize(
    ("options", "said"),
    [({"step_size": -1}, "`step_size`"), ({"targets": 11}, "`targets`")],
    ids=["a step back", "no such class"],
)
def test_invalid_arguments(options, said):
    images, labels = np.eye(4)[:, :, None, None] * 255, np.array([0, 0, 1, 1])
    with pytest.raises(ValueError, match=said):
        fool_linear(images, labels, **options)


def test_figures_have_every_panel(found, tmp_path):
    assert len(ten_numbers().plot().axes) == 4
    assert len(found.plot().axes) == 5 * len(found.originals)
