"""What the authors' Caffe files call the layers that we draw, and how their numbers become ours.

A layer's weights are numbered: kernel 0, bias 1. A batch norm is two layers, one with mean, variance and a factor that
both are to be divided by, one with gamma and beta.
"""

import re
from fnmatch import fnmatchcase
from functools import partial

import numpy as np

from .formats import WeightsError
from .names import expand
from .variables import from_torch

CAFFE = "caffe"
PARTS = {  # our weight -> the array's name, given the layer's; a norm's two layers share what follows bn and scale
    "kernel": "{}/0",
    "bias": "{}/1",
    "gamma": "scale{}/0",
    "beta": "scale{}/1",
    "moving_mean": "bn{}/0",
    "moving_variance": "bn{}/1",
}
ALEXNET = {"conv{i}": "conv{i}", "fc1": "fc6", "fc2": "fc7", "logits": "fc8"}
VGG = {"stage{s}_conv{i}": "conv{s}_{i}", "fc1": "fc6", "fc2": "fc7", "logits": "fc8"}
NIN = {
    "stage4_conv1": "conv4-1024",
    "stage{s}_conv1": "conv{s}",
    **{f"stage{s}_conv{i + 1}": f"cccp{2 * s - 2 + i}" for s in (1, 2, 3) for i in (1, 2)},
    "stage4_conv2": "cccp7-1024",
    "logits_conv": "cccp8-1024",
}
FIRE = {"squeeze": "squeeze1x1", "expand1": "expand1x1", "expand3": "expand3x3"}
MODULES = {"stage2": "3a 3b", "stage3": "4a 4b 4c 4d 4e", "stage4": "5a 5b"}
BRANCHES = {
    "branch1_1": "1x1",
    "branch2_1": "3x3_reduce",
    "branch2_2": "3x3",
    "branch3_1": "5x5_reduce",
    "branch3_2": "5x5",
    "branch4_2": "pool_proj",
}
GOOGLENET = {
    "stage1_1": "conv1/7x7_s2",
    "stage1_4": "conv2/3x3_reduce",
    "stage1_5": "conv2/3x3",
    **{
        f"{stage}_{k}_{ours}": f"inception_{module}/{theirs}"
        for stage, modules in MODULES.items()
        for k, module in enumerate(modules.split(), start=1)
        for ours, theirs in BRANCHES.items()
    },
    "aux{a}_conv_1": "loss{a}/conv",
    "aux{a}_fc": "loss{a}/fc",
    "aux{a}_logits": "loss{a}/classifier",
    "logits": "loss3/classifier",
}
BLOCK = re.compile(r"stage(?P<stage>\d+)_block(?P<block>\d+)_(?P<kind>conv|norm|skip|skip_norm)(?P<place>\d*)")


def squeezenet(layers):
    """Fire modules are numbered from 2 on, through all stages."""
    found = {"stage1_conv1": "conv1", "logits_conv": "conv10"}
    fires = [name.removesuffix("_squeeze") for name in layers if name.endswith("_squeeze")]
    for number, fire in enumerate(fires, start=2):
        found |= {f"{fire}_{ours}": f"fire{number}/{theirs}" for ours, theirs in FIRE.items()}
    return found


def resnet(layers, counted=()):
    """Blocks have letters; in the stages that are ``counted`` they are a, b1, b2, b3 and so on."""
    found = {"stem_conv": "conv1", "stem_norm": "_conv1", "logits": "fc1000"}
    for match in filter(None, map(BLOCK.fullmatch, layers)):
        stage, block = int(match["stage"]), int(match["block"])
        letter = f"b{block - 1}" if stage in counted and block > 1 else chr(ord("a") + block - 1)
        branch = f"branch2{'abc'[int(match['place']) - 1]}" if match["place"] else "branch1"
        prefix = "" if "norm" in match["kind"] else "res"
        found[match[0]] = f"{prefix}{stage + 1}{letter}_{branch}"
    return found


NETWORKS = {  # networks -> table, or the function that makes it from our layers' names; the first that fits
    "alexnet": ALEXNET,
    "alexnet_grouped": ALEXNET,
    "alexnet_caffe": ALEXNET,
    "caffenet": ALEXNET,
    "nin": NIN,
    "vgg1[69]": VGG,
    "googlenet": GOOGLENET,
    "googlenet_aux": GOOGLENET,
    "squeezenet1_[01]": squeezenet,
    "squeezenet1_[01]_caffe": squeezenet,
    "resnet50_v1": resnet,
    "resnet101_v1": partial(resnet, counted=(2, 3)),
    "resnet152_v1": partial(resnet, counted=(2, 3)),
}
SCALES = {"vgg*": "caffe", "resnet*": "caffe", "*": "caffe_round"}  # networks -> the pixels that their files want
ASIDE = ("loss1/*", "loss2/*")  # auxiliary classifiers, which a network without them has no place for


def caffe_names(network, layers):
    """{our layer: theirs} for those of ``layers`` that have a name in Caffe's files."""
    table = next((NETWORKS[key] for key in NETWORKS if fnmatchcase(network, key)), {})
    return table(layers) if callable(table) else expand(table, layers)


def caffe_scale(network):
    """The pixels that Caffe's files for a network want: blue first, less means that Oxford and He did not round."""
    return next(SCALES[key] for key in SCALES if fnmatchcase(network, key))


def from_caffe(array, slot):
    """An array of Caffe's as the slot takes it; its shape may still be wrong. Older files put sides of 1 before it."""
    more = max(0, array.ndim - len(slot.shape))
    if set(array.shape[:more]) == {1}:
        array = array.reshape(array.shape[more:])
    return from_torch(array, slot)


def settled(path, arrays, tensors):
    """The arrays with each norm's mean and variance as they are used.

    They are divided by the norm's factor, which Caffe keeps beside running sums. A convolution's bias that a norm
    follows (the stem's, in ResNet-50) goes from the mean: norm(conv + bias) is the same norm with mean - bias.
    """
    arrays = dict(arrays)
    for name in [name for name, slot in tensors.items() if slot.part == "moving_mean"]:
        layer = name.removesuffix("/0")
        mean, variance = arrays.get(name), arrays.get(f"{layer}/1")
        if mean is None or variance is None:
            continue  # reported as missing, with all others
        factor = arrays.pop(f"{layer}/2", None)
        if factor is None or factor.size != 1:
            came = "no factor" if factor is None else f"a factor of {factor.size:,} numbers"
            raise WeightsError(path, f"hold mean, variance and one factor for them in the layer {layer}", came)
        bias = f"{convolution(layer)}/1"
        shift = arrays.pop(bias).ravel() if bias in arrays and arrays[bias].size == mean.size else np.float32(0)
        arrays[name] = (divided(mean, factor) - shift).astype(mean.dtype)
        arrays[f"{layer}/1"] = divided(variance, factor).astype(variance.dtype)
    return arrays


def convolution(norm):
    """The convolution before a norm: conv1 before bn_conv1, res2a_branch1 before bn2a_branch1."""
    rest = norm.removeprefix("bn")
    return rest[1:] if rest.startswith("_") else f"res{rest}"


def divided(array, factor):
    """A norm's sums by their factor; Caffe takes 0 for "nothing seen yet", and then uses zeros."""
    factor = float(factor.flat[0])
    with np.errstate(all="ignore"):  # what is not finite is refused later, with its name
        return array.ravel().astype(np.float64) / factor if factor else np.zeros(array.size)
