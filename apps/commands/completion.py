"""`kerascnn completion`: the lines that let a shell complete commands, options, networks and files."""

import click

from ..errors import Failure
from ..options import Command
from ..output import answer

SHELLS = {
    "bash": 'eval "$(kerascnn completion bash)"   in ~/.bashrc',
    "zsh": 'eval "$(kerascnn completion zsh)"    in ~/.zshrc',
    "fish": "kerascnn completion fish | source    in ~/.config/fish/config.fish",
}


@click.command(
    "completion",
    cls=Command,
    epilog="\b\nTo have it in every shell, put\n" + "\n".join(f"  {line}" for line in SHELLS.values()),
)
@click.argument("shell", type=click.Choice([*SHELLS]))
def command(shell):
    """Print the script that completes with TAB.

    It completes commands, options, networks and files.
    """
    from click.shell_completion import get_completion_class

    root = click.get_current_context().find_root().command
    try:
        script = get_completion_class(shell)(root, {}, "kerascnn", "_KERASCNN_COMPLETE").source()
    except (RuntimeError, OSError) as error:
        raise Failure(error) from error
    answer("completion", {"shell": shell, "script": script}, [script])
