"""Keras HDF5 weights: the old layout (layer_names, weight_names), Keras 3's `.weights.h5`, and its `.keras`.

Only what lies in the file itself is read: links into other files, external storage and virtual datasets are refused.
"""

import math
import mmap
import tempfile
import zlib
from pathlib import Path

import h5py
import numpy as np

from . import Allowance, WeightsError, widen
from .torch import Archive

FAILURES = (OSError, RuntimeError, KeyError, ValueError, TypeError, AttributeError, OverflowError, zlib.error)
FILTERS = {h5py.h5z.FILTER_DEFLATE, h5py.h5z.FILTER_SHUFFLE, h5py.h5z.FILTER_FLETCHER32}
MEMBER = "model.weights.h5"
HEAP = b"GCOL\x01\0\0\0"
DEPTH = 64  # groups inside groups


def read_hdf5(path):
    """{"layer/weight": array} of a Keras file, layers and weights in its order; Keras 3 numbers a layer's weights.

    Layers inside a layer stand after it: "head/dense/kernel". A weight's ":0" goes.
    """
    try:
        check_heaps(path)
        with h5py.File(path, "r") as file:
            content = Content(path, file)
            found = content.old() if content.top is not None else content.new()
    except WeightsError:
        raise
    except FAILURES as error:
        raise WeightsError(path, "be a whole HDF5 file", f"{str(error)[:200]} (cut off or damaged?)") from None
    if not found:
        raise WeightsError(path, "hold the weights of a Keras model", "an HDF5 file without any")
    return found


def read_keras(path):
    """The same of the `.weights.h5` inside a `.keras` file; the model's description is left alone."""
    with path.open("rb") as file:
        raw = Archive(path, file).bytes(MEMBER)
    with tempfile.TemporaryDirectory(prefix="kerascnn-") as folder:
        inner = Path(folder, MEMBER)  # the check of its heaps maps a file
        inner.write_bytes(raw)
        try:
            return read_hdf5(inner)
        except WeightsError as error:
            raise WeightsError(path, f"hold a whole {MEMBER}", str(error).replace(str(inner), MEMBER)) from None


def check_heaps(path):
    """Refuse heaps of text with an object of no length: the HDF5 library would walk in place forever."""
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
                    raise WeightsError(path, "hold whole text", f"a damaged heap at byte {place:,}")
                place += step
            at = data.find(HEAP, at + 1)


class Content:
    """An open file, with what its arrays may cost."""

    def __init__(self, path, file):
        self.path, self.file = path, file
        self.size = path.stat().st_size
        self.allowance = Allowance(path, self.size)
        places = [file]
        if file.id.links.exists(b"model_weights"):
            places.append(self.child(file, "model_weights"))
        self.top = next((place for place in places if {"layer_names", "layer_names0"} & set(place.attrs)), None)

    def old(self):
        found = {}
        for layer in self.names(self.top, "layer_names"):
            group = self.child(self.top, layer)
            for weight in self.names(group, "weight_names"):
                name = f"{layer}/" + f"/{weight}".split(f"/{layer}/", 1)[-1].lstrip("/").removesuffix(":0")
                name = f"{layer}/{weight}" if name in found else name
                self.add(found, name, self.child(group, weight))
        return found

    def new(self):
        """Groups named vars hold arrays 0, 1, 2 ... and, as an attribute, the name that the user gave the layer."""
        found, seen = {}, set()

        def visit(group, names, places):
            key = h5py.h5o.get_info(group.id).addr
            if key in seen or len(places) > DEPTH:
                return
            seen.add(key)
            if group.id.links.exists(b"vars"):
                values = self.child(group, "vars")
                own = str(values.attrs["name"]) if "name" in values.attrs else "".join(places[-1:])
                names = (*names, own) if places else names
                for index in sorted(values, key=lambda index: (len(index), index)):
                    name = "/".join((*names, index))
                    name = "/".join((*places, index)) if name in found else name
                    self.add(found, name, self.child(values, index))
            for step in group:
                if step != "vars" and (places or step != "optimizer"):
                    inside = self.child(group, step)
                    if isinstance(inside, h5py.Group):
                        visit(inside, names, (*places, step))

        visit(self.file, (), ())
        return found

    def child(self, group, name):
        """What lies at ``name`` (a/b/c) in a group, by links within the file."""
        for step in name.strip("/").split("/"):
            there = isinstance(group, h5py.Group) and group.id.links.exists(step.encode())
            if not there or group.id.links.get_info(step.encode()).type != h5py.h5l.TYPE_HARD:
                came = "a link to elsewhere, which is not followed" if there else "nothing"
                raise WeightsError(self.path, f"hold {name[:120]!r}", came)
            group = group[step]
        return group

    def names(self, group, attribute):
        """A list of names; Keras splits long ones over attribute0, attribute1 ..."""
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

    def add(self, found, name, dataset):
        """Read a dataset, unless it lies elsewhere or is larger than the file can hold."""
        if name in found:
            raise WeightsError(self.path, "name each weight once", f"{name[:120]!r} again")
        if not isinstance(dataset, h5py.Dataset) or dataset.shape is None:
            raise WeightsError(self.path, f"hold an array at {name[:120]!r}", type(dataset).__name__)
        if dataset.external or dataset.is_virtual:
            raise WeightsError(self.path, f"hold {name[:120]!r} itself", "an array that lies in another file")
        if dataset.dtype.kind not in "fiub" and dataset.dtype != "V2":
            raise WeightsError(self.path, f"hold numbers at {name[:120]!r}", f"the type {str(dataset.dtype)[:80]}")
        nbytes = math.prod(dataset.shape) * dataset.dtype.itemsize
        self.allowance.spend(nbytes, f"{name[:120]!r} of {' x '.join(map(str, dataset.shape))} numbers")
        if dataset.chunks is not None:
            self.check_chunks(name, dataset)
        elif nbytes > dataset.id.get_storage_size():
            received = f"{dataset.id.get_storage_size():,} (damaged?)"
            raise WeightsError(self.path, f"hold {nbytes:,} bytes for {name[:120]!r}", received)
        values = np.asarray(dataset[()])
        found[name] = widen(values) if dataset.dtype == "V2" else values

    def check_chunks(self, name, dataset):
        """HDF5 unpacks a chunk to whatever it holds; so unpack it here before, up to what it should hold."""
        packed = math.prod(dataset.chunks) * dataset.dtype.itemsize
        self.allowance.spend(packed, f"chunks of {name[:120]!r}")
        plan = dataset.id.get_create_plist()
        filters = [plan.get_filter(index)[0] for index in range(plan.get_nfilters())]
        if not FILTERS.issuperset(filters) or filters.count(h5py.h5z.FILTER_DEFLATE) > 1:
            expected = f"have {name[:120]!r} plain or once compressed with gzip"
            raise WeightsError(self.path, expected, f"filters {filters}")
        if h5py.h5z.FILTER_DEFLATE not in filters:
            return
        deflate = 1 << filters.index(h5py.h5z.FILTER_DEFLATE)
        for index in range(dataset.id.get_num_chunks()):
            info = dataset.id.get_chunk_info(index)
            if info.size > self.size:
                raise WeightsError(self.path, f"hold the chunks of {name[:120]!r}", f"one of {info.size:,} bytes")
            skipped, raw = dataset.id.read_direct_chunk(info.chunk_offset)
            limit = packed + 4  # a checksum
            if not skipped & deflate and len(zlib.decompressobj().decompress(raw, limit + 1)) > limit:
                raise WeightsError(self.path, f"have chunks of {packed:,} bytes in {name[:120]!r}", "a longer one")
