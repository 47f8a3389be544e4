"""Measures against scikit-learn, brute force and trivial classifiers; intervals and tests against scipy."""

import numpy as np
import pytest
from scipy.stats import binomtest
from sklearn import metrics

from kerascnn import from_probabilities
from kerascnn.evaluation import bootstrap, mcnemar, statistics, wilson


def random_predictions(rng, images=300, classes=7, absent=()):
    """Random probabilities, better than chance, with labels that leave some classes out."""
    labels = rng.choice([i for i in range(classes) if i not in absent], images)
    logits = rng.normal(size=(images, classes))
    logits[np.arange(images), labels] += 1
    probs = np.exp(logits)
    return probs / probs.sum(1, keepdims=True), labels


@pytest.fixture(params=[(), (2, 5)], ids=["all classes", "two classes absent"])
def case(request, rng):
    return random_predictions(rng, absent=request.param)


def test_measures_agree_with_scikit_learn(case):
    probs, labels = case
    found, predicted = from_probabilities(probs, labels), probs.argmax(1)
    all_classes, present_classes = range(probs.shape[1]), np.unique(labels)
    assert found.accuracy == pytest.approx(metrics.accuracy_score(labels, predicted))
    recalls = metrics.recall_score(labels, predicted, labels=present_classes, average=None)
    assert found.balanced_accuracy == pytest.approx(recalls.mean())
    if len(present_classes) == 7:
        assert found.balanced_accuracy == pytest.approx(metrics.balanced_accuracy_score(labels, predicted))
    assert found.macro_f1 == pytest.approx(metrics.f1_score(labels, predicted, labels=present_classes, average="macro"))
    assert found.nll == pytest.approx(metrics.log_loss(labels, probs, labels=all_classes))
    assert found.brier == pytest.approx(np.mean(np.sum((probs - np.eye(7)[labels]) ** 2, axis=1)))
    assert (found.confusion.to_numpy() == metrics.confusion_matrix(labels, predicted, labels=all_classes)).all()
    for k in (1, 2, 5):
        assert found.top(k) == pytest.approx(metrics.top_k_accuracy_score(labels, probs, k=k, labels=all_classes))


def test_per_class_agrees_with_scikit_learn_easiest_first(case):
    probs, labels = case
    found = from_probabilities(probs, labels).per_class
    assert found["accuracy"].is_monotonic_decreasing
    assert sorted(found["number"]) == np.unique(labels).tolist()
    order = found["number"].to_numpy()
    expected = metrics.precision_recall_fscore_support(labels, probs.argmax(1), labels=order)
    for column, values in zip(("precision", "accuracy", "f1", "n"), expected, strict=True):
        assert found[column].tolist() == pytest.approx(values)
    full = metrics.confusion_matrix(labels, probs.argmax(1), labels=range(7))
    np.fill_diagonal(full, 0)
    for number, name in zip(found["number"], found["confused_with"], strict=True):
        assert full[number, int(name.removeprefix("class "))] == full[number].max()


def test_top5_accuracy_per_class(case):
    probs, labels = case
    table = from_probabilities(probs, labels).per_class.set_index("number")
    for number, share in table["top5"].items():
        rows = labels == number
        best = np.argsort(-probs[rows], axis=1)[:, :5]
        assert share == pytest.approx((best == number).any(axis=1).mean())


def test_classes_with_fewer_than_10_images_are_flagged():
    labels = np.repeat([0, 1], [9, 10])
    table = from_probabilities(np.full((19, 2), 0.5), labels).per_class.set_index("number")
    assert table["few"].to_dict() == {0: True, 1: False}


def test_confusions_add_up_to_the_misclassified_images(case):
    probs, labels = case
    found = from_probabilities(probs, labels)
    assert found.confusions["count"].sum() == (~found.correct).sum()
    first = found.confusions.iloc[0]
    assert first["count"] == (found.confusion.to_numpy() * (1 - np.eye(7))).max()
    assert first["share"] == pytest.approx(first["count"] / (labels == first["class_number"]).sum())


def test_ties_rank_the_first_class_higher():
    """Like numpy's stable sort."""
    probs = np.array([[0.25, 0.25, 0.25, 0.25], [0.1, 0.4, 0.4, 0.1], [0.0, 0.0, 1.0, 0.0]])
    for label in range(4):
        order = np.argsort(-probs, axis=1, kind="stable")
        expected = [row.tolist().index(label) for row in order]
        assert statistics.true_class_ranks(probs, np.full(3, label)).tolist() == expected


def test_perfect_and_constant_classifiers():
    labels = np.repeat(np.arange(4), 5)
    perfect = from_probabilities(np.eye(4)[labels], labels)
    assert (perfect.accuracy, perfect.balanced_accuracy, perfect.macro_f1) == (1, 1, 1)
    assert (perfect.nll, perfect.brier) == (0, 0)
    assert len(perfect.confusions) == 0
    assert perfect.calibration.ece == 0
    assert "100.0 %" in perfect.text()
    constant = from_probabilities(np.eye(4)[np.zeros(20, int)], labels)
    assert (constant.accuracy, constant.balanced_accuracy) == (0.25, 0.25)
    assert constant.macro_f1 == pytest.approx(0.1)  # 2 * 5 / (5 + 20) in one class of four
    assert constant.brier == pytest.approx(1.5)


@pytest.mark.parametrize("classes", [3, 10, 40])
def test_each_class_is_listed_once_in_the_summary(rng, classes):
    lines = from_probabilities(*random_predictions(rng, 900, classes)).text().splitlines()
    class_lines = [line for line in lines if " % of " in line and line.startswith("  ")]
    assert len(class_lines) == len({*class_lines}) == min(classes, 10)
    assert ("hardest classes, hardest last" in lines) == (classes > 10)


def test_hardest_and_easiest_images_by_margin():
    probs = np.array([[0.9, 0.1], [0.6, 0.4], [0.2, 0.8], [0.45, 0.55]])
    found = from_probabilities(probs, [0, 0, 0, 1], names=["sure", "unsure", "wrong", "barely"])
    assert found.hardest(2)["image"].tolist() == ["wrong", "barely"]
    assert found.easiest(2)["image"].tolist() == ["sure", "unsure"]
    assert found.table["margin"].tolist() == pytest.approx([0.8, 0.2, -0.6, 0.1])


@pytest.mark.parametrize(("correct", "count"), [(0, 7), (7, 7), (1, 1), (33, 50), (498, 500)], ids=str)
def test_wilson_agrees_with_scipy(correct, count):
    expected = binomtest(correct, count).proportion_ci(0.95, "wilson")
    assert wilson(correct, count) == pytest.approx((correct / count, expected.low, expected.high), abs=1e-12)


def test_bootstrap_of_a_mean_is_as_wide_as_its_standard_error(rng):
    values = rng.normal(size=400)
    found = bootstrap(lambda rows: values[rows].mean(), 400, resamples=4000)
    error = values.std() / 20
    assert found.low == pytest.approx(values.mean() - 1.96 * error, abs=0.15 * error)
    assert found.high == pytest.approx(values.mean() + 1.96 * error, abs=0.15 * error)
    assert bootstrap(lambda rows: values[rows].mean(), 400, resamples=50) == bootstrap(
        lambda rows: values[rows].mean(), 400, resamples=50
    )


@pytest.mark.parametrize(("first", "second"), [(0, 0), (5, 5), (1, 9), (30, 12), (800, 900)], ids=str)
def test_mcnemar_is_the_binomial_test(first, second):
    expected = binomtest(first, first + second).pvalue if first + second else 1
    assert mcnemar(first, second) == pytest.approx(expected)


def test_intervals_contain_their_values(rng):
    found = from_probabilities(*random_predictions(rng)).intervals
    assert [*found] == ["accuracy", "top5", "balanced", "macro_f1", "nll", "brier"]
    assert all(each.low < each.value < each.high for each in found.values())


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ((np.ones((3, 2), int), [0, 1, 1]), "`probs`"),
        ((np.array([[3.0, -1.0]]), [0]), "are they logits"),
        ((np.full((2, 2), 0.5), [0, 2]), "0 to 1"),
        ((np.full((2, 2), 0.5), [0]), "one label per image"),
        ((np.full((2, 2), 0.5), np.eye(2)), "argmax"),
        ((np.full((2, 2), 0.5), ["cat", "dgo"], ["cat", "dog"]), "dog"),
        ((np.full((2, 2), 0.5), ["cat", "dog"]), "class names are unknown"),
        ((np.full((2, 2), 0.5), [0, 1], ["cat"]), "`class_names`"),
        ((np.full((2, 2), 0.5), [0, 1], None, ["a"]), "`names`"),
    ],
    ids=["integers", "logits", "number", "length", "one-hot", "near name", "nameless", "classes", "names"],
)
def test_invalid_arguments(arguments, text):
    with pytest.raises(ValueError, match=text):
        from_probabilities(*arguments)


def test_labels_may_be_names_columns_or_floats():
    probs = np.array([[0.9, 0.1], [0.2, 0.8]])
    for labels in (["cat", "dog"], [[0], [1]], np.array([0.0, 1.0])):
        assert from_probabilities(probs, labels, ["cat", "dog"]).accuracy == 1
