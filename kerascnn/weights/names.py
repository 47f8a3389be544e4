"""Names of our layers in torchvision, timm and Caffe: one table per family, {our layer: theirs}.

In a name, {s} stands for a number, and in its translation {s0} for that number minus one: PyTorch counts from zero.
"""

import re
from fnmatch import fnmatchcase
from functools import partial

from ..zoo.layers import weightless

LAYOUTS = ("torchvision", "timm")
CAFFE = "caffe"

RESNET = {
    "stem_conv": "conv1",
    "stem_norm": "bn1",
    "stage{s}_block{b}_conv{i}": "layer{s}.{b0}.conv{i}",
    "stage{s}_block{b}_norm{i}": "layer{s}.{b0}.bn{i}",
    "stage{s}_block{b}_skip": "layer{s}.{b0}.downsample.0",
    "stage{s}_block{b}_skip_norm": "layer{s}.{b0}.downsample.1",
    "logits": "fc",
}
RESNET_V2 = {
    "stem_conv": "stem.conv",
    "stage{s}_block{b}_{i}_norm": "stages.{s0}.blocks.{b0}.norm{i}",
    "stage{s}_block{b}_conv{i}": "stages.{s0}.blocks.{b0}.conv{i}",
    "stage{s}_block{b}_skip": "stages.{s0}.blocks.{b0}.downsample.conv",
    "final_norm": "norm",
    "logits": "head.fc",
}
DENSENET = {
    "stem_conv": "features.conv0",
    "stem_norm": "features.norm0",
    "stage{i}_layer{j}_bottleneck_norm": "features.denseblock{i}.denselayer{j}.norm1",
    "stage{i}_layer{j}_bottleneck_conv": "features.denseblock{i}.denselayer{j}.conv1",
    "stage{i}_layer{j}_grow_norm": "features.denseblock{i}.denselayer{j}.norm2",
    "stage{i}_layer{j}_grow_conv": "features.denseblock{i}.denselayer{j}.conv2",
    "transition{i}_norm": "features.transition{i}.norm",
    "transition{i}_conv": "features.transition{i}.conv",
    "final_norm": "features.norm5",
    "logits": "classifier",
}
DPN = {
    "stem_conv": "features.conv1_1.conv",
    "stem_norm": "features.conv1_1.bn",
    **{
        f"stage{s}_block{{j}}_{ours}": f"features.conv{s + 1}_{{j}}.{theirs}"
        for s in (1, 2, 3, 4)
        for ours, theirs in {
            "skip_norm": f"c1x1_w_s{min(s, 2)}.bn",
            "skip_conv": f"c1x1_w_s{min(s, 2)}.conv",
            "1_norm": "c1x1_a.bn",
            "conv1": "c1x1_a.conv",
            "2_norm": "c3x3_b.bn",
            "conv2": "c3x3_b.conv",
            "3_norm": "c1x1_c.bn",
            "conv3": "c1x1_c.conv",
        }.items()
    },
    "final_norm": "features.conv5_bn_ac.bn",
    "logits": "classifier",
}
ALEXNET = {
    **{f"conv{i}": f"features.{at}" for i, at in enumerate((0, 3, 6, 8, 10), start=1)},
    "fc1": "classifier.1",
    "fc2": "classifier.4",
    "logits": "classifier.6",
}


def unit_names(table):
    """Names of convolutions and of their norms."""
    convs = {ours: f"{theirs}.conv" for ours, theirs in table.items()}
    return convs | {f"{ours}_norm": f"{theirs}.bn" for ours, theirs in table.items()}


def branch_names(modules, branches):
    """Names of the same branches in several modules."""
    return unit_names(
        {f"{m}_{b}": f"{there}.{theirs}" for m, there in modules.items() for b, theirs in branches.items()}
    )


def number_modules(stage, names, start=1):
    """{our module: theirs} for the modules of a stage in order."""
    return {f"stage{stage}_{k}": name for k, name in enumerate(names, start=start)}


GOOGLENET = {
    **unit_names({"stage1_1": "conv1", "stage1_3": "conv2", "stage1_4": "conv3"}),
    **branch_names(
        {
            **number_modules(2, ("inception3a", "inception3b")),
            **number_modules(3, (f"inception4{letter}" for letter in "abcde")),
            **number_modules(4, ("inception5a", "inception5b")),
        },
        {"branch1_1": "branch1", "branch{b}_{n}": "branch{b}.{n0}"},
    ),
    **unit_names({"aux{a}_conv_1": "aux{a}.conv"}),
    "aux{a}_fc": "aux{a}.fc1",
    "aux{a}_logits": "aux{a}.fc2",
    "logits": "fc",
}
STEM = {1: "1a_3x3", 2: "2a_3x3", 3: "2b_3x3", 5: "3b_1x1", 6: "4a_3x3"}
INCEPTION_V3 = {
    **unit_names({f"stage1_{k}": f"Conv2d_{name}" for k, name in STEM.items()}),
    **branch_names(
        number_modules(2, (f"Mixed_5{letter}" for letter in "bcd")),
        {
            "branch1_1": "branch1x1",
            "branch2_{n}": "branch5x5_{n}",
            "branch3_{n}": "branch3x3dbl_{n}",
            "branch4_2": "branch_pool",
        },
    ),
    **branch_names(number_modules(3, ("Mixed_6a",)), {"branch1_1": "branch3x3", "branch2_{n}": "branch3x3dbl_{n}"}),
    **branch_names(
        number_modules(3, (f"Mixed_6{letter}" for letter in "bcde"), start=2),
        {
            "branch1_1": "branch1x1",
            "branch2_{n}": "branch7x7_{n}",
            "branch3_{n}": "branch7x7dbl_{n}",
            "branch4_2": "branch_pool",
        },
    ),
    **branch_names(
        number_modules(4, ("Mixed_7a",)), {"branch1_{n}": "branch3x3_{n}", "branch2_{n}": "branch7x7x3_{n}"}
    ),
    **branch_names(
        number_modules(4, ("Mixed_7b", "Mixed_7c"), start=2),
        {
            "branch1_1": "branch1x1",
            "branch2_2_branch1_1": "branch3x3_2a",
            "branch2_2_branch2_1": "branch3x3_2b",
            "branch2_1": "branch3x3_1",
            "branch3_3_branch1_1": "branch3x3dbl_3a",
            "branch3_3_branch2_1": "branch3x3dbl_3b",
            "branch3_{n}": "branch3x3dbl_{n}",
            "branch4_2": "branch_pool",
        },
    ),
    **unit_names({"aux1_conv_1": "AuxLogits.conv0", "aux1_conv_2": "AuxLogits.conv1"}),
    "aux1_logits": "AuxLogits.fc",
    "logits": "fc",
}
BLOCK35 = number_modules(2, (f"repeat.{i}" for i in range(10)), start=2)
BLOCK17 = number_modules(3, (f"repeat_1.{i}" for i in range(20)), start=2)
BLOCK8 = number_modules(4, (*(f"repeat_2.{i}" for i in range(9)), "block8"), start=2)
FIRST_ALONE = {"branch1_1": "branch0", "branch2_{n}": "branch1.{n0}", "branch3_{n}": "branch2.{n0}"}
INCEPTION_RESNET_V2 = {
    **unit_names({f"stage1_{k}": f"conv2d_{name[:2]}" for k, name in STEM.items()}),
    **branch_names({"stage2_1": "mixed_5b"}, FIRST_ALONE | {"branch4_2": "branch3.1"}),
    **branch_names({"stage3_1": "mixed_6a"} | BLOCK35 | BLOCK17 | BLOCK8, FIRST_ALONE),
    **branch_names({"stage4_1": "mixed_7a"}, {f"branch{b}_{{n}}": f"branch{b - 1}.{{n0}}" for b in (1, 2, 3)}),
    **{f"{ours}_up": f"{theirs}.conv2d" for ours, theirs in (BLOCK35 | BLOCK17 | BLOCK8).items()},
    **unit_names({"stage4_12": "conv2d_7b"}),
    "logits": "classif",
}


def torch_vgg_names(layers, head):
    """VGG: PyTorch numbers convolutions, norms, ReLUs, and a pool after each stage."""
    found, at, stage = dict(head), 0, "stage1"
    for name in (name for name in layers if re.fullmatch(r"stage\d+_conv\d+", name)):
        here = name.split("_")[0]
        at += here != stage
        stage = here
        found[name] = f"features.{at}"
        if f"{name}_norm" in layers:
            found[f"{name}_norm"] = f"features.{at + 1}"
            at += 1
        at += 2
    return found


def torch_squeezenet_names(layers):
    """SqueezeNet: PyTorch numbers convolution, ReLU, pool, fire modules, and a pool after each stage but the last."""
    found, at, stage = {"stage1_conv1": "features.0", "logits_conv": "classifier.1"}, 2, "stage1"
    for name in (name for name in layers if name.endswith("_squeeze")):
        fire, here = name.removesuffix("_squeeze"), name.split("_")[0]
        at += 1 + (here != stage and stage != "stage1")
        stage = here
        parts = {"squeeze": "squeeze", "expand1": "expand1x1", "expand3": "expand3x3"}
        found |= {f"{fire}_{ours}": f"features.{at}.{theirs}" for ours, theirs in parts.items()}
    return found


CAFFE_ALEXNET = {"conv{i}": "conv{i}", "fc1": "fc6", "fc2": "fc7", "logits": "fc8"}
CAFFE_VGG = {"stage{s}_conv{i}": "conv{s}_{i}", "fc1": "fc6", "fc2": "fc7", "logits": "fc8"}
CAFFE_NIN = {
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
CAFFE_GOOGLENET = {
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


def caffe_squeezenet_names(layers):
    """SqueezeNet: fire modules are numbered from 2 on, through all stages."""
    found = {"stage1_conv1": "conv1", "logits_conv": "conv10"}
    fires = [name.removesuffix("_squeeze") for name in layers if name.endswith("_squeeze")]
    for number, fire in enumerate(fires, start=2):
        found |= {f"{fire}_{ours}": f"fire{number}/{theirs}" for ours, theirs in FIRE.items()}
    return found


def caffe_resnet_names(layers, numbered_stages=()):
    """ResNet: blocks have letters, in ``numbered_stages`` a, b1, b2, b3 and so on."""
    found = {"stem_conv": "conv1", "stem_norm": "_conv1", "logits": "fc1000"}
    for match in filter(None, map(BLOCK.fullmatch, layers)):
        stage, block = int(match["stage"]), int(match["block"])
        letter = f"b{block - 1}" if stage in numbered_stages and block > 1 else chr(ord("a") + block - 1)
        branch = f"branch2{'abc'[int(match['place']) - 1]}" if match["place"] else "branch1"
        prefix = "" if "norm" in match["kind"] else "res"
        found[match[0]] = f"{prefix}{stage + 1}{letter}_{branch}"
    return found


TORCHVISION = {  # networks -> table, or the function that makes it from our layers' names; the first that fits
    "alexnet_torchvision": ALEXNET,
    "vgg*": partial(torch_vgg_names, head={"fc1": "classifier.0", "fc2": "classifier.3", "logits": "classifier.6"}),
    "googlenet_torchvision*": GOOGLENET,
    "inception_v3*": INCEPTION_V3,
    "resnet*v2*": {},
    "resnet*": RESNET,
    "resnext*": RESNET,
    "wide_resnet*_2": RESNET,
    "densenet*": DENSENET,
    "squeezenet*": torch_squeezenet_names,
}
TIMM = TORCHVISION | {
    "alexnet_torchvision": {},
    "vgg*": partial(torch_vgg_names, head={"fc1": "pre_logits.fc1", "fc2": "pre_logits.fc2", "logits": "head.fc"}),
    "resnet*v2*": RESNET_V2,
    "inception_resnet_v2*": INCEPTION_RESNET_V2,
    "dpn*": DPN,
}
CAFFE_NETWORKS = {  # networks -> table, or the function that makes it from our layers' names; the first that fits
    "alexnet": CAFFE_ALEXNET,
    "alexnet_grouped": CAFFE_ALEXNET,
    "alexnet_caffe": CAFFE_ALEXNET,
    "caffenet": CAFFE_ALEXNET,
    "nin": CAFFE_NIN,
    "vgg1[69]": CAFFE_VGG,
    "googlenet": CAFFE_GOOGLENET,
    "googlenet_aux": CAFFE_GOOGLENET,
    "squeezenet1_[01]": caffe_squeezenet_names,
    "squeezenet1_[01]_caffe": caffe_squeezenet_names,
    "resnet50_v1": caffe_resnet_names,
    "resnet101_v1": partial(caffe_resnet_names, numbered_stages=(2, 3)),
    "resnet152_v1": partial(caffe_resnet_names, numbered_stages=(2, 3)),
}
CAFFE_SCALES = {"vgg*": "caffe", "resnet*": "caffe", "*": "caffe_round"}  # networks -> preprocessing of their files
TABLES = {"torchvision": TORCHVISION, "timm": TIMM, CAFFE: CAFFE_NETWORKS}
# dense layers of ours that are 1x1 or full-size convolutions there
DENSE_AS_CONVOLUTION = {"timm": {"vgg*": ("fc1", "fc2"), "resnet*v2*": ("logits",), "dpn*": ("logits",)}}
OLD_DENSENET_NAME = re.compile(r"(denselayer\d+\.(?:norm|conv))\.(\d)")  # before PyTorch reserved dots for modules
IGNORABLE = ("*.num_batches_tracked", "aux*", "AuxLogits.*", "loss1/*", "loss2/*")  # in files only


def layer_names_in(network, layers, layout):
    """{our layer: its name in the layout} for ``layers``; empty if there is no table for the network."""
    table = match_network(TABLES[layout], network, {})
    return table(layers) if callable(table) else expand_table(table, layers)


def match_network(rows, network, default=None):
    """The value of the first row whose shell pattern matches a network's name."""
    return next((value for pattern, value in rows.items() if fnmatchcase(network, pattern)), default)


def caffe_scale(network):
    """The preprocessing of Caffe's files for a network: BGR minus the means, which most publishers rounded."""
    return match_network(CAFFE_SCALES, network)


def expand_table(table, layers):
    """Apply a table to layer names; the first row that matches counts."""
    patterns = [(re.compile(re.sub(r"\\{(\w+)\\}", r"(?P<\1>\\d+)", re.escape(ours))), table[ours]) for ours in table]
    found = {}
    for layer in layers:
        for pattern, theirs in patterns:
            match = pattern.fullmatch(layer)
            if match:
                numbers = {key: int(value) for key, value in match.groupdict().items()}
                found[layer] = theirs.format(**numbers, **{f"{key}0": n - 1 for key, n in numbers.items()})
                break
    return found


def modern_tensor_name(name):
    """The current name of a tensor, for names in old files."""
    return OLD_DENSENET_NAME.sub(r"\1\2", name)


APPLICATIONS = {  # network -> the function of keras.applications that builds it
    "vgg16": "VGG16",
    "vgg19": "VGG19",
    **{f"resnet{n}_keras": f"ResNet{n}" for n in (50, 101, 152)},
    **{f"resnet{n}v2_keras": f"ResNet{n}V2" for n in (50, 101, 152)},
    "inception_v3_keras": "InceptionV3",
    "inception_resnet_v2_keras": "InceptionResNetV2",
    **{f"densenet{n}": f"DenseNet{n}" for n in (121, 169, 201)},
}
RESNEXT = {  # keras.applications has no function for it any more, but still the files
    "stem_conv": "conv1_conv",
    "stem_norm": "conv1_bn",
    **{
        f"stage{s}_block{{b}}_{ours}": f"conv{s + 1}_block{{b}}_{theirs}"
        for s in (1, 2, 3, 4)
        for ours, theirs in {"conv{i}": "{i}_conv", "norm{i}": "{i}_bn", "skip": "0_conv", "skip_norm": "0_bn"}.items()
    },
    "logits": "probs",
}
DEPTHWISE_SUMS = "conv*_gconv/*"  # the sums over groups, ones and zeros, that followed a depthwise convolution


def layers_by_connection(model):
    """Layers with weights in topological order, branches in the order in which they are joined.

    Two implementations of a network share this order, whatever their layer names.
    """
    found, seen = [], set()
    stack = [(output._keras_history.operation, False) for output in reversed(model.outputs)]
    while stack:
        layer, ready = stack.pop()
        if ready:
            found.append(layer)
        elif id(layer) not in seen:
            seen.add(id(layer))
            stack.append((layer, True))
            before = [parent.operation for node in layer._inbound_nodes for parent in node.parent_nodes]
            stack.extend((parent, False) for parent in reversed(before))
    return [layer for layer in found if getattr(layer, "weights", ())]


def keras_application(network):
    """The network in keras.applications, without memory for its weights; None if there is none."""
    import keras

    if network not in APPLICATIONS:
        return None
    with weightless():
        return getattr(keras.applications, APPLICATIONS[network])(weights=None)


def renumber_automatic_names(names):
    """Renumber automatic names (conv2d_94) from zero in their order; other names stay."""
    numbered = {}
    for name in names:
        match = re.fullmatch(r"(conv2d|batch_normalization)(?:_(\d+))?", name)
        if match:
            numbered.setdefault(match[1], []).append((int(match[2] or 0), name))
    ranks = {name: f"{kind} {i}" for kind, found in numbered.items() for i, (_, name) in enumerate(sorted(found))}
    return {name: ranks.get(name, name) for name in names}
