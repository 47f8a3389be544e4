"""Options of all commands, options of several commands, and the types of their values."""

import os
import re
from functools import wraps

import click

from .errors import BadFile, Misuse, suggest_names, writing
from .files import read_names


def remember_flag(context, option, value):
    """Store a common option for all commands, given before or after the subcommand."""
    if value:
        context.meta[f"kerascnn.{option.name}"] = True
        context.color = False if option.name == "no_color" else context.color


def is_flag_set(name):
    """Whether a common option was given."""
    context = click.get_current_context(silent=True)
    return context is not None and context.meta.get(f"kerascnn.{name}", False)


COMMON = {
    "--json": "Print one JSON document instead of text.",
    "-q, --quiet": "Print results only: no progress, no notes.",
    "-v, --verbose": "Show tracebacks and TensorFlow's log messages.",
    "--no-color": "Do not use colors; the same as setting NO_COLOR.",
}


def apply_config(context, option, path):
    """Read defaults from files before any other option."""
    if not context.resilient_parsing and (path or not context.parent):  # completion must be fast
        from .settings import configure

        configure(context, path)


def common_options():
    """The options of every command."""
    flags = {"is_flag": True, "expose_value": False, "callback": remember_flag}
    file = {"metavar": "FILE", "is_eager": True, "expose_value": False, "callback": apply_config}
    return [
        *(click.Option(names.split(", "), help=text, **flags) for names, text in COMMON.items()),
        click.Option(["--config"], help="Read options from this file instead of ./kerascnn.toml.", **file),
    ]


class Group(click.Group):
    """Commands in the order they were added; it lists them if called alone, and suggests names."""

    def __init__(self, name, **options):
        from .output import print_overview

        super().__init__(name, params=common_options(), invoke_without_command=True, callback=print_overview, **options)

    def list_commands(self, context):
        return [*self.commands]

    def resolve_command(self, context, args):
        if not args[0].startswith("-") and args[0] not in self.commands:
            raise click.UsageError(f"no such command: {args[0]!r}.{suggest_names(args[0], self.commands)}", context)
        return super().resolve_command(context, args)


class Command(click.Command):
    """A command with the common options, which its help lists in a section of their own."""

    def __init__(self, name, *, params=None, **options):
        super().__init__(name, params=[*(params or ()), *common_options()], **options)

    def format_options(self, context, formatter):
        everywhere = {option.name for option in (*common_options(), self.get_help_option(context)) if option}
        records_by_section = {"Options": [], "Common options": []}
        for option in self.get_params(context):
            if option.param_type_name == "argument":
                continue
            record = option.get_help_record(context)
            if record:
                records_by_section["Common options" if option.name in everywhere else "Options"].append(record)
        for title, records in records_by_section.items():
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
    """Names separated by commas."""

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
        match = re.fullmatch(r"(\d+\.?\d*(?:e\d+)?|\.\d+(?:e\d+)?)([kmgbt]?)", text)
        if not match:
            self.fail(f"{value!r} should be a number such as 25_000_000, 1.2e6 or 5M.", option, context)
        return round(float(match[1]) * MULTIPLES[match[2]])


def seed_option(help):
    return click.option("--seed", default=0, show_default=True, type=SEED, help=help)


def images_argument(command):
    """Add IMAGE...: image files and folders, at least one of which exists."""

    @click.argument("images", metavar="IMAGE...", nargs=-1, required=True, type=click.Path())
    @wraps(command)
    def wrapper(*, images, **options):
        check_image(images)
        return command(images=[*images], **options)

    return wrapper


def check_image(paths):
    """Refuse images if none of them exists."""
    if not any(os.path.exists(path) for path in paths):
        raise BadFile(f"image not found: {paths[0]}")


def class_names_option(command):
    """Add --class-names: names separated by commas, or a file."""

    def read(context, option, text):
        return None if text is None else read_names(text)

    help = "Class names in the model's output order, separated by commas; or a file: one per line, or JSON."
    return click.option("--class-names", metavar="A,B,..", callback=read, help=help)(command)


def new_file_option(name, example, suffixes, help, metavar=None):
    """Add an option for an output file, and --force; existing files and other suffixes are refused first."""

    def check(context, option, path):
        check_output_file(path, f"{name} {example}", suffixes, is_flag_set("force"))
        return path

    def decorate(command):
        command = force_option(f"Overwrite the file at {name}.")(command)
        option = {"metavar": metavar or f"FILE{suffixes[0]}", "type": click.Path(dir_okay=False), "help": help}
        return click.option(name, callback=check, **option)(command)

    return decorate


def force_option(help):
    """Add --force, evaluated before the options that it affects; see `is_flag_set`."""

    def note(context, option, value):
        context.meta["kerascnn.force"] = value

    return click.option("--force", is_flag=True, is_eager=True, expose_value=False, callback=note, help=help)


def check_output_file(path, example, suffixes, force):
    """Refuse an existing output file or another suffix; ``example`` is a valid option."""
    if path is None:
        return
    if not path.endswith(suffixes):
        *all_but_last, last = suffixes
        text = f"{', '.join(all_but_last)} or {last}" if all_but_last else last
        raise Misuse(f"{example.split()[0]} should end in {text}. Received: {path}", example)
    if os.path.exists(path) and not force:
        raise Misuse(f"{path} already exists", "another name, or --force to overwrite it")


def check_run_folder(out, marks, kind, resume):
    """The folder of a run, recognized by one of its ``marks``; nothing in it is overwritten."""
    is_run = any(os.path.exists(os.path.join(out, mark)) for mark in marks)
    if is_run and not resume:
        raise Misuse(f"{out} already contains a {kind}", "--resume to continue it, or --out with another folder")
    files = os.listdir(out) if os.path.isdir(out) else ()
    if not is_run and any(not name.startswith(".draft-") for name in files):
        raise Misuse(f"{out} is not empty", "--out with a new folder")
    return out


def save_result(result, path):
    """Save a result to ``path``, if given."""
    if path is not None:
        with writing(path):
            result.save(path)
