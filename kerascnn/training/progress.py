"""How far training is: a bar on a terminal, a line an epoch elsewhere; and Ctrl-C, once to end, twice to stop."""

import signal
import sys
import threading
import time
from contextlib import contextmanager

from ..support.progress import say, silent

PATIENCE = 60.0  # seconds of an epoch without a line


class Silent:
    """Tells nothing."""

    def step(self, batch, logs):
        pass

    def epoch(self, row):
        pass


class Lines(Silent):
    """A line after each epoch, and in a long one each minute."""

    def __init__(self, steps, epochs, done):
        self.steps, self.epochs, self.done, self.last = steps, epochs, done, time.monotonic()

    def step(self, batch, logs):
        if time.monotonic() - self.last > PATIENCE:
            self.last = time.monotonic()
            say(f"{counted(self.done + 1, self.epochs)}  step {batch + 1} of {self.steps}  loss {logs['loss']:.3f}")

    def epoch(self, row):
        self.done, self.last = row["epoch"], time.monotonic()
        say(f"{counted(self.done, self.epochs)}  {told(row)}")


class Bar(Silent):
    """A bar over the steps, and above it a line an epoch."""

    def __init__(self, shown, steps, epochs, done):
        self.shown, self.steps, self.epochs, self.done = shown, steps, epochs, done
        self.task = shown.add_task("", total=steps * epochs, completed=steps * done)

    def step(self, batch, logs):
        text = f"{counted(self.done + 1, self.epochs)}  loss {logs['loss']:.3f}"
        self.shown.update(self.task, completed=self.done * self.steps + batch + 1, description=text)

    def epoch(self, row):
        self.done = row["epoch"]
        self.shown.console.print(f"{counted(self.done, self.epochs)}  {told(row)}")


def counted(epoch, epochs):
    return f"epoch {epoch:>{len(str(epochs))}} of {epochs}"


def told(row):
    """An epoch in words."""
    parts = [f"loss {row['loss']:.3f}  {100 * row['accuracy']:5.1f} %"]
    if row["val_loss"] is not None:
        parts += [f"valid {row['val_loss']:.3f}  {100 * row['val_accuracy']:5.1f} %"]
    return "   ".join([*parts, f"rate {row['rate']:.2g}   {row['seconds']:.1f} s"])


@contextmanager
def telling(verbose, steps, epochs, done=0):
    """Something to be told each step and epoch; ``verbose`` "auto" or True tells, False does not."""
    if verbose not in ("auto", True, False):
        raise ValueError(f"`verbose` should be 'auto', True or False. Received: {verbose!r}")
    if silent(not verbose):
        yield Silent()
    elif not sys.stderr.isatty():
        yield Lines(steps, epochs, done)
    else:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        columns = (TextColumn("{task.description}", markup=False), BarColumn(), TimeRemainingColumn())
        with Progress(*columns, console=Console(stderr=True, highlight=False)) as shown:
            yield Bar(shown, steps, epochs, done)


class Interrupt:
    """Whether somebody asked to end; the second time it does not wait."""

    asked = False

    def __call__(self, number, frame):
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True
        say("\nending after this epoch; Ctrl-C again stops at once")


@contextmanager
def interruptible():
    """Let the first Ctrl-C only ask; other threads than the main one get no signals."""
    interrupt = Interrupt()
    if threading.current_thread() is not threading.main_thread():
        yield interrupt
        return
    before = signal.signal(signal.SIGINT, interrupt)
    try:
        yield interrupt
    finally:
        signal.signal(signal.SIGINT, before)
