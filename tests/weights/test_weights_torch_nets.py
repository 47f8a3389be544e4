"""PyTorch's modules against the tables of published checkpoints, and what they compute with random checkpoints."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from published import checkpoint, shapes  # noqa: E402
from torch_nets import NETS, PUBLISHERS, empty, loaded, side  # noqa: E402

# Billions of multiply-adds for one image, as published; without the auxiliary classifiers
GMACS = {
    "alexnet_torchvision": 0.7142,
    "vgg11": 7.609,
    "vgg11_bn": 7.609,
    "squeezenet1_0": 0.8189,
    "squeezenet1_1": 0.3492,
    "googlenet_torchvision_aux": 1.4984,
    "inception_v3_aux": 5.7132,
    "inception_resnet_v2": 13.1558,
    "resnet18": 1.8141,
    "resnet50": 4.0892,
    "resnext50_32x4d": 4.2305,
    "resnet50v2": 4.0892,
    "densenet121": 2.8342,
    "dpn92": 6.5017,
}
HEADS = {"googlenet_torchvision_aux": 3, "inception_v3_aux": 2}


@pytest.mark.parametrize("network", NETS)
def test_keys(network):
    expected = shapes(network, PUBLISHERS[network], old=False)
    assert [(key, tuple(value.shape)) for key, value in empty(network).state_dict().items()] == list(expected.items())


@pytest.mark.parametrize("network", NETS)
def test_multiply_adds(network):
    net, macs = empty(network), {}

    def count(name):
        def hook(layer, _, output):
            macs[name] = layer.weight[0].numel() * output.numel()

        return hook

    for name, layer in net.named_modules():
        if isinstance(layer, torch.nn.Conv2d | torch.nn.Linear):
            layer.register_forward_hook(count(name))
    net(torch.empty(1, 3, side(network), side(network), device="meta"))
    main = sum(n for name, n in macs.items() if not name.lower().startswith("aux"))
    assert main / 1e9 == pytest.approx(GMACS[network], abs=6e-4 if network.startswith("vgg") else 6e-5)


def outputs(network, rng):
    """The network with a random checkpoint, and what it makes of two random images."""
    net = loaded(network, checkpoint(network, PUBLISHERS[network], rng, old=False))
    images = rng.standard_normal((2, 3, side(network), side(network)), dtype=np.float32)
    logits = net(torch.from_numpy(images))
    return net, logits if isinstance(logits, tuple) else (logits,)


@pytest.mark.parametrize("network", NETS)
def test_logits(network, rng):
    """Finite, spread, and different for different images."""
    with torch.no_grad():
        _, heads = outputs(network, rng)
    assert len(heads) == HEADS.get(network, 1)
    for logits in heads:
        assert logits.shape == (2, 1000)
        assert torch.isfinite(logits).all()
        assert 0.3 < logits.std(1).min() <= logits.std(1).max() < 10
        assert (logits[0] - logits[1]).std() > 0.01 * logits.std()


@pytest.mark.nightly
@pytest.mark.parametrize("network", NETS)
def test_every_weight_matters(network, rng):
    """No array of a checkpoint could go astray and leave the logits as they are."""
    net, heads = outputs(network, rng)
    direction = torch.from_numpy(rng.standard_normal((2, 1000), dtype=np.float32))
    sum((logits * direction).sum() for logits in heads).backward()
    assert [name for name, weight in net.named_parameters() if not weight.grad.abs().max() > 1e-3] == []
