"""The `kerascnn` command: its subcommands, and how a run of it ends."""

import os
import sys
from contextlib import suppress
from functools import partial

import click

from kerascnn import __version__

from . import bench
from .commands import (
    cache,
    completion,
    config,
    data,
    demo,
    diagnose,
    doctor,
    evaluate,
    export,
    list,
    predict,
    report,
    see,
    show,
    train,
    transfer,
)
from .errors import INTERRUPTED, Failure, MissingExtra, one_line
from .options import Group, given
from .output import replace_missing_letters
from .settings import name_variables


class Commands(Group):
    """A group whose failures are one line on stderr, with an exit code that says which kind."""

    def main(self, args=None, prog_name="kerascnn", standalone_mode=True, **rest):
        words = sys.argv[1:] if args is None else [*args]
        color = color_choice(words)
        run = partial(super().main, words, prog_name, standalone_mode=False, color=color, **rest)
        if not standalone_mode:
            return run()
        sys.exit(run_status(run, color))

    def invoke(self, context):
        try:
            status = super().invoke(context)
            sys.stdout.flush()
            return status
        except BrokenPipeError:
            return close_stdout()
        except (click.exceptions.Exit, click.Abort):
            raise
        except Exception as error:
            if given("verbose") and not (isinstance(error, click.ClickException) and error.__cause__ is None):
                import traceback

                traceback.print_exc()
            if isinstance(error, click.ClickException):
                raise
            raise explain_error(error) from error


def color_choice(words):
    """False where colors are not wanted, True where they are wanted also in a file, else None."""
    if os.environ.get("NO_COLOR") or "--no-color" in words:
        return False
    return True if os.environ.get("FORCE_COLOR") else None


def explain_error(error):
    """A failure that nobody foresaw, as one line."""
    if isinstance(error, ModuleNotFoundError) and error.name:
        from .commands.doctor import extra_of

        extra = extra_of(error.name.split(".")[0])
        return MissingExtra(extra) if extra else Failure(f"{error}", "kerascnn doctor")
    kind = "" if isinstance(error, ValueError | OSError) else f"{type(error).__name__}: "
    advice = getattr(error, "advice", "") or "-v, which shows where"
    return Failure(kind + (one_line(error) or "no reason given"), advice)


def run_status(run, color):
    """Run, say on stderr what went wrong, and return the exit code."""
    replace_missing_letters()
    try:
        status = run()
        sys.stdout.flush()
    except click.ClickException as error:
        return print_error(error, color)
    except (click.Abort, KeyboardInterrupt):
        click.echo("interrupted", err=True)
        return INTERRUPTED
    except BrokenPipeError:
        return close_stdout()
    return status if isinstance(status, int) else 0


def print_error(error, color):
    """One line for the error, and where there is advice one for what to try."""
    advice = getattr(error, "advice", None)
    if isinstance(error, click.UsageError):
        advice = f"{error.ctx.command_path if error.ctx else 'kerascnn'} --help"
    text = one_line(error.format_message()) + variable_hint(error)
    click.echo(f"{click.style('error:', fg='red', bold=True)} {text}", err=True, color=color)
    if advice:
        click.echo(f"{click.style('try:', dim=True)}   {advice}", err=True, color=color)
    return error.exit_code


def variable_hint(error):
    """Which variable a wrong value came from, where it did."""
    parameter, context = getattr(error, "param", None), getattr(error, "ctx", None)
    if parameter is None or context is None:
        return ""
    source = context.get_parameter_source(parameter.name)
    return f" (from {parameter.envvar})" if source is click.core.ParameterSource.ENVIRONMENT else ""


def close_stdout():
    """Whoever read our output has left, as `head` does: leave quietly."""
    with suppress(OSError, ValueError):  # stdout need not be a file
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


EPILOG = """Complete with TAB: eval "$(kerascnn completion bash)"; also zsh and fish.

Exit codes: 0 done, 1 failure during work, 2 usage, 3 missing optional part, 4 bad data or model file, 5 partial
result, 130 interrupted.

Options can be set by variables, KERASCNN_TRAIN_EPOCHS=5, and in files: kerascnn config -h."""

main = Commands(
    "kerascnn",
    help="The famous convolutional networks in Keras: list them, look inside, see them learn.",
    epilog=EPILOG,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
click.version_option(__version__, prog_name="kerascnn", message="%(prog)s %(version)s")(main)
LOOK = (list, show, predict, see)
WORK = (data, train, transfer, diagnose, evaluate, report, export, bench)
for module in (*LOOK, *WORK, demo, doctor, cache, config, completion):
    main.add_command(module.command)
name_variables(main)
