"""How far work is: one hook, `on_progress(done, total, what)`, and the one display behind it, on stderr."""

import os
import sys
import time
from contextlib import contextmanager

PATIENCE = 5.0  # seconds before anything is shown, and between two lines where there is no terminal
VERBOSE = ("auto", 0, 1, 2)


def say(text, verbose="auto"):
    """A line for the person who waits."""
    if not silent(verbose):
        sys.stderr.write(text + "\n")
        sys.stderr.flush()


def silent(verbose="auto"):
    """Whether nobody wants to know how far it is."""
    if verbose not in VERBOSE:
        raise ValueError(f"`verbose` should be 'auto', 0, 1 or 2. Received: {verbose!r}")
    return not verbose or switched("KERASCNN_QUIET") or sys.stderr is None


def switched(name):
    """Whether a variable of the environment is set to anything but 0."""
    return os.environ.get(name, "0") not in ("", "0")


@contextmanager
def progress(verbose="auto", on_progress=None, *, unit="count", wait=None, every=None, topic=None, lasting=False):
    """Whom to call as ``on_progress(done, total, what)``, as often as one likes; it may raise to end the work.

    Args:
        verbose: 0 shows nothing, 2 lines, 1 or "auto" a bar on a terminal and lines elsewhere.
        on_progress: what is called in place of any display.
        unit: "count", "bytes", "seconds" or "text": how done and total are shown, the last not at all.
        wait: seconds before a bar is shown; ``PATIENCE`` if None, as for lines.
        every: seconds before the first line, and between two.
        topic: a function of (done, total, what); a line is also written whenever it gives something new.
        lasting: whether the bar stays when the work is done.
    """
    wait, every = PATIENCE if wait is None else wait, PATIENCE if every is None else every
    if on_progress is not None:
        yield Display(on_progress)
    elif silent(verbose):
        yield Display()
    elif verbose == 2 or not sys.stderr.isatty():
        yield Lines(unit, every, topic)
    else:
        bar = Bar(unit, wait, lasting)
        try:
            yield bar
        finally:
            bar.stop()


class Display:
    """Shows nothing by itself, but calls a hook where there is one."""

    def __init__(self, on_progress=None):
        self.on_progress = on_progress

    def __call__(self, done, total, what=""):
        if self.on_progress is not None:
            self.on_progress(done, total, what)

    def note(self, done, total, what):
        """Something that is shown for good, as a line."""
        self(done, total, what)


class Lines(Display):
    """A line now and then."""

    def __init__(self, unit, every, topic):
        self.unit, self.every, self.topic, self.before = unit, every, topic, None
        self.next = time.monotonic() + every

    def __call__(self, done, total, what=""):
        topic = self.topic and self.topic(done, total, what)
        new = self.topic is not None and topic != self.before
        if new or (time.monotonic() >= self.next and (total is None or done < total)):
            self.before = topic
            self.note(done, total, written(self.unit, done, total, what))

    def note(self, done, total, what):
        self.next = time.monotonic() + self.every
        say(what)


class Bar(Display):
    """A bar on the terminal, which begins only when it is time to show anything."""

    def __init__(self, unit, wait, lasting):
        self.unit, self.lasting, self.shown = unit, lasting, None
        self.begin = time.monotonic() + wait

    def __call__(self, done, total, what=""):
        if self.shown is None and time.monotonic() >= self.begin:
            self.shown = rich_bar(self.unit, self.lasting)
        if self.shown is not None:
            left = time_left(total - done) if self.unit == "seconds" else ""
            self.shown.update(self.shown.task_ids[0], completed=done, total=total, description=what, left=left)

    def note(self, done, total, what):
        if self.shown is None:
            say(what)
        else:
            self.shown.update(self.shown.task_ids[0], completed=done, total=total)
            self.shown.console.print(what, markup=False)

    def stop(self):
        if self.shown is not None:
            self.shown.stop()


def rich_bar(unit, lasting):
    """A bar of rich, begun."""
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
    shown = rich.Progress(text, rich.BarColumn(24), *columns[unit], console=console, transient=not lasting)
    shown.add_task("", total=None, left="")
    shown.start()
    return shown


def written(unit, done, total, what):
    """A line that says how far it is."""
    if unit == "text":
        return what
    if unit == "seconds":
        return f"{done / total:4.0%}  {what}, {time_left(total - done)}"
    if unit == "count":
        return f"{what} {done:,} of {total:,}".strip()
    if not done:
        return f"downloading {what}" + (f", {megabytes(total)}" if total else "")
    return f"  {100 * done // total:>3} %  {megabytes(done)}"


def tenth(done, total, what):
    """The topic of a download: each tenth."""
    return 10 * done // total if total else 0


def time_left(seconds):
    """How long it will take, in words."""
    if seconds < 1:
        return "nearly done"
    return f"about {seconds:.0f} s left" if seconds < 90 else f"about {seconds / 60:.0f} min left"


def megabytes(count):
    return f"{count / 1e6:.1f} MB"
