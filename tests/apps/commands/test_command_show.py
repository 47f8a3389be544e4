"""`kerascnn show`: every card of the catalog, model files, and files that are not models."""

import zipfile

import pytest

from kerascnn.zoo.registry import weights_sources
from kerascnn_apps.output import format_count


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """A cache with nothing in it."""
    monkeypatch.setenv("KERASCNN_HOME", str(tmp_path / "home"))
    return tmp_path / "home" / "weights"


def test_every_network_has_a_page(run, rows, monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    for row in rows:
        outcome = run("show", row.name)
        assert outcome.exit_code == 0, outcome.stderr
        assert outcome.stdout.startswith(row.name + "\n")
        assert f"{row.params:,}" in outcome.stdout
        assert f"kerascnn show {row.name} --layers" in outcome.stdout
        assert max(map(len, outcome.stdout.splitlines())) <= 100, row.name


@pytest.mark.parametrize("columns", [80, 100, 140])
def test_pages_of_weights_fit_the_terminal(run, monkeypatch, columns):
    monkeypatch.setenv("COLUMNS", str(columns))
    for name in weights_sources():
        page = run("show", name).stdout
        assert max(map(len, page.splitlines())) <= columns, name
        table = page[page.index("\nweights ") :].split("\n\n")[0].splitlines()
        assert len(table) <= 11, name  # a blank line, titles, eight files, how many more
        assert "  top-1" in table[1]


def test_weights_in_full(document, folder):
    """Which file is the default is asked of the loader."""
    import keras  # noqa: F401  (first, as layers register when it arrives)

    from kerascnn.weights.load import find_source

    folder.mkdir(parents=True)
    second = weights_sources()["vgg16"][1]
    (folder / second.file).touch()
    (folder / (weights_sources()["vgg16"][0].file + ".part")).touch()  # the beginning of a download
    found = document("show", "vgg16")["result"]["weights"]
    assert [row["name"] for row in found] == [source.name for source in weights_sources()["vgg16"]]
    assert [row["name"] for row in found if row["default"]] == [find_source("vgg16", "imagenet").name]
    assert [row["name"] for row in found if row["cached"]] == [second.name]
    for row, source in zip(found, weights_sources()["vgg16"], strict=True):
        assert all(row[key] == value for key, value in vars(source).items())
        assert row["free"] == source.is_free


def test_best_weights_one_per_line(run, folder):
    folder.mkdir(parents=True)
    for source in (weights_sources()["resnet50"][0], weights_sources()["resnet50"][-1]):
        (folder / source.file).touch()
    lines = [line.split() for line in run("show", "resnet50").stdout.splitlines()]
    best = ["timm/a1_in1k", "default,", "cached", "81.24", "95.11", "288", "Apache-2.0", "torch"]
    assert any(line[: len(best)] == best for line in lines)
    assert sum(bool(line) and "/" in line[0] for line in lines) == 8
    assert ["and", "12", "more", "(1", "of", "them", "cached):", "kerascnn", "show", "resnet50", "--weights"] in lines
    assert ["kerascnn", "predict", "resnet50", "photo.jpg", "classify", "a", "photo"] in lines


@pytest.mark.parametrize("name", ["resnet50", "resnet101", "vgg16"])
def test_all_weights(run, name):
    page = run("show", name, "--weights").stdout
    for source in weights_sources()[name]:
        assert f"\n{source.name}" in page
        assert f"  {source.address}\n" in page  # whole, however long
        assert f"  {source.file}\n" in page
        assert source.mirror in page
        assert (source.hash or "stated by the hub at download") in page


def test_the_size_of_the_default_weights_is_told_where_it_differs_from_the_counts(run):
    page = " ".join(run("show", "resnet18").stdout.split())
    assert "measured at 288x288 pixels, so models with them take this size. The counts above are for 224x224." in page
    assert "The counts above" not in run("show", "vgg16").stdout


def test_a_bound_is_no_figure(run):
    page = run("show", "squeezenet1_1_caffe", "--weights").stdout
    assert "no exact figure published" in page
    assert "top-5 of at least 80.3 %" in page


def test_nine_weights_are_all_listed(run):
    assert len(weights_sources()["resnet101"]) == 9
    assert "--weights" not in run("show", "resnet101").stdout


@pytest.mark.parametrize("words", [[], ["--weights"]], ids=["card", "weights"])
def test_networks_without_weights(run, document, words):
    page = " ".join(run("show", "vgg16_c", *words).stdout.split())
    assert "none published; related networks with weights: vgg11, vgg11_bn" in page
    assert "predict" not in page
    assert "none published for this network or its family" in run("show", "lenet5", *words).stdout
    assert document("show", "lenet5", *words)["result"]["weights"] == []


def test_weights_of_a_model_file(fails, tmp_path):
    (tmp_path / "mine.h5").write_bytes(HDF5 + b"whatever")
    assert "needs the name of a network in the zoo" in fails("show", tmp_path / "mine.h5", "--weights", code=2)


def test_unreadable_cache(run, monkeypatch):
    from kerascnn.support import store

    def refused():
        raise PermissionError("not yours")

    monkeypatch.setattr(store, "list_cached_files", refused)
    assert run("show", "vgg16").exit_code == 0


def test_stages_add_up(document, rows):
    for row in rows:
        found = document("show", row.name)["result"]
        assert sum(stage["params"] for stage in found["stages"]) == found["params"], row.name
        assert sum(stage["macs"] for stage in found["stages"]) == found["macs"], row.name


def test_a_short_name(run):
    assert run("show", "ResNet20").stdout == run("show", "resnet20_cifar10").stdout


def test_a_card(run):
    page = " ".join(run("show", "VGG16").stdout.split())
    assert "parameters 138,357,544 138,357,544 none" in page
    assert "multiply-adds 15,470,264,320" in page
    assert "https://arxiv.org/abs/1409.1556" in page
    assert "at least 32x32" in page


@pytest.mark.parametrize(
    ("words", "code", "text"),
    [
        ("resnet51", 2, "Did you mean resnet50"),
        ("model.keras", 4, "file not found: model.keras"),
        ("runs/model", 4, "file not found: runs/model"),
        ("", 2, "Missing argument"),
        ("lenet5 --diagram lenet5.png", 2, "should end in .svg"),
    ],
)
def test_no_such_network(fails, words, code, text):
    assert text in fails("show", *words.split(), code=code)


HDF5 = b"\x89HDF\r\n\x1a\n"
BAD = {  # file -> contents, text
    "empty.keras": (b"", "is empty"),
    "text.keras": (b"a model, honestly", "is not a Keras model file"),
    "picture.png": (b"\x89PNG\r\n\x1a\n", "is not a Keras model file"),
    "archive.zip": (b"PK\x03\x04", "should end in .keras"),
    "really_hdf5.keras": (HDF5, "should end in .h5"),
    "lenet5.weights.h5": (HDF5, "contains weights but no model"),
    "truncated.keras": (b"PK\x03\x04 and no more", "should be a model that Keras can load"),
    "truncated.h5": (HDF5 + b"and no more", "should be a model that Keras can load"),
}


@pytest.mark.parametrize("name", BAD)
def test_not_a_model_file(fails, tmp_path, name):
    contents, text = BAD[name]
    (tmp_path / name).write_bytes(contents)
    assert text in fails("show", tmp_path / name, code=4)


def test_another_archive(fails, tmp_path):
    with zipfile.ZipFile(tmp_path / "other.keras", "w") as archive:
        archive.writestr("readme.txt", "not a model")
    assert "should be a model that Keras can load" in fails("show", tmp_path / "other.keras", code=4)


def test_a_folder(fails, tmp_path):
    assert "is a folder" in fails("show", tmp_path, code=4)


@pytest.fixture(scope="module", params=["small.keras", "small.h5"])
def file(request, tmp_path_factory):
    """8x8x1 -> convolution (3x3x1+1)*4 = 40 parameters, 36*36 multiply-adds -> dense (144+1)*2 = 290, 288."""
    import keras
    from keras import layers

    model = keras.Sequential(
        [keras.Input((8, 8, 1)), layers.Conv2D(4, 3), layers.Flatten(), layers.Dense(2)], name="small"
    )
    path = tmp_path_factory.mktemp("models") / request.param
    model.save(path)
    return path


def test_a_model_file(run, document, file):
    totals = document("show", file)["result"]["totals"]
    assert totals["params"] == 40 + 290
    assert totals["macs"] == 36 * 36 + 288
    page = " ".join(run("show", file).stdout.split())
    assert "parameters 330, of which 330 trainable" in page
    assert "Conv2D 1 40 12.1 %" in page
    assert "8x8x1" in page


def test_layers_of_a_model_file(run, document, file, monkeypatch):
    layers = {row["name"]: row for row in document("show", file, "--layers")["result"]["layers"]}
    assert [row["params"] for row in layers.values() if row["params"]] == [40, 290]
    monkeypatch.setenv("COLUMNS", "60")
    assert max(map(len, run("show", file, "--layers").stdout.splitlines())) <= 100


def test_layers_of_a_network(run, document):
    found = document("show", "lenet5", "--layers")["result"]
    assert found["totals"]["params"] == 61_706
    assert sum(row["params"] for row in found["layers"]) == 61_706
    assert "receptive field" in run("show", "lenet5", "--layers").stdout


def test_diagram(run, fails, document, tmp_path):
    path = tmp_path / "lenet5.svg"
    assert str(path) in run("show", "lenet5", "--diagram", path).stdout
    assert path.read_text().startswith("<svg")
    path.write_text("mine")
    assert "already exists" in fails("show", "lenet5", "--diagram", path, code=2)
    assert path.read_text() == "mine"
    assert document("show", "lenet5", "--diagram", path, "--force")["result"]["diagram"] == str(path)
    assert path.read_text().startswith("<svg")


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0, "0"),
        (999, "999"),
        (1000, "1.00 k"),
        (61_706, "61.7 k"),
        (999_999, "1.00 M"),
        (15.47e9, "15.5 G"),
        (None, "-"),
    ],
)
def test_short_numbers(number, text):
    assert format_count(number) == text
