"""Options: those that every command has, those that several have, and the types of their values."""

import os
import re
from functools import wraps

import click

from .errors import BadFile, Misuse, near, writing
from .files import read_names


def remember_flag(context, option, value):
    """Keep a common option where every command finds it, given before or after the subcommand."""
    if value:
        context.meta[f"kerascnn.{option.name}"] = True
        context.color = False if option.name == "no_color" else context.color


def given(name):
    """Whether a common option was given."""
    context = click.get_current_context(silent=True)
    return context is not None and context.meta.get(f"kerascnn.{name}", False)


COMMON = {
    "--json": "Print one JSON document in place of text.",
    "-q, --quiet": "Results only: no progress, no remarks.",
    "-v, --verbose": "Show tracebacks, and what TensorFlow says while it loads.",
    "--no-color": "No colors; the variable NO_COLOR does the same.",
}


def apply_config(context, option, path):
    """Take defaults from files, before any other option is looked at."""
    if not context.resilient_parsing and (path or not context.parent):  # completion has to be fast
        from .settings import configure

        configure(context, path)


def common_options():
    """The options that every command has."""
    flags = {"is_flag": True, "expose_value": False, "callback": remember_flag}
    file = {"metavar": "FILE", "is_eager": True, "expose_value": False, "callback": apply_config}
    return [
        *(click.Option(names.split(", "), help=text, **flags) for names, text in COMMON.items()),
        click.Option(["--config"], help="Options from this file, in place of kerascnn.toml here.", **file),
    ]


class Group(click.Group):
    """Commands in the order they were added; alone it says which there are, and a misspelled one gets near names."""

    def __init__(self, name, **rest):
        from .output import print_overview

        super().__init__(name, params=common_options(), invoke_without_command=True, callback=print_overview, **rest)

    def list_commands(self, context):
        return [*self.commands]

    def resolve_command(self, context, args):
        if not args[0].startswith("-") and args[0] not in self.commands:
            raise click.UsageError(f"there is no command {args[0]!r}.{near(args[0], self.commands)}", context)
        return super().resolve_command(context, args)


class Command(click.Command):
    """A command with the common options, which its help lists apart."""

    def __init__(self, name, *, params=None, **rest):
        super().__init__(name, params=[*(params or ()), *common_options()], **rest)

    def format_options(self, context, formatter):
        everywhere = {option.name for option in (*common_options(), self.get_help_option(context)) if option}
        written = {"Options": [], "Common options": []}
        for option in self.get_params(context):
            if option.param_type_name == "argument":
                continue
            record = option.get_help_record(context)
            if record:
                written["Common options" if option.name in everywhere else "Options"].append(record)
        for title, records in written.items():
            if records:
                with formatter.section(title):
                    formatter.write_dl(records)


MULTIPLES = {"": 1, "k": 1e3, "m": 1e6, "g": 1e9, "b": 1e9, "t": 1e12}
SEED = click.IntRange(0)
COUNT = click.IntRange(1)
POSITIVE = click.FloatRange(0, min_open=True)
SHARE = click.FloatRange(0, 1, max_open=True)
PICTURES = (".png", ".svg", ".pdf")


class Names(click.ParamType):
    """Names with commas between them."""

    name = "names"

    def convert(self, value, option, context):
        return value if isinstance(value, tuple) else tuple(name.strip() for name in value.split(",") if name.strip())


class Count(click.ParamType):
    """A number of parameters: 25_000_000, 1.2e6, 5M."""

    name = "count"

    def convert(self, value, option, context):
        if isinstance(value, int):
            return value
        text = value.replace("_", "").replace(",", "").replace(" ", "").lower()
        found = re.fullmatch(r"(\d+\.?\d*(?:e\d+)?|\.\d+(?:e\d+)?)([kmgbt]?)", text)
        if not found:
            self.fail(f"{value!r} is not a number such as 25_000_000, 1.2e6 or 5M.", option, context)
        return round(float(found[1]) * MULTIPLES[found[2]])


def seed_option(help):
    return click.option("--seed", default=0, show_default=True, type=SEED, help=help)


def images_argument(command):
    """IMAGE...: image files and folders of them, of which at least one has to be there."""

    @click.argument("images", metavar="IMAGE...", nargs=-1, required=True, type=click.Path())
    @wraps(command)
    def checked(*, images, **named):
        check_image(images)
        return command(images=[*images], **named)

    return checked


def check_image(paths):
    """Refuse images none of which is there."""
    if not any(os.path.exists(path) for path in paths):
        raise BadFile(f"there is no image {paths[0]}")


def classes_option(command):
    """--classes: names with commas between them, or in a file."""

    def read(context, option, text):
        return None if text is None else read_names(text)

    help = "The model's in its order; or a file: a line each, or JSON."
    return click.option("--classes", metavar="A,B,..", callback=read, help=help)(command)


def new_file_option(name, example, suffixes, help, metavar=None):
    """An option for a file to write, and --force; what is there, or has another suffix, is refused before any work."""

    def check(context, option, path):
        check_new(path, f"{name} {example}", suffixes, given("force"))
        return path

    def decorate(command):
        command = force_option(f"Let {name} replace a file.")(command)
        option = {"metavar": metavar or f"FILE{suffixes[0]}", "type": click.Path(dir_okay=False), "help": help}
        return click.option(name, callback=check, **option)(command)

    return decorate


def force_option(help):
    """--force, which is looked at before the options that it allows; `given` tells of it."""

    def note(context, option, value):
        context.meta["kerascnn.force"] = value

    return click.option("--force", is_flag=True, is_eager=True, expose_value=False, callback=note, help=help)


def check_new(path, example, suffixes, force):
    """Refuse, before any work, a file that is there or has another suffix; ``example`` is an option that will do."""
    if path is None:
        return
    if not path.endswith(suffixes):
        *others, last = suffixes
        text = f"{', '.join(others)} or {last}" if others else last
        raise Misuse(f"{example.split()[0]} should end in {text}. Received: {path}", example)
    if os.path.exists(path) and not force:
        raise Misuse(f"{path} is there already and stays", "another name, or --force to replace it")


def run_folder(out, marks, what, resume):
    """The folder of a run or a study, known by one of its ``marks``; files that are there stay."""
    begun = any(os.path.exists(os.path.join(out, mark)) for mark in marks)
    if begun and not resume:
        raise Misuse(
            f"{out} has a {what} in it, which stays", "--resume to go on with it, or --out with another folder"
        )
    files = os.listdir(out) if os.path.isdir(out) else ()
    if not begun and any(not name.startswith(".draft-") for name in files):
        raise Misuse(f"{out} has files in it, and stays", "--out with a new folder")
    return out


def keep(found, path):
    """What draws or writes itself goes to ``path``, where one is given."""
    if path is not None:
        with writing(path):
            found.save(path)
