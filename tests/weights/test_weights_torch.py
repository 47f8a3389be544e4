"""The same random weights in PyTorch's reference modules and here give the same logits, there and back again."""

import gc

import keras
import numpy as np
import pytest

torch = pytest.importorskip("torch")

from published import checkpoint  # noqa: E402
from safetensors.torch import load_file  # noqa: E402
from torch_nets import NETS, PUBLISHERS, loaded, side  # noqa: E402

from kerascnn import build_model, save_weights  # noqa: E402


@pytest.mark.nightly
@pytest.mark.parametrize("network", NETS)
def test_same_logits_and_back(network, rng, tmp_path):
    publisher = PUBLISHERS[network]
    arrays = checkpoint(network, publisher, rng, old=False)
    net = loaded(network, arrays)
    torch.save(net.state_dict(), tmp_path / "net.pth")
    model = build_model(network, weights=tmp_path / "net.pth")
    images = rng.integers(0, 256, (2, side(network), side(network), 3)).astype("f4")
    scaled = np.asarray(model.get_layer("scale")(images)).transpose(0, 3, 1, 2).copy()
    with torch.no_grad():
        expected = net(torch.from_numpy(scaled))
    expected = expected if isinstance(expected, tuple) else (expected,)
    names = ["logits", "aux1_logits", "aux2_logits"][: len(expected)]
    found = keras.Model(model.input, {name: model.get_layer(name).output for name in names})(images)
    for name, theirs in zip(names, expected, strict=True):
        np.testing.assert_allclose(found[name], theirs, atol=1e-4 * float(theirs.std()))
    path = save_weights(model, tmp_path / "back.safetensors", layout=publisher)
    with torch.device("meta"):
        again = NETS[network]()
    again.load_state_dict(load_file(path), strict=True, assign=True)
    for name, tensor in again.state_dict().items():
        assert name.endswith("num_batches_tracked") or np.array_equal(tensor.numpy(), arrays[name]), name
    del model, net, again
    gc.collect()
