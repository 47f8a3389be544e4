"""The cards of all networks: what each is, where it comes from, what was published about it. Knows no network."""

import csv
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import cache

from ..support.text import natural, unknown

ROOT = os.path.dirname(os.path.dirname(__file__))  # of the package
BEST = "imagenet"  # asks for the best of all published weights


@dataclass(frozen=True)
class Source:
    """One published file of weights for a network: where it is, how it is checked, what it wants, what it reaches."""

    network: str
    name: str  # "torchvision/v2": the project that publishes it, and its own name for these weights
    address: str  # "" of a file that comes with this package
    file: str  # its name in the cache
    hash: str  # "sha256:", "sha1:" or "md5:" and the digits as published, perhaps the first ones only; "" if none
    license: str
    top1: float | None  # % of ImageNet's validation images, as published, at ``crop`` pixels
    top5: float | None
    scale: str  # the pixels that these weights expect, one of layers.SCALES
    resize: int  # short side of the resized photo, and the side of the square cut from its center
    crop: int
    interpolation: str  # "bilinear" or "bicubic"
    note: str = ""

    @property
    def publisher(self):
        """The project that publishes it, whose names the tensors in the file have: "torchvision"."""
        return self.name.split("/")[0]

    @property
    def shipped(self):
        """Whether the file comes with this package, and needs no download."""
        return not self.address

    def answers(self, asked):
        """Whether ``asked`` may mean these weights: by name, by publisher, "imagenet", and of ours "cifar10"."""
        publisher, own = self.name.split("/")
        return asked in (self.name, publisher, own if self.shipped else BEST)

    @property
    def free(self):
        """Whether the license allows every use."""
        return "nc" not in self.license.lower().split("-")


@dataclass(frozen=True, repr=False)
class Card:
    """One network as a row of the registry, with its evidence."""

    name: str
    family: str
    year: int
    paper: str
    trunk: Callable  # (N, H, W, C), **config -> features, (N, h, w, c)
    config: Mapping
    head: Callable  # features, classes -> logits
    params: int | None = None  # learned parameters and multiply-adds (1e9) as published, for input_shape and classes
    gmacs: float | None = None
    source: str = "no published figure"  # who published the two
    fidelity: str = ""  # whose version this is, and how it differs from the paper
    input_shape: tuple = (224, 224, 3)
    classes: int = 1000
    scale: str = "torch"
    aux: Mapping = field(default_factory=dict)  # output -> the layer that its auxiliary classifier reads
    weights: tuple[Source, ...] = ()  # the best first

    def __repr__(self):
        counts = [f"{self.params / 1e6:.4g} M parameters"] if self.params else []
        counts += [f"{self.gmacs:.4g} G multiply-adds"] if self.gmacs else []
        counts += [f"{len(self.weights)} published weights"] if self.weights else []
        return f"<Card {self.name}: {', '.join([self.family, str(self.year), *counts])}>"

    def __str__(self):
        size = "x".join(map(str, self.input_shape))
        lines = [
            f"{self.name}: {self.family}, {self.year}, {self.paper}",
            f"input {size}, pixels scaled as {self.scale}, {self.classes:,} classes",
            f"{self.params or '?'} parameters, {self.gmacs or '?'} G multiply-adds ({self.source})",
            self.fidelity,
            *(f"weights {row.name}: top-1 {row.top1 or '?'} %, {row.license}" for row in self.weights),
        ]
        return "\n".join(line for line in lines if line)


def table(*path, **kinds):
    """The rows of a CSV file of the package; columns of numbers are of the ``kinds`` given, None where one is empty."""
    with open(os.path.join(ROOT, *path), newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        for column, kind in kinds.items():
            row[column] = kind(row[column]) if row[column] else None
    return rows


@cache
def published():
    """What others say about each network, by name: parameters, multiply-adds, who counted, whose version it is."""
    return {row.pop("name"): row for row in table("zoo", "published.csv", params=int, gmacs=float)}


PUBLISHERS = ("torchvision", "keras", "timm", "caffe", "kerascnn")  # each with its table of weights


@cache
def sources():
    """The published files of weights of each network, by name, the best first.

    That is: free to use before what is not, checkable by a hash before what is not, then by published top-1.
    """
    numbers = {"top1": float, "top5": float, "resize": int, "crop": int}
    found = {}
    for name in PUBLISHERS:
        for row in table("weights", "tables", f"{name}.csv", **numbers):
            found.setdefault(row["network"], []).append(Source(**row))
    return {network: tuple(sorted(rows, key=merit, reverse=True)) for network, rows in found.items()}


def merit(source):
    return source.free, bool(source.hash), source.top1 or 0.0


CARDS: dict[str, Card] = {}
FIELDS = ("params", "gmacs", "source", "fidelity", "input_shape", "classes", "scale", "aux", "weights")


def register(name, *, trunk, head, family, year, paper, **rest):
    """Add a network; what is not a field of ``Card`` is the trunk's ``config``."""
    if name in CARDS:
        raise ValueError(f"`name` should be new to the registry. Received: {name!r}, which is there already")
    own = {"weights": sources().get(name, ())} | published().get(name, {})
    own |= {key: rest.pop(key) for key in FIELDS if key in rest}
    CARDS[name] = Card(name, family, year, paper, trunk, rest, head, **own)


def card(name):
    """The card of a network; "resnet20" is short for "resnet20_cifar10"."""
    found = called(name, CARDS)
    if found is None:
        raise ValueError(unknown_network(name, CARDS, "list_models() names them all"))
    return found


def unknown_network(name, known, advice=""):
    """Error text for a name that is no network of ours: whose name it is, or which names are near."""
    network, weights = timm_name(str(name))
    if network not in known:
        return unknown("network", name, known, advice)
    more = f", weights={weights!r}" if weights else ""
    return f"Unknown network {name!r}. It is timm's name of {network}: build_model({network!r}{more})"


def timm_name(name):
    """(our network, our name of its weights) of timm's "resnetv2_50" or "resnetv2_50.a1h_in1k"; else None and ""."""
    theirs, _, tag = name.removeprefix("hf_hub:").removeprefix("timm/").partition(".")
    published = [row for rows in sources().values() for row in rows if row.publisher == "timm"]
    rows = [row for row in published if row.file.partition(".")[0] == theirs]
    before_activation = re.fullmatch(r"resnetv2_(\d+)", theirs)
    if not rows:
        return (f"resnet{before_activation[1]}v2" if before_activation else None), ""
    weights = next((row.name for row in rows if row.name == f"timm/{tag}"), "")
    return rows[0].network, weights


def called(name, rows):
    """What is called so in {name: row}, or so with "_cifar10" after it; None where nothing is."""
    return rows.get(name, rows.get(f"{name}_cifar10"))


def list_models(pattern="*", *, family=None, year=None, max_params=None, pretrained=None):
    """Names of networks in natural order. ``pattern`` takes the shell's wildcards; ``tiny_*`` only when asked for.

    ``pretrained`` True keeps those with published weights, False those without, "timm" those with weights from there.
    """
    found = matching(CARDS.values(), pattern, family=family, year=year, max_params=max_params, pretrained=pretrained)
    return [row.name for row in found]


def matching(rows, pattern="*", *, family=None, year=None, max_params=None, pretrained=None):
    """Those of ``rows`` (cards, or anything with their fields) that fit, in natural order."""
    rows = list(rows)
    families = sorted({row.family for row in rows})
    if family is not None and family not in families:
        raise ValueError(unknown("family", family, families))
    if max_params is not None and not isinstance(max_params, int | float):
        raise ValueError(f"`max_params` should be a number of parameters. Received: {max_params!r}")
    if year is not None and not isinstance(year, int):
        raise ValueError(f"`year` should be a whole number such as 2015. Received: {year!r}")
    if not isinstance(pretrained, bool | str | None):
        raise ValueError(f"`pretrained` should be True, False or who publishes the weights. Received: {pretrained!r}")
    if isinstance(pretrained, str) and pretrained not in PUBLISHERS:
        raise ValueError(unknown("publisher of weights", pretrained, PUBLISHERS))
    found = [
        row
        for row in rows
        if fnmatchcase(row.name, pattern)
        and (pattern.startswith("tiny") or not row.name.startswith("tiny"))
        and (family is None or row.family == family)
        and (year is None or row.year == year)
        and (max_params is None or (row.params is not None and row.params <= max_params))
        and (pretrained is None or pretrained in offers(row))
    ]
    return sorted(found, key=lambda row: natural(row.name))


def offers(row):
    """Whether there are weights for a network, and from whom; a row that is no card is looked up in the tables."""
    found = getattr(row, "weights", sources().get(row.name, ()))
    return {bool(found), *(source.publisher for source in found)}
