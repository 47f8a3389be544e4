"""One `read` for all files of weights: which format it is, the first bytes say."""

import os
from pathlib import Path

import numpy as np

from ...support.files import is_web_page
from . import WeightsError, caffe, hdf5, safetensors, torch

LEGACY = b"\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19"  # torch < 1.6, from its third byte on
KERAS = (b"metadata.json", b"config.json", b"model.weights.h5")  # one of these comes first in a .keras file
HDF5 = b"\x89HDF\r\n\x1a\n"
FORMATS = "be a torch checkpoint, a safetensors file, a Keras file (.keras or HDF5) or a caffemodel"


def read(path, *, part=None):
    """The arrays of a file of weights as {name: array}, in the order of the file.

    Torch checkpoints (.pth, .pt, .tar, of any version since 0.2) and safetensors keep their names:
    "features.0.weight". A checkpoint that wraps its weights is unwrapped; where it wraps several networks, ``part``
    says which ("state_dict_ema"). Prefixes of wrapping modules ("module.") go. Keras files (HDF5 in the old layout,
    `.weights.h5`, `.keras`) give "layer/weight", Caffe's .caffemodel files "layer/0"; see ``by_layer``. bfloat16
    becomes float32, all else keeps its type. Arrays that share memory in the file may share it here.
    """
    path = Path(path)
    if not path.is_file():
        raise WeightsError(path, "be a file", "a folder" if path.is_dir() else "nothing there")
    try:
        with path.open("rb") as file:
            start = file.read(4096)
            size = os.fstat(file.fileno()).st_size
    except OSError as error:
        raise WeightsError(path, "be readable", str(error)) from None
    reader = reader_of(start, size)
    if reader is None:
        raise WeightsError(path, FORMATS, described(start, size))
    if part is not None and reader not in (torch.read_zip, torch.read_legacy):
        raise WeightsError(path, f"be a torch checkpoint, which may have the part {part!r}", "another format")
    try:
        return reader(path, part) if part is not None else reader(path)
    except OSError as error:
        raise WeightsError(path, "be readable to its end", str(error)) from None
    except MemoryError:
        raise WeightsError(path, "fit into memory", f"a file of {size:,} bytes that does not") from None


def reader_of(start, size):
    """The reader for a file that begins like this, or None."""
    if start.startswith(b"PK\x03\x04"):
        return hdf5.read_keras if start[30:].startswith(KERAS) else torch.read_zip
    if start[:1] == b"\x80" and start[2:].startswith(LEGACY):
        return torch.read_legacy
    if HDF5 in (start[:8], *(start[at : at + 8] for at in (512, 1024, 2048))):  # a user block may come first
        return hdf5.read_hdf5
    if start[8:9] == b"{" and size >= 8 and int.from_bytes(start[:8], "little") <= size:
        return safetensors.read_safetensors
    if caffe.begins(start, size):  # last: it has no mark of its own
        return caffe.read_caffe
    return None


def described(start, size):
    """What a file is that none of the readers takes."""
    if not size:
        return "an empty file (a download that failed?)"
    if is_web_page(start):
        return "an HTML or XML page, as servers send it instead of a file (a login, an error, a quota)"
    if start.startswith(b"version https://git-lfs"):
        return "a pointer of Git LFS, without the file that it points to"
    if start.startswith(b"\x1f\x8b"):
        return "a gzip file; unpack it first"
    if start[8:9] == b"{" and b"dtype" in start:
        return f"a safetensors file cut off after {size:,} bytes"
    if any(known.startswith(start) for known in (b"\x80\x02" + LEGACY, HDF5, b"PK\x03\x04")):
        return f"the first {size} bytes of a weights file (a download that broke off?)"
    if start.startswith(b"\x80") and start[1:2] in b"\x02\x03\x04\x05":
        return "another pickle, which is not opened: pickles run code"
    if b"ustar" in start[257:263]:
        return "a tar archive (torch before 0.2 wrote those); unpack it, or save it again with a newer torch"
    return f"{size:,} bytes that begin with {start[:16]!r}"


def by_layer(arrays):
    """{layer: [arrays in order]} from names such as "layer/weight" or "layer.weight"."""
    found = {}
    for name, array in arrays.items():
        separator = "/" if "/" in name else "."
        found.setdefault(name.rpartition(separator)[0], []).append(array)
    return found


def nonfinite(arrays):
    """{name: count} of the numbers that are NaN or infinite: such weights load, and ruin whatever they touch."""
    bad = {name: int(np.size(a) - np.isfinite(a).sum()) for name, a in arrays.items() if a.dtype.kind in "fc"}
    return {name: count for name, count in bad.items() if count}
