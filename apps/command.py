"""What all commands share: their common options, and how they fail."""

import os

import click


class Failure(click.ClickException):
    """What went wrong, in one line, and what to try next."""

    exit_code = 1

    def __init__(self, message, advice=None):
        super().__init__(one_line(message))
        self.advice = advice


class Misuse(Failure):
    """The command line asks for something that cannot be."""

    exit_code = 2


class MissingExtra(Failure):
    """An optional part of kerascnn is not installed."""

    exit_code = 3

    def __init__(self, extra):
        super().__init__(f"this needs the optional part {extra!r}, not installed", pip_install(extra))


class BadFile(Failure):
    """A file that is not there, or not what it should be."""

    exit_code = 4


def pip_install(extra):
    return f'pip install "kerascnn[{extra}]"'


def one_line(text, limit=300):
    """The first line that says something."""
    lines = [line.strip() for line in str(text).splitlines() if line.strip()]
    first = lines[0] if lines else ""
    return first if len(first) <= limit else first[: limit - 3] + "..."


def remember(context, option, value):
    """Keep a common option where every command finds it, given before or after the subcommand."""
    if value:
        context.meta[f"kerascnn.{option.name}"] = True


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


def common():
    """The options that every command has."""
    flags = {"is_flag": True, "expose_value": False, "callback": remember}
    return [click.Option(names.split(", "), help=text, **flags) for names, text in COMMON.items()]


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
