"""Classifiers on features: they equal scikit-learn's, what is left out is not seen, and nothing leaks."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.neighbors import KNeighborsClassifier
from sklearn.svm import LinearSVC

from kerascnn.evaluation import wilson
from kerascnn.transfer_learning import HEADS, Taps, probes, train_probes
from kerascnn.transfer_learning.heads import (
    center_and_decompose,
    leave_group_out_scores,
    plus_minus_targets,
    ridge_solutions,
)
from kerascnn.transfer_learning.probes import assign_folds, select_fraction
from kerascnn.transfer_learning.taps import PLUS, stage_label

CLASSES, IMAGES = 3, 90


def drawn(rng, width=6, apart=1.5, views=1, images=IMAGES, classes=CLASSES):
    """Features in which classes lie apart, and labels."""
    labels = rng.permutation(np.arange(images) % classes)
    middle = rng.normal(0, apart, (classes, width))[labels]
    rows = middle[:, None] + rng.normal(0, 1, (images, views, width)) + 3
    return rows.astype(np.float32), labels


def made(features, labels, groups=None, **how):
    images = len(labels)
    names = tuple(map(str, range(images)))
    views = tuple(f"view{i}" for i in range(next(iter(features.values())).shape[1]))
    groups = names if groups is None else tuple(map(str, groups))
    return Taps(
        features=features,
        labels=labels,
        class_names=None,
        names=names,
        hashes=names,
        groups=groups,
        crops=views,
        model="drawn",
        size=(8, 8),
        grid=1,
        failed={},
        computed=0,
        seconds=0.0,
    )


def standard(rows, some):
    return (rows - rows[some].mean(axis=0)) / rows[some].std(axis=0)


@pytest.mark.parametrize("width", [6, 200], ids=["narrow", "wide"])
def test_ridge_agrees_with_scikit_learn(rng, width):
    rows, labels = drawn(rng, width)
    targets, penalties = plus_minus_targets(labels, CLASSES), (0.1, 3.0, 100.0)
    weights, bias = ridge_solutions(center_and_decompose(rows[:, 0]), targets, penalties)
    for i, penalty in enumerate(penalties):
        theirs = Ridge(alpha=penalty).fit(rows[:, 0].astype(np.float64), targets)
        np.testing.assert_allclose(weights[i], theirs.coef_.T, atol=1e-6)
        np.testing.assert_allclose(bias[i], theirs.intercept_, atol=1e-5)
        alone = HEADS["ridge"].fit(rows[:, 0], labels, CLASSES, (penalty,))  # in another way
        np.testing.assert_allclose(alone.weights[0], theirs.coef_.T, atol=1e-6)
        np.testing.assert_allclose(alone.bias[0], theirs.intercept_, atol=1e-5)


@pytest.mark.parametrize("width", [6, 200], ids=["narrow", "wide"])
@pytest.mark.parametrize("groups", ["images", "pairs", "uneven"])
def test_leave_one_out_agrees_with_brute_force(rng, width, groups):
    rows, labels = drawn(rng, width)
    rows, targets = rows[:, 0].astype(np.float64), plus_minus_targets(labels, CLASSES)
    member = {"images": np.arange(IMAGES), "pairs": np.arange(IMAGES) // 2, "uneven": rng.integers(0, 30, IMAGES)}[
        groups
    ]
    said = leave_group_out_scores(center_and_decompose(rows), targets, (0.5, 20.0), member)
    for penalty, answers in zip((0.5, 20.0), said, strict=True):
        for group in np.unique(member)[:12]:
            own = member == group
            theirs = Ridge(alpha=penalty).fit(rows[~own], targets[~own]).predict(rows[own])
            np.testing.assert_allclose(answers[own], theirs, atol=1e-6)


THEIRS = {
    "softmax": (lambda penalty: LogisticRegression(C=1 / penalty, tol=1e-8, max_iter=10000), 5e-3),
    "svm": (lambda penalty: LinearSVC(C=1 / penalty, tol=1e-8, dual=False), 5e-3),
}


@pytest.mark.parametrize("head", THEIRS)
@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("width", [6, 200], ids=["narrow", "wide"])
def test_linear_heads_agree_with_scikit_learn(rng, head, classes, width):
    rows, labels = drawn(rng, width, classes=classes)
    rows = standard(rows[:, 0].astype(np.float64), slice(None))
    penalties, (theirs, gap) = HEADS[head].penalties, THEIRS[head]
    scores = HEADS[head].fit(rows, labels, classes, penalties)(rows)
    for penalty, found in zip(penalties, scores, strict=True):
        expected = theirs(penalty).fit(rows, labels).decision_function(rows)
        found = found[:, 1] - found[:, 0] if classes == 2 else found
        np.testing.assert_allclose(found, expected, atol=gap * max(np.abs(expected).max(), 1))


def test_neighbors_agree_with_scikit_learn(rng):
    rows, labels = drawn(rng)
    rows = rows[:, 0].astype(np.float64)
    scores = HEADS["knn"].fit(rows[:60], labels[:60], CLASSES, (20, 5, 1))(rows[60:])
    for k, found in zip((20, 5, 1), scores, strict=True):
        theirs = KNeighborsClassifier(k, metric="cosine").fit(rows[:60], labels[:60])
        votes = np.exp(found) * (k + 1) - 1 / CLASSES
        np.testing.assert_allclose(votes / k, theirs.predict_proba(rows[60:]), atol=1e-9)


def test_table_agrees_with_cross_validation(rng):
    rows, labels = drawn(rng)
    found = train_probes(made({"stage1": rows}, labels), heads="softmax", fractions=(1.0,))
    row = found.best
    right = []
    for fold in range(5):
        some = found.folds != fold
        scaled = standard(rows[:, 0].astype(np.float64), some)
        theirs = LogisticRegression(C=1 / row["penalty"], tol=1e-8, max_iter=10000).fit(scaled[some], labels[some])
        right.append((theirs.predict(scaled[~some]) == labels[~some]).sum())
    assert abs(row["accuracy"] - sum(right) / IMAGES) <= 1 / IMAGES
    assert (row["low"], row["high"]) == pytest.approx(wilson(round(row["accuracy"] * IMAGES), IMAGES)[1:])
    assert found.correct("stage1", "softmax").mean() == pytest.approx(row["accuracy"])
    assert found.curve["accuracy"].iloc[0] == pytest.approx(row["accuracy"])


def test_columns(rng):
    rows, labels = drawn(rng, views=2)
    stages = {"stage1": rows[..., :2], "stage2": rows, "features": rows[..., :3]}
    found = train_probes(made(stages, labels), heads=("ridge", "svm"))
    assert list(found.table) == [
        "stage", "head", "penalty", "accuracy", "low", "high", "train", "width", "seconds"
    ]  # fmt: skip
    assert [*found.summary["stage"].unique()] == ["stage1", "stage2", "features", "stage1+stage2+features"]
    assert [*found.layers_table().index] == ["SVM (1)", "SVM (2)", "SVM (3)"]
    assert found.curve["images"].tolist() == pytest.approx([6, 12, 24])
    assert found.plot().axes
    assert (found.table["seconds"] > 0).all()


@pytest.mark.parametrize("head", HEADS)
def test_shuffled_labels_give_chance_accuracy(rng, head):
    rows, labels = drawn(rng, 20, apart=3, images=300)
    shuffled = rng.permutation(labels)
    found = train_probes(made({"stage1": rows}, shuffled), heads=tuple({"ridge", head}), fractions=(1.0,))
    rows = found.table[found.table["head"] == head]
    _, low, high = wilson(100, 300, level=1 - 0.05 / len(rows))
    assert rows["accuracy"].max() < high
    # what only guesses by frequency is always wrong when left out: its own class is rarer by one
    assert low < (rows["accuracy"].max() if head == "ridge" else rows["accuracy"].min())


def test_duplicates_stay_in_one_fold(rng):
    """Each image twice, labels by chance: a copy in another fold would be recognized."""
    rows, _ = drawn(rng, 60, images=60)
    labels = np.repeat(rng.permutation(np.arange(60) % 2), 2)
    rows = np.repeat(rows, 2, axis=0)
    kept = train_probes(
        made({"stage1": rows}, labels, np.repeat(np.arange(60), 2)), heads=("ridge", "knn"), fractions=(1.0,)
    )
    loose = train_probes(made({"stage1": rows}, labels), heads=("ridge", "knn"), fractions=(1.0,))
    assert kept.summary["accuracy"].max() < 0.75
    assert loose.summary["accuracy"].min() > 0.9


def test_folds_are_stratified_and_keep_groups(rng):
    labels, groups = np.repeat([0, 1, 2], 40), np.arange(120) // 2
    fold = assign_folds(labels, groups, 5)
    assert all(len({*fold[groups == group]}) == 1 for group in range(60))
    assert all((np.bincount(labels[fold == each]) == 8).all() for each in range(5))
    assert assign_folds(np.array([0, 0, 0, 1, 1, 1]), np.arange(6), 5).max() == 2  # as many folds as images of a class


def test_fractions_are_nested(rng):
    labels, order = rng.integers(0, 3, 50), rng.permutation(50)
    some = rng.random(50) < 0.8
    small, large, whole = (select_fraction(some, labels, order, fraction) for fraction in (0.01, 0.5, 1.0))
    assert [*np.bincount(labels[small], minlength=3)] == [1, 1, 1]
    assert (small <= large).all()
    assert (large <= whole).all()
    assert (whole == some).all()


@pytest.mark.parametrize(
    ("labels", "how", "message"),
    [
        (None, {}, "`taps` should have labels"),
        ([0, 0, 0, 0], {}, "at least two classes"),
        ([0, 0, 2, 2], {}, "0 images of 1"),
        ([0, 0, 0, 1], {}, "1 images of 1"),
        ([0, 0, 1, 1], {"heads": "sofmax"}, "Did you mean"),
        ([0, 0, 1, 1], {"stages": ["stage2"]}, "stage"),
    ],
    ids=["no labels", "one class", "empty class", "one image", "head", "stage"],
)
def test_invalid_input(rng, labels, how, message):
    labels = None if labels is None else np.array(labels)
    given = made({"stage1": rng.normal(0, 1, (4, 1, 3))}, labels if labels is not None else np.zeros(4))
    if labels is None:
        given = Taps(**{**vars(given), "labels": None})
    with pytest.raises(ValueError, match=message):
        train_probes(given, **how)


@pytest.mark.parametrize("images", [2, 3], ids=["2 a class", "3 a class"])
def test_few_images(rng, images):
    rows, labels = drawn(rng, images=images * CLASSES)
    found = train_probes(made({"stage1": rows}, labels))
    assert found.folds.max() == images - 1
    assert found.table["accuracy"].between(0, 1).all()


def test_concatenated_stages(rng, monkeypatch):
    """The best three by each head, all by ridge; no copies; the best of them where all would be too many."""
    rows, labels = drawn(rng)
    noisy = lambda size: rows + rng.normal(0, size, rows.shape)  # noqa: E731
    given = made({"a": noisy(9), "b": noisy(1), "c": noisy(2), "copy": rows, "e": rows, "f": noisy(3)}, labels)
    tried = lambda **how: {  # noqa: E731
        (row.stage, row.head)
        for row in train_probes(given, fractions=(), **how).summary.itertuples()
        if PLUS in row.stage
    }
    assert tried(heads=("ridge", "svm")) == {("b+c+copy", "ridge"), ("b+c+copy", "svm"), ("a+b+c+copy+f", "ridge")}
    assert tried(heads="ridge", concatenate=()) == set()
    first = train_probes(given, heads="ridge", fractions=(), concatenate=(3,))
    assert tried(heads="softmax", previous=first) == {("b+c+copy", "ridge"), ("a+b+c+copy+f", "ridge")}
    monkeypatch.setattr(probes, "MAX_RIDGE_SIZE", 4 * rows.shape[-1])
    assert tried(heads="ridge") == {("b+c+copy", "ridge"), ("b+c+copy+f", "ridge")}
    assert stage_label("b+c+copy") == "b+c+copy"
    assert stage_label("a+b+c+copy+f") == "5 stages, a to f"


def test_other_heads_on_the_best_and_the_last_stage(rng):
    rows, labels = drawn(rng)
    stages = {"stage1": rng.normal(0, 1, rows.shape), "stage2": rows, "stage3": rng.normal(0, 1, rows.shape)}
    given = made(stages, labels)
    first = train_probes(given, heads="ridge", fractions=())
    found = train_probes(given, heads="softmax", previous=first)
    whole = train_probes(given, heads=("ridge", "softmax"))
    tried = {(row.stage, row.head) for row in found.summary.itertuples()}
    assert {stage for stage, head in tried if head == "softmax"} == {"stage2", "stage3"}
    assert {stage for stage, head in tried if head == "ridge"} == {*first.summary["stage"]}
    for stage, head in tried:
        assert found.row(stage, head)["accuracy"] == whole.row(stage, head)["accuracy"]
    assert len(found.curve) == 3
