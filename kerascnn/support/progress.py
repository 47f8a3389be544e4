"""How far a download is: a bar on a terminal, a few lines elsewhere, nothing where nobody asked."""

import os
import sys
from contextlib import contextmanager


def silent(quiet):
    return quiet or switched("KERASCNN_QUIET") or sys.stderr is None


def say(text, quiet=False):
    """A line for the person who waits."""
    if not silent(quiet):
        sys.stderr.write(text + "\n")
        sys.stderr.flush()


@contextmanager
def progress(label, quiet=False):
    """A function to be told, as often as one likes, how many bytes are here and how many there will be (or None)."""
    if silent(quiet):
        yield lambda done, total: None
    elif sys.stderr.isatty():
        with bar(label) as tell:
            yield tell
    else:
        yield lines(label)


@contextmanager
def bar(label):
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    text = TextColumn("{task.description}", markup=False)
    columns = (text, BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as shown:
        task = shown.add_task(label, total=None)
        yield lambda done, total: shown.update(task, completed=done, total=total)


def lines(label):
    """Tells by lines: the start, each tenth, the last of them the end."""
    told = -1

    def tell(done, total):
        nonlocal told
        if told < 0:
            say(f"downloading {label}" + (f", {megabytes(total)}" if total else ""))
        tenth = 10 * done // total if total else 0
        if tenth > max(told, 0):
            say(f"  {10 * tenth:>3} %  {megabytes(done)}")
        told = max(tenth, told)

    return tell


def megabytes(count):
    return f"{count / 1e6:.1f} MB"


def switched(name):
    """Whether a variable of the environment is set to anything but 0."""
    return os.environ.get(name, "0") not in ("", "0")
