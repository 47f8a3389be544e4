"""Read Keras weights in HDF5: the old layout (layer_names, weight_names), `.weights.h5` and `.keras`.

Links into other files, external storage and virtual datasets are refused.
"""

import math
import mmap
import tempfile
import zlib
from pathlib import Path

import h5py
import numpy as np

from . import MemoryAllowance, WeightsError, widen_bfloat16
from .torch import ZipArchive

FAILURES = (OSError, RuntimeError, KeyError, ValueError, TypeError, AttributeError, OverflowError, zlib.error)
FILTERS = {h5py.h5z.FILTER_DEFLATE, h5py.h5z.FILTER_SHUFFLE, h5py.h5z.FILTER_FLETCHER32}
MEMBER = "model.weights.h5"
HEAP = b"GCOL\x01\0\0\0"
DEPTH = 64  # of nested groups


def read_hdf5(path):
    """{"layer/weight": array} of a Keras file, in its order; Keras 3 numbers the weights of a layer.

    A nested layer follows its parent: "head/dense/kernel". The ":0" of a weight's name is removed.
    """
    try:
        check_heaps(path)
        with h5py.File(path, "r") as file:
            content = HDF5Content(path, file)
            found = content.read_layer_names_layout() if content.top is not None else content.read_keras3_layout()
    except WeightsError:
        raise
    except FAILURES as error:
        raise WeightsError(path, "be a complete HDF5 file", f"{str(error)[:200]} (truncated or damaged?)") from None
    if not found:
        raise WeightsError(path, "hold the weights of a Keras model", "an HDF5 file without Keras weights")
    return found


def read_keras(path):
    """The arrays of the `.weights.h5` inside a `.keras` file; the model's configuration is not read."""
    with path.open("rb") as file:
        raw = ZipArchive(path, file).record_bytes(MEMBER)
    with tempfile.TemporaryDirectory(prefix="kerascnn-") as folder:
        inner = Path(folder, MEMBER)  # check_heaps needs a file
        inner.write_bytes(raw)
        try:
            return read_hdf5(inner)
        except WeightsError as error:
            raise WeightsError(path, f"contain a complete {MEMBER}", str(error).replace(str(inner), MEMBER)) from None


def check_heaps(path):
    """Refuse text heaps with an object of length 0, on which the HDF5 library loops forever."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        at = data.find(HEAP)
        while at >= 0:
            end = min(at + int.from_bytes(data[at + 8 : at + 16], "little"), len(data))
            place = at + 16
            while place + 16 <= end:
                number = int.from_bytes(data[place : place + 2], "little")
                length = int.from_bytes(data[place + 8 : place + 16], "little")
                step = 16 + (length + 7) // 8 * 8 if number else length
                if step < 16 or place + step > end:
                    raise WeightsError(path, "contain valid text", f"a damaged heap at byte {place:,}")
                place += step
            at = data.find(HEAP, at + 1)


class HDF5Content:
    """An open file, with a limit on its arrays."""

    def __init__(self, path, file):
        self.path, self.file = path, file
        self.size = path.stat().st_size
        self.allowance = MemoryAllowance(path, self.size)
        places = [file]
        if file.id.links.exists(b"model_weights"):
            places.append(self.open_child(file, "model_weights"))
        self.top = next((place for place in places if {"layer_names", "layer_names0"} & set(place.attrs)), None)

    def read_layer_names_layout(self):
        found = {}
        for layer in self.read_names(self.top, "layer_names"):
            group = self.open_child(self.top, layer)
            for weight in self.read_names(group, "weight_names"):
                name = f"{layer}/" + f"/{weight}".split(f"/{layer}/", 1)[-1].lstrip("/").removesuffix(":0")
                name = f"{layer}/{weight}" if name in found else name
                self.add_array(found, name, self.open_child(group, weight))
        return found

    def read_keras3_layout(self):
        """Groups named "vars" contain arrays 0, 1, 2 ... and the layer's name as an attribute."""
        found, seen = {}, set()

        def visit(group, names, places):
            key = h5py.h5o.get_info(group.id).addr
            if key in seen or len(places) > DEPTH:
                return
            seen.add(key)
            if group.id.links.exists(b"vars"):
                values = self.open_child(group, "vars")
                own = str(values.attrs["name"]) if "name" in values.attrs else "".join(places[-1:])
                names = (*names, own) if places else names
                for index in sorted(values, key=lambda index: (len(index), index)):
                    name = "/".join((*names, index))
                    name = "/".join((*places, index)) if name in found else name
                    self.add_array(found, name, self.open_child(values, index))
            for step in group:
                if step != "vars" and (places or step != "optimizer"):
                    inside = self.open_child(group, step)
                    if isinstance(inside, h5py.Group):
                        visit(inside, names, (*places, step))

        visit(self.file, (), ())
        return found

    def open_child(self, group, name):
        """The object at ``name`` (a/b/c) in a group; only links within the file are followed."""
        for step in name.strip("/").split("/"):
            there = isinstance(group, h5py.Group) and group.id.links.exists(step.encode())
            if not there or group.id.links.get_info(step.encode()).type != h5py.h5l.TYPE_HARD:
                came = "a link to another file, which is not followed for safety" if there else "nothing"
                raise WeightsError(self.path, f"contain {name[:120]!r}", came)
            group = group[step]
        return group

    def read_names(self, group, attribute):
        """A list of names; Keras splits long lists into attribute0, attribute1 ..."""
        parts = [attribute] if attribute in group.attrs else []
        while f"{attribute}{len(parts)}" in group.attrs and parts != [attribute]:
            parts.append(f"{attribute}{len(parts)}")
        found = []
        for part in parts:
            stored = group.attrs.get_id(part)
            count = math.prod(stored.shape or (0,))
            if count * max(stored.dtype.itemsize, 1) > self.size:
                raise WeightsError(self.path, f"hold a list of names in {part}", f"{count:,} of them")
            values = np.atleast_1d(group.attrs[part]).ravel().tolist() if count else []
            found += [value.decode() if isinstance(value, bytes) else str(value) for value in values]
        return found

    def add_array(self, found, name, dataset):
        """Read a dataset, unless it is in another file or larger than the file allows."""
        if name in found:
            raise WeightsError(self.path, "name each weight once", f"{name[:120]!r} twice")
        if not isinstance(dataset, h5py.Dataset) or dataset.shape is None:
            raise WeightsError(self.path, f"hold an array at {name[:120]!r}", type(dataset).__name__)
        if dataset.external or dataset.is_virtual:
            raise WeightsError(self.path, f"store {name[:120]!r} in the file itself", "an array stored in another file")
        if dataset.dtype.kind not in "fiub" and dataset.dtype != "V2":
            raise WeightsError(self.path, f"contain numbers at {name[:120]!r}", f"data type {str(dataset.dtype)[:80]}")
        nbytes = math.prod(dataset.shape) * dataset.dtype.itemsize
        self.allowance.spend(nbytes, f"{name[:120]!r} of {' x '.join(map(str, dataset.shape))} numbers")
        if dataset.chunks is not None:
            self.check_chunks(name, dataset)
        elif nbytes > dataset.id.get_storage_size():
            received = f"{dataset.id.get_storage_size():,} (damaged?)"
            raise WeightsError(self.path, f"contain {nbytes:,} bytes for {name[:120]!r}", received)
        values = np.asarray(dataset[()])
        found[name] = widen_bfloat16(values) if dataset.dtype == "V2" else values

    def check_chunks(self, name, dataset):
        """Check that no chunk decompresses to more than its declared size, since HDF5 does not."""
        packed = math.prod(dataset.chunks) * dataset.dtype.itemsize
        self.allowance.spend(packed, f"chunks of {name[:120]!r}")
        plan = dataset.id.get_create_plist()
        filters = [plan.get_filter(index)[0] for index in range(plan.get_nfilters())]
        if not FILTERS.issuperset(filters) or filters.count(h5py.h5z.FILTER_DEFLATE) > 1:
            expected = f"store {name[:120]!r} uncompressed or compressed once with gzip"
            raise WeightsError(self.path, expected, f"filters {filters}")
        if h5py.h5z.FILTER_DEFLATE not in filters:
            return
        deflate = 1 << filters.index(h5py.h5z.FILTER_DEFLATE)
        for index in range(dataset.id.get_num_chunks()):
            info = dataset.id.get_chunk_info(index)
            if info.size > self.size:
                raise WeightsError(
                    self.path, f"contain all chunks of {name[:120]!r}", f"a chunk of {info.size:,} bytes"
                )
            skipped, raw = dataset.id.read_direct_chunk(info.chunk_offset)
            limit = packed + 4  # a checksum
            if not skipped & deflate and len(zlib.decompressobj().decompress(raw, limit + 1)) > limit:
                raise WeightsError(self.path, f"have chunks of {packed:,} bytes in {name[:120]!r}", "a longer chunk")
