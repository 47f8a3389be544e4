"""What all commands share: their common options, and how they end.

Exit codes: 0 done; 1 failure during work; 2 usage, of options also in variables and files; 3 missing optional part;
4 bad data or model file; 5 partial result, the rest could not be done; 130 interrupted.
"""

import os

import click

from .errors import Misuse, near


def remember(context, option, value):
    """Keep a common option where every command finds it, given before or after the subcommand."""
    if value:
        context.meta[f"kerascnn.{option.name}"] = True
        context.color = False if option.name == "no_color" else context.color


def given(name):
    """Whether a common option was given."""
    context = click.get_current_context(silent=True)
    return context is not None and f"kerascnn.{name}" in context.meta


COMMON = {
    "--json": "Print one JSON document in place of text.",
    "-q, --quiet": "Results only: no progress, no remarks.",
    "-v, --verbose": "Show tracebacks, and what TensorFlow says while it loads.",
    "--no-color": "No colours; the variable NO_COLOR does the same.",
}


def configured(context, option, path):
    """Take defaults from files, before any other option is looked at."""
    if not context.resilient_parsing and (path or not context.parent):  # completion has to be fast
        from .settings import configure

        configure(context, path)


def common():
    """The options that every command has."""
    flags = {"is_flag": True, "expose_value": False, "callback": remember}
    file = {"metavar": "FILE", "is_eager": True, "expose_value": False, "callback": configured}
    return [
        *(click.Option(names.split(", "), help=text, **flags) for names, text in COMMON.items()),
        click.Option(["--config"], help="Options from this file, in place of kerascnn.toml here.", **file),
    ]


class Group(click.Group):
    """Commands in the order they were added; a misspelt one gets near names."""

    def list_commands(self, context):
        return [*self.commands]

    def resolve_command(self, context, args):
        if not args[0].startswith("-") and args[0] not in self.commands:
            raise click.UsageError(f"there is no command {args[0]!r}.{near(args[0], self.commands)}", context)
        return super().resolve_command(context, args)


class Command(click.Command):
    """A command with the common options, which its help lists apart."""

    def __init__(self, name, *, params=None, **rest):
        super().__init__(name, params=[*(params or ()), *common()], **rest)

    def format_options(self, context, formatter):
        written = {"Options": [], "Common options": []}
        for option in self.get_params(context):
            if option.param_type_name == "argument":
                continue
            record = option.get_help_record(context)
            if record:
                everywhere = option.callback is remember or option.is_eager
                written["Common options" if everywhere else "Options"].append(record)
        for title, records in written.items():
            if records:
                with formatter.section(title):
                    formatter.write_dl(records)


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


def keep(found, path):
    """What draws or writes itself goes to ``path``, where one is given."""
    if path is None:
        return
    try:
        found.save(path)
    except OSError as error:
        raise Misuse(f"{path} cannot be written: {error.strerror}") from error
