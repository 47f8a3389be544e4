"""What commands write: results to stdout as text or one JSON document, remarks to stderr."""

import os
import sys
from contextlib import contextmanager

import click

from kerascnn.support.text import cut_line

from .options import given

UNITS = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))
GAP = "  "
ALIGNED = 62  # letters up to which commands share a column with what they do
LAST = 16  # letters that the last column of a table keeps, before another column goes


def answer(command, result, lines, warnings=(), told=False):
    """A command's result: with --json one document, else the text lines, which may be a generator.

    Warnings are in the document, and remarks after the result unless they have been ``told`` before.
    """
    if given("json"):
        import json

        from kerascnn.support.files import displayable

        document = {"schema": f"kerascnn.{command}/1", "command": command, "result": result, "warnings": [*warnings]}
        click.echo(json.dumps(displayable(document), indent=2, allow_nan=False))
    else:
        for line in lines:
            click.echo(line)
    for line in () if told else warnings:
        remark(line)


@contextmanager
def collected_warnings():
    """A list that has, when the body is done, what users were warned of, each text once."""
    import warnings

    texts = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        yield texts
    texts += dict.fromkeys(str(each.message) for each in caught if issubclass(each.category, UserWarning))


def json_number(value):
    """A float as JSON takes it."""
    return float(f"{value:.6g}") if value == value else None


def json_rows(frame):
    """The rows of a table as JSON takes them."""
    return [{key: json_value(value) for key, value in row.items()} for row in frame.to_dict("records")]


def json_value(value):
    """A word or a number as JSON takes it: floats in six digits, None for none."""
    if isinstance(value, str | None):
        return value
    value = value.item() if hasattr(value, "item") else value
    return json_number(value) if isinstance(value, float) else value


@click.pass_context
def print_overview(context):
    """What a group of commands says where none of them is asked for: which there are."""
    if context.invoked_subcommand is None:
        command = context.command
        known = {name: below.get_short_help_str(100) for name, below in command.commands.items()}
        answer(command.name, {"commands": known}, context.get_help().splitlines())


def remark(text=""):
    """Something for the person at the terminal, not for a program that reads the result."""
    if not given("quiet"):
        click.echo(text, err=True)


def verbosity():
    """What functions of the package take as ``verbose``."""
    return 0 if given("quiet") else "auto"


def to_person():
    """Whether somebody reads the result on a terminal, and wants to be told more than the result."""
    return sys.stdout.isatty() and not given("json") and not given("quiet")


@contextmanager
def waiting(text):
    """A line that stands on the terminal while the body runs."""
    shown = sys.stderr.isatty() and not given("quiet")
    if shown:
        click.echo(dim(text), err=True, nl=False)
    try:
        yield
    finally:
        if shown:
            click.echo("\r" + " " * len(text) + "\r", err=True, nl=False)


def replace_missing_letters():
    """Write a question mark where the terminal has no such letter, rather than fail."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")


def width():
    """Columns of the terminal; None where the output goes to a file or a pipe."""
    columns = os.environ.get("COLUMNS", "")
    if columns.isdigit() and int(columns):
        return int(columns)
    try:
        return os.get_terminal_size(sys.stdout.fileno()).columns or None
    except (OSError, ValueError):
        return None


def short(number, digits=3, padded=True):
    """A count in few digits: 25.6 M, 4.09 G; a dash for none. ``padded`` keeps the zeros at the end."""
    if number is None:
        return "-"
    number = float(f"{number:.{digits}g}") if number >= 1000 else number
    for size, letter in UNITS:
        if number >= size:
            sign = "#" if padded else ""
            return f"{number / size:{sign}.{digits}g}".rstrip(".") + f" {letter}"
    return f"{number:g}"


def exact(number):
    return "-" if number is None else f"{number:,}"


def percent(part, whole):
    return f"{100 * part / whole:.1f} %" if whole else ""


def bar(part, whole, length=10):
    """A share as a bar."""
    block = "█" if "utf" in (getattr(sys.stdout, "encoding", "") or "").lower() else "#"
    return block * round(length * part / whole) if whole else ""


def bold(text):
    return click.style(text, bold=True)


def dim(text):
    return click.style(text, dim=True)


def table(titles, rows, *, words=(), spare=(), room=None):
    """Aligned columns under bold titles; those in ``words`` to the left, numbers to the right.

    In a terminal of less ``room`` the columns in ``spare`` go, in that order, and the last is cut.
    """
    columns = {title: [title, *map(str, cells)] for title, *cells in zip(titles, *rows, strict=True)}
    widths = {title: max(map(len, cells)) for title, cells in columns.items()}

    def needed():
        return sum(min(widths[title], LAST) if title == titles[-1] else widths[title] for title in columns)

    for title in spare:
        if room is not None and needed() + len(GAP) * (len(columns) - 1) > room:
            del columns[title]

    def line(cells):
        align = {title: str.ljust if title in words else str.rjust for title in columns}
        aligned = [align[title](cell, widths[title]) for title, cell in zip(columns, cells, strict=True)]
        return cut_line(GAP.join(aligned).rstrip(), room)

    first, *others = zip(*columns.values(), strict=True)
    yield bold(line(first))
    yield from map(line, others)


def pairs(facts, *, indent=GAP, room=None):
    """Names and what they are, long texts wrapped beside the name; an address stays whole."""
    import textwrap

    names = max(map(len, facts), default=0)
    for name, text in facts.items():
        head = indent + name.ljust(names) + GAP
        space = max(30, (room or 100) - len(head))
        wrapped = textwrap.wrap(str(text), space, break_on_hyphens=False, break_long_words=False) or [""]
        yield dim(head) + wrapped[0]
        yield from (" " * len(head) + line for line in wrapped[1:])


def next_steps(steps):
    """Commands that come next, and what each does."""
    yield ""
    yield bold("next")
    length = max((len(command) for command in steps if len(command) <= ALIGNED), default=0)
    yield from (f"{GAP}{command.ljust(length)}{GAP}{dim(what)}" for command, what in steps.items())
