"""Writes Caffe's NetParameter from numpy arrays, after caffe.proto, and says what the authors' networks hold."""

import struct
from itertools import chain

import numpy as np

LAYERS = {"v0": (1, 50), "v1": (4, 6), "current": (1, 7)}  # numbers of a layer's name and of its blobs


def varint(number):
    groups = []
    while number > 127:
        groups.append(number & 127 | 128)
        number >>= 7
    return bytes([*groups, number])


def whole(number, value):
    """A field with a whole number."""
    return varint(number << 3) + varint(value % 2**64)


def text(number, content):
    """A field with a text, a message or packed numbers."""
    content = content.encode() if isinstance(content, str) else content
    return varint(number << 3 | 2) + varint(len(content)) + content


def single(number, value, kind="f"):
    """A field with one number of fixed width."""
    return varint(number << 3 | {"f": 5, "d": 1}[kind]) + struct.pack(f"<{kind}", value)


def shape(sides, packed=True):
    if packed:
        return text(7, text(1, b"".join(map(varint, sides))))
    return text(7, b"".join(whole(1, side) for side in sides))


def blob(values, packed=True, legacy=False, diff=False, sides=None):
    """A BlobProto; ``legacy`` gives it four sides and none of a shape."""
    sides = np.shape(values) if sides is None else sides
    kind, number = ("d", 8) if np.asarray(values).dtype == np.float64 else ("f", 5)
    flat = np.asarray(values, f"<{kind}").ravel()
    if legacy:
        four = (1,) * (4 - len(sides)) + tuple(sides)
        about = b"".join(whole(i, side) for i, side in enumerate(four, start=1))
    else:
        about = shape(sides, packed)
    numbers = text(number, flat.tobytes()) if packed else b"".join(single(number, value, kind) for value in flat)
    slope = text(number + 1, flat.tobytes()) if diff else b""
    return (about + numbers + slope) if legacy else (numbers + slope + about)


def layer(name, blobs=(), kind="Convolution", form="current"):
    """A layer with blobs that are written already, as a field of the network."""
    named, holding = LAYERS[form]
    held = b"".join(text(holding, content) for content in blobs)
    if form == "current":
        return text(100, text(1, name) + text(2, kind) + text(3, "data") + text(4, name) + held + whole(10, 0))
    if form == "v1":
        return text(2, text(2, "data") + text(3, name) + text(4, name) + whole(5, 4) + held + single(7, 1.0) * 2)
    return text(2, text(1, text(named, name) + text(2, "conv") + whole(3, 96) + held) + text(2, "data") + text(3, name))


def net(layers, name="A net", form="current", ahead=b"", **options):
    """A NetParameter of {layer: arrays}, with a layer of data in front."""
    rows = {"data": (), **layers}
    content = (layer(row, [blob(a, **options) for a in arrays], form=form) for row, arrays in rows.items())
    return (text(1, name) if name else b"") + ahead + b"".join(content)


# What the authors' files hold: (name of the layer, shapes of its blobs)


def conv(name, inputs, filters, size=1, bias=True):
    return name, [(filters, inputs, size, size), *([(filters,)] if bias else [])]


def dense(name, inputs, units):
    return name, [(units, inputs), (units,)]


def alexnet():
    rows = ((3, 96, 11), (48, 256, 5), (256, 384, 3), (192, 384, 3), (192, 256, 3))
    return [*(conv(f"conv{i}", *row) for i, row in enumerate(rows, 1)), *fully(9216)]


def fully(inputs):
    return [dense("fc6", inputs, 4096), dense("fc7", 4096, 4096), dense("fc8", 4096, 1000)]


def vgg(counts):
    inputs, found = 3, []
    for stage, (filters, count) in enumerate(zip((64, 128, 256, 512, 512), counts, strict=True), start=1):
        for i in range(1, count + 1):
            found.append(conv(f"conv{stage}_{i}", inputs, filters, 3))
            inputs = filters
    return found + fully(25088)


def nin():
    found, inputs, pairs = [], 3, iter((1, 2, 3, 4, 5, 6))
    for stage, filters, size in ((1, 96, 11), (2, 256, 5), (3, 384, 3)):
        found.append(conv(f"conv{stage}", inputs, filters, size))
        found += [conv(f"cccp{next(pairs)}", filters, filters), conv(f"cccp{next(pairs)}", filters, filters)]
        inputs = filters
    found += [conv("conv4-1024", 384, 1024, 3), conv("cccp7-1024", 1024, 1024), conv("cccp8-1024", 1024, 1000)]
    return found


def squeezenet(filters, size):
    found, inputs = [conv("conv1", 3, filters, size)], filters
    for i, squeeze in enumerate((16, 16, 32, 32, 48, 48, 64, 64), start=2):
        found.append(conv(f"fire{i}/squeeze1x1", inputs, squeeze))
        found += [conv(f"fire{i}/expand{k}x{k}", squeeze, 4 * squeeze, k) for k in (1, 3)]
        inputs = 8 * squeeze
    return [*found, conv("conv10", 512, 1000)]


INCEPTION = {
    "3a": (192, 64, 96, 128, 16, 32, 32),
    "3b": (256, 128, 128, 192, 32, 96, 64),
    "4a": (480, 192, 96, 208, 16, 48, 64),
    "4b": (512, 160, 112, 224, 24, 64, 64),
    "4c": (512, 128, 128, 256, 24, 64, 64),
    "4d": (512, 112, 144, 288, 32, 64, 64),
    "4e": (528, 256, 160, 320, 32, 128, 128),
    "5a": (832, 256, 160, 320, 32, 128, 128),
    "5b": (832, 384, 192, 384, 48, 128, 128),
}


def googlenet():
    found = [conv("conv1/7x7_s2", 3, 64, 7), conv("conv2/3x3_reduce", 64, 64), conv("conv2/3x3", 64, 192, 3)]
    for name, (inputs, one, three_in, three, five_in, five, pool) in INCEPTION.items():
        rows = {
            "1x1": (inputs, one),
            "3x3_reduce": (inputs, three_in),
            "3x3": (three_in, three, 3),
            "5x5_reduce": (inputs, five_in),
            "5x5": (five_in, five, 5),
            "pool_proj": (inputs, pool),
        }
        found += [conv(f"inception_{name}/{row}", *sizes) for row, sizes in rows.items()]
        if name in ("4a", "4d"):
            loss = "loss1" if name == "4a" else "loss2"
            width = one + three + five + pool
            found += [conv(f"{loss}/conv", width, 128), dense(f"{loss}/fc", 2048, 1024)]
            found += [dense(f"{loss}/classifier", 1024, 1000)]
    return [*found, dense("loss3/classifier", 1024, 1000)]


def unit(prefix, suffix, inputs, filters, size=1, bias=False):
    """A convolution, the statistics of its norm with their factor, gamma and beta."""
    yield conv(f"{prefix}{suffix}", inputs, filters, size, bias)
    suffix = f"_{prefix}" if prefix == "conv1" else suffix
    yield f"bn{suffix}", [(filters,), (filters,), (1,)]
    yield f"scale{suffix}", [(filters,), (filters,)]


RES50 = ("a b c", "a b c d", "a b c d e f", "a b c")
RES101 = ("a b c", "a b1 b2 b3", "a " + " ".join(f"b{i}" for i in range(1, 23)), "a b c")
RES152 = (
    "a b c",
    "a " + " ".join(f"b{i}" for i in range(1, 8)),
    "a " + " ".join(f"b{i}" for i in range(1, 36)),
    "a b c",
)


def resnet(blocks, bias=False):
    """``bias``: ResNet-50's first convolution has one."""
    rows, inputs = [unit("conv1", "", 3, 64, 7, bias)], 64
    for stage, letters in enumerate(blocks, start=2):
        width = 32 * 2 ** (stage - 1)
        for letter in letters.split():
            here = f"{stage}{letter}_branch"
            if letter == "a":
                rows.append(unit("res", f"{here}1", inputs, 4 * width))
            rows.append(unit("res", f"{here}2a", inputs, width))
            rows.append(unit("res", f"{here}2b", width, width, 3))
            rows.append(unit("res", f"{here}2c", width, 4 * width))
            inputs = 4 * width
    return [*chain(*rows), dense("fc1000", inputs, 1000)]


NETS = {
    "alexnet_grouped": alexnet(),
    "alexnet_caffe": alexnet(),
    "caffenet": alexnet(),
    "nin": nin(),
    "vgg16": vgg((2, 2, 3, 3, 3)),
    "vgg19": vgg((2, 2, 4, 4, 4)),
    "googlenet": googlenet(),
    "googlenet_aux": googlenet(),
    **{f"squeezenet1_0{form}": squeezenet(96, 7) for form in ("", "_caffe")},
    **{f"squeezenet1_1{form}": squeezenet(64, 3) for form in ("", "_caffe")},
    "resnet50_v1": resnet(RES50, bias=True),
    "resnet101_v1": resnet(RES101),
    "resnet152_v1": resnet(RES152),
}
