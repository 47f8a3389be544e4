"""Which tensor fills which variable: every published checkpoint, all of it, and clear words where that cannot be."""

from fnmatch import fnmatchcase

import keras
import numpy as np
import pytest
from damage import mutations
from fitted import blank, fitted
from published import PUBLISHED, checkpoint, shapes
from safetensors.numpy import save_file

from kerascnn import build_model, card, features, load_weights, rehead, save_weights
from kerascnn.inputs.classifier import classifier
from kerascnn.weights import WeightsError, read_weights
from kerascnn.zoo.registry import weights_sources

ASIDE = ("*.num_batches_tracked", "aux?.*", "AuxLogits.*")


OLDER = {"resnet18": {"tracked": False}} | {name: {"old": False} for name in PUBLISHED["timm"] if "densenet" in name}
CHECKPOINTS = [
    pytest.param(network, publisher, flags, id="-".join([publisher, network, *flags]))
    for publisher, networks in PUBLISHED.items()
    for network in networks
    for flags in ({}, *([OLDER[network]] if network in OLDER and publisher == "torchvision" else ()))
]


@pytest.mark.parametrize(("network", "publisher", "flags"), CHECKPOINTS)
def test_published_checkpoints_fill_everything(network, publisher, flags):
    rows = shapes(network, publisher, **flags)
    report, model = fitted(network, blank(rows))
    assert report.used == len(model.weights)
    assert report.notes == []
    assert all(any(fnmatchcase(name, pattern) for pattern in ASIDE) for name in report.ignored)
    assert report.used + len(report.ignored) == len(rows)


def test_every_torch_source_is_tested():
    for network, rows in weights_sources().items():
        for row in rows:
            if row.publisher in PUBLISHED:
                assert network in PUBLISHED[row.publisher], row.name


# What becomes of a checkpoint that is not quite the model's

SMALL = {"input_shape": (64, 64, 3), "depths": (1, 1, 1, 1), "widths": (8, 8, 16, 16)}


def small_resnet(name="resnet18", **options):
    return build_model(name, **SMALL | options)


@pytest.fixture
def stored(tmp_path):
    """A small ResNet's weights as torchvision names them, changed by a function, in a file."""

    def store(change=lambda arrays: arrays, model=None):
        path = save_weights(model or small_resnet(), tmp_path / "torch.safetensors", layout="torchvision")
        arrays = {name: array.copy() for name, array in read_weights(path).items()}
        save_file(change(arrays) or arrays, path)
        return path

    return store


def kernels(model):
    return {weight.path: weight.numpy() for weight in model.weights}


def test_another_class_count_keeps_the_backbone(stored):
    path = stored()
    with pytest.warns(
        UserWarning, match="logits keep their initial weights: the file has 1000 classes, the model has 7"
    ):
        model = small_resnet(classes=7, weights=path)
    reference = kernels(small_resnet(weights=path))
    for name, array in kernels(model).items():
        assert name.startswith("logits") or np.array_equal(array, reference[name]), name


def test_a_file_without_its_classifier(stored):
    path = stored(lambda arrays: {name: array for name, array in arrays.items() if not name.startswith("fc.")})
    with pytest.warns(UserWarning, match="logits keep their initial weights: the file has no such classifier layer"):
        small_resnet(weights=path)


def test_nan_classifier_is_ignored(stored):
    path = stored(lambda arrays: arrays | {"fc.weight": np.full((1000, 16), np.nan, "f4")})
    with pytest.warns(UserWarning, match="only NaN"):
        small_resnet(weights=path)


def test_another_size_of_input_keeps_the_convolutions(tmp_path):

    small = {"widths": (4, 4, 8, 8, 8), "units": (16, 16)}
    path = save_weights(
        build_model("vgg11", input_shape=(64, 64, 3), **small), tmp_path / "vgg.safetensors", layout="timm"
    )
    with pytest.warns(
        UserWarning, match="fc1, fc2, logits keep their initial weights: fc1 .*: 72 in the model, 32 in the file"
    ):
        build_model("vgg11", input_shape=(96, 96, 3), **small, weights=path)


def test_a_new_head_on_any_layer(stored):
    path = stored()
    model = rehead(small_resnet(), 5, at="stage2")
    before = kernels(model)
    with pytest.raises(WeightsError, match=r"unexpected: .*layer3\.0\.bn1\.bias, "):  # the file holds more than half
        load_weights(model, path)
    assert all(np.array_equal(before[name], array) for name, array in kernels(model).items())
    with pytest.warns(UserWarning, match="1000 classes, the model has 5"):
        load_weights(rehead(small_resnet(), 5), path)
    report = load_weights(features(small_resnet(), "stage4"), path)
    assert {"fc.weight", "fc.bias"} < set(report.ignored)


@pytest.mark.parametrize("scale", ["torch", "caffe"])
@pytest.mark.parametrize("channels", [1, 2, 4, 6])
def test_other_input_channels(channels, scale, stored):
    path = stored()
    rgb = small_resnet(weights=path).get_layer("stem_conv").kernel.numpy()
    with pytest.warns(UserWarning, match=f"stem_conv takes {channels} input channels"):
        model = small_resnet(input_shape=(64, 64, channels), weights=path)
    kernel = model.get_layer("stem_conv").kernel.numpy()
    if channels == 1:
        np.testing.assert_allclose(kernel[:, :, 0], rgb.sum(2), rtol=1e-6)
    for c in range(channels if channels > 1 else 0):
        np.testing.assert_allclose(kernel[:, :, c], rgb[:, :, c % 3] * 3 / channels, rtol=1e-6)


def test_bgr_weights_on_four_channels(tmp_path):
    """Channels are not reversed on their way in when there are four of them, so the kernel is."""

    row = {"depths": (1, 1, 1, 1, 1), "widths": (4, 4, 4, 4, 4), "units": (8, 8), "input_shape": (32, 32, 3)}
    caffe = build_model("vgg16", scale="caffe", **row)
    path = save_weights(caffe, tmp_path / "bgr.safetensors")
    with pytest.warns(UserWarning, match="4 input channels"):
        four = build_model("vgg16", **row | {"input_shape": (32, 32, 4)}, weights=path)
    bgr, kernel = caffe.get_layer("stage1_conv1").kernel.numpy(), four.get_layer("stage1_conv1").kernel.numpy()
    np.testing.assert_allclose(kernel[:, :, :3], bgr[:, :, ::-1] * 3 / 4, rtol=1e-6)


WRONG = {
    "missing": (lambda a: a.pop("layer2.0.conv1.weight") * 0, "missing: layer2.0.conv1.weight"),
    "left over": (lambda a: a.update(extra=np.ones(2, "f4")), "unexpected: extra"),
    "transposed": (
        lambda a: a.update({"conv1.weight": a["conv1.weight"].T.copy()}),
        "conv1.weight of shape 7x7x3x64 instead of 64x3x7x7",
    ),
    "NaN": (
        lambda a: a["layer1.0.bn1.bias"].__setitem__(3, np.nan),
        "1 NaN or infinite values of 8 in layer1.0.bn1.bias",
    ),
    "other names": (lambda a: [a.pop(k) for k in list(a)] and a.update(weird=np.ones(2, "f4")), "names such as weird"),
}


@pytest.mark.parametrize(("change", "message"), WRONG.values(), ids=WRONG)
def test_mismatched_weights_are_named_and_change_nothing(change, message, stored):
    path = stored(lambda arrays: None if change(arrays) is not None else None)
    model = small_resnet()
    before = kernels(model)
    with pytest.raises(WeightsError) as caught:
        load_weights(model, path)
    assert message in str(caught.value)
    assert str(path) in str(caught.value)
    assert all(np.array_equal(before[name], array) for name, array in kernels(model).items())


def test_damaged_files_change_nothing_or_everything(tmp_path, rng):
    """A safetensors file has no checksums: what its damaged header says is checked against the network."""
    path = save_weights(small_resnet(), tmp_path / "net.safetensors", layout="torchvision")
    whole = path.read_bytes()
    head = 8 + int.from_bytes(whole[:8], "little")
    model = small_resnet()
    before, refused = kernels(model), 0
    for start in mutations(whole[:head], rng, 150):
        path.write_bytes(start + whole[head:])
        try:
            load_weights(model, path)
        except WeightsError as error:
            refused += str(error).startswith(f"{path} should ")
            assert all(np.array_equal(before[name], array) for name, array in kernels(model).items())
        else:
            before = kernels(model)
    assert refused > 100


SHAPES = [(), (0,), (0, 3), (1,), (7, 7, 3, 64), (1000, 512, 1, 1), (1000, 512, 2, 2), (2, 0, 1, 1), (3, 3, 3, 3, 3)]


@pytest.mark.parametrize("name", ["conv1.weight", "layer1.0.bn1.bias", "fc.weight"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_arrays_of_any_shape(name, shape, stored):
    path = stored(lambda arrays: arrays | {name: np.ones(shape, "f4")})
    with pytest.raises(WeightsError, match=f"{name} of"):
        small_resnet(weights=path)


CALLS = {
    "nobody publishes any": ("lenet5", "imagenet", ["lenet5", "no published weights", "'imagenet'"]),
    "relatives have some": ("resnet18_a", "imagenet", ["resnet18, resnet34"]),
    "a near name": ("resnet50", "torchvison", ["torchvision"]),
    "a near tag": ("resnet50", "torchvision/v3", ["torchvision/v1", "torchvision/v2"]),
    "another publisher": ("squeezenet1_1", "timm", ["'timm'", "torchvision/v1"]),
    "no file": ("resnet18", "weights/mine.pth", ["'weights/mine.pth'", "and there is no such file"]),
    "no name": ("resnet18", 7, ["`weights`", "7"]),
}


@pytest.mark.parametrize(("network", "weights", "named"), CALLS.values(), ids=CALLS)
def test_unknown_weights_names(network, weights, named):
    with pytest.raises(ValueError, match="eights") as caught:
        build_model(network, weights=weights)
    assert [part for part in named if part not in str(caught.value)] == []


# Published sources, without the network they come from


@pytest.fixture
def published_file(tmp_path, monkeypatch, rng):
    """SqueezeNet 1.1 in the cache under its published name, its hash not looked at."""
    asked = []

    def fetch(address, file, hash="", **_):
        asked.append((address, file, hash))
        save_file(checkpoint("squeezenet1_1", "torchvision", rng), tmp_path / file)
        return tmp_path / file

    monkeypatch.setattr("kerascnn.weights.fetch.fetch", fetch)
    return asked


@pytest.mark.parametrize(
    "weights", ["imagenet", "torchvision", "torchvision/v1", card("squeezenet1_1").weights[0]], ids=str
)
def test_published_weights_by_name(weights, published_file):
    model = build_model("squeezenet1_1", weights=weights)
    row = card("squeezenet1_1").weights[0]
    assert published_file == [(row.address, row.file, row.hash)]
    assert model.get_layer("scale").source == "torchvision/v1"
    again = keras.Model.from_config(model.get_config())
    assert again.get_layer("scale").source == "torchvision/v1"


def test_the_best_published_weights_come_first():
    first = {name: rows[0].name for name, rows in weights_sources().items()}
    assert first["resnet50"] == "timm/a1_in1k"  # 81.2 % against 80.9 of torchvision's
    assert first["densenet169"] == "keras/imagenet"
    assert first["resnext101_32x4d"] == "timm/gluon_in1k"  # others are better, but not for commercial use
    assert first["dpn92"].startswith("timm/")
    assert all(rows[0].is_free for rows in weights_sources().values() if any(row.is_free for row in rows))


NATIVE = {  # source -> side at which it was measured, and short side of the photos
    ("resnet18", "timm/a1_in1k"): (288, 288),
    ("resnet34", "timm/bt_in1k"): (288, 303),
    ("resnet18", "torchvision/v1"): (224, 256),
    ("resnet50v2", "timm/a1h_in1k"): (288, 288),
}


@pytest.fixture
def small_files(tmp_path, monkeypatch):
    """Files of small residual networks under their published names."""

    def fetch(address, file, hash="", *, what="", **_):
        network, publisher = what.removeprefix("weights of ").split(", ")
        return save_weights(small_resnet(network), tmp_path / file, "safetensors", layout=publisher.split("/")[0])

    monkeypatch.setattr("kerascnn.weights.fetch.fetch", fetch)


@pytest.mark.parametrize(("network", "name"), NATIVE)
def test_a_model_has_the_size_at_which_its_weights_were_measured(network, name, small_files, tmp_path):
    side, short_side = NATIVE[network, name]
    small = {key: value for key, value in SMALL.items() if key != "input_shape"}
    model = build_model(network, weights=name, **small)
    assert model.input_shape == (None, side, side, 3)
    preprocessing = classifier(model).preprocessing
    assert (preprocessing.size, preprocessing.resize) == ((side, side), short_side)

    smaller = build_model(network, weights=name, input_shape=(112, 112, 3), **small)
    assert classifier(smaller).preprocessing.resize == round(112 * short_side / side)

    again = build_model(network, weights=save_weights(smaller, tmp_path / "mine.safetensors"), **small)
    assert again.input_shape == smaller.input_shape  # a copy of a model is like the model
    assert classifier(again).preprocessing == classifier(smaller).preprocessing


def test_weights_without_a_published_source_do_not_change_the_size(tmp_path):
    small = {key: value for key, value in SMALL.items() if key != "input_shape"}
    path = save_weights(small_resnet(), tmp_path / "mine.safetensors")
    assert build_model("resnet18", weights=path, **small).input_shape == (None, 224, 224, 3)


def test_weights_bring_their_scaling(tmp_path):

    row = {"depths": (1, 1, 1, 1, 1), "widths": (4, 4, 4, 4, 4), "units": (8, 8), "input_shape": (32, 32, 3)}
    path = save_weights(build_model("vgg16", scale="caffe", **row), tmp_path / "mine.safetensors")
    assert build_model("vgg16", **row, weights=path).get_layer("scale").scales_like("caffe")
    assert build_model("vgg16", **row, weights=path, scale="unit").get_layer("scale").scales_like("unit")
    with pytest.raises(ValueError, match="scale='caffe'"):
        load_weights(build_model("vgg16", **row), path)


@pytest.mark.parametrize(
    ("asked", "network", "shape"),
    [
        ("alexnet", "alexnet_torchvision", (64, 64, 3)),
        ("alexnet_owt", "alexnet_torchvision", (64, 64, 3)),
        ("squeezenet1_0", "squeezenet1_1", (64, 64, 3)),
        ("resnet34", "resnet18", (32, 32, 3)),
    ],
)
def test_a_file_of_another_network_of_the_family_is_named(asked, network, shape, tmp_path):
    model = build_model(network, input_shape=shape)
    path = save_weights(model, tmp_path / "net.safetensors", layout="torchvision")
    small = build_model(asked, input_shape=shape if "alexnet" not in asked else (96, 96, 3))
    with pytest.raises(WeightsError, match=rf"tensor names and shapes match {network}: build_model\('{network}', "):
        load_weights(small, path)
    with pytest.raises(WeightsError, match=f"names and shapes match {network}"):
        build_model(asked, weights=path, input_shape=small.input_shape[1:])


def test_file_of_an_unknown_network(tmp_path):
    save_file({"features.0.weight": np.zeros((3, 3), "f4")}, tmp_path / "net.safetensors")
    with pytest.raises(WeightsError) as caught:
        build_model("squeezenet1_0", weights=tmp_path / "net.safetensors")
    assert "names and shapes match" not in str(caught.value)
