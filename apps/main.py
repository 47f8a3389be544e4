"""The `kerascnn` command: its subcommands, errors and exit codes."""

import os
import sys
from contextlib import suppress
from functools import partial

import click

from kerascnn import __version__

from .bench import bench_command
from .commands.cache import cache_command
from .commands.completion import completion_command
from .commands.config import config_command
from .commands.data import data_command
from .commands.demo import demo_command
from .commands.diagnose import diagnose_command
from .commands.doctor import doctor_command
from .commands.evaluate import evaluate_command
from .commands.export import export_command
from .commands.list import list_command
from .commands.predict import predict_command
from .commands.report import report_command
from .commands.see import see_command
from .commands.show import show_command
from .commands.train import train_command
from .commands.transfer import transfer_command
from .errors import INTERRUPTED, Failure, MissingExtra, one_line
from .options import Group, is_flag_set
from .output import replace_unprintable
from .settings import name_variables


class RootGroup(Group):
    """The root command; failures are one line on stderr, with an exit code for their kind."""

    def main(self, args=None, prog_name="kerascnn", standalone_mode=True, **options):
        words = sys.argv[1:] if args is None else [*args]
        color = color_choice(words)
        run = partial(super().main, words, prog_name, standalone_mode=False, color=color, **options)
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
            if is_flag_set("verbose") and not (isinstance(error, click.ClickException) and error.__cause__ is None):
                import traceback

                traceback.print_exc()
            if isinstance(error, click.ClickException):
                raise
            raise explain_error(error) from error


def color_choice(words):
    """False without colors, True to keep them in files too, else None."""
    if os.environ.get("NO_COLOR") or "--no-color" in words:
        return False
    return True if os.environ.get("FORCE_COLOR") else None


def explain_error(error):
    """An unexpected error as a one-line failure."""
    if isinstance(error, ModuleNotFoundError) and error.name:
        from .commands.doctor import extra_of_module

        extra = extra_of_module(error.name.split(".")[0])
        return MissingExtra(extra) if extra else Failure(f"{error}", "kerascnn doctor")
    kind = "" if isinstance(error, ValueError | OSError) else f"{type(error).__name__}: "
    advice = getattr(error, "advice", "") or "-v, which shows the traceback"
    return Failure(kind + (one_line(error) or "unknown error"), advice)


def run_status(run, color):
    """Run, print errors on stderr, and return the exit code."""
    replace_unprintable()
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
    """Print one line for the error, and one for the advice if there is any."""
    advice = getattr(error, "advice", None)
    if isinstance(error, click.UsageError):
        advice = f"{error.ctx.command_path if error.ctx else 'kerascnn'} --help"
    text = one_line(error.format_message()) + variable_hint(error)
    click.echo(f"{click.style('error:', fg='red', bold=True)} {text}", err=True, color=color)
    if advice:
        click.echo(f"{click.style('try:', dim=True)}   {advice}", err=True, color=color)
    return error.exit_code


def variable_hint(error):
    """The environment variable that a wrong value came from, if any."""
    parameter, context = getattr(error, "param", None), getattr(error, "ctx", None)
    if parameter is None or context is None:
        return ""
    source = context.get_parameter_source(parameter.name)
    return f" (from {parameter.envvar})" if source is click.core.ParameterSource.ENVIRONMENT else ""


def close_stdout():
    """Exit quietly if the reader of the output, such as `head`, is gone."""
    with suppress(OSError, ValueError):  # stdout need not be a file
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


EPILOG = """Shell completion: eval "$(kerascnn completion bash)"; also zsh and fish.

Exit codes: 0 success, 1 error, 2 wrong usage, 3 missing optional extra, 4 bad data or model file, 5 partial result,
130 interrupted.

Options can also be set by environment variables, KERASCNN_TRAIN_EPOCHS=5, and in files: kerascnn config -h."""

main = RootGroup(
    "kerascnn",
    help="Famous convolutional networks in Keras: list, inspect, train, transfer, visualize.",
    epilog=EPILOG,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
click.version_option(__version__, prog_name="kerascnn", message="%(prog)s %(version)s")(main)
COMMANDS = (
    list_command,
    show_command,
    predict_command,
    see_command,
    data_command,
    train_command,
    transfer_command,
    diagnose_command,
    evaluate_command,
    report_command,
    export_command,
    bench_command,
    demo_command,
    doctor_command,
    cache_command,
    config_command,
    completion_command,
)
for command in COMMANDS:
    main.add_command(command)
name_variables(main)
