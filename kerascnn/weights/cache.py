"""The folder of downloaded weights: where it is, what is in it, and that one process at a time works on a file."""

import os
import re
import sys
import time
from collections import namedtuple
from contextlib import contextmanager, suppress
from fnmatch import fnmatchcase
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None
    import msvcrt

PARTIAL = ".part"
BESIDE = (".sha256", PARTIAL + ".json", PARTIAL, ".lock")  # what may stand beside a file, the longer names first
NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._+=-]{0,199}")  # leaves no way out of the folder, on any system

Cached = namedtuple("Cached", "file size complete")  # size in bytes


class DownloadError(OSError):
    """A file of weights that could not be brought here: one line, and in ``advice`` what to try."""

    def __init__(self, message, advice=""):
        super().__init__("".join(letter if letter.isprintable() else " " for letter in message))  # servers' words too
        self.advice = advice


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


def place(file, folder=None):
    """The full path of a file in the cache, or in another ``folder``."""
    if not isinstance(file, str) or not NAME.fullmatch(file) or file.endswith((*BESIDE, ".")):
        raise ValueError(
            "`file` should be a plain file name (letters, digits and . _ + = -), without a folder, and not ending in "
            f"{', '.join(BESIDE)} or a dot. Received: {file!r}"
        )
    folder = home() / "weights" if folder is None else Path(os.path.abspath(os.path.expanduser(folder)))
    return folder / file


def beside(path, suffix):
    return path.with_name(path.name + suffix)


def cached(folder=None):
    """The files in the cache in order of name; ``complete`` is false for what a download left unfinished."""
    folder = place("any", folder).parent
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


def clear(pattern="*", folder=None):
    """Remove the files that fit the shell's wildcards; those removed. A file being downloaded right now stays."""
    rows, gone = cached(folder), []
    folder = place("any", folder).parent
    for file in sorted({whole(name) for name in os.listdir(folder)} if folder.is_dir() else ()):
        path = folder / file
        if fnmatchcase(file, pattern) and not path.is_dir():
            with suppress(Busy), locked(path, busy):
                for suffix in ("", *BESIDE[:-1]):
                    beside(path, suffix).unlink(missing_ok=True)
                gone += [row for row in rows if row.file == file]
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
