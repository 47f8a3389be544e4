"""Torch checkpoints without torch: the zip files of torch 1.6 and later, and what came before.

Both hold a pickle in which each tensor names a storage, an offset, a shape and strides; the numbers lie elsewhere in
the file. The pickle is read as data (pickles.py), and storages only for the tensors that are wanted: the state of an
optimizer costs nothing.
"""

import io
import math
import mmap
import struct
import zipfile
import zlib
from dataclasses import dataclass

import numpy as np

from . import GROWTH, SLACK, Allowance, WeightsError, filled, sensible, widen
from .pickles import INERT, Machine, Name, PickleError

KINDS = {  # what torch calls its storages -> numpy's type, little-endian
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
PREFIXES = ("module.", "_orig_mod.")  # what DataParallel and torch.compile put before every name
RANKS = 32  # dimensions of an array; numpy has a limit as well


@dataclass(frozen=True)
class Tensor:
    """Where the numbers of one tensor are: which storage of what kind, and which part of it."""

    kind: str
    key: str
    numel: int  # elements of the storage, as the tensor believes
    view: int  # elements before its view of the storage (legacy files)
    offset: int
    shape: tuple = ()
    strides: tuple = (1,)


def storage(identity):
    """A persistent id ("storage", type, key, device, elements[, view]) as the whole storage's Tensor."""
    if not isinstance(identity, tuple) or len(identity) not in (5, 6) or identity[0] != "storage":
        raise PickleError("a persistent id that is no storage")
    _, kind, key, _, numel, *view = identity
    at = view[0][1] if view and view[0] is not None else 0
    if not isinstance(kind, Name) or kind[1] not in KINDS:
        raise PickleError(f"a storage of type {str(kind)[:60]}; known are {', '.join(KINDS)}")
    for number in (numel, at):
        if type(number) is not int or number < 0:
            raise PickleError("a storage whose size is no number")
    if not isinstance(key, str | int):
        raise PickleError("a storage without a key")
    return Tensor(kind[1], str(key), numel, at, 0)


def tensor(whole, offset, shape, strides, *_):
    """torch._utils._rebuild_tensor and its second version, as data."""
    if not isinstance(whole, Tensor) or not isinstance(shape, tuple) or not isinstance(strides, tuple):
        raise PickleError("a tensor without storage or shape")
    if any(type(number) is not int or number < 0 for number in (offset, *shape, *strides)):
        raise PickleError("a tensor whose offset, shape or strides are no numbers from 0")
    if len(shape) != len(strides) or len(shape) > RANKS:
        raise PickleError(f"a tensor of {len(shape)} dimensions with {len(strides)} strides")
    return Tensor(whole.kind, whole.key, whole.numel, whole.view, offset, shape, strides)


def table(items=()):
    """An OrderedDict, which Python 2 pickled with its items."""
    if not isinstance(items, list) or not items:
        return {}
    taken = {key: value for key, value in items if isinstance(key, str)}
    items.clear()  # a pickle may not have the same list copied twice
    return taken


def inert(*_):
    return INERT


CALLS = {
    Name(("torch._utils", "_rebuild_tensor")): tensor,
    Name(("torch._utils", "_rebuild_tensor_v2")): tensor,
    Name(("torch._utils", "_rebuild_parameter")): lambda data, *_: data,
    Name(("torch._utils", "_rebuild_parameter_with_state")): lambda data, *_: data,
    Name(("collections", "OrderedDict")): table,
    Name(("torch", "Size")): lambda size: size,
    **{Name(("torch", kind)): inert for kind in KINDS},
    **{Name(("torch.storage", kind)): inert for kind in KINDS},
    **{  # allowed beside the weights, and dropped
        Name(name): inert
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
    """{name: array} of a checkpoint that torch 1.6 or later wrote."""
    with path.open("rb") as file:
        storages = ZipStorages(path, file)
        return arrays(path, unpickle(path, storages.pickle), storages, part)


def read_legacy(path, part=None):
    """{name: array} of a checkpoint from before torch 1.6: four small pickles, a list of keys, the storages."""
    with path.open("rb") as file:
        storages = LegacyStorages(path, file)
        _magic, protocol, _system = (unpickle(path, storages.stream) for _ in range(3))
        if protocol != 1001:
            expected = "have version 1001 of torch's old format"
            raise WeightsError(path, expected, str(protocol)[:40] if isinstance(protocol, int) else "something else")
        kinds = {}

        def load(identity):
            whole = storage(identity)
            kinds[whole.key] = np.dtype(KINDS[whole.kind]).itemsize
            return whole

        content = unpickle(path, storages.stream, load)
        storages.place(unpickle(path, storages.stream), kinds)
        return arrays(path, content, storages, part)


def unpickle(path, stream, load=storage):
    try:
        return Machine(CALLS, load).run(stream)
    except PickleError as error:
        raise WeightsError(path, "hold tensors, numbers and text only, undamaged", str(error)) from None


def arrays(path, content, storages, part):
    """{name: array} of what was unpickled, with the wrapping gone."""
    found = unwrap(path, content, part)
    if not found:
        raise WeightsError(path, "hold a mapping of names to tensors", f"a {type(content).__name__} without any")
    for prefix in PREFIXES:
        if all(name.startswith(prefix) for name in found):
            found = {name.removeprefix(prefix): value for name, value in found.items()}
    allowance = Allowance(path, storages.size)
    return {name: array(path, name, value, storages, allowance) for name, value in found.items()}


def unwrap(path, content, part):
    """{name: Tensor} of the network in a checkpoint: the checkpoint itself, or the mapping that it wraps."""
    if not isinstance(content, dict):
        return {}
    inner = {key: named(value) for key, value in content.items() if isinstance(key, str)}
    inner = {key: value for key, value in inner.items() if value}
    if part is not None:
        if part not in inner:
            raise WeightsError(path, f"have the part {part!r}", f"the parts {', '.join(map(repr, inner)) or 'none'}")
        return inner[part]
    inner = {key: inner[key] for key in WRAPPERS if key in inner} or inner
    if len(inner) > 1:
        raise WeightsError(path, "hold one network, or be read with `part`", f"the parts {', '.join(inner)}"[:300])
    return next(iter(inner.values()), None) or named(content)


def named(value):
    """Those entries of a mapping that are named tensors."""
    if not isinstance(value, dict):
        return {}
    return {key: entry for key, entry in value.items() if isinstance(key, str) and isinstance(entry, Tensor)}


def array(path, name, tensor, storages, allowance):
    """The numbers of a tensor: a view of its storage where it is all of it, a copy otherwise."""
    kind = np.dtype(KINDS[tensor.kind])
    count = math.prod(tensor.shape)
    extent = 1 + sum((side - 1) * stride for side, stride in zip(tensor.shape, tensor.strides, strict=True))
    first = tensor.view + tensor.offset
    if count == 0:
        sensible(path, name, tensor.shape)
        return np.zeros(tensor.shape, "bool" if tensor.kind == "BoolStorage" else kind.newbyteorder("="))
    allowance.spend(count * kind.itemsize, f"{name[:80]!r} of {' x '.join(map(str, tensor.shape))} numbers")
    if first + extent > tensor.numel:
        expected = f"hold {first + extent:,} numbers in storage {tensor.key[:40]!r} for {name[:80]!r}"
        raise WeightsError(path, expected, f"{tensor.numel:,}")
    flat = storages.get(tensor.key, kind, tensor.numel)[first : first + extent]
    steps = tuple(
        stride * kind.itemsize if side > 1 else 0 for side, stride in zip(tensor.shape, tensor.strides, strict=True)
    )
    found = np.lib.stride_tricks.as_strided(flat, tensor.shape, steps)
    whole = extent == tensor.numel and found.flags.c_contiguous
    if tensor.kind == "BFloat16Storage":
        return widen(found)
    if tensor.kind == "BoolStorage":
        return np.asarray(found != 0)
    # as_strided refers to its base in a roundabout way; a reshape says the same plainly
    return flat.reshape(tensor.shape) if whole else found.copy()


class Archive:
    """The records of a zip file, unpacked to at most what its size allows."""

    root = ""  # the folder in the archive that all records are in, with its slash

    def __init__(self, path, file):
        self.path, self.file = path, file
        self.size = file.seek(0, io.SEEK_END)
        try:
            self.archive = zipfile.ZipFile(file)
            self.entries = {entry.filename: entry for entry in self.archive.infolist()}
        except (zipfile.BadZipFile, NotImplementedError, ValueError, struct.error, OverflowError) as error:
            raise WeightsError(path, "be a whole zip file", f"{error} (cut off or damaged?)") from None
        declared = sum(entry.file_size for entry in self.entries.values())
        if declared > GROWTH * self.size + SLACK:
            expected = f"unpack to at most {GROWTH} times its {self.size:,} bytes"
            raise WeightsError(path, expected, f"{declared:,} bytes declared")

    def bytes(self, name):
        return self.record(name).tobytes()

    def record(self, name):
        """The bytes of a record, as an array, after its checksum."""
        entry = self.entries.get(self.root + name)
        if entry is None:
            raise WeightsError(self.path, f"hold the record {name[:80]!r}", "no such record (cut off or damaged?)")
        if entry.compress_type != zipfile.ZIP_STORED or entry.flag_bits & 1:
            return self.unpacked(entry)
        self.file.seek(entry.header_offset)
        header = self.file.read(30)
        if len(header) < 30 or not header.startswith(b"PK\x03\x04"):
            raise WeightsError(self.path, f"have the record {name[:80]!r} where it says", "other bytes (damaged?)")
        start = entry.header_offset + 30 + sum(struct.unpack("<HH", header[26:30]))
        if entry.file_size != entry.compress_size or start + entry.file_size > self.size:
            expected = f"have room for the {entry.file_size:,} bytes of record {name[:80]!r}"
            raise WeightsError(self.path, expected, f"a file of {self.size:,} bytes (cut off or damaged?)")
        found = filled(self.path, self.file, start, entry.file_size)
        if entry.CRC and zlib.crc32(found) != entry.CRC:  # torch writes 0 where it was told to leave checksums out
            expected = f"match the checksum of its record {name[:80]!r}"
            raise WeightsError(self.path, expected, "other bytes: it is damaged")
        return found

    def unpacked(self, entry):
        """A compressed record (torch writes none, people do), up to the size that it declares."""
        if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise WeightsError(self.path, "hold records stored or deflated", f"compression {entry.compress_type}")
        try:
            with self.archive.open(entry) as record:
                found = record.read(entry.file_size)
        except (zipfile.BadZipFile, NotImplementedError, RuntimeError, zlib.error, EOFError, ValueError) as error:
            raise WeightsError(self.path, "have readable records", str(error)[:200]) from None
        if len(found) != entry.file_size:
            raise WeightsError(self.path, f"unpack a record to {entry.file_size:,} bytes", f"{len(found):,}")
        return np.frombuffer(bytearray(found), np.uint8)


class Storages:
    """The storages of a checkpoint, each read once by ``load``."""

    order = "<"  # of their bytes

    def get(self, key, kind, count):
        """At least ``count`` numbers of a storage, in this machine's byte order."""
        if key not in self.read:
            self.read[key] = self.load(key)
        raw = self.read[key]
        there = raw.size // kind.itemsize
        if count > there:
            raise WeightsError(self.path, f"hold {count:,} numbers in storage {key[:40]!r}", f"{there:,}")
        found = raw[: there * kind.itemsize].view(kind.newbyteorder(self.order))
        return found if found.dtype.isnative else found.astype(found.dtype.newbyteorder("="))


class ZipStorages(Storages, Archive):
    """The records of a zip checkpoint: name/data.pkl, name/byteorder and name/data/0, 1, 2 ..."""

    def __init__(self, path, file):
        super().__init__(path, file)
        self.root = self.find_root()
        order = self.bytes("byteorder").strip() if f"{self.root}byteorder" in self.entries else b"little"
        if order not in (b"little", b"big"):
            raise WeightsError(path, "say little or big in its byteorder record", repr(order[:20]))
        self.order = "<" if order == b"little" else ">"
        self.pickle = io.BytesIO(self.bytes("data.pkl"))
        self.read = {}

    def find_root(self):
        """The folder that data.pkl is in."""
        found = [name.removesuffix("data.pkl") for name in self.entries if name.endswith("/data.pkl")]
        if "data.pkl" in self.entries:
            found.append("")
        if len(found) == 1:
            return found[0]
        expected = "hold one record data.pkl, as torch checkpoints do"
        raise WeightsError(self.path, expected, f"a zip file with {len(found)}")

    def load(self, key):
        return self.record(f"data/{key}")


class LegacyStorages(Storages):
    """The storages at the end of an old checkpoint: for each key the number of elements, then the elements."""

    def __init__(self, path, file):
        self.path, self.file = path, file
        self.size = file.seek(0, io.SEEK_END)
        # a map reads no more than there is, whatever length a pickle declares, and only the pages that are looked at
        self.stream = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        self.places, self.read = {}, {}

    def place(self, keys, kinds):
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
                raise WeightsError(self.path, expected, f"{left:,} that are left (cut off or damaged?)")
            self.places[key] = at, nbytes
            at += nbytes
        self.stream.close()
        if at != self.size:
            raise WeightsError(self.path, f"end after its last storage, at byte {at:,}", f"{self.size:,} bytes")

    def load(self, key):
        return filled(self.path, self.file, *self.places[key])
