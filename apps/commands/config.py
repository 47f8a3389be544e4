"""`kerascnn config`: the options that environment variables and files set."""

import os

import click

from ..errors import Misuse
from ..options import Command
from ..output import dim, format_table, print_result, terminal_width
from ..settings import EVERYWHERE, META, PLACES, command_options, short_path, variable_name

TITLES = ("command", "option", "value", "from")
DEFAULT = "default"


@click.command("config", cls=Command)
@click.argument("action", type=click.Choice(["show"]), default="show")
@click.argument("words", metavar="[COMMAND]", nargs=-1)
def config_command(action, words):
    """Show the options that environment variables and configuration files set, and which one set them.

    With COMMAND, show all of its options, including those that are not set. Order of precedence: a command-line flag;
    its environment variable, such as KERASCNN_TRAIN_EPOCHS; kerascnn.toml in the current folder (or [tool.kerascnn] in
    pyproject.toml, or the file given by --config); your user file. In a file, each command has a table: [train] with
    epochs = 5.
    """
    context = click.get_current_context()
    rows = [*list_settings(find_command(context.find_root().command, words), context.meta[META], words)]
    rows = rows if words else [row for row in rows if row["from"] != DEFAULT]
    files = [{"file": short_path(place), "there": os.path.exists(place)} for place in reversed(context.meta[PLACES])]
    print_result("config", {"settings": rows, "files": files}, settings_lines(rows, files))


def find_command(root, words):
    """The command that words name."""
    from kerascnn.support.text import unknown_name

    command = root
    for word in words:
        below = getattr(command, "commands", {})
        if word not in below:
            raise Misuse(unknown_name("command", word, below), "kerascnn --help")
        command = below[word]
    return command


def list_settings(command, settings, words=()):
    """One row for each option of a command and of its subcommands."""
    for name, option in command_options(command).items():
        by, set_in = variable_name(words, name), settings.get((*words, name))
        if words and name in EVERYWHERE and not set_in:
            continue
        if os.environ.get(by):
            value, place = os.environ[by], by
        elif set_in:
            value, place = set_in.value, set_in.place
        else:
            value, place = option.to_info_dict()["default"], DEFAULT
        yield {"command": " ".join(words), "option": f"--{name}", "value": setting_value(value), "from": place}
    for name, below in getattr(command, "commands", {}).items():
        yield from list_settings(below, settings, (*words, name))


def setting_value(value):
    """A value as plain data for JSON."""
    return value if isinstance(value, str | int | float | bool | None) else [*value]


def settings_lines(rows, files):
    """One line per setting, and the files that were read."""
    cells = [(row["command"] or "all", row["option"], format_value(row["value"]), row["from"]) for row in rows]
    if cells:
        yield from format_table(TITLES, cells, words=TITLES, room=terminal_width())
    else:
        yield "No environment variable or configuration file sets an option."
    yield ""
    yield from (dim(f"{file['file']}{'' if file['there'] else ': not found'}") for file in files)


def format_value(value):
    if isinstance(value, bool | None):
        return {True: "yes", False: "no", None: "-"}[value]
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
