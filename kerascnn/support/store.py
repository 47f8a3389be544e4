"""The cache of files that can be fetched or computed again: its folder, locks, and results by key (`Store`)."""

import json
import os
import platform
import re
import shutil
import sys
import time
import warnings
from collections import namedtuple
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from hashlib import blake2b
from pathlib import Path
from zipfile import BadZipFile

from .. import __version__
from .files import write_atomically

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]
    import msvcrt

PARTIAL = ".part"
COMPANION_SUFFIXES = (
    ".sha256",
    PARTIAL + ".json",
    PARTIAL,
    ".lock",
)  # what may stand beside a file, the longer names first
NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._+=-]{0,199}")  # leaves no way out of the folder, on any system

WEIGHTS, FEATURES, REPORTS, SPLITS = "weights", "features", "reports", "splits"  # the folders in `home`

CachedFile = namedtuple("CachedFile", "file size complete")  # size in bytes


class Busy(Exception):
    """Another process is working on this file."""


def home():
    """The cache folder of kerascnn: KERASCNN_HOME, or a subfolder of the system's cache folder."""
    folder = os.environ.get("KERASCNN_HOME")
    if folder:
        return Path(os.path.abspath(os.path.expanduser(folder)))
    person = os.path.expanduser("~")
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or os.path.join(person, "AppData", "Local")
    elif sys.platform == "darwin":
        base = os.path.join(person, "Library", "Caches")
    else:
        base = os.environ.get("XDG_CACHE_HOME") or os.path.join(person, ".cache")
    return Path(os.path.abspath(base), "kerascnn")


def weights_path(file):
    """The path of a weights file in the cache."""
    if not isinstance(file, str) or not NAME.fullmatch(file) or file.endswith((*COMPANION_SUFFIXES, ".")):
        raise ValueError(
            "`file` should be a plain file name (letters, digits and . _ + = -) without a folder, "
            f"not ending in a dot or one of {', '.join(COMPANION_SUFFIXES)}. Received: {file!r}"
        )
    return home() / WEIGHTS / file


def companion_path(path, suffix):
    return path.with_name(path.name + suffix)


def list_cached_files():
    """List the weights files by name; ``complete`` is false for an unfinished download."""
    folder = home() / WEIGHTS
    files = []
    for name in sorted(os.listdir(folder) if folder.is_dir() else ()):
        complete = not name.endswith(COMPANION_SUFFIXES)
        with suppress(OSError):  # gone since the folder was read
            if (complete or name.endswith(PARTIAL)) and (folder / name).is_file():
                files.append(CachedFile(main_file_name(name), (folder / name).stat().st_size, complete))
    return files


def main_file_name(name):
    """The name of the file that a companion file (a checksum, a partial download, a lock) belongs to."""
    return next((name.removesuffix(suffix) for suffix in COMPANION_SUFFIXES if name.endswith(suffix)), name)


def clear_cached_files(pattern="*"):
    """Remove the weights files whose names match a shell pattern, and return them; files being downloaded stay."""
    rows, removed = list_cached_files(), []
    folder = home() / WEIGHTS
    for file in sorted({main_file_name(name) for name in os.listdir(folder)} if folder.is_dir() else ()):
        path = folder / file
        if fnmatchcase(file, pattern) and not path.is_dir():
            with suppress(Busy), file_lock(path, raise_busy):
                for suffix in ("", *COMPANION_SUFFIXES[:-1]):
                    companion_path(path, suffix).unlink(missing_ok=True)
                removed += [row for row in rows if row.file == file]
    return removed


def list_cached_folders(parent, pattern="*"):
    """List the folders in ``parent`` (FEATURES or REPORTS) whose names match a shell pattern, as `CachedFile`s."""
    directory = home() / parent
    names = sorted(path.name for path in directory.iterdir() if path.is_dir()) if directory.is_dir() else ()
    folders = []
    for name in names:
        if fnmatchcase(name, pattern):
            size = sum(file.stat().st_size for file in (directory / name).rglob("*") if file.is_file())
            folders.append(CachedFile(f"../{parent}/{name}", size, True))
    return folders


def clear_cached_folders(parent, pattern="*"):
    """Remove the folders in ``parent`` whose names match a shell pattern, and return them."""
    removed = list_cached_folders(parent, pattern)
    for row in removed:
        shutil.rmtree(home() / parent / Path(row.file).name, ignore_errors=True)
    return removed


def raise_busy():
    raise Busy


@contextmanager
def file_lock(path, waiting):
    """Hold an exclusive lock on a file. If another process has it, call ``waiting`` (it may raise), then wait."""
    lock = companion_path(path, ".lock")
    handle = acquire_lock(lock, waiting)
    try:
        yield
    finally:
        with suppress(OSError):  # Windows removes no open file: there it stays, empty and of no consequence
            lock.unlink()
        handle.close()


def acquire_lock(lock, waiting):
    """Open and lock a file, and return its handle. The system releases the lock when the process dies."""
    may_block = False
    while True:
        handle = open(lock, "ab")  # noqa: SIM115 (the lock lasts as long as it is open)
        try:
            if not try_lock(handle, may_block):
                waiting()
                may_block = True
                try_lock(handle, may_block)
            with suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(handle.fileno()), lock.stat()):
                    return handle
        except BaseException:
            handle.close()
            raise
        handle.close()  # the owner removed it while we waited, so what we hold is no longer the lock


def try_lock(handle, patient):
    """Take the lock; return False if another process has it and we are not ``patient``."""
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


FORMAT = 1  # of the files of a `Store`: part of each key, so that files of another format are never read
SUFFIX, METADATA = ".npz", "metadata"
DAMAGED = (BadZipFile, EOFError, KeyError, ValueError, OSError)


def digest(*parts):
    """A hash of texts, bytes and arrays, the same in every process."""
    import numpy as np

    hasher = blake2b(digest_size=16)
    for part in parts:
        if isinstance(part, np.ndarray):
            part = f"{part.dtype}{part.shape}".encode() + np.ascontiguousarray(part).tobytes()
        data = part if isinstance(part, bytes | memoryview) else str(part).encode("utf-8", "surrogateescape")
        hasher.update(len(data).to_bytes(8, "big"))
        hasher.update(data)
    return hasher.hexdigest()


def package_versions():
    """{package: version} of what results depend on."""
    from importlib.metadata import PackageNotFoundError, version

    import keras
    import numpy as np

    versions = {"kerascnn": __version__, "keras": keras.__version__, "numpy": np.__version__}
    backend = keras.config.backend()
    try:
        versions[backend] = version(backend)
    except PackageNotFoundError:  # jax and torch under another name of distribution
        versions[backend] = "unknown"
    return versions | {"python": platform.python_version()}


def make_key(name, *parts):
    """A key: a readable name, and a hash of everything that the result depends on.

    Args:
        name: What the result is; characters that no file's name can hold become underscores.
        parts: Weights, pixels, options, versions: texts, bytes, arrays and whatever ``str`` tells apart.
    """
    letters = re.sub(r"[^\w.+-]", "_", str(name))[:60].lstrip(".")
    return f"{letters}-{digest(FORMAT, *parts)}"


@dataclass(frozen=True, eq=False)
class Store:
    """Results under keys, each a file with metadata (what JSON holds) and arrays.

    A key names all that its result depends on (`make_key`), so that nothing stored is ever out of date. A file is
    there as a whole or not at all: processes may be killed, and several may write. A damaged file is removed with a
    warning, as if it had never been there. What the disk refuses stays in memory, with a warning.

    >>> store = Store(home() / "reports" / model.name)
    >>> key = make_key("filters", weights, options)
    >>> metadata, arrays = store.get_or_compute(key, lambda: ({"layer": "conv1"}, {"maps": compute_maps()}))

    Args:
        folder: Where the files are; made with the first of them. None keeps results in memory alone.
    """

    folder: Path | None = None
    memory: dict = field(default_factory=dict, init=False, repr=False)  # what no file holds

    def get(self, key, arrays=None):
        """(metadata, {name: array}) of a result; None where there is none.

        Args:
            key: The key that it was stored under.
            arrays: Names of the arrays to read, all by default; () reads the metadata alone.
        """
        import numpy as np

        if key in self.memory or self.folder is None:
            return self.memory.get(key)
        path = self.path(key)
        try:
            with np.load(path, allow_pickle=False) as file:
                names = [name for name in file.files if name != METADATA] if arrays is None else arrays
                return json.loads(file[METADATA].tobytes()), {name: file[name] for name in names}
        except FileNotFoundError:
            return None
        except DAMAGED as error:
            warnings.warn(f"cached file {path} is damaged ({error}); its content will be computed again", stacklevel=2)
            with suppress(OSError):
                path.unlink()
            return None

    def put(self, key, metadata, **arrays):
        """Store a result under a key; return False if it could not be written to the folder."""
        import numpy as np

        text = json.dumps(metadata)
        self.memory[key] = json.loads(text), arrays  # as it will be read
        if self.folder is None:
            return True
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with write_atomically(self.path(key)) as draft, open(draft, "wb") as file:
                np.savez(file, **{METADATA: np.frombuffer(text.encode(), np.uint8)}, **arrays)
        except OSError as error:
            reason = error.strerror or error
            warnings.warn(
                f"cannot cache {self.path(key)}: {reason}; it will be computed again in the next run", stacklevel=2
            )
            return False
        del self.memory[key]
        return True

    def get_or_compute(self, key, compute):
        """The result of a key; if there is none, ``compute()`` returns its metadata and {name: array}."""
        result = self.get(key)
        if result is None:
            metadata, arrays = compute()
            self.put(key, metadata, **arrays)
            result = self.get(key)
        return result

    def list_keys(self):
        """The keys that have a result, in order."""
        files = [] if self.folder is None else self.folder.glob(f"[!.]*{SUFFIX}")
        return sorted({path.name.removesuffix(SUFFIX) for path in files} | self.memory.keys())

    def clear(self, pattern="*"):
        """Remove the results whose keys match a shell pattern, and return these keys."""
        keys = [key for key in self.list_keys() if fnmatchcase(key, pattern)]
        for key in keys:
            self.memory.pop(key, None)
            if self.folder is not None:
                self.path(key).unlink(missing_ok=True)
        return keys

    def path(self, key):
        return self.folder / f"{key}{SUFFIX}"
