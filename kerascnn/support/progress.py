"""Progress of long work: one hook, `on_progress(done, total, what)`, and one display on stderr."""

import os
import sys
import time
from contextlib import contextmanager

PATIENCE = 5.0  # seconds before anything is shown, and between two lines where there is no terminal
VERBOSE = ("auto", 0, 1, 2)


def write_line(text, verbose="auto"):
    """Write a line to stderr, unless silent."""
    if not is_silent(verbose):
        sys.stderr.write(text + "\n")
        sys.stderr.flush()


def is_silent(verbose="auto"):
    """Whether nothing should be shown."""
    if verbose not in VERBOSE:
        raise ValueError(f"`verbose` should be 'auto', 0, 1 or 2. Received: {verbose!r}")
    return not verbose or is_flag_set("KERASCNN_QUIET") or sys.stderr is None


def is_flag_set(name):
    """Whether an environment variable is set to anything but 0."""
    return os.environ.get(name, "0") not in ("", "0")


@contextmanager
def progress(verbose="auto", on_progress=None, *, unit="count", wait=None, every=None, topic=None, lasting=False):
    """Yield a function to call as ``progress(done, total, what)``, as often as you like; it may raise to end the work.

    Args:
        verbose: 0 shows nothing, 2 lines, 1 or "auto" a bar on a terminal and lines elsewhere.
        on_progress: called instead of any display.
        unit: "count", "bytes", "seconds" or "text": how done and total are shown ("text": not at all).
        wait: seconds before a bar is shown; ``PATIENCE`` if None.
        every: seconds before the first line, and between two; ``PATIENCE`` if None.
        topic: a function of (done, total, what); a line is also written whenever its value changes.
        lasting: whether the bar stays on the screen when the work is done.
    """
    wait, every = PATIENCE if wait is None else wait, PATIENCE if every is None else every
    if on_progress is not None:
        yield ProgressHook(on_progress)
    elif is_silent(verbose):
        yield ProgressHook()
    elif verbose == 2 or not sys.stderr.isatty():
        yield ProgressLines(unit, every, topic)
    else:
        bar = ProgressBar(unit, wait, lasting)
        try:
            yield bar
        finally:
            bar.stop()


class ProgressHook:
    """Shows nothing by itself, but calls the hook, if there is one."""

    def __init__(self, on_progress=None):
        self.on_progress = on_progress

    def __call__(self, done, total, what=""):
        if self.on_progress is not None:
            self.on_progress(done, total, what)

    def note(self, done, total, what):
        """Show a line that stays."""
        self(done, total, what)


class ProgressLines(ProgressHook):
    """Progress as a line now and then."""

    def __init__(self, unit, every, topic):
        self.unit, self.every, self.topic, self.before = unit, every, topic, None
        self.next = time.monotonic() + every

    def __call__(self, done, total, what=""):
        topic = self.topic and self.topic(done, total, what)
        new = self.topic is not None and topic != self.before
        if new or (time.monotonic() >= self.next and (total is None or done < total)):
            self.before = topic
            self.note(done, total, progress_line(self.unit, done, total, what))

    def note(self, done, total, what):
        self.next = time.monotonic() + self.every
        write_line(what)


class ProgressBar(ProgressHook):
    """A progress bar on the terminal, shown after ``wait`` seconds."""

    def __init__(self, unit, wait, lasting):
        self.unit, self.lasting, self.shown = unit, lasting, None
        self.begin = time.monotonic() + wait

    def __call__(self, done, total, what=""):
        if self.shown is None and time.monotonic() >= self.begin:
            self.shown = start_rich_bar(self.unit, self.lasting)
        if self.shown is not None:
            left = format_remaining(total - done) if self.unit == "seconds" else ""
            self.shown.update(self.shown.task_ids[0], completed=done, total=total, description=what, left=left)

    def note(self, done, total, what):
        if self.shown is None:
            write_line(what)
        else:
            self.shown.update(self.shown.task_ids[0], completed=done, total=total)
            self.shown.console.print(what, markup=False)

    def stop(self):
        if self.shown is not None:
            self.shown.stop()


def start_rich_bar(unit, lasting):
    """Start a progress bar of rich."""
    from rich import progress as rich
    from rich.console import Console

    columns = {
        "count": (rich.MofNCompleteColumn(), rich.TimeRemainingColumn()),
        "bytes": (rich.DownloadColumn(), rich.TransferSpeedColumn(), rich.TimeRemainingColumn()),
        "seconds": (rich.TaskProgressColumn(), rich.TextColumn("{task.fields[left]}")),
        "text": (rich.TimeRemainingColumn(),),
    }
    text = rich.TextColumn("{task.description}", markup=False)
    console = Console(stderr=True, highlight=False)
    bar = rich.Progress(text, rich.BarColumn(24), *columns[unit], console=console, transient=not lasting)
    bar.add_task("", total=None, left="")
    bar.start()
    return bar


def progress_line(unit, done, total, what):
    """A line of progress."""
    if unit == "text":
        return what
    if unit == "seconds":
        return f"{done / total:4.0%}  {what}, {format_remaining(total - done)}"
    if unit == "count":
        return f"{what} {done:,} of {total:,}".strip()
    if not done:
        return f"downloading {what}" + (f" ({format_megabytes(total)})" if total else "")
    return f"  {100 * done // total:>3} %  {format_megabytes(done)}"


def download_tenth(done, total, what):
    """The topic of a download: its tenths."""
    return 10 * done // total if total else 0


def format_remaining(seconds):
    """The remaining time in words."""
    if seconds < 1:
        return "almost done"
    return f"about {seconds:.0f} s remaining" if seconds < 90 else f"about {seconds / 60:.0f} min remaining"


def format_megabytes(count):
    return f"{count / 1e6:.1f} MB"


def stage_progress(on_progress, stage, stages):
    """The hook for one of several equal stages, which reports the progress of all; None without a hook."""
    if on_progress is None:
        return None
    return lambda done, total, what: on_progress(stage * total + done, stages * total, what)
