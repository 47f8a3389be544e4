"""Fetch published files: from the cache, or by a download that is resumed, checked and then cached."""

import hashlib
import json
import math
import os
import re
import shutil
import time
from contextlib import suppress
from dataclasses import dataclass
from errno import EISDIR
from http.client import HTTPException, responses
from pathlib import Path
from stat import S_ISDIR
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

from ..support.files import is_web_page
from ..support.progress import download_tenth, is_flag_set, progress, write_line
from ..support.store import PARTIAL, companion_path, file_lock, weights_path

DIGITS = {"sha256": 64, "sha1": 40, "md5": 32}
MIN_DIGITS = 8  # digits of a hash that are published; fewer would let damage pass
MISSING = "nothing"


class DownloadError(OSError):
    """A file that could not be downloaded; ``advice`` says what to try."""

    def __init__(self, message, advice=""):
        super().__init__(
            "".join(letter if letter.isprintable() else " " for letter in message)
        )  # it may quote a server
        self.advice = advice


def fetch(address, file, hash="", *, what="", verbose="auto"):
    """The local path of a published file, which is downloaded from ``address`` if it is not in the cache.

    ``hash`` is "sha256:", "sha1:" or "md5:" and at least the first 8 hexadecimal digits. Without one, the file is
    compared with the first download. ``what`` describes it in messages: "weights of resnet18, torchvision/v1".
    ``verbose``: 0 is silent, 2 prints lines, 1 or "auto" shows a bar on a terminal and lines elsewhere.
    """
    wanted = RemoteFile(check_address(address), weights_path(file), check_hash(hash), what, verbose)
    try:
        if find_flaw(wanted.path, wanted.hash) is not None:
            os.makedirs(wanted.path.parent, exist_ok=True)
            with file_lock(
                wanted.path,
                lambda: write_line(f"waiting for another process that is downloading {wanted.label}", verbose),
            ):
                download_verified(wanted)
    except DownloadError:
        raise
    except OSError as error:  # errors of the network are DownloadErrors: this is one of the disk
        reason = f"{error.strerror or error} ({error.filename or wanted.path})"
        raise DownloadError(
            f"{wanted.label} should have a readable and writable cache folder: {wanted.path.parent}, or another "
            f"one set by KERASCNN_HOME. Received: {reason}",
            "set KERASCNN_HOME to a folder that you can write to",
        ) from error
    return wanted.path


def check_address(address):
    parts = urlsplit(address) if isinstance(address, str) and re.fullmatch(r"[!-~]+", address) else None
    if parts is None or parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"`address` should be a URL that begins with https:// or http://. Received: {address!r}")
    return address


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


def download_verified(wanted):
    """Download the file into the cache, unless the previous holder of the lock has done so."""
    found = find_flaw(wanted.path, wanted.hash)
    if found is None:
        return
    if found != MISSING:
        write_line(f"the cached file {wanted.label} is damaged ({found}); downloading it again", wanted.verbose)
        for path in (wanted.path, companion_path(wanted.path, ".sha256")):
            path.unlink(missing_ok=True)
    for again in (True, False):  # a resumed file may be wrong from its start: then download all of it
        download_with_retries(wanted)
        received = hash_partial(wanted)
        if received.startswith(wanted.hash):
            return move_into_cache(wanted, received)
        discard_partial(wanted)
        if again:
            write_line(
                f"{wanted.label} arrived with an unexpected hash ({received}); downloading it again from the start",
                wanted.verbose,
            )
    raise wanted.error(f"have the hash {wanted.hash}", f"{received}, in two attempts")


def hash_partial(wanted):
    """The hash of the partial file; web pages and empty files are refused."""
    with wanted.partial_path.open("rb") as file:
        start = file.read(512)
        empty = not os.fstat(file.fileno()).st_size
    if empty or is_web_page(start):
        discard_partial(wanted)
        kind = (
            "an empty file"
            if empty
            else "a web page (HTML or XML): perhaps a login page, an error message or a quota notice"
        )
        raise wanted.error("be a weights file", kind)
    return file_hash(wanted.partial_path, wanted.hash.partition(":")[0] or "sha256")


def move_into_cache(wanted, received):
    """Rename the complete file after its bytes are on the disk."""
    with wanted.partial_path.open("rb+") as file:
        os.fsync(file.fileno())
    os.replace(wanted.partial_path, wanted.path)
    wanted.partial_metadata_path.unlink(missing_ok=True)
    write_stamp(wanted.path, wanted.hash, received)


TIMEOUT = 30  # seconds without data that count as an interruption
LEAST_BYTES = 1024  # fewer bytes in that time count as one too, so that a trickle ends
TRIES = 4  # attempts in a row without progress
PAUSE = 1.0  # seconds before the second attempt, doubled for each further one
PROGRESS_BYTES = 1 << 20  # bytes of progress after which the attempts are counted anew
CHUNK = 1 << 18
MAX_BYTES = 8 << 30  # more than any published weights file; a limit for responses without a length
TEMPORARY_STATUSES = (408, 425, 429, 500, 502, 503, 504)  # HTTP statuses worth another attempt


class Interruption(Exception):
    """The transfer was interrupted, and another attempt may resume it."""

    def __init__(self, reason, reached=True):
        super().__init__(reason)
        self.reached = reached  # whether a server answered


@dataclass(frozen=True)
class RemoteFile:
    """A published file and its place in the cache."""

    address: str
    path: Path
    hash: str
    what: str
    verbose: str | int

    @property
    def partial_path(self):
        return companion_path(self.path, PARTIAL)

    @property
    def partial_metadata_path(self):
        """The file that records address and version of the partial file."""
        return companion_path(self.path, PARTIAL + ".json")

    @property
    def label(self):
        return f"{self.path.name} ({self.what})" if self.what else self.path.name

    def error(self, expected, received):
        advice = f"download the file in another way and save it as {self.path}"
        return DownloadError(f"{self.label} should {expected}. Received: {received}", advice)

    def offline(self, reason):
        return DownloadError(
            f"{self.label} is not in the cache and cannot be downloaded ({reason}). "
            f"Save it as {self.path}; it is published at {self.address}",
            f"copy it from another computer to {self.path}",
        )


def download_with_retries(wanted):
    """Complete the partial file, with further attempts after interruptions, resumed if the server can."""
    if is_flag_set("KERASCNN_OFFLINE"):
        raise wanted.offline("KERASCNN_OFFLINE is set")
    best = first = size_or_zero(wanted.partial_path)
    failed = 0
    with progress(wanted.verbose, unit="bytes", wait=0, every=math.inf, topic=download_tenth, lasting=True) as shown:
        while True:
            try:
                return request_file(wanted, shown)
            except Interruption as cut:
                here = size_or_zero(wanted.partial_path)
                failed = 1 if here >= best + PROGRESS_BYTES else failed + 1  # progress beyond all attempts before
                best = max(best, here)
                if not cut.reached and best == first:
                    raise wanted.offline(cut) from None
                if failed == TRIES:
                    tried = f"{cut}, in {TRIES} attempts in a row; the {here:,} bytes received so far are kept"
                    raise wanted.error(f"be downloadable from {wanted.address}", tried) from None
            time.sleep(PAUSE * 2 ** (failed - 1))


def size_or_zero(path):
    """The size of a file in bytes; 0 if it does not exist."""
    with suppress(FileNotFoundError):
        return path.stat().st_size
    return 0


def discard_partial(wanted):
    """Delete the partial file."""
    for path in (wanted.partial_path, wanted.partial_metadata_path):
        path.unlink(missing_ok=True)


def request_file(wanted, on_progress):
    """Send one request, for what is missing, and write the response."""
    known = resume_state(wanted)
    start = known.get("start", 0)
    if start and start == known.get("total"):
        return
    with open_response(wanted, start, known.get("version")) as response:
        start, total = check_range(wanted, response, start, known.get("total"))
        check_response(wanted, response, (total or 0) - start, total)
        with wanted.partial_path.open("ab" if start else "wb") as file:
            if not start:
                about = {"address": wanted.address, "version": version_tag(response), "total": total}
                wanted.partial_metadata_path.write_text(json.dumps(about), encoding="utf-8")
            on_progress(0, total, wanted.label)
            receive_body(wanted, response, file, start, total, on_progress)


def resume_state(wanted):
    """Where to resume: start, version and total, as far as known; {} to start again.

    Without a version that the server compares, or a hash, the second half could be that of another file unnoticed.
    """
    start, known = size_or_zero(wanted.partial_path), {}
    with suppress(OSError, ValueError):
        known = json.loads(wanted.partial_metadata_path.read_text(encoding="utf-8"))
    if not isinstance(known, dict) or known.get("address", wanted.address) != wanted.address:
        return {}
    found, total = known.get("version"), known.get("total")
    found = found if isinstance(found, str) and found.isprintable() else None
    total = total if isinstance(total, int) else None
    if not start or not (found or wanted.hash) or (total is not None and start > total):
        return {}
    return {"start": start, "version": found, "total": total}


def version_tag(response):
    """The strong ETag or the date of the file; weak ETags do not identify each byte."""
    tag = response.headers.get("ETag", "")
    return tag if tag.startswith('"') else response.headers.get("Last-Modified")


def open_response(wanted, start, known):
    """The response to a request for the file from byte ``start`` on."""
    headers = {"User-Agent": "kerascnn", "Accept-Encoding": "identity"}
    if start:
        headers |= {"Range": f"bytes={start}-"} | ({"If-Range": known} if known else {})
    try:
        return build_opener(SafeRedirects).open(Request(wanted.address, headers=headers), timeout=TIMEOUT)
    except HTTPError as error:
        with error:
            raise status_error(wanted, error, start) from None
    except (URLError, UnicodeError) as error:
        raise Interruption(getattr(error, "reason", error), reached=False) from None
    except (OSError, HTTPException) as error:
        raise Interruption(connection_error_text(error)) from None


def status_error(wanted, error, start):
    """The exception for an HTTP error status."""
    status = f"HTTP status {error.code} ({responses.get(error.code, 'unknown')})"
    if error.code == 416 and start:  # the partial file is longer than the file
        discard_partial(wanted)
        return Interruption(status)
    if error.code in TEMPORARY_STATUSES:
        return Interruption(status)
    where = error.headers.get("Location")
    if where and 300 <= error.code < 400:
        return wanted.error(
            f"be available at {wanted.address}",
            f"a redirect to {where[:200]!r}, which is not an HTTP address, is no longer HTTPS, or leads back to itself",
        )
    return wanted.error(f"be available at {wanted.address}", status)


def connection_error_text(error):
    if isinstance(error, TimeoutError):
        return f"no data for {TIMEOUT} seconds"
    return f"a connection that was lost ({str(error)[:80] or type(error).__name__})"


def check_range(wanted, response, start, known):
    """(start, total): the first byte of the response and the size of the file (None: not stated)."""
    if response.status == 200:
        return 0, response.length
    if response.status != 206:
        raise wanted.error(f"be available at {wanted.address}", f"status {response.status}")
    stated = re.fullmatch(r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18}|\*)", response.headers.get("Content-Range", ""))
    total = int(stated[3]) if stated and stated[3] != "*" else known
    if not stated or int(stated[1]) != start or (total is not None and (total <= start or total != (known or total))):
        discard_partial(wanted)  # it cannot be resumed: the next attempt is for the whole file
        raise Interruption(f"a different byte range than requested ({response.headers.get('Content-Range')!r:.80})")
    return start, start + response.length if total is None and response.length else total


def check_response(wanted, response, coming, total):
    """Refuse a response that cannot be the file, before anything is written."""
    kind = response.headers.get_content_type()
    if kind in ("text/html", "application/xhtml+xml"):
        raise wanted.error(
            "be a weights file", f"a web page ({kind}): perhaps a login page, an error message or a quota notice"
        )
    coding = response.headers.get("Content-Encoding", "identity")
    if coding != "identity":
        raise wanted.error("be sent without content encoding", f"content encoding {coding!r:.40}")
    if total is not None and total > MAX_BYTES:
        raise wanted.error(f"be at most {MAX_BYTES:,} bytes long", f"{total:,}")
    free = shutil.disk_usage(wanted.path.parent).free
    if coming > free:
        raise wanted.error(f"have {coming:,} bytes of free disk space in {wanted.path.parent}", f"{free:,} bytes free")


def receive_body(wanted, response, file, start, total, on_progress):
    """Write the body, up to the stated length."""
    here = mark = start
    since = time.monotonic()
    on_progress(here, total, wanted.label)
    while total is None or here < total:
        try:
            chunk = response.read1(CHUNK if total is None else min(CHUNK, total - here))
        except (OSError, HTTPException) as error:
            raise Interruption(connection_error_text(error)) from None
        if not chunk:
            break
        file.write(chunk)
        here += len(chunk)
        on_progress(here, total, wanted.label)
        if here > MAX_BYTES:
            raise wanted.error(f"be at most {MAX_BYTES:,} bytes long", "more, and the transfer goes on")
        if time.monotonic() - since > TIMEOUT:
            if here - mark < LEAST_BYTES:
                raise Interruption(f"only {here - mark} bytes in {TIMEOUT} seconds")
            since, mark = time.monotonic(), here
    if total is not None and here < total:
        raise Interruption(f"{here:,} of {total:,} bytes")


class SafeRedirects(HTTPRedirectHandler):
    """Follow redirects to HTTP addresses only, and never from HTTPS to HTTP."""

    def redirect_request(self, asked, file, code, message, headers, address):
        allowed = ("https",) if asked.type == "https" else ("http", "https")
        if urlsplit(address).scheme not in allowed:
            return None
        return super().redirect_request(asked, file, code, message, headers, address)
