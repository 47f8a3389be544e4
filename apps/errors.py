"""Failures of commands: one line on stderr and an exit code for each kind.

Exit codes: 0 success; 1 error; 2 wrong usage, also of options in variables and files; 3 missing optional extra; 4 bad
data or model file; 5 partial result; 130 interrupted.
"""

from contextlib import contextmanager

import click

PARTIAL, INTERRUPTED = 5, 130


class Failure(click.ClickException):
    """An error in one line, with advice on what to try."""

    exit_code = 1

    def __init__(self, message, advice=None):
        super().__init__(one_line(message))
        self.advice = advice


class Misuse(Failure):
    """The command line is wrong."""

    exit_code = 2


class MissingExtra(Failure):
    """An optional extra of kerascnn is not installed."""

    exit_code = 3

    def __init__(self, extra):
        super().__init__(f"this needs the optional extra {extra!r}, which is not installed", pip_install(extra))


class BadFile(Failure):
    """A file is missing or not what it should be."""

    exit_code = 4


def pip_install(extra):
    return f'pip install "kerascnn[{extra}]"'


def one_line(text, limit=300):
    """The first line with text."""
    lines = [line.strip() for line in str(text).splitlines() if line.strip()]
    first = lines[0] if lines else ""
    return first if len(first) <= limit else first[: limit - 3] + "..."


def suggest_names(name, names):
    """A hint with similar names."""
    from kerascnn.support.text import close_matches

    close = close_matches(name, names, limit=2)
    return f" Did you mean {' or '.join(close)}?" if close else f" Available: {', '.join(names)}."


@contextmanager
def raise_as(failure, prefix="", advice=None, kinds=ValueError):
    """Raise ``failure`` for errors of these ``kinds`` in the body; ``advice`` may be a function of the error.

    An unreadable image is always a bad file.
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
    """Name the file or folder that the body could not write."""
    try:
        yield
    except OSError as error:
        raise failure(f"cannot write {path}: {error.strerror or error}", advice) from error
