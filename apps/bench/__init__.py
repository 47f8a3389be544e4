"""`kerascnn bench`: how fast something is, beside the plain way to do it."""

import click

from ..command import Command
from ..quiet import load_keras
from ..writing import answer


@click.command("bench", cls=Command)
@click.argument("what", type=click.Choice(["batches"]))
@click.option("--network", default="resnet20_cifar10", show_default=True, metavar="NAME", help="What is fitted.")
@click.option("--images", default=1024, show_default=True, metavar="N", type=click.IntRange(1), help="JPEG files.")
@click.option("--batch", default=128, show_default=True, metavar="N", type=click.IntRange(1), help="Images a step.")
@click.option("--rounds", default=7, show_default=True, metavar="N", type=click.IntRange(1), help="Epochs of each.")
def command(what, network, images, batch, rounds):
    """Measure on this machine, and compare.

    batches: images a second while a network learns, by Keras' fit on an array in memory, and by fit on
    kerascnn.batches from JPEG files. All run in turn in one process; medians count, and they need a machine with
    nothing else to do.
    """
    load_keras()
    from .batches import lines, measured

    result = measured(network, images, batch, rounds)
    answer("bench", result, lines(result))
