"""Options from environment variables and files.

Order of precedence: a flag; its variable (KERASCNN_TRAIN_EPOCHS); the file in the current folder (kerascnn.toml, else
[tool.kerascnn] in pyproject.toml; --config names another); the user file ~/.config/kerascnn/config.toml. In files, each
command has a table: [train] epochs = 5.
"""

import os
from typing import NamedTuple

import click

from .errors import BadFile, Misuse, suggest_names

HERE, PROJECT, OWN = "kerascnn.toml", "pyproject.toml", os.path.join("kerascnn", "config.toml")
EVERYWHERE = ("json", "quiet", "verbose", "no-color")  # one variable for all commands: KERASCNN_JSON
NOT_IN_FILES = ("help", "version", "config")  # not allowed in files
META, PLACES = "kerascnn.settings", "kerascnn.places"


class Setting(NamedTuple):
    """A parameter set by a file: its ``value`` as written, and as click takes it."""

    parameter: str
    value: object
    taken: object
    place: str


def option_name(option):
    """The option as typed, without leading dashes."""
    return max(option.opts, key=len).lstrip("-")


def command_options(command, extra=True):
    """{name as typed: option} that variables and files may set; the ``extra`` ones take time to find."""
    params = [*command.params, *(getattr(command, "extra_options", list)() if extra else ())]
    options = {option_name(option): option for option in params if isinstance(option, click.Option)}
    return {name: option for name, option in options.items() if name not in NOT_IN_FILES}


def variable_name(words, name):
    """The variable of an option: KERASCNN_TRAIN_EPOCHS for epochs of train."""
    return "_".join(["kerascnn", *(() if name in EVERYWHERE else words), name]).replace("-", "_").upper()


def name_variables(command, words=()):
    """Name the variable of every option of a command and of its subcommands."""
    for name, option in command_options(command, extra=False).items():
        option.envvar = variable_name(words, name)
    for option in command.params:
        if option.name == "config":
            option.envvar = "KERASCNN_CONFIG" if not words else None
    for name, below in getattr(command, "commands", {}).items():
        name_variables(below, (*words, name))


def configure(context, path=None):
    """Use the settings of files as defaults of a command and of its subcommands."""
    root, words = context.find_root(), context.command_path.split()[1:]
    context.meta[PLACES] = settings_files(path)
    settings = context.meta[META] = read_settings(root.command, path)
    defaults = build_default_map(settings)
    everywhere = {key: value for key, value in defaults.items() if not isinstance(value, dict)}
    for word in words if context.parent else ():
        defaults = defaults.get(word, {})
    context.default_map = everywhere | defaults


def read_settings(root, path=None):
    """{(command .., option as typed): `Setting`}; the current folder overrides the user file."""
    settings = {}
    for source, table in read_tables(path):
        collect_settings(table, root, source, (), settings)
    return settings


def settings_files(path=None):
    """The files that may have settings, the weakest first."""
    home = os.environ.get("XDG_CONFIG_HOME") or os.path.join(os.path.expanduser("~"), ".config")
    return os.path.join(home, OWN), path or (HERE if os.path.exists(HERE) else PROJECT)


def read_tables(path):
    """(file, its table) of the existing files."""
    for file in settings_files(path):
        text = read_settings_file(file, required=file == path)
        if file != PROJECT:
            yield short_path(file), parse_toml(text, file) if text else {}
        elif "tool.kerascnn" in text:  # other tables belong to other tools
            yield f"{PROJECT} [tool.kerascnn]", parse_toml(text, file).get("tool", {}).get("kerascnn", {})


def read_settings_file(path, required):
    try:
        with open(path, encoding="utf-8-sig") as file:
            return file.read()
    except (FileNotFoundError, NotADirectoryError) as error:
        if required:
            raise BadFile(f"--config: file not found: {path}") from error
        return ""
    except (OSError, UnicodeDecodeError) as error:
        raise BadFile(f"cannot read {path}: {error}") from error


def parse_toml(text, path):
    import tomllib

    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise BadFile(f"{path} should be a TOML file. Received: {error}") from error


def short_path(path):
    """A path with ~ for the home folder."""
    person = os.path.expanduser("~") + os.sep
    return path.replace(person, f"~{os.sep}", 1) if path.startswith(person) else path


def collect_settings(table, command, source, words, settings):
    """Add the settings of a table for a command and its subcommands to ``settings``."""
    options, below = command_options(command), getattr(command, "commands", {})
    title, help = f" in [{'.'.join(words)}]" if words else "", " ".join(["kerascnn", *words, "--help"])
    for key, value in table.items():
        name = key.replace("_", "-")
        if name in below and isinstance(value, dict):
            collect_settings(value, below[name], source, (*words, name), settings)
        elif name in options and not isinstance(value, dict):
            try:
                settings[(*words, name)] = Setting(options[name].name, value, click_value(options[name], value), source)
            except (click.BadParameter, TypeError) as error:
                raise Misuse(f"{source}: {key}{title}: {error}", help) from error
        else:
            hint = suggest_names(name, [*options, *below])
            raise Misuse(f"{source}: unknown option {key!r}{title}.{hint}", help)


def click_value(option, value):
    """A value of a file as click takes it; refused if the option's type refuses it."""
    if option.is_flag != isinstance(value, bool):
        raise TypeError(f"should be {'true or false' if option.is_flag else 'a value'}. Received: {value!r}")
    if option.is_flag:
        return value if option.is_bool_flag else option.flag_value if value else None
    texts = [str(item) for item in value] if isinstance(value, list) else [str(value)]
    text = texts if option.multiple else ",".join(texts)
    if not isinstance(option.type, click.Path):  # the path may exist when the command runs
        option.type_cast_value(click.Context(click.Command(option.name)), text)
    return text


def build_default_map(settings):
    """Settings as click's default_map: nested dicts by command, keyed by parameter."""
    defaults = {}
    for (*words, _), setting in settings.items():
        level = defaults
        for word in words:
            level = level.setdefault(word, {})
        level[setting.parameter] = setting.taken
    return defaults
