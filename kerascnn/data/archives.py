"""Images inside a zip archive, read without unpacking it."""

import threading
import zipfile
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from ..inputs.decode import ImageError

LARGEST = 2**29  # bytes of one file in an archive; a zip bomb unpacks to more


@dataclass(frozen=True)
class Member:
    """One file of a zip archive; like an open file it has a name, and ``read`` gives its bytes."""

    archive: Path
    inside: str

    @property
    def name(self):
        return f"{self.archive}/{self.inside}"

    def read(self):
        archive = handle(self.archive)
        info = archive.NameToInfo.get(self.inside)
        if info is None:
            raise ImageError(self.name, "nothing there", kind="missing")
        if info.flag_bits & 1:
            raise ImageError(self.name, "a file encrypted with a password", kind="encrypted")
        if info.file_size > LARGEST:
            raise ImageError(self.name, f"a file that unpacks to {info.file_size:,} bytes", kind="too large")
        try:
            with archive.open(info) as file:
                return file.read()  # no more than was declared, checked by its sum
        except (zipfile.BadZipFile, NotImplementedError, OSError, EOFError) as error:
            raise ImageError(self.name, f"a file that its archive cannot give: {error}") from None
        except Exception as error:  # zlib.error and those of other compressions have no common parent
            raise ImageError(self.name, f"damaged within its archive: {error}") from None

    def __str__(self):
        return self.name


LOCK = threading.Lock()


def handle(path):
    """The archive, open; a few stay open, and threads may share one."""
    with LOCK:
        return opened(path)


@lru_cache(8)
def opened(path):
    return zipfile.ZipFile(path)


def members(path):
    """The names of the files in an archive, and whether each stays inside the folder it would be unpacked to."""
    opened.cache_clear()  # the file may have been replaced since
    for info in handle(path).infolist():
        if not info.is_dir():
            yield info.filename, inside(info.filename)


def inside(name):
    """Whether a name in an archive leads nowhere else: no root, no drive, no step up."""
    parts = name.replace("\\", "/").split("/")
    return not name.startswith(("/", "\\")) and ".." not in parts and ":" not in parts[0]
