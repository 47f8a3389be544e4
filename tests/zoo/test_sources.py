"""The tables of published weights: complete, consistent, and in the order in which they are offered."""

import re
from collections import Counter
from dataclasses import fields
from urllib.parse import urlsplit

import pytest
from networks import ALL, card

from kerascnn.zoo.layers import SCALES
from kerascnn.zoo.registry import CARDS, PUBLISHERS, WeightsSource, read_csv, weights_sources

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
        assert all(list(row) == FIELDS for row in rows)
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


def test_only_unpublished_accuracies_are_missing():
    unknown = {identity(source) for source in SOURCES if source.top1 is None}
    assert unknown == {
        "vgg16 torchvision/features",
        "resnet34 timm/ra4_e3600_r224_in1k",
        "squeezenet1_0_caffe caffe/authors",
        "squeezenet1_1_caffe caffe/authors",
    }


@pytest.mark.parametrize("name", [name for name in ALL if name in weights_sources()])
def test_best_weights_come_first(name):
    found = card(name).weights
    order = [(not source.is_free, not source.hash, -(source.top1 or 0)) for source in found]
    assert order == sorted(order)
    assert found[0].is_free


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
        ("resnet18", "timm/a1_in1k", 73.158, 91.026),
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
