"""Caffe's files: as an independent writer wrote them, complete for each network, the same numbers in our layers."""

from pathlib import Path

import numpy as np
import pytest
from caffe_files import NETS, net, shape, text, whole
from damage import outcome

from kerascnn import build_model, features
from kerascnn.weights import WeightsError, load_weights, open_weights
from kerascnn.weights.load import WeightsFile, prepare_values
from kerascnn.zoo.build import outline
from kerascnn.zoo.layers import Conv
from kerascnn.zoo.registry import weights_sources

pytestmark = pytest.mark.usefixtures("forgotten")
PATH = Path("net.caffemodel")
SMALL = {"depths": (1, 1, 1, 1), "widths": (64, 64, 64, 64), "input_shape": (33, 33, 3), "classes": 5}


def some(rng):
    rows = {
        "conv1": [(4, 3, 5, 5), (4,)],
        "fire2/squeeze1x1": [(2, 4, 1, 1)],
        "fc8": [(3, 2), (3,)],
        "bn": [(4,), (1,)],
    }
    return {name: [rng.normal(size=sides).astype("f4") for sides in each] for name, each in rows.items()}


def flat(layers):
    return {f"{name}/{i}": array for name, arrays in layers.items() for i, array in enumerate(arrays)}


@pytest.mark.parametrize("form", ["v0", "v1", "current"])
@pytest.mark.parametrize("packed", [True, False], ids=["packed", "unpacked"])
@pytest.mark.parametrize("legacy", [True, False], ids=["four sides", "a shape"])
def test_every_form_of_the_format(form, packed, legacy, tmp_path, rng):
    layers = some(rng)
    found = outcome(tmp_path / "net", net(layers, form=form, packed=packed, legacy=legacy, diff=True))
    assert list(found) == list(flat(layers))
    for name, array in flat(layers).items():
        sides = (1,) * (4 - array.ndim) + array.shape if legacy else array.shape
        assert found[name].shape == sides
        assert found[name].dtype == np.float32
        np.testing.assert_array_equal(found[name].ravel(), array.ravel())


def test_doubles_and_long_rows_of_numbers(tmp_path, rng):
    doubles = rng.normal(size=(3, 7))
    for packed in (True, False):
        found = outcome(tmp_path / "net", net({"fc": [doubles]}, packed=packed))["fc/0"]
        assert found.dtype == np.float64
        np.testing.assert_array_equal(found, doubles)
    many = rng.normal(size=150_000).astype("f4")
    found = outcome(tmp_path / "net", net({"fc": [many, many[:3]]}, packed=False))
    np.testing.assert_array_equal(found["fc/0"], many)
    np.testing.assert_array_equal(found["fc/1"], many[:3])


INPUT = text(3, "data") + b"".join(whole(4, side) for side in (10, 3, 227, 227)) + text(6, whole(1, 1))


@pytest.mark.parametrize(
    "options",
    [
        {"name": ""},
        {"name": "", "form": "v1"},
        {"ahead": INPUT},
        {"ahead": text(8, shape((1, 3)))},
        {"name": "Réseau 3"},
    ],
    ids=["no name", "no name, older", "an input", "its shape", "letters"],
)
def test_variants_of_the_header(options, tmp_path, rng):
    layers = some(rng)
    assert list(outcome(tmp_path / "net", net(layers, **options))) == list(flat(layers))


def shared(name):
    """Arrays of the published shapes that take no memory: (1, 1, out, in) and (1, 1, 1, out) in BVLC's files."""
    old = name.startswith(("alexnet", "caffenet", "googlenet", "vgg", "nin"))
    found = {}
    for row, blobs in NETS[name]:
        for i, sides in enumerate(blobs):
            sides = (1,) * (4 - len(sides)) + sides if old else sides
            found[f"{row}/{i}"] = np.broadcast_to(np.float32(0.5), sides)
    return found


@pytest.mark.parametrize("name", NETS)
def test_published_names_and_shapes_fill_the_network(name):
    model, arrays = outline(name), shared(name)
    values, report = prepare_values(model, WeightsFile(path=PATH, arrays=arrays))
    assert report.layout == "caffe"
    assert not report.notes
    assert report.used == len(values) == len(model.weights)
    assert all(array.shape == slot.shape for slot, array in values.items())
    assert set(report.ignored) == {key for key in arrays if key.startswith(("loss1", "loss2")) and name == "googlenet"}
    assert report.scale == ("caffe" if name.startswith(("vgg", "resnet")) else "caffe_round")
    for key in list(arrays)[:: max(1, len(arrays) // 7)]:
        if not key.startswith(("loss1", "loss2")):
            with pytest.raises(WeightsError):
                prepare_values(
                    model, WeightsFile(path=PATH, arrays={other: arrays[other] for other in arrays if other != key})
                )


def test_parameter_counts_of_the_files():
    counts = {name: sum(array.size for array in shared(name).values()) for name in NETS}
    assert counts["alexnet_caffe"] == counts["caffenet"] == 60_965_224
    assert counts["googlenet"] == 13_378_280
    assert counts["nin"] == 7_595_176
    assert counts["squeezenet1_0"] == 1_248_424
    assert counts["squeezenet1_1"] == 1_235_496
    assert counts["vgg16"] == 138_357_544
    assert counts["resnet101_v1"] == 44_654_504 + 104  # a factor for each norm
    assert counts["resnet50_v1"] == 25_610_152 + 53 + 64  # and the bias of the stem


@pytest.fixture
def small(rng):
    """A small ResNet, and what a file for it holds: factors that matter, and a bias of the stem."""
    model, layers = build_model("resnet50_v1", **SMALL), {}
    for kernel in (variable for variable in model.weights if variable.name == "kernel"):
        layer, filters = kernel.path.split("/")[0], kernel.shape[-1]
        if layer == "logits":
            layers["fc1000"] = [rng.normal(size=sides).astype("f4") for sides in (kernel.shape[::-1], filters)]
            continue
        suffix = caffe_name(layer)
        oihw = tuple(kernel.shape[axis] for axis in (3, 2, 0, 1))
        layers["conv1" if suffix == "_conv1" else f"res{suffix}"] = [rng.normal(size=oihw).astype("f4")]
        layers[f"bn{suffix}"] = [*rng.uniform(1, 9, (2, filters)).astype("f4"), rng.uniform(2, 5, 1).astype("f4")]
        layers[f"scale{suffix}"] = [*rng.normal(size=(2, filters)).astype("f4")]
    layers["conv1"].append(rng.normal(size=64).astype("f4"))
    return model, layers


def caffe_name(layer):
    """stage1_block1_conv2 -> 2a_branch2b, written down by hand for single blocks."""
    if layer == "stem_conv":
        return "_conv1"
    stage, _, kind = layer.partition("_block1_")
    branch = {"conv1": "2a", "conv2": "2b", "conv3": "2c", "skip": "1"}[kind]
    return {"stage1": "2", "stage2": "3", "stage3": "4", "stage4": "5"}[stage] + f"a_branch{branch}"


def convolved(images, kernel, stride, pad):
    """(N, H, W, C) by (out, in, height, width), as the formula says."""
    padded = np.pad(images.astype("f8"), ((0, 0), (pad, pad), (pad, pad), (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, kernel.shape[2:], (1, 2))[:, ::stride, ::stride]
    return np.einsum("nhwcij,ocij->nhwo", windows, kernel)


def normed(maps, statistics, affine):
    mean, variance, factor = (values.astype("f8") for values in statistics)
    return (maps - mean / factor) / np.sqrt(variance / factor + 1e-5) * affine[0] + affine[1]


def test_norms_factors_and_the_bias_of_the_stem(small, tmp_path, rng):
    model, layers = small
    (tmp_path / "net").write_bytes(net(layers))
    report = load_weights(model, tmp_path / "net")
    assert (report.used, report.ignored, report.scale) == (len(model.weights), (), "caffe")
    images = rng.uniform(0, 255, (2, 33, 33, 3)).astype("f4")
    bgr = images[..., ::-1] - np.array([103.939, 116.779, 123.68])
    expected = convolved(bgr, layers["conv1"][0], 2, 3) + layers["conv1"][1]
    expected = normed(expected, layers["bn_conv1"], layers["scale_conv1"])
    close(read_at(model, "stem_norm", images), expected)
    pooled = read_at(model, "stem_pool", images)
    skip = convolved(pooled, layers["res2a_branch1"][0], 1, 0)
    close(
        read_at(model, "stage1_block1_skip_norm", images),
        normed(skip, layers["bn2a_branch1"], layers["scale2a_branch1"]),
    )
    scores = read_at(model, "features", images) @ layers["fc1000"][0].T + layers["fc1000"][1]
    close(read_at(model, "logits", images), scores)


def read_at(model, name, images):
    return np.asarray(features(model, name)(images))


def close(found, expected):
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())


def test_scaling_of_caffe_files(small, tmp_path):
    _, layers = small
    (tmp_path / "net").write_bytes(net(layers))
    model = build_model("resnet50_v1", weights=tmp_path / "net", **SMALL)
    assert model.get_layer("scale").scales_like("caffe")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda arrays: arrays.pop("bn2a_branch1/2"),
            "one scale factor of layer bn2a_branch1. Received: no scale factor",
        ),
        (lambda arrays: arrays.update({"bn_conv1/2": np.ones(3, "f4")}), "Received: a scale factor of 3 values"),
        (lambda arrays: arrays.update({"conv1/1": np.ones(63, "f4")}), "unexpected: conv1/1"),
        (lambda arrays: arrays.pop("bn2a_branch1/0"), "missing: bn2a_branch1/0"),
        (lambda arrays: arrays.pop("fc1000/0"), "missing: fc1000/0"),
        (
            lambda arrays: arrays.update({"bn_conv1/2": np.full(1, np.nan, "f4")}),
            "64 NaN or infinite values of 64 in bn_conv1/0",
        ),
        (
            lambda arrays: arrays.update({"res2a_branch2a/0": np.ones((8, 64, 1, 1), "f4")}),
            "8x64x1x1 instead of 64x64x1x1",
        ),
    ],
    ids=["no factor", "factors", "another bias", "no mean", "no classifier", "not a number", "another shape"],
)
def test_mismatched_weights_are_named(change, message, small, tmp_path):
    model, layers = small
    arrays = flat(layers)
    change(arrays)
    with pytest.raises(WeightsError, match=message):
        prepare_values(model, WeightsFile(path=PATH, arrays=arrays))


def test_zero_scale_factor_means_no_statistics(small):
    model, layers = small
    arrays = flat(layers) | {"bn_conv1/2": np.zeros(1, "f4"), "conv1/1": np.zeros(64, "f4")}
    values = {
        slot.name: array for slot, array in prepare_values(model, WeightsFile(path=PATH, arrays=arrays))[0].items()
    }
    assert not values["stem_norm.moving_mean"].any()
    assert not values["stem_norm.moving_variance"].any()
    assert values["stage1_block1_norm1.moving_mean"].all()


FEW = {
    "convs": tuple(
        Conv(*spec, bias=True) for spec in ((8, 11, 4, 1), (8, 5, 1, 2), (8, 3, 1, 1), (8, 3, 1, 2), (6, 3, 1, 2))
    ),
    "units": (7, 4),
    "input_shape": (127, 127, 3),
}


@pytest.mark.parametrize("name", ["alexnet_caffe", "caffenet"])
def test_dense_kernels_behind_maps_and_groups(name, tmp_path, rng):
    model = build_model(name, classes=5, **FEW)
    rows = {"conv1": (8, 3, 11, 11), "conv2": (8, 4, 5, 5), "conv3": (8, 8, 3, 3), "conv4": (8, 4, 3, 3)}
    maps = model.get_layer("stage5").output.shape[1:]
    assert maps[0] > 1
    rows |= {"conv5": (6, 4, 3, 3), "fc6": (7, int(np.prod(maps))), "fc7": (4, 7), "fc8": (5, 4)}
    layers = {row: [rng.normal(size=s).astype("f4"), rng.normal(size=s[0]).astype("f4")] for row, s in rows.items()}
    (tmp_path / "net").write_bytes(net(layers, form="v1", legacy=True))
    assert load_weights(model, tmp_path / "net").layout == "caffe"
    images = rng.uniform(0, 255, (2, 127, 127, 3)).astype("f4")
    flattened = read_at(model, "stage5", images).transpose(0, 3, 1, 2).reshape(2, -1)
    close(read_at(model, "fc1", images), flattened @ layers["fc6"][0].T + layers["fc6"][1])
    second = read_at(model, "stage1", images)
    halves = [convolved(second[..., i : i + 4], layers["conv2"][0][i : i + 4], 1, 2) for i in (0, 4)]
    close(read_at(model, "conv2", images), np.concatenate(halves, -1) + layers["conv2"][1])


def test_keras_files_are_not_read_as_caffe(tmp_path):
    model, again = (build_model("caffenet", classes=5, **FEW) for _ in range(2))  # some layers have the same names
    model.save_weights(tmp_path / "net.weights.h5")
    assert load_weights(again, tmp_path / "net.weights.h5").layout == "kerascnn"
    for one, other in zip(model.weights, again.weights, strict=True):
        np.testing.assert_array_equal(one, other)


def test_positions_of_response_norms():
    for name, side in (("alexnet_caffe", 55), ("caffenet", 27)):
        norms = [layer for layer in outline(name).layers if type(layer).__name__ == "LocalResponseNorm"]
        assert [layer.output.shape[1] for layer in norms] == [side, {55: 27, 27: 13}[side]]
        assert all((norm.bias, norm.alpha, norm.beta, norm.radius) == (1, 1e-4 / 5, 0.75, 2) for norm in norms)


def test_another_number_of_classes():
    model = outline("squeezenet1_1_caffe", classes=7)
    _, report = prepare_values(model, WeightsFile(path=PATH, arrays=shared("squeezenet1_1_caffe")))
    assert report.untrained == ("logits_conv",)
    assert "1000 classes, the model has 7" in report.reason


def test_source_is_found_by_file_name(tmp_path, rng):
    for name in ("alexnet_caffe", "googlenet", "googlenet_aux", "squeezenet1_0_caffe"):
        (source,) = (row for row in weights_sources()[name] if row.publisher == "caffe")
        (tmp_path / source.file).write_bytes(net(some(rng)))
        assert open_weights(name, tmp_path / source.file).source == source
    with pytest.raises(ValueError, match="no published weights.*: .*alexnet_caffe, caffenet"):
        open_weights("alexnet", "caffe")
