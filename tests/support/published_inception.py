"""Keys and shapes of GoogLeNet, Inception-v3 and Inception-ResNet-v2."""

from published_layers import branches, conv, dense, unit

# 1x1, 3x3 reduced, 3x3, 5x5 reduced, 5x5 (3x3 in torchvision), pool projection
GOOGLENET = {
    "3a": (64, 96, 128, 16, 32, 32),
    "3b": (128, 128, 192, 32, 96, 64),
    "4a": (192, 96, 208, 16, 48, 64),
    "4b": (160, 112, 224, 24, 64, 64),
    "4c": (128, 128, 256, 24, 64, 64),
    "4d": (112, 144, 288, 32, 64, 64),
    "4e": (256, 160, 320, 32, 128, 128),
    "5a": (256, 160, 320, 32, 128, 128),
    "5b": (384, 192, 384, 48, 128, 128),
}


def googlenet():
    yield from unit("conv1", 3, 64, 7)
    yield from unit("conv2", 64, 64)
    yield from unit("conv3", 64, 192, 3)
    channels = {}
    inputs = 192
    for block, (one, reduce3, three, reduce5, five, pool) in GOOGLENET.items():
        table = {
            "branch1": [(one, 1)],
            "branch2": [(reduce3, 1), (three, 3)],
            "branch3": [(reduce5, 1), (five, 3)],
            "branch4.1": [(pool, 1)],
        }
        yield from branches(f"inception{block}", inputs, table)
        inputs = channels[block] = one + three + five + pool
    for aux, block in (("aux1", "4a"), ("aux2", "4d")):
        yield from unit(f"{aux}.conv", channels[block], 128)
        yield from dense(f"{aux}.fc1", 128 * 4 * 4, 1024)
        yield from dense(f"{aux}.fc2", 1024)
    yield from dense("fc", inputs)


STEM = ((3, 32, 3), (32, 32, 3), (32, 64, 3), (64, 80, 1), (80, 192, 3))


def block_a(pool):
    return {
        "branch1x1": [(64, 1)],
        "branch5x5": [(48, 1), (64, 5)],
        "branch3x3dbl": [(64, 1), (96, 3), (96, 3)],
        "branch_pool": [(pool, 1)],
    }


def block_b(c):
    return {
        "branch1x1": [(192, 1)],
        "branch7x7": [(c, 1), (c, (1, 7)), (192, (7, 1))],
        "branch7x7dbl": [(c, 1), (c, (7, 1)), (c, (1, 7)), (c, (7, 1)), (192, (1, 7))],
        "branch_pool": [(192, 1)],
    }


# The last layer of a chain may be two layers side by side, a and b
BLOCK_C = {
    "branch1x1": [(320, 1)],
    "branch3x3": [(384, 1), (384, ((1, 3), (3, 1)))],
    "branch3x3dbl": [(448, 1), (384, 3), (384, ((1, 3), (3, 1)))],
    "branch_pool": [(192, 1)],
}
REDUCE_6A = {"branch3x3": [(384, 3)], "branch3x3dbl": [(64, 1), (96, 3), (96, 3)]}
REDUCE_7A = {"branch3x3": [(192, 1), (320, 3)], "branch7x7x3": [(192, 1), (192, (1, 7)), (192, (7, 1)), (192, 3)]}
MIXED = {
    "5b": (192, block_a(32)),
    "5c": (256, block_a(64)),
    "5d": (288, block_a(64)),
    "6a": (288, REDUCE_6A),
    "6b": (768, block_b(128)),
    "6c": (768, block_b(160)),
    "6d": (768, block_b(160)),
    "6e": (768, block_b(192)),
    "7a": (768, REDUCE_7A),
    "7b": (1280, BLOCK_C),
    "7c": (2048, BLOCK_C),
}


def inception_v3(aux):
    for name, row in zip(("1a_3x3", "2a_3x3", "2b_3x3", "3b_1x1", "4a_3x3"), STEM, strict=True):
        yield from unit(f"Conv2d_{name}", *row)
    for block, (inputs, table) in MIXED.items():
        if block == "7a" and aux:
            yield from unit("AuxLogits.conv0", 768, 128)
            yield from unit("AuxLogits.conv1", 128, 768, 5)
            yield from dense("AuxLogits.fc", 768)
        for branch, chain in table.items():
            channels = inputs
            for i, (filters, size) in enumerate(chain, 1):
                name = f"Mixed_{block}.{branch}" + (f"_{i}" if len(chain) > 1 else "")
                if size == ((1, 3), (3, 1)):
                    yield from unit(f"{name}a", channels, filters, size[0])
                    yield from unit(f"{name}b", channels, filters, size[1])
                else:
                    yield from unit(name, channels, filters, size)
                channels = filters
    yield from dense("fc", 2048)


MIXED_5B = {
    "branch0": [(96, 1)],
    "branch1": [(48, 1), (64, 5)],
    "branch2": [(64, 1), (96, 3), (96, 3)],
    "branch3.1": [(64, 1)],
}
MIXED_6A = {"branch0": [(384, 3)], "branch1": [(256, 1), (256, 3), (384, 3)]}
MIXED_7A = {"branch0": [(256, 1), (384, 3)], "branch1": [(256, 1), (288, 3)], "branch2": [(256, 1), (288, 3), (320, 3)]}
BLOCK35 = {"branch0": [(32, 1)], "branch1": [(32, 1), (32, 3)], "branch2": [(32, 1), (48, 3), (64, 3)]}
BLOCK17 = {"branch0": [(192, 1)], "branch1": [(128, 1), (160, (1, 7)), (192, (7, 1))]}
BLOCK8 = {"branch0": [(192, 1)], "branch1": [(192, 1), (224, (1, 3)), (256, (3, 1))]}
REPEATS = (
    ("mixed_5b", 192, MIXED_5B, 0, 0),
    ("repeat", 320, BLOCK35, 10, 128),
    ("mixed_6a", 320, MIXED_6A, 0, 0),
    ("repeat_1", 1088, BLOCK17, 20, 384),
    ("mixed_7a", 1088, MIXED_7A, 0, 0),
    ("repeat_2", 2080, BLOCK8, 9, 448),
    ("block8", 2080, BLOCK8, 1, 448),
)  # name, channels, branches, how many blocks, channels before the block's last convolution


def inception_resnet_v2():
    for name, row in zip(("1a", "2a", "2b", "3b", "4a"), STEM, strict=True):
        yield from unit(f"conv2d_{name}", *row)
    for name, inputs, table, count, joined in REPEATS:
        for i in range(max(count, 1)):
            block = f"{name}.{i}" if count > 1 else name
            yield from branches(block, inputs, table)
            if joined:
                yield from conv(f"{block}.conv2d", joined, inputs, bias=True)
    yield from unit("conv2d_7b", 2080, 1536)
    yield from dense("classif", 1536)
