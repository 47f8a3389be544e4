"""Hashes of files in the cache, and the stamp beside each file that spares hashing it again."""

import hashlib
import os
import re
from contextlib import suppress
from errno import EISDIR
from stat import S_ISDIR

from ..support.store import companion_path

DIGITS = {"sha256": 64, "sha1": 40, "md5": 32}
MIN_DIGITS = 8  # digits of a hash that are published; fewer would let damage pass
MISSING = "nothing"


def check_hash(hash):
    algorithm, _, digits = hash.lower().partition(":") if isinstance(hash, str) else ("?", "", "")
    most = DIGITS.get(algorithm, 0)
    if hash != "" and not (MIN_DIGITS <= len(digits) <= most and re.fullmatch("[0-9a-f]+", digits)):
        raise ValueError(
            f"`hash` should be {': or '.join(DIGITS)}: followed by at least {MIN_DIGITS} hexadecimal digits, or empty. "
            f"Received: {hash!r}"
        )
    return hash and f"{algorithm}:{digits}"


def find_flaw(path, hash):
    """Why a cached file cannot be used: its wrong hash, MISSING or "an empty file"; None if it can."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return MISSING
    if S_ISDIR(found.st_mode):
        raise IsADirectoryError(EISDIR, os.strerror(EISDIR), str(path))
    if not found.st_size:
        return "an empty file"
    known, stamp = read_stamp(path)
    if stamp[:2] == size_and_time(found) and (known.startswith(hash) or hash in stamp):
        return None
    expected = hash or known
    received = file_hash(path, expected.partition(":")[0] or "sha256")
    if not received.startswith(expected):
        return received
    write_stamp(path, hash, received)
    return None


def read_stamp(path):
    """What `write_stamp` wrote: the sha256, and [size, time of change, published hash]."""
    with suppress(OSError, ValueError):
        first, second = companion_path(path, ".sha256").read_text(encoding="ascii").splitlines()
        if re.fullmatch(r"[0-9a-f]{64}", first.partition(" ")[0]):
            return "sha256:" + first.partition(" ")[0], second.split()[1:]
    return "", []


def write_stamp(path, hash, received):
    """Write the file's sha256, size and time of change into a file next to it, which `sha256sum -c` can read.

    Hashing half a gigabyte at each start would take a second, so a file with unchanged size and time is taken as
    unchanged, as in make and git. This detects files that were edited or truncated, but not silent disk errors.
    """
    stamp = size_and_time(path.stat())  # before reading, so that a change in the meantime is noticed
    sha256 = received if received.startswith("sha256") else file_hash(path, "sha256")
    draft = companion_path(path, f".{os.getpid()}.sha256")
    with suppress(OSError):  # in a read-only cache the file is hashed each time
        draft.write_text(f"{sha256.partition(':')[2]}  {path.name}\n# {' '.join([*stamp, hash])}\n", encoding="ascii")
        os.replace(draft, companion_path(path, ".sha256"))


def size_and_time(found):
    return [str(found.st_size), str(found.st_mtime_ns)]


def file_hash(path, algorithm):
    """The hash of a file: "sha256:" and the digits."""
    with path.open("rb") as file:
        return f"{algorithm}:{hashlib.file_digest(file, algorithm).hexdigest()}"
