"""What a source of images has, before any is opened: `Listing` of a folder, a zip archive or a CSV file."""

import csv
import os
import threading
import zipfile
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..inputs.batch import DataError
from ..inputs.decode import ImageError
from ..support.files import escape_surrogates

PARTS = {"train": "train", "training": "train", "valid": "valid", "val": "valid", "validation": "valid", "test": "test"}
JUNK_FOLDERS = {"__MACOSX", "@eaDir", "lost+found"}
JUNK_FILES = {"thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r"}
LARGEST = 2**29  # bytes of one file in an archive; a zip bomb unpacks to more
RAW = ("3fr", "arw", "cr2", "cr3", "dng", "erf", "nef", "nrw", "orf", "pef", "raf", "raw", "rw2", "srw", "x3f")
UNREADABLE = {*RAW, "heic", "heif", "svg", "svgz", "psd", "eps", "ai", "pdf", "jxl", "exr", "xcf"}
SUFFIXES = {  # of images that can be read, and what may be in such a file
    **dict.fromkeys(("jpg", "jpeg", "jpe", "jfif"), ("JPEG", "MPO")),
    **dict.fromkeys(("tif", "tiff"), ("TIFF",)),
    **dict.fromkeys(("ppm", "pgm", "pbm", "pnm"), ("PPM",)),
    **dict.fromkeys(("jp2", "j2k", "jpf", "jpx"), ("JPEG2000",)),
    **{name: (name.upper(),) for name in ("png", "gif", "bmp", "webp", "avif")},
    "apng": ("PNG",),
    "mpo": ("JPEG", "MPO"),
}
COLUMNS = ("file", "label", "split", "group")


@dataclass(frozen=True)
class Member:
    """One file of a zip archive; like an open file it has a name, and ``read`` gives its bytes."""

    archive: Path
    inside: str

    @property
    def name(self):
        return f"{self.archive}/{self.inside}"

    def read(self):
        archive = open_archive(self.archive)
        info = archive.NameToInfo.get(self.inside)
        if info is None:
            raise ImageError(self.name, "no such file", kind="missing")
        if info.flag_bits & 1:
            raise ImageError(self.name, "an encrypted file", kind="encrypted")
        if info.file_size > LARGEST:
            raise ImageError(self.name, f"a file of {info.file_size:,} bytes when decompressed", kind="too large")
        try:
            with archive.open(info) as file:
                return file.read()  # no more than was declared, checked by its sum
        except (zipfile.BadZipFile, NotImplementedError, OSError, EOFError) as error:
            raise ImageError(self.name, f"a file that cannot be read from its archive: {error}") from None
        except Exception as error:  # zlib.error and those of other compressions have no common parent
            raise ImageError(self.name, f"a damaged archive member: {error}") from None

    def __str__(self):
        return self.name


class Entry(NamedTuple):
    """One file that has a class; ``part`` is "" where nobody has divided the data, ``group`` where there are none."""

    item: Path | Member | np.ndarray  # a file, or pixels (H, W, C)
    name: str
    label: str
    part: str = ""
    group: str = ""


class Finding(NamedTuple):
    """Something about a file or a class, one of ``KINDS``."""

    path: str
    kind: str
    detail: str = ""


@dataclass(frozen=True, eq=False)
class Listing:
    """The files of a source in order of their names, and what was set aside already."""

    name: str
    entries: tuple[Entry, ...]
    class_names: tuple[str, ...]  # in the plain order of sorted(): "10" before "2"; kept with what is trained on them
    findings: tuple[Finding, ...] = ()
    pixels: np.ndarray | None = None  # (N, H, W, C), where the entries are parts of one array


def list_path(path):
    """The listing of a folder, of a zip archive, or of a CSV file with columns file, label[, split][, group]."""
    path = Path(path)
    if path.is_dir():
        names, folders, closed = walk_folder(path)
        found = list_class_folders(
            path, [(path / name, escape_surrogates(name), True) for name in names], escape_surrogates(folders)
        )
        findings = [Finding(escape_surrogates(name), "no access", "a folder") for name in closed]
        return replace(found, findings=(*found.findings, *findings))
    if not path.exists():
        raise DataError(
            f"`source` should be a folder, a zip archive or a CSV file. Received: {path}, which does not exist"
        )
    if path.suffix.lower() == ".csv":
        return list_table(path)
    try:
        found = [(Member(path, name), name.replace("\\", "/"), safe) for name, safe in list_members(path)]
    except (OSError, ValueError, NotImplementedError) as error:
        raise DataError(
            f"`source` should be a folder, a zip archive or a CSV file. Received: {path}: {error}"
        ) from None
    except Exception as error:  # zipfile.BadZipFile has no parent but Exception
        raise DataError(f"{path} should be a zip archive. Received: {error}") from None
    return list_class_folders(path, sorted(found, key=lambda row: row[1]), ())


def walk_folder(root):
    """Names of files, of folders, and of folders that do not open, below a folder; sorted. Links are followed, but no
    folder is visited twice."""
    files, folders, closed, seen = [], [], [], set()

    def name_of(*parts):
        return Path(*parts).relative_to(root).as_posix()

    for base, inner, inside in os.walk(root, followlinks=True, onerror=lambda error: closed.append(error.filename)):
        real = os.path.realpath(base)
        if real in seen:
            inner.clear()
            continue
        seen.add(real)
        inner.sort()
        files += [name_of(base, name) for name in inside]
        folders += [name for name in (name_of(base, name) for name in inner) if not is_junk(name)]
    return sorted(files), sorted(folders), sorted(map(name_of, closed))


def is_junk(name):
    """Whether systems and programs leave such files behind: hidden ones, thumbnails, resource forks."""
    *above, last = name.split("/")
    return (
        any(part in JUNK_FOLDERS or part.startswith(".") for part in (*above, last))
        or last.lower() in JUNK_FILES
        or last.endswith("~")
    )


def list_class_folders(path, found, empty):
    """A subfolder is a class; above the classes there may be train, valid and test, or one folder that holds all."""
    findings = [Finding(name, "unsafe path", "path leads out of the archive") for _, name, safe in found if not safe]
    findings += [Finding(name, "junk") for _, name, safe in found if safe and is_junk(name)]
    rows = [(item, name) for item, name, safe in found if safe and not is_junk(name)]
    start = common_folder([name for _, name in rows])
    rows = [(item, name, name.removeprefix(start).split("/")) for item, name in rows]
    empty = [name[len(start) :].split("/") for name in empty if name.startswith(start)]
    divided = has_part_folders([parts for _, name, parts in rows if name.startswith(start)])
    depth = 1 if divided else 0
    entries, seen = [], set()
    for item, name, parts in rows:
        outside = not name.startswith(start) or (divided and parts[0].lower() not in PARTS)
        if outside or len(parts) <= depth + 1:
            findings.append(Finding(name, "no class", "next to the class folders"))
            continue
        seen.add(tuple(parts[: depth + 1]))
        entries.append(Entry(item, name, parts[depth], PARTS[parts[0].lower()] if divided else ""))
    empty = [parts for parts in empty if not divided or parts[0].lower() in PARTS]
    bare = sorted({tuple(parts) for parts in empty if len(parts) == depth + 1} - seen)
    findings += [Finding("/".join(parts), "empty class", "folder without images") for parts in bare]
    classes = sorted({entry.label for entry in entries})
    return Listing(escape_surrogates(path.name or str(path)), tuple(entries), tuple(classes), tuple(findings))


def common_folder(names):
    """The folders that do nothing but hold the others: "all/flowers/" of all/flowers/rose/1.jpg and
    all/flowers/lily/2.jpg."""
    start = ""
    while True:
        below = [name[len(start) :].split("/") for name in names if name.startswith(start)]
        inner = {parts[0] for parts in below if len(parts) > 1}
        if not inner or (start and any(len(parts) == 1 and file_suffix(parts[0]) in SUFFIXES for parts in below)):
            return ""  # what is left is a class with folders of its own
        if len(inner) > 1 or {name.lower() for name in inner} & PARTS.keys():
            return start
        start += inner.pop() + "/"


def file_suffix(name):
    """The letters after the last dot, in lower case; "" where there is none."""
    last = name.rpartition("/")[2]
    return last.rpartition(".")[2].lower() if "." in last else ""


def has_part_folders(paths):
    """Whether the first folders are train, valid and test, with folders in them; beside bus and tram "train" is a
    class, and beside train and test "notes" is none."""
    first = {parts[0].lower() for parts in paths if len(parts) > 1}
    deep = any(len(parts) > 2 for parts in paths if parts[0].lower() in ("train", "training"))
    return deep and (first <= PARTS.keys() or len({PARTS[name] for name in first & PARTS.keys()}) > 1)


def list_table(path):
    """The rows of a CSV file; its files are named from the folder that it lies in."""
    entries, findings, names = [], [], {}
    for number, row in enumerate(read_table_rows(path), start=2):
        name, label, split, group = ((row.get(column) or "").strip() for column in COLUMNS)
        file = path.parent / name
        if not name or not label:
            findings.append(
                Finding(f"{escape_surrogates(path.name)}, line {number}", "no class", "missing file name or label")
            )
        elif split and split.lower() not in PARTS:
            raise DataError(f"{path}, line {number}: `split` should be train, valid or test. Received: {split!r}")
        elif not file.is_file():
            findings.append(Finding(name, "missing", "file not found"))
        elif name in names:
            kind = "listed twice" if label == names[name] else "conflicting labels"
            findings.append(Finding(name, kind, f"listed again as {label!r} in line {number}; the first label is used"))
        else:
            names[name] = label
            entries.append(Entry(file, name, label, PARTS.get(split.lower(), ""), group))
    classes = sorted({entry.label for entry in entries})
    return Listing(escape_surrogates(path.name), tuple(entries), tuple(classes), tuple(findings))


def read_table_rows(path):
    """The rows of a CSV file as dicts; commas, semicolons or tabs part its columns, as its first line has them."""
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            first = file.readline()
            file.seek(0)
            reader = csv.DictReader(file, delimiter=max(",;\t", key=first.count))
            reader.fieldnames = columns = [name.strip().lower() for name in reader.fieldnames or ()]
            rows = [*reader]
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path} should be a CSV file in UTF-8. Received: {error}") from None
    if not {"file", "label"} <= {*columns}:
        raise DataError(f"{path} should have the columns file, label[, split][, group]. Received: {', '.join(columns)}")
    return rows


LOCK = threading.Lock()


def open_archive(path):
    """The archive, open; a few stay open, and threads may share one."""
    with LOCK:
        return open_cached_archive(path)


@lru_cache(8)
def open_cached_archive(path):
    return zipfile.ZipFile(path)


def list_members(path):
    """The names of the files in an archive, and whether each stays inside the folder it would be unpacked to."""
    open_cached_archive.cache_clear()  # the file may have been replaced since
    for info in open_archive(path).infolist():
        if not info.is_dir():
            yield info.filename, is_safe_member(info.filename)


def is_safe_member(name):
    """Whether a name in an archive leads nowhere else: no root, no drive, no step up."""
    parts = name.replace("\\", "/").split("/")
    return not name.startswith(("/", "\\")) and ".." not in parts and ":" not in parts[0]
