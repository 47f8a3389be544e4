"""Each network against the figures that somebody else published, counted without memory for its weights."""

import csv
import json
import os
import re
from types import SimpleNamespace

import pytest
from networks import ALL, TINY, card, count, outline, rows

from kerascnn.anatomy import dissect
from kerascnn.zoo import catalog

BIG = [name for name in ALL if re.search(r"1001|1202", name)]
FAST = [*TINY, *(name for name in ALL if name not in BIG)]
SAID = {row.name: row for row in catalog.read_catalog()}


@pytest.mark.parametrize("name", rows(FAST, [*ALL, *TINY]))
def test_standard_layer_names_and_published_counts(name):
    row, model = card(name), outline(name)
    check_names(model, row)
    found = catalog.card_fields(row) | catalog.count_model(model)
    if row.params is None:
        assert row.source.startswith(("no published", "none")), "a row without a figure should say so"
    else:
        assert found["params"] == row.params
    if row.gmacs is not None:
        # 0.1 %, or the rounding of figures printed with four decimals of 1e9
        assert found["macs"] == pytest.approx(row.gmacs * 1e9, rel=1e-3, abs=0.5e5)
    said = vars(SAID[name]).copy()
    assert said.pop("min_size") > 0
    assert found == said, "kerascnn/zoo/catalog.json is stale: run `make catalog`"


@pytest.mark.parametrize("name", [*ALL, *TINY])
def test_catalog_agrees_with_published_counts(name):
    """Of each network, without building it; that the catalog says what is counted is the test above."""
    row, said = card(name), SAID[name]
    if row.params is not None:
        assert said.params == row.params
    if row.gmacs is not None:
        assert said.macs == pytest.approx(row.gmacs * 1e9, rel=1e-3, abs=0.5e5)
    assert {key: getattr(said, key) for key in catalog.card_fields(row)} == catalog.card_fields(row)


def check_names(model, row):
    names = [layer.name for layer in model.layers]
    stages = [name for name in names if re.fullmatch(r"stage\d+", name)]
    assert {"input", "features", "logits", "probs"} <= set(names)
    assert stages
    assert stages == [f"stage{i}" for i in range(1, len(stages) + 1)]
    assert model.name == row.name
    assert model.input_shape == (None, *row.input_shape)
    assert model.get_layer("logits").output.shape == (None, row.classes)


def test_catalog_holds_exactly_the_registry():
    assert set(SAID) == {*ALL, *TINY}
    assert len(ALL) >= 90


SKIPPED = "TRAP|1998_original|trainable_subsampling|squeezenet1_0caffe_227"


def figures(path):
    """The rows of zoo.csv that describe a network of ours, as (trainable, multiply-adds)."""
    with open(path) as file:
        for row in csv.DictReader(file):
            if row["classes"] != "0" and not re.search(SKIPPED, row["name"] + row["variant"]):
                yield row["name"], row["variant"], int(row["params_trainable"]), float(row["gmacs"])


def test_every_network_of_the_reference_table_is_registered(shared):
    """All rows of zoo.csv have a network of ours, but traps, headless files and LeNet's trainable subsampling.

    Its count of SqueezeNet 1.0 in Caffe leaves out the classifier's padding, which the authors' file has.
    """
    have = [(row.published["params"], row.published["macs"]) for row in SAID.values() if row.published["params"]]
    missing = [
        (name, variant)
        for name, variant, params, macs in figures(shared("reference", "zoo.csv"))
        if not any(
            params == p and abs(macs * 1e9 - (m or macs * 1e9)) <= max(1e-3 * macs * 1e9, 0.6e5) for p, m in have
        )
    ]
    assert not missing


@pytest.mark.parametrize(
    ("name", "features"),
    [
        ("vgg16", 4096),
        ("googlenet", 1024),
        ("resnet50", 2048),
        ("resnet18", 512),
        ("densenet201", 1920),
        ("dpn92", 2688),
    ],
)
def test_other_class_counts_change_the_last_layer_only(name, features):
    assert count(outline(name, classes=7).trainable_weights) == card(name).params - (1000 - 7) * (features + 1)


SIZES = {  # the sizes of the maps along the network, from the layer tables
    "alexnet": (55, 27, 13, 6),
    "alexnet_torchvision": (55, 27, 13, 6),
    "zfnet": (110, 55, 26, 13, 6),
    "nin": (54, 27, 13, 6),
    "vgg16": (224, 112, 56, 28, 14, 7),
    "googlenet": (112, 56, 28, 14, 7),
    "inception_v3": (149, 147, 73, 71, 35, 17, 8),
    "resnet50": (112, 56, 28, 14, 7),
    "densenet121": (112, 56, 28, 14, 7),
    "squeezenet1_0": (109, 54, 27, 13),
    "squeezenet1_1": (111, 55, 27, 13),
    "squeezenet1_0_caffe": (111, 55, 27, 13, 15),
    "squeezenet1_1_caffe": (113, 56, 28, 14),
    "fractalnet20_cifar10": (32, 16, 8, 4, 2, 1),
}


@pytest.mark.parametrize("name", SIZES)
def test_maps_shrink_as_in_the_layer_table(name):
    sizes = [row.shape[0] for row in dissect(outline(name)).rows if len(row.shape) == 3 and "pad" not in row.name]
    seen = [size for i, size in enumerate(sizes) if i and size != sizes[i - 1]]
    assert tuple(dict.fromkeys(size for size in seen if size in SIZES[name])) == SIZES[name][-len(set(seen)) :]
    assert set(seen) <= {*SIZES[name], *sizes[:1]}


def test_dual_path_stages_have_the_published_widths():
    widths = {name: [s["shape"][-1] for s in SAID[name].stages[:-1]] for name in ("dpn92", "dpn98", "dpn131")}
    assert widths == {
        "dpn92": [336, 704, 1552, 2688],
        "dpn98": [336, 768, 1728, 2688],
        "dpn131": [352, 832, 1984, 2688],
    }


STAGE_PARAMS = {  # torch checkpoints by stage; the stem counts to the first, the final norm to the head
    "resnet18": (9_536 + 147_968, 525_568, 2_099_712, 8_393_728, 513_000),
    "resnet50": (9_536 + 215_808, 1_219_584, 7_098_368, 14_964_736, 2_049_000),
    "resnext50_32x4d": (9_536 + 205_824, 1_197_056, 7_022_592, 14_544_896, 2_049_000),
    "vgg16": (38_720, 221_440, 1_475_328, 5_899_776, 7_079_424, 102_764_544 + 16_781_312 + 4_097_000),
    "wide_resnet28_10_cifar10": (432 + 1_640_672, 6_968_000, 27_862_400, 7_690),
    "densenet121": (9_536 + 335_040, 33_280 + 919_680, 132_096 + 2_837_760, 526_336 + 2_158_080, 1_027_048),
    "dpn92": (9_536 + 173_248, 1_094_208, 19_558_848, 14_138_176, 2_694_376),
    "fractalnet20_cifar10": (153_536, 812_800, 3_247_616, 12_983_296, 16_522_240, 5_130),
}


@pytest.mark.parametrize("name", STAGE_PARAMS)
def test_stages_have_the_published_parameters(name):
    assert tuple(stage["params"] for stage in SAID[name].stages) == STAGE_PARAMS[name]


@pytest.mark.parametrize(("name", "side"), [("alexnet_torchvision", 63), ("inception_v3", 75), ("squeezenet1_0", 21)])
def test_smallest_inputs_agree_with_torchvision(name, side):
    assert SAID[name].min_size == side


@pytest.mark.parametrize("name", ["tiny_alexnet", "tiny_dpn", "lenet5", "squeezenet1_1", "googlenet_torchvision_aux"])
def test_smallest_inputs_are_the_smallest(name):
    side = SAID[name].min_size
    assert outline(name, input_shape=(side, side, 3)).output is not None
    if side > 1:
        with pytest.raises(ValueError, match=f"at least {side}x{side}"):
            outline(name, input_shape=(side - 1, side - 1, 3))


def test_the_catalog_is_plain_json():
    with open(catalog.PATH) as file:
        assert [SimpleNamespace(**row) for row in json.load(file)] == list(SAID.values())
    assert os.path.getsize(catalog.PATH) < 300_000
