"""Calibration errors computed by hand, and temperatures that are known from how the logits were made."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax

from kerascnn import from_probabilities, temperature
from kerascnn.evaluation import reliability


def binary_predictions(confidence, correct):
    """Two-class probabilities with these confidences, and labels that make them correct or wrong."""
    confidence = np.array(confidence)
    return np.stack([confidence, 1 - confidence], axis=1), np.where(correct, 0, 1)


def test_calibration_error_by_hand():
    """Two bins of two: |0.5 - 0.65| / 2 + |1 - 0.85| / 2 = 0.15."""
    found = reliability(*binary_predictions([0.6, 0.7, 0.8, 0.9], [1, 0, 1, 1]), bins=2)
    assert found.ece == pytest.approx(0.15)
    assert found.gap == pytest.approx(0.0)
    assert found.table["n"].tolist() == [2, 2]
    assert found.table["confidence"].tolist() == pytest.approx([0.65, 0.85])
    assert found.table["accuracy"].tolist() == pytest.approx([0.5, 1.0])
    assert found.table[["low", "high"]].to_numpy() == pytest.approx(np.array([[0.6, 0.7], [0.8, 0.9]]))


def test_bins_are_equally_large_and_image_order_does_not_matter(rng):
    confidence, correct = rng.uniform(0.5, 1, 150), rng.random(150) < 0.8
    found = reliability(*binary_predictions(confidence, correct))
    assert found.table["n"].tolist() == [10] * 15
    order = np.argsort(confidence)
    bins = np.array_split(correct[order] - confidence[order], 15)
    assert found.ece == pytest.approx(np.mean([abs(bin_.mean()) for bin_ in bins]))
    shuffled = rng.permutation(150)
    assert reliability(*binary_predictions(confidence[shuffled], correct[shuffled])).ece == pytest.approx(found.ece)


def test_equal_confidences_stay_in_one_bin():
    found = reliability(*binary_predictions([0.9] * 100, [1] * 90 + [0] * 10))
    assert len(found.table) == 1
    assert found.ece == pytest.approx(0, abs=1e-12)


def test_chance_tells_calibrated_from_overconfident_classifiers(rng):
    logits = rng.normal(size=(1500, 5)) * 2
    labels = np.array([rng.choice(5, p=row) for row in softmax(logits, 1)])
    calibrated, overconfident = (reliability(softmax(scale * logits, 1), labels) for scale in (1, 3))
    assert calibrated.ece < 1.3 * calibrated.chance
    assert overconfident.ece > 3 * overconfident.chance
    assert overconfident.gap > 0.1 > abs(calibrated.gap)


@pytest.mark.parametrize(("images", "few"), [(1, True), (9, True), (60, True), (5000, False)])
def test_few_images_meaconfidence_no_calibration(rng, images, few):
    """However the images turn out: what chance gives depends on the confidences alone."""
    confidence = rng.uniform(0.5, 1, images)
    for correct in (np.ones(images), rng.random(images) < confidence, np.zeros(images)):
        calibration = reliability(*binary_predictions(confidence, correct))
        assert len(calibration) == images
        assert calibration.too_few == few == (calibration.chance > 0.1)
        assert ("too few images" in calibration.text()) == few
        axis = calibration.plot().axes[0]
        assert ("too few" in axis.get_title()) == few
        assert (axis.containers[0][0].get_linestyle() == "None") == few  # points without a line through them


@pytest.mark.parametrize("true", [0.4, 1.0, 2.5])
def test_a_known_temperature_is_found(rng, true):
    logits = rng.normal(size=(6000, 6)) * 2
    labels = (softmax(logits, 1).cumsum(1) < rng.random((len(logits), 1))).sum(1)
    found = temperature(logits * true, labels)
    assert float(found) == pytest.approx(true, rel=0.05)
    assert found.nll[1] <= found.nll[0]
    assert found.ece[1] < 0.03


def test_temperature_agrees_with_scipy(rng):
    logits, labels = rng.normal(size=(200, 4)) * 3, rng.integers(0, 4, 200)
    logits[np.arange(200), labels] += 2

    def nll(value):
        return -log_softmax(logits / value, 1)[np.arange(200), labels].mean()

    best = minimize_scalar(nll, bounds=(0.1, 20), method="bounded", options={"xatol": 1e-10})
    found = temperature(logits, labels)
    assert found.value == pytest.approx(best.x, rel=1e-5)
    assert found.nll == pytest.approx((nll(1), best.fun))
    assert temperature(softmax(logits, 1), labels).value == pytest.approx(found.value)


@settings(max_examples=25, deadline=None)
@given(arrays.arrays(np.float64, (8, 5), elements=st.floats(-20, 20, width=32), unique=True), st.floats(0.05, 50))
def test_temperature_keeps_the_predicted_class(logits, value):
    probs = softmax(np.round(logits, 3) + np.arange(5) * 1e-4, 1)  # no two differ by rounding alone
    found = from_probabilities(probs, np.zeros(8, int))
    assert (found.with_temperature(value).predicted == found.predicted).all()


def test_sigmoid_outputs_cannot_be_temperature_scaled():
    with pytest.raises(ValueError, match="add up to 1"):
        from_probabilities(np.array([[0.9, 0.8]]), [0]).with_temperature(2)


def test_a_temperature_at_the_limit_warns():
    with pytest.warns(UserWarning, match="all images are correct"):
        assert float(temperature(np.array([[2.0, 0.0], [0.0, 1.0]]), np.array([0, 1]))) == pytest.approx(0.01)
    with pytest.warns(UserWarning, match="no better than chance"):
        assert float(temperature(np.array([[2.0, 0.0], [0.0, 1.0]]), np.array([1, 0]))) == pytest.approx(100)


@pytest.mark.parametrize(
    ("scores", "labels", "text"),
    [(np.ones(3), [0], "`scores`"), (np.ones((2, 3)), [0], "each of the 2"), (np.ones((2, 3)), [0, 3], "0 to 2")],
    ids=["shape", "length", "number"],
)
def test_invalid_arguments(scores, labels, text):
    with pytest.raises(ValueError, match=text):
        temperature(scores, labels)
