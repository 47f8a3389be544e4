"""Work done by a few threads in order, and how far it is: a line on a terminal, some lines elsewhere."""

import os
import sys
import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor

from .decode import quiet

THREADS = min(8, os.cpu_count() or 1)  # decoding leaves Python's lock
CHUNK = 16  # pieces of work that a thread takes at once
PATIENCE = 5.0  # seconds before anything is said, and between two lines where there is no terminal


def each(function, work, label=None, *, at_once=CHUNK, ahead=4 * CHUNK * THREADS):
    """``function`` of each piece of ``work``, in order, ``at_once`` of them to a thread.

    At most about ``ahead`` pieces wait to be taken, and none is left behind. With a ``label`` whoever waits is told
    how far it is.
    """
    tell = telling(label, len(work))
    pool = ThreadPoolExecutor(THREADS)
    waiting = deque()
    try:
        with quiet():
            for start in range(0, len(work), at_once):
                waiting.append(pool.submit(some, function, work[start : start + at_once]))
                if len(waiting) * at_once > ahead:
                    yield from waiting.popleft().result()
                    tell(start - at_once * len(waiting))
            while waiting:
                yield from waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)
        tell(None)


def some(function, pieces):
    return [function(piece) for piece in pieces]


def telling(label, total):
    """A function that is told how many are done, None at the end."""
    if label is None or os.environ.get("KERASCNN_QUIET", "0") not in ("", "0") or sys.stderr is None:
        return lambda done: None
    terminal = sys.stderr.isatty()
    last, written = time.monotonic(), 0

    def tell(done):
        nonlocal last, written
        if done is None:
            if terminal and written:
                write("\r" + " " * written + "\r")
        elif time.monotonic() - last > (PATIENCE if not (terminal and written) else 0.2):
            text = f"{label} {max(done, 0):,} of {total:,} ..."
            write("\r" + text.ljust(written) if terminal else text + "\n")
            last, written = time.monotonic(), max(written, len(text))

    return tell


def write(text):
    sys.stderr.write(text)
    sys.stderr.flush()
