"""The tables of published weights: complete, consistent, and in the order in which they are offered."""

import re
from collections import Counter
from dataclasses import fields
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from networks import ALL, card

from kerascnn.inputs.classifier import open_model
from kerascnn.transfer_learning.sources import open_backbone
from kerascnn.weights.load import WeightsFile, find_source
from kerascnn.zoo import build
from kerascnn.zoo.layers import SCALES
from kerascnn.zoo.registry import (
    CARDS,
    PUBLISHERS,
    WeightsSource,
    default_source,
    default_weights,
    read_csv,
    weights_sources,
)
from kerascnn_apps.models import find_model

FIELDS = [field.name for field in fields(WeightsSource)]
ROWS = {name: read_csv("weights", "tables", f"{name}.csv") for name in PUBLISHERS}
SOURCES = [source for name in ALL for source in card(name).weights if not source.is_shipped]
SHIPPED = [source for name in ALL for source in card(name).weights if source.is_shipped]
LICENSES = {"unrestricted", "BSD-2-Clause", "BSD-3-Clause", "Apache-2.0", "MIT", "CC-BY-4.0", "CC-BY-NC-4.0"}
BERKELEY = "http", "dl.caffe.berkeleyvision.org"  # knows no https; the hash says whether the right file came
HOSTS = {
    "torchvision": {("https", "download.pytorch.org")},
    "keras": {("https", "storage.googleapis.com")},
    "timm": {("https", "huggingface.co")},
    "caffe": {BERKELEY, ("https", "raw.githubusercontent.com")},
}
SUFFIX = {"torchvision": ".pth", "keras": ".h5", "timm": ".safetensors", "caffe": ".caffemodel"}
HASH = {"torchvision": r"sha256:[0-9a-f]{8}", "keras": r"md5:[0-9a-f]{32}", "timm": "", "caffe": r"sha1:[0-9a-f]{40}"}


def identity(source):
    return f"{source.network} {source.name}"


def test_every_row_is_on_the_card_of_a_network():
    assert {name: len(rows) for name, rows in ROWS.items()} == {
        "torchvision": 37,
        "keras": 15,
        "timm": 96,
        "caffe": 6,
        "kerascnn": len(SHIPPED),
    }
    for rows in ROWS.values():
        assert all([*row, "mirror"] == FIELDS or [*row] == FIELDS for row in rows)
    assert set(weights_sources()) <= set(CARDS)
    assert len(SOURCES) + len(SHIPPED) == sum(map(len, ROWS.values()))
    assert all(source.network == name for name in ALL for source in card(name).weights)


def test_publishers_are_those_of_the_tables():
    assert {source.publisher for rows in weights_sources().values() for source in rows} == set(PUBLISHERS)
    assert {source.publisher for source in [*SOURCES, *SHIPPED]} == set(PUBLISHERS)


def test_names_are_unique_on_a_card():
    assert max(Counter((source.network, source.name) for source in SOURCES).values()) == 1


def test_a_name_in_the_cache_belongs_to_one_address():
    assert len({source.file for source in SOURCES}) == len({source.address for source in SOURCES})
    assert len({(source.file, source.address, source.hash) for source in SOURCES}) == len({s.file for s in SOURCES})


@pytest.mark.parametrize("source", SOURCES, ids=identity)
def test_addresses_and_hashes(source):
    address = urlsplit(source.address)
    assert (address.scheme, address.netloc) in HOSTS[source.publisher]
    assert address.query + address.fragment == ""
    assert re.fullmatch(r"[\w.-]+", source.file)
    assert source.file.endswith(SUFFIX[source.publisher])
    assert re.fullmatch(HASH[source.publisher], source.hash)
    if source.publisher == "timm":
        model = source.file.removesuffix(".safetensors")
        assert address.path == f"/timm/{model}/resolve/main/model.safetensors"
        assert model.split(".", 1)[1] == source.name.split("/")[1]
    else:
        assert address.path.endswith(f"/{source.file}")
    if source.publisher == "torchvision":
        assert source.hash.removeprefix("sha256:") in source.file


@pytest.mark.parametrize("source", SOURCES, ids=identity)
def test_preprocessing_and_accuracy(source):
    assert source.scale in SCALES
    assert source.license in LICENSES
    assert source.is_free == (source.license != "CC-BY-NC-4.0")
    assert source.interpolation in ("bilinear", "bicubic")
    assert 224 <= source.crop <= source.resize <= 1.2 * source.crop
    assert (source.top1 is None) == (source.top5 is None)
    if source.top1 is not None:
        assert 50 < source.top1 < 90
        assert source.top1 < source.top5 < 98
    assert len(source.note) <= 120


def test_where_no_accuracy_is_published_a_note_says_why():
    unknown = [source for source in SOURCES if source.top1 is None]
    assert len(unknown) < 5
    assert all("convolutions" in source.note or "top-5 of at least 80.3 %" in source.note for source in unknown)


def test_what_differs_from_caffe_is_noted():
    notes = {source.network: source.note for source in SOURCES if source.publisher == "caffe"}
    assert len(notes) == 6
    assert all("warped to 256x256" in note for note in notes.values())
    assert {network for network, note in notes.items() if "mean image" in note} == {"alexnet_caffe", "caffenet"}


@pytest.mark.parametrize("name", [name for name in ALL if name in weights_sources()])
def test_best_weights_come_first(name):
    found = card(name).weights
    order = [(not source.is_free, -round(source.top1 or 0, 1), not source.hash) for source in found]
    assert order == sorted(order)  # of accuracies that are shown as equal, one with a published hash
    assert found[0].is_free


MIRRORS = {"github.com", "download.pytorch.org", "dl.fbaipublicfiles.com"}


def test_mirrors_have_eight_digits_of_the_hash_in_their_name():
    mirrors = {source.mirror: source for source in SOURCES if source.mirror}
    assert len(mirrors) == 72
    assert {source.publisher for source in mirrors.values()} == {"timm"}
    for mirror in mirrors:
        address = urlsplit(mirror)
        assert address.scheme == "https"
        assert address.netloc in MIRRORS
        assert re.search(r"-[0-9a-f]{8}\.pth$", address.path)


def test_a_mirror_that_another_publisher_has_too_is_that_file():
    """Torchvision's own row has the same hash, and accuracies that differ only by the code that measured them."""
    published = {source.address: source for source in SOURCES if source.publisher == "torchvision"}
    shared = [(source, published[source.mirror]) for source in SOURCES if source.mirror in published]
    assert len(shared) > 10
    for source, original in shared:
        assert source.network.removesuffix("_aux") == original.network.removesuffix("_aux")
        assert original.hash.removeprefix("sha256:") in source.mirror
        assert abs(source.top1 - original.top1) < 0.6


def test_how_many_networks_have_weights():
    assert len({source.network for source in SOURCES}) == 50


@pytest.mark.parametrize(
    ("network", "name", "top1", "top5"),
    [
        ("resnet50", "torchvision/v2", 80.858, 95.434),
        ("vgg16", "torchvision/v1", 71.592, 90.382),
        ("densenet121", "keras/imagenet", 74.972, 92.258),
        ("squeezenet1_1", "torchvision/v1", 58.178, 80.624),
        ("googlenet_torchvision", "torchvision/v1", 69.778, 89.530),
        ("resnet18", "timm/a1_in1k", 73.164, 91.054),
        ("resnet34", "timm/ra4_e3600_r224_in1k", 78.972, 94.454),
        ("alexnet_caffe", "caffe/bvlc", 57.1, 80.2),
        ("caffenet", "caffe/bvlc", 57.4, 80.4),
        ("googlenet", "caffe/bvlc", 68.7, 88.9),
    ],
)
def test_well_known_accuracies(network, name, top1, top5):
    source = next(source for source in card(network).weights if source.name == name)
    assert (source.top1, source.top5) == (top1, top5)


def test_scale_of_the_convolutions_alone():
    printed = (0.48235, 0.45882, 0.40784)
    assert tuple(round(value / 255, 5) for value in SCALES["features"]["mean"]) == printed
    assert "std" not in SCALES["features"]


def test_shared_files_have_the_same_preprocessing():
    shared = {}
    for source in SOURCES:
        wants = (source.hash, source.top1, source.scale, source.resize, source.crop, source.interpolation)
        assert shared.setdefault(source.address, wants) == wants
    assert len(SOURCES) - len(shared) == 3


def test_card_repr_is_one_line():
    found = card("resnet18")
    assert re.fullmatch(
        r"<Card: resnet18, \w+, 20\d\d, 11\.69 M parameters, 1\.81\d? G multiply-adds, \d+ published weights>",
        repr(found),
    )
    lines = str(found).splitlines()
    assert lines[0].startswith("resnet18: ")
    assert lines[1] == "input 224x224x3, preprocessing torch, 1,000 classes"
    assert len([line for line in lines if line.startswith("weights ")]) == len(found.weights)
    assert all("\n" not in repr(each) and len(repr(each)) < 160 for each in CARDS.values())


# What is shown of a network is what `weights="imagenet"` gives

README = Path(__file__).parents[2] / "README.md"
ON_IMAGENET = sorted({source.network for source in SOURCES})


@pytest.fixture(scope="module")
def readme_rows():
    """{network: cells} of the README's table."""
    lines = [line.split(" | ") for line in README.read_text().splitlines() if line.startswith("| `")]
    return {cells[0].strip("|` "): cells for cells in lines}


@pytest.fixture(scope="module")
def list_rows():
    """{network: facts} of `kerascnn list`."""
    from kerascnn_apps.commands.list import network_facts
    from kerascnn_apps.models import catalog_rows

    return {row.name: network_facts(row) for row in catalog_rows()}


@pytest.mark.parametrize("name", ON_IMAGENET)
def test_accuracy_is_that_of_the_weights_that_are_given(name, readme_rows, list_rows):
    given = find_source(name, "imagenet")
    assert list_rows[name]["top1"] == given.top1
    assert list_rows[name]["weights"][0] == given.name

    size = "" if card(name).input_shape[0] == given.crop else f" ({given.crop})"
    assert readme_rows[name][5] == ("" if given.top1 is None else f"{given.top1:.1f}{size}")
    assert readme_rows[name][6].split(",")[0].strip(" |") == given.publisher

    (line,) = (line for line in str(card(name)).splitlines() if line.endswith(", the default"))
    accuracy = f"top-1 {given.top1 or '?'} % at {given.crop}x{given.crop}"
    assert line == f"weights {given.name}: {accuracy}, license {given.license}, the default"


@pytest.fixture
def shapes_only(monkeypatch):
    """`build_model` returns the input shape with which it would assemble a network; nothing is downloaded."""

    def open_weights(network, weights):
        return WeightsFile(path=Path("none"), arrays={}, source=find_source(network, weights))

    monkeypatch.setattr(build, "open_weights", open_weights)
    monkeypatch.setattr(build, "load_pretrained", lambda model, file, scale: None)
    monkeypatch.setattr(build, "assemble_model", lambda trunk, head, shape, scale, **_: shape)


@pytest.mark.parametrize("name", ON_IMAGENET)
def test_default_size_is_that_of_the_weights_that_are_given(name, shapes_only):
    side = find_source(name, "imagenet").crop
    assert build.build_model(name, weights="imagenet") == (side, side, 3)
    assert build.build_model(name, weights="imagenet", input_shape=(224, 224, 3)) == (224, 224, 3)
    assert build.build_model(name) == card(name).input_shape
    for source in card(name).weights:
        assert build.build_model(name, weights=source.name) == (source.crop, source.crop, 3)


@pytest.mark.parametrize("name", ["resnet18", "vgg16", "inception_v3", "resnet50v2_keras", "resnet20_cifar10"])
def test_a_network_opened_by_name_has_the_size_of_its_weights(name, shapes_only):
    """`see` and `report`, `transfer` in Python, and every command."""
    side = default_source(name).crop
    for open_by_name in (open_model, open_backbone, lambda name, size=None: find_model(name).open(size)):
        assert open_by_name(name) == (side, side, 3)
        assert open_by_name(name, 224) == (224, 224, 3)


def test_well_known_default_sizes():
    assert find_source("resnet34", "imagenet").name == "timm/ra4_e3600_r224_in1k"
    sizes = {name: find_source(name, "imagenet").crop for name in ON_IMAGENET}
    assert (sizes["resnet18"], sizes["resnet50v2"], sizes["resnet50v2_keras"], sizes["vgg16"]) == (288, 288, 299, 224)
    assert default_weights("resnet20_cifar10") == "kerascnn/cifar10"
    assert (default_weights("resnet18"), default_weights("lenet5")) == ("imagenet", None)
