"""`kerascnn bench`: how fast something is, beside the plain way to do it, or other tools that do it."""

from importlib import import_module

import click

from ..backend import load_keras
from ..errors import Misuse
from ..options import Command, Group
from ..output import answer

COUNT = click.IntRange(1)


command = Group("bench", help="Measure on this machine, and compare.")


@command.command("batches", cls=Command)
@click.option("--network", default="resnet20_cifar10", show_default=True, metavar="NAME", help="What is fitted.")
@click.option("--images", default=1024, show_default=True, metavar="N", type=COUNT, help="JPEG files.")
@click.option("--batch", default=128, show_default=True, metavar="N", type=COUNT, help="Images a step.")
@click.option("--rounds", default=7, show_default=True, metavar="N", type=COUNT, help="Epochs of each.")
def batches(network, images, batch, rounds):
    """Images a second while a network learns.

    By Keras' fit on an array in memory, and by fit on kerascnn.batches from JPEG files. All run in turn in one process;
    medians count, and they need a machine with nothing else to do.
    """
    run("batches", network, images, batch, rounds)


@command.command("visualize", cls=Command)
@click.option("--network", default="squeezenet1_1", show_default=True, metavar="NAME", help="What is asked.")
@click.option("--weights", default="none", show_default=True, metavar="W", help="A file or whose; none are random.")
@click.option("--images", default=8, show_default=True, metavar="N", type=COUNT, help="Images of a batch.")
@click.option("--size", metavar="N", type=COUNT, help="Height and width; by default the network's own.")
@click.option("--rounds", default=7, show_default=True, metavar="N", type=COUNT, help="Calls of each.")
@click.option("--memory", is_flag=True, help="Also the memory of 1,000 samples and 10,000 masks; takes minutes.")
def visualize(network, weights, images, size, rounds, memory):
    """Which pixels matter: seconds and memory beside other tools.

    Saliency, SmoothGrad, Grad-CAM and occlusion beside tf-keras-vis, tf-explain and Xplique where they are installed,
    and beside a bare compiled gradient; guided backpropagation and deconvnet beside a plain gradient. All run in turn
    in one process; medians count, and they need a machine with nothing else to do.
    """
    run("visualize", network, weights, images, size, rounds, memory)


@command.command("synthesis", cls=Command)
@click.option("--network", default="squeezenet1_1", show_default=True, metavar="NAME", help="What is climbed.")
@click.option("--weights", default="none", show_default=True, metavar="W", help="A file or whose; none are random.")
@click.option("--units", default=8, show_default=True, metavar="N", type=COUNT, help="Classes, an image each.")
@click.option("--steps", default=64, show_default=True, metavar="N", type=COUNT, help="Steps of each image.")
@click.option("--size", metavar="N", type=COUNT, help="Height and width; by default the network's own.")
@click.option("--rounds", default=5, show_default=True, metavar="N", type=COUNT, help="Calls of each.")
@click.option("--photos", metavar="DIR", type=click.Path(exists=True), help="Also what it takes to fool it, on these.")
def synthesis(network, weights, units, steps, size, rounds, photos):
    """What a network dreams: seconds beside other tools.

    Pictures of classes beside tf-keras-vis, if it is installed, with its defaults and ours with the same recipe, and
    beside a bare compiled gradient of the same images. All run in turn in one process; medians count, and they need a
    machine with nothing else to do. What takes over a minute is done once. With photos, attacks too: projected gradient
    descent beside CleverHans and Foolbox, and the smallest changes beside Foolbox, where they are installed.
    """
    load_keras()
    from .synthesis import fooled, lines, measured

    result = measured(network, weights, units, steps, size, rounds)
    result |= {"fooled": fooled(network, weights, photos, rounds) if photos else []}
    answer("bench", result, lines(result))


@command.command("transfer", cls=Command)
@click.argument("data", metavar="[DATA]", default="digits")
@click.option("--network", default="resnet20_cifar10", show_default=True, metavar="NAME", help="The backbone.")
@click.option("--weights", metavar="W", help="A file or whose; none are random. [published ones]")
@click.option("--size", metavar="N", type=COUNT, help="Height and width; by default the network's own.")
@click.option("--images", default=1000, show_default=True, metavar="N", type=COUNT, help="To learn from, and to test.")
@click.option("--epochs", default=10, show_default=True, metavar="N", type=COUNT, help="Of each of the guide's points.")
@click.option("--depths", default=4, show_default=True, metavar="N", type=click.IntRange(1, 4), help="Of the grid.")
@click.option("--rates", default=4, show_default=True, metavar="N", type=click.IntRange(1, 4), help="Of the grid.")
@click.option("--augmentations", default=3, show_default=True, metavar="N", type=click.IntRange(1, 3), help="Of it.")
@click.option("--whole", is_flag=True, help="Learn every point of the guide's grid to the end.")
@click.option("--seed", default=0, show_default=True, type=click.IntRange(0), help="Of which images, and the study.")
def transfer(data, **options):
    """A study beside the grid that the Keras guide would have you learn.

    The guide's way runs all layers in each epoch of each point, on a new model: depth, rate and augmentation. Without
    --whole one epoch of each depth and augmentation is measured and multiplied, and one point of each depth learned to
    the end. The study is `kerascnn transfer` as it is. DATA is what that takes; a part of it is the test of both.
    """
    run("transfer", data, **options)


@command.command("choice", cls=Command)
@click.argument("data", metavar="DATA")
@click.option("--test-data", metavar="SOURCE", help="Test on these, in place of a part of DATA.")
@click.option("--network", default="resnet20_cifar10", show_default=True, metavar="NAME", help="The backbone.")
@click.option("--weights", metavar="FILE", help="Its weights; by default the best that are published.")
@click.option("--size", metavar="N", type=COUNT, help="Side of the images, for which the network is built.")
@click.option("--each", default="10,30,100", show_default=True, metavar="N,N,..", help="Images of a class.")
@click.option("--test", default=1000, show_default=True, metavar="N", type=COUNT, help="Images of the test, at most.")
@click.option("--epochs", default=10, show_default=True, metavar="N", type=COUNT, help="Of each point of the grid.")
@click.option("--budget", default="10m", show_default=True, metavar="TIME", help="Of what is chosen by itself.")
@click.option("--seed", default=0, show_default=True, type=click.IntRange(0), help="Of images, split and order.")
def choice(data, test_data, network, weights, size, each, test, epochs, budget, seed):
    """What `transfer` chooses, beside every point of a grid.

    The grid is 4 depths by 4 rates, each learned in full and looked at on the test, which no choice could be: what is
    chosen without looking should come within a standard error of its best point, in a fraction of the time.
    """
    try:
        numbers = [COUNT.convert(number, None, None) for number in each.split(",")]
    except click.BadParameter as error:
        raise Misuse(f"--each: {error.message}", "--each 10,30,100") from error
    load_keras()
    from .choice import lines, measured, read

    result = measured(read(data, test_data, seed), network, weights, size, numbers, test, epochs, budget, seed)
    answer("bench", result, lines(result))


def run(name, *given, **options):
    """Measure, and tell; the module of that name is imported only now, for what it needs is heavy."""
    load_keras()
    measurement = import_module(f".{name}", __name__)
    result = measurement.measured(*given, **options)
    answer("bench", result, measurement.lines(result))
