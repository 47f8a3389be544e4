"""Files that can be fetched or made again: their folder, locks on them, `digest`."""

import os
import re
import shutil
import sys
import time
from collections import namedtuple
from contextlib import contextmanager, suppress
from fnmatch import fnmatchcase
from hashlib import blake2b
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None
    import msvcrt

PARTIAL = ".part"
BESIDE = (".sha256", PARTIAL + ".json", PARTIAL, ".lock")  # what may stand beside a file, the longer names first
NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._+=-]{0,199}")  # leaves no way out of the folder, on any system

WEIGHTS, FEATURES, REPORTS = "weights", "features", "reports"  # the folders in `home`

Cached = namedtuple("Cached", "file size complete")  # size in bytes


class Busy(Exception):
    """Another process works on this file."""


def home():
    """The folder for what kerascnn can fetch again: KERASCNN_HOME, or a part of the system's folder for such files."""
    own = os.environ.get("KERASCNN_HOME")
    if own:
        return Path(os.path.abspath(os.path.expanduser(own)))
    person = os.path.expanduser("~")
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or os.path.join(person, "AppData", "Local")
    elif sys.platform == "darwin":
        base = os.path.join(person, "Library", "Caches")
    else:
        base = os.environ.get("XDG_CACHE_HOME") or os.path.join(person, ".cache")
    return Path(os.path.abspath(base), "kerascnn")


def place(file):
    """The full path of a file of weights in the cache."""
    if not isinstance(file, str) or not NAME.fullmatch(file) or file.endswith((*BESIDE, ".")):
        raise ValueError(
            "`file` should be a plain file name (letters, digits and . _ + = -), without a folder, and not ending in "
            f"{', '.join(BESIDE)} or a dot. Received: {file!r}"
        )
    return home() / WEIGHTS / file


def beside(path, suffix):
    return path.with_name(path.name + suffix)


def cached():
    """The files of weights in order of name; ``complete`` is false for what a download left unfinished."""
    folder = home() / WEIGHTS
    found = []
    for name in sorted(os.listdir(folder) if folder.is_dir() else ()):
        complete = not name.endswith(BESIDE)
        with suppress(OSError):  # gone since the folder was read
            if (complete or name.endswith(PARTIAL)) and (folder / name).is_file():
                found.append(Cached(whole(name), (folder / name).stat().st_size, complete))
    return found


def whole(name):
    """The name of the file beside which a file of this name stands."""
    return next((name.removesuffix(suffix) for suffix in BESIDE if name.endswith(suffix)), name)


def clear(pattern="*"):
    """Remove the files that fit the shell's wildcards; those removed. A file being downloaded right now stays."""
    rows, gone = cached(), []
    folder = home() / WEIGHTS
    for file in sorted({whole(name) for name in os.listdir(folder)} if folder.is_dir() else ()):
        path = folder / file
        if fnmatchcase(file, pattern) and not path.is_dir():
            with suppress(Busy), locked(path, busy):
                for suffix in ("", *BESIDE[:-1]):
                    beside(path, suffix).unlink(missing_ok=True)
                gone += [row for row in rows if row.file == file]
    return gone


def cached_folders(parent, pattern="*"):
    """A row, as in `cached`, for each folder of ``parent`` (FEATURES or REPORTS) that fits the shell's wildcards."""
    place = home() / parent
    names = sorted(path.name for path in place.iterdir() if path.is_dir()) if place.is_dir() else ()
    found = []
    for name in names:
        if fnmatchcase(name, pattern):
            size = sum(file.stat().st_size for file in (place / name).rglob("*") if file.is_file())
            found.append(Cached(f"../{parent}/{name}", size, True))
    return found


def clear_folders(parent, pattern="*"):
    """Remove the folders in ``parent`` that fit the shell's wildcards; those removed."""
    gone = cached_folders(parent, pattern)
    for row in gone:
        shutil.rmtree(home() / parent / Path(row.file).name, ignore_errors=True)
    return gone


def busy():
    raise Busy


@contextmanager
def locked(path, waiting):
    """Nobody else works on this file meanwhile. Where somebody does, call ``waiting`` (it may raise), then wait."""
    lock = beside(path, ".lock")
    handle = claim(lock, waiting)
    try:
        yield
    finally:
        with suppress(OSError):  # Windows removes no open file: there it stays, empty and of no consequence
            lock.unlink()
        handle.close()


def claim(lock, waiting):
    """The opened and locked file. The system itself gives the lock back when a process dies, however it dies."""
    asked = False
    while True:
        handle = open(lock, "ab")  # noqa: SIM115 (the lock lasts as long as it is open)
        try:
            if not taken(handle, asked):
                waiting()
                asked = True
                taken(handle, asked)
            with suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(handle.fileno()), lock.stat()):
                    return handle
        except BaseException:
            handle.close()
            raise
        handle.close()  # whoever had it has removed it while we waited: what we hold is no longer the lock


def taken(handle, patient):
    """Take the lock; False where another process has it and we are not ``patient``."""
    if fcntl:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | (0 if patient else fcntl.LOCK_NB))
        except BlockingIOError:
            return False
        return True
    while True:
        try:
            msvcrt.locking(handle.fileno(), msvcrt.LK_NBLCK, 1)
            return True
        except OSError:
            if not patient:
                return False
            time.sleep(0.2)


def digest(*parts):
    """A hash of texts, bytes and arrays, the same in every process."""
    import numpy as np

    found = blake2b(digest_size=16)
    for part in parts:
        if isinstance(part, np.ndarray):
            part = f"{part.dtype}{part.shape}".encode() + np.ascontiguousarray(part).tobytes()
        data = part if isinstance(part, bytes | memoryview) else str(part).encode("utf-8", "surrogateescape")
        found.update(len(data).to_bytes(8, "big"))
        found.update(data)
    return found.hexdigest()
