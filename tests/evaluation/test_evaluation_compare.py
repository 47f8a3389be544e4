"""Two classifiers, several as one, people: against counts by hand, scikit-learn and scipy."""

import json

import numpy as np
import pytest
from scipy.stats import binomtest, ttest_rel
from sklearn.metrics import cohen_kappa_score

from kerascnn import compare, ensemble, from_probabilities, human_against_network
from kerascnn.evaluation import nadeau_bengio_test
from kerascnn.evaluation.statistics import cohen_kappa

CLASSES = ("cat", "dog", "owl")


def answers(predicted, labels, sure=0.8, **options):
    """An evaluation that predicts these classes."""
    probs = np.full((len(predicted), 3), (1 - sure) / 2)
    probs[np.arange(len(predicted)), predicted] = sure
    return from_probabilities(probs, labels, CLASSES, **options)


LABELS = [0, 0, 0, 1, 1, 1, 2, 2, 2, 2]
FIRST = [0, 0, 0, 1, 1, 1, 2, 2, 0, 1]  # 8 right
SECOND = [0, 1, 1, 1, 0, 1, 2, 0, 2, 1]  # 5 right, one of them alone


def test_a_pair_by_hand():
    found = compare(answers(FIRST, LABELS, model="a"), answers(SECOND, LABELS, model="b"))
    assert found.table.to_numpy().tolist() == [[4, 4], [1, 1]]
    assert (found.table.index.name, found.table.columns.name) == ("a", "b")
    assert found.difference.value == pytest.approx(0.3)
    assert found.difference.low < 0.3 < found.difference.high
    assert found.p == pytest.approx(binomtest(4, 5).pvalue)
    assert found.disagreements["image"].tolist() == [f"image {i}" for i in (1, 2, 4, 7, 8)]
    assert found.disagreements["right"].tolist() == ["a", "a", "a", "a", "b"]
    assert "+30.0 percentage points" in str(found)


def test_the_order_of_images_does_not_matter(rng):
    names, order = [f"photo{i}" for i in range(10)], rng.permutation(10)
    first = answers(FIRST, LABELS, names=names)
    second = answers(SECOND, LABELS, names=names)
    mixed = answers(np.array(SECOND)[order], np.array(LABELS)[order], names=[names[i] for i in order])
    assert compare(first, mixed).table.equals(compare(first, second).table)
    assert compare(first, mixed).difference == compare(first, second).difference


def test_with_itself_there_is_no_difference():
    found = compare(answers(FIRST, LABELS), answers(FIRST, LABELS))
    assert (found.p, *found.difference) == (1, 0, 0, 0)
    assert len(found.disagreements) == 0


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"names": [f"other{i}" for i in range(10)]}, "same images"),
        ({"labels": LABELS[::-1]}, "labels"),
        ({"predicted": FIRST[:9], "labels": LABELS[:9]}, "same images"),
    ],
    ids=["names", "labels", "fewer"],
)
def test_unpaired_sets_are_refused(options, text):
    second = answers(**({"predicted": FIRST, "labels": LABELS} | options))
    with pytest.raises(ValueError, match=text):
        compare(answers(FIRST, LABELS), second)


def test_corrected_t_by_hand():
    """Mean 0.02, variance 0.0002; of 5 splits of 80 and 20: sqrt((1/5 + 1/4) 0.00025)."""
    first, second = np.array([0.91, 0.92, 0.93, 0.94, 0.95]), np.array([0.89, 0.92, 0.89, 0.92, 0.93])
    found = nadeau_bengio_test(first, second, train=80, test=20)
    spread = np.sqrt(0.45 * np.var([0.02, 0.0, 0.04, 0.02, 0.02], ddof=1))
    assert (found.value, found.t) == pytest.approx((0.02, 0.02 / spread))
    plain = ttest_rel(first, second)
    assert found.t == pytest.approx(plain.statistic * np.sqrt(0.2 / 0.45))
    assert found.p > plain.pvalue
    no_overlap = nadeau_bengio_test(first, second, train=1e12, test=1)  # then nothing is corrected
    assert (no_overlap.t, no_overlap.p) == pytest.approx((plain.statistic, plain.pvalue))


@pytest.mark.parametrize("how", ["probabilities", "logarithms"])
def test_an_ensemble_of_equals_is_each_of_them(how):
    one = answers(FIRST, LABELS)
    found = ensemble([one, one, one], mode=how)
    assert found.evaluation.probs == pytest.approx(one.probs)
    assert (*found.gain, found.comparison.p) == (0, 0, 0, 1)


def test_an_ensemble_is_the_weighted_mean(rng):
    probs = rng.dirichlet(np.ones(3), (2, 10))
    first, second = (from_probabilities(each, LABELS) for each in probs)
    found = ensemble([first, second], weights=[3, 1])
    assert found.evaluation.probs == pytest.approx(0.75 * probs[0] + 0.25 * probs[1])
    geometric = np.sqrt(probs[0] * probs[1])
    found = ensemble([first, second], mode="logarithms")
    assert found.evaluation.probs == pytest.approx(geometric / geometric.sum(1, keepdims=True))
    assert found.members[found.best].accuracy == max(first.accuracy, second.accuracy)
    assert found.gain.value == pytest.approx(found.evaluation.accuracy - found.members[found.best].accuracy)
    assert found.table["member"].tolist() == ["member 1", "member 2", "ensemble"]
    assert found.table["accuracy"].iloc[-1] == pytest.approx(found.evaluation.accuracy)


@pytest.mark.parametrize(
    ("members", "options", "text"),
    [
        ([], {}, "`members`"),
        ([3], {}, "int"),
        ([answers(FIRST, LABELS)], {"weights": [-1]}, "`weights`"),
        ([answers(FIRST, LABELS)], {"mode": "vote"}, "`mode`"),
    ],
    ids=["none", "number", "weights", "how"],
)
def test_refused_ensembles(members, options, text):
    with pytest.raises(ValueError, match=text):
        ensemble(members, **options)


def test_kappa_is_scikit_learns(rng):
    first, second = rng.integers(0, 4, (2, 200))
    assert cohen_kappa(first, second) == pytest.approx(cohen_kappa_score(first, second))
    assert cohen_kappa(first, first) == 1
    assert abs(cohen_kappa(*rng.integers(0, 2, (2, 200_000)))) < 0.01


@pytest.fixture
def sheet(tmp_path):
    def write(*lines):
        path = tmp_path / "answers.csv"
        path.write_text("\n".join(lines) + "\n")
        return path

    return write


def test_one_person_by_hand(sheet):
    network = answers(FIRST, LABELS, names=[f"photos/{i}.jpg" for i in range(10)])
    given = [0, 0, 1, 1, 0, 1, 2, 2, 2, 1]  # wrong at 2, 4, 9; the network at 8, 9
    rows = [f"{i}.jpg,{CLASSES[answer].upper()}" for i, answer in enumerate(given)]
    found = human_against_network(network, sheet("image,answer", *rows))
    assert found.table.to_numpy().tolist() == [[6, 1], [2, 1]]
    assert found.agreement == pytest.approx(cohen_kappa_score(given, FIRST))
    assert found.consistency == pytest.approx(cohen_kappa_score(np.equal(given, LABELS), np.equal(FIRST, LABELS)))
    assert found.examples("right", "wrong")["image"].tolist() == ["photos/8.jpg"]
    assert found.examples("wrong", "right")["answer"].tolist() == ["dog", "cat"]
    assert found.people["accuracy"].tolist() == pytest.approx([0.7, 0.8])


def test_several_persons_and_their_majority(sheet):
    network = answers([0, 1, 2], [0, 1, 0], names="abc")
    rows = ["a,cat,Ann", "a,cat,Bob", "a,dog,Cy", "b,dog,Ann", "b,owl,Bob", "c,0,Ann"]
    found = human_against_network(network, sheet("Image,Answer,Person", *rows))
    assert (found.evaluation.names, found.ties) == (("a", "c"), ("b",))
    assert found.table.to_numpy().tolist() == [[1, 1], [0, 0]]
    assert {name: len(each.answers) for name, each in found.individuals.items()} == {"Ann": 3, "Bob": 2, "Cy": 1}
    assert found.people["who"].tolist() == ["Ann", "Bob", "Cy", "majority", "network"]
    assert found.people["accuracy"].tolist() == pytest.approx([1, 0.5, 0, 1, 0.5])
    assert "no answer has a majority: 1 images" in str(found)


@pytest.mark.parametrize(
    ("lines", "text"),
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
def test_refused_answers(sheet, lines, text):
    with pytest.raises(ValueError, match=text):
        human_against_network(answers([0, 1, 2], [0, 1, 0], names="abc"), sheet(*lines))


def test_what_is_written_is_what_was_found(sheet, tmp_path):
    first, second = answers(FIRST, LABELS, model="a"), answers(SECOND, LABELS, model="b")
    versus, mixed = compare(first, second), ensemble([first, second])
    people = human_against_network(first, sheet("image,answer", "image 0,cat", "image 8,owl"))
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
