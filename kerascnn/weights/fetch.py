"""Fetch published files: from the cache, or by a download that is resumed, checked and then cached."""

import json
import math
import os
import re
import shutil
import time
from contextlib import suppress
from dataclasses import dataclass
from http.client import HTTPException, responses
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit

from ..support.files import is_web_page
from ..support.progress import download_tenth, progress, write_line
from ..support.store import PARTIAL, Busy, companion_path, file_lock, raise_busy, weights_path
from .caches import find_flaw_of_copy, other_copies, parse_hub_address
from .connections import BlockedError, is_on_hub, offline_reason, open_address, resolve_endpoint, seconds_to_wait
from .hashes import MIN_DIGITS, MISSING, check_hash, file_hash, find_flaw, write_stamp


class DownloadError(OSError):
    """A file that could not be downloaded.

    Attributes:
        advice: what to try.
        retry: whether the download can succeed after that; otherwise the advice is to get the file in another way.
    """

    def __init__(self, message, advice="", retry=False):
        super().__init__(
            "".join(letter if letter.isprintable() else " " for letter in message)
        )  # it may quote a server
        self.advice = advice
        self.retry = retry


def fetch(address, file, hash="", *, mirror="", what="", verbose="auto"):
    """The local path of a published file: from a cache, or downloaded from ``address``, otherwise from ``mirror``.

    Files that torch, Keras or huggingface_hub have downloaded are used in place, if their hash is right.

    Args:
        address: Where the file is published. HF_ENDPOINT replaces the Hugging Face hub.
        file: Its name in the cache.
        hash: "sha256:", "sha1:" or "md5:" and at least the first 8 hexadecimal digits. Without one, the file is
            compared with the hash that the Hugging Face hub announces, and later with the first download.
        mirror: A second published address, whose file name ends in digits of its own sha256; its file may differ in
            format and has that name in the cache.
        what: Describes the file in messages: "weights of resnet18, torchvision/v1".
        verbose: 0 is silent, 2 prints lines, 1 or "auto" shows a bar on a terminal and lines elsewhere.
    """
    wanted = RemoteFile(check_address(address), weights_path(file), check_hash(hash), what, verbose)
    files = [wanted, mirrored_file(mirror, what, verbose)] if mirror else [wanted]
    try:
        for candidate in files:
            path = find_local_file(candidate)
            if path is not None:
                return path
        return download_first(files)
    except DownloadError:
        raise
    except OSError as error:  # errors of the network are DownloadErrors: this is one of the disk
        reason = f"{error.strerror or error} ({error.filename or wanted.path})"
        raise DownloadError(
            f"{wanted.label} should have a readable and writable cache folder: {wanted.path.parent}, or another "
            f"one set by KERASCNN_HOME. Received: {reason}",
            "set KERASCNN_HOME to a folder that you can write to",
            retry=True,
        ) from error


def mirrored_file(mirror, what, verbose):
    """The file of a second address: its name says its hash."""
    name = urlsplit(check_address(mirror)).path.rpartition("/")[2]
    digits = re.search(rf"-([0-9a-f]{{{MIN_DIGITS},64}})\.\w+$", name)
    if digits is None:
        raise ValueError(
            "`mirror` should be a URL whose file name ends in digits of its sha256, as net-0123abcd.pth. "
            f"Received: {mirror!r}"
        )
    return RemoteFile(mirror, weights_path(name), f"sha256:{digits[1]}", what, verbose)


def find_local_file(wanted):
    """The path of a file that is in our cache or in that of another library; None if it is in neither."""
    if find_flaw(wanted.path, wanted.hash) is None:
        return wanted.path
    for path, published in other_copies(wanted.address, wanted.path.name):
        flaw = find_flaw_of_copy(path, [hash for hash in (wanted.hash, published) if hash])
        if flaw is None:
            write_line(f"using {path} for {wanted.label}", wanted.verbose)
            return link_copy(wanted, path, published)
        write_line(f"{path} is passed over: {flaw}", wanted.verbose)
    return None


def link_copy(wanted, path, published):
    """Link another library's file into our cache, so that it is not hashed each time, and return the path to use."""
    draft = companion_path(wanted.path, f".{os.getpid()}.link")
    try:
        os.makedirs(wanted.path.parent, exist_ok=True)
        draft.symlink_to(path)
        os.replace(draft, wanted.path)
        write_stamp(wanted.path, wanted.hash or published, published or file_hash(path, "sha256"))
    except OSError:  # no right to make links, or a read-only cache
        with suppress(OSError):
            draft.unlink()
        return path
    return wanted.path


def download_first(files):
    """Download the first of the files that can be downloaded, and return its path."""
    failures = []
    for wanted in files:
        try:
            path = download_locked(wanted)
            for other in files[: len(failures)]:
                discard_unneeded_partial(other)
            return path
        except DownloadError as error:
            failures.append(error)
            if wanted is files[-1] or offline_reason(wanted.address):
                break
            write_line(f"{error}; trying {files[-1].address}", wanted.verbose)
    if len(failures) == 1:
        raise failures[0]
    raise DownloadError(
        f"{failures[0]}. Its second address failed too: {failures[1]}", failures[0].advice, failures[0].retry
    )


def download_locked(wanted):
    """Download one file while no other process does, and return its path."""
    waiting = f"waiting for another process that is downloading {wanted.label}"
    os.makedirs(wanted.path.parent, exist_ok=True)
    with file_lock(wanted.path, lambda: write_line(waiting, wanted.verbose)):
        try:
            download_verified(wanted)
        except BlockedError as error:
            raise wanted.offline(f"{error}; {error.advice}", error.advice) from None
    return wanted.path


def check_address(address):
    parts = urlsplit(address) if isinstance(address, str) and re.fullmatch(r"[!-~]+", address) else None
    if parts is None or parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"`address` should be a URL that begins with https:// or http://. Received: {address!r}")
    return address


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
        announced = download_with_retries(wanted)
        expected = announced if announced.startswith(wanted.hash) else wanted.hash
        received = hash_partial(wanted, expected)
        if received.startswith(expected):
            return move_into_cache(wanted, expected, received)
        discard_partial(wanted)
        if again:
            write_line(
                f"{wanted.label} arrived with an unexpected hash ({received}); downloading it again from the start",
                wanted.verbose,
            )
    publisher = f", which {wanted.server} announces" if expected != wanted.hash else ""
    raise wanted.error(f"have the hash {expected}{publisher}", f"{received}, in two attempts")


def hash_partial(wanted, expected):
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
    return file_hash(wanted.partial_path, expected.partition(":")[0] or "sha256")


def move_into_cache(wanted, hash, received):
    """Rename the complete file after its bytes are on the disk."""
    with wanted.partial_path.open("rb+") as file:
        os.fsync(file.fileno())
    os.replace(wanted.partial_path, wanted.path)
    wanted.partial_metadata_path.unlink(missing_ok=True)
    write_stamp(wanted.path, hash, received)
    if not hash and parse_hub_address(wanted.address):
        write_line(
            f"{wanted.label} was not verified: {wanted.server} announced no hash; it has {received}", wanted.verbose
        )


TIMEOUT = 30  # seconds without data that count as an interruption
LEAST_BYTES = 1024  # fewer bytes in that time count as one too, so that a trickle ends
TRIES = 4  # attempts in a row without progress
PAUSE = 1.0  # seconds before the second attempt, doubled for each further one
MAX_WAIT = 120  # seconds to wait if a server asks for it by Retry-After
PROGRESS_BYTES = 1 << 20  # bytes of progress after which the attempts are counted anew
CHUNK = 1 << 18
MAX_BYTES = 8 << 30  # more than any published weights file; a limit for responses without a length
TEMPORARY_STATUSES = (408, 425, 429, 500, 502, 503, 504)  # HTTP statuses worth another attempt


class Interruption(Exception):
    """The transfer was interrupted, and another attempt may resume it."""

    def __init__(self, reason, reached=True, wait=0):
        super().__init__(reason)
        self.reached = reached  # whether a server answered
        self.wait = wait  # seconds that it asks to wait


@dataclass(frozen=True)
class RemoteFile:
    """A published file and its place in the cache."""

    address: str
    path: Path
    hash: str
    what: str
    verbose: str | int

    @property
    def requested(self):
        """The address that is requested; the published one, unless HF_ENDPOINT replaces the hub."""
        return resolve_endpoint(self.address)

    @property
    def server(self):
        return urlsplit(self.requested).netloc

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

    def error(self, expected, received, advice=""):
        message = f"{self.label} should {expected}. Received: {received}"
        other_way = f"download the file in another way and save it as {self.path}"
        return DownloadError(message, advice or other_way, retry=bool(advice))

    def offline(self, reason, advice=""):
        return DownloadError(
            f"{self.label} is not in the cache and cannot be downloaded ({reason}). "
            f"Save it as {self.path}; it is published at {self.address}",
            advice or f"copy it from another computer to {self.path}",
            retry=bool(advice),
        )


def download_with_retries(wanted):
    """Complete the partial file, with further attempts after interruptions, resumed if the server can.

    Returns:
        The sha256 that the server announced: "sha256:" and the digits, or "".
    """
    reason = offline_reason(wanted.address)
    if reason:
        raise wanted.offline(reason)
    best = first = size_or_zero(wanted.partial_path)
    failed = 0
    with progress(wanted.verbose, unit="bytes", wait=0, every=math.inf, topic=download_tenth, lasting=True) as shown:
        while True:
            try:
                return request_file(wanted, shown)
            except Interruption as cut:
                wait = cut.wait
                here = size_or_zero(wanted.partial_path)
                failed = 1 if here >= best + PROGRESS_BYTES else failed + 1  # progress beyond all attempts before
                best = max(best, here)
                if not cut.reached and best == first:
                    raise wanted.offline(cut) from None
                if failed == TRIES:
                    tried = f"{cut}, in {TRIES} attempts in a row; the {here:,} bytes received so far are kept"
                    raise wanted.error(f"be downloadable from {wanted.requested}", tried) from None
            if wait:
                write_line(f"{wanted.server} asks to wait {wait} seconds", wanted.verbose)
            time.sleep(max(wait, PAUSE * 2 ** (failed - 1)))


def size_or_zero(path):
    """The size of a file in bytes; 0 if it does not exist."""
    with suppress(FileNotFoundError):
        return path.stat().st_size
    return 0


def discard_partial(wanted):
    """Delete the partial file."""
    for path in (wanted.partial_path, wanted.partial_metadata_path):
        path.unlink(missing_ok=True)


def discard_unneeded_partial(wanted):
    """Delete what an address that failed has sent, unless another process goes on with it."""
    with suppress(Busy), file_lock(wanted.path, raise_busy):
        discard_partial(wanted)


def request_file(wanted, on_progress):
    """Send one request, for what is missing, write the response, and return the sha256 that the server announced."""
    known = resume_state(wanted)
    start, version = known.get("start", 0), known.get("version")
    if start and start == known.get("total"):
        return known["sha256"]

    response, sha256 = open_response(wanted, start, version)
    with response:
        check_announced(wanted, sha256, known.get("sha256", "") if start else "")
        start, total = check_range(wanted, response, start, known.get("total"))
        check_response(wanted, response, (total or 0) - start, total)
        with wanted.partial_path.open("ab" if start else "wb") as file:
            version = version if start else version_tag(response)
            about = {"address": wanted.requested, "version": version, "total": total, "sha256": sha256}
            wanted.partial_metadata_path.write_text(json.dumps(about), encoding="utf-8")
            on_progress(0, total, wanted.label)
            receive_body(wanted, response, file, start, total, on_progress)
    return sha256


def check_announced(wanted, sha256, before):
    """Refuse a server that announces another file than the published one; start again if it changed meanwhile."""
    if sha256 and wanted.hash.startswith("sha256:") and not sha256.startswith(wanted.hash):
        raise wanted.error(f"have the hash {wanted.hash}", f"{sha256}, which {wanted.server} announces")
    if before and sha256 != before:
        discard_partial(wanted)
        raise Interruption("another version of the file than before")


def resume_state(wanted):
    """Where to resume: start, version, total and announced hash, as far as known; {} to start again.

    Without a version that the server compares, or a hash, the second half could be that of another file unnoticed.
    """
    start, known = size_or_zero(wanted.partial_path), {}
    with suppress(OSError, ValueError):
        known = json.loads(wanted.partial_metadata_path.read_text(encoding="utf-8"))
    if not isinstance(known, dict) or known.get("address", wanted.requested) != wanted.requested:
        return {}
    found, total = known.get("version"), known.get("total")
    found = found if isinstance(found, str) and found.isprintable() else None
    total = total if isinstance(total, int) else None
    sha256 = known.get("sha256")
    sha256 = sha256 if isinstance(sha256, str) else ""
    if not start or not (found or wanted.hash or sha256) or (total is not None and start > total):
        return {}
    return {"start": start, "version": found, "total": total, "sha256": sha256}


def version_tag(response):
    """The strong ETag or the date of the file; weak ETags do not identify each byte."""
    tag = response.headers.get("ETag", "")
    return tag if tag.startswith('"') else response.headers.get("Last-Modified")


def open_response(wanted, start, known):
    """The response to a request for the file from byte ``start`` on, and the sha256 that the server announced."""
    headers = {"User-Agent": "kerascnn", "Accept-Encoding": "identity"}
    if start:
        headers |= {"Range": f"bytes={start}-"} | ({"If-Range": known} if known else {})
    try:
        return open_address(wanted.requested, headers, TIMEOUT)
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
        wait = seconds_to_wait(error.headers)
        if wait <= MAX_WAIT:
            return Interruption(status, wait=wait)
        asked = f"{status}, and the server asks to wait {wait:,} seconds"
        return wanted.error(
            f"be available at {wanted.requested}", asked, f"try again in {math.ceil(wait / 60)} minutes"
        )
    if error.code in (401, 403) and os.environ.get("HF_TOKEN") and is_on_hub(wanted.requested):
        status = f"{status}, asked with the token of HF_TOKEN"
    where = error.headers.get("Location")
    if where and 300 <= error.code < 400:
        return wanted.error(
            f"be available at {wanted.requested}",
            f"a redirect to {where[:200]!r}, which is not an HTTP address, is no longer HTTPS, or leads back to itself",
        )
    return wanted.error(f"be available at {wanted.requested}", status)


def connection_error_text(error):
    if isinstance(error, TimeoutError):
        return f"no data for {TIMEOUT} seconds"
    return f"a connection that was lost ({str(error)[:80] or type(error).__name__})"


def check_range(wanted, response, start, known):
    """(start, total): the first byte of the response and the size of the file (None: not stated)."""
    if response.status == 200:
        return 0, response.length
    if response.status != 206:
        raise wanted.error(f"be available at {wanted.requested}", f"status {response.status}")
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
