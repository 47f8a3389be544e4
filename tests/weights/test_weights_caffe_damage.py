"""Caffe's files that lie or are damaged: a clear error, bounded; and no other file is taken for one of them."""

import numpy as np
import pytest
from caffe_files import blob, layer, net, shape, single, text, varint, whole
from damage import mutations, outcome

from kerascnn.weights import WeightsError
from kerascnn.weights.formats import caffe

ONES = np.ones(6, "f4")
NUMBERS = text(5, ONES.tobytes())
NAME = text(1, "A net") + layer("data", kind="Data")


def small(rng):
    rows = {"conv1": [(4, 3, 5, 5), (4,)], "fire2/squeeze1x1": [(2, 4, 1, 1)], "fc8": [(3, 2), (3,)]}
    return {name: [rng.normal(size=sides).astype("f4") for sides in each] for name, each in rows.items()}


@pytest.mark.parametrize(
    "options", [{"form": "v1", "legacy": True}, {}, {"packed": False}], ids=["v1", "now", "unpacked"]
)
def test_damaged_files(options, tmp_path, rng):
    layers = small(rng)
    expected = {f"{name}/{i}": array for name, arrays in layers.items() for i, array in enumerate(arrays)}
    whole, refused, right = net(layers, **options), 0, 0
    for changed in mutations(whole, rng, 60):
        found = outcome(tmp_path / "net", changed)
        refused += isinstance(found, WeightsError)
        if not isinstance(found, WeightsError):  # no checksums here: changed numbers are numbers, changed names names
            right += all(name in expected and array.size == expected[name].size for name, array in found.items())
    assert refused > 20
    assert right > (60 - refused) / 2


def test_truncated_file(tmp_path, rng):
    content = net(small(rng))
    for share in (0.3, 0.6, 0.9):
        found = outcome(tmp_path / "net", content[: int(share * len(content))])
        assert "should be a complete caffemodel file. Received: a field" in str(found)
        assert "truncated or damaged?" in str(found)


BLOBS = {
    "fewer numbers than its shape": (shape((7,)) + NUMBERS, "as many values in 'fc/0' as its shape .7,. requires"),
    "more numbers than its shape": (shape((5,)) + NUMBERS, "6 values"),
    "no numbers": (shape((5,)), "0 values"),
    "no shape": (NUMBERS, "as its shape .. requires"),
    "an absurd shape": (shape((2**40, 2**40)) + NUMBERS, "arrays of a plausible shape"),
    "no elements, too many rows": (shape((0, 2**62)), "arrays of a plausible shape"),
    "negative sides": (b"".join(whole(i, -1) for i in (1, 2, 3, 4)) + NUMBERS, "arrays of a plausible shape"),
    "a thousand axes": (shape((1,) * 1000) + text(5, b"\0\0\0\0"), "at most 32 axes"),
    "a thousand axes, one by one": (shape((1,) * 1000, packed=False) + text(5, b"\0\0\0\0"), "at most 32 axes"),
    "two pieces": (shape((12,)) + NUMBERS + NUMBERS, "in one piece"),
    "a row in two pieces": (single(5, 1.0) + shape((2,)) + single(5, 1.0), "in one piece"),
    "half a number": (shape((1,)) + text(5, b"\0\0\0"), "a truncated number in 'fc/0'"),
    "numbers of another width": (shape((1,)) + varint(5 << 3 | 1) + bytes(8), "a truncated number"),
    "a side without an end": (text(7, text(1, b"\xff\xff")) + NUMBERS, "a truncated number"),
    "a side of eleven bytes": (text(7, text(1, b"\xff" * 11 + b"\0")) + NUMBERS, "a truncated number"),
    "a row that is cut off": (shape((2,)) + single(5, 1.0) + b"\x2d\0\0", "a field 5 of"),
    "numbers behind the end": (
        shape((2**28,)) + varint(5 << 3 | 2) + varint(2**30),
        "a field 5 of 1,073,741,824 bytes",
    ),
    "an exabyte": (varint(5 << 3 | 2) + varint(2**60), "a field 5 of 1,152,921,504,606,846,976 bytes"),
    "a group": (varint(9 << 3 | 3), "a field with unknown wire type 3"),
    "number zero": (varint(2) + varint(1) + b"a", "a field 0"),
    "deep nesting": (b"\x3a\xff\xff\x7f" * 1000, "truncated or damaged"),
}


@pytest.mark.parametrize("form", ["v0", "v1", "current"])
@pytest.mark.parametrize(("content", "message"), BLOBS.values(), ids=BLOBS)
def test_inconsistent_blobs(content, message, form, tmp_path):
    found = outcome(tmp_path / "net", NAME + layer("fc", [content], form=form))
    assert isinstance(found, WeightsError)
    with pytest.raises(WeightsError, match=message):
        raise found


LAYERS = {
    "no name": (layer("", [blob(ONES)]), "an unnamed layer with 1 blobs"),
    "a name that is no text": (layer(b"\xff\xfe", [blob(ONES)]), "a layer name that is not valid text"),
    "an endless name": (layer("a" * 100_000, [blob(ONES)]), "at most 500 characters. Received: 100,000"),
    "the same layer twice": (2 * layer("fc", [blob(ONES)]), "contain each layer once. Received: layer 'fc' twice"),
    "nothing": (layer("relu"), "contain the weights of a Caffe network"),
    "a million blobs": (layer("fc", [b""] * 300_000), "at most [0-9,]+ bytes"),
    "a million fields": (text(100, whole(10, 1) * 250_000), "at most 200,000 fields"),
}


@pytest.mark.parametrize(("content", "message"), LAYERS.values(), ids=LAYERS)
def test_inconsistent_layers(content, message, tmp_path):
    with pytest.raises(WeightsError, match=message):
        raise outcome(tmp_path / "net", NAME + content)


def test_unknown_fields_are_skipped(tmp_path):
    strange = text(50_000, b"x" * 1000) + single(9, 1.0) * 3 + single(11, 2.0, "d") + whole(12, 2**63)
    about = text(1, "A net") + layer("data") + strange
    for packed in (True, False):
        row = text(
            100, strange + text(1, "fc") + strange + text(7, single(12, 1.0) + blob(ONES, packed) + text(13, b""))
        )
        assert outcome(tmp_path / "net", about + row)["fc/0"].tolist() == [1] * 6


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\n",
        b"caffe",
        b"\n\x03abc",
        b"\n<!DOCTYPE html><title>404</title>" + b"<p>text</p>" * 20,
        b"\n\x03a\x00c" + layer("data"),
        b"\n\x05A net\xa2\x06\xff\x7f\x0a\x01a",
        b"\x12\x04\x55aaa",
        b"name: 'AlexNet'\nlayer { name: 'conv1' }",
        b"\n" * 100,
        bytes(range(256)),
        bytes(100),
        b"\xff" * 100,
    ],
)
def test_other_files_are_not_taken_for_caffe(content):
    assert not caffe.is_caffemodel_start(content, len(content))


def test_random_bytes_are_not_taken_for_caffe(rng):
    taken = sum(caffe.is_caffemodel_start(start, 10_000) for start in (rng.bytes(64) for _ in range(20_000)))
    assert taken < 20
