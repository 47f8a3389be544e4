"""Checkpoints, safetensors and Keras files against arrays that are known, and against torch where it is installed."""

import sys

import h5py
import keras
import numpy as np
import pytest
from safetensors.numpy import save_file
from torch_files import legacy_bytes, same, small_net, tensor, zip_bytes

from kerascnn.weights import WeightsError, count_nonfinite, group_by_layer, read_weights

WRITERS = {"zip": zip_bytes, "legacy": legacy_bytes}
written = pytest.mark.parametrize("write", WRITERS.values(), ids=WRITERS)


@pytest.fixture
def stored(tmp_path):
    """Bytes as a file with a suffix that says nothing."""

    def store(content):
        path = tmp_path / "weights.bin"
        path.write_bytes(content)
        return path

    return store


@written
def test_every_kind_of_tensor(write, stored, rng):
    content, expected = small_net(rng)
    same(read_weights(stored(write(content))), expected)


@written
def test_wrapped_weights(write, stored, rng):
    content, expected = small_net(rng)
    inner = {f"module.{name}": value for name, value in content.items()}
    wrapped = {
        "epoch": 3,
        "best": 0.5,
        "state_dict": inner,
        "optimizer": {"state": {0: {"step": 1}}},
        "rng": tensor([1]),
    }
    same(read_weights(stored(write(wrapped))), expected)


@written
def test_two_networks_in_one_file(write, stored):
    path = stored(write({"model": {"a": tensor(np.ones(2))}, "state_dict_ema": {"a": tensor(np.zeros(2))}}))
    with pytest.raises(WeightsError, match="`part`. Received: the parts model, state_dict_ema"):
        read_weights(path)
    assert read_weights(path, part="state_dict_ema")["a"].tolist() == [0, 0]
    with pytest.raises(WeightsError, match="the part 'teacher'. Received: the parts 'model', 'state_dict_ema'"):
        read_weights(path, part="teacher")


@pytest.mark.parametrize("options", [{"compress": True}, {"order": "big"}, {"extra": [("../../evil", b"x")]}], ids=str)
def test_other_ways_to_zip(options, stored, rng):
    content, expected = small_net(rng)
    path = stored(zip_bytes(content, **options))
    same(read_weights(path), expected)
    assert [file.name for file in path.parent.iterdir()] == ["weights.bin"]


def test_agrees_with_torch_load(tmp_path, rng):
    torch = pytest.importorskip("torch")
    base = torch.arange(24.0)
    net = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4))
    content = dict(net.state_dict()) | {
        "parameter": torch.nn.Parameter(torch.randn(2, 2)),
        "bfloat": torch.randn(3).bfloat16(),
        "transposed": torch.randn(3, 5).t(),
        "shared": base.view(4, 6),
        "part": base[4:16:2],
    }
    for new in (True, False):
        torch.save(content, tmp_path / "net.pth", _use_new_zipfile_serialization=new)
        loaded = torch.load(tmp_path / "net.pth", weights_only=True)
        loaded = {name: value.float() if value.dtype == torch.bfloat16 else value for name, value in loaded.items()}
        same(read_weights(tmp_path / "net.pth"), {name: value.detach().numpy() for name, value in loaded.items()})


def test_torch_is_not_imported(stored, rng):
    before = "torch" in sys.modules
    read_weights(stored(zip_bytes(small_net(rng)[0])))
    assert ("torch" in sys.modules) == before


def test_safetensors(tmp_path, rng):
    import ml_dtypes

    values = {"a": rng.normal(size=(2, 3)), "b": np.array([1.5, -2], ml_dtypes.bfloat16), "c": np.array([True, False])}
    save_file(values | {"d": np.array(3, "f4")}, tmp_path / "net")
    found = read_weights(tmp_path / "net")
    same({name: found[name] for name in "abcd"}, values | {"b": np.array([1.5, -2], "f4"), "d": np.array(3, "f4")})


def test_the_shared_squeezenet(shared):
    found = read_weights(shared("weights", "squeezenet1_1_torchvision.safetensors"))
    assert sum(array.size for array in found.values()) == 1_235_496  # torchvision's num_params
    assert found["features.0.weight"].shape == (64, 3, 3, 3)
    assert not count_nonfinite(found)


@pytest.fixture
def model():
    inner = keras.Sequential([keras.layers.Dense(3, name="dense")], name="head")
    first = keras.layers.Conv2D(4, 3, name="first")
    second = keras.layers.Conv2D(2, 3, dtype="bfloat16", name="second")
    norm = keras.layers.BatchNormalization(name="norm")
    return keras.Sequential([keras.Input((8, 8, 3)), first, norm, second, keras.layers.Flatten(), inner])


@pytest.mark.parametrize("name", ["net.weights.h5", "net.h5", "net.keras"])
def test_keras_files(name, model, tmp_path):
    (model.save_weights if name == "net.weights.h5" else model.save)(tmp_path / name)
    found = group_by_layer(read_weights(tmp_path / name))
    assert set(found) == {"first", "norm", "second", "head/dense"}
    layers = {layer.name: layer for layer in model.layers} | {"head/dense": model.get_layer("head")}
    for layer, arrays in found.items():
        for array, variable in zip(arrays, layers[layer].weights, strict=True):
            np.testing.assert_array_equal(array, np.asarray(variable.numpy(), "f4"))


def test_the_old_applications_layout(tmp_path):
    with h5py.File(tmp_path / "vgg", "w") as file:
        file.attrs["layer_names0"] = [b"conv", b"pool"]  # as Keras splits long lists
        file.attrs["layer_names1"] = [b"fc"]
        for layer, weights in {"conv": [b"conv/kernel:0", b"conv/bias:0"], "pool": [], "fc": [b"fc_W_1:0"]}.items():
            group = file.create_group(layer)
            group.attrs["weight_names"] = weights
            for name in weights:
                group.create_dataset(name.decode(), data=np.arange(3.0), compression="gzip")
    assert list(read_weights(tmp_path / "vgg")) == ["conv/kernel", "conv/bias", "fc/fc_W_1"]


def test_nonfinite_weights_are_counted(stored):
    values = np.array([1, np.nan, np.inf], "f4")
    found = read_weights(
        stored(zip_bytes({"good": tensor(np.ones(2)), "bad": tensor(values), "steps": tensor(np.array(3))}))
    )
    assert count_nonfinite(found) == {"bad": 2}
