"""Weights written and read back: the same bits, whatever the names; torch's own layout; nothing half written."""

import keras
import numpy as np
import pytest
from published import shapes

from kerascnn import build_model, load_weights, save_weights
from kerascnn.weights.save import torch_tensors
from kerascnn.weights.variables import array_from_torch, array_to_torch, model_slots

TINY = {"input_shape": (64, 64, 3)}
DEPTHS = TINY | {"depths": (1, 1, 1, 1), "widths": (8, 8, 8, 8)}
NETWORKS = {  # small forms of each way of naming
    ("resnet50", "torchvision"): DEPTHS,
    ("resnext50_32x4d", "torchvision"): TINY | {"depths": (1, 1, 1, 1)},
    ("resnet50v2", "timm"): DEPTHS,
    ("vgg11_bn", "torchvision"): TINY | {"widths": (4, 4, 4, 4, 8), "units": (8, 8)},
    ("vgg11_bn", "timm"): TINY | {"widths": (4, 4, 4, 4, 8), "units": (8, 8)},
    ("densenet121", "torchvision"): TINY | {"depths": (2, 2, 2, 2), "growth": 4},
    ("dpn92", "timm"): TINY | {"depths": (2, 1, 1, 1), "growths": (4, 4, 4, 4), "width": 32, "groups": 4},
    ("alexnet_torchvision", "torchvision"): TINY | {"units": (16, 16)},
    ("squeezenet1_0", "torchvision"): TINY,
    ("googlenet_torchvision_aux", "torchvision"): {"input_shape": (79, 79, 3)},
}
OWN = {"lenet5": {}, "tiny_resnet": {}, "squeezenet1_0_complex": TINY}
CASES = [*((name, layout, row) for (name, layout), row in NETWORKS.items()), *((n, "kerascnn", OWN[n]) for n in OWN)]


@pytest.mark.parametrize(
    ("network", "layout", "options"), CASES, ids=lambda value: value if isinstance(value, str) else ""
)
def test_save_and_load_are_bitwise(network, layout, options, tmp_path):
    model = build_model(network, **options)
    path = save_weights(model, tmp_path / "net.safetensors", layout=layout)
    again = build_model(network, **options, weights=path)
    for one, other in zip(model.weights, again.weights, strict=True):
        np.testing.assert_array_equal(one.numpy(), other.numpy(), err_msg=one.path)


def test_keras_own_format(tmp_path):
    model = build_model("tiny_resnet")
    path = save_weights(model, tmp_path / "net.weights.h5")
    again = build_model("tiny_resnet", weights=path)
    assert all(np.array_equal(a.numpy(), b.numpy()) for a, b in zip(model.weights, again.weights, strict=True))


def test_names_are_as_published(tmp_path):
    """Every name of torch's module, counters too, each with its shape: what strict loading asks for."""
    for network, publisher in (("squeezenet1_1", "torchvision"), ("resnet18", "torchvision")):
        saved = torch_tensors(build_model(network), publisher)
        assert {name: array.shape for name, array in saved.items()} == shapes(network, publisher)


def test_torch_counts_channels_first():
    """Numbers, not only shapes, of a dense layer behind a map."""
    layers = [keras.Input((2, 2, 2)), keras.layers.Flatten(), keras.layers.Dropout(0.5), keras.layers.Dense(3)]
    dense = model_slots(keras.Sequential(layers))[0]
    assert dense.map_shape == (2, 2, 2)
    theirs = np.arange(24, dtype="f4").reshape(3, 8)  # out, then channel, row, column
    ours = array_from_torch(theirs, dense)
    for row, column, channel, out in np.ndindex(2, 2, 2, 3):
        assert ours[(row * 2 + column) * 2 + channel, out] == theirs[out, (channel * 2 + row) * 2 + column]
    np.testing.assert_array_equal(array_to_torch(ours, dense), theirs)
    convolved = theirs.reshape(3, 2, 2, 2)
    np.testing.assert_array_equal(array_from_torch(convolved, dense), ours)
    np.testing.assert_array_equal(array_to_torch(ours, dense, as_convolution=True), convolved)


WRONG = {
    "format": ({"path": "a.safetensors", "format": "pickle"}, ["format", "pickle", "safetensors"]),
    "layout": ({"path": "a.safetensors", "layout": "torchvisoin"}, ["layout", "torchvision"]),
    "keras names": ({"path": "a.weights.h5", "layout": "torchvision"}, [".weights.h5", "layout"]),
    "no names": ({"path": "a.safetensors", "layout": "timm"}, ["tiny_resnet", "timm", "stage1"]),
}


@pytest.mark.parametrize(("arguments", "named"), WRONG.values(), ids=WRONG)
def test_invalid_arguments(arguments, named, tmp_path):
    arguments = arguments | {"path": tmp_path / arguments["path"]}
    with pytest.raises(ValueError, match=".") as caught:
        save_weights(build_model("tiny_resnet"), **arguments)
    assert [part for part in named if part not in str(caught.value)] == []
    assert list(tmp_path.iterdir()) == []


def test_failed_save_keeps_the_old_file(tmp_path, monkeypatch):
    path = save_weights(build_model("lenet1"), tmp_path / "net.safetensors")
    before = path.read_bytes()
    monkeypatch.setattr("safetensors.numpy.save_file", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        save_weights(build_model("lenet1"), path)
    assert [file.name for file in tmp_path.iterdir()] == ["net.safetensors"]
    assert path.read_bytes() == before


def test_finetuned_weights_record_their_source(tmp_path):
    model = build_model("resnet18", **DEPTHS)
    model.get_layer("scale").set_scale("tf", "timm/gluon_in1k")
    path = save_weights(model, tmp_path / "net.safetensors", layout="torchvision")
    again = build_model("resnet18", **DEPTHS, weights=path)
    assert again.get_layer("scale").scales_like("tf")
    assert again.get_layer("scale").source == "timm/gluon_in1k"
    assert load_weights(again, path).source == "timm/gluon_in1k"
