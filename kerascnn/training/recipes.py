"""Which recipe: by its name, or by the network that it was published for."""

from ..registry import unknown
from .rows import ROWS, Recipe

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
    from ..catalog import read

    return next((row for row in read() if row.name == name), None)
