"""The numbers of a torch checkpoint: where each storage lies in the file, checked before a byte of it is read."""

import io
import mmap
import struct
import zipfile
import zlib

import numpy as np

from .limits import GROWTH, SLACK, WeightsError, filled


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
            raise WeightsError(
                path, f"unpack to at most {GROWTH} times its {self.size:,} bytes", f"{declared:,} bytes declared"
            )

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
            raise WeightsError(
                self.path,
                f"have room for the {entry.file_size:,} bytes of record {name[:80]!r}",
                f"a file of {self.size:,} bytes (cut off or damaged?)",
            )
        found = filled(self.path, self.file, start, entry.file_size)
        if entry.CRC and zlib.crc32(found) != entry.CRC:  # torch writes 0 where it was told to leave checksums out
            raise WeightsError(
                self.path, f"match the checksum of its record {name[:80]!r}", "other bytes: it is damaged"
            )
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


class ZipStorages(Archive):
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
        raise WeightsError(
            self.path, "hold one record data.pkl, as torch checkpoints do", f"a zip file with {len(found)}"
        )

    def get(self, key, kind, count):
        """At least ``count`` numbers of a storage, in this machine's byte order."""
        if key not in self.read:
            self.read[key] = self.record(f"data/{key}")
        raw = self.read[key]
        enough(self.path, key, raw.size, kind, count)
        found = raw[: raw.size // kind.itemsize * kind.itemsize].view(kind.newbyteorder(self.order))
        return found if found.dtype.isnative else found.astype(found.dtype.newbyteorder("="))


class LegacyStorages:
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
                raise WeightsError(
                    self.path,
                    f"have {nbytes:,} bytes for storage {key[:40]!r}",
                    f"{max(0, self.size - at):,} that are left (cut off or damaged?)",
                )
            self.places[key] = at, nbytes
            at += nbytes
        self.stream.close()
        if at != self.size:
            raise WeightsError(self.path, f"end after its last storage, at byte {at:,}", f"{self.size:,} bytes")

    def get(self, key, kind, count):
        """At least ``count`` numbers of a storage."""
        if key not in self.read:
            self.read[key] = filled(self.path, self.file, *self.places[key])
        raw = self.read[key]
        enough(self.path, key, raw.size, kind, count)
        found = raw[: raw.size // kind.itemsize * kind.itemsize].view(kind)
        return found if found.dtype.isnative else found.astype(found.dtype.newbyteorder("="))


def enough(path, key, nbytes, kind, count):
    if count * kind.itemsize > nbytes:
        raise WeightsError(path, f"hold {count:,} numbers in storage {key[:40]!r}", f"{nbytes // kind.itemsize:,}")
