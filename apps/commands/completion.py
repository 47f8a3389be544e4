"""`kerascnn completion`: the shell script for TAB completion."""

import click

from ..errors import Failure
from ..options import Command
from ..output import print_result

SHELLS = {
    "bash": 'eval "$(kerascnn completion bash)"   in ~/.bashrc',
    "zsh": 'eval "$(kerascnn completion zsh)"    in ~/.zshrc',
    "fish": "kerascnn completion fish | source    in ~/.config/fish/config.fish",
}


@click.command(
    "completion",
    cls=Command,
    epilog="\b\nTo enable completion in every shell, add one of these lines:\n"
    + "\n".join(f"  {line}" for line in SHELLS.values()),
)
@click.argument("shell", type=click.Choice([*SHELLS]))
def completion_command(shell):
    """Print the shell script for TAB completion.

    Commands, options, network names and files are completed.
    """
    from click.shell_completion import get_completion_class

    root = click.get_current_context().find_root().command
    try:
        script = get_completion_class(shell)(root, {}, "kerascnn", "_KERASCNN_COMPLETE").source()
    except (RuntimeError, OSError) as error:
        raise Failure(error) from error
    print_result("completion", {"shell": shell, "script": script}, [script])
