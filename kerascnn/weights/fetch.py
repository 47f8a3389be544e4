"""One `fetch` for all published weights: the file in the cache, downloaded and checked where it is not there yet."""

import hashlib
import json
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
from ..support.progress import progress, say, switched
from ..support.store import PARTIAL, beside, locked, place

DIGITS = {"sha256": 64, "sha1": 40, "md5": 32}
SHORTEST = 8  # digits of a hash that are published; fewer would let damage pass
MISSING = "nothing"


class DownloadError(OSError):
    """A file of weights that could not be brought here: one line, and in ``advice`` what to try."""

    def __init__(self, message, advice=""):
        super().__init__("".join(letter if letter.isprintable() else " " for letter in message))  # servers' words too
        self.advice = advice


def fetch(address, file, hash="", *, what="", quiet=False):
    """The path of a file of weights, downloaded from ``address`` first where it is not in the cache.

    ``hash`` is "sha256:", "sha1:" or "md5:" and at least the first 8 hexadecimal digits. Without one, the file is later
    compared with what came the first time. ``what`` is for messages: "weights of resnet18, torchvision/v1".
    """
    wanted = Wanted(checked_address(address), place(file), checked_hash(hash), what, quiet)
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
    with wanted.part.open("rb") as file:
        start = file.read(512)
        empty = not os.fstat(file.fileno()).st_size
    if empty or is_web_page(start):
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


TIMEOUT = 30  # seconds without a byte that are a stall
LEAST = 1024  # bytes in that time that are one too: a byte now and then would keep us waiting for ever
TRIES = 4  # in a row that bring nothing
PAUSE = 1.0  # seconds before the second of them, doubled for each further one
WORTH = 1 << 20  # bytes further than ever before, after which the tries count anew
CHUNK = 1 << 18
MOST = 8 << 30  # bytes that no published file of weights has; a body without a stated length ends there
PASSING = (408, 425, 429, 500, 502, 503, 504)  # statuses that may be better in a moment


class Cut(Exception):
    """The transfer broke off, and another try may go on with it."""

    def __init__(self, reason, reached=True):
        super().__init__(reason)
        self.reached = reached  # whether there was a server at all


@dataclass(frozen=True)
class Wanted:
    """A file as it is published, and where it goes."""

    address: str
    path: Path
    hash: str
    what: str
    quiet: bool

    @property
    def part(self):
        return beside(self.path, PARTIAL)

    @property
    def about(self):
        """Beside the partial file: which version of which address it is a part of."""
        return beside(self.path, PARTIAL + ".json")

    @property
    def label(self):
        return f"{self.path.name} ({self.what})" if self.what else self.path.name

    def error(self, expected, received):
        advice = f"bring the file by other means, and put it at {self.path}"
        return DownloadError(f"{self.label} should {expected}. Received: {received}", advice)

    def offline(self, reason):
        return DownloadError(
            f"{self.label} is not in the cache, and there is no connection ({reason}). "
            f"Put it at {self.path}; it is published at {self.address}",
            f"bring it here from another computer, as {self.path}",
        )


def download(wanted):
    """Complete the partial file: again after a break, and from where it broke off if the server can."""
    if switched("KERASCNN_OFFLINE"):
        raise wanted.offline("KERASCNN_OFFLINE is set")
    best = first = size(wanted.part)
    failed = 0
    with progress(wanted.label, wanted.quiet) as tell:
        while True:
            try:
                return transfer(wanted, tell)
            except Cut as cut:
                here = size(wanted.part)
                failed = 1 if here >= best + WORTH else failed + 1  # further than ever: not the same bytes again
                best = max(best, here)
                if not cut.reached and best == first:
                    raise wanted.offline(cut) from None
                if failed == TRIES:
                    tried = f"{cut}, {TRIES} times in a row; the {here:,} bytes that came are kept"
                    raise wanted.error(f"come from {wanted.address}", tried) from None
            time.sleep(PAUSE * 2 ** (failed - 1))


def size(path):
    with suppress(FileNotFoundError):
        return path.stat().st_size
    return 0


def forget(wanted):
    """Remove what has come so far."""
    for path in (wanted.part, wanted.about):
        path.unlink(missing_ok=True)


def transfer(wanted, tell):
    """One request, and what it brings."""
    known = remembered(wanted)
    start = known.get("start", 0)
    if start and start == known.get("total"):
        return
    with answer(wanted, start, known.get("version")) as response:
        start, total = agreed(wanted, response, start, known.get("total"))
        refuse(wanted, response, (total or 0) - start, total)
        with wanted.part.open("ab" if start else "wb") as file:
            if not start:
                about = {"address": wanted.address, "version": version(response), "total": total}
                wanted.about.write_text(json.dumps(about), encoding="utf-8")
            receive(wanted, response, file, start, total, tell)


def remembered(wanted):
    """Where to go on: start, version and total, as far as known; nothing where it is better to start again.

    Without a version that the server can compare, or a hash at the end, nobody would notice that the second half is
    that of another file.
    """
    start, known = size(wanted.part), {}
    with suppress(OSError, ValueError):
        known = json.loads(wanted.about.read_text(encoding="utf-8"))
    if not isinstance(known, dict) or known.get("address", wanted.address) != wanted.address:
        return {}
    found, total = known.get("version"), known.get("total")
    found = found if isinstance(found, str) and found.isprintable() else None
    total = total if isinstance(total, int) else None
    if not start or not (found or wanted.hash) or (total is not None and start > total):
        return {}
    return {"start": start, "version": found, "total": total}


def version(response):
    """What names this version of the file, if it names each byte of it: a weak ETag does not."""
    tag = response.headers.get("ETag", "")
    return tag if tag.startswith('"') else response.headers.get("Last-Modified")


def answer(wanted, start, known):
    """The server's answer to a request for the file from byte ``start`` on."""
    headers = {"User-Agent": "kerascnn", "Accept-Encoding": "identity"}
    if start:
        headers |= {"Range": f"bytes={start}-"} | ({"If-Range": known} if known else {})
    try:
        return build_opener(Redirects).open(Request(wanted.address, headers=headers), timeout=TIMEOUT)
    except HTTPError as error:
        with error:
            raise refused(wanted, error, start) from None
    except (URLError, UnicodeError) as error:
        raise Cut(getattr(error, "reason", error), reached=False) from None
    except (OSError, HTTPException) as error:
        raise Cut(described(error)) from None


def refused(wanted, error, start):
    """The exception for a status that is no success."""
    status = f"status {error.code} ({responses.get(error.code, 'unknown')})"
    if error.code == 416 and start:  # we have more than there is
        forget(wanted)
        return Cut(status)
    if error.code in PASSING:
        return Cut(status)
    where = error.headers.get("Location")
    if where and 300 <= error.code < 400:
        return wanted.error(
            f"be at {wanted.address}", f"a redirect to {where[:200]!r}, which is no http, no longer https, or a circle"
        )
    return wanted.error(f"be at {wanted.address}", status)


def described(error):
    if isinstance(error, TimeoutError):
        return f"nothing for {TIMEOUT} seconds"
    return f"a connection that broke off ({str(error)[:80] or type(error).__name__})"


def agreed(wanted, response, start, known):
    """From which byte on the file comes, and how long it is in all (None: not said)."""
    if response.status == 200:
        return 0, response.length
    if response.status != 206:
        raise wanted.error(f"be at {wanted.address}", f"status {response.status}")
    stated = re.fullmatch(r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18}|\*)", response.headers.get("Content-Range", ""))
    total = int(stated[3]) if stated and stated[3] != "*" else known
    if not stated or int(stated[1]) != start or (total is not None and (total <= start or total != (known or total))):
        forget(wanted)  # what we have cannot be continued: the next try is for the whole file
        raise Cut(f"another part than asked for ({response.headers.get('Content-Range')!r:.80})")
    return start, start + response.length if total is None and response.length else total


def refuse(wanted, response, coming, total):
    """Stop before anything is written, where this cannot end well."""
    kind = response.headers.get_content_type()
    if kind in ("text/html", "application/xhtml+xml"):
        raise wanted.error("be a file of weights", f"a web page ({kind}): a login, an error or a quota")
    coding = response.headers.get("Content-Encoding", "identity")
    if coding != "identity":
        raise wanted.error("come as it is", f"it in another coding ({coding!r:.40})")
    if total is not None and total > MOST:
        raise wanted.error(f"have at most {MOST:,} bytes", f"{total:,}")
    free = shutil.disk_usage(wanted.path.parent).free
    if coming > free:
        raise wanted.error(f"find {coming:,} bytes free in {wanted.path.parent}", f"{free:,} bytes free")


def receive(wanted, response, file, start, total, tell):
    """Write the body, no further than the stated length."""
    here = mark = start
    since = time.monotonic()
    tell(here, total)
    while total is None or here < total:
        try:
            chunk = response.read1(CHUNK if total is None else min(CHUNK, total - here))
        except (OSError, HTTPException) as error:
            raise Cut(described(error)) from None
        if not chunk:
            break
        file.write(chunk)
        here += len(chunk)
        tell(here, total)
        if here > MOST:
            raise wanted.error(f"have at most {MOST:,} bytes", "more, and no end of it")
        if time.monotonic() - since > TIMEOUT:
            if here - mark < LEAST:
                raise Cut(f"only {here - mark} bytes in {TIMEOUT} seconds")
            since, mark = time.monotonic(), here
    if total is not None and here < total:
        raise Cut(f"{here:,} of {total:,} bytes")


class Redirects(HTTPRedirectHandler):
    """Follow redirects to HTTP only, and never from a protected connection to an open one."""

    def redirect_request(self, asked, file, code, message, headers, address):
        allowed = ("https",) if asked.type == "https" else ("http", "https")
        if urlsplit(address).scheme not in allowed:
            return None
        return super().redirect_request(asked, file, code, message, headers, address)
