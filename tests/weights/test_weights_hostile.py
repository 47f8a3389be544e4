"""Files that lie, that are cut off or that would run code: a clear error or the right arrays, and bounded memory."""

import io
import pickle
import struct
import sys
import zipfile

import numpy as np
import pytest
from damage import mutations, outcome
from safetensors.numpy import save
from torch_files import Call, Global, Storage, legacy_bytes, small_net, tensor, zip_bytes

from kerascnn.weights import WeightsError, read_weights

WRITERS = {"zip": zip_bytes, "legacy": legacy_bytes}
written = pytest.mark.parametrize("write", WRITERS.values(), ids=WRITERS)


def legible(found, expected):
    """What a damaged file still gave has the names, types and shapes of the whole one, unless the damage hit those."""
    assert found
    return all(name in expected and array.shape == expected[name].shape for name, array in found.items())


def test_damaged_zip_checkpoints(tmp_path, rng):
    content, expected = small_net(rng)
    whole, refused = zip_bytes(content), 0
    for changed in mutations(whole, rng, 140):
        found = outcome(tmp_path / "net.pth", changed)
        refused += isinstance(found, WeightsError)
        if not isinstance(found, WeightsError):  # every record has a checksum: what is given is right
            assert set(found) == set(expected)
            for name, array in found.items():
                np.testing.assert_array_equal(array, expected[name])
    assert refused > 70


def test_damaged_legacy_checkpoints(tmp_path, rng):
    content, expected = small_net(rng)
    found = [outcome(tmp_path / "net.pth", changed) for changed in mutations(legacy_bytes(content), rng, 140)]
    refused = [entry for entry in found if isinstance(entry, WeightsError)]
    assert len(refused) > 70
    kept = [legible(entry, expected) for entry in found if not isinstance(entry, WeightsError)]
    assert sum(kept) > len(kept) / 2  # no checksums here: a changed letter of a name is a name


@pytest.mark.parametrize(
    ("module", "name", "arguments"),
    [
        ("os", "system", ("echo hacked > hacked",)),
        ("posix", "system", ("echo hacked > hacked",)),
        ("builtins", "exec", ("open('hacked', 'w')",)),
        ("builtins", "eval", ("open('hacked', 'w')",)),
        ("__builtin__", "eval", ("open('hacked', 'w')",)),
        ("builtins", "getattr", (Global("collections", "OrderedDict"), "__subclasses__")),
        ("builtins", "open", ("hacked", "w")),
        ("subprocess", "Popen", (["touch", "hacked"],)),
        ("collections", "OrderedDict.__class__", ()),
        ("torch._utils", "_rebuild_tensor_v2.__globals__", ()),
        ("torch.hub", "load", ("someone/something",)),
        ("torch.nn.modules.conv", "Conv2d", ()),
        ("numpy", "load", ("hacked",)),
        ("importlib", "import_module", ("antigravity",)),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
@written
def test_other_names_are_neither_imported_nor_called(write, module, name, arguments, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    content = {"weight": tensor(np.ones(2)), "extra": Call(module, name, *arguments)}
    found = outcome(tmp_path / "net.pth", write(content))
    assert isinstance(found, WeightsError)
    assert f"refers to {module}.{name}, which was not imported for safety" in str(found)
    assert not (tmp_path / "hacked").exists()
    assert "antigravity" not in sys.modules


def archive(data):
    """A zip checkpoint around a pickle written by hand."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as out:
        out.writestr("archive/data.pkl", data)
    return file.getvalue()


DEEP = b"\x80\x02}(" + b")" + b"\x85" * 300_000 + b"K\x01u."
PICKLES = {
    "memo of four billion": b"\x80\x02}r\xff\xff\xff\xff.",
    "text of four gigabytes": b"\x80\x02X\xff\xff\xff\xffabc.",
    "bytes of an exabyte": b"\x80\x05\x8e" + struct.pack("<Q", 1 << 60) + b"abc.",
    "bytearray of an exabyte": b"\x80\x05\x96" + struct.pack("<Q", 1 << 60) + b"abc.",
    "a deep tuple as a key": DEEP,
    "a deep tuple as a size": b"\x80\x02ctorch\nSize\n" + b")" + b"\x85" * 300_000 + b"R.",
    "attributes of a function": b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n}X\x08\0\0\0__code__K\x01sb.",
    "a class by INST": b"\x80\x02(ios\nsystem\n.",
    "an extension": b"\x80\x02\x82\x01.",
    "an empty stack": b"\x80\x020.",
    "no mark": b"\x80\x02}u.",
    "no end": b"\x80\x02}",
    "two results": b"\x80\x02}}.",
    "a call of text": b"\x80\x02X\x01\0\0\0a)R.",
    "millions of dicts": b"\x80\x02" + b"}" * 3_000_000 + b".",
    "long digits": b"\x80\x02I" + b"9" * 100_000 + b"\n.",
}


@pytest.mark.parametrize("data", PICKLES.values(), ids=PICKLES)
def test_pickles_by_hand(data, tmp_path):
    content = archive(data)
    if data.count(b"}") > 1000:
        (tmp_path / "net.pth").write_bytes(content)
        with pytest.raises(WeightsError, match="more than 2,000,000 steps"):
            read_weights(tmp_path / "net.pth")
    else:
        assert isinstance(outcome(tmp_path / "net.pth", content), WeightsError)


ONES = Storage(np.ones(10, "f4"))
TENSORS = {
    "more numbers than stored": tensor(np.ones(2, "f4"), (1000, 1000)),
    "a storage that claims more": tensor(np.ones(2, "f4"), (1 << 40,), numel=1 << 40),
    "an offset behind the end": tensor(ONES, (5,), offset=6),
    "strides over the end": tensor(ONES, (3, 3), (4, 1)),
    "a negative offset": tensor(ONES, (1,), offset=-1),
    "negative strides": tensor(ONES, (3,), (-1,), offset=5),
    "a negative side": tensor(ONES, (-3,), (1,)),
    "expanded to a terabyte": tensor(ONES, (1 << 38,), (0,)),
    "no elements, too many rows": tensor(ONES, (0, 1 << 62, 1 << 62), (1, 1, 1)),
    "fewer strides than sides": tensor(ONES, (2, 2), (1,)),
    "a thousand dimensions": tensor(ONES, (1,) * 1000, (1,) * 1000),
    "sides that are no numbers": tensor(ONES, ("2",), (1,)),
    "sides of fractions": tensor(ONES, (2.0,), (1,)),
}


@pytest.mark.parametrize("value", TENSORS.values(), ids=TENSORS)
@written
def test_tensors_outside_their_storage(write, value, tmp_path):
    assert isinstance(outcome(tmp_path / "net.pth", write({"weight": value})), WeightsError)


def test_one_storage_a_thousand_times(tmp_path):
    storage = Storage(np.ones(250_000, "f4"))
    content = {str(index): tensor(storage, (124_999, 2), (1, 125_000)) for index in range(1000)}
    assert "4 times the size of the file" in str(outcome(tmp_path / "net.pth", zip_bytes(content)))


def test_stride_of_a_dimension_of_size_one_is_ignored(tmp_path):
    found = outcome(tmp_path / "net.pth", zip_bytes({"weight": tensor(ONES, (1, 10), (1 << 62, 1))}))
    assert found["weight"].shape == (1, 10)


def test_inconsistent_archives(tmp_path):
    bomb = zip_bytes({"weight": tensor(np.zeros(8_000_000, "f4"))}, compress=True)
    assert "decompress to at most 4 times" in str(outcome(tmp_path / "net.pth", bomb))
    two = zip_bytes({"weight": tensor(np.ones(3))}, extra=[("other/data.pkl", b"\x80\x02}.")])
    assert "one record data.pkl" in str(outcome(tmp_path / "net.pth", two))
    escaped = Call("torch._utils", "_rebuild_tensor_v2", Storage(np.ones(3)), 0, (3,), (1,))
    content = zip_bytes({"weight": escaped}, root="../../escaped", extra=[("/etc/evil", b"x")])
    assert outcome(tmp_path / "net.pth", content)["weight"].tolist() == [1, 1, 1]
    assert [path.name for path in tmp_path.iterdir()] == ["net.pth"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "an empty file"),
        (b"\n<!DOCTYPE html><title>404</title>", "an HTML or XML page"),
        (b"PK\x03", "the first 3 bytes of a weights file"),
        (b"PK\x03\x04" + b"\0" * 50, "not a zip file .truncated or damaged"),
        (b"version https://git-lfs.github.com/spec/v1\noid", "a Git LFS pointer"),
        (b"\x1f\x8b\x08\0" * 4, "a gzip file"),
        (pickle.dumps([1, 2], 2), "another pickle"),
        (b"caffe", "5 bytes that begin with b'caffe'"),
        (save({"a": np.ones(1000)})[:300], "a safetensors file truncated|truncated or damaged"),
        (b"\x89HDF\r\n\x1a\n" + b"\0" * 100, "should be a complete HDF5 file"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_files_of_other_formats(content, message, tmp_path):
    (tmp_path / "net.pth").write_bytes(content)
    with pytest.raises(WeightsError, match=message):
        read_weights(tmp_path / "net.pth")


def test_no_file(tmp_path):
    with pytest.raises(WeightsError, match="should be a file. Received: a path that does not exist"):
        read_weights(tmp_path / "none")
    with pytest.raises(WeightsError, match="should be a file. Received: a folder"):
        read_weights(tmp_path)


def test_damaged_safetensors(tmp_path, rng):
    whole = save({name: rng.normal(size=(3, 4)) for name in "abc"})
    found = [outcome(tmp_path / "net", changed) for changed in mutations(whole, rng, 60)]
    assert sum(isinstance(entry, WeightsError) for entry in found) > 20
