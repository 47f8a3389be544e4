"""`kerascnn cache`: the downloaded weights, what is kept of images and reports, and how to be rid of them."""

import sys
from fnmatch import fnmatchcase

import click

from kerascnn.support.text import count

from ..errors import Misuse
from ..options import Command
from ..output import answer, bold, dim, remark, short, table, to_person, width

TITLES = ("file", "size", "state")


@click.command("cache", cls=Command)
@click.argument("action", type=click.Choice(["list", "clear"]), default="list")
@click.argument("pattern", default="*")
@click.option("--yes", is_flag=True, help="Remove without asking.")
def command(action, pattern, yes):
    """List the downloaded weights, and what is kept of images and reports, or remove them.

    PATTERN takes the shell's wildcards: "resnet*". The variable KERASCNN_HOME names another folder for the cache.
    """
    from kerascnn.support.store import FEATURES, REPORTS, WEIGHTS, cached, cached_folders, home

    folder = str(home() / WEIGHTS)
    rows = [row for row in cached() if fnmatchcase(row.file, pattern)]
    rows += cached_folders(FEATURES, pattern) + cached_folders(REPORTS, pattern)
    if not rows and pattern != "*":
        raise Misuse(f"no file in {folder} fits {pattern!r}", "kerascnn cache")
    if action == "clear":
        clear_cache(folder, rows, pattern, yes)
    else:
        result = {"folder": folder, "files": [row._asdict() for row in rows], "total": total_size(rows)}
        answer("cache", result, lines(folder, rows))
        if rows and to_person():
            remark(dim("\nTo remove them: kerascnn cache clear"))


def clear_cache(folder, rows, pattern, yes):
    """Remove, and say what was removed."""
    from kerascnn.support import store

    if rows and not yes:
        ask_first(f"remove {describe_files(rows)} from {folder}?")
    gone = store.clear(pattern)
    gone += store.clear_folders(store.FEATURES, pattern) + store.clear_folders(store.REPORTS, pattern)
    kept = [row for row in store.cached() if fnmatchcase(row.file, pattern)]
    warnings = [f"{row.file} stays: it is being downloaded" for row in kept]
    result = {"folder": folder, "removed": [row._asdict() for row in gone], "total": total_size(gone)}
    answer("cache", result, [f"removed {describe_files(gone)} from {folder}"], warnings)


def ask_first(question):
    """Ask the person at the terminal; where there is none, only --yes will do."""
    if not sys.stdin.isatty():
        raise Misuse("nobody is there to be asked whether to remove files", "--yes")
    click.confirm(question, abort=True, err=True)


def lines(folder, rows):
    yield bold(folder)
    if rows:
        cells = [(row.file, format_size(row.size), "complete" if row.complete else "unfinished") for row in rows]
        yield from table(TITLES, cells, words=("file", "state"), room=width())
    yield describe_files(rows)


def describe_files(rows):
    if not rows:
        return "no files"
    return f"{count(len(rows), 'file')}, {format_size(total_size(rows))}"


def format_size(size):
    return f"{short(size)}B" if size >= 1000 else f"{size} B"


def total_size(rows):
    return sum(row.size for row in rows)
