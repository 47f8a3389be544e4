"""Torch checkpoints without torch: the zip files of torch 1.6 and later, and what came before.

Both hold a pickle in which each tensor names a storage, an offset, a shape and strides; the numbers lie elsewhere in
the file. The pickle is read as data (pickled.py), and storages only for the tensors that are wanted: the state of an
optimizer costs nothing.
"""

import math
from dataclasses import dataclass

import numpy as np

from .limits import Allowance, WeightsError
from .pickled import INERT, Machine, Name, PickleError
from .storages import LegacyStorages, ZipStorages
from .tensors import sensible, widen

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
            raise WeightsError(
                path,
                "have version 1001 of torch's old format",
                str(protocol)[:40] if isinstance(protocol, int) else "something else",
            )
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
        raise WeightsError(
            path,
            f"hold {first + extent:,} numbers in storage {tensor.key[:40]!r} for {name[:80]!r}",
            f"{tensor.numel:,}",
        )
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
