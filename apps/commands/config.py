"""`kerascnn config`: the options that variables and files set, and where each value comes from."""

import os

import click

from ..errors import Misuse
from ..options import Command
from ..output import answer, dim, table, width
from ..settings import EVERYWHERE, META, PLACES, options_of, short_path, variable_name

TITLES = ("command", "option", "value", "from")
DEFAULT = "default"


@click.command("config", cls=Command)
@click.argument("action", type=click.Choice(["show"]), default="show")
@click.argument("words", metavar="[COMMAND]", nargs=-1)
def command(action, words):
    """Show the options that variables and files set, and where from.

    With COMMAND all of its options, also those that nobody has set. A flag counts before its variable, as
    KERASCNN_TRAIN_EPOCHS, that before kerascnn.toml here (or [tool.kerascnn] in pyproject.toml, or the file that
    --config names), and that before your own file. In files a table is a command: [train], and in it epochs = 5.
    """
    context = click.get_current_context()
    rows = [*list_settings(find_command(context.find_root().command, words), context.meta[META], words)]
    rows = rows if words else [row for row in rows if row["from"] != DEFAULT]
    files = [{"file": short_path(place), "there": os.path.exists(place)} for place in reversed(context.meta[PLACES])]
    answer("config", {"settings": rows, "files": files}, lines(rows, files))


def find_command(root, words):
    """The command that words name."""
    from kerascnn.support.text import unknown

    found = root
    for word in words:
        below = getattr(found, "commands", {})
        if word not in below:
            raise Misuse(unknown("command", word, below), "kerascnn --help")
        found = below[word]
    return found


def list_settings(command, said, words=()):
    """A row for each option of a command, and of those below it."""
    for name, option in options_of(command).items():
        by, set_in = variable_name(words, name), said.get((*words, name))
        if words and name in EVERYWHERE and not set_in:
            continue
        if os.environ.get(by):
            value, place = os.environ[by], by
        elif set_in:
            value, place = set_in.value, set_in.place
        else:
            value, place = option.to_info_dict()["default"], DEFAULT
        yield {"command": " ".join(words), "option": f"--{name}", "value": json_value(value), "from": place}
    for name, below in getattr(command, "commands", {}).items():
        yield from list_settings(below, said, (*words, name))


def json_value(value):
    """A value as JSON takes it."""
    return value if isinstance(value, str | int | float | bool | None) else [*value]


def lines(rows, files):
    """A line a setting, and the files that were looked for."""
    cells = [(row["command"] or "all", row["option"], format_value(row["value"]), row["from"]) for row in rows]
    if cells:
        yield from table(TITLES, cells, words=TITLES, room=width())
    else:
        yield "no variable and no file sets an option"
    yield ""
    yield from (dim(f"{each['file']}{'' if each['there'] else ': not there'}") for each in files)


def format_value(value):
    if isinstance(value, bool | None):
        return {True: "yes", False: "no", None: "-"}[value]
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
