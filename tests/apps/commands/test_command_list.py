"""`kerascnn list`: its filters against the rows of the catalog, its text, its JSON."""

import pytest

from kerascnn.zoo.registry import weights_sources
from kerascnn_apps.options import Count


def publishers(row):
    return {source.publisher for source in weights_sources().get(row.name, ())}


FILTERS = {
    "": lambda row: True,
    "vgg": lambda row: "vgg" in row.name,
    "VGG16": lambda row: "vgg16" in row.name,
    "resnet*_cifar10": lambda row: row.name.startswith("resnet") and row.name.endswith("_cifar10"),
    "--family densenet": lambda row: row.family == "densenet",
    "--year 2015": lambda row: row.year == 2015,
    "--max-params 5M": lambda row: row.params <= 5_000_000,
    "--max-params 1.2e6": lambda row: row.params <= 1_200_000,
    "--max-params 25_557_032": lambda row: row.params <= 25_557_032,
    "cifar --family resnext --year 2016": lambda row: "cifar" in row.name and row.family == "resnext",
    "--pretrained": publishers,
    "--pretrained resnet*": lambda row: row.name.startswith("resnet") and publishers(row),
    "--no-pretrained": lambda row: not publishers(row),
    "--from timm": lambda row: "timm" in publishers(row),
    "--pretrained --from keras vgg": lambda row: "vgg" in row.name and "keras" in publishers(row),
}


@pytest.mark.parametrize("words", FILTERS)
def test_filters(document, rows, words):
    found = document("list", *words.split())
    names = [row["name"] for row in found["result"]]
    assert set(names) == {row.name for row in rows if FILTERS[words](row) and not row.name.startswith("tiny")}
    assert names
    assert found["warnings"] == []


def test_numbers_are_exact_in_json_and_short_in_text(run, document):
    found = next(row for row in document("list", "vgg16")["result"] if row["name"] == "vgg16")
    assert found["params"] == 138_357_544
    assert found["input_shape"] == [224, 224, 3]
    line = next(line for line in run("list", "vgg16").stdout.splitlines() if line.startswith("vgg16 "))
    assert " ".join(line.split()) == "vgg16 vgg 2014 138 M 15.5 G 71.6 224x224x3 1000 arXiv:1409.1556"


BEST = {  # the accuracy of the weights that are given by default, or by a publisher, and its size in pixels
    ("vgg16",): ("vgg16", 71.592, 224),
    ("vgg16", "--from", "keras"): ("vgg16", 71.268, 224),
    ("resnet50",): ("resnet50", 81.240, 288),
    ("resnet50", "--from", "torchvision"): ("resnet50", 80.858, 224),
    ("resnext101",): ("resnext101_32x4d", 80.336, 224),  # better ones are not for commercial use
    ("resnext101", "--from", "keras"): ("resnext101_32x4d", 78.730, 224),
    ("resnet20_cifar10",): ("resnet20_cifar10", None, None),  # 89.1 %, but not of ImageNet
    ("lenet5",): ("lenet5", None, None),
}


@pytest.mark.parametrize("words", BEST, ids=" ".join)
def test_best_accuracy(document, words):
    name, top1, size = BEST[words]
    row = next(row for row in document("list", *words)["result"] if row["name"] == name)
    assert (row["top1"], row["top1_size"]) == (top1, size)


def test_a_star_marks_accuracies_at_another_size_than_the_input(run):
    lines = {line.split()[0]: line.split() for line in run("list", "resnet50*").stdout.splitlines()[1:]}
    assert "81.2*" in lines["resnet50"]
    assert "74.9" in lines["resnet50_keras"]


def test_weights_are_named_best_first(document):
    found = {row["name"]: row["weights"] for row in document("list")["result"]}
    assert found["vgg16"] == [source.name for source in weights_sources()["vgg16"]]
    assert found["lenet5"] == []
    assert document("list", "vgg16", "--from", "keras")["result"][0]["weights"] == ["keras/imagenet"]


def heads(run, *words):
    return run("list", *words).stdout.splitlines()[0].split()


def test_accuracy_is_the_first_column_to_be_dropped(run, monkeypatch):
    assert "top-1" in heads(run)
    monkeypatch.setenv("COLUMNS", "100")
    assert "top-1" not in heads(run)
    assert "paper" in heads(run)
    monkeypatch.setenv("COLUMNS", "80")
    assert "top-1" in heads(run, "--pretrained")
    assert "top-1" in heads(run, "--from", "timm")


def test_a_network_without_weights_has_no_accuracy(run):
    line = run("list", "lenet5").stdout.splitlines()[1]
    assert line.split() == ["lenet5", "lenet", "1998", "61.7", "k", "417", "k", "32x32x1", "10", "doi:10.1109/5.726791"]


def test_natural_order(document):
    names = [row["name"] for row in document("list", "--family", "vgg")["result"]]
    assert names.index("vgg11") < names.index("vgg13") < names.index("vgg19")


def test_tiny_networks_are_hidden(document):
    assert not [row for row in document("list")["result"] if row["name"].startswith("tiny")]
    assert all(row["name"].startswith("tiny") for row in document("list", "tiny")["result"])


@pytest.mark.parametrize("columns", [60, 80, 100, 120])
def test_lines_fit_the_terminal(run, monkeypatch, columns):
    monkeypatch.setenv("COLUMNS", str(columns))
    head, *lines = run("list").stdout.splitlines()
    assert max(map(len, [head, *lines])) <= columns
    assert head.split()[:1] == ["network"]
    assert len(lines) > 100


def test_nothing_found(run, document):
    words = ["list", "--family", "vgg", "--year", "2015"]
    outcome = run(*words)
    assert outcome.exit_code == 1
    assert outcome.stdout == ""
    assert "No network matches --family vgg, --year 2015." in outcome.stderr
    assert "Without --year 2015, 9 networks would match." in outcome.stderr
    found = document(*words, code=1)
    assert found["result"] == []
    assert found["warnings"] == outcome.stderr.splitlines()


def test_nothing_found_among_the_pretrained(run):
    assert "No network matches --year 1998, --pretrained." in run("list", "--year", "1998", "--pretrained").stderr
    assert "Without --from timm, " in run("list", "lenet", "--from", "timm").stderr


def test_unknown_publisher(fails):
    assert "Did you mean timm" in fails("list", "--from", "tim", code=2)
    assert "cannot be combined" in fails("list", "--no-pretrained", "--from", "timm", code=2)


def test_nothing_found_by_name(run):
    outcome = run("list", "transformer")
    assert outcome.exit_code == 1
    assert "kerascnn list" in outcome.stderr


def test_near_names_of_a_misspelled_pattern(run):
    outcome = run("list", "resnt50")
    assert outcome.exit_code == 1
    assert "Did you mean resnet50" in outcome.stderr
    assert "Did you mean" not in run("list", "vgg16", "--year", "1998").stderr


def test_unknown_family(fails):
    assert "Did you mean resnet" in fails("list", "--family", "rsnet", code=2)


WRONG = ["--max-params many", "--max-params -5", "--max-params inf", "--year old", "two patterns"]


@pytest.mark.parametrize("words", WRONG)
def test_invalid_values(fails, words):
    fails("list", *words.split(), code=2)


@pytest.mark.parametrize(
    ("text", "number"),
    [("5M", 5_000_000), ("1.2e6", 1_200_000), ("25_000_000", 25_000_000), ("1,000", 1000), (".5 g", 500_000_000)],
)
def test_counts(text, number):
    assert Count().convert(text, None, None) == number
