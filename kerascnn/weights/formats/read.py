"""Read weights files of all formats; the first bytes of a file tell its format."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from ...support.files import is_web_page
from ...support.types import Array, FilePath
from . import WeightsError, caffe, hdf5, safetensors, torch

LEGACY = b"\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19"  # PyTorch before 1.6, from the third byte on
KERAS = (b"metadata.json", b"config.json", b"model.weights.h5")  # one of these comes first in a .keras file
HDF5 = b"\x89HDF\r\n\x1a\n"
FORMATS = "be a PyTorch checkpoint, a safetensors file, a Keras file (.keras or HDF5) or a caffemodel"


def read_weights(path: FilePath, *, part: str | None = None) -> dict[str, Array]:
    """Read the arrays of a weights file.

    PyTorch checkpoints (.pth, .pt, .tar, of any version since 0.2) and safetensors keep their names
    ("features.0.weight"), without the prefixes of wrapping modules ("module."); a checkpoint in which the weights are
    one entry is unwrapped. Keras files (old HDF5 layout, `.weights.h5`, `.keras`) give "layer/weight", Caffe's
    .caffemodel files "layer/0". bfloat16 becomes float32, other types stay. Arrays that share memory in the file may
    share it here.

    Args:
        path: The file.
        part: Which of several networks in a PyTorch checkpoint, such as "state_dict_ema".

    Returns:
        {name: array} in the order of the file; see `group_by_layer`.
    """
    path = Path(path)
    if not path.is_file():
        raise WeightsError(path, "be a file", "a folder" if path.is_dir() else "a path that does not exist")
    try:
        with path.open("rb") as file:
            start = file.read(4096)
            size = os.fstat(file.fileno()).st_size
    except OSError as error:
        raise WeightsError(path, "be readable", str(error)) from None
    reader = find_reader(start, size)
    if reader is None:
        raise WeightsError(path, FORMATS, describe_unreadable(start, size))
    if part is not None and reader not in (torch.read_zip, torch.read_legacy):
        raise WeightsError(path, f"be a PyTorch checkpoint to be read with `part`={part!r}", "a file of another format")
    try:
        return reader(path, part) if part is not None else reader(path)
    except OSError as error:
        raise WeightsError(path, "be readable to the end", str(error)) from None
    except MemoryError:
        raise WeightsError(path, "fit into memory", f"a file of {size:,} bytes, which is too large") from None


def find_reader(start, size):
    """The reader for a file with these first bytes, or None."""
    if start.startswith(b"PK\x03\x04"):
        return hdf5.read_keras if start[30:].startswith(KERAS) else torch.read_zip
    if start[:1] == b"\x80" and start[2:].startswith(LEGACY):
        return torch.read_legacy
    if HDF5 in (start[:8], *(start[at : at + 8] for at in (512, 1024, 2048))):  # a user block may come first
        return hdf5.read_hdf5
    if start[8:9] == b"{" and size >= 8 and int.from_bytes(start[:8], "little") <= size:
        return safetensors.read_safetensors
    if caffe.is_caffemodel_start(start, size):  # last, since it has no signature
        return caffe.read_caffe
    return None


def describe_unreadable(start, size):
    """What a file is that no reader accepts."""
    if not size:
        return "an empty file (failed download?)"
    if is_web_page(start):
        return "an HTML or XML page instead of a file (a login page, an error message or a quota notice)"
    if start.startswith(b"version https://git-lfs"):
        return "a Git LFS pointer; run `git lfs pull` to get the file itself"
    if start.startswith(b"\x1f\x8b"):
        return "a gzip file; decompress it first"
    if start[8:9] == b"{" and b"dtype" in start:
        return f"a safetensors file truncated after {size:,} bytes"
    if any(known.startswith(start) for known in (b"\x80\x02" + LEGACY, HDF5, b"PK\x03\x04")):
        return f"only the first {size} bytes of a weights file (interrupted download?)"
    if start.startswith(b"\x80") and start[1:2] in b"\x02\x03\x04\x05":
        return "another pickle file, which is not opened for safety: pickles can run code"
    if b"ustar" in start[257:263]:
        return "a tar archive, as written by PyTorch before 0.2; save it again with a newer PyTorch"
    return f"{size:,} bytes that begin with {start[:16]!r}"


def group_by_layer(arrays: dict[str, Array]) -> dict[str, list[Array]]:
    """Group arrays by the layer in their names.

    Args:
        arrays: {name: array} with names such as "layer/weight" or "layer.weight", as from `read_weights`.

    Returns:
        {layer: [arrays in order]}.
    """
    layers: dict[str, list[Array]] = {}
    for name, array in arrays.items():
        separator = "/" if "/" in name else "."
        layers.setdefault(name.rpartition(separator)[0], []).append(array)
    return layers


def count_nonfinite(arrays: dict[str, Array]) -> dict[str, int]:
    """Count the values of each array that are NaN or infinite.

    Args:
        arrays: {name: array}, as from `read_weights`.

    Returns:
        {name: count} of the arrays that have any.
    """
    counts = {name: int(np.size(a) - np.isfinite(a).sum()) for name, a in arrays.items() if a.dtype.kind in "fc"}
    return {name: count for name, count in counts.items() if count}
