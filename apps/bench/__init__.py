"""`kerascnn bench`: measure speed and accuracy on this machine and compare with other tools."""

import click

from ..backend import load_keras
from ..errors import Misuse
from ..options import COUNT, SEED, Command, Group
from ..output import print_result

WEIGHTS = 'Weights: a file, or a publisher such as torchvision; "none" means random weights.'
SIZE = "Height and width of the images. [the network's own]"

bench_command = Group("bench", help="Measure speed and accuracy on this machine and compare with other tools.")


@bench_command.command("batches", cls=Command)
@click.option("--network", default="resnet20_cifar10", show_default=True, metavar="NAME", help="Network to train.")
@click.option("--images", default=1024, show_default=True, metavar="N", type=COUNT, help="Number of JPEG files.")
@click.option("--batch-size", default=128, show_default=True, metavar="N", type=COUNT, help="Batch size.")
@click.option(
    "--rounds",
    default=7,
    show_default=True,
    metavar="N",
    type=COUNT,
    help="Number of epochs to measure for each input.",
)
def bench_batches_command(network, images, batch_size, rounds):
    """Training throughput in images per second.

    Compares Keras' fit on an array in memory with fit on kerascnn.batches, which reads JPEG files. The variants take
    turns in one process and medians are reported; run it on an otherwise idle machine.
    """
    load_keras()
    from .batches import measure_throughput, throughput_lines

    result = measure_throughput(network, images, batch_size, rounds)
    print_result("bench", result, throughput_lines(result))


@bench_command.command("visualize", cls=Command)
@click.option("--network", default="squeezenet1_1", show_default=True, metavar="NAME", help="Network to explain.")
@click.option("--weights", default="none", show_default=True, metavar="W", help=WEIGHTS)
@click.option("--batch-size", default=8, show_default=True, metavar="N", type=COUNT, help="Batch size.")
@click.option("--size", metavar="N", type=COUNT, help=SIZE)
@click.option(
    "--rounds",
    default=7,
    show_default=True,
    metavar="N",
    type=COUNT,
    help="Number of calls to measure for each method.",
)
@click.option("--memory", is_flag=True, help="Also measure memory with 1,000 samples and 10,000 masks; takes minutes.")
def bench_visualize_command(network, weights, batch_size, size, rounds, memory):
    """Time and memory of attribution methods, compared with other tools.

    Compares saliency, SmoothGrad, Grad-CAM and occlusion with tf-keras-vis, tf-explain and Xplique, if installed, and
    with a bare compiled gradient; and guided backpropagation and deconvnet with a plain gradient. The methods take
    turns in one process and medians are reported; run it on an otherwise idle machine.
    """
    load_keras()
    from .visualize import attribution_lines, measure_attribution

    result = measure_attribution(network, weights, batch_size, size, rounds, memory)
    print_result("bench", result, attribution_lines(result))


@bench_command.command("synthesis", cls=Command)
@click.option(
    "--network",
    default="squeezenet1_1",
    show_default=True,
    metavar="NAME",
    help="Network whose classes are visualized.",
)
@click.option("--weights", default="none", show_default=True, metavar="W", help=WEIGHTS)
@click.option(
    "--classes", default=8, show_default=True, metavar="N", type=COUNT, help="Number of classes; one image each."
)
@click.option("--steps", default=64, show_default=True, metavar="N", type=COUNT, help="Optimization steps per image.")
@click.option("--size", metavar="N", type=COUNT, help=SIZE)
@click.option(
    "--rounds", default=5, show_default=True, metavar="N", type=COUNT, help="Number of calls to measure for each tool."
)
@click.option(
    "--photos",
    metavar="DIR",
    type=click.Path(exists=True),
    help="Also measure adversarial attacks on the photos in this folder.",
)
def bench_synthesis_command(network, weights, classes, steps, size, rounds, photos):
    """Time to synthesize images of classes, compared with other tools.

    Compares images of classes with tf-keras-vis, if installed: its defaults, our recipe in both, and a bare compiled
    gradient. The tools take turns in one process and medians are reported; run it on an otherwise idle machine. Calls
    that take more than a minute are run once. With --photos, attacks are measured too: PGD against CleverHans and
    Foolbox, and minimal attacks against Foolbox, if installed.
    """
    load_keras()
    from .synthesis import measure_attacks, measure_synthesis, synthesis_lines

    result = measure_synthesis(network, weights, classes, steps, size, rounds)
    result |= {"fooled": measure_attacks(network, weights, photos, rounds) if photos else []}
    print_result("bench", result, synthesis_lines(result))


@bench_command.command("transfer", cls=Command)
@click.argument("data", metavar="[DATA]", default="digits")
@click.option("--network", default="resnet20_cifar10", show_default=True, metavar="NAME", help="Backbone network.")
@click.option("--weights", metavar="W", help=f"{WEIGHTS} [best published]")
@click.option("--size", metavar="N", type=COUNT, help=SIZE)
@click.option(
    "--images",
    default=1000,
    show_default=True,
    metavar="N",
    type=COUNT,
    help="Number of images, for training and test each.",
)
@click.option(
    "--epochs",
    default=10,
    show_default=True,
    metavar="N",
    type=COUNT,
    help="Epochs for each point of the guide's grid.",
)
@click.option(
    "--depths",
    default=4,
    show_default=True,
    metavar="N",
    type=click.IntRange(1, 4),
    help="Number of depths in the grid.",
)
@click.option(
    "--learning-rates",
    default=4,
    show_default=True,
    metavar="N",
    type=click.IntRange(1, 4),
    help="Number of learning rates in the grid.",
)
@click.option(
    "--augmentations",
    default=3,
    show_default=True,
    metavar="N",
    type=click.IntRange(1, 3),
    help="Number of augmentations in the grid.",
)
@click.option("--full", is_flag=True, help="Train every point of the guide's grid to the end.")
@click.option(
    "--seed", default=0, show_default=True, type=SEED, help="Random seed for the choice of images and for the study."
)
def bench_transfer_command(
    data, network, weights, size, images, epochs, depths, learning_rates, augmentations, full, seed
):
    """Compare `kerascnn transfer` with the grid search of the Keras guide.

    The guide's way trains a new model for every combination of depth, learning rate and augmentation, and runs all
    layers in each epoch. Without --full, one epoch of each depth and augmentation is measured and multiplied, and one
    point of each depth is trained to the end. The study is plain `kerascnn transfer`. DATA is anything that it accepts;
    both are tested on the same part of it.
    """
    load_keras()
    from .transfer import measure_transfer, transfer_benchmark_lines

    grid = {"epochs": epochs, "depths": depths, "learning_rates": learning_rates, "augmentations": augmentations}
    result = measure_transfer(data, network, weights, size, images, full, seed, **grid)
    print_result("bench", result, transfer_benchmark_lines(result))


@bench_command.command("choice", cls=Command)
@click.argument("data", metavar="DATA")
@click.option("--test-data", metavar="SOURCE", help="Use these images as the test set, in place of a part of DATA.")
@click.option("--network", default="resnet20_cifar10", show_default=True, metavar="NAME", help="Backbone network.")
@click.option("--weights", metavar="FILE", help="Weights file. [best published]")
@click.option("--size", metavar="N", type=COUNT, help="Height and width of the images; the network is built for it.")
@click.option(
    "--images-per-class",
    default="10,30,100",
    show_default=True,
    metavar="N,N,..",
    help="Numbers of training images per class, separated by commas.",
)
@click.option(
    "--test-images", default=1000, show_default=True, metavar="N", type=COUNT, help="Largest number of test images."
)
@click.option(
    "--epochs", default=10, show_default=True, metavar="N", type=COUNT, help="Epochs for each point of the grid."
)
@click.option(
    "--budget", default="10m", show_default=True, metavar="TIME", help="Time budget for the automatic choice."
)
@click.option("--single", is_flag=True, help="Also measure the choice without the mean of several linear classifiers.")
@click.option("--seed", default=0, show_default=True, type=SEED, help="Random seed for images, split and order.")
def bench_choice_command(
    data, test_data, network, weights, size, images_per_class, test_images, epochs, budget, single, seed
):
    """Compare what `kerascnn transfer` chooses with every point of a grid.

    The grid has 4 depths by 4 learning rates; every point is trained in full and evaluated on the test set, which no
    honest choice may do. The automatic choice should come within one standard error of the best point in a fraction of
    the time.
    """
    try:
        numbers = [COUNT.convert(number, None, None) for number in images_per_class.split(",")]
    except click.BadParameter as error:
        raise Misuse(f"--images-per-class: {error.message}", "--images-per-class 10,30,100") from error
    load_keras()
    from .choice import choice_lines, load_choice_data, measure_choice

    images = load_choice_data(data, test_data, seed)
    result = measure_choice(images, network, weights, size, numbers, test_images, epochs, budget, seed, single)
    print_result("bench", result, choice_lines(result))
