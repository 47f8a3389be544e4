"""One `fetch` for all published weights: the file in the cache, downloaded and checked where it is not there yet."""

import hashlib
import os
import re
from contextlib import suppress
from errno import EISDIR
from stat import S_ISDIR
from urllib.parse import urlsplit

from .cache import DownloadError, beside, cached, clear, home, locked, place
from .progress import say

__all__ = ["DownloadError", "cached", "clear", "fetch", "home"]

DIGITS = {"sha256": 64, "sha1": 40, "md5": 32}
SHORTEST = 8  # digits of a hash that are published; fewer would let damage pass
PAGES = (b"<!doctype", b"<html", b"<head", b"<?xml", b"<!--")
MISSING = "nothing"


def fetch(address, file, hash="", *, what="", folder=None, quiet=False):
    """The path of a file of weights, downloaded from ``address`` first where it is not in the cache.

    ``hash`` is "sha256:", "sha1:" or "md5:" and at least the first 8 hexadecimal digits. Without one, the file is later
    compared with what came the first time. ``what`` is for messages: "weights of resnet18, torchvision/v1".
    """
    from .transfer import Wanted  # here, since a file in the cache needs no HTTP

    wanted = Wanted(checked_address(address), place(file, folder), checked_hash(hash), what, quiet)
    try:
        if flaw(wanted.path, wanted.hash) is not None:
            os.makedirs(wanted.path.parent, exist_ok=True)
            with locked(wanted.path, lambda: say(f"waiting for another download of {wanted.label}", quiet)):
                provide(wanted)
    except DownloadError:
        raise
    except OSError as error:  # the network's own became DownloadErrors: this one is the disk's
        reason = f"{error.strerror or error} ({error.filename or wanted.path})"
        raise DownloadError(
            f"{wanted.label} should find a folder that can be read and written, {wanted.path.parent} or another that "
            f"KERASCNN_HOME names. Received: {reason}",
            "KERASCNN_HOME=folder, with a folder of yours",
        ) from error
    return wanted.path


def checked_address(address):
    parts = urlsplit(address) if isinstance(address, str) and re.fullmatch(r"[!-~]+", address) else None
    if parts is None or parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"`address` should begin with https:// or http:// and name a server. Received: {address!r}")
    return address


def checked_hash(hash):
    algorithm, _, digits = hash.lower().partition(":") if isinstance(hash, str) else ("?", "", "")
    most = DIGITS.get(algorithm, 0)
    if hash != "" and not (SHORTEST <= len(digits) <= most and re.fullmatch("[0-9a-f]+", digits)):
        raise ValueError(
            f"`hash` should be {': or '.join(DIGITS)}: and at least {SHORTEST} hexadecimal digits, or empty. "
            f"Received: {hash!r}"
        )
    return hash and f"{algorithm}:{digits}"


def flaw(path, hash):
    """What keeps a file in the cache from being used: its hash, MISSING, an empty file; None where nothing does."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return MISSING
    if S_ISDIR(found.st_mode):
        raise IsADirectoryError(EISDIR, os.strerror(EISDIR), str(path))
    if not found.st_size:
        return "an empty file"
    known, stamp = recorded(path)
    if stamp[:2] == stamped(found) and (known.startswith(hash) or hash in stamp):
        return None
    expected = hash or known
    received = digest(path, expected.partition(":")[0] or "sha256")
    if not received.startswith(expected):
        return received
    record(path, hash, received)
    return None


def recorded(path):
    """What ``record`` noted: the sha256, and size, time of change and published hash."""
    with suppress(OSError, ValueError):
        first, second = beside(path, ".sha256").read_text(encoding="ascii").splitlines()
        if re.fullmatch(r"[0-9a-f]{64}", first.partition(" ")[0]):
            return "sha256:" + first.partition(" ")[0], second.split()[1:]
    return "", []


def record(path, hash, received):
    """Note the file's sha256, size and time of change beside it, in the form that `sha256sum -c` reads.

    To read half a gigabyte at each start would cost a second, so a file whose size and time of change are those of
    the last reading is taken for the same, as make and git do. That finds a file that somebody changed or that was
    cut off, in every process; it does not find a disk that forgets. Nothing in memory has to agree with it.
    """
    stamp = stamped(path.stat())  # before the file is read: what changes it meanwhile changes the stamp
    sha256 = received if received.startswith("sha256") else digest(path, "sha256")
    draft = beside(path, f".{os.getpid()}.sha256")
    with suppress(OSError):  # a cache that can only be read is read in full each time
        draft.write_text(f"{sha256.partition(':')[2]}  {path.name}\n# {' '.join([*stamp, hash])}\n", encoding="ascii")
        os.replace(draft, beside(path, ".sha256"))


def stamped(found):
    return [str(found.st_size), str(found.st_mtime_ns)]


def digest(path, algorithm):
    """The hash of a file, as "sha256:" and the digits."""
    with path.open("rb") as file:
        return f"{algorithm}:{hashlib.file_digest(file, algorithm).hexdigest()}"


def provide(wanted):
    """Bring the file into the cache, unless whoever had the lock before has just done that."""
    from .transfer import download, forget

    found = flaw(wanted.path, wanted.hash)
    if found is None:
        return
    if found != MISSING:
        say(f"{wanted.label} in the cache is damaged ({found}): it is downloaded again", wanted.quiet)
        for path in (wanted.path, beside(wanted.path, ".sha256")):
            path.unlink(missing_ok=True)
    for again in (True, False):  # what was continued may have begun wrong: the second time it starts from nothing
        download(wanted)
        received = content(wanted)
        if received.startswith(wanted.hash):
            return settle(wanted, received)
        forget(wanted)
        if again:
            say(f"{wanted.label} came with another hash ({received}): once more, from the start", wanted.quiet)
    raise wanted.error(f"have the hash {wanted.hash}", f"{received}, twice")


def content(wanted):
    """The hash of what came; web pages and empty files are refused at once."""
    from .transfer import forget

    with wanted.part.open("rb") as file:
        start = file.read(512).lstrip(b"\xef\xbb\xbf \t\r\n").lower()
        empty = not os.fstat(file.fileno()).st_size
    if empty or start.startswith(PAGES):
        forget(wanted)
        kind = "an empty file" if empty else "a web page (HTML or XML): a login, an error or a quota"
        raise wanted.error("be a file of weights", kind)
    return digest(wanted.part, wanted.hash.partition(":")[0] or "sha256")


def settle(wanted, received):
    """Give the file its name, after its bytes are on the disk: the name says that it is complete."""
    with wanted.part.open("rb+") as file:
        os.fsync(file.fileno())
    os.replace(wanted.part, wanted.path)
    wanted.about.unlink(missing_ok=True)
    record(wanted.path, wanted.hash, received)
