"""One file over HTTP into a partial file, that goes on where it stopped, from a server that is not trusted."""

import json
import re
import shutil
import time
from contextlib import suppress
from dataclasses import dataclass
from http.client import HTTPException, responses
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.request import Request

from .cache import PARTIAL, DownloadError, beside, switched
from .progress import progress
from .web import opener

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
        return opener().open(Request(wanted.address, headers=headers), timeout=TIMEOUT)
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
