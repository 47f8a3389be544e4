"""Read PyTorch checkpoints without PyTorch: the zip files of PyTorch 1.6 and later, and the legacy format.

Both contain a pickle in which each tensor names a storage, an offset, a shape and strides; the values are elsewhere in
the file. The pickle is read as data (pickles.py). Only the storages of the network are read, not those of an optimizer.
"""

import io
import math
import mmap
import struct
import zipfile
import zlib
from dataclasses import dataclass

import numpy as np

from . import GROWTH, SLACK, MemoryAllowance, WeightsError, check_array_shape, read_bytes, widen_bfloat16
from .pickles import DROPPED, GlobalName, PickleError, PickleMachine

KINDS = {  # PyTorch's storage class -> numpy's type, little-endian
    "DoubleStorage": "<f8",
    "FloatStorage": "<f4",
    "HalfStorage": "<f2",
    "BFloat16Storage": "<u2",
    "LongStorage": "<i8",
    "IntStorage": "<i4",
    "ShortStorage": "<i2",
    "CharStorage": "|i1",
    "ByteStorage": "|u1",
    "BoolStorage": "|u1",
}
WRAPPERS = ("state_dict", "model", "state_dict_ema", "model_state_dict", "model_state", "model_ema", "net")
PREFIXES = ("module.", "_orig_mod.")  # added to every name by DataParallel and torch.compile
MAX_DIMENSIONS = 32  # of an array; numpy has a limit too


@dataclass(frozen=True)
class TensorView:
    """Where the values of a tensor are: its storage, and the part of it."""

    kind: str
    key: str
    numel: int  # elements of the storage, according to the tensor
    view: int  # elements before its view of the storage (legacy files)
    offset: int
    shape: tuple = ()
    strides: tuple = (1,)


def parse_storage(identity):
    """A persistent id ("storage", type, key, device, elements[, view]) as the whole storage's Tensor."""
    if not isinstance(identity, tuple) or len(identity) not in (5, 6) or identity[0] != "storage":
        raise PickleError("a persistent id that does not describe a storage")
    _, kind, key, _, numel, *view = identity
    at = view[0][1] if view and view[0] is not None else 0
    if not isinstance(kind, GlobalName) or kind[1] not in KINDS:
        raise PickleError(f"a storage of unsupported type {str(kind)[:60]}; supported: {', '.join(KINDS)}")
    for number in (numel, at):
        if type(number) is not int or number < 0:
            raise PickleError("a storage whose size is not an integer")
    if not isinstance(key, str | int):
        raise PickleError("a storage without a key")
    return TensorView(kind[1], str(key), numel, at, 0)


def parse_tensor(whole, offset, shape, strides, *_):
    """torch._utils._rebuild_tensor and _rebuild_tensor_v2 as data."""
    if not isinstance(whole, TensorView) or not isinstance(shape, tuple) or not isinstance(strides, tuple):
        raise PickleError("a tensor without storage or shape")
    if any(type(number) is not int or number < 0 for number in (offset, *shape, *strides)):
        raise PickleError("a tensor whose offset, shape or strides are not non-negative integers")
    if len(shape) != len(strides) or len(shape) > MAX_DIMENSIONS:
        raise PickleError(f"a tensor of {len(shape)} dimensions with {len(strides)} strides")
    return TensorView(whole.kind, whole.key, whole.numel, whole.view, offset, shape, strides)


def parse_ordered_dict(items=()):
    """An OrderedDict as a dict; Python 2 pickled it with its items."""
    if not isinstance(items, list) or not items:
        return {}
    taken = {key: value for key, value in items if isinstance(key, str)}
    items.clear()  # so that a pickle cannot have the same list copied twice
    return taken


def drop_object(*_):
    return DROPPED


CALLS = {
    GlobalName(("torch._utils", "_rebuild_tensor")): parse_tensor,
    GlobalName(("torch._utils", "_rebuild_tensor_v2")): parse_tensor,
    GlobalName(("torch._utils", "_rebuild_parameter")): lambda data, *_: data,
    GlobalName(("torch._utils", "_rebuild_parameter_with_state")): lambda data, *_: data,
    GlobalName(("collections", "OrderedDict")): parse_ordered_dict,
    GlobalName(("torch", "Size")): lambda size: size,
    **{GlobalName(("torch", kind)): drop_object for kind in KINDS},
    **{GlobalName(("torch.storage", kind)): drop_object for kind in KINDS},
    **{  # allowed next to the weights, and dropped
        GlobalName(name): drop_object
        for name in (
            ("torch", "device"),
            *(("torch", kind) for kind in ("float64", "float32", "float16", "bfloat16", "int64", "int32", "uint8")),
            *((module, "scalar") for module in ("numpy.core.multiarray", "numpy._core.multiarray")),
            *((module, "set") for module in ("builtins", "__builtin__")),
            ("numpy", "dtype"),
            ("_codecs", "encode"),
            ("argparse", "Namespace"),
        )
    },
}


def read_zip(path, part=None):
    """{name: array} of a checkpoint of PyTorch 1.6 or later."""
    with path.open("rb") as file:
        storages = ZipStorages(path, file)
        return checkpoint_arrays(path, unpickle(path, storages.pickle), storages, part)


def read_legacy(path, part=None):
    """{name: array} of an older checkpoint: four small pickles, a list of keys, the storages."""
    with path.open("rb") as file:
        storages = LegacyStorages(path, file)
        _magic, protocol, _system = (unpickle(path, storages.stream) for _ in range(3))
        if protocol != 1001:
            expected = "have version 1001 of PyTorch's legacy format"
            raise WeightsError(path, expected, str(protocol)[:40] if isinstance(protocol, int) else "another version")
        kinds = {}

        def load(identity):
            whole = parse_storage(identity)
            kinds[whole.key] = np.dtype(KINDS[whole.kind]).itemsize
            return whole

        content = unpickle(path, storages.stream, load)
        storages.locate(unpickle(path, storages.stream), kinds)
        return checkpoint_arrays(path, content, storages, part)


def unpickle(path, stream, load=parse_storage):
    try:
        return PickleMachine(CALLS, load).run(stream)
    except PickleError as error:
        raise WeightsError(path, "contain only tensors, numbers and text", str(error)) from None


def checkpoint_arrays(path, content, storages, part):
    """{name: array} of an unpickled checkpoint."""
    found = find_state_dict(path, content, part)
    if not found:
        raise WeightsError(path, "contain a dictionary of tensors", f"a {type(content).__name__} without tensors")
    for prefix in PREFIXES:
        if all(name.startswith(prefix) for name in found):
            found = {name.removeprefix(prefix): value for name, value in found.items()}
    allowance = MemoryAllowance(path, storages.size)
    return {name: tensor_array(path, name, value, storages, allowance) for name, value in found.items()}


def find_state_dict(path, content, part):
    """{name: TensorView} of the network in a checkpoint: the checkpoint itself, or a dictionary in it."""
    if not isinstance(content, dict):
        return {}
    inner = {key: select_tensors(value) for key, value in content.items() if isinstance(key, str)}
    inner = {key: value for key, value in inner.items() if value}
    if part is not None:
        if part not in inner:
            raise WeightsError(path, f"contain the part {part!r}", f"the parts {', '.join(map(repr, inner)) or 'none'}")
        return inner[part]
    inner = {key: inner[key] for key in WRAPPERS if key in inner} or inner
    if len(inner) > 1:
        expected = "contain a single network, or be read with `part`"
        raise WeightsError(path, expected, f"the parts {', '.join(inner)}"[:300])
    return next(iter(inner.values()), None) or select_tensors(content)


def select_tensors(value):
    """The entries of a dictionary that are tensors."""
    if not isinstance(value, dict):
        return {}
    return {key: entry for key, entry in value.items() if isinstance(key, str) and isinstance(entry, TensorView)}


def tensor_array(path, name, tensor, storages, allowance):
    """The values of a tensor: a view if it is the whole storage, else a copy."""
    kind = np.dtype(KINDS[tensor.kind])
    count = math.prod(tensor.shape)
    extent = 1 + sum((side - 1) * stride for side, stride in zip(tensor.shape, tensor.strides, strict=True))
    first = tensor.view + tensor.offset
    if count == 0:
        check_array_shape(path, name, tensor.shape)
        return np.zeros(tensor.shape, "bool" if tensor.kind == "BoolStorage" else kind.newbyteorder("="))
    allowance.spend(count * kind.itemsize, f"{name[:80]!r} of {' x '.join(map(str, tensor.shape))} numbers")
    if first + extent > tensor.numel:
        expected = f"contain {first + extent:,} values in storage {tensor.key[:40]!r} for {name[:80]!r}"
        raise WeightsError(path, expected, f"{tensor.numel:,}")
    flat = storages.get(tensor.key, kind, tensor.numel)[first : first + extent]
    steps = tuple(
        stride * kind.itemsize if side > 1 else 0 for side, stride in zip(tensor.shape, tensor.strides, strict=True)
    )
    found = np.lib.stride_tricks.as_strided(flat, tensor.shape, steps)
    whole = extent == tensor.numel and found.flags.c_contiguous
    if tensor.kind == "BFloat16Storage":
        return widen_bfloat16(found)
    if tensor.kind == "BoolStorage":
        return np.asarray(found != 0)
    # a reshape refers to its base directly, as_strided does not
    return flat.reshape(tensor.shape) if whole else found.copy()


class ZipArchive:
    """The records of a zip file, with a limit on their decompressed size."""

    root = ""  # the folder in the archive that all records are in, with its slash

    def __init__(self, path, file):
        self.path, self.file = path, file
        self.size = file.seek(0, io.SEEK_END)
        try:
            self.archive = zipfile.ZipFile(file)
            self.entries = {entry.filename: entry for entry in self.archive.infolist()}
        except (zipfile.BadZipFile, NotImplementedError, ValueError, struct.error, OverflowError) as error:
            raise WeightsError(path, "be a complete zip file", f"{error} (truncated or damaged?)") from None
        declared = sum(entry.file_size for entry in self.entries.values())
        if declared > GROWTH * self.size + SLACK:
            expected = f"decompress to at most {GROWTH} times its {self.size:,} bytes"
            raise WeightsError(path, expected, f"a declared size of {declared:,} bytes")

    def record_bytes(self, name):
        return self.read_record(name).tobytes()

    def read_record(self, name):
        """The bytes of a record as an array, after a check of its checksum."""
        entry = self.entries.get(self.root + name)
        if entry is None:
            raise WeightsError(self.path, f"contain the record {name[:80]!r}", "no such record (truncated or damaged?)")
        if entry.compress_type != zipfile.ZIP_STORED or entry.flag_bits & 1:
            return self.decompress(entry)
        self.file.seek(entry.header_offset)
        header = self.file.read(30)
        if len(header) < 30 or not header.startswith(b"PK\x03\x04"):
            expected = f"have the record {name[:80]!r} at its stated offset"
            raise WeightsError(self.path, expected, "other bytes (damaged?)")
        start = entry.header_offset + 30 + sum(struct.unpack("<HH", header[26:30]))
        if entry.file_size != entry.compress_size or start + entry.file_size > self.size:
            expected = f"be long enough for the {entry.file_size:,} bytes of record {name[:80]!r}"
            raise WeightsError(self.path, expected, f"a file of {self.size:,} bytes (truncated or damaged?)")
        found = read_bytes(self.path, self.file, start, entry.file_size)
        if entry.CRC and zlib.crc32(found) != entry.CRC:  # PyTorch writes 0 if checksums are turned off
            expected = f"match the checksum of its record {name[:80]!r}"
            raise WeightsError(self.path, expected, "different data: the file is damaged")
        return found

    def decompress(self, entry):
        """A compressed record, up to its declared size; PyTorch writes none, but zip tools do."""
        if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            expected = "contain only stored or deflated records"
            raise WeightsError(self.path, expected, f"compression {entry.compress_type}")
        try:
            with self.archive.open(entry) as record:
                found = record.read(entry.file_size)
        except (zipfile.BadZipFile, NotImplementedError, RuntimeError, zlib.error, EOFError, ValueError) as error:
            raise WeightsError(self.path, "have readable records", str(error)[:200]) from None
        if len(found) != entry.file_size:
            raise WeightsError(self.path, f"decompress a record to {entry.file_size:,} bytes", f"{len(found):,}")
        return np.frombuffer(bytearray(found), np.uint8)


class Storages:
    """The storages of a checkpoint; ``load`` reads each once."""

    order = "<"  # of their bytes

    def get(self, key, kind, count):
        """At least ``count`` values of a storage in native byte order."""
        if key not in self.read:
            self.read[key] = self.load(key)
        raw = self.read[key]
        there = raw.size // kind.itemsize
        if count > there:
            raise WeightsError(self.path, f"contain {count:,} values in storage {key[:40]!r}", f"{there:,}")
        found = raw[: there * kind.itemsize].view(kind.newbyteorder(self.order))
        return found if found.dtype.isnative else found.astype(found.dtype.newbyteorder("="))


class ZipStorages(Storages, ZipArchive):
    """The records of a zip checkpoint: name/data.pkl, name/byteorder and name/data/0, 1, 2 ..."""

    def __init__(self, path, file):
        super().__init__(path, file)
        self.root = self.find_root()
        order = self.record_bytes("byteorder").strip() if f"{self.root}byteorder" in self.entries else b"little"
        if order not in (b"little", b"big"):
            raise WeightsError(path, "have 'little' or 'big' as its byteorder record", repr(order[:20]))
        self.order = "<" if order == b"little" else ">"
        self.pickle = io.BytesIO(self.record_bytes("data.pkl"))
        self.read = {}

    def find_root(self):
        """The folder of data.pkl in the archive."""
        found = [name.removesuffix("data.pkl") for name in self.entries if name.endswith("/data.pkl")]
        if "data.pkl" in self.entries:
            found.append("")
        if len(found) == 1:
            return found[0]
        expected = "contain one record data.pkl, as PyTorch checkpoints do"
        raise WeightsError(self.path, expected, f"a zip file with {len(found)} of them")

    def load(self, key):
        return self.read_record(f"data/{key}")


class LegacyStorages(Storages):
    """The storages at the end of an old checkpoint: for each key the number of elements, then the elements."""

    def __init__(self, path, file):
        self.path, self.file = path, file
        self.size = file.seek(0, io.SEEK_END)
        # a memory map never reads beyond the file, whatever length a pickle declares
        self.stream = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        self.places, self.read = {}, {}

    def locate(self, keys, kinds):
        """Find the storages, which lie in the order of ``keys``; ``kinds`` has the bytes per element of each."""
        listed = isinstance(keys, list) and all(isinstance(key, str | int) for key in keys)
        if not listed or {str(key) for key in keys} != set(kinds):
            raise WeightsError(self.path, "list the storages that its tensors use", "a list of others (damaged?)")
        at = self.stream.tell()
        for key in map(str, keys):
            head = self.stream[at : at + 8]
            nbytes = int.from_bytes(head, "little", signed=True) * kinds[key]
            at += 8
            if len(head) < 8 or nbytes < 0 or at + nbytes > self.size:
                left = max(0, self.size - at)
                expected = f"have {nbytes:,} bytes for storage {key[:40]!r}"
                raise WeightsError(self.path, expected, f"only {left:,} bytes left (truncated or damaged?)")
            self.places[key] = at, nbytes
            at += nbytes
        self.stream.close()
        if at != self.size:
            raise WeightsError(self.path, f"end after its last storage, at byte {at:,}", f"{self.size:,} bytes")

    def load(self, key):
        return read_bytes(self.path, self.file, *self.places[key])
