"""What Keras calls the layers that we draw: keras.applications tells, and its files follow its order."""

import re

from ..weightless import weightless

TWINS = {  # network -> the function of keras.applications that draws it
    "vgg16": "VGG16",
    "vgg19": "VGG19",
    **{f"resnet{n}_keras": f"ResNet{n}" for n in (50, 101, 152)},
    **{f"resnet{n}v2_keras": f"ResNet{n}V2" for n in (50, 101, 152)},
    "inception_v3_keras": "InceptionV3",
    "inception_resnet_v2_keras": "InceptionResNetV2",
    **{f"densenet{n}": f"DenseNet{n}" for n in (121, 169, 201)},
}
RESNEXT = {  # keras.applications has these files still, but no longer the function
    "stem_conv": "conv1_conv",
    "stem_norm": "conv1_bn",
    **{
        f"stage{s}_block{{b}}_{ours}": f"conv{s + 1}_block{{b}}_{theirs}"
        for s in (1, 2, 3, 4)
        for ours, theirs in {"conv{i}": "{i}_conv", "norm{i}": "{i}_bn", "skip": "0_conv", "skip_norm": "0_bn"}.items()
    },
    "logits": "probs",
}
SUMS = "conv*_gconv/*"  # the sums over groups, ones and zeros, that followed a depthwise convolution


def by_connection(model):
    """Layers with weights, each after all that it reads, branches in the order in which they are joined.

    Two drawings of one network share this order, whatever they call their layers.
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


def twin(network):
    """keras.applications' drawing of a network, without memory for its weights; None where it has none."""
    import keras

    if network not in TWINS:
        return None
    with weightless():
        return getattr(keras.applications, TWINS[network])(weights=None)


def ranked(names):
    """Names that Keras numbered by itself (conv2d_94) numbered from zero in their order, the others as they are."""
    numbered = {}
    for name in names:
        match = re.fullmatch(r"(conv2d|batch_normalization)(?:_(\d+))?", name)
        if match:
            numbered.setdefault(match[1], []).append((int(match[2] or 0), name))
    ranks = {name: f"{kind} {i}" for kind, found in numbered.items() for i, (_, name) in enumerate(sorted(found))}
    return {name: ranks.get(name, name) for name in names}
