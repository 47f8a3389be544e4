"""Options from the environment and from files.

A flag counts first, then its variable (KERASCNN_TRAIN_EPOCHS), then the file of the folder (kerascnn.toml, else
[tool.kerascnn] in pyproject.toml; --config names another), then the person's own, ~/.config/kerascnn/config.toml. In
files a table is a command: [train] epochs = 5.
"""

import os
from typing import NamedTuple

import click

from .errors import BadFile, Misuse, near

HERE, PROJECT, OWN = "kerascnn.toml", "pyproject.toml", os.path.join("kerascnn", "config.toml")
EVERYWHERE = ("json", "quiet", "verbose", "no-color")  # one variable for all commands: KERASCNN_JSON
APART = ("help", "version", "config")  # which no file may hold
META, PLACES = "kerascnn.settings", "kerascnn.places"


class Setting(NamedTuple):
    """What a file says of a parameter: its ``value`` as written there, and as click takes it."""

    parameter: str
    value: object
    taken: object
    place: str


def option_name(option):
    """An option as it is typed, without dashes before it."""
    return max(option.opts, key=len).lstrip("-")


def options_of(command, derived=True):
    """{as typed: option} of those that variables and files may set; looking up ``derived`` ones takes time."""
    params = [*command.params, *(getattr(command, "derived", list)() if derived else ())]
    found = {option_name(option): option for option in params if isinstance(option, click.Option)}
    return {name: option for name, option in found.items() if name not in APART}


def variable_name(words, name):
    """The variable of an option: train, batch as KERASCNN_TRAIN_BATCH."""
    return "_".join(["kerascnn", *(() if name in EVERYWHERE else words), name]).replace("-", "_").upper()


def name_variables(command, words=()):
    """Let every option of a command, and of those below it, be set by its variable."""
    for name, option in options_of(command, derived=False).items():
        option.envvar = variable_name(words, name)
    for option in command.params:
        if option.name == "config":
            option.envvar = "KERASCNN_CONFIG" if not words else None
    for name, below in getattr(command, "commands", {}).items():
        name_variables(below, (*words, name))


def configure(context, path=None):
    """Make what the files say the defaults of a command, the root or where --config was given, and of those below."""
    root, words = context.find_root(), context.command_path.split()[1:]
    context.meta[PLACES] = settings_files(path)
    found = context.meta[META] = read_settings(root.command, path)
    defaults = nested_defaults(found)
    everywhere = {key: value for key, value in defaults.items() if not isinstance(value, dict)}
    for word in words if context.parent else ():
        defaults = defaults.get(word, {})
    context.default_map = everywhere | defaults


def read_settings(root, path=None):
    """{(command .., option as typed): `Setting`} of the files; the folder's counts before the person's own."""
    found = {}
    for place, table in read_tables(path):
        collect_settings(table, root, place, (), found)
    return found


def settings_files(path=None):
    """The files that may say something, the weakest first."""
    home = os.environ.get("XDG_CONFIG_HOME") or os.path.join(os.path.expanduser("~"), ".config")
    return os.path.join(home, OWN), path or (HERE if os.path.exists(HERE) else PROJECT)


def read_tables(path):
    """(file, what it says) of those that are there."""
    for place in settings_files(path):
        text = read_text(place, needed=place == path)
        if place != PROJECT:
            yield short_path(place), parse_toml(text, place) if text else {}
        elif "tool.kerascnn" in text:  # else it is not ours to judge
            yield f"{PROJECT} [tool.kerascnn]", parse_toml(text, place).get("tool", {}).get("kerascnn", {})


def read_text(place, needed):
    try:
        with open(place, encoding="utf-8-sig") as file:
            return file.read()
    except (FileNotFoundError, NotADirectoryError) as error:
        if needed:
            raise BadFile(f"--config: there is no file {place}") from error
        return ""
    except (OSError, UnicodeDecodeError) as error:
        raise BadFile(f"{place} cannot be read: {error}") from error


def parse_toml(text, place):
    import tomllib

    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise BadFile(f"{place} is no TOML: {error}") from error


def short_path(place):
    """A path with the home folder as ~."""
    person = os.path.expanduser("~") + os.sep
    return place.replace(person, f"~{os.sep}", 1) if place.startswith(person) else place


def collect_settings(table, command, place, words, found):
    """Add what a table says of a command's options, and of those below it, to ``found``."""
    options, below = options_of(command), getattr(command, "commands", {})
    title, help = f" in [{'.'.join(words)}]" if words else "", " ".join(["kerascnn", *words, "--help"])
    for key, value in table.items():
        name = key.replace("_", "-")
        if name in below and isinstance(value, dict):
            collect_settings(value, below[name], place, (*words, name), found)
        elif name in options and not isinstance(value, dict):
            try:
                found[(*words, name)] = Setting(options[name].name, value, click_value(options[name], value), place)
            except (click.BadParameter, TypeError) as error:
                raise Misuse(f"{place}: {key}{title}: {error}", help) from error
        else:
            hint = near(name, [*options, *below])
            raise Misuse(f"{place}: there is no {key!r}{title}.{hint}", help)


def click_value(option, value):
    """A value of a file as click takes it; refused where the option's type would."""
    if option.is_flag != isinstance(value, bool):
        raise TypeError(f"should be {'true or false' if option.is_flag else 'a value'}. Received: {value!r}")
    if option.is_flag:
        return value if option.is_bool_flag else option.flag_value if value else None
    many = [str(each) for each in value] if isinstance(value, list) else [str(value)]
    text = many if option.multiple else ",".join(many)
    if not isinstance(option.type, click.Path):  # which may be there by the time the command runs
        option.type_cast_value(click.Context(click.Command(option.name)), text)
    return text


def nested_defaults(found):
    """Settings as click wants its defaults: a dict in a dict for each command, by the names of parameters."""
    defaults = {}
    for (*words, _), setting in found.items():
        place = defaults
        for word in words:
            place = place.setdefault(word, {})
        place[setting.parameter] = setting.taken
    return defaults
