"""The output of commands: results to stdout as text or one JSON document, messages to stderr."""

import os
import sys
from contextlib import contextmanager

import click

from kerascnn.support.text import clip_line

from .options import is_flag_set

UNITS = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))
GAP = "  "
ALIGNED = 60  # longest command that is aligned with the others, in characters
LAST = 16  # least width of the last column before another column is dropped


def print_result(command, result, lines, warnings=(), printed=False):
    """Print the result of a command: one JSON document with --json, else the lines.

    Warnings are part of the document; they are also printed to stderr unless they have been ``printed`` before.
    """
    if is_flag_set("json"):
        import json

        from kerascnn.support.files import escape_surrogates

        document = {"schema": f"kerascnn.{command}/1", "command": command, "result": result, "warnings": [*warnings]}
        click.echo(json.dumps(escape_surrogates(document), indent=2, allow_nan=False))
    else:
        for line in lines:
            click.echo(line)
    for line in () if printed else warnings:
        remark(line)


@contextmanager
def collect_warnings():
    """Collect the user warnings of the body in a list, each text once."""
    import warnings

    texts = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        yield texts
    texts += dict.fromkeys(str(warning.message) for warning in caught if issubclass(warning.category, UserWarning))


def json_number(value):
    """A float with six digits for JSON; None for NaN."""
    return float(f"{value:.6g}") if value == value else None


def json_rows(frame):
    """The rows of a DataFrame as plain data."""
    return [{key: json_value(value) for key, value in row.items()} for row in frame.to_dict("records")]


def json_value(value):
    """A word or a number as plain data: floats with six digits, None for NaN."""
    if isinstance(value, str | None):
        return value
    value = value.item() if hasattr(value, "item") else value
    return json_number(value) if isinstance(value, float) else value


@click.pass_context
def print_overview(context):
    """Print the commands of a group if none of them is called."""
    if context.invoked_subcommand is None:
        command = context.command
        commands = {name: below.get_short_help_str(100) for name, below in command.commands.items()}
        print_result(command.name, {"commands": commands}, context.get_help().splitlines())


def remark(text=""):
    """Print a message for people to stderr, unless --quiet."""
    if not is_flag_set("quiet"):
        click.echo(text, err=True)


def verbosity():
    """The ``verbose`` argument for functions of the package."""
    return 0 if is_flag_set("quiet") else "auto"


def is_interactive():
    """Whether a person reads the result on a terminal, and may want hints."""
    return sys.stdout.isatty() and not is_flag_set("json") and not is_flag_set("quiet")


@contextmanager
def waiting(text):
    """Show a line on the terminal while the body runs."""
    is_shown = sys.stderr.isatty() and not is_flag_set("quiet")
    if is_shown:
        click.echo(dim(text), err=True, nl=False)
    try:
        yield
    finally:
        if is_shown:
            click.echo("\r" + " " * len(text) + "\r", err=True, nl=False)


def replace_unprintable():
    """Replace characters that the terminal cannot show by question marks."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")


def terminal_width():
    """Columns of the terminal; None if the output goes to a file or a pipe."""
    columns = os.environ.get("COLUMNS", "")
    if columns.isdigit() and int(columns):
        return int(columns)
    try:
        return os.get_terminal_size(sys.stdout.fileno()).columns or None
    except (OSError, ValueError):
        return None


def format_count(number, digits=3, padded=True):
    """A count with few digits: 25.6 M, 4.09 G; a dash for None. ``padded`` keeps trailing zeros."""
    if number is None:
        return "-"
    number = float(f"{number:.{digits}g}") if number >= 1000 else number
    for size, letter in UNITS:
        if number >= size:
            sign = "#" if padded else ""
            return f"{number / size:{sign}.{digits}g}".rstrip(".") + f" {letter}"
    return f"{number:g}"


def format_exact(number):
    return "-" if number is None else f"{number:,}"


def percent(part, total):
    return f"{100 * part / total:.1f} %" if total else ""


def bar(part, total, length=10):
    """A fraction as a bar."""
    block = "█" if "utf" in (getattr(sys.stdout, "encoding", "") or "").lower() else "#"
    return block * round(length * part / total) if total else ""


def bold(text):
    return click.style(text, bold=True)


def dim(text):
    return click.style(text, dim=True)


def format_table(titles, rows, *, words=(), spare=(), room=None):
    """Aligned columns under bold titles; those in ``words`` to the left, numbers to the right.

    If ``room`` is too small, the columns in ``spare`` are dropped in that order, and the last column is shortened.
    """
    columns = {title: [title, *map(str, cells)] for title, *cells in zip(titles, *rows, strict=True)}
    widths = {title: max(map(len, cells)) for title, cells in columns.items()}

    def columns_width():
        return sum(min(widths[title], LAST) if title == titles[-1] else widths[title] for title in columns)

    for title in spare:
        if room is not None and columns_width() + len(GAP) * (len(columns) - 1) > room:
            del columns[title]

    def line(cells):
        align = {title: str.ljust if title in words else str.rjust for title in columns}
        aligned = [align[title](cell, widths[title]) for title, cell in zip(columns, cells, strict=True)]
        return clip_line(GAP.join(aligned).rstrip(), room)

    title_row, *body_rows = zip(*columns.values(), strict=True)
    yield bold(line(title_row))
    yield from map(line, body_rows)


def format_pairs(facts, *, indent=GAP, room=None):
    """Names and texts in two columns; long texts are wrapped, URLs are not broken."""
    import textwrap

    names = max(map(len, facts), default=0)
    for name, text in facts.items():
        head = indent + name.ljust(names) + GAP
        space = max(30, (room or 100) - len(head))
        wrapped = textwrap.wrap(str(text), space, break_on_hyphens=False, break_long_words=False) or [""]
        yield dim(head) + wrapped[0]
        yield from (" " * len(head) + line for line in wrapped[1:])


def next_steps(steps):
    """Suggested commands, with what each does."""
    yield ""
    yield bold("next")
    length = max((len(command) for command in steps if len(command) <= ALIGNED), default=0)
    yield from (f"{GAP}{command.ljust(length)}{GAP}{dim(description)}" for command, description in steps.items())
