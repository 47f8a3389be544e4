"""The tables of published checkpoints against the counts that their publishers, papers and other libraries give."""

import numpy as np
import pytest
from published import PUBLISHED, checkpoint, parameters, shapes, statistics

# Trainable numbers, then with the statistics of batch norm
COUNTS = {
    "alexnet_torchvision": (61_100_840, 61_100_840),
    "vgg11": (132_863_336, 132_863_336),
    "vgg13": (133_047_848, 133_047_848),
    "vgg16": (138_357_544, 138_357_544),
    "vgg19": (143_667_240, 143_667_240),
    "vgg11_bn": (132_868_840, 132_874_344),
    "vgg13_bn": (133_053_736, 133_059_624),
    "vgg16_bn": (138_365_992, 138_374_440),
    "vgg19_bn": (143_678_248, 143_689_256),
    "googlenet_torchvision": (13_004_888, 13_019_960),
    "googlenet_torchvision_aux": (13_004_888, 13_019_960),
    "inception_v3": (27_161_264, 27_197_488),
    "inception_v3_aux": (27_161_264, 27_197_488),
    "inception_resnet_v2": (55_843_464, 55_904_008),
    "resnet18": (11_689_512, 11_699_112),
    "resnet34": (21_797_672, 21_814_696),
    "resnet50": (25_557_032, 25_610_152),
    "resnet101": (44_549_160, 44_654_504),
    "resnet152": (60_192_808, 60_344_232),
    "resnet50v2": (25_549_352, 25_594_792),
    "resnet101v2": (44_541_480, 44_639_144),
    "wide_resnet50_2": (68_883_240, 68_951_464),
    "wide_resnet101_2": (126_886_696, 127_024_552),
    "resnext50_32x4d": (25_028_904, 25_097_128),
    "resnext101_32x4d": (44_177_704, 44_315_560),
    "resnext101_32x8d": (88_791_336, 88_994_216),
    "resnext101_64x4d": (83_455_272, 83_658_152),
    "densenet121": (7_978_856, 8_062_504),
    "densenet161": (28_681_000, 28_900_936),
    "densenet169": (14_149_480, 14_307_880),
    "densenet201": (20_013_928, 20_242_984),
    "squeezenet1_0": (1_248_424, 1_248_424),
    "squeezenet1_1": (1_235_496, 1_235_496),
    "dpn92": (37_668_392, 37_793_608),
    "dpn98": (61_570_728, 61_735_624),
    "dpn131": (79_254_504, 79_477_864),
}
WITHOUT_HEAD = {("timm", "inception_v3"): (23_834_568, 23_869_000)}
CASES = [(publisher, network) for publisher, networks in PUBLISHED.items() for network in networks]


@pytest.mark.parametrize(("publisher", "network"), CASES, ids=map("-".join, CASES))
def test_counts(publisher, network):
    rows = shapes(network, publisher)
    trainable, total = WITHOUT_HEAD.get((publisher, network), COUNTS[network])
    assert parameters(rows) == trainable
    assert parameters(rows) + statistics(rows) == total


def test_every_count_is_used():
    assert {network for _, network in CASES} == set(COUNTS)


LAYERS = ("conv1 bn1", "layer1", "layer2", "layer3", "layer4", "fc")
CONVS = ("features.conv1_", "features.conv2_", "features.conv3_", "features.conv4_", "features.conv5_")
DENSE = tuple(
    f"features.{name}."
    for name in (
        "denseblock1",
        "transition1",
        "denseblock2",
        "transition2",
        "denseblock3",
        "transition3",
        "denseblock4",
    )
)
DENSE = ("features.conv0 features.norm0", *DENSE, "features.norm5 classifier")
# Trainable numbers stage by stage: first the keys' beginnings
SPLITS = [
    ("resnet18", LAYERS, (9_536, 147_968, 525_568, 2_099_712, 8_393_728, 513_000)),
    ("resnet34", LAYERS, (9_536, 221_952, 1_116_416, 6_822_400, 13_114_368, 513_000)),
    ("resnet50", LAYERS, (9_536, 215_808, 1_219_584, 7_098_368, 14_964_736, 2_049_000)),
    ("resnet101", LAYERS, (9_536, 215_808, 1_219_584, 26_090_496, 14_964_736, 2_049_000)),
    ("resnet152", LAYERS, (9_536, 215_808, 2_339_840, 40_613_888, 14_964_736, 2_049_000)),
    ("resnext50_32x4d", LAYERS, (9_536, 205_824, 1_197_056, 7_022_592, 14_544_896, 2_049_000)),
    ("resnext101_32x8d", LAYERS, (9_536, 420_864, 2_405_376, 55_160_832, 28_745_728, 2_049_000)),
    ("resnext101_64x4d", LAYERS, (9_536, 393_216, 2_257_920, 51_769_344, 26_976_256, 2_049_000)),
    ("wide_resnet50_2", LAYERS, (9_536, 634_368, 3_482_624, 20_736_000, 41_971_712, 2_049_000)),
    ("wide_resnet101_2", LAYERS, (9_536, 634_368, 3_482_624, 78_739_456, 41_971_712, 2_049_000)),
    ("densenet121", DENSE, (9_536, 335_040, 33_280, 919_680, 132_096, 2_837_760, 526_336, 2_158_080, 1_027_048)),
    ("densenet169", DENSE, (9_536, 335_040, 33_280, 919_680, 132_096, 4_316_160, 821_760, 5_913_600, 1_668_328)),
    ("densenet201", DENSE, (9_536, 335_040, 33_280, 919_680, 132_096, 8_071_680, 1_609_216, 6_978_560, 1_924_840)),
    ("densenet161", DENSE, (14_304, 751_392, 74_496, 2_061_504, 296_448, 11_548_224, 2_234_496, 9_486_720, 2_213_416)),
    ("dpn92", (*CONVS[:4],), (9_536, 173_248, 1_094_208, 19_558_848)),
    ("dpn98", (*CONVS[:4],), (14_304, 294_240, 2_574_720, 33_916_160)),
    ("dpn131", (*CONVS[:4],), (19_072, 413_056, 3_490_816, 49_641_728)),
    ("dpn92", ("features.conv5_bn_ac classifier",), (2_694_376,)),
    (
        "vgg11",
        ("features", "head", "pre_logits.fc1", "pre_logits.fc2"),
        (9_220_480, 4_097_000, 102_764_544, 16_781_312),
    ),
    ("googlenet_torchvision_aux", ("inception4e", "inception5b", "aux"), (803_840, 1_347_040, 6_379_984)),
    ("inception_v3_aux", ("AuxLogits",), (3_326_696,)),
    (
        "squeezenet1_0",
        tuple(f"features.{place}." for place in (0, 3, 4, 5, 7, 8, 9, 10, 12)) + ("classifier",),
        (14_208, 11_920, 12_432, 45_344, 49_440, 104_880, 111_024, 188_992, 197_184, 513_000),
    ),
]


@pytest.mark.parametrize(("network", "starts", "expected"), SPLITS, ids=[row[0] + row[1][0][-4:] for row in SPLITS])
def test_stages(network, starts, expected):
    publisher = "timm" if network in PUBLISHED["timm"] else "torchvision"
    rows = shapes(network, publisher)
    parts = [{k: s for k, s in rows.items() if k.startswith(tuple(start.split()))} for start in starts]
    assert tuple(parameters(part) for part in parts) == expected


@pytest.mark.parametrize(
    ("publisher", "network", "key", "shape"),
    [
        ("torchvision", "resnext50_32x4d", "layer1.0.conv2.weight", (128, 4, 3, 3)),
        ("torchvision", "resnet18", "layer2.0.downsample.1.running_var", (128,)),
        ("torchvision", "densenet121", "features.denseblock1.denselayer1.norm.1.weight", (64,)),
        ("torchvision", "densenet121", "features.denseblock4.denselayer16.conv.2.weight", (32, 128, 3, 3)),
        ("torchvision", "googlenet_torchvision", "inception3a.branch3.1.conv.weight", (32, 16, 3, 3)),
        ("torchvision", "googlenet_torchvision", "inception3a.branch4.1.bn.bias", (32,)),
        ("torchvision", "googlenet_torchvision", "aux2.conv.conv.weight", (128, 528, 1, 1)),
        ("torchvision", "googlenet_torchvision", "aux1.fc1.weight", (1024, 2048)),
        ("torchvision", "inception_v3", "Mixed_6b.branch7x7_2.conv.weight", (128, 128, 1, 7)),
        ("torchvision", "inception_v3", "Mixed_6b.branch7x7dbl_2.conv.weight", (128, 128, 7, 1)),
        ("torchvision", "inception_v3", "Mixed_7c.branch3x3dbl_3b.conv.weight", (384, 384, 3, 1)),
        ("torchvision", "inception_v3", "Conv2d_3b_1x1.bn.running_mean", (80,)),
        ("torchvision", "squeezenet1_1", "features.12.expand3x3.bias", (256,)),
        ("torchvision", "vgg16", "classifier.0.weight", (4096, 25088)),
        ("timm", "vgg16", "pre_logits.fc1.weight", (4096, 512, 7, 7)),
        ("timm", "vgg16", "pre_logits.fc2.weight", (4096, 4096, 1, 1)),
        ("timm", "densenet161", "features.transition3.norm.running_mean", (2112,)),
        ("timm", "resnet50v2", "stages.0.blocks.0.downsample.conv.weight", (256, 64, 1, 1)),
        ("timm", "resnet50v2", "stages.3.blocks.2.norm1.weight", (2048,)),
        ("timm", "resnet50v2", "head.fc.weight", (1000, 2048, 1, 1)),
        ("timm", "inception_resnet_v2", "repeat_1.19.conv2d.bias", (1088,)),
        ("timm", "inception_resnet_v2", "mixed_5b.branch3.1.bn.weight", (64,)),
        ("timm", "inception_resnet_v2", "block8.branch1.1.conv.weight", (224, 192, 1, 3)),
        ("timm", "dpn92", "features.conv2_1.c1x1_w_s1.conv.weight", (288, 64, 1, 1)),
        ("timm", "dpn92", "features.conv4_1.c1x1_w_s2.bn.bias", (704,)),
        ("timm", "dpn92", "features.conv5_3.c3x3_b.conv.weight", (768, 24, 3, 3)),
        ("timm", "dpn92", "classifier.weight", (1000, 2688, 1, 1)),
    ],
)
def test_keys(publisher, network, key, shape):
    assert shapes(network, publisher)[key] == shape


PLACES = {
    "vgg11": "0 3 6 8 11 13 16 18",
    "vgg13": "0 2 5 7 10 12 15 17 20 22",
    "vgg16": "0 2 5 7 10 12 14 17 19 21 24 26 28",
    "vgg19": "0 2 5 7 10 12 14 16 19 21 23 25 28 30 32 34",
    "vgg11_bn": "0 4 8 11 15 18 22 25",
    "vgg13_bn": "0 3 7 10 14 17 21 24 28 31",
    "vgg16_bn": "0 3 7 10 14 17 20 24 27 30 34 37 40",
    "vgg19_bn": "0 3 7 10 14 17 20 23 27 30 33 36 40 43 46 49",
}


@pytest.mark.parametrize("publisher", PUBLISHED)
@pytest.mark.parametrize("network", PLACES)
def test_layer_positions_of_vgg(network, publisher):
    rows = shapes(network, publisher)
    assert [k.split(".")[1] for k, s in rows.items() if "features" in k and len(s) == 4] == PLACES[network].split()


@pytest.mark.parametrize(("network", "convolutions"), [("inception_v3", 94), ("inception_resnet_v2", 244)])
def test_convolutions(network, convolutions):
    assert sum(len(shape) == 4 for shape in shapes(network, "timm").values()) == convolutions


def test_num_batches_tracked():
    tracked, bare = shapes("resnet18", "timm"), shapes("resnet18", "timm", tracked=False)
    assert set(tracked) - set(bare) == {k.replace("running_var", "num_batches_tracked") for k in bare if "_var" in k}
    assert parameters(tracked) == parameters(bare)


def test_old_names_of_densenet():
    old = shapes("densenet121", "torchvision")
    new = shapes("densenet121", "torchvision", old=False, tracked=False)
    assert [key.replace("norm.", "norm").replace("conv.", "conv") for key in old] == [
        key.replace("norm.", "norm").replace("conv.", "conv") for key in new
    ]
    assert list(old.values()) == list(new.values())
    assert sum(key not in new for key in old) == 58 * (2 * 4 + 2)
    assert shapes("densenet121", "timm") == shapes("densenet121", "torchvision", old=False)


@pytest.mark.parametrize(("publisher", "network"), [("torchvision", "squeezenet1_1"), ("timm", "resnet18")])
def test_checkpoint(publisher, network, rng):
    arrays = checkpoint(network, publisher, rng)
    assert {key: array.shape for key, array in arrays.items()} == shapes(network, publisher)
    assert list(arrays) == list(shapes(network, publisher))
    again = checkpoint(network, publisher, np.random.default_rng(0))
    for key, array in arrays.items():
        assert array.dtype == ("int64" if key.endswith("tracked") else "float32")
        assert np.array_equal(array, again[key])
        if key.endswith("running_var"):
            assert array.min() > 0.3
            assert array.max() < 3
