"""Results kept on disk under keys that name all they depend on: `Store`, `make_key`, `digest`."""

import json
import re
import shutil
import warnings
from contextlib import suppress
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from hashlib import blake2b
from pathlib import Path
from zipfile import BadZipFile

from .files import replacing

FORMAT = 1  # of the files of a `Store`: part of each key, so that files of another format are never read
SUFFIX, METADATA = ".npz", "metadata"
DAMAGED = (BadZipFile, EOFError, KeyError, ValueError, OSError)


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


def make_key(name, *parts):
    """A key: a name for people, and a hash of all that the result depends on.

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
            warnings.warn(f"{path} is damaged ({error}): what it held is computed again", stacklevel=2)
            with suppress(OSError):
                path.unlink()
            return None

    def put(self, key, metadata, **arrays):
        """Store a result in place of one of this key; whether the folder, if there is one, took it."""
        import numpy as np

        text = json.dumps(metadata)
        self.memory[key] = json.loads(text), arrays  # as it will be read
        if self.folder is None:
            return True
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with replacing(self.path(key)) as draft, open(draft, "wb") as file:
                np.savez(file, **{METADATA: np.frombuffer(text.encode(), np.uint8)}, **arrays)
        except OSError as error:
            reason = error.strerror or error
            warnings.warn(f"{self.path(key)} is not kept: {reason}; another run computes it again", stacklevel=2)
            return False
        del self.memory[key]
        return True

    def get_or_compute(self, key, compute):
        """The result of that key; where there is none, ``compute()`` gives metadata and {name: array}."""
        found = self.get(key)
        if found is None:
            metadata, arrays = compute()
            self.put(key, metadata, **arrays)
            found = self.get(key)
        return found

    def keys(self):
        """The keys that have a result, in order."""
        files = [] if self.folder is None else self.folder.glob(f"[!.]*{SUFFIX}")
        return sorted({path.name.removesuffix(SUFFIX) for path in files} | self.memory.keys())

    def sizes(self, pattern="*"):
        """{name: bytes} of keys, and of folders with stores of their own, that fit the shell's wildcards."""
        found = {}
        for path in sorted(self.folder.glob("[!.]*")):
            name = path.name.removesuffix(SUFFIX)
            if fnmatchcase(name, pattern):
                files = path.rglob("*") if path.is_dir() else [path]
                found[name] = sum(file.stat().st_size for file in files if file.is_file())
        return found

    def clear(self, pattern="*"):
        """Remove what `sizes` lists, and return what it listed."""
        found = self.sizes(pattern)
        for name in found:
            self.memory.pop(name, None)
            self.path(name).unlink(missing_ok=True)
            shutil.rmtree(self.folder / name, ignore_errors=True)
        return found

    def path(self, key):
        return self.folder / f"{key}{SUFFIX}"
