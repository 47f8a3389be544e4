"""`kerascnn cache`: list or remove downloaded weights, cached images and reports, and remembered splits."""

import sys
from fnmatch import fnmatchcase

import click

from kerascnn.support.text import pluralize

from ..errors import Misuse
from ..options import Command
from ..output import bold, dim, format_count, format_table, is_interactive, print_result, remark, terminal_width

TITLES = ("file", "size", "state")


@click.command("cache", cls=Command)
@click.argument("action", type=click.Choice(["list", "clear"]), default="list")
@click.argument("pattern", default="*")
@click.option("--yes", is_flag=True, help="Remove files without confirmation.")
def cache_command(action, pattern, yes):
    """List or remove downloaded weights, cached images and reports, and remembered splits.

    PATTERN may use shell wildcards: "resnet*". The splits of your datasets cannot be computed again after the data have
    grown, so clear removes them only if PATTERN names them: "photos-*". Set KERASCNN_HOME to use another cache folder.
    """
    from kerascnn.support.store import FEATURES, REPORTS, SPLITS, WEIGHTS, home, list_cached_files, list_cached_folders

    folder = str(home() / WEIGHTS)
    rows = [row for row in list_cached_files() if fnmatchcase(row.file, pattern)]
    rows += list_cached_folders(FEATURES, pattern) + list_cached_folders(REPORTS, pattern)
    if action == "list" or pattern != "*":
        rows += list_cached_folders(SPLITS, pattern)
    if not rows and pattern != "*":
        raise Misuse(f"no file in {folder} matches {pattern!r}", "kerascnn cache")
    if action == "clear":
        clear_cache(folder, rows, pattern, yes)
    else:
        result = {"folder": folder, "files": [row._asdict() for row in rows], "total": total_size(rows)}
        print_result("cache", result, cache_lines(folder, rows))
        if rows and is_interactive():
            remark(dim("\nTo remove them: kerascnn cache clear"))


def clear_cache(folder, rows, pattern, yes):
    """Remove files and print what was removed."""
    from kerascnn.support import store

    if rows and not yes:
        ask_first(f"Remove {describe_files(rows)} from {folder}?")
    gone = store.clear_cached_files(pattern)
    gone += store.clear_cached_folders(store.FEATURES, pattern) + store.clear_cached_folders(store.REPORTS, pattern)
    gone += store.clear_cached_folders(store.SPLITS, pattern) if pattern != "*" else []
    kept = [row for row in store.list_cached_files() if fnmatchcase(row.file, pattern)]
    warnings = [f"kept {row.file}: it is still being downloaded" for row in kept]
    splits = store.list_cached_folders(store.SPLITS)
    if splits and pattern == "*":
        name = splits[0].file.rpartition("/")[2]
        warnings.append(
            f"kept {pluralize(len(splits), 'remembered split')}; to forget one: kerascnn cache clear {name}"
        )
    result = {"folder": folder, "removed": [row._asdict() for row in gone], "total": total_size(gone)}
    print_result("cache", result, [f"removed {describe_files(gone)} from {folder}"], warnings)


def ask_first(question):
    """Ask for confirmation on the terminal; without one, --yes is needed."""
    if not sys.stdin.isatty():
        raise Misuse("cannot ask for confirmation without a terminal; pass --yes to remove files", "--yes")
    click.confirm(question, abort=True, err=True)


def cache_lines(folder, rows):
    yield bold(folder)
    if rows:
        cells = [(row.file, format_size(row.size), "complete" if row.complete else "unfinished") for row in rows]
        yield from format_table(TITLES, cells, words=("file", "state"), room=terminal_width())
    yield describe_files(rows)


def describe_files(rows):
    if not rows:
        return "no files"
    return f"{pluralize(len(rows), 'file')}, {format_size(total_size(rows))}"


def format_size(size):
    return f"{format_count(size)}B" if size >= 1000 else f"{size} B"


def total_size(rows):
    return sum(row.size for row in rows)
