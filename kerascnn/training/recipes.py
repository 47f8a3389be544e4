"""Which recipe: by its name, or by the network that it was published for."""

from dataclasses import asdict, dataclass

from ..support.text import unknown
from .schedules import Cosine, Exponential, OneCycle, Plateau, Poly, Steps, Warm

HE_OUT = ("VarianceScaling", {"scale": 2.0, "mode": "fan_out", "distribution": "untruncated_normal"})
XAVIER = ("GlorotUniform", {})
SMALL = ("RandomNormal", {"stddev": 0.01})
OPTIMIZERS = ("sgd", "rmsprop", "adam")


@dataclass(frozen=True)
class Recipe:
    """One way to train, as data."""

    name: str
    rate: float
    schedule: object
    batch: int
    epochs: int
    source: str  # who did so, and what of it is recalled, rounded or ours
    optimizer: str = "sgd"
    momentum: float = 0.9
    nesterov: bool = False
    l2: float = 0.0
    everything: bool = False  # whether ``l2`` holds biases and norms too, or kernels only
    bias_rate: float = 1.0  # what the rate of biases is multiplied by
    epsilon: float | None = None  # of rmsprop and adam
    clip: float | None = None  # the largest norm of all gradients together
    augment: str | None = None  # what `data.batches` does to the training images
    initializer: tuple | None = None  # Keras' name and configuration, for kernels; None leaves the network's own
    label_smoothing: float = 0.0
    settle: int = 0  # images on which batch norm's statistics are measured once more at the end
    aux: float = 0.3  # weight of the loss of each auxiliary classifier

    def stated(self):
        """The recipe as JSON can hold it."""
        schedule = {"kind": type(self.schedule).__name__} | asdict(self.schedule)
        augment = getattr(self.augment, "__qualname__", self.augment)  # one's own is a function
        return asdict(self) | {"schedule": schedule, "augment": augment}

    @property
    def ours(self):
        return self.source.startswith("ours")


HALVES = Steps((1 / 2, 3 / 4))
CIFAR = {"l2": 1e-4, "augment": "crop_flip", "initializer": HE_OUT}
CIFAR_STEPS = Steps((32 / 64, 48 / 64))
FB = {"nesterov": True, "l2": 1e-4, "everything": True, "initializer": HE_OUT}

ROWS = (
    Recipe(
        "onecycle",
        rate=0.05,
        schedule=OneCycle(),
        batch=32,
        epochs=40,
        nesterov=True,
        l2=5e-4,
        clip=5.0,
        augment="shift",
        label_smoothing=0.1,
        source="ours, for few epochs: the one-cycle of Smith 2018 with half a cosine down",
    ),
    Recipe(
        "onecycle_cifar",
        rate=0.2,
        schedule=OneCycle(),
        batch=128,
        epochs=24,
        nesterov=True,
        l2=5e-4,
        augment="reflect_crop_flip",
        initializer=HE_OUT,
        settle=20_000,
        source="ours, for images like CIFAR's in few epochs: the one-cycle of Smith 2018, He et al. 2015's kernels, "
        "Wu & Johnson 2021's precise batch norm",
    ),
    Recipe(
        "adam",
        rate=1e-3,
        schedule=Cosine(),
        batch=32,
        epochs=15,
        optimizer="adam",
        clip=5.0,
        augment="shift",
        source="ours, for first tries: Adam (Kingma & Ba 2014) with a cosine down",
    ),
    Recipe(
        "lenet",
        rate=0.01,
        schedule=Steps((2 / 20, 5 / 20, 8 / 20, 12 / 20), (0.4, 0.5, 0.5, 0.2)),
        batch=1,
        epochs=20,
        momentum=0.0,
        source="LeCun et al. 1998 (recalled): 20 passes, rates in the ratios 5:2:1:.5:.1. The rate itself is ours: "
        "theirs was scaled by a diagonal Levenberg-Marquardt, which is not here",
    ),
    Recipe(
        "alexnet",
        rate=0.01,
        schedule=Plateau(patience=5, times=3),
        batch=128,
        epochs=90,
        l2=5e-4,
        bias_rate=2.0,
        augment="photo_crop",
        initializer=SMALL,
        source="Krizhevsky et al. 2012 (recalled): rate / 10 three times when the error stalls; patience is ours. "
        "Rate and decay of biases as in Caffe's prototxt; without the color noise",
    ),
    Recipe(
        "nin",
        rate=0.01,
        schedule=Steps((200 / 450, 400 / 450)),
        batch=64,
        epochs=23,
        l2=5e-4,
        augment="photo_crop",
        source="the authors' ImageNet solver: 450k iterations of 64, rate / 10 every 200k; 23 epochs are those",
    ),
    Recipe(
        "vgg",
        rate=0.01,
        schedule=Plateau(patience=5, times=3),
        batch=256,
        epochs=74,
        l2=5e-4,
        augment="photo_crop",
        initializer=XAVIER,
        source="Simonyan & Zisserman 2014 (recalled): rate / 10 three times in 74 epochs; patience is ours. Xavier "
        "in place of growing from net A, which their later note says is enough; without scale jitter and color shift",
    ),
    Recipe(
        "googlenet",
        rate=0.01,
        schedule=Poly(0.5),
        batch=32,
        epochs=60,
        l2=2e-4,
        bias_rate=2.0,
        augment="photo_crop",
        initializer=XAVIER,
        source="BVLC's quick solver in Caffe, poly(.5) over 60 epochs; rate, batch and decay are recalled. The paper "
        "itself: -4 % every 8 epochs, asynchronous, averaged weights; its aux weight .3",
    ),
    Recipe(
        "inception_v3",
        optimizer="rmsprop",
        rate=0.045,
        schedule=Exponential(0.94, times=50),
        batch=1600,
        epochs=100,
        epsilon=1.0,
        clip=2.0,
        augment="resized_crop",
        label_smoothing=0.1,
        aux=0.4,
        source="Szegedy et al. 2015 (recalled): RMSProp, x .94 every 2 of 100 epochs, 50 replicas of 32, aux .4 as in "
        "slim; without the average of weights",
    ),
    Recipe(
        "resnet",
        rate=0.1,
        schedule=Steps((1 / 3, 2 / 3)),
        batch=256,
        epochs=90,
        l2=1e-4,
        augment="resized_crop",
        initializer=HE_OUT,
        source="torchvision's reference (V1): 90 epochs, rate / 10 every 30. He et al. 2015 lower it when the error "
        "stalls. L2 on kernels only, as in He's Caffe; torch has it on all",
    ),
    Recipe(
        "resnet_cifar",
        rate=0.1,
        schedule=CIFAR_STEPS,
        batch=128,
        epochs=164,
        **CIFAR,
        source="He et al. 2015, 4.2 (recalled): 64k iterations of 128, rate / 10 at 32k and 48k; that is 164 "
        "epochs of 50,000 images",
    ),
    Recipe(
        "resnet_cifar_warm",
        rate=0.1,
        schedule=Warm(400 / 64_000, 0.1, CIFAR_STEPS),
        batch=128,
        epochs=164,
        **CIFAR,
        source="He et al. 2015 and 2016 for 110 layers and more (recalled): resnet_cifar after 400 "
        "iterations at rate .01",
    ),
    Recipe(
        "resnext_cifar",
        rate=0.1,
        schedule=HALVES,
        batch=128,
        epochs=300,
        **CIFAR | {"l2": 5e-4},
        source="Xie et al. 2016: 300 epochs, L2 5e-4 (recalled); / 10 at 150 and 225 (recalled)",
    ),
    Recipe(
        "wide_resnet",
        rate=0.1,
        schedule=Steps((60 / 200, 120 / 200, 160 / 200), 0.2),
        batch=128,
        epochs=200,
        **FB | {"l2": 5e-4},
        augment="reflect_crop_flip",
        source="Zagoruyko & Komodakis' script for CIFAR; L2 on all parameters as torch's SGD has it (recalled)",
    ),
    Recipe(
        "stochastic_depth",
        rate=0.1,
        schedule=HALVES,
        batch=128,
        epochs=500,
        **FB,
        augment="crop_flip",
        source="Huang et al. 2016's script for CIFAR; L2 on all parameters as torch's SGD has it (recalled)",
    ),
    Recipe(
        "densenet",
        rate=0.1,
        schedule=Steps((30 / 90, 60 / 90)),
        batch=256,
        epochs=90,
        **FB,
        augment="resized_crop",
        source="Huang et al. 2016 and their script, ImageNet; L2 on all parameters as torch's SGD has it (recalled)",
    ),
    Recipe(
        "densenet_cifar",
        rate=0.1,
        schedule=HALVES,
        batch=64,
        epochs=300,
        **FB,
        augment="crop_flip",
        source="Huang et al. 2016 and their script, CIFAR; L2 on all parameters as torch's SGD has it (recalled)",
    ),
    Recipe(
        "fractalnet",
        rate=0.02,
        schedule=Steps((1 / 2, 3 / 4, 7 / 8, 15 / 16)),
        batch=100,
        epochs=400,
        augment="crop_flip",
        initializer=XAVIER,
        source="Larsson et al. 2016's generator, CIFAR; / 10 whenever the epochs left halve (recalled), four times",
    ),
    Recipe(
        "squeezenet",
        rate=0.04,
        schedule=Poly(1.0),
        batch=512,
        epochs=68,
        l2=2e-4,
        augment="photo_crop",
        initializer=XAVIER,
        source="the authors' solver: 170k iterations of 512 with a linear rate; 68 epochs are those, rounded",
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
NAMED = {"googlenet": "googlenet", "tiny_googlenet": "googlenet"}  # beginnings of names that say more than the family
NAMED |= dict.fromkeys(("resnet110", "resnet1202", "plain110"), "resnet_cifar_warm")
NAMED |= {"resnet110_stochastic": "stochastic_depth"}
OURS = "onecycle"
PUBLISHED = "published"


def recipe(name):
    """The recipe called so."""
    if isinstance(name, Recipe):
        return name
    if name not in RECIPES:
        raise ValueError(unknown("recipe", name, [*RECIPES, PUBLISHED]))
    return RECIPES[name]


def recipe_of(network):
    """The published recipe that fits a network, given by its name or its card; ours where none is known here.

    >>> recipe_of("resnet20_cifar10").name
    'resnet_cifar'
    """
    card = row_of(network) if isinstance(network, str) else network
    if card is None:
        return RECIPES[OURS]
    named = [start for start in NAMED if card.name.startswith(start)]
    if named:
        return RECIPES[NAMED[max(named, key=len)]]
    large, small = FAMILIES.get(card.family, (OURS, OURS))
    return RECIPES[small if max(card.input_shape[:2]) <= 32 else large]


def row_of(name):
    """The network's row of the catalog, or None for one that the zoo does not have."""
    from ..zoo.catalog import read

    return next((row for row in read() if row.name == name), None)
