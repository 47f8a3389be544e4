"""Comparisons, ensembles and human answers: against counts by hand, scikit-learn and scipy."""

import json

import numpy as np
import pytest
from scipy.stats import binomtest, ttest_rel
from sklearn.metrics import cohen_kappa_score

from kerascnn import compare, ensemble, from_probabilities, human_against_network
from kerascnn.evaluation import nadeau_bengio_test
from kerascnn.evaluation.statistics import cohen_kappa

CLASSES = ("cat", "dog", "owl")


def evaluation_of(predicted, labels, confidence=0.8, **options):
    """An evaluation with these predicted classes."""
    probs = np.full((len(predicted), 3), (1 - confidence) / 2)
    probs[np.arange(len(predicted)), predicted] = confidence
    return from_probabilities(probs, labels, CLASSES, **options)


LABELS = [0, 0, 0, 1, 1, 1, 2, 2, 2, 2]
FIRST = [0, 0, 0, 1, 1, 1, 2, 2, 0, 1]  # 8 correct
SECOND = [0, 1, 1, 1, 0, 1, 2, 0, 2, 1]  # 5 correct, one of them only in this list


def test_comparison_by_hand():
    found = compare(evaluation_of(FIRST, LABELS, model="a"), evaluation_of(SECOND, LABELS, model="b"))
    assert found.contingency.to_numpy().tolist() == [[4, 4], [1, 1]]
    assert (found.contingency.index.name, found.contingency.columns.name) == ("a", "b")
    assert found.difference.value == pytest.approx(0.3)
    assert found.difference.low < 0.3 < found.difference.high
    assert found.p == pytest.approx(binomtest(4, 5).pvalue)
    assert found.table["image"].tolist() == [f"image {i}" for i in (1, 2, 4, 7, 8)]
    assert found.table["correct"].tolist() == ["a", "a", "a", "a", "b"]
    assert "+30.0 percentage points" in str(found)


def test_images_are_matched_by_name(rng):
    names, order = [f"photo{i}" for i in range(10)], rng.permutation(10)
    first = evaluation_of(FIRST, LABELS, names=names)
    second = evaluation_of(SECOND, LABELS, names=names)
    mixed = evaluation_of(np.array(SECOND)[order], np.array(LABELS)[order], names=[names[i] for i in order])
    assert compare(first, mixed).contingency.equals(compare(first, second).contingency)
    assert compare(first, mixed).difference == compare(first, second).difference


def test_comparison_with_itself():
    found = compare(evaluation_of(FIRST, LABELS), evaluation_of(FIRST, LABELS))
    assert (found.p, *found.difference) == (1, 0, 0, 0)
    assert len(found.table) == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"names": [f"other{i}" for i in range(10)]}, "same images"),
        ({"labels": LABELS[::-1]}, "labels"),
        ({"predicted": FIRST[:9], "labels": LABELS[:9]}, "same images"),
    ],
    ids=["names", "labels", "fewer"],
)
def test_evaluations_of_other_images_are_rejected(options, message):
    second = evaluation_of(**({"predicted": FIRST, "labels": LABELS} | options))
    with pytest.raises(ValueError, match=message):
        compare(evaluation_of(FIRST, LABELS), second)


def test_nadeau_bengio_test_by_hand():
    """Mean 0.02, variance 0.0002; of 5 splits of 80 and 20: sqrt((1/5 + 1/4) 0.00025)."""
    first, second = np.array([0.91, 0.92, 0.93, 0.94, 0.95]), np.array([0.89, 0.92, 0.89, 0.92, 0.93])
    found = nadeau_bengio_test(first, second, train=80, test=20)
    standard_error = np.sqrt(0.45 * np.var([0.02, 0.0, 0.04, 0.02, 0.02], ddof=1))
    assert (found.value, found.t) == pytest.approx((0.02, 0.02 / standard_error))
    uncorrected = ttest_rel(first, second)
    assert found.t == pytest.approx(uncorrected.statistic * np.sqrt(0.2 / 0.45))
    assert found.p > uncorrected.pvalue
    no_overlap = nadeau_bengio_test(first, second, train=1e12, test=1)  # then nothing is corrected
    assert (no_overlap.t, no_overlap.p) == pytest.approx((uncorrected.statistic, uncorrected.pvalue))


@pytest.mark.parametrize("mode", ["probabilities", "logarithms"])
def test_an_ensemble_of_equal_members_changes_nothing(mode):
    member = evaluation_of(FIRST, LABELS)
    found = ensemble([member, member, member], mode=mode)
    assert found.evaluation.probs == pytest.approx(member.probs)
    assert (*found.gain, found.comparison.p) == (0, 0, 0, 1)


def test_an_ensemble_averages_probabilities(rng):
    probs = rng.dirichlet(np.ones(3), (2, 10))
    first, second = (from_probabilities(each, LABELS) for each in probs)
    found = ensemble([first, second], weights=[3, 1])
    assert found.evaluation.probs == pytest.approx(0.75 * probs[0] + 0.25 * probs[1])
    geometric = np.sqrt(probs[0] * probs[1])
    found = ensemble([first, second], mode="logarithms")
    assert found.evaluation.probs == pytest.approx(geometric / geometric.sum(1, keepdims=True))
    assert found.members[found.best_member].accuracy == max(first.accuracy, second.accuracy)
    assert found.gain.value == pytest.approx(found.evaluation.accuracy - found.members[found.best_member].accuracy)
    assert found.table["member"].tolist() == ["member 1", "member 2", "ensemble"]
    assert found.table["accuracy"].iloc[-1] == pytest.approx(found.evaluation.accuracy)


@pytest.mark.parametrize(
    ("members", "options", "message"),
    [
        ([], {}, "`members`"),
        ([3], {}, "int"),
        ([evaluation_of(FIRST, LABELS)], {"weights": [-1]}, "`weights`"),
        ([evaluation_of(FIRST, LABELS)], {"mode": "vote"}, "`mode`"),
    ],
    ids=["none", "number", "weights", "mode"],
)
def test_invalid_ensemble_arguments(members, options, message):
    with pytest.raises(ValueError, match=message):
        ensemble(members, **options)


def test_cohen_kappa_agrees_with_scikit_learn(rng):
    first, second = rng.integers(0, 4, (2, 200))
    assert cohen_kappa(first, second) == pytest.approx(cohen_kappa_score(first, second))
    assert cohen_kappa(first, first) == 1
    assert abs(cohen_kappa(*rng.integers(0, 2, (2, 200_000)))) < 0.01


@pytest.fixture
def write_answers(tmp_path):
    def write(*lines):
        path = tmp_path / "answers.csv"
        path.write_text("\n".join(lines) + "\n")
        return path

    return write


def test_answers_of_one_person_by_hand(write_answers):
    network = evaluation_of(FIRST, LABELS, names=[f"photos/{i}.jpg" for i in range(10)])
    answers = [0, 0, 1, 1, 0, 1, 2, 2, 2, 1]  # wrong at 2, 4, 9; the network at 8, 9
    rows = [f"{i}.jpg,{CLASSES[answer].upper()}" for i, answer in enumerate(answers)]
    found = human_against_network(network, write_answers("image,answer", *rows))
    assert found.contingency.to_numpy().tolist() == [[6, 1], [2, 1]]
    assert found.agreement == pytest.approx(cohen_kappa_score(answers, FIRST))
    assert found.consistency == pytest.approx(cohen_kappa_score(np.equal(answers, LABELS), np.equal(FIRST, LABELS)))
    assert found.examples("correct", "wrong")["image"].tolist() == ["photos/8.jpg"]
    assert found.examples("wrong", "correct")["answer"].tolist() == ["dog", "cat"]
    assert found.people["accuracy"].tolist() == pytest.approx([0.7, 0.8])


def test_majority_of_several_persons(write_answers):
    network = evaluation_of([0, 1, 2], [0, 1, 0], names="abc")
    rows = ["a,cat,Ann", "a,cat,Bob", "a,dog,Cy", "b,dog,Ann", "b,owl,Bob", "c,0,Ann"]
    found = human_against_network(network, write_answers("Image,Answer,Person", *rows))
    assert (found.evaluation.names, found.ties) == (("a", "c"), ("b",))
    assert found.contingency.to_numpy().tolist() == [[1, 1], [0, 0]]
    assert {name: len(each.answers) for name, each in found.individuals.items()} == {"Ann": 3, "Bob": 2, "Cy": 1}
    assert found.people["who"].tolist() == ["Ann", "Bob", "Cy", "majority", "network"]
    assert found.people["accuracy"].tolist() == pytest.approx([1, 0.5, 0, 1, 0.5])
    assert "no answer has a majority: 1 image" in str(found)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["picture,answer", "a,cat"], "columns"),
        (["image,answer", "d,cat"], "line 2: `image`"),
        (["image,answer", "a,cta"], "line 2: .*cat"),
        (["image,answer", "a,7"], "0 to 2"),
        (["image,answer", "a,cat", "a,dog"], "line 3: human should have only one answer"),
        (["image,answer"], "none"),
    ],
    ids=["columns", "image", "near name", "number", "twice", "empty"],
)
def test_invalid_answer_files(write_answers, lines, message):
    with pytest.raises(ValueError, match=message):
        human_against_network(evaluation_of([0, 1, 2], [0, 1, 0], names="abc"), write_answers(*lines))


def test_saved_files_hold_the_results(write_answers, tmp_path):
    first, second = evaluation_of(FIRST, LABELS, model="a"), evaluation_of(SECOND, LABELS, model="b")
    versus, mixed = compare(first, second), ensemble([first, second])
    people = human_against_network(first, write_answers("image,answer", "image 0,cat", "image 8,owl"))
    tables = {
        "against": (versus, {"difference": versus.difference.value, "p": versus.p}, "image,class,first"),
        "people": (people, {"table": [[1, 1], [0, 0]]}, "image,class,predicted,answer"),
        "mixed": (mixed, {}, "member,weight,accuracy"),
        "sure": (first.calibration, {"ece": first.calibration.ece}, "low,high,n,confidence"),
    }
    for name, (found, stated, titles) in tables.items():
        written = json.loads(found.save(tmp_path / f"{name}.json").read_text())
        for key, value in stated.items():
            value = value if isinstance(value, list) else pytest.approx(value, rel=1e-5)
            assert (written[key]["value"] if key == "difference" else written[key]) == value
        assert found.save(tmp_path / f"{name}.csv").read_text().startswith(titles)
        assert found.save(tmp_path / f"{name}.png").stat().st_size > 5000
        with pytest.raises(ValueError, match="`path`"):
            found.save(tmp_path / f"{name}.xlsx")
