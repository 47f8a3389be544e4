"""Writes torch checkpoints of both formats from numpy arrays, after torch's documented layout, without torch."""

import io
import pickle
import struct
import zipfile
from collections import OrderedDict

import numpy as np

STORAGES = {
    "f8": "DoubleStorage",
    "f4": "FloatStorage",
    "f2": "HalfStorage",
    "u2": "BFloat16Storage",
    "i8": "LongStorage",
    "i4": "IntStorage",
    "i2": "ShortStorage",
    "i1": "CharStorage",
    "u1": "ByteStorage",
    "b1": "BoolStorage",
}
MAGIC, PROTOCOL = 0x1950A86A20F9469CFC6C, 1001


class Global:
    """A name that the pickle mentions; nothing of that name need exist here."""

    def __init__(self, module, name):
        self.module, self.name = module, name


class Call:
    """A REDUCE: what the pickle asks to call, and with what."""

    def __init__(self, module, name, *arguments):
        self.target, self.arguments = Global(module, name), arguments


class Storage:
    """One block of numbers, as any number of tensors share it."""

    def __init__(self, values, numel=None):
        self.values = np.asarray(values).ravel()
        self.numel = self.values.size if numel is None else numel


def tensor(values, shape=None, strides=None, offset=0, numel=None):
    """A tensor of an array or of a Storage; shape and strides in elements."""
    storage = values if isinstance(values, Storage) else Storage(values, numel)
    shape = np.shape(values) if shape is None else shape
    if strides is None:
        strides = tuple(int(np.prod(shape[axis + 1 :])) for axis in range(len(shape)))
    hooks = Call("collections", "OrderedDict")
    return Call("torch._utils", "_rebuild_tensor_v2", storage, offset, tuple(shape), tuple(strides), False, hooks)


def parameter(values):
    return Call("torch._utils", "_rebuild_parameter", tensor(values), True, Call("collections", "OrderedDict"))


class Pickler(pickle._Pickler):
    """The standard library's, with names that need not exist and storages by persistent id."""

    def __init__(self, file, storages, legacy):
        super().__init__(file, protocol=2)
        self.storages, self.legacy = storages, legacy

    def persistent_id(self, value):
        if not isinstance(value, Storage):
            return None
        if value not in self.storages:
            self.storages.append(value)
        kind = Global("torch", STORAGES[value.values.dtype.str[1:]])
        view = (None,) if self.legacy else ()
        return ("storage", kind, str(self.storages.index(value)), "cpu", value.numel, *view)

    def save(self, value, save_persistent_id=True):
        if isinstance(value, Global):
            self.write(b"c" + f"{value.module}\n{value.name}\n".encode())
        elif isinstance(value, Call):
            self.save(value.target)
            self.save(value.arguments)
            self.write(pickle.REDUCE)
        else:
            super().save(value, save_persistent_id)


def pickled(content, storages, legacy=False):
    file = io.BytesIO()
    Pickler(file, storages, legacy).dump(content)
    return file.getvalue()


def zip_bytes(content, *, compress=False, order="little", extra=(), root="archive"):
    """A checkpoint as torch 1.6 and later write it; ``extra`` records go beside."""
    storages, file = [], io.BytesIO()
    data = pickled(content, storages)
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED if compress else zipfile.ZIP_STORED) as archive:
        archive.writestr(f"{root}/data.pkl", data)
        archive.writestr(f"{root}/byteorder", order)
        for key, storage in enumerate(storages):
            wanted = storage.values.dtype.newbyteorder("<" if order == "little" else ">")
            archive.writestr(f"{root}/data/{key}", storage.values.astype(wanted).tobytes())
        for name, value in extra:
            archive.writestr(name, value)
    return file.getvalue()


def legacy_bytes(content):
    """A checkpoint as torch before 1.6 wrote it."""
    storages = []
    data = pickled(content, storages, legacy=True)
    keys = [str(key) for key in range(len(storages))]
    system = {"protocol_version": PROTOCOL, "little_endian": True, "type_sizes": {"short": 2, "int": 4, "long": 4}}
    heads = [pickle.dumps(value, 2) for value in (MAGIC, PROTOCOL, system)]
    blocks = [struct.pack("<q", storage.values.size) + storage.values.tobytes() for storage in storages]
    return b"".join([*heads, data, pickle.dumps(keys, 2), *blocks])


def small_net(rng):
    """(content, expected): a state_dict of each kind of tensor, and the arrays that it means."""
    base = Storage(np.arange(24, dtype="f4"))
    values = {
        "conv.weight": rng.normal(size=(4, 3, 3, 3)).astype("f4"),
        "double": rng.normal(size=(2, 3)),
        "half": rng.normal(size=5).astype("f2"),
        "long": np.array(7),
        "int": np.array([-1, 2], "i4"),
        "short": np.array([-1, 2], "i2"),
        "char": np.array([-1, 2], "i1"),
        "byte": np.array([1, 255], "u1"),
        "bool": np.array([True, False, True]),
        "empty": np.zeros((0, 3), "f4"),
    }
    content = OrderedDict((name, tensor(value)) for name, value in values.items())
    content["parameter"] = parameter(np.eye(2, dtype="f4"))
    content["bfloat"] = tensor(np.array([0x3FC0, 0xC000, 0x7F80], "u2"))
    content["transposed"] = tensor(base, (4, 6), (1, 4))
    content["every_other"] = tensor(base, (6,), (2,), offset=4)
    content["expanded"] = tensor(base, (3, 2), (0, 1), offset=3)
    expected = values | {
        "parameter": np.eye(2, dtype="f4"),
        "bfloat": np.array([1.5, -2, np.inf], "f4"),
        "transposed": np.arange(24, dtype="f4").reshape(6, 4).T,
        "every_other": np.arange(4, 16, 2, dtype="f4"),
        "expanded": np.array([[3, 4]] * 3, "f4"),
    }
    return content, expected


def same(found, expected):
    """Names, types, shapes and numbers agree."""
    assert list(found) == list(expected)
    for name, array in expected.items():
        assert isinstance(found[name], np.ndarray)
        assert (found[name].dtype, found[name].shape) == (array.dtype, array.shape), name
        np.testing.assert_array_equal(found[name], array, err_msg=name)
