"""Read safetensors files: the safetensors library checks the header, the values are read here."""

import json
import math

import numpy as np
from safetensors import SafetensorError, safe_open

from . import WeightsError, check_array_shape, read_bytes, widen_bfloat16

KINDS = {
    "F64": "<f8",
    "F32": "<f4",
    "F16": "<f2",
    "BF16": "<u2",
    "I64": "<i8",
    "I32": "<i4",
    "I16": "<i2",
    "I8": "|i1",
    "U64": "<u8",
    "U32": "<u4",
    "U16": "<u2",
    "U8": "|u1",
    "BOOL": "|u1",
}


def read_safetensors(path):
    """{name: array} of a safetensors file."""
    try:
        # the library checks the layout of the file; its numpy arrays cannot be bfloat16
        with safe_open(str(path), framework="np") as file:
            found = {name: file.get_slice(name) for name in file.offset_keys()}
            found = {name: (piece.get_dtype(), tuple(piece.get_shape())) for name, piece in found.items()}
    except (SafetensorError, UnicodeDecodeError) as error:
        raise WeightsError(
            path, "be a complete safetensors file", f"{str(error)[:300]} (truncated or damaged?)"
        ) from None
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(length))
        return {
            name: read_tensor(path, file, name, kind, shape, 8 + length + header[name]["data_offsets"][0])
            for name, (kind, shape) in found.items()
        }


def read_metadata(path):
    """The metadata {str: str} of a safetensors file; {} for other files."""
    try:
        with safe_open(str(path), framework="np") as file:
            return file.metadata() or {}
    except (SafetensorError, OSError, UnicodeDecodeError):
        return {}


def read_tensor(path, file, name, kind, shape, start):
    if kind not in KINDS:
        raise WeightsError(path, f"contain numbers of the types {', '.join(KINDS)}", f"{kind} in {name[:80]!r}")
    check_array_shape(path, name, shape)
    stored = np.dtype(KINDS[kind])
    found = read_bytes(path, file, start, math.prod(shape) * stored.itemsize).view(stored).reshape(shape)
    if kind == "BF16":
        return widen_bfloat16(found)
    if kind == "BOOL":
        return np.asarray(found != 0)
    return found.astype(stored.newbyteorder("="), copy=False)
