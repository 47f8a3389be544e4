"""Training recipes, by name or by the network that they were published for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from ..support.text import unknown_name
from .schedules import Cosine, Exponential, OneCycle, Plateau, Poly, Steps, Warm

if TYPE_CHECKING:
    from ..zoo.registry import Card

HE_OUT = ("VarianceScaling", {"scale": 2.0, "mode": "fan_out", "distribution": "untruncated_normal"})
XAVIER: tuple[str, dict] = ("GlorotUniform", {})
GAUSSIAN = ("RandomNormal", {"stddev": 0.01})
OPTIMIZERS = ("sgd", "rmsprop", "adam")
STORED_KEYS = {  # field -> its key in the files of a run
    "learning_rate": "rate",
    "batch_size": "batch",
    "l2_on_all": "everything",
    "bias_rate_factor": "bias_rate",
    "clip_norm": "clip",
    "batch_norm_images": "settle",
    "aux_weight": "aux",
}


@dataclass(frozen=True)
class Recipe:
    """One way to train, as data.

    Attributes:
        name: name of the recipe.
        learning_rate: highest learning rate.
        schedule: the learning rate's factor over the run, one of `kerascnn.training.schedules`.
        batch_size: images per step.
        epochs: number of epochs.
        source: who trained so, and what of it is from memory, rounded or our choice.
        optimizer: "sgd", "rmsprop" or "adam".
        momentum: momentum of "sgd" and "rmsprop".
        nesterov: whether "sgd" uses Nesterov momentum.
        l2: weight of the L2 penalty.
        l2_on_all: whether the penalty includes biases and normalization, instead of kernels only.
        bias_rate_factor: factor of the learning rate for biases.
        epsilon: epsilon of "rmsprop" and "adam"; None for Keras' default.
        clip_norm: largest norm of all gradients together; None for no clipping.
        augment: augmentation of training images, as in `kerascnn.batches`.
        initializer: class name and configuration of Keras' initializer for kernels; None for the network's own.
        label_smoothing: fraction of the target that is spread over all classes.
        batch_norm_images: images for new statistics of batch norm at the end; 0 for the moving averages.
        aux_weight: weight of the loss of each auxiliary classifier.
    """

    name: str
    learning_rate: float
    schedule: Any
    batch_size: int
    epochs: int
    source: str
    optimizer: str = "sgd"
    momentum: float = 0.9
    nesterov: bool = False
    l2: float = 0.0
    l2_on_all: bool = False
    bias_rate_factor: float = 1.0
    epsilon: float | None = None
    clip_norm: float | None = None
    augment: str | Callable | None = None
    initializer: tuple[str, dict] | None = None
    label_smoothing: float = 0.0
    batch_norm_images: int = 0
    aux_weight: float = 0.3

    def to_dict(self):
        """The recipe as plain data, with the keys of stored runs."""
        schedule = {"kind": type(self.schedule).__name__} | asdict(self.schedule)
        augment = getattr(self.augment, "__qualname__", self.augment)  # a user's own is a function
        fields = {STORED_KEYS.get(name, name): value for name, value in asdict(self).items()}
        return fields | {"schedule": schedule, "augment": augment}


HALVES = Steps((1 / 2, 3 / 4))
CIFAR: dict[str, Any] = {"l2": 1e-4, "augment": "crop_flip", "initializer": HE_OUT}
CIFAR_STEPS = Steps((32 / 64, 48 / 64))
TORCH: dict[str, Any] = {"nesterov": True, "l2": 1e-4, "l2_on_all": True, "initializer": HE_OUT}

ROWS = (
    Recipe(
        "onecycle",
        learning_rate=0.05,
        schedule=OneCycle(),
        batch_size=32,
        epochs=40,
        nesterov=True,
        l2=5e-4,
        clip_norm=5.0,
        augment="shift",
        label_smoothing=0.1,
        source="for few epochs: one-cycle schedule (Smith 2018) with cosine decay",
    ),
    Recipe(
        "onecycle_cifar",
        learning_rate=0.2,
        schedule=OneCycle(),
        batch_size=128,
        epochs=24,
        nesterov=True,
        l2=5e-4,
        augment="reflect_crop_flip",
        initializer=HE_OUT,
        batch_norm_images=20_000,
        source="for few epochs on images like CIFAR's: one-cycle schedule (Smith 2018), He initialization (He et al. "
        "2015), precise batch norm (Wu & Johnson 2021)",
    ),
    Recipe(
        "adam",
        learning_rate=1e-3,
        schedule=Cosine(),
        batch_size=32,
        epochs=15,
        optimizer="adam",
        clip_norm=5.0,
        augment="shift",
        source="for first experiments: Adam (Kingma & Ba 2014) with cosine decay",
    ),
    Recipe(
        "lenet",
        learning_rate=0.01,
        schedule=Steps((2 / 20, 5 / 20, 8 / 20, 12 / 20), (0.4, 0.5, 0.5, 0.2)),
        batch_size=1,
        epochs=20,
        momentum=0.0,
        source="LeCun et al. 1998 (from memory): 20 epochs, learning rates in the ratio 5:2:1:.5:.1. The base rate is "
        "our choice, because the paper scales it by a diagonal Levenberg-Marquardt method, not implemented here",
    ),
    Recipe(
        "alexnet",
        learning_rate=0.01,
        schedule=Plateau(patience=5, times=3),
        batch_size=128,
        epochs=90,
        l2=5e-4,
        bias_rate_factor=2.0,
        augment="photo_crop",
        initializer=GAUSSIAN,
        source="Krizhevsky et al. 2012 (from memory): learning rate divided by 10 three times when the error plateaus; "
        "the patience is our choice. Learning rate and weight decay of biases as in Caffe's prototxt; without color "
        "augmentation",
    ),
    Recipe(
        "nin",
        learning_rate=0.01,
        schedule=Steps((200 / 450, 400 / 450)),
        batch_size=64,
        epochs=23,
        l2=5e-4,
        augment="photo_crop",
        source="the authors' ImageNet solver: 450k iterations of batch size 64, about 23 epochs; learning rate divided "
        "by 10 every 200k iterations",
    ),
    Recipe(
        "vgg",
        learning_rate=0.01,
        schedule=Plateau(patience=5, times=3),
        batch_size=256,
        epochs=74,
        l2=5e-4,
        augment="photo_crop",
        initializer=XAVIER,
        source="Simonyan & Zisserman 2014 (from memory): learning rate divided by 10 three times in 74 epochs; the "
        "patience is our choice. Xavier initialization instead of growing from net A, which the authors later found "
        "sufficient; without scale jitter and color shift",
    ),
    Recipe(
        "googlenet",
        learning_rate=0.01,
        schedule=Poly(0.5),
        batch_size=32,
        epochs=60,
        l2=2e-4,
        bias_rate_factor=2.0,
        augment="photo_crop",
        initializer=XAVIER,
        source="BVLC's quick solver in Caffe: poly(.5) schedule over 60 epochs; learning rate, batch size and weight "
        "decay from memory. The paper itself decays by 4 % every 8 epochs, trains asynchronously and averages weights; "
        "auxiliary loss weight .3",
    ),
    Recipe(
        "inception_v3",
        optimizer="rmsprop",
        learning_rate=0.045,
        schedule=Exponential(0.94, times=50),
        batch_size=1600,
        epochs=100,
        epsilon=1.0,
        clip_norm=2.0,
        augment="resized_crop",
        label_smoothing=0.1,
        aux_weight=0.4,
        source="Szegedy et al. 2015 (from memory): RMSProp, learning rate times .94 every 2 of 100 epochs, 50 replicas "
        "of batch size 32, auxiliary loss weight .4 as in slim; without weight averaging",
    ),
    Recipe(
        "resnet",
        learning_rate=0.1,
        schedule=Steps((1 / 3, 2 / 3)),
        batch_size=256,
        epochs=90,
        l2=1e-4,
        augment="resized_crop",
        initializer=HE_OUT,
        source="torchvision's reference (V1): 90 epochs, learning rate divided by 10 every 30. He et al. 2015 divide "
        "it when the error plateaus. L2 on kernels only, as in He's Caffe version; torchvision has all",
    ),
    Recipe(
        "resnet_cifar",
        learning_rate=0.1,
        schedule=CIFAR_STEPS,
        batch_size=128,
        epochs=164,
        **CIFAR,
        source="He et al. 2015, section 4.2 (from memory): 64k iterations of batch size 128, about 164 epochs of "
        "50,000 images; learning rate divided by 10 at 32k and 48k",
    ),
    Recipe(
        "resnet_cifar_warm",
        learning_rate=0.1,
        schedule=Warm(400 / 64_000, 0.1, CIFAR_STEPS),
        batch_size=128,
        epochs=164,
        **CIFAR,
        source="He et al. 2015 and 2016 for 110 layers and more (from memory): resnet_cifar after 400 warm-up "
        "iterations at learning rate .01",
    ),
    Recipe(
        "resnext_cifar",
        learning_rate=0.1,
        schedule=HALVES,
        batch_size=128,
        epochs=300,
        **CIFAR | {"l2": 5e-4},
        source="Xie et al. 2016: 300 epochs, L2 5e-4, learning rate divided by 10 at 150 and 225 (both from memory)",
    ),
    Recipe(
        "wide_resnet",
        learning_rate=0.1,
        schedule=Steps((60 / 200, 120 / 200, 160 / 200), 0.2),
        batch_size=128,
        epochs=200,
        **TORCH | {"l2": 5e-4},
        augment="reflect_crop_flip",
        source="Zagoruyko & Komodakis' script for CIFAR; L2 on all parameters as in PyTorch's SGD (from memory)",
    ),
    Recipe(
        "stochastic_depth",
        learning_rate=0.1,
        schedule=HALVES,
        batch_size=128,
        epochs=500,
        **TORCH,
        augment="crop_flip",
        source="Huang et al. 2016's script for CIFAR; L2 on all parameters as in PyTorch's SGD (from memory)",
    ),
    Recipe(
        "densenet",
        learning_rate=0.1,
        schedule=Steps((30 / 90, 60 / 90)),
        batch_size=256,
        epochs=90,
        **TORCH,
        augment="resized_crop",
        source="Huang et al. 2016 and their script, ImageNet; L2 on all parameters as in PyTorch's SGD (from memory)",
    ),
    Recipe(
        "densenet_cifar",
        learning_rate=0.1,
        schedule=HALVES,
        batch_size=64,
        epochs=300,
        **TORCH,
        augment="crop_flip",
        source="Huang et al. 2016 and their script, CIFAR; L2 on all parameters as in PyTorch's SGD (from memory)",
    ),
    Recipe(
        "fractalnet",
        learning_rate=0.02,
        schedule=Steps((1 / 2, 3 / 4, 7 / 8, 15 / 16)),
        batch_size=100,
        epochs=400,
        augment="crop_flip",
        initializer=XAVIER,
        source="Larsson et al. 2016, CIFAR, from the authors' code; learning rate divided by 10 four times, whenever "
        "the number of remaining epochs is halved (from memory)",
    ),
    Recipe(
        "squeezenet",
        learning_rate=0.04,
        schedule=Poly(1.0),
        batch_size=512,
        epochs=68,
        l2=2e-4,
        augment="photo_crop",
        initializer=XAVIER,
        source="the authors' solver: 170k iterations of batch size 512, about 68 epochs, with linear decay",
    ),
)

RECIPES = {row.name: row for row in ROWS}
FAMILIES = {  # family -> its recipe for large images, and for those of CIFAR
    "lenet": ("lenet", "lenet"),
    "alexnet": ("alexnet", "alexnet"),
    "zfnet": ("alexnet", "alexnet"),
    "nin": ("nin", "nin"),
    "vgg": ("vgg", "vgg"),
    "inception": ("inception_v3", "inception_v3"),
    "squeezenet": ("squeezenet", "squeezenet"),
    "resnet": ("resnet", "resnet_cifar"),
    "plain": ("resnet", "resnet_cifar"),
    "preresnet": ("resnet", "resnet_cifar_warm"),
    "resnext": ("resnet", "resnext_cifar"),
    "wide_resnet": ("resnet", "wide_resnet"),
    "stochastic": ("stochastic_depth", "stochastic_depth"),
    "densenet": ("densenet", "densenet_cifar"),
    "fractalnet": ("fractalnet", "fractalnet"),
}
NAME_PREFIXES = {
    "googlenet": "googlenet",
    "tiny_googlenet": "googlenet",
}  # prefixes of names with another recipe than their family
NAME_PREFIXES |= dict.fromkeys(("resnet110", "resnet1202", "plain110"), "resnet_cifar_warm")
NAME_PREFIXES |= {"resnet110_stochastic": "stochastic_depth"}
DEFAULT = "onecycle"
PUBLISHED = "published"


def recipe(name: str | Recipe) -> Recipe:
    """The recipe of a name.

    Args:
        name: a name in ``RECIPES``; a ``Recipe`` is returned as it is.

    Returns:
        The ``Recipe``.
    """
    if isinstance(name, Recipe):
        return name
    if name not in RECIPES:
        raise ValueError(unknown_name("recipe", name, [*RECIPES, PUBLISHED]))
    return RECIPES[name]


def recipe_of(network: str | Card) -> Recipe:
    """The published recipe of a network, or "onecycle" where none is known.

    >>> recipe_of("resnet20_cifar10").name
    'resnet_cifar'

    Args:
        network: name of a network, or its card.

    Returns:
        The ``Recipe``.
    """
    card = catalog_row(network) if isinstance(network, str) else network
    if card is None:
        return RECIPES[DEFAULT]
    prefixes = [prefix for prefix in NAME_PREFIXES if card.name.startswith(prefix)]
    if prefixes:
        return RECIPES[NAME_PREFIXES[max(prefixes, key=len)]]
    large, small = FAMILIES.get(card.family, (DEFAULT, DEFAULT))
    return RECIPES[small if max(card.input_shape[:2]) <= 32 else large]


def catalog_row(name):
    """The network's row of the catalog, or None for one outside the zoo."""
    from ..zoo.catalog import read_catalog

    return next((row for row in read_catalog() if row.name == name), None)
