"""How a command fails: exceptions that are one line on stderr, each kind with its exit code.

Exit codes: 0 done; 1 failure during work; 2 usage, of options also in variables and files; 3 missing optional part;
4 bad data or model file; 5 partial result, the rest could not be done; 130 interrupted.
"""

from contextlib import contextmanager

import click

PARTIAL, INTERRUPTED = 5, 130


class Failure(click.ClickException):
    """What went wrong, in one line, and what to try next."""

    exit_code = 1

    def __init__(self, message, advice=None):
        super().__init__(one_line(message))
        self.advice = advice


class Misuse(Failure):
    """The command line asks for something that cannot be."""

    exit_code = 2


class MissingExtra(Failure):
    """An optional part of kerascnn is not installed."""

    exit_code = 3

    def __init__(self, extra):
        super().__init__(f"this needs the optional part {extra!r}, not installed", pip_install(extra))


class BadFile(Failure):
    """A file that is not there, or not what it should be."""

    exit_code = 4


def pip_install(extra):
    return f'pip install "kerascnn[{extra}]"'


def one_line(text, limit=300):
    """The first line that says something."""
    lines = [line.strip() for line in str(text).splitlines() if line.strip()]
    first = lines[0] if lines else ""
    return first if len(first) <= limit else first[: limit - 3] + "..."


def near(name, known):
    """A hint at names that are close."""
    from kerascnn.support.text import nearest

    close = nearest(name, known, most=2)
    return f" Did you mean {' or '.join(close)}?" if close else f" There are {', '.join(known)}."


@contextmanager
def failing_as(failure, prefix="", advice=None, kinds=ValueError):
    """Make a ``failure`` of what the body raises of these ``kinds``; ``advice`` may be a function of the error.

    An image that cannot be read is always a bad file.
    """
    try:
        yield
    except kinds as error:
        from kerascnn.inputs.decode import ImageError

        if isinstance(error, ImageError):
            raise BadFile(error) from error
        raise failure(f"{prefix}{error}", advice(error) if callable(advice) else advice) from error


@contextmanager
def writing(path, failure=Misuse, advice=None):
    """Say which file or folder could not be written by the body."""
    try:
        yield
    except OSError as error:
        raise failure(f"{path} cannot be written: {error.strerror or error}", advice) from error
